"""Calls `on_recommendation` in the thread that trains, in every process after the same step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, cast

from noisescale.batch_size_control import BatchSizeChange, BatchSizeControl, BatchSizeLimits
from noisescale.exchange import Exchange
from noisescale.report import Report
from noisescale.wire import BriefSnapshot, Measurement, RunDeclaration


class Recommendations:
    """Looks at the collector's last answer when a measured step ends.

    A process that trains alone is told at once. Of several the first decides, and all are told at the end of the step
    that comes next: until then each of them has reduced gradients with the first, so that it knows.
    """

    def __init__(
        self, callback: Callable[[BatchSizeChange], object], control: BatchSizeControl, report: Report, processes: int
    ) -> None:
        self._callback = callback
        self._control = control
        self._report = report
        self._processes = processes
        self._seen: BriefSnapshot | None = None
        self._asks_about: int | None = None

    def measured(self, measurement: Measurement) -> None:
        """Takes a measurement, in the first process."""
        parts = measurement["small"]["count"] / self._processes
        self._control.measured(self._report.sink.attempt, measurement["step"], measurement["units"] / parts)

    def step_ended(self, step: int, measured: bool, exchange: Exchange | None) -> None:
        """Tells of a change that is due."""
        if exchange is None:
            change = self._due(step + 1) if measured else None
            if change is not None:
                self._tell(step, change)
            return
        asks_about, self._asks_about = self._asks_about, step if measured else None
        announced = None if asks_about is None else exchange.announced(asks_about)
        if measured:
            # Of the other processes none has an answer to decide by.
            change = self._due(step + 2)
            if change is not None:
                exchange.announce(step, change)
        if announced is not None:
            self._tell(step, BatchSizeChange(*cast(tuple[float, int, float | None, BriefSnapshot], announced)))

    def _due(self, takes_effect: int) -> BatchSizeChange | None:
        snapshot = self._report.sink.snapshot
        if snapshot is None or snapshot is self._seen:
            return None
        self._seen = snapshot
        change = self._control.decide(snapshot)
        if change is not None:
            self._control.takes_effect(takes_effect)
        return change

    def _tell(self, step: int, change: BatchSizeChange) -> None:
        try:
            self._callback(change)
        except Exception as error:
            self._report.event(step, "warning", "recommendation-failed", repr(error))


def recommendations_of(
    callback: Callable[[BatchSizeChange], object] | None,
    limits: BatchSizeLimits | None,
    optimizer: Literal["sgd", "adam", "other"],
    declaration: RunDeclaration | None,
    report: Report,
    *,
    processes: int = 1,
) -> Recommendations | None:
    """Makes of a hook's options what tells its training of a batch size.

    Args:
        callback: `on_recommendation`; None: nothing is told.
        limits: `batch_size_limits`; a process that trains alone keeps two parts where they say no least number.
        optimizer: Its kind, where the declaration names none.
        declaration: What the user tells the collector.
        report: The run's.
        processes: That train together.
    """
    if callback is None:
        return None
    limits = limits or BatchSizeLimits()
    if limits.min_accumulation is None:
        limits = replace(limits, min_accumulation=2 if processes == 1 else 1)
    declared = optimizer if declaration is None else declaration.get("optimizer", optimizer)
    return Recommendations(callback, BatchSizeControl(limits, declared), report, processes)
