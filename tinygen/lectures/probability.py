"""Chapter 1, first part. Probability, and models with latent variables.  Generators: ``probability_generators``."""

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
from tinygen.lectures.numerics import central_difference, gauss_hermite, gauss_legendre, golden_section
from tinygen.testing.strategies import arrays, floats, laws, positive_definite, tables, vectors

Array = np.ndarray
Function = Callable[[tg.Tensor], tg.Tensor]
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


def standard_normal(z: tg.Tensor) -> tg.Tensor:
    """φ(z), the density of N(0, 1)."""
    return tg.exp(-0.5 * z**2 - HALF_LOG_TAU)


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
    assumptions="independent draws; p_θ > 0 wherever data are",
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


@PROB_3.part(most=25, key=st.integers(0, 1000), matrix=arrays((2, 2), -2.0, 2.0), noise=floats(0.1, 2.0))
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
