"""The exponential moving average of a module."""

from __future__ import annotations

import numpy as np
import pytest
from double import counting, knobs, no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim


def network(seed: int = 0, width: int = 3) -> nn.Sequential:
    rng = tg.random.Generator(seed)
    return nn.Sequential(nn.Linear(2, width, rng=rng), nn.Tanh(), nn.Linear(width, 1, rng=rng))


def shift(module: nn.Module, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for parameter in module.parameters():
        parameter.assign(tg.tensor(rng.normal(size=parameter.shape).astype(np.float32)))


@settings(max_examples=15)
@given(st.floats(0.0, 1.0), st.integers(0, 5))
def test_recursion(device: str, decay: float, updates: int) -> None:
    """a ← decay · a + (1 − decay) · p for every parameter, starting at p."""
    with tg.device(device):
        module = network()
        average = optim.ExponentialMovingAverage(module, decay)
        expected = [parameter.numpy().astype(np.float64) for parameter in module.parameters()]
        for seed in range(updates):
            shift(module, seed)
            average.update()
            for one, parameter in zip(expected, module.parameters(), strict=True):
                one *= decay
                one += (1 - decay) * parameter.numpy()
        for one, parameter in zip(expected, average.module.parameters(), strict=True):
            np.testing.assert_allclose(parameter.numpy(), one, rtol=0, atol=2e-6)  # float32, five updates


def test_the_module_for_sampling(device: str) -> None:
    module = network()
    average = optim.ExponentialMovingAverage(module, 0.5)
    held = [parameter.detach() for parameter in average.module.parameters()]
    before = [parameter.numpy().copy() for parameter in held]
    shift(module, 1)
    with no_sync(), knobs.using(promote="raise"):
        average.update()
        y = average.module(tg.ones((4, 2)))
    assert (y.shape, y.requires_grad) == ((4, 1), False)
    assert not average.module.training
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    for one, values in zip(held, before, strict=True):
        np.testing.assert_array_equal(one.numpy(), values)  # rebound, not written


def test_an_update_is_a_few_array_calls(device: str) -> None:
    counts = []
    for layers in (2, 20):
        rng = tg.random.Generator(0)
        module = nn.Sequential(*[nn.Linear(3, 3, rng=rng) for _ in range(layers)])
        average = optim.ExponentialMovingAverage(module, 0.9)
        average.update()
        with counting() as count:
            average.update()
        counts.append(count.launches)
    assert counts[0] == counts[1] <= 6


def test_buffers_are_copied() -> None:
    module = nn.BatchNorm1d(3)
    average = optim.ExponentialMovingAverage(module, 0.9)
    module(tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)))
    average.update()
    for (name, own), (_, source) in zip(average.module.named_buffers(), module.named_buffers(), strict=True):
        np.testing.assert_array_equal(own.numpy(), source.numpy(), err_msg=name)
        assert own._data is not source._data
    module(tg.ones((8, 3)))
    assert int(dict(average.module.named_buffers())["num_batches_tracked"]) == 1


def test_saving() -> None:
    module, twin = network(0), network(0)
    average, other = (optim.ExponentialMovingAverage(one, 0.7) for one in (module, twin))
    for seed in range(4):
        for one in (module, twin):
            shift(one, seed)
        average.update()
        other.update()
        state = other.state_dict()
        other = optim.ExponentialMovingAverage(twin, 0.7)
        other.load_state_dict(state)
    for one, two in zip(average.module.parameters(), other.module.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    module.load_state_dict(state)  # an average is a state of the module
    with pytest.raises(ValueError, match="weight"):
        other.load_state_dict(network(width=4).state_dict())


def test_refused() -> None:
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="decay"):
            optim.ExponentialMovingAverage(network(), decay)
    module = network()
    average = optim.ExponentialMovingAverage(module, 0.9)
    module.astype(np.float64)
    with pytest.raises(ValueError, match=r"float64.*float32.*average\.module"):
        average.update()


@pytest.mark.host
def test_a_module_on_another_device() -> None:
    module = network()
    average = optim.ExponentialMovingAverage(module, 0.9)
    module.to("double")
    with pytest.raises(ValueError, match=r"double.*cpu.*average\.module"):
        average.update()
    average.module.to("double")
    average.update()
