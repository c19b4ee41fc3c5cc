"""A VAE on a lattice against sums over all images, against its own likelihood, and against the identity VAE-4."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

import tinygen as tg
from tinygen.models.vae import BinomialLikelihood, NormalLikelihood, perceptron
from tinygen.models.vae_exact import LatticeVAE
from tinygen.plots import lattice
from tinygen.random import Generator

PIXELS, LEVELS = 3, 2


def on_lattice(cells: int = 60, reach: float = 5.0) -> LatticeVAE:
    vae = perceptron(PIXELS, 2, 8, BinomialLikelihood(LEVELS), rng=Generator(0))
    for parameter in vae.decoder.parameters():  # three times larger: p(z | x) is no longer close to N(0, I)
        parameter.assign(3.0 * parameter.detach())
    return LatticeVAE(vae, reach=reach, cells=cells)


def all_images() -> np.ndarray:
    return np.array(list(itertools.product(np.arange(LEVELS + 1) / LEVELS, repeat=PIXELS)))


def test_points_are_those_of_the_pictures(device: str) -> None:
    np.testing.assert_allclose(on_lattice(4, 2.0).points.numpy(), lattice((-2.0, 2.0, -2.0, 2.0), 4))


def test_probabilities_of_all_images_sum_to_that_of_the_square(device: str) -> None:
    """Σ p(x) over the 27 images is what the prior has inside |z| < 2, by its own distribution function."""
    total = np.exp(on_lattice(200, 2.0).log_prob(tg.tensor(all_images())).numpy()).sum()
    inside = (scipy.stats.norm.cdf(2.0) - scipy.stats.norm.cdf(-2.0)) ** 2
    assert abs(total - inside) < 1e-5  # midpoints: the error is that of a cell's width squared, 1e-4, times φ'(2) / 12


def test_posterior_is_bayes_rule(device: str) -> None:
    """A density, in proportion to p(x | z) p(z) from the model's own likelihood."""
    made, image = on_lattice(), all_images()[5]
    log_posterior = made.log_posterior(tg.tensor(image[None])).numpy()[0]
    assert np.isclose(np.exp(log_posterior + made.log_area).sum(), 1.0)
    repeated = tg.tensor(np.repeat(image[None], len(made.points), axis=0))
    joint = made.vae.log_likelihood(repeated, made.points).numpy() - 0.5 * (made.points.numpy() ** 2).sum(axis=1)
    difference = log_posterior - joint
    np.testing.assert_allclose(difference, difference[0], atol=1e-11)  # float64, numbers up to 100


def test_the_bound_lacks_the_divergence(device: str) -> None:
    """VAE-4: log p(x) = ELBO(x) + KL(q ‖ p(z | x)), with the expectation of the bound over the lattice, too."""
    made, x = on_lattice(100, 8.0), tg.tensor(all_images())
    q = made.vae.posterior(x)
    elbo = []
    for mean, deviation, image in zip(q.mean.numpy(), q.scale.numpy(), x, strict=True):
        weight = np.exp(scipy.stats.norm(mean, deviation).logpdf(made.points.numpy()).sum(axis=1) + made.log_area)
        log_likelihood = made.vae.log_likelihood(tg.tensor(np.repeat(image.numpy()[None], len(weight), 0)), made.points)
        kl = 0.5 * (mean**2 + deviation**2 - 1.0).sum() - np.log(deviation).sum()
        elbo.append((weight * log_likelihood.numpy()).sum() - kl)
    lost = made.divergence(x).numpy()
    assert lost.min() > 1e-3  # nothing is perfect here, so that a missing term would show
    np.testing.assert_allclose(made.log_prob(x).numpy() - elbo, lost, atol=1e-8)  # both sums are off by e^(−8²/2)


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="2 latent dimensions"):
        LatticeVAE(perceptron(PIXELS, 3, 4, rng=Generator(0)))
    with pytest.raises(ValueError, match="NormalLikelihood"):
        LatticeVAE(perceptron(PIXELS, 2, 4, NormalLikelihood(), rng=Generator(0)))
