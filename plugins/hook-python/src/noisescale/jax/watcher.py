"""Takes the numbers of measured steps off the device without waiting for it."""

import atexit
import time
import weakref
from collections import deque
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from noisescale.cadence import Cadence
from noisescale.exchange import RankSums
from noisescale.jax.gradient import Measure
from noisescale.jax.sums import Counts, PartSums, Tree
from noisescale.layer_names import layers_of
from noisescale.measurements import measurement_of
from noisescale.parts import PartSums as PartNumbers
from noisescale.recommendations import Recommendations
from noisescale.report import EventCode, Report
from noisescale.user_runs import OwnLog
from noisescale.wire import BriefSnapshot, Measurement

_MOST_FAILURES = 3
_MOST_WAITING = 1024
# Rounding of a gradient in bfloat16 is below it, and clipping that changes less changes no noise scale.
_SAME_GRADIENT = 0.01
_REMEDIES: dict[EventCode, str] = {
    "not-one-gradient": "put noisescale.optax.tap first in the chain",
    "one-part": "noisescale.jax.grad_parts(loss_fn, parts=4) does; a tap needs the small_sq of two or more parts",
    "part-sizes": "give part_size to noisescale.optax.tap or multi_steps",
}


class _Reading(NamedTuple):
    """A measured step whose numbers are still on the device."""

    step: int
    time_ms: float
    sums: PartSums
    learning_rate: jax.Array | float | None


class Watcher:
    """A watched training; `noisescale.jax.watch` makes it."""

    def __init__(
        self,
        report: Report,
        *,
        every: int | None,
        layers: bool,
        hessian_every: int | None,
        first_step: int,
        recommendations: Recommendations | None,
        own_log: OwnLog | None,
        enabled: bool,
    ) -> None:
        self._report = report
        self._cadence = Cadence(every, first_step)
        self._layers = layers
        self._hessian_every = hessian_every
        self._next_hessian = self._first_step = first_step
        self._recommendations = recommendations
        self._own_log = own_log
        self._enabled = enabled
        self._off = not enabled
        # Processes that train together run one program each step, so that none of them may leave a measure out.
        self._alone = jax.process_count() == 1
        self._step = first_step
        self._failures = 0
        self._closed = False
        self._said: set[EventCode] = set()
        self._readings: deque[_Reading] = deque(maxlen=_MOST_WAITING)
        self._last_of_tap = -1
        self._measure = self._next_measure()
        atexit.register(_last_numbers, weakref.ref(self))

    @property
    def measure(self) -> Measure | None:
        """Whether and how the step that comes is measured: an argument of the jitted step, for `grad_parts`."""
        return self._measure

    @property
    def last(self) -> Measurement | None:
        """The last measurement; it comes some steps after its own."""
        return self._report.last

    @property
    def snapshot(self) -> BriefSnapshot | None:
        """The collector's last answer; None with a path or a function as sink."""
        return self._report.sink.snapshot

    @property
    def measurements(self) -> int:
        """Measurements so far."""
        return self._report.measurements

    @property
    def counts(self) -> dict[str, int]:
        """What was left out or warned of, by code; see the README."""
        return self._report.counts

    @property
    def step(self) -> int:
        """Number of the step that comes next, which `record` counts."""
        return self._step

    @property
    def every(self) -> int:
        """A step in so many is measured."""
        return self._cadence.every

    def record(self, source: Tree, *, learning_rate: jax.Array | float | None = None) -> None:
        """Ends a step. Never raises, and waits for the device in the first 40 steps alone, where `every` is chosen.

        Args:
            source: What the step returned: the `PartSums` of `grad_parts`, or the state of an optimizer (that of optax,
                an `nnx.Optimizer`, a `TrainState`) with `noisescale.optax.tap` or `multi_steps` in it. The state may be
                donated to the next step.
            learning_rate: Of this step, a number or an array of shape (); only passed on.
        """
        step, self._step = self._step, self._step + 1
        measured = self._measure is not None
        try:
            if (self._cadence.choosing or measured) and not self._off:
                sums = _sums_in(source)
                if measured:
                    self._readings.append(_Reading(step, time.time() * 1000, sums, learning_rate))
                if self._cadence.choosing:
                    sums.loss.block_until_ready()
                    self._cadence.ended(step, measured)
            self._read_ready()
            if measured and self._own_log is not None:
                self._own_log.update(self._report.sink.snapshot)
            if self._recommendations is not None:
                self._recommendations.step_ended(step, measured, None)
        except Exception as error:
            self._failed(error)
        self._measure = self._next_measure()

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Waits for the device and for delivery.

        Returns:
            False if the deadline passed before everything had arrived.
        """
        until = time.monotonic() + deadline_seconds
        self._read_all()
        return self._report.sink.flush(max(0.0, until - time.monotonic()))

    def close(self, *, failed: bool = False, deadline_seconds: float = 5.0) -> bool:
        """Reports the run as finished (or failed) and flushes. Idempotent.

        Returns:
            True if everything has arrived.
        """
        if self._closed:
            return True
        self._closed = self._off = True
        until = time.monotonic() + deadline_seconds
        self._read_all()
        self._report.event(self._step - 1, "failed" if failed else "finished", "run-ended")
        arrived = self._report.sink.close(max(0.0, until - time.monotonic()))
        if self._own_log is not None:
            self._own_log.update(self._report.sink.snapshot, last=True)
        return arrived

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close(failed=kind is not None)

    def _next_measure(self) -> Measure | None:
        if not self._enabled or (self._off and self._alone) or not self._cadence.measures(self._step):
            return None
        if self._hessian_every is None or self._step < self._next_hessian:
            return Measure()
        self._next_hessian = self._step + self._hessian_every
        return Measure(jax.random.key(self._step))

    def _read_ready(self) -> None:
        while self._readings and all(leaf.is_ready() for leaf in jax.tree.leaves(self._readings[0].sums)):
            self._take(self._readings.popleft())

    def _read_all(self) -> None:
        while self._readings:
            try:
                self._take(self._readings.popleft())
            except Exception as error:
                self._failed(error)

    def _take(self, reading: _Reading) -> None:
        sums = _on_host(reading.sums)
        step = int(sums.step)
        if float(sums.counts.parts) == 0 or 0 <= step == self._last_of_tap:
            return
        if step >= 0:
            self._last_of_tap = step
        self._measured(reading, sums, reading.step if step < 0 else step)
        self._failures = 0

    def _measured(self, reading: _Reading, sums: PartSums, step: int) -> None:
        if sums.batch_norm:
            self._say_once(step, "warning", "batch-norm")
        problem = _problem(sums)
        if problem == "not-finite":
            self._report.event(step, "dropped", problem)
            return
        if problem is not None:
            self._say_once(step, "unavailable", problem)
            return
        rate = None if reading.learning_rate is None else float(np.asarray(reading.learning_rate))
        names, small, big = _by_layer(sums)
        parts = _numbers(sums.counts)
        hessian_counts, forms = sums.hessian
        measurement = measurement_of(
            RankSums(
                step=step,
                dropped=None,
                time_ms=reading.time_ms,
                learning_rate=rate,
                **parts._asdict(),
                small=small,
                big=big,
                loss=float(sums.loss),
                metric=_pair(sums.metric),
                hessian=None if _pair(forms) is None else (_numbers(hessian_counts), *forms.tolist()),
            ),
            names if self._layers else None,
        )
        self._report.measured(measurement)
        if self._recommendations is not None:
            self._recommendations.measured(measurement)

    def _say_once(self, step: int, kind: Literal["unavailable", "warning"], code: EventCode) -> None:
        if code not in self._said:
            self._said.add(code)
            self._report.event(step, kind, code, _REMEDIES.get(code))

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._off = self._off or self._failures >= _MOST_FAILURES
        self._report.event(self._step, "unavailable" if self._off else "dropped", "hook-failed", repr(error))


def _sums_in(source: Tree) -> PartSums:
    """The sums in what a step returned, as arrays of their own: a state may be donated to the next step."""
    if isinstance(source, PartSums):
        sums = source
    else:
        state = getattr(source, "opt_state", source)
        leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, PartSums))
        found = next((leaf for leaf in leaves if isinstance(leaf, PartSums)), None)
        if found is None:
            raise TypeError("record was given no PartSums, and no state of noisescale.optax.tap or multi_steps")
        # flax wraps the arrays in variables of its own.
        arrays = [jnp.copy(array) for array in jax.tree.leaves(found)]
        like = PartSums.nothing(found.names)
        sums = cast(PartSums, jax.tree.unflatten(jax.tree.structure(like), arrays))
    for array in jax.tree.leaves(sums):
        array.copy_to_host_async()
    return sums


def _on_host(sums: PartSums) -> Tree:
    """The same, as arrays of numpy; of what `pmap` returned, the first device's."""
    on_host = jax.tree.map(np.asarray, sums)
    return on_host if on_host.loss.ndim == 0 else jax.tree.map(lambda x: x[0], on_host)


