"""PixelCNN on a random field of known entropy: how near it comes, and what a stack of masked convolutions cannot see.

python examples/pixelcnn_field.py           two networks, about 4 minutes
python examples/pixelcnn_field.py --quick   less than a minute
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data import CausalField
from tinygen.models.pixelcnn import GatedPixelCNN, PlainPixelCNN, RasterModel, State, evaluate, influence, step
from tinygen.running import Example, Gate, Run, main
from tinygen.tensor import Tensor
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIELD = CausalField(8, 1.0)
SIDE = FIELD.side
ENTROPY = FIELD.entropy / SIDE**2  # .51659 nats per pixel
NEIGHBOURS = {"right": (0, 1), "below": (1, 0), "below right": (1, 1), "below left": (1, -1)}
"""Pairs of pixels, by how many rows and columns one is away from the other."""


def gates(name: str, never_seen: Gate) -> tuple[Gate, ...]:
    """What each of the two networks must reach."""
    return (
        # Held-out fields below .507 cost less than their entropy .51659: the network sees what it predicts.
        Gate(f"{name}: held-out NLL", "nats per pixel", never_below=0.507),
        Gate(f"{name}: excess over the truth", "nats per pixel", at_most=0.005),
        Gate(f"{name}: slope in the pixel itself or later ones", at_most=0.0, exact=True),
        # The chance of 30,000 samples alone makes about 0.5 of these %, and seldom 1; the rest is the network.
        Gate(f"{name}: pair statistics of samples, error", "%", at_most=2.0),
        never_seen,
    )


BLIND = "earlier pixels never seen"
EXAMPLE = Example(
    name="pixelcnn_field",
    systems=("PIXCNN",),
    models=("tinygen/models/pixelcnn.py", "tinygen/nn/masked.py"),
    gates=gates("plain", Gate(f"plain: {BLIND}", "of 2016 pairs", at_least=1, exact=True))
    + gates("gated", Gate(f"gated: {BLIND}", "of 2016 pairs", at_most=0, exact=True)),
)


@dataclass
class Trained:
    """A network, what its training left, its samples, and which pixel sways which."""

    model: RasterModel
    history: History
    samples: Tensor
    influence: np.ndarray


def train(run: Run) -> dict[str, float]:
    images = FIELD.sample(run.rng.spawn("images"), 200_000)
    held_out = FIELD.sample(run.rng.spawn("held out"), 5_000)
    models = {
        "plain": PlainPixelCNN(channels=8, layers=5, rng=run.rng.spawn("plain")),
        "gated": GatedPixelCNN(channels=8, rng=run.rng.spawn("gated")),
    }
    trained = {name: learn(run, name, model, images, held_out) for name, model in models.items()}
    measured: dict[str, float] = {}
    for name, one in trained.items():
        measured |= {f"{name}: {key}": value for key, value in judge(one, held_out).items()}
    draw(trained, held_out, run.picture("pixelcnn_field.png"))
    return measured


def learn(run: Run, name: str, model: RasterModel, images: Tensor, held_out: Tensor) -> Trained:
    """Maximum likelihood; the reports have the excess −log q + log p on some held-out fields."""
    rng, steps = run.rng.spawn(f"train {name}"), run.choose(quick=500, full=3000)
    batches = tg.data.Batches(images, size=64, rng=rng.spawn("batches"))
    state = State(model, optim.Adam(model.parameters(), lr=optim.cosine(5e-3, steps)), batches)

    def report(state: State) -> Mapping[str, float]:
        return {"excess": excess(state.model, held_out)}

    history = run.train(state, step, steps, name=name, every=steps // 10, evaluate=report, watch="excess")
    rng, count = run.rng.spawn(f"{name} samples"), run.choose(quick=15, full=30)
    samples = tg.concatenate([model.sample(rng, 1_000, (SIDE, SIDE)) for _ in range(count)])  # so many fit the cache
    return Trained(model, history, samples, influence(model, held_out[:50]))


def excess(model: RasterModel, x: Tensor) -> float:
    """KL(truth ‖ model) in nats per pixel, as the mean of log p − log q over fields of the truth."""
    log_q = evaluate(model, x).sum(axis=(1, 2))
    return float(np.mean(FIELD.log_prob(x).numpy() - log_q)) / SIDE**2


def judge(one: Trained, held_out: Tensor) -> dict[str, float]:
    """The figures of the gates of either network."""
    found, true = pair_statistics(moments(one.samples)), pair_statistics(true_moments())
    sways = one.influence.reshape(SIDE**2, SIDE**2)  # rows and columns in raster order
    return {
        "held-out NLL": -float(np.mean(evaluate(one.model, held_out))),
        "excess over the truth": excess(one.model, held_out),
        "pair statistics of samples, error": 100.0 * max(abs(found[key] / true[key] - 1.0) for key in true),
        "slope in the pixel itself or later ones": float(np.triu(sways).max()),
        BLIND: float(np.sum(sways[np.tril_indices(SIDE**2, -1)] == 0.0)),
    }


def pair_statistics(moments: np.ndarray) -> dict[str, float]:
    """The mean of E s t over all pairs of spins that are neighbours, for each kind of neighbour."""
    row, column = np.mgrid[:SIDE, :SIDE]
    means = {}
    for name, (down, right) in NEIGHBOURS.items():
        inside = (row + down < SIDE) & (column + right >= 0) & (column + right < SIDE)
        i, j = row[inside], column[inside]
        means[name] = float(moments[i, j, i + down, j + right].mean())
    return means


def moments(x: Tensor) -> np.ndarray:
    """Means of s t for all pairs of spins ±1 of fields x: (8, 8, 8, 8)."""
    spins = 2.0 * x.numpy().reshape(len(x), SIDE**2).astype(np.float64) - 1.0
    return (spins.T @ spins / len(x)).reshape((SIDE,) * 4)


def true_moments() -> np.ndarray:
    """The same of the field itself, exactly: its rows are a Markov chain with 2⁸ states."""
    rows = 2.0 * (np.arange(2**SIDE)[:, None] >> np.arange(SIDE) & 1) - 1.0
    left = np.pad(rows[:, :-1], ((0, 0), (1, 0)))

    def chances(above: np.ndarray) -> np.ndarray:
        """Of each next row (…, 256) after rows ``above`` (…, 8)."""
        logits = FIELD.coupling * (left + above[..., None, :])
        chance: np.ndarray = np.exp(-np.logaddexp(0.0, -rows * logits).sum(axis=-1))
        return chance

    law, after = chances(np.zeros(SIDE)), chances(rows)
    found = np.empty((SIDE,) * 4)
    for i in range(SIDE):
        joint = np.diag(law)  # of row i and row k
        for k in range(i, SIDE):
            found[i, :, k] = rows.T @ joint @ rows
            found[k, :, i] = found[i, :, k].T
            joint = joint @ after
        law = law @ after
    return found


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(trained: Mapping[str, Trained], held_out: Tensor, path: Path) -> Path:
    """Above: how near the networks come to the truth.  Below: what they see of it."""
    figure, (upper, lower) = plots.figure(2, 4, (15.0, 7.4))
    figure.set_layout_engine("constrained", w_pad=0.12)
    for (name, one), colour in zip(trained.items(), plots.PALETTE, strict=False):
        steps = [report["step"] for report in one.history]
        upper[0].plot(steps, [report["excess"] for report in one.history], color=colour, label=name)
    upper[0].axhline(0.005, color=plots.canvas.REFERENCE, linestyle="--", label="gate")
    upper[0].set(yscale="log", ylim=(3e-5, 0.1))
    upper[0].set(title="Held-out NLL above the entropy", xlabel="step", ylabel="nats per pixel")
    upper[0].legend(frameon=False)
    plots.image_grid(upper[1], held_out[:36], 6, "Fields of the truth")
    plots.image_grid(upper[2], trained["gated"].samples[:36], 6, "Samples of the gated network")
    draw_pairs(upper[3], {"truth": true_moments(), **{name: moments(one.samples) for name, one in trained.items()}})
    for axes, (name, one) in zip(lower, trained.items(), strict=False):
        draw_receptive_field(axes, one.influence, (6, 1), name)
    draw_logits(lower[2], trained["gated"].model, held_out[:20])
    draw_surprise(lower[3], trained["gated"].model, held_out)
    return plots.save(figure, path)


def draw_pairs(axes: Axes, sources: Mapping[str, np.ndarray]) -> None:
    """Correlations of neighbours, of the truth and of samples."""
    for number, (name, found) in enumerate(sources.items()):
        places = np.arange(len(NEIGHBOURS)) + 0.27 * (number - 1)
        colour = plots.PALETTE[(2, 0, 1)[number]]  # the networks as in the curves
        axes.bar(places, list(pair_statistics(found).values()), 0.25, color=colour, label=name)
    axes.set_xticks(range(len(NEIGHBOURS)), [name.replace(" ", "\n") for name in NEIGHBOURS])
    axes.set(title="Pairs of neighbours", ylabel="mean product of spins")
    axes.legend(frameon=False)


def draw_receptive_field(axes: Axes, sways: np.ndarray, pixel: tuple[int, int], name: str) -> None:
    """Where the slopes of one pixel's log-odds are not zero; a cross is an earlier pixel that is never seen."""
    slopes = sways[pixel]
    before = np.arange(SIDE**2).reshape(SIDE, SIDE) < pixel[0] * SIDE + pixel[1]
    shown = np.log10(np.maximum(slopes, 1e-6))
    label = "log₁₀ |∂ log-odds / ∂ pixel|" if name == "gated" else ""
    plots.heat_map(axes, shown, limits=(-5.0, 0.5), label=label, title=f"What pixel {pixel} sees: {name}")
    axes.imshow(np.where(before, np.nan, 0.9), cmap="gray", vmin=0.0, vmax=1.0)  # the pixel and what comes later
    axes.scatter(*pixel[::-1], marker="s", s=90, color=plots.PALETTE[0], label="the pixel")
    if (blind := before & (slopes == 0.0)).any():
        rows, columns = np.nonzero(blind)
        axes.scatter(columns, rows, marker="x", s=70, linewidths=2.5, color=plots.PALETTE[1], label="blind spot")
    axes.set(xlabel="column", ylabel="row")
    axes.legend(loc="lower right", fontsize=9)


def draw_logits(axes: Axes, model: RasterModel, x: Tensor) -> None:
    """The learned log-odds of each pixel over the true ones, which are −2, −1, 0, 1 or 2."""
    with tg.no_grad():
        logits = model(x)
        learned = (logits[:, 1] - logits[:, 0]).numpy().ravel()
    true = FIELD.logits(x).numpy().ravel()
    shift = np.linspace(-0.3, 0.3, len(true))  # side by side, not one over the other
    plots.scatter(axes, np.stack([true + shift, learned], axis=1), size=9.0)
    levels = np.unique(true)
    axes.hlines(levels, levels - 0.4, levels + 0.4, color=plots.PALETTE[1], label="truth")
    axes.set(title="Log-odds of the gated network", xlabel="true log-odds", ylabel="learned log-odds", aspect="auto")
    axes.legend(frameon=False, loc="upper left")


def draw_surprise(axes: Axes, model: RasterModel, x: Tensor) -> None:
    """What each pixel costs, given those before it."""
    cost = -evaluate(model, x).mean(axis=0)
    plots.heat_map(axes, cost, label="nats", title=f"NLL of each pixel, mean {cost.mean():.4f}")
    axes.set(xlabel="column", ylabel="row")


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
