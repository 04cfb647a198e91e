"""The runs of experiment trackers that the training logs to already, found without asking.

MLflow's and that of a trackio server are named to the collector, which writes to them. What needs no network, W&B's
client, TensorBoard's writer and trackio's files, is logged to in the training's own thread: of them the collector needs
to know nothing, nor have credentials.
"""

import gc
import logging
import sys
import time
from collections.abc import Sequence
from typing import Protocol, cast

from noisescale.wire import BriefSnapshot, RunDeclarationTracker

_log = logging.getLogger("noisescale")

_PUSH_EVERY_SECONDS = 10.0


class _WandbRun(Protocol):
    def log(self, data: dict[str, float], *, commit: bool) -> None: ...


class _Writer(Protocol):
    all_writers: object

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...


class _MlflowRunInfo(Protocol):
    run_id: str


class _MlflowRun(Protocol):
    info: _MlflowRunInfo


class _Mlflow(Protocol):
    def active_run(self) -> _MlflowRun | None: ...

    def get_tracking_uri(self) -> str: ...


class _TrackioRun(Protocol):
    id: str
    project: str
    _next_step: int

    def log(self, metrics: dict[str, float], step: int | None = None) -> None: ...


def found_runs() -> list[RunDeclarationTracker]:
    """Runs that the collector can write to: called from the thread that trains, where they are active.

    Each is named as the collector names a tracker that it finds in its environment.
    """
    found: list[RunDeclarationTracker] = []
    try:
        mlflow_run = _mlflow_run()
        if mlflow_run is not None:
            found.append({"name": "mlflow", "run": {"run_id": mlflow_run}})
        trackio_run = _trackio_run(at_server=True)
        if trackio_run is not None:
            found.append({"name": "trackio", "run": {"project": trackio_run.project, "run_id": trackio_run.id}})
    except Exception:
        _log.warning("noisescale: a tracker's client did not say which run is active", exc_info=True)
    return found


def _mlflow_run() -> str | None:
    """Id of the run that is active at a server; without one, that of Lightning's logger, which makes none active."""
    mlflow = cast(_Mlflow | None, sys.modules.get("mlflow"))
    if mlflow is None:
        return None
    run = mlflow.active_run()
    if run is not None:
        return run.info.run_id if _is_server(mlflow.get_tracking_uri()) else None
    names = ("lightning.pytorch.loggers.mlflow", "pytorch_lightning.loggers.mlflow")
    # One that has made no run yet would make it when asked by its public name.
    loggers = [vars(logger) for logger in _living(names, "MLFlowLogger")]
    runs = {logger["_run_id"] for logger in loggers if _is_server(logger["_tracking_uri"]) and logger["_run_id"]}
    return runs.pop() if len(runs) == 1 else None


def _trackio_run(*, at_server: bool) -> _TrackioRun | None:
    """The run that this process logs to, where it is at a server, or where it is not: in files or in a Space."""
    context = sys.modules.get("trackio.context_vars")
    if context is None:
        return None
    run: _TrackioRun | None = context.current_run.get()
    is_at_server = _is_server(context.current_server.get()) and context.current_space_id.get() is None
    return run if is_at_server == at_server else None


def _is_server(address: str | None) -> bool:
    return address is not None and address.startswith(("http:", "https:"))


def _living(modules: Sequence[str], name: str) -> list[object]:
    """What this process has of a class, in those of the modules that are imported."""
    kinds = [kind for module in modules if isinstance(kind := getattr(sys.modules.get(module), name, None), type)]
    return [thing for thing in gc.get_objects() if type(thing) in kinds] if kinds else []


class OwnLog:
    """Logs snapshots to the W&B run, the TensorBoard writer and the local trackio run of this process."""

    def __init__(self) -> None:
        self._logged: BriefSnapshot | None = None
        self._next = 0.0
        self._failed = False
        self._writer: _Writer | None = None
        self._looked = False

    def update(self, snapshot: BriefSnapshot | None, *, last: bool = False) -> None:
        """Logs a snapshot that is new, every 10 seconds and at the end; never raises."""
        now = time.monotonic()
        if snapshot is None or snapshot is self._logged or self._failed or not (last or now >= self._next):
            return
        self._logged, self._next = snapshot, now + _PUSH_EVERY_SECONDS
        try:
            run = cast(_WandbRun | None, getattr(sys.modules.get("wandb"), "run", None))
            if run is not None:
                # With the row that the training logs next, so that its own steps stay as they are.
                run.log(_values(snapshot), commit=False)
            trackio_run = _trackio_run(at_server=False)
            if trackio_run is not None and trackio_run._next_step > 0:
                # At the step that the training logged last, so that its own count goes on as it would.
                trackio_run.log(_values(snapshot), step=trackio_run._next_step - 1)
            writer = self._open_writer()
            if writer is not None:
                for key, value in _values(snapshot).items():
                    writer.add_scalar(key, value, int(snapshot["step"] or 0))
        except Exception:
            self._failed = True
            _log.warning("noisescale logs nothing more to the training's own run", exc_info=True)

    def _open_writer(self) -> _Writer | None:
        if not self._looked:
            self._looked = True
            writers = _living(("torch.utils.tensorboard.writer", "tensorboardX.writer"), "SummaryWriter")
            # Which of several is the training's cannot be told.
            self._writer = cast(_Writer, writers[0]) if len(writers) == 1 else None
        return self._writer if self._writer is not None and self._writer.all_writers is not None else None


def _values(snapshot: BriefSnapshot) -> dict[str, float]:
    values = {
        "b_simple": snapshot["b_simple"],
        "b_simple_low": snapshot["b_simple_low"],
        "b_simple_high": snapshot["b_simple_high"],
        "gradient_squared_norm": snapshot["gradient_squared_norm"],
        "covariance_trace": snapshot["covariance_trace"],
        "b_noise": snapshot["b_noise"],
        "b_preconditioned": snapshot["b_preconditioned"],
        "critical_batch_size": snapshot["predicted"]["critical_batch_size"],
        "recommended_batch_size": snapshot["recommendation"]["batch_size"],
        "batch_size": snapshot["batch_size"],
        "efficiency": snapshot["efficiency"],
    }
    return {f"noise_scale/{name}": value for name, value in values.items() if value is not None}
