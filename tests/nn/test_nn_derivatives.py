"""Derivatives of whole modules, in the input and all parameters, against finite differences up to second order.

Composites of right operations can still be wrong: a statistic that is detached, a constant that should not be one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import TOLERANCE, Probe, differences, discrepancies, leaves
from network_cases import NETWORKS, Network, joined

import tinygen as tg
from tinygen import nn

# With spectral normalisation in training the vectors follow the weight: finite differences would see them move, while
# in derivatives they are constants.  In evaluation they stand still.
CASES = [
    pytest.param(network, training, id=f"{network}, {'train' if training else 'eval'}")
    for network in NETWORKS
    for training in (True, False)
    if network.smooth and not (training and "spectral" in network.name)
]


def functional(module: nn.Module) -> tuple[list[np.ndarray], Callable[..., tg.Tensor]]:
    """A module's parameters as arrays, and the module as a function of its input and of them."""
    places = []
    for name, parameter in module.named_parameters():
        path, _, attribute = name.rpartition(".")
        places.append((dict(module.named_modules())[path], attribute, parameter.numpy()))

    def function(x: Any, *values: tg.Tensor) -> tg.Tensor:
        for (owner, attribute, _), value in zip(places, values, strict=True):
            vars(owner)[attribute] = value
        return joined(module(x))

    return [array for _, _, array in places], function


@pytest.mark.parametrize(("network", "training"), CASES)
def test_derivatives_to_second_order(network: Network, training: bool, device: str) -> None:
    with tg.device("cpu"):
        arrays, reference = functional(network.module().train(training))
        expected = differences(reference, [network.x(), *arrays], Probe(1), 2)
    arrays, function = functional(network.module().train(training))
    inputs = leaves([network.x(), *arrays], device)
    for order, error in enumerate(discrepancies(function, inputs, Probe(1), expected), start=1):
        assert error <= TOLERANCE, f"order {order} is off by {error:.1e}"
