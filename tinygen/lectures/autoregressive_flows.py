"""Chapter 12, second part. Flows made of autoregressive networks: on noise (IAF) and on data (MAF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import flows, nn
from tinygen.distributions import Normal
from tinygen.lectures.autoregressive import (
    Array,
    Conditioner,
    Statistics,
    conditioners,
    inverted,
    log_normal,
    placed,
    sequentially,
    to_data,
    to_noise,
)
from tinygen.lectures.claim import ALG, EXACT, LIN, QUAD, Check, Claim, host, same
from tinygen.lectures.numerics import gauss_legendre
from tinygen.testing.strategies import floats, sizes, vectors

# --- AR-5 --------------------------------------------------------------------------------------------------------

AR_5 = Claim(
    "AR-5",
    "Inverse autoregressive flow",
    r"x_t=\sigma_t(z_{<t})\,z_t+\mu_t(z_{<t}),\qquad p_S(x)=\prod_tN\big(x_t;\mu_t(z_{<t}),\sigma_t^2(z_{<t})\big)",
    sources="001",
    assumptions="σ_t > 0; statistics at t see only what comes before t",
)


def parallel(net: Conditioner, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    """x, μ and σ, all t at once."""
    mean, log_sigma = net(z)
    return tg.exp(log_sigma) * z + mean, mean, tg.exp(log_sigma)


@AR_5.part(net=conditioners(), z=vectors(5, -3, 3))
def product_form(net: Conditioner, z: Array, *, flow: Any = parallel) -> Iterator[Check]:
    """The product of normals is the density by change of variables, with ln|det| of the autodiff Jacobian."""
    at = tg.tensor(z[: len(net)])
    x, mean, sigma = flow(net, at)
    _, _, log_det = tg.log_abs_det_jacobian(lambda v: flow(net, v)[0], at, batch=False)
    base = tg.sum(Normal(0.0, 1.0).log_prob(at))
    yield same("ln p_S(x)", tg.sum(log_normal(x, mean, sigma)), base - log_det, LIN)


@product_form.erratum(
    "E-52",
    "statistics of the variable itself, and x_1 without z_1",
    printed=r"x_1=\phi_1(z_1)+\mu_1,\quad x_2=\phi_2(z_2)z_2+\mu_2(z_2)",
)
def of_itself(net: Conditioner, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    x, mean, sigma = own_statistics(net, z)
    first = tg.tensor(np.arange(len(net)) == 0)
    return tg.where(first, sigma + tg.tensor(net.c), x), mean, sigma


@product_form.falsification("statistics of the variable itself")
def own_statistics(net: Conditioner, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    mean, log_sigma = net.seeing(z, *(tg.tensor(np.eye(len(net)) * weights) for weights in (net.A, net.B)))
    return tg.exp(log_sigma) * z + mean, mean, tg.exp(log_sigma)


@product_form.falsification("σ² in place of σ")
def scaled_by_variance(net: Conditioner, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    mean, log_sigma = net(z)
    return tg.exp(2.0 * log_sigma) * z + mean, mean, tg.exp(log_sigma)


@AR_5.part(net=conditioners(), z=vectors(5, -3, 3))
def one_by_one(net: Conditioner, z: Array, *, flow: Any = parallel) -> Iterator[Check]:
    """All variables at once are those computed one by one, each from its prefix alone."""
    stepwise = []
    for t in range(len(net)):
        before_t = np.sin(z[:t])
        stepwise.append(np.exp(net.d[t] + net.B[t, :t] @ before_t) * z[t] + net.c[t] + net.A[t, :t] @ before_t)
    yield same("x", flow(net, tg.tensor(z[: len(net)]))[0], np.array(stepwise), ALG)


@one_by_one.falsification("statistics of everything, not of what comes before")
def unmasked(net: Conditioner, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    mean, log_sigma = net.seeing(z, tg.tensor(net.A), tg.tensor(net.B))
    return tg.exp(log_sigma) * z + mean, mean, tg.exp(log_sigma)


def student_density(x: tg.Tensor, mean: tg.Tensor, sigma: tg.Tensor) -> tg.Tensor:
    """∏ N(x_t; μ_t, σ_t²)."""
    return tg.exp(tg.sum(log_normal(x, mean, sigma), axis=-1))


@AR_5.part(net=conditioners(2), most=3)
def density_integrates(net: Conditioner, *, density: Any = student_density) -> Iterator[Check]:
    """Over a grid of x, with z found one variable after the other, the density of two variables integrates to 1."""
    grid, w = gauss_legendre(-16.0, 16.0, 12, 32)  # as for AR-2
    x = tg.tensor(np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1))
    mean, log_sigma = net(inverted(net, x))
    yield same("∫ p_S", w @ host(density(x, mean, tg.exp(log_sigma))) @ w, 1.0, QUAD)


@density_integrates.falsification("density of z, without 1/σ")
def base_density(x: tg.Tensor, mean: tg.Tensor, sigma: tg.Tensor) -> tg.Tensor:
    return student_density(x, mean, sigma) * tg.prod(sigma, axis=-1)


class Network(nn.Module):
    """Shift and log-scale as ``tinygen.flows`` takes them from a network: (N, 2 T), the log-scale as 3 tanh(·)."""

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics

    def forward(self, v: tg.Tensor) -> tg.Tensor:
        shift, log_scale = self.statistics(v)
        third = log_scale / 3.0
        return tg.concatenate([shift, 0.5 * (tg.log1p(third) - tg.log1p(-third))], axis=1)


def iaf_layer(dim: int, network: Network) -> flows.Layer:
    """tinygen's layer, in float64."""
    return flows.InverseAutoregressive(dim, network=network).astype(np.float64)


