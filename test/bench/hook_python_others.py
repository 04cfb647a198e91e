"""Steps that get at the gradient noise as other projects do, beside the hook's; those that are installed.

Opacus 1.6, BackPACK 1.7 and gns-pytorch 0.1 are no dependencies of ours: pip install --no-deps opacus
backpack-for-pytorch unfoldNd einops opt_einsum gns-pytorch, into an environment of its own that has torch 2.13.
"""

import copy
import importlib.util
from collections.abc import Callable
from typing import ClassVar

import torch
from hook_python_models import Case, Gpt
from torch import nn
from torch.nn.functional import cross_entropy

Step = Callable[[], None]


class _LayerNorm(torch.autograd.Function):
    """Layer normalisation whose backward pass takes each example's gradient of scale and shift on the way."""

    @staticmethod
    def forward(ctx, x, weight, bias, epsilon, squares):
        y, mean, root = torch.native_layer_norm(x, weight.shape, weight, bias, epsilon)
        ctx.save_for_backward(x, weight, bias, mean, root)
        ctx.squares = squares
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, weight, bias, mean, root = ctx.saved_tensors
        needed = [True, False, False]
        input_gradient, _, _ = torch.ops.aten.native_layer_norm_backward(
            gradient, x, weight.shape, mean, root, weight, bias, needed
        )
        scale = (gradient * ((x - mean) * root)).sum(1)
        shift = gradient.sum(1)
        ctx.squares.append(scale.square().sum() + shift.square().sum())
        return input_gradient, scale.sum(0), shift.sum(0), None, None


class ExampleLayerNorm(nn.LayerNorm):
    """The method of Gray et al. 2024, arXiv:2411.00999: each example's norm of the layers of normalisation alone."""

    squares: ClassVar[list[torch.Tensor]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _LayerNorm.apply(x, self.weight, self.bias, self.eps, self.squares)


def layer_norm_only(case: Case) -> Step | None:
    if not isinstance(case.model, Gpt):
        return None
    model = Gpt(ExampleLayerNorm)
    model.load_state_dict(case.model.state_dict())
    norms = [p for module in model.modules() if isinstance(module, ExampleLayerNorm) for p in module.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)

    def step() -> None:
        optimizer.zero_grad()
        ExampleLayerNorm.squares.clear()
        cross_entropy(model(case.inputs), case.labels).backward()
        torch.stack([*ExampleLayerNorm.squares, *(p.grad.square().sum() for p in norms)]).tolist()
        optimizer.step()

    return step


def opacus(case: Case) -> Step:
    from opacus import GradSampleModule

    model = GradSampleModule(copy.deepcopy(case.model))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.001)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(case.inputs), case.labels).backward()
        small = [p.grad_sample.square().sum() for p in parameters]
        big = [p.grad.square().sum() for p in parameters]
        torch.stack([*small, *big]).tolist()
        for p in parameters:
            p.grad_sample = None
        optimizer.step()

    return step


def backpack(case: Case) -> Step | None:
    if isinstance(case.model, Gpt):
        # It extends chains of the modules that it knows.
        return None
    from backpack import backpack as extensions
    from backpack import extend
    from backpack.extensions import BatchL2Grad

    model, loss = extend(copy.deepcopy(case.model)), extend(nn.CrossEntropyLoss())
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.001)

    def step() -> None:
        optimizer.zero_grad()
        with extensions(BatchL2Grad()):
            loss(model(case.inputs), case.labels).backward()
        small = [p.batch_l2.sum() for p in parameters]
        big = [p.grad.square().sum() for p in parameters]
        torch.stack([*small, *big]).tolist()
        optimizer.step()

    return step


def gns_pytorch(case: Case) -> Step:
    """With its own defaults: a quarter of the batch, and at most ten tensors or a hundredth of them."""
    from gns_pytorch import compute_gns

    model = copy.deepcopy(case.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)

    def step() -> None:
        optimizer.zero_grad()
        losses = cross_entropy(model(case.inputs), case.labels, reduction="none").flatten(
            1 if case.labels.dim() > 1 else 0
        )
        each = losses.mean(1) if losses.dim() > 1 else losses
        compute_gns(each, model)
        each.mean().backward()
        optimizer.step()

    return step


def others(case: Case) -> dict[str, Step]:
    """A step of each method that is installed and fits the model."""
    ways = {
        "LayerNorm only, as nanoGNS": (layer_norm_only, "torch"),
        "Opacus GradSampleModule": (opacus, "opacus"),
        "BackPACK BatchL2Grad": (backpack, "backpack"),
        "gns-pytorch": (gns_pytorch, "gns_pytorch"),
    }
    steps = {name: way(case) for name, (way, package) in ways.items() if importlib.util.find_spec(package)}
    return {name: step for name, step in steps.items() if step is not None}
