"""Chapter 14. Further applications: climbing a classifier, and drawing images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import MultivariateNormal
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, Check, Claim, Unchecked, at_least, holds, host, same, within
from tinygen.lectures.numerics import central_difference
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, laws, positive_definite, sizes, tables, vectors

Array = np.ndarray

# --- APP-1 -------------------------------------------------------------------------------------------------------

APP_1 = Claim(
    "APP-1",
    "Generation by ascent on a classifier's input",
    r"\nabla_x\ln P(y\mid x)=W_y-\sum_kP(k\mid x)W_k,\qquad"
    r"\nabla\ln p(x\mid y)=\nabla\ln P(y\mid x)+\nabla\ln p(x)",
    sources="004",
    assumptions="classifier frozen, differentiable in its input; formula for the softmax-linear one",
)


class Classifier(NamedTuple):
    """Weights W (K, D) and biases (K,) of a softmax-linear classifier, a wanted class and an input x (D,)."""

    W: Array
    bias: Array
    wanted: int
    x: Array


@st.composite
def classifiers(draw: st.DrawFn) -> Classifier:
    K, D = draw(sizes(2, 4)), draw(sizes(1, 4))
    wanted = draw(st.integers(0, K - 1))
    return Classifier(draw(arrays((K, D), -3, 3)), draw(arrays(K, -2, 2)), wanted, draw(arrays(D, -3, 3)))


def log_probability(classifier: Classifier, x: tg.Tensor) -> tg.Tensor:
    """ln P(y | x) of the wanted class."""
    return tg.log_softmax(tg.tensor(classifier.W) @ x + tg.tensor(classifier.bias))[classifier.wanted]


def slope_by_hand(W: Array, probabilities: Array, wanted: int) -> Array:
    """W_y − Σ_k P(k|x) W_k."""
    return np.asarray(W[wanted] - probabilities @ W)


@APP_1.part(classifier=classifiers())
def gradient(classifier: Classifier, *, slope: Any = slope_by_hand) -> Iterator[Check]:
    """Autodiff of ln P(y | x) in x gives the formula, and so do central differences without the engine."""
    W, bias, wanted, x = classifier

    def by_hand(at: Array) -> Array:
        scores = W @ at + bias
        return np.asarray(scores[wanted] - np.logaddexp.reduce(scores))

    expected = slope(W, np.exp(W @ x + bias - np.logaddexp.reduce(W @ x + bias)), wanted)
    yield same("autodiff", tg.jacobian(lambda at: log_probability(classifier, at), tg.tensor(x)), expected, ALG)
    yield same("differences", central_difference(by_hand, x), expected, FD)


@gradient.falsification("descent: the wrong sign")
def downhill(W: Array, probabilities: Array, wanted: int) -> Array:
    return -slope_by_hand(W, probabilities, wanted)


@gradient.falsification("all classes weighted alike")
def unweighted(W: Array, probabilities: Array, wanted: int) -> Array:
    return np.asarray(W[wanted] - W.mean(axis=0))


def ascend(x: tg.Tensor, slope: tg.Tensor, rate: float) -> tg.Tensor:
    """x + η ∇ ln P."""
    return x + rate * slope


@APP_1.part(classifier=classifiers())
def monotone(classifier: Classifier, *, step: Any = ascend) -> Iterator[Check]:
    """Steps 1/L, L = ½‖W‖², raise ln P by ‖∇‖²/2L or more each, and leave the classifier's weights as they are."""
    W, x = tg.tensor(classifier.W, requires_grad=True), tg.tensor(classifier.x, requires_grad=True)
    smoothness = 0.5 * np.linalg.norm(classifier.W, 2) ** 2 + 1e-6  # W = 0 has no slope
    for _ in range(5):
        value = tg.log_softmax(W @ x + tg.tensor(classifier.bias))[classifier.wanted]
        (slope,) = tg.grad(value, x)
        x = tg.tensor(step(x.detach(), slope, 1.0 / smoothness), requires_grad=True)
        rise = log_probability(classifier, x) - value
        yield at_least("rise", rise, 0.5 * host(slope) @ host(slope) / smoothness, ALG)
    yield same("weights stay", W, classifier.W, EXACT)
    yield holds("weights collect no gradient", W.grad is None)


