"""Delivers one run's records from a thread of its own; the training thread only appends to a bounded list."""

import atexit
import logging
import os
import random
import threading
from collections.abc import Sequence

from noisescale.collector import Collector, CollectorAwayError, CollectorRefusedError, UnknownRunError
from noisescale.spool import Records, Spool, next_attempt
from noisescale.wire import BriefSnapshot, Measurement, RunDeclaration, RunDeclarationTracker, RunEvent

_log = logging.getLogger("noisescale")

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_LARGEST_REQUEST = 1000


class Delivery:
    """Queue, thread and spool of one run. `record` and `event` return at once and never raise.

    Neither a request nor the disk is waited for while the queue is locked.

    While the collector is away, records wait in the spool; where that is full, in memory. When `max_queue` measurements
    wait, every second one is dropped, and from then on every second one that comes, until the queue is empty again:
    what is left is even over the outage, and unbiased.
    """

    def __init__(
        self,
        collector: Collector,
        run: str,
        declaration: RunDeclaration,
        spool: Spool,
        *,
        found: Sequence[RunDeclarationTracker] = (),
        flush_every_seconds: float = 1.0,
        max_queue: int = 10_000,
    ) -> None:
        self._collector = collector
        self._run = run
        self._declaration = declaration
        self._found = list(found)
        self._spool = spool
        self._flush_every_seconds = flush_every_seconds
        self._max_queue = max_queue
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._measurements: list[Measurement] = []
        self._events: list[RunEvent] = []
        # On the way to the collector or to the disk.
        self._under_way: Records | None = None
        self.attempt = next_attempt()
        # Of so many measurements one is kept, counted from when the queue was thinned last.
        self._kept_in = 1
        self._since_thinned = 0
        self._sending = False
        self._urgent = False
        self._closed = False
        self._refused = False
        self._declared = False
        self._spooled = False
        self._failures = 0
        self.snapshot: BriefSnapshot | None = None
        self.delivered: int = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="noisescale-delivery", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def record(self, measurement: Measurement) -> None:
        """Takes a measurement; in a forked child and after `close` it is ignored."""
        if self._takes_nothing():
            return
        with self._changed:
            self._since_thinned += 1
            if self._since_thinned % self._kept_in != 0:
                self._drop(measurement, 1)
                return
            self._measurements.append({**measurement, "attempt": self.attempt})
            if len(self._measurements) > self._max_queue:
                before = len(self._measurements)
                self._measurements = self._measurements[::2]
                # The newest of an odd number stays: the next one to be kept is twice as far as before.
                self._since_thinned = 0 if before % 2 == 1 else self._kept_in
                self._kept_in *= 2
                self._drop(measurement, before - len(self._measurements))

    def _drop(self, at: Measurement, count: int) -> None:
        self.dropped += count
        said = self._events[-1] if self._events else None
        if said is not None and said["code"] == "queue-full":
            said["count"] = said.get("count", 1) + count
        else:
            self._events.append(
                {"step": at["step"], "time_ms": at["time_ms"], "kind": "dropped", "code": "queue-full", "count": count}
            )

    def event(self, event: RunEvent) -> None:
        """Takes an event; at most 1000 wait."""
        if self._takes_nothing():
            return
        with self._changed:
            if len(self._events) < 1000 or event["kind"] in {"finished", "failed"}:
                self._events.append(event)

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Waits until all that was recorded is at the collector.

        Returns:
            False if the deadline passed before.
        """
        if os.getpid() != self._process:
            return False
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            return (
                self._changed.wait_for(
                    lambda: self._refused or self._all_arrived(),
                    deadline_seconds,
                )
                and not self._refused
            )

    def close(self, deadline_seconds: float = 5.0) -> bool:
        """Flushes; what could not be delivered goes to the spool, for the next process. Idempotent.

        Returns:
            True if everything is at the collector.
        """
        if self._closed or os.getpid() != self._process:
            return self._closed
        arrived = self.flush(deadline_seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        atexit.unregister(self.close)
        self._thread.join(timeout=1.0)
        if not arrived and not self._refused:
            # Of a request that has no answer yet too: the collector takes a measurement once.
            lost = self._to_spool()
            if lost > 0:
                _log.warning(
                    "noisescale: %d measurements of run %s are lost, the collector does not answer and %s",
                    lost,
                    self._run,
                    self._spool.full,
                )
        return arrived

    def _all_arrived(self) -> bool:
        waiting = self._measurements or self._events or self._sending or self._spooled or self._under_way
        return self._declared and not waiting

    def _takes_nothing(self) -> bool:
        return self._closed or self._refused or os.getpid() != self._process

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._urgent or self._closed, self._pause_seconds())
                if self._closed:
                    return
                self._urgent = False
                self._sending = bool(self._measurements or self._events) or not self._declared
            try:
                self._send_all()
                self._failures = 0
            except CollectorAwayError as error:
                self._away(error)
            except CollectorRefusedError as error:
                self._refused = True
                _log.warning("noisescale sends nothing more for run %s: %s", self._run, error)
            except Exception:
                self._refused = True
                _log.warning("noisescale sends nothing more for run %s", self._run, exc_info=True)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
            if self._refused:
                return

    def _pause_seconds(self) -> float:
        if self._failures == 0:
            return self._flush_every_seconds
        longest: float = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** (self._failures - 1))
        return longest * (0.5 + random.random() / 2)

    def _away(self, error: CollectorAwayError) -> None:
        self._failures += 1
        self._declared = False
        waiting = self._to_spool()
        if self._failures == 1:
            place = "on disk" if waiting == 0 else f"in memory, since {self._spool.full}"
            _log.warning("noisescale: the collector does not answer, measurements wait %s (%s)", place, error)

    def _send_all(self) -> None:
        if not self._declared:
            self._declare()
            self._declared = True
            self._send_spool()
            self._spooled = False
        while (records := self._next()) is not None:
            self._send(records)
            self._under_way = None

    def _next(self) -> Records | None:
        """Takes as much from the queue as one request holds; first what is under way still."""
        with self._changed:
            if self._under_way is None and (self._measurements or self._events):
                measurements = self._measurements[:_LARGEST_REQUEST]
                events = [] if len(self._measurements) > _LARGEST_REQUEST else self._events[:_LARGEST_REQUEST]
                del self._measurements[: len(measurements)]
                del self._events[: len(events)]
                if not self._measurements:
                    self._kept_in = 1
                self._under_way = Records(self._run, self.attempt, self._declaration, measurements, events)
            return self._under_way

    def _declare(self) -> None:
        """Declares the run, with the runs of trackers that were found as far as the collector has these trackers."""
        while self._found:
            declaration: RunDeclaration = {**self._declaration, "trackers": self._found}
            try:
                self._collector.declare(self._run, declaration)
            except CollectorRefusedError as error:
                fields = [field.split(".") for field in error.fields]
                refused = [
                    found for i, found in enumerate(self._found) if ["trackers", str(i)] in [f[:2] for f in fields]
                ]
                self._found = [found for found in self._found if refused and found not in refused]
                _log.info("noisescale: the collector does not write to the run that was found: %s", error)
            else:
                self._declaration = declaration
                return
        self._collector.declare(self._run, self._declaration)

    def _send_spool(self) -> None:
        for path, records in self._spool.claim(self._run, self.attempt):
            try:
                if records.run != self._run:
                    self._collector.declare(records.run, records.declaration)
                self._send(records)
            except CollectorAwayError:
                self._spool.give_back(path)
                raise
            except CollectorRefusedError as error:
                _log.warning("noisescale: left over records of run %s were refused: %s", records.run, error)
            self._spool.done(path)

    def _send(self, records: Records) -> None:
        for start in range(0, len(records.measurements), _LARGEST_REQUEST):
            some = records.measurements[start : start + _LARGEST_REQUEST]
            try:
                result = self._collector.measurements(records.run, some)
            except UnknownRunError:
                self._collector.declare(records.run, records.declaration)
                result = self._collector.measurements(records.run, some)
            self.delivered += int(result["accepted"])
            for rejected in result["rejected"][:1]:
                _log.warning("noisescale: a measurement was rejected: %s %s", rejected["path"], rejected["message"])
            if records.run == self._run:
                self.snapshot = result["snapshot"]
        for start in range(0, len(records.events), _LARGEST_REQUEST):
            self._collector.events(records.run, records.attempt, records.events[start : start + _LARGEST_REQUEST])

    def _to_spool(self) -> int:
        """Writes to disk what waits.

        Returns:
            How many measurements could not be written, and wait in memory.
        """
        while (records := self._next()) is not None:
            written = self._spool.append(records)
            with self._changed:
                self._under_way = None
                if not written:
                    self._measurements[:0] = records.measurements
                    self._events[:0] = records.events
                    return len(self._measurements)
                self._spooled = True
        return 0
