"""Floor 7. Does a generator cover all modes of a mixture of equal round Gaussians, and does it stay near them?

A sample is of *high quality* within 3 standard deviations of its nearest mode; a mode is *covered* by one sample
of high quality (Srivastava et al. 2017, VEEGAN).  Real data in the plane reach a share of 1 − e^(−9/2) = 98.89 %,
not 100 %: more than the ceiling means modes that are too narrow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.metrics.arrays import numbers, two_samples
from tinygen.metrics.pairs import distance_blocks


def _nearest(metric: str, samples: Any, centres: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each sample: the number of its nearest centre (the first of equal ones), and the distance to it."""
    points, modes = two_samples(metric, samples, centres)
    found = [(block.argmin(axis=1), block.min(axis=1)) for _, block in distance_blocks(points, modes)]
    return np.concatenate([mode for mode, _ in found]), np.concatenate([distance for _, distance in found])


def _near(metric: str, samples: Any, centres: Any, std: float, within: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each sample, and whether it is within ``within`` standard deviations."""
    if not (std > 0 and within > 0):
        raise ValueError(f"{metric}: std and within must be positive, got {std} and {within}")
    mode, distance = _nearest(metric, samples, centres)
    return mode, distance <= within * std


def modes_covered(samples: Any, centres: Any, std: float, within: float = 3.0) -> int:
    """How many of the modes (K, d) have a sample (n, d) of high quality.

    >>> modes_covered([[0.0], [0.2], [5.0]], centres=[[0.0], [1.0]], std=0.1)
    1
    """
    mode, near = _near("modes_covered", samples, centres, std, within)
    return len(np.unique(mode[near]))


def high_quality_share(samples: Any, centres: Any, std: float, within: float = 3.0) -> float:
    """The share of samples of high quality, from 0 to 1; compare it with :func:`high_quality_ceiling`."""
    _, near = _near("high_quality_share", samples, centres, std, within)
    return float(near.mean())


def high_quality_ceiling(dimension: int = 2, within: float = 3.0) -> float:
    """The share that real data have, P(χ²_dimension ≤ within²): for modes that lie far apart.

    >>> round(high_quality_ceiling(), 4)
    0.9889
    """
    if dimension < 1 or not within > 0:
        raise ValueError(f"high_quality_ceiling: dimension and within must be positive, got {dimension} and {within}")
    t, odd = 0.5 * within * within, dimension % 2
    # Upper incomplete gamma Q(s, t): Q(½, t) = erfc √t, Q(1, t) = e⁻ᵗ, and Q(s + 1, t) = Q(s, t) + tˢ e⁻ᵗ / Γ(s + 1).
    outside = math.erfc(math.sqrt(t)) if odd else math.exp(-t)
    for s in np.arange(0.5 if odd else 1.0, 0.5 * dimension):
        outside += math.exp(s * math.log(t) - t - math.lgamma(s + 1.0))
    return 1.0 - outside


def mode_histogram(samples: Any, centres: Any) -> np.ndarray:
    """How many samples each of the K centres is the nearest of: (K,) whole numbers."""
    mode, _ = _nearest("mode_histogram", samples, centres)
    return np.bincount(mode, minlength=len(centres))


def mode_kl(samples: Any, centres: Any, weights: Any = None) -> float:
    """KL of the shares of the samples at each mode from the true ``weights`` (uniform without), in nats (DIV-1).

    It is finite also where modes are missed: log K for a generator that has collapsed to one of K equal modes.
    """
    shares = mode_histogram(samples, centres) / len(samples)
    truth = np.full(len(shares), 1.0 / len(shares)) if weights is None else numbers("mode_kl", "weights", weights, 1)
    if truth.shape != shares.shape or (truth <= 0).any() or abs(truth.sum() - 1.0) > 1e-5:
        raise ValueError(f"mode_kl: weights must be {len(shares)} positive numbers that sum to 1, got {truth}")
    found = shares > 0
    return float(np.sum(shares[found] * np.log(shares[found] / truth[found])))
