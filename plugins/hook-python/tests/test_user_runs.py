"""The runs that a training logs to already: what is written to them, and what the collector is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import noisescale
from collector_double import RecordingCollector
from noisescale.sinks import sink_of
from noisescale.wire import RunDeclarationTracker
from training import batches, cross_entropy, network

SNAPSHOT = {
    "step": 2,
    "b_simple": 7.0,
    "b_simple_low": 5.0,
    "b_simple_high": None,
    "gradient_squared_norm": 0.5,
    "covariance_trace": 3.5,
    "b_noise": None,
    "b_preconditioned": None,
    "predicted": {"critical_batch_size": 11.0},
    "recommendation": {"batch_size": 8},
    "batch_size": 16,
    "efficiency": 0.25,
}
LOGGED = {
    "b_simple": 7.0,
    "b_simple_low": 5.0,
    "gradient_squared_norm": 0.5,
    "covariance_trace": 3.5,
    "critical_batch_size": 11.0,
    "recommended_batch_size": 8.0,
    "batch_size": 16.0,
    "efficiency": 0.25,
}


@pytest.fixture
def collector() -> Iterator[RecordingCollector]:
    with RecordingCollector() as double:
        double.snapshot = SNAPSHOT
        yield double


def train(collector: RecordingCollector, folder: Path, **options: object) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watcher = noisescale.watch(
        model,
        optimizer,
        **{"micro_batch": 8, "every": 1, "sink": collector.url, "spool_directory": folder, **options},  # type: ignore[arg-type]
    )
    for step in range(3):
        for part in batches([8] * 2, step):
            (cross_entropy(model, part) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert watcher.close()


def test_what_the_collector_answers_is_in_the_open_tensorboard_writer(
    collector: RecordingCollector, tmp_path: Path
) -> None:
    with SummaryWriter(str(tmp_path / "board")) as writer:
        writer.add_scalar("loss", 1.0, 0)
        train(collector, tmp_path)
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    values = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    # Float32 in TensorBoard's files; these numbers are exact in it.
    assert values == {"loss": [(0, 1.0)], **{f"noise_scale/{name}": [(2, value)] for name, value in LOGGED.items()}}


def test_a_closed_writer_and_one_of_several_are_left_alone(collector: RecordingCollector, tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "closed")):
        pass
    train(collector, tmp_path)
    with SummaryWriter(str(tmp_path / "one")), SummaryWriter(str(tmp_path / "other")):
        train(collector, tmp_path)
    for name in ("closed", "one", "other"):
        assert EventAccumulator(str(tmp_path / name)).Reload().Tags()["scalars"] == []


def test_the_row_that_a_wandb_run_logs_next_holds_the_values(collector: RecordingCollector, tmp_path: Path) -> None:
    with wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True)) as run:
        run.log({"loss": 1.0})
        train(collector, tmp_path)
        run.log({"loss": 0.5})
        summary = dict(run.summary)
    assert summary["_step"] == 1
    assert {key: summary[key] for key in summary if key.startswith("noise_scale/")} == {
        f"noise_scale/{name}": value for name, value in LOGGED.items()
    }


def test_asked_to_it_leaves_them_alone(collector: RecordingCollector, tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "board")):
        train(collector, tmp_path, user_runs=False)
    assert EventAccumulator(str(tmp_path / "board")).Reload().Tags()["scalars"] == []


@pytest.mark.parametrize(("trackers", "declared"), [(["mlflow"], ["mlflow"]), ([], [])])
def test_a_run_that_was_found_is_declared_where_the_collector_has_its_tracker(
    trackers: list[str], declared: list[str], collector: RecordingCollector, tmp_path: Path
) -> None:
    collector.trackers = trackers
    found: list[RunDeclarationTracker] = [{"name": "mlflow", "run": {"run_id": "f00"}}]
    sink = sink_of(collector.url, "run-1", {"project": "digits"}, tmp_path, found)
    assert sink.close()
    accepted = collector.requests[-1]
    assert accepted[:2] == ("PUT", "/v1/runs/run-1")
    assert [tracker["name"] for tracker in accepted[2].get("trackers", [])] == declared
