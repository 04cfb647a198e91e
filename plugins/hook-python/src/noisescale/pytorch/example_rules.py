"""Squared norms of each example's gradient of one layer, from what goes into it and its output's gradient.

A layer's input a and its output's gradient d give them: for a linear layer |dᵢaᵢᵀ|² = |aᵢ|²·|dᵢ|² (Goodfellow 2015,
arXiv:1510.01799), and over a sequence the sum of the product of two Gram matrices.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from noisescale.pytorch.squares import chunk_squares

Rule = Callable[..., dict[str, torch.Tensor]]

# 4 MB in float32: gradients of so many examples at a time that they stay in a cache.
_MOST_ELEMENTS = 2**20


def rule_of(module: nn.Module) -> Rule | None:
    """Gives squares of each parameter by name, which add up to Σ_i |h_i|²; None where no rule covers the layer.

    A rule takes the module, its input and its output's gradient, both with the examples as their first dimension. Its
    squares have the shape (n,), whatever they are of, and are to be added up in float64 [gradient²].
    """
    return next((rule for kind, rule in _RULES if type(module).forward is kind.forward), None)


def pieces(examples: int, elements: int) -> Iterator[slice]:
    """Cuts a batch so that gradients of so many elements each take little memory."""
    step = max(1, _MOST_ELEMENTS // max(1, elements))
    return (slice(start, start + step) for start in range(0, examples, step))


def by_gram(places: int, p: int, q: int) -> bool:
    """Whether the Gram matrices of a (T, p) and d (T, q) are cheaper than dᵀa."""
    return places * (p + q) < p * q


def gram_squares(entered: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """|Σ_t d_it a_itᵀ|² of each example i for a of shape (examples, T, p) and d of (examples, T, q)."""
    return _sums((entered @ entered.mT) * (gradient @ gradient.mT))


def _sums(values: torch.Tensor) -> torch.Tensor:
    """Each example's sum."""
    return values.flatten(1).sum(1, dtype=_wide(values))


def _wide(values: torch.Tensor) -> torch.dtype:
    return torch.float64 if values.dtype is torch.float64 else torch.float32


def _linear(module: nn.Linear, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    if gradient.dim() == 2:
        wide = _wide(gradient)
        d = torch.linalg.vector_norm(gradient, dim=1, dtype=wide)
        weight = torch.linalg.vector_norm(entered, dim=1, dtype=wide).mul_(d).square_()
        return {"weight": weight, "bias": d.square_()}
    a, d = entered.flatten(1, -2), gradient.flatten(1, -2)
    places, p, q = a.shape[1], module.in_features, module.out_features
    if by_gram(places, p, q):
        weight = gram_squares(a, d)
    else:
        weight = torch.cat([chunk_squares(d[piece].mT @ a[piece]) for piece in pieces(len(d), p * q)])
    return {"weight": weight, "bias": chunk_squares(d.sum(1))}


def _embedding(module: nn.Embedding, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    if module.scale_grad_by_freq:
        raise ValueError("scale_grad_by_freq")
    words = entered.reshape(len(entered), -1)
    d = gradient.reshape(len(entered), -1, module.embedding_dim)
    same = words.unsqueeze(1) == words.unsqueeze(2)
    if module.padding_idx is not None:
        same &= (words != module.padding_idx).unsqueeze(1)
    return {"weight": _sums((d @ d.mT) * same)}


def _scale_and_shift(normal: torch.Tensor, gradient: torch.Tensor, width: int) -> dict[str, torch.Tensor]:
    examples = len(gradient)
    scale = (normal * gradient).reshape(examples, -1, width).sum(1)
    return {"weight": chunk_squares(scale), "bias": chunk_squares(gradient.reshape(examples, -1, width).sum(1))}


def _layer_norm(module: nn.LayerNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    shape = list(module.normalized_shape)
    normal = functional.layer_norm(entered, shape, None, None, module.eps)
    return _scale_and_shift(normal, gradient, module.weight.numel())


def _rms_norm(module: nn.RMSNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    normal = functional.rms_norm(entered, list(module.normalized_shape), None, module.eps)
    return _scale_and_shift(normal, gradient, module.weight.numel())


def _group_norm(module: nn.GroupNorm, entered: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    normal = functional.group_norm(entered, module.num_groups, None, None, module.eps)
    scale, shift = (each.reshape(*each.shape[:2], -1).sum(2) for each in (normal * gradient, gradient))
    return {"weight": chunk_squares(scale), "bias": chunk_squares(shift)}


def _convolution(
    module: nn.Conv1d | nn.Conv2d, entered: torch.Tensor, gradient: torch.Tensor
) -> dict[str, torch.Tensor]:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = functional.pad(entered, module._reversed_padding_repeated_twice, mode=mode)
    kernel, dilation, stride = module.kernel_size, module.dilation, module.stride
    if isinstance(module, nn.Conv1d):
        padded, gradient = padded.unsqueeze(2), gradient.unsqueeze(2)
        kernel, dilation, stride = (1, *kernel), (1, *dilation), (1, *stride)
    groups, places = module.groups, gradient.shape[2] * gradient.shape[3]
    # A group of channels is a linear layer over the places.
    p, q = module.weight[0].numel(), module.out_channels // groups
    if by_gram(places, p, q):
        patches = functional.unfold(padded, kernel, dilation, 0, stride)
        a = patches.unflatten(1, (groups, p)).flatten(0, 1)
        d = gradient.reshape(-1, q, places)
        weight = gram_squares(a.mT, d.mT)
    else:
        shape = (module.out_channels, module.in_channels // groups, *kernel)
        each = (
            _kernel_gradients(padded[piece], gradient[piece], shape, stride, dilation, groups)
            for piece in pieces(len(gradient), module.weight.numel())
        )
        weight = torch.cat([chunk_squares(gradients) for gradients in each])
    return {"weight": weight, "bias": chunk_squares(gradient.flatten(2).sum(2))}


def _kernel_gradients(
    entered: torch.Tensor,
    gradient: torch.Tensor,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> torch.Tensor:
    """Each example's gradient of a kernel: the examples are groups of channels of one image (Rochette et al. 2019).

    Source: arXiv:1912.06015.
    """
    examples = len(entered)
    gradients: torch.Tensor = conv2d_weight(
        entered.reshape(1, -1, *entered.shape[2:]),
        torch.Size((examples * shape[0], *shape[1:])),
        gradient.reshape(1, -1, *gradient.shape[2:]),
        stride,
        0,
        dilation,
        examples * groups,
    )
    return gradients


_RULES: list[tuple[type[nn.Module], Rule]] = [
    (nn.Linear, _linear),
    (nn.Embedding, _embedding),
    (nn.LayerNorm, _layer_norm),
    (nn.RMSNorm, _rms_norm),
    (nn.GroupNorm, _group_norm),
    (nn.Conv1d, _convolution),
    (nn.Conv2d, _convolution),
]
