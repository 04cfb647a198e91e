"""The models that the hook's cost is measured on, with a batch each."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn


class Case(NamedTuple):
    """A training: `loss(outputs, labels, reduction=…)` is the cross entropy."""

    model: nn.Module
    inputs: torch.Tensor
    labels: torch.Tensor


class Layer(nn.Module):
    """Attention and a perceptron, each behind a norm."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(256) for _ in range(2))
        self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 256)
        self.up, self.down = nn.Linear(256, 1024), nn.Linear(1024, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [part.unflatten(2, (4, 64)).transpose(1, 2) for part in self.qkv(self.norms[0](x)).chunk(3, dim=2)]
        seen = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norms[1](x))))


class Gpt(nn.Module):
    """Four layers of width 256 over 256 tokens, of 1000 words."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(1000, 256), nn.Embedding(256, 256)
        self.layers = nn.ModuleList(Layer(norm) for _ in range(4))
        self.norm, self.head = norm(256), nn.Linear(256, 1000, bias=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.words(words) + self.places(torch.arange(words.shape[1]).expand_as(words))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)).transpose(1, 2)


def mlp() -> Case:
    """784-512-512-10 on 256 rows."""
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    return Case(nn.Sequential(*layers), torch.randn(256, 784), torch.randint(0, 10, (256,)))


def cnn() -> Case:
    """Two convolutions of 3 × 3 and two linear layers on 256 images of 28 × 28."""
    layers = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    return Case(model, torch.randn(256, 1, 28, 28), torch.randint(0, 10, (256,)))


def gpt() -> Case:
    """16 sequences of 256 tokens."""
    words = torch.randint(0, 1000, (16, 257))
    return Case(Gpt(), words[:, :-1], words[:, 1:])


CASES = {"mlp": mlp, "cnn": cnn, "gpt": gpt}
