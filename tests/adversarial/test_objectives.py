"""Objectives against the formulas of probabilities, against their optima found by search, and combined."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import adversarial
from tinygen.adversarial import ManyClasses, Objective, Smoothed, Swapped
from tinygen.random import Generator
from tinygen.testing import check_discriminator

GAMES = {
    "minimax": adversarial.minimax,
    "non_saturating": adversarial.non_saturating,
    "least_squares": adversarial.least_squares,
    "hinge": adversarial.hinge,
    "wasserstein": adversarial.wasserstein,
}

# Losses (real, fake, generator) as the papers print them, of the logit s.
PRINTED = {
    "minimax": lambda s: (-np.log(expit(s)), -np.log(1 - expit(s)), np.log(1 - expit(s))),
    "non_saturating": lambda s: (-np.log(expit(s)), -np.log(1 - expit(s)), -np.log(expit(s))),
    "least_squares": lambda s: ((s - 1) ** 2 / 2, s**2 / 2, (s - 1) ** 2 / 2),
    "hinge": lambda s: (np.maximum(0, 1 - s), np.maximum(0, 1 + s), -s),
    "wasserstein": lambda s: (-s, s, -s),
}

expit = scipy.special.expit


@pytest.mark.parametrize("name", GAMES)
def test_losses_are_those_of_the_papers(name: str, device: str) -> None:
    s = np.random.default_rng(0).normal(size=(20, 1)) * 3
    game, (real, fake, generator) = GAMES[name], PRINTED[name](s)
    np.testing.assert_allclose(game.real_loss(tg.tensor(s)).numpy(), real, atol=1e-12)
    np.testing.assert_allclose(game.fake_loss(tg.tensor(s)).numpy(), fake, atol=1e-12)
    np.testing.assert_allclose(game.generator_loss(tg.tensor(s)).numpy(), generator.mean(), atol=1e-12)
    found = game.discriminator_loss(tg.tensor(s), tg.tensor(-s))
    np.testing.assert_allclose(found.numpy(), real.mean() + PRINTED[name](-s)[1].mean(), atol=1e-12)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_losses_are_finite_where_probabilities_are_0_and_1(name: str, device: str) -> None:
    s = tg.tensor([-800.0, 800.0], requires_grad=True)
    game = GAMES[name]
    values = [game.real_loss(s), game.fake_loss(s), game.generator_loss(s)]
    for value in values:
        assert np.isfinite(value.numpy()).all()
        assert np.isfinite(tg.grad(tg.sum(value), s)[0].numpy()).all()
    np.testing.assert_array_equal(values[0].numpy(), [800.0, 0.0])


def test_slopes_of_both_generators(device: str) -> None:
    """GAN-11, GAN-12: −D and −(1 − D); their ratio is (1 − D) / D."""
    s = np.linspace(-30, 30, 13)
    for game, expected in ((adversarial.minimax, -expit(s)), (adversarial.non_saturating, -expit(-s))):
        logits = tg.tensor(s, requires_grad=True)
        (slope,) = tg.grad(13.0 * game.generator_loss(logits), logits)
        np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("name", ["minimax", "non_saturating", "least_squares", "hinge"])
@pytest.mark.parametrize("targets", [None, (0.7, 0.0), (0.7, 0.3), (1.0, 0.0)])
def test_claimed_optima_are_found_by_search(name: str, targets: tuple[float, float] | None) -> None:
    check_discriminator(GAMES[name] if targets is None else Smoothed(GAMES[name], *targets), examples=25)


@pytest.mark.host
def test_the_wasserstein_game_has_no_pointwise_optimum() -> None:
    with pytest.raises(ValueError, match="not a function of the densities at a place"):
        adversarial.wasserstein.optimal_discriminator(0.5, 0.5)
    with pytest.raises(AssertionError, match="falls without end"):
        check_discriminator(adversarial.wasserstein, lambda p, q: p, examples=5)


def test_optimal_discriminator_of_smoothed_labels(device: str) -> None:
    """The table of GAN-17, and ½ where there is nothing."""
    p, q = [1.0, 0.5, 0.0], [0.0, 0.5, 1.0]
    one_sided = Smoothed(adversarial.minimax).optimal_discriminator(p, q).numpy()
    two_sided = Smoothed(adversarial.minimax, 0.7, 0.3).optimal_discriminator(p, q).numpy()
    np.testing.assert_allclose(one_sided, [0.7, 0.35, 0.0], rtol=1e-6)  # float32
    np.testing.assert_allclose(two_sided, [0.7, 0.5, 0.3], rtol=1e-6)
    assert adversarial.optimal_discriminator(0.0, 0.0).item() == 0.5


def test_densities_that_are_no_numbers(device: str) -> None:
    """What is not a number stays none."""
    for game in (adversarial.minimax, Smoothed(adversarial.minimax, 0.7, 0.3), adversarial.least_squares):
        np.testing.assert_array_equal(game.optimal_discriminator([np.nan, 0.0], [1.0, np.nan]).numpy(), np.nan)
    many = ManyClasses(adversarial.minimax)
    found = many.optimal_discriminator([[0.0, 0.0, 0.0], [np.nan, 0.0, 1.0]], [0.0, 1.0]).numpy()
    np.testing.assert_array_equal(found, [[0.25] * 4, [np.nan] * 4])


@pytest.mark.host  # on a device the look at the values would synchronise
def test_negative_densities_are_refused() -> None:
    """Before labels are mixed, too, where the other density could hide them."""
    for game in (adversarial.minimax, Smoothed(adversarial.minimax, 0.7, 0.3), adversarial.least_squares):
        for p, q in ((-2.0, 1.0), (-0.1, 1.0), (1.0, -0.1)):
            with pytest.raises(ValueError, match=r"the density [pq] must not be negative"):
                game.optimal_discriminator(p, q)
    with pytest.raises(ValueError, match="the density p must not be negative"):
        ManyClasses(adversarial.minimax).optimal_discriminator([[0.5, -0.5]], [1.0])


@pytest.mark.parametrize("targets", [(0.3, 0.7), (1.2, 0.0), (0.5, 0.5), (0.5, -0.1)])
def test_impossible_targets_are_refused(targets: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 ≤ fake < real ≤ 1"):
        Smoothed(adversarial.minimax, *targets)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Swapped(adversarial.minimax, 1.5, rng=Generator(0))


# --- swapping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["minimax", "least_squares", "hinge"])
def test_swapping_is_smoothing_on_average(name: str, device: str) -> None:
    """Each loss is one of two; their share is ε, so that the mean is that of smoothed labels (GAN-18)."""
    s = tg.tensor(np.full((200_000, 1), 0.4))
    game, smoothed = GAMES[name], Smoothed(GAMES[name], 0.9, 0.1)
    swapped = Swapped(game, 0.1, rng=Generator(3))
    for found, own, other, mean in (
        (swapped.real_loss(s), game.real_loss(s), game.fake_loss(s), smoothed.real_loss(s)),
        (swapped.fake_loss(s), game.fake_loss(s), game.real_loss(s), smoothed.fake_loss(s)),
    ):
        changed = found.numpy() != own.numpy()
        np.testing.assert_array_equal(found.numpy()[changed], other.numpy()[changed])
        share = 5 * np.sqrt(0.1 * 0.9 / len(s))  # five standard errors of the share, then of the mean
        assert abs(changed.mean() - 0.1) < share
        gap = abs(own.numpy()[0, 0] - other.numpy()[0, 0])
        assert abs(found.numpy().mean() - mean.numpy()[0, 0]) < share * gap
    for p, q in ((0.3, 0.7), (1.0, 0.0)):
        claims = [game.optimal_discriminator(p, q).numpy() for game in (swapped, smoothed)]
        np.testing.assert_allclose(*claims, rtol=1e-6)


def test_all_places_of_one_example_swap_together(device: str) -> None:
    swapped = Swapped(adversarial.wasserstein, 0.5, rng=Generator(1))
    found = swapped.real_loss(tg.ones((50, 1, 3, 3))).numpy().reshape(50, 9)
    assert (found == found[:, :1]).all()
    assert 0 < (found[:, 0] > 0).sum() < 50


# --- K + 1 classes -----------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(1, 5))
def test_classes_are_a_softmax_with_one_logit_fixed(device: str, seed: int, classes: int) -> None:
    """GAN-19: Z / (Z + 1) = Σ_k≤K softmax_{K+1}; every loss is −log of one of its probabilities."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(6, classes)) * 4, rng.integers(0, classes, 6)
    probabilities = scipy.special.softmax(np.concatenate([logits, np.zeros((6, 1))], axis=1), axis=1)
    game, s = ManyClasses(adversarial.non_saturating), tg.tensor(logits)
    np.testing.assert_allclose(game.output(s).numpy(), probabilities, rtol=1e-12)
    np.testing.assert_allclose(expit(game.logit(s).numpy()), probabilities[:, :-1].sum(1), rtol=1e-12)
    np.testing.assert_allclose(np.exp(-game.fake_loss(s).numpy()), probabilities[:, -1], rtol=1e-12)
    np.testing.assert_allclose(np.exp(-game.real_loss(s).numpy()), probabilities[:, :-1].sum(1), rtol=1e-12)
    labelled = -np.log(probabilities[np.arange(6), labels]).mean()
    np.testing.assert_allclose(game.labelled_loss(s, tg.tensor(labels)).numpy(), labelled, rtol=1e-12)


