"""What a variational autoencoder with two latent dimensions leaves to be known exactly: log p(x) and p(z | x).

    p(x) = ∫ p(x | z) N(z; 0, I) dz ≈ Σ_g w_g p(x | z_g)        z_g on a lattice, w_g = N(z_g; 0, I) · area of a cell

The sum is as good as exact where cells are no wider than the deviations of the posteriors, and the lattice reaches as
far as they do.  So both sides of VAE-4 can be computed in a trained model:

    log p(x) − ELBO(x) = KL(q(z | x) ‖ p(z | x))

Everything is in float64 and in nats per image.  Shapes: images (N, D) with values k / levels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np

import tinygen as tg
from tinygen.distributions import Normal
from tinygen.models.vae import VAE, BinomialLikelihood
from tinygen.tensor import Tensor


class LatticeVAE:
    """A copy of a VAE with its prior on a lattice of ``cells`` · ``cells`` points in the square |z₁|, |z₂| < ``reach``.

    Raises ValueError unless the VAE has two latent dimensions and a binomial likelihood.
    """

    @tg.no_grad()
    def __init__(self, vae: VAE, *, reach: float = 5.0, cells: int = 320) -> None:
        if vae.latent != 2 or not isinstance(vae.likelihood, BinomialLikelihood):
            raise ValueError(
                f"LatticeVAE: needs 2 latent dimensions and a BinomialLikelihood, not {vae.latent} and "
                f"{type(vae.likelihood).__name__}; use importance_weighted_bound for others"
            )
        self.vae, self.levels = copy.deepcopy(vae).astype(np.float64), vae.likelihood.levels
        centres = tg.tensor((np.arange(cells) + 0.5) * (2.0 * reach / cells) - reach)
        across, down = tg.tile(centres, cells), tg.repeat(tg.flip(centres), cells)  # from the top, as plots.lattice
        self.points = tg.stack([across, down], axis=1)
        self.log_area = 2.0 * math.log(2.0 * reach / cells)
        self.logits = self.vae.decoder(self.points)
        log_prior = tg.sum(Normal(0.0, 1.0).log_prob(self.points), axis=1)
        self.offset = log_prior - self.levels * tg.sum(tg.softplus(self.logits), axis=1)  # what no image changes

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x | z) p(z) at the points of the lattice (N, points).

        A pixel with k = n x of n cells inked and the logit ℓ gives log C(n, k) + k ℓ − n log(1 + e^ℓ).
        """
        n = self.levels
        # At ℓ = 0 the likelihood is 2⁻ⁿ C(n, k): it knows the binomial coefficients.
        coefficients = self.vae.likelihood.log_prob(tg.zeros_like(x), x) + n * x.shape[1] * math.log(2.0)
        joint: Tensor = n * (x @ self.logits.T) + self.offset + coefficients[:, None]
        return joint

    @tg.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (N,)."""
        return tg.concatenate([tg.logsumexp(self.log_joint(block), axis=1) for block in _blocks(x)]) + self.log_area

    @tg.no_grad()
    def log_posterior(self, x: Tensor) -> Tensor:
        """The density log p(z | x) at the points of the lattice (N, points)."""
        return tg.log_softmax(self.log_joint(x)) - self.log_area

    @tg.no_grad()
    def divergence(self, x: Tensor) -> Tensor:
        """KL(q(z | x) ‖ p(z | x)) (N,): what the encoder loses."""
        lost = []
        for block in _blocks(x):
            q = self.vae.posterior(block)
            log_q = tg.sum(Normal(q.loc[:, None], q.scale[:, None]).log_prob(self.points), axis=2)
            lost.append(tg.sum(tg.exp(log_q + self.log_area) * (log_q - self.log_posterior(block)), axis=1))
        return tg.concatenate(lost)


def _blocks(x: Tensor, size: int = 16) -> Iterator[Tensor]:
    """Some images at a time: a number for each image and point would be too many."""
    return (x[start : start + size] for start in range(0, len(x), size))
