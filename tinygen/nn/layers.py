"""Floor 5. Layers."""

from __future__ import annotations

import math
from typing import Any

import tinygen.ops as ops
from tinygen import random
from tinygen.nn import init
from tinygen.nn.module import Module, Parameter
from tinygen.tensor import Tensor


class Sequential(Module):
    """Modules one after the other."""

    def __init__(self, *modules: Module) -> None:
        for position, module in enumerate(modules):
            setattr(self, str(position), module)

    def forward(self, x: Any) -> Any:
        for _, module in self.named_children():
            x = module(x)
        return x


class Linear(Module):
    """x Wᵀ + b: the last axis from ``in_features`` to ``out_features``; weights uniform in ±1/√in as PyTorch's."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: random.Generator | None = None
    ) -> None:
        rng = rng or random.default()
        bound = 1.0 / math.sqrt(in_features) if in_features else 0.0
        self.weight = init.uniform_(Parameter(ops.zeros((out_features, in_features))), -bound, bound, rng)
        self.bias = init.uniform_(Parameter(ops.zeros(out_features)), -bound, bound, rng) if bias else None

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


class Flatten(Module):
    """All axes but the first made one."""

    def forward(self, x: Any) -> Tensor:
        return ops.reshape(x, (x.shape[0], -1))


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where positive, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """x where positive, else alpha · (eˣ − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Tensor:
        return ops.elu(x, self.alpha)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + eˣ)."""

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)
