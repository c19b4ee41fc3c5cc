"""Training tier: flows come near known densities with one calibrated seed (``pytest -m train``)."""

from __future__ import annotations

import pytest

import tinygen as tg
from tinygen import flows, optim, training
from tinygen.data import Draws
from tinygen.models.flow import EnergyState, State, annealed, energy_step, forward_kl, reverse_kl, step
from tinygen.random import Generator

pytestmark = [pytest.mark.train, pytest.mark.host]


def fit(flow: flows.Flow, name: str, steps: int, rate: float, rng: Generator) -> float:
    """KL(p ‖ q) in nats after maximum likelihood on fresh samples: held-out NLL minus entropy (FLOW-6)."""
    p = tg.data.density(name)
    optimizer = optim.Adam(flow.parameters(), lr=optim.cosine(rate, steps))
    draws = Draws(lambda rng: p.sample(rng, 256), rng=rng.spawn("data"))
    training.run(State(flow, optimizer, draws), step, steps, progress=False)
    return forward_kl(p, flow, p.sample(rng.spawn("held out"), 20_000)).value


def real_nvp_gap(seed: int) -> float:
    rng = Generator(seed)
    flow = flows.real_nvp(2, 8, bound=3.0, rng=rng.spawn("parameters"))
    return fit(flow, "moons", 600, 2e-3, rng)


def planar_gap(seed: int, *, direct: bool) -> float:
    rng = Generator(seed)
    layers: list[flows.Layer] = [flows.Planar(2, rng=rng.spawn(f"layer {number}")) for number in range(16)]
    if direct:
        layers = [flows.Inverse(layer) for layer in layers]
    return fit(flows.Flow(layers), "moons", 300, 1e-2, rng)


def planar_on_u1(seed: int) -> tuple[float, float]:
    """KL(q ‖ p) and the share of samples in the lesser mode of U1: 8 layers, 600 steps."""
    rng, steps, target = Generator(seed), 600, tg.data.energy("U1")
    flow = flows.Flow([flows.Planar(2, spread=1.0, rng=rng.spawn(f"layer {number}")) for number in range(8)])
    optimizer = optim.Adam(flow.parameters(), lr=optim.cosine(5e-3, steps))
    state = EnergyState(flow, optimizer, target, rng.spawn("noise"), weight=annealed(int(0.7 * steps)))
    training.run(state, energy_step, steps, progress=False)
    right = float((flow.sample(rng.spawn("modes"), 20_000).numpy()[:, 0] > 0).mean())
    return reverse_kl(flow, target, rng.spawn("judged"), 20_000).value, min(right, 1.0 - right)


def test_real_nvp_learns_the_moons() -> None:
    """Over seeds 0 … 4 the gap was 0.09 … 0.26 nats; one Gaussian has 0.90.  The example trains longer, to 0.03."""
    assert -0.02 < real_nvp_gap(0) < 0.4


@pytest.mark.parametrize("direct", [False, True])
def test_planar_layers_learn_the_moons_either_way(direct: bool) -> None:
    """Over seeds 0 … 4: 0.39 … 0.53 through the inverse, 0.34 … 0.52 in the direct direction; one Gaussian has 0.90."""
    assert -0.02 < planar_gap(0, direct=direct) < 0.75


def test_planar_layers_find_both_modes_of_an_energy() -> None:
    """Over seeds 0 … 4: KL 0.42 … 0.74, share of the lesser mode 0.28 … 0.47; it would be 0 if the mode was lost."""
    kl, lesser = planar_on_u1(0)
    assert -0.02 < kl < 1.0
    assert lesser > 0.2
