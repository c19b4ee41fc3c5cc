"""The run of an LSTM as one primitive against its plain twin, the same steps as recorded operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays import host, on, raw
from double import counting, no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.ops.lstm import lstm

Run = tuple[tg.Tensor, tg.Tensor]


def in_steps(inputs: tg.Tensor, weight: tg.Tensor, h: tg.Tensor, c: tg.Tensor) -> Run:
    """h and c after each step, one operation after the other."""
    after_h, after_c = [], []
    for t in range(len(inputs)):
        i, f, g, o = tg.split(inputs[t] + tg.matmul(h, weight.T), 4, axis=1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        after_h.append(h)
        after_c.append(c)
    return tg.stack(after_h), tg.stack(after_c)


def operands(steps: int, batch: int, size: int, seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    """inputs, weight, h, c."""
    rng = np.random.default_rng(seed)
    shapes = [(steps, batch, 4 * size), (4 * size, size), (batch, size), (batch, size)]
    return [scale * rng.normal(size=shape) for shape in shapes]


def derivatives(run: Any, arrays: list[np.ndarray], device: str) -> list[tg.Tensor]:
    """Values, gradients and second derivatives; every element of every result has a weight of its own."""
    leaves = [on(device, array, requires_grad=True) for array in arrays]
    rng = np.random.default_rng(1)

    def weighted(tensors: Any) -> Any:
        return sum(tg.sum(x * (on(device, rng.normal(size=x.shape)) + 0.5 * x)) for x in tensors)

    values = run(*leaves)
    first = tg.grad(weighted(values), leaves, create_graph=True)
    return [*values, *first, *tg.grad(weighted(first), leaves)]


@settings(max_examples=40)
@given(
    steps=st.integers(1, 6), batch=st.integers(0, 3), size=st.integers(1, 4), seed=st.integers(0, 99),
    scale=st.sampled_from([1.0, 30.0]),  # gates open or closed for good
)  # fmt: skip
def test_its_plain_twin(steps: int, batch: int, size: int, seed: int, scale: float, device: str) -> None:
    arrays = operands(steps, batch, size, seed, scale)
    for found, expected in zip(derivatives(lstm, arrays, device), derivatives(in_steps, arrays, device), strict=True):
        assert found.shape == expected.shape
        # float64 sums in another order; errors grow with the weights, so they are measured by the largest element
        largest = max(1.0, np.abs(host(expected)).max(initial=0.0))
        np.testing.assert_allclose(host(found), host(expected), rtol=1e-9, atol=1e-12 * largest)


def test_gradients_of_some_arguments(device: str) -> None:
    """What is asked for does not depend on what else requires a gradient, or on c being used."""
    arrays = operands(4, 2, 3)
    everything = [on(device, array, requires_grad=True) for array in arrays]
    slopes = tg.grad(tg.sum(tg.square(lstm(*everything)[0])), everything)
    for position, slope in enumerate(slopes):
        alone = [on(device, array, requires_grad=position == i) for i, array in enumerate(arrays)]
        (found,) = tg.grad(tg.sum(tg.square(lstm(*alone)[0])), alone[position])
        np.testing.assert_array_equal(host(found), host(slope))


def test_single_precision_stays(device: str) -> None:
    arrays = [array.astype(np.float32) for array in operands(3, 2, 4)]
    leaves = [on(device, array, requires_grad=True) for array in arrays]
    h, c = lstm(*leaves)
    exact = in_steps(*(on(device, array.astype(np.float64)) for array in arrays))
    assert h.dtype == c.dtype == np.float32
    for found, expected in zip((h, c), exact, strict=True):
        np.testing.assert_allclose(host(found), host(expected), rtol=1e-5, atol=1e-6)  # some ten roundings a step
    first = tg.grad(tg.sum(h * c), leaves, create_graph=True)
    second = tg.grad(sum(tg.sum(tg.square(slope)) for slope in first), leaves)
    assert {slope.dtype for slope in (*first, *second)} == {np.dtype(np.float32)}


def test_arrays_give_arrays(device: str) -> None:
    arrays = operands(3, 2, 2)
    h, _ = lstm(*(raw(device, array) for array in arrays))
    assert not isinstance(h, tg.Tensor)
    np.testing.assert_array_equal(host(tg.Tensor(h)), host(lstm(*(on(device, array) for array in arrays))[0]))


def test_launches_and_synchronisations(device: str) -> None:
    """A step forward and back takes three quarters of its twin's launches at most, and nothing waits for the device."""
    if device != "double":
        return

    def launches(run: Any, steps: int) -> int:
        leaves = [on(device, array, requires_grad=True) for array in operands(steps, 2, 3)]
        with counting() as count, no_sync():
            tg.grad(tg.sum(run(*leaves)[0]), leaves)
        return count.launches

    fused, plain = (launches(run, 16) - launches(run, 8) for run in (lstm, in_steps))
    assert fused <= 0.75 * plain


@pytest.mark.host
def test_wrong_shapes() -> None:
    inputs, weight, h, c = (tg.tensor(array) for array in operands(3, 2, 4))
    for wrong in (
        (inputs[:, :, :12], weight, h, c),
        (inputs[0], weight, h, c),
        (inputs[:0], weight, h, c),
        (inputs, weight.T, h, c),
        (inputs, weight, h[:1], c),
        (inputs, weight, h, c[:, :2]),
        (inputs, weight, h[0], c),
    ):
        with pytest.raises(
            ValueError, match=r"^lstm: needs shapes \(T, N, 4H\), \(4H, H\), \(N, H\), \(N, H\) and T ≥ 1, got \["
        ):
            lstm(*wrong)
    with pytest.raises(TypeError, match=r"^lstm: operands mix floating dtypes"):
        lstm(inputs, weight.astype(np.float32), h, c)
