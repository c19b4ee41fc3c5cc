"""Floor 2. What an operation accepts: one device, one floating dtype, weak Python numbers, and clear refusals."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from tinygen.backend import Array, default_dtype, device_of

P = ParamSpec("P")
R = TypeVar("R")
_WEAK = (float, int, bool)


def harmonise(name: str, operands: list[Any], promotes: bool, mask: bool) -> list[Any]:
    """The raw operands of operation ``name``, on one device and with one floating dtype.

    Python and NumPy *scalars* are weak: they take the dtype of the arrays.  If ``promotes``, integer and
    boolean arrays (but the first operand if it is a ``mask``) take the dtype of the floating ones, so that
    float32 never becomes float64 by itself.
    Raises TypeError where two floating dtypes or two devices meet.
    """
    arrays = {}
    for position, operand in enumerate(operands):
        if isinstance(operand, np.generic):
            operands[position] = operand.item()
        elif hasattr(operand, "dtype"):
            arrays[position] = operand
        elif promotes and not isinstance(operand, _WEAK):
            raise TypeError(
                f"{name}: argument {position} is a {type(operand).__name__}, not a tensor, array or number; "
                f"make it a tensor with tg.tensor(...)"
            )
    devices = {position: device_of(array) for position, array in arrays.items()}
    if len(set(devices.values())) > 1:
        raise TypeError(f"{name}: operands live on different devices: {_list(arrays, devices)}; move one with .to(...)")
    if mask:
        arrays.pop(0, None)
    floating = {position: array.dtype for position, array in arrays.items() if array.dtype.kind in "fc"}
    if len(set(floating.values())) > 1:
        raise TypeError(
            f"{name}: operands mix floating dtypes: {_list(arrays, floating)}; convert one with .astype(...)"
        )
    if promotes and floating:
        dtype = next(iter(floating.values()))
        for position, array in arrays.items():
            if array.dtype.kind in "iub":
                operands[position] = array.astype(dtype)
    return operands


def settle_dtype(result: Array, operands: list[Any]) -> Array:
    """``result`` in the default dtype if it is floating and no operand was: NumPy makes float64 of integers."""
    dtypes = [operand.dtype for operand in operands if hasattr(operand, "dtype")]
    if result.dtype.kind != "f" or any(dtype.kind in "fc" for dtype in dtypes):
        return result
    return result.astype(default_dtype(), copy=False)


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a public operation made of others: whatever raises inside speaks of this operation and its operands."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise refusal(function.__name__.strip("_"), [*args, *kwargs.values()], error) from error

    return call


def refusal(name: str, operands: list[Any], error: Exception) -> Exception:
    """An error again, with the operation's name in front, the shapes of its operands, and the way out."""
    message = str(error)
    if getattr(error, "explained", False) or re.match(r"[a-z_0-9]+: ", message):
        message = re.sub(
            r"^[a-z_0-9]+: ", f"{name}: ", message
        )  # an inner operation's words under the outer one's name
    else:
        shapes = ", ".join(str(tuple(operand.shape)) for operand in operands if hasattr(operand, "shape"))
        message = f"{name}: {message} (operand shapes: {shapes}){_advice(operands, message)}"
    kind = TypeError if isinstance(error, AttributeError) else type(error)
    explained = kind(message)
    explained.explained = True  # type: ignore[attr-defined]
    return explained


def _advice(operands: list[Any], message: str) -> str:
    strange = [operand for operand in operands if not hasattr(operand, "shape")]
    if "broadcast" in message:
        return "; sizes must be equal or 1, aligned from the right: use reshape or expand_dims on one of them"
    if "ingular" in message:
        return "; add a multiple of the identity, or use det, whose derivative exists at singular matrices"
    if "ositive" in message:
        return "; it must be symmetric with positive eigenvalues: add a multiple of the identity"
    if "has no attribute" in message and strange:
        return f"; {type(strange[0]).__name__} is not a tensor or an array: make it one with tg.tensor(...)"
    return ""


def own(array: Any) -> Any:
    """A copy of a caller's array for the record, so that writing into it later cannot change a gradient."""
    return array.copy() if hasattr(array, "dtype") and not isinstance(array, np.generic) else array


def _list(arrays: dict[int, Array], facts: dict[int, Any]) -> str:
    return ", ".join(
        f"argument {position} of shape {arrays[position].shape} is {facts[position]}" for position in facts
    )


def require_float(name: str, array: Array) -> None:
    """Raise TypeError unless ``array`` can carry a gradient."""
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: requires_grad=True needs a floating dtype, got {array.dtype}; use .astype(...)")


def is_whole(value: Any) -> bool:
    """Whether a value is one whole number, Python's or NumPy's."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def axes_of(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis`` (None for all, a number or several) as different non-negative numbers, in rising order."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, (tuple, list, range)) else (axis,)
    if not all(is_whole(a) for a in given):
        raise TypeError(f"{name}: axis must be a whole number or several, got {axis!r}")
    axes = tuple(sorted(int(a) + ndim if a < 0 else int(a) for a in given))
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) < len(axes):
        raise np.exceptions.AxisError(f"{name}: axis {axis} does not fit {ndim} axes (or repeats one)")
    return axes
