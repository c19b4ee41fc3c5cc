"""Nine adversarial games on one ring of narrow Gaussians: which of them lose modes, and what their critics look like.

python examples/gan_wall.py            five seeds of each game, about 4 minutes
python examples/gan_wall.py --quick    one seed of each, fewer steps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import nn, plots
from tinygen.adversarial import (
    R1,
    GradientPenalty,
    InstanceNoise,
    Objective,
    Penalty,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    squared_slopes,
    wasserstein,
)
from tinygen.models.gan import perceptron, step
from tinygen.models.gan_plane import WIDTH, PlaneState, judge, plane_game, samples
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RING = tg.data.density("ring", sd=0.02)
SAMPLES, EVERY, CELLS = 2500, 100, 100
EXTENT = (-3.0, 3.0, -3.0, 3.0)


@dataclass(frozen=True)
class Game:
    """What one game has of its own; generators, data, batches and learning rates are the same in all."""

    objective: Objective
    penalty: Callable[[Generator], Penalty] | None = None
    critic_steps: int = 1
    clip: float | None = None
    bound: float | None = None  # of the slopes: all layers are normalised, and the scores multiplied by it
    noise: float = 0.0


GAMES = {
    "minimax": Game(minimax),
    "non-saturating": Game(non_saturating),
    "least squares": Game(least_squares),
    "hinge": Game(hinge),
    "Wasserstein, clipped": Game(wasserstein, critic_steps=2, clip=0.1),
    "Wasserstein, penalty": Game(wasserstein, lambda rng: GradientPenalty(rng, weight=1.0), critic_steps=2),
    "non-saturating, R1": Game(non_saturating, lambda rng: R1(0.3)),
    "hinge, spectral norm": Game(hinge, bound=10.0),
    "non-saturating, noise": Game(non_saturating, noise=0.1),
}
CURES = ("Wasserstein, penalty", "non-saturating, R1", "hinge, spectral norm")

EXAMPLE = Example(
    name="gan_wall",
    systems=("GAN", "NSGAN", "WGAN", "WGANGP", "R1GAN", "SNGAN"),
    models=("tinygen/models/gan_plane.py", "tinygen/adversarial/objectives.py", "tinygen/adversarial/penalties.py"),
    gates=(
        # Medians of the five seeds.  --quick, one seed, has no time to lose modes, nor for all cures; but modes are
        # served unevenly: over seeds 0 … 5 the KL is .019 … .17, with a cure below .01.
        Gate("non-saturating: modes", "of 8", at_most=(math.inf, 7)),
        Gate("non-saturating: KL of the modes", "nats", at_least=(0.012, 0.1)),
        *(Gate(f"{name}: modes", "of 8", at_least=(7, 8)) for name in CURES),
        *(Gate(f"{name}: KL of the modes", "nats", at_most=0.02) for name in CURES),
        Gate("Wasserstein, penalty: slopes from 0.8 to 1.2", "share", at_least=0.5),
        Gate("Wasserstein, clipped: slopes from 0.8 to 1.2", "share", at_most=0.2),
        Gate("hinge, spectral norm: steepest slope / bound", never_above=1.001),
        Gate("median slope with R1 / without", at_most=(0.5, 0.2)),
    ),
)


@dataclass
class Trained:
    """One game, trained with several seeds: what each of them left."""

    states: list[PlaneState] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    slopes: list[np.ndarray] = field(default_factory=list)  # of the critic between data and fakes (n,)

    def median(self, key: str) -> float:
        """What the seeds measured at the end."""
        return float(np.median([history[-1][key] for history in self.histories]))


def train(run: Run) -> dict[str, float]:
    wall: dict[str, Trained] = {}
    for name, game in GAMES.items():
        wall[name] = Trained()
        for seed in range(run.choose(quick=1, full=5)):
            state, history = learn(run, name, game, seed, run.choose(quick=800, full=1500))
            wall[name].states.append(state)
            wall[name].histories.append(history)
            wall[name].slopes.append(slopes_between(state, run.rng.spawn("slopes")))
    draw_wall(wall, run.picture("gan_wall.png"))
    draw_critics(wall, run.picture("gan_wall_critics.png"))
    draw_seeds(wall, run.picture("gan_wall_seeds.png"))
    animate(wall, run.picture("gan_wall.gif"))

    measured = {
        f"{name}: {key}": one.median(key)
        for name, one in wall.items()
        for key in ("modes", "good samples", "KL of the modes")
    }
    for name in ("Wasserstein, penalty", "Wasserstein, clipped"):
        near_one = np.abs(np.array(wall[name].slopes) - 1.0) <= 0.2
        measured[f"{name}: slopes from 0.8 to 1.2"] = float(np.median(near_one.mean(axis=1)))
    normalised, bound = wall["hinge, spectral norm"], GAMES["hinge, spectral norm"].bound
    assert bound is not None
    measured["hinge, spectral norm: steepest slope / bound"] = float(np.max(normalised.slopes)) / bound
    with_r1, without = (np.median(wall[name].slopes) for name in ("non-saturating, R1", "non-saturating"))
    measured["median slope with R1 / without"] = float(with_r1 / without)
    return measured


# --- the games ---------------------------------------------------------------------------------------------------


def learn(run: Run, name: str, game: Game, seed: int, steps: int) -> tuple[PlaneState, History]:
    """Train one game with one seed; points are kept at each report."""
    rng = run.rng.spawn(f"{name} {seed}")
    state = plane_game(
        RING,
        steps,
        rng=rng,
        discriminator=critic(rng.spawn("discriminator"), game),
        objective=game.objective,
        penalties=[game.penalty(rng.spawn("penalty"))] if game.penalty else [],
        discriminator_steps=game.critic_steps,
        clip=game.clip,
    )

    def evaluate(state: PlaneState) -> Mapping[str, float]:
        state.frames.append(samples(state, run.rng.spawn("shown"), SAMPLES))
        return judge(state.frames[-1], RING)

    folder = f"{name.replace(',', '').replace(' ', '_')}_{seed}"
    history = run.train(state, step, steps, name=folder, every=EVERY, evaluate=evaluate, watch="modes")
    state.discriminator.eval()  # noise and power steps belong to training
    return state, history


def critic(rng: Generator, game: Game) -> nn.Module:
    """Two hidden layers; normalised, or behind noise."""
    if game.bound is None:
        return nn.Sequential(InstanceNoise(game.noise, rng=rng), perceptron((2, WIDTH, WIDTH, 1), rng=rng))
    # Normalised weights are small, and kinks belong where the data are: small biases.
    network = perceptron((2, WIDTH, WIDTH, 1), spread=0.15, rng=rng)
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.spectral_norm(layer, rng=rng.spawn("power iteration"))
    return nn.Sequential(network, Times(game.bound))


class Times(nn.Module):
    """Multiplies scores: a 1-Lipschitz critic becomes a ``factor``-Lipschitz one."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.factor * x


