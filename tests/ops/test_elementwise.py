"""Arithmetic, powers, logarithms, trigonometry: values against NumPy and SciPy, also in the tails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from arrays import agree, arrays, close, host, layouts, on, raw, values
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg

UNARY: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "abs", "negative", "sign", "exp", "expm1", "log", "log1p", "sqrt", "square",
        "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    )
}  # fmt: skip
BINARY: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "power", "logaddexp")},
    "xlogy": scipy.special.xlogy,
}
EXTREME = np.array([
    0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-30, -1e-30, 1e-8, 0.5, -0.5, 1.0, -1.0, 3.0, -20.0, 40.0, 100.0, -100.0,
    709.0, -745.0, 1000.0, -1000.0, 1e16, -1e16, 1e300, -1e300, np.inf, -np.inf, np.nan,
])  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.mark.parametrize("name", UNARY)
@given(x=arrays(), layout=layouts)
def test_unary_is_numpys(name: str, x: np.ndarray, layout: str, device: str) -> None:
    agree(device, getattr(tg, name), UNARY[name], x, layout=layout)


@pytest.mark.parametrize("name", UNARY)
def test_unary_at_extreme_values(name: str, device: str) -> None:
    """Where NumPy is infinite, NaN, subnormal or a signed zero, so are we: the library's value is the rule."""
    with np.errstate(all="ignore"):
        expected = UNARY[name](EXTREME)
    np.testing.assert_array_equal(host(getattr(tg, name)(on(device, EXTREME))), expected)


@st.composite
def broadcast_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose shapes broadcast: axes of size 1, missing leading axes, empty ones."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))

    def one() -> np.ndarray:
        part = shape[draw(st.integers(0, len(shape))) :]
        return draw(values(tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in part)))

    return one(), one()


@pytest.mark.parametrize("name", BINARY)
@given(pair=broadcast_pairs(), layout=layouts)
def test_binary_is_numpys(name: str, pair: tuple[np.ndarray, np.ndarray], layout: str, device: str) -> None:
    # 1e-11 for power: NumPy's own results differ in the last bits between contiguous and strided loops
    agree(device, getattr(tg, name), BINARY[name], *pair, layout=layout, rtol=1e-11 if name == "power" else None)


@pytest.mark.parametrize("name", sorted(set(BINARY) - {"logaddexp", "xlogy"}))
def test_binary_at_extreme_values(name: str, device: str) -> None:
    a, b = EXTREME[:, None], EXTREME
    with np.errstate(all="ignore"):
        expected = BINARY[name](a, b)
    np.testing.assert_array_equal(host(getattr(tg, name)(on(device, a), on(device, b))), expected)


@pytest.mark.host
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_arguments_have_numpys_names(name: str) -> None:
    expected = ["x"] if name in UNARY else ["x", "y"] if name == "xlogy" else ["x1", "x2"]
    assert list(inspect.signature(getattr(tg, name)).parameters) == expected


@pytest.mark.parametrize("name", BINARY)
def test_operands_by_keyword(name: str, device: str) -> None:
    a, b = np.array([1.0, 2.0]), np.array([0.5, 3.0])
    first, second = ("x", "y") if name == "xlogy" else ("x1", "x2")
    operation, expected = getattr(tg, name), BINARY[name](a, b)
    x, y = on(device, a, requires_grad=True), on(device, b, requires_grad=True)
    by_position = tg.grad(tg.sum(operation(x, y)), (x, y))
    for found in (operation(**{first: x, second: y}), operation(x, **{second: y}), operation(**{second: y, first: x})):
        close(found, expected)
        for g, want in zip(tg.grad(tg.sum(found), (x, y)), by_position, strict=True):
            np.testing.assert_array_equal(host(g), host(want))
    mixed = operation(x, **{second: raw(device, b)})
    close(mixed, expected)
    np.testing.assert_array_equal(host(tg.grad(tg.sum(mixed), x)[0]), host(by_position[0]))
    number = operation(x, **{second: 3.0})
    close(number, BINARY[name](a, 3.0))
    tg.grad(tg.sum(number), x)
    close(operation(raw(device, a), **{second: raw(device, b)}), expected)


