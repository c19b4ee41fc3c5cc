"""Floor 3. Picking elements and its adjoint, adding at positions where repeated ones accumulate."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.backend import Array, add_at, checks_values, default_dtype, device_of, namespace, upload_like
from tinygen.operands import axes_of, operation
from tinygen.primitive import primitive
from tinygen.record import Node
from tinygen.tensor import Tensor, raw


@primitive(promotes=False)
def _getitem(x: Array, *, index: Any) -> Array:
    return x[index]


@primitive(promotes=False)
def _put(values: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of the given shape with ``values`` added at ``index``: the adjoint of picking."""
    xp = namespace(values)
    if _has_arrays(index):
        size = int(np.prod(shape))
        return add_at(size, _positions(xp, index, shape), values).reshape(shape)
    result = xp.zeros(shape, dtype=values.dtype)
    result[index] = values
    return result


_getitem.derivatives(lambda g, y, x, index: _put(g, index=index, shape=x.shape))
_put.derivatives(lambda h, y, values, index, shape: _getitem(h, index=index))


def _has_arrays(index: Any) -> bool:
    return any(hasattr(part, "dtype") for part in (index if isinstance(index, tuple) else (index,)))


def _positions(xp: Any, index: Any, shape: tuple[int, ...]) -> Array:
    """Where the picked elements stand in the flat array."""
    if hasattr(index, "dtype") and index.dtype.kind in "iu":  # whole rows, of an embedding above all: no table needed
        width = int(np.prod(shape[1:]))
        rows = xp.where(index < 0, index + shape[0], index)
        return (rows.reshape(-1, 1) * width + xp.arange(width)).ravel()
    return xp.arange(int(np.prod(shape))).reshape(shape)[index].ravel()


@primitive(promotes=False)
def _pick(x: Array, positions: Array) -> Array:
    """Elements of the flat array at integer positions of any shape."""
    return x.reshape(-1)[positions]


@primitive(promotes=False)
def _drop(values: Array, positions: Array, *, shape: tuple[int, ...]) -> Array:
    """The adjoint of picking from a flat array."""
    return add_at(int(np.prod(shape)), positions, values).reshape(shape)


_pick.derivatives(lambda g, y, x, positions: _drop(g, positions, shape=x.shape), None)
_drop.derivatives(lambda h, y, values, positions, shape: _pick(h, positions), None)


@operation
def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] with NumPy's rules: numbers, slices, None, Ellipsis, integer and boolean arrays, tensors or lists."""
    if isinstance(index, tuple):
        return _getitem(x, index=tuple(_index_part(part, x) for part in index))
    return _getitem(x, index=_index_part(index, x))


def _index_part(part: Any, x: Tensor) -> Any:
    """One part of an index: arrays are copied, since a record keeps them, and must live where x lives."""
    if isinstance(part, Tensor):
        part = part._data
    elif isinstance(part, list):
        part = upload_like(np.asarray(part, dtype=None if part else np.int64), x._data)
    elif not hasattr(part, "dtype"):
        return part
    elif isinstance(part, np.generic):
        return part.item()
    else:
        part = part.copy()
    if part.dtype.kind not in "iub":
        raise IndexError(f"x[...]: an index must be integer or boolean, got {part.dtype}; use .astype(np.int64)")
    if device_of(part) != x.device:
        raise TypeError(
            f"x[...]: x lives on {x.device} but an index on {device_of(part)}; move it with .to({x.device!r})"
        )
    return part