@monotone.falsification("gradient descent on ln P")
def descend(x: tg.Tensor, slope: tg.Tensor, rate: float) -> tg.Tensor:
    return x - rate * slope


@monotone.falsification("step of 9/L")
def leap(x: tg.Tensor, slope: tg.Tensor, rate: float) -> tg.Tensor:
    return x + 9.0 * rate * slope


def logarithmic_growth(start: float, rate: float, steps: int) -> float:
    """ln(e^s + ½ηn‖w‖²): what the margin s ≥ 0 has reached at least after n steps, rate = η‖w‖²."""
    return math.log(math.exp(start) + 0.5 * rate * steps)


@APP_1.part(w=vectors(3, 0.3, 2.0), x=vectors(3, 0.0, 1.0), most=5)
def no_maximiser(w: Array, x: Array, *, growth: Any = logarithmic_growth) -> Iterator[Check]:
    """With two classes the ascent never ends: the margin grows at least like ln n, so without bound."""
    at, weights, rate = tg.tensor(x), tg.tensor(w), 1.0
    margins = [w @ x]
    for steps in range(1, 101):
        _, pullback = tg.vjp(lambda v: tg.log_sigmoid(tg.sum(weights * v)), at)
        at = at + rate * pullback(tg.tensor(1.0))[0].detach()
        if steps in (10, 30, 100):
            margins.append(float(tg.sum(weights * at)))
            yield at_least(f"margin after {steps} steps", margins[-1], growth(margins[0], rate * (w @ w), steps), ALG)
    yield at_least("growing", np.diff(margins), 1e-3, EXACT)


@no_maximiser.falsification("linear growth")
def linear_growth(start: float, rate: float, steps: int) -> float:
    return start + 0.5 * rate * steps


class Classes(NamedTuple):
    """Two classes of points (2,): prior (2,), means (2, 2), one covariance; a wanted class and a point."""

    prior: Array
    means: Array
    C: Array
    wanted: int
    x: Array


@st.composite
def gaussian_classes(draw: st.DrawFn) -> Classes:
    prior = draw(laws(1, 2))[0]
    prior = 0.9 * prior + 0.05
    return Classes(
        prior, draw(arrays((2, 2), -3, 3)), draw(positive_definite(2)), draw(st.integers(0, 1)), draw(arrays(2, -3, 3))
    )


def log_joints(classes: Classes, x: tg.Tensor) -> tg.Tensor:
    """ln p(y) + ln p(x | y) of both classes (2,)."""
    terms = [
        math.log(weight) + MultivariateNormal(tg.tensor(mean), tg.tensor(classes.C)).log_prob(x)
        for weight, mean in zip(classes.prior, classes.means, strict=True)
    ]
    return tg.stack(terms)


def repaired(log_posterior: tg.Tensor, log_marginal: tg.Tensor) -> tg.Tensor:
    """ln P(y|x) + ln p(x)."""
    return log_posterior + log_marginal


@APP_1.part(classes=gaussian_classes())
def decomposition(classes: Classes, *, objective: Any = repaired) -> Iterator[Check]:
    """Autodiff: ∇ ln P(y|x) + ∇ ln p(x) is C⁻¹(μ_y − x), which a Newton step takes to the mean of the class."""

    def f(x: tg.Tensor) -> tg.Tensor:
        joints = log_joints(classes, x)
        return tg.sum(objective(tg.log_softmax(joints)[classes.wanted], tg.logsumexp(joints)))

    x = tg.tensor(classes.x)
    slope = host(tg.jacobian(f, x))
    yield same("slope", slope, np.linalg.solve(classes.C, classes.means[classes.wanted] - classes.x), LIN)
    curvature = host(tg.hessian(f, x))
    yield same("−C⁻¹", curvature, -np.linalg.inv(classes.C), LIN)
    yield same("maximiser", classes.x - np.linalg.solve(curvature, slope), classes.means[classes.wanted], LIN)


@decomposition.falsification("∇ ln p(x) missing: the classifier alone")
def classifier_alone(log_posterior: tg.Tensor, log_marginal: tg.Tensor) -> tg.Tensor:
    return log_posterior


APP_2 = Unchecked(
    "APP-2", "Motivation chain", "an order of presentation; its links are the claims PROB-9, AE-6 and VAE-4"
)

# --- APP-3 -------------------------------------------------------------------------------------------------------

