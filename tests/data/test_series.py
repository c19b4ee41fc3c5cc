"""Series, the causal field and the planted grammar: exact conditionals, entropies and statistics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from arrays import close, host
from double import no_sync
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data import Autoregression, CausalField, PlantedGrammar, Series, SineProcess, ar1, resonator
from tinygen.random import Generator

PROCESSES: dict[str, Series] = {
    "resonator": resonator(),
    "ar1": ar1(),
    "order 3": Autoregression((0.5, -0.4, 0.3), 0.7),
    "sine": SineProcess(),
}


@st.composite
def stationary(draw: st.DrawFn) -> Autoregression:
    """Any stationary process of order 1 to 4, from its roots inside the circle."""
    radii = draw(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=2))
    real = draw(st.booleans())
    roots: list[complex] = []
    for r in radii:
        angle = 0.0 if real else draw(st.floats(0.1, 3.0))
        roots += [r] if real else [r * np.exp(1j * angle), r * np.exp(-1j * angle)]
    return Autoregression(tuple(float(c) for c in -np.poly(roots).real[1:]), draw(st.floats(0.1, 2.0)))


def log_normal(x: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """log N(x; 0, C) of rows, written out."""
    quadratic = (x * np.linalg.solve(covariance, x.T).T).sum(1)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])


@pytest.mark.host
@given(stationary(), st.integers(1, 12), st.integers(0, 1000))
def test_autoregression_is_the_gaussian_of_its_covariance(p: Autoregression, length: int, seed: int) -> None:
    covariance = p.covariance(length)
    # the process repeats its own law: C[t, s] − Σ φ_i C[t − i, s] = 0 for s < t
    for t in range(p.order, length):
        past = sum(c * covariance[t - 1 - i, :t] for i, c in enumerate(p.coefficients))
        np.testing.assert_allclose(covariance[t, :t], past, rtol=1e-9, atol=1e-9 * covariance[0, 0])
    x = np.random.default_rng(seed).normal(size=(5, length))
    # solves with covariances of condition up to 1e6
    np.testing.assert_allclose(p.log_prob(x).numpy(), log_normal(x, covariance), rtol=1e-7)
    exact = 0.5 * np.linalg.slogdet(2 * np.pi * math.e * covariance)[1]
    assert p.entropy(length) == pytest.approx(exact, rel=1e-7, abs=1e-7)
    assert p.entropy(50) - p.entropy(49) == pytest.approx(p.entropy_rate)


@pytest.mark.host
@pytest.mark.parametrize("name", ["resonator", "ar1", "order 3"])
def test_autoregression_samples_are_linear_in_the_noise_with_the_right_covariance(name: str) -> None:
    """The sampler is x = A ε; A is read off unit vectors, and A Aᵀ must be the covariance, over several blocks."""
    p = PROCESSES[name]
    assert isinstance(p, Autoregression)
    length = 150

    class Units(Generator):
        def normal(self, shape: object, **options: object) -> tg.Tensor:
            return tg.eye(length, dtype=np.float64)

    factor = p.sample(Units(0), length, length, dtype=np.float64).numpy().T
    covariance = p.covariance(length)
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-8, atol=1e-8 * covariance[0, 0])
    assert not np.triu(factor, 1).any()  # no value depends on later noise


@pytest.mark.host
def test_resonator_is_as_published() -> None:
    p = resonator()
    np.testing.assert_allclose(p.coefficients, (2.673, -3.371, 2.459, -0.867), atol=5e-4)
    assert p.entropy_rate == pytest.approx(-0.8836, abs=5e-5)
    assert math.sqrt(p.covariance(1)[0, 0]) == pytest.approx(1.19, abs=0.01)


@pytest.mark.host
def test_distances_of_the_distillation_exercise() -> None:
    """AR(1), T = 16: KL(N(0, I) ‖ teacher) = 36.42 and the best diagonal student's 4.984 (research/RECIPES.md)."""
    covariance = ar1(0.9, 0.5).covariance(16)
    precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    assert 0.5 * (np.trace(precision) - 16 + log_det) == pytest.approx(36.42, abs=5e-3)
    assert 0.5 * (np.log(np.diag(precision)).sum() + log_det) == pytest.approx(4.984, abs=5e-4)


