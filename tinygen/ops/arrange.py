"""Floor 3. Arrays joined, cut, moved, repeated and padded, and the triangles and diagonals of matrices.

All are linear and move numbers without changing them; each rule moves them back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygen.backend import Array, namespace, upload_like
from tinygen.operands import axes_of, is_whole, operation
from tinygen.ops.shape import broadcast_to, expand_dims, moveaxis, reshape
from tinygen.primitive import primitive
from tinygen.tensor import Tensor, raw


@primitive()
def _concatenate(*arrays: Array, axis: int) -> Array:
    return namespace(arrays[0]).concatenate(arrays, axis)


def _concatenated_part(position: int, g: Any, y: Any, *arrays: Any, axis: int) -> Any:
    start = sum(array.shape[axis] for array in arrays[:position])
    return g[(slice(None),) * axis + (slice(start, start + arrays[position].shape[axis]),)]


_concatenate.derivatives_each(_concatenated_part)


@operation
def concatenate(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Arrays joined along an existing axis."""
    if len(arrays) == 0:
        raise ValueError("concatenate: needs at least one array")
    return _concatenate(*arrays, axis=axes_of("concatenate", axis, arrays[0].ndim)[0])


@operation
def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis."""
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"stack: shapes must be equal, got {', '.join(str(array.shape) for array in arrays)}")
    return concatenate([expand_dims(array, axis) for array in arrays], axis)


@operation
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts along an axis: that many equal ones, or cut before the given indices."""
    (axis,) = axes_of("split", axis, x.ndim)
    size = x.shape[axis]
    if is_whole(indices_or_sections):
        if indices_or_sections < 1 or size % indices_or_sections:
            raise ValueError(f"split: axis of size {size} does not divide into {indices_or_sections} equal parts")
        step = size // indices_or_sections
        cuts = [*range(0, size, step), size] if step else [0] * (indices_or_sections + 1)
    else:
        cuts = [0, *indices_or_sections, size]
    lead = (slice(None),) * axis
    return [x[(*lead, slice(start, stop))] for start, stop in itertools.pairwise(cuts)]


def unstack(x: Any) -> list[Any]:
    """x[0], x[1], …, cut in halves again and again.

    The cotangent of a part has the size of what it was cut from: T cuts from the whole would cost T², these T log T.
    """
    if len(x) <= 1:
        return [x[0]] if len(x) else []
    half = len(x) // 2
    return unstack(x[:half]) + unstack(x[half:])


@primitive()
def _flip(x: Array, *, axis: tuple[int, ...]) -> Array:
    return namespace(x).flip(x, axis)


_flip.derivatives(lambda g, y, x, axis: _flip(g, axis=axis))


@operation
def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Reversed along the given axes, or along all."""
    return _flip(x, axis=axes_of("flip", axis, x.ndim))


@primitive()
def _roll(x: Array, *, shift: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    return namespace(x).roll(x, shift, axis)


_roll.derivatives(lambda g, y, x, shift, axis: _roll(g, shift=tuple(-s for s in shift), axis=axis))


@operation
def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """Moved along axes, what leaves at the end entering at the start; without ``axis``, moved as a flat array."""
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, 0), x.shape)
    axes = [int(a) for a in np.atleast_1d(axis)]
    for a in axes:
        axes_of("roll", a, x.ndim)
    if np.size(shift) not in (1, len(axes)):
        raise ValueError(f"roll: shift {shift} does not fit axis {axis}: give one number, or one for each axis")
    shifts = np.broadcast_to(shift, len(axes)).tolist()
    return _roll(x, shift=tuple(shifts), axis=tuple(axes))


@operation
def tile(x: Any, reps: Any) -> Tensor:
    """The whole array repeated ``reps`` times along each axis."""
    if np.min(reps) < 0:
        raise ValueError(f"tile: counts must not be negative, got {reps}")
    counts = [reps] if is_whole(reps) else list(reps)
    counts = [1] * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + tuple(x.shape)
    pairs = [size for axis in range(len(shape)) for size in (1, shape[axis])]
    wide = [size for axis in range(len(shape)) for size in (counts[axis], shape[axis])]
    return reshape(broadcast_to(reshape(x, pairs), wide), [c * s for c, s in zip(counts, shape, strict=True)])


@operation
def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Each element repeated ``repeats`` times along ``axis`` (of the flat array without one)."""
    if not is_whole(repeats) or repeats < 0:
        raise ValueError(f"repeat: repeats must be a whole number, at least 0, got {repeats}")
    if axis is None:
        return repeat(reshape(x, -1), repeats, 0)
    (axis,) = axes_of("repeat", axis, x.ndim)
    shape = tuple(x.shape)
    wide = broadcast_to(expand_dims(x, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return reshape(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


@primitive()
def _pad(x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Array:
    return namespace(x).pad(x, widths, constant_values=value)


_pad.derivatives(lambda g, y, x, widths, value: g[tuple(slice(b, b + n) for (b, _), n in zip(widths, x.shape))])  # noqa: B905


@operation
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    """x with ``pad_width`` (one number, a (before, after) pair, or a pair an axis) added at each side.

    Modes: ``constant``, ``reflect`` (the edge not repeated), ``edge``, ``wrap``.
    """
    if np.asarray(pad_width).dtype.kind not in "iu" or np.shape(pad_width) not in ((), (1,), (2,), (1, 2), (x.ndim, 2)):
        raise ValueError(
            f"pad: pad_width must be whole numbers, one, a pair, or a pair for each axis of {x.shape}, got {pad_width}"
        )
    widths = tuple((int(b), int(a)) for b, a in np.broadcast_to(pad_width, (x.ndim, 2)))
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad: widths must not be negative, got {pad_width}; use x[...] to cut")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise ValueError(f"pad: unknown mode {mode!r}; use 'constant', 'reflect', 'edge' or 'wrap'")
    if mode == "constant" and widths:
        return _pad(x, widths=widths, value=constant_values)
    for axis, pair in enumerate(widths):
        if any(pair):  # which element of the old axis stands at each position of the new one: ask NumPy
            source = np.pad(np.arange(x.shape[axis]), pair, mode=mode)  # type: ignore[call-overload]
            x = x[(slice(None),) * axis + (upload_like(source, raw(x)),)]
    return x  # type: ignore[no-any-return]


def _need_matrices(name: str, x: Any) -> None:
    if x.ndim < 2:
        raise ValueError(f"{name}: needs matrices (…, n, m), got shape {x.shape}")


@primitive()
def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle of each matrix, up to diagonal k; the rest 0."""
    _need_matrices("tril", x)
    return namespace(x).tril(x, k)


tril.derivatives(lambda g, y, x, k=0: tril(g, k))


@primitive()
def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle of each matrix, from diagonal k on; the rest 0."""
    _need_matrices("triu", x)
    return namespace(x).triu(x, k)


triu.derivatives(lambda g, y, x, k=0: triu(g, k))


@operation
def diagonal(x: Any, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """The diagonal of each matrix, as the last axis of the result."""
    _need_matrices("diagonal", x)
    (first,), (second,) = axes_of("diagonal", axis1, x.ndim), axes_of("diagonal", axis2, x.ndim)
    if first == second:
        raise ValueError(f"diagonal: axis1={axis1} and axis2={axis2} of shape {x.shape} must differ")
    rows, columns = x.shape[first], x.shape[second]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    index = namespace(raw(x)).arange(length)
    source = moveaxis(x, (first, second), (0, 1))
    return moveaxis(source[index - min(offset, 0), index + max(offset, 0)], 0, -1)
