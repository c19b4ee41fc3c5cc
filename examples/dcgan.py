"""Convolutional adversarial networks draw the handwritten digit that they are asked for, before a judge.

python examples/dcgan.py            the judge, a classifier, and the game: about two minutes
python examples/dcgan.py --quick    both for a short time
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim, plots, training
from tinygen.adversarial import R1
from tinygen.latent import slerp
from tinygen.models import classifier, gan
from tinygen.models.dcgan import Discriminator, Generator, generate
from tinygen.random import Generator as Stream
from tinygen.running import Example, Gate, Run, main

CLASSES, LATENT, BATCH, SAMPLES = 10, 32, 64, 2000

EXAMPLE = Example(
    name="dcgan",
    systems=("DCGAN",),
    models=("tinygen/models/dcgan.py", "tinygen/models/gan.py", "tinygen/models/classifier.py"),
    gates=(
        Gate("judge: accuracy on test digits", at_least=(0.96, 0.98)),
        # Recognised: P(k | x) > 0.9 for some class k.
        Gate("samples recognised, for each real digit recognised", at_least=(0.4, 0.75)),
        Gate("recognised as the digit asked for", at_least=(0.5, 0.9)),
        Gate("smallest share of a class, over its share of real digits", at_least=(0.25, 0.5)),
        Gate("largest share of a class, over its share of real digits", at_most=(4.0, 2.0)),
        Gate("KID to test digits", at_most=(1.0, 0.1)),
    ),
)


@dataclass
class Filmed(gan.State):
    """The game, and images of the same codes at each report."""

    film: list[np.ndarray] = field(default_factory=list)


class Judge(NamedTuple):
    """A classifier of digits, and real test digits that it has not learned from, in random order."""

    model: nn.Sequential
    images: np.ndarray
    labels: np.ndarray

    def accuracy(self) -> float:
        """Its own, on test digits."""
        return classifier.accuracy(self.model, tg.tensor(self.images), self.labels)

    def look(self, images: np.ndarray) -> tuple[float, np.ndarray]:
        """The share of images that it recognises, P(k | x) > 0.9 for some k, and the most probable class of each."""
        p = classifier.probabilities(self.model, tg.tensor(images))
        return float((p.max(axis=1) > 0.9).mean()), p.argmax(axis=1)

    @tg.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Its last hidden layer, (N, 128)."""
        hidden = nn.Sequential(*list(self.model)[:-1])
        return np.concatenate([hidden(tg.tensor(images[i : i + 500])).numpy() for i in range(0, len(images), 500)])

    def measure(self, images: np.ndarray, asked: np.ndarray, rng: Stream) -> dict[str, float]:
        """What the gates bound, for images that should be of the classes ``asked``."""
        recognised, seen = self.look(images)
        shares = np.bincount(seen, minlength=CLASSES) / len(seen) / (np.bincount(self.labels) / len(self.labels))
        real, drawn = self.features(self.images[: len(images)]), self.features(images)
        scale = np.sqrt(np.square(real).mean())  # KID knows no unit: here real features have a mean square of 1
        return {
            "samples recognised, for each real digit recognised": recognised / self.look(self.images)[0],
            "recognised as the digit asked for": float((seen == asked).mean()),
            "smallest share of a class, over its share of real digits": float(shares.min()),
            "largest share of a class, over its share of real digits": float(shares.max()),
            "KID to test digits": metrics.kid(rng, drawn / scale, real / scale).value,
        }


def train(run: Run) -> dict[str, float]:
    judge = trained_judge(run.shared / "judge", run.quick, run.resume)
    state, history = play(run, judge)
    rng, asked = run.rng.spawn("judged"), np.arange(SAMPLES) % CLASSES
    images = drawn(state, rng.normal((SAMPLES, LATENT)), asked)
    draw(state.film, history, judge, run.picture("dcgan.png"))
    animate(state, run.rng.spawn("walk"), run.picture("dcgan.gif"))
    return {"judge: accuracy on test digits": judge.accuracy(), **judge.measure(images, asked, rng)}


