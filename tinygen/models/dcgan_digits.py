"""Digits drawn by convolutional adversarial networks, and their judge: a classifier that has seen real digits only.

The game is that of :mod:`tinygen.models.gan` between the networks of :mod:`tinygen.models.dcgan`, told which digit to
draw (GAN-15), with settings that were found to train: an Adam without momentum, a rate that falls along a cosine, R1
at every eighth step (WGAN-5), a moving average of the generator.

Shapes: codes z (N, latent), digits asked for (N,), images (N, 1, size, size) with ink 1 on paper 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim, plots, training
from tinygen.adversarial import R1
from tinygen.data.images import Images
from tinygen.latent import slerp
from tinygen.models import classifier, gan
from tinygen.models.dcgan import Discriminator, Generator, generate
from tinygen.random import Generator as Stream

CLASSES, BATCH, SAMPLES = 10, 64, 2000


# --- the game ----------------------------------------------------------------------------------------------------


@dataclass
class DigitGame(gan.State):
    """The game, and images (100, 1, size, size) of the same codes at each report."""

    film: list[np.ndarray] = field(default_factory=list)


def digit_game(
    generator: Generator, discriminator: Discriminator, digits: Images, steps: int, *, gamma: float = 0.1, rng: Stream
) -> DigitGame:
    """A game of ``steps`` steps between two networks made with ``classes=10``; ``gamma`` is that of R1."""
    rate = optim.cosine(2e-3, steps, end=2e-4)
    return DigitGame(
        generator,
        discriminator,
        optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.99)),
        optim.Adam(discriminator.parameters(), lr=rate, betas=(0.0, 0.99)),
        tg.data.Batches(digits.images, digits.labels, size=BATCH, rng=rng.spawn("data")),
        gan.normal_prior(BATCH, generator.latent),
        rng.spawn("noise"),
        penalties=[R1(gamma, every=8)],
        labels=tg.data.Batches(digits.labels, size=BATCH, rng=rng.spawn("labels")),
        average=optim.ExponentialMovingAverage(generator, 0.99),
    )


def drawn(rng: Stream, state: gan.State, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 1, size, size) of the averaged generator, and the digits asked for, each as often."""
    asked = np.arange(count) % CLASSES
    assert isinstance(state.generator, Generator)
    return _images(state, rng.normal((count, state.generator.latent)), asked), asked


def _images(state: gan.State, z: tg.Tensor, asked: np.ndarray) -> np.ndarray:
    assert state.average is not None
    images: np.ndarray = generate(state.average.module, z, tg.tensor(asked)).numpy()
    return images


# --- the judge ---------------------------------------------------------------------------------------------------

# What both examples must reach, with --quick and in full.  Recognised: P(k | x) > 0.9 for some class k.
AT_LEAST = {
    "judge: accuracy on test digits": (0.96, 0.98),
    "samples recognised, for each real digit recognised": (0.4, 0.75),
    "recognised as the digit asked for": (0.5, 0.9),
    "smallest share of a class, over its share of real digits": (0.25, 0.5),
}
AT_MOST = {
    "largest share of a class, over its share of real digits": (4.0, 2.0),
    "KID to test digits": (1.0, 0.1),
}


