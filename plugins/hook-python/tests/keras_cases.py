"""What the callback measures in a Keras training; run by test_keras.py, once on each back end."""

import functools
import logging
import threading
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import noisescale
from collector_double import RecordingCollector
from keras_training import FLOAT32, batches, cross_entropy, data, fit, gradients, network, squares, train
from noisescale.naming import default_project
from noisescale.wire import Measurement
from test_batch_size_control import answered

BACK_END = keras.backend.backend()


def assert_squares(measurement: Measurement, small: dict[str, float], big: dict[str, float]) -> None:
    """Total and by layer."""
    assert measurement["small"]["squared_norm"] == pytest.approx(sum(small.values()), rel=FLOAT32)
    assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=FLOAT32)
    layers = {name: (small[name], big[name]) for name in small}
    assert measurement["layers"].keys() == layers.keys()
    for name, pair in layers.items():
        assert measurement["layers"][name] == pytest.approx(pair, rel=FLOAT32)


def test_accumulated_batches_are_the_parts_before_clipping_and_over_the_end_of_an_epoch() -> None:
    model = network()
    # Of weights as of draws: an example's weight belongs to its gradient.
    rows = [*data(44), np.linspace(0.5, 2, 44).astype("float32")]
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=4, global_clipnorm=1e-3)
    seen, callback = fit(model, optimizer, rows, epochs=2)
    assert callback.counts == {"run-ended": 1}
    assert [measurement["step"] for measurement in seen] == [0, 1, 2]
    # Six batches an epoch, the last of which has four rows.
    parts = [*batches(rows, 8), *batches(rows, 8)]
    each = gradients(model, parts[:6])
    for step, measurement in enumerate(seen):
        numbers = range(4 * step, 4 * step + 4)
        assert_squares(measurement, *squares([each[k % 6] for k in numbers]))
        sizes = [len(parts[k][0]) for k in numbers]
        assert measurement["units"] == sum(sizes)
        # Equal weights: b = q/c and B = 1/c with q = 1/4 and c = Σ 1/(16 n_k).
        c = sum(1 / (16 * n) for n in sizes)
        assert measurement["small"] == {**measurement["small"], "batch_size": pytest.approx(1 / (4 * c)), "count": 4}
        assert measurement["big"]["batch_size"] == pytest.approx(1 / c)
        assert measurement["learning_rate"] == 0.0
    losses = [model.evaluate(*parts[k][:2], sample_weight=parts[k][2], verbose=0) for k in range(4)]
    assert seen[0]["loss"] == pytest.approx(np.mean(losses), rel=FLOAT32)


def test_a_batch_that_is_not_accumulated_is_split_without_a_trace_in_the_training() -> None:
    model, rows = network(), data(72)
    seen, callback = fit(model, keras.optimizers.SGD(0.0), rows, size=25, chunks=4)
    assert callback.counts == {"run-ended": 1}
    assert [measurement["units"] for measurement in seen] == [25, 25, 22]
    for measurement, (x, y) in zip(seen, batches(rows, 25), strict=True):
        size = len(x) // 4
        parts = batches([x[: 4 * size], y[: 4 * size]], size)
        assert_squares(measurement, *squares(gradients(model, parts)))
        assert measurement["small"]["batch_size"] == pytest.approx(size)
        assert measurement["big"]["batch_size"] == pytest.approx(4 * size)
        assert measurement["loss"] == pytest.approx(model.evaluate(x, y, verbose=0), rel=FLOAT32)


