"""Sums, means, extremes, products and the softmax family: values against NumPy and SciPy over all shapes and axes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from arrays import agree, arrays, axes, close, host, layouts, on, values
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygen as tg

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "logsumexp": lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@st.composite
def reductions(draw: st.DrawFn, smallest: int = 1, several: bool = True) -> tuple[np.ndarray, Any, bool]:
    """An array, an axis argument for it and keepdims."""
    x = draw(arrays(smallest=smallest))
    return x, draw(axes(x.ndim, several)), draw(st.booleans())


@pytest.mark.parametrize("name", REDUCTIONS)
@given(drawn=reductions(), layout=layouts)
def test_reductions_are_numpys(name: str, drawn: tuple[np.ndarray, Any, bool], layout: str, device: str) -> None:
    x, axis, keepdims = drawn
    twin = REDUCTIONS[name]
    agree(
        device,
        lambda a: getattr(tg, name)(a, axis=axis, keepdims=keepdims),
        lambda a: np.asarray(twin(a, axis=axis, keepdims=keepdims)),
        x,
        layout=layout,
    )
    close(getattr(tg, name)(on(device, x), axis), np.asarray(twin(x, axis=axis, keepdims=False)))


@given(drawn=reductions(smallest=0), layout=layouts)
def test_sums_of_nothing(drawn: tuple[np.ndarray, Any, bool], layout: str, device: str) -> None:
    x, axis, keepdims = drawn
    agree(
        device, lambda a: tg.sum(a, axis, keepdims), lambda a: np.sum(a, axis=axis, keepdims=keepdims), x, layout=layout
    )


@pytest.mark.parametrize("name", sorted(set(REDUCTIONS) - {"sum"}))
@given(full=st.integers(1, 3), lead=st.booleans(), keepdims=st.booleans())
def test_other_axes_may_be_empty(name: str, full: int, lead: bool, keepdims: bool, device: str) -> None:
    """Nothing is reduced over an empty axis, but another axis is empty: the result is empty, too."""
    x = np.ones((full, 0) if lead else (0, full))
    axis = 0 if lead else -1
    found = getattr(tg, name)(on(device, x), axis=axis, keepdims=keepdims)
    close(found, np.sum(x, axis=axis, keepdims=keepdims))


@given(drawn=reductions(), correction=st.sampled_from([0, 1, 0.5, 2]))
def test_correction(drawn: tuple[np.ndarray, Any, bool], correction: float, device: str) -> None:
    x, axis, keepdims = drawn
    assume(x.size / max(1, np.sum(x, axis=axis).size) > correction)
    for name in ("var", "std"):
        found = getattr(tg, name)(on(device, x), axis=axis, correction=correction, keepdims=keepdims)
        close(found, getattr(np, name)(x, axis=axis, ddof=correction, keepdims=keepdims))


def test_variance_does_not_cancel(device: str) -> None:
    x = np.array([1e4, 1e4 + 1.0, 1e4 + 2.0], np.float32)
    close(tg.var(on(device, x)), np.float32(2.0 / 3.0))


@given(drawn=reductions(several=False), layout=layouts)
def test_cumsum(drawn: tuple[np.ndarray, Any, bool], layout: str, device: str) -> None:
    x, axis, _ = drawn
    agree(device, lambda a: tg.cumsum(a, axis=axis), lambda a: np.cumsum(a, axis=axis), x, layout=layout)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(drawn=reductions(several=False), layout=layouts)
def test_positions_of_extremes(name: str, drawn: tuple[np.ndarray, Any, bool], layout: str, device: str) -> None:
    """The first of equal elements, as in NumPy."""
    x, axis, _ = drawn
    agree(
        device,
        lambda a: getattr(tg, name)(a, axis=axis),
        lambda a: np.asarray(getattr(np, name)(a, axis=axis)),
        x,
        layout=layout,
    )


@given(drawn=reductions(several=False), q=st.one_of(st.floats(0, 1), st.just([0.1, 0.5, 1.0])))
def test_quantile(drawn: tuple[np.ndarray, Any, bool], q: Any, device: str) -> None:
    x, axis, _ = drawn
    agree(device, lambda a: tg.quantile(a, q, axis=axis), lambda a: np.asarray(np.quantile(a, q, axis=axis)), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(drawn=reductions(), layout=layouts)
def test_softmax_is_scipys(name: str, drawn: tuple[np.ndarray, Any, bool], layout: str, device: str) -> None:
    x, axis, _ = drawn
    assume(axis != ())
    agree(
        device,
        lambda a: getattr(tg, name)(a, axis=axis),
        lambda a: getattr(scipy.special, name)(a, axis=axis),
        x,
        layout=layout,
    )
    if x.ndim:
        agree(device, getattr(tg, name), lambda a: getattr(scipy.special, name)(a, axis=-1), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_family_at_extreme_logits(dtype: Any, device: str) -> None:
    x = np.array(
        [
            [1000.0, 0.0, -1000.0],
            [-1000.0, -1000.0, -1000.0],
            [-np.inf, 0.0, 1.0],
            [88.0, 89.0, 1e30],
            [-1e30, -1e30, -1e30],
        ],
        dtype,
    )
    wide = x.astype(np.float64)
    close(tg.softmax(on(device, x)), scipy.special.softmax(wide, axis=1).astype(dtype))
    close(tg.log_softmax(on(device, x)), scipy.special.log_softmax(wide, axis=1).astype(dtype))
    close(tg.logsumexp(on(device, x), axis=1), scipy.special.logsumexp(wide, axis=1).astype(dtype))


def test_logsumexp_of_infinities(device: str) -> None:
    x = np.array(
        [[-np.inf, -np.inf], [np.inf, 1.0], [np.inf, np.inf], [-np.inf, 3.0], [np.nan, 1.0], [np.inf, -np.inf]]
    )
    np.testing.assert_array_equal(
        host(tg.logsumexp(on(device, x), axis=1)), [-np.inf, np.inf, np.inf, 3.0, np.nan, np.inf]
    )
    assert float(tg.logsumexp(on(device, np.full(3, -np.inf)))) == -np.inf


@given(x=values((3, 4)), shift=st.integers(-50, 50))
def test_softmax_family_identities(x: np.ndarray, shift: int, device: str) -> None:
    """Rows sum to one; a shift of all logits changes nothing; log_softmax = x − logsumexp."""
    logits = on(device, x)
    close(tg.sum(tg.softmax(logits), axis=-1), np.ones(3))
    close(tg.softmax(logits + float(shift)), host(tg.softmax(logits)))
    close(tg.log_softmax(logits), host(logits - tg.logsumexp(logits, axis=-1, keepdims=True)))
    close(tg.exp(tg.log_softmax(logits)), host(tg.softmax(logits)))


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_of_nan_and_infinity(name: str, device: str) -> None:
    x = np.array([[np.nan, 1.0], [np.inf, -np.inf], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(host(getattr(tg, name)(on(device, x), axis=1)), getattr(np, name)(x, axis=1))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 100])
def test_prod_of_many(count: int, device: str) -> None:
    x = np.random.default_rng(count).uniform(0.9, 1.1, (count, 2))
    agree(device, lambda a: tg.prod(a, axis=0), lambda a: np.prod(a, axis=0), x)
    agree(device, tg.prod, np.prod, x)


def test_integers_and_booleans(device: str) -> None:
    x, mask = np.arange(-3, 3).reshape(2, 3), np.array([[True, False, True], [False, False, True]])
    for name in ("sum", "max", "min", "prod"):
        agree(device, lambda a, n=name: getattr(tg, n)(a, axis=1), lambda a, n=name: getattr(np, n)(a, axis=1), x)
    agree(device, tg.sum, np.sum, mask)
    agree(device, lambda a: tg.sum(a, axis=0), lambda a: np.sum(a, axis=0), mask)
    close(tg.mean(on(device, mask)), np.float32(0.5))


@pytest.mark.host
def test_signatures() -> None:
    def defaults(name: str) -> dict[str, Any]:
        return {
            p.name: p.default
            for p in inspect.signature(getattr(tg, name)).parameters.values()
            if p.default is not p.empty
        }

    for name in ("sum", "mean", "max", "min", "prod", "logsumexp"):
        assert defaults(name) == {"axis": None, "keepdims": False}
    for name in ("var", "std"):
        assert defaults(name) == {"axis": None, "correction": 0, "keepdims": False}
    for name in ("softmax", "log_softmax"):
        assert defaults(name) == {"axis": -1}
    for name in ("argmax", "argmin", "cumsum"):
        assert defaults(name)["axis"] is None
