"""The memory of a device array, and the door through which host values may (not) come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rules import UNSUPPORTED_DTYPES, DeviceError, counters, knobs


class Storage:
    """NumPy memory that plays device memory."""

    __slots__ = ("__weakref__", "_host")

    _host: np.ndarray

    def __init__(self, host: np.ndarray) -> None:
        if host.dtype.char in UNSUPPORTED_DTYPES:
            raise ValueError(f"Unsupported dtype {host.dtype}")
        self._host = host


def unwrap(value: Any, name: str) -> Any:
    """The NumPy value behind an argument of ``name``; a host array is refused, as by CuPy."""
    if isinstance(value, Storage):
        return value._host
    if isinstance(value, np.ndarray):
        raise DeviceError(f"{name}: Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, list):
        return [unwrap(item, name) for item in value]
    if isinstance(value, tuple):
        return tuple([unwrap(item, name) for item in value])
    return value


def index_array(value: Any, name: str) -> Any:
    """The NumPy value of one index; lists and host arrays are hidden uploads (refused unless ``host_index``)."""
    if isinstance(value, Storage):
        return value._host
    if isinstance(value, (np.ndarray, list, tuple)):
        if not knobs.host_index:
            raise DeviceError(f"{name}: an index of type {type(value).__name__} is copied to the device at each call")
        counters.uploads += 1
        array = np.asarray(unwrap(value, name) if not isinstance(value, np.ndarray) else value)
        return array if array.size else array.astype(np.int32)
    return value


def wrap_around(index: np.ndarray, size: int) -> np.ndarray:
    """An integer index array taken modulo ``size``: CuPy's gather and scatter kernels do this, nobody checks."""
    if knobs.out_of_range == "raise" or size == 0 or index.dtype.kind not in "iu":
        return index
    return index % size
