"""CPU time of watched steps over plain ones, on one thread, in turns: what the PyTorch hook costs.

PYTHONPATH=plugins/hook-python/src .cache/venv-python-hook/bin/python test/bench/hook_python.py [mlp] [cnn] [gpt]

Each kind of step has a copy of the model. A turn runs one step of each kind, in an order that rotates, and gives the
ratios to its own plain step. The table has their median, the interval that holds the median of their distribution with
95 % (by order statistics), and their quartiles.

accumulation   the batch in K = 8 parts
DDP            two processes (gloo), a batch each in one piece; of the first one's CPU time
per example    `watcher.backward(..., per_example=True)`, over a batch in one piece
every step     all steps measured
not measured   steps that the cadence leaves out
default        one step in `every` measured, as the hook chose from its first 40 steps; of each turn
               ((every − 1)·not measured + every step)/(every·plain)
"""

import copy
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

import noisescale
import torch
from hook_python_models import CASES, Case
from hook_python_others import others
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

PARTS, NEVER = 8, 10**9
# Turns of the hook's rows, and of those beside the others.
TURNS = {"mlp": (400, 15), "cnn": (60, 6), "gpt": (10, 6)}

Step = Callable[[], object]
Kinds = Mapping[str, Step]


def accumulated(case: Case, model: nn.Module, optimizer: torch.optim.Optimizer, _: noisescale.Watcher | None) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        for x, y in zip(case.inputs.chunk(PARTS), case.labels.chunk(PARTS), strict=True):
            (cross_entropy(model(x), y) / PARTS).backward()
        optimizer.step()

    return step


def whole(case: Case, model: nn.Module, optimizer: torch.optim.Optimizer, _: noisescale.Watcher | None) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(case.inputs), case.labels).backward()
        optimizer.step()

    return step


def per_example(
    case: Case, model: nn.Module, optimizer: torch.optim.Optimizer, watcher: noisescale.Watcher | None
) -> Step:
    if watcher is None:
        return whole(case, model, optimizer, None)

    def step() -> None:
        optimizer.zero_grad()
        watcher.backward(lambda x, y: cross_entropy(model(x), y), (case.inputs, case.labels), per_example=True)
        optimizer.step()

    return step


def kinds(
    case: Case, make: Callable[..., Step], micro_batch: float, wrap: Callable[[nn.Module], nn.Module] = lambda m: m
) -> tuple[dict[str, Step], int]:
    """Plain steps, measured ones and those that are left out; and how often the hook measures by itself."""

    def watched(every: int | None) -> tuple[Step, noisescale.Watcher | None]:
        model = wrap(copy.deepcopy(case.model))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
        watcher = None
        if every != 0:
            watcher = noisescale.watch(model, optimizer, micro_batch=micro_batch, every=every, sink=lambda _: None)
        return make(case, model, optimizer, watcher), watcher

    choosing, watcher = watched(None)
    for _ in range(51 if distributed.is_initialized() else 40):
        choosing()
    assert watcher is not None
    every = watcher.every
    watcher.detach()
    return {"plain": watched(0)[0], "not measured": watched(NEVER)[0], "every step": watched(1)[0]}, every


def turns(steps: Kinds, count: int, untimed: int = 0) -> list[dict[str, float]]:
    """CPU seconds of each kind in each turn, of one step after some that are not timed."""
    for step in steps.values():
        step()
        step()
    names = list(steps)
    seen = []
    for turn in range(count):
        seconds = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for _ in range(untimed):
                steps[name]()
            start = time.process_time()
            steps[name]()
            seconds[name] = time.process_time() - start
        seen.append(seconds)
    return seen


def row(model: str, name: str, ratios: list[float]) -> None:
    ordered, n = sorted(ratios), len(ratios)
    # The largest r with P(Bin(n, 1/2) < r) ≤ 2.5 %: the r-th from each end bounds the median.
    below, r = 0.0, 0
    while (below := below + math.comb(n, r) / 2**n) <= 0.025:
        r += 1
    interval = f"{ordered[r - 1]:.3f} to {ordered[n - r]:.3f}" if r > 0 else "too few turns"
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"| {model} | {name:<36} | {middle:.3f} | {interval} | {low:.3f} to {high:.3f} | {n} |", flush=True)


def rows(model: str, name: str, seen: list[dict[str, float]], every: int) -> None:
    row(model, f"{name}, every step", [s["every step"] / s["plain"] for s in seen])
    row(model, f"{name}, not measured", [s["not measured"] / s["plain"] for s in seen])
    mean = [((every - 1) * s["not measured"] + s["every step"]) / (every * s["plain"]) for s in seen]
    row(model, f"{name}, default: one in {every}", mean)


def data_parallel(rank: int, model: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    count, _ = TURNS[model]
    case = CASES[model]()
    steps, every = kinds(case, whole, len(case.inputs), DistributedDataParallel)
    seen = turns(steps, count)
    if rank == 0:
        rows(model, "DDP", seen, every)
    distributed.barrier()
    distributed.destroy_process_group()


def bench(model: str) -> None:
    count, few = TURNS[model]
    case = CASES[model]()
    for name, make, units in (("accumulation", accumulated, len(case.inputs) / PARTS), ("per example", per_example, 1)):
        steps, every = kinds(case, make, units)
        rows(model, name, turns(steps, count), every)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(data_parallel, (model, folder), nprocs=2)
    beside = {"plain": steps["plain"], "per example": steps["every step"], **others(case)}
    # The gigabytes that some of them write slow down the step that comes next.
    seen = turns(beside, few, untimed=1)
    for name in [name for name in beside if name != "plain"]:
        row(model, f"beside the others: {name}", [s[name] / s["plain"] for s in seen])


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| model | steps | ratio | its 95 % interval | quartiles of the turns | turns |\n|---|---|---|---|---|---|")
    for one in sys.argv[1:] or CASES:
        bench(one)
