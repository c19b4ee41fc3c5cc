"""Convolutional adversarial networks, DCGAN: a top-down generator against a bottom-up discriminator (CNN-3, 4, 8).

    G:  z ~ N(0, I) → dense → [twice as large, rectified] … → image in [0, 1]         (CNN-4)
    D:  image → [half as large, rectified] … → dense → one logit                      (CNN-3)

The game between them is that of ``gan.py`` (GAN-12, GAN-14).  What the lectures advise is in the networks: maps shrink
by strided convolution or average pooling, never by max pooling, and no rectifier is flat below 0, so that a gradient
arrives at every pixel of the generator's (GAN-20, CNN-6, CNN-7); noise may enter its maps (GAN-21).  With ``classes``
both players know the class y of the image (GAN-15).

Source: Radford, Metz & Chintala 2016.  Departures: the generator ends in a convolution at full size; the discriminator
has no batch normalisation, because a penalty of its slopes (WGAN-5) needs a critic that judges each image by itself;
it is told y by an inner product with its features (Miyato & Koyama 2018).

    size    Generator(size, channels=…)     Discriminator(size, channels=…)     multiplications
    16      (64, 32, 16), from 4 × 4        (32, 64)                            2 million an image
    28      (64, 32, 16), from 7 × 7        (32, 64)                            7 million
    32      (128, 64, 32, 16), from 4 × 4   (32, 64, 128)                       13 million: have a GPU, or patience

Shapes: codes z (N, latent), classes y (N,), images (N, colours, size, size), logits (N, 1).  The claims CNN-3 … CNN-8
of ``tinygen.lectures`` compare convolutional networks and their gradients with loops written by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import tinygen as tg
from tinygen import nn
from tinygen.models.conditional_gan import check_classes
from tinygen.nn.dropout import own_stream
from tinygen.random import Generator as Stream
from tinygen.tensor import Tensor

Rectifier = Callable[[], nn.Module]


def leaky() -> nn.Module:
    """max(x, x/5), as in the lectures (CNN-6)."""
    return nn.LeakyReLU(0.2)


class Generator(nn.Module):
    """From a code (and a class, if there are ``classes``) to an image.

    ``channels`` are those of the maps, the smallest map first; each is twice as large as the one before.
    """

    def __init__(
        self,
        size: int = 16,
        latent: int = 32,
        channels: Sequence[int] = (64, 32, 16),
        *,
        colours: int = 1,
        classes: int = 0,
        rectifier: Rectifier = leaky,
        noise: bool = False,
        rng: Stream,
    ) -> None:
        self.latent, self.classes = latent, classes
        side = _smallest_side(size, len(channels) - 1)
        # Batch normalisation subtracts the mean of each channel, and so any bias before it.
        maps: list[nn.Module] = [
            nn.Linear(latent + classes, channels[0] * side**2, bias=False, rng=rng),
            nn.Unflatten(1, (channels[0], side, side)),
            nn.BatchNorm2d(channels[0]),
            rectifier(),
        ]
        for above, below in itertools.pairwise(channels):
            maps.append(nn.ConvTranspose2d(above, below, 4, stride=2, padding=1, bias=False, rng=rng))
            if noise:
                maps.append(FeatureNoise(below, rng=rng))
            maps += [nn.BatchNorm2d(below), rectifier()]
        self.maps = nn.Sequential(*maps)
        self.image = nn.Conv2d(channels[-1], colours, 3, padding=1, rng=rng)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        _check_classes("Generator", self.classes, z, y)
        if y is not None:
            z = tg.concatenate([z, tg.one_hot(y, self.classes, dtype=z.dtype)], axis=1)
        return tg.sigmoid(self.image(self.maps(z)))


class FeatureNoise(nn.Module):
    """h + b_c η, with η ~ N(0, 1) at each position of each map and a scale b_c that is learned (GAN-21).

    b starts at 0, where the layer is the identity.  The stream is the layer's own and is saved.
    """

    def __init__(self, channels: int, *, rng: Stream) -> None:
        self.scale = nn.Parameter(tg.zeros((channels, 1, 1)))
        self.stream = own_stream(rng, "feature noise")

    def forward(self, h: Tensor) -> Tensor:
        noisy: Tensor = h + self.scale * self.stream.normal(h.shape, dtype=h.dtype, device=h.device)
        return noisy


class Discriminator(nn.Module):
    """From an image (and its class, if there are ``classes``) to a logit, above 0 for what seems real.

    ``channels`` are those of the maps, the largest map first; each is half as large as the one before, by a strided
    convolution or, with ``pooling``, by average pooling after a convolution.
    """

    def __init__(
        self,
        size: int = 16,
        channels: Sequence[int] = (32, 64),
        *,
        colours: int = 1,
        classes: int = 0,
        rectifier: Rectifier = leaky,
        pooling: bool = False,
        rng: Stream,
    ) -> None:
        self.classes = classes
        maps: list[nn.Module] = []
        for below, above in itertools.pairwise((colours, *channels)):
            if pooling:
                maps += [nn.Conv2d(below, above, 3, padding=1, rng=rng), nn.AvgPool2d(2), rectifier()]
            else:
                maps += [nn.Conv2d(below, above, 4, stride=2, padding=1, rng=rng), rectifier()]
        last = nn.Conv2d(channels[-1], channels[-1], 3, padding=1, rng=rng)
        self.features = nn.Sequential(*maps, last, rectifier(), nn.Flatten())
        count = channels[-1] * _smallest_side(size, len(channels)) ** 2
        self.logit = nn.Linear(count, 1, rng=rng)
        self.of_class = nn.Embedding(classes, count, rng=rng) if classes else None
        if self.of_class is not None:
            nn.init.uniform_(rng, self.of_class.weight, -(count**-0.5), count**-0.5)  # as the other weights

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        _check_classes("Discriminator", self.classes, x, y)
        h = self.features(x)
        score: Tensor = self.logit(h)
        if self.of_class is not None and y is not None:
            score = score + tg.sum(self.of_class(y) * h, axis=1, keepdims=True)  # ⟨v_y, h⟩
        return score


def _smallest_side(size: int, halvings: int) -> int:
    """The side of the smallest map."""
    side: int = size // 2**halvings
    if side * 2**halvings != size or side == 0:
        raise ValueError(f"dcgan: images of {size} × {size} cannot be halved {halvings} times; use fewer channels")
    return side


def _check_classes(name: str, classes: int, x: Tensor, y: Tensor | None) -> None:
    if classes and y is None:
        raise ValueError(f"dcgan.{name}: made for {classes} classes, it needs the class y of each example")
    if y is not None and not classes:
        raise ValueError(f"dcgan.{name}: got classes y {y.shape}, but was made without; make it with classes=…")
    if y is not None:
        check_classes(f"dcgan.{name}", x, y)


@tg.no_grad()
def generate(generator: nn.Module, z: Tensor, y: Tensor | None = None, size: int = 500) -> Tensor:
    """Images of given codes (and classes) by the generator in evaluation mode, ``size`` of them at a time."""
    if y is not None:
        check_classes("dcgan.generate", z, y)
    given = (z,) if y is None else (z, y)
    with nn.evaluating(generator):
        parts = [generator(*(rows[start : start + size] for rows in given)) for start in range(0, len(z), size)]
    images: Tensor = tg.concatenate(parts)
    return images
