"""Chapter 12, first part. Autoregressive models: one variable after another, and the flows that they are.

Statistics μ_t and σ_t of variable t come from a network that sees the variables before t; positions are on the last
axis (…, T).  The same network on data is a Gaussian autoregressive model (MAF), on noise an inverse one (IAF).  Both
as flows stand in ``autoregressive_flows``, how one teaches the other in ``distillation``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn
from tinygen.lectures.claim import ALG, EXACT, LIN, QUAD, Check, Claim, Unchecked, holds, host, same
from tinygen.lectures.numerics import gauss_legendre
from tinygen.nn.masked import CausalConv1d, MaskedConv2d, MaskedLinear, autoregressive_mask
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, positive_definite, sizes, tables, vectors

Array = np.ndarray
Statistics = Callable[[tg.Tensor], tuple[tg.Tensor, tg.Tensor]]


@dataclass(frozen=True)
class Conditioner:
    """μ = c + A sin v and ln σ = d + B sin v, of which only what is strictly below the diagonals of A and B counts."""

    A: Array
    B: Array
    c: Array
    d: Array

    def __len__(self) -> int:
        """The number of variables."""
        return len(self.c)

    def __call__(self, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """μ and ln σ for v (…, T)."""
        return self.seeing(v, tg.tril(tg.tensor(self.A), -1), tg.tril(tg.tensor(self.B), -1))

    def seeing(self, v: tg.Tensor, A: tg.Tensor, B: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """μ and ln σ with other weights."""
        return tg.tensor(self.c) + tg.sin(v) @ A.mT, tg.tensor(self.d) + tg.sin(v) @ B.mT


@st.composite
def conditioners(draw: st.DrawFn, size: int | st.SearchStrategy[int] = sizes(1, 5)) -> Conditioner:
    """Means within ±1 for each variable seen, σ from 0.6 to 1.35 times e^±0.4 for each variable seen."""
    T = size if isinstance(size, int) else draw(size)
    weights = draw(arrays((T, T), -1.0, 1.0)), draw(arrays((T, T), -0.4, 0.4))
    return Conditioner(*weights, draw(arrays(T, -1.0, 1.0)), draw(arrays(T, -0.5, 0.3)))


class Counted:
    """A network that counts its passes."""

    def __init__(self, network: Statistics) -> None:
        self.network = network
        self.passes = 0

    def __call__(self, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        self.passes += 1
        return self.network(v)


def log_normal(x: tg.Tensor, mean: tg.Tensor, sigma: tg.Tensor) -> tg.Tensor:
    """ln N(x; μ, σ²), elementwise."""
    return -0.5 * tg.square((x - mean) / sigma) - tg.log(sigma) - 0.5 * math.log(2.0 * math.pi)


def to_noise(network: Statistics, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """u = (x − μ(x)) / σ(x) and ln|det ∂u/∂x| = −Σ ln σ, in one pass (AR-8)."""
    mean, log_sigma = network(x)
    return (x - mean) * tg.exp(-log_sigma), -tg.sum(log_sigma, axis=-1)


def to_data(network: Statistics, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """x = σ(z) z + μ(z) and ln|det ∂x/∂z| = Σ ln σ, in one pass (AR-5, AR-7)."""
    mean, log_sigma = network(z)
    return tg.exp(log_sigma) * z + mean, tg.sum(log_sigma, axis=-1)


def sequentially(network: Statistics, noise: tg.Tensor) -> tg.Tensor:
    """x_t = μ_t(x_<t) + σ_t(x_<t) u_t, one variable a pass: draws from an autoregressive model (AR-3)."""
    x = tg.zeros_like(noise)
    for t in range(noise.shape[-1]):
        mean, log_sigma = network(x)
        x = placed(x, t, mean + tg.exp(log_sigma) * noise)
    return x


def inverted(network: Statistics, x: tg.Tensor) -> tg.Tensor:
    """z_t = (x_t − μ_t(z_<t)) / σ_t(z_<t), one variable a pass: the inverse of IAF (AR-6)."""
    z = tg.zeros_like(x)
    for t in range(x.shape[-1]):
        mean, log_sigma = network(z)
        z = placed(z, t, (x - mean) * tg.exp(-log_sigma))
    return z


def placed(x: tg.Tensor, t: int, values: tg.Tensor) -> tg.Tensor:
    """x with position t taken from ``values``."""
    here = tg.tensor(np.arange(x.shape[-1]) == t)
    return tg.where(here, values, x)


# --- AR-1 --------------------------------------------------------------------------------------------------------

AR_1 = Claim(
    "AR-1",
    "Chain rule",
    r"p(x_1,\dots,x_T)=\prod_{t=1}^Tp(x_t\mid x_1,\dots,x_{t-1})\quad\text{for any ordering}",
    sources="001",
)


@st.composite
def joint_tables(draw: st.DrawFn) -> Array:
    """Joint laws of three variables with 2 or 3 values each, some of them impossible."""
    shape = tuple(draw(sizes(2, 3)) for _ in range(3))
    return draw(tables(math.prod(shape), zeros=True)).reshape(shape)


def conditional(joint: tg.Tensor, variable: int, given: tuple[int, ...]) -> tg.Tensor:
    """p(x_variable | x_given) with all three axes; 0 where the condition is impossible."""
    others = tuple(axis for axis in range(3) if axis not in (variable, *given))
    together = tg.sum(joint, axis=others, keepdims=True)
    condition = tg.sum(together, axis=variable, keepdims=True)
    possible = condition > 0.0
    return tg.where(possible, together / tg.where(possible, condition, 1.0), 0.0)


def all_before(order: tuple[int, ...], t: int) -> tuple[int, ...]:
    """The variables that the one at place t of the order is conditioned on."""
    return order[:t]


@AR_1.part(joint=joint_tables())
def factors(joint: Array, *, given: Any = all_before) -> Iterator[Check]:
    """The product of conditionals computed from a table is the table, in each of the 6 orders."""
    p = tg.tensor(joint)
    for order in itertools.permutations(range(3)):
        parts = [conditional(p, variable, given(order, t)) for t, variable in enumerate(order)]
        yield same(f"order {order}", parts[0] * parts[1] * parts[2], joint, ALG)


@factors.falsification("only the variable just before")
def markov(order: tuple[int, ...], t: int) -> tuple[int, ...]:
    return order[max(t - 1, 0) : t]


@factors.falsification("no condition: marginals")
def marginals(order: tuple[int, ...], t: int) -> tuple[int, ...]:
    return ()


def softmax_of_own(logits: tg.Tensor, t: int) -> tg.Tensor:
    """p(x_t | x_<t) from a table of logits: normalised over the axis of x_t."""
    return tg.softmax(logits, axis=t)


@AR_1.part(first=arrays((2, 1, 1)), second=arrays((2, 3, 1)), third=arrays((2, 3, 2)))
def any_conditionals(first: Array, second: Array, third: Array, *, table: Any = softmax_of_own) -> Iterator[Check]:
    """Any conditionals, multiplied, are a law; and they are its conditionals."""
    given = [table(tg.tensor(logits), t) for t, logits in enumerate((first, second, third))]
    joint = given[0] * given[1] * given[2]
    yield same("sums to 1", tg.sum(joint), 1.0, ALG)
    for t in range(3):
        found = conditional(joint, t, tuple(range(t)))
        yield same(f"p(x_{t + 1} | before)", found, given[t], ALG)


@any_conditionals.falsification("normalised over the first axis throughout")
def wrong_axis(logits: tg.Tensor, t: int) -> tg.Tensor:
    return tg.softmax(logits, axis=0)


# --- AR-2 --------------------------------------------------------------------------------------------------------

AR_2 = Claim(
    "AR-2",
    "Gaussian autoregressive model",
    r"p(x)=\prod_tN\big(x_t\mid\mu_t(x_{1:t-1},\theta),\sigma_t^2(x_{1:t-1},\theta)\big)",
    sources="001",
    assumptions="σ_t > 0",
)


@AR_2.part(C=positive_definite(sizes(1, 5)), mean=vectors(5, -2, 2), x=vectors(5, -3, 3))
def linear(C: Array, mean: Array, x: Array, *, log_density: Any = log_normal) -> Iterator[Check]:
    """With linear means from the Cholesky factor of C the product is the normal density with covariance C."""
    T = len(C)
    L, off = np.linalg.cholesky(C), x[:T] - mean[:T]
    means = [mean[t] + L[t, :t] @ np.linalg.solve(L[:t, :t], off[:t]) for t in range(T)]
    stepwise = tg.sum(log_density(tg.tensor(x[:T]), tg.tensor(np.array(means)), tg.tensor(np.diag(L))))
    exponent = off @ np.linalg.solve(C, off) + np.linalg.slogdet(C)[1]
    yield same("ln p(x)", stepwise, -0.5 * (exponent + T * math.log(2.0 * math.pi)), LIN)


@linear.erratum("E-61", "σ_t stands where the variance belongs", printed=r"N(x_t\mid\mu_t,\sigma_t)")
def deviation_as_variance(x: tg.Tensor, mean: tg.Tensor, sigma: tg.Tensor) -> tg.Tensor:
    return log_normal(x, mean, tg.sqrt(sigma))


E_51 = Unchecked(
    "E-51", "Mean of the autoregressive model printed θ_t", "a letter: the formula is right with μ_t for θ_t"
)


def before(weights: tg.Tensor) -> tg.Tensor:
    """What is strictly below the diagonal: variable t sees those before t."""
    return tg.tril(weights, -1)


@AR_2.part(net=conditioners(2), most=5)
def integrates(net: Conditioner, *, seen: Any = before) -> Iterator[Check]:
    """With nonlinear means and deviations the density of two variables integrates to 1."""
    grid, w = gauss_legendre(-16.0, 16.0, 12, 32)  # |μ| ≤ 2 and 0.4 ≤ σ ≤ 2: beyond it is less than 1e-11
    x = tg.tensor(np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1))
    mean, log_sigma = net.seeing(x, seen(tg.tensor(net.A)), seen(tg.tensor(net.B)))
    density = host(tg.exp(tg.sum(log_normal(x, mean, tg.exp(log_sigma)), axis=-1)))
    yield same("∫ p", w @ density @ w, 1.0, QUAD)


@integrates.falsification("a variable sees itself")
def itself_too(weights: tg.Tensor) -> tg.Tensor:
    return tg.tril(weights)


def masks_of(hidden: Array, T: int) -> tuple[Array, Array]:
    """Masks into and out of hidden units with the given degrees; strict in the last layer only."""
    positions = np.arange(1, T + 1)
    first = autoregressive_mask(positions, hidden, strict=False)
    return first, autoregressive_mask(hidden, positions, strict=True)


@AR_2.part(T=sizes(2, 5), key=st.integers(0, 1000), x=vectors(5))
def masked(T: int, key: int, x: Array, *, masks: Any = masks_of) -> Iterator[Check]:
    """Output t of a masked network has, by autodiff, a derivative of exactly 0 in the variables t and later."""
    rng = Generator(key)
    hidden = np.arange(8) % T + 1
    layers = [MaskedLinear(mask, rng=rng) for mask in masks(hidden, T)]
    network = nn.Sequential(layers[0], nn.Tanh(), layers[1])
    slopes = host(tg.jacobian(network, tg.tensor(x[:T])))
    yield same("derivatives in x_≥t", np.triu(slopes), 0.0, EXACT)
    yield holds("each variable sees the one before", np.all(np.diag(slopes, -1) != 0.0))


@masked.falsification("last layer not strict")
def loose_masks(hidden: Array, T: int) -> tuple[Array, Array]:
    positions = np.arange(1, T + 1)
    first = autoregressive_mask(positions, hidden, strict=False)
    return first, autoregressive_mask(hidden, positions, strict=False)


# --- AR-3 --------------------------------------------------------------------------------------------------------

AR_3 = Claim(
    "AR-3",
    "Fast density, slow sampling",
    r"x\mapsto\big(p(x_t\mid x_{<t})\big)_t:\ 1\text{ pass};"
    r"\qquad x\sim p:\ T\text{ passes; inverse flows the reverse}",
    sources="001",
)


@AR_3.part(net=conditioners(), x=vectors(5, -3, 3))
def one_pass(net: Conditioner, x: Array, *, conditionals: Any = to_noise) -> Iterator[Check]:
    """One pass over all of x gives what T passes over prefixes give, whatever stands after each prefix."""
    network = Counted(net)
    u, log_det = conditionals(network, tg.tensor(x[: len(net)]))
    yield same("passes", network.passes, 1, EXACT)
    stepwise, log_sigmas = [], []
    for t in range(len(net)):
        prefix = np.append(x[:t], np.full(len(net) - t, 9.0))
        mean, log_sigma = (host(value)[t] for value in net(tg.tensor(prefix)))
        stepwise.append((x[t] - mean) / np.exp(log_sigma))
        log_sigmas.append(log_sigma)
    yield same("standardised variables", u, np.array(stepwise), ALG)
    yield same("−Σ ln σ", log_det, -sum(log_sigmas), ALG)


@one_pass.falsification("network that sees the next variable")
def shifted_input(network: Statistics, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    mean, log_sigma = network(tg.roll(x, -1))
    return (x - mean) * tg.exp(-log_sigma), -tg.sum(log_sigma, axis=-1)


@AR_3.part(net=conditioners(), noise=vectors(5, -3, 3))
def sampling(net: Conditioner, noise: Array, *, sampler: Any = sequentially) -> Iterator[Check]:
    """T passes draw x from noise: one pass of the density gives the noise back; the inverse flow needs 1 to draw."""
    network, u = Counted(net), tg.tensor(noise[: len(net)])
    x = sampler(network, u)
    yield same("noise of the sample", to_noise(net, x)[0], u, LIN)
    yield same("passes to draw", network.passes, len(net), EXACT)
    inverse = Counted(net)
    image, _ = to_data(inverse, u)
    yield same("inverse flow: passes to draw", inverse.passes, 1, EXACT)
    inverted(inverse, image)
    yield same("inverse flow: passes to score", inverse.passes - 1, len(net), EXACT)


@sampling.falsification("drawn in one pass over the noise")
def at_once(network: Statistics, noise: tg.Tensor) -> tg.Tensor:
    return to_data(network, noise)[0]


# --- AR-4 --------------------------------------------------------------------------------------------------------

AR_4 = Claim(
    "AR-4",
    "PixelCNN: masked convolutions",
    r"\frac{\partial\,\text{logits}_i}{\partial x_j}=0\ \text{for}\ j\ge i\ \text{in raster order};\qquad"
    r"\text{causal stack, kernel 2, dilations }1,2,\dots,2^{L-1}:\ \text{sees }2^L",
    sources="001",
)


def mask_types() -> tuple[str, str]:
    """A in the first layer, B afterwards."""
    return "A", "B"


def pixel_network(types: tuple[str, str], key: int) -> nn.Sequential:
    """Two masked 3×3 convolutions with one channel in and out."""
    rng = Generator(key)
    return nn.Sequential(MaskedConv2d(types[0], 1, 3, 3, rng=rng), nn.Tanh(), MaskedConv2d(types[1], 3, 1, 3, rng=rng))


@AR_4.part(key=st.integers(0, 1000), x=arrays((3, 3)))
def raster_order(key: int, x: Array, *, types: Any = mask_types) -> Iterator[Check]:
    """Autodiff's Jacobian of the logits is strictly lower triangular with exact zeros; with mask B alone it is not."""

    def slopes(kinds: tuple[str, str]) -> Array:
        network = pixel_network(kinds, key)
        return host(tg.jacobian(lambda v: tg.reshape(network(tg.reshape(v, (1, 1, 3, 3))), (9,)), tg.tensor(x.ravel())))

    yield same("at and after the pixel", np.triu(slopes(types())), 0.0, EXACT)
    yield holds("mask B alone sees the pixel", np.all(np.diag(slopes(("B", "B"))) != 0.0))


