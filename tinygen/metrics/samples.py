"""Floor 7. How far a set of generated points is from a set of real ones.  Points are rows: (n, d) and (m, d)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinygen import backend, divergences, random
from tinygen.metrics.arrays import numbers, two_samples
from tinygen.metrics.pairs import Kernel, distance_blocks, distances, mean_between, mean_within
from tinygen.tensor import Tensor


class Estimate(NamedTuple):
    """A number and the standard deviation of its error."""

    value: float
    standard_error: float


def energy_distance(x: Any, y: Any, *, unbiased: bool = True) -> float:
    """2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, which is 0 for equal distributions only (Székely & Rizzo 2013).

    The unbiased estimate may fall below 0; with ``unbiased=False`` it is that of the samples' own distributions,
    never negative.
    """
    first, second = two_samples("energy_distance", x, y, least=2)
    return 2.0 * mean_between(distances, first, second) - _within(distances, first, second, unbiased)


def squared_mmd(x: Any, y: Any, kernel: Kernel | None = None, *, unbiased: bool = True) -> float:
    """Squared maximum mean discrepancy E k(X, X') + E k(Y, Y') − 2 E k(X, Y) (Gretton et al. 2012, lemma 6).

    ``kernel`` takes points (n, d) and (m, d) to a matrix (n, m); without one it is Gaussian, with the median
    distance of all points as its width.  The unbiased estimate may fall below 0.
    """
    first, second = two_samples("squared_mmd", x, y, least=2)
    if kernel is None:
        kernel = gaussian_kernel(median_distance(np.concatenate([first, second])))
    return _within(kernel, first, second, unbiased) - 2.0 * mean_between(kernel, first, second)


def _within(kernel: Kernel, x: np.ndarray, y: np.ndarray, unbiased: bool) -> float:
    return mean_within(kernel, x, unbiased) + mean_within(kernel, y, unbiased)


def gaussian_kernel(width: float) -> Kernel:
    """exp(−‖x − y‖² / (2 width²))."""
    if not width > 0:
        raise ValueError(f"gaussian_kernel: width must be positive, got {width}")
    return lambda x, y: np.exp(-0.5 * (distances(x, y) / width) ** 2)


def polynomial_kernel(degree: int = 3, offset: float = 1.0) -> Kernel:
    """(⟨x, y⟩ / d + offset)^degree, for points of d dimensions."""
    return lambda x, y: (x @ y.T / x.shape[1] + offset) ** degree


def median_distance(x: Any, most: int = 1000) -> float:
    """The median distance of two different points of x, of at most ``most`` of them, taken evenly."""
    points = numbers("median_distance", "x", x, 2)
    if len(points) < 2:
        raise ValueError(f"median_distance: needs 2 points or more, got {len(points)}")
    points = points[:: -(-len(points) // most)]
    return float(np.median(distances(points, points)[np.triu_indices(len(points), 1)]))


def kid(
    rng: random.Generator | None, x_features: Any, y_features: Any, *, subsets: int = 10, degree: int = 3
) -> Estimate:
    """Kernel Inception distance: the squared MMD of features under a polynomial kernel (Bińkowski et al. 2018).

    Both sets are shuffled and cut into ``subsets`` disjoint parts, of which each gives an unbiased estimate; the
    value is their mean.  They are independent, so that the standard error is honest: subsets drawn from the same
    points again and again, as in the paper, would make it too small.
    """
    x, y = two_samples("kid", x_features, y_features)
    if subsets < 2 or min(len(x), len(y)) < 2 * subsets:
        raise ValueError(f"kid: needs 2 subsets or more of 2 points or more, got {subsets} of {len(x)} and {len(y)}")
    rng = rng or random.default()
    parts = [np.array_split(z[rng.permutation(len(z), device="cpu").numpy()], subsets) for z in (x, y)]
    kernel = polynomial_kernel(degree)
    estimates = [squared_mmd(a, b, kernel) for a, b in zip(*parts, strict=True)]
    return Estimate(float(np.mean(estimates)), float(np.std(estimates, ddof=1)) / math.sqrt(subsets))


class DensityCoverage(NamedTuple):
    """Fidelity and diversity of generated points."""

    density: float
    coverage: float


def density_coverage(real: Any, generated: Any, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020), by balls around real points that reach to their k-th neighbour.

    Density: in how many balls a generated point lies, on average, divided by k (1 for equal distributions, more
    where generated points crowd).  Coverage: the share of balls that hold a generated point (for equal distributions
    and many points 1 − 2⁻ᵏ).
    """
    x, y = two_samples("density_coverage", real, generated)
    if not 1 <= k < len(x):
        raise ValueError(f"density_coverage: k must lie between 1 and {len(x) - 1}, got {k}")
    # The nearest neighbour of a real point is itself, at distance 0: the k-th other one is at place k.
    radii = np.concatenate([np.partition(block, k, axis=1)[:, k] for _, block in distance_blocks(x, x)])
    inside = 0
    covered = 0
    for place, block in distance_blocks(x, y):
        holds = block <= radii[place, None]
        inside += int(np.count_nonzero(holds))
        covered += int(np.count_nonzero(holds.any(axis=1)))
    return DensityCoverage(inside / (k * len(y)), covered / len(x))


def wasserstein_1d(x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> float:
    """Wasserstein-1 distance of two weighted samples on the line, exactly (OT-5): see ``tg.divergences``."""
    given = {"x": x, "y": y, "x_weights": x_weights, "y_weights": y_weights}
    with backend.device("cpu"):
        tensors = [None if a is None else Tensor(numbers("wasserstein_1d", name, a, 1)) for name, a in given.items()]
        return float(divergences.wasserstein_1d_samples(*tensors))
