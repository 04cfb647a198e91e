"""The runs of experiment trackers that the training logs to already, found without asking.

MLflow's is named to the collector, which writes to it. What needs no network, W&B's client and TensorBoard's writer, is
logged to in the training's own thread.
"""

import gc
import logging
import sys
import time
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


def found_runs() -> list[RunDeclarationTracker]:
    """Runs that the collector can write to: called from the thread that trains, where MLflow's is active.

    Each is named as the collector names a tracker that it finds in its environment.
    """
    mlflow = cast(_Mlflow | None, sys.modules.get("mlflow"))
    try:
        run = None if mlflow is None else mlflow.active_run()
        if mlflow is None or run is None or not mlflow.get_tracking_uri().startswith(("http:", "https:")):
            return []
        return [{"name": "mlflow", "run": {"run_id": run.info.run_id}}]
    except Exception:
        _log.warning("noisescale: MLflow did not say which run is active", exc_info=True)
        return []


class OwnLog:
    """Logs snapshots to the W&B run and the TensorBoard writer of this process, where there is one of them."""

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
            kinds = [
                kind
                for module in ("torch.utils.tensorboard.writer", "tensorboardX.writer")
                if isinstance(kind := getattr(sys.modules.get(module), "SummaryWriter", None), type)
            ]
            writers = [thing for thing in gc.get_objects() if type(thing) in kinds] if kinds else []
            # Which of several is the training's cannot be told.
            self._writer = writers[0] if len(writers) == 1 else None
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
