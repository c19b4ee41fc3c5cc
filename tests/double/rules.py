"""What the double refuses and counts: knobs, counters, errors and the tables of CuPy's restrictions.

No arrays here.  The names, keyword lists and methods come from ``cupy_api.json``, read off a real CuPy wheel by
``snapshot_cupy_api.py``; the tables below hold what introspection cannot see, each with CuPy's reason.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

API: dict[str, Any] = json.loads(Path(__file__).with_name("cupy_api.json").read_text())
"""CuPy's public surface: names, keywords, methods, ufuncs with ``.at``, and the version they were read from."""


class DeviceError(TypeError):
    """Raised where CuPy raises, and where CuPy silently does something else than NumPy."""


class NoStandInError(AttributeError, NotImplementedError):
    """CuPy has this name, NumPy has nothing that could play it here (an AttributeError too, for ``hasattr``)."""


@dataclass
class Knobs:
    """How strict the double is; change one for a while with ``with knobs.using(promote="raise"):``."""

    sync: Literal["count", "raise"] = "count"
    """What a host/device synchronisation does; ``no_sync()`` sets ``"raise"``."""
    promote: Literal["allow", "raise"] = "allow"
    """``"raise"``: a call without a float64 operand may not give float64 (NEP 50: ``np.float64(2)`` is strong)."""
    out_of_range: Literal["wrap", "raise"] = "wrap"
    """An index array out of range: CuPy wraps it around silently, NumPy raises."""
    duplicates: Literal["raise", "allow"] = "raise"
    """``a[idx] = values`` with a repeated index: CuPy stores whichever thread came last."""
    host_index: bool = False
    """Allow lists and NumPy arrays as indices: CuPy copies them to the device at every call (one upload)."""
    shuffle_scatter: bool = True
    """``add.at`` adds floats in random order, as atomics do: the last bits of a sum differ from run to run."""
    silent_linalg: bool = True
    """Singular matrices give NaN: CuPy does not read cuSOLVER's status (that would synchronise)."""

    @contextlib.contextmanager
    def using(self, **changes: Any) -> Iterator[None]:
        """Set some knobs inside the block."""
        before = {name: getattr(self, name) for name in changes}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)


@dataclass
class Counters:
    """What happened on the device so far.  One launch per library call: a lower bound of CuPy's kernels."""

    launches: int = 0
    uploads: int = 0
    synchronisations: int = 0
    reasons: list[str] = field(default_factory=list)
    """What caused each synchronisation, in order."""

    def reset(self) -> None:
        """Start again from zero."""
        self.launches = self.uploads = self.synchronisations = 0
        self.reasons.clear()

    def read(self) -> Counters:
        """A copy of the present values."""
        return Counters(self.launches, self.uploads, self.synchronisations, list(self.reasons))


knobs = Knobs()
counters = Counters()


def synchronise(reason: str) -> None:
    """Count a synchronisation; raise DeviceError inside ``no_sync()``."""
    counters.synchronisations += 1
    counters.reasons.append(reason)
    if knobs.sync == "raise":
        raise DeviceError(f"host/device synchronisation: {reason}")


def no_sync() -> contextlib.AbstractContextManager[None]:
    """Inside the block any synchronisation raises DeviceError, the explicit ``.get()`` included."""
    return knobs.using(sync="raise")


@contextlib.contextmanager
def counting() -> Iterator[Counters]:
    """Count what the block does; the yielded object is filled in when the block ends."""
    before, inside = counters.read(), Counters()
    try:
        yield inside
    finally:
        inside.launches = counters.launches - before.launches
        inside.uploads = counters.uploads - before.uploads
        inside.synchronisations = counters.synchronisations - before.synchronisations
        inside.reasons = counters.reasons[len(before.reasons) :]


def words(text: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(text.split())


UNSUPPORTED_DTYPES = frozenset("gGOSUMmV")
"""dtype characters CuPy has no kernels for: long double, object, strings, dates (and void, unused here)."""

ABOUT_ARRAYS = words("""result_type promote_types common_type can_cast finfo iinfo issubdtype broadcast_shapes isscalar
    ndim shape size min_scalar_type iscomplexobj isrealobj ndindex dtype may_share_memory shares_memory iterable
    set_printoptions get_printoptions base_repr binary_repr format_float_positional format_float_scientific""")
"""Answered on the host: no launch, and the result is a plain Python or NumPy object."""

VIEWS = words("""reshape transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis squeeze expand_dims ravel
    view diagonal broadcast_to broadcast_arrays split array_split hsplit vsplit dsplit flip fliplr flipud rot90
    atleast_1d atleast_2d atleast_3d as_strided sliding_window_view astype ascontiguousarray asfortranarray
    real imag conj conjugate""")
"""Calls that launch only if they had to copy."""

NO_LAUNCH = words("empty empty_like")

SYNCHRONISING = words("""nonzero argwhere flatnonzero unique unique_all unique_counts unique_inverse unique_values
    extract compress bincount place trim_zeros histogram histogram2d histogramdd
    intersect1d setdiff1d setxor1d union1d item tolist tobytes tofile dump dumps array_repr array_str array2string
    save savez savez_compressed savetxt""")
"""The size of the result depends on the values ("synchronize!" in CuPy's source), or the values leave the device."""

HOST_SCALARS = words("allclose array_equal array_equiv count_nonzero")
"""NumPy returns Python scalars here, CuPy 0-d device arrays: no synchronisation until ``bool()`` or ``int()``."""

ANY_FIRST_ARGUMENT = ABOUT_ARRAYS | words("allclose isclose")
"""Functions whose first parameter is called ``a`` but need not be a device array."""

ARRAYS_ONLY = words("dot vdot inner outer tensordot")
"""Typed ``_ndarray_base a, _ndarray_base b`` in CuPy: a Python number is a TypeError."""

HOST_ARGUMENTS: dict[str, int] = {
    **dict.fromkeys(words("empty zeros ones eye identity arange tri indices"), 0),
    **dict.fromkeys(words("reshape broadcast_to transpose swapaxes moveaxis expand_dims squeeze tile"), 1),
}
"""Shapes and axes are host integers from this position on: a CuPy array has no ``__index__``."""

DTYPE_IS_ARGUMENT = words("astype view zeros_like ones_like empty_like full_like")
"""Calls that may give float64 because they were told to (``promote="raise"`` passes them)."""

UFUNC_KEYWORDS = words("out dtype casting")
"""``ufunc.__call__`` pops these and refuses the rest (``where=`` too): ``cupy/_core/_kernel.pyx``."""

VARIADIC_KEYWORDS: dict[str, frozenset[str]] = {
    "einsum": words("dtype optimize"),
    "meshgrid": words("indexing sparse copy"),
}
"""Routines declared with ``**kwargs``, which a signature does not list."""

VARIADIC = words("args arys arrays varargs arrays_and_dtypes")
"""What CuPy calls its ``*args`` in the snapshot's lists of parameters."""

_INTEGERS = "int32 int64 uint32 uint64"
AT_DTYPES: dict[str, frozenset[str]] = {
    "add": words(f"{_INTEGERS} float16 float32 float64"),
    "subtract": words("int32 uint32"),
    "maximum": words(f"{_INTEGERS} float32 float64"),
    "minimum": words(f"{_INTEGERS} float32 float64"),
    "bitwise_and": words(_INTEGERS),
    "bitwise_or": words(_INTEGERS),
    "bitwise_xor": words(_INTEGERS),
}
"""dtypes with an atomic in CUDA: ``_scatter_op_single`` in ``cupy/_core/_routines_indexing.pyx``."""
