"""Floor 6. Layers without networks: affine maps, another order of the coordinates, normalisation over the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen.flows.base import Layer
from tinygen.nn import Buffer, Parameter
from tinygen.nn.normalisation import moments
from tinygen.tensor import Tensor


def for_each_row(log_det: Tensor, rows: Tensor) -> Tensor:
    """A log-determinant that does not depend on the row, for each of them (N,)."""
    return ops.broadcast_to(log_det, rows.shape[:1])


class Affine(Layer):
    """x = exp(log_scale) ⊙ z + shift, one pair of numbers for each coordinate; starts as the identity."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.log_scale, self.shift = Parameter(ops.zeros(dim)), Parameter(ops.zeros(dim))

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z * ops.exp(self.log_scale) + self.shift, for_each_row(ops.sum(self.log_scale), z)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) * ops.exp(-self.log_scale), for_each_row(-ops.sum(self.log_scale), x)

    def describe(self) -> str:
        return str(self.dim)


class TriangularAffine(Layer):
    """x = L z + shift, where L is lower triangular with the diagonal exp(log_scale); starts as the identity.

    Over N(0, I) it makes N(shift, L Lᵀ), and so every normal distribution (PROB-5).
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.log_scale, self.shift = Parameter(ops.zeros(dim)), Parameter(ops.zeros(dim))
        self.below = Parameter(ops.zeros((dim, dim)))  # only what stands below the diagonal is used

    def matrix(self) -> Tensor:
        """L (dim, dim)."""
        identity = ops.eye(self.dim, dtype=self.below.dtype, device=self.below.device)
        return ops.tril(self.below, -1) + identity * ops.exp(self.log_scale)

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return ops.linear(z, self.matrix(), self.shift), for_each_row(ops.sum(self.log_scale), z)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        columns = ops.swapaxes(x - self.shift, 0, 1)
        z = ops.linalg.solve_triangular(self.matrix(), columns)
        return ops.swapaxes(z, 0, 1), for_each_row(-ops.sum(self.log_scale), x)

    def describe(self) -> str:
        return str(self.dim)


class Permutation(Layer):
    """x_i = z_order[i]: coordinates in another order, whose log-determinant is 0 (FLOW-19).

    The order is saved with the module.  ``Permutation(range(dim)[::-1])`` reverses.
    """

    def __init__(self, order: Any) -> None:
        indices = np.array(list(order))
        if indices.dtype.kind not in "iu" or sorted(indices.tolist()) != list(range(len(indices))):
            raise ValueError(f"Permutation: order must hold each of 0, …, dim − 1 once, got {indices.tolist()}")
        self.dim = len(indices)
        self.order = Buffer(ops.tensor(indices))

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return ops.take(z, self.order, axis=1), ops.zeros(z.shape[0], dtype=z.dtype, device=z.device)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return ops.take(x, ops.argsort(self.order), axis=1), ops.zeros(x.shape[0], dtype=x.dtype, device=x.device)

    def describe(self) -> str:
        return str(self.order.numpy().tolist())


class BatchNorm(Layer):
    """z = (x − mean) / √(variance + eps) · exp(log_scale) + shift, by coordinate (Dinh et al. 2017, section 3.7).

    In training ``to_latent`` uses mean and variance of the batch, which counts as given in the log-determinant, and
    moves running ones; so a row's latent depends on the others.  In evaluation, and always in ``to_data``, the running
    ones are used, and the layer is the bijection of rows that its density belongs to.
    """

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.dim, self.eps, self.momentum = dim, eps, momentum
        self.log_scale, self.shift = Parameter(ops.zeros(dim)), Parameter(ops.zeros(dim))
        self.running_mean, self.running_var = Buffer(ops.zeros(dim)), Buffer(ops.ones(dim))

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_factor = self._log_factor(self.running_var)
        return (z - self.shift) * ops.exp(-log_factor) + self.running_mean, for_each_row(-ops.sum(log_factor), z)

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.training:
            centred, variance = self._batch_moments(x)
        else:
            centred, variance = x - self.running_mean, self.running_var
        log_factor = self._log_factor(variance)
        return centred * ops.exp(log_factor) + self.shift, for_each_row(ops.sum(log_factor), x)

    def _log_factor(self, variance: Tensor) -> Tensor:
        return self.log_scale - 0.5 * ops.log(variance + self.eps)

    def _batch_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x − mean and variance of the batch; unless frozen, the running ones move toward them."""
        if x.shape[0] < 2:
            raise ValueError(f"BatchNorm: a variance needs two rows or more, got x {x.shape}; use eval()")
        mean, centred, variance = moments(x, (0,))
        variance = ops.reshape(variance, self.dim)
        if not self.is_frozen:
            for running, batch in ((self.running_mean, mean), (self.running_var, variance)):
                batch = ops.reshape(batch.detach(), self.dim)
                moved = (1.0 - self.momentum) * running + self.momentum * batch
                running.assign(moved._data, copy=False)
        return centred, variance

    def describe(self) -> str:
        return str(self.dim)