@pytest.mark.host
def test_no_label_says_fake() -> None:
    """Labels numbered from 1 would train the last class as the fakes."""
    game = ManyClasses(adversarial.minimax)
    for label in (-1, 3):
        with pytest.raises(IndexError, match="must lie between 0 and 2"):
            game.labelled_loss(tg.zeros((4, 3)), tg.tensor([0, 1, 2, label]))


def test_one_class_is_the_two_sided_game(device: str) -> None:
    s = tg.tensor(np.random.default_rng(0).normal(size=(7, 1)))
    for game in (adversarial.minimax, Smoothed(adversarial.hinge)):
        one = ManyClasses(game)
        np.testing.assert_allclose(one.real_loss(s).numpy(), game.real_loss(s).numpy()[:, 0], rtol=1e-12)
        np.testing.assert_allclose(one.fake_loss(s).numpy(), game.fake_loss(s).numpy()[:, 0], rtol=1e-12)
        np.testing.assert_allclose(one.generator_loss(s).numpy(), game.generator_loss(s).numpy(), rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_optimum_of_many_classes_has_no_slope(device: str, seed: int) -> None:
    """Σ p(x, k) labelled_loss + q fake_loss is flat at l_k = ln p(x, k) / q(x), and D there is the claimed one."""
    rng = np.random.default_rng(seed)
    p, q = rng.uniform(0.1, 1.0, (4, 3)), rng.uniform(0.1, 1.0, 4)
    game, l = ManyClasses(adversarial.minimax), tg.tensor(np.log(p / q[:, None]), requires_grad=True)  # noqa: E741
    weights = tg.tensor(p)
    loss = tg.sum(tg.tensor(q) * game.fake_loss(l))
    for k in range(3):
        for place in range(4):
            labelled = game.labelled_loss(l[place : place + 1], tg.tensor([k]))
            loss = loss + weights[place, k] * labelled
    np.testing.assert_allclose(tg.grad(loss, l)[0].numpy(), 0.0, atol=1e-14)  # sums of a few numbers below 1
    claimed = game.optimal_discriminator(p, q).numpy()
    np.testing.assert_allclose(game.output(l).numpy(), claimed, rtol=1e-12)
    np.testing.assert_allclose(claimed[:, -1], q / (p.sum(1) + q), rtol=1e-12)


def test_tricks_combine(device: str) -> None:
    """Smoothing inside and outside of many classes are the same thing; float32 stays."""
    s = tg.tensor(np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32))
    inside: Objective = ManyClasses(Smoothed(adversarial.non_saturating, 0.9))
    outside: Objective = Smoothed(ManyClasses(adversarial.non_saturating), 0.9)
    found = [game.real_loss(s) for game in (inside, outside)]
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-6)
    both = Swapped(inside, 0.2, rng=Generator(0))
    assert {t.dtype for t in (*found, both.real_loss(s), both.generator_loss(s))} == {np.dtype(np.float32)}
