"""Chapter 1. Probability and latent-variable models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.distributions import MultivariateNormal
from tinygen.divergences import kl
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, OPT, QUAD, Check, Claim, at_least, holds, same, within
from tinygen.lectures.numerics import (
    central_difference,
    gauss_hermite,
    gauss_legendre,
    golden_section,
    normal_cdf,
)
from tinygen.testing.strategies import arrays, floats, laws, positive_definite, tables, vectors, well_conditioned

Array = np.ndarray
Function = Callable[[tg.Tensor], tg.Tensor]
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
UNIT_INTERVAL = gauss_legendre(0.0, 1.0, 40)


def standard_normal(z: tg.Tensor) -> tg.Tensor:
    """φ(z), the density of N(0, 1)."""
    return tg.exp(-0.5 * z**2 - HALF_LOG_TAU)


def cumulated_normal(z: tg.Tensor) -> tg.Tensor:
    """Φ(z) = ½ + ∫₀ᶻ φ, by 40 Gauss–Legendre nodes: exact in float64 for |z| ≤ 6."""
    nodes, weights = map(tg.tensor, UNIT_INTERVAL)
    return 0.5 + z * tg.sum(weights * standard_normal(tg.expand_dims(z, -1) * nodes), -1)


def slope(f: Function, x: tg.Tensor) -> tg.Tensor:
    """f′(x), elementwise, by autodiff."""
    _, derivative = tg.jvp(f, (x,), (tg.ones_like(x),))
    return derivative


# --- PROB-1 ------------------------------------------------------------------------------------------------------

PROB_1 = Claim(
    "PROB-1",
    "Discriminative versus generative model",
    r"p(y\mid x)=\frac{\pi_y\,p(x\mid y)}{\sum_c\pi_c\,p(x\mid c)}\ \text{ is the same for }\ p(x\mid y)"
    r"\ \text{ and }\ h(x)\,p(x\mid y)/Z_y,\ \ \pi_y'\propto\pi_yZ_y",
    sources="004",
)


def prior_of_reweighted(prior: tg.Tensor, mass: tg.Tensor) -> tg.Tensor:
    """π′_y ∝ π_y Z_y, where Z_y = Σ h(x) p(x|y)."""
    return prior * mass / tg.sum(prior * mass)


@PROB_1.part(classes=laws(2, size=5), prior=tables(2), h=arrays(5, 0.1, 5.0))
def posterior_is_not_the_law(
    classes: tuple[Array, Array], prior: Array, h: Array, *, new_prior: Any = prior_of_reweighted
) -> Iterator[Check]:
    """Reweighting both classes by h leaves P(y|x) alone and moves p(x) by a total variation of ½ E|h/E h − 1|."""
    likelihoods, pi, weight = tg.stack([tg.tensor(law) for law in classes]), tg.tensor(prior), tg.tensor(h)
    mass = tg.sum(likelihoods * weight, 1)
    joint = tg.expand_dims(pi, 1) * likelihoods
    new_joint = tg.expand_dims(new_prior(pi, mass), 1) * likelihoods * weight / tg.expand_dims(mass, 1)
    before, after = tg.sum(joint, 0), tg.sum(new_joint, 0)
    yield same("P(y|x) is unchanged", new_joint / after, joint / before, ALG)
    mean_h = (before.numpy() * h).sum()
    yield same("p(x) moves", 0.5 * tg.sum(tg.abs(after - before)), 0.5 * before.numpy() @ abs(h / mean_h - 1.0), ALG)


@posterior_is_not_the_law.falsification("with the old prior")
def old_prior(prior: tg.Tensor, mass: tg.Tensor) -> tg.Tensor:
    return prior


def linear_logit(means: tg.Tensor, covariance: tg.Tensor, prior: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """w = C⁻¹(μ₁ − μ₀) and b = ½ (μ₀ᵀC⁻¹μ₀ − μ₁ᵀC⁻¹μ₁) + ln π₁/π₀."""
    solved = tg.linalg.solve(covariance, means.T).T
    squares = tg.sum(means * solved, 1)
    return solved[1] - solved[0], 0.5 * (squares[0] - squares[1]) + tg.log(prior[1] / prior[0])


@PROB_1.part(
    means=arrays((2, 3)), covariance=positive_definite(3), chance=floats(0.01, 0.99), x=arrays((4, 3))
)  # fmt: skip
def logistic_regression(
    means: Array, covariance: Array, chance: float, x: Array, *, logit: Any = linear_logit
) -> Iterator[Check]:
    """Bayes' rule with two Gaussians of one covariance equals σ(wᵀx + b)."""
    points, matrix, prior = tg.tensor(x), tg.tensor(covariance), tg.tensor([1.0 - chance, chance])
    log_joint = [MultivariateNormal(tg.tensor(mean), matrix).log_prob(points) for mean in means]
    bayes = tg.log(prior[1]) + log_joint[1] - tg.log(prior[0]) - log_joint[0]
    w, b = logit(tg.tensor(means), matrix, prior)
    yield same("log-odds", points @ w + b, bayes, LIN)
    yield same("P(1|x)", tg.sigmoid(points @ w + b), tg.sigmoid(bayes), LIN)


