"""One run of measurements of a Keras training."""

from collections.abc import Sequence

from noisescale.cadence import Cadence
from noisescale.exchange import RankSums
from noisescale.measurements import measurement_of
from noisescale.recommendations import Recommendations
from noisescale.report import Report
from noisescale.user_runs import OwnLog

_MOST_FAILURES = 3


class Run:
    """Takes steps as they end and numbers as they leave the device. Never raises."""

    def __init__(
        self,
        report: Report,
        cadence: Cadence,
        layers: Sequence[str] | None,
        recommendations: Recommendations | None,
        own_log: OwnLog | None,
    ) -> None:
        self.report = report
        self.cadence = cadence
        self.off = False
        self._layers = layers
        self._recommendations = recommendations
        self._own_log = own_log
        self._failures = 0
        self._last_step = -1

    def step_ended(self, step: int, measured: bool) -> None:
        """Called in the thread that trains, before the next step begins.

        Args:
            step: Its number.
            measured: Whether it was measured.
        """
        try:
            self.cadence.ended(step, measured)
            if self._own_log is not None and measured:
                self._own_log.update(self.report.sink.snapshot)
            if self._recommendations is not None:
                self._recommendations.step_ended(step, measured, None)
        except Exception:
            self.failed(step)

    def pass_on(self, sums: RankSums) -> None:
        """Takes a step's numbers; those of a step that was taken already are nothing new."""
        if sums.step <= self._last_step:
            return
        self._last_step = sums.step
        if sums.dropped is not None:
            self.report.event(sums.step, "dropped", sums.dropped)
            return
        measurement = measurement_of(sums, self._layers)
        self.report.measured(measurement)
        if self._recommendations is not None:
            self._recommendations.measured(measurement)
        self._failures = 0

    def failed(self, step: int) -> None:
        """Counts a failure of the hook itself; after three in a row it stops."""
        self._failures += 1
        self.off = self.off or self._failures >= _MOST_FAILURES
        self.report.event(step, "unavailable" if self.off else "dropped", "hook-failed")

    def close(self, step: int, failed: bool, deadline_seconds: float) -> bool:
        """Says that the run ended, and waits for delivery.

        Returns:
            True if everything has arrived.
        """
        self.report.event(step, "failed" if failed else "finished", "run-ended")
        arrived = self.report.sink.close(deadline_seconds)
        if self._own_log is not None:
            self._own_log.update(self.report.sink.snapshot, last=True)
        return arrived
