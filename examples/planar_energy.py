"""Planar flows learn densities of which only the energy is known: more layers come closer, and haste may lose a mode.

python examples/planar_energy.py            2, 8 and 32 layers, and three more targets: about a minute
python examples/planar_energy.py --quick    2, 4 and 8 layers, one more target
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data import Energy
from tinygen.flows import Flow, Planar
from tinygen.models.flow import EnergyState, annealed, energy_step, full_weight, reverse_kl
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BATCH, JUDGED = 256, 50_000
EXTENT = (-4.0, 4.0, -4.0, 4.0)

EXAMPLE = Example(
    name="planar_energy",
    systems=("PLANAR",),
    models=("tinygen/models/flow.py", "tinygen/flows/planar.py"),
    gates=(
        # A divergence is not negative: below 0 there is the noise of its estimate alone.
        Gate("U1: KL(q|p)", "nats", at_most=(0.5, 0.2), never_below=-0.02),
        Gate("U1: KL of few layers - KL of more", "nats", at_least=0.0),
        Gate("U1: KL of more layers - KL of most", "nats", at_least=0.0),
        Gate("U1: share of samples in the lesser mode", at_least=0.3, at_most=0.5),
        # A perfect copy of one of the two modes costs ln 2.  Not every hasty training loses one.
        Gate("U1 in haste, worst of 3: KL(q|p)", "nats", at_least=0.6),
        Gate("U1 in haste, worst of 3: share of samples in the lesser mode", at_most=0.05),
        Gate("U1 in haste, mean of 3: KL(q|p) - KL with annealing", "nats", at_least=0.0),
    ),
)


@dataclass
class Trained:
    """A flow with what it approaches, and how near it came over the steps."""

    target: Energy
    flow: Flow
    history: list[dict[str, float]]
    kl: float


def train(run: Run) -> dict[str, float]:
    few, more, most = run.choose(quick=(2, 4, 8), full=(2, 8, 32))
    trained = {f"U1, {layers} layers": learn(run, "U1", layers) for layers in (few, more, most)}
    best, kl = trained[f"U1, {most} layers"], [one.kl for one in trained.values()]
    hasty = [learn(run, "U1", 8, haste="_hasty" + "_again" * attempt) for attempt in range(3)]
    lesser, worst = min(((lesser_mode(one.flow, run), one) for one in hasty), key=lambda pair: pair[0])
    trained["U1 in haste, 8 layers"] = worst
    for name in run.choose(quick=("U3",), full=("U2", "U3", "U4")):
        trained[f"{name}, 8 layers"] = learn(run, name, 8)
    draw(trained, run.picture("planar_energy.png"))
    draw_layers(trained["U1, 8 layers"].flow, run.rng.spawn("picture"), run.picture("planar_layers.png"))
    return {
        "U1: KL(q|p)": kl[2],
        "U1: KL of few layers - KL of more": kl[0] - kl[1],
        "U1: KL of more layers - KL of most": kl[1] - kl[2],
        "U1: share of samples in the lesser mode": lesser_mode(best.flow, run),
        "U1 in haste, worst of 3: KL(q|p)": worst.kl,
        "U1 in haste, worst of 3: share of samples in the lesser mode": lesser,
        "U1 in haste, mean of 3: KL(q|p) - KL with annealing": (
            float(np.mean([one.kl for one in hasty])) - trained["U1, 8 layers"].kl
        ),
    } | {f"KL(q|p) of {name}": one.kl for name, one in trained.items()}


def learn(run: Run, name: str, layers: int, *, haste: str = "") -> Trained:
    """Fit a planar flow to an energy; in haste (the name of the attempt), with all of it from the first step on."""
    title = f"{name}_{layers}_layers{haste}"
    rng, target = run.rng.spawn(title), tg.data.energy(name)
    steps = run.choose(quick=500, full=900)
    flow = Flow([Planar(2, spread=1.0, rng=rng.spawn(f"layer {number}")) for number in range(layers)])
    state = EnergyState(
        flow,
        optim.Adam(flow.parameters(), lr=optim.cosine(2e-2, steps)),
        target,
        rng.spawn("noise"),
        BATCH,
        full_weight if haste else annealed(int(0.7 * steps)),
    )
    history = run.train(state, energy_step, steps, name=title, every=50, watch="free energy")
    return Trained(target, flow, history, reverse_kl(flow, target, rng.spawn("judged"), JUDGED).value)


def lesser_mode(flow: Flow, run: Run) -> float:
    """U1 has two modes, left and right of 0: the share of samples in the one that has fewer."""
    right = float((flow.sample(run.rng.spawn("modes"), JUDGED).numpy()[:, 0] > 0).mean())
    return min(right, 1.0 - right)


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(trained: dict[str, Trained], path: Path) -> Path:
    """Densities of the flows under contours of the exact ones, and divergences over the steps."""
    figure, axes = plots.figure(3, 3, (9.6, 10.0))
    panels = iter(axes.flat)
    target = next(iter(trained.values())).target
    draw_density(next(panels), density(target), density(target), "U1, exact")
    for name, one in trained.items():
        draw_density(next(panels), density(one.flow), density(one.target), f"{name}: {one.kl:.2f} nats")
    curves = next(panels)
    for name, one in trained.items():
        if one.target.name == "U1":
            kl = np.array([report["free energy"] for report in one.history]) + one.target.log_normaliser
            plots.curves(curves, [report["step"] for report in one.history], {name: np.maximum(kl, 0.02)})
    curves.set(yscale="log", ylabel="nats", title="U1: KL(q|p) over the steps")
    curves.legend(frameon=False, fontsize=8, loc="upper right")
    for unused in panels:
        unused.set_axis_off()
    return plots.save(figure, path)


def density(of: Flow | Energy) -> np.ndarray:
    """A density at the points of the picture."""
    p: np.ndarray = np.exp(plots.on_lattice(of.log_prob, EXTENT))
    return p


def draw_density(axes: Axes, q: np.ndarray, p: np.ndarray, title: str) -> None:
    """q as colours; p as the two lines on which it is a half and a twentieth of its peak."""
    plots.heat_map(axes, q, EXTENT, names=("x₁", "x₂"), title=title)
    x = np.linspace(*EXTENT[:2], 240, endpoint=False)[1::2]
    axes.contour(x, -x, p, levels=[0.05 * p.max(), 0.5 * p.max()], colors="white", linewidths=0.7)


@tg.no_grad()
def draw_layers(flow: Flow, rng: Generator, path: Path) -> Path:
    """A grid and points before each of eight layers, which pushes them along one direction, and at the end.

    How far it pushes depends on the distance from its hyperplane w·z + b = 0, and changes most there.
    """
    count = 121
    grids = flow.stages(plots.lattice((-2.5, 2.5, -2.5, 2.5), count))
    points = flow.stages(rng.normal((1000, 2)))
    figure, axes = plots.figure(3, 3, (9.0, 9.2))
    for number, (panel, grid, cloud) in enumerate(zip(axes.flat, grids, points, strict=True)):
        title = "z ~ N(0, I)" if number == 0 else "x" if number == len(grids) - 1 else f"after layer {number}"
        plots.moved(panel, tg.reshape(grid, (count, count, 2)), cloud, every=6, title=title)
        if number < len(grids) - 1:
            layer = flow.layers[number]
            assert isinstance(layer, Planar)
            plots.hyperplanes(panel, tg.expand_dims(layer.w, 0), tg.expand_dims(layer.b, 0))
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
