"""Floor 3. Making tensors, and moving them between dtypes and devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.backend import (
    Array,
    default_device,
    default_dtype,
    device_of,
    library,
    library_for,
    to_device,
)
from tinygen.operands import operation
from tinygen.primitive import primitive
from tinygen.tensor import Tensor, raw, wrap


@operation
def tensor(data: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of ``data``: numbers, nested lists of numbers, an array or a tensor.

    Floating arrays keep their dtype, Python floats take the default one.  Without ``device`` an array that is on a
    device stays there, and everything that comes from the host goes to the default device.

    >>> import tinygen as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    array = raw(data)
    if not hasattr(array, "dtype") or isinstance(array, np.generic):
        made = _checked(np.asarray(array))
        if made.dtype.kind == "f" and dtype is None and not _holds_arrays(data):
            dtype = default_dtype()
        array = to_device(np.array(made, dtype=dtype), device or default_device())
    else:
        here = device_of(array)
        target = device or (default_device() if here == "cpu" else here)
        moved = to_device(array, target)
        array = moved.astype(dtype or array.dtype, copy=moved is array or dtype is not None)
    return Tensor(_checked(array), requires_grad=requires_grad)


def _checked(array: Array) -> Array:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: dtype {array.dtype} is not supported; use floating, integer or boolean numbers")
    return array


def _holds_arrays(data: Any) -> bool:
    """Whether nested lists end in arrays, whose dtype is then kept."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, np.ndarray)


@operation
def from_dlpack(array: Any) -> Tensor:
    """A leaf with a copy of any array that speaks DLPack (PyTorch's, JAX's …), on the same device."""
    kind, index = array.__dlpack_device__()
    found, _ = library_for("cpu" if kind == 1 else f"cuda:{index}")
    return Tensor(found.xp.from_dlpack(array).copy())


def _create(name: str, *args: Any, dtype: Any, device: str | None, requires_grad: bool = False) -> Tensor:
    target = device or default_device()
    try:
        array = getattr(library_for(target)[0].xp, name)(*args, dtype=dtype or default_dtype())
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}; the arguments were {args}") from error
    return Tensor(to_device(array, target), requires_grad=requires_grad)


@operation
def zeros(shape: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given shape."""
    return _create("zeros", shape, dtype=dtype, device=device, requires_grad=requires_grad)


@operation
def ones(shape: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given shape."""
    return _create("ones", shape, dtype=dtype, device=device, requires_grad=requires_grad)


@operation
def full(
    shape: Any, fill_value: float, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """The given shape filled with one number."""
    return _create("full", shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


@operation
def eye(n: int, m: int | None = None, k: int = 0, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """n × m matrix with ones on diagonal k."""
    return _create("eye", n, m, k, dtype=dtype, device=device)


@operation
def arange(*bounds: float, dtype: Any = None, device: str | None = None) -> Tensor:
    """``arange([start,] stop[, step])``: integers of integer bounds, else the default floating dtype."""
    whole = all(isinstance(bound, (int, np.integer)) for bound in bounds)
    return _create("arange", *bounds, dtype=dtype or (np.int64 if whole else None), device=device)


@operation
def linspace(start: float, stop: float, num: int = 50, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """``num`` equally spaced numbers from start to stop, both included."""
    return _create("linspace", start, stop, num, dtype=dtype, device=device)


@operation
def zeros_like(x: Any) -> Tensor:
    """Zeros with the shape, dtype and device of x."""
    return full_like(x, 0)


@operation
def ones_like(x: Any) -> Tensor:
    """Ones with the shape, dtype and device of x."""
    return full_like(x, 1)


@operation
def full_like(x: Any, fill_value: float) -> Tensor:
    """One number with the shape, dtype and device of x."""
    array = raw(x)
    return wrap(library(array).xp.full_like(array, fill_value), None, False)


@primitive(promotes=False)
def _astype(x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype, copy=False)


_astype.derivatives(lambda g, y, x, dtype: _astype(g, dtype=x.dtype))


@operation
def astype(x: Any, dtype: Any) -> Tensor:
    """x converted to another dtype; between floating dtypes, gradients flow through the conversion."""
    if np.dtype(dtype).kind not in "fiub":
        raise TypeError(f"astype: dtype {np.dtype(dtype)} is not supported; use a floating, integer or boolean one")
    return _astype(x, dtype=np.dtype(dtype))


@primitive()
def _to(x: Array, *, device: str) -> Array:
    return to_device(x, device)


_to.derivatives(lambda g, y, x, device: _to(g, device=device_of(raw(x))))


@operation
def to(x: Any, device: str) -> Tensor:
    """x copied to another device (itself if it is there already); gradients travel back."""
    return _to(x, device=device)
