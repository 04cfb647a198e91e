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
    moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    inner = model.module if isinstance(model, (DistributedDataParallel, nn.DataParallel)) else model
    watched = [
        (".".join(part for part in name.split(".") if part not in _WRAPPERS), parameter)
        for name, parameter in inner.named_parameters()
        if parameter.requires_grad and id(parameter) in moved
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