@operation
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Elements along an axis at integer indices (of the flat array without an axis); negative ones count back."""
    if axis is None:
        return x.reshape(-1)[indices]  # type: ignore[no-any-return]
    (axis,) = axes_of("take", axis, x.ndim)
    return x[(slice(None),) * axis + (indices,)] if axis else x[indices]  # type: ignore[no-any-return]


@operation
def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """Element ``indices[i, j, …]`` along the axis, at the same place along all others."""
    positions = raw(indices)
    (axis,) = axes_of("take_along_axis", axis, x.ndim)
    if positions.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices {positions.shape} and x {x.shape} need the same number of axes")
    xp = namespace(positions)
    grid = [xp.arange(size).reshape((1,) * a + (-1,) + (1,) * (x.ndim - a - 1)) for a, size in enumerate(x.shape)]
    grid[axis] = positions
    return x[tuple(grid)]  # type: ignore[no-any-return]


@operation
def index_add(x: Any, indices: Any, values: Any, axis: int = 0) -> Tensor:
    """x with ``values`` added at the integer ``indices`` along an axis; repeated indices accumulate."""
    (axis,) = axes_of("index_add", axis, x.ndim)
    positions = raw(indices)
    if positions.dtype.kind not in "iu":
        raise TypeError(f"index_add: indices must be integers, got {positions.dtype}; use .astype(np.int64)")
    if device_of(positions) != device_of(raw(x)):
        raise TypeError(
            f"index_add: x lives on {device_of(raw(x))} but an index on {device_of(positions)}; move it with .to(...)"
        )
    picked = (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :])
    if tuple(values.shape) != picked:
        raise ValueError(f"index_add: values have shape {values.shape}, but indices into {x.shape} need {picked}")
    if (
        checks_values(positions)
        and positions.size
        and not -x.shape[axis] <= int(positions.min()) <= int(positions.max()) < x.shape[axis]
    ):
        raise IndexError(
            f"index_add: indices reach from {positions.min()} to {positions.max()}, "
            f"axis {axis} has size {x.shape[axis]}"
        )
    index = (slice(None),) * axis + (positions.copy(),) if axis else positions.copy()
    return x + _put(values, index=index, shape=tuple(x.shape))  # type: ignore[no-any-return]


def check_indices(name: str, what: str, indices: Array, size: int) -> None:
    """Raise unless the integers lie in 0 … size − 1.  On a device the check would synchronise and is left out."""
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name}: {what} must be integers, got {indices.dtype}; use .astype(np.int64)")
    if checks_values(indices) and indices.size and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise IndexError(
            f"{name}: {what} reach from {indices.min()} to {indices.max()}, but must lie between 0 and {size - 1}"
        )


@operation
def embedding(indices: Any, weight: Any) -> Tensor:
    """Rows of ``weight`` (V, d) at integer ``indices`` of any shape: result (…, d).  Negative indices are refused."""
    positions = raw(indices)
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must have shape (V, d), got {weight.shape}")
    check_indices("embedding", "indices", positions, weight.shape[0])
    return weight[indices]  # type: ignore[no-any-return]


def looked_up_rows(node: Node) -> Array | None:
    """The row numbers, from 0 on, if a recorded operation picks whole rows by one integer array; else None."""
    index: Any = node.kwargs.get("index")
    if node.primitive is not _getitem or getattr(index, "dtype", np.dtype(bool)).kind not in "iu":
        return None
    return namespace(index).where(index < 0, index + node.inputs[0].shape[0], index)


@operation
def one_hot(indices: Any, num_classes: int, *, dtype: Any = None) -> Tensor:
    """1 at each index, 0 elsewhere: integers of any shape to (…, num_classes), in the default dtype."""

    positions = raw(indices)
    check_indices("one_hot", "indices", positions, num_classes)
    hot = (positions[..., None] == namespace(positions).arange(num_classes)).astype(dtype or default_dtype())
    return Tensor(hot) if isinstance(indices, Tensor) else hot


@primitive(promotes=False)
def argsort(x: Array, axis: int = -1) -> Array:
    """Indices that sort along an axis; without derivative."""
    return namespace(x).argsort(x, axis=axis)


@operation
def sort(x: Any, axis: int = -1) -> Tensor:
    """Sorted along an axis, rising; each element carries its cotangent with it."""
    return take_along_axis(x, argsort(x, axis), axis)
