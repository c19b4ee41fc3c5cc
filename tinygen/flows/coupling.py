"""Floor 6. Affine coupling (RealNVP): part of the coordinates stay and say how the others are scaled and shifted.

    x_kept = z_kept,   x_rest = z_rest ⊙ exp(s(z_kept)) + t(z_kept),   log|det| = Σ s          (FLOW-15, FLOW-17)

Source: Dinh, Sohl-Dickstein & Bengio 2017.  As there, s = c · tanh(·) with a learned c, which keeps the scales bounded
and the round trip exact; and a mask of zeros and ones says which coordinates stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen import nn, random
from tinygen.backend import default_dtype
from tinygen.flows.base import Flow, Layer
from tinygen.flows.elementary import BatchNorm
from tinygen.flows.networks import perceptron, shift_and_raw_log_scale
from tinygen.tensor import Tensor


class AffineCoupling(Layer):
    """Coordinates where ``kept`` is true (default: the first half) stay bit for bit; the others are scaled and shifted.

    ``network`` maps the rows, with zeros in place of the others and followed by the context, (N, dim + context), to
    shifts and raw log-scales (N, 2 · dim), of which those of kept coordinates are not used; by default it is a
    perceptron.  ``bound`` is the first value of c in s = c · tanh(raw).  The mask is saved with the module.

    >>> import tinygen as tg
    >>> layer = tg.flows.AffineCoupling(2, rng=tg.random.Generator(0))
    >>> layer.to_data([[1.0, 2.0]])[0].numpy().tolist()  # starts as the identity
    [[1.0, 2.0]]
    """

    def __init__(
        self,
        dim: int,
        kept: Any = None,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        context: int = 0,
        bound: float = 1.0,
        network: nn.Module | None = None,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        mask = np.arange(dim) < dim // 2 if kept is None else np.asarray(kept)
        if mask.shape != (dim,) or not np.isin(mask, (0, 1)).all():
            raise ValueError(f"AffineCoupling: kept must be {dim} truth values, not indices, got {mask.tolist()!s:.60}")
        self.dim, self.context = dim, context
        self.kept = nn.Buffer(ops.tensor(mask, dtype=default_dtype()))
        self.bound = nn.Parameter(ops.full((), bound))
        if network is None:
            network = perceptron(dim + context, hidden, 2 * dim, activation, rng=rng)
        self.network = network

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.shift_and_log_scale(z, context)
        return z * ops.exp(log_scale) + shift, ops.sum(log_scale, axis=1)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.shift_and_log_scale(x, context)
        return (x - shift) * ops.exp(-log_scale), -ops.sum(log_scale, axis=1)  # FLOW-18

    def shift_and_log_scale(self, rows: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """t and s (N, dim), exactly 0 for kept coordinates; z and x give the same, for they agree where it looks."""
        seen, changed = rows * self.kept, 1.0 - self.kept
        output = self.network(seen if context is None else ops.concatenate([seen, context], axis=1))
        shift, raw_log_scale = shift_and_raw_log_scale(self.network, rows, output)
        return shift * changed, self.bound * ops.tanh(raw_log_scale) * changed

    def describe(self) -> str:
        return f"{self.dim}, kept={self.kept.numpy().astype(int).tolist()}"


def real_nvp(
    dim: int,
    layers: int = 8,
    hidden: Sequence[int] = (64, 64),
    activation: type[nn.Module] = nn.ReLU,
    context: int = 0,
    bound: float = 1.0,
    batch_norm: bool = False,
    *,
    rng: random.Generator | None = None,
) -> Flow:
    """Coupling layers that keep the first half and the rest in turn (FLOW-19), over N(0, I)."""
    rng = rng or random.default()
    first = np.arange(dim) < dim // 2
    made: list[Layer] = []
    for number in range(layers):
        kept = first if number % 2 == 0 else ~first
        made.append(AffineCoupling(dim, kept, hidden, activation, context, bound, rng=rng))
        if batch_norm:
            made.append(BatchNorm(dim))
    return Flow(made)
