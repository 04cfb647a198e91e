"""Where measurements go: the collector, a file, or a function."""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from noisescale.collector import Collector
from noisescale.delivery import Delivery
from noisescale.spool import Spool
from noisescale.wire import BriefSnapshot, Measurement, RunDeclaration, RunDeclarationTracker, RunEvent

DEFAULT_URL = "http://127.0.0.1:7677"
# Meant as an address, and a file's name too.
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d{1,5}/?")


class Sink(Protocol):
    """Takes what a hook saw. What it raises is counted, and never reaches the training."""

    @property
    def snapshot(self) -> BriefSnapshot | None:
        """The collector's last answer; None where no collector answers."""

    @property
    def attempt(self) -> int:
        """Tells this training of a run from the ones before; 0 where no collector answers."""

    def record(self, measurement: Measurement) -> None:
        """Takes one measurement."""

    def event(self, event: RunEvent) -> None:
        """Takes one event."""

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Returns whether everything has arrived."""

    def close(self, deadline_seconds: float = 5.0) -> bool:
        """Flushes and ends."""


class FileSink:
    """Appends NDJSON, one measurement a line, that `noisescale estimate` reads. The first line declares the run."""

    snapshot = None
    attempt = 0

    def __init__(self, path: Path, run: str, declaration: RunDeclaration) -> None:
        self._process = os.getpid()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", buffering=1)
        except OSError as error:
            raise ValueError(f"sink={str(path)!r}: cannot be written: {error.strerror}") from error
        if self._file.tell() == 0:
            self._file.write(json.dumps({"run": {**declaration, "name": declaration.get("name", run)}}) + "\n")

    def record(self, measurement: Measurement) -> None:
        """Writes one line."""
        if os.getpid() == self._process:
            self._file.write(json.dumps(measurement, allow_nan=False) + "\n")

    def event(self, event: RunEvent) -> None:
        """Events have no place in a file of measurements; `watcher.counts` holds them."""

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Every line is written as it comes."""
        return True

    def close(self, deadline_seconds: float = 5.0) -> bool:
        """Closes the file."""
        self._file.close()
        return True


class FunctionSink:
    """Calls a function with each measurement, in the thread that trains."""

    snapshot = None
    attempt = 0

    def __init__(self, function: Callable[[Measurement], object]) -> None:
        self._function = function

    def record(self, measurement: Measurement) -> None:
        """Calls the function."""
        self._function(measurement)

    def event(self, event: RunEvent) -> None:
        """Events are counted in `watcher.counts` alone."""

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Nothing waits."""
        return True

    def close(self, deadline_seconds: float = 5.0) -> bool:
        """Nothing to end."""
        return True


class NoSink:
    """Where measuring is switched off."""

    snapshot = None
    attempt = 0

    def record(self, measurement: Measurement) -> None:
        """Ignored."""

    def event(self, event: RunEvent) -> None:
        """Ignored."""

    def flush(self, deadline_seconds: float = 5.0) -> bool:
        """Nothing waits."""
        return True

    def close(self, deadline_seconds: float = 5.0) -> bool:
        """Nothing to end."""
        return True


def sink_of(
    given: str | os.PathLike[str] | Callable[[Measurement], object] | None,
    run: str,
    declaration: RunDeclaration,
    spool_directory: str | os.PathLike[str] | None = None,
    found: Sequence[RunDeclarationTracker] = (),
    *,
    flush_every_seconds: float = 1.0,
) -> Sink:
    """Makes a sink from what the user gave.

    Args:
        given: A collector's address (http://…), a path (NDJSON), a function, or None: `NOISESCALE_URL`, else the
            collector of this machine.
        run: Name of the run.
        declaration: What the collector is told of the run.
        spool_directory: Where records wait while the collector is away; `.noisescale/spool` where it is None.
        found: Runs of trackers that a collector which has these trackers is asked to write to.
        flush_every_seconds: How long a record may wait for others before it is sent to a collector.

    Raises:
        TypeError: If `given` is none of these.
        ValueError: If it, or `NOISESCALE_URL`, is an address that no collector can have, or a path that cannot be
            written.
    """
    if callable(given):
        return FunctionSink(given)
    if not isinstance(given, str | os.PathLike | None):
        raise TypeError(f"sink={given!r}: must be a collector's address, a path or a function")
    if given == "":
        raise ValueError("sink='': must be a collector's address, a path or a function")
    target = os.fspath(given) if given is not None else os.environ.get("NOISESCALE_URL") or DEFAULT_URL
    if isinstance(given, str) and _HOST_AND_PORT.fullmatch(given):
        raise ValueError(f"sink={given!r}: an address begins with http://, and a file of that name is ./{given}")
    if given is not None and "://" not in target:
        return FileSink(Path(target), run, declaration)
    spool = Spool(Path(spool_directory or ".noisescale/spool"))
    collector = Collector(target, option="NOISESCALE_URL" if given is None else "sink")
    return Delivery(collector, run, declaration, spool, found=found, flush_every_seconds=flush_every_seconds)
