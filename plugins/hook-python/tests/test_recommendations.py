"""`on_recommendation` in trainings that follow it, against a collector that recommends."""

import logging
import threading
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader, TensorDataset

import noisescale
from collector_double import RecordingCollector
from lightning_training import Network
from noisescale.wire import BriefSnapshot
from test_batch_size_control import answered
from training import FLOAT32, batches, brute_force, cross_entropy, network
from transformers_training import train as train_transformer

# Weights as good as fixed, so that each part's gradient can be computed afterwards.
RATE = 1e-9


def recommending(collector: RecordingCollector, batch_size: float, factor: float | None = 1.5) -> None:
    def answer(measurement: Any) -> BriefSnapshot:  # noqa: ANN401
        own = {name: measurement[name] for name in ("step", "attempt")}
        return answered(batch_size=measurement["units"], recommended=batch_size, factor=factor, **own)

    collector.answer = answer


def measurements(collector: RecordingCollector) -> list[Any]:
    sent = [body["measurements"] for _, path, body in collector.requests if path.endswith("/measurements")]
    return [measurement for some in sent for measurement in some]


def options(collector: RecordingCollector, folder: Path) -> dict[str, Any]:
    return {
        "sink": collector.url,
        "every": 1,
        "spool_directory": folder,
        "user_runs": False,
        "batch_size_limits": noisescale.BatchSizeLimits(agreeing_measurements=0),
    }


def test_a_loop_is_told_in_its_own_thread_and_measured_with_its_new_parts(tmp_path: Path) -> None:
    parts, changes, threads = 2, [], []

    def follow(change: noisescale.BatchSizeChange) -> None:
        nonlocal parts
        parts = change.accumulation
        changes.append(change)
        threads.append(threading.current_thread())

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    expected = []
    with RecordingCollector() as collector:
        recommending(collector, 32)
        watcher = noisescale.watch(
            model, optimizer, micro_batch=8, on_recommendation=follow, **options(collector, tmp_path)
        )
        for seed in range(6):
            step = batches([8] * parts, seed)
            small, big = brute_force(model, step, [1 / parts] * parts)
            expected.append((parts, parts * sum(small.values()), sum(big.values())))
            optimizer.zero_grad()
            for part in step:
                (cross_entropy(model, part) / parts).backward()
            optimizer.step()
            # The answer has come by the next step's end.
            assert watcher.flush()
        watcher.close()
        seen = measurements(collector)
    assert [(change.batch_size, change.accumulation) for change in changes] == [(32, 4)]
    assert changes[0].learning_rate_factor == pytest.approx(1.5)
    assert threads == [threading.main_thread()]
    assert [count for count, _, _ in expected] == [2, 2, 4, 4, 4, 4]
    # Only the first step with the new number of parts is left out.
    assert watcher.counts == {"parts-changed": 1, "run-ended": 1}
    assert [measurement["step"] for measurement in seen] == [0, 1, 3, 4, 5]
    for measurement in seen:
        count, small_square, big_square = expected[measurement["step"]]
        assert measurement["units"] == 8 * count
        assert measurement["small"]["squared_norm"] == pytest.approx(small_square, rel=FLOAT32)
        assert measurement["big"]["squared_norm"] == pytest.approx(big_square, rel=FLOAT32)


def test_what_on_recommendation_raises_is_one_warning_and_never_reaches_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: noisescale.BatchSizeChange) -> None:
        raise RuntimeError("no such number of parts")

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    often = noisescale.BatchSizeLimits(measurements_between=0, agreeing_measurements=0)
    with RecordingCollector() as collector, caplog.at_level(logging.WARNING, "noisescale"):
        recommending(collector, 32)
        watcher = noisescale.watch(
            model,
            optimizer,
            micro_batch=8,
            on_recommendation=fail,
            **{**options(collector, tmp_path), "batch_size_limits": often},
        )
        for seed in range(6):
            for part in batches([8] * 2, seed):
                (cross_entropy(model, part) / 2).backward()
            optimizer.step()
            optimizer.zero_grad()
            watcher.flush()
        watcher.close()
    assert watcher.measurements == 6
    assert watcher.counts["recommendation-failed"] > 1
    assert [record.message for record in caplog.records if "on_recommendation" in record.message] == [
        "noisescale: on_recommendation failed, and the training goes on (RuntimeError('no such number of parts'))"
    ]


def test_a_sink_that_recommends_nothing_and_a_fixed_number_of_parts_are_refused(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for sink in (tmp_path / "run.ndjson", print):
        with pytest.raises(ValueError, match="on_recommendation: needs a collector as sink"):
            noisescale.watch(model, optimizer, sink=sink, on_recommendation=print)
    with pytest.raises(ValueError, match="parts=4: leave it out with on_recommendation"):
        noisescale.watch(model, optimizer, parts=4, on_recommendation=print)


class Flushing(pl.Callback):
    """Waits for the collector's answer to each step."""

    def __init__(self, own: noisescale.lightning.Callback) -> None:
        self.own = own

    def on_train_batch_end(self, *args: object) -> None:
        assert self.own.watcher is not None
        self.own.watcher.flush()


def lightning_trainer(callback: noisescale.lightning.Callback, *, max_epochs: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=max_epochs,
        accumulate_grad_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback, Flushing(callback)],
    )


