"""Variational autoencoder (VAE-1 … VAE-10): a decoder that generates from noise, and an encoder that infers the noise.

    z ~ N(0, I),   x | z ~ a likelihood whose parameters are decoder(z)          (VAE-1)
    q(z | x) = N(μ(x), diag σ²(x)),   (μ, log σ²) = encoder(x)                   (VAE-2)
    ELBO(x) = E_q log p(x | z) − KL(q(z | x) ‖ N(0, I))  ≤  log p(x)             (VAE-4)

Source: Kingma & Welling 2014, Auto-Encoding Variational Bayes; Burda et al. 2016 for the importance-weighted bound;
Higgins et al. 2017 for β.  Departure: a pixel may be a count of inked cells out of ``levels`` (1 gives their
Bernoulli), so that the bound is that of a probability of the data as they are.  All terms are in nats per image,
summed over pixels and latent dimensions.

Shapes: data (N, …) of any shape that the networks fit, latents (N, latent).  The claims VAE-3 … VAE-7 of
``tinygen.lectures`` compare these formulas with quadrature and with gradients derived by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.distributions import Bernoulli, Binomial, Distribution, Independent, Normal, kl_divergence
from tinygen.operands import is_whole
from tinygen.random import Generator
from tinygen.tensor import Tensor

# --- likelihoods: what a decoder's output says about the data ----------------------------------------------------


class Likelihood(nn.Module):
    """p(x | z): its forward turns the decoder's output (N, …) into a distribution of the data."""

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) (N,)."""
        distribution: Distribution = self(output)
        return distribution.log_prob(x)

    def expectation(self, output: Tensor) -> Tensor:
        """E[x | z], of the shape of the data."""
        raise NotImplementedError


class BinomialLikelihood(Likelihood):
    """Each pixel is k / levels with k ~ Binomial(levels, σ(output)); one level is the Bernoulli of black and white.

    Other values than 0, 1/levels … 1 are impossible: their log-probability is −∞, and not that of a grey pixel under
    a likelihood of black and white, which is none.
    """

    def __init__(self, levels: int = 1) -> None:
        if not is_whole(levels) or levels < 1:
            raise ValueError(f"BinomialLikelihood: levels must be a whole number of at least 1, got {levels}")
        k = np.arange(levels + 1, dtype=np.float32)
        if not np.array_equal(k / np.float32(levels) * np.float32(levels), k):
            raise ValueError(f"BinomialLikelihood: k/{levels}·{levels} is not always k in float32; use 15, 16 or 255")
        self.levels = levels

    def forward(self, output: Tensor) -> Distribution:
        """The distribution of counts, of which ``output`` (N, …) are the logits."""
        family = Bernoulli(logits=output) if self.levels == 1 else Binomial(self.levels, logits=output)
        return Independent(family, output.ndim - 1)

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        return super().log_prob(output, x * self.levels)

    def expectation(self, output: Tensor) -> Tensor:
        return tg.sigmoid(output)


class NormalLikelihood(Likelihood):
    """Each number is normal around the decoder's output, with one standard deviation ``scale`` for all.

    log p(x | z) = −‖x − output‖² / 2σ² − D/2 · log 2πσ²: squared error in nats (VAE-6).
    """

    def __init__(self, scale: float = 1.0, *, learned: bool = False) -> None:
        if not 0.0 < scale < math.inf:
            raise ValueError(f"NormalLikelihood: scale is a standard deviation: positive and finite, got {scale}")
        log_scale = tg.tensor(math.log(scale))
        self.log_scale = nn.Parameter(log_scale) if learned else nn.Buffer(log_scale)

    def forward(self, output: Tensor) -> Distribution:
        """The distribution of the data, of which ``output`` (N, …) are the means."""
        return Independent(Normal(output, tg.exp(self.log_scale)), output.ndim - 1)

    def expectation(self, output: Tensor) -> Tensor:
        return output


# --- the model ---------------------------------------------------------------------------------------------------


class VAE(nn.Module):
    """An encoder from data to (N, 2 · latent), a decoder from (N, latent) to the likelihood's parameters.

    ``perceptron`` and ``convolutional`` make the networks.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, latent: int) -> None:
        self.encoder, self.decoder, self.likelihood, self.latent = encoder, decoder, likelihood, latent

    def posterior(self, x: Tensor) -> Normal:
        """q(z | x), one normal for each latent dimension: batch shape (N, latent) (VAE-2)."""
        mean, log_variance = tg.split(self.encoder(x), 2, axis=1)
        return Normal(mean, tg.exp(0.5 * log_variance))

    def decode(self, z: Tensor) -> Tensor:
        """The expected data E[x | z]."""
        return self.likelihood.expectation(self.decoder(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """The expected data of the posterior's mean."""
        return self.decode(self.posterior(x).mean)

    def sample(self, rng: Generator, count: int) -> Tensor:
        """Expected data of latents drawn from N(0, I)."""
        like = next(iter(self.parameters()))
        return self.decode(rng.normal((count, self.latent), dtype=like.dtype, device=like.device))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) (N,)."""
        return self.likelihood.log_prob(self.decoder(z), x)

    def elbo(self, rng: Generator, x: Tensor) -> tuple[Tensor, Tensor]:
        """E_q log p(x | z) by one sample (N,), and KL(q(z | x) ‖ N(0, I)) of each latent dimension (N, latent) (VAE-4).

        The bound of an image is the first minus the sum of the second.
        """
        q = self.posterior(x)
        z = q.rsample(rng)  # PROB-7: z = μ + σ ε
        return self.log_likelihood(x, z), kl_divergence(q, Normal(0.0, 1.0))

    def importance_weighted_bound(self, rng: Generator, x: Tensor, samples: int) -> Tensor:
        """log 1/K Σ p(x, z_k) / q(z_k | x) with z_k ~ q (N,): its mean is between the ELBO and log p(x)."""
        q, prior = self.posterior(x), Normal(0.0, 1.0)
        log_weights = []
        for _ in range(samples):
            z = q.rsample(rng)
            log_weights.append(self.log_likelihood(x, z) + tg.sum(prior.log_prob(z) - q.log_prob(z), axis=1))
        return tg.logsumexp(tg.stack(log_weights), axis=0) - math.log(samples)


def perceptron(
    size: int, latent: int, hidden: int = 256, likelihood: Likelihood | None = None, *, rng: Generator
) -> VAE:
    """Rows of ``size`` numbers; one hidden layer in each network.  The default likelihood is black and white."""
    encoder = nn.Sequential(nn.Linear(size, hidden, rng=rng), nn.ELU(), nn.Linear(hidden, 2 * latent, rng=rng))
    decoder = nn.Sequential(nn.Linear(latent, hidden, rng=rng), nn.ELU(), nn.Linear(hidden, size, rng=rng))
    return VAE(encoder, decoder, likelihood or BinomialLikelihood(), latent)


def convolutional(
    shape: tuple[int, int, int],
    latent: int,
    channels: int = 32,
    likelihood: Likelihood | None = None,
    *,
    rng: Generator,
) -> VAE:
    """Images (C, H, W) with sides that 4 divides: two convolutions that halve them, two that double (CNN-3, 4).

    The default likelihood is black and white.
    """
    colours, height, width = shape
    if height % 4 or width % 4:
        raise ValueError(f"convolutional: the sides of images {shape} must be multiples of 4; pad them")
    small = (2 * channels, height // 4, width // 4)
    encoder = nn.Sequential(
        nn.Conv2d(colours, channels, 4, stride=2, padding=1, rng=rng), nn.ELU(),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, rng=rng), nn.ELU(),
        nn.Flatten(), nn.Linear(math.prod(small), 2 * latent, rng=rng),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent, math.prod(small), rng=rng), nn.ELU(), nn.Unflatten(1, small),
        nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, rng=rng), nn.ELU(),
        nn.ConvTranspose2d(channels, colours, 4, stride=2, padding=1, rng=rng),
    )  # fmt: skip
    return VAE(encoder, decoder, likelihood or BinomialLikelihood(), latent)


# --- the training ------------------------------------------------------------------------------------------------


@dataclass
class State:
    """All that a training step reads and changes.  ``beta`` weighs the KL term; 1 gives the bound itself (VAE-8)."""

    vae: VAE
    optimizer: optim.Optimizer
    batches: Batches
    rng: Generator
    beta: float = 1.0


def step(state: State) -> Mapping[str, Tensor]:
    """One step up the bound of the next batch (VAE-7)."""
    (x,) = state.batches.next()
    return ascend(state, x)


def ascend(state: State, x: Tensor) -> Mapping[str, Tensor]:
    """Encode, draw z = μ + σ ε, decode, and go up the bound of these data."""
    log_likelihood, kl = state.vae.elbo(state.rng, x)
    reconstruction, kl = tg.mean(log_likelihood), tg.mean(tg.sum(kl, axis=1))
    state.optimizer.minimize(state.beta * kl - reconstruction)
    return {"ELBO": reconstruction - kl, "reconstruction": reconstruction, "KL": kl}


def evaluate(vae: VAE, x: Tensor, rng: Generator, samples: int = 20) -> dict[str, float]:
    """The bound on given images and its two terms, in evaluation mode, in nats per image, averaged over draws of z.

    ``active`` counts the latent dimensions whose KL is above 0.1: the others are noise to the decoder.
    """
    with tg.no_grad(), nn.evaluating(vae):
        terms = [vae.elbo(rng, x) for _ in range(samples)]
    reconstruction = sum(float(tg.mean(log_likelihood)) for log_likelihood, _ in terms) / samples
    kl = tg.mean(terms[0][1], axis=0).numpy()
    return {
        "ELBO": reconstruction - float(kl.sum()),
        "reconstruction": reconstruction,
        "KL": float(kl.sum()),
        "active": float((kl > 0.1).sum()),
    }
