"""Records that wait on disk while the collector is away, each run's in a file of its own."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from noisescale.wire import Measurement, RunDeclaration, RunEvent

_START = int(time.time() * 1000)
_last_attempt = 0


def next_attempt() -> int:
    """This process's start [Unix ms] for its first run, the present for later ones.

    It tells a training from the one before it, be that in another process or in another cell of a notebook.
    """
    global _last_attempt
    _last_attempt = _START if _last_attempt == 0 else max(_last_attempt + 1, int(time.time() * 1000))
    return _last_attempt


class Records(NamedTuple):
    """What one process recorded for one run, in the order of its steps."""

    run: str
    attempt: int
    declaration: RunDeclaration
    measurements: list[Measurement]
    events: list[RunEvent]


class Spool:
    """A folder of NDJSON files, one per run and process. Any process may deliver what another left behind."""

    def __init__(self, directory: Path, max_bytes: int = 256 * 2**20) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    @property
    def full(self) -> str:
        """Why `append` may have added nothing."""
        return f"{self._directory} is full or cannot be written"

    def append(self, records: Records) -> bool:
        """Adds to this process's file of the run.

        Returns:
            False if the spool is full, or cannot be written; then nothing was added.
        """
        lines = [
            json.dumps({"run": records.run, "attempt": records.attempt, "declaration": records.declaration}),
            *(json.dumps({"measurement": measurement}) for measurement in records.measurements),
            *(json.dumps({"event": event}) for event in records.events),
        ]
        text = "\n".join(lines)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            held = sum(path.stat().st_size for path in self._directory.glob("*.ndjson*"))
            if held + len(text) > self._max_bytes:
                return False
            with (self._directory / f"{records.run}.{records.attempt}.{os.getpid()}.ndjson").open("a") as file:
                # What a full disk cut short stays on a line of its own.
                file.write(f"\n{text}" if file.tell() > 0 else text)
        except OSError:
            return False
        return True

    def claim(self, run: str, attempt: int) -> Iterator[tuple[Path, Records]]:
        """Takes over this attempt's file of the run, and what ended processes left, the oldest first.

        `done` deletes a file, `give_back` leaves it to a later try.
        """
        own = f"{run}.{attempt}.{os.getpid()}.ndjson"
        for path in sorted(self._directory.glob("*.ndjson*"), key=_modified):
            parts = path.name.split(".ndjson")
            holder = parts[1].lstrip(".") or parts[0].rsplit(".", 1)[-1]
            if path.name != own and (not holder.isdigit() or _alive(int(holder))):
                continue
            mine = path.with_name(f"{parts[0]}.ndjson.{os.getpid()}")
            with contextlib.suppress(OSError):
                path.rename(mine)
                records = _read(mine)
                if records is None:
                    mine.unlink()
                else:
                    yield mine, records

    @staticmethod
    def done(path: Path) -> None:
        """Deletes a file whose records have arrived."""
        path.unlink(missing_ok=True)

    @staticmethod
    def give_back(path: Path) -> None:
        """Leaves a claimed file to a later try; beside a newer file of that name it waits for the next process."""
        name = path.with_name(path.name.split(".ndjson")[0] + ".ndjson")
        if not name.exists():
            with contextlib.suppress(OSError):
                path.rename(name)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> Records | None:
    records: Records | None = None
    with path.open(errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                # The last line of a process that was killed while it wrote.
                continue
            if not isinstance(entry, dict):
                continue
            if {"run", "attempt", "declaration"} <= entry.keys():
                records = records or Records(entry["run"], entry["attempt"], entry["declaration"], [], [])
            elif records is not None and "measurement" in entry:
                records.measurements.append(entry["measurement"])
            elif records is not None and "event" in entry:
                records.events.append(entry["event"])
    return records
