"""Floor 6. What keeps a critic from becoming steep: penalties on its slopes, clipping, noise (WGAN-3, 5, 9).

Each penalty is a function of a critic, and a small object that remembers its settings for a training loop: called
with (critic, real, fake), it gives a term to add to the discriminator's loss.  A critic is any function from a batch
(N, …) to one score each, (N,) or (N, 1), before any sigmoid.  It must judge each example by itself: with batch
normalisation the slopes of one example are not its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tinygen import ops
from tinygen.autograd import grad
from tinygen.nn.activations import Parameterless
from tinygen.nn.dropout import own_stream
from tinygen.nn.module import Module
from tinygen.operands import is_whole
from tinygen.optim.schedules import Schedule
from tinygen.random import Generator
from tinygen.tensor import Tensor, detach
from tinygen.transforms import fresh

Critic: TypeAlias = Callable[[Tensor], Tensor]
Penalty: TypeAlias = Callable[[Critic, Tensor, Tensor], "Tensor | float"]
"""From a critic, real and fake examples to a term of the discriminator's loss."""


def squared_slopes(critic: Critic, x: Tensor) -> Tensor:
    """‖∇ₓ critic(x)‖² of each example, (N,), summed over all axes but the batch; differentiable in the critic."""
    return ops.sum(ops.square(_slopes("squared_slopes", critic, x)), axis=1)


def _slopes(name: str, critic: Critic, x: Tensor) -> Tensor:
    """∇ₓ critic(x) of each example, as rows (N, numbers of an example)."""
    x = fresh(detach(x))
    scores = critic(x)
    if scores.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(
            f"{name}: the critic must give one score for each of {len(x)} examples, got shape {scores.shape}; "
            f"reduce the other axes in the critic"
        )
    (slope,) = grad(ops.sum(scores), x, create_graph=True)
    return _rows(slope)


