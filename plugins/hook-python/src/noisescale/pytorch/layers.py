"""Which layer a parameter belongs to."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

_MOST_LAYERS = 512
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
    depth = max(name.count(".") for name, _ in watched) or 1
    while depth > 1 and len({_layer(name, depth) for name, _ in watched}) > _MOST_LAYERS:
        depth -= 1
    numbers: dict[str, int] = {}
    grouped = [
        (parameter, numbers.setdefault(_layer(name, depth) if layers else "", len(numbers)))
        for name, parameter in watched
    ]
    return list(numbers), grouped


def _layer(parameter: str, depth: int) -> str:
    module = parameter.split(".")[:-1][:depth]
    return (".".join(module) or parameter)[:256]
