"""The jax back end: steps are compiled, so that what is seen of them is kept in variables of the optimizer."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np

from noisescale.exchange import RankSums
from noisescale.jax.sums import form_of, squares_of
from noisescale.keras.adam_metric import metric_of
from noisescale.keras.rows import rows_of
from noisescale.keras.seen_model import SeenTrainStep, see_train_step
from noisescale.keras.tap import Tap, TapOptions
from noisescale.measured_run import MeasuredRun
from noisescale.parts import sum_parts

_NEVER = (0, 0)


class _Variables(NamedTuple):
    """What is kept from one batch to the next.

    Attributes:
        rule: N and r: steps whose number is r modulo N are measured; N = 0 measures none. int32.
        running: Of the step under way: Σ_k of the squares by group and in Adam's metric; each n_k, 0 for parts to come.
            float32.
        finished: Of the last measured step that ended the same; the big squares; the units of a batch that was split;
            the learning rate. float32.
        finished_step: That step's number; -1 before the first. int32.
        losses: Sum of the parts' losses, of the step under way and of the last measured one. float32.
    """

    rule: keras.Variable
    running: keras.Variable
    finished: keras.Variable
    finished_step: keras.Variable
    losses: keras.Variable


class _Reading(NamedTuple):
    """Copies of what a measured step left, which may not be there yet."""

    time_ms: float
    finished: jax.Array
    finished_step: jax.Array
    losses: jax.Array


class JaxTap(Tap):
    """Squares in float32, read one measured step later: nothing waits for the device."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        super().__init__(optimizer)
        self._last_step = -1
        self._variables: _Variables | None = None
        self._rule = _NEVER
        # Training functions of a batch that is split, by whether the one that is compiled splits it.
        self._programs: dict[bool, Callable[..., Any]] = {}
        self._reading: _Reading | None = None
        # While a step is traced.
        self._broken = False
        self._of: Sequence[keras.Variable] = ()
        self._due_last: jax.Array | None = None
        self._big: jax.Array | None = None
        self._loss_seen = False

    @property
    def own_variables(self) -> Sequence[keras.Variable]:
        """What was added to the optimizer's variables."""
        return () if self._variables is None else self._variables

    def _reserve(self, options: TapOptions) -> None:
        for variable in self.own_variables:
            self.optimizer._untrack_variable(variable)
        squares = options.groups + options.metric
        self._broken = False

        def add(name: str, shape: tuple[int, ...], dtype: str) -> keras.Variable:
            return self.optimizer.add_variable(shape=shape, dtype=dtype, name=f"noisescale_{name}")

        self._variables = _Variables(
            rule=add("rule", (2,), "int32"),
            running=add("running", (squares + options.parts,), "float32"),
            finished=add("finished", (2 * squares + options.parts + 2,), "float32"),
            finished_step=add("finished_step", (), "int32"),
            losses=add("losses", (2,), "float32"),
        )
        self._rule = _NEVER

    def _see(self, model: keras.Model, *, again: bool) -> None:
        seen = vars(model).get("train_step")
        there = isinstance(seen, SeenTrainStep) and seen.see is self and seen.tracker is model._loss_tracker
        if again or not there:
            see_train_step(model, self)
            self._programs.clear()

    def begin(self, run: MeasuredRun) -> None:
        """What an earlier run left is not this one's."""
        super().begin(run)
        self._last_step = -1
        if self._variables is not None:
            self._variables.finished_step.assign(-1)

    def end(self) -> None:
        """Has the compiled steps measure none."""
        super().end()
        if self._variables is not None and self._rule != _NEVER:
            self._variables.rule.assign(_NEVER)
            self._rule = _NEVER

    def epoch_begins(self, model: keras.Model) -> None:
        """Keras has put all state back into the variables, and waits for it, between epochs."""
        self._epoch_from = self._batches = int(self.optimizer._iterations)
        self._follow_rule(model, self._batches // self.accumulated)

    def batch_begins(self, model: keras.Model, batch: int) -> None:
        """Copies what the last batch left, which the next one overwrites."""
        self._advance(model, self._epoch_from + batch)
        self._choose_program(model)

    def epoch_ends(self, model: keras.Model) -> None:
        """Reads what is there."""
        self._advance(model, int(self.optimizer._iterations))
        if self._variables is not None:
            self.read_all()
            self._reading = self._copies(model)
            self.read_all()

    def _advance(self, model: keras.Model, batches: int) -> None:
        run = self.run
        if run is None or self._variables is None:
            return
        steps = range(self._batches // self.accumulated, batches // self.accumulated)
        self._batches = batches
        try:
            measured = [run.cadence.measures(step) for step in steps]
            if steps and run.cadence.choosing:
                # The times that are asked for are those of steps, and not of handing them over.
                self._now(model, self._variables.finished_step).block_until_ready()
            if any(measured):
                self.read_all()
                self._reading = self._copies(model)
            elif self._reading is not None and _is_there(self._reading.finished):
                self.read_all()
        except Exception as error:
            measured = [False for _ in steps]
            self._failed(steps.stop, error)
        for step, was_measured in zip(steps, measured, strict=True):
            run.step_ended(step, was_measured)
        self._follow_rule(model, steps.stop)

    def _follow_rule(self, model: keras.Model, step: int) -> None:
        """Hands a rule that has changed to the compiled steps: twice in a run whose cadence is chosen, else once."""
        run = self.run
        if run is None or self._variables is None:
            return
        rule = _NEVER if run.off or self._broken else run.cadence.rule(step)
        if rule != self._rule:
            model.jax_state_sync()
            self._variables.rule.assign(rule)
            self._rule = rule

    def _choose_program(self, model: keras.Model) -> None:
        """Has batches none of whose steps is measured run what knows nothing of splitting.

        XLA copies all donated weights for a branch that is not taken. A LossScaleOptimizer leaves out batches that only
        the device knows of, so that the device has to choose.
        """
        options, run = self.options, self.run
        if options is None or run is None or not options.splits or model.optimizer is not self.optimizer:
            return
        steps = range(self._batches, self._batches + model.steps_per_execution)
        splits = not (run.off or self._broken) and any(run.cadence.measures(step) for step in steps)
        if splits not in self._programs:
            see_train_step(model, self, splits=splits)
            model.make_train_function()
            self._programs[splits] = model.train_function
        model.train_function = self._programs[splits]

    def _take_back(self, model: keras.Model) -> None:
        model.jax_state_sync()

    def _moved(self, model: keras.Model, batches: int) -> None:
        super()._moved(model, batches)
        self._follow_rule(model, self._batches // self.accumulated)

    def _now(self, model: keras.Model, variable: keras.Variable) -> jax.Array:
        state = getattr(model, "_jax_state", None)
        if not state or model._jax_state_synced:
            return variable.value
        places = {id(own): place for place, own in enumerate(model.optimizer.variables)}
        return state["optimizer_variables"][places[id(variable)]]

    def _copies(self, model: keras.Model) -> _Reading:
        assert self._variables is not None
        kept = self._variables
        arrays = [jnp.copy(self._now(model, own)) for own in (kept.finished, kept.finished_step, kept.losses)]
        return _Reading(time.time() * 1000, *arrays)

    def read_all(self) -> None:
        """Takes the numbers of the last measured step off the device."""
        reading, self._reading = self._reading, None
        if reading is None or self.run is None or self.options is None:
            return
        step = -1
        try:
            step = int(reading.finished_step)
            if step > self._last_step:
                self._last_step = step
                self.run.pass_on(self._sums(step, reading, self.options))
        except Exception as error:
            self._failed(step, error)

    def _sums(self, step: int, reading: _Reading, options: TapOptions) -> RankSums:
        numbers = np.asarray(reading.finished, np.float64)
        squares, parts = options.groups + options.metric, options.parts
        small, units, big, (whole, rate) = np.split(numbers, np.cumsum([squares, parts, squares]))
        if not np.isfinite([small[: options.groups], big[: options.groups]]).all():
            return RankSums(step, "not-finite")
        # A batch of fewer rows than chunks has none for each of them.
        if not np.isfinite([*units, whole]).all() or (options.splits and not units.all()):
            return RankSums(step, "part-sizes")
        if not units.all():
            # Measured from the middle of a step on.
            return RankSums(step, "parts-changed")
        sums = sum_parts(units.tolist(), [1 / parts] * parts)
        metric = None
        if options.metric and step > 0 and np.isfinite([small[-1], big[-1]]).all():
            metric = (float(small[-1]) / parts**2, float(big[-1]))
        return RankSums(
            step=step,
            dropped=None,
            time_ms=reading.time_ms,
            learning_rate=float(rate),
            parts=parts,
            units=float(whole) if options.splits else sums.units,
            weight=sums.weight,
            squared_weight=sums.squared_weight,
            variance=sums.variance,
            small=(small[: options.groups] / parts**2).tolist(),
            big=big[: options.groups].tolist(),
            loss=float(np.asarray(reading.losses)[1]) / self.accumulated if self._loss_seen else None,
            metric=metric,
        )

    # From here on: traced, and run by the device.

    def train_step(self, seen: SeenTrainStep, *args: Any) -> Any:
        """Notes a batch's units before the optimizer is handed its gradients, and its loss afterwards."""
        options, model = self.options, seen.model
        if self._variables is None or options is None or self._broken or (options.splits and not seen.splits):
            return seen.train(*args)
        state, data = args
        self._loss = None
        before = self._in_state(model, state, self.optimizer._iterations)
        try:
            self._units = _units(options.units_of(data))
            if options.splits:
                state = self._with_split(model, state, data, options)
        except Exception as error:
            self._give_up(error)
        logs, new_state = seen.train(state, data)
        try:
            return logs, self._with_loss(model, new_state, before)
        except Exception as error:
            self._give_up(error)
            return logs, new_state

    def _with_loss(self, model: keras.Model, state: Any, before: jax.Array) -> Any:
        loss = self._loss
        self._loss_seen = loss is not None
        if loss is None or self._variables is None:
            return state
        rule = self._in_state(model, state, self._variables.rule)
        running, last = self._in_state(model, state, self._variables.losses)
        step, place = before // self.accumulated, before % self.accumulated
        total = jnp.where(place == 0, 0, running) + loss.astype(jnp.float32)
        ended = _due(rule, step) & (place == self.accumulated - 1)
        losses = jnp.stack([total, jnp.where(ended, total, last)])
        # A step that a LossScaleOptimizer leaves out is none.
        counted = self._in_state(model, state, self.optimizer._iterations) != before
        losses = jnp.where(counted, losses, jnp.stack([running, last]))
        return _with(model, state, {id(self._variables.losses): losses})

    def _with_split(self, model: keras.Model, state: Any, data: Any, options: TapOptions) -> Any:
        """Squares of the gradients of parts of one batch, and of their mean, where the step is measured."""
        assert self._variables is not None
        kept, chunks = self._variables, options.parts
        rows = rows_of(data) // chunks
        trainable, others, optimizer_variables, metrics = state
        mapping = list(zip(model.optimizer.variables, optimizer_variables, strict=True))
        self._of = self.optimizer._trainable_variables
        parts = jax.tree.map(lambda array: array[: rows * chunks].reshape(chunks, rows, *array.shape[1:]), data)
        with keras.StatelessScope(state_mapping=mapping):
            scale = model.optimizer.scale_loss(jnp.ones(()))
            due = _due(kept.rule.value, self.optimizer._iterations.value)

        def loss_of(weights: Any, others: Any, part: Any) -> Any:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
            loss, (_, _, others, _) = model.compute_loss_and_updates(
                weights,
                others,
                metrics,
                x,
                y,
                sample_weight,
                training=True,
                optimizer_variables=optimizer_variables,
            )
            return loss, others

        def take(carry: Any, part: Any) -> Any:
            # What one part changes, such as the state of random numbers, the next one goes on from.
            others, total = carry
            grads, others = jax.grad(loss_of, has_aux=True)(trainable, others, part)
            grads = [gradient / scale for gradient in grads]
            with keras.StatelessScope(state_mapping=mapping):
                squares = self._squares(grads)
            total = [a + g for a, g in zip(total, grads, strict=True)]
            return (others, total), (squares, _units(options.units_of(part)))

        def measure() -> tuple[jax.Array, jax.Array]:
            running, big = jnp.zeros(kept.running.shape), jnp.zeros(options.groups + options.metric)
            if rows > 0:
                nothing = [jnp.zeros_like(variable) for variable in trainable]
                (_, total), (squares, units) = jax.lax.scan(take, (others, nothing), parts)
                running = jnp.concatenate([squares.sum(0), units])
            with keras.StatelessScope(state_mapping=mapping) as scope:
                if rows > 0:
                    big = self._squares([gradient / chunks for gradient in total])
                self._finish(kept, due, running, big)
                return scope.get_current_value(kept.finished), scope.get_current_value(kept.finished_step)

        def leave() -> tuple[jax.Array, jax.Array]:
            return self._in_state(model, state, kept.finished), self._in_state(model, state, kept.finished_step)

        finished, finished_step = jax.lax.cond(due, measure, leave)
        return _with(model, state, {id(kept.finished): finished, id(kept.finished_step): finished_step})

    def _in_state(self, model: keras.Model, state: Any, variable: keras.Variable) -> jax.Array:
        array: jax.Array = state[2][_places(model)[id(variable)]]
        return array

    def _applied(self, grads: Sequence[jax.Array], variables: Sequence[keras.Variable]) -> None:
        if self._variables is None or self._broken:
            self._without_run()
            self._apply(grads, variables)
            return
        kept = self._variables
        self._due_last = self._big = None
        if self.options is not None and not self.options.splits:
            try:
                self._of = variables
                self._take_part(kept, grads)
            except Exception as error:
                self._give_up(error)
        self._apply(grads, variables)
        if self._due_last is not None and self._big is not None:
            try:
                self._finish(kept, self._due_last, kept.running.value, self._big)
            except Exception as error:
                self._give_up(error)
        self._due_last = self._big = None

    def _clipped(self, grads: Sequence[jax.Array]) -> Sequence[jax.Array]:
        if self._due_last is not None:
            try:
                assert self.options is not None
                nothing = jnp.zeros(self.options.groups + self.options.metric, jnp.float32)
                self._big = jax.lax.cond(self._due_last, self._squares, lambda _: nothing, list(grads))
            except Exception as error:
                self._give_up(error)
        return self._clip(grads)

    def _take_part(self, kept: _Variables, grads: Sequence[jax.Array]) -> None:
        taken = self.optimizer._iterations.value
        step, place = taken // self.accumulated, taken % self.accumulated
        due = _due(kept.rule.value, step)
        running = jnp.where(place == 0, jnp.zeros_like(kept.running.value), kept.running.value)
        squares = running.size - self.accumulated
        running = jax.lax.cond(
            due,
            lambda grads: running.at[:squares].add(self._squares(grads)).at[squares + place].set(self._units),
            lambda _: running,
            list(grads),
        )
        kept.running.assign(running)
        self._due_last = due & (place == self.accumulated - 1)

    def _finish(self, kept: _Variables, ended: jax.Array, running: jax.Array, big: jax.Array) -> None:
        rate = jnp.asarray(keras.ops.convert_to_tensor(self.optimizer._get_current_learning_rate()), jnp.float32)
        step = self.optimizer._iterations.value // self.accumulated
        record = jnp.concatenate([running, big, jnp.stack([self._units, rate])])
        kept.finished.assign(jnp.where(ended, record, kept.finished.value))
        kept.finished_step.assign(jnp.where(ended, step, kept.finished_step.value))

    def _squares(self, grads: Sequence[jax.Array]) -> jax.Array:
        """Squares by group, and in Adam's metric: shape (groups + metric,)."""
        assert self.options is not None
        indices = [self.optimizer._get_variable_index(variable) for variable in self._of]
        numbers = jnp.asarray([self.options.numbers[index] for index in indices])
        squares = jnp.zeros(self.options.groups, jnp.float32).at[numbers].add(squares_of(grads).astype(jnp.float32))
        if not self.options.metric:
            return squares
        form = form_of(grads, [metric_of(self.optimizer, variable) for variable in self._of])
        return jnp.append(squares, form.astype(jnp.float32))

    def _give_up(self, error: Exception) -> None:
        """What cannot be traced is not tried again."""
        self._broken = True
        self._due_last = self._big = None
        if self.run is not None:
            self.run.report.event(0, "unavailable", "hook-failed", repr(error))


def _units(units: Any) -> jax.Array:
    """A part's units; NaN where there cannot be so many.

    Raises:
        ValueError: If it is no single number.
    """
    number = jnp.asarray(units, jnp.float32)
    if number.shape != ():
        raise ValueError(f"units_of: must give a number, got one of shape {number.shape}")
    return jnp.where((number > 0) & jnp.isfinite(number), number, jnp.nan)


def _due(rule: jax.Array, step: jax.Array) -> jax.Array:
    every, rest = rule
    return (every > 0) & (step % jnp.maximum(every, 1) == rest)


def _with(model: keras.Model, state: Any, values: dict[int, jax.Array]) -> Any:
    """The state with other values of optimizer variables, by their id."""
    trainable, others, optimizer_variables, metrics = state
    variables = [
        values.get(id(variable), value)
        for variable, value in zip(model.optimizer.variables, optimizer_variables, strict=True)
    ]
    return trainable, others, variables, metrics


def _is_there(array: Any) -> bool:
    """Whether it can be read without waiting."""
    return bool(array.is_ready())


def _places(model: keras.Model) -> dict[int, int]:
    return {id(variable): place for place, variable in enumerate(model.optimizer.variables)}
