"""A Wasserstein critic with a gradient penalty: a grid of 25 narrow Gaussians, and two moons.

python examples/gan_grid.py            two trainings, about a minute and a half
python examples/gan_grid.py --quick    fewer steps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import metrics, plots
from tinygen.adversarial import GradientPenalty, wasserstein
from tinygen.data.pushforward import Density
from tinygen.models.gan import perceptron, step
from tinygen.models.gan_plane import WIDTH, PlaneState, Unfolded, judge, plane_game, samples
from tinygen.optim.schedules import Schedule
from tinygen.plots.images import Extent
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID, MOONS = tg.data.density("grid", spacing=2.0, sd=0.05), tg.data.density("moons")
EXTENTS = {"grid": (-5.0, 5.0, -5.0, 5.0), "moons": (-1.5, 2.5, -1.25, 1.75)}
SAMPLES, EVERY, CELLS = 2500, 100, 120

EXAMPLE = Example(
    name="gan_grid",
    systems=("WGANGP",),
    models=("tinygen/models/gan_plane.py", "tinygen/adversarial/penalties.py"),
    gates=(
        Gate("grid: modes", "of 25", at_least=24),
        # Real data reach 0.9889: more would be modes that are too narrow.
        Gate("grid: good samples", at_least=(0.5, 0.75), at_most=0.9889),
        # 1 is what other real points have (by chance less); real points that are moved by 0.08 have 5.
        Gate("moons: energy distance / that of real points", at_most=(8.0, 5.0)),
    ),
)


@dataclass
class Trained:
    """What a training leaves for the pictures."""

    data: Density
    extent: Extent
    state: PlaneState
    history: list[dict[str, float]]


def train(run: Run) -> dict[str, float]:
    real = [MOONS.sample(run.rng.spawn(f"real {number}"), SAMPLES).numpy() for number in range(6)]
    least = float(np.mean([distance(real[0], other) for other in real[1:]]))

    def judge_moons(points: np.ndarray) -> dict[str, float]:
        return {"energy distance / that of real points": distance(points, real[0]) / least}

    def judge_grid(points: np.ndarray) -> dict[str, float]:
        return judge(points, GRID)

    grid = learn(run, "grid", GRID, run.choose(quick=3000, full=8000), judge_grid, weight=1.0, size=2.8)
    moons = learn(run, "moons", MOONS, run.choose(quick=800, full=1500), judge_moons, weight=0.1, size=1.0)
    draw(grid, moons, run.picture("gan_grid.png"))
    animate(grid, moons, run.picture("gan_grid.gif"))
    fresh = run.rng.spawn("judged")
    measured = {"grid": judge(samples(grid.state, fresh, SAMPLES), GRID)}
    measured["moons"] = judge_moons(samples(moons.state, fresh, SAMPLES))
    return {f"{name}: {key}": value for name, found in measured.items() for key, value in found.items()}


def distance(points: np.ndarray, real: np.ndarray) -> float:
    """The energy distance of two sets of points as they are: never negative, a little above 0 for equal laws."""
    return metrics.energy_distance(points, real, unbiased=False)


def learn(
    run: Run,
    name: str,
    data: Density,
    steps: int,
    measure: Callable[[np.ndarray], Mapping[str, float]],
    *,
    weight: float,
    size: float,
) -> Trained:
    """Train a generator with two steps of the critic for each of its own (WGAN-3, WGAN-4).

    ``size`` is roughly the standard deviation of the data.
    """
    rng = run.rng.spawn(name)
    state = plane_game(
        data,
        steps,
        rng=rng,
        # The data are not scaled: so both players are, the generator's first samples and the critic's first kinks.
        generator=Unfolded(size, rng=rng.spawn("generator")),
        discriminator=perceptron((2, WIDTH, WIDTH, 1), spread=size, rng=rng.spawn("critic")),
        objective=wasserstein,
        penalties=[GradientPenalty(rng.spawn("penalty"), weight)],
        discriminator_steps=2,
        rate=falling(3e-3, steps),
    )

    def evaluate(state: PlaneState) -> Mapping[str, float]:
        state.frames.append(samples(state, run.rng.spawn("shown"), SAMPLES))
        return measure(state.frames[-1])

    history = run.train(state, step, steps, name=name, every=EVERY, evaluate=evaluate)
    return Trained(data, EXTENTS[name], state, history)


def falling(peak: float, steps: int) -> Schedule:
    """The peak for 40 % of the steps, then a straight line down to 2 % of it."""
    return lambda step: peak * min(1.0, 0.02 + 0.98 * (1.0 - step / steps) / 0.6)


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(grid: Trained, moons: Trained, path: Path) -> Path:
    """Samples over the density, the critic, and what was measured over the steps."""
    figure, axes = plots.figure(2, 3, (11.4, 7.2))
    for row, one in zip(axes, (grid, moons), strict=True):
        draw_samples(row[0], one, -1)
        draw_critic(row[1], one)
    steps = [report["step"] for report in grid.history]
    plots.curves(
        axes[0, 2], steps,
        {
            "modes / 25": [report["modes"] / 25 for report in grid.history],
            "good samples": [report["good samples"] for report in grid.history],
        },
        floor=metrics.high_quality_ceiling(), floor_name="real data", title="Grid",
    )  # fmt: skip
    axes[0, 2].set_ylim(0.0, 1.05)
    axes[0, 2].legend(frameon=False, loc="lower right")
    name = "energy distance / that of real points"
    plots.curves(
        axes[1, 2], [report["step"] for report in moons.history],
        {"generator": [report[name] for report in moons.history]},
        floor=1.0, floor_name="real points", title="Moons", names=("step", name),
    )  # fmt: skip
    axes[1, 2].set_yscale("log")
    return plots.save(figure, path)


def draw_samples(axes: Axes, one: Trained, frame: int) -> None:
    """Generated points of one report over the density of the data."""
    density = np.exp(plots.on_lattice(one.data.log_prob, one.extent, CELLS))
    axes.imshow(density, extent=one.extent, cmap="Oranges", vmax=density.max() * 1.5)
    if one.data.modes is not None:
        plots.scatter(axes, one.data.modes.centres, colour=plots.PALETTE[1], size=60.0)
    plots.scatter(axes, one.state.frames[frame], size=2.5, title=f"step {one.history[frame]['step']:,.0f}")
    axes.set(xlim=one.extent[:2], ylim=one.extent[2:])


@tg.no_grad()
def draw_critic(axes: Axes, one: Trained) -> None:
    """The critic's scores with lines of equal score; only their differences count."""
    scores = plots.on_lattice(one.state.discriminator, one.extent, CELLS)
    scores = scores - scores.mean()
    plots.heat_map(axes, scores, one.extent, signed=True, label="score", title="Critic f(x)")
    axes.contour(scores[::-1], 8, extent=one.extent, colors="black", linewidths=0.6)


def animate(grid: Trained, moons: Trained, path: Path) -> None:
    """Both generators as they learn."""
    figure, axes = plots.figure(1, 2, (7.0, 3.6))
    length = max(len(one.history) for one in (grid, moons))
    with plots.animation(figure, path, fps=4.0, dpi=80) as frame:
        for number in [*range(0, length - 1, 3), length - 1]:
            for axis, one in zip(axes[0], (grid, moons), strict=True):
                axis.clear()
                draw_samples(axis, one, min(number, len(one.history) - 1))
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
