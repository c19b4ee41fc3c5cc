"""Every kind of layer with random parameters, and the checks that all of them must pass."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import flows, nn
from tinygen.flows.planar import ACTIVATIONS
from tinygen.random import Generator

DIMS = (1, 2, 5, 16)
Build = Callable[[int, Generator], flows.Layer]


def _small(dim: int, rng: Generator) -> dict[str, Any]:
    return {"dim": dim, "hidden": (8, 8), "activation": nn.Tanh, "rng": rng}


LAYERS: dict[str, Build] = {
    "affine": lambda dim, rng: flows.Affine(dim),
    "triangular affine": lambda dim, rng: flows.TriangularAffine(dim),
    "permutation": lambda dim, rng: flows.Permutation(rng.permutation(dim, device="cpu").numpy()),
    "batch norm": lambda dim, rng: flows.BatchNorm(dim).eval(),
    **{f"planar {name}": lambda dim, rng, name=name: flows.Planar(dim, name, rng=rng) for name in ACTIVATIONS},
    "planar, direct": lambda dim, rng: flows.Inverse(flows.Planar(dim, rng=rng)),
    "coupling": lambda dim, rng: flows.AffineCoupling(**_small(dim, rng)),
    "masked autoregressive": lambda dim, rng: flows.MaskedAutoregressive(**_small(dim, rng)),
    "inverse autoregressive": lambda dim, rng: flows.InverseAutoregressive(**_small(dim, rng)),
    "causal": lambda dim, rng: flows.InverseAutoregressive(
        dim, network=flows.CausalNetwork(4, (1, 2), taps=3, rng=rng)
    ),
    "RealNVP": lambda dim, rng: flows.real_nvp(layers=3, batch_norm=True, **_small(dim, rng)).eval(),
    "MAF": lambda dim, rng: flows.maf(layers=2, **_small(dim, rng)),
    "IAF": lambda dim, rng: flows.iaf(layers=2, **_small(dim, rng)),
}


def with_noise(layer: Any, scale: float, seed: int = 0, dtype: Any = np.float64) -> Any:
    """The layer in float64, with scale · N(0, 1) added to its parameters: they start where faults hide."""
    rng = np.random.default_rng(seed)
    for parameter in layer.astype(dtype).parameters():
        moved = np.asarray(parameter.numpy() + scale * rng.normal(size=parameter.shape), dtype)
        parameter.assign(tg.tensor(moved, device=parameter.device))
    return layer


def random_layer(name: str, dim: int, dtype: Any = np.float64) -> Any:
    """The same layer at every call.

    Weights of networks move by .2, of stacks by .1: 16 coordinates in a row that all have steep networks make maps
    with condition numbers of 1e10 and more, which float64 cannot invert to 1e-10, whoever computes them.
    """
    layer = LAYERS[name](dim, Generator(zlib.crc32(f"{name} {dim}".encode())))
    simple = isinstance(layer, (flows.Planar, flows.Affine))
    return with_noise(layer, 1.0 if simple else 0.1 if isinstance(layer, flows.Flow) else 0.2, dim, dtype)


def extreme_layer(name: str, dim: int) -> Any:
    """The random layer with parameters at the edge of what it can be, whatever its parts are.

    Planar layers have w·u ≪ −1 (w = 0 has tests of its own), the scales of all affine parts together lie between e^−6
    and e^6, and networks give raw log-scales up to 10⁴ and more, so that almost every s = c tanh(·) is c or −c.
    """
    layer = random_layer(name, dim)
    affine = [part for part in layer.modules() if hasattr(part, "log_scale")]
    ends = np.where(np.arange(dim) % 2, -6.0, 6.0) / max(1, len(affine))
    for part in layer.modules():
        if isinstance(part, flows.Planar):
            w = part.w.numpy()
            part.u.assign(tg.tensor(part.u.numpy() - 1e3 * w / (w @ w)))
        if part in affine:
            part.log_scale.assign(tg.tensor(ends))
            part.shift.assign(tg.tensor(10.0 * np.ones(dim)))
        if isinstance(part, flows.BatchNorm):
            part.log_scale.assign(tg.tensor(0.5 * ends))
            part.running_var.assign(tg.tensor(np.exp(-ends)))
            part.running_mean.assign(tg.tensor(-10.0 * np.ones(dim)))
        if isinstance(part, flows.TriangularAffine):  # one column, for the inverse of a full one grows like 2^dim
            part.below.assign(tg.tensor(np.where(np.arange(dim) == 0, 10.0, 0.0) * np.ones((dim, 1))))
        if hasattr(part, "network"):
            network = part.network
            for last in (network[-1],) if isinstance(network, nn.Sequential) else (network.last, network.skip):
                weight = last.weight.numpy().copy()
                weight[len(weight) // 2 :] *= 1e5  # the half for the raw log-scales
                last.weight.assign(tg.tensor(weight))
    return layer


def random_rows(dim: int, n: int = 12, scale: float = 2.0, seed: int = 1) -> Any:
    return tg.tensor(scale * np.random.default_rng(seed).normal(size=(n, dim)))


def assert_bijection(layer: Any, rows: Any, trip: float = 1e-10, jacobian: float = 1e-8) -> None:
    """The gate: round trips and sums of log-determinants to ``trip``, log-determinants to ``jacobian``.

    Errors are relative to 1 + |value|, for points up to 50 and more have no digit 1e-10 beyond that.
    """
    for there, back in ((layer.to_data, layer.to_latent), (layer.to_latent, layer.to_data)):
        image, log_det = there(rows)
        again, back_log_det = back(image)
        np.testing.assert_allclose(again.numpy(), rows.numpy(), rtol=trip, atol=trip)
        np.testing.assert_allclose((log_det + back_log_det).numpy(), 0.0, atol=trip)
        _, _, exact = tg.log_abs_det_jacobian(lambda v, there=there: there(v)[0], rows)
        np.testing.assert_allclose(log_det.numpy(), exact.numpy(), rtol=jacobian, atol=jacobian)


def generating_jacobian(layer: Any, z: Any, x: Any) -> np.ndarray:
    """∂x/∂z (N, dim, dim) by autodiff; where the generating map is sequential, through the inverse of its inverse's."""
    if any(isinstance(part, flows.MaskedAutoregressive) for part in layer.modules()):
        return np.linalg.inv(tg.jacobian(lambda v: layer.to_latent(v)[0], x, batch=True).numpy())
    return np.asarray(tg.jacobian(lambda v: layer.to_data(v)[0], z, batch=True).numpy())


