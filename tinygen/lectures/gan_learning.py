"""Chapter 4, third part. Learning the adversarial game: gradients of both players, and the training scheme."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.divergences import js, kl
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, QUAD, Check, Claim, Unchecked, at_least, holds, same
from tinygen.lectures.gan import log_likelihood, normal_density
from tinygen.lectures.gan_optimum import law_of_scores
from tinygen.lectures.numerics import central_difference, gauss_hermite, gauss_legendre
from tinygen.testing.strategies import arrays, floats, laws, sizes, vectors, well_conditioned

Array = np.ndarray


# --- GAN-10 ------------------------------------------------------------------------------------------------------

GAN_10 = Claim(
    "GAN-10",
    "Thief and police",
    r"\text{a small step of }G\text{ raises }\mathbb E_z D(G(z));\quad\text{a small step of }D\text{ raises }V",
    sources="003",
)

SMALL = 1e-2  # a step along a gradient raises a function with curvature below 2/SMALL; those here have less than 20


class Chase(NamedTuple):
    """Examples and codes (n, d), a linear logit with weights (d,) and a bias, a generator z + shift (d,)."""

    real: Array
    codes: Array
    weights: Array
    bias: float
    shift: Array


@st.composite
def chases(draw: st.DrawFn) -> Chase:
    n, d = draw(sizes(1, 4)), draw(sizes(1, 3))
    real, codes = draw(arrays((n, d), -2.0, 2.0)), draw(arrays((n, d), -1.0, 1.0))
    weights, shift = draw(arrays(d, -2.0, 2.0)), draw(arrays(d, -1.0, 1.0))
    return Chase(real, codes, weights, draw(floats(-2.0, 2.0)), shift)


def police_aim(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """What the discriminator raises, of probabilities D: V."""
    return log_likelihood(real, fake)


@GAN_10.part(chase=chases())
def police(chase: Chase, *, aim: Any = police_aim) -> Iterator[Check]:
    """One small step of the discriminator along the gradient of its aim raises V with the generator fixed."""
    real, fake = tg.tensor(chase.real), tg.tensor(chase.codes + chase.shift)

    def both(weights: tg.Tensor, bias: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return tg.sigmoid(tg.matmul(real, weights) + bias), tg.sigmoid(tg.matmul(fake, weights) + bias)

    weights, bias = tg.tensor(chase.weights, requires_grad=True), tg.tensor(chase.bias, requires_grad=True)
    before = both(weights, bias)
    steps = tg.grad(aim(*before), (weights, bias), allow_unused=True)
    moved = [x if g is None else x + SMALL * g for x, g in zip((weights, bias), steps, strict=True)]
    yield at_least("V rises", log_likelihood(*both(*moved)), log_likelihood(*before), ALG)


@police.erratum(
    "E-20",
    "that is the aim of the thief",
    printed=r"\text{police: increase the probability of fake being real}",
)
def aim_of_the_thief(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    return tg.mean(tg.log(fake))


def thief_loss(fake: tg.Tensor) -> tg.Tensor:
    """What the generator lowers, of probabilities D(G(z)): E ln(1 − D(G(z)))."""
    return tg.mean(tg.log(1.0 - fake))


@GAN_10.part(chase=chases())
def thief(chase: Chase, *, loss: Any = thief_loss) -> Iterator[Check]:
    """One small step of the generator down its loss raises the mean of D(G(z)) with the discriminator fixed."""
    weights, codes = tg.tensor(chase.weights), tg.tensor(chase.codes)

    def believed(shift: tg.Tensor) -> tg.Tensor:
        return tg.sigmoid(tg.matmul(codes + shift, weights) + chase.bias)

    shift = tg.tensor(chase.shift, requires_grad=True)
    (step,) = tg.grad(loss(believed(shift)), shift)
    yield at_least("mean D(G(z)) rises", tg.mean(believed(shift - SMALL * step)), tg.mean(believed(shift)), ALG)


@thief.falsification("a generator that helps the police")
def honest_loss(fake: tg.Tensor) -> tg.Tensor:
    return -tg.mean(tg.log(1.0 - fake))


# --- GAN-11 ------------------------------------------------------------------------------------------------------

GAN_11 = Claim(
    "GAN-11",
    "Vanishing gradient with a perfect discriminator",
    r"\frac{d}{ds}\ln(1-\sigma(s))=-\sigma(s)=-D\to0,\qquad \frac{d}{ds}\ln\sigma(s)=1-D\to0\text{ on real}",
    sources="002 001",
    assumptions="D = σ(s)",
)


def saturating_slope(s: Array) -> Array:
    """d ln(1 − σ(s)) / ds = −σ(s)."""
    return np.asarray(-1.0 / (1.0 + np.exp(-s)))


@GAN_11.part(s=vectors(6, -30, 30))
def slopes(s: Array, *, slope: Any = saturating_slope) -> Iterator[Check]:
    """The slopes on fake and on real, from the formula, from autodiff, and from differences of the logarithms."""
    scores = tg.tensor(s, requires_grad=True)
    yield same("fake: autodiff", tg.grad(tg.sum(tg.log_sigmoid(-scores)), scores)[0], slope(s), ALG)
    yield same("real: autodiff", tg.grad(tg.sum(tg.log_sigmoid(scores)), scores)[0], 1.0 + slope(s), ALG)
    numeric = central_difference(lambda t: np.array(-np.log(1.0 + np.exp(t)).sum()), s)
    yield same("fake: differences", numeric, slope(s), FD)


@slopes.falsification("1 − D instead of D")
def of_the_other_side(s: Array) -> Array:
    return np.asarray(-1.0 / (1.0 + np.exp(s)))


def overlap_decay(ratio: float) -> float:
    """exp(−r²/8): √(p q) of two equal normals, r = μ/σ apart, integrates to it."""
    return math.exp(-(ratio**2) / 8.0)


@GAN_11.part(ratio=floats(0.1, 20), deviation=floats(0.1, 2), most=40)
def gaussians_apart(ratio: float, deviation: float, *, decay: Any = overlap_decay) -> Iterator[Check]:
    """N(0, σ²) against N(μ, σ²) and D*: the slope of the saturating loss in μ decays as exp(−μ²/8σ²), the other not.

    Autodiff through the samples μ + σz is compared with (μ/σ²) exp(−r²/8) ∫ φ(t) / (2 cosh(rt/2)) dt.
    """
    mean = ratio * deviation
    steepness = mean / deviation**2
    z, weights = gauss_legendre(-22.0, 12.0, 20, panels=150)
    place = tg.tensor(mean, requires_grad=True)
    scores = -steepness * (place + deviation * tg.tensor(z) - mean / 2.0)  # the logit of D*, with D* frozen
    expectation = tg.tensor(weights * normal_density(z))
    (saturating,) = tg.grad(tg.sum(expectation * tg.log_sigmoid(-scores)), place)
    (other,) = tg.grad(-tg.sum(expectation * tg.log_sigmoid(scores)), place)
    t, weights = gauss_legendre(-12.0, 12.0, 20, panels=150)
    integral = weights @ (normal_density(t) / (2.0 * np.cosh(ratio * t / 2.0)))
    yield same("relative to the formula", saturating / (steepness * decay(ratio) * integral), 1.0, QUAD)
    yield same("saturating + non-saturating = |s′|", saturating + other, steepness, QUAD)
    yield at_least("at most ½ |s′| exp(−r²/8)", 0.5 * decay(ratio), saturating / steepness, ALG)


@gaussians_apart.falsification("the decay of a density")
def density_decay(ratio: float) -> float:
    return math.exp(-(ratio**2) / 2.0)


class Situation(NamedTuple):
    """Where a network stands: the value of its loss there, and D."""

    loss: float
    D: float


def saturated(at: Situation) -> bool:
    """Learning stops where D is exactly 0 in floating point."""
    return at.D == 0.0


@GAN_11.part(score=st.one_of(floats(-800, -746), floats(-700, 30)), baseline=st.booleans())
def why_it_stops(score: float, baseline: bool, *, stuck: Any = saturated) -> Iterator[Check]:
    """The slope of ln(1 − σ(s)), with a constant added that makes its value 0 or not, is 0 exactly if D is."""
    s = tg.tensor(score, requires_grad=True)
    loss = tg.log_sigmoid(-s)
    loss = loss - loss.detach() if baseline else loss
    (slope,) = tg.grad(loss, s)
    at = Situation(loss.item(), tg.sigmoid(s).item())
    yield holds("slope 0 iff stuck", (slope.item() == 0.0) == stuck(at), f"slope {slope.item():.3g} for {at}")


@why_it_stops.erratum("E-21", "inferred from the value of the loss", printed=r"L=0\ \Rightarrow\ \nabla L=0")
def value_is_zero(at: Situation) -> bool:
    return at.loss == 0.0


# --- GAN-12 ------------------------------------------------------------------------------------------------------

GAN_12 = Claim(
    "GAN-12",
    "Trick 1: separate losses, the non-saturating generator",
    r"L_G=-\mathbb E_z\ln D(G(z)),\qquad \frac{d}{ds}\big(-\ln\sigma(s)\big)=-(1-\sigma(s))",
    sources="001 000",
)


def non_saturating_slope(D: Array) -> Array:
    """d(−ln σ(s)) / ds = −(1 − D)."""
    return -(1.0 - D)


@GAN_12.part(s=vectors(6, -30, 30))
def non_saturating(s: Array, *, slope: Any = non_saturating_slope) -> Iterator[Check]:
    """Autodiff and differences agree with −(1 − D); sign and ratio (1 − D)/D = e⁻ˢ to the saturating slope."""
    scores = tg.tensor(s, requires_grad=True)
    (found,) = tg.grad(-tg.sum(tg.log_sigmoid(scores)), scores)
    (saturating,) = tg.grad(tg.sum(tg.log_sigmoid(-scores)), scores)
    claimed = slope(1.0 / (1.0 + np.exp(-s)))
    yield same("autodiff", found, claimed, ALG)
    yield same("differences", central_difference(lambda t: np.array(np.log(1.0 + np.exp(-t)).sum()), s), claimed, FD)
    yield same("ratio", found / saturating, np.exp(-s), ALG)
    yield same("−½ at D = ½", slope(np.array(0.5)), -0.5, EXACT)


@non_saturating.falsification("the saturating slope")
def minus_the_probability(D: Array) -> Array:
    return -D


def generator_loss(fake: tg.Tensor) -> tg.Tensor:
    """−ln D, outcome by outcome."""
    return -tg.log(fake)


@GAN_12.part(p=laws(count=1, size=5))
def fixed_point(p: tuple[Array], *, loss: Any = generator_loss) -> Iterator[Check]:
    """The fixed point stays: at q = p, D* = ½ the slope (autodiff) is 0.  But L_D + L_G on fakes is 0 no longer."""
    theta = tg.tensor(np.log(p[0]), requires_grad=True)
    q = law_of_scores(theta)
    D = tg.full_like(q, 0.5)
    (slope,) = tg.grad(tg.sum(q * loss(D)), theta)
    yield same("∂L_G/∂θ", slope, 0.0, ALG)
    certain = tg.tensor(1e-6)  # the discriminator's loss on fakes is −ln(1 − D) ≈ 0 there
    yield at_least("not zero-sum: L_D + L_G on fakes at D ≈ 0", loss(certain) - tg.log(1.0 - certain), 10.0, ALG)


@fixed_point.falsification("the zero-sum loss")
def zero_sum(fake: tg.Tensor) -> tg.Tensor:
    return tg.log(1.0 - fake)


# --- GAN-13 ------------------------------------------------------------------------------------------------------

GAN_13 = Claim(
    "GAN-13",
    "What the non-saturating loss minimises",
    r"-\mathbb E_q\ln D^*=\ln2+\mathrm{KL}(q\|p)-\mathrm{KL}(q\|m),\qquad"
    r"\nabla_\theta\big|_{D^*\text{ frozen}}=\nabla_\theta[\mathrm{KL}(q_\theta\|p)-2\,\mathrm{JS}(p,q_\theta)]",
    sources="000",
    assumptions="p > 0 wherever q > 0",
)


def reverse_kl_value(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """ln 2 + KL(q ‖ p) − KL(q ‖ m)."""
    return math.log(2.0) + kl(q, p) - kl(q, 0.5 * (p + q))


@GAN_13.part(pq=laws(size=sizes(2, 20)))
def value_at_the_optimum(pq: tuple[Array, Array], *, formula: Any = reverse_kl_value) -> Iterator[Check]:
    """−E_q ln D* of tables equals the formula of divergences."""
    p, q = map(tg.tensor, pq)
    yield same("−E_q ln D*", formula(p, q), -tg.sum(q * tg.log(p / (p + q))), ALG)


@value_at_the_optimum.falsification("without the term KL(q ‖ m)")
def only_reverse_kl(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return math.log(2.0) + kl(q, p)


def what_it_descends(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """KL(q ‖ p) − 2 JS(p, q)."""
    return kl(q, p) - 2.0 * js(p, q)


@GAN_13.part(p=laws(count=1, size=5), scores=vectors(5, -3, 3))
def gradient(p: tuple[Array], scores: Array, *, potential: Any = what_it_descends) -> Iterator[Check]:
    """Autodiff of −E_q ln D* with D* frozen equals autodiff of KL(q ‖ p) − 2 JS, in a softmax generator."""
    data, theta = tg.tensor(p[0]), tg.tensor(scores, requires_grad=True)
    q = law_of_scores(theta)
    D = (data / (data + q)).detach()
    (frozen,) = tg.grad(-tg.sum(q * tg.log(D)), theta)
    (whole,) = tg.grad(potential(data, q), theta)
    yield same("∇ with D* frozen", frozen, whole, ALG)


@gradient.falsification("the re-optimised value itself")
def value_itself(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return reverse_kl_value(p, q)


@gradient.falsification("JS counted once")
def js_once(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return kl(q, p) - js(p, q)


E_22 = Unchecked(
    "E-22",
    "The law of G(z) is called d in one line",
    "the notes leave “−E ln D(x) = ?” open and print nothing that could be wrong; GAN-13 proves the answer",
)


# --- GAN-14 ------------------------------------------------------------------------------------------------------

GAN_14 = Claim(
    "GAN-14",
    "GAN training scheme",
    r"\lambda\leftarrow\lambda+\eta\nabla_\lambda\tfrac1M\sum_j[\ln d(x_j)+\ln(1-d(g(z_j)))]\ (k_D\times),\quad"
    r"\theta\leftarrow\theta-\eta\nabla_\theta\tfrac1M\sum_j\ln(1-d(g(z_j)))\ (k_G\times)",
    sources="001 003",
)

RATE = 0.2


class Schedule(NamedTuple):
    """Start values of D(x) = σ(λx) and G(z) = z + θ, numbers of steps, and the batches to draw (steps, M)."""

    slope: float
    shift: float
    k_d: int
    k_g: int
    real: Array
    codes: Array


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    k_d, k_g, m = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 3))
    real, codes = draw(arrays((k_d, m), -2.0, 2.0)), draw(arrays((k_d + k_g, m), -2.0, 2.0))
    return Schedule(draw(floats(-2.0, 2.0)), draw(floats(-2.0, 2.0)), k_d, k_g, real, codes)


class Draws:
    """Hands out batches one after the other, and remembers the last one."""

    def __init__(self, batches: Array) -> None:
        self._batches = iter(batches)
        self.count = 0

    def fresh(self) -> tg.Tensor:
        self.count += 1
        self.last = tg.tensor(next(self._batches))
        return self.last


def up_and_down() -> tuple[float, float]:
    """The signs of the steps along the gradients of L_λ and L_θ."""
    return 1.0, -1.0


def fresh_codes(codes: Draws) -> tg.Tensor:
    """What the generator's step draws."""
    return codes.fresh()


