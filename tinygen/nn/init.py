"""Floor 5. Initial values of parameters: each function fills a tensor by rebinding it and returns it."""

from __future__ import annotations

import math
from typing import TypeVar

from tinygen import random
from tinygen.tensor import Tensor

T = TypeVar("T", bound=Tensor)


def fan(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, …): how many numbers enter and leave one unit."""
    if tensor.ndim < 2:
        raise ValueError(f"init: fans need a weight (out, in, …), got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def uniform_(tensor: T, low: float, high: float, rng: random.Generator) -> T:
    """Uniform on [low, high)."""
    drawn = rng.uniform(tensor.shape, low, high, dtype=tensor.dtype, device=tensor.device)
    tensor.assign(drawn._data, copy=False)
    return tensor


def normal_(tensor: T, mean: float, std: float, rng: random.Generator) -> T:
    """Normal with the given mean and standard deviation."""
    drawn = rng.normal(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    tensor.assign((drawn * std + mean)._data, copy=False)
    return tensor


def zeros_(tensor: T) -> T:
    """Zeros."""
    tensor.assign((tensor.detach() * 0.0)._data, copy=False)
    return tensor


def xavier_uniform_(tensor: T, rng: random.Generator, gain: float = 1.0) -> T:
    """Uniform with variance gain² · 2 / (fan in + fan out) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fan(tensor)))
    return uniform_(tensor, -bound, bound, rng)


def kaiming_uniform_(tensor: T, rng: random.Generator, gain: float = math.sqrt(2.0)) -> T:
    """Uniform with variance gain² / fan in (He et al. 2015); the gain √2 is that of relu."""
    bound = gain * math.sqrt(3.0 / fan(tensor)[0])
    return uniform_(tensor, -bound, bound, rng)
