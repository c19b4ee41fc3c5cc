"""A NumPy function played as CuPy's function of the same name: its keywords, its refusals, its counters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import rules
from .device_array import DeviceArray, wrap
from .indexing import scatter
from .rules import API, DeviceError, counters, knobs, synchronise
from .storage import Storage, index_array, unwrap, wrap_around

Values = list[Any]
Keywords = dict[str, Any]


def device_function(
    function: Callable[..., Any], name: str, keywords: Iterable[str] | None, method: bool = False
) -> Callable[..., Any]:
    """``function`` restricted to what CuPy's ``name`` takes; ``keywords=None`` if CuPy's signature is unknown.

    What can be looked up by name is looked up here, once; a call then costs two or three microseconds.
    """
    short = name.rpartition(".")[2]
    allowed = None if keywords is None else frozenset(keywords)
    most = _most_positional(name, allowed, method)
    first = next(iter(API["kwargs"].get(name, [])), None)
    needs_array = not method and first == "a" and short not in rules.ANY_FIRST_ARGUMENT
    adapt = _ADAPTERS.get(short if method else name)
    synchronises = short in rules.SYNCHRONISING
    about_arrays = short in rules.ABOUT_ARRAYS
    host_from = rules.HOST_ARGUMENTS.get(short)
    execute = _nan_if_singular(function) if name in ("linalg.inv", "linalg.solve", "linalg.cholesky") else function
    in_linalg = name.startswith("linalg.")

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and allowed is not None and not kwargs.keys() <= allowed:
            unknown = ", ".join(sorted(kwargs.keys() - allowed))
            raise DeviceError(f"{name}() got an unexpected keyword argument {unknown!r} (CuPy {API['version']})")
        if len(args) > most:
            raise DeviceError(f"{name}() takes {most} positional arguments (CuPy {API['version']}), not {len(args)}")
        if needs_array and args and not isinstance(args[0], Storage):
            raise DeviceError(f"{name}: a {type(args[0]).__name__} is not a device array")
        if host_from is not None:
            _refuse_device_values(args[host_from:], name)
        values = [unwrap(arg, name) for arg in args]
        named = {key: unwrap(value, name) for key, value in kwargs.items()} if kwargs else kwargs
        if in_linalg:
            _refuse_half(values, name)
        if adapt is not None:
            adapt(values, named)
        if synchronises:
            synchronise(name)
        with np.errstate(all="ignore"):  # CuPy never warns about division by zero or overflow
            result = execute(*values, **named)
        if about_arrays:
            return result
        counters.launches += _launches(short, result, values)
        if knobs.promote == "raise" and "dtype" not in kwargs:
            refuse_promotion(name, values, result)
        out = kwargs.get("out")
        if isinstance(out, DeviceArray):
            return out
        return wrap(np.asarray(result) if short in rules.HOST_SCALARS else result)

    call.__name__ = call.__qualname__ = short
    return call


def _most_positional(name: str, keywords: frozenset[str] | None, method: bool) -> float:
    """How many positional arguments CuPy takes at most (keyword-only ones are counted too)."""
    if keywords is None or keywords & rules.VARIADIC or name in rules.VARIADIC_KEYWORDS:
        return math.inf
    return math.inf if method and name in ("reshape", "transpose") else len(keywords) + method


def _launches(short: str, result: Any, values: Values) -> int:
    """0 for a view of the first argument (of any, in a list), else 1."""
    if short in rules.NO_LAUNCH:
        return 0
    if short in rules.VIEWS:
        first = result[0] if isinstance(result, (list, tuple)) and result else result
        source = values[0] if values else None
        return int(not (isinstance(first, np.ndarray) and np.may_share_memory(first, source)))
    return 1


def _refuse_device_values(arguments: Iterable[Any], name: str) -> None:
    for argument in arguments:
        if isinstance(argument, Storage) or (
            isinstance(argument, (tuple, list)) and any(isinstance(item, Storage) for item in argument)
        ):
            raise DeviceError(f"{name}: a shape or axis cannot be a device array (it has no __index__)")


def _refuse_half(values: Values, name: str) -> None:
    if any(isinstance(value, np.ndarray) and value.dtype == np.float16 for value in values):
        raise DeviceError(f"{name}: float16 is unsupported in linalg")


def refuse_promotion(name: str, values: Values, result: Any) -> None:
    """Raise if the result is float64 (or complex128) though no device operand is."""
    if not _is_double(result) or name in rules.DTYPE_IS_ARGUMENT:
        return
    operands = [
        item for value in values for item in (value if isinstance(value, list) else [value])
        if isinstance(item, np.ndarray)
    ]  # fmt: skip
    if operands and not any(_is_double(operand) for operand in operands):
        raise DeviceError(f"{name}: {result.dtype} result from {[str(operand.dtype) for operand in operands]}")


def _is_double(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.char in "dD"


# --- rules of single functions: each looks at the NumPy values and may change them in place ---


def _take(values: Values, named: Keywords) -> None:
    if len(values) > 1 and isinstance(values[1], (list, tuple)):
        values[1] = index_array(values[1], "take")  # refused, unless knobs.host_index
    named["mode"] = "wrap" if knobs.out_of_range == "wrap" else "raise"


def _wrap_along_axis(values: Values, axis: int | None) -> None:
    values[1] = wrap_around(values[1], values[0].size if axis is None else values[0].shape[axis])


def _take_along_axis(values: Values, named: Keywords) -> None:
    if len(values) + len(named) < 3:
        raise DeviceError("take_along_axis: CuPy's axis has no default")
    _wrap_along_axis(values, named["axis"] if "axis" in named else values[2])


def _put_along_axis(values: Values, named: Keywords) -> None:
    _wrap_along_axis(values, named["axis"] if "axis" in named else values[3])


def _put(values: Values, named: Keywords) -> None:
    named.setdefault("mode", "wrap")  # CuPy's default; NumPy's is "raise"


def _where(values: Values, named: Keywords) -> None:
    if len(values) + len(named) == 1:
        synchronise("where(condition)")


def _repeat(values: Values, named: Keywords) -> None:
    if isinstance(named.get("repeats", values[-1] if len(values) > 1 else None), np.ndarray):
        synchronise("repeat with counts on the device")


def _arrays_only(values: Values, named: Keywords) -> None:
    if not all(isinstance(value, np.ndarray) for value in values[:2]):
        raise DeviceError("dot, inner, outer, vdot and tensordot take device arrays, not numbers")


def _solve(values: Values, named: Keywords) -> None:
    a, b = values
    if b.ndim > 1 and a.shape[:-1] != b.shape[:-1]:  # batch axes are not broadcast: cupy/linalg/_solve.py
        raise ValueError(f"solve: a {a.shape} must have (..., M, M) shape and b {b.shape} must have (..., M, K)")


_ADAPTERS: dict[str, Callable[[Values, Keywords], None]] = {
    "take": _take,
    "put": _put,
    "take_along_axis": _take_along_axis,
    "put_along_axis": _put_along_axis,
    "where": _where,
    "repeat": _repeat,
    "linalg.solve": _solve,
    **dict.fromkeys(rules.ARRAYS_ONLY, _arrays_only),
}


def _nan_if_singular(function: Callable[..., Any]) -> Callable[..., Any]:
    """NaN for the singular matrices of a batch (CuPy leaves infinities, NaN or rubbish there), no LinAlgError."""

    def execute(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
        operands = [a] if b is None else [a, b]
        try:
            return function(*operands)
        except np.linalg.LinAlgError:
            if not knobs.silent_linalg or a.shape[-1] != a.shape[-2]:
                raise
        if a.ndim > 2:
            if b is not None and b.ndim == 1:
                operands[1] = np.broadcast_to(b, a.shape[:-1])
            return np.stack([execute(*matrices) for matrices in zip(*operands, strict=True)])
        last = operands[-1]
        return np.full(last.shape, np.nan, np.result_type(*operands, np.float32))

    return execute


class UFunc:
    """A CuPy ufunc: elementwise call, ``at`` where CUDA has an atomic, ``reduce`` of add and multiply only."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc
        self.nin, self.nout, self.__name__ = ufunc.nin, ufunc.nout, ufunc.__name__

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.__name__}'>"

    def __getattr__(self, name: str) -> Any:
        raise rules.NoStandInError(f"cupy.{self.ufunc.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply elementwise; lists and host arrays are refused, results are in C order whatever the inputs'."""
        name, out = self.__name__, kwargs.pop("out", None) if kwargs else None
        if kwargs and not kwargs.keys() <= rules.UFUNC_KEYWORDS:
            raise DeviceError(f"{name}: Wrong arguments {kwargs}")
        for arg in args:
            if isinstance(arg, (list, tuple)):
                raise DeviceError(f"{name}: Unsupported type {type(arg)}")
        values = [unwrap(arg, name) for arg in args]
        with np.errstate(all="ignore"):
            if out is None and len(args) == self.nin:
                result = self.ufunc(*values, order="C", **kwargs)
            else:
                result = self.ufunc(*values, out=unwrap(out, name), **kwargs)
        counters.launches += 1
        if knobs.promote == "raise" and "dtype" not in kwargs:
            refuse_promotion(name, values, result)
        if out is not None:
            return out[0] if isinstance(out, tuple) and len(out) == 1 else out
        return args[-1] if len(args) > self.nin and self.nout == 1 else wrap(result)

    def at(self, a: DeviceArray, indices: Any, b: Any = None) -> None:
        """Unbuffered in-place operation at index arrays, in no particular order."""
        name = self.__name__
        if name not in API["at"]:
            raise NotImplementedError(f"`cupy_{name}.at` is not supported yet")
        if not isinstance(a, DeviceArray) or a.dtype.name not in rules.AT_DTYPES[name]:
            raise DeviceError(f"cupy.{name}.at only supports {sorted(rules.AT_DTYPES[name])}")
        scatter(self.ufunc, a, indices, b)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """``sum`` or ``prod``; CuPy has no other reduction here."""
        self._only_add_and_multiply("reduce")
        return self._part("reduce")(array, axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """``cumsum`` or ``cumprod``."""
        self._only_add_and_multiply("accumulate")
        return self._part("accumulate")(array, axis=axis, dtype=dtype, out=out)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        """The operation on all pairs."""
        return self._part("outer")(a, b, **kwargs)

    def _only_add_and_multiply(self, part: str) -> None:
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.__name__}.{part}` is not supported yet")

    def _part(self, part: str) -> Callable[..., Any]:
        return device_function(getattr(self.ufunc, part), f"{self.__name__}.{part}", None)
