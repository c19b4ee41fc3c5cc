"""Floor 4. Roots of equations, differentiable in the equation's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygen.autograd import grad
from tinygen.backend import Array, checks_values, namespace
from tinygen.operands import harmonise
from tinygen.ops import convert, sum
from tinygen.record import no_grad
from tinygen.tensor import Tensor, raw
from tinygen.transforms import always_recorded, fresh, tensor_of


@always_recorded
def root(f: Callable[..., Tensor], bracket: tuple[Any, Any], *params: Any) -> Tensor:
    """x with f(x, *params) = 0, elementwise, inside the bracket (low, high) at whose ends f has different signs.

    The root is found by bisection on raw arrays.  Two Newton steps x − f/f′ from there, over recorded operations,
    do not move it, but give it derivatives in the parameters that are right to third order: each step doubles the
    number of Taylor coefficients that are right.

    >>> import tinygen as tg
    >>> a = tg.tensor(2.0, requires_grad=True)
    >>> x = tg.root(lambda x, a: x * x - a, (0.0, 2.0), a)
    >>> round(float(x), 5), round(float(tg.grad(x, a)[0]), 5)
    (1.41421, 0.35355)
    """
    x = Tensor(_bisect(f, bracket, params))
    for _ in range(2):
        point = fresh(x)
        y = tensor_of("root", f(point, *params))
        (slope,) = grad(sum(y), point, create_graph=True)
        x = point - y / slope
    return x


def _bisect(f: Callable[..., Tensor], bracket: tuple[Any, Any], params: Sequence[Any]) -> Array:
    """The bracket's ends brought together to neighbouring numbers; NaN where f has one sign at both (on a device).

    What is halved is the count of floating numbers between the ends, not their distance: one step for each bit,
    however wide the bracket is and however small the root.
    """
    low, high = _ends(bracket, params)
    xp = namespace(low)

    @no_grad()
    def values(x: Array) -> Array:
        y = tensor_of("root", f(Tensor(xp.asarray(x)), *params))
        if y.shape != x.shape:
            raise ValueError(f"root: f maps {x.shape} to {y.shape}; give a bracket of the shape of the result")
        return y._data

    at_low, at_high = values(low), values(high)
    encloses = xp.sign(at_low) * xp.sign(at_high) <= 0  # False for NaN
    if checks_values(low) and not bool(encloses.all()):
        raise ValueError(
            "root: f has the same sign at both ends of the bracket (or is NaN there) for some elements; "
            "choose another bracket"
        )
    rising = at_low < at_high
    whole = np.dtype(f"i{low.dtype.itemsize}")
    first, last = _rank(low.view(whole)), _rank(high.view(whole))
    for _ in range(8 * whole.itemsize):
        middle = (first >> 1) + (last >> 1) + (first & last & 1)
        beyond = (values(_rank(middle).view(low.dtype)) >= 0) == rising
        first, last = xp.where(beyond, first, middle), xp.where(beyond, middle, last)
    return xp.where(encloses, _rank(last).view(low.dtype), math.nan)


def _rank(bits: Array) -> Array:
    """The bits of floating numbers as integers in the same order as the numbers; and back again."""
    return namespace(bits).where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def _ends(bracket: tuple[Any, Any], params: Sequence[Any]) -> list[Array]:
    """The bracket as two arrays of one shape; numbers take the dtype and the device of the first parameter."""
    if len(bracket) != 2:
        raise ValueError(f"root: the bracket must be a pair (low, high), got {len(bracket)} values")
    like = next((p for p in params if isinstance(p, Tensor) and p.dtype.kind == "f"), None)
    like = convert.zeros(()) if like is None else like
    ends = [
        convert.full((), float(end), dtype=like.dtype, device=like.device)
        if isinstance(end, (int, float, np.generic))
        else end
        for end in bracket
    ]
    low, high = harmonise("root", [raw(end) for end in ends], promotes=True, mask=False)
    if low.dtype.kind != "f":
        raise TypeError(f"root: the bracket must have a floating dtype, got {low.dtype}; use .astype(...)")
    return list(namespace(low).broadcast_arrays(low, high))
