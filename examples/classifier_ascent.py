"""Generation by ascent on a classifier's input: no digit comes of it, and how the gradient of log p(x) repairs it.

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
        # The steps are small enough: what the ascent does is not the work of one that was too large.
        Gate("noise: largest fall of log P(y | x) in a step", "nats", at_most=1e-4),
        Gate("noise: smallest P(y | x) after the ascent", at_least=0.99),
        # Noise is outside from the beginning: that P(y | x) → 1 does not bring it any nearer than real digits are.
        Gate("noise: share outside the data after the ascent", at_least=0.95),
        Gate("digits: largest fall of log P(y | x) in a step", "nats", at_most=1e-4),
        Gate("digits: smallest P(y | x) after the ascent", at_least=0.99),
        # From a digit the way to P(y | x) = 1 is so short that the nearest real digit is seldom one of the new class.
        Gate("digits: share whose nearest real digit has the wanted label", at_most=0.5),
        Gate("plane: largest fall of log P(y | x) in a step", "nats", at_most=1e-4),
        Gate("plane: smallest P(y | x) after the ascent", at_least=0.99),
        Gate("plane: share outside the data after the ascent", at_least=0.95),
        Gate("plane: smallest P(y | x) after the repaired ascent", at_least=0.99),
        Gate("plane: share outside the data after the repaired ascent", at_most=0.0),
    ),
)


class Climb(NamedTuple):
    """All places of an ascent, log P(y | x) at each, and the nearest real example at its end."""

    path: np.ndarray
    log_p: np.ndarray
    distance: np.ndarray
    neighbour: np.ndarray

    @property
    def smallest(self) -> float:
        """The smallest P(y | x) at the end."""
        return float(np.exp(self.log_p[-1].min()))

    @property
    def largest_fall(self) -> float:
        """Of log P(y | x) in one step: 0 if it never falls."""
        return max(0.0, -float(np.diff(self.log_p, axis=0).min()))


def train(run: Run) -> dict[str, float]:
    images, usual, measured = on_digits(run)
    climbs, its_numbers = on_a_plane(run)
    draw(images, usual, climbs, run.picture("classifier_ascent.png"))
    return measured | its_numbers


def on_digits(run: Run) -> tuple[dict[str, Climb], np.ndarray, dict[str, float]]:
    """Ascend to a digit from noise, and from the digit before it."""
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
    digits, wanted = test.images[chosen], (test.labels[chosen] + 1) % 10
    noise = rng.spawn("noise").uniform(digits.shape, device="cpu").numpy()
    usual, _ = nearest(test.images[:2000], training.images)
    climbs = {}
    for name, start in (("noise", noise), ("digits", digits)):
        made = climb(model, start, wanted, rate=0.05, steps=800, real=training.images)
        found = training.labels[made.neighbour] == wanted
        measured[f"{name}: share whose nearest real digit has the wanted label"] = float(found.mean())
        measured[f"{name}: largest fall of log P(y | x) in a step"] = made.largest_fall
        measured |= verdict(name, "ascent", made, usual)
        climbs[name] = made
    return climbs, usual, measured


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
    usual, _ = nearest(labelled(5000)[0], points)
    climbs: dict[str, Climb] = {}
    measured: dict[str, float] = {}
    for name, prior in (("ascent", None), ("repaired ascent", lambda x: exact_score(density, x))):
        climbs[name] = climb(model, start, wanted, rate=5e-4, steps=4000, real=points, prior=prior)
        measured |= verdict("plane", name, climbs[name], usual)
    measured["plane: largest fall of log P(y | x) in a step"] = climbs["ascent"].largest_fall
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
    path, log_p = [start], [log_probability(state)]
    for _ in range(steps):
        ascend(state)
        path.append(state.x.numpy())
        log_p.append(log_probability(state))
    return Climb(np.stack(path), np.stack(log_p), *nearest(path[-1], real))


@tg.no_grad()
def log_probability(state: Ascent) -> np.ndarray:
    """log P(y | x) of the wanted classes (N,)."""
    with nn.evaluating(state.model):
        log_p: np.ndarray = -tg.cross_entropy(state.model(state.x), state.labels, reduction="none").numpy()
    return log_p


def nearest(points: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each point to the nearest real one, and which that is."""
    rows, others = (a.reshape(len(a), -1).astype(np.float64) for a in (points, real))
    blocks = [(block.min(axis=1), block.argmin(axis=1)) for _, block in distance_blocks(rows, others)]
    distances, which = zip(*blocks, strict=True)
    return np.concatenate(distances), np.concatenate(which)


def verdict(where: str, name: str, made: Climb, usual: np.ndarray) -> dict[str, float]:
    """An example is outside the data if it is farther from them than 99 of 100 real examples are."""
    limit = np.quantile(usual, 0.99)
    return {
        f"{where}: smallest P(y | x) after the {name}": made.smallest,
        f"{where}: share outside the data after the {name}": float((made.distance > limit).mean()),
    }


def draw(images: dict[str, Climb], usual: np.ndarray, climbs: dict[str, Climb], path: Path) -> Path:
    """Images before and after, their distances to real digits, and the paths of both ascents in the plane."""
    figure, axes = plots.figure(2, 2, (8.0, 7.8))
    shown = np.stack([made.path[when, :10:2, 0] for made in images.values() for when in (0, -1)])
    low, high = float(shown.min()), float(shown.max())
    certain = min(made.smallest for made in images.values())
    plots.image_strip(
        axes[0, 0], shown, limits=(low, high), columns=[f"→ {number}" for number in range(1, 10, 2)],
        rows=["noise", "after the\nascent", "digit", "after the\nascent"],
        title=f"Now P(y | x) ≥ {np.floor(1e3 * certain) / 1e3:.3f}\nPixels: {low:.1f} (white) … {high:.1f} (black)",
    )  # fmt: skip
    after = {f"from {name}": made.distance for name, made in images.items()}
    plots.histogram(
        axes[0, 1], {"real": usual, **after},
        threshold=float(np.quantile(usual, 0.99)),
        title="Distance to the nearest training digit", names=("Euclidean distance", "density"),
    )  # fmt: skip
    axes[0, 1].legend(loc="upper center", frameon=False)
    density = tg.data.density("ring", components=CLASSES, sd=SD)
    extent = (-3.0, 3.0, -3.0, 3.0)
    log_p = plots.on_lattice(density.log_prob, extent)
    titles = {"ascent": "x ← x + η ∇ log P(y | x)", "repaired ascent": "x ← x + η ∇ (log P(y | x) + log p(x))"}
    for one, (name, made) in zip(axes[1], climbs.items(), strict=True):
        plots.heat_map(one, np.exp(log_p), extent)
        for number in range(12):
            one.plot(*made.path[:, number].T, color="#BBBBBB", linewidth=0.8)
        plots.scatter(one, made.path[0, :12], colour="white", size=14)
        plots.scatter(one, made.path[-1, :12], colour=plots.PALETTE[1], size=22, title=titles[name], names=("x₁", "x₂"))
        one.set(xlim=extent[:2], ylim=extent[2:])
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
