"""Every layer is a bijection with right log-determinants: the first gate of the flows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flow_cases import (
    DIMS,
    LAYERS,
    assert_bijection,
    extreme_layer,
    ill_condition,
    mass,
    mass_by_sampling,
    random_layer,
    random_rows,
    with_noise,
)

import tinygen as tg
from tinygen import flows, nn
from tinygen.random import Generator


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", LAYERS)
def test_round_trips_and_log_determinants(name: str, dim: int, device: str) -> None:
    assert_bijection(random_layer(name, dim), random_rows(dim))


def far(dim: int) -> tg.Tensor:
    """Corners of the cube |x_i| = 50."""
    return tg.tensor(50.0 * np.sign(np.random.default_rng(0).normal(size=(6, dim))))


def assert_within_reason(layer: Any, rows: tg.Tensor) -> None:
    """The gate as it is for every layer; for two autoregressive layers in a row, in proportion to their condition.

    With 16 coordinates that is 10⁹ here: saturated, each scales by e^±3, coordinate after coordinate.
    """
    stack = isinstance(layer, flows.Flow) and not any(
        isinstance(part, flows.AffineCoupling) for part in layer.modules()
    )
    excess = ill_condition(layer, rows) if stack else 1.0
    assert_bijection(layer, rows, trip=1e-10 * excess, jacobian=1e-8 * excess)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", LAYERS)
def test_far_points(name: str, dim: int, device: str) -> None:
    """|x| = 50, where activations saturate."""
    assert_within_reason(random_layer(name, dim), far(dim))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", LAYERS)
def test_extreme_parameters(name: str, dim: int, device: str) -> None:
    """At ordinary points and at |x| = 50."""
    rows = np.concatenate([far(dim).numpy()[:4], random_rows(dim, 4).numpy()])
    assert_within_reason(extreme_layer(name, dim), tg.tensor(rows))


@pytest.mark.host
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(name: str, dim: int) -> None:
    """By the trapezoid rule: with 1201 points a side its error for the most bent one, IAF, is 2e-7, with 1601 3e-13."""
    layer = random_layer(name, dim)
    flow = layer if isinstance(layer, flows.Flow) else flows.Flow([layer])
    assert mass(flow, dim, {1: 5001, 2: 1201 if name == "IAF" else 601}[dim]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.host
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dim", [5, 16])
def test_density_integrates_to_one_in_many_dimensions(name: str, dim: int) -> None:
    """To four standard errors, which are .9 % with 5 dimensions and 2.4 % with 16: √(1.05^dim − 1) / √2000."""
    estimate, error = mass_by_sampling(random_layer(name, dim), dim, 2000)
    assert error < {5: 0.015, 16: 0.03}[dim]
    assert abs(estimate - 1.0) < 4.0 * error


@pytest.mark.parametrize("name", LAYERS)
def test_log_determinants_have_right_gradients_in_the_parameters(name: str, device: str) -> None:
    """Of both directions, against autodiff through slogdet of the Jacobian; 1e-8 for products of two inverses."""
    layer = random_layer(name, 3)
    parameters = layer.parameters()
    if not parameters:
        assert name == "permutation"
        return
    rows = random_rows(3, n=2)
    weights = tg.tensor(np.array([1.0, -2.0]))
    for direction in (layer.to_data, layer.to_latent):
        _, log_det = direction(rows)
        _, _, exact = tg.log_abs_det_jacobian(lambda v, direction=direction: direction(v)[0], rows)
        claimed, found = (tg.grad(tg.sum(weights * value), parameters, allow_unused=True) for value in (log_det, exact))
        for parameter, *slopes in zip(parameters, claimed, found, strict=True):
            a, b = (np.zeros(parameter.shape) if slope is None else slope.numpy() for slope in slopes)
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name: str, device: str) -> None:
    layer = random_layer(name, 3, np.float32)
    rows = random_rows(3).astype(np.float32)
    for direction in (layer.to_data, layer.to_latent):
        image, log_det = direction(rows)
        assert (image.dtype, log_det.dtype) == (np.float32, np.float32)
        for parameter, slope in zip(
            layer.parameters(),
            tg.grad(tg.sum(image) + tg.sum(log_det), layer.parameters(), allow_unused=True)
            if layer.parameters()
            else (),
            strict=True,
        ):
            assert slope is None or (slope.dtype == np.float32 and slope.shape == parameter.shape)
    again, _ = layer.to_data(layer.to_latent(rows)[0])
    matrices = tg.jacobian(lambda v: layer.to_latent(v)[0], rows, batch=True).numpy()
    allowed = 2e-6 * np.linalg.cond(matrices)[:, None] * (1.0 + np.abs(rows.numpy()).max())  # a few units of 24 bits
    assert (np.abs(again.numpy() - rows.numpy()) <= allowed).all()


@pytest.mark.parametrize("name", LAYERS)
def test_state_is_complete(name: str, device: str) -> None:
    """A twin with other random numbers that loads the state is the same bijection, to the bit."""
    layer, twin = random_layer(name, 4), LAYERS[name](4, Generator(999)).astype(np.float64)
    twin.load_state_dict(layer.state_dict())
    rows = random_rows(4)
    for mine, its in zip(
        (*layer.to_data(rows), *layer.to_latent(rows)), (*twin.to_data(rows), *twin.to_latent(rows)), strict=True
    ):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())


@pytest.mark.host
@pytest.mark.parametrize("name", LAYERS)
def test_check_flow_finds_nothing(name: str) -> None:
    layer = LAYERS[name](2, Generator(5))
    noise = 0.5 if isinstance(layer, (flows.Planar, flows.Affine)) else 0.2
    tg.testing.check_flow(layer, 2, noise=noise, examples=15, mass=False)


@pytest.mark.parametrize("name", LAYERS)
def test_rows_are_independent(name: str, device: str) -> None:
    layer, rows = random_layer(name, 3), random_rows(3)
    for direction in (layer.to_data, layer.to_latent):
        image, log_det = direction(rows)
        alone, alone_log_det = direction(rows[4:5])
        # one row alone is multiplied by another routine of the BLAS: last bits may differ
        np.testing.assert_allclose(alone.numpy(), image.numpy()[4:5], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(alone_log_det.numpy(), log_det.numpy()[4:5], rtol=1e-12, atol=1e-12)


NOT_RANDOM = ("affine", "triangular affine", "permutation", "batch norm")


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NOT_RANDOM])
def test_new_layers_draw_from_their_generator_alone(name: str, device: str) -> None:
    first, second, other = (LAYERS[name](3, Generator(key)).state_dict() for key in (1, 1, 2))
    same = [np.array_equal(tg.Tensor(first[key]).numpy(), tg.Tensor(second[key]).numpy()) for key in first]
    changed = [np.array_equal(tg.Tensor(first[key]).numpy(), tg.Tensor(other[key]).numpy()) for key in first]
    assert all(same)
    assert not all(changed)


@pytest.mark.parametrize("name", ["coupling", "masked autoregressive", "inverse autoregressive", "RealNVP", "causal"])
def test_networks_start_as_the_identity(name: str, device: str) -> None:
    layer, rows = LAYERS[name](4, Generator(0)).astype(np.float64), random_rows(4)
    x, log_det = layer.to_data(rows)
    # batch norm divides by √(1 + eps) three times
    np.testing.assert_allclose(x.numpy(), rows.numpy(), rtol=2e-5 if name == "RealNVP" else 0.0)
    np.testing.assert_allclose(log_det.numpy(), 0.0, atol=1e-4 if name == "RealNVP" else 0.0)


def test_an_empty_batch(device: str) -> None:
    for name in LAYERS:
        x, log_det = random_layer(name, 3).to_data(tg.zeros((0, 3), dtype=np.float64))
        z, back = random_layer(name, 3).to_latent(tg.zeros((0, 3), dtype=np.float64))
        assert (x.shape, log_det.shape, z.shape, back.shape) == ((0, 3), (0,), (0, 3), (0,)), name


@pytest.mark.parametrize("direction", ["to_data", "to_latent"])
def test_wrong_input_is_refused_with_the_shape_it_needs(direction: str, device: str) -> None:
    run = getattr(flows.Affine(3), direction)
    with pytest.raises(ValueError, match=rf"Affine\.{direction}: needs rows of shape \(N, 3\), got \(5, 2\)"):
        run(tg.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        run(tg.zeros(3))
    with pytest.raises(TypeError, match=r"needs floating numbers, got int64; use \.astype"):
        run(tg.zeros((5, 3), dtype=int))


@pytest.mark.parametrize(("image", "log_det"), [((4, 3), (4, 1)), ((4, 3), ()), ((4, 1), (4,)), ((1, 3), (1,))])
@pytest.mark.parametrize("direction", ["to_data", "to_latent"])
def test_a_layer_of_ones_own_that_returns_other_shapes_is_refused(
    direction: str, image: tuple[int, ...], log_det: tuple[int, ...], device: str
) -> None:
    """They would be broadcast, to a log_prob (4, 4) of four rows in the first case, which nothing else notices."""

    class Wrong(flows.Layer):
        dim = 3

        def _to_data(self, z: Any, context: Any) -> Any:
            return tg.zeros(image), tg.zeros(log_det)

        _to_latent = _to_data

    rows, expected = tg.zeros((4, 3)), rf"Wrong\._{direction}: must return rows \(4, 3\) and log-determinants \(4,\)"
    for owner in (Wrong(), flows.Flow([flows.Affine(3), Wrong()])):
        with pytest.raises(ValueError, match=expected):
            getattr(owner, direction)(rows)


@pytest.mark.parametrize("kind", [flows.AffineCoupling, flows.MaskedAutoregressive, flows.InverseAutoregressive])
@pytest.mark.parametrize("width", [2, 4, 16])
def test_networks_that_give_other_numbers_than_two_a_coordinate_are_refused(kind: Any, width: int, device: str) -> None:
    """(N, 2) above all: one column is broadcast to all coordinates, and the log-determinant counts it once."""
    layer = kind(4, network=nn.Linear(4, width, rng=Generator(0)))
    expected = rf"Linear: must give shifts and log-scales \(3, 8\) for rows \(3, 4\), got \(3, {width}\)"
    for direction in (layer.to_data, layer.to_latent, layer.shift_and_log_scale):
        with pytest.raises(ValueError, match=expected):
            direction(tg.zeros((3, 4)))


def test_a_permutation_must_be_one(device: str) -> None:
    for order in ([0, 0, 1], [1, 2, 3], [0.0, 1.0]):
        with pytest.raises(ValueError, match="Permutation: order must hold each of 0, …, dim − 1 once"):
            flows.Permutation(order)


def test_a_permutation_moves_what_it_says(device: str) -> None:
    x, _ = flows.Permutation([2, 0, 1]).to_data(tg.tensor([[10.0, 20.0, 30.0]]))
    assert x.numpy().tolist() == [[30.0, 10.0, 20.0]]


# --- batch normalisation -----------------------------------------------------------------------------------------


def test_batch_norm_normalises_a_batch_and_keeps_running_moments(device: str) -> None:
    layer, rows = flows.BatchNorm(2, momentum=1.0).astype(np.float64), random_rows(2, 50) + 3.0
    z, log_det = layer.to_latent(rows)
    np.testing.assert_allclose(z.numpy().mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(z.numpy().std(axis=0), 1.0, atol=1e-5)  # eps
    expected = -0.5 * np.log(rows.numpy().var(axis=0) + layer.eps).sum()
    np.testing.assert_allclose(log_det.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer.running_mean.numpy(), rows.numpy().mean(axis=0), rtol=1e-12)
    back, back_log_det = layer.to_data(z)  # with momentum 1 the running moments are the batch's
    np.testing.assert_allclose(back.numpy(), rows.numpy(), rtol=1e-10)
    np.testing.assert_allclose(back_log_det.numpy(), -expected, rtol=1e-10)


def test_batch_norm_does_not_move_where_it_must_not(device: str) -> None:
    layer, rows = flows.BatchNorm(2).astype(np.float64), random_rows(2)
    before = {name: array.copy() for name, array in layer.state_dict().items()}
    with nn.frozen(layer):
        layer.to_latent(rows)
    layer.to_data(rows)
    layer.eval().to_latent(rows)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(tg.Tensor(array).numpy(), tg.Tensor(before[name]).numpy())
    with pytest.raises(ValueError, match="needs two rows or more"):
        layer.train().to_latent(rows[:1])


# --- flows of layers ---------------------------------------------------------------------------------------------


def test_a_flow_is_its_layers_in_order_and_nests(device: str) -> None:
    layers = [random_layer(name, 3) for name in ("affine", "permutation", "planar tanh", "coupling")]
    flow, rows = flows.Flow(layers), random_rows(3)
    x, total = rows, np.zeros(len(rows))
    for layer in layers:
        x, log_det = layer.to_data(x)
        total = total + log_det.numpy()
    np.testing.assert_array_equal(flow.to_data(rows)[0].numpy(), x.numpy())
    np.testing.assert_allclose(flow.to_data(rows)[1].numpy(), total, rtol=1e-13)
    nested = flows.Flow([flows.Flow(layers[:2]), flows.Flow(layers[2:])])
    np.testing.assert_allclose(nested.log_prob(rows).numpy(), flow.log_prob(rows).numpy(), rtol=1e-13)
    turned = flows.Inverse(flow)
    np.testing.assert_array_equal(turned.to_latent(rows)[0].numpy(), x.numpy())


def test_log_prob_of_an_affine_flow_is_that_of_the_normal(device: str) -> None:
    layer = random_layer("affine", 3)
    normal = tg.distributions.Independent(
        tg.distributions.Normal(layer.shift.detach(), tg.exp(layer.log_scale.detach()))
    )
    rows = random_rows(3)
    np.testing.assert_allclose(flows.Flow([layer]).log_prob(rows).numpy(), normal.log_prob(rows).numpy(), rtol=1e-12)


def test_samples_follow_the_density(device: str) -> None:
    """Means of smooth functions over samples, against quadrature of the density: five standard errors."""
    flow = flows.Flow([random_layer("planar tanh", 1), random_layer("affine", 1), random_layer("planar softplus", 1)])
    x = flow.sample(Generator(3), 20_000).numpy()[:, 0]
    line = np.linspace(-60.0, 60.0, 60_001)
    with tg.no_grad():
        weights = np.exp(flow.log_prob(tg.tensor(line[:, None])).numpy()) * (line[1] - line[0])
    for function in (np.tanh, np.cos, lambda v: np.exp(-(v**2))):
        error = function(x).std() / np.sqrt(len(x))
        assert abs(function(x).mean() - (weights * function(line)).sum()) < 5.0 * error


def test_sampling(device: str) -> None:
    flow = flows.Flow([random_layer("coupling", 2)])
    first, second = (flow.sample(Generator(1), 7) for _ in range(2))
    assert first.shape == (7, 2)
    assert first.dtype == np.float64
    assert not first.requires_grad
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert first.device.startswith(device)
    x, log_prob = flow.rsample_and_log_prob(Generator(1), 7)
    np.testing.assert_array_equal(x.numpy(), first.numpy())
    np.testing.assert_allclose(log_prob.numpy(), flow.log_prob(first).numpy(), rtol=1e-10)
    assert x.requires_grad
    assert log_prob.requires_grad


def test_other_bases(device: str) -> None:
    rows = random_rows(2)
    loc, scale = tg.tensor(np.array([1.0, -1.0])), tg.tensor(np.array([0.5, 2.0]))
    numbers = tg.distributions.Normal(loc, scale)
    for base in (numbers, tg.distributions.Independent(numbers)):
        flow = flows.Flow([flows.Permutation([1, 0])], base)
        expected = numbers.log_prob(rows[:, ::-1]).numpy().sum(axis=1)
        np.testing.assert_allclose(flow.log_prob(rows).numpy(), expected, rtol=1e-12)
        assert flow.sample(Generator(0), 5).shape == (5, 2)
    with pytest.raises(ValueError, match=r"base must be a distribution of rows \(2,\)"):
        flows.Flow([flows.Affine(2)], tg.distributions.Normal(0.0, 1.0))


def test_a_trained_base_gets_its_gradient(device: str) -> None:
    """x = 2 (μ + ε): ∂ Σ x / ∂μ is 2 for each draw, and a base that cannot give it says so."""
    loc = tg.tensor(np.array([1.0]), requires_grad=True)
    layer = flows.Affine(1).astype(np.float64)
    layer.log_scale.assign(tg.tensor(np.log([2.0])))
    x, _ = flows.Flow([layer], tg.distributions.Normal(loc, 1.0)).rsample_and_log_prob(Generator(0), 5)
    np.testing.assert_allclose(tg.grad(tg.sum(x), loc)[0].numpy(), 10.0, rtol=1e-12)
    mixture = tg.distributions.Mixture(
        [0.5, 0.5], [tg.distributions.Independent(tg.distributions.Normal(part, 1.0)) for part in (loc, loc + 3.0)]
    )
    flow = flows.Flow([layer], mixture)
    assert flow.sample(Generator(0), 5).shape == (5, 1)
    with pytest.raises(ValueError, match="rsample"):
        flow.rsample_and_log_prob(Generator(0), 5)


def test_wrong_flows_are_refused(device: str) -> None:
    with pytest.raises(TypeError, match=r"needs one or more flows\.Layer, got none"):
        flows.Flow([])
    with pytest.raises(TypeError, match=r"needs one or more flows\.Layer, got Linear"):
        flows.Flow([nn.Linear(2, 2, rng=Generator(0))])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"layers differ in dim \[2, 3\]"):
        flows.Flow([flows.Affine(2), flows.Affine(3)])


# --- conditional flows -------------------------------------------------------------------------------------------

CONDITIONAL: dict[str, Any] = {
    "coupling": lambda rng: flows.AffineCoupling(3, hidden=(8,), context=2, rng=rng),
    "masked": lambda rng: flows.MaskedAutoregressive(3, hidden=(8,), context=2, rng=rng),
    "inverse": lambda rng: flows.InverseAutoregressive(3, hidden=(8,), context=2, rng=rng),
    "causal": lambda rng: flows.MaskedAutoregressive(
        3, context=2, network=flows.CausalNetwork(4, (1,), taps=2, context=2, rng=rng)
    ),
    "flow": lambda rng: flows.Flow([flows.Affine(3), flows.Inverse(flows.AffineCoupling(3, context=2, rng=rng))]),
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_conditional_layer_is_another_bijection_for_each_row(name: str, device: str) -> None:
    layer = with_noise(CONDITIONAL[name](Generator(1)), 0.3)
    rows, context = random_rows(3), random_rows(2, seed=2)
    x, log_det = layer.to_data(rows, context)
    again, back = layer.to_latent(x, context)
    np.testing.assert_allclose(again.numpy(), rows.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose((log_det + back).numpy(), 0.0, atol=1e-10)
    _, _, exact = tg.log_abs_det_jacobian(lambda v: layer.to_data(v, context)[0], rows)
    np.testing.assert_allclose(log_det.numpy(), exact.numpy(), rtol=1e-8, atol=1e-8)
    other, _ = layer.to_data(rows, context + 1.0)
    assert (np.abs(other.numpy() - x.numpy()).max(axis=1) > 1e-6).all()
    with pytest.raises(ValueError, match=r"is conditional, give context=\(N, 2\)"):
        layer.to_data(rows)
    with pytest.raises(ValueError, match=r"context must have shape \(12, 2\), got \(12, 3\)"):
        layer.to_data(rows, rows)


@pytest.mark.parametrize("name", LAYERS)
def test_a_context_that_no_layer_takes_is_refused(name: str, device: str) -> None:
    """At the outermost call, whatever it is."""
    layer, rows = random_layer(name, 3), random_rows(3)
    flow = flows.Flow([layer])
    for call in (
        layer.to_data, layer.to_latent, flows.Inverse(layer).to_data, flow.to_data, flow.log_prob, flow.stages,
        lambda _, context: flow.sample(Generator(0), 12, context),
        lambda _, context: flow.rsample_and_log_prob(Generator(0), 12, context),
    ):  # fmt: skip
        for context in (rows, "nonsense"):
            with pytest.raises(ValueError, match="takes no context, but one was given"):
                call(rows, context)


def test_a_flow_gives_the_context_to_the_layers_that_take_it(device: str) -> None:
    """Also to those inside of a flow inside of it; without it, it cannot be called."""
    conditional = with_noise(flows.AffineCoupling(3, hidden=(8,), context=2, rng=Generator(0)), 0.3)
    inner = flows.Flow([flows.Affine(3), conditional])
    flow = flows.Flow([flows.Flow([flows.Permutation([2, 0, 1])]), inner, flows.Inverse(flows.BatchNorm(3))])
    flow, rows, context = flow.astype(np.float64).eval(), random_rows(3), random_rows(2, seed=2)
    assert flow.context == 2
    expected = conditional.to_data(rows[:, [2, 0, 1]], context)[1]
    np.testing.assert_allclose(flow.to_data(rows, context)[1].numpy(), expected.numpy(), atol=2e-5)  # eps
    np.testing.assert_array_equal(flow.stages(rows, context)[-1].numpy(), flow.to_data(rows, context)[0].numpy())
    for call in (flow.to_data, flow.log_prob, flow.stages, lambda rows: flow.sample(Generator(0), 12)):
        with pytest.raises(ValueError, match=r"Flow\.\w+: is conditional, give context=\(N, 2\)"):
            call(rows)


@pytest.mark.parametrize("kind", [flows.MaskedAutoregressive, flows.InverseAutoregressive])
@pytest.mark.parametrize("network", ["masked", "causal"])
def test_layer_and_network_must_agree_on_the_context(kind: Any, network: str, device: str) -> None:
    def made(context: int) -> Any:
        if network == "masked":
            return flows.MaskedPerceptron(3, (8,), context=context, rng=Generator(0))
        return flows.CausalNetwork(4, (1,), context=context, rng=Generator(0))

    rows, context = tg.zeros((5, 3)), tg.zeros((5, 2))
    with pytest.raises(ValueError, match="takes no context, but one was given"):
        kind(3, context=2, network=made(0)).to_data(rows, context)
    with pytest.raises(ValueError, match=r"its context must have shape \(5, 2\), got none"):
        kind(3, network=made(2)).to_data(rows)
    with pytest.raises(ValueError, match=r"its context must have shape \(5, 2\), got \(1, 2\)"):
        kind(3, context=2, network=made(2)).shift_and_log_scale(rows, context[:1])


def test_a_conditional_flow_learns_where_each_row_lies(device: str) -> None:
    """x ~ N(c, ½²): with c given, the likelihood reaches that of the law, which no unconditional density does."""
    rng = Generator(0)
    flow = flows.Flow([flows.AffineCoupling(1, hidden=(8,), context=1, rng=rng)])
    optimizer = tg.optim.Adam(flow.parameters(), lr=0.03)
    for _ in range(150):
        context = rng.normal((64, 1))
        optimizer.minimize(-tg.mean(flow.log_prob(context + 0.5 * rng.normal((64, 1)), context)))
    context = rng.normal((4000, 1))
    x = context + 0.5 * rng.normal((4000, 1))
    nll = -tg.mean(flow.log_prob(x, context)).item()
    law = 0.5 * np.log(2 * np.pi * np.e * 0.25)
    assert law - 0.05 < nll < law + 0.1  # the normal of the same moments has .80 more
    assert flow.sample(rng, 10, context[:10]).shape == (10, 1)


# --- a training step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["planar tanh", "planar, direct", "coupling", "MAF", "IAF"])
def test_the_likelihood_rises(name: str, device: str) -> None:
    layer = LAYERS[name](2, Generator(0)).train()
    flow = layer if isinstance(layer, flows.Flow) else flows.Flow([layer, flows.Affine(2)])
    optimizer = tg.optim.Adam(flow.parameters(), lr=0.01)
    data = tg.data.density("moons").sample(Generator(1), 128)
    losses = []
    for _ in range(25):
        loss = -tg.mean(flow.log_prob(data))
        losses.append(loss.item())
        optimizer.minimize(loss)
    assert losses[-1] < losses[0] - 0.02
