"""Floor 5. Initial values of parameters: each function fills a tensor by rebinding it and returns it."""

from __future__ import annotations

import math
from typing import TypeVar

import tinygen.ops as ops
from tinygen.random import Generator
from tinygen.tensor import Tensor

T = TypeVar("T", bound=Tensor)


def fan(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, …): how many numbers enter and leave one unit."""
    if tensor.ndim < 2:
        raise ValueError(f"init: fans need a weight (out, in, …), got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _filled(tensor: T, values: Tensor) -> T:
    tensor.assign(values._data, copy=False)
    return tensor


def constant_(tensor: T, value: float) -> T:
    """One number everywhere."""
    return _filled(tensor, ops.full_like(tensor, value))


def zeros_(tensor: T) -> T:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Ones."""
    return constant_(tensor, 1.0)


def uniform_(rng: Generator, tensor: T, low: float = 0.0, high: float = 1.0) -> T:
    """Uniform on [low, high)."""
    return _filled(tensor, rng.uniform(tensor.shape, low, high, dtype=tensor.dtype, device=tensor.device))


def normal_(rng: Generator, tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Normal with the given mean and standard deviation."""
    return _filled(tensor, rng.normal(tensor.shape, dtype=tensor.dtype, device=tensor.device) * std + mean)


def xavier_uniform_(rng: Generator, tensor: T, gain: float = 1.0) -> T:
    """Uniform with variance gain² · 2 / (fan in + fan out) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fan(tensor)))
    return uniform_(rng, tensor, -bound, bound)


def xavier_normal_(rng: Generator, tensor: T, gain: float = 1.0) -> T:
    """Normal with variance gain² · 2 / (fan in + fan out)."""
    return normal_(rng, tensor, 0.0, gain * math.sqrt(2.0 / sum(fan(tensor))))


def kaiming_uniform_(rng: Generator, tensor: T, gain: float = math.sqrt(2.0), mode: str = "fan_in") -> T:
    """Uniform with variance gain² / fan (He et al. 2015); the gain √2 is that of relu."""
    bound = gain * math.sqrt(3.0 / _fan_of(tensor, mode))
    return uniform_(rng, tensor, -bound, bound)


def kaiming_normal_(rng: Generator, tensor: T, gain: float = math.sqrt(2.0), mode: str = "fan_in") -> T:
    """Normal with variance gain² / fan; ``mode`` is ``"fan_in"`` (keeps the size of signals) or ``"fan_out"``."""
    return normal_(rng, tensor, 0.0, gain / math.sqrt(_fan_of(tensor, mode)))


def _fan_of(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: unknown mode {mode!r}; use 'fan_in' or 'fan_out'")
    return fan(tensor)[mode == "fan_out"]


def orthogonal_(rng: Generator, tensor: T, gain: float = 1.0) -> T:
    """gain · Q, where Q (out, in · …) has orthonormal rows or, if there are more rows than columns, columns.

    Uniform among all such matrices: the factor Q of a normal matrix, with the signs that make diag R positive
    (Saxe et al. 2014; Mezzadri 2007 for the signs).
    """
    fan(tensor)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    normal = rng.normal((max(rows, columns), min(rows, columns)), dtype=tensor.dtype, device=tensor.device)
    q, r = ops.linalg.qr(normal)
    q = gain * q * ops.sign(ops.diagonal(r))
    return _filled(tensor, ops.reshape(q if rows >= columns else q.T, tensor.shape))


def around_zero(rng: Generator, shape: int | tuple[int, ...], fan_in: int) -> Tensor:
    """Uniform in ±1/√fan in: how PyTorch starts the weights and biases of its layers."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 1.0
    return rng.uniform(shape, -bound, bound)
