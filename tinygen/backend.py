"""Floor 1. Which library an array lives in, and every difference between NumPy and CuPy.

The *array* decides: an operation takes its namespace from its inputs, so NumPy and CuPy arrays can live
in one process.  A default device only chooses where new tensors are created.  No other file of the
project names CuPy, and this one imports it only when a CUDA device is asked for.

Where the two libraries differ, the difference is a function here with its reason beside it; everything
else in tinygen is plain ``xp.`` calls that exist in both (a test compares them with CuPy's own names).
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinygen import philox

__all__ = [
    "Array", "Library", "cuda_is_available", "default_device", "default_dtype", "device", "device_of",
    "library", "library_for", "namespace", "register", "set_default_device", "set_default_dtype", "to_device",
    "to_host",
]  # fmt: skip

Array: TypeAlias = Any
"""A raw array: ``numpy.ndarray`` or ``cupy.ndarray``."""


@dataclass(frozen=True)
class Library:
    """One array library and the few things that only it can do.

    ``kind`` is the device name without its index (``"cpu"``, ``"cuda"``).  ``upload`` makes an array on
    device ``index`` from a host array and always copies; ``download`` makes a host array and synchronises.
    """

    kind: str
    xp: Any
    array_type: type
    upload: Callable[[np.ndarray, int], Array]
    download: Callable[[Array], np.ndarray]
    index: Callable[[Array], int]
    compiles_kernels: bool = False


_NUMPY = Library(
    "cpu",
    np,
    np.ndarray,
    upload=lambda host, index: np.array(host),
    download=lambda array: np.asarray(array),
    index=lambda array: 0,
)
_library_of_type: dict[type, Library] = dict.fromkeys(
    [np.ndarray, np.memmap, np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_, bool, int, float], _NUMPY
)
_library_of_kind: dict[str, Library] = {"cpu": _NUMPY}


def register(found: Library) -> None:
    """Make a library known by its device name and its array type (CuPy does; so does the tests' double)."""
    _library_of_kind[found.kind] = found
    _library_of_type[found.array_type] = found


def library(array: Array) -> Library:
    """The library that ``array`` lives in; raises TypeError for anything that is not an array or a number."""
    found = _library_of_type.get(type(array))
    return found if found is not None else _discover(array)


def namespace(array: Array, other: Array = None) -> Any:
    """``numpy`` or ``cupy``, by the type of ``array``; of two operands, by the one that is not a Python number."""
    return library(other if other is not None and type(array) in (float, int, bool) else array).xp


def _discover(array: Array) -> Library:
    if isinstance(array, (np.ndarray, np.generic)):
        return _NUMPY
    if type(array).__module__.partition(".")[0] == "cupy" and isinstance(array, _cupy().array_type):
        return _cupy()
    raise TypeError(
        f"expected a tensor, an array or a number, got {type(array).__name__}; make it a tensor with tg.tensor(...)"
    )


# --- devices -----------------------------------------------------------------------------------------------------


def _cupy() -> Library:
    """CuPy, imported at the first call; the error says which extra installs it."""
    if "cuda" not in _library_of_kind:
        try:
            cupy = importlib.import_module("cupy")
        except ImportError as error:
            raise RuntimeError(
                "device 'cuda' needs CuPy, which is not installed: pip install 'tinygen[cuda12]' or 'tinygen[cuda13]'"
            ) from error

        def upload(host: np.ndarray, index: int) -> Array:
            with cupy.cuda.Device(index):
                return cupy.array(host)

        register(
            Library(
                "cuda",
                cupy,
                cupy.ndarray,
                upload,
                download=lambda array: cupy.asnumpy(array),
                index=lambda array: int(array.device.id),
                compiles_kernels=True,
            )
        )
    return _library_of_kind["cuda"]


def cuda_is_available() -> bool:
    """True if CuPy is installed and sees a CUDA device."""
    try:
        return bool(_cupy().xp.cuda.is_available())
    except RuntimeError:
        return False


def library_for(name: str) -> tuple[Library, int]:
    """The library and the device index that a device name (``"cpu"``, ``"cuda"``, ``"cuda:1"``) stands for."""
    kind, colon, number = str(name).partition(":")
    known = kind in _library_of_kind or kind == "cuda"
    if not known or (colon and not number.isdigit()) or (kind == "cpu" and number):
        raise ValueError(f"unknown device {name!r}; devices are 'cpu', 'cuda' and 'cuda:N'")
    found = _cupy() if kind == "cuda" else _library_of_kind[kind]
    if kind == "cuda" and int(number or 0) >= _device_count(found):
        raise RuntimeError(f"device {name!r} does not exist: {_device_count(found)} CUDA device(s) found")
    return found, int(number or 0)


def _device_count(cuda: Library) -> int:
    return int(cuda.xp.cuda.runtime.getDeviceCount()) if cuda.xp.cuda.is_available() else 0


def device_of(array: Array) -> str:
    """The name of the device that ``array`` lives on; device 0 of a kind is named without a number."""
    found = library(array)
    index = found.index(array)
    return found.kind if index == 0 else f"{found.kind}:{index}"


def to_host(array: Array) -> np.ndarray:
    """A host copy of a device array (this synchronises), or the array itself if it is on the host."""
    return library(array).download(array)


def to_device(array: Array, name: str) -> Array:
    """``array`` on the named device: itself if it is there already, else a copy."""
    found, index = library_for(name)
    here = library(array)
    if here is found and here.index(array) == index:
        return array
    return found.upload(here.download(array), index)


_device_override: ContextVar[str | None] = ContextVar("device", default=None)
_default_device = os.environ.get("TINYGEN_DEVICE", "cpu")
_default_dtype: np.dtype[Any] = np.dtype(np.float32)


def default_device() -> str:
    """Where new tensors are created: the innermost ``tg.device``, else the default device."""
    return _device_override.get() or _default_device


def set_default_device(name: str) -> None:
    """Create new tensors on this device from now on (``TINYGEN_DEVICE`` sets the first one)."""
    global _default_device
    library_for(name)
    _default_device = name


@contextlib.contextmanager
def device(name: str) -> Iterator[str]:
    """Create new tensors on this device inside the ``with`` block.

    >>> import tinygen as tg
    >>> with tg.device("cpu"):
    ...     tg.zeros(2).device
    'cpu'
    """
    library_for(name)
    token = _device_override.set(name)
    try:
        yield name
    finally:
        _device_override.reset(token)


def default_dtype() -> np.dtype[Any]:
    """The floating dtype that Python numbers, integer divisions and parameters take (float32 at first)."""
    return _default_dtype


def set_default_dtype(dtype: Any) -> None:
    """Set the default floating dtype: ``np.float32``, ``np.float64`` or ``np.float16``, or its name."""
    global _default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"the default dtype must be a floating dtype, got {np.dtype(dtype)}")
    _default_dtype = np.dtype(dtype)


