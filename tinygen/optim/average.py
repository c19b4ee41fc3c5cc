"""Floor 5. An exponential moving average of a module's parameters: often a better generator than the last one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tinygen.backend import Array, device_of
from tinygen.optim.flat import Flat, joined

if TYPE_CHECKING:
    from tinygen.nn import Module

M = TypeVar("M", bound="Module")


class ExponentialMovingAverage(Generic[M]):
    """A second copy of a module whose parameters follow those of the first slowly.

    a ← decay · a + (1 − decay) · p at each :meth:`update`; a starts at the parameters as they are now.  Buffers
    (batch statistics) are copied.  ``average.module`` is the copy: ready for sampling, in evaluation mode, its
    parameters do not record.  An update is four array calls for all parameters together.

    >>> import tinygen as tg
    >>> critic = tg.nn.Linear(3, 1, rng=tg.random.Generator(0))
    >>> average = tg.optim.ExponentialMovingAverage(critic, decay=0.999)
    >>> average.update()  # after each step of the optimiser
    >>> average.module(tg.ones((2, 3))).shape
    (2, 1)
    """

    def __init__(self, module: M, decay: float) -> None:
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"ExponentialMovingAverage: decay must lie between 0 and 1, got {decay}")
        self.decay = decay
        self.module = copy.deepcopy(module).eval()
        for parameter in self.module.parameters():
            parameter.requires_grad = False
        self._source = module
        self._flat = Flat("ExponentialMovingAverage", list(self.module.parameters()))

    def update(self) -> None:
        """Move the average towards the module's parameters, and copy its buffers."""
        sources = list(self._source.parameters())
        shapes = [tensor.shape for tensor in sources], [tensor.shape for tensor in self._flat.tensors]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"ExponentialMovingAverage: the module's parameters now have shapes {shapes[0]}, at first {shapes[1]}; "
                f"make a new average"
            )
        if sources:
            average, values = self._flat.array(), joined("ExponentialMovingAverage", [one._data for one in sources])
            if device_of(average) != device_of(values) or average.dtype != values.dtype:
                raise ValueError(
                    f"ExponentialMovingAverage: the module is {values.dtype} on {device_of(values)}, the average "
                    f"{average.dtype} on {device_of(average)}; convert average.module in the same way"
                )
            values -= average
            values *= 1.0 - self.decay
            values += average
            self._flat.rebind(values)
        for (_, own), (_, source) in zip(self.module.named_buffers(), self._source.named_buffers(), strict=True):
            own.assign(source._data)

    def state_dict(self) -> dict[str, Array]:
        """The averaged module's: parameters and buffers by name."""
        return self.module.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved average; whatever does not fit is refused, and then nothing is changed."""
        self.module.load_state_dict(state)