def test_adam_s_metric_is_that_of_the_moments_from_before_the_step() -> None:
    model, rows = network(), data(48)
    optimizer = keras.optimizers.Adam(0.0, gradient_accumulation_steps=2)
    seen, _ = fit(model, optimizer, rows, preconditioned=True)
    each = gradients(model, batches(rows, 8))
    moment = {name: np.zeros_like(value) for name, value in each[0].items()}
    assert "preconditioned" not in seen[0]
    for step, measurement in enumerate(seen):
        parts = each[2 * step : 2 * step + 2]
        mean = {name: (parts[0][name] + parts[1][name]) / 2 for name in moment}
        if step > 0:
            correction = np.sqrt(1 - 0.999**step)
            metric = {name: correction / (np.sqrt(value) + 1e-7) for name, value in moment.items()}
            small = np.mean([sum((part[name] ** 2 * metric[name]).sum() for name in metric) for part in parts])
            big = sum((mean[name] ** 2 * metric[name]).sum() for name in metric)
            # Gradients near 0 are divided by moments that are as small, and rounded likewise.
            assert measurement["preconditioned"]["small"]["value"] == pytest.approx(small, rel=10 * FLOAT32)
            assert measurement["preconditioned"]["big"]["value"] == pytest.approx(big, rel=10 * FLOAT32)
        moment = {name: 0.999 * value + 0.001 * mean[name] ** 2 for name, value in moment.items()}


@pytest.mark.parametrize("accumulated", [None, 2])
def test_weights_after_training_are_those_of_a_training_that_is_not_watched(accumulated: int | None) -> None:
    def trained(watched: bool) -> keras.Model:
        model = network(keras.layers.Dropout(0.2, seed=3), keras.layers.BatchNormalization())
        optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(1e-2, 5, 0.9),
            clipnorm=0.5,
            use_ema=True,
            ema_overwrite_frequency=3,
            gradient_accumulation_steps=accumulated,
        )
        if watched:
            chunks = 2 if accumulated is None else None
            seen, callback = fit(model, optimizer, data(72), epochs=2, every=2, chunks=chunks, preconditioned=True)
            assert len(seen) == (9 if accumulated is None else 5)
            assert callback.counts == {"batch-norm": 1, "run-ended": 1}
        else:
            model.compile(optimizer, loss=cross_entropy())
            train(model, data(72), epochs=2)
        return model

    for one, other in zip(trained(True).weights, trained(False).weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6, atol=1e-9)


def test_a_batch_that_a_loss_scale_skips_is_no_part_of_a_step() -> None:
    model, (x, y) = network(dtype="mixed_float16"), data(64)
    x[8:16] = np.inf
    inner = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    seen, callback = fit(model, keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**10), [x, y])
    assert [measurement["step"] for measurement in seen] == [0, 1, 2]
    assert callback.counts == {"run-ended": 1}
    each = gradients(model, [batch for i, batch in enumerate(batches([x, y], 8)) if i != 1])
    for step, measurement in enumerate(seen):
        small, big = squares(each[2 * step : 2 * step + 2])
        # Rounded to float16 with one scale in the one training, and with another in the other.
        assert measurement["small"]["squared_norm"] == pytest.approx(sum(small.values()), rel=1e-3)
        assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=1e-3)


def test_a_second_fit_goes_on_with_the_run_and_a_broken_one_ends_it_as_failed(tmp_path: Path) -> None:
    class Breaks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 3:
                raise RuntimeError("out of data")

    model, rows = network(), data(24)
    with RecordingCollector() as collector:
        options: dict[str, Any] = {"sink": collector.url, "spool_directory": tmp_path}
        # Three batches an epoch, two a step: a step goes on in the next fit.
        _, callback = fit(model, keras.optimizers.SGD(0.0, gradient_accumulation_steps=2), rows, **options)
        train(model, rows, [callback], epochs=2, first_epoch=1)
        with pytest.raises(RuntimeError, match="out of data"):
            train(model, rows, [Breaks(), callback], epochs=4, first_epoch=3)
        train(model, rows, [callback], epochs=5, first_epoch=4)
        assert collector.steps() == [0, 1, 2, 3]
        runs = {path.split("/")[3] for _, path, _ in collector.requests}
        kinds = [event["kind"] for _, path, body in collector.requests if "events" in path for event in body["events"]]
    assert len(runs) == 1
    assert runs.pop().startswith(default_project())
    assert kinds == ["finished", "finished", "failed", "finished"]


