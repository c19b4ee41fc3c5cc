"""Arrays for tests: drawn by Hypothesis in every shape and memory layout, put on a device, and compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen import backend

LAYOUTS = ("C", "F", "strided", "reversed")
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5, np.dtype(np.float16): 1e-2}
"""Some thousand units in the last place: sums and products of a few dozen numbers, in another order."""


def shapes(least: int = 0, most: int = 3, side: int = 4, smallest: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of ``least`` to ``most`` axes of up to ``side`` elements, empty ones (``smallest=0``) among them."""
    return st.lists(st.integers(smallest, side), min_size=least, max_size=most).map(tuple)


def values(shape: tuple[int, ...], dtype: Any = np.float64) -> st.SearchStrategy[np.ndarray]:
    """Normal numbers, or small whole ones among which there are zeros and equal ones."""

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if np.dtype(dtype).kind == "b" or seed % 3 == 0:
            return rng.integers(-2, 3, shape).astype(dtype)
        return (2.0 * rng.normal(size=shape)).astype(dtype)

    return st.integers(0, 2**16).map(make)


def arrays(dtype: Any = np.float64, **limits: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of :func:`shapes` with :func:`values`."""
    return shapes(**limits).flatmap(lambda shape: values(shape, dtype))


def axes(ndim: int, several: bool = True, none: bool = True) -> st.SearchStrategy[Any]:
    """An axis argument: None, a number (negative ones too), or a tuple of different axes."""
    choices = [st.none()] if none or not ndim else []
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
        if several:
            signed = st.permutations(range(ndim)).flatmap(
                lambda order: st.lists(st.booleans(), min_size=0, max_size=ndim).map(
                    lambda back: tuple(axis - ndim * b for axis, b in zip(order, back, strict=False))
                )
            )
            choices.append(signed)
    return st.one_of(choices)


layouts = st.sampled_from(LAYOUTS)


def raw(device: str, array: np.ndarray, layout: str = "C") -> Any:
    """The array on a device, in a memory layout: contiguous, Fortran order, every second element, backwards."""
    library, index = backend.library_for(device)
    if layout == "F" and array.ndim:
        return library.upload(np.ascontiguousarray(array.T), index).T
    if layout == "strided" and array.ndim:
        return library.upload(np.repeat(array, 2, axis=-1), index)[..., ::2]
    if layout == "reversed" and array.ndim:
        back = (slice(None, None, -1),) * array.ndim
        return library.upload(np.ascontiguousarray(array[back]), index)[back]
    return library.upload(array, index)


def on(device: str, array: Any, layout: str = "C", requires_grad: bool = False) -> tg.Tensor:
    """A leaf tensor on the device around :func:`raw`."""
    return tg.Tensor(raw(device, np.asarray(array), layout), requires_grad)


def host(value: Any) -> np.ndarray:
    """The values of a tensor, device array or number as a NumPy array."""
    if isinstance(value, tg.Tensor):
        return value.numpy()
    return np.asarray(value if isinstance(value, (np.ndarray, np.generic, int, float)) else backend.to_host(value))


def close(actual: Any, expected: Any, rtol: float | None = None, dtype: bool = True) -> None:
    """Assert equal shapes, dtypes and, up to rounding relative to the largest finite value, equal values."""
    found, expected = host(actual), np.asarray(expected)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    if dtype:
        assert found.dtype == expected.dtype, f"dtype {found.dtype}, expected {expected.dtype}"
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    rtol = ROUNDING[found.dtype] if rtol is None else rtol
    finite = np.abs(expected[np.isfinite(expected)])
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * max(1.0, finite.max(initial=0.0)))


def agree(
    device: str,
    operation: Callable[..., Any],
    twin: Callable[..., Any],
    *operands: np.ndarray,
    layout: str = "C",
    rtol: float | None = None,
) -> None:
    """Assert that ``operation`` gives what ``twin`` gives on NumPy arrays: tensors of tensors, arrays of arrays."""
    with np.errstate(all="ignore"):
        expected = twin(*operands)
    tensors = operation(*[on(device, operand, layout) for operand in operands])
    plain = operation(*[raw(device, operand, layout) for operand in operands])
    several = isinstance(expected, (list, tuple))
    for found, also, want in zip(tensors, plain, expected, strict=True) if several else [(tensors, plain, expected)]:
        assert isinstance(found, tg.Tensor), f"tensors in, {type(found).__name__} out"
        assert found.device == device
        assert not isinstance(also, tg.Tensor), "arrays in, a tensor out"
        assert backend.library(also) is backend.library_for(device)[0]
        close(found, want, rtol)
        close(also, want, rtol)
