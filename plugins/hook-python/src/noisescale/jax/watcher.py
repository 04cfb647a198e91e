"""Takes the numbers of measured steps off the device without waiting for it."""

import time
from collections import deque
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from noisescale.cadence import Cadence
from noisescale.exchange import Exchange, RankSums
from noisescale.jax.gradient import Measure
from noisescale.jax.sums import Counts, PartSums, Tree
from noisescale.layer_names import layers_of
from noisescale.measured_run import MeasuredRun
from noisescale.parts import PartSums as PartNumbers
from noisescale.recommendations import Recommendations
from noisescale.report import EventCode, Report
from noisescale.user_runs import OwnLog
from noisescale.watched import Watched

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


class Watcher(Watched):
    """A watched training; `noisescale.jax.watch` makes it."""

    def __init__(
        self,
        report: Report,
        exchange: Exchange | None,
        *,
        every: int | None,
        layers: bool,
        hessian_every: int | None,
        first_step: int,
        recommendations: Recommendations | None,
        own_log: OwnLog | None,
        enabled: bool,
    ) -> None:
        cadence = Cadence(every, first_step)
        self._alone = jax.process_count() == 1
        if exchange is not None:
            tell = self._tell if jax.process_index() == 0 else None
            cadence = Cadence(every, first_step, tell=tell, ask=exchange.told)
        run = MeasuredRun(
            report, cadence, None, recommendations, own_log, exchange=exchange, reduced=True, remedies=_REMEDIES
        )
        super().__init__(run, first_step)
        self._exchange = exchange
        # A step later the processes have heard of what the first one announced.
        self._waits_after_measured = exchange is not None and recommendations is not None
        self._after_measured = False
        self._layers = layers
        self._hessian_every = hessian_every
        self._next_hessian = first_step
        self._enabled = enabled
        self._run.off = not enabled
        self._readings: deque[_Reading] = deque(maxlen=_MOST_WAITING)
        self._last_of_tap = -1
        # Until then there is nothing to do: even little Python takes a while whose code left the caches in a long step.
        self._rests_until = first_step
        self._measure = self._next_measure()
        self._read_at_exit()

    @property
    def measure(self) -> Measure | None:
        """Whether and how the step that comes is measured: an argument of the jitted step, for `grad_parts`."""
        return self._measure

    def record(self, source: Tree, *, learning_rate: jax.Array | float | None = None) -> None:
        """Ends a step. Never raises, and waits for the device in the steps alone in which `every` is chosen.

        These are the first 80, with several processes 90; several that follow recommendations wait at the step after
        each measured one too.

        Args:
            source: What the step returned: the `PartSums` of `grad_parts`, or the state of an optimizer (that of optax,
                an `nnx.Optimizer`, a `TrainState`) with `noisescale.optax.tap` or `multi_steps` in it. The state may be
                donated to the next step.
            learning_rate: Of this step, a number or an array of shape (); only passed on.
        """
        step, self._step = self._step, self._step + 1
        if step < self._rests_until:
            return
        measured = self._measure is not None
        try:
            waits = self._run.cadence.choosing or (self._after_measured and self._waits_after_measured)
            if waits and self._goes_on:
                jax.block_until_ready(_arrays_in(source))  # type: ignore[no-untyped-call]
            if isinstance(source, PartSums) and source.measured != measured and not self._run.off:
                self._run.say_once(step, "warning", "measure-unused")
            elif measured and not self._run.off:
                self._readings.append(_Reading(step, time.time() * 1000, _sums_in(source), learning_rate))
            self._read_ready()
        except Exception as error:
            self._run.failed(self._step, error)
        self._run.step_ended(step, measured)
        self._after_measured = measured
        self._measure = self._next_measure()
        if self._measure is None and not (self._readings or self._run.cadence.choosing or self._waits_after_measured):
            every, rest = self._run.cadence.rule(self._step)
            # The step before a measured one says that it is.
            self._rests_until = self._step + (rest - self._step) % every - 1

    def _tell(self, every: int) -> None:
        """Hands the choice to all processes; one of a hook that failed is none."""
        if self._exchange is not None and not self._run.off:
            self._exchange.tell(every)

    def _end(self) -> None:
        self._run.off = True

    @property
    def _goes_on(self) -> bool:
        """Whether steps are measured: processes run one program each step, so that none may leave a measure out."""
        return self._enabled and not (self._run.off and self._alone)

    def _next_measure(self) -> Measure | None:
        if not self._goes_on or not self._run.cadence.measures(self._step):
            return None
        if self._hessian_every is None or self._step < self._next_hessian:
            return Measure()
        self._next_hessian = self._step + self._hessian_every
        return Measure(jax.random.key(self._step))

    def _read_ready(self) -> None:
        while self._readings and all(leaf.is_ready() for leaf in jax.tree.leaves(self._readings[0].sums)):
            self._take(self._readings.popleft())

    def _read_all(self, deadline_seconds: float = 0.0) -> None:
        while self._readings:
            try:
                self._take(self._readings.popleft())
            except Exception as error:
                self._run.failed(self._step, error)

    def _take(self, reading: _Reading) -> None:
        sums = _on_host(reading.sums)
        step = int(sums.step)
        if float(sums.counts.parts) == 0 or 0 <= step == self._last_of_tap:
            return
        if step >= 0:
            self._last_of_tap = step
        self._measured(reading, sums, reading.step if step < 0 else step)

    def _measured(self, reading: _Reading, sums: PartSums, step: int) -> None:
        if sums.batch_norm:
            self._run.say_once(step, "warning", "batch-norm")
        problem = _problem(sums)
        if problem == "not-finite":
            self._run.pass_on(RankSums(step, problem))
            return
        if problem is not None:
            self._run.say_once(step, "unavailable", problem)
            return
        rate = None if reading.learning_rate is None else float(np.asarray(reading.learning_rate))
        names, small, big = _by_layer(sums)
        self._run.layers = names if self._layers else None
        parts = _numbers(sums.counts)
        hessian_counts, forms = sums.hessian
        self._run.pass_on(
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
            )
        )


def _arrays_in(source: Tree) -> Tree:
    """The pytree in what a step returned, which may be an `nnx.Optimizer` or a `TrainState`."""
    return getattr(source, "opt_state", source)


def _sums_in(source: Tree) -> PartSums:
    """The sums in what a step returned, as arrays of their own: a state may be donated to the next step."""
    if isinstance(source, PartSums):
        sums = source
    else:
        leaves = jax.tree.leaves(_arrays_in(source), is_leaf=lambda node: isinstance(node, PartSums))
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