def test_a_saved_model_holds_nothing_of_the_hook(tmp_path: Path) -> None:
    model, rows = network(), data(32)
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "while.keras")
    fit(model, keras.optimizers.Adam(name="adam", gradient_accumulation_steps=2), rows, callbacks=[saves])
    plain = network()
    plain.compile(keras.optimizers.Adam(name="adam", gradient_accumulation_steps=2), loss=cross_entropy())
    train(plain, rows)
    model.save(tmp_path / "after.keras")
    plain.save(tmp_path / "plain.keras")

    def config(name: str) -> bytes:
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as file:
            return file.read("config.json")

    for name in ("while", "after"):
        assert config(name) == config("plain")
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert len(loaded.optimizer.variables) == len(plain.optimizer.variables)
        for one, other in zip(loaded.optimizer.variables, plain.optimizer.variables, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6, atol=1e-9)
    # And into a model that is watched.
    model.load_weights(tmp_path / "plain.keras")


def test_one_batch_a_step_is_unavailable_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "noisescale"):
        seen, callback = fit(network(), keras.optimizers.SGD(0.1), data(24), epochs=2)
    assert seen == []
    assert callback.counts == {"one-part": 1, "run-ended": 1}
    assert [record.message for record in caplog.records if "gradient_accumulation_steps=K" in record.message]
    assert len(caplog.records) == 1


def test_a_wrapped_optimizer_without_the_callback_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    model.compile(noisescale.keras.wrap(keras.optimizers.SGD(0.1)), loss=cross_entropy())
    with caplog.at_level(logging.WARNING, "noisescale"):
        train(model, data(24))
    assert [record.message for record in caplog.records if "noisescale.keras.Callback()" in record.message]
    assert len(caplog.records) == 1


def test_the_callback_wraps_by_itself_what_was_compiled_and_trained_before() -> None:
    model, rows = network(), data(32)
    model.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2), loss=cross_entropy())
    train(model, rows)
    seen: list[Measurement] = []
    train(model, rows, [noisescale.keras.Callback(sink=seen.append, every=1, user_runs=False)])
    assert [measurement["step"] for measurement in seen] == [2, 3]


def test_of_two_callbacks_in_one_fit_the_second_says_once_that_it_measures_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, first, second = network(), list[Measurement](), list[Measurement]()
    model.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2), loss=cross_entropy())
    options: dict[str, Any] = {"every": 1, "user_runs": False}
    both = [
        noisescale.keras.Callback(sink=first.append, **options),
        noisescale.keras.Callback(sink=second.append, layers=True, **options),
    ]
    with caplog.at_level(logging.WARNING, "noisescale"):
        train(model, data(32), both)
    assert [measurement["step"] for measurement in first] == [0, 1]
    assert second == []
    assert ["another noisescale.keras.Callback" in record.message for record in caplog.records] == [True]


def test_several_optimizers_are_unavailable() -> None:
    first, second = keras.optimizers.SGD(0.1), keras.optimizers.Adam()
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: first if "first" in variable.path else second)
    seen, callback = fit(network(), optimizer, data(16))
    assert (seen, callback.counts) == ([], {"several-optimizers": 1, "run-ended": 1})


def test_switched_off_it_leaves_everything_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISESCALE_DISABLED", "1")
    model = network()
    seen, callback = fit(model, keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), data(16))
    assert (seen, callback.last, callback.counts) == ([], None, {})
    assert "train_step" not in vars(model)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(TypeError, match="'adam'"):
        noisescale.keras.wrap("adam")
    with pytest.raises(ValueError, match="chunks=1"):
        noisescale.keras.Callback(chunks=1)
    with pytest.raises(ValueError, match="every=0"):
        noisescale.keras.Callback(every=0)
    with pytest.raises(ValueError, match="preconditioned=True"):
        fit(network(), keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), data(16), preconditioned=True)
    with pytest.raises(ValueError, match="follow_recommendation=True: give the optimizer"):
        fit(network(), keras.optimizers.SGD(0.1), data(16), chunks=2, follow_recommendation=True)
    optimizer = keras.optimizers.SGD(lambda: 0.1, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="a learning rate that is a function"):
        fit(network(), optimizer, data(16), follow_recommendation=True)
    optimizer, least = (
        keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
        noisescale.BatchSizeLimits(min_accumulation=1),
    )
    with pytest.raises(ValueError, match="min_accumulation must be 2"):
        fit(network(), optimizer, data(16), follow_recommendation=True, batch_size_limits=least)


