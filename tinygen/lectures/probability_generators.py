"""Chapter 1, second part. Laws of generated data, reparametrisation, latent space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.distributions import MultivariateNormal
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, QUAD, Check, Claim, at_least, holds, same, within
from tinygen.lectures.numerics import gauss_hermite, gauss_legendre, normal_cdf
from tinygen.lectures.probability import HALF_LOG_TAU, Function, gaussian_spike, slope, standard_normal
from tinygen.testing.strategies import arrays, floats, positive_definite, tables, vectors, well_conditioned

Array = np.ndarray


# --- PROB-5 ------------------------------------------------------------------------------------------------------

PROB_5 = Claim(
    "PROB-5",
    "Density of a deterministic generator",
    r"p(x\mid\theta)=\int\delta_x\big(g(z,\theta)\big)p(z)\,dz=\sum_{z_r:\,g(z_r)=x}\frac{p(z_r)}{|g'(z_r)|}",
    sources="001",
    assumptions="g is piecewise continuously differentiable with g' ≠ 0 at the roots; dim z = dim x",
)


def sum_over_roots(g: Function, roots: tg.Tensor) -> tg.Tensor:
    """Σ_r φ(z_r) / |g′(z_r)| over the last axis, with g′ by autodiff."""
    return tg.sum(standard_normal(roots) / tg.abs(slope(g, roots)), -1)


def both_roots(x: Array) -> tg.Tensor:
    """±√x, where z² = x."""
    return tg.tensor(np.stack([np.sqrt(x), -np.sqrt(x)], -1))


@PROB_5.part(x=vectors(4, 0.05, 9.0))
def square_of_a_normal(x: Array, *, density: Any = sum_over_roots, roots: Any = both_roots) -> Iterator[Check]:
    """g(z) = z² has the density e^{−x/2}/√(2πx) of χ² with one degree of freedom."""
    yield same("χ²₁", density(tg.square, roots(x)), np.exp(-0.5 * x) / np.sqrt(2.0 * np.pi * x), ALG)


@square_of_a_normal.falsification("one of two roots", replaces="roots")
def positive_root(x: Array) -> tg.Tensor:
    return tg.tensor(np.sqrt(x)[..., None])


@square_of_a_normal.falsification("times the slope, not divided by it", replaces="density")
def times_slope(g: Function, roots: tg.Tensor) -> tg.Tensor:
    return tg.sum(standard_normal(roots) * tg.abs(slope(g, roots)), -1)


def bent(bend: float) -> Function:
    """The increasing generator g(z) = z + b sin z, |b| < 1."""
    return lambda z: z + bend * tg.sin(z)


def latent_of(g: Function, x: tg.Tensor) -> tg.Tensor:
    """g⁻¹(x) by bisection, for an increasing g that moves no point by more than 1."""
    return tg.root(lambda z, x: g(z) - x, (x - 1.0, x + 1.0), x)


@PROB_5.part(bend=floats(-0.6, 0.6), low=floats(-4.0, 4.0), length=floats(0.1, 3.0))
def monotone(bend: float, low: float, length: float, *, density: Any = sum_over_roots) -> Iterator[Check]:
    """The density integrates over (g(a), g(b)) to the probability Φ(b) − Φ(a) of the interval (a, b)."""
    g = bent(bend)
    ends = np.array([low, low + length])
    left, right = ends + bend * np.sin(ends)
    nodes, weights = gauss_legendre(left, right, 24, panels=8)
    values = density(g, tg.expand_dims(latent_of(g, tg.tensor(nodes)), -1))
    yield same("∫ p(x) dx = Φ(b) − Φ(a)", weights @ values.numpy(), np.diff(normal_cdf(ends))[0], QUAD)


@monotone.falsification("without the slope")
def no_slope(g: Function, roots: tg.Tensor) -> tg.Tensor:
    return tg.sum(standard_normal(roots), -1)


def blur_error(x: float, width: float) -> float:
    """½ ε² p″(x) for the density p of χ²₁: p″/p = (½ + 1/(2x))² + 1/(2x²)."""
    density = math.exp(-0.5 * x) / math.sqrt(2.0 * math.pi * x)
    return 0.5 * width**2 * density * ((0.5 + 0.5 / x) ** 2 + 0.5 / x**2)


@PROB_5.part(x=floats(1.0, 4.0))
def blurred_delta(x: float, *, predicted: Any = blur_error) -> Iterator[Check]:
    """With N(x; g(z), ε²) for δ_x, E_z by quadrature misses the density Σ p/|g′| of g(z) = z² by ½ ε² p″(x)."""
    exact = sum_over_roots(tg.square, both_roots(np.array([x]))).item()
    errors = []
    for width in (0.04, 0.02):
        low, high = math.sqrt(x - 12.0 * width), math.sqrt(x + 12.0 * width)
        nodes, weights = gauss_legendre(low, high, 16, panels=8)
        blurred = 2.0 * weights @ (gaussian_spike(nodes**2, x, width) * gaussian_spike(nodes, 0.0, 1.0))
        errors.append(blurred - exact)
        # the next term of the series is of relative order ε² p⁗/(12 p″): below 1 % for x ≥ 1
        yield same(f"ratio at ε = {width}", errors[-1] / predicted(x, width), 1.0, 0.01)
    yield same("halving ε quarters the error", errors[0] / errors[1], 4.0, 0.01)


@blurred_delta.falsification("error of first order")
def linear_in_width(x: float, width: float) -> float:
    return blur_error(x, 1.0) * width


def log_density_of_affine(matrix: tg.Tensor, shift: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    """ln φ(z) − ln|det ∂g/∂z| at z = M⁻¹ (x − b), with the Jacobian of g by autodiff."""
    z = tg.linalg.solve(matrix, x - shift)
    jacobian = tg.jacobian(lambda z: matrix @ z + shift, z)
    return -0.5 * tg.sum(z**2) - HALF_LOG_TAU * z.size - tg.linalg.slogdet(jacobian)[1]


@PROB_5.part(matrix=well_conditioned(3), shift=arrays(3), x=arrays(3))
def affine(matrix: Array, shift: Array, x: Array, *, log_density: Any = log_density_of_affine) -> Iterator[Check]:
    """g(z) = M z + b has the law N(b, M Mᵀ), whose density is computed from a Cholesky factor."""
    given = [tg.tensor(value) for value in (matrix, shift, x)]
    normal = MultivariateNormal(given[1], given[0] @ given[0].T)
    yield same("ln p(x)", log_density(*given), normal.log_prob(given[2]), LIN)


@affine.falsification("determinant on the wrong side")
def wrong_side(matrix: tg.Tensor, shift: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return log_density_of_affine(matrix, shift, x) + 2.0 * tg.linalg.slogdet(matrix)[1]


def missing_dimensions(data: int, latent: int) -> int:
    """dim x − dim z: the power of 1/ε with which the density on the image grows."""
    return data - latent


@PROB_5.part(latent=st.integers(1, 3), missing=st.integers(0, 2), key=st.integers(0, 1000), off=floats(0.5, 2.0))
def no_density_below_full_dimension(
    latent: int, missing: int, key: int, off: float, *, power: Any = missing_dimensions
) -> Iterator[Check]:
    """x = A z + ε-noise: as ε → 0 the density on the image grows like ε^{−(dim x − dim z)}, and vanishes off it."""
    data = latent + missing
    basis = np.linalg.qr(tg.random.Generator(key).normal((data, data), device="cpu").numpy())[0]
    image = tg.tensor(basis[:, :latent])
    points = tg.stack([tg.tensor(basis[:, 0]), tg.tensor(basis[:, 0] + off * basis[:, -1])])
    zero, identity = tg.zeros((data,)), tg.eye(data)
    wide, narrow = (
        MultivariateNormal(zero, image @ image.T + width**2 * identity).log_prob(points).numpy()
        for width in (2e-3, 1e-3)
    )
    # the image's own variances 1 + ε² still change by 3e-6 in relative terms
    yield same("growth on the image", narrow[0] - wide[0], power(data, latent) * math.log(2.0), 1e-4)
    yield holds("off the image it vanishes", missing == 0 or narrow[1] < -1e4, f"{narrow[1]}")


@no_density_below_full_dimension.falsification("a density exists always")
def always_a_density(data: int, latent: int) -> int:
    return 0


# --- PROB-6 ------------------------------------------------------------------------------------------------------

PROB_6 = Claim(
    "PROB-6",
    "Push-forward expectation",
    r"\mathbb E_{z\sim p_z}\,\varphi(G(z))=\mathbb E_{x\sim q}\,\varphi(x)\quad\text{if }G(z)\sim q",
    sources="000 001",
    assumptions="φ is integrable; G need not be invertible",
)


def push_forward(p: tg.Tensor, G: Array, size: int) -> tg.Tensor:
    """q(x) = Σ p(z) over all z with G(z) = x."""
    return tg.index_add(tg.zeros((size,)), tg.tensor(G), p)


@PROB_6.part(
    p=tables(8, zeros=True), G=hnp.arrays(np.int64, 8, elements=st.integers(0, 4)), logits=vectors(5, -30.0, 30.0)
)  # fmt: skip
def many_to_one(p: Array, G: Array, logits: Array, *, law: Any = push_forward) -> Iterator[Check]:
    """E_z ln(1 − D(G(z))) and E_q ln(1 − D(x)) by enumeration, for maps G of tables that may join outcomes."""
    q = law(tg.tensor(p), G, 5)
    yield same("q sums to 1", tg.sum(q), 1.0, ALG)
    log_not_d = -np.logaddexp(0.0, logits)
    yield same("E_q φ(x) = E_z φ(G(z))", tg.sum(q * -tg.softplus(tg.tensor(logits))), p @ log_not_d[G], ALG)


@many_to_one.falsification("the last z that reaches an x wins")
def overwriting(p: tg.Tensor, G: Array, size: int) -> tg.Tensor:
    last = [np.flatnonzero(x == G) for x in range(size)]
    return tg.stack([p[int(found[-1])] if found.size else 0.0 * p[0] for found in last])


@PROB_6.part(bend=floats(-0.6, 0.6), weight=floats(-3.0, 3.0), shift=floats(-3.0, 3.0))
def smooth_map(bend: float, weight: float, shift: float, *, density: Any = sum_over_roots) -> Iterator[Check]:
    """E_z φ(G(z)) by quadrature in z equals ∫ φ(x) q(x) dx with q from PROB-5, for φ = ln(1 − σ(w x + c))."""
    g = bent(bend)
    x, weights = gauss_legendre(-10.0, 10.0, 16, panels=40)
    q = density(g, tg.expand_dims(latent_of(g, tg.tensor(x)), -1))
    z, latent_weights = gauss_legendre(-9.0, 9.0, 16, panels=20)
    left = (latent_weights * gaussian_spike(z, 0.0, 1.0)) @ -np.logaddexp(0.0, weight * (z + bend * np.sin(z)) + shift)
    right = tg.sum(tg.tensor(weights) * q * -tg.softplus(weight * tg.tensor(x) + shift))
    yield same("E_q φ(x) = E_z φ(G(z))", right, left, QUAD)


@smooth_map.falsification("the law of z for that of G(z)")
def law_of_latents(g: Function, roots: tg.Tensor) -> tg.Tensor:
    return standard_normal(g(roots))[:, 0]


# --- PROB-7 ------------------------------------------------------------------------------------------------------

PROB_7 = Claim(
    "PROB-7",
    "Gaussian reparametrisation",
    r"x\sim N(\mu,\sigma^2)\iff x=\sigma z+\mu,\ z\sim N(0,1),\qquad"
    r"\partial_\mu\mathbb E\varphi=\mathbb E\varphi'(x),\quad\partial_\sigma\mathbb E\varphi=\mathbb E[z\varphi'(x)]",
    sources="001 003",
    assumptions="σ > 0; φ is differentiable and grows at most like a polynomial",
)


def cubic(x: Any, coefficients: Array) -> Any:
    """c₀ + c₁x + c₂x² + c₃x³, of numbers or tensors."""
    c = coefficients.tolist()
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]))


def shift_and_scale(mean: tg.Tensor, deviation: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    """x = σ z + μ."""
    return deviation * z + mean


@PROB_7.part(mean=floats(-3.0, 3.0), deviation=floats(0.1, 3.0), coefficients=vectors(4, -2.0, 2.0))
def gradients_of_expectation(
    mean: float, deviation: float, coefficients: Array, *, draw: Any = shift_and_scale
) -> Iterator[Check]:
    """Autodiff through σ z + μ at Gauss–Hermite nodes, the score form and the exact moments of a cubic φ agree."""
    nodes, weights = gauss_hermite(8)
    mu, sigma = tg.tensor(mean, requires_grad=True), tg.tensor(deviation, requires_grad=True)
    x = draw(mu, sigma, tg.tensor(nodes))
    found = tg.grad(tg.sum(tg.tensor(weights) * cubic(x, coefficients)), (mu, sigma))
    _, c1, c2, c3 = coefficients
    exact = (c1 + 2.0 * c2 * mean + 3.0 * c3 * (mean**2 + deviation**2), 2.0 * deviation * (c2 + 3.0 * c3 * mean))
    value = cubic(mean + deviation * nodes, coefficients)
    scores = (weights @ (value * nodes) / deviation, weights @ (value * (nodes**2 - 1.0)) / deviation)
    for name, gradient, moment, score in zip("μσ", found, exact, scores, strict=True):
        yield same(f"∂E φ/∂{name}: autodiff = exact", gradient, moment, QUAD)
        yield same(f"∂E φ/∂{name}: autodiff = score form", gradient, score, QUAD)


@gradients_of_expectation.falsification("x = z + μ: the draw does not depend on σ")
def unscaled(mean: tg.Tensor, deviation: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    return z + mean + 0.0 * deviation


@PROB_7.part(mean=floats(-3.0, 3.0), coefficients=vectors(4, -2.0, 2.0))
def no_noise(mean: float, coefficients: Array, *, draw: Any = shift_and_scale) -> Iterator[Check]:
    """At σ = 0 the expectation is φ(μ), its slope in μ is φ′(μ), and its slope in σ is 0."""
    nodes, weights = gauss_hermite(8)
    mu, sigma = tg.tensor(mean, requires_grad=True), tg.tensor(0.0, requires_grad=True)
    expectation = tg.sum(tg.tensor(weights) * cubic(draw(mu, sigma, tg.tensor(nodes)), coefficients))
    by_mean, by_deviation = tg.grad(expectation, (mu, sigma))
    yield same("E φ = φ(μ)", expectation, cubic(mean, coefficients), ALG)
    yield same("∂E φ/∂μ = φ′(μ)", by_mean, slope(lambda x: cubic(x, coefficients), tg.tensor(mean)), ALG)
    yield same("∂E φ/∂σ = 0", by_deviation, 0.0, LIN)


@no_noise.falsification("noise that never vanishes")
def with_floor(mean: tg.Tensor, deviation: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    return (deviation + 0.1) * z + mean


def root_of_covariance(mean: tg.Tensor, covariance: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    """x = L z + μ with L Lᵀ = Σ."""
    return tg.linalg.cholesky(covariance) @ z + mean


@PROB_7.part(most=25, mean=arrays(3), covariance=positive_definite(3), z=arrays(3), key=st.integers(0, 1000))
def several_dimensions(
    mean: Array, covariance: Array, z: Array, key: int, *, draw: Any = root_of_covariance
) -> Iterator[Check]:
    """The Jacobian J of z ↦ x, by autodiff, satisfies J Jᵀ = Σ; 4,000 draws have the mean μ."""
    mu, matrix = tg.tensor(mean), tg.tensor(covariance)
    jacobian = tg.jacobian(lambda z: draw(mu, matrix, z), tg.tensor(z))
    yield same("J Jᵀ = Σ", jacobian @ jacobian.T, covariance, LIN)
    noise = tg.random.Generator(key).spawn("PROB-7").normal((3, 4000))
    draws = draw(tg.expand_dims(mu, 1), matrix, noise)
    yield within("E x = μ", tg.mean(draws, 1), mean, np.sqrt(np.diag(covariance) / 4000))


@several_dimensions.erratum(
    "E-61", "the matrix that multiplies z is a root of the covariance, not the covariance", printed=r"X=\Sigma z+\mu"
)
def covariance_as_scale(mean: tg.Tensor, covariance: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    return covariance @ z + mean


# --- PROB-8 ------------------------------------------------------------------------------------------------------

PROB_8 = Claim(
    "PROB-8",
    "Gaussian log-density and entropy",
    r"\ln N(x;\mu,\sigma^2)=-\tfrac12\ln2\pi-\ln\sigma-\frac{(x-\mu)^2}{2\sigma^2},"
    r"\qquad H=\tfrac12\ln(2\pi e\sigma^2)",
    sources="001 003 004",
)


def log_normal_density(x: tg.Tensor, mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    """−½ ln 2π − ln σ − (x − μ)²/(2σ²), elementwise."""
    return -HALF_LOG_TAU - tg.log(deviation) - 0.5 * ((x - mean) / deviation) ** 2


def normal_entropy(deviation: tg.Tensor) -> tg.Tensor:
    """½ ln 2π + ln σ + ½, in nats."""
    return HALF_LOG_TAU + tg.log(deviation) + 0.5


@PROB_8.part(mean=floats(-5.0, 5.0), deviation=floats(0.1, 3.0))
def integrals(
    mean: float, deviation: float, *, log_density: Any = log_normal_density, entropy: Any = normal_entropy
) -> Iterator[Check]:
    """The density integrates to 1, with mean μ and variance σ², and −E ln N is the entropy."""
    x, weights = gauss_legendre(mean - 12.0 * deviation, mean + 12.0 * deviation, 16, panels=24)
    log_p = log_density(tg.tensor(x), tg.tensor(mean), tg.tensor(deviation)).numpy()
    p = weights * np.exp(log_p)
    yield same("∫ N dx = 1", p.sum(), 1.0, QUAD)
    yield same("E x = μ", p @ x, mean, QUAD)
    yield same("E (x − μ)² = σ²", p @ (x - mean) ** 2, deviation**2, QUAD)
    yield same("−E ln N = entropy", entropy(tg.tensor(deviation)), -(p @ log_p), QUAD)


@integrals.falsification("without ln σ", replaces="log_density")
def no_log_deviation(x: tg.Tensor, mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return -HALF_LOG_TAU - 0.5 * ((x - mean) / deviation) ** 2


@integrals.falsification("deviation in place of the variance", replaces="log_density")
def deviation_as_variance(x: tg.Tensor, mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return log_normal_density(x, mean, tg.sqrt(deviation))


@integrals.falsification("without the ½ at the end", replaces="entropy")
def entropy_without_half(deviation: tg.Tensor) -> tg.Tensor:
    return HALF_LOG_TAU + tg.log(deviation)


def log_density_of_vector(x: tg.Tensor, mean: tg.Tensor, root: tg.Tensor) -> tg.Tensor:
    """Σᵢ ln N(yᵢ; 0, σᵢ²) of the coordinates y = Qᵀ (x − μ) along the axes Q diag(σ²) Qᵀ of the covariance."""
    values, axes = tg.linalg.eigh(root @ root.T)
    return tg.sum(log_normal_density((x - mean) @ axes, tg.zeros_like(values), tg.sqrt(values)), -1)


@PROB_8.part(x=arrays((2, 3)), mean=arrays(3), root=well_conditioned(3))
def full_covariance(x: Array, mean: Array, root: Array, *, log_density: Any = log_density_of_vector) -> Iterator[Check]:
    """The sum over the axes of the covariance equals the formula with a Cholesky factor."""
    points, mu, matrix = (tg.tensor(value) for value in (x, mean, root))
    normal = MultivariateNormal(mu, matrix @ matrix.T)
    yield same("ln N(x; μ, C)", log_density(points, mu, matrix), normal.log_prob(points), LIN)
    diagonal = tg.diagonal(matrix) ** 2 + 0.1
    along = tg.sum(log_normal_density(points, mu, tg.sqrt(diagonal)), -1)
    yield same("diagonal C", MultivariateNormal(mu, diagonal * tg.eye(3)).log_prob(points), along, ALG)


@full_covariance.falsification("coordinates along the wrong axes")
def transposed_axes(x: tg.Tensor, mean: tg.Tensor, root: tg.Tensor) -> tg.Tensor:
    values, axes = tg.linalg.eigh(root @ root.T)
    return tg.sum(log_normal_density((x - mean) @ axes.T, tg.zeros_like(values), tg.sqrt(values)), -1)


# --- PROB-9 ------------------------------------------------------------------------------------------------------

PROB_9 = Claim(
    "PROB-9",
    "Latent space and the pair (f, g)",
    r"f:\mathbb R^n\to\mathbb R^m,\ f(X)\sim N,\qquad g(f(X))\ \text{has the law of } X;\qquad"
    r"f=\Phi^{-1}\circ F,\quad p(x)=\phi(f(x))\,f'(x)\quad(n=m=1)",
    sources="004",
    assumptions="a continuous, strictly increasing F; for m < n the data lie on an m-dimensional set",
)


UNIT_INTERVAL = gauss_legendre(0.0, 1.0, 40)


def cumulated_normal(z: tg.Tensor) -> tg.Tensor:
    """Φ(z) = ½ + ∫₀ᶻ φ, by 40 Gauss–Legendre nodes: 1e-14 for |z| ≤ 16."""
    nodes, weights = map(tg.tensor, UNIT_INTERVAL)
    return 0.5 + z * tg.sum(weights * standard_normal(tg.expand_dims(z, -1) * nodes), -1)


class TwoModes:
    """½ N(−a, s²) + ½ N(a, s²): density p, cdf F, and where Φ⁻¹ ∘ F can be computed without loss."""

    def __init__(self, half: float, deviation: float) -> None:
        self.means, self.deviation = tg.tensor([-half, half]), deviation
        self.reach = half + 3.0 * deviation

    def density(self, x: tg.Tensor) -> tg.Tensor:
        z = (tg.expand_dims(x, -1) - self.means) / self.deviation
        return tg.mean(standard_normal(z), -1) / self.deviation

    def cumulated(self, x: tg.Tensor) -> tg.Tensor:
        return tg.mean(cumulated_normal((tg.expand_dims(x, -1) - self.means) / self.deviation), -1)


def encode(law: TwoModes, x: tg.Tensor) -> tg.Tensor:
    """f = Φ⁻¹ ∘ F."""
    end = tg.full_like(x, 6.0)
    return tg.root(lambda z, level: cumulated_normal(z) - level, (-end, end), law.cumulated(x))


def decode(law: TwoModes, z: tg.Tensor) -> tg.Tensor:
    """g = F⁻¹ ∘ Φ."""
    end = tg.full_like(z, law.reach + 1.0)
    return tg.root(lambda x, level: law.cumulated(x) - level, (-end, end), cumulated_normal(z))


@PROB_9.part(most=12, half=floats(0.0, 1.5), deviation=floats(0.5, 1.0), position=arrays(3, -0.9, 0.9))
def change_of_variables(
    half: float, deviation: float, position: Array, *, f: Any = encode, g: Any = decode
) -> Iterator[Check]:
    """p(x) = φ(f(x)) f′(x) with f′ by autodiff and by central differences, and g(f(x)) = x."""
    law = TwoModes(half, deviation)
    x = tg.tensor(position * law.reach)
    code, steepness = f(law, x), slope(lambda x: f(law, x), x)
    yield same("p = φ(f) f′", standard_normal(code) * steepness, law.density(x), QUAD)
    step = 1e-5
    difference = (f(law, x + step) - f(law, x - step)) / (2.0 * step)
    yield same("f′ = central difference", steepness, difference, FD)
    yield same("g(f(x)) = x", g(law, code), x, LIN)


@change_of_variables.falsification("F alone, which makes the law uniform", replaces="f")
def to_uniform(law: TwoModes, x: tg.Tensor) -> tg.Tensor:
    return law.cumulated(x)


@change_of_variables.falsification("g = f: encoded twice", replaces="g")
def encoded_again(law: TwoModes, z: tg.Tensor) -> tg.Tensor:
    return encode(law, z)


def peaks(density: Array) -> int:
    """How many inner points of a grid are higher than both neighbours."""
    return int(((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])).sum())


@PROB_9.part(most=12, half=floats(1.5, 2.0), deviation=floats(0.5, 1.0))
def one_mode_in_latent_space(half: float, deviation: float, *, f: Any = encode) -> Iterator[Check]:
    """The density of X has two local maxima, that of f(X), p(x)/f′(x) over f(x), has one."""
    law = TwoModes(half, deviation)
    x = tg.linspace(-law.reach, law.reach, 41)
    yield same("modes of X", peaks(law.density(x).numpy()), 2, EXACT)
    code_density = law.density(x) / slope(lambda x: f(law, x), x)
    yield same("modes of f(X)", peaks(code_density.numpy()), 1, EXACT)


@one_mode_in_latent_space.falsification("f only centres and scales")
def standardise(law: TwoModes, x: tg.Tensor) -> tg.Tensor:
    return x / law.reach


def decoded_code(f: Function, g: Function, x: tg.Tensor) -> tg.Tensor:
    """g(f(x)): f acts on data, g on codes."""
    return g(f(x))


@PROB_9.part(direction=arrays(3, -1.0, 1.0).filter(lambda d: d @ d > 0.1), t=floats(-5.0, 5.0))
def data_on_a_line(direction: Array, t: float, *, restored: Any = decoded_code) -> Iterator[Check]:
    """Data x = t d in three dimensions come back from a code (⟨d, x⟩, 0, 0) with one number in it."""
    d = tg.tensor(direction / np.linalg.norm(direction))
    first = tg.tensor([1.0, 0.0, 0.0])
    x = t * d
    yield same("x comes back", restored(lambda x: tg.sum(d * x) * first, lambda z: z[0] * d, x), x, ALG)


@data_on_a_line.erratum("E-02", "f acts on data, g on latents: the result is g(f(X))", printed=r"f(g(X))")
def code_of_decoded(f: Function, g: Function, x: tg.Tensor) -> tg.Tensor:
    return f(g(x))


def square_code(matrix: tg.Tensor) -> tg.Tensor:
    """f(x) = A x with as many codes as data dimensions: it has an inverse."""
    return matrix


@PROB_9.part(matrix=well_conditioned(2))
def density_needs_an_inverse(matrix: Array, *, code: Any = square_code) -> Iterator[Check]:
    """φ(f(x)) √det(J Jᵀ), with the Jacobian J of f by autodiff, integrates to 1 over the plane."""
    weights_of_code = code(tg.tensor(matrix))
    step = 0.4  # of the trapezoidal rule, exact up to e^{−2π²s²/step²} for a Gaussian of deviation s ≥ ½
    line = np.arange(-40, 41) * step
    plane = tg.tensor(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2))
    jacobian = tg.jacobian(lambda x: weights_of_code @ x, tg.zeros((2,)))
    volume = tg.exp(0.5 * tg.linalg.slogdet(jacobian @ jacobian.T)[1])
    density = tg.prod(standard_normal(plane @ weights_of_code.T), -1) * volume
    yield same("∫ p(x) dx = 1", step**2 * tg.sum(density), 1.0, QUAD)


@density_needs_an_inverse.erratum(
    "E-62",
    "with fewer codes than dimensions f has no inverse, and what change of variables gives is no density",
    printed=r"f:\mathbb R^n\to\mathbb R^m,\ m<n",
)
def fewer_codes(matrix: tg.Tensor) -> tg.Tensor:
    return matrix[:1]


# --- PROB-10 -----------------------------------------------------------------------------------------------------

PROB_10 = Claim(
    "PROB-10",
    "Manifold assumption",
    r"\dim z\ll\dim x:\quad x=Az,\ \operatorname{rank}A=k\ \Rightarrow\ "
    r"\min_{E,D}\mathbb E\|x-D(E(x))\|^2=0\iff\text{code size}\ge k;\qquad"
    r"\operatorname{rank}\frac{\partial g}{\partial z}\le\dim z",
    sources="003",
)


def sufficient_code(rank: int) -> int:
    """As many numbers as the data have dimensions."""
    return rank


@PROB_10.part(rank=st.integers(2, 4), codes=well_conditioned(5), axes=well_conditioned(5), other=well_conditioned(5))
def bottleneck(rank: int, codes: Array, axes: Array, other: Array, *, size: Any = sufficient_code) -> Iterator[Check]:
    """Data of rank k in 5 dimensions: projecting on k principal axes loses nothing, on one fewer something."""
    data = tg.tensor(codes[:, :rank] @ axes[:rank])
    principal = tg.linalg.eigh(data.T @ data)[1][:, ::-1]
    squares = np.linalg.svd(data.numpy(), compute_uv=False) ** 2

    def loss(basis: tg.Tensor, count: int) -> tg.Tensor:
        """‖X − X E D‖² of the autoencoder that projects on ``count`` directions."""
        kept = basis[:, :count]
        return tg.sum((data - data @ kept @ tg.linalg.solve(kept.T @ kept, kept.T)) ** 2)

    enough = size(rank)
    yield same("no loss", loss(principal, enough), 0.0, LIN)
    yield same("loss = the squares left out", loss(principal, enough - 1), squares[enough - 1 :].sum(), LIN)
    yield at_least("one fewer is too few", loss(principal, enough - 1), 0.05, EXACT)  # singular values are ≥ 0.25
    yield at_least(
        "no other directions do better", loss(tg.tensor(other), enough - 1), loss(principal, enough - 1), LIN
    )


@bottleneck.falsification("one number fewer")
def one_fewer(rank: int) -> int:
    return rank - 1


@bottleneck.falsification("as many numbers as data dimensions are needed")
def as_many_as_data(rank: int) -> int:
    return 5


def latent_rank(latent: int, data: int) -> int:
    """The largest rank that ∂g/∂z can have."""
    return min(latent, data)


@PROB_10.part(
    latent=st.integers(1, 3), first=well_conditioned(6), second=well_conditioned(6), z=arrays(3, -1.0, 1.0)
)  # fmt: skip
def rank_of_jacobian(latent: int, first: Array, second: Array, z: Array, *, rank: Any = latent_rank) -> Iterator[Check]:
    """The spread J Jᵀ in 6 dimensions of a network with d latents, J by autodiff, has exactly d eigenvalues above 0."""
    a, b = tg.tensor(first[:, :latent]), tg.tensor(second)
    jacobian = tg.jacobian(lambda z: b @ tg.tanh(a @ z), tg.tensor(z[:latent]))
    spread = np.linalg.eigvalsh((jacobian @ jacobian.T).numpy())  # at least 1e-6 along the image, rounding across it
    yield same("rank", (spread > 1e-9).sum(), rank(latent, 6), EXACT)


@rank_of_jacobian.falsification("the rank of the data space")
def full_rank(latent: int, data: int) -> int:
    return data
