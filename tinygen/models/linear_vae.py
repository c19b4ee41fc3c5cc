"""Linear variational autoencoder, and probabilistic PCA, which is its exact optimum (VAE-1 … VAE-7).

    z ~ N(0, I),   x | z ~ N(W z + b, σ² I)    so that    x ~ N(b, W Wᵀ + σ² I)      (VAE-1)
    q(z | x) = N(A (x − c), diag t²)                                               (VAE-2)

Everything has a closed form: the bound needs no sampling, log p(x) stands beside it, and the best W, b, σ are known.
The bound is tight exactly where the posterior covariance (I + WᵀW/σ²)⁻¹ is diagonal, so training turns the columns
of W until they are orthogonal: the VAE finds the principal directions themselves, not only their subspace (VAE-5).

Source: Tipping & Bishop 1999 for the optimum; Lucas et al. 2019, Don't Blame the ELBO!, for the linear VAE.
All terms are in nats per example.  Shapes: data (N, D), latents (N, k).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.distributions import MultivariateNormal, Normal, kl_divergence
from tinygen.metrics.arrays import numbers
from tinygen.models import pca
from tinygen.random import Generator
from tinygen.tensor import Tensor


class LinearVAE(nn.Module):
    """``decoder`` holds W (D, k) and b, ``encoder`` A and −A c; log t (k,) and log σ are free numbers."""

    def __init__(self, dimensions: int, latent: int, *, rng: Generator) -> None:
        self.encoder = nn.Linear(dimensions, latent, rng=rng)
        self.decoder = nn.Linear(latent, dimensions, rng=rng)
        self.log_deviation = nn.Parameter(tg.zeros(latent))
        self.log_noise = nn.Parameter(tg.zeros(()))

    def posterior(self, x: Tensor) -> Normal:
        """q(z | x), one normal for each latent dimension: batch shape (N, k)."""
        return Normal(self.encoder(x), tg.exp(self.log_deviation))

    def marginal(self) -> MultivariateNormal:
        """p(x) = N(b, W Wᵀ + σ² I)."""
        W, b = self.decoder.weight, self.decoder.bias
        variance = tg.exp(2.0 * self.log_noise)
        identity = tg.eye(W.shape[0], dtype=W.dtype, device=W.device)
        return MultivariateNormal(b, W @ W.T + variance * identity)

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E_q log p(x | z) (N,), and KL(q(z | x) ‖ N(0, I)) of each latent dimension (N, k), in closed form (VAE-6)."""
        q, W = self.posterior(x), self.decoder.weight
        error = tg.sum(tg.square(x - self.decoder(q.mean)), axis=1)  # ‖x − W m − b‖²
        spread = tg.sum(tg.square(W) * tg.square(q.scale))  # tr(W diag t² Wᵀ)
        log_likelihood = (
            -0.5 * tg.exp(-2.0 * self.log_noise) * (error + spread)
            - x.shape[1] * (self.log_noise + 0.5 * math.log(2.0 * math.pi))
        )  # fmt: skip
        return log_likelihood, kl_divergence(q, Normal(0.0, 1.0))

    def elbo(self, x: Tensor) -> Tensor:
        """The bound for each row (N,) (VAE-4)."""
        log_likelihood, kl = self.terms(x)
        return log_likelihood - tg.sum(kl, axis=1)

    def exact_posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means (N, k) and the covariance (k, k) of p(z | x): M⁻¹ Wᵀ (x − b) / σ² and M⁻¹, M = I + WᵀW/σ² (VAE-5)."""
        W, b = self.decoder.weight, self.decoder.bias
        precision = tg.exp(-2.0 * self.log_noise)
        covariance = tg.linalg.inv(tg.eye(W.shape[1], dtype=W.dtype, device=W.device) + precision * (W.T @ W))
        return precision * ((x - b) @ W) @ covariance, covariance


@dataclass
class State:
    """All that a training step reads and changes.  ``beta`` weighs the KL term; 1 gives the bound itself (VAE-8)."""

    vae: LinearVAE
    optimizer: optim.Optimizer
    batches: Batches
    beta: float = 1.0


def step(state: State) -> Mapping[str, Tensor]:
    """One step up the bound, without any noise but that of the batch (VAE-7)."""
    (x,) = state.batches.next()
    log_likelihood, kl = state.vae.terms(x)
    reconstruction, kl = tg.mean(log_likelihood), tg.mean(tg.sum(kl, axis=1))
    state.optimizer.minimize(state.beta * kl - reconstruction)
    return {"ELBO": reconstruction - kl}


def collapsed_kl(variances: Any, noise: float, beta: float) -> np.ndarray:
    """KL of each latent dimension at the optimum of reconstruction − β KL with the noise σ fixed: ½ ln⁺(λ / βσ²).

    λ are the variances of the data along their principal directions.  A dimension switches off for good once
    β ≥ λ/σ²: what it would save in reconstruction no longer pays its KL (VAE-9).
    """
    ratio = np.asarray(variances, dtype=np.float64) / (beta * noise**2)
    kl: np.ndarray = 0.5 * np.log(np.maximum(ratio, 1.0))
    return kl


@dataclass(frozen=True)
class ProbabilisticPCA:
    """The exact maximum-likelihood fit of x ~ N(b, W Wᵀ + σ² I) to data, on the host in float64."""

    W: np.ndarray
    b: np.ndarray
    noise: float
    log_likelihood: float
    """Mean log p(x) of the data it was fitted to: no W, b, σ reaches more."""

    def marginal(self) -> MultivariateNormal:
        """p(x) = N(b, W Wᵀ + σ² I), for data that it was not fitted to."""
        return MultivariateNormal(self.b, self.W @ self.W.T + self.noise**2 * np.eye(len(self.b)))


def fit_probabilistic_pca(x: Any, k: int) -> ProbabilisticPCA:
    """W = U (Λ − σ² I)^½ of the k largest eigenvalues Λ of the covariance, σ² = the mean of the others.

    Points (N, D) need 0 ≤ k < D, and must not lie in k dimensions altogether: with σ → 0 their likelihood would grow
    without bound.  ValueError otherwise.
    """
    found = pca.fit(x)
    dimensions = len(found.mean)
    if not 0 <= k < dimensions:
        raise ValueError(f"fit_probabilistic_pca: points of {dimensions} dimensions need 0 ≤ k < {dimensions}, got {k}")
    eigenvalues = np.zeros(dimensions)  # N points vary in min(N, D) dimensions at most, and not in the others
    eigenvalues[: len(found.variances)] = found.variances
    kept, discarded = eigenvalues[:k], eigenvalues[k:]
    variance = float(discarded.mean())
    if not variance > np.finfo(np.float64).eps * eigenvalues[0]:
        raise ValueError(
            f"fit_probabilistic_pca: all points lie in {k} dimensions, so that no noise is left and the likelihood has "
            "no maximum; take a smaller k or more points"
        )
    W = found.directions[:k].T * np.sqrt(kept - variance)
    log_determinant = np.log(kept).sum() + len(discarded) * math.log(variance)
    log_likelihood = -0.5 * (dimensions * math.log(2.0 * math.pi) + log_determinant + dimensions)
    return ProbabilisticPCA(W, found.mean, math.sqrt(variance), float(log_likelihood))


def largest_angle(first: Any, second: Any) -> float:
    """Degrees between the column spaces of two matrices (D, k): the largest principal angle.

    From its sine, which does not lose the small angles as the cosine does (Björck & Golub 1973).  ValueError unless
    both have k independent columns.
    """
    matrices = [numbers("largest_angle", name, m, 2) for name, m in (("first", first), ("second", second))]
    if matrices[0].shape != matrices[1].shape or any(np.linalg.matrix_rank(m) < m.shape[1] for m in matrices):
        raise ValueError(
            f"largest_angle: matrices of shapes {matrices[0].shape} and {matrices[1].shape} must have the same shape "
            "(D, k) and k independent columns"
        )
    a, b = (np.linalg.qr(m)[0] for m in matrices)
    sine = np.linalg.norm(b - a @ (a.T @ b), ord=2)
    return math.degrees(math.asin(min(float(sine), 1.0)))
