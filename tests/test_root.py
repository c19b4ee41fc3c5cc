"""root: found in any bracket, with derivatives in the parameters that are right to third order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import host, on
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg

LARGEST = np.finfo(np.float64).max


def towers(x: Callable[[tg.Tensor], tg.Tensor], parameters: tg.Tensor) -> list[np.ndarray]:
    """A scalar function's value, gradient, Hessian, and Jacobian of the Hessian at the parameters."""
    hessian = tg.jacobian(lambda p: tg.hessian(x, p, create_graph=True), parameters)
    return [host(part) for part in (x(parameters), tg.jacobian(x, parameters), tg.hessian(x, parameters), hessian)]


@settings(max_examples=20)
@given(a=st.floats(0.5, 2.0), b=st.floats(0.5, 2.0), c=st.floats(0.5, 2.0))
def test_derivatives_to_third_order(a: float, b: float, c: float, device: str) -> None:
    """a exp(b x) = c has the root log(c / a) / b, whose derivatives to third order are those of the found one."""
    parameters = on(device, np.array([a, b, c]))
    found = towers(
        lambda p: tg.root(lambda x, a, b, c: a * tg.exp(b * x) - c, (-10.0, 10.0), p[0], p[1], p[2]), parameters
    )
    exact = towers(lambda p: tg.log(p[2] / p[0]) / p[1], parameters)
    for order, (one, other) in enumerate(zip(found, exact, strict=True)):
        # Each order divides by the slope and sums more products of rounded terms, of sizes up to 100 here.
        np.testing.assert_allclose(one, other, rtol=10.0**order * 1e-12, atol=10.0**order * 1e-12, strict=True)


def test_derivatives_where_only_the_equation_is_known(device: str) -> None:
    """Kepler's equation x − e sin x = m: x′(m) = 1 / (1 − e cos x), and on by the chain rule."""
    m, e = on(device, 1.3, requires_grad=True), on(device, 0.6, requires_grad=True)
    x = tg.root(lambda x, m, e: x - e * tg.sin(x) - m, (0.0, 4.0), m, e)
    in_m, in_e = tg.grad(x, [m, e], create_graph=True)
    at, d = host(x), 1.0 - 0.6 * np.cos(host(x))
    assert abs(at - 0.6 * np.sin(at) - 1.3) < 1e-15
    sharp = {"rtol": 1e-12}  # a few dozen roundings
    np.testing.assert_allclose(host(in_m), 1.0 / d, **sharp)
    np.testing.assert_allclose(host(in_e), np.sin(at) / d, **sharp)
    second = tg.grad(in_m, m, create_graph=True)[0]
    np.testing.assert_allclose(host(second), -0.6 * np.sin(at) / d**3, **sharp)
    third = tg.grad(second, m)[0]
    exact = (-0.6 * np.cos(at) * d + 3.0 * 0.36 * np.sin(at) ** 2) / d**5
    np.testing.assert_allclose(host(third), exact, **sharp)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("falling", [False, True])
def test_elementwise_with_its_dtype(dtype: Any, falling: bool, device: str) -> None:
    """Brackets, parameters and result of one shape: the quantiles of logistic distributions."""
    q = np.linspace(0.02, 0.98, 12, dtype=dtype).reshape(3, 4)
    scale = np.linspace(0.5, 2.0, 4, dtype=dtype)
    sign = -1.0 if falling else 1.0
    low = on(device, np.full((3, 4), -100, dtype))
    x = tg.root(lambda x, q, s: sign * (tg.sigmoid(x / s) - q), (low, 100.0), on(device, q), on(device, scale))
    assert (x.dtype, x.device) == (dtype, device)
    # A sigmoid's rounding error is divided by its slope, which is 0.02 / 2 at least.
    exact = scale * np.log(q / (1 - q))
    np.testing.assert_allclose(host(x), exact, rtol=200 * np.finfo(dtype).eps, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1e30), (0.0, LARGEST), (-LARGEST, LARGEST), (-np.inf, np.inf), (1e-300, 10.0), (-1e-320, 10.0), (9.0, 0.0)],
)
@pytest.mark.parametrize("root", [3.0, 5e-9, 1e-200])
def test_any_bracket_will_do(low: float, high: float, root: float, device: str) -> None:
    """However wide, and however near 0 the root is: it is found to the last digit, with its derivative."""
    a = on(device, root, requires_grad=True)
    bracket = (on(device, low), on(device, high))
    x = tg.root(lambda x, a: tg.tanh(x) - tg.tanh(a), bracket, a)
    np.testing.assert_allclose(host(x), root, rtol=1e-14)  # tanh(3) is flat: a factor of 100 above the rounding
    np.testing.assert_allclose(host(tg.grad(x, a)[0]), 1.0, rtol=1e-12)


