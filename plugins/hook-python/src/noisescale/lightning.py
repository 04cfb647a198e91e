"""A callback for Lightning: `Trainer(callbacks=[noisescale.lightning.Callback()])`."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.data import BType, extract_batch_size

from noisescale.batch_size_control import BatchSizeChange
from noisescale.following import Following
from noisescale.pytorch.learning_rate import scale_learning_rate
from noisescale.pytorch.watch import WatchOptions, watch
from noisescale.pytorch.watcher import Watcher

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Callback(pl.Callback):
    """Measures a training whose batches are accumulated, or spread over processes by DDP or FSDP2."""

    def __init__(
        self,
        *,
        units_of: Callable[[BType], float] = extract_batch_size,
        optimizer: int = 0,
        follow_recommendation: bool = False,
        **options: "Unpack[WatchOptions]",
    ) -> None:
        """Says what `noisescale.watch` is called with when training begins.

        Args:
            units_of: The units of a batch; Lightning's own reading of its first tensor where it is left out. A step in
                which it raises is left out (`part-sizes`).
            optimizer: Number of the optimizer whose steps are measured, where the module has several.
            follow_recommendation: `trainer.accumulate_grad_batches` becomes what is recommended, and the optimizer's
                learning rate is scaled along, where the collector knows a factor; for automatic optimization. It does
                so when an epoch begins, or after a number of batches that both numbers divide: Lightning counts the
                batches of an epoch from its beginning, and would step before all parts are there, with gradients of
                the step before among them. A checkpoint is resumed with the number that it was saved with.
            options: As in `watch`; `on_recommendation` is called before the change.
        """
        self.watcher: Watcher | None = None
        self._units_of = units_of
        self._optimizer = optimizer
        self._options = options
        self._follows = follow_recommendation
        self._following: Following | None = None
        self._units = 0.0
        # Since a first change.
        self._accumulation: int | None = None

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint keeps: its optimizer has the rate of this number of batches."""
        return {} if self._accumulation is None else {"accumulate_grad_batches": self._accumulation}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Takes it from there."""
        self._accumulation = cast(int | None, state_dict.get("accumulate_grad_batches"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attaches the hooks."""
        options = self._options
        if self._follows:
            if not pl_module.automatic_optimization:
                raise ValueError("follow_recommendation=True: manual optimization takes on_recommendation instead")
            if self._accumulation is not None:
                trainer.accumulate_grad_batches = self._accumulation
            self._following = Following(options, trainer.num_training_batches)
            options = self._following.options
        model = trainer.strategy.model
        self.watcher = watch(
            pl_module if model is None else model,
            trainer.optimizers[self._optimizer],
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            first_step=trainer.global_step,
            **options,
        )
        if self._following is not None:
            self._following.watcher = self.watcher

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: BType, batch_idx: int
    ) -> None:
        """Takes the size of the part that comes, and changes their number where that is due."""
        if self._following is not None and batch_idx % trainer.accumulate_grad_batches == 0:
            change = self._following.due(batch_idx)
            if change is not None:
                self._change(trainer, change)
            if batch_idx > 0 and batch_idx + trainer.accumulate_grad_batches >= trainer.num_training_batches:
                self._following.leave_out()
        if self.watcher is not None and self.watcher.measuring:
            self._units = self._units_in(batch)

    def _units_in(self, batch: BType) -> float:
        try:
            return self._units_of(batch)
        except Exception:
            # The step is left out, as of unknown size.
            return math.nan

    def _change(self, trainer: pl.Trainer, change: BatchSizeChange) -> None:
        self._accumulation = trainer.accumulate_grad_batches = change.accumulation
        if change.learning_rate_factor is not None:
            optimizer = trainer.optimizers[self._optimizer]
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            own = [scheduler for scheduler in schedulers if getattr(scheduler, "optimizer", None) is optimizer]
            scale_learning_rate(optimizer, change.learning_rate_factor, own)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        """Says of which size the part is that is differentiated now."""
        if self.watcher is not None and self.watcher.measuring:
            # Lightning has divided the loss by it.
            share = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            self.watcher.part(self._units, loss=loss.detach() * share)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the run."""
        if self.watcher is not None:
            self.watcher.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Ends the run as failed."""
        if self.watcher is not None:
            self.watcher.close(failed=True)