@logistic_regression.falsification("without the prior")
def no_prior(means: tg.Tensor, covariance: tg.Tensor, prior: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return linear_logit(means, covariance, tg.full_like(prior, 0.5))


# --- PROB-2 ------------------------------------------------------------------------------------------------------

PROB_2 = Claim(
    "PROB-2",
    "Goal, data set and maximum likelihood",
    r"p(x_1,\dots,x_N\mid\theta)=\prod_ip(x_i\mid\theta)\to\max_\theta,\qquad"
    r"-\mathbb E_{\hat p}\ln p_\theta=H(\hat p)+\mathrm{KL}(\hat p\,\|\,p_\theta)",
    sources="001",
    assumptions=r"independent draws; \hat p absolutely continuous with respect to p_\theta",
)


def entropy_and_divergence(empirical: tg.Tensor, model: tg.Tensor) -> tg.Tensor:
    """H(p̂) + KL(p̂ ‖ p)."""
    return -tg.sum(tg.xlogy(empirical, empirical)) + kl(empirical, model)


@PROB_2.part(data=hnp.arrays(np.int64, st.integers(1, 10), elements=st.integers(0, 4)), model=tables(5))
def likelihood_of_a_table(data: Array, model: Array, *, loss: Any = entropy_and_divergence) -> Iterator[Check]:
    """The likelihood of the data, a product over draws, equals exp(−N · (entropy + divergence) of the frequencies)."""
    empirical = np.bincount(data, minlength=5) / len(data)
    negative = -tg.mean(tg.log(tg.take(tg.tensor(model), tg.tensor(data))))
    value = loss(tg.tensor(empirical), tg.tensor(model))
    yield same("−(1/N) Σ ln p(xᵢ)", value, negative, ALG)
    yield same("ln Π p(xᵢ)", -len(data) * value, math.log(math.prod(model[data].tolist())), ALG)


@likelihood_of_a_table.falsification("divergence alone")
def no_entropy(empirical: tg.Tensor, model: tg.Tensor) -> tg.Tensor:
    return kl(empirical, model)


@likelihood_of_a_table.falsification("divergence in the other order")
def reverse_order(empirical: tg.Tensor, model: tg.Tensor) -> tg.Tensor:
    return -tg.sum(tg.xlogy(empirical, empirical)) + kl(model, empirical)


def mean_and_deviation(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """Sample mean, and the root of the variance with 1/N."""
    return tg.mean(x), tg.std(x)


def gaussian_loss(x: tg.Tensor, mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    """−(1/N) Σ ln N(xᵢ; μ, σ²)."""
    return tg.mean(0.5 * ((x - mean) / deviation) ** 2) + tg.log(deviation) + HALF_LOG_TAU


@PROB_2.part(x=vectors(st.integers(2, 8)).filter(lambda x: x.std() > 0.1))
def gaussian_fit(x: Array, *, fit: Any = mean_and_deviation) -> Iterator[Check]:
    """Where the gradient of the likelihood, by autodiff, is 0 is where an optimiser finds its maximum."""
    data = tg.tensor(x)
    mean, deviation = (tg.tensor(value.numpy(), requires_grad=True) for value in fit(data))
    for name, partial in zip("μσ", tg.grad(gaussian_loss(data, mean, deviation), (mean, deviation)), strict=True):
        yield same(f"∂/∂{name} = 0", partial * deviation, 0.0, LIN)
    spread = np.abs(x - x.mean()).max()
    best = golden_section(
        lambda s: -0.5 * (((x[:, None] - x.mean()) / np.exp(s)) ** 2).mean(0) - s,
        np.full(1, math.log(spread) - 4.0),
        np.full(1, math.log(spread) + 1.0),
    )
    yield same("ln σ found by an optimiser", tg.reshape(tg.log(deviation), (1,)), best, OPT)


@gaussian_fit.falsification("variance with 1/(N − 1)")
def unbiased(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return tg.mean(x), tg.std(x, correction=1)


def moments_of_mixture(weights: Array, means: Array, deviations: Array) -> tuple[float, float]:
    """Mean Σ wμ and deviation √(Σ w (s² + μ²) − mean²) of a mixture of normals."""
    mean = float(weights @ means)
    return mean, math.sqrt(float(weights @ (deviations**2 + means**2)) - mean**2)


@PROB_2.part(weights=tables(2), means=arrays(2), deviations=arrays(2, 0.2, 2.0))
def covers_all_modes(
    weights: Array, means: Array, deviations: Array, *, fit: Any = moments_of_mixture
) -> Iterator[Check]:
    """The Gaussian with the moments of a mixture is where the gradient of its expected loss, by quadrature, is 0."""
    nodes, node_weights = gauss_hermite(10)
    x = tg.tensor(means[:, None] + deviations[:, None] * nodes)
    mean, deviation = (tg.tensor(value, requires_grad=True) for value in fit(weights, means, deviations))
    losses = 0.5 * ((x - mean) / deviation) ** 2 + tg.log(deviation)
    loss = tg.sum(losses * tg.tensor(weights[:, None] * node_weights))
    for name, partial in zip("μσ", tg.grad(loss, (mean, deviation)), strict=True):
        yield same(f"∂/∂{name} = 0", partial, 0.0, QUAD)


@covers_all_modes.falsification("one mode, the heavier")
def one_mode(weights: Array, means: Array, deviations: Array) -> tuple[float, float]:
    return float(means[weights.argmax()]), float(deviations[weights.argmax()])


@covers_all_modes.falsification("variance without the spread of the means")
def within_components(weights: Array, means: Array, deviations: Array) -> tuple[float, float]:
    return float(weights @ means), math.sqrt(float(weights @ deviations**2))


# --- PROB-3 ------------------------------------------------------------------------------------------------------

PROB_3 = Claim(
    "PROB-3",
    "Latent-variable generator",
    r"z\sim N(0,I_d),\quad x=g(z,\theta)\quad\text{or}\quad "
    r"x=G_\theta(z)+\varepsilon,\ \ \varepsilon\sim N(0,\sigma^2I)",
    sources="000 001 003",
)


def two_layers(z: tg.Tensor, first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    """g(z, θ) = tanh(z A) B with θ = (A, B)."""
    return tg.tanh(z @ first) @ second


@PROB_3.part(
    z=arrays((2, 3), -2.0, 2.0),
    first=arrays((3, 4), -2.0, 2.0),
    second=arrays((4, 2), -2.0, 2.0),
    direction=arrays((2, 2)),
)
def gradients_of_generator(
    z: Array, first: Array, second: Array, direction: Array, *, g: Any = two_layers
) -> Iterator[Check]:
    """The gradients of ⟨v, g(z, θ)⟩ in z and in θ, by autodiff, equal central differences of its NumPy form."""
    inputs = [tg.tensor(value, requires_grad=True) for value in (z, first, second)]
    found = tg.grad(tg.sum(g(*inputs) * tg.tensor(direction)), inputs)
    for index, name in enumerate(["z", "A", "B"]):

        def projected(value: Array, index: int = index) -> Array:
            a, b, c = (value if i == index else given for i, given in enumerate((z, first, second)))
            return np.asarray(((np.tanh(a @ b) @ c) * direction).sum())

        yield same(f"∂/∂{name}", found[index], central_difference(projected, (z, first, second)[index]), FD)


@gradients_of_generator.falsification("half of the way to z cut off the record")
def half_detached(z: tg.Tensor, first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    return tg.tanh((0.5 * z + 0.5 * tg.detach(z)) @ first) @ second


def seeded_draws(key: int, count: int, dim: int) -> tg.Tensor:
    """z ~ N(0, I_d), ``count`` rows, from the stream ``key``."""
    return tg.random.Generator(key).normal((count, dim))


_one_stream_for_all = tg.random.Generator(0)


@PROB_3.part(key=st.integers(0, 2**64), count=st.integers(1, 4), dim=st.integers(1, 4))
def same_seed_same_data(key: int, count: int, dim: int, *, draws: Any = seeded_draws) -> Iterator[Check]:
    """Two generators of one seed give the same z and the same x, with the shape and the dtype they should have."""
    first, second = draws(key, count, dim), draws(key, count, dim)
    yield holds("shape (N, d)", first.shape == (count, dim), f"{first.shape}")
    yield same("same z", first, second, EXACT)
    matrix = tg.eye(dim) * 0.5
    x, again = two_layers(first, matrix, matrix), two_layers(second, matrix, matrix)
    yield same("same x", x, again, EXACT)
    yield holds("float64 stays float64", x.dtype == np.float64, f"{x.dtype}")


@same_seed_same_data.falsification("a stream that the caller does not own")
def shared_stream(key: int, count: int, dim: int) -> tg.Tensor:
    return _one_stream_for_all.normal((count, dim))


def covariance_of_decoder(matrix: Array, noise: float) -> Array:
    """A Aᵀ + σ² I."""
    return np.asarray(matrix @ matrix.T + noise**2 * np.eye(len(matrix)))


@PROB_3.part(key=st.integers(0, 1000), matrix=arrays((2, 2), -2.0, 2.0), noise=floats(0.1, 2.0))
def probabilistic_decoder(
    key: int, matrix: Array, noise: float, *, covariance: Any = covariance_of_decoder
) -> Iterator[Check]:
    """The second moments of 10,000 draws x = A z + ε agree with the covariance of the marginal law of x."""
    count = 10_000
    rng = tg.random.Generator(key).spawn("PROB-3")
    z, epsilon = rng.normal((count, 2)), rng.normal((count, 2))
    x = z @ tg.tensor(matrix.T) + noise * epsilon
    expected = covariance(matrix, noise)
    variances = np.diag(expected)
    error = np.sqrt((np.outer(variances, variances) + expected**2) / count)  # of a mean of products of normals
    yield within("E x xᵀ", x.T @ x / count, expected, error)


@probabilistic_decoder.falsification("deviation in place of the variance of ε")
def noise_not_squared(matrix: Array, noise: float) -> Array:
    return np.asarray(matrix @ matrix.T + noise * np.eye(len(matrix)))


# --- PROB-4 ------------------------------------------------------------------------------------------------------

PROB_4 = Claim(
    "PROB-4",
    "Dirac delta",
    r"\int f(x)\,\delta_a(x)\,dx=f(a),\qquad"
    r"\int f(x)\,N(x;a,\varepsilon^2)\,dx=f(a)+\tfrac12\varepsilon^2f''(a)+O(\varepsilon^4)",
    sources="001",
    assumptions="f is continuous, for the expansion four times differentiable",
)


def gaussian_spike(x: Array, a: float, width: float) -> Array:
    """N(x; a, width²), one of the functions whose limit δ_a is."""
    return np.asarray(np.exp(-0.5 * ((x - a) / width) ** 2) / (width * math.sqrt(2.0 * math.pi)))


@PROB_4.part(a=floats(-3.0, 3.0), slope=floats(-2.0, 2.0), width=floats(1e-6, 1e-4))
def unit_mass(a: float, slope: float, width: float, *, spike: Any = gaussian_spike) -> Iterator[Check]:
    """The integral of a narrow spike is 1, and it picks f(a) out of a line f, by quadrature on both sides of a."""
    nodes, weights = gauss_legendre(-10.0 * width, 10.0 * width, 16, panels=8)  # no node falls on a itself
    density = spike(a + nodes, a, width)
    yield same("∫ δ_a dx = 1", weights @ density, 1.0, QUAD)
    yield same("∫ f δ_a dx = f(a)", weights @ (density * (1.0 + slope * (a + nodes))), 1.0 + slope * a, QUAD)


@unit_mass.erratum(
    "E-01", "two values without a unit mass: the integral is 0", printed=r"\delta_x(x)=\infty,\ \text{else }0"
)
def two_values(x: Array, a: float, width: float) -> Array:
    return np.where(x == a, np.inf, 0.0)


def second_order(f: Function, a: tg.Tensor, width: float) -> tg.Tensor:
    """f(a) + ½ ε² f″(a), with f″ by autodiff."""
    return f(a) + 0.5 * width**2 * slope(lambda x: slope(f, x), a)


@PROB_4.part(
    a=floats(-3.0, 3.0), bend=floats(-2.0, 2.0), height=floats(-2.0, 2.0), rate=floats(0.0, 3.0), width=floats(0.0, 0.3)
)  # fmt: skip
def narrow_bump(
    a: float, bend: float, height: float, rate: float, width: float, *, expansion: Any = second_order
) -> Iterator[Check]:
    """E f(a + ε z) by quadrature differs from the expansion by at most ε⁴/8 · max|f⁗|, for f = b x² + h sin(r x)."""
    nodes, weights = gauss_hermite(30)
    x = a + width * nodes
    exact = weights @ (bend * x**2 + height * np.sin(rate * x))
    found = expansion(lambda x: bend * x**2 + height * tg.sin(rate * x), tg.tensor(a), width).item()
    bound = width**4 / 8.0 * abs(height) * rate**4  # Taylor's remainder: E (εz)⁴ / 4! = ε⁴ / 8
    yield at_least("the remainder is of fourth order", bound, abs(found - exact), ALG)


@narrow_bump.falsification("without the ½")
def without_half(f: Function, a: tg.Tensor, width: float) -> tg.Tensor:
    return 2.0 * second_order(f, a, width) - f(a)


def predicted_error(f: Function, a: tg.Tensor, width: float) -> tg.Tensor:
    """½ ε² f″(a): what the spike of width ε errs by."""
    return second_order(f, a, width) - f(a)


@PROB_4.part(a=floats(-1.2, 1.2))
def rate_of_convergence(a: float, *, error: Any = predicted_error) -> Iterator[Check]:
    """For f = cos the error is what is predicted up to 3 %, and a quarter at half the width."""
    nodes, weights = gauss_hermite(30)
    errors = [weights @ np.cos(a + width * nodes) - math.cos(a) for width in (0.1, 0.05, 0.025)]
    for width, measured in zip((0.1, 0.05, 0.025), errors, strict=True):
        # the next term of the series is ε²/4 of this one: 0.25 % at most
        yield same(f"ratio at ε = {width}", measured / error(tg.cos, tg.tensor(a), width), 1.0, 0.03)
    yield same("halving ε quarters the error", [errors[0] / errors[1], errors[1] / errors[2]], 4.0, 0.03)


@rate_of_convergence.falsification("first order in ε")
def first_order(f: Function, a: tg.Tensor, width: float) -> tg.Tensor:
    return predicted_error(f, a, 1.0) * width


def one_hot_at(a: int, size: int) -> tg.Tensor:
    """The discrete δ_a: 1 at a, else 0."""
    return tg.one_hot(tg.tensor(a), size)


@PROB_4.part(f=vectors(6), a=st.integers(0, 5))
def one_hot(f: Array, a: int, *, delta: Any = one_hot_at) -> Iterator[Check]:
    """On a finite set: the sum of f times a one-hot vector is f(a)."""
    yield same("⟨f, δ_a⟩ = f(a)", tg.sum(tg.tensor(f) * delta(a, 6)), f[a], EXACT)


@one_hot.falsification("one place beside")
def shifted(a: int, size: int) -> tg.Tensor:
    return one_hot_at((a + 1) % size, size)


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
    assumptions=r"\varphi is integrable; G need not be invertible",
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
    assumptions=r"\sigma>0; \varphi is differentiable and grows at most like a polynomial",
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


@PROB_7.part(mean=arrays(3), covariance=positive_definite(3), z=arrays(3), key=st.integers(0, 1000))
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


@PROB_9.part(half=floats(0.0, 1.5), deviation=floats(0.5, 1.0), position=arrays(3, -0.9, 0.9))
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


@PROB_9.part(half=floats(1.5, 2.0), deviation=floats(0.5, 1.0))
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
