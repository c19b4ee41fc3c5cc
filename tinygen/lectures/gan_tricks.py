"""Chapter 4, fourth part. Conditions and labels, the tricks that keep a generator learning, and mode collapse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen.divergences import js, kl, total_variation
from tinygen.lectures.claim import ALG, EXACT, OPT, Check, Claim, at_least, holds, same, within
from tinygen.lectures.gan import best_probability, value
from tinygen.lectures.gan_optimum import LN4, newton_logits, optimal, optimal_value
from tinygen.testing.strategies import arrays, floats, laws, logits, sizes, vectors

Array = np.ndarray


# --- GAN-15 ------------------------------------------------------------------------------------------------------

GAN_15 = Claim(
    "GAN-15",
    "Conditional GAN",
    r"D^*(x,y)=\frac{p(x\mid y)}{p(x\mid y)+q(x\mid y)},\qquad"
    r"V(D^*)=-\ln4+2\,\mathbb E_{p(y)}\mathrm{JS}\big(p(\cdot\mid y),q(\cdot\mid y)\big)",
    sources="001",
    assumptions="the same p(y) for real and fake pairs",
)


class Conditional(NamedTuple):
    """A law of labels (k,), and the laws of data and generator given each label, (k, n) both."""

    labels: Array
    data: Array
    generator: Array


@st.composite
def conditionals(draw: st.DrawFn) -> Conditional:
    k, n = draw(sizes(1, 3)), draw(sizes(2, 5))
    (labels,) = draw(laws(count=1, size=k))
    data, generator = (np.stack(draw(laws(count=k, size=n))) for _ in range(2))
    return Conditional(labels, data, generator)


def optimal_pairwise(labels: tg.Tensor, p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """D*(x, y), of shape (k, n)."""
    return optimal(p, q)


@GAN_15.part(laws_given=conditionals())
def optimum_of_pairs(laws_given: Conditional, *, discriminator: Any = optimal_pairwise) -> Iterator[Check]:
    """Autodiff finds no slope of V, summed over pairs (x, y) and concave in the logits, at D*."""
    labels, p, q = map(tg.tensor, laws_given)
    D = discriminator(labels, p, q)
    scores = tg.tensor((tg.log(D) - tg.log(1.0 - D)).numpy(), requires_grad=True)
    real, fake = labels[:, None] * p, labels[:, None] * q
    v = tg.sum(real * tg.log_sigmoid(scores) + fake * tg.log_sigmoid(-scores))
    yield same("∂V/∂s = 0", tg.grad(v, scores)[0], 0.0, ALG)


@optimum_of_pairs.falsification("a discriminator that does not see the label")
def blind(labels: tg.Tensor, p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    marginal = optimal(tg.matmul(labels, p), tg.matmul(labels, q))
    return tg.broadcast_to(marginal, p.shape)


def mean_of_divergences(labels: tg.Tensor, p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """−ln 4 + 2 E_{p(y)} JS(p(·|y), q(·|y))."""
    return -LN4 + 2.0 * tg.sum(labels * js(p, q))


@GAN_15.part(laws_given=conditionals())
def value_of_pairs(laws_given: Conditional, *, formula: Any = mean_of_divergences) -> Iterator[Check]:
    """V(D*) summed over pairs equals the formula; a generator that shuffles labels has the marginal, not the value."""
    labels, p, q = map(tg.tensor, laws_given)
    yield same("V(D*)", formula(labels, p, q), optimal_value(labels[:, None] * p, labels[:, None] * q), ALG)
    even, shuffled = tg.full_like(labels, 1.0 / labels.size), tg.roll(p, 1, axis=0)
    yield same("shuffled labels: the right marginal", tg.matmul(even, shuffled), tg.matmul(even, p), ALG)
    farther = tg.sum(even * total_variation(p, shuffled) ** 2)
    yield at_least("shuffled labels: not optimal", formula(even, p, shuffled), -LN4 + farther, ALG)


@value_of_pairs.falsification("divergence of the marginals")
def of_the_marginals(labels: tg.Tensor, p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return -LN4 + 2.0 * js(tg.matmul(labels, p), tg.matmul(labels, q))


def own_row(labels: tg.Tensor, classes: int) -> tg.Tensor:
    """The row of the label's table that each example uses."""
    return labels


