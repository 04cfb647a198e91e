"""Which layer a parameter belongs to."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from noisescale.layer_names import layers_of

# Modules that only wrap another.
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module"}


def grouped_by_layer(
    model: nn.Module, optimizer: torch.optim.Optimizer, layers: bool
) -> tuple[list[str], list[tuple[nn.Parameter, int]]]:
    """The parameters that the optimizer moves, each once, with the number of its layer.

    A layer is the module that holds the parameter; where that gives too many, a level of modules that does not.
    """
    moved = moved_by(optimizer)
    inner = model.module if isinstance(model, (DistributedDataParallel, nn.DataParallel)) else model
    watched = [
        (".".join(part for part in name.split(".") if part not in _WRAPPERS), parameter)
        for name, parameter in inner.named_parameters()
        if id(parameter) in moved
    ]
    if not watched:
        raise ValueError("optimizer: moves no parameter of this model that requires a gradient")
    named = layers_of([name for name, _ in watched]) if layers else [""] * len(watched)
    numbers: dict[str, int] = {}
    grouped = [
        (parameter, numbers.setdefault(layer, len(numbers)))
        for layer, (_, parameter) in zip(named, watched, strict=True)
    ]
    return list(numbers), grouped


def moved_by(optimizer: torch.optim.Optimizer) -> set[int]:
    """Ids of the parameters that an optimizer moves: those of its groups that require a gradient."""
    held = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return {id(parameter) for parameter in held if parameter.requires_grad}
