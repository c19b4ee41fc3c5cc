"""The Dirac GAN (Mescheder et al. 2018): the smallest adversarial game, in which everything can be seen.

    data δ₀,   generator δ_θ,   discriminator with logit D(x) = ψ x

Two numbers (θ, ψ) and a saddle at (0, 0).  The *field* says where both players' gradients point, v = (−∂L_G/∂θ,
−∂L_D/∂ψ).  The eigenvalues λ of its Jacobian at the saddle say what its linear part does there: with real parts below
0 small steps end at the saddle; with imaginary ones it circles, and simultaneous steps of size h grow by |1 + hλ| each.
Where it circles, the rest decides.  The minimax and the Wasserstein game circle for ever, d(θ² + ψ²)/dt = 0, and spiral
outward in simultaneous steps (GAN-9); the non-saturating game comes slowly nearer, with −2 θψ tanh(θψ/2).

Departures from the paper: real data have the high logits here, and R1 has the factor ½ of WGAN-5.  Instance noise is
averaged over exactly, by Gauss–Hermite nodes, so that the field is one of numbers and not of chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygen as tg
from tinygen.adversarial import Objective, Penalty
from tinygen.tensor import Tensor
from tinygen.transforms import fresh

NODES = 40  # of the Gauss–Hermite rule: exact to 1e-12 for the losses' curvature at noise up to 1


@dataclass(frozen=True)
class DiracGAN:
    """A game of two numbers: an objective, a penalty of the critic, and noise on what the critic sees."""

    objective: Objective
    penalty: Penalty | None = None
    noise: float = 0.0

    def field(self, v: Tensor) -> Tensor:
        """Where both players go from each point (θ, ψ), (N, 2) to (N, 2); differentiable."""
        v = fresh(v)
        theta, psi = v[:, :1], v[:, 1:]

        def critic(x: Tensor) -> Tensor:
            return psi * x  # each row is a game with a critic of its own

        nodes, weights = self._nodes(v)
        real = critic(tg.zeros_like(theta) + nodes)
        fake = critic(theta + nodes)
        discriminator_loss = tg.sum(weights * (self.objective.real_loss(real) + self.objective.fake_loss(fake)))
        if self.penalty is not None:  # a mean over the rows, of which each wants its own
            discriminator_loss = discriminator_loss + len(v) * self.penalty(critic, tg.zeros_like(theta), theta)
        generator_loss = tg.sum(weights * self.objective.fooling_loss(fake))
        (theta_slope,) = tg.grad(generator_loss, theta, create_graph=True)
        (psi_slope,) = tg.grad(discriminator_loss, psi, create_graph=True)
        return -tg.concatenate([theta_slope, psi_slope], axis=1)

    def jacobian(self, theta: float = 0.0, psi: float = 0.0) -> np.ndarray:
        """∂v / ∂(θ, ψ), (2, 2), by the engine."""
        point = tg.tensor([[theta, psi]], dtype=np.float64)
        derivative: np.ndarray = tg.jacobian(self.field, point, batch=True).numpy()[0]
        return derivative

    def eigenvalues(self) -> np.ndarray:
        """Of the Jacobian at the saddle (0, 0): (2,) complex, the one with the larger imaginary part first.

        By the quadratic formula: a general routine halves the digits where both fall together.
        """
        J = self.jacobian()
        middle = 0.5 * np.trace(J)
        root = np.sqrt(complex(middle**2 - (J[0, 0] * J[1, 1] - J[0, 1] * J[1, 0])))
        return np.array([middle + root, middle - root])

    def _nodes(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the noise and their weights, (nodes,) each."""
        if self.noise == 0.0:
            return tg.zeros_like(v[0, :1]), tg.ones_like(v[0, :1])
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        made: Any = [nodes * self.noise, weights / math.sqrt(2.0 * math.pi)]
        return tg.tensor(made[0], dtype=v.dtype, device=v.device), tg.tensor(made[1], dtype=v.dtype, device=v.device)


def simultaneous(game: DiracGAN, start: Any, h: float, steps: int) -> np.ndarray:
    """Both players step at once, v ← v + h · field(v): the path (steps + 1, 2) in float64."""
    path = [tg.tensor([start], dtype=np.float64)]
    for _ in range(steps):
        path.append((path[-1] + h * game.field(path[-1])).detach())
    return np.concatenate([v.numpy() for v in path])


def alternating(game: DiracGAN, start: Any, h: float, steps: int) -> np.ndarray:
    """The discriminator steps, then the generator against the new discriminator (GAN-14): the path (steps + 1, 2)."""
    path = [tg.tensor([start], dtype=np.float64)]
    only_theta, only_psi = (tg.tensor(mask, dtype=np.float64) for mask in ([1.0, 0.0], [0.0, 1.0]))
    for _ in range(steps):
        v = (path[-1] + h * only_psi * game.field(path[-1])).detach()
        path.append((v + h * only_theta * game.field(v)).detach())
    return np.concatenate([v.numpy() for v in path])