@AR_5.part(net=conditioners(), z=vectors(5, -3, 3))
def tinygens_layer(net: Conditioner, z: Array, *, layer: Any = iaf_layer) -> Iterator[Check]:
    """``flows.InverseAutoregressive`` draws the same x, with the same log-determinant, and finds the noise again."""
    rows = tg.tensor(z[None, : len(net)])
    flow = layer(len(net), Network(net))
    x, log_det = flow.to_data(rows)
    expected, expected_log_det = to_data(net, rows)
    yield same("x", x, expected, LIN)
    yield same("ln|det|", log_det, expected_log_det, LIN)
    again, back = flow.to_latent(x)
    yield same("z again", again, rows, LIN)
    yield same("ln|det| of the inverse", back, -expected_log_det, LIN)


def maf_layer(dim: int, network: Network) -> flows.Layer:
    """tinygen's layer, in float64."""
    return flows.MaskedAutoregressive(dim, network=network).astype(np.float64)


tinygens_layer.falsification("the layer that infers by the map")(maf_layer)


# --- AR-6 --------------------------------------------------------------------------------------------------------

AR_6 = Claim(
    "AR-6",
    "Inverse of IAF",
    r"z_1=\frac{x_1-\mu_1}{\sigma_1},\quad z_2=\frac{x_2-\mu_2(z_1)}{\sigma_2(z_1)},\ \dots",
    sources="001",
)


@AR_6.part(net=conditioners(sizes(1, 8)), z=vectors(8, -3, 3))
def round_trip(net: Conditioner, z: Array, *, inverse: Any = inverted) -> Iterator[Check]:
    """The sequential inverse gives back z from x, and x from z, for up to 8 variables."""
    x, _ = to_data(net, tg.tensor(z[: len(net)]))
    yield same("z", inverse(net, x), z[: len(net)], LIN)
    there, _ = to_data(net, inverse(net, tg.tensor(z[: len(net)])))
    yield same("x", there, z[: len(net)], LIN)


@round_trip.falsification("statistics of x in place of z")
def statistics_of_x(network: Statistics, x: tg.Tensor) -> tg.Tensor:
    return to_noise(network, x)[0]


@round_trip.falsification("one pass too few")
def too_few(network: Statistics, x: tg.Tensor) -> tg.Tensor:
    z = inverted(network, x)
    return placed(z, x.shape[-1] - 1, tg.zeros_like(z))


# --- AR-7 --------------------------------------------------------------------------------------------------------

AR_7 = Claim(
    "AR-7",
    "Log-determinant of IAF",
    r"\ln\Big|\det\frac{\partial x}{\partial z}\Big|=\sum_t\ln\sigma_t(z_{<t})",
    sources="001",
)


def sum_of_log_sigma(log_sigma: tg.Tensor) -> tg.Tensor:
    """Σ ln σ_t."""
    return tg.sum(log_sigma)


