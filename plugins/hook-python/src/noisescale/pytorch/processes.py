"""How a model is spread over processes, each of which draws examples of its own."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import distributed, nn

from noisescale.exchange import Store

if TYPE_CHECKING:
    from torch.distributed.tensor import Placement


class Processes(NamedTuple):
    """Processes that train one model together, and average their gradients.

    Attributes:
        rank: This process's number among them.
        size: How many they are.
        sharded: Whether a process's `.grad` is a piece of the gradient alone (FSDP2).
        store: What they can pass small values to each other with; it outlives the process group.
    """

    rank: int
    size: int
    sharded: bool
    store: Store

    def holders(self, parameter: torch.Tensor) -> int:
        """How many of the processes hold the same piece of a parameter."""
        from torch.distributed.tensor import DTensor

        if not isinstance(parameter, DTensor):
            return self.size
        mesh = parameter.device_mesh
        apart = 1
        for dimension, placement in enumerate(parameter.placements):
            if placement.is_shard():
                apart *= mesh.size(dimension)
        return self.size // apart


class NotMeasuredError(Exception):
    """Several processes train in a way whose parts cannot be told apart."""


def processes_of(model: nn.Module) -> Processes | None:
    """The processes that train this model; None where this one trains alone.

    Raises:
        NotMeasuredError: Where several processes train, and the model is neither wrapped by `DistributedDataParallel`
            nor by `fully_shard`, or is split in other ways too.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    # Not worth their time where nothing is distributed.
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
    from torch.distributed.tensor import DTensor
    from torch.nn.parallel import DistributedDataParallel

    modules = list(model.modules())
    wrapped = [module for module in modules if isinstance(module, DistributedDataParallel)]
    sharded = any(isinstance(module, FSDPModule) for module in modules)
    size = distributed.get_world_size()
    if size == 1 and not sharded:
        return None
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    whole = not any(isinstance(parameter, DTensor) for parameter in trained)
    measured = (
        all(isinstance(p, DTensor) and p.device_mesh.size() == size and _split_once(p.placements) for p in trained)
        if sharded
        else whole and any(module.process_group.size() == size for module in wrapped)
    )
    if not measured or any(isinstance(module, FullyShardedDataParallel) for module in modules):
        raise NotMeasuredError
    store = distributed.distributed_c10d._get_default_store()
    return Processes(distributed.get_rank(), size, sharded, PrefixStore("noisescale", store))


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The piece of a sharded tensor that this process holds, or the tensor."""
    to_local: Callable[[], torch.Tensor] | None = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def piece_of(gradient: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """What a gradient, whole or sharded as its parameter is, has in the piece that this process holds of that."""
    own = local(gradient)
    if own is not gradient or local(parameter) is parameter:
        return own
    from torch.distributed.tensor import DTensor, Shard

    assert isinstance(parameter, DTensor)
    mesh = parameter.device_mesh
    for dimension, placement in enumerate(parameter.placements):
        if isinstance(placement, Shard):
            chunks = own.chunk(mesh.size(dimension), placement.dim)
            at = mesh.get_local_rank(dimension)
            # Of fewer rows than processes some have none.
            own = chunks[at] if at < len(chunks) else own.narrow(placement.dim, 0, 0)
    return own


def _split_once(placements: Sequence["Placement"]) -> bool:
    """Whether a parameter is split over the processes as `fully_shard` does, and not by tensor parallelism too."""
    *others, last = placements
    return last.is_shard() and all(placement.is_replicate() for placement in others)
