"""What every watcher of a training shows and how it ends."""

import atexit
import time
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from noisescale.measured_run import MeasuredRun
from noisescale.wire import BriefSnapshot, Measurement

if TYPE_CHECKING:
    from typing_extensions import Self


class Watched(ABC):
    """A watched training whose loop is the user's own."""

    def __init__(self, run: MeasuredRun, first_step: int) -> None:
        self._run = run
        self._step = first_step
        self._closed = False

    @property
    def last(self) -> Measurement | None:
        """The last measurement; it comes some steps after its own, as soon as reading it needs no wait."""
        return self._run.report.last

    @property
    def snapshot(self) -> BriefSnapshot | None:
        """The collector's last answer; None with a path or a function as sink."""
        return self._run.report.sink.snapshot

    @property
    def measurements(self) -> int:
        """Measurements so far."""
        return self._run.report.measurements

    @property
    def counts(self) -> dict[str, int]:
        """What was left out or warned of, by code; see the README."""
        return self._run.report.counts

    @property
    def step(self) -> int:
        """Number of the optimizer step that comes next."""
        return self._step

    @property
    def every(self) -> int:
        """A step in so many is measured."""
        return self._run.cadence.every

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Reads what is still on the device and waits for delivery.

        Returns:
            False if the deadline passed before everything had arrived.
        """
        until = time.monotonic() + deadline_seconds
        self._read_all(deadline_seconds)
        return self._run.flush(until - time.monotonic())

    def close(self, *, failed: bool = False, deadline_seconds: float = 5.0) -> bool:
        """Reports the run as finished (or failed), flushes and measures no further. Idempotent.

        Returns:
            True if everything has arrived.
        """
        if self._closed:
            return True
        self._closed = True
        until = time.monotonic() + deadline_seconds
        self._end()
        self._read_all(deadline_seconds)
        return self._run.close(self._step - 1, failed, until - time.monotonic())

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close(failed=kind is not None)

    @abstractmethod
    def _end(self) -> None:
        """Measures no further; the training goes on."""

    @abstractmethod
    def _read_all(self, deadline_seconds: float = 0.0) -> None:
        """Takes the numbers of earlier steps off the device, and those of other processes until the deadline."""

    def _read_at_exit(self) -> None:
        """Has what is still on the device read when the process ends, where `close` was not called."""
        atexit.register(_last_numbers, weakref.ref(self))


def _last_numbers(watched: "weakref.ref[Watched]") -> None:
    alive = watched()
    if alive is not None:
        alive._read_all()
