"""PixelCNN on black and white digits: drawn pixel by pixel, and judged in bits beside simpler models.

python examples/pixelcnn_mnist16.py           two networks, about a minute and a half
python examples/pixelcnn_mnist16.py --quick   less than a minute
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import metrics, optim, plots
from tinygen.models import bernoulli_mixture
from tinygen.models.bernoulli_mixture import BernoulliMixture
from tinygen.models.pixelcnn import MADE, GatedPixelCNN, RasterModel, State, evaluate, influence, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.tensor import Tensor
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE, VALIDATION = 16, 1_000  # so many of the training digits say which weights are kept

EXAMPLE = Example(
    name="pixelcnn_mnist16",
    systems=("PIXCNN",),
    models=("tinygen/models/pixelcnn.py",),
    gates=(
        Gate("PixelCNN: better than independent pixels by", "bits per pixel", at_least=0.05),
        Gate("PixelCNN: better than MADE by", "bits per pixel", at_least=0.0),
        Gate("PixelCNN: slope in the pixel itself or later ones", at_most=0.0, exact=True),
        Gate("PixelCNN: earlier pixels never seen", "of 32640 pairs", at_most=0.0, exact=True),
    ),
)


@dataclass
class Learning(State):
    """The state of a training, the weights that were best on the validation digits, and the bits they cost them."""

    best: RasterModel = field(kw_only=True)
    fewest: float = math.inf


@dataclass
class Trained:
    """The best weights that a training met, its reports, and what each pixel of held-out digits costs, in nats."""

    model: RasterModel
    history: History
    cost: np.ndarray

    @property
    def bits(self) -> float:
        """Bits per pixel of the held-out digits."""
        return float(np.mean(self.cost) / np.log(2.0))


def train(run: Run) -> dict[str, float]:
    images, held_out = digits("train"), digits("test")[: run.choose(quick=2_000, full=5_000)]
    pixels = bernoulli_mixture.fit(run.rng.spawn("pixels"), tg.reshape(images, (-1, SIDE**2)), 1, rounds=1)
    independent = metrics.bits_per_dimension(
        -float(tg.mean(pixels.log_prob(tg.reshape(held_out, (-1, SIDE**2))))), SIDE**2
    )
    made = MADE((SIDE, SIDE), (500,), rng=run.rng.spawn("MADE"))
    pixelcnn = GatedPixelCNN(dilations=(1, 2, 4, 8), rng=run.rng.spawn("PixelCNN"))  # sees all that comes before
    trained = {
        "MADE": learn(run, "MADE", made, images, held_out, 100, 2e-3, run.choose(quick=1000, full=4000)),
        "PixelCNN": learn(run, "PixelCNN", pixelcnn, images, held_out, 16, 1e-2, run.choose(quick=500, full=2000)),
    }
    model = trained["PixelCNN"].model
    sways = influence(model, held_out[:2]).reshape(SIDE**2, SIDE**2)  # rows and columns in raster order
    draw(trained, pixels, independent, held_out, run.rng.spawn("picture"), run.picture("pixelcnn_mnist16.png"))
    animate(model, run.rng.spawn("animation"), run.picture("pixelcnn_mnist16.gif"))
    ours, theirs = trained["PixelCNN"].bits, trained["MADE"].bits
    return {
        "independent pixels": independent,
        "MADE": theirs,
        "PixelCNN": ours,
        "PixelCNN: better than independent pixels by": independent - ours,
        "PixelCNN: better than MADE by": theirs - ours,
        "PixelCNN: slope in the pixel itself or later ones": float(np.triu(sways).max()),
        "PixelCNN: earlier pixels never seen": float(np.sum(sways[np.tril_indices(SIDE**2, -1)] == 0.0)),
    }


def digits(split: str) -> Tensor:
    """Digits (N, 1, 16, 16), 1 where the grey is above one half."""
    greys = tg.tensor(tg.data.load("mnist16", split=split).images)
    return tg.astype(greys > 0.5, greys.dtype)


def learn(
    run: Run, name: str, model: RasterModel, images: Tensor, held_out: Tensor, batch: int, rate: float, steps: int
) -> Trained:
    """Maximum likelihood; of the averaged weights, those are kept that give validation digits the fewest bits.

    The held-out digits have no part in it: they are looked at once, when all is done.
    """
    training, validation = images[VALIDATION:], images[:VALIDATION]
    batches = tg.data.Batches(training, size=batch, rng=run.rng.spawn(f"batches of {name}"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(rate, steps, rate / 30))
    average = optim.ExponentialMovingAverage(model, 0.99)
    state = Learning(model, optimizer, batches, average, best=copy.deepcopy(model))

    def report(state: Learning) -> Mapping[str, float]:
        bits = -float(np.mean(evaluate(average.module, validation))) / np.log(2.0)
        if bits < state.fewest:
            state.fewest = bits
            state.best.load_state_dict(average.state_dict())
        return {"bits": bits}

    history = run.train(state, step, steps, name=name, every=steps // 10, evaluate=report, watch="bits")
    return Trained(state.best, history, -evaluate(state.best, held_out))


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(
    trained: Mapping[str, Trained],
    pixels: BernoulliMixture,
    independent: float,
    held_out: Tensor,
    rng: Generator,
    path: Path,
) -> Path:
    """Samples of the three models beside digits; how they learn, and where the bits of a digit are."""
    figure, (upper, lower) = plots.figure(2, 4, (15.0, 7.6))
    figure.set_layout_engine("constrained", w_pad=0.1)
    model, count = trained["PixelCNN"].model, 36
    alone = rng.spawn("alone").bernoulli(pixels.probs[0], (count, SIDE**2))
    for axes, images, title in (
        (upper[0], held_out[:count], "Held-out digits"),
        (upper[1], alone, f"Independent pixels: {independent:.3f} bits"),
        (upper[2], sample(trained["MADE"].model, rng, count), f"MADE: {trained['MADE'].bits:.3f} bits"),
        (upper[3], sample(model, rng, count), f"PixelCNN: {trained['PixelCNN'].bits:.3f} bits"),
    ):
        plots.image_grid(axes, tg.reshape(images, (count, SIDE, SIDE)), 6, title)
    draw_learning(lower[0], trained, independent)
    draw_completions(lower[1], model, held_out[:6], rng)
    cost = trained["PixelCNN"].cost / np.log(2.0)
    plots.heat_map(lower[2], cost.mean(axis=0), label="bits", title="Each pixel, given those before it")
    lower[2].set(xticks=range(0, SIDE, 5), yticks=range(0, SIDE, 5), xlabel="column", ylabel="row")
    draw_surprise(lower[3], held_out[:9], cost[:9])
    return plots.save(figure, path)


def sample(model: RasterModel, rng: Generator, count: int) -> Tensor:
    """New digits (count, 1, 16, 16)."""
    return model.sample(rng.spawn("samples"), count, (SIDE, SIDE))


def draw_learning(axes: Axes, trained: Mapping[str, Trained], independent: float) -> None:
    """Bits of validation digits over the share of each training."""
    for (name, one), colour in zip(trained.items(), plots.PALETTE, strict=False):
        last = one.history[-1]["step"]
        share = [100.0 * report["step"] / last for report in one.history]
        axes.plot(share, [report["bits"] for report in one.history], color=colour, label=f"{name}, {last:.0f} steps")
    axes.axhline(independent, color=plots.canvas.REFERENCE, linestyle="--", label="independent pixels")
    axes.set(title="Validation digits, averaged weights", xlabel="% of the training", ylabel="bits per pixel")
    axes.legend(frameon=False)


def draw_completions(axes: Axes, model: RasterModel, some: Tensor, rng: Generator) -> None:
    """The upper half of a digit, and what the model makes of it; the last column is the digit itself."""
    half, times = some[:, :, : SIDE // 2], 5
    given = tg.pad(half, ((0, 0), (0, 0), (0, SIDE // 2), (0, 0)), constant_values=0.3)
    completed = model.complete(rng.spawn("completions"), tg.repeat(half, times, axis=0), SIDE)
    completed = tg.reshape(completed, (len(some), times, SIDE, SIDE))
    rows = tg.concatenate([given, completed, some], axis=1)
    between = [""] * (times // 2)
    names = ["given", *between, "completed", *between, "digit"]
    plots.image_strip(axes, rows, columns=names, title="Upper halves, completed")


def draw_surprise(axes: Axes, digits: Tensor, cost: np.ndarray) -> None:
    """Where the bits of single digits are: at the beginnings and the bends of strokes."""
    sheets = [np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1))) for x in (digits.numpy()[:, 0], cost)]
    ink, bits = (x.reshape(3, 3, SIDE + 2, SIDE + 2).swapaxes(1, 2).reshape(3 * (SIDE + 2), -1) for x in sheets)
    plots.heat_map(axes, bits, label="bits", limits=(0.0, 6.0), title="The same for nine digits; white: ink")
    axes.contour(ink, levels=[0.5], colors="white", linewidths=0.6)
    axes.set(xticks=[], yticks=[])


def animate(model: RasterModel, rng: Generator, path: Path) -> None:
    """Sixteen digits as they are drawn, and the probability of ink that each pixel was drawn from."""
    digits = sample(model, rng, 16)
    with tg.no_grad():
        ink = model.conditionals(digits).probs[..., 1].numpy()
    order = np.arange(SIDE**2).reshape(SIDE, SIDE)
    figure, ((left, right),) = plots.figure(1, 2, (6.8, 3.5))
    figure.set_layout_engine("constrained", w_pad=0.15)
    with plots.animation(figure, path, fps=12.0, pause=2.5, dpi=80) as frame:
        for drawn in range(0, SIDE**2 + 1, 4):
            for axes, images, title in ((left, digits.numpy()[:, 0], "drawn"), (right, ink, "probability of ink")):
                axes.clear()
                plots.image_grid(axes, np.where(order < drawn, images, 0.2), 4, title)
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
