"""Normalisation: what comes out has the moments it should have; what running statistics estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn


def cases(n: int, c: int) -> list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]]:
    """Module, input shape, and the axes over which its output has mean 0 and variance 1."""
    return [
        (nn.BatchNorm1d(c, eps=0.0), (n, c), (0,)),
        (nn.BatchNorm1d(c, eps=0.0), (n, c, 3), (0, 2)),
        (nn.BatchNorm2d(c, eps=0.0), (n, c, 2, 3), (0, 2, 3)),
        (nn.InstanceNorm2d(c, eps=0.0), (n, c, 2, 3), (2, 3)),
        (nn.LayerNorm(c + 1, eps=0.0), (n, 2, c + 1), (2,)),
        (nn.LayerNorm((2, c + 1), eps=0.0), (n, 2, c + 1), (1, 2)),
    ]


@given(n=st.integers(2, 5), c=st.integers(1, 4), seed=st.integers(0, 99), scale=st.floats(-3.0, 3.0))
def test_outputs_are_normalised_and_forget_shift_and_scale(
    n: int, c: int, seed: int, scale: float, device: str
) -> None:
    for module, shape, axes in cases(n, c):
        module.astype(np.float64)
        x = np.random.default_rng(seed).normal(size=shape)
        y = module(tg.tensor(x)).numpy()
        np.testing.assert_allclose(y.mean(axis=axes), 0.0, atol=1e-9)  # two close numbers magnify rounding
        np.testing.assert_allclose((y**2).mean(axis=axes), 1.0, atol=1e-9)
        again = module(tg.tensor(10.0**scale * x + 5.0)).numpy()
        np.testing.assert_allclose(again, y, atol=1e-6)  # x + 5 at the scale 1e-3 keeps 12 digits, of close pairs fewer


def test_running_statistics_estimate_the_population(device: str) -> None:
    """Unbiased: the mean of the tracked variances over many small batches is the variance of the source."""
    module, rng = nn.BatchNorm1d(1, momentum=None).astype(np.float64), np.random.default_rng(0)
    for _ in range(2000):
        module(tg.tensor(3.0 + 2.0 * rng.normal(size=(4, 1))))
    assert int(module.num_batches_tracked.numpy()) == 2000
    assert abs(module.running_mean.item() - 3.0) < 5.0 * 2.0 / 8000**0.5  # five standard deviations
    assert abs(module.running_var.item() - 4.0) < 5.0 * 4.0 * (2.0 / 3.0 / 2000) ** 0.5


def test_an_older_graph_does_not_see_the_statistics_move(device: str) -> None:
    module = nn.BatchNorm1d(3)
    x = tg.tensor(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), requires_grad=True)
    y = tg.sum(tg.square(module.eval()(x)))
    (at_once,) = tg.grad(y, x)
    module.train()(x * 3.0 + 1.0)
    np.testing.assert_array_equal(tg.grad(y, x)[0].numpy(), at_once.numpy())
    assert not module.running_mean.requires_grad


def test_statistics_do_not_hold_the_graph(device: str) -> None:
    module = nn.BatchNorm1d(3)
    module(tg.ones((2, 3), requires_grad=True))
    assert all(buffer.node is None for _, buffer in module.named_buffers())


@pytest.mark.host
@pytest.mark.parametrize(
    "build", [lambda: nn.BatchNorm2d(2), lambda: nn.InstanceNorm2d(2), lambda: nn.LayerNorm((3, 3))]
)
def test_single_precision_far_from_zero(build: Any) -> None:
    """Two passes: a mean a thousand times the spread costs three digits, not all of them."""
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 3))
    near = build()(tg.tensor(x.astype(np.float32))).numpy()
    far = build()(tg.tensor((x + 1000.0).astype(np.float32))).numpy()
    np.testing.assert_allclose(far, near, atol=1e-3)  # rounding of x + 1000 itself is 6e-5
