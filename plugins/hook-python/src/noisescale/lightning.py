"""A callback for Lightning: `Trainer(callbacks=[noisescale.lightning.Callback()])`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.data import BType, extract_batch_size

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
        **options: "Unpack[WatchOptions]",
    ) -> None:
        """Says what `noisescale.watch` is called with when training begins.

        Args:
            units_of: The units of a batch; Lightning's own reading of its first tensor where it is left out.
            optimizer: Number of the optimizer whose steps are measured, where the module has several.
            options: As in `watch`.
        """
        self.watcher: Watcher | None = None
        self._units_of = units_of
        self._optimizer = optimizer
        self._options = options
        self._units = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attaches the hooks."""
        model = trainer.strategy.model
        self.watcher = watch(
            pl_module if model is None else model,
            trainer.optimizers[self._optimizer],
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            first_step=trainer.global_step,
            **self._options,
        )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: BType, batch_idx: int
    ) -> None:
        """Takes the size of the part that comes."""
        if self.watcher is not None and self.watcher.measuring:
            self._units = self._units_of(batch)

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
