"""CPU time of a watched step over a plain one, blocks of ten steps in turn: quartiles of the ratio.

PYTHONPATH=plugins/hook-python/src .cache/venv-python-hook/bin/python test/bench/hook_python.py
"""

import statistics
import time

import noisescale
import torch
from torch import nn

PARTS, BATCH, BLOCK, ROUNDS = 8, 256, 10, 25

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
inputs, labels = torch.randn(BATCH, 784), torch.randint(0, 10, (BATCH,))


def block_seconds() -> float:
    start = time.process_time()
    for _ in range(BLOCK):
        optimizer.zero_grad()
        for x, y in zip(inputs.chunk(PARTS), labels.chunk(PARTS), strict=True):
            (nn.functional.cross_entropy(model(x), y) / PARTS).backward()
        optimizer.step()
    return time.process_time() - start


block_seconds()
ratios: dict[int, list[float]] = {1: [], 10: []}
for _ in range(ROUNDS):
    plain = block_seconds()
    for every, seen in ratios.items():
        watcher = noisescale.watch(model, optimizer, micro_batch=BATCH / PARTS, every=every, sink=lambda _: None)
        seen.append(block_seconds() / plain)
        watcher.close()
for every, seen in ratios.items():
    print(f"every {every}: {' '.join(f'{value:.3f}' for value in statistics.quantiles(seen, n=4))}")
