"""Comparisons, where, maximum, clip and activations: values against NumPy and SciPy, with ties and in the tails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from arrays import agree, arrays, close, host, layouts, on, raw
from hypothesis import given
from hypothesis import strategies as st
from ops.test_elementwise import EXTREME, FAR, accurate, broadcast_pairs

import tinygen as tg

BINARY = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "maximum", "minimum"]
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.mark.parametrize("name", BINARY)
@given(pair=broadcast_pairs(), layout=layouts)
def test_binary_is_numpys(name: str, pair: tuple[np.ndarray, np.ndarray], layout: str, device: str) -> None:
    agree(device, getattr(tg, name), getattr(np, name), *pair, layout=layout)


@pytest.mark.parametrize("name", BINARY)
def test_binary_at_extreme_values(name: str, device: str) -> None:
    a, b = EXTREME[:, None], EXTREME
    np.testing.assert_array_equal(host(getattr(tg, name)(on(device, a), on(device, b))), getattr(np, name)(a, b))


@given(condition=arrays(bool, most=2), seed=st.integers(0, 99), layout=layouts)
def test_where(condition: np.ndarray, seed: int, layout: str, device: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=condition.shape), rng.normal(size=condition.shape[-1:])
    agree(device, tg.where, np.where, condition, x, y, layout=layout)
    agree(device, lambda c, a: tg.where(c, a, 0.0), lambda c, a: np.where(c, a, 0.0), condition, x)
    agree(device, lambda c, a: tg.where(c, 1, a), lambda c, a: np.where(c, 1, a), condition, x)


def test_where_of_numbers_and_by_keyword(device: str) -> None:
    mask = np.array([True, False])
    close(
        tg.where(condition=on(device, mask), x=on(device, np.ones(2)), y=on(device, np.zeros(2))), np.array([1.0, 0.0])
    )
    both = tg.where(on(device, mask), 1.0, 0.0)
    close(both, np.array([1.0, 0.0], np.float32))
    close(tg.where(on(device, mask), 1, 0), np.array([1, 0]))


def test_where_with_a_condition_of_another_kind(device: str) -> None:
    """Any number is a condition, as in NumPy; it does not take part in the dtype."""
    x, y = np.array([1.0, 2.0, 3.0], np.float32), np.zeros(3, np.float32)
    for condition in (np.array([0, 1, 2]), np.array([0.0, 0.5, 1.0], np.float32), np.array([0.0, 0.5, 1.0])):
        found = tg.where(on(device, condition), on(device, x), on(device, y))
        close(found, np.array([0.0, 2.0, 3.0], np.float32))


@given(x=arrays(), low=st.integers(-2, 2), high=st.integers(-2, 2), layout=layouts)
def test_clip(x: np.ndarray, low: int, high: int, layout: str, device: str) -> None:
    agree(device, lambda a: tg.clip(a, low, high), lambda a: np.clip(a, low, high), x, layout=layout)
    agree(device, lambda a: tg.clip(a, a_min=low), lambda a: np.clip(a, low, None), x)
    agree(device, lambda a: tg.clip(a, a_max=float(high)), lambda a: np.clip(a, None, high), x)


@given(pair=broadcast_pairs())
def test_clip_by_arrays(pair: tuple[np.ndarray, np.ndarray], device: str) -> None:
    x, bound = pair
    agree(device, lambda a, b: tg.clip(a, b, b + 1.0), lambda a, b: np.clip(a, b, b + 1.0), x, bound)
    agree(device, lambda a, b: tg.clip(a, a_max=b), lambda a, b: np.clip(a, None, b), x, bound)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8"])
def test_clip_of_integers(dtype: str, device: str) -> None:
    x = np.array([0, 3, 100], dtype)
    agree(device, lambda a: tg.clip(a, 1, 5), lambda a: np.clip(a, 1, 5), x)
    agree(device, lambda a: tg.clip(a, a_max=5), lambda a: np.clip(a, None, 5), x)
    agree(device, lambda a: tg.clip(a, a_min=2), lambda a: np.clip(a, 2, None), x)


def test_clip_of_nan(device: str) -> None:
    close(tg.clip(on(device, np.array([np.nan, -np.inf, np.inf])), -1.0, 1.0), np.array([np.nan, -1.0, 1.0]))


# --- activations ---------------------------------------------------------------------------------------------------


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -x)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": elu,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": log_sigmoid,
    "silu": lambda x: x * scipy.special.expit(x),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(x=arrays(), layout=layouts)
def test_activations(name: str, x: np.ndarray, layout: str, device: str) -> None:
    agree(device, getattr(tg, name), ACTIVATIONS[name], x, layout=layout)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1, 0.5])
@given(x=arrays(most=2))
def test_leaky_relu_slope(slope: float, x: np.ndarray, device: str) -> None:
    agree(device, lambda a: tg.leaky_relu(a, slope), lambda a: np.where(a > 0, a, slope * a), x)
    agree(device, lambda a: tg.leaky_relu(a, negative_slope=slope), lambda a: np.where(a > 0, a, slope * a), x)


@pytest.mark.parametrize("alpha", [0.5, 2.0, 1])
@given(x=arrays(most=2))
def test_elu_alpha(alpha: float, x: np.ndarray, device: str) -> None:
    agree(device, lambda a: tg.elu(a, alpha=alpha), lambda a: elu(a, alpha), x)


@pytest.mark.host
def test_signatures() -> None:
    parameters = {
        name: inspect.signature(getattr(tg, name)).parameters for name in ("leaky_relu", "elu", "clip", "where")
    }
    assert parameters["leaky_relu"]["negative_slope"].default == 0.01
    assert parameters["elu"]["alpha"].default == 1.0
    assert list(parameters["clip"]) == ["x", "a_min", "a_max"]
    assert list(parameters["where"]) == ["condition", "x", "y"]


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """In extended precision, by formulas that lose nothing in their half of the line."""
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        small = np.exp(-np.abs(wide))
        sigmoid = np.where(wide >= 0, 1 / (1 + small), small / (1 + small))
        softplus = np.maximum(wide, 0) + np.log1p(small)
        return {
            "sigmoid": sigmoid,
            "softplus": softplus,
            "log_sigmoid": np.minimum(wide, 0) - np.log1p(small),
            "silu": np.where(wide == -np.inf, np.nan, wide * sigmoid),  # −∞ · 0
            "elu": np.where(wide > 0, wide, np.expm1(np.minimum(wide, 0))),
            "relu": np.maximum(wide, 0),
            "leaky_relu": np.where(wide > 0, wide, np.longdouble(x.dtype.type(0.01)) * wide),
        }[name].astype(np.float64)


UNITS = {"relu": 0, "leaky_relu": 1, "elu": 8, "sigmoid": 4, "softplus": 4, "log_sigmoid": 4, "silu": 6}
"""Allowed error in units in the last place: a few roundings; elu's tanh(x/2)(eˣ + 1) has four of them."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_relative_accuracy_in_the_tails(name: str, dtype: Any, device: str) -> None:
    x = FAR.astype(dtype)
    if name == "silu":  # below, σ(x) is subnormal and |x| times its error is more than a unit of the product
        x = x[~(x < np.log(np.finfo(dtype).tiny)) | (x < -900.0)]
    accurate(getattr(tg, name)(on(device, x)), exact(name, x), UNITS[name])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_stays_nan(name: str, device: str) -> None:
    assert np.isnan(host(getattr(tg, name)(on(device, np.array([np.nan, 1.0]))))).tolist() == [True, False]
    assert np.isnan(float(host(getattr(tg, name)(raw(device, np.array([np.nan]))))[0]))


def test_activations_do_not_warn(device: str) -> None:
    """Not even at ±1000: a warning would be an error in this suite, were it not ignored in this file."""
    x = on(device, np.array([-1000.0, -90.0, 0.0, 90.0, 1000.0], np.float32))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for name in ACTIVATIONS:
            assert np.isfinite(host(getattr(tg, name)(x))).all()
