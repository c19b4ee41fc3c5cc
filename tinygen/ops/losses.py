"""Floor 3. Losses, from logits where there is a choice.  They always return tensors.

Every loss takes ``reduction="mean" | "sum" | "none"``; "mean" divides by the number of terms, which for class
losses is the number of labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.operands import operation
from tinygen.ops.compare import softplus
from tinygen.ops.elementwise import abs, square
from tinygen.ops.index import check_indices, take_along_axis
from tinygen.ops.reduce import mean, sum
from tinygen.ops.shape import expand_dims, squeeze
from tinygen.ops.softmax import log_softmax
from tinygen.tensor import Tensor, raw


def _reduce(name: str, terms: Any, reduction: str) -> Tensor:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    result = terms if reduction == "none" else mean(terms) if reduction == "mean" else sum(terms)
    return result if isinstance(result, Tensor) else Tensor(np.asarray(result) if np.isscalar(result) else result)


def _same_shape(name: str, x: Any, target: Any) -> None:
    if tuple(x.shape) != tuple(target.shape):
        raise ValueError(f"{name}: input {x.shape} and target {target.shape} must have the same shape; reshape one")


@operation
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared error (input − target)²."""
    _same_shape("mse_loss", input, target)
    return _reduce("mse_loss", square(input - target), reduction)


@operation
def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Absolute error |input − target|."""
    _same_shape("l1_loss", input, target)
    return _reduce("l1_loss", abs(input - target), reduction)


@operation
def binary_cross_entropy_with_logits(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """−t log σ(x) − (1 − t) log(1 − σ(x)) = softplus(x) − t x, in nats; targets in [0, 1], of x's shape."""
    _same_shape("binary_cross_entropy_with_logits", input, target)
    return _reduce("binary_cross_entropy_with_logits", softplus(input) - target * input, reduction)


@operation
def nll_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Minus the log-probability of each label: input (N, C, …) of log-probabilities, integer target (N, …)."""
    if input.ndim < 2 or tuple(target.shape) != (input.shape[0], *input.shape[2:]):
        raise ValueError(
            f"nll_loss: input {input.shape} must be (N, C, …) with classes on axis 1, "
            f"and target (N, …), got {target.shape}"
        )
    labels = raw(target)
    check_indices("nll_loss", "labels", labels, input.shape[1])
    return _reduce("nll_loss", -squeeze(take_along_axis(input, expand_dims(labels, 1), 1), 1), reduction)


@operation
def cross_entropy(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Minus the log-probability of each label under softmax: input (N, C, …) of logits, integer target (N, …)."""
    if input.ndim < 2:
        raise ValueError(f"cross_entropy: input {input.shape} must be (N, C) or (N, C, d…), with classes on axis 1")
    return nll_loss(log_softmax(input, 1), target, reduction)
