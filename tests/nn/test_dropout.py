"""Dropout: what share is dropped, that the mean stays, and whose stream the noise comes from."""

from __future__ import annotations

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator


def test_share_and_scale(device: str) -> None:
    layer = nn.Dropout(0.3, rng=Generator(0))
    y = layer(tg.ones((200, 200))).numpy()
    assert set(np.unique(y)) == {np.float32(0.0), np.float32(1.0 / 0.7)}
    assert abs((y == 0.0).mean() - 0.3) < 0.012  # five standard deviations of 40,000 draws
    assert (layer.eval()(tg.ones((3, 3))).numpy() == 1.0).all()


@pytest.mark.parametrize(("p", "kept"), [(0.0, 1.0), (1.0, 0.0)])
def test_none_and_all(p: float, kept: float, device: str) -> None:
    assert (nn.Dropout(p, rng=Generator(0))(tg.ones((3, 3))).numpy() == kept).all()


def test_gradient_is_the_mask(device: str) -> None:
    x = tg.tensor(np.full((5, 5), 2.0, np.float32), requires_grad=True)
    y = nn.Dropout(0.5, rng=Generator(0))(x)
    np.testing.assert_array_equal(tg.grad(tg.sum(y), x)[0].numpy(), y.numpy() / 2.0)


def test_each_layer_has_a_stream_of_its_own(device: str) -> None:
    """Two layers of one generator drop different elements, and do not depend on what it drew since."""
    rng, x = Generator(5), tg.ones((10, 10))
    first, second = nn.Dropout(rng=rng), nn.Dropout(rng=rng)
    a, b = first(x).numpy(), second(x).numpy()
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, first(x).numpy())
    again = Generator(5)
    twin = nn.Dropout(rng=again)
    again.normal((100,))
    np.testing.assert_array_equal(twin(x).numpy(), a)


def test_dropout_between_the_layers_of_an_lstm(device: str) -> None:
    """In training the outputs of the lower layer are dropped, those of the upper one are not; in evaluation none."""
    noisy, plain = nn.LSTM(3, 4, 2, dropout=0.9, rng=Generator(0)), nn.LSTM(3, 4, 2, rng=Generator(0))
    x = Generator(1).normal((5, 2, 3))
    y, (h, _) = noisy(x)
    assert not np.array_equal(y.numpy(), plain(x)[0].numpy())
    np.testing.assert_array_equal(h.numpy()[0], plain(x)[1][0].numpy()[0])  # the lower layer itself
    assert (y.numpy() != 0.0).all()
    np.testing.assert_array_equal(noisy.eval()(x)[0].numpy(), plain(x)[0].numpy())
    assert nn.LSTM(3, 4, 2, dropout=0.9, rng=Generator(0)).extra_state().keys() == {""}
