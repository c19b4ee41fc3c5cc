"""Floor 5. Distributions of vectors: the normal one with any covariance, and independent elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen import random
from tinygen.distributions.base import Distribution, Reparametrised, Shape
from tinygen.distributions.continuous import HALF_LOG_TAU
from tinygen.ops import broadcast_to, diagonal, expand_dims, log, matmul, reshape, square, squeeze, sum, swapaxes
from tinygen.ops.linalg import cholesky, solve_triangular
from tinygen.probability import require
from tinygen.tensor import Tensor


class MultivariateNormal(Reparametrised):
    """N(loc, covariance) for vectors (…, d); one of ``covariance`` and ``scale_tril`` is given, each (…, d, d).

    ``scale_tril`` is lower triangular with a positive diagonal, and covariance = scale_tril scale_trilᵀ.  Raises
    where shapes do not fit, and on the host where a matrix is not symmetric, positive definite or triangular.

    >>> import tinygen as tg
    >>> d = tg.distributions.MultivariateNormal([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]])
    >>> round(d.log_prob([0.0, 0.0]).item(), 4)  # −log 2π − ½ log 3
    -2.3872
    """

    def __init__(self, loc: Any, covariance: Any = None, scale_tril: Any = None) -> None:
        if (covariance is None) == (scale_tril is None):
            raise ValueError("MultivariateNormal: give exactly one of covariance and scale_tril")
        if scale_tril is None:
            location, matrix = self._take(loc=loc, covariance=covariance)
        else:
            location, matrix = self._take(loc=loc, scale_tril=scale_tril)
        if location.ndim < 1 or matrix.ndim < 2 or matrix.shape[-2:] != 2 * location.shape[-1:]:
            raise ValueError(
                f"MultivariateNormal: loc {location.shape} must be (…, d), its matrix (…, d, d), got {matrix.shape}"
            )
        if scale_tril is None:
            require("MultivariateNormal: covariance", matrix, _is_symmetric, "must be symmetric: average a and a.mT")
            self._given = {"loc": self._given["loc"], "scale_tril": cholesky(self._given["covariance"])}
        else:
            require("MultivariateNormal: scale_tril", matrix, _is_lower, "must be 0 above its diagonal: take tg.tril")
            positive = "must have a positive diagonal: take exp or softplus of a free one"
            require("MultivariateNormal: scale_tril", matrix, lambda a: a.diagonal(0, -2, -1) > 0, positive)
        self.loc, self.scale_tril = self._at()
        self.event_shape = self.loc.shape[-1:]
        self.batch_shape = self._broadcast(self.loc.shape[:-1], matrix.shape[:-2])

    def _log_prob(self, x: Tensor, loc: Any, scale_tril: Any) -> Tensor:
        white = whiten(scale_tril, x - loc)
        return -0.5 * sum(square(white), -1) - log_diagonal(scale_tril) - HALF_LOG_TAU * x.shape[-1]

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        noise = rng.normal((*lengths, *self.event_shape), dtype=self.loc.dtype, device=self.loc.device)
        if self.scale_tril.ndim == 2:
            return self.loc + matmul(noise, swapaxes(self.scale_tril, 0, 1))  # PROB-7, each row of noise at once
        return self.loc + squeeze(matmul(self.scale_tril, expand_dims(noise, -1)), -1)

    def entropy(self) -> Tensor:
        d = self.loc.shape[-1]
        return broadcast_to(log_diagonal(self.scale_tril) + (HALF_LOG_TAU + 0.5) * d, self.batch_shape)

    @property
    def covariance(self) -> Tensor:
        """The covariance matrix (…, d, d)."""
        return matmul(self.scale_tril, swapaxes(self.scale_tril, -1, -2))

    @property
    def mean(self) -> Tensor:
        return self._full(self.loc)

    @property
    def variance(self) -> Tensor:
        return self._full(sum(square(self.scale_tril), -1))


def log_diagonal(scale_tril: Any) -> Tensor:
    """log det of a triangular matrix with a positive diagonal: half of the covariance's."""
    return sum(log(diagonal(scale_tril)), -1)


def whiten(scale_tril: Any, centred: Any) -> Any:
    """L⁻¹ of each vector; one solution with many right sides where all vectors share L."""
    if scale_tril.ndim > 2:
        return squeeze(solve_triangular(scale_tril, expand_dims(centred, -1)), -1)
    columns = swapaxes(reshape(centred, (-1, centred.shape[-1])), 0, 1)
    return reshape(swapaxes(solve_triangular(scale_tril, columns), 0, 1), centred.shape)


def _is_symmetric(matrix: np.ndarray) -> Any:
    return abs(matrix - matrix.swapaxes(-1, -2)) <= 1e-4 * abs(matrix).max(initial=0.0)


def _is_lower(matrix: np.ndarray) -> Any:
    return np.triu(matrix, 1) == 0


class Independent(Distribution):
    """Draws of ``base`` whose last ``axes`` batch axes count as one event: log-probabilities are summed over them.

    >>> import tinygen as tg
    >>> noise = tg.distributions.Independent(tg.distributions.Normal(tg.zeros(3), 1.0))
    >>> noise.log_prob(tg.zeros((5, 3))).shape
    (5,)
    """

    def __init__(self, base: Distribution, axes: int = 1) -> None:
        if not 0 < axes <= len(base.batch_shape):
            raise ValueError(
                f"Independent: axes={axes} must be from 1 to the number of batch axes of {base}: {base.batch_shape}"
            )
        split = len(base.batch_shape) - axes
        self.base, self.axes, self.discrete = base, axes, base.discrete
        self.batch_shape, self.event_shape = base.batch_shape[:split], base.batch_shape[split:] + base.event_shape
        self._given = base._given

    def _tensors(self) -> Iterator[Tensor]:
        return self.base._tensors()

    def _anchored(self, like: Tensor | None) -> Distribution:
        return Independent(self.base._anchored(like), self.axes)

    def _summed(self, x: Any) -> Tensor:
        return sum(x, tuple(range(-self.axes, 0)))

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        return self._summed(self.base.log_prob(x))

    def sample(self, rng: random.Generator | None, shape: Shape = ()) -> Tensor:
        return self.base.sample(rng, shape)

    def rsample(self, rng: random.Generator | None, shape: Shape = ()) -> Tensor:
        return self.base.rsample(rng, shape)

    def entropy(self) -> Tensor:
        return self._summed(self.base.entropy())

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def variance(self) -> Tensor:
        return self.base.variance

    def __repr__(self) -> str:
        return f"Independent({self.base}, axes={self.axes})"