@GAN_15.part(
    x=arrays((4, 2), -2, 2),
    weight=arrays((3, 5), -2, 2),
    labels=hnp.arrays(np.int64, 4, elements=st.integers(0, 2)),
)
def label_input(x: Array, weight: Array, labels: Array, *, rows: Any = own_row) -> Iterator[Check]:
    """A layer of [x, one-hot y] equals a layer of x plus an embedding of y; so do the gradients (autodiff)."""
    y = tg.tensor(labels)
    whole = tg.tensor(weight, requires_grad=True)
    joined = tg.linear(tg.concatenate([tg.tensor(x), tg.one_hot(y, 3)], axis=1), whole)
    of_x, table = tg.tensor(weight[:, :2], requires_grad=True), tg.tensor(weight[:, 2:].T, requires_grad=True)
    apart = tg.linear(tg.tensor(x), of_x) + tg.embedding(rows(y, 3), table)
    yield same("outputs", apart, joined, ALG)
    (slope,) = tg.grad(tg.sum(tg.tanh(joined)), whole)
    slope_x, slope_y = tg.grad(tg.sum(tg.tanh(apart)), (of_x, table))
    yield same("gradients", tg.concatenate([slope_x, slope_y.T], axis=1), slope, ALG)


@label_input.falsification("the next label's row")
def next_row(labels: tg.Tensor, classes: int) -> tg.Tensor:
    return tg.tensor((labels.numpy() + 1) % classes)


# --- GAN-16 ------------------------------------------------------------------------------------------------------

GAN_16 = Claim(
    "GAN-16",
    "Trick 2: make the discriminator less certain",
    r"b\le D^*\le a\ \Rightarrow\ \ln\tfrac b{1-b}\le\mathrm{logit}\,D^*\le\ln\tfrac a{1-a}"
    r"\ \text{ though }\ \ln\tfrac pq\text{ is unbounded}",
    sources="001",
)


def log_odds(m: float) -> float:
    """ln(m / (1 − m))."""
    return math.log(m / (1.0 - m))


def uncertain_targets(high: float, low: float) -> tuple[float, float]:
    """The targets of real and fake."""
    return high, low


@GAN_16.part(pq=laws(zeros=True), high=floats(0.55, 0.95))
def bounded_logit(pq: tuple[Array, Array], high: float, *, targets: Any = uncertain_targets) -> Iterator[Check]:
    """For targets a and 1 − a a search finds D with a bounded logit, even on disjoint supports; G keeps its slope."""
    p, q = pq
    a, b = targets(high, 1.0 - high)
    seen = p + q > 0.0
    D = best_probability((a * p + b * q)[seen], ((1.0 - a) * p + (1.0 - b) * q)[seen])
    scores = tg.tensor(np.log(D) - np.log1p(-D), requires_grad=True)
    yield at_least("|logit D*| ≤ ln(a/(1 − a))", log_odds(high), tg.abs(scores), OPT)
    (saturating,) = tg.grad(tg.sum(tg.log_sigmoid(-scores)), scores)
    yield at_least("slope of the generator ≥ 1 − a", -saturating, 1.0 - high, OPT)


@bounded_logit.falsification("targets 1 and 0")
def certain_targets(high: float, low: float) -> tuple[float, float]:
    return 1.0, 0.0


# --- GAN-17 ------------------------------------------------------------------------------------------------------

GAN_17 = Claim(
    "GAN-17",
    "Label smoothing 0.7/0.3",
    r"D^*=\frac{a\,p+b\,q}{p+q}\ \text{ for targets }a\text{ (real) and }b\text{ (fake)};\qquad"
    r"b=1-a:\ V(D^*)=-\ln4+2\,\mathrm{JS}(ap+bq,\,bp+aq)",
    sources="001",
    assumptions="0 ≤ b < a ≤ 1",
)


