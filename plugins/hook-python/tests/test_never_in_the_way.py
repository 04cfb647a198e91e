"""A training in which something fails, hook or step, goes on as it would without the hook, bit for bit."""

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import noisescale
from collector_double import RecordingCollector
from noisescale.wire import Measurement
from training import FLOAT32, batches, brute_force, cross_entropy, network

SOURCES = Path(__file__).parents[1] / "src"
Between = Callable[[int, nn.Module, torch.optim.Optimizer], object]


def train(
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    watched: bool,
    between: Between = lambda *_: None,
    steps: int = 4,
    **options: object,
) -> tuple[list[torch.Tensor], list[Measurement], dict[str, int]]:
    """The trained parameters, the measurements and the counts; `between` runs before each optimizer step."""
    model = network()
    optimizer = optimizer_of(model)
    seen: list[Measurement] = []
    watcher = noisescale.watch(
        model,
        optimizer,
        **{"micro_batch": 8, "every": 1, "sink": seen.append, "enabled": watched, **options},  # type: ignore[arg-type]
    )
    for step in range(steps):
        optimizer.zero_grad()
        for part in batches([8, 8], step):
            (cross_entropy(model, part) / 2).backward()
        between(step, model, optimizer)
        optimizer.step()
    watcher.close(deadline_seconds=0.1)
    return [p.detach() for p in model.parameters()], seen, watcher.counts


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def adam(**options: object) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, **options)  # type: ignore[arg-type]


def evaluates(_: int, model: nn.Module, __: torch.optim.Optimizer) -> None:
    model.eval()
    with torch.no_grad():
        model(batches([8])[0][0])
    model.train()


def is_copied_and_saved(_: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    twin, twins = copy.deepcopy((model, optimizer))
    cross_entropy(twin, batches([8])[0]).backward()
    twins.step()
    torch.save(model, io.BytesIO())
    pickle.loads(pickle.dumps(model))
    pickle.dumps(optimizer)


def is_loaded(_: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def is_clipped_by_value(_: int, model: nn.Module, __: torch.optim.Optimizer) -> None:
    nn.utils.clip_grad_value_(model.parameters(), 1e-3)


@pytest.mark.parametrize("between", [evaluates, is_copied_and_saved, is_loaded, is_clipped_by_value])
def test_what_a_training_does_between_its_steps_changes_neither_it_nor_what_is_measured(between: Between) -> None:
    alone, _, _ = train(sgd, watched=False, between=between)
    trained, seen, counts = train(sgd, watched=True, between=between)
    assert all(torch.equal(one, other) for one, other in zip(alone, trained, strict=True))
    assert [measurement["step"] for measurement in seen] == [0, 1, 2, 3]
    small, big = brute_force(network(), batches([8, 8], 0), [1 / 2] * 2)
    assert seen[0]["small"]["squared_norm"] == pytest.approx(2 * sum(small.values()), rel=FLOAT32)
    assert seen[0]["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
    assert counts == {"run-ended": 1}


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}, {"amsgrad": True}])
def test_no_kind_of_step_is_changed(options: dict[str, bool]) -> None:
    alone, _, _ = train(adam(**options), watched=False)
    trained, seen, counts = train(adam(**options), watched=True, layers=True, preconditioned=True)
    assert all(torch.equal(one, other) for one, other in zip(alone, trained, strict=True))
    assert (len(seen), counts) == (4, {"run-ended": 1})


def test_backward_passes_within_a_closure_are_measured() -> None:
    model = network()
    optimizer = sgd(model)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append)
    small, big = brute_force(model, batches([8, 8]), [1 / 2] * 2)

    def closure() -> float:
        optimizer.zero_grad()
        losses = [cross_entropy(model, part) / 2 for part in batches([8, 8])]
        for loss in losses:
            loss.backward()
        return sum(loss.item() for loss in losses)

    optimizer.step(closure)
    watcher.close()
    assert seen[0]["small"]["squared_norm"] == pytest.approx(2 * sum(small.values()), rel=FLOAT32)
    assert seen[0]["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)


class FailsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("in_backward", [True, False])
def test_a_step_that_the_training_gives_up_halfway_is_in_no_measurement(in_backward: bool, set_to_none: bool) -> None:
    model = network()
    assert isinstance(model, nn.Sequential)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    seen: list[Measurement] = []
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=seen.append)
    for number in range(6):
        optimizer.zero_grad(set_to_none=set_to_none)
        first, second = batches([8, 8], number)
        (cross_entropy(model, first) / 2).backward()
        if number == 2:
            if in_backward:
                x = FailsInBackward.apply(torch.tanh(model[0](second[0])))  # type: ignore[no-untyped-call]
                loss = nn.functional.cross_entropy(model[2](x), second[1])
                with pytest.raises(ZeroDivisionError):
                    loss.backward()
            continue
        (cross_entropy(model, second) / 2).backward()
        optimizer.step()
    watcher.close()
    # The third one was given up, so that the fourth is the third to end.
    number_of = {0: 0, 1: 1, 2: 3, 3: 4, 4: 5}
    assert len(seen) >= 4
    for measurement in seen:
        small, big = brute_force(model, batches([8, 8], number_of[measurement["step"]]), [1 / 2] * 2)
        assert measurement["small"]["squared_norm"] == pytest.approx(2 * sum(small.values()), rel=FLOAT32)
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
    assert set(watcher.counts) <= {"not-finite", "parts-changed", "run-ended"}


def test_a_failure_of_the_hook_itself_is_said_once_and_after_three_it_stops(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone, _, _ = train(sgd, watched=False, steps=6)

    def broken(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("noisescale.pytorch.squares.ChunkSquares.put", broken)
    trained, seen, counts = train(sgd, watched=True, steps=6)
    assert all(torch.equal(one, other) for one, other in zip(alone, trained, strict=True))
    assert seen == []
    assert counts["hook-failed"] >= 3
    (said,) = caplog.records
    assert said.getMessage().startswith("noisescale: the hook failed")


def test_ctrl_c_in_a_hook_is_the_trainings_own(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = iter([KeyboardInterrupt])

    def record(measurement: Measurement) -> None:
        for error in interrupted:
            raise error

    model = network()
    optimizer = sgd(model)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=record)
    for part in batches([8, 8]):
        (cross_entropy(model, part) / 2).backward()
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    for _ in range(2):
        for part in batches([8, 8]):
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()
    watcher.close()
    assert watcher.measurements >= 2


def test_a_training_in_another_thread_than_watch_is_measured() -> None:
    results: list[object] = []
    model = network()
    optimizer = sgd(model)
    watcher = noisescale.watch(model, optimizer, micro_batch=8, every=1, sink=results.append)

    def loop() -> None:
        for part in batches([8, 8]):
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()
    watcher.close()
    assert len(results) == 1


SHORT = """
import torch, noisescale
model = torch.nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
noisescale.watch(model, optimizer, micro_batch=4, run="r", every=1, user_runs=False)
for _ in range(3):
    for _ in range(2):
        (model(torch.randn(4, 5)).square().mean() / 2).backward()
    optimizer.step()
    optimizer.zero_grad()
"""


def test_a_training_that_ends_at_once_without_close_sends_what_it_measured(tmp_path: Path) -> None:
    with RecordingCollector() as collector:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "NOISESCALE_URL": collector.url}
        done = subprocess.run(
            [sys.executable, "-c", SHORT], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert collector.steps() == [0, 1, 2]
