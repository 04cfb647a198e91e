"""Rows of a batch that belong to one draw stay in one part."""

from collections.abc import Sequence

import torch


def sizes_differ(groups: Sequence[int] | torch.Tensor) -> bool:
    """Whether some group has more rows than another."""
    sizes = torch.unique(torch.as_tensor(groups), return_counts=True)[1].tolist()
    return len(set(sizes)) > 1


def parts_of_rows(groups: Sequence[int] | torch.Tensor, parts: int) -> list[torch.Tensor]:
    """Deals whole groups to parts of about as many rows each: the largest group first, to the part with the fewest.

    Args:
        groups: Which draw each row is of, [rows]: any integers.
        parts: K at most; with fewer groups each is a part.

    Returns:
        Indices of each part's rows in rising order; every row is in one of them, and none is empty.
    """
    labels = torch.as_tensor(groups)
    _, numbers, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    count = max(1, min(parts, len(sizes)))
    filled = [0] * count
    part_of_group = [0] * len(sizes)
    rows_of_group = sizes.tolist()
    for group in sorted(range(len(rows_of_group)), key=lambda group: -rows_of_group[group]):
        emptiest = filled.index(min(filled))
        part_of_group[group] = emptiest
        filled[emptiest] += rows_of_group[group]
    part_of_row = torch.tensor(part_of_group, device=numbers.device)[numbers]
    return [torch.nonzero(part_of_row == part).flatten() for part in range(count)]