def _problem(sums: Tree) -> EventCode | None:
    if float(sums.counts.parts) < 2:
        return "one-part"
    if not (np.isfinite(sums.small).all() and np.isfinite(sums.big).all()):
        return "not-finite"
    if not (np.isfinite(sums.counts.variance) and sums.counts.variance > 0):
        return "part-sizes"
    if np.isfinite(sums.reference) and abs(_total(sums.big) - sums.reference) > _SAME_GRADIENT * sums.reference:
        return "not-one-gradient"
    return None


def _numbers(counts: Counts) -> PartNumbers:
    parts, *others = (float(value) for value in counts)
    return PartNumbers(round(parts), *others)


def _total(squares: Tree) -> float:
    return float(np.sum(squares, dtype=np.float64))


def _pair(values: Tree) -> tuple[float, float] | None:
    """Two values that are finite."""
    if not np.isfinite(values).all():
        return None
    small, big = values.tolist()
    return small, big


def _by_layer(sums: Tree) -> tuple[list[str], list[float], list[float]]:
    """Names of the layers, and the squares of each, summed up in float64."""
    layers = layers_of(sums.names)
    names = list(dict.fromkeys(layers))
    places = [names.index(layer) for layer in layers]
    small, big = (np.bincount(places, weights=squares).tolist() for squares in (sums.small, sums.big))
    return names, small, big


def _last_numbers(watcher: "weakref.ref[Watcher]") -> None:
    """At exit: what is still on the device, where `close` was not called."""
    alive = watcher()
    if alive is not None:
        alive._read_all()
