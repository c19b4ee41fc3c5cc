"""Floor 8. A float64 copy of a user's module, whose parameters can be moved without touching the user's."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from tinygen.backend import default_device, to_device, to_host
from tinygen.nn import Module
from tinygen.tensor import Tensor

T = TypeVar("T")


def double_copy(thing: T) -> T:
    """A float64 copy of a module; anything else as it is."""
    return copy.deepcopy(thing).astype(np.float64) if isinstance(thing, Module) else thing


def home(thing: Any) -> str:
    """The device of a module's parameters; the default one if it has none."""
    parameters = thing.parameters() if isinstance(thing, Module) else []
    return parameters[0].device if parameters else default_device()


class Noise:
    """Normal noise for the parameters, each moved by 0, 1, 4 or 16 times ``scale``; the simplest is none."""

    def __init__(self, scale: float, seed: int) -> None:
        self.scale = scale
        self.seed = seed

    def __repr__(self) -> str:
        return f"as given + noise {self.scale:g} of seed {self.seed}" if self.scale else "as given"

    @contextlib.contextmanager
    def on(self, thing: Any) -> Iterator[None]:
        """Inside the block the parameters of a module are moved by the noise."""
        parameters = thing.parameters() if isinstance(thing, Module) and self.scale else []
        before = [parameter.data for parameter in parameters]
        rng = np.random.default_rng(self.seed)
        try:
            for parameter in parameters:
                size = self.scale * rng.choice([0.0, 1.0, 4.0, 16.0])
                moved = to_host(parameter.data) + size * rng.standard_normal(parameter.shape)
                parameter.assign(to_device(np.asarray(moved, parameter.dtype), parameter.device))
            yield
        finally:
            for parameter, values in zip(parameters, before, strict=True):
                parameter.assign(values)


def noises(scale: float, thing: Any) -> st.SearchStrategy[Noise]:
    """No noise, or some: initial weights are special (zeros, identities) and hide faults."""
    if not scale or not isinstance(thing, Module) or not thing.parameters():
        return st.just(Noise(0.0, 0))
    return st.builds(Noise, st.sampled_from([0.0, scale]), st.integers(0, 9999))


def on_device(array: np.ndarray, device: str) -> Tensor:
    """A float64 tensor that requires no gradient."""
    return Tensor(to_device(np.array(array, np.float64), device))
