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
from tinygen.optim.schedules import Schedule
from tinygen.random import Generator
from tinygen.tensor import Tensor, detach
from tinygen.transforms import fresh

Critic: TypeAlias = Callable[[Tensor], Tensor]
Penalty: TypeAlias = Callable[[Critic, Tensor, Tensor], "Tensor | float"]
"""From a critic, real and fake examples to a term of the discriminator's loss."""


def squared_slopes(critic: Critic, x: Tensor) -> Tensor:
    """‖∇ₓ critic(x)‖² of each example, (N,), summed over all axes but the batch; differentiable in the critic."""
    x = fresh(detach(x))
    scores = critic(x)
    if scores.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(
            f"squared_slopes: the critic must give one score for each of {len(x)} examples, got shape {scores.shape}; "
            f"reduce the other axes in the critic"
        )
    (slope,) = grad(ops.sum(scores), x, create_graph=True)
    return ops.sum(ops.square(ops.reshape(slope, (len(x), -1))), axis=1)


def gradient_penalty(
    rng: Generator, critic: Critic, real: Tensor, fake: Tensor, weight: float = 10.0, power: int = 2
) -> Tensor:
    """λ E |‖∇D(x̂)‖ − 1|^power at x̂ = ε x + (1 − ε) G(z), ε ~ U(0, 1) for each example (WGAN-3).

    Power 2 is that of Gulrajani et al. 2017, power 1 that of the notes.  Real and fake examples (N, …) are constants.
    The best critic's slope is a little above 1, so that its gap is a little above the distance W₁.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient_penalty: real {real.shape} and fake {fake.shape} must have the same shape")
    if power not in (1, 2):
        raise ValueError(f"gradient_penalty: power must be 1 or 2, got {power}")
    real, fake = detach(real), detach(fake)
    epsilon = rng.uniform((len(real),) + (1,) * (real.ndim - 1), dtype=real.dtype, device=real.device)
    # 1e-12: a norm has no derivative at 0, where a critic stands that is constant somewhere.
    norm = ops.sqrt(squared_slopes(critic, epsilon * real + (1.0 - epsilon) * fake) + 1e-12)
    deviation = ops.square(norm - 1.0) if power == 2 else ops.abs(norm - 1.0)
    return weight * ops.mean(deviation)


def r1(critic: Critic, real: Tensor, gamma: float = 1.0) -> Tensor:
    """γ/2 E ‖∇D(x)‖² at real examples x, of logits (WGAN-5; Mescheder et al. 2018)."""
    return 0.5 * gamma * ops.mean(squared_slopes(critic, real))


def path_lengths(rng: Generator, generator: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """‖Jᵀ y‖ with y ~ N(0, I) of each latent w (N, …): how far the image moves with the latent (Karras et al. 2020).

    For images (N, C, H, W) y is divided by √(H · W), so that the length does not grow with the resolution.
    """
    w = fresh(detach(w))
    images = generator(w)
    noise = rng.normal(images.shape, dtype=images.dtype, device=images.device)
    (slope,) = grad(images, w, noise * (1.0 / math.sqrt(math.prod(images.shape[2:]))), create_graph=True)
    return ops.sqrt(ops.sum(ops.square(ops.reshape(slope, (len(w), -1))), axis=1) + 1e-12)


def path_length(
    rng: Generator, generator: Callable[[Tensor], Tensor], w: Tensor, target: Tensor | float, weight: float = 2.0
) -> Tensor:
    """weight · E (‖Jᵀ y‖ − target)²: a penalty of the generator that wants steps in w to be steps in the image."""
    return weight * ops.mean(ops.square(path_lengths(rng, generator, w) - target))


def clip(weights: Module | Iterable[Tensor], limit: float) -> None:
    """Bring every weight into [−limit, limit], after a critic's step (WGAN-9).

    It bounds the slopes, by a number that is not known.  Optimisers with momentum push against it: use RMSprop.
    """
    if not limit > 0.0:
        raise ValueError(f"clip: limit must be positive, got {limit}")
    for weight in weights.parameters() if isinstance(weights, Module) else weights:
        weight.assign(ops.clip(detach(weight), -limit, limit)._data, copy=False)


# --- the same as objects, for a training loop --------------------------------------------------------------------


@dataclass
class GradientPenalty:
    """:func:`gradient_penalty`; ``weight`` may be a schedule over its calls (a ramp lets D find its side first)."""

    rng: Generator
    weight: float | Schedule = 10.0
    power: int = 2
    calls: int = 0

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