def hand_written(plan: Schedule) -> tuple[Array, Array]:
    """λ and θ after one round, from derivatives taken by hand."""
    lam, theta = plan.slope, plan.shift
    for x, z in zip(plan.real, plan.codes, strict=False):
        fake = z + theta
        lam = lam + RATE * (x / (1.0 + np.exp(lam * x)) - fake / (1.0 + np.exp(-lam * fake))).mean()
    for z in plan.codes[plan.k_d :]:
        theta = theta + RATE * lam * (1.0 / (1.0 + np.exp(-lam * (z + theta)))).mean()
    return np.array(lam), np.array(theta)


@GAN_14.part(plan=schedules())
def scheme(plan: Schedule, *, signs: Any = up_and_down, codes_of_g: Any = fresh_codes) -> Iterator[Check]:
    """One round with optimisers and autodiff equals one written out by hand; who draws what; who stays as it is."""
    lam, theta = tg.tensor(plan.slope, requires_grad=True), tg.tensor(plan.shift, requires_grad=True)
    real, codes = Draws(plan.real), Draws(plan.codes)
    of_d, of_g = tg.optim.SGD([lam], lr=RATE), tg.optim.SGD([theta], lr=RATE)
    sign_d, sign_g = signs()
    for _ in range(plan.k_d):  # (i)
        ascent = tg.log_sigmoid(lam * real.fresh()) + tg.log_sigmoid(-lam * (codes.fresh() + theta))
        of_d.minimize(-sign_d * tg.mean(ascent))
    yield same("(i) leaves θ", theta, plan.shift, EXACT)
    after_d = lam.item()
    for _ in range(plan.k_g):  # (ii)
        of_g.minimize(-sign_g * tg.mean(tg.log_sigmoid(-lam * (codes_of_g(codes) + theta))))
    yield same("(ii) leaves λ", lam, after_d, EXACT)
    by_hand = hand_written(plan)
    yield same("λ", lam, by_hand[0], ALG)
    yield same("θ", theta, by_hand[1], ALG)
    yield same("real batches, code batches", [real.count, codes.count], [plan.k_d, plan.k_d + plan.k_g], EXACT)


