"""Adversarial networks on rings of eight Gaussians: modes collapse without a penalty of the slopes, and do not with it.

python examples/gan_2d.py            three trainings, about 40 seconds
python examples/gan_2d.py --quick    1,500 steps each
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import plots
from tinygen.adversarial import R1, Penalty, squared_slopes
from tinygen.data.pushforward import Density
from tinygen.models.gan import step
from tinygen.models.gan_plane import PlaneState, judge, plane_game, samples
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVERY = 100
SAMPLES = 2500  # as in Srivastava et al. 2017: of many more, a stray one would "cover" a mode that is lost
EXTENT = (-3.0, 3.0, -3.0, 3.0)

EXAMPLE = Example(
    name="gan_2d",
    systems=("NSGAN", "R1GAN"),
    models=("tinygen/models/gan.py", "tinygen/models/gan_plane.py", "tinygen/adversarial/penalties.py"),
    gates=(
        Gate("easy ring: modes", "of 8", at_least=8),
        # Real data reach 0.9889: more would be modes that are too narrow.
        Gate("easy ring: good samples", at_least=(0.85, 0.9), at_most=0.9889),
        Gate("easy ring: KL of the modes", "nats", at_most=0.02),
        Gate("hard ring, R1: modes", "of 8", at_least=8),
        Gate("hard ring, R1: good samples", at_least=(0.4, 0.7), at_most=0.9889),
        Gate("hard ring, R1: KL of the modes", "nats", at_most=0.02),
        # What is lost without the penalty are modes; the share of good samples may be high all the same.
        # --quick is too short to lose most of them, but they are served unevenly: KL .078 … .33 over seeds 0 … 4,
        # with R1 below .004.
        Gate("hard ring, no penalty: modes", "of 8", at_most=(math.inf, 7)),
        Gate("hard ring, no penalty: KL of the modes", "nats", at_least=(0.03, 0.1)),
    ),
)


@dataclass
class Trained:
    """What a training leaves for the pictures."""

    centres: np.ndarray
    state: PlaneState
    history: list[dict[str, float]]


def train(run: Run) -> dict[str, float]:
    easy, hard = tg.data.density("ring", sd=0.2), tg.data.density("ring", sd=0.02)
    settings: dict[str, tuple[Density, list[Penalty]]] = {
        "easy ring": (easy, [R1(0.1)]),
        "hard ring, R1": (hard, [R1(1.0)]),
        "hard ring, no penalty": (hard, []),
    }
    measured: dict[str, float] = {}
    trained: dict[str, Trained] = {}
    for name, (ring, penalties) in settings.items():
        steps = run.choose(quick=1500, full=2500 if ring is easy else 4500)
        trained[name] = learn(run, name, ring, penalties, steps)
        points = samples(trained[name].state, run.rng.spawn("judged"), SAMPLES)
        measured |= {f"{name}: {key}": value for key, value in judge(points, ring).items()}
    draw(trained, run.picture("gan_2d.png"))
    animate(trained, run.picture("gan_2d.gif"))
    return measured


def learn(run: Run, name: str, ring: Density, penalties: list[Penalty], steps: int) -> Trained:
    """Train a pair of perceptrons, and keep samples of each report."""
    state = plane_game(ring, steps, rng=run.rng.spawn(name), penalties=penalties)

    def evaluate(state: PlaneState) -> Mapping[str, float]:
        state.frames.append(samples(state, run.rng.spawn("shown"), SAMPLES))
        return judge(state.frames[-1], ring)

    folder = name.replace(",", "").replace(" ", "_")
    history = run.train(state, step, steps, name=folder, every=EVERY, evaluate=evaluate, watch="modes")
    assert ring.modes is not None
    return Trained(ring.modes.centres, state, history)


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(trained: Mapping[str, Trained], path: Path) -> Path:
    """Samples, discriminators with the sizes of their slopes, and what was measured over the steps."""
    figure, axes = plots.figure(3, 3, (10.5, 10.0))
    points = tg.tensor(plots.lattice(EXTENT, 120))
    for column, (name, one) in enumerate(trained.items()):
        draw_samples(axes[0, column], one, -1, name)
        belief = tg.sigmoid(plots.on_lattice(one.state.discriminator, EXTENT))
        slope = np.sqrt(squared_slopes(one.state.discriminator, points).numpy()).reshape(120, 120)
        plots.heat_map(
            axes[1, column], np.log10(slope + 1e-3), EXTENT, limits=(-2.0, 2.0),
            label="log₁₀ slope of the logit" if column == 2 else "", title="Slopes of D, and D = ½",
        )  # fmt: skip
        if belief.min() < 0.5 < belief.max():
            plots.contours(axes[1, column], belief, EXTENT, levels=[0.5], colour="white")
    for axis, key in zip(axes[2], ("modes", "good samples", "KL of the modes"), strict=True):
        for name, one in trained.items():
            plots.curves(axis, [r["step"] for r in one.history], {name: [r[key] for r in one.history]}, title=key)
        axis.legend().remove()
    axes[2, 2].set_yscale("log")
    axes[2, 2].set_ylabel("nats")
    axes[2, 0].legend(frameon=False, loc="lower right")
    return plots.save(figure, path)


def draw_samples(axes: Axes, one: Trained, frame: int, title: str) -> None:
    """Samples of one report over the centres of the modes."""
    plots.scatter(axes, one.centres, colour=plots.PALETTE[1], size=70.0)
    plots.scatter(axes, one.state.frames[frame], colour=plots.PALETTE[0], size=2.0, title=title)
    axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:])


def animate(trained: Mapping[str, Trained], path: Path) -> None:
    """The three generators side by side as they learn."""
    figure, axes = plots.figure(1, 3, (8.0, 3.2))
    length = max(len(one.state.frames) for one in trained.values())
    with plots.animation(figure, path, fps=5.0) as frame:
        for number in range(length):
            for axis, (name, one) in zip(axes[0], trained.items(), strict=True):
                axis.clear()
                last = min(number, len(one.state.frames) - 1)
                report = one.history[last]
                draw_samples(axis, one, last, f"{name}\nstep {report['step']:.0f}: {report['modes']:.0f} modes")
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
