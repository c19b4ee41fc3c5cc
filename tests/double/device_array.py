"""``DeviceArray``: an array that lives in NumPy memory, yet is no ndarray and never turns into one by itself.

Operators, comparisons and methods that are plain library calls are attached in ``operators.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from . import indexing
from .rules import API, DeviceError, NoStandInError, counters, synchronise
from .storage import Storage


class Device:
    """The device that every DeviceArray lives on."""

    id = 0

    def __repr__(self) -> str:
        return "double:0"


class Flags:
    """``arr.flags`` without ``writeable``: CuPy arrays cannot be made read-only."""

    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata


_DEVICE = Device()


class DeviceArray(Storage):
    """What ``cupy.ndarray`` is: operations return DeviceArrays, 0-d results too; leaving the device is explicit."""

    __slots__ = ()
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    # --- metadata: known on the host, never a synchronisation ---

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._host.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype object, as in CuPy."""
        return self._host.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._host.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._host.size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._host.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._host.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps of the axes in bytes."""
        return self._host.strides

    @property
    def flags(self) -> Flags:
        """Contiguity and ownership."""
        return Flags(self._host.flags)

    @property
    def device(self) -> Device:
        """The one device of the double."""
        return _DEVICE

    @property
    def base(self) -> DeviceArray | None:
        """The array this one is a view of, or None."""
        base = self._host.base
        return DeviceArray(base) if isinstance(base, np.ndarray) else None

    @property
    def T(self) -> DeviceArray:  # noqa: N802
        """View with all axes reversed."""
        return DeviceArray(self._host.T)

    @property
    def mT(self) -> DeviceArray:  # noqa: N802
        """View with the last two axes exchanged."""
        return DeviceArray(self._host.mT)

    @property
    def real(self) -> DeviceArray:
        """View of the real part."""
        return DeviceArray(self._host.real)

    @property
    def imag(self) -> DeviceArray:
        """The imaginary part."""
        return DeviceArray(self._host.imag)

    # --- the ways out: each waits for the device ---

    def get(self, stream: None = None, order: Any = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        """A host copy."""
        synchronise(".get()")
        if out is None:
            return np.array(self._host, order=order)
        out[...] = self._host
        return out

    def __bool__(self) -> bool:
        synchronise("bool()")
        return bool(self._host)

    def __int__(self) -> int:
        synchronise("int()")
        return int(self._host)

    def __float__(self) -> float:
        synchronise("float()")
        return float(self._host)

    def __complex__(self) -> complex:
        synchronise("complex()")
        return complex(self._host)

    def __repr__(self) -> str:
        synchronise("repr()")
        return repr(self._host)

    def __str__(self) -> str:
        synchronise("str()")
        return str(self._host)

    def __format__(self, specification: str) -> str:
        synchronise("format()")
        return format(self._host[()], specification)

    def __reduce__(self) -> tuple[type[DeviceArray], tuple[np.ndarray]]:
        synchronise("pickle")
        return DeviceArray, (self._host,)

    # --- the way in, beside ``xp.asarray`` ---

    def set(self, host: np.ndarray, stream: None = None) -> None:
        """Copy a host array of the same shape and dtype into this one."""
        if host.shape != self.shape or host.dtype != self.dtype:
            raise ValueError(f"set: {host.dtype}{host.shape} does not fit {self.dtype}{self.shape}")
        counters.uploads += 1
        self._host[...] = host

    # --- refused: CuPy does not convert to NumPy, nor does it let NumPy's functions see its memory here ---

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise DeviceError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        # CuPy would dispatch, slowly, and the code would look right: name the namespace instead.
        raise DeviceError(f"numpy.{function.__name__} called on a device array: call it through xp")

    def __getattr__(self, name: str) -> NoReturn:
        if name in API["methods"]:
            raise NoStandInError(f"cupy.ndarray.{name} exists in CuPy but has no stand-in here")
        raise AttributeError(f"cupy.ndarray (CuPy {API['version']}) has no attribute {name!r}")

    # --- container ---

    def __len__(self) -> int:
        if not self._host.ndim:
            raise TypeError("len() of unsized object")
        return len(self._host)

    def __iter__(self) -> Iterator[DeviceArray]:
        if not self._host.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._host)))

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(indexing.read(self._host, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        indexing.write(self._host, key, value)

    def __copy__(self) -> DeviceArray:
        counters.launches += 1
        return DeviceArray(self._host.copy())

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceArray:
        return self.__copy__()


def wrap(result: Any) -> Any:
    """Arrays and NumPy scalars as DeviceArrays; lists stay lists, named tuples become plain ones, as in CuPy."""
    if isinstance(result, np.ndarray):
        return DeviceArray(result)
    if isinstance(result, np.generic):
        return DeviceArray(np.asarray(result))
    if isinstance(result, list):
        return [wrap(item) for item in result]
    if isinstance(result, tuple):
        return tuple([wrap(item) for item in result])
    return result
