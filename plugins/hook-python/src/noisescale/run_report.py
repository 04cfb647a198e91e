"""The report of one run: its name, what the collector is told of it, and where its measurements go."""

import os
from collections.abc import Callable
from typing import Literal

from noisescale.naming import checked_identifier, default_project, default_run
from noisescale.options import OPTIMIZERS, check_choice, check_declaration, check_unit
from noisescale.report import Report
from noisescale.sinks import NoSink, Sink, sink_of
from noisescale.user_runs import found_runs
from noisescale.wire import Measurement, RunDeclaration

GivenSink = str | os.PathLike[str] | Callable[[Measurement], object] | None
"""A collector's address, a path (NDJSON), a function, or None: `NOISESCALE_URL`, else this machine's collector."""

# A loop of short steps has its answer before many more are taken.
_FLUSH_SECONDS_TO_FOLLOW = 0.2


def switched_on(enabled: bool) -> bool:
    """Whether neither the option `enabled` nor `NOISESCALE_DISABLED` says otherwise."""
    return enabled and os.environ.get("NOISESCALE_DISABLED", "") in {"", "0"}


def run_report(
    *,
    run: str | None,
    project: str | None,
    sink: GivenSink,
    unit: Literal["example", "token", "timestep"],
    optimizer: Literal["sgd", "adam", "other"],
    declaration: RunDeclaration | None,
    spool_directory: str | os.PathLike[str] | None,
    user_runs: bool,
    follows: bool,
    sends: bool,
    says: bool,
) -> Report:
    """Opens the report of a run, whose options are those of `watch`.

    Args:
        run: Name of the run.
        project: Its project.
        sink: Where measurements go.
        unit: What batch sizes count.
        optimizer: Its kind.
        declaration: The rest of what the collector is told.
        spool_directory: Where records wait while the collector is away.
        user_runs: Whether the runs that the training logs to already are looked for.
        follows: Whether the training waits for recommendations.
        sends: Whether this process sends anything.
        says: Whether it logs what it counts.

    Raises:
        TypeError, ValueError: Naming the option that is wrong.
    """
    check_unit(unit)
    check_choice("optimizer", optimizer, OPTIMIZERS)
    check_declaration(declaration)
    if not isinstance(spool_directory, str | os.PathLike | None):
        raise TypeError(f"spool_directory={spool_directory!r}: must be a path")
    if follows and (callable(sink) or (isinstance(sink, str | os.PathLike) and "://" not in os.fspath(sink))):
        raise ValueError("on_recommendation: needs a collector as sink, nothing else recommends anything")
    project = default_project() if project is None else checked_identifier("project", project)
    run = default_run(project) if run is None else checked_identifier("run", run)
    declared: RunDeclaration = {"unit": unit, "optimizer": optimizer, "project": project}
    if declaration is not None:
        declared = {**declared, **declaration, "project": project}
    to: Sink = NoSink()
    if sends:
        found = found_runs() if user_runs and "trackers" not in declared else []
        flush_every_seconds = _FLUSH_SECONDS_TO_FOLLOW if follows else 1.0
        to = sink_of(sink, run, declared, spool_directory, found, flush_every_seconds=flush_every_seconds)
    return Report(to, says=says)
