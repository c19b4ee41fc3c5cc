"""Cases of the two steps of a DCGAN: transposed and strided convolutions, batch normalisation, R1 through them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from models import trained
from operations import normal
from peers import Learner, functional, torch
from timing import Case

import tinygen as tg
from tinygen import nn
from tinygen.adversarial import r1
from tinygen.models.dcgan import Discriminator, Generator
from tinygen.random import Generator as Stream

Array = np.ndarray
GAMMA = 0.1  # weight of R1


def convolutional_gan() -> dict[str, Case]:
    """tinygen's own networks for 64 digits of 16 × 16, and the same in PyTorch with the same weights."""
    noise, real = normal(64, 32), np.random.default_rng(0).uniform(size=(64, 1, 16, 16)).astype(np.float32)
    fake = np.random.default_rng(1).uniform(size=real.shape).astype(np.float32)
    return {
        "DCGAN 16×16 generator step": trained(_generator(noise)),
        "DCGAN 16×16 discriminator step, R1": trained(_discriminator(real, fake)),
    }


def _networks() -> tuple[Generator, Discriminator]:
    return Generator(rng=Stream(0)), Discriminator(rng=Stream(1))


def _torch_networks() -> tuple[Any, Any]:
    """The same networks with the same weights: names and shapes of state_dict are PyTorch's."""
    t = torch.nn

    def rectifier() -> Any:
        return t.LeakyReLU(0.2)

    up = [t.Linear(32, 1024, bias=False), t.Unflatten(1, (64, 4, 4)), t.BatchNorm2d(64), rectifier()]
    for above, below in ((64, 32), (32, 16)):
        up += [t.ConvTranspose2d(above, below, 4, 2, 1, bias=False), t.BatchNorm2d(below), rectifier()]
    generator = t.Sequential(
        OrderedDict(maps=t.Sequential(*up), image=t.Conv2d(16, 1, 3, padding=1), squash=t.Sigmoid())
    )
    down = [t.Conv2d(1, 32, 4, 2, 1), rectifier(), t.Conv2d(32, 64, 4, 2, 1), rectifier()]
    down += [t.Conv2d(64, 64, 3, padding=1), rectifier(), t.Flatten()]
    discriminator = t.Sequential(OrderedDict(features=t.Sequential(*down), logit=t.Linear(1024, 1)))
    for theirs, ours in zip((generator, discriminator), _networks(), strict=True):
        theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    return generator, discriminator


def _generator(noise: Array) -> dict[str, Learner]:
    """E softplus(−D(G(z))) in the parameters of G."""

    def in_tinygen() -> tuple[list[Any], Any]:
        generator, discriminator = _networks()
        z = tg.tensor(noise)

        def loss(parameters: Any) -> Any:
            with nn.frozen(discriminator):
                return tg.mean(tg.softplus(-discriminator(generator(z))))

        return generator.parameters(), loss

    def in_torch() -> tuple[list[Any], Any]:
        generator, discriminator = _torch_networks()
        discriminator.requires_grad_(False)
        z = torch.tensor(noise)
        return list(generator.parameters()), lambda parameters: functional.softplus(-discriminator(generator(z))).mean()

    return {"tinygen": in_tinygen, "torch": in_torch}


def _discriminator(real: Array, fake: Array) -> dict[str, Learner]:
    """E softplus(−D(x)) + E softplus(D(x̃)) + γ/2 E ‖∇D(x)‖² in the parameters of D."""

    def in_tinygen() -> tuple[list[Any], Any]:
        _, critic = _networks()
        x, y = tg.tensor(real), tg.tensor(fake)

        def loss(parameters: Any) -> Any:
            told = tg.mean(tg.softplus(-critic(x))) + tg.mean(tg.softplus(critic(y)))
            return told + r1(critic, x, GAMMA)

        return critic.parameters(), loss

    def in_torch() -> tuple[list[Any], Any]:
        _, critic = _torch_networks()
        x, y, at = torch.tensor(real), torch.tensor(fake), torch.tensor(real, requires_grad=True)

        def loss(parameters: Any) -> Any:
            (slope,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
            told = functional.softplus(-critic(x)).mean() + functional.softplus(critic(y)).mean()
            return told + 0.5 * GAMMA * slope.square().sum((1, 2, 3)).mean()

        return list(critic.parameters()), loss

    return {"tinygen": in_tinygen, "torch": in_torch}
