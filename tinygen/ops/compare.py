"""Floor 3. Comparisons, and the functions with kinks built on them: where, maximum, clip, activations.

Comparisons are recorded primitives without a derivative, so that the mask in a rule is part of the record too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.backend import Array, namespace
from tinygen.operands import operation
from tinygen.ops.convert import astype
from tinygen.ops.elementwise import log1p_of_unit, multiply
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


@primitive(elementwise=True)
def greater(x1: Array, x2: Array) -> Array:
    """x1 > x2."""
    return x1 > x2


@primitive(elementwise=True)
def greater_equal(x1: Array, x2: Array) -> Array:
    """x1 ≥ x2."""
    return x1 >= x2


@primitive(elementwise=True)
def less(x1: Array, x2: Array) -> Array:
    """x1 < x2."""
    return x1 < x2


@primitive(elementwise=True)
def less_equal(x1: Array, x2: Array) -> Array:
    """x1 ≤ x2."""
    return x1 <= x2


@primitive(elementwise=True)
def equal(x1: Array, x2: Array) -> Array:
    """x1 = x2."""
    return x1 == x2


@primitive(elementwise=True)
def not_equal(x1: Array, x2: Array) -> Array:
    """x1 ≠ x2."""
    return x1 != x2


@primitive(elementwise=True, mask=True)
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, else y."""
    return namespace(condition).where(condition, x, y)


where.derivatives(None, lambda g, out, c, x, y: where(c, g, 0.0), lambda g, out, c, x, y: where(c, 0.0, g))


@primitive(elementwise=True)
def maximum(x1: Array, x2: Array) -> Array:
    """The larger of the two; where they are equal, each gets half of the cotangent."""
    return namespace(x1, x2).maximum(x1, x2)


maximum.derivatives(
    lambda g, y, a, b: 0.5 * (g * greater(a, b) + g * greater_equal(a, b)),
    lambda g, y, a, b: 0.5 * (g * less(a, b) + g * less_equal(a, b)),
)


@primitive(elementwise=True)
def minimum(x1: Array, x2: Array) -> Array:
    """The smaller of the two; where they are equal, each gets half of the cotangent."""
    return namespace(x1, x2).minimum(x1, x2)


minimum.derivatives(
    lambda g, y, a, b: 0.5 * (g * less(a, b) + g * less_equal(a, b)),
    lambda g, y, a, b: 0.5 * (g * greater(a, b) + g * greater_equal(a, b)),
)


@primitive(elementwise=True)
def _clip(x: Array, low: Array, high: Array) -> Array:
    xp = namespace(x)
    return xp.minimum(xp.maximum(x, low), high)


_clip.derivatives(
    lambda g, y, x, low, high: g * greater_equal(x, low) * less_equal(x, high),
    lambda g, y, x, low, high: g * less(x, low) * less_equal(low, high),
    lambda g, y, x, low, high: g * greater(maximum(x, low), high),
)


@operation
def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Tensor:
    """x limited to [a_min, a_max] (numbers or arrays; None: no bound); at a bound the cotangent passes to x."""
    if a_min is None and a_max is None:
        raise ValueError("clip: give a_min, a_max or both")
    lowest, highest = (-math.inf, math.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    return _clip(x, lowest if a_min is None else a_min, highest if a_max is None else a_max)


# --- activations -------------------------------------------------------------------------------------------------


@primitive(elementwise=True)
def relu(x: Array) -> Array:
    """max(x, 0); the derivative at 0 is 0."""
    xp = namespace(x)
    return xp.maximum(x, xp.zeros_like(x))  # NumPy's maximum with a number is three times slower


relu.derivatives(lambda g, y, x: g * greater(x, 0))


@primitive(elementwise=True)
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope · x; negative_slope is a number from 0 to 1."""
    if not 0 <= negative_slope <= 1:
        raise ValueError(f"leaky_relu: negative_slope must lie in [0, 1], got {negative_slope}")
    return namespace(x).maximum(x, negative_slope * x)


leaky_relu.derivatives(
    lambda g, y, x, negative_slope=0.01: g * (astype(greater(x, 0), x.dtype) * (1.0 - negative_slope) + negative_slope)
)


@primitive(elementwise=True)
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha · (eˣ − 1).  eˣ − 1 = tanh(x/2)(eˣ + 1) is exact near 0 and faster than expm1."""
    xp = namespace(x)
    zero = xp.zeros_like(x)
    below = xp.minimum(x, zero)
    return xp.maximum(x, zero) + alpha * (xp.tanh(0.5 * below) * (xp.exp(below) + 1.0))


elu.derivatives(lambda g, y, x, alpha=1.0: g * greater(x, 0) + (y + alpha) * (g * less_equal(x, 0)))


@primitive(elementwise=True)
def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow and exact in both tails."""
    xp = namespace(x)
    small = xp.exp(-xp.abs(x))
    return xp.maximum(small, (x >= 0).astype(small.dtype)) / (small + 1.0)


sigmoid.derivatives(lambda g, y, x: g * y * (1.0 - y))


@primitive(elementwise=True)
def softplus(x: Array) -> Array:
    """log(1 + eˣ), without overflow and exact in the far tail."""
    xp = namespace(x)
    return xp.maximum(x, xp.zeros_like(x)) + log1p_of_unit(xp.exp(-xp.abs(x)))


softplus.derivatives(lambda g, y, x: g * sigmoid(x))


@operation
def log_sigmoid(x: Any) -> Tensor:
    """log σ(x) = −softplus(−x)."""
    return -softplus(-x)


@operation
def silu(x: Any) -> Tensor:
    """x · σ(x)."""
    return multiply(x, sigmoid(x))