def ill_condition(layer: Any, z: Any) -> float:
    """How many times the condition number of the map exceeds 10⁴, or 1 if it does not.

    The gates hold up to 10⁴ (LECTURES §0), and in proportion beyond: no one can invert better in float64.
    """
    matrices = generating_jacobian(layer, z, layer.to_data(z)[0])
    return max(1.0, float(np.linalg.cond(matrices).max()) / 1e4)


def log_density(flow: Any, x: np.ndarray) -> np.ndarray:
    with tg.no_grad():
        return np.asarray(flow.log_prob(tg.tensor(x)).numpy())


def mass_by_sampling(layer: Any, dim: int, points: int, seed: int = 0) -> tuple[float, float]:
    """∫ p(x) dx = ∫ p(f(z)) |det ∂f/∂z| dz by importance sampling, and its standard error.

    z is drawn from N(0, 1.2² I), wider than the flow's own N(0, I): so are the points x = f(z).  The determinant is
    autodiff's, of f or, where that is sequential, of its inverse; p, with the log-determinant of ``to_latent``, is the
    only thing that the layer says itself.
    """
    z = 1.2 * np.random.default_rng(seed).normal(size=(points, dim))
    log_proposal = -0.5 * (z**2).sum(axis=1) / 1.44 - 0.5 * dim * np.log(2.0 * np.pi * 1.44)
    with tg.no_grad():
        x, _ = layer.to_data(tg.tensor(z))
    log_det = np.linalg.slogdet(generating_jacobian(layer, tg.tensor(z), x))[1]
    weights = np.exp(log_density(flows.Flow([layer]), x.numpy()) + log_det - log_proposal)
    return float(weights.mean()), float(weights.std() / np.sqrt(points))


def mass(flow: Any, dim: int, points: int) -> float:
    """∫ p by the trapezoid rule over the box that holds the images of all |z_i| ≤ 6.5, but for 1e-10 of the mass."""
    lattice = np.stack(np.meshgrid(*[np.linspace(-6.5, 6.5, 41)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    with tg.no_grad():
        image = flow.to_data(tg.tensor(lattice))[0].numpy()
    lines = [np.linspace(low, high, points) for low, high in zip(image.min(axis=0), image.max(axis=0), strict=True)]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, dim)
    cell = np.prod([line[1] - line[0] for line in lines])
    return float(np.exp(log_density(flow, grid)).sum() * cell)