@pytest.mark.parametrize("name", list(PROCESSES))
@pytest.mark.parametrize("length", [1, 3, 70])
def test_samples_agree_with_log_prob(name: str, length: int, device: str) -> None:
    p, n = PROCESSES[name], 2000
    with no_sync():
        x = p.sample(Generator(4), n, length)
        log_p = p.log_prob(x)
    assert (x.shape, x.dtype, log_p.dtype, x.device) == ((n, length), np.float32, np.float32, device)
    surprise = -host(log_p).astype(np.float64)
    assert abs(surprise.mean() - p.entropy(length)) < 3 * surprise.std() / math.sqrt(n)


@pytest.mark.parametrize("name", list(PROCESSES))
def test_conditionals_look_back_only_and_are_differentiable(name: str, device: str) -> None:
    p = PROCESSES[name]
    x = tg.tensor(host(p.sample(Generator(1), 3, 9)).astype(np.float64), requires_grad=True)
    mean, sd = p.conditional(x)
    assert mean.shape == sd.shape == (3, 9)
    for t in range(9):
        (g,) = tg.grad(mean[:, t].sum() + tg.log(sd[:, t]).sum() + 0.0 * x.sum(), [x])
        assert not host(g)[:, t:].any()
        assert t == 0 or host(g)[:, t - 1].all()
    residual = (x - mean) / sd
    expected = host(tg.sum(-0.5 * tg.square(residual) - tg.log(sd), axis=1)) - 4.5 * math.log(2 * math.pi)
    close(host(p.log_prob(x)), expected)


@pytest.mark.host
def test_sine_entropy_by_quadrature() -> None:
    """Two values: H(x₁) + E H(x₂ | x₁), the expectation by Gauss–Hermite nodes instead of a grid."""
    p = SineProcess()

    def step(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 1.5 * np.sin(1.5 * x), 0.2 + 0.3 / (1 + np.exp(-2 * x))

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean, sd = step(np.array(0.5))
    expected = 2 * 0.5 * math.log(2 * math.pi * math.e) + np.log(sd)
    expected += weights @ np.log(step(mean + sd * nodes)[1]) / weights.sum()
    assert p.entropy(2) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.host
def test_series_refuse_wrong_use() -> None:
    for coefficients in ((1.0,), (0.5, 0.6), (-2.0,)):
        with pytest.raises(ValueError, match="not stationary"):
            Autoregression(coefficients, 1.0)
    for coefficients, sd in (((), 1.0), ((0.5,), 0.0)):
        with pytest.raises(ValueError, match="positive sd"):
            Autoregression(coefficients, sd)
    for p in PROCESSES.values():
        for x in (tg.zeros(3), tg.zeros((2, 0)), tg.zeros((2, 3), dtype=np.int64)):
            with pytest.raises(ValueError, match=r"\(N, T\)"):
                p.log_prob(x)
        with pytest.raises(ValueError, match="length"):
            p.sample(Generator(0), 2, 0)
        with pytest.raises(ValueError, match="length"):
            p.entropy(0)


# --- the causal field --------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize(("coupling", "nats"), [(0.5, 0.6415), (1.0, 0.51659), (1.5, 0.37559)])
def test_field_entropy_as_published(coupling: float, nats: float) -> None:
    assert CausalField(8, coupling).entropy / 64 == pytest.approx(nats, abs=5e-5)


@pytest.mark.host
@pytest.mark.parametrize(("side", "coupling"), [(1, 1.0), (2, 0.7), (3, 1.0), (4, -1.3)])
def test_field_by_enumeration(side: int, coupling: float) -> None:
    """All 2^(side²) fields: probabilities sum to 1 and give the entropy."""
    field = CausalField(side, coupling)
    x = np.array(list(itertools.product([0.0, 1.0], repeat=side * side))).reshape(-1, 1, side, side)
    log_p = field.log_prob(x).numpy()
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-12)
    assert -(np.exp(log_p) * log_p).sum() == pytest.approx(field.entropy, abs=1e-12)


