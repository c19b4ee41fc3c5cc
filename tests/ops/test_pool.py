"""Pooling and resampling: values against loops over windows and against interpolation by hand."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from arrays import agree, close, layouts, on
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg

Pair = tuple[int, int]


def windows(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, fill: float, reduce: Any) -> np.ndarray:
    """``reduce`` of every window of x (N, C, H, W), one after the other."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    height, width = (padded.shape[2] - kh) // sh + 1, (padded.shape[3] - kw) // sw + 1
    y = np.zeros((*x.shape[:2], height, width))
    for i in range(height):
        for j in range(width):
            y[:, :, i, j] = reduce(padded[:, :, sh * i : sh * i + kh, sw * j : sw * j + kw], axis=(2, 3))
    return y


FILL: dict[str, tuple[float, Any]] = {"avg": (0.0, np.mean), "max": (-math.inf, np.max)}
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("kind", FILL)
@given(
    batch=st.integers(0, 2),
    more=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    kernel=pair,
    stride=pair,
    half=st.booleans(),
    seed=st.integers(0, 99),
    layout=layouts,
)
def test_pooling_is_a_loop_over_windows(
    kind: str, batch: int, more: Pair, kernel: Pair, stride: Pair, half: bool, seed: int, layout: str, device: str
) -> None:
    padding = (kernel[0] // 2, kernel[1] // 2) if half else (0, 0)
    x = np.random.default_rng(seed).normal(size=(batch, 2, kernel[0] + more[0], kernel[1] + more[1]))
    fill, reduce = FILL[kind]
    pool2d, pool1d = getattr(tg, f"{kind}_pool2d"), getattr(tg, f"{kind}_pool1d")
    agree(
        device,
        lambda a: pool2d(a, kernel, stride, padding),
        lambda a: windows(a, kernel, stride, padding, fill, reduce),
        x,
        layout=layout,
    )
    agree(
        device,
        lambda a: pool1d(a, kernel[1], stride=stride[1], padding=padding[1]),
        lambda a: windows(a[:, :, None], (1, kernel[1]), (1, stride[1]), (0, padding[1]), fill, reduce)[:, :, 0],
        x[:, :, 0],
        layout=layout,
    )


@pytest.mark.parametrize("kind", FILL)
def test_stride_is_the_kernels_size_by_default(kind: str, device: str) -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 5, 7))
    fill, reduce = FILL[kind]
    close(getattr(tg, f"{kind}_pool2d")(on(device, x), 2), windows(x, (2, 2), (2, 2), (0, 0), fill, reduce))
    close(
        getattr(tg, f"{kind}_pool2d")(on(device, x), kernel_size=(2, 3)),
        windows(x, (2, 3), (2, 3), (0, 0), fill, reduce),
    )
    close(
        getattr(tg, f"{kind}_pool1d")(on(device, x[:, :, 0]), 3),
        windows(x[:, :, :1], (1, 3), (1, 3), (0, 0), fill, reduce)[:, :, 0],
    )


def test_max_pool_of_nan_and_infinity(device: str) -> None:
    x = np.array([[[[1.0, np.nan, -np.inf, -np.inf]]]])
    close(tg.max_pool2d(on(device, x), (1, 2)), np.array([[[[np.nan, -np.inf]]]]))


def test_max_pool_of_all_negative_with_padding(device: str) -> None:
    """Padding never wins: it counts as −∞, and the gradient goes to the image."""
    x = on(device, np.full((1, 1, 2, 2), -5.0), requires_grad=True)
    y = tg.max_pool2d(x, 3, stride=1, padding=1)
    close(y, np.full((1, 1, 2, 2), -5.0))
    (g,) = tg.grad(tg.sum(y), x)
    close(g, np.array([[[[4.0, 0.0], [0.0, 0.0]]]]))  # of equal ones the first wins


def test_max_pool_keeps_the_dtype_of_integers(device: str) -> None:
    x = np.arange(8).reshape(1, 1, 2, 4)
    close(tg.max_pool2d(on(device, x), 2), np.array([[[[5, 7]]]]))


def bilinear(x: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Axis by axis: the value at a fine cell's centre, on the line between the two nearest coarse centres."""
    for axis, factor in enumerate(factors, start=2):
        size = x.shape[axis]
        columns = []
        for fine in range(size * factor):
            centre = min(max((fine + 0.5) / factor - 0.5, 0.0), size - 1.0)
            low = int(centre)
            high, part = min(low + 1, size - 1), centre - low
            columns.append((1.0 - part) * np.take(x, low, axis) + part * np.take(x, high, axis))
        x = np.stack(columns, axis)
    return x


@given(size=pair, factors=pair, seed=st.integers(0, 99), layout=layouts)
@settings(max_examples=50)
def test_interpolate(size: Pair, factors: Pair, seed: int, layout: str, device: str) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 1, *size))
    for shape, scale in ((x, factors), (x[:, :, 0], factors[1:])):
        agree(
            device,
            lambda a, s=scale: tg.interpolate(a, s, mode="bilinear"),
            lambda a, s=scale: bilinear(a, s),
            shape,
            layout=layout,
        )
        agree(
            device,
            lambda a, s=scale: tg.interpolate(a, s),
            lambda a, s=scale: a.repeat(s[-1], -1).repeat(s[0], 2) if len(s) > 1 else a.repeat(s[0], 2),
            shape,
            layout=layout,
        )


def test_interpolate_with_one_factor(device: str) -> None:
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    close(tg.interpolate(on(device, x), 2), x.repeat(2, 2).repeat(2, 3))
    close(tg.interpolate(on(device, x), scale_factor=2, mode="bilinear")[0, 0, 0], np.array([0.0, 0.25, 0.75, 1.0]))
    close(tg.interpolate(on(device, x), 1, "bilinear"), x)


@pytest.mark.host
def test_signatures() -> None:
    for name in ("avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"):
        parameters = inspect.signature(getattr(tg, name)).parameters
        assert list(parameters) == ["x", "kernel_size", "stride", "padding"]
        assert (parameters["stride"].default, parameters["padding"].default) == (None, 0)
    assert inspect.signature(tg.interpolate).parameters["mode"].default == "nearest"
