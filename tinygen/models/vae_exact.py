"""What a variational autoencoder with two latent dimensions leaves to be known exactly: log p(x) and p(z | x).

    p(x) = ∫ p(x | z) N(z; 0, I) dz ≈ Σ_g w_g p(x | z_g)        z_g on a lattice, w_g = N(z_g; 0, I) · area of a cell

The sum is as good as exact where cells are no wider than the deviations of the posteriors, and the lattice reaches as
far as they do; where it is not, ValueError says so.  So both sides of VAE-4 can be computed in a trained model:

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
from tinygen.operands import is_whole
from tinygen.tensor import Tensor


class LatticeVAE:
    """A copy of a VAE with its prior on a lattice of ``cells`` · ``cells`` points in the square |z₁|, |z₂| < ``reach``.

    The copy is in evaluation mode.  Raises ValueError unless the VAE has two latent dimensions and a binomial
    likelihood, and ``cells`` is even.
    """

    @tg.no_grad()
    def __init__(self, vae: VAE, *, reach: float = 5.0, cells: int = 320) -> None:
        if vae.latent != 2 or not isinstance(vae.likelihood, BinomialLikelihood):
            raise ValueError(
                f"LatticeVAE: needs 2 latent dimensions and a BinomialLikelihood, not {vae.latent} and "
                f"{type(vae.likelihood).__name__}; use importance_weighted_bound for others"
            )
        if not is_whole(cells) or cells < 4 or cells % 2 or not 0.0 < reach < math.inf:
            raise ValueError(
                f"LatticeVAE: needs an even number of cells, 4 or more, and reach > 0, got {cells}, {reach}"
            )
        self.vae, self.levels = copy.deepcopy(vae).astype(np.float64).eval(), vae.likelihood.levels
        self.reach, self.cells = reach, cells
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
        return tg.concatenate([tg.logsumexp(self._resolved(block), axis=1) for block in _blocks(x)]) + self.log_area

    @tg.no_grad()
    def log_posterior(self, x: Tensor) -> Tensor:
        """The density log p(z | x) at the points of the lattice (N, points)."""
        return tg.log_softmax(self._resolved(x)) - self.log_area

    @tg.no_grad()
    def divergence(self, x: Tensor) -> Tensor:
        """KL(q(z | x) ‖ p(z | x)) (N,): what the encoder loses."""
        lost = []
        for block in _blocks(x):
            q = self.vae.posterior(block)
            log_q = tg.sum(Normal(q.loc[:, None], q.scale[:, None]).log_prob(self.points), axis=2)
            mass = tg.exp(log_q + self.log_area)
            missed = np.abs(tg.sum(mass, axis=1).numpy() - 1.0)
            if not (missed < 1e-3).all():
                raise ValueError(f"divergence: q(z | x) sums to 1 ± {missed.max():.2g} {self._advice()}")
            lost.append(tg.sum(mass * (log_q - self.log_posterior(block)), axis=1))
        return tg.concatenate(lost)

    def _resolved(self, x: Tensor) -> Tensor:
        """The joint density of some images on the lattice, if that is fine and wide enough for their posteriors.

        Fine enough: its four sublattices of every second point in both directions agree within a tenth, and then their
        mean, for a normal posterior, is right within 2e-4.  Wide enough: next to nothing lies in the outermost cells.
        """
        joint = self.log_joint(x)
        half = self.cells // 2
        parts = tg.logsumexp(tg.reshape(joint, (-1, half, 2, half, 2)), axis=(1, 3)).numpy()
        differ = np.ptp(parts.reshape(len(parts), 4), axis=1)
        if not (differ < 0.1).all():
            raise ValueError(f"LatticeVAE: log p(x) differs by {differ.max():.2g} among sublattices {self._advice()}")
        square = tg.reshape(tg.softmax(joint), (-1, self.cells, self.cells))
        border = 1.0 - tg.sum(square[:, 1:-1, 1:-1], axis=(1, 2)).numpy()
        if not (border < 1e-3).all():
            raise ValueError(f"LatticeVAE: {border.max():.2g} of p(z | x) is in the outermost cells {self._advice()}")
        return joint

    def _advice(self) -> str:
        return (
            f"on a lattice of cells={self.cells} with reach={self.reach:g}: take more cells if a density is narrower "
            "than a cell, a larger reach if it lies outside"
        )


def _blocks(x: Tensor, size: int = 16) -> Iterator[Tensor]:
    """Some images at a time: a number for each image and point would be too many."""
    return (x[start : start + size] for start in range(0, len(x), size))
