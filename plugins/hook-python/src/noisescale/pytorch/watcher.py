"""Takes a measurement from every step that an optimizer ends."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from noisescale.cadence import Cadence
from noisescale.exchange import Exchange, RankSums
from noisescale.measured_run import MeasuredRun
from noisescale.pytorch.accumulation import PartsChangedError
from noisescale.pytorch.draws import check_batch
from noisescale.pytorch.hooks import Hooks
from noisescale.pytorch.per_example import NotCoveredError
from noisescale.pytorch.processes import Processes
from noisescale.pytorch.readings import Part, Reading, Readings, count
from noisescale.pytorch.uncompiled import uncompiled
from noisescale.recommendations import Recommendations
from noisescale.report import EventCode, Report
from noisescale.user_runs import OwnLog
from noisescale.watched import Watched

_REMEDIES: dict[EventCode, str] = {
    "one-part": "watcher.backward(loss_fn, batch) splits it",
    "part-sizes": "call watcher.part once for each backward pass, or pass micro_batch where all have the same",
}


class Watcher(Watched):
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
        preconditioned: bool,
        enabled: bool,
    ) -> None:
        self._alone = processes is None or processes.size == 1
        exchange = None
        cadence = Cadence(every, first_step)
        if processes is not None and not self._alone:
            exchange = Exchange(processes.store, processes.rank, processes.size)
            tell = exchange.tell if processes.rank == 0 else None
            cadence = Cadence(every, first_step, tell=tell, ask=exchange.told)
        run = MeasuredRun(report, cadence, None, recommendations, own_log, exchange=exchange, remedies=_REMEDIES)
        super().__init__(run, first_step)
        if exchange is not None:
            # Other processes wait for its last numbers.
            self._read_at_exit()
        self._optimizer = optimizer
        self._micro_batch = micro_batch
        self._scaler = scaler
        self._given: list[Part] = []
        self._checked = False
        self._readings = Readings(run, self._failed)
        self._make_hooks = partial(
            Hooks,
            model,
            optimizer,
            run,
            processes,
            parts=parts,
            layers=layers,
            hessian_every=hessian_every,
            preconditioned=preconditioned,
            scaled=self._scaled,
            given=lambda part: self._given.append(part),
            failed=self._failed,
            restarted=self._restarted,
        )
        self._hooks = self._make_hooks(step=first_step)
        self._handle = optimizer.register_step_post_hook(self._stepped)
        run.off = not (enabled and self._possible(model))
        self._measure_next()

    @property
    def measuring(self) -> bool:
        """Whether the step under way is measured."""
        return self._hooks.accumulation.active

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
        if self._hooks.accumulation.active:
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
            TypeError, ValueError: At the first call, if `loss_fn` is no function, `batch` is a tensor, `chunks` or
                `groups` are wrong, or the tensors of a batch to be split differ in rows. A later batch that cannot be
                split is one warning (`not-split`).
        """
        if not self._checked:
            check_batch(loss_fn, batch, chunks, groups, per_example)
            self._checked = True
        if not self._hooks.accumulation.active or len(batch[0]) == 0:
            loss = loss_fn(*batch)
            self._scaled(loss).backward()
            return loss.detach()
        return self._hooks.one_batch.backward(
            loss_fn, batch, self._step, chunks=chunks, groups=groups, per_example=per_example
        )

    def hessian(self, loss_fn: Callable[..., torch.Tensor], batch: Sequence[torch.Tensor]) -> None:
        """Multiplies the gradients of the parts so far with the Hessian of a loss, for B_noise; where it is due.

        Called between the backward passes of a step, after two or more of them, best with the part that comes next. Its
        draws must be none of the parts so far: with the same ones, 12.4 was seen for a true 17.4. `watcher.backward`
        does so by itself, before its last part. One more forward pass and five backward passes; random numbers and
        running means are as if it had not been. Processes that train together do so each with parts of its own, two or
        more before the one that the Hessian is of.

        Args:
            loss_fn: Gives the mean loss, shape (), of the examples in its arguments.
            batch: Its arguments.
        """
        if self._hooks.hessian.due:
            self._hooks.hessian.multiply(loss_fn, batch, self._step)

    def detach(self) -> None:
        """Removes every hook; the training goes on unmeasured."""
        self._handle.remove()
        self._hooks.accumulation.detach()

    def _end(self) -> None:
        self.detach()

    def _scaled(self, loss: torch.Tensor) -> torch.Tensor:
        return loss if self._scaler is None else self._scaler.scale(loss)

    def _possible(self, model: nn.Module) -> bool:
        if isinstance(self._optimizer, torch.optim.LBFGS):
            self._run.report.event(self._step, "unavailable", "lbfgs")
            return False
        if any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
            self._run.report.event(self._step, "warning", "batch-norm")
        return True

    def _measure_next(self) -> None:
        """Says whether the step that comes is measured, and whether with the Hessian."""
        measured = not self._run.off and self._run.cadence.measures(self._step)
        # The parameters of several processes stay as they were wrapped.
        if measured and self._alone and not self._hooks.complete:
            self._readings.take_all()
            self._hooks.accumulation.detach()
            self._hooks = self._make_hooks(step=self._step)
        self._hooks.begin(self._step, measured)

    @uncompiled
    def _stepped(self, optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        step, self._step = self._step, self._step + 1
        measured = self._hooks.accumulation.active
        try:
            if measured:
                self._end_of_measured_step(step)
        except Exception:
            self._failed()
        self._run.step_ended(step, measured)
        try:
            self._measure_next()
        except Exception:
            self._failed()

    def _end_of_measured_step(self, step: int) -> None:
        given, self._given = self._given, []
        try:
            taken = self._hooks.take(given)
        except PartsChangedError:
            self._left_out(step, "parts-changed")
            return
        except NotCoveredError:
            if not self._alone:
                self._left_out(step, "not-covered")
            return
        except Exception:
            self._failed()
            self._run.lost(step)
            return
        if taken is None:
            if not self._alone:
                self._left_out(step, "parts-changed")
            return
        squares, parts = taken
        if squares.parts == 1 and self._alone:
            self._run.say_once(step, "unavailable", "one-part")
            return
        if self._micro_batch is not None and not parts:
            parts = [Part(self._micro_batch, None, None, times=squares.parts)]
        if count(parts) != squares.parts:
            self._left_out(step, "part-sizes")
            return
        device = squares.big.device
        self._readings.add(
            Reading(
                step,
                time.time() * 1000,
                squares,
                parts,
                self._hooks.hessian.forms,
                None if self._scaler is None else self._scaler.scale(torch.ones((), device=device)),
                float(self._optimizer.param_groups[0]["lr"]),
            )
        )

    def _left_out(self, step: int, code: EventCode) -> None:
        self._readings.take_all()
        self._run.pass_on(RankSums(step, code))

    def _read_all(self, deadline_seconds: float = 0.0) -> None:
        self._readings.take_all()
        self._run.gather(deadline_seconds)

    def _restarted(self, given_up: int) -> None:
        self._given = self._given[given_up:]
        self._run.report.event(self._step, "dropped", "not-finite")

    def _failed(self) -> None:
        self._hooks.clear()
        self._given = []
        self._run.failed(self._step)
        if self._run.off:
            self._hooks.accumulation.active = False
