"""Reading and writing ``a[key]`` as CuPy does (``cupy/_core/_routines_indexing.pyx``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rules import DeviceError, counters, knobs, synchronise
from .storage import Storage, index_array, unwrap, wrap_around

_BASIC = (int, np.integer, slice, type(None), type(Ellipsis))


def translate(key: Any, shape: tuple[int, ...], name: str) -> tuple[Any, bool]:
    """NumPy's version of a CuPy index, and whether it holds index arrays (then reading copies)."""
    if isinstance(key, _BASIC):
        return key, False
    keys = key if isinstance(key, tuple) else (key,)
    if all(isinstance(item, _BASIC) for item in keys):
        return key, False
    hosts = [index_array(item, name) for item in keys]
    hidden = len(shape) - sum(_axes_used(host) for host in hosts)
    translated, axis = [], 0
    for host in hosts:
        if isinstance(host, np.ndarray) and axis < len(shape):
            host = wrap_around(host, shape[axis])
        translated.append(host)
        axis += hidden if host is Ellipsis else _axes_used(host)
    return tuple(translated), True


def _axes_used(host: Any) -> int:
    if host is None or host is Ellipsis:
        return 0
    return host.ndim if isinstance(host, np.ndarray) and host.dtype == bool else 1


def _check_masks(key: Any, name: str) -> None:
    # The number of True's is the size of the result (or of the values to store), so CuPy reads it back.
    if any(isinstance(item, np.ndarray) and item.dtype == bool for item in key):
        synchronise(f"boolean mask in {name}")


def read(host: np.ndarray, key: Any) -> np.ndarray:
    """``host[key]``: a view for basic indices (``a[0]`` of a vector too), a copy for index arrays (0-d ones too)."""
    index, advanced = translate(key, host.shape, "__getitem__")
    if not advanced:
        keys = index if isinstance(index, tuple) else (index,)
        return host[keys if Ellipsis in keys else (*keys, ...)]  # with an ellipsis NumPy never returns a scalar
    _check_masks(index, "__getitem__")
    counters.launches += 1
    result = np.asarray(host[index])
    return result.copy() if np.may_share_memory(result, host) else result


def write(host: np.ndarray, key: Any, value: Any) -> None:
    """``host[key] = value``: the value is a device array or a number."""
    if isinstance(value, (list, tuple)):
        raise DeviceError(f"__setitem__: a {type(value).__name__} is not a scalar")
    index, advanced = translate(key, host.shape, "__setitem__")
    stored = unwrap(value, "__setitem__")
    if advanced:
        _check_masks(index, "__setitem__")
        _check_duplicates(index, stored)
    counters.launches += 1
    with np.errstate(all="ignore"):
        host[index] = stored


def _check_duplicates(index: tuple[Any, ...], stored: Any) -> None:
    if knobs.duplicates == "allow" or np.size(stored) <= 1:
        return  # one value: every thread stores the same
    arrays = [item for item in index if isinstance(item, np.ndarray) and item.dtype != bool]
    if not arrays:
        return
    positions = np.zeros((), np.int64)  # one number for each place written to
    for array in arrays:
        positions = positions * (array.max(initial=0) + 1) + array
    ordered = np.sort(positions, axis=None)
    if (ordered[1:] == ordered[:-1]).any():
        raise DeviceError("a[idx] = values with repeated indices stores an undefined value on CuPy")


def scatter(ufunc: np.ufunc, target: Storage, key: Any, value: Any) -> None:
    """``ufunc.at(target, key, value)``; floating sums in random order, as CUDA's atomics give them."""
    host = target._host
    index, advanced = translate(key, host.shape, f"{ufunc.__name__}.at")
    values = unwrap(value, f"{ufunc.__name__}.at")
    if advanced:
        _check_masks(index, f"{ufunc.__name__}.at")
    counters.launches += 1
    with np.errstate(all="ignore"):
        if not (knobs.shuffle_scatter and advanced and host.dtype.kind == "f" and ufunc is np.add):
            ufunc.at(host, index, values)
            return
        flat = np.arange(host.size).reshape(host.shape)[index]
        order = _shuffler.permutation(flat.size)
        where = np.unravel_index(flat.reshape(-1)[order], host.shape)
        ufunc.at(host, where, np.broadcast_to(values, flat.shape).reshape(-1)[order])


_shuffler = np.random.default_rng()  # unseeded on purpose: no test may rely on an order