def test_a_hook_that_fails_leaves_the_training_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fails(batch: object) -> float:
        raise RuntimeError("no such column")

    with caplog.at_level(logging.WARNING, "noisescale"):
        model = network()
        seen, callback = fit(model, keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), data(64), units_of=fails)
    assert seen == []
    assert callback.counts["hook-failed"] >= 1
    plain = network()
    plain.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), loss=cross_entropy())
    train(plain, data(64))
    for one, other in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("units", "chunks"), [(0.0, None), (-8.0, 2), (float("nan"), None)])
def test_units_that_no_part_can_have_leave_each_step_out(
    units: float, chunks: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=None if chunks else 2)
    with caplog.at_level(logging.WARNING, "noisescale"):
        seen, callback = fit(network(), optimizer, data(32), chunks=chunks, units_of=lambda batch: units)
    assert (seen, callback.counts) == ([], {"part-sizes": 4 if chunks else 2, "run-ended": 1})
    assert len(caplog.records) == 1


def test_more_chunks_than_rows_leave_each_such_batch_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "noisescale"):
        seen, callback = fit(network(), keras.optimizers.SGD(0.0), data(30), chunks=8)
    # Three batches of 8 rows, and one of 6.
    assert [measurement["step"] for measurement in seen] == [0, 1, 2]
    assert callback.counts == {"part-sizes": 1, "run-ended": 1}
    assert ["chunks=8" in record.message for record in caplog.records] == [True]


def test_weighted_examples_of_a_batch_that_is_split_keep_their_weights() -> None:
    model, rows = network(), [*data(32), np.linspace(0.5, 2, 32).astype("float32")]
    seen, callback = fit(model, keras.optimizers.SGD(0.0), rows, size=16, chunks=4)
    assert callback.counts == {"run-ended": 1}
    each = gradients(model, batches(rows, 4))
    for measurement, parts in zip(seen, (each[:4], each[4:]), strict=True):
        assert_squares(measurement, *squares(parts))


@pytest.mark.parametrize("accumulated", [None, 2])
def test_steps_that_are_run_eagerly_are_measured_too(accumulated: int | None) -> None:
    model, rows = network(), data(16)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulated)
    options: dict[str, Any] = {"size": 8, "chunks": None} if accumulated else {"size": 16, "chunks": 2}
    (measurement,), callback = fit(model, optimizer, rows, compiled={"run_eagerly": True}, **options)
    assert callback.counts == {"run-ended": 1}
    assert_squares(measurement, *squares(gradients(model, batches(rows, 8))))


def test_a_loop_of_train_on_batch_is_measured_where_it_calls_the_callback() -> None:
    model, rows, seen = network(), data(48), list[Measurement]()
    model.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2), loss=cross_entropy())
    callback = noisescale.keras.Callback(sink=seen.append, every=1, layers=True, user_runs=False)
    callbacks = keras.callbacks.CallbackList([callback], model=model)
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for number, batch in enumerate(batches(rows, 8)[3 * epoch : 3 * epoch + 3]):
            callbacks.on_train_batch_begin(number)
            callbacks.on_train_batch_end(number, model.train_on_batch(*batch, return_dict=True))
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()
    assert callback.counts == {"run-ended": 1}
    each = gradients(model, batches(rows, 8))
    for step, measurement in enumerate(seen):
        assert_squares(measurement, *squares(each[2 * step : 2 * step + 2]))
    assert len(seen) == 3


def test_a_model_compiled_anew_begins_a_run_and_is_let_go_without_the_callback(tmp_path: Path) -> None:
    model, rows = network(), data(32)

    def compiled(accumulated: int | None) -> None:
        model.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulated), loss=cross_entropy())

    with RecordingCollector() as collector:
        callback = noisescale.keras.Callback(sink=collector.url, every=1, spool_directory=tmp_path, user_runs=False)
        for accumulated in (2, 4):
            compiled(accumulated)
            train(model, rows, [callback])
        assert collector.steps() == [0, 1, 0]
        assert len({path.split("/")[3] for _, path, _ in collector.requests}) == 2
        compiled(None)
        train(model, rows)
        assert collector.steps() == [0, 1, 0]


