"""Takes a measurement from every step that an optimizer ends."""

import atexit
import random
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from noisescale.cadence import Cadence
from noisescale.exchange import Exchange, RankSums
from noisescale.measurements import measurement_of
from noisescale.options import check_count
from noisescale.pytorch.accumulation import Accumulation, PartsChangedError, Squares
from noisescale.pytorch.draws import labels_of_rows, parts_of_rows, sizes_differ
from noisescale.pytorch.layers import grouped_by_layer
from noisescale.pytorch.per_example import ExampleSquares, NotCoveredError
from noisescale.pytorch.processes import Processes
from noisescale.pytorch.quadratic_forms import AdamMetric, hessian_forms, left_as_it_was
from noisescale.pytorch.readings import Part, Reading, count, read
from noisescale.recommendations import Recommendations
from noisescale.report import EventCode, Report
from noisescale.user_runs import OwnLog
from noisescale.wire import BriefSnapshot, Measurement

_MOST_FAILURES = 3
_REMEDIES: dict[EventCode, str] = {
    "one-part": "watcher.backward(loss_fn, batch) splits it",
    "part-sizes": "call watcher.part once for each backward pass, or pass micro_batch where all have the same",
}


class Watcher:
    """A watched training."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        report: Report,
        processes: Processes | None,
        *,
        micro_batch: float | None,
        parts: int | None,
        every: int | None,
        layers: bool,
        first_step: int,
        scaler: "torch.amp.GradScaler | None",
        own_log: OwnLog | None,
        hessian_every: int | None,
        recommendations: Recommendations | None,
        metric: AdamMetric | None,
        enabled: bool,
    ) -> None:
        self._report = report
        self._optimizer = optimizer
        self._micro_batch = micro_batch
        self._scaler = scaler
        self._own_log = own_log
        self._recommendations = recommendations
        self._step = first_step
        self._failures = 0
        self._said_one_part = False
        self._given: list[Part] = []
        self._readings: deque[Reading] = deque()
        self._closed = False
        self._by_layer = layers
        self._layers, self._parameters = grouped_by_layer(model, optimizer, layers)
        self._examples: ExampleSquares | None = None
        self._by_example: tuple[torch.Tensor | None, list[Part]] | None = None
        self._exchange: Exchange | None = None
        self._alone = processes is None or processes.size == 1
        self._cadence = Cadence(every, first_step)
        if processes is not None and processes.size > 1:
            self._exchange = Exchange(processes.store, processes.rank, processes.size)
            tell = self._exchange.tell if processes.rank == 0 else None
            self._cadence = Cadence(every, first_step, tell=tell, ask=self._exchange.told)
            atexit.register(_last_numbers, weakref.ref(self))
        self._accumulation = Accumulation(
            model, self._parameters, len(self._layers), parts, processes, metric, self._failed, self._restarted
        )
        self._model = model
        self._hessian_every = hessian_every
        self._next_hessian = first_step
        self._signs = random.Random(first_step)
        self._hessian: tuple[int, torch.Tensor] | None = None
        self._handle = optimizer.register_step_post_hook(self._stepped)
        self._off = not (enabled and self._possible(model))
        self._measure_next()

    @property
    def last(self) -> Measurement | None:
        """The last measurement; it comes one measured step after its own."""
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
        """Number of the optimizer step that comes next."""
        return self._step

    @property
    def every(self) -> int:
        """A step in so many is measured."""
        return self._cadence.every

    @property
    def measuring(self) -> bool:
        """Whether the step under way is measured."""
        return self._accumulation.active

    def part(
        self,
        units: torch.Tensor | float,
        *,
        weight: torch.Tensor | float | None = None,
        loss: torch.Tensor | float | None = None,
    ) -> None:
        """Says of one backward pass what `micro_batch` does not: called for all passes of a step or none, in order.

        Tensors, of shape (), are read a measured step later, so that there is no wait for the device.

        Args:
            units: n_k, units of this part.
            weight: w_k, the factor of the part's mean loss; where it is None, 1/K.
            loss: The part's mean loss, unscaled and without the weight; only passed on.
        """
        if self._accumulation.active:
            self._given.append(Part(units, weight, loss.detach() if isinstance(loss, torch.Tensor) else loss))

    def backward(
        self,
        loss_fn: Callable[..., torch.Tensor],
        batch: Sequence[torch.Tensor],
        *,
        chunks: int = 4,
        groups: Sequence[int] | torch.Tensor | None = None,
        per_example: bool = False,
    ) -> torch.Tensor:
        """Takes the place of `loss_fn(*batch).backward()` where a step has one batch: a measured step splits it.

        The gradient is that of the whole batch, as `loss_fn` is a mean over its examples. Batch
        normalisation and losses that compare examples see chunks on measured steps.

        Args:
            loss_fn: Gives the mean loss, shape (), of the examples in its arguments.
            batch: Tensors with one row an example.
            chunks: K, from 1; a batch of fewer than 2K rows is not split.
            groups: Which draw each row is of, [rows], integers, where rows are not independent: the environment that a
                time step comes from, the document of a passage. Rows of one group stay in one part, K is `chunks` or
                the number of groups if that is smaller, and units are rows.
            per_example: The examples are the parts: their squares are read from what goes in and out of each layer, and
                the batch is not split. Where some layer is not covered, it is named, and chunks are the parts. So they
                are where the Hessian is due.

        Returns:
            The batch's mean loss, shape (), detached.

        Raises:
            TypeError: If `batch` is a tensor.
            ValueError: If `chunks` or `groups` are wrong, or the tensors of a batch to be split differ in rows.
        """
        if isinstance(batch, torch.Tensor):
            raise TypeError("batch: is a tensor; give the arguments of loss_fn in a tuple, such as (x, y)")
        check_count("chunks", chunks)
        if not self._accumulation.active or len(batch[0]) == 0:
            loss = loss_fn(*batch)
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()
            return loss.detach()
        rows = len(batch[0])
        if groups is not None and per_example:
            raise ValueError("per_example takes every row as a draw of its own: leave it out where groups are given")
        if per_example and self._accumulation.signs is None and self._covered(rows):
            return self._backward_by_example(loss_fn, batch, rows)
        parts = self._split(batch, chunks, None if groups is None else labels_of_rows(groups, rows))
        split = len(parts)
        self._accumulation.expects(split)
        total = torch.zeros(())
        for number, part in enumerate(parts):
            if number == split - 1:
                self.hessian(loss_fn, part)
            share = len(part[0]) / rows
            loss = loss_fn(*part)
            self.part(len(part[0]), weight=share, loss=loss)
            scaled = loss * share if self._scaler is None else self._scaler.scale(loss * share)
            scaled.backward()
            total = total.to(loss.device) + loss.detach() * share
        return total

    def _split(
        self, batch: Sequence[torch.Tensor], chunks: int, labels: torch.Tensor | None
    ) -> list[tuple[torch.Tensor, ...]]:
        lengths = [len(tensor) for tensor in batch]
        if len(set(lengths)) > 1:
            raise ValueError(f"batch: its tensors have {lengths} rows; what has no row an example is no part of it")
        if labels is not None:
            if sizes_differ(labels):
                self._report.event(self._step, "warning", "groups-uneven")
            return [tuple(tensor[rows.to(tensor.device)] for tensor in batch) for rows in parts_of_rows(labels, chunks)]
        split = chunks if chunks >= 2 and len(batch[0]) >= 2 * chunks else 1
        return list(zip(*(tensor.tensor_split(split) for tensor in batch), strict=True))

    def hessian(self, loss_fn: Callable[..., torch.Tensor], batch: Sequence[torch.Tensor]) -> None:
        """Multiplies the gradients of the parts so far with the Hessian of a loss, for B_noise; where it is due.

        Called between the backward passes of a step, after two or more of them, best with the part that comes next. Its
        draws must be none of the parts so far: with the same ones, 12.4 was seen for a true 17.4. `watcher.backward`
        does so by itself, before its last part. One more forward pass and five backward passes; random numbers and
        running means are as if it had not been. Processes that train together do not measure it.

        Args:
            loss_fn: Gives the mean loss, shape (), of the examples in its arguments.
            batch: Its arguments.
        """
        if self._accumulation.signs is None or not self._accumulation.active or not self._alone:
            return
        directions = self._accumulation.directions()
        if directions is None:
            return
        self._accumulation.active = False
        try:
            with left_as_it_was(self._model):
                forms = hessian_forms(
                    lambda: loss_fn(*batch), directions.parameters, [directions.signed, directions.total]
                )
            self._hessian = (directions.parts, forms)
        except Exception:
            self._hessian_every = None
            self._report.event(self._step, "unavailable", "hessian-failed")
        finally:
            self._accumulation.active = True

    def _covered(self, rows: int) -> bool:
        if self._examples is None:
            self._examples = ExampleSquares(self._model, self._parameters, len(self._layers))
            if self._examples.problem is not None:
                self._report.event(self._step, "warning", "not-covered", self._examples.problem)
        return self._examples.problem is None and rows > 1

    def _backward_by_example(
        self, loss_fn: Callable[..., torch.Tensor], batch: Sequence[torch.Tensor], rows: int
    ) -> torch.Tensor:
        assert self._examples is not None
        self._accumulation.expects(1, small=False)
        with self._examples.reading(rows):
            loss = loss_fn(*batch)
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()
        try:
            squares = self._examples.squares(self._accumulation.used())
            self._by_example = (squares, [Part(1.0, None, loss.detach(), times=rows)])
        except NotCoveredError as error:
            self._report.event(self._step, "warning", "not-covered", str(error))
            self._by_example = (None, [])
        except Exception:
            self._failed()
        return loss.detach()

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Reads what is still on the device and waits for delivery.

        Returns:
            False if the deadline passed before everything had arrived.
        """
        until = time.monotonic() + deadline_seconds
        self._read_all()
        self._gather(deadline_seconds)
        return self._report.sink.flush(max(0.0, until - time.monotonic()))

    def close(self, *, failed: bool = False, deadline_seconds: float = 5.0) -> bool:
        """Reports the run as finished (or failed), flushes and detaches. Idempotent.

        Returns:
            True if everything has arrived.
        """
        if self._closed:
            return True
        self._closed = True
        until = time.monotonic() + deadline_seconds
        self.detach()
        self._read_all()
        self._gather(deadline_seconds)
        self._report.event(self._step - 1, "failed" if failed else "finished", "run-ended")
        arrived = self._report.sink.close(max(0.0, until - time.monotonic()))
        self._log_own(last=True)
        return arrived

    def detach(self) -> None:
        """Removes every hook; the training goes on unmeasured."""
        self._handle.remove()
        self._accumulation.detach()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close(failed=kind is not None)

    def _possible(self, model: nn.Module) -> bool:
        if isinstance(self._optimizer, torch.optim.LBFGS):
            self._report.event(self._step, "unavailable", "lbfgs")
            return False
        if any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
            self._report.event(self._step, "warning", "batch-norm")
        return True

    def _measure_next(self) -> None:
        """Says whether the step that comes is measured, and whether with the Hessian."""
        self._hessian = None
        self._accumulation.measure(not self._off and self._cadence.measures(self._step))
        due = self._hessian_every is not None and self._step >= self._next_hessian and self._accumulation.active
        if due and self._hessian_every is not None:
            self._next_hessian = self._step + self._hessian_every
        self._accumulation.signs = self._signs if due else None

    def _stepped(self, optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        step, self._step = self._step, self._step + 1
        measured = self._accumulation.active
        try:
            if self._accumulation.active:
                self._end_of_measured_step(step)
                self._log_own()
            self._cadence.ended(step, self._accumulation.active)
            self._measure_next()
        except Exception:
            self._failed()
        if self._recommendations is None:
            return
        try:
            self._recommendations.step_ended(step, measured, self._exchange)
        except Exception:
            self._failed()

    def _end_of_measured_step(self, step: int) -> None:
        given, self._given = self._given, []
        by_example, self._by_example = self._by_example, None
        try:
            squares = self._accumulation.take()
        except PartsChangedError:
            self._left_out(step, "parts-changed")
            return
        if squares is None:
            if not self._alone:
                self._left_out(step, "parts-changed")
            return
        if by_example is not None:
            if squares.parts != 1:
                # One batch by example, and another backward pass beside.
                self._left_out(step, "parts-changed")
                return
            small, given = by_example
            if small is None:
                if not self._alone:
                    self._left_out(step, "not-covered")
                return
            squares = Squares(count(given), small, squares.big, None)
        if squares.parts == 1 and self._alone:
            if not self._said_one_part:
                self._said_one_part = True
                self._report.event(step, "unavailable", "one-part", _REMEDIES["one-part"])
            return
        if self._micro_batch is not None and not given:
            given = [Part(self._micro_batch, None, None, times=squares.parts)]
        if count(given) != squares.parts:
            self._left_out(step, "part-sizes")
            return
        self._read_all()
        device = squares.big.device
        self._readings.append(
            Reading(
                step,
                time.time() * 1000,
                squares,
                given,
                self._hessian,
                None if self._scaler is None else self._scaler.scale(torch.ones((), device=device)),
                float(self._optimizer.param_groups[0]["lr"]),
            )
        )
        if device.type == "cpu":
            self._read_all()

    def _left_out(self, step: int, code: EventCode) -> None:
        self._read_all()
        self._pass_on(RankSums(step, code))

    def _read_all(self) -> None:
        """Takes the numbers of earlier steps off the device: a measured step later there is no wait for them."""
        while self._readings:
            reading = self._readings.popleft()
            try:
                self._pass_on(read(reading))
                self._failures = 0
            except Exception:
                self._failed()

    def _pass_on(self, sums: RankSums) -> None:
        if self._exchange is None:
            self._measured(sums)
        else:
            self._exchange.put(sums)
            self._gather()

    def _gather(self, deadline_seconds: float = 0.0) -> None:
        if self._exchange is not None:
            for sums in self._exchange.take(deadline_seconds):
                self._measured(sums)

    def _measured(self, sums: RankSums) -> None:
        if sums.dropped is not None:
            self._report.event(sums.step, "dropped", sums.dropped, _REMEDIES.get(sums.dropped))
            return
        if sums.parts < 2:
            # The others have weight 0.
            self._report.event(sums.step, "dropped", "one-part", _REMEDIES["one-part"])
            return
        measurement = measurement_of(sums, self._layers if self._by_layer else None)
        self._report.measured(measurement)
        if self._recommendations is not None:
            self._recommendations.measured(measurement)

    def _log_own(self, *, last: bool = False) -> None:
        if self._own_log is not None:
            self._own_log.update(self._report.sink.snapshot, last=last)

    def _restarted(self, given_up: int) -> None:
        self._given = self._given[given_up:]
        self._report.event(self._step, "dropped", "not-finite")

    def _failed(self) -> None:
        self._failures += 1
        self._accumulation.clear()
        self._given = []
        self._by_example = None
        if self._failures >= _MOST_FAILURES:
            self._off = True
            self._accumulation.active = False
        self._report.event(self._step, "unavailable" if self._off else "dropped", "hook-failed")


def _last_numbers(watcher: "weakref.ref[Watcher]") -> None:
    """At exit: what other processes wait for, where `close` was not called."""
    alive = watcher()
    if alive is not None:
        alive._read_all()
