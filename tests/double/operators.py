"""The operators and methods of ``DeviceArray``: library calls with CuPy's restrictions, attached to the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .calls import UFunc, device_function, refuse_promotion
from .device_array import DeviceArray, wrap
from .rules import API, DeviceError, counters, knobs
from .storage import Storage, unwrap

_OPERANDS = (Storage, np.ndarray, np.generic, int, float, complex)

_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "matmul": np.matmul,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_NO_IN_PLACE = ("divmod", "matmul")  # CuPy has no __imatmul__: ``a @= b`` rebinds a
_COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.bitwise_not}


def _elementwise(ufunc: np.ufunc, first: Any, second: Any) -> Any:
    """One binary operation: what ``UFunc.__call__`` does, without its parsing of arguments."""
    values = [unwrap(first, ufunc.__name__), unwrap(second, ufunc.__name__)]
    with np.errstate(all="ignore"):
        result = ufunc(*values, order="C")
    counters.launches += 1
    if knobs.promote == "raise":
        refuse_promotion(ufunc.__name__, values, result)
    return wrap(result)


def _binary(ufunc: np.ufunc) -> Callable[[DeviceArray, Any], Any]:
    def operate(self: DeviceArray, other: Any) -> Any:
        return _elementwise(ufunc, self, other) if isinstance(other, _OPERANDS) else NotImplemented

    return operate


def _reflected(ufunc: np.ufunc) -> Callable[[DeviceArray, Any], Any]:
    def operate(self: DeviceArray, other: Any) -> Any:
        return _elementwise(ufunc, other, self) if isinstance(other, _OPERANDS) else NotImplemented

    return operate


def _in_place(ufunc: np.ufunc) -> Callable[[DeviceArray, Any], Any]:
    def operate(self: DeviceArray, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        value = unwrap(other, ufunc.__name__)
        with np.errstate(all="ignore"):
            ufunc(self._host, value, out=self._host)
        counters.launches += 1
        return self

    return operate


def _comparison(ufunc: np.ufunc) -> Callable[[DeviceArray, Any], Any]:
    unequal_to_all = np.zeros if ufunc is np.equal else np.ones if ufunc is np.not_equal else None

    def operate(self: DeviceArray, other: Any) -> Any:
        if isinstance(other, _OPERANDS):
            return _elementwise(ufunc, self, other)
        if getattr(other, "__array_ufunc__", True) is None or unequal_to_all is None:
            return NotImplemented
        if other is None or type(other).__eq__ is object.__eq__:
            return DeviceArray(unequal_to_all(self.shape, dtype=bool))  # as core.pyx does for foreign objects
        return NotImplemented

    return operate


def _unary(ufunc: np.ufunc) -> Callable[[DeviceArray], Any]:
    function = UFunc(ufunc)
    return lambda self: function(self)


def _array_ufunc(self: DeviceArray, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``np.float64(2) * a`` arrives here and is legal, with a strong dtype; ``np.exp(a)`` is refused.

    CuPy would dispatch ``np.exp(a)`` too, at four times the cost: the code looks right and crawls.
    """
    scalar = any(isinstance(value, np.generic) for value in inputs)
    if method != "__call__" or kwargs or not scalar or any(isinstance(value, np.ndarray) for value in inputs):
        raise DeviceError(f"numpy.{ufunc.__name__} called on a device array, or a host array mixed with one")
    return _elementwise(ufunc, *inputs)


def attach() -> None:
    """Give ``DeviceArray`` its operators and those of CuPy's methods that NumPy can play."""
    for name, ufunc in _BINARY.items():
        setattr(DeviceArray, f"__{name}__", _binary(ufunc))
        setattr(DeviceArray, f"__r{name}__", _reflected(ufunc))
        if name not in _NO_IN_PLACE:
            setattr(DeviceArray, f"__i{name}__", _in_place(ufunc))
    for name, ufunc in _COMPARISONS.items():
        setattr(DeviceArray, f"__{name}__", _comparison(ufunc))
    for name, ufunc in _UNARY.items():
        setattr(DeviceArray, f"__{name}__", _unary(ufunc))
    DeviceArray.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    for name in API["methods"]:
        function = getattr(np.ndarray, name, None)
        if callable(function) and not hasattr(DeviceArray, name):
            setattr(DeviceArray, name, device_function(function, name, API["method_kwargs"].get(name), method=True))
