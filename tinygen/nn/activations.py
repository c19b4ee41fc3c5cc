"""Floor 5. Activations: modules without parameters, for use in Sequential; elsewhere call the functions."""

from __future__ import annotations

from typing import Any

import tinygen.ops as ops
from tinygen.nn.module import Module
from tinygen.tensor import Tensor


class Parameterless(Module):
    """A module whose output is a function of its input alone.  An array of the caller's becomes a tensor first."""

    def __call__(self, x: Any) -> Any:
        return super().__call__(x if isinstance(x, Tensor) else ops.tensor(x))


class Identity(Parameterless):
    """x itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class ReLU(Parameterless):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Parameterless):
    """x where positive, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)

    def describe(self) -> str:
        return str(self.negative_slope)


class ELU(Parameterless):
    """x where positive, else alpha · (eˣ − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return ops.elu(x, self.alpha)

    def describe(self) -> str:
        return str(self.alpha)


class SiLU(Parameterless):
    """x · σ(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class Tanh(Parameterless):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Parameterless):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Parameterless):
    """log(1 + eˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x)


class Softmax(Parameterless):
    """eˣ / Σ eˣ along the axis ``dim``: probabilities from logits."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.softmax(x, axis=self.dim)

    def describe(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Parameterless):
    """x − log Σ eˣ along the axis ``dim``: log-probabilities from logits."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.log_softmax(x, axis=self.dim)

    def describe(self) -> str:
        return f"dim={self.dim}"
