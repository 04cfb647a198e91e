"""Trains on scikit-learn's handwritten digits in two processes, whose gradients are the parts.

pip install noisescale torch scikit-learn
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
torchrun --nproc-per-node 2 examples/ddp_digits.py
"""

import torch
from sklearn.datasets import load_digits
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import noisescale

BATCH = 32


def main() -> None:
    distributed.init_process_group("gloo")
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    # Draws of its own in each process.
    draws = torch.Generator().manual_seed(distributed.get_rank())

    watcher = noisescale.watch(model, optimizer, micro_batch=BATCH, project="digits", every=1)
    for _ in range(500):
        rows = torch.randint(len(images), (BATCH,), generator=draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    watcher.close()
    if watcher.snapshot is not None:
        print(f"{watcher.measurements} measurements, B_simple {watcher.snapshot['b_simple']}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
