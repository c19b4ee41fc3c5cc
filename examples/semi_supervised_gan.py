"""Semi-supervised adversarial networks: what examples without labels add to the few that have one.

python examples/semi_supervised_gan.py            about two minutes
python examples/semi_supervised_gan.py --quick    half a minute
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.adversarial import R1, Penalty
from tinygen.models import classifier, dcgan
from tinygen.models.gan import normal_prior, perceptron
from tinygen.models.semi_supervised_gan import State, convolutional, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOON_LABELS = 3  # of each class
ALONE, SHIFTED, TOGETHER = "labels alone", "labels alone, images shifted", "with examples without labels"
EXTENT = (-1.6, 2.6, -1.2, 1.7)

EXAMPLE = Example(
    name="semi_supervised_gan",
    systems=("SSGAN",),
    models=("tinygen/models/semi_supervised_gan.py", "tinygen/models/gan.py", "tinygen/models/dcgan.py"),
    gates=(
        Gate(f"moons, {MOON_LABELS} labels a class: accuracy {TOGETHER}", at_least=(0.8, 0.85)),
        Gate(f"moons, {MOON_LABELS} labels a class: gain over the labels alone", at_least=(0.0, 0.02)),
        Gate("digits, 20 labels a class: gain over the labels alone", at_least=(0.01, 0.03)),
    ),
)


class Task(NamedTuple):
    """Examples without labels, a few with, and others to be tested on."""

    x: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass
class Learned:
    """A trained discriminator, the accuracy of the classifier in it on the way, and samples of its generator."""

    model: nn.Module
    history: list[dict[str, float]]
    samples: np.ndarray | None = None

    @property
    def accuracy(self) -> float:
        return self.history[-1]["accuracy"]


def train(run: Run) -> dict[str, float]:
    task = moons(run.rng.spawn("moons"))
    on_plane = on_moons(run, task)
    measured = summary(f"moons, {MOON_LABELS} labels a class", on_plane)
    of_digits = {count: on_digits(run, count) for count in run.choose(quick=(20,), full=(5, 20, 80))}
    for count, learned in of_digits.items():
        measured |= summary(f"digits, {count} labels a class", learned)
    draw(task, on_plane, of_digits, run.picture("semi_supervised_gan.png"))
    return measured


def summary(where: str, learned: Mapping[str, Learned]) -> dict[str, float]:
    accuracies = {f"{where}: accuracy {name}": one.accuracy for name, one in learned.items()}
    return {**accuracies, f"{where}: gain over the labels alone": learned[TOGETHER].accuracy - learned[ALONE].accuracy}


# --- two trainings, of one network -------------------------------------------------------------------------------


def few(rng: Generator, labels: np.ndarray, count: int) -> np.ndarray:
    """The places of ``count`` examples of each class, at random."""
    order = rng.permutation(len(labels), device="cpu").numpy()
    return np.concatenate([order[labels[order] == y][:count] for y in np.unique(labels)])


def batches_with_labels(task: Task, rng: Generator) -> tg.data.Batches:
    return tg.data.Batches(task.labelled, task.labels, size=min(50, len(task.labels)), rng=rng.spawn("labelled"))


def tested(model: nn.Module, task: Task) -> Callable[[object], dict[str, float]]:
    """Measures the accuracy on examples that were not trained on."""
    test = tg.tensor(task.test)
    return lambda state: {"accuracy": classifier.accuracy(model, test, task.test_labels)}


def labels_alone(
    run: Run, name: str, model: nn.Module, task: Task, rng: Generator, *, steps: int, rate: float, reach: int = 0
) -> Learned:
    """What the network learns from the labels; ``reach`` is that of random shifts of images, in pixels."""
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(rate, steps))
    state = classifier.State(model, optimizer, batches_with_labels(task, rng), rng.spawn("shifts"), reach=reach)
    history = run.train(state, classifier.step, steps, name=name, evaluate=tested(model, task), every=steps // 4)
    return Learned(model, history)


def with_others(
    run: Run,
    name: str,
    model: nn.Module,
    generator: nn.Module,
    task: Task,
    rng: Generator,
    *,
    steps: int,
    rate: optim.Schedule,
    latent: int,
    penalty: Penalty,
) -> Learned:
    """What it learns from the labels and from examples without labels, as the discriminator of a game (GAN-19)."""
    batch = 64
    state = State(
        generator,
        model,
        optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.9)),
        optim.Adam(model.parameters(), lr=rate, betas=(0.0, 0.9)),
        tg.data.Batches(task.x, size=batch, rng=rng.spawn("batches")),
        normal_prior(batch, latent),
        rng.spawn("noise"),
        penalties=[penalty],
        labelled=batches_with_labels(task, rng),
    )
    history = run.train(
        state, step, steps, name=name, evaluate=tested(model, task), every=steps // 10, watch="accuracy"
    )
    with tg.no_grad(), nn.evaluating(generator):
        samples = generator(rng.spawn("shown").normal((400, latent))).numpy()
    return Learned(model, history, samples)


# --- two tasks ---------------------------------------------------------------------------------------------------


def moons(rng: Generator) -> Task:
    """The two moons of ``tg.data.density("moons")``, with the moon as class.

    A label is given to one point in each third of a moon: where a third has none, nothing says whose it is.
    """

    def draw(rng: Generator, arm: np.ndarray, share: np.ndarray) -> np.ndarray:
        angle, side = math.pi * share, 1 - 2 * arm
        places = np.stack([arm + side * np.cos(angle), 0.5 * arm + side * np.sin(angle)], axis=1)
        noise = rng.normal(places.shape, device="cpu").numpy()
        return (places + 0.1 * noise).astype(np.float32)

    count, rng = 5000, rng.spawn("moons")
    arms = np.arange(count) % 2
    x, test = (draw(rng, arms, rng.uniform(count, device="cpu").numpy()) for _ in range(2))
    labels = np.repeat(np.arange(2), MOON_LABELS)
    thirds = np.tile(np.arange(MOON_LABELS), 2)
    labelled = draw(rng, labels, (thirds + rng.uniform(len(labels), device="cpu").numpy()) / MOON_LABELS)
    return Task(x, labelled, labels, test, arms)


def on_moons(run: Run, task: Task) -> dict[str, Learned]:
    rng, steps = run.rng.spawn("on moons"), run.choose(quick=600, full=1000)

    def network() -> nn.Module:
        return perceptron((2, 128, 128, 2), lambda: nn.LeakyReLU(0.2), rng=rng.spawn("discriminator"))

    generator = perceptron((2, 128, 128, 2), rng=rng.spawn("generator"))
    return {
        ALONE: labels_alone(run, "moons_alone", network(), task, rng, steps=500, rate=1e-3),
        TOGETHER: with_others(
            run,
            "moons",
            network(),
            generator,
            task,
            rng,
            steps=steps,
            rate=optim.cosine(3e-3, steps),
            latent=2,
            penalty=R1(1e-3),
        ),
    }


def on_digits(run: Run, count: int) -> dict[str, Learned]:
    """10,000 digits of 16 × 16, of which ``count`` of each class have a label."""
    rng, latent = run.rng.spawn(f"digits {count}"), 32
    training, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    chosen = few(run.rng.spawn("labels of digits"), training.labels, count)
    task = Task(training.images, training.images[chosen], training.labels[chosen], test.images, test.labels)

    def network() -> nn.Module:
        return convolutional(rng=rng.spawn("discriminator"))

    generator = dcgan.Generator(16, latent, (32, 16, 8), rng=rng.spawn("generator"))
    steps, baseline = run.choose(quick=(400, 300), full=(500, 400))
    folder = f"digits{count}"
    return {
        ALONE: labels_alone(run, f"{folder}_alone", network(), task, rng, steps=baseline, rate=2e-3),
        SHIFTED: labels_alone(run, f"{folder}_shifted", network(), task, rng, steps=baseline, rate=2e-3, reach=1),
        TOGETHER: with_others(
            run, folder, network(), generator, task, rng, steps=steps,
            rate=optim.piecewise([2 * steps // 3], [2e-3, 4e-4]), latent=latent, penalty=R1(0.01, every=4),
        ),
    }  # fmt: skip


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(
    task: Task, on_plane: Mapping[str, Learned], of_digits: Mapping[int, Mapping[str, Learned]], path: Path
) -> Path:
    """Boundaries between the moons, fakes between them, and what the labels of digits are worth."""
    figure, axes = plots.figure(2, 3, (11.0, 7.0))
    for axis, (name, learned) in zip(axes[0], on_plane.items(), strict=False):
        draw_boundary(axis, task, learned, f"{name[0].upper()}{name[1:]}:\n{learned.accuracy:.1%} right")
    draw_fakes(axes[0, 2], task, on_plane[TOGETHER])

    twenty = of_digits[20]
    fakes = twenty[TOGETHER].samples
    assert fakes is not None
    plots.image_grid(axes[1, 0], fakes[:100], 10, title="Fakes, 20 labels a class")
    history = twenty[TOGETHER].history
    steps = [report["step"] for report in history]
    plots.curves(axes[1, 1], steps, {TOGETHER: [100.0 * report["accuracy"] for report in history]})
    for number, name in enumerate((ALONE, SHIFTED), start=1):
        axes[1, 1].axhline(100.0 * twenty[name].accuracy, color=plots.PALETTE[number], linestyle="--", label=name)
    axes[1, 1].legend(frameon=False, loc="lower right")
    axes[1, 1].set(title="Digits, 20 labels a class", ylabel="test digits right [%]")
    accuracies = {
        name: [100.0 * learned[name].accuracy for learned in of_digits.values()] for name in (TOGETHER, ALONE, SHIFTED)
    }
    names = ("labels a class", "test digits right [%]")
    plots.curves(axes[1, 2], list(of_digits), accuracies, title="What labels are worth", names=names)
    for line in axes[1, 2].lines:
        line.set_marker("o")
    axes[1, 2].set_xscale("log")
    axes[1, 2].set_xticks(list(of_digits), [str(count) for count in of_digits])
    axes[1, 2].minorticks_off()
    axes[1, 2].legend().remove()
    return plots.save(figure, path)


def draw_boundary(axes: Axes, task: Task, learned: Learned, title: str) -> None:
    """P(y = 1 | x, real), and where it is ½."""
    belief = classifier.probabilities(learned.model, tg.tensor(plots.lattice(EXTENT, 150)))[:, 1].reshape(150, 150)
    plots.heat_map(axes, 2.0 * belief - 1.0, EXTENT, signed=True, limits=(-2.5, 2.5), title=title)
    plots.contours(axes, belief, EXTENT, levels=[0.5])
    plots.scatter(axes, task.x[:600], colour="#777777", size=4.0)
    draw_labels(axes, task)


def draw_labels(axes: Axes, task: Task) -> None:
    for y, (colour, mark) in enumerate(((plots.PALETTE[0], "s"), (plots.PALETTE[1], "o"))):
        first, second = task.labelled[task.labels == y].T
        axes.scatter(first, second, s=60, color=colour, marker=mark, edgecolors="black", zorder=4)
    axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:])


def draw_fakes(axes: Axes, task: Task, learned: Learned) -> None:
    """ln Z, the logit of "real", with real points and fakes."""
    logit = plots.on_lattice(lambda x: tg.logsumexp(learned.model(x), axis=1), EXTENT, 150)
    plots.heat_map(
        axes, tg.sigmoid(logit), EXTENT, limits=(0.0, 1.0), label="p(real | x)", title="Fakes, and p(real | x)"
    )
    assert learned.samples is not None
    plots.scatter(axes, learned.samples, colour=plots.PALETTE[1], size=7.0)
    axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:])


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
