"""Metrics against scipy, brute force over all pairs, and the values that theory gives for known distributions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from arrays import on
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import metrics
from tinygen.metrics import pairs

SEEDS = st.integers(0, 9999)
EXACT = 1e-11  # the same sums of some hundred terms in another order


def clouds(seed: int, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points; every third seed on a lattice, so that points and distances coincide."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return rng.integers(-1, 2, (n, d)).astype(float), rng.integers(-1, 2, (m, d)).astype(float)
    return rng.normal(size=(n, d)), 0.5 + rng.normal(size=(m, d))


@given(seed=SEEDS, n=st.integers(2, 12), m=st.integers(2, 12), d=st.sampled_from([1, 2, 5, 40]), unbiased=st.booleans())
def test_energy_and_mmd_by_brute_force(seed: int, n: int, m: int, d: int, unbiased: bool, device: str) -> None:
    x, y = clouds(seed, n, m, d)

    def expected(kernel: Callable[[np.ndarray, np.ndarray], float]) -> float:
        """E k(X, X') + E k(Y, Y') − 2 E k(X, Y), pair by pair."""

        def within(z: np.ndarray) -> float:
            chosen = itertools.permutations(z, 2) if unbiased else itertools.product(z, z)
            return float(np.mean([kernel(a, b) for a, b in chosen]))

        return within(x) + within(y) - 2 * float(np.mean([kernel(a, b) for a in x for b in y]))

    def close(found: float, wanted: float, precision: float) -> None:
        assert abs(found - wanted) < precision * max(1.0, abs(wanted))

    pair = on(device, x), on(device, y)
    # In 40 dimensions a distance 0 is a root of a rounding error: 1e-8 of the norms.
    rough = EXACT if d <= 16 else 1e-6
    distance = expected(lambda a, b: -float(np.linalg.norm(a - b)))
    close(metrics.energy_distance(*pair, unbiased=unbiased), distance, rough)
    gaussian = expected(lambda a, b: math.exp(-((a - b) ** 2).sum() / (2 * 1.5**2)))
    close(metrics.squared_mmd(*pair, metrics.gaussian_kernel(1.5), unbiased=unbiased), gaussian, EXACT)
    cubic = expected(lambda a, b: (a @ b / d + 1) ** 3)
    close(metrics.squared_mmd(*pair, metrics.polynomial_kernel(), unbiased=unbiased), cubic, EXACT)
    if d == 1 and not unbiased:
        close(metrics.energy_distance(*pair, unbiased=False), scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2, 1e-9)


@pytest.mark.host
@given(seed=SEEDS, rows=st.integers(1, 9))
def test_blocks_change_nothing(seed: int, rows: int) -> None:
    """Sums over pairs are the same whatever the size of a block, the diagonal included."""
    x, y = clouds(seed, 8, 6, 2)
    whole = metrics.energy_distance(x, y), metrics.density_coverage(x, y, k=2)
    before, pairs._BLOCK = pairs._BLOCK, rows * 6
    try:
        found = metrics.energy_distance(x, y), metrics.density_coverage(x, y, k=2)
    finally:
        pairs._BLOCK = before
    assert abs(found[0] - whole[0]) < EXACT
    assert found[1] == whole[1]


@pytest.mark.host
@given(seed=SEEDS, d=st.sampled_from([1, 3, 16, 17, 60]))
def test_distances(seed: int, d: int) -> None:
    x, y = clouds(seed, 7, 5, d)
    np.testing.assert_allclose(
        pairs.distances(x, y), scipy.spatial.distance.cdist(x, y), atol=1e-6 if d > 16 else 1e-14
    )
    median = np.median(scipy.spatial.distance.pdist(x))
    assert abs(metrics.median_distance(x) - median) < (1e-6 if d > 16 else 1e-14)


@pytest.mark.host
def test_unbiased() -> None:
    """Averaged over 400 pairs of samples of one distribution the estimates are 0 within 4 standard errors.

    A false alarm has probability 6e-5; the seed is fixed.
    """
    rng = np.random.default_rng(0)
    for estimate in (metrics.energy_distance, metrics.squared_mmd):
        found = [estimate(rng.normal(size=(6, 2)), rng.normal(size=(8, 2))) for _ in range(400)]
        assert abs(np.mean(found)) < 4 * np.std(found) / 20
    # and they converge to the truth: E|X−Y| of normals on the line, whose means are 1 apart
    x, y = rng.normal(size=(3000, 1)), 1 + rng.normal(size=(3000, 1))
    truth = 2 * (2 * math.exp(-0.25) / math.sqrt(math.pi) + math.erf(0.5)) - 4 / math.sqrt(math.pi)
    assert abs(metrics.energy_distance(x, y) - truth) < 0.1  # a standard error is about 0.03


@given(seed=SEEDS)
@settings(max_examples=10)
def test_kid(seed: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(60, 4)), 0.3 + rng.normal(size=(50, 4))
    found = metrics.kid(tg.random.Generator(seed), on(device, x), on(device, y), subsets=5)
    again = metrics.kid(tg.random.Generator(seed), x, y, subsets=5)
    assert found == again
    stream = tg.random.Generator(seed)
    first, second = (z[stream.permutation(len(z)).numpy()] for z in (x, y))
    parts = [
        metrics.squared_mmd(first[12 * i : 12 * i + 12], second[10 * i : 10 * i + 10], metrics.polynomial_kernel())
        for i in range(5)
    ]
    assert abs(found.value - np.mean(parts)) < EXACT
    assert abs(found.standard_error - scipy.stats.sem(parts)) < EXACT


@pytest.mark.host
def test_kid_standard_error_is_honest() -> None:
    """Of 100 estimates for equal distributions, about 95 lie within 2.26 standard errors of 0 (t with 9 degrees)."""
    rng = np.random.default_rng(1)
    found = [metrics.kid(tg.random.Generator(i), *rng.normal(size=(2, 200, 3))) for i in range(100)]
    inside = sum(abs(e.value) < 2.26 * e.standard_error for e in found)
    assert inside >= 86  # 95 expected, standard deviation 2.2: four of them


@given(seed=SEEDS, n=st.integers(3, 15), m=st.integers(1, 15), k=st.integers(1, 2), d=st.integers(1, 3))
def test_density_and_coverage_by_brute_force(seed: int, n: int, m: int, k: int, d: int, device: str) -> None:
    x, y = clouds(seed, n, m, d)
    radii = [sorted(math.dist(a, b) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)]
    holds = [[math.dist(a, b) <= r * (1 + 1e-15) for b in y] for a, r in zip(x, radii, strict=True)]
    found = metrics.density_coverage(on(device, x), on(device, y), k)
    assert abs(found.density - np.sum(holds) / (k * m)) < EXACT
    assert abs(found.coverage - np.mean(np.any(holds, axis=1))) < EXACT


@pytest.mark.host
def test_density_and_coverage_of_equal_distributions() -> None:
    """Density 1 and coverage 1 − 2⁻ᵏ (Naeem et al., lemma 1 and 2); collapse keeps density, loses coverage."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3000, 2))
    found = metrics.density_coverage(x, y, k=5)
    assert abs(found.density - 1.0) < 0.05  # five standard errors
    assert abs(found.coverage - (1 - 2.0**-5)) < 0.02
    collapsed = metrics.density_coverage(x, 0.05 * y, k=5)
    assert collapsed.density > 0.8
    assert collapsed.coverage < 0.2