def gradient_penalty(
    rng: Generator, critic: Critic, real: Tensor, fake: Tensor, weight: float = 10.0, power: int = 2
) -> Tensor:
    """λ E |‖∇D(x̂)‖ − 1|^power at x̂ = ε x + (1 − ε) G(z), ε ~ U(0, 1) for each example (WGAN-3).

    Power 2 is that of Gulrajani et al. 2017, power 1 that of the notes.  Real and fake examples (N, …) are constants.
    The best critic's slope is a little above 1, so that its gap is a little above the distance W₁.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient_penalty: real {real.shape} and fake {fake.shape} must have the same shape")
    _require_power("gradient_penalty", power)
    _require_weight("gradient_penalty: weight", weight)
    real, fake = detach(real), detach(fake)
    epsilon = rng.uniform((len(real),) + (1,) * (real.ndim - 1), dtype=real.dtype, device=real.device)
    slopes = _slopes("gradient_penalty", critic, epsilon * real + (1.0 - epsilon) * fake)
    norm = ops.linalg.norm(slopes, axis=1)  # its derivative at 0, where a critic is flat, is taken as 0
    deviation = ops.square(norm - 1.0) if power == 2 else ops.abs(norm - 1.0)
    return weight * ops.mean(deviation)


def r1(critic: Critic, real: Tensor, gamma: float = 1.0) -> Tensor:
    """γ/2 E ‖∇D(x)‖² at real examples x, of logits (WGAN-5; Mescheder et al. 2018)."""
    _require_weight("r1: gamma", gamma)
    return 0.5 * gamma * ops.mean(squared_slopes(critic, real))


def path_lengths(rng: Generator, generator: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """‖Jᵀ y‖ with y ~ N(0, I) of each latent w (N, …): how far the image moves with the latent (Karras et al. 2020).

    For images (N, C, H, W) y is divided by √(H · W), so that the length does not grow with the resolution.
    """
    w = fresh(detach(w))
    images = generator(w)
    noise = rng.normal(images.shape, dtype=images.dtype, device=images.device)
    (slope,) = grad(images, w, noise * (1.0 / math.sqrt(math.prod(images.shape[2:]))), create_graph=True)
    return ops.linalg.norm(_rows(slope), axis=1)


def path_length(
    rng: Generator, generator: Callable[[Tensor], Tensor], w: Tensor, target: Tensor | float, weight: float = 2.0
) -> Tensor:
    """weight · E (‖Jᵀ y‖ − target)²: a penalty of the generator that wants steps in w to be steps in the image."""
    _require_weight("path_length: weight", weight)
    return weight * ops.mean(ops.square(path_lengths(rng, generator, w) - target))


def clip(weights: Module | Iterable[Tensor], limit: float) -> None:
    """Bring every weight into [−limit, limit], after a critic's step (WGAN-9).

    It bounds the slopes, by a number that is not known.  A momentum goes on pushing weights against their limit: use
    RMSprop, as the paper does, or Adam with β₁ = 0, which is the same but for its first steps.
    """
    if not limit > 0.0:
        raise ValueError(f"clip: limit must be positive, got {limit}")
    for weight in weights.parameters() if isinstance(weights, Module) else weights:
        weight.assign(ops.clip(detach(weight), -limit, limit)._data, copy=False)


def _rows(x: Tensor) -> Tensor:
    return ops.reshape(x, (len(x), math.prod(x.shape[1:])))


def _require_power(name: str, power: int) -> None:
    if power not in (1, 2):
        raise ValueError(f"{name}: power must be 1 or 2, got {power}")


def _require_weight(what: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{what} must be a number, not negative, got {value}")


# --- the same as objects, for a training loop --------------------------------------------------------------------


@dataclass
class GradientPenalty:
    """:func:`gradient_penalty`; ``weight`` may be a schedule over its calls (a ramp lets D find its side first)."""

    rng: Generator
    weight: float | Schedule = 10.0
    power: int = 2
    calls: int = 0

    def __post_init__(self) -> None:
        _require_power("GradientPenalty", self.power)
        if not callable(self.weight):
            _require_weight("GradientPenalty: weight", self.weight)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        weight = self.weight(self.calls) if callable(self.weight) else self.weight
        self.calls += 1
        return gradient_penalty(self.rng, critic, real, fake, weight, self.power)


@dataclass
class R1:
    """:func:`r1` at every ``every``-th call, times ``every``: the same on average for less (lazy regularisation)."""

    gamma: float = 1.0
    every: int = 1
    calls: int = 0

    def __post_init__(self) -> None:
        _require_weight("R1: gamma", self.gamma)
        if not is_whole(self.every) or self.every < 1:
            raise ValueError(f"R1: every must be a whole number from 1 on, got {self.every}")

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | float:
        due = self.calls % self.every == 0
        self.calls += 1
        return r1(critic, real, self.every * self.gamma) if due else 0.0


@dataclass
class PathLength:
    """:func:`path_length` whose target follows the mean length: mean ← mean + (1 − decay)(batch mean − mean)."""

    rng: Generator
    weight: float = 2.0
    decay: float = 0.99
    mean: Tensor | None = None

    def __post_init__(self) -> None:
        _require_weight("PathLength: weight", self.weight)
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"PathLength: decay must lie between 0 and 1, got {self.decay}")

    def __call__(self, generator: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
        lengths = path_lengths(self.rng, generator, w)
        batch = detach(ops.mean(lengths))
        previous = ops.zeros_like(batch) if self.mean is None else self.mean
        self.mean = detach(previous + (1.0 - self.decay) * (batch - previous))
        return self.weight * ops.mean(ops.square(lengths - self.mean))


class InstanceNoise(Parameterless):
    """Adds N(0, scale²) in training, as the first layer of a discriminator: laws that do not meet then do.

    (Sønderby et al. 2017.)  ``scale`` may be set anew at any time; the stream is the layer's own and is saved.
    """

    def __init__(self, scale: float, *, rng: Generator | None = None) -> None:
        if not scale >= 0.0:
            raise ValueError(f"InstanceNoise: scale must not be negative, got {scale}")
        self.scale = scale
        self.stream = own_stream(rng, "instance noise")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.scale == 0.0:
            return x
        return x + self.scale * self.stream.normal(x.shape, dtype=x.dtype, device=x.device)

    def describe(self) -> str:
        return str(self.scale)
