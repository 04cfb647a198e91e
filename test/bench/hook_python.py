"""CPU time of watched steps over plain ones, in turns on one thread: quartiles of the ratio.

PYTHONPATH=plugins/hook-python/src .cache/venv-python-hook/bin/python test/bench/hook_python.py [mlp] [cnn] [gpt]

measured      every step measured, gradients accumulated over 8 parts
as chosen     the default: watched until `every` is chosen, then rounds of `every` steps, one of which is measured
per example   every step measured, the batch in one piece, over plain steps of that kind
"""

import statistics
import sys
import time
from collections.abc import Callable

import noisescale
import torch
from torch import nn

PARTS, ROUNDS = 8, 15


class Gpt(nn.Module):
    """Four layers of width 256 over 256 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(1000, 256), nn.Embedding(256, 256)
        self.layers = nn.ModuleList(Layer() for _ in range(4))
        self.norm, self.head = nn.LayerNorm(256), nn.Linear(256, 1000, bias=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.words(words) + self.places(torch.arange(words.shape[1]).expand_as(words))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)).transpose(1, 2)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(256) for _ in range(2))
        self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 256)
        self.up, self.down = nn.Linear(256, 1024), nn.Linear(1024, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [part.unflatten(2, (4, 64)).transpose(1, 2) for part in self.qkv(self.norms[0](x)).chunk(3, dim=2)]
        seen = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))


def mlp() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    return nn.Sequential(*layers), torch.randn(256, 784), torch.randint(0, 10, (256,))


def cnn() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    layers = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    return model, torch.randn(256, 1, 28, 28), torch.randint(0, 10, (256,))


def gpt() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    words = torch.randint(0, 1000, (16, 257))
    return Gpt(), words[:, :-1], words[:, 1:]


def seconds(step: Callable[[], object], steps: int) -> float:
    start = time.process_time()
    for _ in range(steps):
        step()
    return time.process_time() - start


def bench(name: str, make: Callable[[], tuple[nn.Module, torch.Tensor, torch.Tensor]]) -> None:
    model, inputs, labels = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)

    def loss_fn(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(x), y)

    def accumulated() -> None:
        optimizer.zero_grad()
        for x, y in zip(inputs.chunk(PARTS), labels.chunk(PARTS), strict=True):
            (loss_fn(x, y) / PARTS).backward()
        optimizer.step()

    def whole() -> None:
        optimizer.zero_grad()
        loss_fn(inputs, labels).backward()
        optimizer.step()

    def watch(every: int | None) -> noisescale.Watcher:
        return noisescale.watch(model, optimizer, micro_batch=len(inputs) / PARTS, every=every, sink=lambda _: None)

    def by_example(watcher: noisescale.Watcher) -> Callable[[], None]:
        def step() -> None:
            optimizer.zero_grad()
            watcher.backward(loss_fn, (inputs, labels), per_example=True)
            optimizer.step()

        return step

    def compare(
        kind: str,
        plain: Callable[[], None],
        watched: Callable[[], tuple[noisescale.Watcher, Callable[[], None]]],
        steps: int,
    ) -> None:
        ratios = []
        for _ in range(ROUNDS):
            before = seconds(plain, steps)
            watcher, step = watched()
            # The first step finds out how many parts there are.
            step()
            seen = seconds(step, steps)
            watcher.detach()
            ratios.append(seen / ((before + seconds(plain, steps)) / 2))
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{name}: {kind} {middle:.3f} ({low:.3f} to {high:.3f}), {steps} steps a round", flush=True)

    def measured() -> tuple[noisescale.Watcher, Callable[[], None]]:
        return watch(1), accumulated

    def examples() -> tuple[noisescale.Watcher, Callable[[], None]]:
        watcher = watch(1)
        return watcher, by_example(watcher)

    seconds(accumulated, 3)
    compare("measured", accumulated, measured, 5)
    compare("per example", whole, examples, 5)
    choosing = watch(None)
    seconds(accumulated, 41)
    every = choosing.every
    choosing.detach()
    compare(f"as chosen, a step in {every},", accumulated, lambda: (watch(every), accumulated), every)


torch.set_num_threads(1)
torch.manual_seed(0)
for one in sys.argv[1:] or ["mlp", "cnn"]:
    bench(one, {"mlp": mlp, "cnn": cnn, "gpt": gpt}[one])
