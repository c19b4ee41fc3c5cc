"""Chapter 4, first part. The adversarial game: networks, losses, the value function and its maximum at one place.

Laws are tables p (data) and q (generator) over finitely many outcomes unless a part says otherwise.  What an optimal
discriminator makes of the game stands in ``gan_optimum``, how it is learned in ``gan_learning``, tricks in
``gan_tricks``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, LIN, OPT, QUAD, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import gauss_legendre, golden_section
from tinygen.testing.strategies import arrays, floats, laws, logits, sizes, vectors

Array = np.ndarray


def value(p: tg.Tensor, q: tg.Tensor, D: tg.Tensor) -> tg.Tensor:
    """V = E_p ln D + E_q ln(1 − D) of tables (GAN-4)."""
    return tg.sum(tg.xlogy(p, D) + tg.xlogy(q, 1.0 - D))


# --- GAN-1 -------------------------------------------------------------------------------------------------------

GAN_1 = Claim(
    "GAN-1",
    "Networks and losses",
    r"L_D=-\mathbb E_p\ln D(x)-\mathbb E_z\ln(1-D(G(z))),\qquad L_G=\mathbb E_z\ln(1-D(G(z)))",
    sources="000 001 002 003",
    assumptions="D = σ(s) with a logit s",
)


def losses_from_logits(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """(L_D, L_G) of the logits of a batch, by softplus."""
    spread = tg.mean(tg.softplus(fake))
    return tg.mean(tg.softplus(-real)) + spread, -spread


def minus_log_sigmoid(s: Array) -> Array:
    """−ln σ(s) as written for |s| ≤ 30; beyond it is −s or 0, but for 1e-13."""
    with np.errstate(over="ignore"):
        return np.asarray(np.where(np.abs(s) <= 30.0, -np.log(1.0 / (1.0 + np.exp(-s))), np.maximum(-s, 0.0)))


@GAN_1.part(real=logits(), fake=logits())
def from_logits(real: Array, fake: Array, *, losses: Any = losses_from_logits) -> Iterator[Check]:
    """The losses by softplus equal the logarithms of the probabilities and the cross-entropy with targets 1 and 0."""
    s, t = tg.tensor(real), tg.tensor(fake)
    loss_d, loss_g = losses(s, t)
    minus_log_real, minus_log_not_fake = minus_log_sigmoid(real).mean(), minus_log_sigmoid(-fake).mean()
    yield same("L_D = −ln D(real) − ln(1 − D(fake))", loss_d, minus_log_real + minus_log_not_fake, ALG)
    yield same("L_G = ln(1 − D(fake))", loss_g, -minus_log_not_fake, ALG)
    bce = tg.binary_cross_entropy_with_logits
    yield same("L_D = cross-entropy", loss_d, bce(s, tg.ones_like(s)) + bce(t, tg.zeros_like(t)), ALG)


@from_logits.falsification("logarithms of a sigmoid that was rounded to 0 or 1")
def rounded_first(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    escaped = tg.mean(tg.log(1.0 - tg.sigmoid(fake)))
    return -tg.mean(tg.log(tg.sigmoid(real))) - escaped, escaped


@from_logits.falsification("generator maximises its loss")
def wrong_sign(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    loss_d, loss_g = losses_from_logits(real, fake)
    return loss_d, -loss_g


def discriminator_alone(slope: tg.Tensor, shift: tg.Tensor) -> list[tg.Tensor]:
    """The parameters that a step on L_D may change."""
    return [slope]


@GAN_1.part(x=vectors(3), z=vectors(3), slope=floats(-2, 2), shift=floats(-2, 2))
def own_parameters(
    x: Array, z: Array, slope: float, shift: float, *, trained: Any = discriminator_alone
) -> Iterator[Check]:
    """A step on L_D moves D(x) = σ(λx) by the gradient derived by hand, and leaves G(z) = z + θ bit-identical."""
    lam, theta = tg.tensor(slope, requires_grad=True), tg.tensor(shift, requires_grad=True)
    loss_d, _ = losses_from_logits(lam * tg.tensor(x), lam * (tg.tensor(z) + theta))
    tg.optim.SGD(trained(lam, theta), lr=0.1).minimize(loss_d)
    fake = z + shift
    gradient = (fake / (1.0 + np.exp(-slope * fake)) - x / (1.0 + np.exp(slope * x))).mean()
    yield same("θ stays", theta, shift, EXACT)
    yield holds("θ collects no gradient", theta.grad is None)
    yield same("λ − η ∂L_D/∂λ", lam, slope - 0.1 * gradient, ALG)


@own_parameters.falsification("one optimiser for both networks")
def both_networks(slope: tg.Tensor, shift: tg.Tensor) -> list[tg.Tensor]:
    return [slope, shift]


# --- GAN-2 -------------------------------------------------------------------------------------------------------

GAN_2 = Claim(
    "GAN-2",
    "Discriminator as a maximum-likelihood classifier",
    r"\tfrac1n\sum_i\ln D(x_i)+\tfrac1n\sum_i\ln(1-D(\tilde x_i))=-2\,\mathrm{BCE}_{2n\text{ pooled}}",
    sources="003 002",
)


class Batch(NamedTuple):
    """Real and fake examples (n, d), and the weights (d,) of a linear logit."""

    real: Array
    fake: Array
    weights: Array


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    n, d = draw(sizes(1, 4)), draw(sizes(1, 3))
    return Batch(*(draw(arrays(shape, -2.0, 2.0)) for shape in ((n, d), (n, d), (d,))))


def log_likelihood(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """Mean ln D(x) + mean ln(1 − D(x̃)) of probabilities."""
    return tg.mean(tg.log(real)) + tg.mean(tg.log(1.0 - fake))


@GAN_2.part(batch=batches())
def pooled(batch: Batch, *, objective: Any = log_likelihood) -> Iterator[Check]:
    """The two means are −2 times the mean cross-entropy of the pooled batch."""
    examples = tg.tensor(np.concatenate([batch.real, batch.fake]))
    scores = tg.matmul(examples, tg.tensor(batch.weights))
    n = len(batch.real)
    labels = tg.tensor(np.repeat([1.0, 0.0], n))
    probability = tg.sigmoid(scores)
    bce = tg.binary_cross_entropy_with_logits(scores, labels)
    yield same("log-likelihood = −2 BCE", objective(probability[:n], probability[n:]), -2.0 * bce, ALG)


@pooled.falsification("labels exchanged")
def exchanged(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    return log_likelihood(fake, real)


def logistic_gradient(x: Array, y: Array, probability: Array) -> Array:
    """(1/N) Σ (σ(s_i) − y_i) x_i."""
    return np.asarray((probability - y) @ x / len(x))


@GAN_2.part(batch=batches())
def linear_gradient(batch: Batch, *, gradient: Any = logistic_gradient) -> Iterator[Check]:
    """Autodiff of the pooled cross-entropy in the weights of a linear logit gives the residuals times the inputs."""
    x, y = np.concatenate([batch.real, batch.fake]), np.repeat([1.0, 0.0], len(batch.real))
    weights = tg.tensor(batch.weights, requires_grad=True)
    loss = tg.binary_cross_entropy_with_logits(tg.matmul(tg.tensor(x), weights), tg.tensor(y))
    probability = 1.0 / (1.0 + np.exp(-x @ batch.weights))
    yield same("∂BCE/∂w", tg.grad(loss, weights)[0], gradient(x, y, probability), ALG)


@linear_gradient.falsification("a derivative of the squared error")
def squared_error_gradient(x: Array, y: Array, probability: Array) -> Array:
    return np.asarray((probability - y) * probability * (1.0 - probability) @ x / len(x))


def optimum_of_shares(p: tg.Tensor, q: tg.Tensor, share: float) -> tg.Tensor:
    """πp / (πp + (1 − π)q) for a share π of real examples."""
    return share * p / (share * p + (1.0 - share) * q)


@GAN_2.part(pq=laws(), share=floats(0.05, 0.95))
def unequal_shares(pq: tuple[Array, Array], share: float, *, optimum: Any = optimum_of_shares) -> Iterator[Check]:
    """With a share π of real examples, a search over logits finds D = πp / (πp + (1 − π)q)."""
    p, q = pq
    found = best_probability(share * p, (1.0 - share) * q)
    yield same("claimed = searched", optimum(tg.tensor(p), tg.tensor(q), share), found, OPT)


@unequal_shares.falsification("as if shares were equal")
def equal_shares(p: tg.Tensor, q: tg.Tensor, share: float) -> tg.Tensor:
    return p / (p + q)


def best_probability(a: Array, b: Array) -> Array:
    """The m that maximises a ln m + b ln(1 − m), elementwise, by golden section over its logit."""
    scale = a + b  # the place of the maximum does not depend on it, the rounding of f does

    def objective(s: Array) -> Array:
        return np.asarray(-(a * np.logaddexp(0.0, -s) + b * np.logaddexp(0.0, s)) / scale)

    return np.asarray(1.0 / (1.0 + np.exp(-golden_section(objective, np.full_like(a, -40.0), np.full_like(a, 40.0)))))


# --- GAN-3 -------------------------------------------------------------------------------------------------------

GAN_3 = Claim(
    "GAN-3",
    "Value function and minimax game",
    r"\min_G\max_D V,\qquad V(G,D)=\mathbb E_p\ln D(x)+\mathbb E_z\ln(1-D(G(z)))",
    sources="000 001 002 003",
)


class Game(NamedTuple):
    """A law of data p (n,), a discriminator D (n,), and a generator: a prior (n,) and the outcome of each code (n,)."""

    p: Array
    D: Array
    prior: Array
    outcome: Array


@st.composite
def games(draw: st.DrawFn) -> Game:
    p, prior = draw(laws(size=sizes(2, 6), zeros=True))
    outcome = draw(hnp.arrays(np.int64, len(p), elements=st.integers(0, len(p) - 1)))
    return Game(p, draw(arrays(len(p), 0.01, 0.99)), prior, outcome)


def law_of_generator(prior: tg.Tensor, outcome: tg.Tensor) -> tg.Tensor:
    """q, the push-forward of the prior: codes with one outcome add up (PROB-6)."""
    return tg.index_add(tg.zeros_like(prior), outcome, prior)


def loss_from_logits(p: tg.Tensor, q: tg.Tensor, s: tg.Tensor) -> tg.Tensor:
    """L = E_p softplus(−s) + E_q softplus(s)."""
    return tg.sum(p * tg.softplus(-s) + q * tg.softplus(s))


@GAN_3.part(pq=laws(zeros=True), s=floats(-9, 9))
def one_game(pq: tuple[Array, Array], s: float, *, loss: Any = loss_from_logits) -> Iterator[Check]:
    """The loss of 002, from logits, is −V of the probabilities; V is never above 0."""
    p, q = map(tg.tensor, pq)
    scores = s * tg.cos(tg.arange(p.size, dtype=p.dtype))
    v = value(p, q, tg.sigmoid(scores))
    yield same("L = −V", loss(p, q, scores), -v, LIN)  # 1 − D is ill-conditioned up to e⁹ < 10⁴
    yield at_least("V ≤ 0", 0.0, v, ALG)


@one_game.falsification("softplus of the wrong sign")
def same_sign(p: tg.Tensor, q: tg.Tensor, s: tg.Tensor) -> tg.Tensor:
    return tg.sum(p * tg.softplus(-s) + q * tg.softplus(-s))


def min_max(payoff: tg.Tensor) -> tg.Tensor:
    """The generator (rows) moves knowing that the discriminator (columns) will answer."""
    return tg.min(tg.max(payoff, axis=1))


@GAN_3.part(p_and_generators=laws(count=4, size=3), discriminators=arrays((3, 3), 0.05, 0.95))
def order_of_players(
    p_and_generators: tuple[Array, ...], discriminators: Array, *, worth: Any = min_max
) -> Iterator[Check]:
    """Among three generators and three discriminators: every G can be held to the value, one G to no more."""
    p, *generators = p_and_generators
    payoff = np.array([[p @ np.log(D) + q @ np.log(1.0 - D) for D in discriminators] for q in generators])
    found = worth(tg.tensor(payoff))
    answers = [max(row) for row in payoff.tolist()]
    yield at_least("D reaches it against every G", answers, found, ALG)
    yield at_least("one G allows no more", found, sorted(answers)[0], ALG)


@order_of_players.erratum("E-14", "the players move in the wrong order", printed=r"\max_d\min_g V")
def max_min(payoff: tg.Tensor) -> tg.Tensor:
    return tg.max(tg.min(payoff, axis=0))


def over_codes(weights: tg.Tensor, q: tg.Tensor, terms: tg.Tensor) -> tg.Tensor:
    """E_{z ~ p(z)} of terms for each code z."""
    return tg.sum(weights * terms)


@GAN_3.part(game=games())
def prior_or_law(game: Game, *, fake_term: Any = over_codes) -> Iterator[Check]:
    """E_{z~p(z)} ln(1 − D(G(z))), code by code, equals E_{x~q} ln(1 − D(x)) over outcomes."""
    prior, outcome = tg.tensor(game.prior), tg.tensor(game.outcome)
    q = law_of_generator(prior, outcome)
    terms = tg.log(1.0 - tg.take(tg.tensor(game.D), outcome))
    by_hand = sum(game.prior[z] * math.log(1.0 - game.D[x]) for z, x in enumerate(game.outcome))
    yield same("over z = over x", fake_term(prior, q, terms), tg.sum(q * tg.log(1.0 - tg.tensor(game.D))), ALG)
    yield same("over z = term by term", fake_term(prior, q, terms), by_hand, ALG)


@prior_or_law.erratum("E-15", "codes weighted by the law of the outcomes", printed=r"\mathbb E_{q(z)}\ln(1-d(g(z)))")
def codes_by_the_law(weights: tg.Tensor, q: tg.Tensor, terms: tg.Tensor) -> tg.Tensor:
    return tg.sum(q * terms)


@GAN_3.part(pq=laws(size=3), D=arrays(3, 0.05, 0.95), most=15)
def unbiased(pq: tuple[Array, Array], D: Array, *, batch_value: Any = log_likelihood) -> Iterator[Check]:
    """The mean of V over all 81 pairs of batches of two, each with its probability, is V."""
    p, q = pq
    expected = 0.0
    for i, j, k, m in np.ndindex(3, 3, 3, 3):
        probability = p[i] * p[j] * q[k] * q[m]
        expected += probability * batch_value(tg.tensor(D[[i, j]]), tg.tensor(D[[k, m]])).item()
    yield same("E V(batch) = V", expected, value(tg.tensor(p), tg.tensor(q), tg.tensor(D)), ALG)


@unbiased.falsification("logarithm of the mean instead of mean of the logarithms")
def log_of_mean(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    return tg.log(tg.mean(real)) + tg.log(1.0 - tg.mean(fake))


# --- GAN-4 -------------------------------------------------------------------------------------------------------

GAN_4 = Claim(
    "GAN-4",
    "Integral form",
    r"V=\int\big[p(x)\ln D(x)+q(x)\ln(1-D(x))\big]\,dx",
    sources="000 001",
    assumptions="q is the push-forward of the prior (PROB-6); a sum for discrete laws",
)


@GAN_4.part(game=games())
def tables_of_codes(game: Game, *, push_forward: Any = law_of_generator) -> Iterator[Check]:
    """V as a sum over codes equals V as a sum over outcomes, also where codes share an outcome or have none."""
    prior, outcome = tg.tensor(game.prior), tg.tensor(game.outcome)
    q = push_forward(prior, outcome)
    real = sum(a * math.log(d) for a, d in zip(game.p, game.D, strict=True))
    fake = sum(a * math.log(1.0 - game.D[x]) for a, x in zip(game.prior, game.outcome, strict=True))
    yield same("over x = over z", value(tg.tensor(game.p), q, tg.tensor(game.D)), real + fake, ALG)
    yield same("q sums to 1", tg.sum(q), 1.0, ALG)


@tables_of_codes.falsification("the last code of an outcome overwrites the others")
def overwritten(prior: tg.Tensor, outcome: tg.Tensor) -> tg.Tensor:
    table, places = np.zeros(prior.size), outcome.numpy()
    table[places] = prior.numpy()
    return tg.tensor(table)


class Scene(NamedTuple):
    """A generator G(z) = scale · z + shift, and a discriminator σ(a + b sin x + c x) on the line."""

    scale: float
    shift: float
    a: float
    b: float
    c: float

    def log_probabilities(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """ln D(x) and ln(1 − D(x))."""
        s = self.a + self.b * tg.sin(x) + self.c * x
        return tg.log_sigmoid(s), tg.log_sigmoid(-s)


def normal_density(x: Array, mean: float = 0.0, deviation: float = 1.0) -> Array:
    """N(x; mean, deviation²)."""
    return np.asarray(np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2.0 * math.pi)))


def integrand(p: tg.Tensor, q: tg.Tensor, log_real: tg.Tensor, log_fake: tg.Tensor) -> tg.Tensor:
    """p ln D + q ln(1 − D)."""
    return p * log_real + q * log_fake


@GAN_4.part(scene=st.builds(Scene, floats(0.4, 2), floats(-2, 2), floats(-2, 2), floats(-2, 2), floats(-1, 1)), most=60)
def densities(scene: Scene, *, inside: Any = integrand) -> Iterator[Check]:
    """For data N(0, 1), the integral over all x equals the expectation over real x and codes z, by quadrature."""
    z, z_weights = gauss_legendre(-9.0, 9.0, 20, panels=30)
    x, x_weights = gauss_legendre(-20.0, 20.0, 20, panels=80)
    log_real, log_fake = scene.log_probabilities(tg.tensor(x))
    p, q = tg.tensor(normal_density(x)), tg.tensor(normal_density(x, scene.shift, scene.scale))
    integral = tg.sum(tg.tensor(x_weights) * inside(p, q, log_real, log_fake))
    log_real = scene.log_probabilities(tg.tensor(z))[0]
    log_fake = scene.log_probabilities(tg.tensor(scene.scale * z + scene.shift))[1]
    expectation = tg.sum(tg.tensor(z_weights * normal_density(z)) * (log_real + log_fake))
    yield same("∫ … dx = E_p + E_z", integral, expectation, QUAD)


@densities.erratum(
    "E-57",
    "the density counted twice: the integral runs over all x, not over x ~ P",
    printed=r"\int_{x\sim P}p(x)\ln D(x)\,dx+\int_{x\sim Q}q(x)\ln(1-D(x))\,dx",
)
def density_twice(p: tg.Tensor, q: tg.Tensor, log_real: tg.Tensor, log_fake: tg.Tensor) -> tg.Tensor:
    return p * p * log_real + q * q * log_fake


# --- GAN-5 -------------------------------------------------------------------------------------------------------

GAN_5 = Claim(
    "GAN-5",
    "Pointwise maximisation",
    r"\arg\max_{0<m<1}\big(a\ln m+b\ln(1-m)\big)=\frac a{a+b},\qquad f''(m^*)=-\frac{(a+b)^3}{ab}",
    sources="000 001",
    assumptions="a, b ≥ 0 and a + b > 0",
)


def pointwise(a: tg.Tensor, b: tg.Tensor, m: tg.Tensor) -> tg.Tensor:
    """a ln m + b ln(1 − m), with 0 ln 0 = 0."""
    return tg.xlogy(a, m) + tg.xlogy(b, 1.0 - m)


def ratio_of_weights(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """m* = a / (a + b)."""
    return a / (a + b)


@GAN_5.part(a=vectors(4, 1e-3, 10), b=vectors(4, 1e-3, 10))
def interior(a: Array, b: Array, *, argmax: Any = ratio_of_weights) -> Iterator[Check]:
    """A search finds m*; autodiff finds a zero slope and a negative curvature −(a+b)³/(ab) there."""
    first, second = tg.tensor(a), tg.tensor(b)
    best = tg.tensor(argmax(first, second).numpy(), requires_grad=True)
    yield same("m* = searched", best, best_probability(a, b), OPT)
    (slope,) = tg.grad(tg.sum(pointwise(first, second, best)), best, create_graph=True)
    (curvature,) = tg.grad(tg.sum(slope), best)
    unit = best * (1.0 - best)  # the slope in the logit: a − (a + b) m, without the large terms that cancel
    yield same("f′(m*) = 0", slope * unit, 0.0, ALG)
    yield same("f″(m*)", curvature, -((a + b) ** 3) / (a * b), LIN)  # 1 − m* is ill-conditioned up to 10⁴
    yield at_least("f″(m*) < 0", 0.0, curvature, EXACT)


@interior.falsification("the other weight on top")
def other_weight(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return b / (a + b)


@GAN_5.part(weight=floats(1e-3, 10), m=floats(1e-6, 1 - 1e-6))
def one_weight_zero(weight: float, m: float, *, argmax: Any = ratio_of_weights) -> Iterator[Check]:
    """With a = 0 or b = 0 the supremum 0 lies at the edge 0 or 1, and no m inside attains it."""
    w, nothing, inside = tg.tensor(weight), tg.tensor(0.0), tg.tensor(m)
    for name, a, b in (("a = 0", nothing, w), ("b = 0", w, nothing)):
        yield same(f"{name}: the edge gives 0", pointwise(a, b, argmax(a, b)), 0.0, EXACT)
        yield holds(f"{name}: inside is less", pointwise(a, b, inside).item() < 0.0)


@one_weight_zero.falsification("weights kept away from 0 by one half each")
def smoothed_weights(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return (a + 0.5) / (a + b + 1.0)
