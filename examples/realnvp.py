"""RealNVP on four densities whose entropies are known: how many nats a flow of eight couplings leaves to be learned.

python examples/realnvp.py            moons, ring, pinwheel and checkerboard: about a minute and a half
python examples/realnvp.py --quick    600 steps each
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data import Density, Draws
from tinygen.flows import Flow, real_nvp
from tinygen.models.flow import State, forward_kl, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

BATCH, HELD_OUT = 256, 50_000
DENSITIES: dict[str, Density] = {
    "moons": tg.data.density("moons", sd=0.1),
    "ring": tg.data.density("ring", sd=0.2),
    "pinwheel": tg.data.density("pinwheel"),
    "checkerboard": tg.data.density("checkerboard"),
}
STEPS = {"moons": 1500, "ring": 3000, "pinwheel": 3000, "checkerboard": 3000}
EXTENTS = {
    "moons": (-1.7, 2.7, -1.95, 2.45), "ring": (-3.2, 3.2, -3.2, 3.2), "pinwheel": (-4.2, 4.2, -4.2, 4.2),
    "checkerboard": (-2.4, 2.4, -2.4, 2.4),
}  # fmt: skip
# Typical norms of the gradient are 10 to 40.  Without a limit, one step of 4,700 threw a flow on the ring back from 0.3
# nats above the entropy to 1.6, and the training ended at 0.27.
MAX_NORM = 10.0
# A gap is KL(p|q) and not negative.  Below -0.02, which is far more than the noise of its estimate, there is a fault.
ALARM = -0.02

EXAMPLE = Example(
    name="realnvp",
    systems=("RNVP",),
    models=("tinygen/models/flow.py", "tinygen/flows/coupling.py"),
    gates=(
        Gate("moons: held-out NLL", "nats per point", at_most=(1.25, 1.07), never_below=1.0076 + ALARM),
        Gate("ring: NLL - entropy", "nats per point", at_most=(0.4, 0.15), never_below=ALARM),
        Gate("pinwheel: NLL - entropy", "nats per point", at_most=(0.4, 0.15), never_below=ALARM),
        Gate("checkerboard: NLL - entropy", "nats per point", at_most=(0.4, 0.2), never_below=ALARM),
        Gate("round trip of held-out points", at_most=1e-3),
    ),
)


@dataclass
class Trained:
    """A flow, its divergence from the density over the steps and at the end."""

    flow: Flow
    history: list[dict[str, float]]
    gap: float
    nll: float
    round_trip: float


def train(run: Run) -> dict[str, float]:
    trained = {name: learn(run, name, density) for name, density in DENSITIES.items()}
    draw(trained, run.rng.spawn("picture"), run.picture("realnvp.png"))
    draw_layers(trained["moons"].flow, run.rng.spawn("picture"), run.picture("realnvp_layers.png"))
    measured = {"moons: held-out NLL": trained["moons"].nll}
    measured |= {f"{name}: NLL - entropy": one.gap for name, one in trained.items()}
    return measured | {"round trip of held-out points": max(one.round_trip for one in trained.values())}


def learn(run: Run, name: str, density: Density) -> Trained:
    """Maximum likelihood on fresh samples, and what is left on held-out ones."""
    rng, steps = run.rng.spawn(name), run.choose(quick=600, full=STEPS[name])
    flow = real_nvp(2, 8, hidden=(64, 64, 64), bound=3.0, rng=rng.spawn("parameters"))
    state = State(
        flow,
        optim.Adam(flow.parameters(), lr=optim.cosine(2e-3, steps)),
        Draws(lambda rng: density.sample(rng, BATCH), rng=rng.spawn("data")),
        MAX_NORM,
    )
    held_out = density.sample(rng.spawn("held out"), HELD_OUT)

    def evaluate(state: State) -> Mapping[str, float]:
        return {"NLL - entropy": forward_kl(density, state.flow, held_out[:2000]).value}

    history = run.train(state, step, steps, name=name, evaluate=evaluate, watch="NLL - entropy")
    with tg.no_grad():
        nll = -float(tg.mean(flow.log_prob(held_out)))
        back = flow.to_data(flow.to_latent(held_out)[0])[0]
    round_trip = float(tg.max(abs(back - held_out)))
    return Trained(flow, history, forward_kl(density, flow, held_out).value, nll, round_trip)


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(trained: Mapping[str, Trained], rng: Generator, path: Path) -> Path:
    """Each density exactly, as the flow has it, in samples of the flow; and the nats that are left over the steps."""
    figure, axes = plots.figure(4, 4, (10.0, 10.2))
    for row, (name, one) in zip(axes, trained.items(), strict=True):
        extent, p = EXTENTS[name], DENSITIES[name]
        exact, own = (np.exp(plots.on_lattice(density.log_prob, extent)) for density in (p, one.flow))
        limits = (0.0, float(exact.max()))
        plots.heat_map(
            row[0], exact, extent, names=("x₁", "x₂"), limits=limits, title=f"{name}, entropy {p.entropy:.3f}"
        )
        plots.heat_map(
            row[1], own, extent, names=("x₁", "x₂"), limits=limits, title=f"flow, NLL {p.entropy + one.gap:.3f}"
        )
        plots.scatter(row[2], one.flow.sample(rng, 1500), size=3.0, names=("x₁", "x₂"), title="samples of the flow")
        row[2].set(xlim=extent[:2], ylim=extent[2:])
        steps = [report["step"] for report in one.history]
        left = [report["NLL - entropy"] for report in one.history]
        plots.curves(row[3], steps, {name: left}, title="NLL - entropy, in nats", names=("step", ""))
        row[3].set(yscale="log", ylim=(0.01, 2.0))
        row[3].legend().remove()
    return plots.save(figure, path)


@tg.no_grad()
def draw_layers(flow: Flow, rng: Generator, path: Path) -> Path:
    """A grid and points after each coupling: every second one moves them up and down only, the others to the sides."""
    count = 121
    grids = flow.stages(plots.lattice((-2.5, 2.5, -2.5, 2.5), count))
    points = flow.stages(rng.normal((1000, 2)))
    figure, axes = plots.figure(3, 3, (9.0, 9.2))
    for number, (panel, grid, cloud) in enumerate(zip(axes.flat, grids, points, strict=True)):
        title = "z ~ N(0, I)" if number == 0 else "x" if number == len(grids) - 1 else f"after coupling {number}"
        plots.moved(panel, tg.reshape(grid, (count, count, 2)), cloud, every=6, title=title)
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
