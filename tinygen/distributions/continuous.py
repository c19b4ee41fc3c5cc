"""Floor 5. Densities on the line.  Each parameter may require a gradient; all draws are reparametrised."""

from __future__ import annotations

import math
from typing import Any

from tinygen import random
from tinygen.distributions.base import Reparametrised
from tinygen.ops import abs, clip, greater, less, log, log1p, negative, sign, square, where
from tinygen.probability import INFINITY, require
from tinygen.tensor import Tensor

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


class Normal(Reparametrised):
    """N(loc, scale²): ``scale`` is the standard deviation, not the variance (PROB-8).

    >>> import tinygen as tg
    >>> d = tg.distributions.Normal(0.0, [1.0, 2.0])
    >>> d.sample(tg.random.Generator(0), 5).shape
    (5, 2)
    >>> round(d.log_prob(0.0)[0].item(), 4)
    -0.9189
    """

    def __init__(self, loc: Any, scale: Any) -> None:
        self.loc, self.scale = self._take(loc=loc, scale=scale)
        self.batch_shape = self._broadcast(self.loc.shape, self.scale.shape)
        require("Normal: scale", self.scale, lambda a: a > 0, "must be positive: take exp or softplus of a free one")

    def _log_prob(self, x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return -0.5 * square((x - loc) / scale) - log(scale) - HALF_LOG_TAU

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        noise = rng.normal(lengths, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * noise  # PROB-7: x = μ + σ ε

    def entropy(self) -> Tensor:
        return self._full(log(self.scale) + (HALF_LOG_TAU + 0.5))

    @property
    def mean(self) -> Tensor:
        return self._full(self.loc)

    @property
    def variance(self) -> Tensor:
        return self._full(square(self.scale))


class Laplace(Reparametrised):
    """Density exp(−|x − loc| / scale) / (2 scale)."""

    def __init__(self, loc: Any, scale: Any) -> None:
        self.loc, self.scale = self._take(loc=loc, scale=scale)
        self.batch_shape = self._broadcast(self.loc.shape, self.scale.shape)
        require("Laplace: scale", self.scale, lambda a: a > 0, "must be positive: take exp or softplus of a free one")

    def _log_prob(self, x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        return negative(abs(x - loc)) / scale - log(2.0 * scale)

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        centred = rng.uniform(lengths, dtype=self.loc.dtype, device=self.loc.device) - 0.5
        return self.loc - self.scale * (sign(centred) * log1p(-2.0 * abs(centred)))  # the inverse of the cdf

    def entropy(self) -> Tensor:
        return self._full(log(2.0 * self.scale) + 1.0)

    @property
    def mean(self) -> Tensor:
        return self._full(self.loc)

    @property
    def variance(self) -> Tensor:
        return self._full(2.0 * square(self.scale))


class Exponential(Reparametrised):
    """Density rate · exp(−rate · x) on x ≥ 0."""

    def __init__(self, rate: Any) -> None:
        (self.rate,) = self._take(rate=rate)
        self.batch_shape = self.rate.shape
        require("Exponential: rate", self.rate, lambda a: a > 0, "must be positive: take exp or softplus of a free one")

    def _log_prob(self, x: Tensor, rate: Tensor) -> Tensor:
        return where(less(x, 0.0), -INFINITY, log(rate) - rate * x)

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        return -log(rng.uniform(lengths, dtype=self.rate.dtype, device=self.rate.device)) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - log(self.rate)

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.rate

    @property
    def variance(self) -> Tensor:
        return 1.0 / square(self.rate)


class Uniform(Reparametrised):
    """Density 1 / (high − low) on low ≤ x ≤ high, both ends included."""

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = self._take(low=low, high=high)
        self.batch_shape = self._broadcast(self.low.shape, self.high.shape)
        require("Uniform: high - low", self.high.detach() - self.low.detach(), lambda a: a > 0, "must be positive")

    def _log_prob(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        inside = 0.0 * clip(x, low, high) - log(high - low)  # the first term is NaN where x is
        return where(less(x, low), -INFINITY, where(greater(x, high), -INFINITY, inside))

    def _draw(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        share = rng.uniform(lengths, dtype=self.low.dtype, device=self.low.device)
        inside = self.low * (1.0 - share) + self.high * share
        return clip(inside, self.low, self.high)  # rounding may have left the interval

    def entropy(self) -> Tensor:
        return log(self.high - self.low)

    @property
    def mean(self) -> Tensor:
        return 0.5 * (self.low + self.high)

    @property
    def variance(self) -> Tensor:
        return square(self.high - self.low) / 12.0
