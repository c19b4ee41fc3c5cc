"""Floor 3. Arithmetic, powers, logarithms, trigonometry: smooth functions of one or two numbers.

Each primitive stands beside its derivative rules: ``rule(g, y, *args)`` with g the cotangent, y the output.
Broadcasting is undone by the walk.  Rules are written over the operations of this package, so they serve
arrays (a plain gradient) and tensors (a gradient of a gradient) alike.

Some forwards avoid a slow NumPy loop (``where``, ``log1p``, ``logaddexp``, ``power``) on a hot path; each has
its plain twin in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygen.backend import Array, namespace, quiet
from tinygen.primitive import primitive

# --- arithmetic --------------------------------------------------------------------------------------------------


@primitive(elementwise=True)
def add(x1: Array, x2: Array) -> Array:
    """x1 + x2."""
    return x1 + x2


add.derivatives(lambda g, y, a, b: g, lambda g, y, a, b: g)


@primitive(elementwise=True)
def subtract(x1: Array, x2: Array) -> Array:
    """x1 − x2."""
    return x1 - x2


subtract.derivatives(lambda g, y, a, b: g, lambda g, y, a, b: -g)


@primitive(elementwise=True)
def multiply(x1: Array, x2: Array) -> Array:
    """x1 · x2."""
    return x1 * x2


multiply.derivatives(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)


@primitive(elementwise=True)
def divide(x1: Array, x2: Array) -> Array:
    """x1 / x2."""
    return x1 / x2


divide.derivatives(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)


@primitive(elementwise=True)
def negative(x: Array) -> Array:
    """−x."""
    return -x


negative.derivatives(lambda g, y, x: -g)


def _zero_for_nan(g: Array, product: Callable[[Array, Array], Array], other: Array) -> Array:
    """``product(g, other)``, but 0 where g is 0 and the product therefore NaN.

    Asking for NaN first makes the mask nearly always the same: where zeros are strewn over g, as in counts, a choice
    by ``g == 0`` would take four times as long.
    """
    xp = namespace(g)
    with quiet(xp):
        result = product(g, other)
        return xp.where(xp.isnan(result) & (g == 0), xp.zeros_like(result), result)


@primitive(elementwise=True)
def multiply_or_zero(g: Array, factor: Array) -> Array:
    """g · factor, but exactly 0 where g is 0, also if the factor is infinite or NaN there."""
    return _zero_for_nan(g, namespace(g).multiply, factor)


multiply_or_zero.derivatives(lambda h, y, g, f: multiply_or_zero(h, f), lambda h, y, g, f: multiply_or_zero(g, h))


@primitive(elementwise=True)
def divide_or_zero(g: Array, divisor: Array) -> Array:
    """g / divisor, but exactly 0 where g is 0, also if the divisor is 0 there.

    Closes the trap of ``where(x > 0, sqrt(x), 0)``, whose derivative is else 0 · ∞ = NaN at x = 0.
    """
    return _zero_for_nan(g, namespace(g).divide, divisor)


divide_or_zero.derivatives(
    lambda h, y, g, d: divide_or_zero(h, d), lambda h, y, g, d: -divide_or_zero(multiply_or_zero(h, y), d)
)


@primitive(elementwise=True)
def square(x: Array) -> Array:
    """x²."""
    return x * x


square.derivatives(lambda g, y, x: 2 * (g * x))


@primitive(elementwise=True)
def sqrt(x: Array) -> Array:
    """√x; the derivative at 0 is infinite, but a cotangent that is 0 stays 0."""
    return namespace(x).sqrt(x)


sqrt.derivatives(lambda g, y, x: 0.5 * divide_or_zero(g, y))


@primitive(elementwise=True)
def sign(x: Array) -> Array:
    """−1, 0 or 1; without derivative."""
    return namespace(x).sign(x)


@primitive(elementwise=True)
def abs(x: Array) -> Array:
    """|x|; the derivative at 0 is 0."""
    return namespace(x).abs(x)


abs.derivatives(lambda g, y, x: g * sign(x))


# --- exponentials, logarithms, powers ---------------------------------------------------------------------------------


@primitive(elementwise=True)
def exp(x: Array) -> Array:
    """eˣ."""
    return namespace(x).exp(x)


exp.derivatives(lambda g, y, x: g * y)


@primitive(elementwise=True)
def expm1(x: Array) -> Array:
    """eˣ − 1, exact near 0."""
    return namespace(x).expm1(x)


expm1.derivatives(lambda g, y, x: g * (y + 1.0))


@primitive(elementwise=True)
def log(x: Array) -> Array:
    """Natural logarithm."""
    return namespace(x).log(x)


log.derivatives(lambda g, y, x: g / x)


@primitive(elementwise=True)
def log1p(x: Array) -> Array:
    """log(1 + x), exact near 0."""
    return namespace(x).log1p(x)


log1p.derivatives(lambda g, y, x: g / (x + 1.0))


def log1p_of_unit(x: Array) -> Array:
    """log(1 + x) for 0 ≤ x ≤ 1, from vectorised operations alone (``log1p`` is eight times slower).

    u = 1 + x is rounded; the part of x that was lost is given back to first order: log u + (x − (u − 1)) / u.
    """
    u = x + 1.0
    return namespace(x).log(u) + (x - (u - 1.0)) / u


@primitive(elementwise=True)
def logaddexp(x1: Array, x2: Array) -> Array:
    """log(eˣ¹ + eˣ²) without overflow."""
    xp = namespace(x1, x2)
    with quiet(xp):  # both infinite: the difference is NaN, which fmin turns into 0
        return xp.maximum(x1, x2) + log1p_of_unit(xp.exp(xp.fmin(-xp.abs(x1 - x2), 0.0)))


logaddexp.derivatives(lambda g, y, a, b: g * exp(a - y), lambda g, y, a, b: g * exp(b - y))


@primitive(elementwise=True)
def xlogy(x: Array, y: Array) -> Array:
    """x · log y, and 0 where x is 0 (the convention 0 · log 0 = 0 of every entropy)."""
    xp = namespace(x, y)
    y = y if hasattr(y, "dtype") else xp.asarray(y, dtype=x.dtype)  # the log of a Python number would be float64
    with quiet(xp):
        product = x * xp.log(y)
    return xp.where(x == 0, xp.zeros_like(product), product)


xlogy.derivatives(lambda g, out, x, y: xlogy(g, y), lambda g, out, x, y: divide_or_zero(g * x, y))


@primitive(elementwise=True)
def power(x1: Array, x2: Array) -> Array:
    """x1 to the power x2; a negative base needs an integer exponent.  A cotangent that is 0 stays 0 at x1 = 0."""
    if type(x2) is int and x2 == 3:  # NumPy's power is 100 times slower than two products
        return x1 * x1 * x1
    with quiet(namespace(x1, x2)):
        return x1**x2


def _power_base(g: Any, y: Any, x: Any, p: Any) -> Any:
    if not isinstance(p, (int, float)):
        return multiply_or_zero(g, p * power(x, p - 1))
    if p == 2:
        return 2 * (g * x)
    return p * (g * x ** (p - 1)) if p >= 1 else divide_or_zero(p * g, x ** (1 - p))


power.derivatives(_power_base, lambda g, y, x, p: multiply_or_zero(g, xlogy(y, x)))


# --- trigonometry ------------------------------------------------------------------------------------------------


@primitive(elementwise=True)
def sin(x: Array) -> Array:
    """Sine of x in radians."""
    return namespace(x).sin(x)


@primitive(elementwise=True)
def cos(x: Array) -> Array:
    """Cosine of x in radians."""
    return namespace(x).cos(x)


sin.derivatives(lambda g, y, x: g * cos(x))
cos.derivatives(lambda g, y, x: -g * sin(x))


@primitive(elementwise=True)
def tan(x: Array) -> Array:
    """Tangent of x in radians."""
    return namespace(x).tan(x)


tan.derivatives(lambda g, y, x: g * (y * y + 1.0))


@primitive(elementwise=True)
def arcsin(x: Array) -> Array:
    """Inverse sine, in radians."""
    return namespace(x).arcsin(x)


arcsin.derivatives(lambda g, y, x: g / sqrt(1.0 - x * x))


@primitive(elementwise=True)
def arccos(x: Array) -> Array:
    """Inverse cosine, in radians."""
    return namespace(x).arccos(x)


arccos.derivatives(lambda g, y, x: -g / sqrt(1.0 - x * x))


@primitive(elementwise=True)
def arctan(x: Array) -> Array:
    """Inverse tangent, in radians."""
    return namespace(x).arctan(x)


arctan.derivatives(lambda g, y, x: g / (x * x + 1.0))


@primitive(elementwise=True)
def sinh(x: Array) -> Array:
    """Hyperbolic sine."""
    return namespace(x).sinh(x)


@primitive(elementwise=True)
def cosh(x: Array) -> Array:
    """Hyperbolic cosine."""
    return namespace(x).cosh(x)


sinh.derivatives(lambda g, y, x: g * cosh(x))
cosh.derivatives(lambda g, y, x: g * sinh(x))


@primitive(elementwise=True)
def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return namespace(x).tanh(x)


tanh.derivatives(lambda g, y, x: g * (1.0 - y * y))
