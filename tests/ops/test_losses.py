"""Losses: values against their definitions, reductions, extreme logits, shapes of class losses; always tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from arrays import arrays, close, layouts, on, raw, shapes
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg

REDUCTIONS: dict[str, Callable[[np.ndarray], Any]] = {"mean": np.mean, "sum": np.sum, "none": lambda terms: terms}
PAIRED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mse_loss": lambda x, t: (x - t) ** 2,
    "l1_loss": lambda x, t: np.abs(x - t),
    "binary_cross_entropy_with_logits": lambda x, t: (
        -t * np.log(scipy.special.expit(x)) - (1 - t) * np.log(scipy.special.expit(-x))
    ),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PAIRED)
@given(x=arrays(smallest=1), seed=st.integers(0, 99), layout=layouts)
def test_paired_losses(name: str, reduction: str, x: np.ndarray, seed: int, layout: str, device: str) -> None:
    target = np.random.default_rng(seed).uniform(size=x.shape)
    expected = np.asarray(REDUCTIONS[reduction](PAIRED[name](x, target)))
    loss = getattr(tg, name)
    for found in (
        loss(on(device, x, layout), on(device, target, layout), reduction=reduction),
        loss(on(device, x), raw(device, target), reduction),
        loss(raw(device, x), on(device, target), reduction),
        loss(raw(device, x, layout), raw(device, target, layout), reduction),
        loss(input=on(device, x), target=on(device, target), reduction=reduction),
    ):
        assert isinstance(found, tg.Tensor)
        assert found.device == device
        close(found, expected)
    if reduction == "mean":
        close(loss(on(device, x), on(device, target)), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_at_extreme_logits(dtype: Any, device: str) -> None:
    x = np.array([1000.0, 1000.0, -1000.0, -1000.0, 0.0, 40.0, -100.0], dtype)
    target = np.array([1.0, 0.0, 1.0, 0.0, 0.5, 1.0, 0.0], dtype)
    expected = np.array([0.0, 1000.0, 1000.0, 0.0, np.log(2.0), np.exp(-40.0), np.exp(-100.0)])
    found = tg.binary_cross_entropy_with_logits(on(device, x), on(device, target), reduction="none")
    # softplus(40) − 40 cancels: the error is relative to the logit
    np.testing.assert_allclose(found.numpy().astype(float), expected, rtol=1e-6, atol=40 * np.finfo(dtype).eps)
    assert np.isfinite(tg.binary_cross_entropy_with_logits(on(device, x), on(device, target)).item())


def class_losses(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−x[n, label, …], one element after the other."""
    terms = np.zeros(labels.shape)
    for place in np.ndindex(*labels.shape):
        terms[place] = -x[(place[0], labels[place], *place[1:])]
    return terms


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(
    shape=shapes(least=1, most=3, side=3, smallest=1),
    classes=st.integers(1, 4),
    seed=st.integers(0, 99),
    layout=layouts,
)
def test_class_losses(
    reduction: str, shape: tuple[int, ...], classes: int, seed: int, layout: str, device: str
) -> None:
    """Inputs (N, C) and (N, C, d…), targets (N,) and (N, d…); log_softmax over axis 1."""
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(shape[0], classes, *shape[1:])), rng.integers(0, classes, shape)
    log_probabilities = scipy.special.log_softmax(x, axis=1)
    for loss, given_, logs in ((tg.cross_entropy, x, log_probabilities), (tg.nll_loss, x, x)):
        expected = np.asarray(REDUCTIONS[reduction](class_losses(logs, labels)))
        for found in (
            loss(on(device, given_, layout), on(device, labels, layout), reduction=reduction),
            loss(on(device, given_), raw(device, labels.astype(np.int32)), reduction),
            loss(raw(device, given_), raw(device, labels), reduction),
            loss(input=on(device, given_), target=on(device, labels.astype(np.uint8)), reduction=reduction),
        ):
            assert isinstance(found, tg.Tensor)
            close(found, expected)


def test_cross_entropy_at_extreme_logits(device: str) -> None:
    x = np.array([[1000.0, -1000.0], [1000.0, -1000.0], [-np.inf, 0.0]], np.float32)
    found = tg.cross_entropy(on(device, x), raw(device, np.array([0, 1, 1])), reduction="none")
    close(found, np.array([0.0, 2000.0, 0.0], np.float32))


def test_cross_entropy_of_arrays_is_a_tensor_of_their_dtype(device: str) -> None:
    x, labels = np.array([[0.5, 1.0]], np.float32), np.array([1])
    assert tg.cross_entropy(raw(device, x), raw(device, labels)).dtype == np.float32
    assert tg.mse_loss(raw(device, x), raw(device, x)).dtype == np.float32


@given(x=arrays(least=2, most=2, smallest=1), seed=st.integers(0, 99))
def test_gradient_of_cross_entropy_is_softmax_minus_one_hot(x: np.ndarray, seed: int, device: str) -> None:
    labels = np.random.default_rng(seed).integers(0, x.shape[1], x.shape[0])
    leaf = on(device, x, requires_grad=True)
    (g,) = tg.grad(tg.cross_entropy(leaf, raw(device, labels)), leaf)
    close(g, (scipy.special.softmax(x, axis=1) - np.eye(x.shape[1])[labels]) / x.shape[0])


@pytest.mark.host
def test_signatures() -> None:
    for name in (*PAIRED, "cross_entropy", "nll_loss"):
        parameters = inspect.signature(getattr(tg, name)).parameters
        assert list(parameters) == ["input", "target", "reduction"]
        assert parameters["reduction"].default == "mean"
