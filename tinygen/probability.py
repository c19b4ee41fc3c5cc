"""Floor 4. What distributions and divergences share: logarithms at probability 0, p log(p/q), and checks of values.

The logarithm of an exact 0 is −∞ and a *constant*: its derivative is taken as 0.  So an impossible value gives
−∞ without NaN in any gradient, and gradients are those of changes that keep the support.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygen.backend import checks_values
from tinygen.ops.compare import equal, greater, where
from tinygen.ops.elementwise import log, log1p
from tinygen.tensor import Tensor, raw

INFINITY = math.inf


def log_or_minus_infinity(p: Any) -> Tensor:
    """log p, and the constant −∞ where p is 0."""
    impossible = equal(p, 0.0)
    return where(impossible, -INFINITY, log(where(impossible, 1.0, p)))


def log_complement(p: Any) -> Tensor:
    """log(1 − p), exact for small p, and the constant −∞ where p is 1."""
    certain = equal(p, 1.0)
    return where(certain, -INFINITY, log1p(-where(certain, 0.0, p)))


def finite(log_p: Any) -> Tensor:
    """log p with 0 in place of −∞, for the products p · log p, which are 0 there."""
    return where(greater(log_p, -INFINITY), log_p, 0.0)


def relative_entropy(p: Any, log_p: Any, log_q: Any) -> Tensor:
    """p log(p/q), the terms of KL (DIV-1): 0 where p is 0, ∞ where q is 0 < p."""
    possible = greater(log_p, -INFINITY)
    both = possible * greater(log_q, -INFINITY)
    return where(both, p * (finite(log_p) - finite(log_q)), where(possible, INFINITY, 0.0 * p))


def require(what: str, value: Any, allowed: Callable[[Any], Any], rule: str) -> None:
    """Raise ValueError unless all elements are allowed.  On a device looking would synchronise and is left out."""
    array = raw(value)
    if checks_values(array) and not np.all(allowed(array)):
        raise ValueError(f"{what} {rule}; its values reach from {np.min(array):.6g} to {np.max(array):.6g}")


def require_table(what: str, p: Tensor, axis: Any, weights: Any = 1.0, tolerance: float | None = None) -> None:
    """Raise ValueError unless p ≥ 0 and Σ p · weights = 1 along the axis, on the host.

    The tolerance 1e-5 (1e-2 in half precision) leaves room for single-precision tables, but not for mistakes.
    """
    array = raw(p)
    if not checks_values(array):
        return
    require(what, p, lambda a: a >= 0, "must not be negative: probabilities are ≥ 0; of logits take the softmax")
    total = (array * weights).sum(axis=axis, dtype=np.float64)
    allowed = tolerance or (1e-2 if array.dtype.itemsize == 2 else 1e-5)
    wrong = ~(np.abs(total - 1.0) <= allowed)
    if wrong.any():
        raise ValueError(
            f"{what} must sum to 1 along axis {axis}, but a sum is {total[wrong].flat[0]:.6g}; divide by the sum"
        )