@functools.cache
def trained_judge(folder: Path, quick: bool, resume: bool) -> Judge:
    """The same for all seeds, and trained once for all that a command trains."""
    rng, steps = Stream(0).spawn("judge"), 600 if quick else 2500
    digits, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    model = classifier.convolutional(rng=rng.spawn("parameters"))
    state = classifier.State(
        model,
        optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps)),
        tg.data.Batches(digits.images, digits.labels, size=64, rng=rng.spawn("batches")),
        rng.spawn("shifts"),
        reach=1,
    )
    settings = {"name": "judge", "quick": quick}
    training.run(state, classifier.step, steps, out=folder, resume=resume, settings=settings)
    model.eval()
    order = rng.permutation(len(test.labels), device="cpu").numpy()  # MNIST's first writers are tidier than its last
    return Judge(model, test.images[order], test.labels[order])


def play(run: Run, judge: Judge) -> tuple[Filmed, training.History]:
    """Train the pair of networks, and watch how many digits of the averaged generator are recognised."""
    rng, steps = run.rng, run.choose(quick=300, full=1000)
    digits = tg.data.load("mnist16")
    generator = Generator(16, LATENT, classes=CLASSES, rng=rng.spawn("generator"))
    discriminator = Discriminator(16, classes=CLASSES, rng=rng.spawn("discriminator"))
    rate = optim.cosine(2e-3, steps, end=2e-4)
    state = Filmed(
        generator,
        discriminator,
        optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.99)),
        optim.Adam(discriminator.parameters(), lr=rate, betas=(0.0, 0.99)),
        tg.data.Batches(digits.images, digits.labels, size=BATCH, rng=rng.spawn("data")),
        gan.normal_prior(BATCH, LATENT),
        rng.spawn("noise"),
        penalties=[R1(0.1, every=8)],
        labels=tg.data.Batches(digits.labels, size=BATCH, rng=rng.spawn("labels")),
        average=optim.ExponentialMovingAverage(generator, 0.99),
    )

    def evaluate(state: Filmed) -> Mapping[str, float]:
        images = drawn(state, rng.spawn("shown").normal((500, LATENT)), np.arange(500) % CLASSES)
        state.film.append(images[:100])
        return {"recognised": judge.look(images)[0]}

    return state, run.train(state, gan.step, steps, every=steps // 10, evaluate=evaluate, watch="recognised")


def drawn(state: gan.State, z: tg.Tensor, asked: np.ndarray) -> np.ndarray:
    """Images (N, 1, 16, 16) of the averaged generator, of the digits asked for."""
    assert state.average is not None
    images: np.ndarray = generate(state.average.module, z, tg.tensor(asked)).numpy()
    return images


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(film: list[np.ndarray], history: training.History, judge: Judge, path: Path) -> Path:
    """Real and drawn digits, what the same codes give over the steps, and how much of it the judge recognises."""
    figure, ((top_left, top_right), (low_left, low_right)) = plots.figure(2, 2, (8.0, 8.2))
    real = np.concatenate([judge.images[judge.labels == digit][:10] for digit in range(CLASSES)], axis=1)
    plots.image_grid(top_left, real.reshape(-1, 16, 16), 10, "Real test digits")
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


def animate(state: Filmed, rng: Stream, path: Path, stops: int = 4, frames: int = 10) -> None:
    """A walk among the codes, from one to the next along an arc and back to the first; all digits take it (VAE-13)."""
    figure, ((axes,),) = plots.figure(1, 1, (4.4, 2.0))
    codes = rng.normal((stops, 1, LATENT))
    with plots.animation(figure, path, fps=8.0, pause=0.0) as frame:
        for number in range(stops * frames):
            here, moved = divmod(number, frames)
            z = slerp(codes[here], codes[(here + 1) % stops], moved / frames)
            axes.clear()
            plots.image_grid(axes, drawn(state, tg.repeat(z, CLASSES, 0), np.arange(CLASSES)), 5)
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