# --- differences between the libraries ---------------------------------------------------------------------------


def quiet(xp: Any) -> Any:
    """No warnings for division by zero or overflow inside the block; CuPy gives none and has no ``errstate``."""
    return np.errstate(all="ignore") if xp is np else contextlib.nullcontext()


def upload_like(values: np.ndarray, like: Array) -> Array:
    """A copy of host values on the device of an array."""
    found = library(like)
    return found.upload(values, found.index(like))


def as_array(value: Any) -> Any:
    """A NumPy scalar, which NumPy makes of 0-d results where CuPy makes arrays, as a 0-d array; else as it is."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def read_only(array: Array) -> Array:
    """A view that cannot be written; CuPy has no such views, so there the array itself."""
    if type(array) is not np.ndarray:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def block_bytes(xp: Any) -> int:
    """How large a block of convolution columns may be.

    On a CPU it should stay in the L2 or L3 cache (1 to 2 MiB measured best).  On a GPU each block is a
    kernel launch, so blocks are as large as memory comfortably allows.
    """
    return 1 << 20 if xp is np else 1 << 28


def stacked_solve(a: Array, b: Array) -> Array:
    """x with ``a @ x = b`` for stacks of matrices; CuPy's ``solve`` does not broadcast the batch axes."""
    xp = namespace(a)
    if xp is not np and a.shape[:-2] != b.shape[:-2]:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a = xp.broadcast_to(a, batch + a.shape[-2:])
        b = xp.broadcast_to(b, batch + b.shape[-2:])
    return xp.linalg.solve(a, b)