def test_a_callback_in_two_models_measures_each_in_a_run_of_its_own(tmp_path: Path) -> None:
    rows = data(32)
    with RecordingCollector() as collector:
        callback = noisescale.keras.Callback(sink=collector.url, every=1, spool_directory=tmp_path, user_runs=False)
        for accumulated in (2, 4):
            model = network()
            model.compile(keras.optimizers.SGD(0.0, gradient_accumulation_steps=accumulated), loss=cross_entropy())
            train(model, rows, [callback])
        sent = [(path, body["measurements"]) for _, path, body in collector.requests if path.endswith("/measurements")]
    runs: dict[str, list[int]] = {}
    for path, measurements in sent:
        runs.setdefault(path, []).extend(measurement["small"]["count"] for measurement in measurements)
    assert list(runs.values()) == [[2, 2], [4]]


def test_another_callback_s_units_are_not_those_of_a_step_that_was_compiled_before() -> None:
    model, rows = network(), data(32)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    fit(model, optimizer, rows)
    seen: list[Measurement] = []
    options: dict[str, Any] = {"sink": seen.append, "every": 1, "layers": True, "user_runs": False}
    train(model, rows, [noisescale.keras.Callback(units_of=lambda batch: 3.0, **options)])
    assert [measurement["units"] for measurement in seen] == [6, 6]


def test_units_are_what_they_are_said_to_be() -> None:
    def positive(batch: Any) -> Any:
        return keras.ops.sum(keras.ops.cast(batch[0] > 0, "float32"))

    rows = data(32)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    seen, _ = fit(network(), optimizer, rows, units_of=positive, unit="token")
    assert [measurement["units"] for measurement in seen] == [(rows[0][:16] > 0).sum(), (rows[0][16:] > 0).sum()]


def test_steps_that_are_tried_and_chosen_are_those_of_the_cadence() -> None:
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    seen, callback = fit(network(), optimizer, data(180 * 2), size=2, every=None)
    steps = [measurement["step"] for measurement in seen]
    assert [step for step in steps if step < 80] == [0, *range(9, 80, 3)]
    assert callback.every is not None
    assert [step for step in steps if step >= 80] == [step for step in range(80, 90) if step % callback.every == 0]


