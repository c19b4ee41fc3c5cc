"""Autoregressive flows: MAF and IAF are each other's inverse, sequential equals parallel, exact zeros: a gate."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from double import no_sync
from flow_cases import LAYERS, random_layer, random_rows, with_noise

import tinygen as tg
from tinygen import flows, nn
from tinygen.random import Generator

DIMS = (1, 2, 5, 16)
NETWORKS = ("masked autoregressive", "inverse autoregressive", "causal")


def causal(kind: Any, dim: int) -> Any:
    rng = Generator(7)
    return with_noise(kind(dim, network=flows.CausalNetwork(4, (1, 2), taps=3, rng=rng)), 0.2)


def pair(dim: int, network: str) -> tuple[Any, Any]:
    """A MAF and an IAF layer with the same parameters."""
    if network == "causal":
        return causal(flows.MaskedAutoregressive, dim), causal(flows.InverseAutoregressive, dim)
    maf, iaf = random_layer("masked autoregressive", dim), random_layer("inverse autoregressive", dim)
    iaf.load_state_dict(maf.state_dict())
    return maf, iaf


@pytest.mark.parametrize("network", ["masked", "causal"])
@pytest.mark.parametrize("dim", DIMS)
def test_maf_and_iaf_with_the_same_parameters_are_each_others_inverse(dim: int, network: str, device: str) -> None:
    maf, iaf = pair(dim, network)
    rows = random_rows(dim)
    for first, second in ((maf.to_data, iaf.to_data), (iaf.to_latent, maf.to_latent)):
        y, log_det = first(rows)
        again, back = second(y)
        np.testing.assert_allclose(again.numpy(), rows.numpy(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose((log_det + back).numpy(), 0.0, atol=1e-10)
    np.testing.assert_array_equal(maf.to_latent(rows)[0].numpy(), iaf.to_data(rows)[0].numpy())


@pytest.mark.parametrize("network", ["masked", "causal"])
@pytest.mark.parametrize("dim", DIMS)
def test_sequential_equals_parallel(dim: int, network: str, device: str) -> None:
    """The map coordinate by coordinate in NumPy, each from a network pass over the prefix alone, and in one pass."""
    _, iaf = pair(dim, network)
    z = random_rows(dim, 3)
    parallel, log_det = iaf.to_data(z)
    x, total = np.zeros(z.shape), np.zeros(len(z))
    for t in range(dim):
        prefix = z.numpy().copy()
        prefix[:, t:] = 1e3  # what must not be seen
        shift, log_scale = (part.numpy()[:, t] for part in iaf.shift_and_log_scale(tg.tensor(prefix)))
        x[:, t] = z.numpy()[:, t] * np.exp(log_scale) + shift
        total += log_scale
    np.testing.assert_allclose(parallel.numpy(), x, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det.numpy(), total, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("network", ["masked", "causal"])
@pytest.mark.parametrize("dim", DIMS)
def test_jacobians_are_triangular_with_exact_zeros(dim: int, network: str, device: str) -> None:
    """Of all four maps lower triangular with diagonal exp(±s_t); of the network's outputs strictly so (AR-7)."""
    maf, iaf = pair(dim, network)
    rows = random_rows(dim, 3)
    above = np.triu(np.ones((dim, dim), bool), 1)
    for layer in (maf, iaf):
        for direction in (layer.to_data, layer.to_latent):
            jacobian = tg.jacobian(lambda v, direction=direction: direction(v)[0], rows, batch=True).numpy()
            assert (jacobian[:, above] == 0.0).all()
            assert (np.diagonal(jacobian, axis1=1, axis2=2) > 0.0).all()
    jacobian = tg.jacobian(lambda v: iaf.to_data(v)[0], rows, batch=True).numpy()
    scale = np.exp(iaf.shift_and_log_scale(rows)[1].numpy())
    np.testing.assert_allclose(np.diagonal(jacobian, axis1=1, axis2=2), scale, rtol=1e-12)
    for part in range(2):
        seen = tg.jacobian(lambda v, part=part: iaf.shift_and_log_scale(v)[part], rows, batch=True).numpy()
        assert (seen[:, np.triu(np.ones((dim, dim), bool))] == 0.0).all()
        if network == "masked" and dim > 1:
            assert (seen[:, np.tril(np.ones((dim, dim), bool), -1)] != 0.0).all()  # and nothing is hidden in vain


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_masked_perceptron_sees_all_that_it_may(dim: int, context: int, skip: bool, device: str) -> None:
    network = with_noise(flows.MaskedPerceptron(dim, (9, 7), nn.Tanh, skip, context, rng=Generator(0)), 0.5)
    given = [] if not context else [random_rows(context, 1)]
    x = random_rows(dim, 1)
    jacobian = tg.jacobian(lambda v: network(v, *given)[0], x).numpy()[:, 0].reshape(2, dim, dim)
    np.testing.assert_array_equal(jacobian != 0.0, np.tril(np.ones((2, dim, dim), bool), -1))
    if context:
        by_context = tg.jacobian(lambda c: network(x, c)[0], given[0]).numpy()
        assert (by_context != 0.0).all()


def test_causal_network_sees_two_to_the_blocks_and_one_back(device: str) -> None:
    network = with_noise(flows.CausalNetwork(3, (1, 2, 4), taps=2, rng=Generator(0)), 0.3)
    jacobian = tg.jacobian(lambda v: network(v)[0], random_rows(14, 1)).numpy()[:, 0].reshape(2, 14, 14)
    back = np.arange(14)[:, None] - np.arange(14)[None, :]
    np.testing.assert_array_equal(jacobian != 0.0, np.broadcast_to((back >= 1) & (back <= 9), (2, 14, 14)))


