"""Planar layers: the constraint, the inverse to machine precision, its derivatives, and extreme parameters."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from double import no_sync
from flow_cases import assert_bijection, random_layer, random_rows
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import flows
from tinygen.flows.planar import ACTIVATIONS, MARGIN, MOST_STEPS, planar_root
from tinygen.random import Generator

DIMS = (1, 2, 5, 16)


def layer_with(w: Any, u: Any, b: float, activation: str = "tanh") -> flows.Planar:
    layer = flows.Planar(len(w), activation, rng=Generator(0)).astype(np.float64)
    for parameter, value in ((layer.w, w), (layer.u, u), (layer.b, b)):
        parameter.assign(tg.tensor(np.array(value, dtype=np.float64)))
    return layer


def det_of(layer: flows.Planar) -> float:
    return 1.0 + layer.direction()[1].item() * ACTIVATIONS[layer.activation].steepest


# --- extreme parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("product", [-1e4, -50.0, -1.0, 0.0, 50.0])
def test_w_dot_u_anywhere(product: float, dim: int, activation: str, device: str) -> None:
    """w·u ≪ −1 above all: corrected, the determinant stays above MARGIN and the inverse works."""
    w = np.random.default_rng(dim).normal(size=dim)
    layer = layer_with(w, product * w / (w @ w), 0.3, activation)
    assert det_of(layer) >= MARGIN - 1e-11 * abs(product)  # w·û = w·u + (m − w·u), rounded
    rows = np.concatenate([random_rows(dim).numpy(), 50.0 * np.sign(random_rows(dim, seed=2).numpy())])
    assert_bijection(layer, tg.tensor(rows))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_on_the_hyperplane_where_the_determinant_is_least(activation: str, device: str) -> None:
    """w·z = −b exactly, and near it, with w·u ≪ −1: the steepest place of the inverse, det = MARGIN."""
    layer = layer_with([0.6, 0.8], [-600.0, -800.0], 0.25, activation)
    near = np.array([[0.6, 0.8]]) * (np.array([0.0, 1e-12, -1e-8, 1e-4, -1e-2])[:, None] - 0.25)
    assert_bijection(layer, tg.tensor(near))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dim", DIMS)
def test_w_zero_is_a_shift(dim: int, activation: str, device: str) -> None:
    u = np.linspace(-1.0, 2.0, dim)
    layer = layer_with(np.zeros(dim), u, 0.7, activation)
    rows = random_rows(dim)
    x, log_det = layer.to_data(rows)
    shift = u * np.asarray(ACTIVATIONS[activation].h(np.array(0.7)))
    np.testing.assert_allclose(x.numpy(), rows.numpy() + shift, rtol=1e-14)
    np.testing.assert_array_equal(log_det.numpy(), 0.0)
    assert_bijection(layer, rows)
    for value in (*layer.to_data(rows), *layer.to_latent(rows)):
        for slope in tg.grad(tg.sum(value), layer.parameters(), allow_unused=True):
            assert slope is None or np.isfinite(slope.numpy()).all()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6), size=st.sampled_from([0.1, 1.0, 5.0]), activation=st.sampled_from(sorted(ACTIVATIONS))
)
def test_random_parameters(seed: int, size: float, activation: str, device: str) -> None:
    """To 1e-10 where the condition number is at most 1e4, as LECTURES has it, and in proportion beyond."""
    rng = np.random.default_rng(seed)
    dim = int(rng.choice(DIMS))
    layer = layer_with(size * (rng.normal(size=dim) + 0.1), size * rng.normal(size=dim), rng.normal(), activation)
    rows = random_rows(dim, 4)
    matrices = tg.jacobian(lambda v: layer.to_latent(v)[0], rows, batch=True).numpy()
    excess = max(1.0, np.linalg.cond(matrices).max() / 1e4)
    assert_bijection(layer, rows, trip=1e-10 * excess, jacobian=1e-8 * excess)


# --- the constraint ----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10**6), size=st.sampled_from([0.3, 3.0, 30.0]), activation=st.sampled_from(sorted(ACTIVATIONS))
)
def test_the_constraint_of_flow_13(seed: int, size: float, activation: str, device: str) -> None:
    """w·û = m(w·u), m(x) = −(1 − MARGIN)/L + log(1 + eˣ), and û differs from u along w alone."""
    rng = np.random.default_rng(seed)
    w, u = size * rng.normal(size=(2, 4))
    direction, product = layer_with(w, u, 0.0, activation).direction()
    steepest = ACTIVATIONS[activation].steepest
    wanted = np.logaddexp(0.0, w @ u) - (1.0 - MARGIN) / steepest
    tolerance = 1e-13 * (1.0 + abs(w) @ abs(u))
    np.testing.assert_allclose(product.numpy(), wanted, atol=tolerance)
    np.testing.assert_allclose(w @ direction.numpy(), wanted, atol=tolerance)
    across = (direction.numpy() - u) - w * (w @ (direction.numpy() - u)) / (w @ w)
    np.testing.assert_allclose(across, 0.0, atol=1e-13 * (1.0 + abs(u).max() + abs(direction.numpy()).max()))


@pytest.mark.host
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_what_they_say(name: str) -> None:
    """Slope by differences, its largest value, and on which side h is convex."""
    kind = ACTIVATIONS[name]
    a = np.linspace(-6.0, 6.0, 1201)
    slope = kind.slope(a, kind.h(a))
    np.testing.assert_allclose(slope, (kind.h(a + 1e-5) - kind.h(a - 1e-5)) / 2e-5, atol=1e-9)
    assert (slope > 0).all()
    assert slope.max() <= kind.steepest
    assert kind.slope(a, kind.h(a)).max() > 0.99 * kind.steepest
    bend = np.diff(slope)
    assert (bend[a[1:] <= 0] > 0).all()
    assert ((bend[a[:-1] >= 0] < 0) == kind.s_shaped).all()


# --- the root ----------------------------------------------------------------------------------------------------


def equations(kind: Any, dtype: Any, seed: int, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Targets and products up to 10⁶, down to the margin, at the bend, and at the edge of saturation."""
    rng = np.random.default_rng(seed)
    least = -(1.0 - MARGIN) / kind.steepest
    product = np.where(rng.random(count) < 0.5, least * rng.random(count) ** 0.05, 10 ** rng.uniform(-3, 6, count))
    target = rng.normal(size=count) * 10 ** rng.uniform(-2, 6, count)
    for share, place, reach in ((0.3, 0.0, 0), (0.2, 30.0, 2)):
        there = product * kind.h(np.full(1, place)) + rng.normal(size=count) * 10 ** rng.uniform(-8, reach, count)
        target = np.where(rng.random(count) < share, there, target)
    return target.astype(dtype), product.astype(dtype)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_root_is_exact_and_reached_in_time(activation: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 200,000 hard equations the rest is rounding, after at most three quarters of a device's steps."""
    kind = ACTIVATIONS[activation]
    counted: list[int] = []
    monkeypatch.setattr("tinygen.flows.planar.checks_values", lambda array: not counted.append(1))
    for seed in range(10):
        counted.clear()
        target, product = equations(kind, dtype, seed)
        a = planar_root(kind, target, product)
        assert a.dtype == dtype
        pushed = product * kind.h(a)
        rest = np.abs(a + pushed - target)
        assert (rest <= 4 * np.finfo(dtype).eps * (np.abs(a) + np.abs(pushed) + np.abs(target))).all()
        assert len(counted) <= 0.75 * MOST_STEPS


@pytest.mark.host
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_root_that_a_device_finds_is_the_same(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There all steps are taken; those after the last needed one change nothing but last bits."""
    kind = ACTIVATIONS[activation]
    target, product = equations(kind, np.float64, 0)
    early = planar_root(kind, target, product)
    monkeypatch.setattr("tinygen.flows.planar.checks_values", lambda array: False)
    late = planar_root(kind, target, product)
    slope = 1.0 + product * kind.slope(late, kind.h(late))
    noise = 1e-15 * (np.abs(late) + np.abs(product * kind.h(late)) + np.abs(target)) / slope
    assert (np.abs(early - late) <= 8.0 * noise).all()


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_root_of_a_steep_softplus_far_out(dtype: Any) -> None:
    """a + c a = target, where the upper end of the bracket would drown in rounding of the target: c > 1 / eps."""
    rng = np.random.default_rng(0)
    product, target = 10 ** rng.uniform(7, 9, 1000), 10 ** rng.uniform(10.5, 13, 1000)
    if dtype is np.float64:
        product, target = 1e9 * product, 1e9 * target
    root = planar_root(ACTIVATIONS["softplus"], target.astype(dtype), product.astype(dtype))
    np.testing.assert_allclose(root, target / (1.0 + product), rtol=8 * np.finfo(dtype).eps)


# --- what a round trip loses -------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10**6), dtype=st.sampled_from([np.float32, np.float64]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
)  # fmt: skip
def test_a_round_trip_loses_no_more_than_it_says(seed: int, dtype: Any, activation: str, device: str) -> None:
    """2 eps (‖z‖ + ‖û‖ |h|) (1 + L ‖û‖ ‖w‖ / (1 + L w·û)), once for each way; lengths of w, u and z vary by 10⁶."""
    rng = np.random.default_rng(seed)
    dim = int(rng.choice(DIMS))
    w, u = 10 ** rng.uniform(-4, 2) * rng.normal(size=dim), 10 ** rng.uniform(-3, 3) * rng.normal(size=dim)
    layer = layer_with(w, u, rng.normal(), activation).astype(dtype)
    z = tg.tensor((10 ** rng.uniform(-2, 1.7) * rng.normal(size=(20, dim))).astype(dtype))
    lost = np.linalg.norm(layer.to_latent(layer.to_data(z)[0])[0].numpy() - z.numpy(), axis=1)
    kind, (direction, product) = ACTIVATIONS[activation], layer.direction()
    length = np.linalg.norm(direction.numpy().astype(float))
    h = np.abs(kind.h(z.numpy() @ layer.w.numpy() + layer.b.numpy()))
    size = np.linalg.norm(z.numpy(), axis=1) + length * h
    least = 1.0 + kind.steepest * product.item()
    magnified = 1.0 + kind.steepest * length * np.linalg.norm(layer.w.numpy()) / least
    assert (lost <= 4.0 * np.finfo(dtype).eps * size * magnified).all()


def test_the_margin_alone_does_not_save_digits(device: str) -> None:
    """Across w, û has no part in the determinant: with u = (0, 10⁶) and w = (1, 0) it is .7, and .01 is lost."""
    layer = layer_with([1.0, 0.0], [0.0, 1e6], 0.0).astype(np.float32)
    z = tg.tensor(np.array([[0.3, 0.7]], np.float32))
    x, log_det = layer.to_data(z)
    assert np.exp(log_det.item()) > 0.5
    assert np.abs(layer.to_latent(x)[0].numpy() - z.numpy()).max() > 1e-3
    with_small_w = layer_with([3e-4, 0.0], [0.0, 0.0], 0.0).direction()[0].numpy()
    np.testing.assert_allclose(np.linalg.norm(with_small_w), 0.306 / 3e-4, rtol=1e-2)  # 1 − MARGIN − log 2 = .306


def test_bad_targets_give_nan_and_end(device: str) -> None:
    layer = layer_with([1.0, 2.0], [0.5, 0.5], 0.0)
    z, _ = layer.to_latent(tg.tensor([[np.nan, 0.0], [1.0, 1.0]], dtype=np.float64))
    assert np.isnan(z.numpy()[0]).any()
    assert np.isfinite(z.numpy()[1]).all()


# --- implicit gradients ------------------------------------------------------------------------------------------


def numerically(layer: flows.Planar, values: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> float:
    """Σ weights · (z, log-determinant) by bisection and formulas in NumPy, for parameters (w, u, b) in one vector."""
    kind, dim = ACTIVATIONS[layer.activation], layer.dim
    w, u, b = values[:dim], values[dim : 2 * dim], values[-1]
    product = w @ u
    wanted = np.logaddexp(0.0, product) - (1.0 - MARGIN) / kind.steepest
    direction = u + (wanted - product) * w / (w @ w)
    target = rows @ w + b
    low, high = target - 1e3, target + 1e3
    for _ in range(90):
        a = 0.5 * (low + high)
        beyond = a + wanted * np.asarray(kind.h(a)) > target
        low, high = np.where(beyond, low, a), np.where(beyond, a, high)
    h = np.asarray(kind.h(a))
    z = rows - h[:, None] * direction
    return float((weights[:, :dim] * z).sum() - weights[:, dim] @ np.log1p(wanted * np.asarray(kind.slope(a, h))))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dim", DIMS)
def test_implicit_gradients_against_differences(dim: int, activation: str, device: str) -> None:
    """Of latents and log-determinants, in all parameters and in x, to 1e-6 of central differences."""
    rng = np.random.default_rng(dim)
    w, u, b = rng.normal(size=dim) / np.sqrt(dim) + 0.3, rng.normal(size=dim), rng.normal()
    layer, rows, weights = layer_with(w, u, b, activation), rng.normal(size=(4, dim)), rng.normal(size=(4, dim + 1))
    x = tg.tensor(rows, requires_grad=True)
    z, log_det = layer.to_latent(x)
    scalar = tg.sum(tg.tensor(weights[:, :dim]) * z) + tg.sum(tg.tensor(weights[:, dim]) * log_det)
    *slopes, in_x = tg.grad(scalar, [*layer.parameters(), x])
    values = np.concatenate([w, u, [b]])
    assert scalar.item() == pytest.approx(numerically(layer, values, rows, weights), rel=1e-9, abs=1e-9)
    found = np.concatenate([slope.numpy().ravel() for slope in slopes])
    step = 1e-6
    for index in range(len(values)):
        moved = step * np.eye(len(values))[index]
        difference = numerically(layer, values + moved, rows, weights) - numerically(
            layer, values - moved, rows, weights
        )
        assert found[index] == pytest.approx(difference / (2 * step), rel=1e-6, abs=1e-6)
    for index in np.ndindex(rows.shape):
        moved = np.zeros_like(rows)
        moved[index] = step
        difference = numerically(layer, values, rows + moved, weights) - numerically(
            layer, values, rows - moved, weights
        )
        assert in_x.numpy()[index] == pytest.approx(difference / (2 * step), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_the_inverse_up_to_the_third(activation: str, device: str) -> None:
    """In one dimension z = f⁻¹(x): z′ = 1/f′, z″ = −f″/f′³, z‴ = (3f″² − f′f‴)/f′⁵, with f′ … at z by autodiff."""
    layer = layer_with([1.3], [0.8], 0.2, activation)

    def derivatives(f: Any, at: Any) -> list[Any]:
        value, found = f(at), []
        for _ in range(3):
            (value,) = tg.grad(tg.sum(value), at, create_graph=True)
            found.append(value)
        return found

    x = tg.tensor([[0.4], [-1.0], [2.5]], dtype=np.float64, requires_grad=True)
    found = derivatives(lambda v: layer.to_latent(v)[0], x)
    z = tg.tensor(layer.to_latent(x)[0].detach(), requires_grad=True)
    first, second, third = derivatives(lambda v: layer.to_data(v)[0], z)
    expected = 1.0 / first, -second / first**3, (3.0 * second**2 - first * third) / first**5
    for mine, its in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), its.numpy(), rtol=1e-9, atol=1e-12)


def test_a_step_of_maximum_likelihood_does_not_wait_for_the_device(device: str) -> None:
    flow = flows.Flow([flows.Planar(2, rng=Generator(0)), flows.Planar(2, "softplus", rng=Generator(1))])
    optimizer, x = tg.optim.Adam(flow.parameters(), lr=0.01), random_rows(2).astype(np.float32)
    with no_sync() if device == "double" else nullcontext():
        for _ in range(2):
            optimizer.minimize(-tg.mean(flow.log_prob(x)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dim", DIMS)
def test_it_starts_near_the_identity(dim: int, activation: str, device: str) -> None:
    """With spread 0 to rounding (u is large where w happens to be small), else at a distance that grows with it."""
    rows = random_rows(dim).astype(np.float32)
    for spread, least, most in ((0.0, 0.0, 1e-4), (0.1, 1e-4, 10.0)):
        layer = flows.Planar(dim, activation, spread, rng=Generator(dim))
        moved = np.abs(layer.to_data(rows)[0].numpy() - rows.numpy()).max()
        assert least <= moved <= most


def test_points_with_one_projection_move_together(device: str) -> None:
    layer = random_layer("planar tanh", 3)
    across = np.linalg.svd(layer.w.numpy()[None])[2][1:]
    rows = np.zeros((4, 3)) + np.random.default_rng(0).normal(size=(4, 2)) @ across
    moved = layer.to_data(tg.tensor(rows))[0].numpy() - rows
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), rtol=1e-12)


def test_an_unknown_activation_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="activation must be one of tanh, arctan, sigmoid, softplus, got 'relu'"):
        flows.Planar(2, "relu", rng=Generator(0))


@pytest.mark.host
def test_a_root_that_was_not_found_is_no_answer() -> None:
    """A ridge as steep as no layer learns it: w·û = 10¹².  On a device nobody can look without waiting."""
    layer = flows.Planar(2, "softplus", rng=Generator(0))
    layer.w.assign(tg.tensor([1.0, 0.0]))
    layer.u.assign(tg.tensor([1e12, 0.0]))
    with pytest.raises(FloatingPointError, match=r"no root after 24 steps, w·û is 1e\+12"):
        layer.to_latent(tg.tensor([[0.3, 1.0], [-1e4, 0.0], [1e9, 0.0]]))
