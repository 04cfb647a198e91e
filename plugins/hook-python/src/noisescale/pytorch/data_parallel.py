"""What `DistributedDataParallel` does around a forward or backward pass, left out where it is not wanted."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def reduced_later(model: nn.Module) -> Iterator[None]:
    """The forward and backward pass of a part that others follow: the last one reduces the gradients of all.

    A static graph is reduced each time, since its first backward pass has to be.
    """
    with ExitStack() as stack:
        for module in _wrapped(model):
            if not module.static_graph:
                stack.enter_context(module.no_sync())
        yield


@contextmanager
def not_reduced(model: nn.Module) -> Iterator[None]:
    """Calls of a wrapped module go straight to the module within.

    The wrapper's own forward pass gets ready for a backward pass that is reduced, and hands buffers to other processes.
    """
    wrapped = [(vars(module), vars(module).get("forward")) for module in _wrapped(model)]
    try:
        for module in _wrapped(model):
            # Past its own __setattr__, which would register a module.
            vars(module)["forward"] = module.module
        yield
    finally:
        for own, before in wrapped:
            own.pop("forward", None)
            if before is not None:
                own["forward"] = before


def _wrapped(model: nn.Module) -> list[DistributedDataParallel]:
    return [module for module in model.modules() if isinstance(module, DistributedDataParallel)]
