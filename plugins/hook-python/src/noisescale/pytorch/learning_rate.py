"""Scales a learning rate along with the batch size."""

from collections.abc import Iterable

import torch


def scale_learning_rate(optimizer: torch.optim.Optimizer, factor: float, schedulers: Iterable[object] = ()) -> None:
    """Multiplies the rate of each group, and what schedulers compute the rates to come from.

    A scheduler's floor (`eta_min`), and rates that are written down in it (OneCycleLR), stay as they are.

    Args:
        optimizer: Its groups' `lr` and `initial_lr` are multiplied.
        factor: As `BatchSizeChange.learning_rate_factor`.
        schedulers: Of this optimizer, from torch.optim.lr_scheduler; those within them too.
    """
    for group in optimizer.param_groups:
        for name in ("lr", "initial_lr"):
            if isinstance(group.get(name), torch.Tensor):
                group[name].mul_(factor)
            elif name in group:
                group[name] *= factor
    for scheduler in schedulers:
        _scale_bases(scheduler, factor)


def _scale_bases(scheduler: object, factor: float) -> None:
    bases = getattr(scheduler, "base_lrs", None)
    if bases is not None:
        vars(scheduler)["base_lrs"] = [base * factor for base in bases]
    for inner in getattr(scheduler, "_schedulers", ()):
        _scale_bases(inner, factor)
