"""Mixture of K products of binomials, fitted by expectation-maximisation: the classical model of images like digits.

    p(x) = Σ_k w_k Π_d C(n, x_d) p_kd^{x_d} (1 − p_kd)^{n − x_d},     x_d ∈ {0, …, n}

n = ``levels``; 1 gives Bernoullis, black and white.  It is a VAE whose latent is one of K values and whose posterior
is exact, and so the baseline that a VAE has to beat.

Source: Dempster, Laird & Rubin 1977 for EM; Bishop 2006, section 9.3.3, for Bernoullis.  All terms are in nats per
image.  Shapes: images (N, D) with values k / levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen.distributions import Binomial
from tinygen.probability import require
from tinygen.random import Generator
from tinygen.tensor import Tensor


class BernoulliMixture(NamedTuple):
    """Logarithms of the weights (K,), and probabilities of ink (K, D), which are the means of the components."""

    log_weights: Tensor
    probs: Tensor
    levels: int

    def log_joint(self, x: Tensor) -> Tensor:
        """log w_k p(x | k) without the binomial coefficients, which do not depend on k: (N, K)."""
        successes = x @ tg.log(self.probs).T
        failures = (1.0 - x) @ tg.log1p(-self.probs).T
        return self.log_weights + self.levels * (successes + failures)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of each image (N,)."""
        # The binomial coefficients, or −∞ for what is no count, from the distribution with p = ½.
        even = Binomial(self.levels, 0.5).log_prob(self.levels * x)
        coefficients = tg.sum(even + self.levels * math.log(2.0), axis=1)
        return tg.logsumexp(self.log_joint(x), axis=1) + coefficients


@tg.no_grad()
def fit(
    rng: Generator, x: Tensor, components: int, *, levels: int = 1, smoothing: float = 0.1, rounds: int = 100
) -> BernoulliMixture:
    """EM from random images.

    ``smoothing`` s > 0 adds s successes and s failures to each pixel of each component: with the weight of a
    Beta(1 + s, 1 + s) prior, a pixel that was never inked is unlikely, and not impossible.
    """
    require("fit: the images x", x, lambda a: (a >= 0) & (a <= 1), "must be shares of ink between 0 and 1")
    if not 0 < components <= len(x) or smoothing <= 0:
        raise ValueError(f"fit: needs 0 < components ≤ {len(x)} and smoothing > 0, got {components} and {smoothing}")
    chosen = tg.take(x, rng.permutation(len(x), device=x.device)[:components], 0)
    unlike = rng.uniform(chosen.shape, 0.1, 0.4, dtype=x.dtype, device=x.device)  # equal images would stay equal
    mixture = BernoulliMixture(
        tg.zeros_like(x[:components, 0]) - tg.log(tg.full_like(x[0, 0], components)),
        0.5 * chosen + unlike,  # between 0 and 1
        levels,
    )
    for _ in range(rounds):
        mixture = improve(mixture, x, smoothing)
    return mixture


def fit_best(
    rng: Generator,
    x: Tensor,
    judged: Tensor,
    components: int,
    *,
    levels: int = 1,
    smoothings: Sequence[float] = (0.03, 0.1, 0.3),
    rounds: int = 50,
) -> BernoulliMixture:
    """The fit whose smoothing is best on the very images that it will be judged by: an advantage over its rivals."""
    fitted = [fit(rng.spawn(f"{s}"), x, components, levels=levels, smoothing=s, rounds=rounds) for s in smoothings]
    reached = [float(tg.mean(mixture.log_prob(judged))) for mixture in fitted]
    if any(math.isnan(log_p) for log_p in reached):
        raise ValueError(f"fit_best: the mean log p(x) with smoothings {tuple(smoothings)} is {reached}; check judged")
    return fitted[reached.index(max(reached))]


def improve(mixture: BernoulliMixture, x: Tensor, smoothing: float) -> BernoulliMixture:
    """One round: who made each image, and what they would make of their images.

    Never lowers Σ log p(x) + Σ s log p_kd (1 − p_kd), the posterior of the parameters.
    """
    responsibilities = tg.softmax(mixture.log_joint(x), axis=1)  # E: p(k | x), (N, K)
    count = tg.sum(responsibilities, axis=0)
    # Both sums are rounded alike: one minus the other over the count would lose what is left of a pixel always inked.
    ink = mixture.levels * (responsibilities.T @ x) + smoothing
    paper = mixture.levels * (responsibilities.T @ (1.0 - x)) + smoothing
    largest = 1.0 - 0.5 * float(np.finfo(x.dtype).eps)  # the largest number below 1: log(1 − p) must not be −∞
    probs = tg.minimum(ink / (ink + paper), largest)  # M
    log_weights = tg.log(tg.maximum(count, 1e-30)) - tg.log(tg.sum(count))  # a component may lose all its images
    return BernoulliMixture(log_weights, probs, mixture.levels)
