"""Generative adversarial networks (GAN-1 … GAN-22, WGAN-1 … 9): a generator that learns from a critic, and vice versa.

    V(G, D) = E_p ln D(x) + E_z ln(1 − D(G(z))),   min_G max_D V                 (GAN-3)

One training scheme serves all of them (GAN-14): ``step``.  What each player minimises is the state's ``objective``
(minimax, non-saturating, least squares, hinge, Wasserstein; smoothed, swapped, K + 1 classes), what keeps the critic
tame its ``penalties``, ``clip``, or spectral normalisation and noise in the network itself: ``tinygen.adversarial``.

Source: Goodfellow et al. 2014; Arjovsky et al. 2017 for the critic's many steps.  Departures: the discriminator is
stepped first, as in the paper; a conditional game (GAN-15; Mirza & Osindero 2014) is the same scheme on batches
(x, y), where both networks are called with y as well.

Shapes: data (N, …), noise (N, latent), logits (N, 1) or (N, K).  The claims GAN-10 … GAN-14 of ``tinygen.lectures``
compare the players' gradients with formulas derived by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tinygen as tg
from tinygen import nn, optim
from tinygen.adversarial import Objective, Penalty, clip, non_saturating
from tinygen.data import Source
from tinygen.random import Generator
from tinygen.tensor import Tensor

# --- networks ----------------------------------------------------------------------------------------------------


def perceptron(
    sizes: tuple[int, ...],
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    spread: float = 1.0,
    rng: Generator,
) -> nn.Sequential:
    """Dense layers of the given sizes, with weights after He et al. 2015 and hidden biases uniform in ±spread.

    Biases of the size of the data put the kinks of the first layer where the data are; with none, a critic of few
    inputs is nearly linear at first, and a generator begins as one straight line.
    """
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layer = nn.Linear(inputs, outputs, rng=rng)
        assert layer.bias is not None
        nn.init.kaiming_normal_(rng, layer.weight)
        if number < len(sizes) - 2:
            nn.init.uniform_(rng, layer.bias, -spread, spread)
            layers += [layer, activation()]
        else:
            nn.init.zeros_(layer.bias)
            layers.append(layer)
    return nn.Sequential(*layers)


class Affine(nn.Module):
    """G(z) = loc + scale · z: a generator whose law is known, N(loc, scale²), for games on the line."""

    def __init__(self, loc: float, scale: float) -> None:
        self.loc, self.scale = nn.Parameter(tg.tensor(loc)), nn.Parameter(tg.tensor(scale))

    def forward(self, z: Tensor) -> Tensor:
        return self.loc + self.scale * z


# --- the training ------------------------------------------------------------------------------------------------


@dataclass
class State:
    """All that a training step reads and changes.

    ``clip`` bounds the critic's weights after each of its steps (WGAN-9).  ``average`` follows the generator.
    ``labels`` gives (y,) to the generator of a conditional game, of the same law as those of ``real``.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: optim.Optimizer
    discriminator_optimizer: optim.Optimizer
    real: Source
    prior: Callable[[Generator], Tensor]
    rng: Generator
    objective: Objective = non_saturating
    penalties: list[Penalty] = field(default_factory=list)
    discriminator_steps: int = 1
    generator_steps: int = 1
    clip: float | None = None
    labels: Source | None = None
    average: optim.ExponentialMovingAverage[Any] | None = None


def normal_prior(count: int, latent: int) -> Callable[[Generator], Tensor]:
    """z ~ N(0, I), ``count`` rows (E-23: N(μ, Σ) is one linear layer away)."""
    return lambda rng: rng.normal((count, latent))


def step(state: State) -> Mapping[str, Tensor]:
    """One round of the game (GAN-14): the discriminator one or several times, then the generator likewise."""
    metrics: dict[str, Tensor] = {}
    for _ in range(state.discriminator_steps):
        metrics |= discriminator_step(state)
    for _ in range(state.generator_steps):
        metrics |= generator_step(state)
    return metrics


def discriminator_step(state: State) -> dict[str, Tensor]:
    """Draw x from the data and z from the prior; tell x from G(z) better.  The generator stays as it is."""
    x, *y = state.real.next()
    with nn.frozen(state.generator):
        fake = state.generator(state.prior(state.rng), *y)

    def critic(x: Tensor) -> Tensor:
        return state.discriminator(x, *y)  # type: ignore[no-any-return]

    loss = state.objective.discriminator_loss(critic(x), critic(fake))
    penalty = sum(penalty(critic, x, fake) for penalty in state.penalties)
    state.discriminator_optimizer.minimize(loss + penalty)
    if state.clip is not None:
        clip(state.discriminator, state.clip)
    return {"discriminator loss": loss}


def generator_step(state: State) -> dict[str, Tensor]:
    """Draw fresh z; make G(z) pass better.  The discriminator stays as it is, and real examples are not used."""
    y = () if state.labels is None else state.labels.next()
    fake = state.generator(state.prior(state.rng), *y)
    with nn.frozen(state.discriminator):
        loss = state.objective.generator_loss(state.discriminator(fake, *y))
    state.generator_optimizer.minimize(loss)
    if state.average is not None:
        state.average.update()
    return {"generator loss": loss}
