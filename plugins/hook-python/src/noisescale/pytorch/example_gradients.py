"""Linear layers over sequences whose weight gets its gradient as the sum of each example's, whose norms come for free.

The norms of the examples' gradients d_iᵀa_i take as many multiplications as the weight's whole gradient Σ_i d_iᵀa_i.
Taking both from one product saves the second one, as Gray et al. 2024, arXiv:2411.00999, do for layers of
normalisation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from noisescale.pytorch.example_rules import pieces
from noisescale.pytorch.squares import chunk_squares

Take = Callable[[dict[str, torch.Tensor]], None]

# A number of an example's gradient, which is written and read, takes the time of about so many multiplications.
_MEMORY = 32


class _Context(FunctionCtx):
    saved_tensors: tuple[torch.Tensor, torch.Tensor]
    needs_input_grad: tuple[bool, ...]
    take: Take


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(entered: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, _: Take) -> torch.Tensor:
        return functional.linear(entered, weight, bias)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[object, ...], output: object) -> None:
        entered, weight, _, take = cast(tuple[torch.Tensor, torch.Tensor, object, Take], inputs)
        ctx.save_for_backward(entered, weight)
        cast(_Context, ctx).take = take

    @staticmethod
    def backward(ctx: _Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        entered, weight = ctx.saved_tensors
        a, d = entered.flatten(1, -2), gradient.flatten(1, -2)
        sums, squares = [], []
        for piece in pieces(len(d), weight.numel()):
            each = d[piece].mT @ a[piece]
            sums.append(each.sum(0))
            squares.append(chunk_squares(each))
        shifts = d.sum(1)
        ctx.take({"weight": torch.cat(squares), "bias": chunk_squares(shifts)})
        return (
            gradient @ weight if ctx.needs_input_grad[0] else None,
            sums[0] if len(sums) == 1 else torch.stack(sums).sum(0),
            shifts.sum(0) if ctx.needs_input_grad[2] else None,
            None,
        )


@contextmanager
def from_each_example(
    layers: Sequence[tuple[str, nn.Module]], examples: int, take: Callable[[nn.Module, dict[str, torch.Tensor]], None]
) -> Iterator[set[str]]:
    """Lets linear layers over sequences add up their weights' gradients by example, where that is cheaper.

    Args:
        layers: With their names.
        examples: The length of the first dimension of what goes into them.
        take: Gets a layer's squares by parameter in the backward pass, as a rule gives them.

    Yields:
        The names of the layers that were called so.
    """
    called: set[str] = set()
    # An instance's own forward function is another library's.
    exchanged = [(n, m) for n, m in layers if isinstance(m, nn.Linear) and "forward" not in m.__dict__]
    for name, module in exchanged:
        module.__dict__["forward"] = _forward(name, module, examples, partial(take, module), called)
    try:
        yield called
    finally:
        for _, module in exchanged:
            del module.__dict__["forward"]


def _forward(
    name: str, module: nn.Linear, examples: int, take: Take, called: set[str]
) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(entered: torch.Tensor) -> torch.Tensor:
        if not _pays(module, entered, examples):
            return nn.Linear.forward(module, entered)
        called.add(name)
        output: torch.Tensor = _Linear.apply(entered, module.weight, module.bias, take)  # type: ignore[no-untyped-call]
        return output

    return forward


def _pays(module: nn.Linear, entered: torch.Tensor, examples: int) -> bool:
    """Whether the product by example is exact, and cheaper than Gram matrices beside the weight's own gradient."""
    p, q = module.in_features, module.out_features
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not module.weight.requires_grad:
        return False
    if type(entered) is not torch.Tensor or entered.dim() < 3 or len(entered) != examples or entered.numel() == 0:
        return False
    # In 16 bits each example's gradient would be rounded before it is added.
    whole = entered.dtype is module.weight.dtype and entered.dtype in {torch.float32, torch.float64}
    if not whole or torch.is_autocast_enabled(entered.device.type):
        return False
    places = entered.numel() // (examples * p)
    return places**2 * (p + q) > _MEMORY * p * q
