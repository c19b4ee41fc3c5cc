"""Autoregressive layers: the derivative is exactly zero where nothing may be seen, and only there (AR-3, AR-4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator


def influence(function: Callable[[Any], Any], shape: tuple[int, ...]) -> np.ndarray:
    """Which outputs (rows) depend on which inputs (columns): where the Jacobian is not exactly zero."""
    x = tg.tensor(np.random.default_rng(0).normal(size=shape))
    jacobian = tg.jacobian(function, x).numpy()
    return jacobian.reshape(-1, int(np.prod(shape))) != 0.0


@given(kernel=st.integers(1, 4), dilation=st.integers(1, 3), strict=st.booleans(), length=st.integers(1, 9))
def test_causal_convolution_sees_its_taps_in_the_past_and_nothing_else(
    kernel: int, dilation: int, strict: bool, length: int, device: str
) -> None:
    layer = nn.CausalConv1d(1, 1, kernel, dilation, strict=strict, rng=Generator(0)).astype(np.float64)
    back = np.arange(length)[:, None] - np.arange(length)[None, :] - strict
    expected = (back >= 0) & (back % dilation == 0) & (back // dilation < kernel)
    np.testing.assert_array_equal(influence(layer, (1, 1, length)), expected)


def test_causal_stack_has_a_receptive_field_of_two_to_the_layers(device: str) -> None:
    layers = [nn.CausalConv1d(1, 1, 2, 2**level, rng=Generator(level)) for level in range(3)]
    stack = nn.Sequential(*layers).astype(np.float64)
    back = np.arange(12)[:, None] - np.arange(12)[None, :]
    np.testing.assert_array_equal(influence(stack, (1, 1, 12)), (back >= 0) & (back < 8))


@pytest.mark.parametrize(("mask_type", "own"), [("A", False), ("B", True)])
@given(height=st.sampled_from([1, 3, 5]), width=st.sampled_from([1, 3, 5]))
def test_masked_convolution_sees_its_window_before_the_pixel(
    mask_type: str, own: bool, height: int, width: int, device: str
) -> None:
    layer = nn.MaskedConv2d(mask_type, 1, 1, (height, width), rng=Generator(0)).astype(np.float64)
    found = influence(layer, (1, 1, 4, 5)).reshape(4, 5, 4, 5)
    for i, j, k, m in np.ndindex(found.shape):
        before = (k, m) < (i, j) or (own and (k, m) == (i, j))
        near = abs(k - i) <= height // 2 and abs(m - j) <= width // 2
        assert found[i, j, k, m] == (before and near)


def test_a_stack_of_masked_convolutions_is_autoregressive_and_has_a_blind_spot(device: str) -> None:
    rng = Generator(0)
    layers = [
        nn.MaskedConv2d("A" if n == 0 else "B", 1 if n == 0 else 4, 4 if n < 5 else 1, 3, rng=rng) for n in range(6)
    ]
    found = influence(nn.Sequential(*layers).astype(np.float64), (1, 1, 6, 6))
    np.testing.assert_array_equal(np.triu(found), False)  # strictly below the diagonal of raster order
    seen = found.reshape(6, 6, 6, 6)[3, 3]
    expected = np.zeros((6, 6), bool)
    for k in range(3):  # a slope of one pixel a row to the right
        expected[k, : 3 + (3 - k) + 1] = True
    expected[3, :3] = True
    np.testing.assert_array_equal(seen, expected)


def test_colours_see_the_colours_before_them(device: str) -> None:
    """Pixel by pixel, the order is R, G, B: then the Jacobian is strictly lower triangular with "A"."""
    for mask_type, expected in (("A", np.tril(np.ones((6, 6), bool), -1)), ("B", np.tril(np.ones((6, 6), bool)))):
        layer = nn.MaskedConv2d(mask_type, 3, 3, 3, colours=3, rng=Generator(0)).astype(np.float64)
        found = influence(layer, (1, 3, 1, 2)).reshape(3, 2, 3, 2).transpose(1, 0, 3, 2).reshape(6, 6)
        np.testing.assert_array_equal(found, expected)


def test_masked_perceptron_is_autoregressive(device: str) -> None:
    """MADE: degrees of hidden units anywhere in 1 … D − 1; output t sees exactly the variables before t."""
    rng, positions, hidden = Generator(0), [3, 1, 2, 4], [1, 2, 3] * 4
    network = nn.Sequential(
        nn.MaskedLinear(nn.autoregressive_mask(positions, hidden, strict=False), rng=rng),
        nn.Tanh(),
        nn.MaskedLinear(nn.autoregressive_mask(hidden, positions, strict=True), rng=rng),
    ).astype(np.float64)
    expected = np.array(positions)[None, :] < np.array(positions)[:, None]
    np.testing.assert_array_equal(influence(network, (4,)), expected)


def test_masks_are_neither_saved_nor_trained_and_weights_are_not_written(device: str) -> None:
    layer = nn.MaskedConv2d("A", 1, 1, 3, rng=Generator(0))
    weight = layer.weight.numpy().copy()
    slope = tg.grad(tg.sum(layer(tg.ones((1, 1, 4, 4)))), layer.weight)[0].numpy()
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    np.testing.assert_array_equal(layer.weight.numpy(), weight)
    assert (weight != 0.0).all()
    np.testing.assert_array_equal(slope[0, 0] == 0.0, [[False] * 3, [False, True, True], [True] * 3])
