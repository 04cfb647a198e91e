"""CPU time of watched steps over plain ones, on one thread, in turns: what the PyTorch hook costs.

PYTHONPATH=plugins/hook-python/src .cache/venv-python-hook/bin/python test/bench/hook_python.py [mlp] [cnn] [gpt]

A turn runs a step of each kind, in an order that rotates, and gives the ratios to its own plain step. The table has
their median, the interval that holds the median of their distribution with 95 % (by order statistics), and their
quartiles.

accumulation   the batch in K = 8 parts
DDP            two processes (gloo), a batch each in one piece; of the first one's CPU time
per example    `watcher.backward(..., per_example=True)`, over a batch in one piece
every step     all steps measured
not measured   steps that the cadence leaves out. Nothing is attached to their model, which is asserted: they are plain
               steps, and what the hook runs when they end. That alone is timed, with an optimizer that has no
               gradients, after a plain step of another model each time, which leaves the caches as a training does
default        one step in N measured, as the hook chose from its first 80 steps: two steps, of which one is measured,
               with hooks attached before it and removed after it, and N - 2 that are not measured, over N plain ones
whole cycles   the same, seen as a whole, where steps are short; a turn is N plain steps and N of which one is measured

Where every step is measured, and beside the others, each kind has a copy of the model, whose place in memory alone may
make up to 1 % of a difference. Elsewhere both kinds train one model, with an optimizer for each.
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
# Turns of the hook's rows, whole cycles, and turns of those beside the others.
TURNS = {"mlp": (300, 60, 10), "cnn": (30, 0, 6), "gpt": (10, 0, 6)}

Step = Callable[[], object]
Kinds = Mapping[str, Step]
Wrap = Callable[[nn.Module], nn.Module]
Watched = tuple[nn.Module, torch.optim.Optimizer, noisescale.Watcher | None]


def same(model: nn.Module) -> nn.Module:
    return model


def accumulated(
    case: Case,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    _: noisescale.Watcher | None,
) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        for x, y in zip(case.inputs.chunk(PARTS), case.labels.chunk(PARTS), strict=True):
            (cross_entropy(model(x), y) / PARTS).backward()
        optimizer.step()

    return step


def whole(
    case: Case,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    _: noisescale.Watcher | None,
) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(case.inputs), case.labels).backward()
        optimizer.step()

    return step


def per_example(
    case: Case,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    watcher: noisescale.Watcher | None,
) -> Step:
    if watcher is None:
        return whole(case, model, optimizer, None)

    def step() -> None:
        optimizer.zero_grad()
        watcher.backward(
            lambda x, y: cross_entropy(model(x), y),
            (case.inputs, case.labels),
            per_example=True,
        )
        optimizer.step()

    return step


def watched(case: Case, wrap: Wrap, micro_batch: float, every: int | None) -> Watched:
    """A copy of the model, its optimizer and watcher; `every` 0 leaves it plain."""
    model = wrap(copy.deepcopy(case.model))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    watcher = None
    if every != 0:
        watcher = noisescale.watch(model, optimizer, micro_batch=micro_batch, every=every, sink=lambda _: None)
    return model, optimizer, watcher


def left_out(case: Case, wrap: Wrap, by_example: bool, plain: Step, count: int) -> list[float]:
    """CPU seconds that the hook takes of a step that is not measured, each time after a plain one."""

    def step_of(every: int) -> Step:
        model, optimizer, watcher = watched(case, wrap, 1, every)
        # Step 0 is measured.
        optimizer.step()
        assert not any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters())
        assert not any(m._forward_hooks or "forward" in m.__dict__ for m in model.modules())
        loss = torch.zeros((), requires_grad=True)

        def step() -> None:
            if by_example and watcher is not None:
                watcher.backward(lambda *_: loss, (case.inputs, case.labels), per_example=True)
            elif by_example:
                loss.backward()
            optimizer.step()

        return step

    both = {"plain": step_of(0), "watched": step_of(NEVER)}
    seen = turns(both, count, before=dict.fromkeys(both, plain))
    return [s["watched"] - s["plain"] for s in seen]


def bench_hook(case: Case, model: str, name: str, make: Callable[..., Step], units: float, wrap: Wrap = same) -> Kinds:
    """Measures and prints the rows of one way of measuring; gives back its plain steps and those measured by each."""
    count, cycles, _ = TURNS[model]
    choosing = watched(case, wrap, units, None)
    step = make(case, *choosing)
    for _ in range(91 if distributed.is_initialized() else 80):
        step()
    choosing[2].detach()
    every = choosing[2].every
    steps = {kind: make(case, *watched(case, wrap, units, n)) for kind, n in (("plain", 0), ("every step", 1))}
    seen = turns(steps, count)
    plain = statistics.median(s["plain"] for s in seen)
    hook = left_out(case, wrap, name == "per example", steps["plain"], count)
    left = statistics.median(hook) / plain

    def in_cycles(steps_of_a_cycle: int, count: int) -> list[float]:
        """Ratios of CPU time of cycles, whose last step is measured, to as many plain steps of the same model."""
        own, optimizer, watcher = watched(case, wrap, units, steps_of_a_cycle)
        other = torch.optim.SGD(own.parameters(), lr=0.001)
        both = {"watched": make(case, own, optimizer, watcher), "plain": make(case, own, other, None)}
        # Step 0 is measured.
        both["watched"]()
        seen = turns(both, count, each=steps_of_a_cycle, warm_up=0)
        return [s["watched"] / s["plain"] for s in seen]

    default = [1 + (2 * (ratio - 1) + (every - 2) * left) / every for ratio in in_cycles(2, count)]
    whole = in_cycles(every, cycles)
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        row(model, f"{name}, every step", [s["every step"] / s["plain"] for s in seen])
        row(model, f"{name}, not measured", [1 + seconds / plain for seconds in hook])
        row(model, f"{name}, default: one in {every}", default)
        if cycles > 0:
            row(model, f"{name}, default in whole cycles", whole)
    return steps


def turns(
    steps: Kinds, count: int, *, each: int = 1, before: Kinds | None = None, warm_up: int = 2
) -> list[dict[str, float]]:
    """CPU seconds of each kind in each turn, of some steps after one that is not timed."""
    for step in steps.values():
        for _ in range(warm_up):
            step()
    names = list(steps)
    seen = []
    for turn in range(count):
        seconds = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if before is not None:
                before[name]()
            start = time.process_time()
            for _ in range(each):
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
    print(
        f"| {model} | {name:<36} | {middle:.3f} | {interval} | {low:.3f} to {high:.3f} | {n} |",
        flush=True,
    )


def mixed_rows(model: str, name: str, seen: list[dict[str, float]], every: int) -> None:
    """The rows of turns whose kinds are plain, not measured and every step; the default is made of these."""
    for kind in ("every step", "not measured"):
        row(model, f"{name}, {kind}", [s[kind] / s["plain"] for s in seen])
    mixed = [((every - 1) * s["not measured"] + s["every step"]) / (every * s["plain"]) for s in seen]
    row(model, f"{name}, default: one in {every}", mixed)


def data_parallel(rank: int, model: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    case = CASES[model]()
    bench_hook(case, model, "DDP", whole, len(case.inputs), DistributedDataParallel)
    distributed.barrier()
    distributed.destroy_process_group()


def bench(model: str) -> None:
    case = CASES[model]()
    bench_hook(case, model, "accumulation", accumulated, len(case.inputs) / PARTS)
    steps = bench_hook(case, model, "per example", per_example, 1)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(data_parallel, (model, folder), nprocs=2)
    beside = {
        "plain": steps["plain"],
        "per example": steps["every step"],
        **others(case),
    }
    # The gigabytes that some of them write slow down the step that comes next.
    seen = turns(beside, TURNS[model][2], before=beside)
    for name in [name for name in beside if name != "plain"]:
        row(model, f"beside the others: {name}", [s[name] / s["plain"] for s in seen])


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| model | steps | ratio | its 95 % interval | quartiles of the turns | turns |\n|---|---|---|---|---|---|")
    for one in sys.argv[1:] or CASES:
        bench(one)
