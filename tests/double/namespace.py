"""``xp``: an object that plays the module ``cupy``, with its names and no others."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .calls import UFunc, device_function
from .device_array import DeviceArray, wrap
from .operators import attach
from .rules import API, VARIADIC_KEYWORDS, DeviceError, NoStandInError, counters
from .storage import Storage, unwrap

attach()


class Namespace:
    """CuPy's module ``dotted`` ("" is the top one), played by NumPy's; names are made when first used."""

    def __init__(self, module: ModuleType, dotted: str = "") -> None:
        self.__name__ = f"double.xp.{dotted}" if dotted else "double.xp"
        self._module, self._dotted = module, dotted
        self._names = frozenset(API["names"].get(dotted, ()))

    def __repr__(self) -> str:
        return f"<namespace {self.__name__} (CuPy {API['version']})>"

    def __dir__(self) -> list[str]:
        return sorted(self._names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self._dotted}.{name}" if self._dotted else name
        value = self._make(name, full)
        setattr(self, name, value)
        return value

    def _make(self, name: str, full: str) -> Any:
        if full in API["names"] or full == "lib":
            return Namespace(getattr(np, name) if full != "lib.stride_tricks" else np.lib.stride_tricks, full)
        if name not in self._names:
            where = f"cupy.{self._dotted}" if self._dotted else "cupy"
            raise AttributeError(f"module {where!r} (CuPy {API['version']}) has no attribute {name!r}")
        if not hasattr(self._module, name) or self._dotted == "random":
            raise NoStandInError(f"{full} exists in CuPy but has no stand-in here")
        value = getattr(self._module, name)
        if isinstance(value, np.ufunc) and name != "matmul":  # CuPy's matmul is a function: no ``at``, no ``outer``
            return UFunc(value)
        if isinstance(value, type) or not callable(value):
            return value
        return device_function(value, full, VARIADIC_KEYWORDS.get(full) or API["kwargs"].get(full))


def _creation(name: str) -> Callable[..., DeviceArray]:
    """``asarray``, ``asanyarray`` or ``array``: the doors for host data."""
    function, allowed = getattr(np, name), frozenset(API["kwargs"][name])

    def create(data: Any, dtype: Any = None, **kwargs: Any) -> DeviceArray:
        if not kwargs.keys() <= allowed:
            raise DeviceError(f"{name}() got unexpected keyword arguments among {sorted(kwargs)}")
        kwargs.pop("blocking", None)
        if isinstance(data, DeviceArray):
            same = dtype is None or np.dtype(dtype) == data.dtype
            if name != "array" and same and not kwargs.get("copy"):
                return data
            counters.launches += 1
            return DeviceArray(function(data._host, dtype=dtype, **kwargs))
        if isinstance(data, (list, tuple)) and _holds_device_arrays(data):
            counters.launches += 1
            return DeviceArray(np.array(unwrap(data, name), dtype=dtype))
        counters.uploads += 1
        return DeviceArray(np.array(function(data, dtype=dtype, **kwargs)))  # a transfer always copies

    create.__name__ = create.__qualname__ = name
    return create


def _holds_device_arrays(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_holds_device_arrays(item) for item in data)
    return isinstance(data, Storage)


def asnumpy(a: Any, stream: None = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """A host copy of a device array (a synchronisation); host data goes through ``numpy.asarray``."""
    return a.get(order=order, out=out) if isinstance(a, DeviceArray) else np.asarray(a)


def fuse(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """``cupy.fuse``: here the function as it is."""
    return function if function is not None else lambda decorated: decorated


def get_array_module(*arrays: Any) -> Any:
    """``xp`` if any argument is a device array, else NumPy."""
    return xp if any(isinstance(array, DeviceArray) for array in arrays) else np


class Generator:
    """The methods of ``cupy.random.Generator``; its stream is never NumPy's for the same seed, as CuPy's is not."""

    def __init__(self, seed: int | None = None) -> None:
        self._numpy = np.random.default_rng(None if seed is None else [seed, 0xC0DE])

    def __getattr__(self, name: str) -> Callable[..., DeviceArray]:
        if name not in API["generator"]:
            raise AttributeError(f"cupy.random.Generator has no {name!r}")
        if name == "uniform":
            return self._uniform
        return device_function(getattr(self._numpy, name), f"Generator.{name}", API["generator_kwargs"].get(name))

    def _uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = np.float64) -> DeviceArray:
        draws = self._numpy.uniform(unwrap(low, "uniform"), unwrap(high, "uniform"), size)
        counters.launches += 1
        return wrap(np.asarray(draws, dtype))  # CuPy takes a dtype here, NumPy does not


xp: Any = Namespace(np)
"""The stand-in for ``cupy``."""

xp.ndarray = DeviceArray
xp.array, xp.asarray, xp.asanyarray = _creation("array"), _creation("asarray"), _creation("asanyarray")
xp.asnumpy, xp.fuse, xp.get_array_module = asnumpy, fuse, get_array_module
xp.random.Generator, xp.random.default_rng = Generator, Generator
