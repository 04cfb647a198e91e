"""Quadratic forms of gradients that the noise scales beyond B_simple are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from noisescale.pytorch.processes import local


def hessian_forms(
    loss: Callable[[], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    vectors: Sequence[Sequence[torch.Tensor]],
) -> torch.Tensor:
    """vᵀHv of each vector, with H the second derivative of a loss: one product H·v each.

    Args:
        loss: Gives the loss, shape ().
        parameters: What it is differentiated by.
        vectors: Each a sequence in the shapes of the parameters.

    Returns:
        Shape (vectors,), float64.

    Raises:
        RuntimeError: If some parameter's gradient does not depend on any: a function in the loss cannot be
            differentiated twice.
    """
    # The fused attention kernels have no second derivative.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        value = loss()
        gradient = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
        used = [i for i, slope in enumerate(gradient) if slope is not None]
        forms = []
        for vector in vectors:
            slope = torch.stack([(gradient[i] * vector[i]).sum() for i in used]).sum()
            products = torch.autograd.grad(slope, [parameters[i] for i in used], retain_graph=True)
            products_of = zip(used, products, strict=True)
            forms.append(torch.stack([(vector[i] * hv).sum(dtype=torch.float64) for i, hv in products_of]).sum())
    return torch.stack(forms).detach()


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Puts back the buffers of a model (running means) and the random numbers that come after one more forward pass."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = sorted({parameter.device.index or 0 for parameter in model.parameters() if parameter.is_cuda})
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


class AdamMetric:
    """Adam's own metric: the gradient's square is taken as gᵀPg with P = 1/(√v̂ + ε).

    v̂ is the second moment from before the step, so that P does not know the gradient that it measures (with v̂ from
    after it, 731 was seen for a true 463).
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes any optimizer that keeps its second moments as PyTorch's Adam does."""
        self._optimizer = optimizer
        self._groups: Mapping[torch.Tensor, dict[str, object]] = {
            parameter: group for group in optimizer.param_groups for parameter in group["params"]
        }

    @staticmethod
    def fits(optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer's groups hold what the metric is made of."""
        return all("betas" in group and "eps" in group for group in optimizer.param_groups)

    def root(self, parameter: torch.Tensor) -> torch.Tensor | None:
        """√P in the shape of the parameter's piece that this process holds; None before its first step."""
        state = self._optimizer.state.get(parameter)
        if not state or "exp_avg_sq" not in state or float(state["step"]) < 1:
            return None
        group = self._groups[parameter]
        betas, epsilon = group["betas"], group["eps"]
        if not (isinstance(betas, tuple | list) and isinstance(epsilon, float)):
            return None
        correction = 1 - float(betas[1]) ** float(state["step"])
        moment = local(state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"])
        return torch.rsqrt((moment / correction).sqrt_().add_(epsilon))