@raster_order.falsification("mask B in the first layer")
def b_first() -> tuple[str, str]:
    return "B", "B"


@AR_4.part(key=st.integers(0, 1000))
def normalised(key: int, *, types: Any = mask_types) -> Iterator[Check]:
    """One-pass probabilities of all 16 binary 2×2 images sum to 1 and equal those found pixel by pixel."""
    network = pixel_network(types(), key)
    images = np.array(list(itertools.product((0.0, 1.0), repeat=4)))
    batch = tg.tensor(images.reshape(16, 1, 2, 2))
    bce = tg.binary_cross_entropy_with_logits(network(batch), batch, reduction="none")
    log_p = -tg.sum(tg.reshape(bce, (16, 4)), axis=1)
    yield same("Σ p", tg.sum(tg.exp(log_p)), 1.0, ALG)
    stepwise = np.zeros(16)
    for pixel in range(4):
        known = np.where(np.arange(4) < pixel, images, 0.5)  # what comes later does not count
        logit = host(network(tg.tensor(known.reshape(16, 1, 2, 2)))).reshape(16, 4)[:, pixel]
        stepwise -= np.logaddexp(0.0, np.where(images[:, pixel] == 1.0, -logit, logit))
    yield same("pixel by pixel", log_p, stepwise, ALG)