@AR_7.part(net=conditioners(sizes(1, 6)), z=vectors(6, -3, 3))
def triangular_jacobian(net: Conditioner, z: Array, *, log_det: Any = sum_of_log_sigma) -> Iterator[Check]:
    """The autodiff Jacobian is lower triangular with exact zeros above, and its slogdet is the sum of ln σ."""
    at = tg.tensor(z[: len(net)])
    slopes = tg.jacobian(lambda v: to_data(net, v)[0], at)
    sign, found = tg.linalg.slogdet(slopes)
    yield same("above the diagonal", np.triu(host(slopes), 1), 0.0, EXACT)
    yield same("ln|det|", log_det(net(at)[1]), found, LIN)
    yield same("sign", sign, 1.0, EXACT)


@triangular_jacobian.falsification("of the inverse map")
def of_the_inverse(log_sigma: tg.Tensor) -> tg.Tensor:
    return -tg.sum(log_sigma)


@triangular_jacobian.falsification("first variable left out")
def without_first(log_sigma: tg.Tensor) -> tg.Tensor:
    return tg.sum(log_sigma[1:])


# --- AR-8 --------------------------------------------------------------------------------------------------------

AR_8 = Claim(
    "AR-8",
    "Duality of MAF and IAF",
    r"u_t=\frac{x_t-\mu_t(x_{<t})}{\sigma_t(x_{<t})},"
    r"\qquad\ln\Big|\det\frac{\partial u}{\partial x}\Big|=-\sum_t\ln\sigma_t(x_{<t})",
    sources="001",
)


@AR_8.part(net=conditioners(), x=vectors(5, -3, 3))
def as_a_flow(net: Conditioner, x: Array, *, flow: Any = to_noise) -> Iterator[Check]:
    """The model's log-density is that of u plus the log-determinant, which is slogdet of the autodiff Jacobian."""
    at = tg.tensor(x[: len(net)])
    u, log_det = flow(net, at)
    _, _, found = tg.log_abs_det_jacobian(lambda v: flow(net, v)[0], at, batch=False)
    yield same("ln|det ∂u/∂x|", log_det, found, LIN)
    mean, log_sigma = net(at)
    stepwise = tg.sum(log_normal(at, mean, tg.exp(log_sigma)))
    yield same("ln p(x)", stepwise, tg.sum(Normal(0.0, 1.0).log_prob(u)) + log_det, LIN)


@as_a_flow.falsification("log-determinant of the other direction")
def other_direction(network: Statistics, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    u, log_det = to_noise(network, x)
    return u, -log_det


@as_a_flow.falsification("variance in place of the deviation")
def by_variance(network: Statistics, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    mean, log_sigma = network(x)
    return (x - mean) * tg.exp(-2.0 * log_sigma), -2.0 * tg.sum(log_sigma, axis=-1)


@AR_8.part(net=conditioners(), x=vectors(5, -3, 3), shift=floats(-2, 2))
def roles_exchanged(net: Conditioner, x: Array, shift: float, *, back: Any = sequentially) -> Iterator[Check]:
    """MAF and its sequential inverse undo each other both ways; the inverse is the map that draws samples."""
    at = tg.tensor(x[: len(net)] + shift)
    yield same("x ↦ u ↦ x", back(net, to_noise(net, at)[0]), at, LIN)
    yield same("u ↦ x ↦ u", to_noise(net, back(net, at))[0], at, LIN)


@roles_exchanged.falsification("IAF with the same network is not the inverse")
def same_network(network: Statistics, u: tg.Tensor) -> tg.Tensor:
    return to_data(network, u)[0]


@AR_8.part(net=conditioners(), x=vectors(5, -3, 3))
def tinygens_flow(net: Conditioner, x: Array, *, layer: Any = maf_layer) -> Iterator[Check]:
    """A flow of ``flows.MaskedAutoregressive`` with the scales 1/σ and the shifts −μ/σ has the density Π N(μ, σ²)."""

    def standardising(v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        mean, log_sigma = net(v)
        return -mean * tg.exp(-log_sigma), -log_sigma

    rows = tg.tensor(x[None, : len(net)])
    flow = flows.Flow([layer(len(net), Network(standardising))])
    mean, log_sigma = net(rows)
    yield same("ln p", flow.log_prob(rows), tg.sum(log_normal(rows, mean, tg.exp(log_sigma)), axis=1), LIN)
    noise, _ = to_noise(net, rows)
    yield same("noise", flow.to_latent(rows)[0], noise, LIN)
    yield same("x again", flow.to_data(noise)[0], rows, LIN)


tinygens_flow.falsification("the layer that generates by the map")(iaf_layer)