def test_field_samples(device: str) -> None:
    field, n = CausalField(3, 1.0), 4000
    with no_sync():
        x = field.sample(Generator(6), n)
        log_p = field.log_prob(x)
    assert (x.shape, x.dtype, x.device) == ((n, 1, 3, 3), np.float32, device)
    pixels = host(x)
    assert set(np.unique(pixels)) == {0.0, 1.0}
    every = np.array(list(itertools.product([0.0, 1.0], repeat=9)))
    p = np.exp(host(field.log_prob(every.reshape(-1, 1, 3, 3))))
    counts = np.bincount((pixels.reshape(n, 9) @ 2.0 ** np.arange(8, -1, -1)).astype(int), minlength=512)
    chi2 = ((counts - n * p) ** 2 / (n * p)).sum()
    assert abs(chi2 - 511) < 4 * math.sqrt(2 * 511)  # mean and standard deviation of χ² with 511 degrees of freedom
    assert log_p.shape == (n,)


@pytest.mark.host
def test_field_logits_look_left_and_up_only() -> None:
    field = CausalField(4)
    x = tg.tensor(field.sample(Generator(0), 1, dtype=np.float64), requires_grad=True)
    logits = field.logits(x)
    for i, j in itertools.product(range(4), repeat=2):
        g = tg.grad(logits[0, 0, i, j] + 0.0 * x.sum(), [x])[0].numpy()[0, 0]
        expected = np.zeros((4, 4))
        expected[i - 1, j] += 2.0 * (i > 0)
        expected[i, j - 1] += 2.0 * (j > 0)
        np.testing.assert_array_equal(g, expected)
    with pytest.raises(ValueError, match=r"\(N, 1, 4, 4\)"):
        field.logits(tg.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="side"):
        CausalField(17)


# --- the planted grammar -----------------------------------------------------------------------------------------


@pytest.mark.host
@given(st.integers(1, 5), st.floats(0.01, 0.9))
def test_analogies_are_exact(contexts: int, noise: float) -> None:
    """In pointwise mutual information of nouns with context words, a − b = c − d for each analogy, and only d."""
    grammar = PlantedGrammar(contexts=contexts, noise=noise)
    nouns = {noun: number for number, noun in enumerate(grammar.nouns)}
    joint = grammar.pair_probability()
    single = joint.sum(1)
    assert joint.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(joint, joint.T, rtol=1e-14)
    seen = joint[: len(nouns), len(nouns) :]
    pmi = np.log(seen / np.outer(single[: len(nouns)], single[len(nouns) :]))
    for a, b, c, d in grammar.analogies:
        assert len({a, b, c, d}) == 4
        sum_ = pmi[nouns[b]] - pmi[nouns[a]] + pmi[nouns[c]]
        distance = np.abs(pmi - sum_).max(axis=1)
        assert distance[nouns[d]] < 1e-12
        assert np.delete(distance, nouns[d]).min() > 1e-3
    known = set(grammar.analogies)
    assert len(known) == len(grammar.analogies) == 16 * (3 * 3 + 7 + 7)  # changes of kind, gender, number
    assert ("man", "woman", "king", "queen") in known
    assert ("king", "kings", "girl", "girls") in known
    assert ("boys", "kings", "girl", "queen") in known


def test_sentences_follow_the_stated_probabilities(device: str) -> None:
    grammar, n = PlantedGrammar(contexts=2, noise=0.2), 6000
    with no_sync():
        ids = grammar.sample(Generator(2), n)
    assert (ids.shape, ids.dtype, ids.device) == ((n, 5), np.int64, device)
    sentences = host(ids)
    counts = np.zeros((len(grammar.vocabulary),) * 2)
    for i, j in itertools.permutations(range(5), 2):
        np.add.at(counts, (sentences[:, i], sentences[:, j]), 1 / (20 * n))
    exact = grammar.pair_probability()
    # a frequency over n sentences: six standard errors of a share counted once a sentence, for all 1,024 pairs
    assert (np.abs(counts - exact) < 6 * np.sqrt(exact / n) + 1e-12).all()
    assert not counts[exact == 0].any()  # two nouns never meet
    words = grammar.text(ids[:2])[0].split()
    assert words[2] in grammar.nouns
    assert len(words) == 5
    with pytest.raises(ValueError, match="noise"):
        PlantedGrammar(noise=0.0)
