"""Chapter 4, second part. The optimal discriminator, the value of the game against it, and the equilibrium."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.divergences import js, kl, total_variation
from tinygen.lectures.claim import ALG, EXACT, OPT, Check, Claim, at_least, holds, same
from tinygen.lectures.gan import loss_from_logits, value
from tinygen.testing.strategies import arrays, floats, laws, sizes, vectors

Array = np.ndarray
LN4 = math.log(4.0)


def optimal(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """D* = p / (p + q) (GAN-6), and ½ where neither law puts mass: there any number would do."""
    possible = p + q > 0.0
    return tg.where(possible, p / tg.where(possible, p + q, 1.0), 0.5)


def optimal_value(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """V(q, D*) = E_p ln(p/(p+q)) + E_q ln(q/(p+q)), by its definition and without a 1 − D* that would cancel."""
    total = tg.where(p + q > 0.0, p + q, 1.0)
    return tg.sum(tg.xlogy(p, p / total) + tg.xlogy(q, q / total))


def law_of_scores(scores: tg.Tensor) -> tg.Tensor:
    """The softmax: a generator with a parameter for each outcome."""
    return tg.softmax(scores)


# --- GAN-6 -------------------------------------------------------------------------------------------------------

GAN_6 = Claim(
    "GAN-6",
    "Optimal discriminator",
    r"D^*(x)=\frac{p(x)}{p(x)+q(x)},\qquad \mathrm{logit}\,D^*=\ln\frac{p(x)}{q(x)}",
    sources="000 001",
    assumptions="D unrestricted, as much real as fake; undefined where p = q = 0",
)


def newton_logits(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """Logits that maximise V, trained from 0 by 60 Newton steps; derivatives by the engine."""
    s = tg.zeros_like(p)
    for _ in range(60):
        s.requires_grad = True
        (slope,) = tg.grad(-loss_from_logits(p, q, s), s, create_graph=True)
        (curvature,) = tg.grad(tg.sum(slope), s)  # V is a sum over x: its Hessian is diagonal
        s = s.detach() - slope.detach() / curvature
    return s


@GAN_6.part(pq=laws(), most=10)
def trained(pq: tuple[Array, Array], *, discriminator: Any = optimal) -> Iterator[Check]:
    """Logits trained on V from 0 end at D*, and differ by ln p − ln q."""
    p, q = map(tg.tensor, pq)
    s = newton_logits(p, q)
    yield same("trained = D*", tg.sigmoid(s), discriminator(p, q), OPT)
    yield same("logit = ln p − ln q", s, np.log(pq[0]) - np.log(pq[1]), OPT)


@trained.falsification("half of the ratio p/q")
def half_ratio(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return tg.minimum(0.5 * p / q, 1.0)


@GAN_6.part(pq=laws(zeros=True), shade=floats(0, 3))
def sub_optimality(pq: tuple[Array, Array], shade: float, *, discriminator: Any = optimal) -> Iterator[Check]:
    """V(D*) − V(D) = Σ (p + q) KL(Bern(D*) ‖ Bern(D)) for any D, with exact zeros in the laws; so D* is best."""
    p, q = map(tg.tensor, pq)
    D = tg.sigmoid(shade * tg.sin(1.0 + tg.arange(p.size, dtype=p.dtype)))
    best = discriminator(p, q)
    distance = kl(tg.stack([best, 1.0 - best], axis=-1), tg.stack([D, 1.0 - D], axis=-1))
    gain = optimal_value(p, q) - value(p, q, D)
    yield same("gain = weighted KL", gain, tg.sum((p + q) * distance), ALG)
    yield at_least("D* is best", gain, 0.0, ALG)
    equal = discriminator(p, p)
    yield same("½ where p = q", equal, 0.5, EXACT)


@sub_optimality.falsification("real and fake exchanged")
def of_the_fakes(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return optimal(q, p)


def line_between_gaussians(x: tg.Tensor, real: float, fake: float, deviation: float) -> tg.Tensor:
    """(μ₁ − μ₂) x / s² − (μ₁² − μ₂²) / (2 s²)."""
    return (real - fake) * x / deviation**2 - (real**2 - fake**2) / (2.0 * deviation**2)


@GAN_6.part(real=floats(-3, 3), fake=floats(-3, 3), deviation=floats(0.3, 3))
def equal_gaussians(
    real: float, fake: float, deviation: float, *, logit: Any = line_between_gaussians
) -> Iterator[Check]:
    """Of two Gaussians with one variance, a logit linear in x gives D*: a logistic regression reaches it."""
    x = np.linspace(-4.0, 4.0, 17)
    scores = logit(tg.tensor(x), real, fake, deviation)
    densities_of = [tg.distributions.Normal(tg.tensor(mean), tg.tensor(deviation)) for mean in (real, fake)]
    log_p, log_q = (law.log_prob(tg.tensor(x)) for law in densities_of)
    yield same("logit = ln p − ln q", scores, log_p - log_q, ALG)
    yield same("σ(logit) = p / (p + q)", tg.sigmoid(scores), optimal(tg.exp(log_p), tg.exp(log_q)), ALG)


@equal_gaussians.falsification("without the constant")
def through_the_origin(x: tg.Tensor, real: float, fake: float, deviation: float) -> tg.Tensor:
    return (real - fake) * x / deviation**2


# --- GAN-7 -------------------------------------------------------------------------------------------------------

GAN_7 = Claim(
    "GAN-7",
    "Value at the optimal discriminator",
    r"V(q,D^*)=-\ln4+\mathrm{KL}(p\|m)+\mathrm{KL}(q\|m)=-\ln4+2\,\mathrm{JS}(p,q),\qquad m=\tfrac12(p+q)",
    sources="000 001",
)


def value_by_divergences(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """−ln 4 + KL(p ‖ m) + KL(q ‖ m)."""
    middle = 0.5 * (p + q)
    return -LN4 + kl(p, middle) + kl(q, middle)


@GAN_7.part(pq=laws(size=sizes(2, 20), zeros=True))
def value_of_the_game(pq: tuple[Array, Array], *, formula: Any = value_by_divergences) -> Iterator[Check]:
    """V at D* = p/(p+q) equals −ln 4 plus the divergences, in nats and in bits, and lies in [−ln 4, 0]."""
    p, q = map(tg.tensor, pq)
    v = value(p, q, optimal(p, q))
    yield same("V(q, D*) = −ln 4 + KL + KL", formula(p, q), v, ALG)
    yield same("in bits −2 + 2 JS", formula(p, q) / math.log(2.0), -2.0 + 2.0 * js(p, q, base=2), ALG)
    yield at_least("V ≥ −ln 4", v, -LN4, ALG)
    yield at_least("V ≤ 0", 0.0, v, ALG)


@value_of_the_game.erratum(
    "E-16", "the leading term has the wrong sign (the 4 scanned as q)", printed=r"\log_2 q+\mathrm{KL}+\mathrm{KL}"
)
def plus_log_four(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return value_by_divergences(p, q) + 2.0 * LN4


def excess_of(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """2 JS(p, q)."""
    return 2.0 * js(p, q)


@GAN_7.part(pq=laws(zeros=True))
def excess(pq: tuple[Array, Array], *, formula: Any = excess_of) -> Iterator[Check]:
    """The value lost by a generator q, V(q, D*) − V(p, ½), is 2 JS."""
    p, q = map(tg.tensor, pq)
    lost = value(p, q, optimal(p, q)) - value(p, p, tg.full_like(p, 0.5))
    yield same("V(q, D*) − V(p, ½)", formula(p, q), lost, ALG)


@excess.erratum(
    "E-17",
    "one value taken from itself, and half of the excess",
    printed=r"V(q_{opt},d_{opt})-V(q_{opt},d_{opt})=\mathrm{JS}",
)
def half_of_it(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return js(p, q)


@excess.erratum("E-17", "read literally, the difference is 0", printed=r"V(q_{opt},d_{opt})-V(q_{opt},d_{opt})")
def from_itself(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return value(p, p, optimal(p, p)) - value(p, p, optimal(p, p))


@GAN_7.part(p=laws(count=1, size=5), scores=vectors(5, -3, 3))
def envelope(p: tuple[Array], scores: Array, *, divergence: Any = excess_of) -> Iterator[Check]:
    """In the generator's parameters, autodiff of E_q ln(1 − D*) with D* frozen equals autodiff of 2 JS(p, q)."""
    data, theta = tg.tensor(p[0]), tg.tensor(scores, requires_grad=True)
    q = law_of_scores(theta)
    frozen = (q / (data + q)).detach()  # 1 − D*
    (saturating,) = tg.grad(tg.sum(q * tg.log(frozen)), theta)
    (whole,) = tg.grad(divergence(data, q), theta)
    yield same("∇ with D* frozen = ∇ 2 JS", saturating, whole, ALG)