@scheme.erratum(
    "E-59",
    "the signs of the steps are not stated: an optimiser descends both",
    printed=r"\text{optimiser step with }\nabla_\lambda L_\lambda;\ \text{optimiser step with }\nabla_\theta L_\theta",
    replaces="signs",
)
def both_down() -> tuple[float, float]:
    return -1.0, -1.0


@scheme.falsification("a generator that climbs its loss", replaces="signs")
def both_up() -> tuple[float, float]:
    return 1.0, 1.0


@scheme.falsification("codes of the discriminator's step used again", replaces="codes_of_g")
def used_again(codes: Draws) -> tg.Tensor:
    return codes.last


class Prior(NamedTuple):
    """A normal prior N(μ, C Cᵀ) of codes, and a first layer W z + b."""

    mean: Array
    factor: Array
    weight: Array
    bias: Array


@st.composite
def priors(draw: st.DrawFn) -> Prior:
    factor, weight = draw(well_conditioned(2)), draw(arrays((2, 2), -2.0, 2.0))
    return Prior(draw(vectors(2, -2.0, 2.0)), factor, weight, draw(vectors(2, -2.0, 2.0)))


def absorbed(prior: Prior) -> tuple[Array, Array]:
    """The layer (W C, b + W μ), which makes of z ~ N(0, I) what (W, b) makes of z ~ N(μ, C Cᵀ)."""
    return prior.weight @ prior.factor, prior.bias + prior.weight @ prior.mean


@GAN_14.part(prior=priors())
def standard_prior(prior: Prior, *, layer: Any = absorbed) -> Iterator[Check]:
    """A layer fed with N(0, I) has, by quadrature, the mean and covariance of W N(μ, Σ) + b: μ, Σ are absorbed."""
    nodes, weights = gauss_hermite(3)  # exact for moments up to order 5
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    probability = tg.tensor(np.outer(weights, weights).reshape(-1, 1))
    weight, bias = layer(prior)
    h = tg.linear(tg.tensor(z), tg.tensor(weight), tg.tensor(bias))
    mean = tg.sum(probability * h, axis=0)
    covariance = tg.matmul((h - mean).T, probability * (h - mean))
    sigma = prior.factor @ prior.factor.T
    yield same("mean", mean, prior.weight @ prior.mean + prior.bias, LIN)
    yield same("covariance", covariance, prior.weight @ sigma @ prior.weight.T, LIN)


@standard_prior.erratum(
    "E-23",
    "two priors in use: the same layer gives two laws",
    printed=r"z\sim N(z\mid\mu,\Sigma)\text{ here, }z\sim N(0,I)\text{ elsewhere}",
)
def same_layer(prior: Prior) -> tuple[Array, Array]:
    return prior.weight, prior.bias