def test_lightning_follows_where_both_numbers_divide_the_batches_so_far(tmp_path: Path) -> None:
    class Scheduled(Network):
        def configure_optimizers(self) -> Any:  # noqa: ANN401
            optimizer = torch.optim.SGD(self.parameters(), lr=RATE)
            return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)]

    parts = batches([8] * 26)
    data = TensorDataset(torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    changes: list[noisescale.BatchSizeChange] = []
    with RecordingCollector() as collector:
        recommending(collector, 24)
        callback = noisescale.lightning.Callback(
            follow_recommendation=True, on_recommendation=changes.append, **options(collector, tmp_path)
        )
        trainer = lightning_trainer(callback, max_epochs=2)
        trainer.fit(Scheduled(), DataLoader(data, batch_size=8))
        seen = measurements(collector)
    assert [change.accumulation for change in changes] == [3]
    assert trainer.accumulate_grad_batches == 3
    # Told after two steps, four batches; the sixth is the first that both divide. An epoch then ends two batches short.
    assert [measurement["units"] for measurement in seen[:5]] == [16, 16, 16, 24, 24]
    assert callback.watcher is not None
    assert callback.watcher.counts == {"parts-changed": 3, "run-ended": 1}
    firsts = {0: 0, 1: 2, 2: 4, 4: 9, 5: 12}
    for measurement in seen[:5]:
        count = int(measurement["units"]) // 8
        first = firsts[measurement["step"]]
        small, big = brute_force(network(), parts[first : first + count], [1 / count] * count)
        # Nothing of an earlier step is in the gradient.
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
        assert measurement["small"]["squared_norm"] == pytest.approx(count * sum(small.values()), rel=FLOAT32)
    # The schedule, which ran at the end of each epoch, has the new rate too.
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1.5 * RATE)


def test_lightning_takes_no_more_batches_a_step_than_an_epoch_has_and_scales_the_rate_once(tmp_path: Path) -> None:
    class Training(Network):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=RATE)

    ((x, y),) = batches([8 * 4])
    changes: list[noisescale.BatchSizeChange] = []
    with RecordingCollector() as collector:
        recommending(collector, 800)
        often = noisescale.BatchSizeLimits(agreeing_measurements=0, measurements_between=1)
        callback = noisescale.lightning.Callback(
            follow_recommendation=True,
            on_recommendation=changes.append,
            **{**options(collector, tmp_path), "batch_size_limits": often},
        )
        trainer = lightning_trainer(callback, max_epochs=8)
        trainer.fit(Training(), DataLoader(TensorDataset(x, y), batch_size=8))
    assert [change.accumulation for change in changes] == [4]
    assert trainer.accumulate_grad_batches == 4
    factor = changes[0].learning_rate_factor
    assert factor is not None
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(factor * RATE)


def test_accelerate_follows_with_its_own_two_attributes(tmp_path: Path) -> None:
    ((x, y),) = batches([8 * 22])
    accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
    inner = network()
    model, optimizer, loader = accelerator.prepare(
        inner, torch.optim.SGD(inner.parameters(), lr=RATE), DataLoader(TensorDataset(x, y), batch_size=8)
    )

    def follow(change: noisescale.BatchSizeChange) -> None:
        accelerator.gradient_accumulation_steps = change.accumulation
        accelerator.step = 0  # counts from here

    with RecordingCollector() as collector:
        recommending(collector, 24)
        watcher = noisescale.watch(
            model, optimizer, micro_batch=8, on_recommendation=follow, **options(collector, tmp_path)
        )
        for part in loader:
            with accelerator.accumulate(model):
                accelerator.backward(cross_entropy(model, part))
                optimizer.step()
                optimizer.zero_grad()
            watcher.flush()
        watcher.close()
        seen = measurements(collector)
    AcceleratorState._reset_state(reset_partial_state=True)
    # 22 = 2·2 + 6·3.
    assert [measurement["units"] for measurement in seen] == [16] * 2 + [24] * 5
    assert watcher.counts == {"parts-changed": 1, "run-ended": 1}
    own = list(zip(x.split(8), y.split(8), strict=True))[-3:]
    _, big = brute_force(network(), own, [1 / 3] * 3)
    assert seen[-1]["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)


def test_the_transformers_trainer_tells_the_values_alone(tmp_path: Path) -> None:
    changes: list[noisescale.BatchSizeChange] = []
    with RecordingCollector() as collector:
        recommending(collector, 24)
        _, watcher = train_transformer(
            tmp_path,
            8 * 150,
            parts=2,
            micro_batch=4,
            options={**options(collector, tmp_path), "on_recommendation": changes.append},
        )
    # A doubling at most.
    assert {change.accumulation for change in changes} == {4}
    assert {measurement["units"] for measurement in measurements(collector)} == {8}
    assert watcher.counts == {"run-ended": 1}


def test_the_rate_of_a_schedule_is_scaled_where_it_starts_from() -> None:
    optimizer = torch.optim.SGD(network().parameters(), lr=0.8)
    halving = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    optimizer.step()
    halving.step()
    noisescale.scale_learning_rate(optimizer, 1.5, [halving])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.6)
    halving.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3)
