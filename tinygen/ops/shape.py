"""Floor 3. The same numbers in another shape; each rule brings them back.

All are linear, so a rule needs the shapes alone.  ``broadcast_to`` and ``sum_to`` are each other's adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen.backend import Array, namespace, sum_over
from tinygen.operands import axes_of, is_whole, operation
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


@primitive()
def _reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


_reshape.derivatives(lambda g, y, x, shape: _reshape(g, shape=x.shape))


@operation
def reshape(x: Any, *shape: Any) -> Tensor:
    """The same numbers in another shape; one size may be −1.  ``reshape(x, 2, 3)`` or ``reshape(x, (2, 3))``."""
    return _reshape(x, shape=_sizes(shape))


def _sizes(shape: Any) -> tuple[int, ...]:
    """A shape given as one sequence, one number, or several numbers."""
    sizes = shape[0] if len(shape) == 1 and not is_whole(shape[0]) else shape
    return tuple(int(size) for size in sizes)


@primitive()
def _transpose(x: Array, *, axes: tuple[int, ...]) -> Array:
    return x.transpose(axes)


_transpose.derivatives(lambda g, y, x, axes: _transpose(g, axes=tuple(axes.index(i) for i in range(len(axes)))))


@operation
def transpose(x: Any, *axes: Any) -> Tensor:
    """Axes in another order, reversed by default.  ``transpose(x, 0, 2, 1)`` or ``transpose(x, (0, 2, 1))``."""
    order = _sizes(axes) if axes and axes[0] is not None else tuple(reversed(range(x.ndim)))
    if axes_of("transpose", order, x.ndim) != tuple(range(x.ndim)):
        raise ValueError(f"transpose: axes {order} must name each of the {x.ndim} axes of shape {x.shape} once")
    return _transpose(x, axes=tuple(a % x.ndim for a in order))


@operation
def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    (a,), (b,) = axes_of("swapaxes", axis1, x.ndim), axes_of("swapaxes", axis2, x.ndim)
    order[a], order[b] = b, a
    return _transpose(x, axes=tuple(order))


@operation
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to new positions; the others keep their order."""
    sources, targets = ([a % x.ndim for a in np.atleast_1d(axis).tolist()] for axis in (source, destination))
    axes_of("moveaxis", source, x.ndim), axes_of("moveaxis", destination, x.ndim)
    if len(sources) != len(targets):
        raise ValueError(f"moveaxis: {len(sources)} source axes but {len(targets)} destinations")
    order = [a for a in range(x.ndim) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return _transpose(x, axes=tuple(order))


@operation
def expand_dims(x: Any, axis: int | Sequence[int]) -> Tensor:
    """New axes of size 1 at the positions ``axis`` of the result."""
    count = 1 if is_whole(axis) else len(axis)  # type: ignore[arg-type]
    new = axes_of("expand_dims", axis, x.ndim + count)
    sizes = iter(x.shape)
    return _reshape(x, shape=tuple(1 if a in new else next(sizes) for a in range(x.ndim + count)))


@operation
def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes ``axis``, which must have size 1; by default without every axis of size 1."""
    gone = [a for a, size in enumerate(x.shape) if size == 1] if axis is None else axes_of("squeeze", axis, x.ndim)
    if any(x.shape[a] != 1 for a in gone):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} does not have size 1")
    return _reshape(x, shape=tuple(size for a, size in enumerate(x.shape) if a not in gone))


@primitive()
def _broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    return namespace(x).broadcast_to(x, shape)


@primitive()
def sum_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting: x summed over the axes along which ``shape`` would be repeated."""
    lead = x.ndim - len(shape)
    axes = tuple(a for a in range(x.ndim) if a < lead or (shape[a - lead] == 1 and x.shape[a] != 1))
    return sum_over(x, axes, False).reshape(shape)


_broadcast_to.derivatives(lambda g, y, x, shape: sum_to(g, shape=x.shape))
sum_to.derivatives(lambda g, y, x, shape: _broadcast_to(g, shape=x.shape))


@operation
def broadcast_to(x: Any, shape: Any) -> Tensor:
    """x repeated (without copying) along axes of size 1 and along new leading axes."""
    return _broadcast_to(x, shape=_sizes((shape,)))


def count(shape: Sequence[int], axes: Sequence[int]) -> int:
    """How many elements the axes of a shape hold together."""
    return math.prod(shape[a] for a in axes)