@normalised.falsification("mask B in the first layer")
def sees_itself() -> tuple[str, str]:
    return "B", "B"


def visible(row: int, column: int, size: int) -> Array:
    """What a deep stack of 3×3 layers sees from a pixel: its left, and above it no further right than up."""
    i, j = np.indices((size, size))
    return np.asarray(((i == row) & (j < column)) | ((i < row) & (j <= column + (row - i))))


@AR_4.part(key=st.integers(0, 1000), row=st.integers(0, 4), column=st.integers(0, 4), most=15)
def blind_spot(key: int, row: int, column: int, *, seen: Any = visible) -> Iterator[Check]:
    """From each pixel of 5×5, five masked layers of positive weights see the claimed pixels: a blind spot remains."""
    rng = Generator(key)
    x = tg.tensor(np.zeros((1, 1, 5, 5)), requires_grad=True)
    y = x
    for kind in "ABBBB":
        layer = MaskedConv2d(kind, 1, 1, 3, rng=rng)
        nn.init.uniform_(rng, layer.weight, 0.5, 1.0)
        y = layer(y)
    (slope,) = tg.grad(y[0, 0, row, column], x)
    found = host(slope)[0, 0] > 0.0
    yield holds("pixels seen", found == seen(row, column, 5), f"{found.astype(int).tolist()} from ({row}, {column})")


