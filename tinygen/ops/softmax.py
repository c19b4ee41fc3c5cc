"""Floor 3. The softmax family, each exact where the elements are huge or infinite."""

from __future__ import annotations

from typing import Any

from tinygen.backend import Array, namespace, quiet
from tinygen.operands import axes_of, operation
from tinygen.ops.compare import greater, where
from tinygen.ops.elementwise import exp
from tinygen.ops.reduce import _kept, _spread, _sum
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


def _highest(x: Array, axis: tuple[int, ...]) -> Array:
    """The largest element, which may be subtracted before exp without changing the result; 0 where it is infinite."""
    xp = namespace(x)
    highest = x.max(axis=axis, keepdims=True)
    return xp.where(xp.isfinite(highest), highest, xp.zeros_like(highest))


@primitive()
def _logsumexp(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    xp = namespace(x)
    highest = _highest(x, axis)
    with quiet(xp):  # log 0 = −∞ is right where every element is −∞
        y = xp.log(xp.exp(x - highest).sum(axis=axis, keepdims=True)) + highest
    return y if keepdims else y.reshape([size for a, size in enumerate(x.shape) if a not in axis])


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    finite = where(greater(y, -float("inf")), y, 0.0)  # elements that are all −∞ have weight 0, not NaN
    return _spread(g, x.shape, axis) * exp(x - _kept(finite, x.shape, axis))


_logsumexp.derivatives(_logsumexp_rule)


@operation
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log Σ eˣ over the given axes, without overflow."""
    return _logsumexp(x, axis=axes_of("logsumexp", axis, x.ndim), keepdims=keepdims)


@primitive()
def _softmax(x: Array, *, axis: tuple[int, ...]) -> Array:
    xp = namespace(x)
    y = xp.asarray(x - x.max(axis=axis, keepdims=True))
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


_softmax.derivatives(lambda g, y, x, axis: y * (g - _sum(g * y, axis=axis, keepdims=True)))


@operation
def softmax(x: Any, axis: Any = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis: probabilities from logits."""
    return _softmax(x, axis=axes_of("softmax", axis, x.ndim))


@primitive()
def _log_softmax(x: Array, *, axis: tuple[int, ...]) -> Array:
    xp = namespace(x)
    y = xp.asarray(x - x.max(axis=axis, keepdims=True))
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


_log_softmax.derivatives(lambda g, y, x, axis: g - exp(y) * _sum(g, axis=axis, keepdims=True))


@operation
def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """x − log Σ eˣ along an axis: log-probabilities from logits."""
    return _log_softmax(x, axis=axes_of("log_softmax", axis, x.ndim))