APP_3 = Claim(
    "APP-3",
    "Image generation",
    r"z\sim N(0,I),\ x=G(z)\qquad\text{or}\qquad x_t\sim p(x_t\mid x_{<t}),\ t=1,\dots,T",
    sources="003 004 001",
)


def conditional_one(joint: tg.Tensor, prefix: tuple[int, ...]) -> tg.Tensor:
    """p(x_t = 1 | x_<t = prefix) from the table of all binary images (2, …, 2); ½ after an impossible prefix."""
    one, both = tg.sum(joint[(*prefix, 1)]), tg.sum(joint[prefix])
    return tg.where(both > 0.0, one / tg.where(both > 0.0, both, 1.0), 0.5)


@APP_3.part(table=tables(8, zeros=True), most=15)
def ancestral(table: Array, *, conditional: Any = conditional_one) -> Iterator[Check]:
    """Images of three pixels drawn one pixel after the other follow the joint table: exactly, and in 2000 draws."""
    joint = tg.tensor(table.reshape(2, 2, 2))
    ones = {
        prefix: float(conditional(joint, prefix)) for t in range(3) for prefix in itertools.product((0, 1), repeat=t)
    }
    law = [
        math.prod(ones[image[:t]] if image[t] else 1.0 - ones[image[:t]] for t in range(3))
        for image in itertools.product((0, 1), repeat=3)
    ]
    yield same("law of the sampler", np.array(law), table, ALG)
    rng = Generator(3).spawn("APP-3")
    images = np.zeros((2000, 0), dtype=int)
    for _ in range(3):
        chance = np.array([ones[tuple(prefix)] for prefix in images.tolist()])
        pixel = host(rng.bernoulli(tg.tensor(np.clip(chance, 0.0, 1.0)))).astype(int)
        images = np.concatenate([images, pixel[:, None]], axis=1)
    counts = np.bincount(images @ [4, 2, 1], minlength=8)
    # 1/2000: a few draws of a rare image, whose count is far from normal, must not be five standard errors
    yield within("shares in 2000 draws", counts / 2000, table, np.sqrt(table * (1.0 - table) / 2000) + 1.0 / 2000)


@ancestral.falsification("pixels drawn independently")
def independent(joint: tg.Tensor, prefix: tuple[int, ...]) -> tg.Tensor:
    t = len(prefix)
    marginal = tg.sum(joint, axis=tuple(axis for axis in range(3) if axis != t))
    return marginal[1]


@ancestral.falsification("joint in place of conditional")
def not_divided(joint: tg.Tensor, prefix: tuple[int, ...]) -> tg.Tensor:
    return tg.sum(joint[(*prefix, 1)])


def bars(z: tg.Tensor) -> tg.Tensor:
    """Images (n, 2, 2): a row and a column, each lit by its own code."""
    return tg.expand_dims(z, 2) + tg.zeros((1, 1, 2))


@APP_3.part(key=st.integers(0, 2**64), shift=floats(-2, 2))
def decoded(key: int, shift: float, *, decode: Any = bars) -> Iterator[Check]:
    """The same seed draws the same bits; the mean image and the covariance of pixels are those of the codes."""
    first, again, other = (
        host(decode(Generator(number).normal((500, 2), dtype=np.float64) + shift)) for number in (key, key, key + 1)
    )
    yield same("same seed", again, first, EXACT)
    yield holds("another seed", np.any(other != first))
    drawn = host(decode(Generator(3).spawn("APP-3 images").normal((2000, 2), dtype=np.float64) + shift))
    yield within("mean image", drawn.mean(axis=0), np.full((2, 2), shift), 1.0 / math.sqrt(2000))
    rows = drawn.reshape(2000, 4) - shift
    exact = np.kron(np.eye(2), np.ones((2, 2)))
    yield within("covariance", rows.T @ rows / 2000, exact, np.sqrt((exact**2 + 1.0) / 2000))


@decoded.falsification("both rows lit by one code")
def one_code(z: tg.Tensor) -> tg.Tensor:
    return bars(tg.stack([z[:, 0], z[:, 0]], axis=1))


APP_4 = Unchecked("APP-4", "Index of applications", "a list of applications that are claims elsewhere")
APP_5 = Unchecked("APP-5", "Index of figures", "a list of pictures worth drawing; their formulas are claims elsewhere")
