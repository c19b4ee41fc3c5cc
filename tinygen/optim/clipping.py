"""Floor 5. Gradients of many tensors scaled to a common norm that is not too large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tinygen.backend import Array, namespace
from tinygen.ops import zeros
from tinygen.optim.flat import joined
from tinygen.tensor import Tensor, wrap


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale the gradients in ``.grad`` so that their Euclidean norm, over all of them, is at most ``max_norm``.

    Returns the norm before clipping, a tensor of shape (): nothing waits for the device.  Gradients with a NaN
    all become NaN, as in PyTorch; ``max_norm=inf`` only measures.  Source: Pascanu, Mikolov & Bengio 2013.
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    having = [parameter for parameter in given if parameter.grad is not None]
    if not having:
        _check(max_norm)
        return zeros(())
    norm, scaled = clipped([parameter.grad._data for parameter in having], max_norm)  # type: ignore[union-attr]
    for parameter, gradient in zip(having, scaled, strict=True):
        parameter.grad = wrap(gradient, None, False)
    return wrap(norm, None, False)


def clipped(gradients: Sequence[Array], max_norm: float) -> tuple[Array, list[Array]]:
    """The common norm, and the gradients times min(max_norm / norm, 1): new arrays."""
    _check(max_norm)
    xp = namespace(gradients[0])
    flat = joined("clip_grad_norm_", gradients)
    wide = flat.astype(np.promote_types(flat.dtype, np.float32), copy=False)  # squares of float16 overflow early
    norm = xp.asarray(xp.sqrt(xp.dot(wide, wide)))
    flat *= xp.minimum(max_norm / (norm + 1e-6), 1.0).astype(flat.dtype)
    scaled, start = [], 0
    for gradient in gradients:
        scaled.append(flat[start : start + gradient.size].reshape(gradient.shape))
        start += gradient.size
    return norm.astype(flat.dtype), scaled


def _check(max_norm: float) -> None:
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be a number that is not negative, got {max_norm}")
