"""What the hooks of all frameworks do alike: one run of measurements."""

from collections.abc import Mapping, Sequence
from typing import Literal

from noisescale.cadence import Cadence
from noisescale.exchange import Exchange, RankSums
from noisescale.measurements import measurement_of
from noisescale.recommendations import Recommendations
from noisescale.report import EventCode, Report
from noisescale.user_runs import OwnLog

_MOST_FAILURES = 3


class MeasuredRun:
    """Takes steps as they end and numbers as they leave the device; counts the hook's own failures.

    Attributes:
        report: Where measurements and events go.
        cadence: Which steps are measured.
        layers: Names of the layers, one for each square; None where layers are not sent.
        off: Whether the hook has stopped measuring.
    """

    def __init__(
        self,
        report: Report,
        cadence: Cadence,
        layers: Sequence[str] | None,
        recommendations: Recommendations | None,
        own_log: OwnLog | None,
        *,
        exchange: Exchange | None = None,
        reduced: bool = False,
        remedies: Mapping[EventCode, str] | None = None,
    ) -> None:
        """Begins.

        Args:
            report: Where measurements and events go.
            cadence: Which steps are measured.
            layers: Names of the layers; None where layers are not sent.
            recommendations: Told of measurements and steps; None where nobody asks.
            own_log: The user's own runs that are logged to; None where none is.
            exchange: With the other processes that train along; None where none do.
            reduced: Whether what is passed on is of all processes already.
            remedies: What a user of this framework can do, by code.
        """
        self.report = report
        self.cadence = cadence
        self.layers = layers
        self.off = False
        self._recommendations = recommendations
        self._own_log = own_log
        self._exchange = exchange
        self._reduced = reduced
        self._remedies = remedies or {}
        self._failures = 0
        self._said: set[EventCode] = set()

    def step_ended(self, step: int, measured: bool) -> None:
        """Called in the thread that trains, before the next step begins. Never raises.

        Args:
            step: Its number.
            measured: Whether it was measured.
        """
        try:
            if measured:
                self._log_own()
            self.cadence.ended(step, measured)
        except Exception as error:
            self.failed(step, error)
        if self._recommendations is None:
            return
        try:
            self._recommendations.step_ended(step, measured, self._exchange)
        except Exception as error:
            self.failed(step, error)

    def pass_on(self, sums: RankSums) -> None:
        """Takes this process's numbers of a step, or why there are none."""
        if self._exchange is None or self._reduced:
            self._measured(sums)
        else:
            self._exchange.put(sums)
            self.gather()
        if sums.dropped is None:
            self._failures = 0

    def lost(self, step: int) -> None:
        """Says of a measured step, to the other processes, that the hook failed to take its numbers; never raises.

        Each process's numbers are counted: one that kept silent would have all later ones taken for others.
        """
        if self._exchange is not None and not self._reduced:
            try:
                self._exchange.put(RankSums(step, "hook-failed"))
            except Exception as error:
                self.failed(step, error)

    def gather(self, deadline_seconds: float = 0.0) -> None:
        """Takes, in the first process, what the others have to say of earlier steps until the deadline."""
        if self._exchange is not None:
            for sums in self._exchange.take(deadline_seconds):
                self._measured(sums)

    def say_once(self, step: int, kind: Literal["warning", "unavailable"], code: EventCode) -> None:
        """An event that later steps only repeat."""
        if code not in self._said:
            self._said.add(code)
            self.report.event(step, kind, code, self._remedies.get(code))

    def failed(self, step: int, error: Exception | None = None) -> None:
        """Counts a failure of the hook itself; after three in a row it stops."""
        self._failures += 1
        self.off = self.off or self._failures >= _MOST_FAILURES
        kind: Literal["unavailable", "dropped"] = "unavailable" if self.off else "dropped"
        self.report.event(step, kind, "hook-failed", None if error is None else repr(error))

    def flush(self, deadline_seconds: float) -> bool:
        """Waits for delivery.

        Returns:
            False if the deadline passed before everything had arrived.
        """
        return self.report.sink.flush(max(0.0, deadline_seconds))

    def close(self, step: int, failed: bool, deadline_seconds: float) -> bool:
        """Says that the run ended, and waits for delivery.

        Returns:
            True if everything has arrived.
        """
        self.report.event(step, "failed" if failed else "finished", "run-ended")
        arrived = self.report.sink.close(max(0.0, deadline_seconds))
        self._log_own(last=True)
        return arrived

    def _measured(self, sums: RankSums) -> None:
        dropped: EventCode | None = sums.dropped
        if dropped is None and sums.parts < 2:
            # The others have weight 0.
            dropped = "one-part"
        if dropped is not None:
            self.report.event(sums.step, "dropped", dropped, self._remedies.get(dropped))
            return
        measurement = measurement_of(sums, self.layers)
        self.report.measured(measurement)
        if self._recommendations is not None:
            self._recommendations.measured(measurement)

    def _log_own(self, *, last: bool = False) -> None:
        if self._own_log is not None:
            self._own_log.update(self.report.sink.snapshot, last=last)
