"""The mixture baseline against scipy, against enumeration of all images, and EM against what it must not do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.models.bernoulli_mixture import BernoulliMixture, fit, fit_best, improve
from tinygen.random import Generator


def mixture(seed: int, components: int = 3, pixels: int = 4, levels: int = 1) -> BernoulliMixture:
    rng = np.random.default_rng(seed)
    weights, probs = rng.dirichlet(np.ones(components)), rng.uniform(0.05, 0.95, (components, pixels))
    return BernoulliMixture(tg.tensor(np.log(weights)), tg.tensor(probs), levels)


def images(seed: int, count: int = 30, pixels: int = 4, levels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels + 1, (count, pixels)) / levels


@pytest.mark.parametrize("levels", [1, 2])
def test_the_probabilities_of_all_images_sum_to_one(levels: int, device: str) -> None:
    every = np.array(list(itertools.product(range(levels + 1), repeat=4))) / levels
    log_p = mixture(0, levels=levels).log_prob(tg.tensor(every)).numpy()
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.sampled_from([1, 16]))
def test_log_prob_is_scipys(device: str, seed: int, levels: int) -> None:
    model, x = mixture(seed, levels=levels), images(seed, levels=levels)
    each = scipy.stats.binom(levels, model.probs.numpy()).logpmf(np.rint(levels * x)[:, None]).sum(axis=2)
    expected = scipy.special.logsumexp(model.log_weights.numpy() + each, axis=1)
    np.testing.assert_allclose(model.log_prob(tg.tensor(x)).numpy(), expected, rtol=1e-10)


def test_grey_is_impossible_in_black_and_white(device: str) -> None:
    assert mixture(0).log_prob(tg.full((1, 4), 0.5, dtype=np.float64)).numpy().tolist() == [-np.inf]


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.sampled_from([1, 4]), st.floats(0.01, 2.0))
def test_no_round_lowers_the_posterior_of_the_parameters(device: str, seed: int, levels: int, smoothing: float) -> None:
    model, x = mixture(seed, levels=levels), tg.tensor(images(seed, levels=levels))

    def log_posterior(model: BernoulliMixture) -> float:
        p = model.probs.numpy()
        return float(model.log_prob(x).numpy().sum() + smoothing * (np.log(p) + np.log1p(-p)).sum())

    for _ in range(4):
        better = improve(model, x, smoothing)
        assert log_posterior(better) >= log_posterior(model) - 1e-9  # rounding of some hundred nats
        np.testing.assert_allclose(np.exp(better.log_weights.numpy()).sum(), 1.0, rtol=1e-12)
        model = better


def test_one_component_is_the_smoothed_mean(device: str) -> None:
    x = images(3, levels=4)
    model = fit(Generator(0), tg.tensor(x), 1, levels=4, smoothing=0.5, rounds=1)
    np.testing.assert_allclose(model.probs.numpy()[0], (4 * x.sum(0) + 0.5) / (4 * len(x) + 1.0), rtol=1e-12)


def test_two_kinds_of_images_are_told_apart(device: str) -> None:
    kinds = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    x = tg.tensor(kinds[np.arange(40) % 2])
    model = fit(Generator(1), x, 2, smoothing=1e-3, rounds=20)
    np.testing.assert_allclose(np.sort(model.probs.numpy(), axis=0), [[0.0] * 4, [1.0] * 4], atol=1e-3)
    np.testing.assert_allclose(model.log_prob(x).numpy(), -np.log(2), atol=1e-3)


def test_fitting_stays_single_and_does_not_wait(device: str) -> None:
    x = tg.tensor(images(5).astype(np.float32))
    model = fit(Generator(0), x, 3, rounds=2)
    with no_sync():
        again = improve(model, x, 0.1)
    assert {model.log_weights.dtype, again.probs.dtype, again.log_prob(x).dtype} == {np.dtype(np.float32)}


def test_the_best_smoothing_is_chosen_by_the_images_to_judge(device: str) -> None:
    """Images of one kind want hardly any smoothing; what was never seen wants a lot of it."""
    x, judged = (tg.tensor(np.full((20, 6), value)) for value in (1.0, 0.0))
    smoothings = (0.01, 1.0, 50.0)
    for few, expected in ((x, 0.01), (judged, 50.0)):
        best = fit_best(Generator(0), x, few, 1, smoothings=smoothings, rounds=1)
        np.testing.assert_allclose(best.probs.numpy(), (20 + expected) / (20 + 2 * expected))


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="smoothing > 0"):
        fit(Generator(0), tg.zeros((4, 2)), 2, smoothing=0.0)
    with pytest.raises(ValueError, match="components ≤ 4"):
        fit(Generator(0), tg.zeros((4, 2)), 5)
    with pytest.raises(ValueError, match="fit_best: the mean log p"):
        fit_best(Generator(0), tg.zeros((4, 2)), tg.full((1, 2), np.nan), 2, rounds=1)


@pytest.mark.host
def test_what_is_no_ink_is_refused() -> None:
    for wrong in (-0.5, 2.0, np.nan):
        with pytest.raises(ValueError, match="must be shares of ink between 0 and 1"):
            fit(Generator(0), tg.full((4, 2), wrong), 2)


@pytest.mark.host
@pytest.mark.parametrize("smoothing", [1e-3, 0.1])
def test_of_many_images_a_pixel_always_inked_stays_possible(smoothing: float) -> None:
    """Sums of 60,000 numbers in single precision are rounded by more than what the smoothing leaves."""
    x = np.random.default_rng(0).integers(0, 2, (60_000, 4)).astype(np.float32)
    x[:, 0], x[:, 1] = 1.0, 0.0
    model = fit(Generator(0), tg.tensor(x), 5, smoothing=smoothing, rounds=10)
    probs, log_p = model.probs.numpy(), model.log_prob(tg.tensor(x[:10])).numpy()
    assert probs.dtype == np.float32
    assert probs.min() > 0
    assert probs.max() < 1
    # 1 − p of the one is p of the other, up to the last bit of a number near 1.
    np.testing.assert_allclose(1.0 - probs[:, 0], probs[:, 1], rtol=1e-3, atol=1.2e-7)
    np.testing.assert_allclose(log_p, -2.0 * np.log(2.0), atol=0.05)  # two pixels are coins, EM fits their noise
