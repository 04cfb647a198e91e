"""B_noise and Adam's metric on two processes; run by distributed_cases.py."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import noisescale
from distributed_models import RANKS, Wrap, sharded
from noisescale.wire import Measurement
from test_quadratic_forms import Noisy, flat, form, hessian, signed_forms, small_network
from training import FLOAT32, batches, cross_entropy, micro_gradients, network, squares_of


def thin_network() -> nn.Module:
    """Its first layer has a single row, which only one of two processes holds."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 1), nn.Tanh(), nn.Linear(1, 5))


def in_adams_metric(wrap: Wrap, pieces: int = 1, make: Callable[[], nn.Module] = network) -> None:
    """Each process knows the metric of its piece of the parameters; two steps, between which they exchange draws."""
    rank = distributed.get_rank()
    model = wrap(make())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0, betas=(0.9, 0.95), eps=1e-4)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append, preconditioned=True)
    draws = [batches([8] * 2, seed=one) for one in range(RANKS)]
    for step in range(3):
        for number, part in enumerate(draws[(rank + step) % RANKS]):
            with model.no_sync() if number == 0 and isinstance(model, DistributedDataParallel) else nullcontext():
                (cross_entropy(model, part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    if rank > 0:
        return
    # The whole gradient is the same in each step, and so is its second moment.
    micro = [h for own in draws for h in micro_gradients(make(), own, [1 / 4] * 2)]
    mean = {name: torch.stack([one[name] for one in micro]).sum(0) for name in micro[0]}
    rooted = [{name: h * (mean[name].abs() + 1e-4) ** -0.5 for name, h in one.items()} for one in micro]
    small, big = squares_of(rooted)
    assert "preconditioned" not in seen[0]
    for step, measurement in enumerate(seen[1:], 1):
        of_pieces = 0.0
        for one in range(RANKS):
            of_draws = (one + step) % RANKS
            for h in rooted[2 * of_draws : 2 * of_draws + 2]:
                own = [gradient.chunk(pieces)[one % pieces :][:1] for gradient in h.values()]
                of_pieces += 4 * pieces * sum(float(piece.square().sum()) for found in own for piece in found)
        assert measurement["preconditioned"]["small"]["value"] == pytest.approx(of_pieces, rel=FLOAT32)
        assert measurement["preconditioned"]["big"]["value"] == pytest.approx(sum(big.values()), rel=FLOAT32)
        assert measurement["preconditioned"]["small"]["batch_size"] == pytest.approx(8)
        assert measurement["preconditioned"]["big"]["batch_size"] == pytest.approx(32)
    # Every draw has been in every process, and the mean is that of the whole forms.
    values = [measurement["preconditioned"]["small"]["value"] for measurement in seen[1:]]
    assert sum(values) / 2 == pytest.approx(4 * sum(small.values()), rel=FLOAT32)


def hessian_of_each_process(once: bool, sync_all: bool = False, **options: object) -> None:
    """Each process multiplies its parts but the last with that one's Hessian; their forms are averaged."""
    rank = distributed.get_rank()
    inner = small_network().double()
    model = DistributedDataParallel(inner, **options)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, every=1, hessian_every=1, sink=seen.append)
    ((x, y),) = batches([24], seed=rank)
    x = x.double()
    parts = list(zip(x.split(8), y.split(8), strict=True))

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(model, (x, y))

    for _ in range(20):
        if once:
            watcher.backward(loss, (x, y), chunks=3)
        for number, part in enumerate([] if once else parts):
            if number == 2:
                watcher.hessian(loss, part)
            watcher.part(8)
            with nullcontext() if sync_all or number == 2 else model.no_sync():
                (loss(*part) / 3).backward()
        optimizer.step()
        optimizer.zero_grad()
    watcher.close()
    matrix = hessian(inner, parts[2])
    micro = [flat(h) for h in micro_gradients(inner, parts[:2], [1 / 3] * 2)]
    own = (signed_forms(matrix, micro), form(matrix, torch.stack(micro).sum(0)))
    everyone: list[tuple[list[float], float]] = [own] * RANKS
    distributed.all_gather_object(everyone, own)
    if rank > 0:
        return
    assert watcher.counts == {"run-ended": 1}
    assert len(seen) == 20
    (signed, big), (other_signed, other_big) = everyone
    # Weights of 1/3: of both processes q = 2·2/9 and W² = 2·4/9. Signs of one say nothing of the other's.
    expected = {one + other for one in signed for other in other_signed}
    values = {round(measurement["hessian"]["small"]["value"], 9) for measurement in seen}
    assert sorted(values) == pytest.approx(sorted(value / (4 / 9) for value in expected), rel=1e-6)
    for measurement in seen:
        assert measurement["hessian"]["big"]["value"] == pytest.approx((big + other_big) / (8 / 9), rel=1e-9)
        assert measurement["hessian"]["small"]["batch_size"] == pytest.approx(8)
        assert measurement["hessian"]["big"]["batch_size"] == pytest.approx(16)
        assert measurement["small"]["count"] == 6


def the_hessian_leaves_the_training_as_it_is() -> None:
    """Dropout, and running means, which DDP hands to the other processes in a forward pass of its own."""
    rank = distributed.get_rank()
    models = [DistributedDataParallel(Noisy(), find_unused_parameters=True) for _ in range(2)]
    for model, every in zip(models, [1, None], strict=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        watcher = noisescale.watch(model, optimizer, every=1, hessian_every=every, sink=lambda _: None)
        torch.manual_seed(rank)
        for step in range(4):
            (batch,) = batches([24], 10 * step + rank)
            watcher.backward(lambda x, y, model=model: cross_entropy(model, (x, y)), batch, chunks=3)
            optimizer.step()
            optimizer.zero_grad()
        watcher.close()
        assert "hessian-failed" not in watcher.counts
        assert (watcher.last is not None and "hessian" in watcher.last) == (rank == 0 and every == 1)
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def the_hessian_of_sharded_parameters() -> None:
    model = sharded(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with pytest.raises(ValueError, match="hessian_every=5: leave it out where parameters are sharded"):
        noisescale.watch(model, optimizer, micro_batch=8, hessian_every=5, sink=lambda _: None)
