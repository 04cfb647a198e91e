"""`torch.compile` around the model, around the optimizer's step and around a whole training step."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import noisescale
from noisescale.wire import Measurement
from test_watch import assert_equal_parts
from training import batches, brute_force, cross_entropy, network

STEPS = [batches([8, 8], seed) for seed in range(6)]


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def compiled(function: Callable[..., object]) -> Callable[..., object]:
    # Traces as every back end does, and takes no compiler.
    made: Callable[..., object] = torch.compile(function, backend="aot_eager")
    return made


def compilations() -> int:
    return int(torch._dynamo.utils.counters["frames"]["total"])


def model_alone(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[..., None]:
    inner = compiled(model)

    def step(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for x, y in parts:
            (nn.functional.cross_entropy(inner(x), y) / len(parts)).backward()  # type: ignore[arg-type]
        optimizer.step()
        optimizer.zero_grad()

    return step


def optimizer_alone(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[..., None]:
    inner = compiled(optimizer.step)

    def step(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for part in parts:
            (cross_entropy(model, part) / len(parts)).backward()
        inner()
        optimizer.zero_grad()

    return step


def whole_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[..., object]:
    def step(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for part in parts:
            (cross_entropy(model, part) / len(parts)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return compiled(step)


@pytest.mark.parametrize("make", [model_alone, optimizer_alone, whole_step])
def test_a_compiled_training_is_measured_and_neither_changed_nor_compiled_more_often(
    make: Callable[..., Callable[..., object]],
) -> None:
    seen: list[Measurement] = []
    expected, trained, counts = [], [], []
    for watched in (False, True):
        torch._dynamo.reset()
        before = compilations()
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        if watched:
            watcher = noisescale.watch(model, optimizer, micro_batch=8, every=2, layers=True, sink=seen.append)
        step = make(model, optimizer)
        for number, parts in enumerate(STEPS):
            if watched and number % 2 == 0:
                expected.append(brute_force(model, parts, [1 / 2] * 2))
            step(parts)
        trained.append([p.detach() for p in model.parameters()])
        counts.append(compilations() - before)
    watcher.close()
    assert_equal_parts(seen, expected, 2)
    assert watcher.counts == {"run-ended": 1}
    assert all(torch.equal(one, other) for one, other in zip(*trained, strict=True))
    assert counts[1] <= counts[0]
