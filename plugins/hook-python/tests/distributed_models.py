"""Models on two processes, and what both of them have."""

from collections.abc import Callable

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

RANKS = 2
Wrap = Callable[[nn.Module], nn.Module]


def sharded(
    model: nn.Module,
    mesh: DeviceMesh | None = None,
    policy: MixedPrecisionPolicy | None = None,
    reshard_after_forward: bool = True,
) -> nn.Module:
    assert isinstance(model, nn.Sequential)
    for module in [*(layer for layer in model if isinstance(layer, nn.Linear)), model]:
        fully_shard(
            module,
            mesh=mesh,
            mp_policy=policy or MixedPrecisionPolicy(),
            reshard_after_forward=reshard_after_forward,
        )
    return model


def sharded_whole(model: nn.Module) -> nn.Module:
    fully_shard(model)
    return model


def sharded_and_replicated(model: nn.Module, shape: tuple[int, int]) -> nn.Module:
    return sharded(model, mesh=init_device_mesh("cpu", shape, mesh_dim_names=("replicas", "shards")))


def gathered(micro: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    """The micro gradients of all processes."""
    everyone: list[list[dict[str, torch.Tensor]]] = [[] for _ in range(RANKS)]
    distributed.all_gather_object(everyone, micro)
    return [one for rank in everyone for one in rank]
