"""Trains on scikit-learn's handwritten digits with Lightning, which follows the recommended batch size.

pip install noisescale lightning scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/lightning_digits.py
"""

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import noisescale


class Digits(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05)


def main() -> None:
    pl.seed_everything(0)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target))

    def say(change: noisescale.BatchSizeChange) -> None:
        factor = change.learning_rate_factor or 1.0
        print(f"step {trainer.global_step}: batch size {change.batch_size:g} is due, rate × {factor:.4g}")

    callback = noisescale.lightning.Callback(
        project="digits", every=1, follow_recommendation=True, on_recommendation=say
    )
    trainer = pl.Trainer(
        max_epochs=20,
        accumulate_grad_batches=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[callback],
    )
    trainer.fit(Digits(), DataLoader(data, batch_size=8, shuffle=True, drop_last=True))
    watcher = callback.watcher
    if watcher is not None and watcher.snapshot is not None:
        parts, rate = trainer.accumulate_grad_batches, trainer.optimizers[0].param_groups[0]["lr"]
        b_simple = watcher.snapshot["b_simple"]
        print(f"{watcher.measurements} measurements, {parts} parts, rate {rate:.4g}, B_simple {b_simple}")


if __name__ == "__main__":
    main()