def slopes_between(state: PlaneState, rng: Generator) -> np.ndarray:
    """‖∇f‖ (n,) at places between a point of the data and a generated one, as the penalty takes them (WGAN-3)."""
    real, fake = RING.sample(rng, SAMPLES), tg.tensor(samples(state, rng, SAMPLES))
    epsilon = rng.uniform((SAMPLES, 1))
    return slopes(state, epsilon * real + (1.0 - epsilon) * fake)


def slopes(state: PlaneState, points: tg.Tensor) -> np.ndarray:
    """‖∇f‖ (n,) of the scores at points (n, 2)."""
    found: np.ndarray = np.sqrt(squared_slopes(state.discriminator, points).numpy())
    return found


# --- pictures ----------------------------------------------------------------------------------------------------


def draw_wall(wall: Mapping[str, Trained], path: Path) -> Path:
    """Samples of the first seed over the scores of their critic; medians of all seeds."""
    figure, axes = plots.figure(3, 3, (9.6, 10.8))
    figure.suptitle("The first seed over its critic's scores (dark: real); modes and KL are medians of all seeds")
    for axis, (name, one) in zip(axes.flat, wall.items(), strict=True):
        scores = plots.on_lattice(one.states[0].discriminator, EXTENT, CELLS)
        axis.contourf(scores[::-1], 12, extent=EXTENT, cmap="Greys", alpha=0.6)
        draw_samples(axis, one, -1, caption(name, one))
    return plots.save(figure, path)


def caption(name: str, one: Trained) -> str:
    return f"{name}\n{one.median('modes'):.0f} modes, KL {one.median('KL of the modes'):.3f}"