def smoothed_value(p: tg.Tensor, q: tg.Tensor, D: tg.Tensor, a: float, b: float) -> tg.Tensor:
    """E_p[a ln D + (1 − a) ln(1 − D)] + E_q[b ln D + (1 − b) ln(1 − D)]."""
    return value(a * p + b * q, (1.0 - a) * p + (1.0 - b) * q, D)


def smoothed_optimum(p: tg.Tensor, q: tg.Tensor, a: float, b: float) -> tg.Tensor:
    """D* = (a p + b q) / (p + q)."""
    return (a * p + b * q) / (p + q)


@GAN_17.part(pq=laws(), a=floats(0.5, 1), b=floats(0, 0.45))
def optimum_by_search(
    pq: tuple[Array, Array], a: float, b: float, *, optimum: Any = smoothed_optimum
) -> Iterator[Check]:
    """A search over logits finds D*; targets 1 and 0 give back p/(p + q)."""
    p, q = map(tg.tensor, pq)
    searched = best_probability(a * pq[0] + b * pq[1], (1.0 - a) * pq[0] + (1.0 - b) * pq[1])
    yield same("D* = searched", optimum(p, q, a, b), searched, OPT)
    yield same("a = 1, b = 0", optimum(p, q, 1.0, 0.0), optimal(p, q), ALG)


@optimum_by_search.falsification("the target of the fakes left out")
def fakes_left_out(p: tg.Tensor, q: tg.Tensor, a: float, b: float) -> tg.Tensor:
    return a * p / (p + q)


