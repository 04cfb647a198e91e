"""Trains a small network on scikit-learn's handwritten digits with the Hugging Face Trainer, which follows
the recommended batch size.

pip install noisescale transformers accelerate scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/transformers_digits.py
"""

import tempfile

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

import noisescale


class Digits(Dataset[dict[str, torch.Tensor]]):
    def __init__(self) -> None:
        digits = load_digits()
        self.images = torch.tensor(digits.data, dtype=torch.float32) / 16
        self.labels = torch.tensor(digits.target)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        return {"images": self.images[row], "labels": self.labels[row]}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(images)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=4,
            num_train_epochs=20,
            optim="sgd",
            learning_rate=0.05,
            lr_scheduler_type="constant",
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
            save_strategy="no",
        )
        trainer = Trainer(model=Network(), args=arguments, train_dataset=Digits())

        def say(change: noisescale.BatchSizeChange) -> None:
            factor = change.learning_rate_factor or 1.0
            print(f"step {trainer.state.global_step}: batch size {change.batch_size:g} is due, rate × {factor:.4g}")

        attached = noisescale.transformers.attach(
            trainer, project="digits", every=1, follow_recommendation=True, on_recommendation=say
        )
        trainer.train()
    watcher = attached.watcher
    if watcher is not None and watcher.snapshot is not None and trainer.optimizer is not None:
        parts, rate = arguments.gradient_accumulation_steps, trainer.optimizer.param_groups[0]["lr"]
        b_simple = watcher.snapshot["b_simple"]
        print(f"{watcher.measurements} measurements, {parts} parts, rate {rate:.4g}, B_simple {b_simple}")


if __name__ == "__main__":
    main()
