"""Determinants, inverses, solutions, factors, norms: values against NumPy and SciPy, batched, at any size."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from arrays import agree, arrays, axes, close, host, layouts, on, raw
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.tensor import Tensor

BATCHES = st.sampled_from([(), (1,), (2,), (3, 2), (0,)])
RTOL = 1e-9
"""Condition numbers here stay below about 1e4, each digit of which costs one of float64's sixteen."""


def matrices(batch: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    """Regular matrices: random ones with a diagonal that dominates."""
    return np.random.default_rng(seed).normal(size=(*batch, n, n)) + 3.0 * n * np.eye(n) * (-1.0) ** seed


def definite(batch: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    a = matrices(batch, n, seed)
    return a @ np.swapaxes(a, -1, -2) + np.eye(n)


sizes, seeds = st.integers(1, 5), st.integers(0, 99)


@given(batch=BATCHES, n=st.integers(0, 9), seed=seeds, layout=layouts)
def test_det_and_slogdet(batch: tuple[int, ...], n: int, seed: int, layout: str, device: str) -> None:
    a = matrices(batch, n, seed)
    agree(device, tg.linalg.det, lambda a: np.asarray(np.linalg.det(a)), a, layout=layout, rtol=RTOL)
    agree(
        device,
        tg.linalg.slogdet,
        lambda a: [np.asarray(part) for part in np.linalg.slogdet(a)],
        a,
        layout=layout,
        rtol=RTOL,
    )


def test_slogdet_does_not_overflow(device: str) -> None:
    a = 1e10 * np.eye(50)
    sign, log = tg.linalg.slogdet(on(device, a))
    close(sign, np.float64(1.0))
    close(log, np.float64(500.0 * math.log(10.0)))
    singular_sign, singular_log = tg.linalg.slogdet(on(device, np.ones((2, 2))))
    assert (float(singular_sign), float(singular_log)) == (0.0, -math.inf)
    assert not tg.linalg.slogdet(on(device, a, requires_grad=True))[0].requires_grad


@given(batch=BATCHES, n=st.integers(1, 9), seed=seeds)
def test_cofactors(batch: tuple[int, ...], n: int, seed: int, device: str) -> None:
    a = matrices(batch, n, seed) / (3.0 * n)
    expected = np.linalg.det(a)[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)
    close(tg.linalg.cofactor(on(device, a)), expected, rtol=RTOL)


@given(batch=BATCHES, n=sizes, seed=seeds, layout=layouts)
def test_inv(batch: tuple[int, ...], n: int, seed: int, layout: str, device: str) -> None:
    agree(device, tg.linalg.inv, np.linalg.inv, matrices(batch, n, seed), layout=layout, rtol=RTOL)


PAIRS = st.sampled_from(
    [((), ()), ((2,), ()), ((), (2,)), ((2, 1), (3,)), ((1,), (3,)), ((3, 1), (1, 2)), ((0,), (1,))]
)


@given(batches=PAIRS, n=sizes, columns=st.integers(0, 3), seed=seeds, layout=layouts)
def test_solve(batches: Any, n: int, columns: int, seed: int, layout: str, device: str) -> None:
    a, b = matrices(batches[0], n, seed), np.random.default_rng(seed).normal(size=(*batches[1], n, columns))
    agree(device, tg.linalg.solve, lambda a, b: np.linalg.inv(a) @ b, a, b, layout=layout, rtol=RTOL)
    vector = b[..., 0].reshape(-1)[:n] if columns and b.size else np.ones(n)
    agree(device, tg.linalg.solve, lambda a, v: np.linalg.inv(a) @ v, a, vector, rtol=RTOL)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("unit_diagonal", [True, False])
@given(batches=PAIRS, n=sizes, seed=seeds)
def test_solve_triangular(lower: bool, unit_diagonal: bool, batches: Any, n: int, seed: int, device: str) -> None:
    """Reads one triangle only; with ``unit_diagonal`` not even the diagonal."""
    a, b = matrices(batches[0], n, seed), np.random.default_rng(seed).normal(size=(*batches[1], n, 2))
    part = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        part = part - part * np.eye(n) + np.eye(n)
    found = tg.linalg.solve_triangular(on(device, a), on(device, b), lower=lower, unit_diagonal=unit_diagonal)
    close(found, np.linalg.inv(part) @ b, rtol=RTOL)
    if not a.ndim - 2 and not b.ndim - 2:
        close(found, scipy.linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit_diagonal), rtol=RTOL)
    vector = tg.linalg.solve_triangular(on(device, a), on(device, np.ones(n)), lower=lower, unit_diagonal=unit_diagonal)
    close(vector, np.linalg.inv(part) @ np.ones(n), rtol=RTOL)


@given(batch=BATCHES, n=sizes, seed=seeds, layout=layouts)
def test_cholesky(batch: tuple[int, ...], n: int, seed: int, layout: str, device: str) -> None:
    a = definite(batch, n, seed)
    agree(device, tg.linalg.cholesky, np.linalg.cholesky, a, layout=layout, rtol=RTOL)
    upper_half = np.triu(a) * 2.0 - a * np.eye(n)  # not symmetric: the symmetric part counts
    close(tg.linalg.cholesky(on(device, upper_half)), np.linalg.cholesky(a), rtol=RTOL)


@given(x=arrays(least=1, smallest=1), data=st.data(), keepdims=st.booleans(), layout=layouts)
def test_vector_norms(x: np.ndarray, data: st.DataObject, keepdims: bool, layout: str, device: str) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    for order in (None, 1, 2, math.inf, -math.inf):
        agree(
            device,
            lambda a, o=order: tg.linalg.norm(a, ord=o, axis=axis, keepdims=keepdims),
            lambda a, o=order: np.asarray(np.linalg.norm(a, ord=o, axis=axis, keepdims=keepdims)),
            x,
            layout=layout,
        )
    several = data.draw(axes(x.ndim))
    agree(
        device,
        lambda a: tg.linalg.norm(a, axis=several, keepdims=keepdims),
        lambda a: np.sqrt(np.sum(a * a, axis=several, keepdims=keepdims)),
        x,
    )


@given(batch=BATCHES, n=sizes, seed=seeds)
def test_matrix_norms(batch: tuple[int, ...], n: int, seed: int, device: str) -> None:
    a = matrices(batch, n, seed)
    close(tg.linalg.norm(on(device, a), "fro", axis=(-2, -1)), np.linalg.norm(a, "fro", axis=(-2, -1)))
    if not batch:
        close(tg.linalg.norm(on(device, a), "fro"), np.linalg.norm(a))


@pytest.mark.parametrize("order", [3, 0, "nuc", 2])
def test_other_norms_without_gradient(order: Any, device: str) -> None:
    """Orders without a derivative here are still NumPy's numbers."""
    a = matrices((), 3, 0)
    axis = (0, 1) if order in ("nuc", 2) else 0
    close(tg.linalg.norm(on(device, a), order, axis=axis), np.asarray(np.linalg.norm(a, order, axis=axis)), rtol=RTOL)


@given(batch=BATCHES, n=sizes, seed=seeds)
def test_eigh_svd_qr_rebuild_the_matrix(batch: tuple[int, ...], n: int, seed: int, device: str) -> None:
    """Their factors are unique up to signs only: the products are compared."""
    a = definite(batch, n, seed)
    for make in (on, raw):
        values, vectors = tg.linalg.eigh(make(device, a))
        assert isinstance(values, Tensor) == (make is on)
        close(values, np.linalg.eigvalsh(a), rtol=RTOL)
        close(host(vectors) * host(values)[..., None, :] @ np.swapaxes(host(vectors), -1, -2), a, rtol=RTOL)
        u, s, vt = tg.linalg.svd(make(device, a[..., :1]), full_matrices=False)
        close(host(u) * host(s)[..., None, :] @ host(vt), a[..., :1], rtol=RTOL)
        assert tg.linalg.svd(make(device, a[..., :1]))[0].shape[-1] == n
        q, r = tg.linalg.qr(make(device, a))
        close(host(q) @ host(r), a, rtol=RTOL)


def test_matrices_of_integers(device: str) -> None:
    """Integers give the default dtype."""
    a = np.array([[2, 1], [1, 3]])
    assert tg.linalg.det(on(device, a)).dtype == np.float32
    close(tg.linalg.det(on(device, a)), np.float32(5.0))
    close(tg.linalg.inv(on(device, a)), np.linalg.inv(a).astype(np.float32))
    close(tg.linalg.norm(on(device, a)), np.linalg.norm(a).astype(np.float32))


def test_norm_does_not_overflow_for_moderate_numbers(device: str) -> None:
    x = np.array([3e18, 4e18], np.float32)
    close(tg.linalg.norm(on(device, x)), np.float32(5e18))


@pytest.mark.host
def test_signatures() -> None:
    parameters = inspect.signature(tg.linalg.solve_triangular).parameters
    assert list(parameters) == ["a", "b", "lower", "unit_diagonal"]
    assert (parameters["lower"].default, parameters["unit_diagonal"].default) == (True, False)
    assert parameters["lower"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(tg.linalg.norm).parameters) == ["x", "ord", "axis", "keepdims"]
