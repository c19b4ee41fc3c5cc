"""Initial values: their distribution, and that a tensor is rebound and not written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.nn import init
from tinygen.random import Generator

SHAPE = (60, 40, 5, 5)
IN, OUT = 40 * 25, 60 * 25


@pytest.mark.host
@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (lambda r, t: init.xavier_uniform_(r, t, gain=2.0), 4.0 * 2.0 / (IN + OUT)),
        (lambda r, t: init.xavier_normal_(r, t), 2.0 / (IN + OUT)),
        (lambda r, t: init.kaiming_uniform_(r, t), 2.0 / IN),
        (lambda r, t: init.kaiming_normal_(r, t, gain=1.0), 1.0 / IN),
        (lambda r, t: init.kaiming_normal_(r, t, mode="fan_out"), 2.0 / OUT),
        (lambda r, t: init.normal_(r, t, std=0.02), 0.0004),
        (lambda r, t: init.uniform_(r, t, -1.0, 1.0), 1.0 / 3.0),
    ],
)
def test_mean_and_variance(fill: Any, variance: float) -> None:
    parameter = nn.Parameter(tg.zeros(SHAPE, dtype=np.float64))
    before = parameter.data
    assert fill(Generator(0), parameter) is parameter
    assert (before == 0.0).all()
    values, count = parameter.numpy(), math.prod(SHAPE)
    assert abs(values.mean()) < 5.0 * math.sqrt(variance / count)  # five standard deviations each
    assert abs(values.var() / variance - 1.0) < 5.0 * math.sqrt(2.0 / count)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (4, 2, 3, 2), (16, 2, 2, 2)])
def test_orthogonal(shape: tuple[int, ...], device: str) -> None:
    weight = init.orthogonal_(Generator(0), nn.Parameter(tg.zeros(shape, dtype=np.float64)), gain=1.5)
    matrix = weight.numpy().reshape(shape[0], -1) / 1.5
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-14)  # rounding of a few products
    assert weight.device == device


@pytest.mark.host
def test_orthogonal_is_uniform_also_in_its_signs() -> None:
    """Without the signs of R every diagonal element of Q would be negative (LAPACK's choice)."""
    rng = Generator(0)
    corners = [init.orthogonal_(rng, nn.Parameter(tg.zeros((3, 3)))).numpy()[0, 0] for _ in range(400)]
    assert abs(np.mean(corners)) < 5.0 * math.sqrt(1.0 / 3.0 / 400)


def test_constants_keep_dtype_and_device(device: str) -> None:
    weight = nn.Parameter(tg.full((2, 3), 7.0, dtype=np.float64))
    for fill, value in ((init.zeros_, 0.0), (init.ones_, 1.0), (lambda t: init.constant_(t, 0.5), 0.5)):
        assert (fill(weight).numpy() == value).all()
    assert (weight.dtype, weight.device, weight.requires_grad) == (np.float64, device, True)


@pytest.mark.host
def test_wrong_use() -> None:
    with pytest.raises(ValueError, match=r"fans need a weight \(out, in, …\), got shape \(3,\)"):
        init.xavier_uniform_(Generator(0), nn.Parameter(tg.zeros(3)))
    with pytest.raises(ValueError, match="unknown mode 'fan'"):
        init.kaiming_normal_(Generator(0), nn.Parameter(tg.zeros((3, 3))), mode="fan")
