"""Rows of a batch that belong to one draw stay in one part."""

from collections.abc import Sequence

import torch

from noisescale.options import check_count


def labels_of_rows(groups: Sequence[int] | torch.Tensor, rows: int) -> torch.Tensor:
    """The groups as a tensor, [rows].

    Raises:
        ValueError: If they are not one integer a row.
    """
    remedy = f"the batch has {rows} rows: give one integer a row"
    try:
        labels = torch.as_tensor(groups)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"groups: {error}; {remedy}") from error
    if labels.shape != (rows,) or labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"groups: has the shape {tuple(labels.shape)} and type {labels.dtype}, {remedy}")
    return labels


def sizes_differ(labels: torch.Tensor) -> bool:
    """Whether some group has more rows than another."""
    sizes = torch.unique(labels, return_counts=True)[1].tolist()
    return len(set(sizes)) > 1


def parts_of_rows(labels: torch.Tensor, parts: int) -> list[torch.Tensor]:
    """Deals whole groups to parts of about as many rows each: the largest group first, to the part with the fewest.

    Args:
        labels: Which draw each row is of, [rows]: any integers.
        parts: K at most; with fewer groups each is a part.

    Returns:
        Indices of each part's rows in rising order; every row is in one of them, and none is empty.
    """
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


def parts_of_batch(
    batch: Sequence[torch.Tensor], chunks: int, labels: torch.Tensor | None
) -> list[tuple[torch.Tensor, ...]]:
    """Splits the rows of a batch.

    Args:
        batch: Tensors with one row an example.
        chunks: K; a batch of fewer than 2K rows is not split.
        labels: Which draw each row is of, [rows]; None: each is one of its own.

    Raises:
        ValueError: If the tensors differ in rows.
    """
    lengths = [len(tensor) for tensor in batch]
    if len(set(lengths)) > 1:
        raise ValueError(f"batch: its tensors have {lengths} rows; what has no row an example is no part of it")
    if labels is not None:
        return [tuple(tensor[rows.to(tensor.device)] for tensor in batch) for rows in parts_of_rows(labels, chunks)]
    split = chunks if chunks >= 2 and len(batch[0]) >= 2 * chunks else 1
    return list(zip(*(tensor.tensor_split(split) for tensor in batch), strict=True))


def check_batch(
    loss_fn: object,
    batch: Sequence[torch.Tensor],
    chunks: object,
    groups: Sequence[int] | torch.Tensor | None,
    per_example: bool,
) -> None:
    """Raises TypeError or ValueError, naming the argument, if a batch cannot be split so."""
    if not callable(loss_fn):
        what = type(loss_fn).__name__
        raise TypeError(f"loss_fn: is a {what}, must be a function of the batch's tensors: backward(loss_fn, (x, y))")
    if isinstance(batch, torch.Tensor):
        raise TypeError("batch: is a tensor; give the arguments of loss_fn in a tuple, such as (x, y)")
    check_count("chunks", chunks)
    if groups is not None and per_example:
        raise ValueError("per_example takes every row as a draw of its own: leave it out where groups are given")
    if not per_example and len(batch[0]) > 0:
        parts_of_batch(batch, 1, None if groups is None else labels_of_rows(groups, len(batch[0])))
