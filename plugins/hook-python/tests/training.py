"""Small trainings, and the squares that a measurement of them is compared with."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from noisescale.wire import Measurement

# Rounding of float32 sums over a few thousand elements.
FLOAT32 = 1e-4

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[nn.Module, Batch], torch.Tensor]


def cross_entropy(model: nn.Module, batch: Batch) -> torch.Tensor:
    loss: torch.Tensor = nn.functional.cross_entropy(model(batch[0]), batch[1])
    return loss


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 300), nn.Tanh(), nn.Linear(300, 5))


def batches(sizes: Sequence[int], seed: int = 1) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 20, generator=generator), torch.randint(0, 5, (n,), generator=generator)) for n in sizes]


def micro_gradients(
    model: nn.Module, parts: Sequence[Batch], weights: Sequence[float], loss: Loss = cross_entropy
) -> list[dict[str, torch.Tensor]]:
    """h_k of each part by parameter, in float64, from a backward pass each."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    seen = []
    for part, weight in zip(parts, weights, strict=True):
        gradients = torch.autograd.grad(loss(model, part) * weight, list(parameters.values()), allow_unused=True)
        named = zip(parameters, gradients, strict=True)
        seen.append({name: gradient.to_dense().double() for name, gradient in named if gradient is not None})
    return seen


def squares_of(micro: Sequence[dict[str, torch.Tensor]]) -> tuple[dict[str, float], dict[str, float]]:
    """Σ|h_k|² and |Σh_k|² by parameter."""
    names = {name for one in micro for name in one}
    small = {name: sum(float(one[name].square().sum()) for one in micro if name in one) for name in names}
    total = {name: torch.stack([one[name] for one in micro if name in one]).sum(0) for name in names}
    return small, {name: float(h.square().sum()) for name, h in total.items()}


def brute_force(
    model: nn.Module, parts: Sequence[Batch], weights: Sequence[float], loss: Loss = cross_entropy
) -> tuple[dict[str, float], dict[str, float]]:
    """Σ|h_k|² and |Σh_k|² by parameter."""
    return squares_of(micro_gradients(model, parts, weights, loss))


def assert_squares(
    measurement: Measurement,
    small: dict[str, float],
    big: dict[str, float],
    q: float,
    *,
    prefix: str = "",
    rtol: float = FLOAT32,
) -> None:
    """Compares a measurement, in total and by layer, with Σ|h_k|² and |Σh_k|² by parameter.

    Args:
        measurement: With layers.
        small, big: By parameter; of parts whose weights sum to 1.
        q: The sum of these weights' squares.
        prefix: Stands before a parameter's name in the watched model.
        rtol: Relative.
    """
    assert measurement["small"]["squared_norm"] == pytest.approx(sum(small.values()) / q, rel=rtol)
    assert measurement["big"]["squared_norm"] == pytest.approx(sum(big.values()), rel=rtol)
    by_layer: dict[str, tuple[float, float]] = {}
    for name in small:
        layer = prefix + name.rpartition(".")[0]
        layer_small, layer_big = by_layer.get(layer, (0.0, 0.0))
        by_layer[layer] = (layer_small + small[name] / q, layer_big + big[name])
    assert measurement["layers"].keys() >= by_layer.keys()
    for layer, squares in measurement["layers"].items():
        # A layer without gradient is one that is frozen.
        assert squares == pytest.approx(by_layer.get(layer, (0.0, 0.0)), rel=rtol)
