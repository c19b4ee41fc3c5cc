"""``check_module`` accepts tinygen's modules, and finds what modules do wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from refusal import refusal

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator
from tinygen.testing import check_module, strategies

X = np.array([[0.5, -1.1, 0.9], [1.7, 0.3, -0.4], [-0.2, 0.8, 1.3]])
IMAGE = np.linspace(-1.0, 1.0, 2 * 2 * 4 * 4).reshape(2, 2, 4, 4) ** 3 + 0.1

MODULES = {
    "mlp": lambda r: (nn.Sequential(nn.Linear(3, 4, rng=r), nn.Tanh(), nn.Linear(4, 2, rng=r)), X),
    "batch norm": lambda r: (nn.Sequential(nn.Linear(3, 4, rng=r), nn.BatchNorm1d(4)), X),
    "dropout": lambda r: (nn.Sequential(nn.Linear(3, 4, rng=r), nn.Dropout(0.4, rng=r)), X),
    "layer norm": lambda r: (nn.LayerNorm(3), X),
    "embedding": lambda r: (nn.Embedding(5, 3, rng=r), np.array([[0, 3], [3, 4]])),
    "convolution": lambda r: (nn.Conv2d(2, 3, 3, padding=1, rng=r), IMAGE),
    "lstm": lambda r: (nn.LSTM(3, 2, rng=r), X[:, None]),
}


@pytest.mark.host
@pytest.mark.parametrize("name", MODULES)
def test_modules_are_accepted(name: str) -> None:
    module, inputs = MODULES[name](Generator(4))
    before = module.state_dict()
    check_module(module, inputs, devices=("double",), examples=2)
    assert all(np.array_equal(before[key], value) for key, value in module.state_dict().items())


@pytest.mark.host
@settings(max_examples=10, suppress_health_check=[HealthCheck.nested_given])
@given(network=strategies.networks(3, 2))
def test_drawn_networks_are_accepted(network: Any) -> None:
    check_module(network, X[:1], examples=1, order=1)


class Detached(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(tg.detach(x))


class WrongSecondOrder(nn.Linear):
    """x² whose derivative 2x̄ does not know of x."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return 2.0 * y * tg.detach(y) - tg.detach(y * y)


class Hidden(nn.Linear):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offset = tg.ones(2)


class Restless(nn.Module):
    """Counts its calls also in evaluation."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(tg.ones(3))
        self.calls = nn.Buffer(tg.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls.assign((self.calls + 1.0).data)
        return x * self.weight


class Random(nn.Module):
    """Noise in evaluation too."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(tg.ones(3))
        self.rng = Generator(3)

    def forward(self, x: Any) -> Any:
        return x * self.weight + self.rng.normal(x.shape, dtype=x.dtype)


class Widening(nn.Linear):
    def forward(self, x: Any) -> Any:
        return super().forward(x).astype(np.float64)


class Stubborn(nn.Linear):
    def load_state_dict(self, mapping: Any, strict: bool = True) -> None:
        super().load_state_dict({name: value for name, value in mapping.items() if name != "bias"}, strict=False)


class HalfTrained(nn.Sequential):
    def train(self, mode: bool = True) -> Any:
        self.training = mode
        return self


@pytest.mark.host
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Detached(3, 2, rng=Generator(1)), "order 1, input 0 entry"),
        (WrongSecondOrder(3, 2, rng=Generator(1)), "order 2, "),
        (Hidden(3, 2, rng=Generator(1)), "'offset'"),
        (Restless(), "calls moves"),
        (Random(), "two calls differ"),
        (Widening(3, 2, rng=Generator(1)), "is float64"),
        (Stubborn(3, 2, rng=Generator(1)), "does not bring"),
        (HalfTrained(nn.Linear(3, 3, rng=Generator(1)), nn.Dropout(0.5, rng=Generator(2))), "does not reach"),
    ],
)
def test_what_modules_do_wrong_is_found(module: Any, message: str) -> None:
    assert message in refusal(check_module, module, X)