def stacked_matmul(a: Array, b: Array) -> Array:
    """``a @ b`` for stacks of matrices.

    A plain matrix on the right makes one two-dimensional product of the whole stack: in CuPy only that
    one reaches the fast routine, in NumPy it replaces one small product for each matrix of the stack.
    """
    if b.ndim == 2 and a.ndim > 2:
        return (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) @ b).reshape(a.shape[:-1] + b.shape[-1:])
    return a @ b


def sum_over(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """``x.sum(axis, keepdims=keepdims)``.

    NumPy adds one innermost row at a time: slow, and in one long chain of roundings, where the rows are short and
    stay, such as the channels of images that lie in memory with the channels last.  There the outermost axis goes
    first: its rows are long, and the second sum is small.
    """
    if namespace(x) is np and len(axis) > 1 and x.size > 1 << 12:
        innermost = min((a for a in range(x.ndim) if x.shape[a] > 1), key=lambda a: abs(x.strides[a]))
        if innermost not in axis and x.shape[innermost] < 1 << 8:
            x = x.sum(axis=max(axis, key=lambda a: abs(x.strides[a])), keepdims=True)
    return x.sum(axis=axis, keepdims=keepdims)


def add_at(size: int, positions: Array, values: Array) -> Array:
    """A vector of ``size`` zeros with ``values`` added at ``positions``; repeated positions accumulate.

    On flat arrays ``add.at`` is fast in NumPy too; ``bincount`` would synchronise in CuPy.
    """
    xp = namespace(values)
    total = xp.zeros(size, dtype=values.dtype)
    xp.add.at(total, positions.ravel(), values.ravel())
    return total


def sum_rows(rows: Array, positions: Array, size: int) -> tuple[Any, Array, Array | None]:
    """The sums of ``rows`` (K, …) that stand at equal ``positions`` (K,), in 0 … size − 1: (where, sums, touched).

    On a CPU ``where`` holds the distinct positions and ``sums`` a row for each.  How many are distinct a device knows
    only by synchronising: there ``where`` is all positions, and ``touched`` (size, 1, …) tells the given ones.
    """
    xp = namespace(rows)
    if xp is np:
        order = positions.argsort(kind="stable")
        ordered = positions[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        return ordered[starts], _sum_runs(rows.take(order, axis=0), starts), None
    sums, counts = xp.zeros((size, *rows.shape[1:]), dtype=rows.dtype), xp.zeros(size, dtype=np.int32)
    xp.add.at(sums, positions, rows)
    xp.add.at(counts, positions, 1)
    return slice(None), sums, (counts > 0).reshape(size, *[1] * (rows.ndim - 1))


def _sum_runs(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The sum of each run of rows, which ends where the next one starts (``add.reduceat`` takes four times as long)."""
    few = 8
    lengths = np.diff(starts, append=len(rows))
    sums = rows.take(starts, axis=0)
    for k in range(1, few):  # most runs are short: add the second rows of all of them, then the third ones, …
        some = np.flatnonzero(lengths > k)
        sums[some] += rows.take(starts[some] + k, axis=0)
    for run in np.flatnonzero(lengths > few):  # the others are long enough for a call each
        np.add.reduce(rows[starts[run] : starts[run] + lengths[run]], axis=0, out=sums[run, ...])
    return sums


def checks_values(array: Array) -> bool:
    """Whether looking at the values of ``array`` is free: on a device it would synchronise."""
    return namespace(array) is np


def random_bits(name: str, key: int, counter: int, count: int) -> Array:
    """``count`` 64-bit words of the Philox stream ``key``, from block ``counter`` on, made on the named device.

    CUDA has a kernel; a library that compiles none gets the same words from the host.
    """
    found, index = library_for(name)
    if found.compiles_kernels:
        with found.xp.cuda.Device(index):
            return philox.words_on_device(found.xp, key, counter, count)
    words = philox.words_on_host(key, counter, count)
    return words if found is _NUMPY else found.upload(words, index)