class Judge(NamedTuple):
    """A classifier of digits, and real test digits that it has not learned from, in random order."""

    model: nn.Sequential
    images: np.ndarray
    labels: np.ndarray

    def look(self, images: np.ndarray) -> tuple[float, np.ndarray]:
        """The share of images that it recognises, P(k | x) > 0.9 for some k, and the most probable class of each."""
        p = classifier.probabilities(self.model, tg.tensor(images))
        return float((p.max(axis=1) > 0.9).mean()), p.argmax(axis=1)

    @tg.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Its last hidden layer, (N, 128)."""
        hidden = nn.Sequential(*list(self.model)[:-1])
        with nn.evaluating(hidden):
            parts = [hidden(tg.tensor(images[i : i + 500])).numpy() for i in range(0, len(images), 500)]
        return np.concatenate(parts)

    def measure(self, rng: Stream, images: np.ndarray, asked: np.ndarray) -> dict[str, float]:
        """How good it is, and how images that should be of the classes ``asked`` differ from real ones."""
        recognised, seen = self.look(images)
        shares = np.bincount(seen, minlength=CLASSES) / len(seen) / (np.bincount(self.labels) / len(self.labels))
        real, fake = self.features(self.images[: len(images)]), self.features(images)
        scale = np.sqrt(np.square(real).mean())  # KID knows no unit: here real features have a mean square of 1
        kid = metrics.kid(rng, fake / scale, real / scale)
        return {
            "judge: accuracy on test digits": classifier.accuracy(self.model, tg.tensor(self.images), self.labels),
            "samples recognised, for each real digit recognised": recognised / self.look(self.images)[0],
            "recognised as the digit asked for": float((seen == asked).mean()),
            "smallest share of a class, over its share of real digits": float(shares.min()),
            "largest share of a class, over its share of real digits": float(shares.max()),
            "KID to test digits": kid.value,
            "standard error of KID": kid.standard_error,
        }

    def watch(self, rng: Stream) -> Callable[[DigitGame], Mapping[str, float]]:
        """What reports how many of 500 images, always of the same codes, it recognises, and films some of them."""

        def evaluate(state: DigitGame) -> Mapping[str, float]:
            images, _ = drawn(rng.spawn("shown"), state, 500)
            state.film.append(images[:100])
            return {"recognised": self.look(images)[0]}

        return evaluate


@functools.cache
def trained_judge(
    name: str, steps: int, folder: Path, *, channels: int = 32, resume: bool = False, code: str = ""
) -> Judge:
    """The judge of the data set ``name``: the same for all seeds, and trained once for all that a command trains."""
    digits, test = tg.data.load(name), tg.data.load(name, split="test")
    rng, size = Stream(0).spawn("judge"), digits.images.shape[-1]
    model = classifier.convolutional(CLASSES, channels, size=size, rng=rng.spawn("parameters"))
    state = classifier.State(
        model,
        optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps)),
        tg.data.Batches(digits.images, digits.labels, size=64, rng=rng.spawn("batches")),
        rng.spawn("shifts"),
        reach=1,
    )
    settings = {"name": f"judge of {name}", "steps": steps, "code": code}
    training.run(state, classifier.step, steps, out=folder, resume=resume, settings=settings)
    order = rng.permutation(len(test.labels), device="cpu").numpy()  # MNIST's first writers are tidier than its last
    return Judge(model.eval(), test.images[order], test.labels[order])


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(film: list[np.ndarray], history: training.History, judge: Judge, path: Path) -> Path:
    """Real and drawn digits, what the same codes give over the steps, and how much of it the judge recognises."""
    figure, ((top_left, top_right), (low_left, low_right)) = plots.figure(2, 2, (8.0, 8.2))
    real = np.stack([judge.images[judge.labels == digit][:10] for digit in range(CLASSES)], axis=1)
    plots.image_grid(top_left, real.reshape(film[-1].shape), 10, "Real test digits")
    plots.image_grid(top_right, film[-1], 10, "Drawn: a new code for each")
    steps = [report["step"] for report in history]
    recognised = {"drawn digits": [report["recognised"] for report in history]}
    plots.curves(
        low_left, steps, recognised, floor=judge.look(judge.images)[0], floor_name="real digits:",
        title="Share that the judge recognises", names=("steps", ""),
    )  # fmt: skip
    low_left.set_ylim(0.0, 1.0)
    plots.image_strip(
        low_right, np.stack([images[:10, 0] for images in film]), rows=[f"{step:.0f}" for step in steps],
        columns=[str(digit) for digit in range(CLASSES)], names=("ten codes, each asked for a digit", "steps"),
    )  # fmt: skip
    return plots.save(figure, path, dpi=130)


def animate(rng: Stream, state: DigitGame, path: Path, stops: int = 4, frames: int = 10) -> None:
    """A walk among the codes, from one to the next along an arc and back to the first; all digits take it (VAE-13)."""
    figure, ((axes,),) = plots.figure(1, 1, (4.4, 2.0))
    assert isinstance(state.generator, Generator)
    codes = rng.normal((stops, 1, state.generator.latent))
    with plots.animation(figure, path, fps=8.0, pause=0.0) as frame:
        for number in range(stops * frames):
            here, moved = divmod(number, frames)
            z = slerp(codes[here], codes[(here + 1) % stops], moved / frames)
            axes.clear()
            plots.image_grid(axes, _images(state, tg.repeat(z, CLASSES, 0), np.arange(CLASSES)), 5)
            frame()
