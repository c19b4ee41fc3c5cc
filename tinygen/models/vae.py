"""Variational autoencoder (VAE-1 … VAE-7): a decoder that generates from noise, and an encoder that infers the noise.

    z ~ N(0, I),   x | z ~ Binomial(levels, σ(decoder(z)))  for each pixel       (VAE-1)
    q(z | x) = N(μ(x), diag σ²(x))                                              (VAE-2)
    ELBO(x) = E_q log p(x | z) − KL(q(z | x) ‖ N(0, I))  ≤  log p(x)            (VAE-4)

Source: Kingma & Welling 2014, Auto-Encoding Variational Bayes.  Departure: their pixels are Bernoulli; here a
pixel is a count of inked cells out of ``levels`` (1 gives the Bernoulli), so that the bound is that of a
probability of the data as they are.  All terms are in nats per image, summed over pixels and latent dimensions.

Shapes: images (N, pixels) with values in [0, 1], latents (N, latent).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.random import Generator
from tinygen.tensor import Tensor


class VAE(nn.Module):
    """Encoder and decoder as perceptrons with one hidden layer each."""

    def __init__(
        self, pixels: int, latent: int, hidden: int = 256, levels: int = 1, *, rng: Generator | None = None
    ) -> None:
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden, rng=rng), nn.ELU(), nn.Linear(hidden, 2 * latent, rng=rng)
        )
        self.decoder = nn.Sequential(nn.Linear(latent, hidden, rng=rng), nn.ELU(), nn.Linear(hidden, pixels, rng=rng))
        self.latent, self.levels = latent, levels

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each (N, latent)."""
        mean, log_variance = tg.split(self.encoder(x), 2, axis=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """The expected image E[x | z], values in [0, 1]."""
        return tg.sigmoid(self.decoder(z))

    def sample(self, rng: Generator, count: int) -> Tensor:
        """Expected images of latents drawn from N(0, I)."""
        like = next(iter(self.parameters()))
        return self.decode(rng.normal((count, self.latent), dtype=like.dtype, device=like.device))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) (N,) = Σ log C(n, k) + k·l − n·log(1 + eˡ), for counts k = n·x and logits l."""
        logits, n = self.decoder(z), self.levels
        return tg.sum(n * (x * logits - tg.softplus(logits)) + log_binomial(n, x), axis=1)

    def elbo(self, rng: Generator, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two terms of the bound for each image (N,): E_q log p(x | z) by one sample, and KL (VAE-4)."""
        mean, log_variance = self.encode(x)
        noise = rng.normal(mean.shape, dtype=mean.dtype, device=mean.device)
        z = mean + tg.exp(0.5 * log_variance) * noise  # PROB-7: z = μ + σ ε
        return self.log_likelihood(x, z), kl_to_standard_normal(mean, log_variance)


def kl_to_standard_normal(mean: Any, log_variance: Any) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²), for each row (DIV-5)."""
    return 0.5 * tg.sum(tg.square(mean) + tg.exp(log_variance) - 1.0 - log_variance, axis=1)


def log_binomial(n: int, x: Tensor) -> Tensor:
    """log C(n, k) at k = n·x, from a table: it has no gradient, x is data."""
    table = tg.tensor([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)])
    counts = tg.astype(x.detach() * n + 0.5, int)
    return tg.take(table.astype(x.dtype).to(x.device), counts)


@dataclass
class State:
    """All that a training step reads and changes."""

    vae: VAE
    optimizer: optim.Adam
    batches: Batches
    rng: Generator


def step(state: State) -> Mapping[str, Tensor]:
    """One step up the bound (VAE-7): encode, draw z = μ + σ ε, decode, ascend."""
    (x,) = state.batches.next()
    reconstruction, kl = state.vae.elbo(state.rng, x)
    elbo = tg.mean(reconstruction - kl)
    state.optimizer.minimize(-elbo)
    return {"ELBO": elbo, "reconstruction": tg.mean(reconstruction), "KL": tg.mean(kl)}


def evaluate(vae: VAE, x: Tensor, rng: Generator, samples: int = 20) -> dict[str, float]:
    """The bound on given images and its two terms, in nats per image, averaged over several draws of z."""
    with tg.no_grad():
        terms = [vae.elbo(rng, x) for _ in range(samples)]
    reconstruction = sum(float(tg.mean(r)) for r, _ in terms) / samples
    kl = float(tg.mean(terms[0][1]))
    return {"ELBO": reconstruction - kl, "reconstruction": reconstruction, "KL": kl}
