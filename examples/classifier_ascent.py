"""Generation by ascent on a classifier's input: it leaves the data, and how the gradient of log p(x) repairs it.

python examples/classifier_ascent.py            about two minutes
python examples/classifier_ascent.py --quick    half a minute
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.metrics.pairs import distance_blocks
from tinygen.models.classifier import (
    Ascent,
    Score,
    State,
    accuracy,
    ascend,
    convolutional,
    of_gaussians,
    probabilities,
    step,
)
from tinygen.models.denoising_autoencoder import exact_score
from tinygen.running import Example, Gate, Run, main

CLASSES, SD = 6, 0.2

EXAMPLE = Example(
    name="classifier_ascent",
    systems=("CLS",),
    models=("tinygen/models/classifier.py",),
    gates=(
        Gate("digits: accuracy of the classifier", at_least=(0.955, 0.98)),
        Gate("digits: smallest P(y | x) after the ascent", at_least=0.99),
        Gate("digits: share outside the data after the ascent", at_least=0.95),
        Gate("plane: smallest P(y | x) after the ascent", at_least=0.99),
        Gate("plane: share outside the data after the ascent", at_least=0.95),
        Gate("plane: smallest P(y | x) after the repaired ascent", at_least=0.99),
        Gate("plane: share outside the data after the repaired ascent", at_most=0.0),
    ),
)


class Climb(NamedTuple):
    """Where an ascent started and ended, the probability of the wanted class, and the distance to real examples."""

    start: np.ndarray
    end: np.ndarray
    path: np.ndarray
    probability: np.ndarray
    distance: np.ndarray


def train(run: Run) -> dict[str, float]:
    digits, usual, measured = on_digits(run)
    climbs, its_numbers = on_a_plane(run)
    draw(digits, usual, climbs, run.picture("classifier_ascent.png"))
    return measured | its_numbers


def on_digits(run: Run) -> tuple[Climb, np.ndarray, dict[str, float]]:
    """From real digits, ascend to the digit that follows."""
    rng = run.rng.spawn("digits")
    training, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    steps = run.choose(quick=500, full=2500)
    model = convolutional(rng=rng.spawn("parameters"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps))
    batches = tg.data.Batches(training.images, training.labels, size=64, rng=rng.spawn("batches"))
    state = State(model, optimizer, batches, rng.spawn("shifts"), reach=run.choose(quick=0, full=1))
    run.train(state, step, steps, name="classifier", watch="cross-entropy")
    model.eval()

    measured = {"digits: accuracy of the classifier": accuracy(model, tg.tensor(test.images), test.labels)}
    chosen = np.array([np.flatnonzero(test.labels == digit)[:4] for digit in range(10)]).T.ravel()
    start, wanted = test.images[chosen], (test.labels[chosen] + 1) % 10
    made = climb(model, start, wanted, rate=1.0, steps=200, real=training.images)
    usual = nearest(test.images[:2000], training.images)
    return made, usual, measured | verdict("digits", "ascent", made, usual)


def on_a_plane(run: Run) -> tuple[dict[str, Climb], dict[str, float]]:
    """Six classes, each a round Gaussian of a ring: both P(y | x) and ∇ log p(x) are known exactly.

    From real examples of a class to the class on the other side.  Between them is nothing, but the ascent stops there,
    as soon as P(y | x) has nothing left to gain.
    """
    rng = run.rng.spawn("plane")
    density = tg.data.density("ring", components=CLASSES, sd=SD)
    assert density.modes is not None
    centres = density.modes.centres.astype(np.float32)

    def labelled(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, CLASSES, count, device="cpu").numpy()
        return centres[labels] + SD * rng.normal((count, 2), device="cpu").numpy(), labels

    model = of_gaussians(centres, SD)
    start, its_labels = labelled(100)
    wanted = (its_labels + CLASSES // 2) % CLASSES
    points, _ = labelled(20_000)
    usual = nearest(labelled(5000)[0], points)
    climbs: dict[str, Climb] = {}
    measured: dict[str, float] = {}
    for name, prior in (("ascent", None), ("repaired ascent", lambda x: exact_score(density, x))):
        climbs[name] = climb(model, start, wanted, rate=0.005, steps=400, real=points, prior=prior)
        measured |= verdict("plane", name, climbs[name], usual)
    return climbs, measured


def climb(
    model: nn.Module,
    start: np.ndarray,
    wanted: np.ndarray,
    *,
    rate: float,
    steps: int,
    real: np.ndarray,
    prior: Score | None = None,
) -> Climb:
    state = Ascent(model, tg.tensor(start), tg.tensor(wanted), rate, prior)
    path = [start]
    for _ in range(steps):
        ascend(state)
        path.append(state.x.numpy())
    probability = probabilities(model, state.x)[np.arange(len(wanted)), wanted]
    return Climb(start, path[-1], np.stack(path), probability, nearest(path[-1], real))


def nearest(points: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The distance of each point to the nearest real one."""
    rows, others = (a.reshape(len(a), -1).astype(np.float64) for a in (points, real))
    return np.concatenate([block.min(axis=1) for _, block in distance_blocks(rows, others)])


def verdict(where: str, name: str, made: Climb, usual: np.ndarray) -> dict[str, float]:
    """An example is outside the data if it is farther from them than 99 of 100 real examples are."""
    limit = np.quantile(usual, 0.99)
    return {
        f"{where}: smallest P(y | x) after the {name}": float(made.probability.min()),
        f"{where}: share outside the data after the {name}": float((made.distance > limit).mean()),
    }


def draw(digits: Climb, usual: np.ndarray, climbs: dict[str, Climb], path: Path) -> Path:
    """Digits before and after, their distances to real ones, and the paths of both ascents in the plane."""
    figure, axes = plots.figure(2, 2, (8.0, 7.8))
    numbers = range(0, 10, 2)
    before, after = (images[:10:2, 0] for images in (digits.start, digits.end))
    rows = {"from": before, "to": after, "change": after - before + 0.5}
    images = np.stack(list(rows.values()))
    columns = [f"{number} → {number + 1}" for number in numbers]
    plots.image_strip(
        axes[0, 0],
        images,
        rows=list(rows),
        columns=columns,
        title=f"Now P(y | x) ≥ {np.floor(1e3 * digits.probability.min()) / 1e3:.3f}",
        clip=True,
    )
    plots.histogram(
        axes[0, 1], {"real digits": usual, "after the ascent": digits.distance},
        threshold=float(np.quantile(usual, 0.99)),
        title="Distance to the nearest training digit", names=("Euclidean distance", "density"),
    )  # fmt: skip
    density = tg.data.density("ring", components=CLASSES, sd=SD)
    extent = (-3.0, 3.0, -3.0, 3.0)
    log_p = plots.on_lattice(density.log_prob, extent)
    titles = {"ascent": "x ← x + η ∇ log P(y | x)", "repaired ascent": "x ← x + η ∇ (log P(y | x) + log p(x))"}
    for one, (name, made) in zip(axes[1], climbs.items(), strict=True):
        plots.heat_map(one, np.exp(log_p), extent)
        for number in range(12):
            one.plot(*made.path[:, number].T, color="#BBBBBB", linewidth=0.8)
        plots.scatter(one, made.start[:12], colour="white", size=14)
        plots.scatter(one, made.end[:12], colour=plots.PALETTE[1], size=22, title=titles[name], names=("x₁", "x₂"))
        one.set(xlim=extent[:2], ylim=extent[2:])
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