def one_sided_optimum(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """0.7 p / (p + q)."""
    return smoothed_optimum(p, q, 0.7, 0.0)


@GAN_17.part(share=floats(1e-3, 1 - 1e-3))
def one_sided(share: float, *, optimum: Any = one_sided_optimum) -> Iterator[Check]:
    """The printed objective 0.7 ln d + 0.3 ln(1 − d) on real, ln(1 − d) on fake, is flat (autodiff) at its optimum.

    Beside a drawn share p : q, the places (1, 0), (½, ½), (0, 1) with 0.7, 0.35, 0; at p = q the value is −1.294893.
    """
    p, q = tg.tensor([1.0 - share, 0.5]), tg.tensor([share, 0.5])
    D = tg.tensor(optimum(p, q).numpy(), requires_grad=True)
    objective = tg.sum(p * (0.7 * tg.log(D) + 0.3 * tg.log(1.0 - D)) + q * tg.log(1.0 - D))
    (slope,) = tg.grad(objective, D)
    yield same("∂V/∂D = 0", slope * D * (1.0 - D), 0.0, ALG)
    places = optimum(tg.tensor([1.0, 0.5, 0.0]), tg.tensor([0.0, 0.5, 1.0]))
    yield same("three places", places, [0.7, 0.35, 0.0], ALG)
    half = tg.tensor([0.5, 0.5])
    at_equality = smoothed_value(half, half, optimum(half, half), 0.7, 0.0)
    yield same("V at q = p", at_equality, -1.294893, 1e-6)  # the number is given with six decimals


@one_sided.erratum(
    "E-24", "read as smoothing of the fakes too, which the formula beside it is not", printed=r"1\to0.7,\quad 0\to0.3"
)
def picture_of_two_sides(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return smoothed_optimum(p, q, 0.7, 0.3)


def two_sided_divergence(p: tg.Tensor, q: tg.Tensor, a: float) -> tg.Tensor:
    """−ln 4 + 2 JS(a p + b q, b p + a q), b = 1 − a."""
    b = 1.0 - a
    return -LN4 + 2.0 * js(a * p + b * q, b * p + a * q)


@GAN_17.part(pq=laws(), a=floats(0.55, 1))
def two_sided(pq: tuple[Array, Array], a: float, *, formula: Any = two_sided_divergence) -> Iterator[Check]:
    """With b = 1 − a the smoothed objective at D* equals a Jensen–Shannon divergence of mixed laws."""
    p, q = map(tg.tensor, pq)
    v = smoothed_value(p, q, smoothed_optimum(p, q, a, 1.0 - a), a, 1.0 - a)
    yield same("V(D*)", formula(p, q, a), v, ALG)


@two_sided.falsification("divergence of the laws themselves")
def unmixed(p: tg.Tensor, q: tg.Tensor, a: float) -> tg.Tensor:
    return -LN4 + 2.0 * js(p, q)


def data_law(p: tg.Tensor) -> tg.Tensor:
    """The best generator: q = p."""
    return p


@GAN_17.part(pq=laws(), a=floats(0.55, 0.99), two=st.booleans())
def best_generator(pq: tuple[Array, Array], a: float, two: bool, *, best: Any = data_law) -> Iterator[Check]:
    """Against D* no generator has a smaller value than q = p, in both variants."""
    p, q = map(tg.tensor, pq)
    b = 1.0 - a if two else 0.0

    def at_optimum(law: tg.Tensor) -> tg.Tensor:
        return smoothed_value(p, law, smoothed_optimum(p, law, a, b), a, b)

    for name, other in (("any q", q), ("q near p", 0.9 * p + 0.1 * q), ("p itself", p)):
        yield at_least(f"V at {name}", at_optimum(other), at_optimum(best(p)), ALG)


@best_generator.falsification("uniform")
def uniform_law(p: tg.Tensor) -> tg.Tensor:
    return tg.full_like(p, 1.0 / p.size)


# --- GAN-18 ------------------------------------------------------------------------------------------------------

GAN_18 = Claim(
    "GAN-18",
    "Label swapping",
    r"\text{labels flipped with probability }\varepsilon:\quad D^*=\frac{(1-\varepsilon)p+\varepsilon q}{p+q}",
    sources="001",
)


def expected_label(labels: tg.Tensor, epsilon: float) -> tg.Tensor:
    """(1 − ε) y + ε (1 − y)."""
    return (1.0 - epsilon) * labels + epsilon * (1.0 - labels)


@GAN_18.part(scores=vectors(3), labels=arrays(3, 0, 1).map(np.round), epsilon=floats(0, 0.5))
def all_flips(scores: Array, labels: Array, epsilon: float, *, targets: Any = expected_label) -> Iterator[Check]:
    """The mean loss over all 2³ patterns of flips, each with its probability, is the loss of smoothed targets."""
    s = tg.tensor(scores)
    bce = tg.binary_cross_entropy_with_logits
    expected = 0.0
    for flips in itertools.product([0.0, 1.0], repeat=3):
        probability = math.prod(epsilon if flip else 1.0 - epsilon for flip in flips)
        expected += probability * bce(s, tg.tensor(np.abs(labels - np.array(flips)))).item()
    yield same("E loss = loss of the targets", bce(s, targets(tg.tensor(labels), epsilon)), expected, ALG)


@all_flips.falsification("only real labels flipped")
def only_real(labels: tg.Tensor, epsilon: float) -> tg.Tensor:
    return (1.0 - epsilon) * labels


def swapped_optimum(p: tg.Tensor, q: tg.Tensor, epsilon: float) -> tg.Tensor:
    """((1 − ε) p + ε q) / (p + q)."""
    return ((1.0 - epsilon) * p + epsilon * q) / (p + q)


@GAN_18.part(pq=laws(), epsilon=floats(0, 0.5))
def optimum_of_swaps(pq: tuple[Array, Array], epsilon: float, *, optimum: Any = swapped_optimum) -> Iterator[Check]:
    """A search on the swapped masses finds D*; with ε = ½ it is ½ everywhere and says nothing."""
    p, q = pq
    searched = best_probability((1.0 - epsilon) * p + epsilon * q, epsilon * p + (1.0 - epsilon) * q)
    yield same("D* = searched", optimum(tg.tensor(p), tg.tensor(q), epsilon), searched, OPT)
    yield same("ε = ½", optimum(tg.tensor(p), tg.tensor(q), 0.5), 0.5, ALG)


@optimum_of_swaps.falsification("fakes never called real")
def fakes_stay(p: tg.Tensor, q: tg.Tensor, epsilon: float) -> tg.Tensor:
    return (1.0 - epsilon) * p / (p + q)


# --- GAN-19 ------------------------------------------------------------------------------------------------------

GAN_19 = Claim(
    "GAN-19",
    "Semi-supervised K+1-class discriminator",
    r"p(k\mid x)=\frac{p(x,k)}{p(x)+q(x)},\quad p_{fake}=\frac{q}{p+q};\qquad p_{real}=\sigma(\ln Z),\ "
    r"Z=\sum_{k\le K}e^{l_k}\ (\text{fake logit }0)",
    sources="001",
    assumptions="softmax over K+1 logits; labelled and fake examples in equal numbers",
)


class Labelled(NamedTuple):
    """A joint law of data p(x, k) of shape (n, K), and a law of the generator q(x) of shape (n,)."""

    joint: Array
    fake: Array


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    n, classes = draw(sizes(2, 4)), draw(sizes(1, 3))
    (joint,), (fake,) = draw(laws(count=1, size=n * classes)), draw(laws(count=1, size=n))
    return Labelled(joint.reshape(n, classes), fake)


def class_probabilities(joint: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """(n, K + 1): p(x, k) / (p(x) + q(x)), and q / (p + q) last."""
    masses = tg.concatenate([joint, fake[:, None]], axis=1)
    return masses / tg.sum(masses, axis=1, keepdims=True)


@GAN_19.part(masses=labelled(), shade=floats(0.1, 2))
def optimal_classes(masses: Labelled, shade: float, *, optimum: Any = class_probabilities) -> Iterator[Check]:
    """At the optimum autodiff finds no slope of labelled + fake loss in K+1 logits; other logits cost more.

    With one class it is the optimal discriminator.
    """
    joint, fake = map(tg.tensor, masses)
    weights = tg.concatenate([joint, fake[:, None]], axis=1)

    def loss(scores: tg.Tensor) -> tg.Tensor:
        return -tg.sum(weights * tg.log_softmax(scores, axis=1))

    best = tg.tensor(tg.log(optimum(joint, fake)).numpy(), requires_grad=True)
    yield same("slope 0", tg.grad(loss(best), best)[0], 0.0, ALG)
    other = best + shade * tg.cos(tg.reshape(tg.arange(best.size, dtype=best.dtype), best.shape))
    yield at_least("other logits cost more", loss(other), loss(best), ALG)
    real = tg.sum(joint, axis=1)
    alone = optimum(real[:, None], fake)[:, 0]
    yield same("K = 1 is D*", alone, optimal(real, fake), ALG)


@optimal_classes.falsification("classes as if all examples were real")
def all_real(joint: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    real = tg.sum(joint, axis=1, keepdims=True)
    return tg.concatenate([0.5 * joint / real, tg.full_like(real, 0.5)], axis=1)


def log_real(scores: tg.Tensor) -> tg.Tensor:
    """ln p_real = ln σ(ln Z) of K logits (…, K), the fake logit being 0."""
    return tg.log_sigmoid(tg.logsumexp(scores, axis=-1))


@GAN_19.part(scores=logits(sizes(1, 4)))
def from_class_logits(scores: Array, *, formula: Any = log_real) -> Iterator[Check]:
    """σ(ln Z) equals the sum of K of the K+1 softmax probabilities, finite for logits of ±800; p(y|real) likewise."""
    s = tg.tensor(scores)
    log_all = tg.log_softmax(tg.concatenate([s, tg.zeros_like(s[:1])]))
    yield same("ln p_real", formula(s), tg.logsumexp(log_all[:-1]), ALG)
    given_real = tg.exp(log_all[:-1] - formula(s))
    yield same("p(y | x, real)", given_real, tg.softmax(s), ALG)


@from_class_logits.falsification("the fake class left out of the softmax")
def without_fake(scores: tg.Tensor) -> tg.Tensor:
    return tg.logsumexp(tg.log_softmax(scores))


def log_fake(p_real: tg.Tensor, p_fake: tg.Tensor) -> tg.Tensor:
    """ln(1 − p_real)."""
    return tg.log(1.0 - p_real)


@GAN_19.part(scores=vectors(3, -3, 3))
def last_component(scores: Array, *, component: Any = log_fake) -> Iterator[Check]:
    """The last component is the log-probability of class K+1: a real number, and with p_real it makes 1."""
    s = tg.tensor(scores)
    log_all = tg.log_softmax(tg.concatenate([s, tg.zeros_like(s[:1])]))
    p_real, p_fake = tg.sum(tg.exp(log_all[:-1])), tg.exp(log_all[-1])
    yield same("ln p_fake", component(p_real, p_fake), log_all[-1], ALG)
    yield same("p_real + p_fake = 1", p_real + tg.exp(component(p_real, p_fake)), 1.0, ALG)


@last_component.erratum(
    "E-25", "undefined where the fake class is likelier", printed=r"\ln p_{real}\,/\,\ln(p_{real}-p_{fake})"
)
def log_of_difference(p_real: tg.Tensor, p_fake: tg.Tensor) -> tg.Tensor:
    return tg.log(p_real - p_fake)


# --- GAN-20 ------------------------------------------------------------------------------------------------------

GAN_20 = Claim(
    "GAN-20",
    "Activation and pooling advice",
    r"\text{LeakyReLU or ELU, average pooling or stride: }\partial D/\partial h\neq0\text{ at every feature};"
    r"\quad\text{ReLU, max pooling: many exact zeros}",
    sources="001 003",
    assumptions="generic weights",
)


def dense_layers(h: tg.Tensor) -> tg.Tensor:
    """LeakyReLU, then average pooling."""
    return tg.avg_pool1d(tg.leaky_relu(h, 0.2), 2)


def slope_at_features(layers: Any, seed: int) -> tuple[tg.Tensor, tg.Tensor]:
    """Random features h (1, 3, 8) of a 1-D convolution, and ∂D/∂h of a linear read-out of layers(h)."""
    rng = tg.random.Generator(seed)
    h = tg.conv1d(rng.normal((1, 2, 10)), rng.normal((3, 2, 3)))
    h.requires_grad = True
    features = layers(h)
    score = tg.sum(features * rng.normal(features.shape))
    return h, tg.grad(score, h)[0]


def is_zero(slope: tg.Tensor) -> Array:
    return np.asarray(slope.numpy() == 0.0)


@GAN_20.part(seed=st.integers(0, 10**6))
def dense_gradients(seed: int, *, layers: Any = dense_layers) -> Iterator[Check]:
    """Autodiff through the advised layers has no exact zero among the features of a random convolution."""
    for name, used in (("advised", layers), ("ELU and average", lambda h: tg.avg_pool1d(tg.elu(h), 2))):
        _, slope = slope_at_features(used, seed)
        yield holds(f"{name}: no zeros", not is_zero(slope).any(), f"{is_zero(slope).mean():.0%} zeros")
    rng = tg.random.Generator(seed).spawn("stride")
    kernel = rng.normal((3, 3, 2))
    _, slope = slope_at_features(lambda h: tg.conv1d(tg.leaky_relu(h, 0.2), kernel, stride=2), seed)
    yield holds("strided convolution: no zeros", not is_zero(slope).any())


@dense_gradients.falsification("ReLU")
def with_relu(h: tg.Tensor) -> tg.Tensor:
    return tg.avg_pool1d(tg.relu(h), 2)


@dense_gradients.falsification("max pooling")
def with_max_pooling(h: tg.Tensor) -> tg.Tensor:
    return tg.max_pool1d(tg.leaky_relu(h, 0.2), 2)


def without_gradient(h: Array) -> Array:
    """Which features ReLU and max pooling in pairs leave without gradient: the negative and the smaller."""
    pairs = h.reshape(*h.shape[:-1], -1, 2)
    loses = pairs < pairs.max(axis=-1, keepdims=True)
    return np.asarray((h <= 0.0) | loses.reshape(h.shape))


@GAN_20.part(seed=st.integers(0, 10**6))
def sparse_gradients(seed: int, *, dead: Any = without_gradient) -> Iterator[Check]:
    """Through ReLU and max pooling, autodiff gives exact zeros at the negative and the smaller of each pair: ≥ half."""
    h, slope = slope_at_features(lambda h: tg.max_pool1d(tg.relu(h), 2), seed)
    yield holds("zeros where predicted", is_zero(slope) == dead(h.numpy()))
    yield at_least("share of zeros", is_zero(slope).mean(), 0.5, EXACT)


@sparse_gradients.falsification("only negative features")
def only_negative(h: Array) -> Array:
    return np.asarray(h <= 0.0)


# --- GAN-21 ------------------------------------------------------------------------------------------------------

GAN_21 = Claim(
    "GAN-21",
    "Trick 3: noise in generator feature maps",
    r"h_c\leftarrow h_c+b_c\,\eta,\ \eta\sim N(0,1):\quad \mathbb E=h_c,\ \mathrm{Var}=b_c^2,\ "
    r"\partial L/\partial b_c=\textstyle\sum\eta\,\bar h_c",
    sources="001",
)


def noisy(h: tg.Tensor, scale: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    """h + b η for maps (c, n), with a scale for each channel."""
    return h + scale[:, None] * noise


@GAN_21.part(scale=vectors(2, 0.05, 3), level=floats(-2, 2), seed=st.integers(0, 10**6))
def moments(scale: Array, level: float, seed: int, *, layer: Any = noisy) -> Iterator[Check]:
    """Of 4096 draws a channel, mean and variance within five standard errors; scale 0 changes nothing."""
    count = 4096
    noise = tg.random.Generator(seed).spawn("feature noise").normal((2, count))
    h = tg.full((2, count), level)
    out = layer(h, tg.tensor(scale), noise)
    yield within("mean", tg.mean(out, axis=1), level, scale / math.sqrt(count))
    yield within("variance", tg.var(out, axis=1, correction=1), scale**2, scale**2 * math.sqrt(2.0 / (count - 1)))
    yield same("scale 0 is the identity", layer(h, tg.zeros(2), noise), h, EXACT)
    yield same("the same noise, the same maps", layer(h, tg.tensor(scale), noise), out, EXACT)


@moments.falsification("one scale for all channels")
def one_scale(h: tg.Tensor, scale: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    return h + scale[0] * noise


def summed_over_noise(noise: Array, cotangent: Array) -> Array:
    """∂L/∂b_c = Σ η h̄."""
    return np.asarray((noise * cotangent).sum(axis=1))


@GAN_21.part(h=arrays((2, 3), -2, 2), scale=vectors(2, -2, 2), noise=arrays((2, 3), -3, 3))
def slope_in_the_scale(h: Array, scale: Array, noise: Array, *, slope: Any = summed_over_noise) -> Iterator[Check]:
    """Autodiff in the scales equals the noise times the gradient 1 − tanh² that arrives at the maps."""
    b = tg.tensor(scale, requires_grad=True)
    (found,) = tg.grad(tg.sum(tg.tanh(noisy(tg.tensor(h), b, tg.tensor(noise)))), b)
    arriving = 1.0 - np.tanh(h + scale[:, None] * noise) ** 2
    yield same("∂L/∂b", found, slope(noise, arriving), ALG)


@slope_in_the_scale.falsification("without the noise")
def without_noise(noise: Array, cotangent: Array) -> Array:
    return np.asarray(cotangent.sum(axis=1))


# --- GAN-22 ------------------------------------------------------------------------------------------------------

GAN_22 = Claim(
    "GAN-22",
    "Mode collapse",
    r"\mathrm{JS}=\tfrac12\big[f\ln\tfrac{2f}{1+f}+(1-f)\ln2+\ln\tfrac2{1+f}\big]\ \text{ for uniform on }"
    r"f=k/K\text{ of }K\text{ equal modes}",
    sources="001",
)


def divergence_of_share(f: float) -> float:
    """JS of the uniform law on K modes and the uniform law on fK of them."""
    return 0.5 * (f * math.log(2.0 * f / (1.0 + f)) + (1.0 - f) * math.log(2.0) + math.log(2.0 / (1.0 + f)))


@GAN_22.part(modes=sizes(1, 11), missing=st.integers(0, 10))
def missing_modes(modes: int, missing: int, *, formula: Any = divergence_of_share) -> Iterator[Check]:
    """The closed form equals the divergence of the two tables."""
    kept = max(modes - missing, 1)
    p, q = np.full(modes, 1.0 / modes), np.where(np.arange(modes) < kept, 1.0 / kept, 0.0)
    yield same("JS", formula(kept / modes), js(tg.tensor(p), tg.tensor(q)), ALG)


@missing_modes.falsification("ln 2 times the missing share")
def linear_in_the_share(f: float) -> float:
    return (1.0 - f) * math.log(2.0)


def point_mass(D: tg.Tensor) -> tg.Tensor:
    """The best response to a fixed D: all mass where D is largest."""
    return tg.one_hot(tg.argmax(D), D.size)


@GAN_22.part(q=laws(count=1, size=5, zeros=True), D=arrays(5, 0.01, 0.99))
def best_response(q: tuple[Array], D: Array, *, response: Any = point_mass) -> Iterator[Check]:
    """Against a fixed D no generator has a smaller E_q ln(1 − D) than the point mass."""
    loss = tg.log(1.0 - tg.tensor(D))
    yield at_least("E_q ln(1 − D)", tg.sum(tg.tensor(q[0]) * loss), tg.sum(response(tg.tensor(D)) * loss), ALG)


@best_response.falsification("the outcomes in proportion to D")
def in_proportion(D: tg.Tensor) -> tg.Tensor:
    return D / tg.sum(D)


@GAN_22.part(start=st.integers(0, 3))
def hopping(start: int, *, response: Any = point_mass) -> Iterator[Check]:
    """On four equal modes, players that answer each other exactly: the generator hops, and JS never falls."""
    p, q = tg.full(4, 0.25), tg.one_hot(tg.tensor(start), 4)
    collapsed = divergence_of_share(0.25)
    for _ in range(6):
        before, q = q, response(optimal(p, q))
        yield same("no mass stays at the mode before", tg.sum(before * q), 0.0, EXACT)
        yield same("JS as before", js(p, q), collapsed, ALG)


@hopping.falsification("a generator that goes where D is smallest")
def least_believed(D: tg.Tensor) -> tg.Tensor:
    return tg.one_hot(tg.argmin(D), D.size)


# --- GAN-23 ------------------------------------------------------------------------------------------------------

GAN_23 = Claim(
    "GAN-23",
    "Why adversarial rather than maximum likelihood",
    r"\mathrm{JS}=\tfrac12\big(V(D^*)+\ln4\big)\ge\tfrac12\big(V(D)+\ln4\big),\qquad"
    r"\mathbb E_p[\mathrm{logit}\,D^*]=\mathrm{KL}(p\|q)",
    sources="001",
)


def average_logit(p: tg.Tensor, q: tg.Tensor, scores: tg.Tensor) -> tg.Tensor:
    """E_p logit D, an estimate of KL(p ‖ q)."""
    return tg.sum(p * scores)


@GAN_23.part(pq=laws(), most=10)
def kl_from_logits(pq: tuple[Array, Array], *, estimate: Any = average_logit) -> Iterator[Check]:
    """The mean logit of a trained discriminator over real examples is KL(p ‖ q)."""
    p, q = map(tg.tensor, pq)
    yield same("E_p logit = KL(p ‖ q)", estimate(p, q, newton_logits(p, q)), kl(p, q), OPT)


@kl_from_logits.falsification("over fake examples")
def over_fakes(p: tg.Tensor, q: tg.Tensor, scores: tg.Tensor) -> tg.Tensor:
    return -tg.sum(q * scores)


def divergence_of_value(v: tg.Tensor) -> tg.Tensor:
    """½ (V + ln 4)."""
    return 0.5 * (v + LN4)


@GAN_23.part(pq=laws(size=4, zeros=True), D=arrays(4, 0.01, 0.99))
def js_from_value(pq: tuple[Array, Array], D: Array, *, estimate: Any = divergence_of_value) -> Iterator[Check]:
    """½ (V + ln 4) is JS for D*, and a lower bound of it for any other discriminator."""
    p, q = map(tg.tensor, pq)
    yield same("D*: JS", estimate(value(p, q, optimal(p, q))), js(p, q), ALG)
    yield at_least("any D: a lower bound", js(p, q), estimate(value(p, q, tg.tensor(D))), ALG)


@js_from_value.falsification("without the ½")
def twice(v: tg.Tensor) -> tg.Tensor:
    return v + LN4