# --- the Gaussian autoregressive model that a MAF layer is -------------------------------------------------------


@pytest.mark.parametrize("dim", DIMS)
def test_density_of_maf_is_the_product_of_its_conditionals(dim: int, device: str) -> None:
    """log p = Σ log N(x_t; μ_t(x_<t), σ_t²(x_<t)) (AR-2), and z = (x − μ)/σ (AR-8)."""
    layer, x = random_layer("masked autoregressive", dim), random_rows(dim)
    mean, log_sd = layer.conditionals(x)
    conditionals = tg.distributions.Normal(mean, tg.exp(log_sd))
    log_prob = flows.Flow([layer]).log_prob(x)
    np.testing.assert_allclose(log_prob.numpy(), conditionals.log_prob(x).numpy().sum(axis=1), rtol=1e-10)
    whitened = (x - mean) * tg.exp(-log_sd)
    np.testing.assert_allclose(layer.to_latent(x)[0].numpy(), whitened.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dim", DIMS)
def test_iaf_generates_by_mean_and_deviation(dim: int, device: str) -> None:
    """x = μ(z_<t) + σ(z_<t) z (AR-5)."""
    layer, z = random_layer("inverse autoregressive", dim), random_rows(dim)
    mean, log_sd = layer.conditionals(z)
    np.testing.assert_allclose(layer.to_data(z)[0].numpy(), (mean + tg.exp(log_sd) * z).numpy(), rtol=1e-12)


def test_a_linear_maf_is_the_multivariate_normal(device: str) -> None:
    """Conditionals of N(0, Σ) from the Cholesky factor of Σ⁻¹, put into the skip connection: densities agree."""
    rng = np.random.default_rng(0)
    root = np.tril(rng.normal(size=(3, 3)), -1) + np.diag([0.8, 1.5, 0.6])  # z = root x
    layer = flows.MaskedAutoregressive(3, bound=5.0, hidden=(4,), rng=Generator(0)).astype(np.float64)
    diagonal = np.diag(root)
    weight = np.zeros((6, 3))
    weight[:3] = np.tril(root, -1)
    layer.network.skip.weight.assign(tg.tensor(weight))
    layer.network.last.bias.assign(tg.tensor(np.concatenate([np.zeros(3), np.arctanh(np.log(diagonal) / 5.0)])))
    normal = tg.distributions.MultivariateNormal(tg.zeros(3, dtype=np.float64), tg.tensor(np.linalg.inv(root.T @ root)))
    x = random_rows(3)
    np.testing.assert_allclose(flows.Flow([layer]).log_prob(x).numpy(), normal.log_prob(x).numpy(), rtol=1e-10)


# --- cost and gradients ------------------------------------------------------------------------------------------


class Counted(nn.Module):
    """A network that counts its passes."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.passes = network, 0

    def forward(self, *args: Any) -> Any:
        self.passes += 1
        return self.network(*args)


@pytest.mark.parametrize("kind", [flows.MaskedAutoregressive, flows.InverseAutoregressive])
def test_one_direction_takes_one_pass_and_the_other_dim(kind: Any, device: str) -> None:
    network = Counted(flows.MaskedPerceptron(6, (8,), rng=Generator(0)))
    layer, rows = kind(6, network=network), random_rows(6).astype(np.float32)
    fast, slow = (layer.to_latent, layer.to_data)[:: 1 if kind is flows.MaskedAutoregressive else -1]
    for direction, passes in ((fast, 1), (slow, 6)):
        network.passes = 0
        direction(rows)
        assert network.passes == passes


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_flow_through_the_sequential_direction(name: str, device: str) -> None:
    """Of f⁻¹(f(v; θ); θ), which is v whatever θ is: zero in θ, the identity in v."""
    layer = random_layer(name, 4)
    rows = random_rows(4, 3)
    rows.requires_grad = True
    weights = tg.tensor(np.random.default_rng(0).normal(size=(3, 4)))
    for there, back in ((layer.to_data, layer.to_latent), (layer.to_latent, layer.to_data)):
        scalar = tg.sum(weights * back(there(rows)[0])[0])
        in_rows, *slopes = tg.grad(scalar, [rows, *layer.parameters()])
        np.testing.assert_allclose(in_rows.numpy(), weights.numpy(), atol=1e-9)
        for slope in slopes:
            np.testing.assert_allclose(slope.numpy(), 0.0, atol=1e-9)


@pytest.mark.parametrize("name", ["MAF", "IAF", "causal"])
def test_no_direction_waits_for_the_device(name: str, device: str) -> None:
    layer = LAYERS[name](3, Generator(0))
    flow = layer if isinstance(layer, flows.Flow) else flows.Flow([layer])
    optimizer, x = tg.optim.Adam(flow.parameters(), lr=0.01), random_rows(3).astype(np.float32)
    with no_sync() if device == "double" else nullcontext():
        optimizer.minimize(-tg.mean(flow.log_prob(x)))
        flow.sample(Generator(1), 4)


def test_order_is_reversed_between_layers(device: str) -> None:
    """Of two stacked layers every coordinate sees every other, of one only those before it."""
    for build, layers in ((flows.maf, 2), (flows.iaf, 2)):
        flow = with_noise(build(4, layers, hidden=(8,), activation=nn.Tanh, rng=Generator(0)), 0.3)
        jacobian = tg.jacobian(lambda v, flow=flow: flow.to_data(v)[0], random_rows(4, 2), batch=True).numpy()
        assert (jacobian != 0.0).all()


def test_a_network_without_hidden_layers_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="hidden needs at least one width"):
        flows.MaskedPerceptron(3, ())
