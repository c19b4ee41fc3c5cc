"""Chapter 2, first part. Divergences between distributions: Kullback–Leibler.  The others: ``divergences_bounded``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import MultivariateNormal, Normal, kl_divergence
from tinygen.divergences import chi2, hellinger, js, kl, total_variation, wasserstein_1d
from tinygen.lectures.claim import ALG, EXACT, LIN, QUAD, Check, Claim, Tolerance, at_least, holds, same
from tinygen.lectures.numerics import gauss_hermite, gauss_legendre
from tinygen.testing.strategies import arrays, floats, laws, orthogonal, positive_definite, tables, vectors

Array = np.ndarray
Pair = tuple[Array, Array]
LN2 = math.log(2.0)
ROUNDING = Tolerance("ROUNDING", 1e-15)  # of a sum that is exactly 0 in exact arithmetic


def log_normal_density(x: Any, mean: Any, deviation: Any) -> Any:
    """ln N(x; μ, σ²) of NumPy arrays."""
    return -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * math.log(2.0 * math.pi)


# --- DIV-1 -------------------------------------------------------------------------------------------------------

DIV_1 = Claim(
    "DIV-1",
    "Kullback–Leibler divergence",
    r"\mathrm{KL}(p\,\|\,q)=\mathbb E_p\ln\frac{p(x)}{q(x)}=-\sum_xp(x)\ln\frac{q(x)}{p(x)}",
    sources="000 001 002 003 004",
    assumptions="+∞ unless q > 0 wherever p > 0; terms with p(x) = 0 are 0",
)


def enumerated(p: Array, q: Array) -> float:
    """KL by the definition, outcome by outcome."""
    pairs = [(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True) if a > 0.0]
    return (
        math.inf if any(b == 0.0 for _, b in pairs) else math.fsum(-a * (math.log(b) - math.log(a)) for a, b in pairs)
    )


@DIV_1.part(pq=laws(zeros=True))
def definition(pq: Pair, *, divergence: Any = kl) -> Iterator[Check]:
    """The differentiable divergence of tables with exact zeros equals the sum −p ln(q/p), taken outcome by outcome."""
    p, q = map(tg.tensor, pq)
    expected = enumerated(*pq)
    yield same("KL(p‖q)", divergence(p, q), expected, ALG)
    yield holds("no NaN", not np.isnan(divergence(p, q).numpy()), f"{divergence(p, q)}")
    yield same("in bits", kl(p, q, base=2), expected / LN2, ALG)


@definition.falsification("q and p exchanged")
def exchanged(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return kl(q, p)


@definition.falsification("without the minus sign")
def no_minus(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return -kl(p, q)


@definition.falsification("p ln(p/q) as it stands: 0 ln 0 is not a number")
def naive(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return tg.sum(p * tg.log(p / q))


def riemann(p: tg.Tensor, q: tg.Tensor, width: float) -> tg.Tensor:
    """∫ p ln(p/q) dx over the cells of a grid."""
    return kl(p, q, dx=width)


@DIV_1.part(mean=floats(-2.0, 2.0), deviations=arrays(2, 0.5, 2.0))
def densities(mean: float, deviations: Array, *, divergence: Any = riemann) -> Iterator[Check]:
    """For densities it is an integral: on a grid it equals the closed form for two Gaussians (DIV-6)."""
    step = 0.05  # the trapezoidal rule is exact up to e^{−2π²σ²/step²} for a Gaussian
    x = np.arange(-400, 401) * step
    log_p, log_q = (log_normal_density(x, mu, s) for mu, s in zip((0.0, mean), deviations, strict=True))
    closed = kl_divergence(Normal(0.0, deviations[0]), Normal(mean, deviations[1]))
    floor = 1e-300  # where q is smaller p is 0 in the sum
    p, q = (tg.tensor(np.maximum(np.exp(log), floor)) for log in (log_p, log_q))
    yield same("∫ p ln(p/q) dx", divergence(p, q, step), closed, QUAD)


@densities.erratum(
    "E-03", "a sum of densities, without dx, is no divergence", printed=r"-\sum_xp(x)\ln\tfrac{q(x)}{p(x)}"
)
def plain_sum(p: tg.Tensor, q: tg.Tensor, width: float) -> tg.Tensor:
    return tg.sum(p * tg.log(p / q))


# --- DIV-2 -------------------------------------------------------------------------------------------------------

DIV_2 = Claim(
    "DIV-2",
    "Non-negativity, identity",
    r"D(p\,\|\,p)=0,\quad D(p\,\|\,q)\ge0;\qquad \mathrm{KL}(p\,\|\,q)\ge\tfrac12\|p-q\|_1^2,"
    r"\ \text{so}\ \mathrm{KL}=0\iff p=q",
    sources="004 001",
)


def pinsker(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """½ ‖p − q‖₁², which is positive unless p = q."""
    return 0.5 * tg.sum(tg.abs(p - q)) ** 2


@DIV_2.part(pq=laws(zeros=True))
def gibbs(pq: Pair, *, divergence: Any = kl, bound: Any = pinsker) -> Iterator[Check]:
    """KL is 0 at p = q and at least Pinsker's bound, computed from |p − q|, elsewhere."""
    p, q = map(tg.tensor, pq)
    yield same("KL(p‖p) = 0", divergence(p, p), 0.0, EXACT)
    yield at_least("KL ≥ 0", divergence(p, q), 0.0, ROUNDING)
    yield at_least("KL ≥ ½ ‖p − q‖₁²", divergence(p, q), bound(p, q), ALG)


