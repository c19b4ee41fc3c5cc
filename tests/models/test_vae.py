"""The variational autoencoder against closed forms: likelihoods, both bounds, and the gradient derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim
from tinygen.models.vae import (
    VAE,
    BinomialLikelihood,
    NormalLikelihood,
    State,
    ascend,
    convolutional,
    evaluate,
    perceptron,
    step,
)
from tinygen.random import Generator
from tinygen.states import restore, snapshot

SHAPE = (1, 8, 8)


def networks() -> dict[str, tuple[VAE, tuple[int, ...]]]:
    """Each network with a likelihood, and the shape of one image."""
    rng = Generator(0)
    return {
        "perceptron": (perceptron(12, 3, 8, BinomialLikelihood(4), rng=rng.spawn("perceptron")), (12,)),
        "convolutional": (convolutional(SHAPE, 3, 4, rng=rng.spawn("convolutional")), SHAPE),
        "normal": (perceptron(12, 3, 8, NormalLikelihood(0.5, learned=True), rng=rng.spawn("normal")), (12,)),
    }


def black_and_white(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, shape).astype(np.float32)


def linear(pixels: int, latent: int, likelihood: BinomialLikelihood | NormalLikelihood, seed: int) -> VAE:
    rng = Generator(seed)
    encoder, decoder = nn.Linear(pixels, 2 * latent, rng=rng), nn.Linear(latent, pixels, rng=rng)
    return VAE(encoder, decoder, likelihood, latent).astype(np.float64)


# --- shapes, dtypes, states --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", networks())
def test_shapes_and_single_precision(name: str, device: str) -> None:
    vae, shape = networks()[name]
    x, rng = tg.tensor(black_and_white(5, *shape)), Generator(2)
    log_likelihood, kl = vae.elbo(rng, x)
    bound = vae.importance_weighted_bound(rng, x, samples=3)
    made = [log_likelihood, kl, bound, vae.sample(rng, 5), vae.reconstruct(x)]
    assert [part.shape for part in made] == [(5,), (5, 3), (5,), (5, *shape), (5, *shape)]
    assert {(part.dtype, part.device) for part in made} == {(np.dtype(np.float32), device)}
    slopes = tg.grad(tg.mean(log_likelihood) - tg.mean(kl), vae.parameters())
    assert {slope.dtype for slope in slopes} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", networks())
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(name: str, device: str) -> None:
    vae, shape = networks()[name]
    batches = tg.data.Batches(black_and_white(8, *shape), size=4, rng=Generator(3))
    state = State(vae, optim.Adam(vae.parameters()), batches, Generator(4), beta=2.0)
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)
    after = {key: tg.tensor(value).numpy() for key, value in vae.state_dict().items()}
    restore(state, saved)
    assert float(step(state)["ELBO"]) == float(first["ELBO"])
    for key, value in vae.state_dict().items():
        np.testing.assert_array_equal(tg.tensor(value).numpy(), after[key])


def test_state_dict_round_trip(device: str) -> None:
    vae, shape = networks()["convolutional"]
    other = convolutional(SHAPE, 3, 4, rng=Generator(9))
    x = tg.tensor(black_and_white(2, *shape))
    assert not np.array_equal(other.reconstruct(x).numpy(), vae.reconstruct(x).numpy())
    other.load_state_dict(vae.state_dict())
    np.testing.assert_array_equal(other.reconstruct(x).numpy(), vae.reconstruct(x).numpy())


def test_evaluate_adds_up(device: str) -> None:
    vae, shape = networks()["perceptron"]
    terms = evaluate(vae, tg.tensor(black_and_white(6, *shape)), Generator(5), samples=2)
    assert terms["ELBO"] == terms["reconstruction"] - terms["KL"]
    assert 0 <= terms["active"] <= 3


def test_evaluate_is_in_evaluation_mode(device: str) -> None:
    """Nothing of a model in training mode moves, and dropout does not draw."""
    rng = Generator(0)
    encoder = nn.Sequential(nn.Linear(6, 4, rng=rng), nn.BatchNorm1d(4), nn.Dropout(0.5, rng=rng.spawn("dropout")))
    vae = VAE(encoder, nn.Linear(2, 6, rng=rng), BinomialLikelihood(), 2)
    x = tg.tensor(black_and_white(20, 6))
    first, second = (evaluate(vae, x, Generator(1), samples=2) for _ in range(2))
    assert first == second
    assert all(part.training for part in vae.modules())
    assert evaluate(vae.eval(), x, Generator(1), samples=2) == first


# --- likelihoods -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 15, 16, 255])
def test_binomial_likelihood_is_scipys(levels: int, device: str) -> None:
    rng = np.random.default_rng(levels)
    logits, counts = rng.normal(size=(3, 2, 4)), rng.integers(0, levels + 1, (3, 2, 4))
    found = BinomialLikelihood(levels).log_prob(tg.tensor(logits), tg.tensor(counts / levels)).numpy()
    expected = scipy.stats.binom(levels, 1 / (1 + np.exp(-logits))).logpmf(counts).sum((1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-11)  # the same few terms in another order


def test_grey_pixels_are_impossible_in_black_and_white(device: str) -> None:
    found = BinomialLikelihood().log_prob(tg.zeros((2, 2)), tg.tensor([[0.0, 1.0], [0.0, 0.5]])).numpy()
    np.testing.assert_allclose(found, [-2 * np.log(2), -np.inf], rtol=1e-6)


def test_levels_that_do_not_come_back_are_refused() -> None:
    with pytest.raises(ValueError, match="k/13·13 is not always k"):
        BinomialLikelihood(13)


@pytest.mark.parametrize("levels", [0, -1, 1.5, float("nan")])
def test_levels_must_be_a_whole_number(levels: float) -> None:
    with pytest.raises(ValueError, match="levels must be a whole number of at least 1, got"):
        BinomialLikelihood(levels)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_must_be_a_standard_deviation(scale: float) -> None:
    with pytest.raises(ValueError, match="scale is a standard deviation: positive and finite, got"):
        NormalLikelihood(scale)


def test_normal_likelihood_is_squared_error_in_nats(device: str) -> None:
    rng = np.random.default_rng(0)
    output, x, scale = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), 0.3
    found = NormalLikelihood(scale).astype(np.float64).log_prob(tg.tensor(output), tg.tensor(x)).numpy()
    by_hand = -((x - output) ** 2).sum(1) / (2 * scale**2) - 5 / 2 * np.log(2 * np.pi * scale**2)  # VAE-6
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)  # the scale was rounded to float32 when it was made


def test_images_whose_sides_do_not_halve_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        convolutional((1, 10, 8), 2, rng=Generator(0))


# --- bounds and gradients ----------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.sampled_from([0.25, 1.0, 3.0]))
def test_gradient_derived_by_hand(device: str, seed: int, beta: float) -> None:
    """Linear encoder and decoder, black and white: every gradient of β KL − E log p(x | z) written out.

    δ = σ(logits) − x at the output;  ∂/∂z = Vᵀδ;  ∂/∂μ = ∂/∂z + βμ;  ∂/∂log σ² = ½ σε ∂/∂z + ½ β(σ² − 1).
    """
    n, pixels, latent = 4, 6, 2
    vae = linear(pixels, latent, BinomialLikelihood(), seed)
    x = black_and_white(n, pixels, seed=seed).astype(np.float64)
    log_likelihood, kl = vae.elbo(Generator(seed), tg.tensor(x))
    found = tg.grad(tg.sum(beta * tg.sum(kl, axis=1) - log_likelihood), vae.parameters())

    W, b, V, c = (parameter.numpy() for parameter in vae.parameters())
    mean, log_variance = np.split(x @ W.T + b, 2, axis=1)
    deviation, noise = np.exp(log_variance / 2), Generator(seed).normal((n, latent), dtype=np.float64).numpy()
    z = mean + deviation * noise
    delta = 1 / (1 + np.exp(-(z @ V.T + c))) - x
    at_z = delta @ V
    code = np.hstack([at_z + beta * mean, deviation * noise * at_z / 2 + beta * (deviation**2 - 1) / 2])
    by_hand = [code.T @ x, code.sum(0), delta.T @ z, delta.sum(0)]
    for one, expected in zip(found, by_hand, strict=True):
        np.testing.assert_allclose(one.numpy(), expected, rtol=1e-9, atol=1e-11)  # float64, sums of a dozen terms


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(1, 5))
def test_both_bounds_are_exact_at_the_exact_posterior(device: str, seed: int, samples: int) -> None:
    """pPCA with orthogonal columns has a diagonal posterior: with it, every single weight is p(x) (VAE-5)."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(5, 2)))[0] * rng.uniform(0.5, 2.0, 2)
    x, offset, sigma = rng.normal(size=(3, 5)), rng.normal(size=5), 0.5
    vae = linear(5, 2, NormalLikelihood(sigma).astype(np.float64), seed)
    precision = 1 + (basis**2).sum(0) / sigma**2  # the diagonal of M = I + WᵀW/σ²
    to_mean = basis.T / sigma**2 / precision[:, None]
    weight = np.vstack([to_mean, np.zeros((2, 5))])
    bias = np.concatenate([-to_mean @ offset, -np.log(precision)])
    for parameter, value in zip(vae.parameters(), (weight, bias, basis, offset), strict=True):
        parameter.assign(tg.tensor(value))
    marginal = scipy.stats.multivariate_normal(offset, basis @ basis.T + sigma**2 * np.eye(5)).logpdf(x)
    bound = vae.importance_weighted_bound(Generator(seed), tg.tensor(x), samples).numpy()
    np.testing.assert_allclose(bound, marginal, rtol=1e-6)  # σ was made in float32
    terms = [vae.elbo(Generator(seed + i), tg.tensor(x)) for i in range(200)]
    elbo = np.mean([log_likelihood.numpy() - kl.numpy().sum(1) for log_likelihood, kl in terms], axis=0)
    # The spread over z of log p(x | z) is that of a quadratic in 2 normals, below 3 here: 5 standard errors.
    assert (np.abs(elbo - marginal) < 5 * 3 / np.sqrt(200)).all()


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_a_step_descends_beta_kl_minus_reconstruction(beta: float, device: str) -> None:
    """VAE-8: one step of gradient descent with rate 1, against the gradient of the written-out loss, same noise."""
    vae = linear(6, 2, BinomialLikelihood(), seed=3)
    x = tg.tensor(black_and_white(5, 6).astype(np.float64))
    log_likelihood, kl = vae.elbo(Generator(4), x)
    loss = tg.sum(beta * kl) / 5 - tg.sum(log_likelihood) / 5
    parameters = list(vae.parameters())
    slopes = tg.grad(loss, parameters)
    expected = [p.numpy() - slope.numpy() for p, slope in zip(parameters, slopes, strict=True)]
    batches = tg.data.Batches(x, size=5, rng=Generator(5))
    ascend(State(vae, optim.SGD(parameters, lr=1.0), batches, Generator(4), beta), x)
    for parameter, values in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.numpy(), values, rtol=1e-12, atol=1e-13)  # rounding of sums of 5 rows
