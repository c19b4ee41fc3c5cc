"""The linear VAE in closed form against sampling, scipy and the exact posterior; probabilistic PCA is its optimum."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import optim
from tinygen.distributions import Normal
from tinygen.models.linear_vae import LinearVAE, State, collapsed_kl, fit_probabilistic_pca, largest_angle, step
from tinygen.random import Generator

D, K = 5, 2


def model(seed: int) -> LinearVAE:
    """Random parameters of every kind, also those that start at 0."""
    vae = LinearVAE(D, K, rng=Generator(seed)).astype(np.float64)
    rng = np.random.default_rng(seed)
    vae.log_deviation.assign(tg.tensor(rng.normal(size=K)))
    vae.log_noise.assign(tg.tensor(np.array(0.5 * rng.normal())))
    return vae


def points(seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed + 1).normal(size=(count, D))


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_the_gap_is_the_divergence_from_the_exact_posterior(device: str, seed: int) -> None:
    """log p(x) − ELBO = KL(q ‖ p(z | x)) for any parameters at all (VAE-4), by the formula of VAE-5."""
    vae, x = model(seed), tg.tensor(points(seed))
    gap = vae.marginal().log_prob(x).numpy() - vae.elbo(x).numpy()
    means, covariance = (part.numpy() for part in vae.exact_posterior(x))
    q, M = vae.posterior(x), np.linalg.inv(covariance)
    away, t2 = q.mean.numpy() - means, q.variance.numpy()[0]
    divergence = 0.5 * (
        np.trace(M @ np.diag(t2)) + np.einsum("ni,ij,nj->n", away, M, away) - K
        - np.linalg.slogdet(M)[1] - np.log(t2).sum()
    )  # fmt: skip
    np.testing.assert_allclose(gap, divergence, rtol=1e-8, atol=1e-9)  # a difference of numbers of some hundred
    assert (gap > -1e-9).all()


def test_the_closed_form_is_the_mean_over_samples(device: str) -> None:
    vae, x, draws = model(3), tg.tensor(points(3)), 20_000
    q = vae.posterior(x)
    z = q.rsample(Generator(0), draws)
    log_joint = tg.sum(Normal(vae.decoder(z), tg.exp(vae.log_noise)).log_prob(x), axis=2)
    terms = (log_joint + tg.sum(Normal(0.0, 1.0).log_prob(z) - q.log_prob(z), axis=2)).numpy()
    error = np.abs(terms.mean(axis=0) - vae.elbo(x).numpy())
    assert (error < 5 * terms.std(axis=0) / np.sqrt(draws)).all()  # standard errors


def test_the_marginal_is_scipys(device: str) -> None:
    vae, x = model(4), points(4)
    W, b, noise = vae.decoder.weight.numpy(), vae.decoder.bias.numpy(), np.exp(vae.log_noise.numpy())
    expected = scipy.stats.multivariate_normal(b, W @ W.T + noise**2 * np.eye(D)).logpdf(x)
    np.testing.assert_allclose(vae.marginal().log_prob(tg.tensor(x)).numpy(), expected, rtol=1e-10)


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_gradient_derived_by_hand(device: str, seed: int) -> None:
    """∂ΣELBO for W: Σ (x − Wm − b) mᵀ/σ² − N W diag t²/σ²;  log t: N (1 − t² − t² ‖wᵢ‖²/σ²);  log σ: as below."""
    vae, array = model(seed), points(seed)
    x, n = tg.tensor(array), len(array)
    names = [vae.decoder.weight, vae.decoder.bias, vae.log_deviation, vae.log_noise, vae.encoder.bias]
    found = tg.grad(tg.sum(vae.elbo(x)), names)
    q, W, v = vae.posterior(x), vae.decoder.weight.numpy(), np.exp(2 * vae.log_noise.numpy())
    m, t2 = q.mean.numpy(), q.variance.numpy()[0]
    error = array - m @ W.T - vae.decoder.bias.numpy()
    by_hand = [
        error.T @ m / v - n * W * t2 / v,
        error.sum(0) / v,
        n * (1 - t2 - t2 * (W**2).sum(0) / v),
        ((error**2).sum() + n * (W**2 * t2).sum()) / v - n * D,
        (error @ W / v - m).sum(0),
    ]
    for one, expected in zip(found, by_hand, strict=True):
        np.testing.assert_allclose(one.numpy(), expected, rtol=1e-9, atol=1e-10)  # float64, sums of a dozen terms


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_no_parameters_beat_probabilistic_pca(device: str, seed: int) -> None:
    x = points(seed, 40)
    best = fit_probabilistic_pca(x, K)
    fitted = scipy.stats.multivariate_normal(best.b, best.W @ best.W.T + best.noise**2 * np.eye(D))
    np.testing.assert_allclose(fitted.logpdf(x).mean(), best.log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(best.marginal().log_prob(tg.tensor(x)).numpy(), fitted.logpdf(x), rtol=1e-10)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        W = best.W + 0.1 * rng.normal(size=(D, K))
        noise, b = best.noise * np.exp(0.1 * rng.normal()), best.b + 0.1 * rng.normal(size=D)
        other = scipy.stats.multivariate_normal(b, W @ W.T + noise**2 * np.eye(D)).logpdf(x).mean()
        assert other < best.log_likelihood


@given(st.integers(0, 2**16), st.integers(2, 12), st.integers(1, 12), st.data())
def test_probabilistic_pca_with_any_number_of_points(
    device: str, seed: int, count: int, dimensions: int, data: st.DataObject
) -> None:
    """Fewer points than dimensions, too: its log p is that of its own density, on the data it was fitted to."""
    x = np.random.default_rng(seed).normal(size=(count, dimensions))
    k = data.draw(st.integers(0, min(dimensions - 1, count - 2)))
    best = fit_probabilistic_pca(x, k)
    assert (best.W.shape, best.b.shape) == ((dimensions, k), (dimensions,))
    own = best.marginal().log_prob(tg.tensor(x)).numpy().mean()
    # Noise of 11 dimensions of which one varies: a covariance whose inverse is that much less exact.
    np.testing.assert_allclose(own, best.log_likelihood, rtol=1e-7, atol=1e-7)


@pytest.mark.host
def test_what_probabilistic_pca_cannot_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5))
    for k in (-1, 5, 6):
        with pytest.raises(ValueError, match=f"5 dimensions need 0 ≤ k < 5, got {k}"):
            fit_probabilistic_pca(x, k)
    plane = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 5))
    for flat, k in ((plane, 2), (plane, 3), (x[:3], 2), (x[:1], 0)):
        with pytest.raises(ValueError, match=f"all points lie in {k} dimensions"):
            fit_probabilistic_pca(flat, k)
    assert fit_probabilistic_pca(plane, 1).noise > 0


def test_the_optimum_makes_the_bound_tight(device: str) -> None:
    """Columns of pPCA are orthogonal, so the exact posterior is one that the encoder can give."""
    x = points(7, 40)
    best, vae = fit_probabilistic_pca(x, K), model(7)
    precision = 1 + (best.W**2).sum(0) / best.noise**2
    weight = best.W.T / best.noise**2 / precision[:, None]
    values = {
        "encoder.weight": weight, "encoder.bias": -weight @ best.b, "decoder.weight": best.W, "decoder.bias": best.b,
        "log_deviation": -0.5 * np.log(precision), "log_noise": np.array(np.log(best.noise)),
    }  # fmt: skip
    vae.load_state_dict({name: tg.tensor(value) for name, value in values.items()})
    assert abs(float(tg.mean(vae.elbo(tg.tensor(x)))) - best.log_likelihood) < 1e-10
    slopes = tg.grad(tg.mean(vae.elbo(tg.tensor(x))), vae.parameters())
    assert max(np.abs(slope.numpy()).max() for slope in slopes) < 1e-10


@settings(max_examples=20)
@given(st.floats(0.1, 5.0), st.floats(0.2, 1.5), st.floats(0.3, 5.0))
def test_collapsed_kl_is_what_a_search_finds(device: str, variance: float, noise: float, beta: float) -> None:
    """One dimension, x ~ N(0, λ): of all (w, mean factor, t) none has a larger reconstruction − β KL (VAE-9)."""

    def objective(w: np.ndarray, factor: np.ndarray, log_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t2 = np.exp(2 * log_t)
        kl = 0.5 * (factor**2 * variance + t2 - 1 - 2 * log_t)
        return -((1 - w * factor) ** 2 * variance + w**2 * t2) / (2 * noise**2) - beta * kl, kl

    best = max(variance, beta * noise**2)
    w2 = best - beta * noise**2
    at = (np.sqrt(w2), np.sqrt(w2) / best, 0.5 * np.log(beta * noise**2 / best))
    value, kl = objective(*(np.array(number) for number in at))
    np.testing.assert_allclose(collapsed_kl(variance, noise, beta), kl, atol=1e-12)
    rng = np.random.default_rng(0)
    other, _ = objective(*(number + rng.normal(size=2000) * 10.0 ** rng.uniform(-4, 1, 2000) for number in at))
    assert (other <= value + 1e-9 * abs(value)).all()  # rounding where a random point is the optimum itself


def test_angles() -> None:
    plane = np.eye(4)[:, :2]
    turned = plane.copy()
    turned[:, 1] = [0.0, np.cos(0.01), np.sin(0.01), 0.0]
    assert largest_angle(plane, 3.0 * plane[:, ::-1]) < 1e-6
    np.testing.assert_allclose(largest_angle(plane, turned), np.degrees(0.01), rtol=1e-9)
    np.testing.assert_allclose(largest_angle(plane, np.eye(4)[:, 2:]), 90.0)


@pytest.mark.host
def test_an_angle_needs_two_spaces_of_one_size() -> None:
    wide, narrow = np.eye(4)[:, :2], np.eye(4)[:, :1]
    for first, second in ((wide, narrow), (narrow, wide), (np.zeros((4, 2)), wide), (wide, np.ones((4, 2)))):
        with pytest.raises(ValueError, match="must have the same shape"):
            largest_angle(first, second)


def test_a_step_does_not_synchronise_and_stays_single(device: str) -> None:
    vae = LinearVAE(D, K, rng=Generator(0))
    batches = tg.data.Batches(points(0, 8).astype(np.float32), size=4, rng=Generator(1))
    state = State(vae, optim.Adam(vae.parameters()), batches)
    step(state)
    with no_sync():
        metrics = step(state)
    assert metrics["ELBO"].dtype == np.float32
    assert {parameter.dtype for parameter in vae.parameters()} == {np.dtype(np.float32)}
