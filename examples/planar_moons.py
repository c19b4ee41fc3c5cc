"""Planar flows learn two moons by maximum likelihood: through their inverse, or with their direction turned round.

python examples/planar_moons.py            32 layers each way, about 40 seconds
python examples/planar_moons.py --quick    half the steps
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data import Density, Draws
from tinygen.flows import Flow, Inverse, Layer, Planar
from tinygen.models.flow import State, forward_kl, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

LAYERS, BATCH, HELD_OUT = 32, 256, 20_000
MOONS = tg.data.density("moons", sd=0.1)  # entropy 1.0076 nats; the best single Gaussian has an NLL of 1.9083
EXTENT = (-1.7, 2.7, -1.6, 2.1)

EXAMPLE = Example(
    name="planar_moons",
    systems=("PLANAR",),
    models=("tinygen/models/flow.py", "tinygen/flows/planar.py"),
    gates=(
        # An NLL below the entropy by more than its noise would be better than the truth.
        Gate("NLL through the inverse", "nats per point", at_most=(1.6, 1.4), never_below=0.9876),
        Gate("NLL in the direct direction", "nats per point", at_most=(1.75, 1.65), never_below=0.9876),
        Gate("round trip of held-out points", at_most=1e-3),
    ),
)


@dataclass
class Trained:
    """A flow, its divergence from the moons over the steps, and at the end."""

    flow: Flow
    history: list[dict[str, float]]
    gap: float


def train(run: Run) -> dict[str, float]:
    held_out = MOONS.sample(run.rng.spawn("held out"), HELD_OUT)
    trained = {name: learn(run, name, held_out) for name in ("through the inverse", "in the direct direction")}
    draw(trained, run.rng.spawn("picture"), run.picture("planar_moons.png"))
    inverse = trained["through the inverse"].flow
    with tg.no_grad():
        back = inverse.to_data(inverse.to_latent(held_out)[0])[0]
        round_trip = float(tg.max(abs(back - held_out)))
        measured = {f"NLL {name}": -float(tg.mean(one.flow.log_prob(held_out))) for name, one in trained.items()}
    gaps = {f"KL(p|q) {name}": one.gap for name, one in trained.items()}
    return measured | {"round trip of held-out points": round_trip} | gaps


def learn(run: Run, name: str, held_out: tg.Tensor) -> Trained:
    """``Planar`` generates, and its inverse is solved for (FLOW-12); or it infers, and sampling solves (FLOW-6)."""
    rng, steps = run.rng.spawn(name), run.choose(quick=250, full=500)
    layers: list[Layer] = [Planar(2, rng=rng.spawn(f"layer {k}")) for k in range(LAYERS)]
    if name == "in the direct direction":
        steps *= 2  # they cost less: no root is solved for
        layers = [Inverse(layer) for layer in layers]
    flow = Flow(layers)
    state = State(
        flow,
        optim.Adam(flow.parameters(), lr=optim.cosine(1e-2, steps)),
        Draws(lambda rng: MOONS.sample(rng, BATCH), rng=rng.spawn("data")),
    )

    def evaluate(state: State) -> dict[str, float]:
        return {"KL": forward_kl(MOONS, state.flow, held_out[:2000]).value}

    history = run.train(state, step, steps, name=name.replace(" ", "_"), every=50, evaluate=evaluate, watch="KL")
    return Trained(flow, history, forward_kl(MOONS, flow, held_out).value)


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(trained: dict[str, Trained], rng: Generator, path: Path) -> Path:
    """Exact density, those of both flows with samples, and the nats that are left over the steps."""
    figure, axes = plots.figure(2, 2, (9.0, 7.6))
    (exact, progress), below = axes
    plots.heat_map(
        exact, density(MOONS), EXTENT, names=("x₁", "x₂"), title=f"Two moons: entropy {MOONS.entropy:.4f} nats"
    )
    for panel, (name, one) in zip(below, trained.items(), strict=True):
        plots.heat_map(panel, density(one.flow), EXTENT, names=("x₁", "x₂"), title=f"Flow learned {name}")
        plots.scatter(panel, one.flow.sample(rng, 500), colour="white", size=3.0)
        panel.set(xlim=EXTENT[:2], ylim=EXTENT[2:])
        steps = [report["step"] for report in one.history]
        plots.curves(progress, steps, {name: [report["KL"] for report in one.history]})
    plots.curves(
        progress, [0, steps[-1]], {"one Gaussian": [1.9083 - MOONS.entropy] * 2},
        title="NLL - entropy, on held-out points", names=("step", "nats per point"),
    )  # fmt: skip
    progress.set(yscale="log", ylim=(0.04, 1.1))
    progress.legend(frameon=False, fontsize=8, loc="lower left")
    return plots.save(figure, path)


def density(of: Flow | Density) -> np.ndarray:
    """A density at the points of the picture."""
    p: np.ndarray = np.exp(plots.on_lattice(of.log_prob, EXTENT))
    return p


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
