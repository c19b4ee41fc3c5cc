"""Adversarial games in the plane, where one sees what a generator does: two perceptrons, and how samples are judged.

The game is that of :mod:`tinygen.models.gan`, with settings that were found to train (biases of the size of the data,
an Adam without momentum, a rate that falls to nothing, a moving average of the generator).  What is judged is the
collapse of modes (GAN-22), on densities whose modes can be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim
from tinygen.adversarial import Objective, Penalty, non_saturating
from tinygen.data import Draws
from tinygen.data.pushforward import Density
from tinygen.models.gan import State, normal_prior, perceptron
from tinygen.optim.schedules import Schedule
from tinygen.random import Generator
from tinygen.tensor import Tensor

BATCH, WIDTH, LATENT = 128, 128, 2


class Unfolded(nn.Module):
    """G(z) = size · z + h(z) with h = 0 at first: a generator that begins as N(0, size² I), a sheet without folds.

    A perceptron with random weights begins crumpled: a third to a half of the sheet lies face down.  Where a fold
    outlives the first steps, a mode is met by several regions of z, and between any two regions lie points of no mode,
    for G is continuous.  The critic does not take a fold out: it sees where points are, not which z they come from.
    """

    def __init__(self, size: float, *, rng: Generator) -> None:
        self.size, self.bend = size, perceptron((LATENT, WIDTH, WIDTH, LATENT), rng=rng)
        *_, last = self.bend
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def forward(self, z: Tensor) -> Tensor:
        bend: Tensor = self.bend(z)
        return self.size * z + bend


@dataclass
class PlaneState(State):
    """A game in the plane, and the points (n, 2) that were kept of it on the way, for a picture that moves."""

    frames: list[np.ndarray] = field(default_factory=list)


def plane_game(
    data: Density,
    steps: int,
    *,
    rng: Generator,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    objective: Objective = non_saturating,
    penalties: Sequence[Penalty] = (),
    discriminator_steps: int = 1,
    clip: float | None = None,
    rate: Schedule | None = None,
) -> PlaneState:
    """A generator of points (N, 2) and a discriminator, for ``steps`` steps of the generator.

    ``rate`` is the learning rate at each of them, by default a cosine from 3e-3 to 6e-5; a discriminator that takes
    several steps for each has the same rate in all of them.
    """
    generator = generator or perceptron((LATENT, WIDTH, WIDTH, 2), rng=rng.spawn("generator"))
    discriminator = discriminator or perceptron((2, WIDTH, WIDTH, 1), rng=rng.spawn("discriminator"))
    at = rate or optim.cosine(3e-3, steps, end=6e-5)
    return PlaneState(
        generator,
        discriminator,
        optim.Adam(generator.parameters(), lr=at, betas=(0.0, 0.9)),
        optim.Adam(discriminator.parameters(), lr=lambda step: at(step // discriminator_steps), betas=(0.0, 0.9)),
        Draws(lambda rng: data.sample(rng, BATCH), rng=rng.spawn("data")),
        normal_prior(BATCH, LATENT),
        rng.spawn("noise"),
        objective,
        list(penalties),
        discriminator_steps,
        clip=clip,
        average=optim.ExponentialMovingAverage(generator, 0.99),
    )


@tg.no_grad()
def samples(state: State, rng: Generator, count: int) -> np.ndarray:
    """Points (count, 2) of the averaged generator."""
    assert state.average is not None
    points: np.ndarray = state.average.module(rng.normal((count, LATENT))).numpy()
    return points


def judge(points: np.ndarray, data: Density) -> dict[str, float]:
    """Modes covered, the share of points within 3 sd of a mode, and how unevenly modes are met (GAN-22).

    ValueError for a density without modes.
    """
    if data.modes is None:
        raise ValueError(f"judge: {data!r} has no modes to count; take a ring or a grid")
    centres, sd = data.modes
    return {
        "modes": metrics.modes_covered(points, centres, sd),
        "good samples": metrics.high_quality_share(points, centres, sd),
        "KL of the modes": metrics.mode_kl(points, centres),
    }
