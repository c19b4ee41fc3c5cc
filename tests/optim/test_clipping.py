"""Clipping by the common norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from double import knobs, no_sync

import tinygen as tg
from tinygen import optim


def with_gradients(*arrays: Any) -> list[tg.Tensor]:
    parameters = [tg.tensor(np.zeros_like(array), requires_grad=True) for array in arrays]
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.grad = tg.tensor(array)
    return parameters


def test_one_norm_for_all(device: str) -> None:
    parameters = with_gradients(np.array([3.0, 0.0], np.float32), np.array([[4.0]], np.float32))
    before = [p.grad for p in parameters]
    with no_sync(), knobs.using(promote="raise"):
        norm = optim.clip_grad_norm_(parameters, 1.0)
    assert isinstance(norm, tg.Tensor)
    assert (norm.item(), norm.dtype, norm.shape, norm.device) == (5.0, np.float32, (), device)
    # PyTorch divides by norm + 1e-6
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(parameters[1].grad.numpy(), [[0.8]], rtol=1e-6)
    np.testing.assert_array_equal(before[0].numpy(), [3.0, 0.0])  # rebound, not written


def test_small_gradients_stay_and_one_tensor_will_do() -> None:
    (parameter,) = with_gradients(np.array([3.0, 4.0]))
    assert optim.clip_grad_norm_(parameter, 5.1).item() == 5.0
    np.testing.assert_array_equal(parameter.grad.numpy(), [3.0, 4.0])
    assert optim.clip_grad_norm_(iter([parameter]), np.inf).item() == 5.0


def test_without_gradients() -> None:
    assert optim.clip_grad_norm_([tg.zeros(3, requires_grad=True)], 1.0).item() == 0.0
    assert optim.clip_grad_norm_([], 1.0).item() == 0.0


def test_nan_spreads() -> None:
    """As in PyTorch: a common factor that is NaN."""
    parameters = with_gradients(np.array([1.0]), np.array([np.nan]))
    assert np.isnan(optim.clip_grad_norm_(parameters, 1.0).item())
    assert all(np.isnan(p.grad.numpy()).all() for p in parameters)


def test_float16_is_squared_in_float32() -> None:
    """600² overflows in float16, and the sum of 4,096 ones stops growing at 2,048 if added up one by one."""
    (parameter,) = with_gradients(np.array([600.0], np.float16))
    norm = optim.clip_grad_norm_(parameter, 1.0)
    assert (norm.item(), norm.dtype) == (600.0, np.float16)
    np.testing.assert_allclose(parameter.grad.numpy(), [1.0], rtol=1e-3)  # float16
    (parameter,) = with_gradients(np.ones(4096, np.float16))
    assert optim.clip_grad_norm_(parameter, 1.0).item() == 64.0


def test_refused() -> None:
    (parameter,) = with_gradients(np.array([1.0]))
    for max_norm in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="max_norm"):
            optim.clip_grad_norm_(parameter, max_norm)
    mixed = with_gradients(np.array([1.0]), np.array([1.0], np.float32))
    with pytest.raises(ValueError, match=r"float32.*float64"):
        optim.clip_grad_norm_(mixed, 1.0)