@pytest.mark.parametrize("bracket", [(2.0, 5.0), (-1.0, 2.0), (2.0, 2.0), (2, 7), (-3, 2)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_root_at_an_end(bracket: tuple[float, float], sign: float, device: str) -> None:
    x = tg.root(lambda x, a: sign * (x - a) * (x + 10.0), bracket, on(device, 2.0))
    assert (float(x), x.dtype) == (2.0, np.float64)


def test_numbers_of_the_bracket_are_weak(device: str) -> None:
    for dtype in (np.float32, np.float64):
        x = tg.root(lambda x, a: x * x - a, (0, np.float64(3.0)), on(device, np.array(4.0, dtype)))
        assert (float(x), x.dtype, x.device) == (2.0, dtype, device)
    x = tg.root(lambda x: x * x - 4.0, (0, 3))
    assert (float(x), x.dtype, x.device) == (2.0, tg.default_dtype(), device)


def test_inside_no_grad_and_without_synchronising(device: str) -> None:
    a = on(device, np.array([1.0, 4.0]), requires_grad=True)
    bracket = (on(device, np.zeros(2)), on(device, np.full(2, 9.0)))

    def square_root() -> tg.Tensor:
        return tg.root(lambda x, a: x * x - a, bracket, a)

    with no_sync():
        outside = square_root()
        with tg.no_grad():
            inside = square_root()
    assert outside.requires_grad
    assert not inside.requires_grad
    assert host(inside).tolist() == host(outside).tolist() == [1.0, 2.0]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("f", "bracket"),
    [
        (lambda x: x * x + 1.0, (-3.0, 3.0)),
        (lambda x: x - 5.0, (0.0, 3.0)),
        (lambda x: tg.log(x) - 5.0, (-1.0, 3.0)),
        (lambda x: x, (1.0, float("nan"))),
    ],
    ids=["no root", "beyond", "NaN of f", "NaN in the bracket"],
)
def test_a_bracket_that_shows_no_root(f: Callable[[tg.Tensor], tg.Tensor], bracket: Any, device: str) -> None:
    """Refused where looking is free; on a device the element is NaN and the others are right."""
    if device == "cpu":
        with pytest.raises(ValueError, match=r"root: .*same sign.*bracket"):
            tg.root(f, bracket)
        return
    both = [on(device, np.array([end, good])) for end, good in zip(bracket, (-8.0, 8.0), strict=True)]
    x = tg.root(lambda x: tg.where(on(device, np.array([True, False])), f(x), x - 2.0), (both[0], both[1]))
    assert np.isnan(host(x)[0])
    assert host(x)[1] == 2.0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda a: tg.root(lambda x, a: x - a, (0.0, 3.0), a), ValueError, r"root: f maps \(\) to \(2,\).*bracket"),
        (lambda a: tg.root(lambda x: 3.0, (0.0, 3.0)), TypeError, "root: f must return a tensor, got a float"),
        (lambda a: tg.root(lambda x: x, (0.0, 3.0, 4.0)), ValueError, r"root: .*pair \(low, high\)"),
        (lambda a: tg.root(lambda x: x, ([-1.0], [1.0])), TypeError, "root: .*list.*tg.tensor"),
        (lambda a: tg.root(lambda x: x, (tg.arange(3) - 5, tg.arange(3))), TypeError, "root: .*int64.*astype"),
        (lambda a: tg.root(lambda x: x, (a - 3.0, tg.ones(2))), TypeError, "root: .*float64.*astype"),
    ],
    ids=["shape", "no tensor", "three ends", "lists", "integers", "two dtypes"],
)
def test_mistakes(call: Callable[[tg.Tensor], Any], error: type[Exception], says: str, device: str) -> None:
    with pytest.raises(error, match=says):
        call(on(device, np.array([1.0, 2.0])))
