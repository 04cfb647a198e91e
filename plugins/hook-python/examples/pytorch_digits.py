"""Trains a small network on scikit-learn's handwritten digits, and prints what the collector makes of it.

pip install noisescale torch scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/pytorch_digits.py
"""

import argparse
import json

import torch
from sklearn.datasets import load_digits
from torch import nn

import noisescale

PARTS, MICRO_BATCH = 4, 16


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--run")
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--every", type=int, default=1)
    options = arguments.parse_args()

    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    draws = torch.Generator().manual_seed(1)

    watcher = noisescale.watch(
        model, optimizer, micro_batch=MICRO_BATCH, run=options.run, project="digits", every=options.every, layers=True
    )
    for _ in range(options.steps):
        optimizer.zero_grad()
        for _ in range(PARTS):
            rows = torch.randint(len(images), (MICRO_BATCH,), generator=draws)
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            watcher.part(MICRO_BATCH, loss=loss)
            (loss / PARTS).backward()
        optimizer.step()
    arrived = watcher.close()
    print(json.dumps({"arrived": arrived, "measurements": watcher.measurements, "snapshot": watcher.snapshot}))


if __name__ == "__main__":
    main()
