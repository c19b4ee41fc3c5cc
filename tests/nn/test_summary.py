"""The table of a network: shapes, parameters, and that looking changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.backend import to_host
from tinygen.random import Generator


def test_table(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    rng = Generator(0)
    block = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, rng=rng), nn.BatchNorm2d(8), nn.Dropout(0.5, rng=rng))
    network = nn.Sequential(block, nn.Flatten(), nn.Linear(32, 1, rng=rng))
    block[1].eval()
    before, extra = network.state_dict(), network.extra_state()
    table = nn.summary(network, (1, 3, 4, 4))
    assert capsys.readouterr().out == table + "\n"
    assert table.splitlines() == [
        "name  module       output        parameters",
        "0.0   Conv2d       (1, 8, 2, 2)         224",
        "0.1   BatchNorm2d  (1, 8, 2, 2)          16",
        "0.2   Dropout      (1, 8, 2, 2)           0",
        "0     Sequential   (1, 8, 2, 2)           0",
        "1     Flatten      (1, 32)                0",
        "2     Linear       (1, 1)                33",
        "      Sequential   (1, 1)               273 in all",
    ]
    assert [part.training for part in network.modules()] == [True, True, True, False, True, True, True]
    assert network.extra_state() == extra
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(to_host(array), to_host(before[name]))


class Twice(nn.Module):
    """One layer called two times, and an output of several tensors."""

    def __init__(self) -> None:
        self.layer = nn.Linear(2, 2, rng=Generator(0))
        self.scale = nn.Parameter(tg.ones(5))

    def forward(self, x: Any) -> Any:
        return self.layer(self.layer(x)), (x, x)


@pytest.mark.host
def test_shared_parameters_count_once() -> None:
    rows = nn.summary(Twice(), (3, 2)).splitlines()[1:]
    assert [row.split()[-1] for row in rows[:2]] == ["6", "0"]
    assert rows[2].split("  ")[-1].strip().endswith("11 in all")
    assert "(3, 2), (3, 2), (3, 2)" in rows[2]


@pytest.mark.host
def test_indices_and_modules_without_parameters() -> None:
    assert "(2, 5, 3)" in nn.summary(nn.Embedding(7, 3, rng=Generator(0)), (2, 5), dtype=int)
    assert "ReLU" in nn.summary(nn.ReLU(), (2, 5))


@pytest.mark.host
def test_an_error_inside_leaves_the_module_as_it_was() -> None:
    layer = nn.Linear(2, 2, rng=Generator(0))
    with pytest.raises(ValueError, match="linear: x"):
        nn.summary(layer, (3, 4))
    assert layer.training
    assert layer.weight.requires_grad
    layer(tg.ones((1, 2)))
