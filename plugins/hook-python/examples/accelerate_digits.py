"""Trains on scikit-learn's handwritten digits with Accelerate, with as many batches a step as are recommended.

pip install noisescale accelerate scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/accelerate_digits.py
"""

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import noisescale

MICRO_BATCH = 8


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target))
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    accelerator = Accelerator(gradient_accumulation_steps=4, cpu=True)
    model, optimizer, loader = accelerator.prepare(
        network,
        torch.optim.SGD(network.parameters(), lr=0.05),
        DataLoader(data, MICRO_BATCH, shuffle=True, drop_last=True),
    )

    def follow(change: noisescale.BatchSizeChange) -> None:
        accelerator.gradient_accumulation_steps = change.accumulation
        accelerator.step = 0  # it counts from here
        factor = change.learning_rate_factor or 1.0
        noisescale.scale_learning_rate(optimizer, factor)
        rate = optimizer.param_groups[0]["lr"]
        print(f"step {watcher.step}: batch size {change.batch_size:g}, rate × {factor:.4g} = {rate:.4g}")

    watcher = noisescale.watch(
        model, optimizer, micro_batch=MICRO_BATCH, project="digits", every=1, on_recommendation=follow
    )
    for _ in range(20):
        for images, labels in loader:
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(images), labels))
                optimizer.step()
                optimizer.zero_grad()
    watcher.close()
    if watcher.snapshot is not None:
        parts, rate = accelerator.gradient_accumulation_steps, optimizer.param_groups[0]["lr"]
        b_simple = watcher.snapshot["b_simple"]
        print(f"{watcher.measurements} measurements, {parts} parts, rate {rate:.4g}, B_simple {b_simple}")


if __name__ == "__main__":
    main()
