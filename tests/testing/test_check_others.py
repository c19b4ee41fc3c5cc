"""The checkers of divergences, discriminators and distributions: right ones pass, each planted mistake is found."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from refusal import refusal

import tinygen as tg
from tinygen import distributions, divergences
from tinygen.testing import check_discriminator, check_distribution, check_divergence

# --- divergences -----------------------------------------------------------------------------------------------------


def root_js(p: Any, q: Any) -> Any:
    return tg.sqrt(tg.maximum(divergences.js(p, q), 0.0))


FACTS = {
    "kl": (divergences.kl, False, False),
    "chi2": (divergences.chi2, False, False),
    "js": (divergences.js, True, False),
    "root of js": (root_js, True, True),
    "total variation": (divergences.total_variation, True, True),
    "hellinger": (divergences.hellinger, True, True),
    "wasserstein": (divergences.wasserstein_1d, True, True),
    "squared total variation": (lambda p, q: divergences.total_variation(p, q) ** 2, True, False),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_divergences_are_found(name: str) -> None:
    d, symmetric, metric = FACTS[name]
    facts = check_divergence(d, symmetric=symmetric, metric=metric)
    assert (facts.symmetric, facts.metric) == (symmetric, metric)
    assert (facts.asymmetry is None) == symmetric


@pytest.mark.parametrize(
    ("d", "message"),
    [
        (lambda p, q: -divergences.kl(p, q), "negative or undefined"),
        (lambda p, q: divergences.kl(p, q) + 0.1, r"d\(p, p\) is not 0"),
        (lambda p, q: tg.sum(p * (tg.log(p) - tg.log(q))), r"d\(p, p\) is not 0"),  # 0 log 0
        (lambda p, q: tg.abs(p[0] - q[0]), "0 for two different tables"),
        (lambda p, q: tg.sum(p * tg.log(p + 1e-12)) - tg.sum(p * tg.log(q + 1e-3)), "is not 0"),
    ],
)
def test_what_is_no_divergence_is_refused(d: Any, message: str) -> None:
    assert re.search(message, refusal(check_divergence, d))


def test_wrong_claims_about_divergences_are_refuted_with_tables() -> None:
    assert "d(q, p)" in refusal(check_divergence, divergences.kl, symmetric=True)
    assert "d(p, q) + d(q, r)" in refusal(check_divergence, divergences.js, metric=True)
    assert "nothing against it" in refusal(check_divergence, divergences.total_variation, metric=False)


# --- discriminators --------------------------------------------------------------------------------------------------


def cross_entropy(real: float, fake: float) -> Any:
    """The losses with the targets ``real`` and ``fake`` instead of 1 and 0."""

    def loss(target: float) -> Any:
        return lambda s: target * tg.softplus(-s) + (1.0 - target) * tg.softplus(s)

    return loss(real), loss(fake)


class LeastSquares:
    """Targets b for real and a for fake; the logit is the discriminator."""

    a, b = -1.0, 1.0

    def real_loss(self, s: Any) -> Any:
        return 0.5 * tg.square(s - self.b)

    def fake_loss(self, s: Any) -> Any:
        return 0.5 * tg.square(s - self.a)

    def optimal_discriminator(self, p: Any, q: Any) -> Any:
        return (self.b * p + self.a * q) / (p + q)

    def output(self, s: Any) -> Any:
        return s


HINGE = (lambda s: tg.relu(1.0 - s), lambda s: tg.relu(1.0 + s))
WASSERSTEIN = (lambda s: -s, lambda s: s)


def smoothed(a: float, b: float) -> Any:
    return lambda p, q: (a * p + b * q) / (p + q)


@pytest.mark.parametrize(
    ("objective", "optimum", "output"),
    [
        (cross_entropy(1.0, 0.0), smoothed(1.0, 0.0), None),
        (cross_entropy(0.7, 0.0), smoothed(0.7, 0.0), None),
        (cross_entropy(0.7, 0.3), smoothed(0.7, 0.3), None),
        (LeastSquares(), None, None),
        (HINGE, lambda p, q: tg.sign(p - q), lambda s: s),
    ],
)
def test_optimal_discriminators_are_accepted(objective: Any, optimum: Any, output: Any) -> None:
    check_discriminator(objective, optimum, output=output, examples=30)


@pytest.mark.parametrize(
    ("objective", "optimum", "output"),
    [
        (cross_entropy(0.7, 0.0), smoothed(1.0, 0.0), None),  # without smoothing
        (cross_entropy(0.7, 0.0), smoothed(0.7, 0.3), None),  # smoothed on both sides
        (cross_entropy(0.7, 0.3), lambda p, q: 0.7 * p / (0.7 * p + 0.3 * q), None),  # divided by the wrong sum
        (cross_entropy(1.0, 0.0), lambda p, q: q / (p + q), None),  # the other way round
        (LeastSquares(), smoothed(1.0, 0.0), None),
        (HINGE, lambda p, q: (p - q) / (p + q), lambda s: s),
    ],
)
def test_wrong_discriminators_are_refuted(objective: Any, optimum: Any, output: Any) -> None:
    assert "found by search" in refusal(check_discriminator, objective, optimum, output=output)


def test_objectives_without_a_best_discriminator_are_refused() -> None:
    said = refusal(check_discriminator, WASSERSTEIN, smoothed(1.0, 0.0), output=lambda s: s)
    assert "there is no best discriminator" in said
    with pytest.raises(TypeError, match="give optimum"):
        check_discriminator(HINGE)


# --- distributions ---------------------------------------------------------------------------------------------------


def all_distributions() -> dict[str, Any]:
    n, c = distributions.Normal, np.array([[2.0, 0.6], [0.6, 0.5]])
    return {
        "normal": n(1.0, 0.3),
        "batch of normals": n(np.array([0.0, 5.0]), np.array([[1.0], [0.1], [30.0]])),
        "float32": n(tg.tensor([0.5, 2.0], dtype=np.float32), tg.tensor(2.0, dtype=np.float32)),
        "laplace": distributions.Laplace(-2.0, 0.7),
        "exponential": distributions.Exponential(3.0),
        "uniform": distributions.Uniform(-1.0, np.array([0.5, 40.0])),
        "bernoulli": distributions.Bernoulli(np.array([0.2, 0.9])),
        "binomial": distributions.Binomial(16, 0.3),
        "categorical": distributions.Categorical(np.array([0.1, 0.0, 0.6, 0.3])),
        "mixture": distributions.Mixture([0.3, 0.7], [n(-4.0, 0.1), n(3.0, 2.0)]),
        "plane": distributions.MultivariateNormal(np.array([1.0, -1.0]), c),
        "space": distributions.MultivariateNormal(np.zeros(3), np.eye(3)),
    }


@pytest.mark.parametrize("name", all_distributions())
def test_distributions_are_accepted(name: str) -> None:
    check_distribution(all_distributions()[name])


class NoRoot(distributions.Normal):
    """The logarithm of the standard deviation, halved: E-53."""

    def _log_prob(self, x: Any, loc: Any, scale: Any) -> Any:
        return super()._log_prob(x, loc, scale) + 0.5 * tg.log(scale)


class VarianceForDeviation(distributions.Normal):
    """Draws with the variance as deviation."""

    def _draw(self, rng: Any, lengths: Any) -> Any:
        loc, scale = self._at()
        return loc + scale * scale * rng.normal((*lengths,), dtype=loc.dtype)


class WrongVariance(distributions.Normal):
    @property
    def variance(self) -> Any:
        return self._full(self._at()[1])


class WrongMean(distributions.Exponential):
    @property
    def mean(self) -> Any:
        return 1.1 / self._at()[0]


class Overflowing(distributions.Normal):
    def _log_prob(self, x: Any, loc: Any, scale: Any) -> Any:
        return tg.log(tg.relu(x - loc))


class Unnormalised(distributions.MultivariateNormal):
    def _log_prob(self, x: Any, *parameters: Any) -> Any:
        return super()._log_prob(x, *parameters) + 0.01


class Leaning(distributions.Bernoulli):
    def _sample(self, rng: Any, lengths: Any) -> Any:
        return super()._sample(rng, lengths) * 0 + 1


@pytest.mark.parametrize(
    ("dist", "message"),
    [
        (NoRoot(0.0, 2.0), "do not add up to 1"),
        (VarianceForDeviation(0.0, 1.2), "the draws do not follow log_prob"),
        (WrongVariance(0.0, 2.0), "the variance is not"),
        (WrongMean(2.0), "the mean is not"),
        (Overflowing(0.0, 1.0), "one of its own draws is impossible"),
        (Unnormalised(np.zeros(2), np.eye(2)), "does not integrate to 1"),
        (Leaning(0.7), "the draws do not follow log_prob"),
    ],
)
def test_mistaken_distributions_are_found(dist: Any, message: str) -> None:
    assert message in refusal(check_distribution, dist)