@envelope.falsification("KL(p ‖ q) instead of 2 JS")
def as_maximum_likelihood(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return kl(p, q)


# --- GAN-8 -------------------------------------------------------------------------------------------------------

GAN_8 = Claim(
    "GAN-8",
    "Global optimum",
    r"\min_qV(q,D^*)=-\ln4\ \text{ iff }\ q=p,\ \text{where }D^*\equiv\tfrac12",
    sources="000 001",
)


def least_value() -> float:
    """−ln 4: the same as 2 ln ½."""
    return -LN4


@GAN_8.part(pq=laws(size=sizes(2, 20), zeros=True))
def minimum(pq: tuple[Array, Array], *, least: Any = least_value) -> Iterator[Check]:
    """V(q, D*) exceeds −ln 4 by at least the squared total variation, so only q = p attains it; there D* = ½."""
    p, q = map(tg.tensor, pq)
    yield at_least("V(q, D*) ≥ −ln 4 + TV²", optimal_value(p, q), least() + total_variation(p, q) ** 2, ALG)
    yield same("V(p, D*) = −ln 4", optimal_value(p, p), least(), ALG)
    yield same("D* = ½ at q = p", optimal(p, p), 0.5, EXACT)


@minimum.falsification("−ln 2")
def minus_ln_two() -> float:
    return -math.log(2.0)


def generator_is_data(q_opt: Array, p_opt: Array, p: Array) -> bool:
    """The hypothesis of the theorem: q_opt = p."""
    return bool(np.array_equal(q_opt, p))


@GAN_8.part(pq=laws())
def hypothesis_of_the_theorem(pq: tuple[Array, Array], *, hypothesis: Any = generator_is_data) -> Iterator[Check]:
    """Whenever the hypothesis holds for a generator q_opt (the law of data itself, or another), V is −ln 4."""
    p, q = pq
    for name, q_opt in (("q_opt = p", p), ("another q_opt", q)):
        v = optimal_value(tg.tensor(p), tg.tensor(q_opt)) if hypothesis(q_opt, p, p) else -LN4
        yield same(f"{name}: hypothesis ⇒ V = −ln 4", v, -LN4, ALG)


@hypothesis_of_the_theorem.erratum(
    "E-18", "says nothing of the generator: p_opt is the law of data itself", printed=r"p_{opt}=p"
)
def data_is_data(q_opt: Array, p_opt: Array, p: Array) -> bool:
    return bool(np.array_equal(p_opt, p))


def latest(first: tg.Tensor, current: tg.Tensor) -> tg.Tensor:
    """The generator that the discriminator answers in each step."""
    return current


@GAN_8.part(p=vectors(3, -1, 1), start=vectors(3, -1, 1), most=5)
def descent(p: Array, start: Array, *, answered: Any = latest) -> Iterator[Check]:
    """Gradient descent of a generator against the best answer to it reaches JS below 1e-6 from any start."""
    data, theta = law_of_scores(tg.tensor(p)), tg.tensor(start)
    first = law_of_scores(theta)
    for _ in range(250):
        theta.requires_grad = True
        q = law_of_scores(theta)
        D = optimal(data, answered(first, q.detach()))
        (slope,) = tg.grad(tg.sum(q * tg.log(1.0 - D)), theta)
        theta = theta.detach() - 3.0 * slope
    yield at_least("JS < 1e-6", 1e-6, js(data, law_of_scores(theta)), EXACT)


@descent.falsification("a discriminator that answers only the first generator")
def only_the_first(first: tg.Tensor, current: tg.Tensor) -> tg.Tensor:
    return first


# --- GAN-9 -------------------------------------------------------------------------------------------------------

GAN_9 = Claim(
    "GAN-9",
    "Zero-sum game, Nash equilibrium, saddle",
    r"V(p,D)\le V(p,\tfrac12)=V(q,\tfrac12)\ \text{ for all }q,D",
    sources="003",
    assumptions="V is linear in q and concave in D as functions; networks have neither property in their parameters",
)


def equilibrium(p: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """(q*, D*) = (p, ½)."""
    return p, tg.full_like(p, 0.5)


@GAN_9.part(pq=laws(size=4, zeros=True), D=arrays(4, 0.01, 0.99))
def saddle(pq: tuple[Array, Array], D: Array, *, nash: Any = equilibrium) -> Iterator[Check]:
    """No other discriminator raises V at (q*, D*), no other generator lowers it, and V(q, ½) = −ln 4 for every q."""
    p, q = map(tg.tensor, pq)
    generator, discriminator = nash(p)
    v = value(p, generator, discriminator)
    yield at_least("D cannot gain", v, value(p, generator, tg.tensor(D)), ALG)
    yield at_least("G cannot gain", value(p, q, discriminator), v, ALG)
    yield same("V(q, ½) = −ln 4", value(p, q, discriminator), -LN4, ALG)


@saddle.falsification("a discriminator that believes everything a little")
def believing(p: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return p, tg.full_like(p, 0.6)


@saddle.falsification("any generator")
def uniform_generator(p: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return tg.full_like(p, 1.0 / p.size), tg.full_like(p, 0.5)


def has_saddle(payoff: Array) -> bool:
    """Whether an entry is the largest of its row and the smallest of its column."""
    in_row = payoff == payoff.max(axis=1, keepdims=True)
    in_column = payoff == payoff.min(axis=0, keepdims=True)
    return bool((in_row & in_column).any())


@GAN_9.part(payoff=hnp.arrays(np.float64, (3, 4), elements=st.integers(-3, 3).map(float)))
def minimax_theorem(payoff: Array, *, orders_agree: Any = has_saddle) -> Iterator[Check]:
    """For payoffs V[g, d]: max min ≤ min max always, with equality exactly if there is a saddle."""
    table = tg.tensor(payoff)
    lower, upper = tg.max(tg.min(table, axis=0)).item(), tg.min(tg.max(table, axis=1)).item()
    yield at_least("max min ≤ min max", upper, lower, EXACT)
    yield holds("equal iff there is a saddle", (lower == upper) == orders_agree(payoff), f"{lower} and {upper}")


@minimax_theorem.erratum("E-19", "claimed without a condition", printed=r"\min\max=\max\min")
def always(payoff: Array) -> bool:
    return True


def growth(rate: float) -> float:
    """What simultaneous steps of the two players multiply x² + y² by in the game xy: 1 + η²."""
    return 1.0 + rate**2


@GAN_9.part(x=floats(0.1, 3), y=floats(-3, 3), rate=floats(0.01, 1))
def rotation(x: float, y: float, rate: float, *, factor: Any = growth) -> Iterator[Check]:
    """In the game min_x max_y xy, simultaneous gradient steps (by autodiff) leave the saddle (0, 0)."""
    a, b = tg.tensor(x, requires_grad=True), tg.tensor(y, requires_grad=True)
    down, up = tg.grad(a * b, (a, b))
    after = (a - rate * down) ** 2 + (b + rate * up) ** 2
    yield same("x² + y² grows by 1 + η²", after, factor(rate) * (x**2 + y**2), ALG)


@rotation.falsification("steps that approach the saddle")
def contraction(rate: float) -> float:
    return 1.0 - rate**2
