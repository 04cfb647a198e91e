"""One line for a PyTorch loop that accumulates gradients over micro-batches."""

import os
import weakref
from collections.abc import Callable
from typing import Literal, TypedDict

import torch
from torch import distributed, nn

from noisescale.batch_size_control import BatchSizeChange, BatchSizeLimits, check_limits
from noisescale.options import check_count, check_function, check_parts, check_size
from noisescale.pytorch.processes import NotMeasuredError, processes_of
from noisescale.pytorch.quadratic_forms import AdamMetric
from noisescale.pytorch.watcher import Watcher
from noisescale.recommendations import recommendations_of
from noisescale.run_report import GivenSink, run_report, switched_on
from noisescale.user_runs import OwnLog
from noisescale.wire import RunDeclaration

# A cell of a notebook that is run again watches the same training anew.
_watched: weakref.WeakKeyDictionary[torch.optim.Optimizer, weakref.ref[Watcher]] = weakref.WeakKeyDictionary()


class WatchOptions(TypedDict, total=False):
    """What `watch` and the hooks made of it take by name."""

    run: str | None
    project: str | None
    sink: GivenSink
    every: int | None
    layers: bool
    hessian_every: int | None
    preconditioned: bool
    unit: Literal["example", "token", "timestep"]
    declaration: RunDeclaration | None
    on_recommendation: Callable[[BatchSizeChange], object] | None
    batch_size_limits: BatchSizeLimits | None
    spool_directory: str | os.PathLike[str] | None
    user_runs: bool
    enabled: bool


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    micro_batch: float | None = None,
    run: str | None = None,
    project: str | None = None,
    sink: GivenSink = None,
    every: int | None = None,
    parts: int | None = None,
    layers: bool = False,
    hessian_every: int | None = None,
    preconditioned: bool = False,
    unit: Literal["example", "token", "timestep"] = "example",
    declaration: RunDeclaration | None = None,
    on_recommendation: Callable[[BatchSizeChange], object] | None = None,
    batch_size_limits: BatchSizeLimits | None = None,
    scaler: "torch.amp.GradScaler | None" = None,
    first_step: int = 0,
    spool_directory: str | os.PathLike[str] | None = None,
    user_runs: bool = True,
    enabled: bool = True,
) -> Watcher:
    """Measures a loop that runs K ≥ 2 backward passes a step, and changes nothing in it.

    Args:
        model: Its parameters are hooked; call this again after copying it.
        optimizer: Its `step` ends an accumulation. A watcher that it had is closed.
        micro_batch: Units of one backward pass; `watcher.part` says so where they differ, and where this is left out.
        run: Name of the run; `NOISESCALE_RUN`, else the project with the time.
        project: `NOISESCALE_PROJECT`, else the script's name.
        sink: The collector's address, a path (NDJSON) or a function; `NOISESCALE_URL`, else this machine's collector.
        every: A step in so many is measured; where it is left out, so many that it costs 1 % at most.
        parts: K, where steps of another number are to be left out; else K is seen.
        layers: Squares of each layer too.
        hessian_every: A step in so many has B_noise measured too, by `watcher.backward` or `watcher.hessian`.
        preconditioned: The squares in Adam's metric too.
        unit: What `micro_batch` counts.
        declaration: The rest of what the collector is told: name, group, trackers, batch limits, tags.
        on_recommendation: Called in the thread that trains, when a step has ended and the batch size should change; in
            every process, after the same step. What it raises is one warning.
        batch_size_limits: How far and how often it may change.
        scaler: The gradient scaler, so that |G|² is that of the unscaled gradient.
        first_step: Number of the first step of a training that was resumed.
        spool_directory: Where records wait while the collector is away; `.noisescale/spool`.
        user_runs: False leaves alone the runs of MLflow, W&B, TensorBoard and trackio that the training logs to.
        enabled: False, or `NOISESCALE_DISABLED=1`, measures and sends nothing.

    Raises:
        TypeError, ValueError: Naming the option that is wrong.
    """
    _check_trained(model, optimizer)
    check_size("micro_batch", micro_batch)
    check_count("every", every)
    check_parts("parts", parts)
    check_count("hessian_every", hessian_every)
    check_count("first_step", first_step, 0)
    check_function("on_recommendation", on_recommendation)
    check_limits(batch_size_limits)
    if scaler is not None and not hasattr(scaler, "scale"):
        raise TypeError(f"scaler={scaler!r}: must be the torch.amp.GradScaler of the training")
    if on_recommendation is not None and parts is not None:
        raise ValueError(f"parts={parts}: leave it out with on_recommendation, which changes the number of parts")
    on = switched_on(enabled)
    optimizer = _innermost(optimizer)
    kind = _kind(optimizer)
    processes, measured, first = None, on, True
    try:
        processes = processes_of(model)
        first = processes is None or processes.rank == 0
    except NotMeasuredError:
        measured, first = False, distributed.get_rank() == 0
    if preconditioned and not AdamMetric.fits(optimizer):
        raise ValueError("preconditioned=True: needs an optimizer of Adam's kind")
    if hessian_every is not None and processes is not None and processes.sharded:
        raise ValueError(f"hessian_every={hessian_every}: leave it out where parameters are sharded, by fully_shard")
    before = _watched.get(optimizer)
    earlier = None if before is None else before()
    if earlier is not None:
        earlier.close(deadline_seconds=1.0)
    report = run_report(
        run=run,
        project=project,
        sink=sink,
        unit=unit,
        optimizer=kind,
        declaration=declaration,
        spool_directory=spool_directory,
        user_runs=user_runs,
        follows=on_recommendation is not None,
        sends=on and first,
        says=first,
    )
    size = 1 if processes is None else processes.size
    recommendations = recommendations_of(
        on_recommendation, batch_size_limits, kind, declaration, report, processes=size
    )
    if on and not measured:
        report.event(first_step, "unavailable", "data-parallel")
    watcher = Watcher(
        model,
        optimizer,
        report,
        processes,
        micro_batch=micro_batch,
        parts=parts,
        every=every,
        layers=layers,
        first_step=first_step,
        scaler=scaler,
        hessian_every=hessian_every,
        recommendations=recommendations,
        preconditioned=preconditioned,
        own_log=OwnLog() if user_runs and first else None,
        enabled=measured,
    )
    _watched[optimizer] = weakref.ref(watcher)
    return watcher


def _check_trained(model: object, optimizer: object) -> None:
    if isinstance(model, torch.optim.Optimizer) and isinstance(optimizer, nn.Module):
        raise TypeError("watch(optimizer, model): the order is watch(model, optimizer)")
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: is a {type(model).__name__}, must be the torch.nn.Module that is trained")
    if not isinstance(optimizer, torch.optim.Optimizer) and not hasattr(optimizer, "optimizer"):
        raise TypeError(f"optimizer: is a {type(optimizer).__name__}, must be a torch.optim.Optimizer")


def _innermost(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer itself, where Accelerate or Lightning handed out one that wraps it."""
    inner = getattr(optimizer, "optimizer", None)
    return _innermost(inner) if isinstance(inner, torch.optim.Optimizer) else optimizer


def _kind(optimizer: torch.optim.Optimizer) -> Literal["sgd", "adam", "other"]:
    if isinstance(optimizer, torch.optim.SGD):
        return "sgd"
    return "adam" if "adam" in type(optimizer).__name__.lower() else "other"
