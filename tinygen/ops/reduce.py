"""Floor 3. Reductions: sums, means, extremes, products, and the softmax family."""

from __future__ import annotations

from typing import Any

from tinygen.backend import Array, namespace, sum_over
from tinygen.operands import axes_of, operation
from tinygen.ops.arrange import flip
from tinygen.ops.compare import equal
from tinygen.ops.convert import astype
from tinygen.ops.elementwise import divide, multiply, sqrt, square
from tinygen.ops.shape import _broadcast_to, _reshape, count, moveaxis
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


def _kept(reduced: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduced array with its lost axes back, of size 1."""
    return _reshape(reduced, shape=tuple(1 if a in axis else size for a, size in enumerate(shape)))


def _spread(g: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A cotangent of a reduction, repeated over the reduced axes."""
    return _broadcast_to(_kept(g, shape, axis), shape=shape)


@primitive()
def _sum(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return sum_over(x, axis, keepdims)


_sum.derivatives(lambda g, y, x, axis, keepdims: _spread(g, x.shape, axis))


@operation
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over the given axes, or over all."""
    return _sum(x, axis=axes_of("sum", axis, x.ndim), keepdims=keepdims)


@operation
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over the given axes, or over all."""
    axes = axes_of("mean", axis, x.ndim)
    if count(x.shape, axes) == 0:
        raise ValueError(f"mean: no elements along axis {axis} of shape {x.shape}")
    return divide(_sum(x, axis=axes, keepdims=keepdims), count(x.shape, axes))


@operation
def var(x: Any, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """Variance: squared deviations summed and divided by n − correction.  Two passes: no cancellation."""
    axes = axes_of("var", axis, x.ndim)
    size = count(x.shape, axes)
    if size <= correction:
        raise ValueError(f"var: {size} elements of shape {x.shape} are too few for correction={correction}")
    centred = x - mean(x, axis=axes, keepdims=True)
    return divide(sum(square(centred), axis=axes, keepdims=keepdims), size - correction)


@operation
def std(x: Any, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation: the square root of :func:`var`."""
    return sqrt(var(x, axis, correction, keepdims))


def _share(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The cotangent of an extreme, divided equally among the elements that attain it."""
    attained = astype(equal(x, _kept(y, x.shape, axis)), x.dtype)
    return _spread(g, x.shape, axis) * (attained / sum(attained, axis=axis, keepdims=True))


@primitive()
def _max(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return x.max(axis=axis, keepdims=keepdims)


_max.derivatives(lambda g, y, x, axis, keepdims: _share(g, y, x, axis, keepdims))


@primitive()
def _min(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return x.min(axis=axis, keepdims=keepdims)


_min.derivatives(lambda g, y, x, axis, keepdims: _share(g, y, x, axis, keepdims))


@operation
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element over the given axes; equal ones share the cotangent."""
    return _max(x, axis=axes_of("max", axis, x.ndim), keepdims=keepdims)


@operation
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element over the given axes; equal ones share the cotangent."""
    return _min(x, axis=axes_of("min", axis, x.ndim), keepdims=keepdims)


@operation
def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Product over the given axes, as a tree of products: every derivative is right also where elements are 0."""
    axes = axes_of("prod", axis, x.ndim)
    rest = tuple(size for a, size in enumerate(x.shape) if a not in axes)
    factors = _reshape(moveaxis(x, axes, range(len(axes))), shape=(count(x.shape, axes), *rest))
    if len(factors) == 0:
        raise ValueError(f"prod: no elements along axis {axis} of shape {x.shape}")
    odd = []
    while len(factors) > 1:
        half, rest_of_one = divmod(len(factors), 2)
        if rest_of_one:
            odd.append(factors[2 * half])
        factors = multiply(factors[:half], factors[half : 2 * half])
    result = factors[0]
    for factor in odd:
        result = multiply(result, factor)
    return _kept(result, x.shape, axes) if keepdims else result


@primitive()
def _cumsum(x: Array, *, axis: int) -> Array:
    return x.cumsum(axis=axis)


_cumsum.derivatives(lambda g, y, x, axis: flip(_cumsum(flip(g, axis), axis=axis), axis))


@operation
def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Running sum along an axis (of the flat array without one)."""
    if axis is None:
        return _cumsum(_reshape(x, shape=(-1,)), axis=0)
    return _cumsum(x, axis=axes_of("cumsum", axis, x.ndim)[0])


# --- without derivative ------------------------------------------------------------------------------------------


@primitive(promotes=False)
def argmax(x: Array, axis: int | None = None) -> Array:
    """Index of the largest element along an axis (of the flat array without one); without derivative."""
    return namespace(x).argmax(x, axis=axis)


@primitive(promotes=False)
def argmin(x: Array, axis: int | None = None) -> Array:
    """Index of the smallest element along an axis (of the flat array without one); without derivative."""
    return namespace(x).argmin(x, axis=axis)


@primitive(promotes=False)
def quantile(x: Array, q: Any, axis: Any = None) -> Array:
    """The q-quantiles, interpolated linearly; without derivative."""
    xp = namespace(x)
    return xp.quantile(x, xp.asarray(q, dtype=x.dtype), axis=axis)
