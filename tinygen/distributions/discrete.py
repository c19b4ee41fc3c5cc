"""Floor 5. Distributions of whole numbers: counts of successes, and classes.

Each takes ``probs`` or ``logits``; logits are exact where a probability is within rounding of 0 or 1.  Values are
data: no gradient flows into them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygen import random
from tinygen.distributions.base import Distribution
from tinygen.ops import (
    arange,
    astype,
    broadcast_to,
    equal,
    exp,
    expand_dims,
    greater_equal,
    less_equal,
    log_softmax,
    moveaxis,
    multiply,
    reshape,
    sigmoid,
    softmax,
    softplus,
    sum,
    take,
    take_along_axis,
    tensor,
    where,
)
from tinygen.ops.elementwise import multiply_or_zero
from tinygen.probability import INFINITY, finite, log_complement, log_or_minus_infinity, require, require_table
from tinygen.tensor import Tensor, detach


class _WholeNumbers(Distribution):
    """Given by ``probs`` or by ``logits``."""

    discrete = True

    def _take_either(self, probs: Any, logits: Any) -> Tensor:
        if (probs is None) == (logits is None):
            raise ValueError(f"{self._name}: give exactly one of probs and logits")
        (given,) = self._take(probs=probs) if logits is None else self._take(logits=logits)
        return given

    @property
    def _from_logits(self) -> bool:
        return "logits" in self._given


def whole(x: Any, low: int, high: int) -> tuple[Any, Any]:
    """x as integers (``low`` where it is outside low … high or broken), and where it is not."""
    x = detach(x)
    within = greater_equal(x, low) * less_equal(x, high)
    candidate = where(within, x, low)  # also where x is NaN, which no integer can hold
    integers = astype(candidate, np.int64)
    return integers, within * equal(integers, candidate)


class Binomial(_WholeNumbers):
    """The number of successes in ``n`` independent trials, each of probability σ(logits); draws are floating.

    p(k) = C(n, k) pᵏ (1 − p)ⁿ⁻ᵏ.  ``n`` is one whole number for the batch.

    >>> import tinygen as tg
    >>> [round(p, 4) for p in tg.exp(tg.distributions.Binomial(2, 0.5).log_prob([0, 1, 2, 3])).numpy().tolist()]
    [0.25, 0.5, 0.25, 0.0]
    """

    def __init__(self, n: int, probs: Any = None, *, logits: Any = None) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"{self._name}: n must be a whole number of trials ≥ 1, got {n!r}")
        self.n = int(n)
        given = self._take_either(probs, logits)
        self.batch_shape = given.shape
        if not self._from_logits:
            allowed = "must lie in [0, 1]; give logits by their name: logits=…"
            require(f"{self._name}: probs", given, lambda a: (a >= 0) & (a <= 1), allowed)

    @property
    def probs(self) -> Tensor:
        """The probability of a success."""
        (given,) = self._at()
        return sigmoid(given) if self._from_logits else given

    @property
    def logits(self) -> Tensor:
        """log p − log(1 − p)."""
        (given,) = self._at()
        return given if self._from_logits else log_or_minus_infinity(given) - log_complement(given)

    def log_both(self, given: Any) -> tuple[Any, Any]:
        """log p and log(1 − p), from the parameter as it was given."""
        if self._from_logits:
            return -softplus(-given), -softplus(given)
        return log_or_minus_infinity(given), log_complement(given)

    def both(self, given: Any) -> tuple[Any, Any]:
        """p and 1 − p."""
        return (sigmoid(given), sigmoid(-given)) if self._from_logits else (given, 1.0 - given)

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        (given,) = parameters
        integers, possible = whole(x, 0, self.n)
        k = astype(integers, given.dtype)
        terms = self._log_of_each_order(k, given)
        if self.n > 1:
            table = tensor(_log_binomials(self.n), dtype=terms.dtype, device=terms.device)
            terms = terms + take(table, integers)
        return where(possible, terms, -INFINITY)

    def _log_of_each_order(self, k: Tensor, given: Tensor) -> Tensor:
        """log pᵏ (1 − p)ⁿ⁻ᵏ."""
        if not self._from_logits:
            log_p, log_q = self.log_both(given)
            return multiply_or_zero(k, log_p) + multiply_or_zero(self.n - k, log_q)
        # p = σ(±s) with s = |logit|: n log σ(s) − (how often the less likely came) · s, where no digits cancel.
        success_likely = astype(greater_equal(detach(given), 0.0), given.dtype)
        s = (2.0 * success_likely - 1.0) * given  # and not abs, which has no second derivative at 0
        less_likely = k + success_likely * (self.n - 2.0 * k)
        return -self.n * softplus(-s) - multiply_or_zero(less_likely, s)

    def _all(self) -> Tensor:
        """log p(k) for k = 0 … n, on a last axis after the batch."""
        (given,) = self._at()
        counts = arange(self.n + 1, dtype=given.dtype, device=given.device)
        column = reshape(counts, (self.n + 1, *(1,) * len(self.batch_shape)))
        return moveaxis(self._log_prob(column, given), 0, -1)

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        log_p = self._all()
        return astype(rng.categorical(softmax(log_p), lengths, device=log_p.device), log_p.dtype)

    def entropy(self) -> Tensor:
        log_p = self._all()
        return -sum(exp(log_p) * finite(log_p), -1)

    @property
    def mean(self) -> Tensor:
        return multiply(self.n, self.probs)

    @property
    def variance(self) -> Tensor:
        p, q = self.both(*self._at())
        return multiply(self.n, p * q)


@functools.lru_cache(maxsize=32)
def _log_binomials(n: int) -> np.ndarray:
    """log C(n, k) for k = 0 … n."""
    return np.array([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)])


class Bernoulli(Binomial):
    """1 with probability σ(logits), else 0: one trial; draws are floating.

    >>> import tinygen as tg
    >>> round(tg.distributions.Bernoulli(logits=0.0).entropy().item(), 4)  # log 2
    0.6931
    """

    def __init__(self, probs: Any = None, *, logits: Any = None) -> None:
        super().__init__(1, probs, logits=logits)

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        if not self._from_logits:
            return super()._log_prob(x, *parameters)
        (logits,) = parameters
        success, failure = equal(detach(x), 1), equal(detach(x), 0)
        away = (1.0 - 2.0 * astype(success, logits.dtype)) * logits  # how far the logit speaks for the other value
        return where(success + failure, -softplus(away), -INFINITY)

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        p = self.probs
        return rng.bernoulli(p, lengths, dtype=p.dtype, device=p.device)


class Categorical(_WholeNumbers):
    """A class 0 … K − 1, with probabilities softmax(logits) on the last axis; draws are int64.

    Logits of −∞ are classes that never occur.  Mean and variance are those of the class's number.

    >>> import tinygen as tg
    >>> d = tg.distributions.Categorical([0.25, 0.75])
    >>> round(d.log_prob(1).item(), 4)
    -0.2877
    """

    def __init__(self, probs: Any = None, *, logits: Any = None) -> None:
        given = self._take_either(probs, logits)
        if given.ndim == 0 or given.shape[-1] == 0:
            raise ValueError(f"Categorical: needs classes on a last axis, got shape {given.shape}")
        self.classes, self.batch_shape = given.shape[-1], given.shape[:-1]
        if not self._from_logits:
            require_table("Categorical: probs", given, -1)

    @property
    def probs(self) -> Tensor:
        """Probabilities on the last axis."""
        (given,) = self._at()
        return softmax(given) if self._from_logits else given

    @property
    def logits(self) -> Tensor:
        """Log-probabilities on the last axis."""
        return self.log_all(*self._at())

    def log_all(self, given: Any) -> Tensor:
        """The log-probability of each class, from the parameter as it was given."""
        return log_softmax(given) if self._from_logits else log_or_minus_infinity(given)

    def _log_prob(self, x: Tensor, *parameters: Any) -> Tensor:
        log_p = self.log_all(parameters[0])
        classes, possible = whole(x, 0, self.classes - 1)
        if log_p.ndim == 1:
            return where(possible, take(log_p, classes), -INFINITY)
        shape = np.broadcast_shapes(classes.shape, log_p.shape[:-1])
        rows = broadcast_to(log_p, (*shape, self.classes))
        picked = take_along_axis(rows, expand_dims(broadcast_to(classes, shape), -1), -1)
        return where(possible, reshape(picked, shape), -INFINITY)

    def _sample(self, rng: random.Generator, lengths: tuple[int, ...]) -> Tensor:
        p = self.probs
        return rng.categorical(p, lengths, device=p.device)

    def entropy(self) -> Tensor:
        return -sum(self.probs * finite(self.logits), -1)

    @property
    def mean(self) -> Tensor:
        return sum(self.probs * self._numbers(), -1)

    @property
    def variance(self) -> Tensor:
        deviation = self._numbers() - expand_dims(self.mean, -1)
        return sum(self.probs * deviation * deviation, -1)

    def _numbers(self) -> Tensor:
        (given,) = self._at()
        return arange(self.classes, dtype=given.dtype, device=given.device)
