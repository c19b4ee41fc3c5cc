"""A VAE on a lattice against sums over all images, against its own likelihood, and against the identity VAE-4."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

import tinygen as tg
from tinygen import nn
from tinygen.models.vae import VAE, BinomialLikelihood, NormalLikelihood, perceptron
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
    """Σ p(x) over the 27 images is what the prior has inside |z| < 3.8, by its own distribution function."""
    total = np.exp(on_lattice(400, 3.8).log_prob(tg.tensor(all_images())).numpy()).sum()
    inside = (scipy.stats.norm.cdf(3.8) - scipy.stats.norm.cdf(-3.8)) ** 2
    assert inside < 1 - 2e-4
    assert abs(total - inside) < 1e-6  # midpoints: a cell's width squared, 4e-4, times 4 φ'(3.8) / 24, 2e-4


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


def with_normals(mean: float, log_variance: float, slope: float, middle: float) -> LatticeVAE:
    """q(z | x) = N(mean, e^log_variance) for all x, and grey pixels where ``slope`` · (z − middle) is 0 for both z."""
    encoder, decoder = nn.Linear(2, 4, rng=Generator(0)), nn.Linear(2, 2, rng=Generator(0))
    encoder.load_state_dict({"weight": np.zeros((4, 2)), "bias": np.array([mean, mean, log_variance, log_variance])})
    decoder.load_state_dict({"weight": slope * np.eye(2), "bias": np.full(2, -slope * middle)})
    return LatticeVAE(VAE(encoder, decoder, BinomialLikelihood(LEVELS), 2), cells=80)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.03, -12.0), (7.0, 0.0)], ids=["narrow", "outside"])
def test_an_encoder_that_the_lattice_misses_is_refused(mean: float, log_variance: float, device: str) -> None:
    made, x = with_normals(mean, log_variance, slope=1.0, middle=0.0), tg.tensor([[0.5, 1.0]], dtype=np.float64)
    with pytest.raises(ValueError, match=r"divergence: q\(z \| x\) sums to .* cells=80 with reach=5: take more cells"):
        made.divergence(x)


@pytest.mark.parametrize(
    ("slope", "middle", "message"),
    [(500.0, 0.03, "differs by .* among sublattices"), (4.0, 7.0, "is in the outermost cells")],
    ids=["narrow", "outside"],
)
def test_a_posterior_that_the_lattice_misses_is_refused(slope: float, middle: float, message: str, device: str) -> None:
    made, x = with_normals(0.0, 0.0, slope, middle), tg.tensor([[0.5, 0.5]], dtype=np.float64)
    for measure in (made.log_prob, made.log_posterior, made.divergence):
        with pytest.raises(ValueError, match=message):
            measure(x)


def test_the_copy_is_in_evaluation_mode_and_an_odd_lattice_is_refused() -> None:
    vae = perceptron(PIXELS, 2, 4, rng=Generator(0))
    assert vae.training
    assert not any(part.training for part in LatticeVAE(vae, cells=4).vae.modules())
    with pytest.raises(ValueError, match="even number of cells"):
        LatticeVAE(vae, cells=5)
