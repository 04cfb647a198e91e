"""Trains on scikit-learn's handwritten digits, with as many parts a step as are recommended.

pip install noisescale torch scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/closed_loop_digits.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import noisescale

MICRO_BATCH = 8


def main() -> None:
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    draws = torch.Generator().manual_seed(1)
    parts = 4

    def follow(change: noisescale.BatchSizeChange) -> None:
        nonlocal parts
        parts = change.accumulation
        if change.learning_rate_factor is not None:
            noisescale.scale_learning_rate(optimizer, change.learning_rate_factor)
        rate, low = optimizer.param_groups[0]["lr"], change.snapshot["recommendation"]["batch_size_low"]
        print(f"step {watcher.step}: batch size {change.batch_size:g}, rate {rate:.3g} (recommended: {low} or more)")

    watcher = noisescale.watch(
        model, optimizer, micro_batch=MICRO_BATCH, project="digits", every=1, on_recommendation=follow
    )
    for _ in range(400):
        optimizer.zero_grad()
        for _ in range(parts):
            rows = torch.randint(len(images), (MICRO_BATCH,), generator=draws)
            (nn.functional.cross_entropy(model(images[rows]), labels[rows]) / parts).backward()
        optimizer.step()
    watcher.close()
    if watcher.snapshot is not None:
        print(f"{watcher.measurements} measurements, {parts} parts, B_simple {watcher.snapshot['b_simple']}")


if __name__ == "__main__":
    main()