@gibbs.falsification("E_p ln q alone", replaces="divergence")
def cross_entropy_only(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return -tg.sum(tg.xlogy(p, q))


@gibbs.falsification("without the ½", replaces="bound")
def too_large(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return 2.0 * pinsker(p, q)


def least_values(variation: float) -> dict[Any, float]:
    """What a divergence is at least, given the total variation: each is positive unless p = q."""
    return {
        js: 0.5 * variation**2,
        total_variation: variation,
        hellinger: math.sqrt(max(0.0, 1.0 - math.sqrt(1.0 - min(variation, 1.0) ** 2))),
        chi2: 4.0 * variation**2,
    }


@DIV_2.part(pq=laws(zeros=True))
def other_divergences(pq: Pair, *, least: Any = least_values) -> Iterator[Check]:
    """JS, total variation, Hellinger's and Pearson's are 0 at p = q too, and elsewhere not below a bound by |p − q|."""
    p, q = map(tg.tensor, pq)
    for divergence, bound in least(0.5 * np.abs(pq[0] - pq[1]).sum()).items():
        yield same(f"{divergence.__name__}(p, p) = 0", divergence(p, p), 0.0, EXACT)
        yield at_least(f"{divergence.__name__} is positive", divergence(p, q), bound, ALG)


@other_divergences.falsification("JS like KL: without the ½ of its mean")
def js_like_kl(variation: float) -> dict[Any, float]:
    return {js: 2.0 * variation**2}


# --- DIV-3 -------------------------------------------------------------------------------------------------------

DIV_3 = Claim(
    "DIV-3",
    "Asymmetry",
    r"\mathrm{KL}(p\,\|\,q)-\mathrm{KL}(q\,\|\,p)=\sum_x(p+q)\ln\tfrac pq\ne0\ \text{ in general}",
    sources="004",
)


def difference_of_orders(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """KL(p‖q) − KL(q‖p)."""
    return kl(p, q) - kl(q, p)


@DIV_3.part(pq=laws())
def orders_differ(pq: Pair, *, difference: Any = difference_of_orders) -> Iterator[Check]:
    """The difference of the two orders equals one sum over outcomes, which is not 0 as a rule."""
    expected = math.fsum((a + b) * (math.log(a) - math.log(b)) for a, b in zip(*pq, strict=True))
    yield same("KL(p‖q) − KL(q‖p)", difference(*map(tg.tensor, pq)), expected, ALG)


@orders_differ.falsification("a symmetric divergence")
def no_difference(p: tg.Tensor, q: tg.Tensor) -> float:
    return 0.0


def in_general(forward: float, backward: float) -> bool:
    """Whether "D(p‖q) ≠ D(q‖p) in general" allows for these two values: it allows for all."""
    return True


@DIV_3.part(p=tables(), first=st.integers(0, 19), second=st.integers(0, 19))
def exchanged_atoms(p: Array, first: int, second: int, *, allows: Any = in_general) -> Iterator[Check]:
    """If q is p with two outcomes exchanged, both orders are equal."""
    q, (i, j) = p.copy(), (first % len(p), second % len(p))
    q[[i, j]] = p[[j, i]]
    forward, backward = kl(tg.tensor(p), tg.tensor(q)).item(), kl(tg.tensor(q), tg.tensor(p)).item()
    yield same("KL(p‖q) = KL(q‖p)", forward, backward, ALG)
    yield holds("the statement allows for it", allows(forward, backward), f"{forward} and {backward}")


@exchanged_atoms.erratum("E-04", "it is not equal in general, but may be", printed=r"D(p\|q)\ne D(q\|p)")
def never_equal(forward: float, backward: float) -> bool:
    return abs(forward - backward) > 1e-12


@DIV_3.part(pq=laws(zeros=True), share=floats(0.0, 1.0))
def dissimilarity(pq: Pair, share: float, *, measure: Any = kl) -> Iterator[Check]:
    """Moved a share t of the way from q to p, a law is nearer to p: D(p‖(1−t) q + t p) ≤ (1−t) D(p‖q)."""
    p, q = map(tg.tensor, pq)
    limit = measure(p, q) * (1.0 - share) if share < 1.0 else 0.0  # also where D is ∞
    yield at_least("convexity", limit, measure(p, (1.0 - share) * q + share * p), ALG)


@dissimilarity.erratum(
    "E-04", "0 means identical: it measures dissimilarity", printed=r"D\text{: a similarity measure}"
)
def similarity(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return tg.exp(-kl(p, q))


def one_mode_fit(half: float, deviation: float) -> tuple[float, float, float]:
    """Mean, deviation and divergence of the Gaussian q that makes KL(q‖p) least near a mode of ½N(−a,s²)+½N(a,s²)."""
    return half, deviation, LN2


@DIV_3.part(half=floats(3.0, 5.0), most=10)
def reverse_fit(half: float, *, fitted: Any = one_mode_fit) -> Iterator[Check]:
    """Newton's method on KL(q‖p), with gradient and Hessian by autodiff, finds one mode of two (s = 0.6)."""
    nodes, weights = map(tg.tensor, gauss_hermite(40))
    means = tg.tensor([[-half], [half]])

    def loss(parameters: tg.Tensor) -> tg.Tensor:
        x = parameters[0] + tg.exp(parameters[1]) * nodes
        log_p = tg.logsumexp(-0.5 * ((x - means) / 0.6) ** 2, 0) - math.log(0.6) - LN2
        return tg.sum(weights * (-0.5 * nodes**2 - parameters[1] - log_p))  # ln q − ln p; both lack −½ ln 2π

    at = tg.tensor([half + 0.1, math.log(0.6) + 0.1])
    for _ in range(6):
        (slope,) = tg.vjp(loss, at)[1](tg.tensor(1.0))
        at = tg.detach(at - tg.linalg.solve(tg.hessian(loss, at), slope))
    found = [at[0].item(), math.exp(at[1].item()), loss(at).item()]
    # the far mode weighs e^{−12.5} at the middle, which 40 nodes feel at five deviations: 7e-6
    yield same("mean, deviation, KL = ln 2", found, list(fitted(half, 0.6)), 1e-5)


@reverse_fit.falsification("the fit that covers both modes, of the other order")
def moments(half: float, deviation: float) -> tuple[float, float, float]:
    return 0.0, math.hypot(half, deviation), LN2


# --- DIV-4 -------------------------------------------------------------------------------------------------------

DIV_4 = Claim(
    "DIV-4",
    "No triangle inequality",
    r"\mathrm{KL}(p\,\|\,q)+\mathrm{KL}(q\,\|\,h)\not\ge\mathrm{KL}(p\,\|\,h)\ \text{ in general}",
    sources="004",
)


def not_at_least(detour: float, direct: float) -> bool:
    """detour ≱ direct."""
    return not detour >= direct


@DIV_4.part(step=floats(0.1, 5.0))
def three_normals(step: float, *, relation: Any = not_at_least) -> Iterator[Check]:
    """N(0,1), N(a,1), N(2a,1): a²/2 + a²/2 over the middle against 2a² directly."""
    first, middle, last = (Normal(mean, 1.0) for mean in (0.0, step, 2.0 * step))
    detour = (kl_divergence(first, middle) + kl_divergence(middle, last)).item()
    direct = kl_divergence(first, last).item()
    yield same("detour", detour, step**2, ALG)
    yield same("direct", direct, 2.0 * step**2, ALG)
    yield holds("detour ≱ direct", relation(detour, direct), f"{detour} and {direct}")


@DIV_4.part(chance=floats(0.55, 0.99))
def three_coins(chance: float, *, relation: Any = not_at_least) -> Iterator[Check]:
    """Bernoulli(c), (½), (1 − c): the detour is Σ of two entropies' lacks, below (2c − 1) ln(c/(1 − c)) directly."""
    first, middle, last = (tg.tensor([1.0 - c, c]) for c in (chance, 0.5, 1.0 - chance))
    detour, direct = (kl(first, middle) + kl(middle, last)).item(), kl(first, last).item()
    log_odds = math.log(chance / (1.0 - chance))
    yield same("direct", direct, (2.0 * chance - 1.0) * log_odds, ALG)
    yield same("detour", detour, (chance - 0.5) * log_odds, ALG)
    yield holds("detour ≱ direct", relation(detour, direct), f"{detour} and {direct}")


@three_normals.erratum("E-05", "what fails is ≥, not ≤", printed=r"D(p\|q)+D(q\|h)\not\le D(p\|h)")
@three_coins.erratum("E-05", "what fails is ≥, not ≤", printed=r"D(p\|q)+D(q\|h)\not\le D(p\|h)")
def not_at_most(detour: float, direct: float) -> bool:
    return not detour <= direct


def root_of_js(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """√JS, a metric."""
    return tg.sqrt(tg.maximum(js(p, q), 0.0))


@DIV_4.part(ends=laws(zeros=True), share=floats(0.01, 0.99))
def metrics_have_it(ends: Pair, share: float, *, distance: Any = root_of_js) -> Iterator[Check]:
    """√JS and W₁, in contrast, have the triangle inequality, also over a mixture of the ends, where KL never has it."""
    p, h = map(tg.tensor, ends)
    middle = (1.0 - share) * p + share * h
    for metric in (distance, wasserstein_1d):
        # the root of a JS that is 0 but for rounding is 1e-8
        yield at_least("detour ≥ direct", metric(p, middle) + metric(middle, h), metric(p, h), 1e-7)


@metrics_have_it.falsification("KL as a metric")
def kl_as_metric(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return kl(p, q)


# --- DIV-5 -------------------------------------------------------------------------------------------------------

DIV_5 = Claim(
    "DIV-5",
    "KL of a Gaussian from N(0, I): the KL term of a variational autoencoder",
    r"\mathrm{KL}\big(N(\mu,\mathrm{diag}\,\sigma^2)\,\|\,N(0,I)\big)=\tfrac12\sum_i(\sigma_i^2-\ln\sigma_i^2-1+\mu_i^2)",
    sources="004 002 003",
)


def kl_from_standard(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    """½ Σ (σ² − ln σ² − 1 + μ²), in nats."""
    return 0.5 * tg.sum(deviation**2 - 2.0 * tg.log(deviation) - 1.0 + mean**2)


@DIV_5.part(mean=vectors(3), deviation=vectors(3, 0.1, 5.0))
def equals_the_integral(mean: np.ndarray, deviation: np.ndarray, *, kl: Any = kl_from_standard) -> Iterator[Check]:
    """The closed form equals E_q[ln q − ln p] by Gauss–Hermite quadrature, dimension by dimension."""
    nodes, weights = gauss_hermite(20)
    x = mean[:, None] + deviation[:, None] * nodes
    log_ratio = -np.log(deviation)[:, None] - 0.5 * nodes**2 + 0.5 * x**2
    yield same("closed form = quadrature", kl(tg.tensor(mean), tg.tensor(deviation)), (log_ratio @ weights).sum(), QUAD)
    yield at_least("never negative", kl(tg.tensor(mean), tg.tensor(deviation)), 0.0, ALG)
    zero, one = tg.zeros_like(tg.tensor(mean)), tg.ones_like(tg.tensor(mean))
    yield same("zero at μ = 0, σ = 1", kl(zero, one), 0.0, EXACT)


@equals_the_integral.erratum(
    "E-06", "σ is the variance there, not the standard deviation", printed=r"\tfrac12(\sigma_i-\ln\sigma_i-1+\mu_i^2)"
)
def variance_as_deviation(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return 0.5 * tg.sum(deviation - tg.log(deviation) - 1.0 + mean**2)


@equals_the_integral.falsification("without μ²")
def without_the_mean(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return kl_from_standard(tg.zeros_like(mean), deviation)


def slopes_by_hand(mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂KL/∂μ = μ and, with ℓ = ln σ², ∂KL/∂ℓ = ½ (eˡ − 1)."""
    return mean, 0.5 * (np.exp(log_variance) - 1.0)


@DIV_5.part(mean=vectors(3), log_variance=vectors(3))
def gradients(mean: np.ndarray, log_variance: np.ndarray, *, slopes: Any = slopes_by_hand) -> Iterator[Check]:
    """Autodiff of the closed form gives the slopes derived by hand."""
    mu, log_var = (tg.tensor(value, requires_grad=True) for value in (mean, log_variance))
    found = tg.grad(kl_from_standard(mu, tg.exp(0.5 * log_var)), (mu, log_var))
    for name, slope, expected in zip("μℓ", found, slopes(mean, log_variance), strict=True):
        yield same(f"∂{name}", slope, expected, ALG)


@gradients.falsification("without the −1")
def no_minus_one(mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return mean, 0.5 * np.exp(log_variance)


def quantity(log_q: Array, log_p: Array, q: Array, p: Array) -> Array:
    """What the closed form computes: ∫ q ln(q/p) dx, the terms of KL(q‖p) with q = N(μ, σ²)."""
    return np.asarray(q * (log_q - log_p))


@DIV_5.part(mean=floats(-5.0, 5.0), deviation=floats(0.2, 3.0))
def order(mean: float, deviation: float, *, terms: Any = quantity) -> Iterator[Check]:
    """The closed form is the integral of q ln(q/p) with q = N(μ, σ²) and p = N(0, 1)."""
    x, weights = gauss_legendre(-40.0, 40.0, 8, panels=320)
    log_q, log_p = log_normal_density(x, mean, deviation), log_normal_density(x, 0.0, 1.0)
    closed = kl_from_standard(tg.tensor([mean]), tg.tensor([deviation]))
    yield same("KL(q‖p)", closed, weights @ terms(log_q, log_p, np.exp(log_q), np.exp(log_p)), QUAD)


@order.erratum(
    "E-07", "the formula is KL(q‖p), not KL(p‖q)", printed=r"\mathrm{KL}(p\|q),\ p=N(0,1),\ q=N(\mu_i,\sigma_i)"
)
def labelled_order(log_q: Array, log_p: Array, q: Array, p: Array) -> Array:
    return np.asarray(p * (log_p - log_q))


@DIV_5.part(mean=vectors(4), deviation=vectors(4, 0.1, 5.0), turn=orthogonal(4))
def rotated(mean: Array, deviation: Array, turn: Array, *, kl: Any = kl_from_standard) -> Iterator[Check]:
    """A rotation Q of the space leaves it alone: the trace formula for N(Qμ, Q diag(σ²) Qᵀ) gives the same number."""
    q, mu, sigma = (tg.tensor(value) for value in (turn, mean, deviation))
    factor = q * sigma
    covariance = factor @ factor.T
    trace_form = tg.trace(covariance) + tg.sum((q @ mu) ** 2) - 4.0 - tg.linalg.slogdet(covariance)[1]
    yield same("trace formula", kl(mu, sigma), 0.5 * trace_form, LIN)


@rotated.falsification("without −1")
def without_minus_one(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return kl_from_standard(mean, deviation) + 0.5 * mean.size


def isotropic_kl(mean: tg.Tensor, deviation: float) -> tg.Tensor:
    """k/2 (τ² − 1 − ln τ²) + ½ ‖μ‖²."""
    return 0.5 * mean.size * (deviation**2 - 1.0 - 2.0 * math.log(deviation)) + 0.5 * tg.sum(mean**2)


@DIV_5.part(mean=vectors(), deviation=floats(0.1, 5.0))
def isotropic(mean: Array, deviation: float, *, kl: Any = isotropic_kl) -> Iterator[Check]:
    """With one deviation τ for all k ≤ 8 dimensions: the multivariate closed form with covariance τ² I."""
    mu, identity = tg.tensor(mean), tg.eye(len(mean))
    general = kl_divergence(
        MultivariateNormal(mu, deviation**2 * identity), MultivariateNormal(tg.zeros_like(mu), identity)
    )
    yield same("N(μ, τ² I)", kl(mu, deviation), general, LIN)


@isotropic.falsification("the dimensions not counted")
def one_dimension_only(mean: tg.Tensor, deviation: float) -> tg.Tensor:
    return 0.5 * (deviation**2 - 1.0 - 2.0 * math.log(deviation)) + 0.5 * tg.sum(mean**2)


# --- DIV-6 -------------------------------------------------------------------------------------------------------

DIV_6 = Claim(
    "DIV-6",
    "KL between Gaussians, general and reversed",
    r"\mathrm{KL}(N(\mu_1,C_1)\,\|\,N(\mu_2,C_2))=\tfrac12\big[\mathrm{tr}(C_2^{-1}C_1)+\Delta^\top C_2^{-1}\Delta-d"
    r"+\ln\det C_2-\ln\det C_1\big]",
    sources="004",
)


def kl_of_normals(mean: tg.Tensor, deviation: tg.Tensor, mean2: tg.Tensor, deviation2: tg.Tensor) -> tg.Tensor:
    """ln(σ₂/σ₁) + (σ₁² + (μ₁ − μ₂)²)/(2σ₂²) − ½."""
    return tg.log(deviation2 / deviation) + (deviation**2 + (mean - mean2) ** 2) / (2.0 * deviation2**2) - 0.5


@DIV_6.part(means=arrays(2), deviations=arrays(2, 0.1, 5.0))
def one_dimension(means: Array, deviations: Array, *, kl: Any = kl_of_normals) -> Iterator[Check]:
    """The closed form equals the quadrature, also the other way round; at equal deviations both orders are equal."""
    nodes, weights = gauss_hermite(20)
    (m, n), (s, t) = means.tolist(), deviations.tolist()
    m1, n1, s1, t1 = (tg.tensor(value) for value in (m, n, s, t))
    for (a, u, b, v), closed in (((m, s, n, t), kl(m1, s1, n1, t1)), ((n, t, m, s), kl(n1, t1, m1, s1))):
        x = a + u * nodes
        exact = weights @ (log_normal_density(x, a, u) - log_normal_density(x, b, v))
        yield same("closed form = quadrature", closed, exact, QUAD)
    yield same("equal deviations: equal orders", kl(m1, s1, n1, s1), kl(n1, s1, m1, s1), ALG)
    zero, one = tg.tensor(0.0), tg.tensor(1.0)
    yield same("from N(0, 1)", kl(zero, one, n1, t1), math.log(t) + (1.0 + n**2) / (2.0 * t**2) - 0.5, ALG)


@one_dimension.falsification("the other order")
def reversed_normals(mean: tg.Tensor, deviation: tg.Tensor, mean2: tg.Tensor, deviation2: tg.Tensor) -> tg.Tensor:
    return kl_of_normals(mean2, deviation2, mean, deviation)


@one_dimension.falsification("deviation in place of the variance of the first")
def first_not_squared(mean: tg.Tensor, deviation: tg.Tensor, mean2: tg.Tensor, deviation2: tg.Tensor) -> tg.Tensor:
    return tg.log(deviation2 / deviation) + (deviation + (mean - mean2) ** 2) / (2.0 * deviation2**2) - 0.5


def trace_formula(mean: tg.Tensor, covariance: tg.Tensor, mean2: tg.Tensor, covariance2: tg.Tensor) -> tg.Tensor:
    """½ [tr(C₂⁻¹C₁) + Δᵀ C₂⁻¹ Δ − d + ln det C₂ − ln det C₁]."""
    ratio, shift = tg.linalg.solve(covariance2, covariance), mean - mean2
    squares = tg.trace(ratio) + tg.sum(shift * tg.linalg.solve(covariance2, shift))
    return 0.5 * (squares - mean.size - tg.linalg.slogdet(ratio)[1])


@DIV_6.part(means=arrays((2, 2)), first=positive_definite(2), second=positive_definite(2))
def two_dimensions(means: Array, first: Array, second: Array, *, kl: Any = trace_formula) -> Iterator[Check]:
    """The trace formula equals E_q[ln q − ln p] by quadrature over the plane."""
    nodes, weights = gauss_hermite(4)
    plane = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    mu, mu2, c, c2 = (tg.tensor(value) for value in (*means, first, second))
    x = mu + tg.tensor(plane) @ tg.linalg.cholesky(c).T
    log_ratio = MultivariateNormal(mu, c).log_prob(x) - MultivariateNormal(mu2, c2).log_prob(x)
    exact = np.outer(weights, weights).ravel() @ log_ratio.numpy()
    yield same("closed form = quadrature", kl(mu, c, mu2, c2), exact, QUAD)


@two_dimensions.falsification("determinants the other way round")
def inverted_ratio(mean: tg.Tensor, covariance: tg.Tensor, mean2: tg.Tensor, covariance2: tg.Tensor) -> tg.Tensor:
    ratio = tg.linalg.solve(covariance2, covariance)
    return trace_formula(mean, covariance, mean2, covariance2) + tg.linalg.slogdet(ratio)[1]


def gaussian_exponent(x: Array, mean: float, deviation: float) -> Array:
    """−(x − μ)² / (2σ²)."""
    return -((x - mean) ** 2) / (2.0 * deviation**2)


@DIV_6.part(mean=floats(-3.0, 3.0), deviation=floats(0.5, 3.0))
def density(mean: float, deviation: float, *, exponent: Any = gaussian_exponent) -> Iterator[Check]:
    """The density with this exponent integrates to 1."""
    x, weights = gauss_legendre(-40.0, 40.0, 8, panels=160)
    total = weights @ np.exp(exponent(x, mean, deviation)) / (deviation * math.sqrt(2.0 * math.pi))
    yield same("∫ q(x) dx = 1", total, 1.0, QUAD)


@density.erratum("E-08", "it integrates to e^{μ/2σ²}", printed=r"-(x^2-\mu_i)/2\sigma_i^2")
def square_of_x_alone(x: Array, mean: float, deviation: float) -> Array:
    return -(x**2 - mean) / (2.0 * deviation**2)


# --- DIV-7 -------------------------------------------------------------------------------------------------------

DIV_7 = Claim(
    "DIV-7",
    "Shape of the KL term in σ",
    r"\mu=0:\quad\tfrac12(\sigma^2-\ln\sigma^2-1),\quad\text{convex in }\ln\sigma^2,\ \text{least at }\sigma=1,"
    r"\ \to\infty\text{ as }\sigma\to0,\infty",
    sources="004",
)


def term(log_variance: tg.Tensor) -> tg.Tensor:
    """½ (eˡ − ℓ − 1), ℓ = ln σ²."""
    return 0.5 * (tg.exp(log_variance) - log_variance - 1.0)


@DIV_7.part(log_variance=st.one_of(st.just(0.0), floats(1e-6, 20.0), floats(-20.0, -1e-6)))
def valley(log_variance: float, *, term: Any = term) -> Iterator[Check]:
    """By autodiff: it falls left of ℓ = 0 and rises right of it, and is convex; it is 0 at 0, above its asymptotes."""
    at = tg.tensor(log_variance, requires_grad=True)
    (slope,) = tg.grad(term(at), at, create_graph=True)
    (curvature,) = tg.grad(slope, at)
    yield same("sign of the slope", tg.sign(slope), np.sign(log_variance), EXACT)
    yield at_least("convex", curvature, 0.0, EXACT)
    yield same("curvature ½ σ²", curvature, 0.5 * math.exp(log_variance), ALG)
    yield same("0 at σ = 1", term(tg.tensor(0.0)), 0.0, EXACT)
    yield at_least("→ ∞ as σ → 0", term(at), -0.5 * (log_variance + 1.0), ALG)
    yield at_least("→ ∞ as σ → ∞", term(at), 0.25 * max(log_variance, 0.0) ** 2, ALG)


@valley.falsification("σ in place of σ²: the valley stays, its curvature does not")
def deviation_for_variance(log_variance: tg.Tensor) -> tg.Tensor:
    return 2.0 * term(0.5 * log_variance)


@valley.falsification("without ln σ²: codes may become points")
def no_barrier(log_variance: tg.Tensor) -> tg.Tensor:
    return 0.5 * (tg.exp(log_variance) - 1.0)


def parabola(log_variance: float) -> float:
    """¼ ℓ²."""
    return 0.25 * log_variance**2


@DIV_7.part(size=floats(1e-4, 1e-2), sign=st.sampled_from([-1.0, 1.0]))
def near_the_prior(size: float, sign: float, *, approximation: Any = parabola) -> Iterator[Check]:
    """Near ℓ = 0 it is a parabola: the ratio of the two is 1 + ℓ/3 up to ℓ²."""
    ratio = term(tg.tensor(sign * size)).item() / approximation(sign * size)
    # e^ℓ − ℓ − 1 is rounded at 1e-16, which is 1e-7 of it at ℓ = 1e-4
    yield at_least("ratio = 1 + ℓ/3 + O(ℓ²)", size**2 + 1e-7, abs(ratio - 1.0 - sign * size / 3.0), EXACT)


@near_the_prior.falsification("½ ℓ²")
def twice_as_steep(log_variance: float) -> float:
    return 0.5 * log_variance**2


@DIV_7.part(mean=vectors(3), deviation=vectors(3, 0.1, 5.0))
def slice_of_the_loss(mean: Array, deviation: Array, *, kl: Any = kl_from_standard) -> Iterator[Check]:
    """The loss is this term plus ½ ‖μ‖²: at any μ it equals the quadrature of DIV-5."""
    nodes, weights = gauss_hermite(20)
    x = mean[:, None] + deviation[:, None] * nodes
    log_ratio = -np.log(deviation)[:, None] - 0.5 * nodes**2 + 0.5 * x**2
    yield same("KL", kl(tg.tensor(mean), tg.tensor(deviation)), (log_ratio @ weights).sum(), QUAD)


@slice_of_the_loss.erratum("E-09", "that is the slice μ = 0", printed=r"\tfrac12(\sigma_i^2-\ln\sigma_i^2-1)")
def mean_dropped(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return tg.sum(term(2.0 * tg.log(deviation)))


# --- DIV-8 -------------------------------------------------------------------------------------------------------

DIV_8 = Claim(
    "DIV-8",
    "Cross-entropy decomposition",
    r"\mathrm{KL}(q\,\|\,p)=\mathbb E_q\ln q-\mathbb E_q\ln p=-H(q)+H(q,p)",
    sources="001",
)


def decomposed(entropy: tg.Tensor, cross_entropy: tg.Tensor) -> tg.Tensor:
    """−H(q) + H(q, p)."""
    return cross_entropy - entropy


@DIV_8.part(laws_of=laws(zeros=True))
def of_tables(laws_of: Pair, *, kl: Any = decomposed) -> Iterator[Check]:
    """For tables: the two parts add up to the divergence, taken outcome by outcome."""
    q, p = map(tg.tensor, laws_of)
    entropy, cross_entropy = -tg.sum(tg.xlogy(q, q)), -tg.sum(tg.xlogy(q, p))
    yield same("KL(q‖p)", kl(entropy, cross_entropy), enumerated(*laws_of), ALG)
    yield at_least("Gibbs: H(q, p) ≥ H(q)", cross_entropy, entropy, ALG)


@DIV_8.part(means=arrays(2), deviations=arrays(2, 0.1, 5.0))
def of_normals(means: Array, deviations: Array, *, kl: Any = decomposed) -> Iterator[Check]:
    """For normals: closed forms of both parts against the closed form of DIV-6."""
    (m, n), (s, t) = means.tolist(), deviations.tolist()
    q, p = Normal(m, s), Normal(n, t)
    cross_entropy = -p.log_prob(m) + 0.5 * (s / t) ** 2  # E ln p at the mean, and what the spread adds
    yield same("KL(q‖p)", kl(q.entropy(), cross_entropy), kl_divergence(q, p), ALG)


@of_tables.falsification("entropy added")
@of_normals.falsification("entropy added")
def wrong_sign(entropy: tg.Tensor, cross_entropy: tg.Tensor) -> tg.Tensor:
    return entropy + cross_entropy
