"""The callback: one run of measurements for each training."""

import logging
import os
from collections.abc import Callable
from typing import Any, Literal

import keras

from noisescale.batch_size_control import BatchSizeChange, BatchSizeLimits
from noisescale.cadence import Cadence
from noisescale.keras.adam_metric import has_metric
from noisescale.keras.learning_rate import is_scalable
from noisescale.keras.rows import rows_of
from noisescale.keras.seen_model import innermost
from noisescale.keras.tap import NotSeenError, Tap, TapOptions, tap_of
from noisescale.layer_names import layers_of
from noisescale.measured_run import MeasuredRun
from noisescale.naming import checked_identifier, default_project, default_run
from noisescale.options import check_count, check_declaration, check_function, check_parts, check_unit
from noisescale.recommendations import recommendations_of
from noisescale.report import Report
from noisescale.run_report import GivenSink, run_report, switched_on
from noisescale.user_runs import OwnLog
from noisescale.wire import BriefSnapshot, Measurement, RunDeclaration

_log = logging.getLogger("noisescale")


class Callback(keras.callbacks.Callback):
    """Measures `model.fit` on the torch and jax back ends, and changes nothing in it.

    The batches that the optimizer accumulates (`gradient_accumulation_steps`) are the parts; where it accumulates none,
    `chunks` of one batch are. Used in a second `fit`, it goes on with the same run.
    """

    def __init__(
        self,
        *,
        run: str | None = None,
        project: str | None = None,
        sink: GivenSink = None,
        every: int | None = None,
        layers: bool = False,
        chunks: int | None = None,
        preconditioned: bool = False,
        unit: Literal["example", "token", "timestep"] = "example",
        units_of: Callable[[Any], Any] = rows_of,
        declaration: RunDeclaration | None = None,
        on_recommendation: Callable[[BatchSizeChange], object] | None = None,
        batch_size_limits: BatchSizeLimits | None = None,
        follow_recommendation: bool = False,
        spool_directory: str | os.PathLike[str] | None = None,
        user_runs: bool = True,
        enabled: bool = True,
    ) -> None:
        """Says what is measured, and where it goes.

        Args:
            run: Name of the run; `NOISESCALE_RUN`, else the project with the time.
            project: `NOISESCALE_PROJECT`, else the script's name.
            sink: The collector's address, a path (NDJSON) or a function; `NOISESCALE_URL`, else this machine's
                collector.
            every: An optimizer step in so many is measured; where it is left out, so many that it costs about 1 %.
            layers: Squares of each layer too.
            chunks: Parts of equal size that a batch is split into on measured steps, in one more pass over it, where
                the optimizer does not accumulate. Rows that are left over are in none.
            preconditioned: The squares in Adam's metric too.
            unit: What batch sizes count.
            units_of: Units of a batch as `train_step` is handed it, a number or a scalar of the back end (which has to
                trace it on jax); its rows where it is left out. With `chunks` rows are counted.
            declaration: The rest of what the collector is told: name, group, trackers, batch limits, tags.
            on_recommendation: Called in the thread that trains, between two batches, when the batch size should change.
            batch_size_limits: How far and how often it may change.
            follow_recommendation: The optimizer's `gradient_accumulation_steps` becomes what is recommended, and its
                learning rate is scaled along, where the collector knows a factor; `on_recommendation` is called before.
            spool_directory: Where records wait while the collector is away; `.noisescale/spool`.
            user_runs: False leaves alone the runs of MLflow, W&B and TensorBoard that the training logs to.
            enabled: False, or `NOISESCALE_DISABLED=1`, measures and sends nothing.

        Raises:
            ValueError: Naming the option that is wrong.
        """
        super().__init__()
        check_count("every", every)
        check_parts("chunks", chunks)
        check_unit(unit)
        check_declaration(declaration)
        check_function("on_recommendation", on_recommendation)
        check_function("units_of", units_of)
        self._project = default_project() if project is None else checked_identifier("project", project)
        self._given_name = None if run is None else checked_identifier("run", run)
        self._name = self._given_name or default_run(self._project)
        self._sink = sink
        self._every = every
        self._by_layer = layers
        self._chunks = chunks
        self._preconditioned = preconditioned
        self._unit: Literal["example", "token", "timestep"] = unit
        self._units_of = units_of
        self._declaration = declaration
        self._on_recommendation = on_recommendation
        self._limits = batch_size_limits
        self._follows = follow_recommendation
        self._pending: BatchSizeChange | None = None
        self._spool_directory = spool_directory
        self._user_runs = user_runs
        self._on = switched_on(enabled)
        self._report: Report | None = None
        self._run: MeasuredRun | None = None
        self._tap: Tap | None = None
        self._cadence: Cadence | None = None
        self._layers: list[str] = []
        self._not_seen: NotSeenError | None = None
        self._run_before: MeasuredRun | None = None

    @property
    def last(self) -> Measurement | None:
        """The last measurement; on an accelerator, and on jax, it comes one measured step after its own."""
        return None if self._report is None else self._report.last

    @property
    def snapshot(self) -> BriefSnapshot | None:
        """The collector's last answer; None with a path or a function as sink."""
        return None if self._report is None else self._report.sink.snapshot

    @property
    def measurements(self) -> int:
        """Measurements of the last training so far."""
        return 0 if self._report is None else self._report.measurements

    @property
    def counts(self) -> dict[str, int]:
        """What was left out or warned of in the last training, by code; see the README."""
        return {} if self._report is None else self._report.counts

    @property
    def every(self) -> int | None:
        """An optimizer step in so many is measured; None before training begins."""
        return None if self._cadence is None else self._cadence.every

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Reads what is still on the device and waits for delivery.

        Returns:
            False if the deadline passed before everything had arrived.
        """
        if self._tap is not None:
            self._tap.read_all()
        return self._report is None or self._report.sink.flush(deadline_seconds)

    def close(self, *, failed: bool = False, deadline_seconds: float = 5.0) -> bool:
        """Reports the run as finished (or failed) and flushes; `fit` does so when it ends by itself. Idempotent.

        Returns:
            True if everything has arrived.
        """
        run, self._run = self._run, None
        if run is None:
            return True
        step = 0
        if self._tap is not None:
            self._tap.end()
            step = max(0, self._tap.step - 1)
        return run.close(step, failed, deadline_seconds)

    def set_model(self, model: keras.Model) -> None:
        """Puts the tap in before `fit` compiles the training step."""
        super().set_model(model)
        self._run_before = _run_of(model)
        if model.optimizer is not None and model.optimizer.built:
            self._prepare(model)

    def on_train_begin(self, logs: object = None) -> None:
        """Begins the run."""
        # A training that failed did not end.
        self.close(failed=True)
        model = self.model
        if model.optimizer is None:
            return
        present = _run_of(model)
        if self._on and present is not None and present is not self._run_before:
            # It began after Keras had told all callbacks of this fit their model.
            self._tap = self._report = None
            _log.warning(
                "noisescale: another noisescale.keras.Callback in this fit measures it already: this one measures "
                "nothing, leave it out"
            )
            return
        if not model.optimizer.built:
            # A loop of the user's own, whose first step would do so; `fit` has.
            model.optimizer.build(model.trainable_variables)
        self._prepare(model)
        if model.train_function is None:
            # Forgotten for what was prepared, after `fit` had made it.
            model.make_train_function()
        if not self._on:
            return
        if self._follows:
            self._check_following(model.optimizer)
        kind = _kind(model.optimizer)
        told = self._change_later if self._follows else self._on_recommendation
        self._pending = None
        self._report = run_report(
            run=self._name,
            project=self._project,
            sink=self._sink,
            unit=self._unit,
            optimizer=kind,
            declaration=self._declaration,
            spool_directory=self._spool_directory,
            user_runs=self._user_runs,
            follows=told is not None,
            sends=_is_first_process(),
            says=_is_first_process(),
        )
        step = 0 if self._tap is None else self._tap.step
        if self._cadence is None:
            self._cadence = Cadence(self._every, step)
        self._run = MeasuredRun(
            self._report,
            self._cadence,
            self._layers if self._by_layer else None,
            recommendations_of(told, self._limits, kind, self._declaration, self._report),
            OwnLog() if self._user_runs and _is_first_process() else None,
            remedies={"part-sizes": f"chunks={self._chunks}, units_of={self._units_of!r}"},
        )
        if self._not_seen is not None:
            self._report.event(step, "unavailable", self._not_seen.code)
        if self._tap is not None and self._possible(model, self._report, self._tap, step):
            self._tap.begin(self._run)

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Looks where the optimizer stands."""
        if self._run is not None and self._tap is not None:
            self._tap.epoch_begins(self.model)

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Takes what the batches before this one left.

        Not at their end: where some callback looks there, Keras waits for the device at the end of each batch.
        """
        if self._run is not None and self._tap is not None:
            # Not `self.model`, which on jax puts all state back into the variables each time.
            self._tap.batch_begins(self._model, batch)
            if self._pending is not None:
                self._change(self._tap, self._run, self._pending)

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Takes what the epoch's last batches left."""
        if self._run is not None and self._tap is not None:
            self._tap.epoch_ends(self.model)

    def on_train_end(self, logs: object = None) -> None:
        """Ends the run."""
        self.close()

    def _check_following(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Raises what cannot be followed, before training begins."""
        least = None if self._limits is None else self._limits.min_accumulation
        wrong = None
        if self._tap is None or self._tap.accumulated == 1:
            wrong = "give the optimizer gradient_accumulation_steps=K"
        elif not is_scalable(self._tap.optimizer):
            wrong = "a learning rate that is a function takes on_recommendation instead"
        elif least == 1:
            wrong = "batch_size_limits.min_accumulation must be 2 or more"
        elif not _is_alone():
            wrong = "several processes take on_recommendation instead"
        if wrong is not None:
            raise ValueError(f"follow_recommendation=True: {wrong}")

    def _change_later(self, change: BatchSizeChange) -> None:
        self._pending = change
        if self._on_recommendation is not None:
            self._on_recommendation(change)

    def _change(self, tap: Tap, run: MeasuredRun, change: BatchSizeChange) -> None:
        try:
            if tap.accumulate(self._model, change.accumulation, change.learning_rate_factor):
                self._pending = None
        except Exception as error:
            self._pending = None
            run.report.event(tap.step, "warning", "recommendation-failed", repr(error))

    def _prepare(self, model: keras.Model) -> None:
        """Puts in the tap, and reserves its places; again for another optimizer."""
        tap, self._not_seen = None, None
        try:
            tap = tap_of(model.optimizer)
        except NotSeenError as error:
            self._not_seen = error
        if not self._on or tap is None:
            self._tap = None
            if tap is not None:
                tap.silence()
            return
        if self._tap is not None and self._tap is not tap:
            # Another training, whose steps begin anew.
            self._cadence = None
            self._name = self._given_name or default_run(self._project)
        self._tap = tap
        if self._preconditioned and not has_metric(tap.optimizer):
            raise ValueError("preconditioned=True: needs an optimizer of Adam's kind")
        paths = [variable.path.replace("/", ".") for variable in tap.optimizer._trainable_variables]
        named = layers_of(paths) if self._by_layer else [""] * len(paths)
        numbers: dict[str, int] = {}
        numbered = tuple(numbers.setdefault(layer, len(numbers)) for layer in named)
        self._layers = list(numbers)
        splits = tap.accumulated == 1 and self._chunks is not None
        parts = self._chunks if splits and self._chunks is not None else tap.accumulated
        tap.prepare(model, TapOptions(numbered, len(numbers), self._preconditioned, parts, splits, self._units_of))

    def _possible(self, model: keras.Model, report: Report, tap: Tap, step: int) -> bool:
        if tap.accumulated == 1 and self._chunks is None:
            report.event(
                step,
                "unavailable",
                "one-part",
                "give the optimizer gradient_accumulation_steps=K, or the callback chunks=K",
            )
            return False
        if tap.accumulated == 1 and type(model).train_step is not keras.Model.train_step:
            report.event(
                step,
                "unavailable",
                "one-part",
                "a train_step of the model's own cannot be split: give the optimizer gradient_accumulation_steps=K",
            )
            return False
        normalizations = keras.layers.BatchNormalization
        if any(isinstance(layer, normalizations) and layer.trainable for layer in model._flatten_layers()):
            report.event(step, "warning", "batch-norm")
        return True


def _run_of(model: keras.Model) -> MeasuredRun | None:
    """The run that a model's training is measured for."""
    if model.optimizer is None:
        return None
    tap = vars(innermost(model.optimizer)).get("_noisescale_tap")
    return tap.run if isinstance(tap, Tap) else None


def _kind(optimizer: keras.optimizers.Optimizer) -> Literal["sgd", "adam", "other"]:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(inner, keras.optimizers.SGD):
        return "sgd"
    return "adam" if "adam" in type(inner).__name__.lower() else "other"


def _is_first_process() -> bool:
    return _process()[0] == 0


def _is_alone() -> bool:
    return _process()[1] == 1


def _process() -> tuple[int, int]:
    """This process's number, and how many train together."""
    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()