@pytest.mark.parametrize(
    "exponent", [0, 1, 2, 3, 4, 7, -1, -2, -3, 0.5, 1.5, -0.5, 2.0, 3.0, True, np.int64(3), np.float64(3.0)]
)
@given(x=arrays(most=2))
def test_powers_with_numbers(exponent: Any, x: np.ndarray, device: str) -> None:
    # 1e-11: x·x·x and pow(x, 3) round differently
    agree(device, lambda a: tg.power(a, exponent), lambda a: np.power(a, float(exponent)), x, rtol=1e-11)
    agree(device, lambda a: tg.power(float(exponent), a), lambda a: np.power(float(exponent), a), x, rtol=1e-11)


def test_powers_of_integers(device: str) -> None:
    x = np.array([0, 1, 2, -3])
    for exponent in (0, 1, 2, 3, 4):
        agree(device, lambda a, p=exponent: tg.power(a, p), lambda a, p=exponent: np.power(a, p), x)


# --- accuracy where a naive formula loses it -----------------------------------------------------------------------

_POWERS_OF_TEN = 10.0 ** np.arange(-40, 3)
FAR = np.concatenate(
    [np.linspace(-110.0, 110.0, 441), [-1000.0, 1000.0, -np.inf, np.inf, 0.0, -0.0], _POWERS_OF_TEN, -_POWERS_OF_TEN]
)


def accurate(found: Any, exact: np.ndarray, units: float) -> None:
    """Assert a relative error of at most ``units`` in the last place of the found dtype, also in subnormal tails."""
    values = host(found)
    info = np.finfo(values.dtype)
    rounded = exact.astype(values.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(values.astype(np.float64) - exact)
        allowed = units * np.maximum(info.eps * np.abs(exact), float(info.smallest_subnormal))
    right = (values == rounded) | (np.isnan(values) & np.isnan(rounded)) | (error <= allowed)
    assert right.all(), f"{values[~right]} should be {exact[~right]}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logaddexp_in_the_tails(dtype: Any, device: str) -> None:
    a, b = np.meshgrid(FAR[::7].astype(dtype), FAR[::5].astype(dtype))
    exact = np.logaddexp(a.astype(np.longdouble), b.astype(np.longdouble)).astype(np.float64)
    found = host(tg.logaddexp(on(device, a), on(device, b)))
    # near log 2 above the smaller operand the sum cancels: the error is relative to the operands, not to the result
    with np.errstate(invalid="ignore"):
        scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs(exact))
        wrong = np.abs(found.astype(np.float64) - exact) > 4 * np.finfo(dtype).eps * np.maximum(scale, 1.0)
    assert not (wrong & (found != exact.astype(dtype))).any()


def test_logaddexp_of_infinities(device: str) -> None:
    a = np.array([np.inf, np.inf, -np.inf, -np.inf, -np.inf, 0.0, np.nan, 1.0])
    b = np.array([np.inf, -np.inf, -np.inf, 1.0, np.inf, -np.inf, 1.0, np.nan])
    np.testing.assert_array_equal(host(tg.logaddexp(on(device, a), on(device, b))), np.logaddexp(a, b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_xlogy_at_zero(dtype: Any, device: str) -> None:
    x = np.array([0.0, 0.0, 0.0, 1.0, 2.0, -1.0, 0.0, np.nan], dtype)
    y = np.array([0.0, np.inf, 1.0, 0.0, 3.0, 0.0, np.nan, 1.0], dtype)
    found = host(tg.xlogy(on(device, x), on(device, y)))
    expected = scipy.special.xlogy(x, y)
    expected[6] = found[6]  # 0 · log NaN: SciPy says NaN; either is a convention
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["expm1", "log1p", "exp", "tanh", "sinh"])
def test_relative_accuracy(name: str, dtype: Any, device: str) -> None:
    x = FAR.astype(dtype)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.longdouble)).astype(np.float64)
    accurate(getattr(tg, name)(on(device, x)), exact, units=4)  # the C library's functions are right to 1 to 3 units
