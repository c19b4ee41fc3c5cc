"""Semi-supervised adversarial networks: the discriminator is a classifier with one more class, the fakes (GAN-19).

    p(k | x) = exp l_k / (Z + 1),   p_fake = 1 / (Z + 1),   p_real = Z / (Z + 1),   Z = Σ_k exp l_k
    L_D = −E_labelled ln p(y | x)  −  E_data ln p_real(x)  −  E_z ln p_fake(G(z)),   L_G = −E_z ln p_real(G(z))

Labels are few and examples many.  An example without a label says only that it is real, but that is something: some
logit must be large at data and all small elsewhere, so that the features follow the data, and classes prefer to change
where the logits are small, off the data.  Which class is on which side, the labels tell.  A new example is given the
class of its largest logit.  Nothing forces the boundary off the data: few labels, badly placed, can still mislead.

Source: Salimans et al. 2016, where the fakes' logit is fixed at 0 too.  Departures: the generator plays the
non-saturating game on ln Z, unless the objective says otherwise, and does not match features; R1 tames ln Z (WGAN-5).

Shapes: images (N, 1, 16, 16) in [0, 1] or points (N, 2); labels (N,) of whole numbers; noise (N, latent); logits
(N, K).  The claims GAN-19 of ``tinygen.lectures`` compare the optimum with p(x, k) / (p + q).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinygen import nn
from tinygen.adversarial import ManyClasses, clip, non_saturating
from tinygen.data import Source
from tinygen.models import gan
from tinygen.random import Generator
from tinygen.tensor import Tensor


def convolutional(classes: int = 10, channels: int = 32, *, rng: Generator) -> nn.Sequential:
    """K logits of images (N, 1, 16, 16): two strided convolutions, leaky rectifiers, dropout (GAN-20)."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 4, stride=2, padding=1, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * channels * 16, 128, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.3, rng=rng),
        nn.Linear(128, classes, rng=rng),
    )


@dataclass
class State(gan.State):
    """That of a GAN, whose ``real`` examples have no labels, and ``labelled`` ones (x, y)."""

    labelled: Source = field(kw_only=True)
    objective: ManyClasses = field(default_factory=lambda: ManyClasses(non_saturating))


def step(state: State) -> Mapping[str, Tensor]:
    """One round of the game: the discriminator one or several times, then the generator likewise (GAN-14)."""
    metrics: dict[str, Tensor] = {}
    for _ in range(state.discriminator_steps):
        metrics |= discriminator_step(state)
    for _ in range(state.generator_steps):
        metrics |= gan.generator_step(state)
    return metrics


def discriminator_step(state: State) -> dict[str, Tensor]:
    """Tell real examples from fakes, and the classes of those that have labels from each other."""
    (x,) = state.real.next()
    labelled, y = state.labelled.next()
    with nn.frozen(state.generator):
        fake = state.generator(state.prior(state.rng))

    def critic(x: Tensor) -> Tensor:
        return state.objective.logit(state.discriminator(x))  # ln Z

    supervised = state.objective.labelled_loss(state.discriminator(labelled), y)
    adversarial = state.objective.discriminator_loss(state.discriminator(x), state.discriminator(fake))
    penalty = sum(penalty(critic, x, fake) for penalty in state.penalties)
    state.discriminator_optimizer.minimize(supervised + adversarial + penalty)
    if state.clip is not None:
        clip(state.discriminator, state.clip)
    return {"labelled loss": supervised, "discriminator loss": adversarial}
