"""Floor 5. Linear maps, and the table of vectors that stands for a linear map of one-hot rows."""

from __future__ import annotations

from typing import Any

import tinygen.ops as ops
from tinygen import random
from tinygen.nn import init
from tinygen.nn.module import Module, Parameter
from tinygen.tensor import Tensor


class Linear(Module):
    """x Wᵀ + b on the last axis: x (…, in_features) to (…, out_features); weight (out_features, in_features).

    Weight and bias start uniform in ±1/√in_features, as PyTorch's.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: random.Generator | None = None
    ) -> None:
        rng = rng or random.default()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.around_zero(rng, (out_features, in_features), in_features))
        self.bias = Parameter(init.around_zero(rng, out_features, in_features)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """Rows of a table (num_embeddings, embedding_dim) at integer indices: (…) to (…, embedding_dim).

    Rows start as standard normals, as PyTorch's.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: random.Generator | None = None) -> None:
        rng = rng or random.default()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(rng.normal((num_embeddings, embedding_dim)))

    def forward(self, indices: Any) -> Tensor:
        return ops.embedding(indices, self.weight)

    def describe(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
