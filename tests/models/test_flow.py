"""Both training schemes of flows: every term of their losses, gradients through the inverse, exact divergences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import flows, optim
from tinygen.data import Batches, Draws
from tinygen.distributions import Independent, MultivariateNormal, Normal
from tinygen.models.flow import EnergyState, State, annealed, energy_step, forward_kl, full_weight, reverse_kl, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot

AnyState = State | EnergyState


def planar(layers: int = 3, seed: int = 0, dtype: Any = np.float32) -> flows.Flow:
    rng = Generator(seed)
    return flows.Flow([flows.Planar(2, spread=0.5, rng=rng) for _ in range(layers)]).astype(dtype)


def likelihood(flow: flows.Flow, **settings: Any) -> State:
    draws = Draws(lambda rng: rng.normal((6, 2)) + 1.0, rng=Generator(3))
    return State(flow, optim.Adam(flow.parameters(), lr=1e-2), settings.pop("data", draws))


def from_energy(flow: flows.Flow, **settings: Any) -> EnergyState:
    optimizer = optim.Adam(flow.parameters(), lr=1e-2)
    return EnergyState(flow, optimizer, tg.data.energy("U1"), Generator(4), batch=6, **settings)


def conditional() -> State:
    flow = flows.real_nvp(2, 2, (8,), context=3, rng=Generator(1))
    data = Draws(lambda rng: (rng.normal((6, 2)), rng.normal((6, 3))), rng=Generator(5))
    return likelihood(flow, data=data)


SCHEMES: dict[str, tuple[Callable[[], AnyState], Callable[[Any], Any]]] = {
    "likelihood, planar": (lambda: likelihood(planar()), step),
    "likelihood, RealNVP": (lambda: likelihood(flows.real_nvp(2, 2, (8,), batch_norm=True, rng=Generator(1))), step),
    "likelihood, conditional": (conditional, step),
    "energy": (lambda: from_energy(planar(), weight=annealed(3)), energy_step),
}


def values(state: AnyState) -> list[np.ndarray]:
    return [parameter.numpy().copy() for parameter in state.flow.parameters()]


@pytest.mark.parametrize("name", SCHEMES)
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(name: str, device: str) -> None:
    make, step = SCHEMES[name]
    state = make()
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)
        step(state)
    after = values(state)
    assert {array.dtype for array in after} == {np.dtype(np.float32)}
    restore(state, saved)
    again = step(state)
    step(state)
    assert {key: float(value) for key, value in again.items()} == {key: float(value) for key, value in first.items()}
    for one, other in zip(after, values(state), strict=True):
        np.testing.assert_array_equal(one, other)


def descends(state: AnyState, step: Callable[[Any], Any], loss: Callable[[], float]) -> None:
    """With plain gradient descent and rate 1 a parameter moves by minus the slope of ``loss``: central differences.

    Their error is 1e-9 at most here: step² plus rounding / step.
    """
    state.optimizer = optim.SGD(state.flow.parameters(), lr=1.0)
    width, slopes = 1e-5, []
    for parameter in state.flow.parameters():
        start = parameter.numpy().copy()
        slope = np.zeros_like(start)
        for index in np.ndindex(start.shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = start.copy()
                moved[index] += sign * width
                parameter.assign(tg.tensor(moved))
                ends.append(loss())
            slope[index] = (ends[0] - ends[1]) / (2.0 * width)
        parameter.assign(tg.tensor(start))
        slopes.append(slope)
    before = values(state)
    step(state)
    for start, slope, end in zip(before, slopes, values(state), strict=True):
        np.testing.assert_allclose(end, start - slope, rtol=1e-7, atol=1e-7)


@pytest.mark.host
def test_likelihood_step_follows_the_inverse() -> None:
    """L written out from the log-determinants of the *generating* map at z_{k−1} (FLOW-6, E-46).

    z_{k−1} depends on the parameters through the inverse: without that part, or without the log-determinants, the
    differences would not be met.
    """
    flow = planar(dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(5, 2))

    def loss() -> float:
        with tg.no_grad():
            z, likelihood = tg.tensor(x), 0.0
            for layer in reversed(list(flow.layers)):
                z = layer.to_latent(z)[0]
                likelihood = likelihood - layer.to_data(z)[1].numpy()
        likelihood = likelihood - 0.5 * (z.numpy() ** 2).sum(axis=1) - math.log(2.0 * math.pi)
        return -float(likelihood.mean())

    state = likelihood(flow, data=Batches(x, size=5, rng=Generator(0)))
    descends(state, step, loss)


def test_likelihood_step_holds_the_gradient_to_a_norm(device: str) -> None:
    """With plain gradient descent and rate 1 the move is the gradient: the same direction, not longer."""

    far = 9.0 * np.random.default_rng(0).normal(size=(6, 2))

    def move(max_norm: float | None) -> np.ndarray:
        state = likelihood(planar(dtype=np.float64), data=Batches(far, size=6, rng=Generator(3)))
        state.optimizer, state.max_norm = optim.SGD(state.flow.parameters(), lr=1.0), max_norm
        before = np.concatenate([array.ravel() for array in values(state)])
        step(state)
        return np.concatenate([array.ravel() for array in values(state)]) - before

    whole = move(None)
    length = float(np.linalg.norm(whole))
    assert length > 1.0
    np.testing.assert_array_equal(move(2.0 * length), whole)
    np.testing.assert_allclose(move(0.5), whole * (0.5 / length), rtol=1e-5, atol=1e-12)  # 1e-6 is added to the norm


@pytest.mark.host
@pytest.mark.parametrize("weight", [full_weight, annealed(4, 0.25)])
def test_energy_step_descends_energy_minus_entropy(weight: Callable[[int], float]) -> None:
    """E_q[log q + w U] at the noise of the step: with w = 1, and with the first weight of an annealing (PROB-7)."""
    flow = planar(dtype=np.float64)
    state = from_energy(flow, weight=weight)
    z = Generator(4).normal((6, 2), dtype=np.float64).numpy()

    def loss() -> float:
        with tg.no_grad():
            x, log_det = flow.to_data(z)
            energy = state.energy(x).numpy()
        log_q = -0.5 * (z**2).sum(axis=1) - math.log(2.0 * math.pi) - log_det.numpy()
        return float((log_q + weight(0) * energy).mean())

    descends(state, energy_step, loss)


@pytest.mark.host
def test_the_weight_rises_with_the_steps() -> None:
    assert [annealed(4, 0.2)(step) for step in (0, 2, 4, 9)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    weights: list[int] = []
    state = from_energy(planar(), weight=lambda step: weights.append(step) or 1.0)
    for _ in range(3):
        energy_step(state)
    assert weights == [0, 1, 2]


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_divergences_against_the_closed_form_of_normals(device: str, seed: int) -> None:
    """An affine flow is a normal distribution, and the divergence of two of those is known (DIV-6).

    Five standard errors: 20 estimates, of which the double's are the CPU's.
    """
    rng = np.random.default_rng(seed)
    layer = flows.TriangularAffine(2).astype(np.float64)
    for parameter in layer.parameters():
        parameter.assign(tg.tensor(0.4 * rng.normal(size=parameter.shape)))
    flow = flows.Flow([layer])
    with tg.no_grad():
        q = MultivariateNormal(layer.shift, scale_tril=layer.matrix())
    p = Independent(Normal(tg.tensor([0.3, -0.2], dtype=np.float64), tg.tensor([1.2, 0.7], dtype=np.float64)))
    mean, factor = q.loc.numpy(), q.scale_tril.numpy()
    exact = {
        "forward": normal_kl(np.array([0.3, -0.2]), np.diag([1.44, 0.49]), mean, factor @ factor.T),
        "reverse": normal_kl(mean, factor @ factor.T, np.array([0.3, -0.2]), np.diag([1.44, 0.49])),
    }
    found = {
        "forward": forward_kl(p, flow, p.sample(Generator(seed), (4000,))),
        "reverse": reverse_kl(flow, p, Generator(seed + 1), 4000),
    }
    for name, estimate in found.items():
        assert abs(estimate.value - exact[name]) < 5 * estimate.standard_error, name
        assert estimate.standard_error < 0.05 * (1.0 + exact[name])  # so that the first line says something


def test_divergences_are_those_of_the_flow_in_evaluation_mode(device: str) -> None:
    """Statistics of the held-out batch would flatter a flow with batch normalisation, and stay behind in it."""
    flow = flows.real_nvp(2, 2, (8,), batch_norm=True, rng=Generator(1))
    p = Independent(Normal(tg.tensor([3.0, -2.0]), tg.tensor([2.0, 0.1])))
    x = p.sample(Generator(0), (200,))
    flow.layers[1].eval()  # each part has a mode of its own
    modes = [part.training for part in flow.modules()]
    before = flow.state_dict()
    found = forward_kl(p, flow, x), reverse_kl(flow, p, Generator(2), 50)
    assert [part.training for part in flow.modules()] == modes
    for name, array in flow.state_dict().items():
        np.testing.assert_array_equal(tg.Tensor(array).numpy(), tg.Tensor(before[name]).numpy())
    expected = (p.log_prob(x) - flow.eval().log_prob(x)).numpy().mean()
    assert found[0].value == pytest.approx(expected, rel=1e-6)  # float32
    assert found[1] == reverse_kl(flow, p, Generator(2), 50)


def test_a_density_must_be_one_number_a_point(device: str) -> None:
    """log p (N, 1) minus log q (N,) would be (N, N)."""

    class Column:
        def log_prob(self, x: tg.Tensor) -> tg.Tensor:
            return tg.sum(x, axis=1, keepdims=True)

    flow, x = planar(), tg.zeros((4, 2))
    for call in (lambda: forward_kl(Column(), flow, x), lambda: reverse_kl(flow, Column(), Generator(0), 4)):
        with pytest.raises(ValueError, match=r"log_prob must be one number a point \(N,\), got .*\(4, 1\)"):
            call()


def normal_kl(m: np.ndarray, S: np.ndarray, n: np.ndarray, T: np.ndarray) -> float:
    """KL(N(m, S) ‖ N(n, T))."""
    inverse = np.linalg.inv(T)
    logs = np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
    return 0.5 * float(np.trace(inverse @ S) + (n - m) @ inverse @ (n - m) - len(m) + logs)


def test_stages_lead_from_the_latent_to_the_data(device: str) -> None:
    flow, z = planar(4), tg.tensor(np.random.default_rng(0).normal(size=(5, 2)), dtype=np.float32)
    stages = flow.stages(z)
    assert len(stages) == 5
    np.testing.assert_array_equal(stages[0].numpy(), z.numpy())
    np.testing.assert_array_equal(stages[-1].numpy(), flow.to_data(z)[0].numpy())
    with pytest.raises(ValueError, match=r"Flow.stages: needs rows of shape \(N, 2\)"):
        flow.stages(tg.ones((3, 3)))


@pytest.mark.host
def test_the_affine_flow_finds_mean_and_covariance() -> None:
    """Its maximum likelihood is known exactly: the moments of the points (FLOW-6).  300 steps of Adam reach 1e-6."""
    points = np.random.default_rng(1).normal(size=(50, 2)) @ np.array([[1.0, 0.5], [0.0, 0.6]]) + [1.0, -2.0]
    flow = flows.Flow([flows.TriangularAffine(2)]).astype(np.float64)
    optimizer = optim.Adam(flow.parameters(), lr=optim.cosine(0.1, 300))
    state = State(flow, optimizer, Batches(points, size=50, rng=Generator(0)))
    for _ in range(300):
        step(state)
    layer = flow.layers[0]
    np.testing.assert_allclose(layer.shift.numpy(), points.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(layer.matrix().numpy(), np.linalg.cholesky(np.cov(points.T, bias=True)), atol=1e-5)