@blind_spot.falsification("all that comes before")
def all_earlier(row: int, column: int, size: int) -> Array:
    i, j = np.indices((size, size))
    return np.asarray((i < row) | ((i == row) & (j < column)))


def nats(levels: int) -> float:
    """ln(levels)."""
    return math.log(levels)


@AR_4.part(levels=st.sampled_from([2, 16, 256]), labels=arrays((2, 3), 0.0, 0.999))
def uniform(levels: int, labels: Array, *, cost: Any = nats) -> Iterator[Check]:
    """Weights of zero cost ln(levels) nats a pixel: ln 256 for 8 bits."""
    layer = MaskedConv2d("A", 1, levels, 3, bias=False, rng=Generator(0))
    nn.init.zeros_(layer.weight)
    logits = layer(tg.tensor(labels.reshape(1, 1, *labels.shape)))
    target = tg.tensor((labels * levels).astype(np.int64)[None])
    yield same("NLL a pixel", tg.cross_entropy(logits, target), cost(levels), ALG)


@uniform.falsification("bits, not nats")
def bits(levels: int) -> float:
    return math.log2(levels)


def doubled(layers: int) -> int:
    """2^L."""
    return int(2**layers)


@AR_4.part(layers=sizes(1, 5), key=st.integers(0, 1000))
def causal_stack(layers: int, key: int, *, field: Any = doubled) -> Iterator[Check]:
    """By autodiff, the last output of L causal layers with dilations 1, 2, 4 … depends on the last 2^L inputs."""
    rng = Generator(key)
    x = tg.tensor(np.ones((1, 1, 40)), requires_grad=True)
    y = x
    for layer in range(layers):
        convolution = CausalConv1d(1, 1, 2, dilation=2**layer, rng=rng)
        nn.init.uniform_(rng, convolution.weight, 0.5, 1.0)
        y = convolution(y)
    seen = np.flatnonzero(host(tg.grad(y[0, 0, -1], x)[0])[0, 0])
    yield same("inputs seen", len(seen), field(layers), EXACT)
    yield same("the last ones", seen, np.arange(40 - field(layers), 40), EXACT)


@causal_stack.falsification("as if layers were not dilated")
def one_more_each(layers: int) -> int:
    return layers + 1 if layers > 1 else 2
