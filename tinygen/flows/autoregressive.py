"""Floor 6. Autoregressive flows: each coordinate is scaled and shifted by what came before it.

Both layers here are one triangular map of rows v and its inverse,

    y_t = v_t exp(s_t(v_<t)) + m_t(v_<t),      v_t = (y_t − m_t(v_<t)) exp(−s_t(v_<t)),      log|det ∂y/∂v| = Σ s_t,

of which the first is one pass of a masked network, and the second takes a pass for each coordinate (AR-3).

* ``InverseAutoregressive`` (IAF, Kingma et al. 2016) generates by the map: x = map(z), with μ = m, σ = exp(s) (AR-5).
  It samples in one pass and scores its own samples; the density of a foreign x is sequential (AR-6).
* ``MaskedAutoregressive`` (MAF, Papamakarios et al. 2017) infers by the map: z = map(x).  That is a Gaussian
  autoregressive model x_t ~ N(μ_t(x_<t), σ_t²(x_<t)) with z = (x − μ)/σ, so σ = exp(−s), μ = −m exp(−s) (AR-2, AR-8):
  the density is one pass, sampling is sequential.

With the same parameters each is the inverse of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tinygen.ops as ops
from tinygen import nn, random
from tinygen.flows.base import Flow, Layer
from tinygen.flows.elementary import Permutation
from tinygen.flows.networks import MaskedPerceptron, shift_and_raw_log_scale
from tinygen.tensor import Tensor


class _Autoregressive(Layer):
    """The triangular map and its inverse.

    ``network(rows, context)`` gives (N, 2 · dim): shifts m, then raw log-scales r, those at t from coordinates before t
    alone; by default it is a :class:`MaskedPerceptron`.  s = c · tanh(r) with a learned c that starts at ``bound``.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        context: int = 0,
        bound: float = 3.0,
        network: nn.Module | None = None,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        self.dim, self.context = dim, context
        self.bound = nn.Parameter(ops.full((), bound))
        if network is None:
            network = MaskedPerceptron(dim, hidden, activation, context=context, rng=rng)
        self.network = network

    def shift_and_log_scale(self, rows: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """m and s (N, dim); at t they depend on rows before t alone."""
        output = self.network(rows) if context is None else self.network(rows, context)
        shift, raw_log_scale = shift_and_raw_log_scale(self.network, rows, output)
        return shift, self.bound * ops.tanh(raw_log_scale)

    def _parallel(self, v: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """y and log|det ∂y/∂v|, in one pass (AR-7)."""
        shift, log_scale = self.shift_and_log_scale(v, context)
        return v * ops.exp(log_scale) + shift, ops.sum(log_scale, axis=1)

    def _sequential(self, y: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """v and log|det ∂v/∂y|, coordinate by coordinate: one pass for each (AR-6)."""
        v = ops.zeros_like(y)
        position = ops.arange(self.dim, device=y.device)
        for t in range(self.dim):
            shift, log_scale = self.shift_and_log_scale(v, context)
            v = ops.where(position == t, (y - shift) * ops.exp(-log_scale), v)
        return v, -ops.sum(log_scale, axis=1)  # the last pass saw all that any s_t depends on

    def describe(self) -> str:
        return str(self.dim)


class MaskedAutoregressive(_Autoregressive):
    """MAF: density in one pass, sampling in dim passes."""

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._parallel(x, context)

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._sequential(z, context)

    def conditionals(self, x: Any, context: Any = None) -> tuple[Tensor, Tensor]:
        """μ_t and log σ_t (N, dim) of p(x_t | x_<t) = N(μ_t, σ_t²), if z is N(0, I) (AR-2)."""
        shift, log_scale = self.shift_and_log_scale(*self._checked("conditionals", x, context))
        return -shift * ops.exp(-log_scale), -log_scale


class InverseAutoregressive(_Autoregressive):
    """IAF: sampling in one pass, the density of a given x in dim passes."""

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._parallel(z, context)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._sequential(x, context)

    def conditionals(self, z: Any, context: Any = None) -> tuple[Tensor, Tensor]:
        """μ_t and log σ_t (N, dim) of x_t given z_<t: N(μ_t, σ_t²), if z is N(0, I) (AR-5)."""
        return self.shift_and_log_scale(*self._checked("conditionals", z, context))


def maf(dim: int, layers: int = 5, *, rng: random.Generator | None = None, **settings: Any) -> Flow:
    """MAF layers with the order reversed between them, over N(0, I); ``settings`` are those of the layer."""
    return _stack(MaskedAutoregressive, dim, layers, rng, settings)


def iaf(dim: int, layers: int = 5, *, rng: random.Generator | None = None, **settings: Any) -> Flow:
    """IAF layers with the order reversed between them, over N(0, I); ``settings`` are those of the layer."""
    return _stack(InverseAutoregressive, dim, layers, rng, settings)


def _stack(
    kind: type[_Autoregressive], dim: int, layers: int, rng: random.Generator | None, settings: dict[str, Any]
) -> Flow:
    rng = rng or random.default()
    made: list[Layer] = []
    for _ in range(layers):
        made += [kind(dim, rng=rng, **settings), Permutation(range(dim)[::-1])]
    return Flow(made[:-1])
