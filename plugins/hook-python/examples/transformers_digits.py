"""Trains a small network on scikit-learn's handwritten digits with the Hugging Face Trainer.

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
            max_steps=500,
            optim="sgd",
            learning_rate=0.05,
            lr_scheduler_type="constant",
            use_cpu=True,
            report_to="none",
            save_strategy="no",
        )
        trainer = Trainer(model=Network(), args=arguments, train_dataset=Digits())
        attached = noisescale.transformers.attach(trainer, project="digits", every=1)
        trainer.train()
    watcher = attached.watcher
    if watcher is not None and watcher.snapshot is not None:
        recommended = watcher.snapshot["recommendation"]["batch_size"]
        print(
            f"{watcher.measurements} measurements, B_simple {watcher.snapshot['b_simple']}, recommended {recommended}"
        )


if __name__ == "__main__":
    main()