# --- modes -------------------------------------------------------------------------------------------------------

ANGLES = 2 * np.pi * np.arange(8) / 8
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


@given(seed=SEEDS, kept=st.integers(1, 8))
@settings(max_examples=20)
def test_modes_of_a_ring(seed: int, kept: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    mode = np.concatenate([np.arange(kept), rng.integers(0, kept, 300)])
    offset = rng.uniform(-0.02, 0.02, (len(mode), 2))
    samples = on(device, np.concatenate([RING[mode] + offset, np.zeros((100, 2)), 2 * RING[:1]]))
    centres = on(device, RING)
    assert metrics.modes_covered(samples, centres, 0.01) == kept
    assert abs(metrics.high_quality_share(samples, centres, 0.01) - len(mode) / (len(mode) + 101)) < EXACT
    near = on(device, RING[mode] + offset)
    counts = np.bincount(mode, minlength=8)
    np.testing.assert_array_equal(metrics.mode_histogram(near, centres), counts)
    shares = counts / len(mode)
    assert abs(metrics.mode_kl(near, centres) - scipy.stats.entropy(shares, np.full(8, 0.125))) < EXACT
    weights = rng.dirichlet(np.full(8, 5.0))
    assert abs(metrics.mode_kl(near, centres, on(device, weights)) - scipy.stats.entropy(shares, weights)) < EXACT


@pytest.mark.host
def test_ceiling_of_real_data() -> None:
    """98.89 % in the plane (MODELS §2.1), as χ² says in any dimension, and as real samples show."""
    assert round(metrics.high_quality_ceiling(), 4) == 0.9889
    for d, within in itertools.product((1, 2, 3, 4, 7, 50), (0.5, 3.0, 6.0)):
        assert abs(metrics.high_quality_ceiling(d, within) - scipy.stats.chi2(d).cdf(within**2)) < 1e-12
    rng = np.random.default_rng(3)
    real = RING[rng.integers(0, 8, 100_000)] + 0.01 * rng.normal(size=(100_000, 2))
    share = metrics.high_quality_share(real, RING, 0.01)
    assert abs(share - metrics.high_quality_ceiling()) < 4 * math.sqrt(0.9889 * 0.0111 / 100_000)  # standard errors
    assert metrics.mode_kl(np.zeros((5, 2)) + RING[3], RING) == pytest.approx(math.log(8), rel=1e-15)


# --- order -------------------------------------------------------------------------------------------------------


@given(seed=SEEDS, n=st.integers(1, 12), m=st.integers(1, 12), ties=st.booleans())
def test_auroc_by_brute_force(seed: int, n: int, m: int, ties: bool, device: str) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, n + m).astype(float) if ties else rng.normal(size=n + m)
    labels = rng.permutation(np.repeat([1, 0], [n, m]))
    wins = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert abs(metrics.auroc(on(device, scores), on(device, labels)) - np.mean(wins)) < EXACT
    assert abs(metrics.auroc(scores, labels == 1) + metrics.auroc(-scores, labels) - 1.0) < EXACT
    u = scipy.stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert abs(metrics.auroc(scores, labels) - u / (n * m)) < EXACT


