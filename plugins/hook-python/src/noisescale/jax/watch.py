"""Opens the run of a JAX training."""

import os
import weakref
from collections.abc import Callable
from typing import Literal

import jax

from noisescale.batch_size_control import BatchSizeChange, BatchSizeLimits
from noisescale.jax.processes import exchange_of_processes
from noisescale.jax.watcher import Watcher
from noisescale.naming import default_project
from noisescale.options import check_count, check_function
from noisescale.recommendations import recommendations_of
from noisescale.run_report import GivenSink, run_report, switched_on
from noisescale.user_runs import OwnLog
from noisescale.wire import RunDeclaration

# A cell of a notebook that is run again goes on with a run that it names.
_open: weakref.WeakValueDictionary[tuple[str, str | None], Watcher] = weakref.WeakValueDictionary()
# Processes that cannot agree on a choice must run the same program at each step all the same.
_EVERY_OF_SEVERAL = 10


def watch(
    *,
    run: str | None = None,
    project: str | None = None,
    sink: GivenSink = None,
    every: int | None = None,
    layers: bool = False,
    hessian_every: int | None = None,
    unit: Literal["example", "token", "timestep"] = "example",
    optimizer: Literal["sgd", "adam", "other"] = "other",
    declaration: RunDeclaration | None = None,
    on_recommendation: Callable[[BatchSizeChange], object] | None = None,
    batch_size_limits: BatchSizeLimits | None = None,
    first_step: int = 0,
    spool_directory: str | os.PathLike[str] | None = None,
    user_runs: bool = True,
    enabled: bool = True,
) -> Watcher:
    """Makes what says which steps are measured, and takes their numbers.

    Of several processes each calls it, with the same options, and the first one sends.

    Args:
        run: Name of the run; `NOISESCALE_RUN`, else the project with the time. A watcher that this process has for
            that run is closed.
        project: `NOISESCALE_PROJECT`, else the script's name.
        sink: The collector's address, a path (NDJSON) or a function; `NOISESCALE_URL`, else this machine's collector.
        every: A step in so many is measured; where it is left out, so many that it costs 1 % of the time at most.
        layers: Squares of each layer too: of the parameters whose paths differ in the last word alone.
        hessian_every: A step in so many has B_noise measured too, by `grad_parts`.
        unit: What the parts' sizes count.
        optimizer: Its kind, by which the collector knows how the learning rate scales.
        declaration: The rest of what the collector is told: name, group, trackers, batch limits, tags.
        on_recommendation: Called by `record` when the batch size should change; in every process, after the same step.
        batch_size_limits: How far and how often it may.
        first_step: Number of the first step of a training that was resumed.
        spool_directory: Where records wait while the collector is away; `.noisescale/spool`.
        user_runs: False leaves alone the runs of MLflow, W&B, TensorBoard and trackio that the training logs to.
        enabled: False, or `NOISESCALE_DISABLED=1`, measures and sends nothing.

    Raises:
        ValueError: Naming the option that is wrong.
    """
    check_count("every", every)
    check_count("hessian_every", hessian_every)
    check_count("first_step", first_step, 0)
    check_function("on_recommendation", on_recommendation)
    processes, first = jax.process_count(), jax.process_index() == 0
    exchange = exchange_of_processes()
    if processes > 1 and exchange is None:
        if on_recommendation is not None:
            raise ValueError("on_recommendation: this JAX has no store by which its processes could be told")
        every = every or _EVERY_OF_SEVERAL
    on = switched_on(enabled)
    named = (project or default_project(), run or os.environ.get("NOISESCALE_RUN"))
    earlier = _open.get(named)
    if earlier is not None:
        earlier.close(deadline_seconds=1.0)
    report = run_report(
        run=run,
        project=project,
        sink=sink,
        unit=unit,
        optimizer=optimizer,
        declaration=declaration,
        spool_directory=spool_directory,
        user_runs=user_runs,
        follows=on_recommendation is not None,
        sends=on and first,
        says=first,
    )
    recommendations = recommendations_of(
        on_recommendation, batch_size_limits, optimizer, declaration, report, processes=processes
    )
    watcher = Watcher(
        report,
        exchange,
        every=every,
        layers=layers,
        hessian_every=hessian_every,
        first_step=first_step,
        recommendations=recommendations,
        own_log=OwnLog() if user_runs and first else None,
        enabled=on,
    )
    if named[1]:
        _open[named] = watcher
    return watcher