def fit_with_answers(
    folder: Path, optimizer: keras.optimizers.Optimizer, rows: Any, factor: float | None = 1.5, **options: Any
) -> tuple[keras.Model, noisescale.keras.Callback, list[Any]]:
    """A training in batches of 8 whose collector recommends 32 rows a step.

    Returns:
        The model, the callback, and the measurements that the collector was sent.
    """

    class Waits(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            callback.flush()

    def answer(measurement: Any) -> Any:
        own = {name: measurement[name] for name in ("step", "attempt")}
        return answered(batch_size=measurement["units"], recommended=32, factor=factor, **own)

    model = network()
    model.compile(optimizer, loss=cross_entropy())
    with RecordingCollector() as collector:
        collector.answer = answer
        callback = noisescale.keras.Callback(
            sink=collector.url,
            every=1,
            layers=True,
            spool_directory=folder,
            user_runs=False,
            batch_size_limits=noisescale.BatchSizeLimits(agreeing_measurements=0),
            **options,
        )
        train(model, rows, [Waits(), callback], epochs=2)
        sent = [body["measurements"] for _, path, body in collector.requests if path.endswith("/measurements")]
    return model, callback, [measurement for some in sent for measurement in some]


def test_a_recommendation_is_told_in_the_thread_that_trains(tmp_path: Path) -> None:
    changes, threads = [], []

    def follow(change: noisescale.BatchSizeChange) -> None:
        changes.append(change)
        threads.append(threading.current_thread())

    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    _, callback, _ = fit_with_answers(tmp_path, optimizer, data(64), on_recommendation=follow)
    assert [(change.batch_size, change.accumulation) for change in changes] == [(32, 4)]
    assert threads == [threading.main_thread()]
    assert callback.snapshot is not None
    assert optimizer.gradient_accumulation_steps == 2


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_followed_recommendation_trains_as_whole_batches_by_hand_do(tmp_path: Path, scheduled: bool) -> None:
    def adam(rate: Any, accumulated: int | None) -> keras.optimizers.Optimizer:
        return keras.optimizers.AdamW(
            rate, name="adam", epsilon=1e-3, global_clipnorm=0.5, gradient_accumulation_steps=accumulated
        )

    # Of the number of batches, as Keras hands it over.
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, 5, 0.9) if scheduled else None
    optimizer, rows = adam(schedule or 1e-2, 2), data(96)
    model, _, seen = fit_with_answers(tmp_path, optimizer, rows, follow_recommendation=True)
    # Twelve batches an epoch, over whose end a step goes on; the change is somewhere within the first.
    before = [measurement["units"] for measurement in seen].count(16)
    assert 1 <= before <= 3
    after = (24 - 2 * before) // 4
    assert [measurement["units"] for measurement in seen] == [16] * before + [32] * after
    assert [measurement["step"] for measurement in seen] == list(range(before + after))

    by_hand = network()
    by_hand.compile(adam(1e-2, None), loss=cross_entropy())
    twice = [np.concatenate([array, array]) for array in rows]
    first = 0
    for parts, factor in [(2, 1.0)] * before + [(4, 1.5)] * after:
        rate = 1e-2 if schedule is None else float(schedule(first + parts - 1))
        by_hand.optimizer.learning_rate = factor * rate
        by_hand.train_on_batch(*(array[8 * first : 8 * (first + parts)] for array in twice))
        first += parts
    for one, other in zip(model.weights, by_hand.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
    assert int(optimizer.iterations) == before + after

    model.save(tmp_path / "followed.keras")
    loaded = keras.models.load_model(tmp_path / "followed.keras").optimizer
    assert loaded.gradient_accumulation_steps == 4
    assert float(loaded.learning_rate) == pytest.approx(float(optimizer.learning_rate))


def test_measurements_after_a_change_are_those_of_the_parts_that_there_are_then(tmp_path: Path) -> None:
    told: list[noisescale.BatchSizeChange] = []
    rows, optimizer = data(96), keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    model, callback, seen = fit_with_answers(
        tmp_path, optimizer, rows, factor=None, follow_recommendation=True, on_recommendation=told.append
    )
    assert callback.counts == {"run-ended": 1}
    assert [change.accumulation for change in told] == [4]
    each, first = gradients(model, batches(rows, 8)), 0
    for measurement in seen:
        parts = round(measurement["units"] / 8)
        assert measurement["small"]["count"] == parts
        assert_squares(measurement, *squares([each[k % 12] for k in range(first, first + parts)]))
        first += parts


if BACK_END == "jax":

    def test_of_several_steps_an_execution_the_last_is_measured() -> None:
        model, rows = network(), data(96)
        optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
        seen, _ = fit(model, optimizer, rows, compiled={"steps_per_execution": 4})
        assert [measurement["step"] for measurement in seen] == [1, 3, 5]
        each = gradients(model, batches(rows, 8))
        for measurement in seen:
            first = 2 * measurement["step"]
            assert_squares(measurement, *squares(each[first : first + 2]))

else:

    def test_steps_that_are_not_measured_have_nothing_of_the_hook_in_them() -> None:
        model, attributes = network(), list[tuple[bool, ...]]()
        optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)

        class Looks(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: object = None) -> None:
                names = ("_backend_apply_gradients", "_clip_gradients")
                of_optimizer = [name in vars(optimizer) for name in names]
                of_model = ["train_step" in vars(model), "update_state" in vars(model._loss_tracker)]
                attributes.append((*of_optimizer, *of_model))

        seen, _ = fit(model, optimizer, data(64), every=2, callbacks=[Looks()])
        assert [measurement["step"] for measurement in seen] == [0, 2]
        assert attributes == 2 * ([(True,) * 4] * 2 + [(False,) * 4] * 2)

    def test_a_compiled_step_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        # Inductor takes most of a minute for it, and reads the same.
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
        model, rows = network(), data(32)
        optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
        seen, _ = fit(model, optimizer, rows, compiled={"jit_compile": True})
        each = gradients(model, batches(rows, 8))
        assert [measurement["step"] for measurement in seen] == [0, 1]
        for measurement in seen:
            first = 2 * measurement["step"]
            assert_squares(measurement, *squares(each[first : first + 2]))