@given(seed=SEEDS, n=st.integers(3, 20), ties=st.booleans())
def test_spearman(seed: int, n: int, ties: bool, device: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = (np.append(rng.integers(0, 3, n), [0, 1]).astype(float) if ties else rng.normal(size=n) for _ in range(2))
    found = metrics.spearman(on(device, x), on(device, y))
    assert abs(found - scipy.stats.spearmanr(x, y).statistic) < EXACT
    assert abs(metrics.spearman(x, np.exp(x)) - 1.0) < EXACT


@given(seed=SEEDS, n=st.integers(1, 9), m=st.integers(1, 9), weighted=st.booleans())
def test_wasserstein(seed: int, n: int, m: int, weighted: bool, device: str) -> None:
    x, y = (z[:, 0] for z in clouds(seed, n, m, 1))
    rng = np.random.default_rng(seed)
    weights = [rng.dirichlet(np.ones(k)) for k in (n, m)] if weighted else []
    found = metrics.wasserstein_1d(*[on(device, a) for a in (x, y, *weights)])
    assert isinstance(found, float)
    assert abs(found - scipy.stats.wasserstein_distance(x, y, *weights)) < EXACT


# --- likelihoods and words ---------------------------------------------------------------------------------------


@given(nats=st.floats(-1e4, 1e4), pixels=st.integers(1, 3072))
def test_bits_per_dimension(nats: float, pixels: int, device: str) -> None:
    """(NLL / D + log 256) / log 2 for pixels / 256 with noise (MODELS §1.3); guessing among 256 levels is 8 bits."""
    expected = (nats / pixels + math.log(256)) / math.log(2)
    found = metrics.bits_per_dimension(on(device, np.array([nats])), pixels, bin_width=1 / 256)
    np.testing.assert_allclose(found, [expected], rtol=1e-12, atol=1e-12)
    assert metrics.bits_per_dimension(pixels * math.log(256), pixels) == pytest.approx(8.0, rel=1e-14)


@given(seed=SEEDS, words=st.integers(4, 30), d=st.integers(1, 6))
def test_analogies_by_brute_force(seed: int, words: int, d: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(words, d)) * 10.0 ** rng.uniform(-1, 1, (words, 1))
    questions = rng.integers(0, words, (8, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = metrics.analogies(on(device, vectors), on(device, questions))
    for (a, b, c), answer in zip(questions, answers, strict=True):
        target = unit[b] - unit[a] + unit[c]
        nearness = {w: float(unit[w] @ target) for w in range(words) if w not in (a, b, c)}
        assert answer in nearness
        assert nearness[answer] >= max(nearness.values()) - EXACT  # in one dimension many are equally near


def test_analogy_accuracy(device: str) -> None:
    """man : king :: woman : queen on a grid of gender and royalty, and one question that is answered wrong."""
    vectors = on(
        device, np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 1.0, 1.0], [0.0, -1.0, 0.2]])
    )
    questions = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [1, 0, 3, 2], [0, 1, 2, 4]])
    assert metrics.analogy_accuracy(vectors, on(device, questions)) == 0.75


