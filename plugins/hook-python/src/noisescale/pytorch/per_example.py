"""Squared norms of each example's gradient from one backward pass, without the gradients themselves.

A layer's input a and its output's gradient d give them: for a linear layer |dᵢaᵢᵀ|² = |aᵢ|²·|dᵢ|² (Goodfellow 2015,
arXiv:1510.01799), and over a sequence the sum of the product of two Gram matrices.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

Rule = Callable[..., dict[str, torch.Tensor]]


class NotCoveredError(Exception):
    """Some layer's parameters are used in a way that the norms of their examples are not read from."""


class ExampleSquares:
    """Σ_i |h_i|² by group, over the examples i of one batch, each with its part h_i of the batch's gradient."""

    def __init__(self, model: nn.Module, parameters: Sequence[tuple[nn.Parameter, int]], groups: int) -> None:
        """Finds each parameter's layer.

        Args:
            model: Its layers take tensors whose first dimension counts the examples.
            parameters: Each with the number of its group.
            groups: How many groups there are.
        """
        self._groups = groups
        self._group_of = {id(parameter): group for parameter, group in parameters}
        self._layers: list[tuple[str, nn.Module, Rule]] = []
        self._seen: dict[int, torch.Tensor] = {}
        self._problem: str | None = None
        owners: dict[int, str] = {}
        for name, module in model.named_modules():
            held = [parameter for parameter in module.parameters(recurse=False) if id(parameter) in self._group_of]
            rule = _rule(module)
            shared = next((owners[id(parameter)] for parameter in held if id(parameter) in owners), None)
            if held and (rule is None or shared is not None):
                why = f"shares a parameter with {shared}" if shared is not None else f"is a {type(module).__name__}"
                self._problem = self._problem or f"{name or 'the model'} {why}"
            if held and rule is not None:
                self._layers.append((name, module, rule))
            owners.update(dict.fromkeys(map(id, held), name))

    @property
    def problem(self) -> str | None:
        """Which layer is not covered, and why; None where all are."""
        return self._problem

    @contextmanager
    def reading(self, examples: int) -> Iterator[None]:
        """Reads the one forward and backward pass within."""
        self._seen = {}
        called: set[str] = set()
        handles = [
            module.register_forward_hook(self._forward(name, rule, examples, called))
            for name, module, rule in self._layers
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def squares(self, used: Sequence[torch.Tensor]) -> torch.Tensor:
        """What was read.

        Args:
            used: The parameters that got a gradient.

        Returns:
            Shape (groups,), float64 [gradient²].

        Raises:
            NotCoveredError: If one of them was used past its layer, or a layer twice. It stays so.
        """
        if self._problem is None and any(id(parameter) not in self._seen for parameter in used):
            self._problem = "a parameter is used past its layer's forward pass"
        if self._problem is not None:
            raise NotCoveredError(self._problem)
        total = torch.zeros(self._groups, dtype=torch.float64, device=used[0].device)
        index = torch.tensor([self._group_of[id(parameter)] for parameter in used], device=total.device)
        return total.index_add_(0, index, torch.stack([self._seen[id(p)].to(total.device) for p in used]))

    def _forward(
        self, name: str, rule: Rule, examples: int, called: set[str]
    ) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def after_forward(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not isinstance(output, torch.Tensor) or not output.requires_grad:
                return
            given = inputs[0] if inputs else None
            if name in called:
                self._problem = self._problem or f"{name} is called more than once"
            elif not isinstance(given, torch.Tensor) or len(given) != examples or len(output) != examples:
                self._problem = self._problem or f"{name} has no dimension of examples in front"
            else:
                called.add(name)
                entered = given.detach()
                output.register_hook(lambda gradient: self._take(module, rule, entered, gradient.detach()))

        return after_forward

    def _take(self, module: nn.Module, rule: Rule, entered: torch.Tensor, gradient: torch.Tensor) -> None:
        try:
            with torch.no_grad():
                entered = entered.to(gradient.dtype) if entered.is_floating_point() else entered
                for name, square in rule(module, entered, gradient).items():
                    parameter = module._parameters.get(name)
                    if parameter is not None and id(parameter) in self._group_of:
                        self._seen[id(parameter)] = square
        except Exception as error:
            self._problem = self._problem or f"{type(module).__name__}: {error}"


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Σ over all, each example's own sum in the values' precision, the rest in float64."""
    return values.flatten(1).sum(1).double().sum()


def _products(entered: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Σ_i |Σ_t d_it a_itᵀ|² for a of shape (examples, T, p) and d of (examples, T, q), the cheaper way."""
    places, p, q = entered.shape[1], entered.shape[2], gradient.shape[2]
    if places == 1:
        return _sum(entered.square().sum(2) * gradient.square().sum(2))
    if places * (p + q) < p * q:
        return _sum((entered @ entered.mT) * (gradient @ gradient.mT))
    return _sum((gradient.mT @ entered).square())


def _linear(module: nn.Linear, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    examples = len(gradient)
    a = entered.reshape(examples, -1, module.in_features)
    d = gradient.reshape(examples, -1, module.out_features)
    return {"weight": _products(a, d), "bias": _sum(d.sum(1).square())}


def _embedding(module: nn.Embedding, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    if module.scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq")
    words = entered.reshape(len(entered), -1)
    d = gradient.reshape(len(entered), -1, module.embedding_dim)
    same = words.unsqueeze(1) == words.unsqueeze(2)
    if module.padding_idx is not None:
        same &= (words != module.padding_idx).unsqueeze(1)
    return {"weight": _sum((d @ d.mT) * same)}


def _scale_and_shift(normal: torch.Tensor, gradient: torch.Tensor, width: int) -> dict[str, torch.Tensor]:
    examples = len(gradient)
    scale = (normal * gradient).reshape(examples, -1, width).sum(1)
    return {"weight": _sum(scale.square()), "bias": _sum(gradient.reshape(examples, -1, width).sum(1).square())}


def _layer_norm(module: nn.LayerNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    shape = list(module.normalized_shape)
    normal = functional.layer_norm(entered, shape, None, None, module.eps)
    return _scale_and_shift(normal, gradient, module.weight.numel())


def _rms_norm(module: nn.RMSNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    normal = functional.rms_norm(entered, list(module.normalized_shape), None, module.eps)
    return _scale_and_shift(normal, gradient, module.weight.numel())


def _group_norm(module: nn.GroupNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    normal = functional.group_norm(entered, module.num_groups, None, None, module.eps)
    scale = (normal * gradient).flatten(2).sum(2)
    return {"weight": _sum(scale.square()), "bias": _sum(gradient.flatten(2).sum(2).square())}


def _convolution(
    module: nn.Conv1d | nn.Conv2d, entered: torch.Tensor, gradient: torch.Tensor
) -> dict[str, torch.Tensor]:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(entered, module._reversed_padding_repeated_twice, mode=mode)
    kernel, dilation, stride = module.kernel_size, module.dilation, module.stride
    if isinstance(module, nn.Conv1d):
        padded = padded.unsqueeze(2)
        kernel, dilation, stride = (1, *kernel), (1, *dilation), (1, *stride)
    examples, groups = len(gradient), module.groups
    patches = functional.unfold(padded, kernel, dilation, 0, stride)
    # A group of channels is a linear layer over the places.
    a = patches.reshape(examples, groups, -1, patches.shape[2])
    d = gradient.reshape(examples, groups, module.out_channels // groups, -1)
    weight = torch.stack([_products(a[:, group].mT, d[:, group].mT) for group in range(groups)]).sum()
    return {"weight": weight, "bias": _sum(d.sum(3).square())}


_RULES: list[tuple[type[nn.Module], Rule]] = [
    (nn.Linear, _linear),
    (nn.Embedding, _embedding),
    (nn.LayerNorm, _layer_norm),
    (nn.RMSNorm, _rms_norm),
    (nn.GroupNorm, _group_norm),
    (nn.Conv1d, _convolution),
    (nn.Conv2d, _convolution),
]


def _rule(module: nn.Module) -> Rule | None:
    return next((rule for kind, rule in _RULES if type(module).forward is kind.forward), None)
