"""Anomaly detection by reconstruction error: a Gaussian case with a known answer, one digit against the others.

It ends with what such a detector cannot see.

python examples/anomaly.py            about half a minute
python examples/anomaly.py --quick    a little less
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim, plots
from tinygen.models.anomaly import Detector, auroc_of_scaled_noise
from tinygen.models.autoencoder import State, linear, perceptron, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

FALSE_ALARMS = 0.05
SHOWN = 4  # the digit whose detector is drawn: 9 and 1 can pass for it
MANIFOLD, DIMENSION, NOISE = 4, 20, 0.3
MISSED = "white sheet and\nothers, missed"
RATIO = 2.0  # variance of an anomaly's noise over that of a normal example

EXAMPLE = Example(
    name="anomaly",
    systems=("AE-AD",),
    models=("tinygen/models/anomaly.py",),
    gates=(
        Gate("Gaussian: |AUROC - exact AUROC|", at_most=0.01),
        # Inside the subspace an outlier leaves the score as it is: chance decides.
        Gate("Gaussian: AUROC of outliers inside the subspace", at_least=0.47, at_most=0.53),
        Gate("Gaussian: share of false alarms", at_least=0.04, at_most=0.06),
        Gate("digits: AUROC, mean of ten detectors", at_least=0.95),
        Gate("digits: share of false alarms, mean of ten detectors", at_least=0.02, at_most=0.08),
        # Worse than chance: an empty sheet is easier to restore than three normal digits in four.
        Gate("digits: AUROC of white sheets", at_most=0.35),
    ),
)


@dataclass
class Scores:
    """Scores of test data, and the threshold of their detector."""

    normal: np.ndarray
    anomalous: dict[str, np.ndarray]
    threshold: float

    def auroc(self, name: str) -> float:
        both = np.concatenate([self.normal, self.anomalous[name]])
        return metrics.auroc(both, np.arange(len(both)) >= len(self.normal))

    def false_alarms(self) -> float:
        return float((self.normal > self.threshold).mean())


def train(run: Run) -> dict[str, float]:
    plane, exact = gaussian(run)
    digits, shown = zip(*(one_digit(run, digit) for digit in range(10)), strict=True)
    draw(plane, digits[SHOWN], shown[SHOWN], run.picture("anomaly.png"))
    found = [scores.auroc("other digits") for scores in digits]
    return {
        "Gaussian: AUROC": plane.auroc("outside"),
        "Gaussian: |AUROC - exact AUROC|": abs(plane.auroc("outside") - exact),
        "Gaussian: AUROC of outliers inside the subspace": plane.auroc("inside"),
        "Gaussian: share of false alarms": plane.false_alarms(),
        "digits: AUROC, mean of ten detectors": float(np.mean(found)),
        "digits: AUROC, worst of ten detectors": min(found),
        "digits: share of false alarms, mean of ten detectors": float(np.mean([s.false_alarms() for s in digits])),
        "digits: AUROC of white sheets": float(np.mean([scores.auroc("white sheets") for scores in digits])),
    }


def gaussian(run: Run) -> tuple[Scores, float]:
    """Normal data lie near a subspace of 4 of 20 dimensions; outliers are outside of it, or inside but far away."""
    rng = run.rng.spawn("Gaussian")
    basis = tg.tensor(np.linalg.qr(rng.normal((DIMENSION, MANIFOLD), device="cpu").numpy())[0])

    def points(count: int, *, noise: float = NOISE, spread: float = 1.0) -> tg.Tensor:
        inside = spread * rng.normal((count, MANIFOLD)) @ basis.T
        return inside + noise * rng.normal((count, DIMENSION))

    model = linear(DIMENSION, MANIFOLD, rng=rng.spawn("parameters"))
    fit(run, model, points(20_000), run.choose(quick=1500, full=4000), rng, size=500)
    detector = Detector(model, points(20_000), FALSE_ALARMS)
    outside, inside = points(20_000, noise=NOISE * RATIO**0.5), points(20_000, spread=4.0)
    anomalous = {"outside": detector.scores(outside), "inside": detector.scores(inside)}
    return Scores(detector.scores(points(20_000)), anomalous, detector.threshold), auroc_of_scaled_noise(
        DIMENSION - MANIFOLD, RATIO
    )


def one_digit(run: Run, digit: int) -> tuple[Scores, dict[str, np.ndarray]]:
    """A detector that saw one digit only: its scores, and images by what it says of them."""
    rng = run.rng.spawn(f"digit {digit}")
    training, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    normal = training.images[training.labels == digit].reshape(-1, 256)
    held_out, normal = normal[: len(normal) // 4], normal[len(normal) // 4 :]
    model = perceptron(256, 8, (256, 64), rng=rng.spawn("parameters"))
    fit(run, model, normal, 500, rng, name=f"digit {digit}")  # more steps restore other digits better, too
    detector = Detector(model, tg.tensor(held_out), FALSE_ALARMS)

    images = test.images.reshape(-1, 256)
    scores, is_normal = detector.scores(tg.tensor(images)), test.labels == digit
    white = detector.scores(tg.zeros((1, 256)))
    found = Scores(scores[is_normal], {"other digits": scores[~is_normal], "white sheets": white}, detector.threshold)
    order = np.argsort(scores)
    examples = {
        "normal, typical": images[order[is_normal[order]]][len(found.normal) // 2 :][:10],
        "normal, alarm": images[order[is_normal[order]]][-10:],
        "other, found": images[order[~is_normal[order]]][len(scores) // 2 :][:10],
        MISSED: images[order[~is_normal[order]]][:9],
    }
    examples[MISSED] = np.concatenate([np.zeros((1, 256), np.float32), examples[MISSED]])
    return found, {name: np.stack([shown, restore(model, shown)]) for name, shown in examples.items()}


def fit(
    run: Run, model: nn.Module, data: object, steps: int, rng: Generator, *, size: int = 64, name: str = "Gaussian"
) -> None:
    batches = tg.data.Batches(data, size=size, rng=rng.spawn("batches"))
    rate = optim.warmup(30, optim.cosine(3e-3, steps - 30))
    run.train(State(model, optim.Adam(model.parameters(), lr=rate), batches), step, steps, name=name)


@tg.no_grad()
def restore(model: nn.Module, images: np.ndarray) -> np.ndarray:
    restored: np.ndarray = model(tg.tensor(images)).numpy()
    return restored


def draw(plane: Scores, digit: Scores, images: dict[str, np.ndarray], path: Path) -> Path:
    """Histograms with their thresholds, ROC curves, and digits with what the detector made of them."""
    figure, axes = plots.figure(2, 2, (8.0, 7.6))
    names = ("squared error of reconstruction", "density")
    inside, outside = plane.anomalous["inside"], plane.anomalous["outside"]
    plots.histogram(
        axes[0, 0],
        {"normal": plane.normal, "outside the subspace": outside, "far away inside it": inside},
        threshold=plane.threshold, title="Gaussian data", names=names,
    )  # fmt: skip
    others = digit.anomalous["other digits"]
    plots.histogram(
        axes[0, 1], {f"digit {SHOWN}": digit.normal, "other digits": others},
        threshold=digit.threshold, title=f"A detector that saw only {SHOWN}", names=names,
    )  # fmt: skip
    curves = {"outside": (plane.normal, outside), "inside": (plane.normal, inside), "digits": (digit.normal, others)}
    plots.roc_curve(axes[1, 0], curves, title="Anomalies found over false alarms")
    rows = [one for pair in images.values() for one in pair]
    labels = [label for name in images for label in (name, "restored")]
    plots.image_strip(axes[1, 1], np.stack(rows).reshape(len(rows), 10, 16, 16), rows=labels, clip=True)
    left, top, side = -0.5, 18 * labels.index(MISSED) - 0.5, 16  # of the white sheet, which needs a frame to be seen
    axes[1, 1].plot([left, left + side, left + side, left, left], [top, top, top + side, top + side, top], color="#888")
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