WRONG: dict[str, Callable[[], Any]] = {
    "points of the same dimension": lambda: metrics.energy_distance(np.zeros((3, 2)), np.zeros((3, 1))),
    "must have 2 axes": lambda: metrics.squared_mmd(np.zeros(3), np.zeros(3)),
    "2 points or more": lambda: metrics.energy_distance(np.zeros((1, 2)), np.zeros((3, 2))),
    "1 values that are NaN": lambda: metrics.modes_covered([[np.nan]], [[0.0]], 1.0),
    "std and within must be positive": lambda: metrics.high_quality_share([[0.0]], [[0.0]], 0.0),
    "mode_kl: weights must be 2 positive": lambda: metrics.mode_kl([[0.0]], [[0.0], [1.0]], [1.0, 0.0]),
    "2 subsets or more": lambda: metrics.kid(tg.random.Generator(0), np.zeros((9, 1)), np.zeros((90, 1))),
    "width must be positive": lambda: metrics.gaussian_kernel(0.0),
    "k must lie between 1 and 2": lambda: metrics.density_coverage(np.zeros((3, 1)), np.zeros((3, 1)), 3),
    "labels must be 0 and 1, and both": lambda: metrics.auroc([0.1, 0.2], [1, 1]),
    r"scores \(2,\) and labels \(3,\)": lambda: metrics.auroc([0.1, 0.2], [1, 1, 0]),
    "neither may be constant": lambda: metrics.spearman([1.0, 1.0], [1.0, 2.0]),
    "must be positive": lambda: metrics.bits_per_dimension(1.0, 0),
    "has the vector 0": lambda: metrics.analogies(np.eye(4, 3), [[0, 1, 2]]),
    "leave no answer": lambda: metrics.analogies(np.eye(3), [[0, 1, 2]]),
    "name words 0 … 9": lambda: metrics.analogies(np.eye(4), [[0, 1, 9]]),
    "whole numbers": lambda: metrics.analogies(np.eye(4), [[0.0, 1.0, 2.0]]),
    "one of their own words, the first in row 1": lambda: metrics.analogy_accuracy(
        np.eye(4), [[0, 1, 2, 3], [0, 1, 2, 2]]
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_raises(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