def draw_samples(axes: Axes, one: Trained, frame: int, title: str) -> None:
    """Samples of one report over the centres of the modes."""
    assert RING.modes is not None
    plots.scatter(axes, RING.modes.centres, colour=plots.PALETTE[1], size=70.0)
    plots.scatter(axes, one.states[0].frames[frame], colour=plots.PALETTE[0], size=2.0, title=title)
    axes.set(xlim=EXTENT[:2], ylim=EXTENT[2:], xticks=[-2, 0, 2], yticks=[-2, 0, 2])


def draw_critics(wall: Mapping[str, Trained], path: Path) -> Path:
    """The slopes of five critics over the plane, and between data and fakes."""
    shown = ("non-saturating", "Wasserstein, clipped", *CURES)
    figure, axes = plots.figure(2, len(shown), (14.0, 5.4))
    lattice = tg.tensor(plots.lattice(EXTENT, CELLS))
    for number, name in enumerate(shown):
        one, (top, low) = wall[name], axes[:, number]
        plots.heat_map(
            top, np.log10(slopes(one.states[0], lattice) + 1e-3).reshape(CELLS, CELLS), EXTENT, limits=(-1.5, 1.5),
            signed=True, label="log₁₀ slope" if number == len(shown) - 1 else "", title=name,
        )  # fmt: skip
        low.hist(np.log10(one.slopes[0] + 1e-3), np.linspace(-2.0, 2.0, 51).tolist(), color=plots.PALETTE[0])
        low.axvline(0.0, color=plots.canvas.REFERENCE, linestyle="--", label="slope 1")
        low.set(xlabel="log₁₀ slope", yticks=[], ylabel="between data and fakes" if number == 0 else "")
    axes[1, 0].legend(frameon=False, loc="upper left")
    return plots.save(figure, path)


def draw_seeds(wall: Mapping[str, Trained], path: Path) -> Path:
    """Modes covered and good samples over the steps, with bands over the seeds: losses, critics, cures."""
    groups = {
        "Losses alone": ("minimax", "non-saturating", "least squares", "hinge"),
        "Wasserstein critics": ("Wasserstein, clipped", "Wasserstein, penalty"),
        "Cures of the others": ("non-saturating, R1", "hinge, spectral norm", "non-saturating, noise"),
    }
    figure, axes = plots.figure(3, 3, (12.0, 9.0))
    keys = {"modes": "modes covered, of 8", "good samples": "share of good samples", "KL of the modes": "KL, nats"}
    for column, (title, names) in enumerate(groups.items()):
        for axis, (key, label) in zip(axes[:, column], keys.items(), strict=True):
            for name in names:
                over_steps(axis, wall[name].histories, key, name)
            axis.set(title=title if key == "modes" else "", ylabel=label if column == 0 else "")
            if key != "modes":
                axis.legend().remove()
    axes[1, 1].sharey(axes[1, 0])
    for row, limits in zip(axes, ((0.0, 8.3), (0.0, 1.0), (2e-4, 3.0)), strict=True):
        for axis in row:
            axis.set_ylim(*limits)
    for axis in axes[2]:
        axis.set_yscale("log")
    return plots.save(figure, path)


def over_steps(axes: Axes, histories: Sequence[History], key: str, name: str) -> None:
    """One number over the steps: median and range of the seeds."""
    series = np.array([[report[key] for report in history] for history in histories])
    plots.curves(axes, [report["step"] for report in histories[0]], {name: series})


def animate(wall: Mapping[str, Trained], path: Path) -> None:
    """The nine generators of the first seed side by side as they learn."""
    figure, axes = plots.figure(3, 3, (7.2, 7.9))
    last = len(wall["minimax"].histories[0]) - 1
    with plots.animation(figure, path, fps=2.0, pause=2.0, dpi=75) as frame:
        for number in [*range(0, last, 2), last]:
            for axis, (name, one) in zip(axes.flat, wall.items(), strict=True):
                axis.clear()
                report = one.histories[0][number]
                draw_samples(axis, one, number, f"{name}\n{report['modes']:.0f} of 8 modes")
            figure.suptitle(f"After {report['step']:,.0f} steps\n", fontweight="bold")  # an empty line below
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
