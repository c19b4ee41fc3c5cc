"""Distributions against scipy, quadrature and their own samples: log-probabilities, entropies, moments, gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from arrays import close, on
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Distribution,
    Exponential,
    Independent,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Uniform,
)

places = st.floats(-1e3, 1e3)
scales = st.floats(-12.0, 12.0).map(lambda power: 10.0**power)
RELATIVE = 1e-10  # of the brief; scipy and we sum the same few terms in another order


@dataclass
class Family:
    """A family of one-dimensional distributions, the strategy of its parameters, and scipy's."""

    make: Callable[..., Distribution]
    parameters: st.SearchStrategy[tuple[float, ...]]
    peer: Callable[..., Any]
    integers: bool = False


FAMILIES = {
    "Normal": Family(Normal, st.tuples(places, scales), lambda loc, scale: scipy.stats.norm(loc, scale)),
    "Laplace": Family(Laplace, st.tuples(places, scales), lambda loc, scale: scipy.stats.laplace(loc, scale)),
    "Exponential": Family(Exponential, st.tuples(scales), lambda rate: scipy.stats.expon(scale=1.0 / rate)),
    "Uniform": Family(
        lambda low, width: Uniform(low, low + width),
        st.tuples(places, st.floats(1e-3, 1e3)),
        lambda low, width: scipy.stats.uniform(low, width.max() if np.ndim(width) else width),
    ),
    "Bernoulli": Family(Bernoulli, st.tuples(st.floats(0.0, 1.0)), scipy.stats.bernoulli, integers=True),
    "Binomial": Family(
        lambda p: Binomial(7, p), st.tuples(st.floats(1e-300, 1.0)), lambda p: scipy.stats.binom(7, p), integers=True
    ),
}
DENSITIES = [name for name, family in FAMILIES.items() if not family.integers]


def agree(found: Any, expected: Any) -> None:
    """Equal to 1e-10, relative to the value or to 1."""
    np.testing.assert_allclose(found.numpy(), expected, rtol=RELATIVE, atol=RELATIVE)


@pytest.mark.parametrize("name", FAMILIES)
@given(data=st.data())
def test_against_scipy(name: str, data: st.DataObject, device: str) -> None:
    family = FAMILIES[name]
    parameters = data.draw(family.parameters)
    made, peer = family.make(*[on(device, p) for p in parameters]), family.peer(*parameters)
    if family.integers:
        x = np.arange(-1.0, 9.0)
        expected = peer.logpmf(x)
    else:
        z = np.array(data.draw(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=5)))
        x = peer.mean() + peer.std() * z
        expected = peer.logpdf(x)
        if name == "Uniform":  # scipy's support ends at low + width, rounded in another way
            x = np.append(x[np.abs(z) < 1.7], parameters[0] - 1.0)
            expected = np.append(np.full(len(x) - 1, -np.log((parameters[0] + parameters[1]) - parameters[0])), -np.inf)
    agree(made.log_prob(on(device, x)), expected)
    agree(made.mean, peer.mean())
    # scipy's uniform loses digits of the width, its binomial those of 1 − p
    np.testing.assert_allclose(made.variance.numpy(), peer.var(), rtol=1e-9, atol=1e-14 if family.integers else 0.0)
    agree(made.entropy(), peer.entropy() if name != "Bernoulli" else scipy.stats.binom(1, *parameters).entropy())


@given(logit=st.floats(-700.0, 700.0), n=st.integers(1, 20))
def test_extreme_logits(logit: float, n: int, device: str) -> None:
    """log p and log(1 − p) keep their digits where p itself is rounded to 0 or 1."""
    log_p, log_q = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)
    made = Binomial(n, logits=on(device, logit))
    agree(made.log_prob(on(device, np.array([0.0, n]))), [n * log_q, n * log_p])
    agree(Bernoulli(logits=on(device, logit)).log_prob(on(device, np.array([0.0, 1.0]))), [log_q, log_p])
    assert np.isfinite(made.entropy().item())


@given(logit=st.floats(-5.0, 5.0) | st.just(0.0), n=st.integers(1, 20), share=st.floats(0.0, 1.0))
def test_slope_and_curvature_in_the_logit(logit: float, n: int, share: float, device: str) -> None:
    """k − n p and −n p (1 − p), also at the logit 0, where the formula changes sides; for other k, a constant."""
    k, p = round(share * n), 1.0 / (1.0 + np.exp(-logit))
    at = tg.tensor(on(device, logit), requires_grad=True)
    for value, expected in ((k, (k - n * p, -n * p * (1.0 - p))), (n + 1, (0.0, 0.0))):
        (slope,) = tg.grad(Binomial(n, logits=at).log_prob(on(device, float(value))), at, create_graph=True)
        (curvature,) = tg.grad(slope, at)
        agree(slope, expected[0])
        agree(curvature, expected[1])


def test_certain_logits(device: str) -> None:
    """A logit of ±∞ is a probability of 1 or 0: log-probability 0 for what is certain, −∞ for the rest, slope 0."""
    at = tg.tensor(on(device, np.array([[-np.inf], [np.inf]])), requires_grad=True)
    log_p = Binomial(3, logits=at).log_prob(on(device, np.arange(4.0)))
    assert np.array_equal(log_p.numpy(), [[0.0, -np.inf, -np.inf, -np.inf], [-np.inf, -np.inf, -np.inf, 0.0]])
    certain = log_p[on(device, np.array([0, 1])), on(device, np.array([0, 3]))]
    assert np.array_equal(tg.grad(tg.sum(certain), at)[0].numpy(), [[0.0], [0.0]])


def test_binomial_of_many_trials(device: str) -> None:
    p = np.array([1e-12, 0.3, 1.0 - 1e-9])
    made, k = Binomial(255, on(device, p)), np.arange(256.0)[:, None]
    agree(made.log_prob(on(device, k)), scipy.stats.binom.logpmf(k, 255, p))
    agree(made.entropy(), scipy.stats.binom.entropy(255, p))


@given(seed=st.integers(0, 999), classes=st.integers(1, 6), sparse=st.booleans(), as_logits=st.booleans())
def test_categorical(seed: int, classes: int, sparse: bool, as_logits: bool, device: str) -> None:
    rng = np.random.default_rng(seed)
    logits = 5.0 * rng.normal(size=(3, classes))
    if sparse:
        logits[0, 1:] = -np.inf
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))
    made = Categorical(logits=on(device, logits)) if as_logits else Categorical(on(device, p))
    x = rng.integers(-1, classes + 1, (4, 3))
    padded = np.concatenate([p, np.zeros((3, 2))], axis=1)
    with np.errstate(divide="ignore"):
        agree(made.log_prob(on(device, x)), np.log(padded[np.arange(3), x]))  # −1 and K are both beyond the end
    agree(made.entropy(), scipy.stats.entropy(p, axis=-1))
    numbers = np.arange(classes)
    agree(made.mean, p @ numbers)
    agree(made.variance, p @ numbers**2 - (p @ numbers) ** 2)


@given(seed=st.integers(0, 999), d=st.integers(1, 4), batched=st.booleans(), by_root=st.booleans())
def test_multivariate_normal(seed: int, d: int, batched: bool, by_root: bool, device: str) -> None:
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(2, d, d)))
    root[:, range(d), range(d)] = 10.0 ** rng.uniform(-2, 2, (2, d))
    root = root if batched else root[0]
    loc, x, covariance = rng.normal(size=(2, d)), rng.normal(size=(5, 2, d)), root @ np.swapaxes(root, -1, -2)
    made = MultivariateNormal(
        on(device, loc), **{"scale_tril": on(device, root)} if by_root else {"covariance": on(device, covariance)}
    )
    z = np.linalg.solve(np.broadcast_to(root, (5, 2, d, d)), (x - loc)[..., None])[..., 0]
    log_det = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
    expected = -0.5 * (z * z).sum(-1) - log_det - 0.5 * d * np.log(2 * np.pi)
    # a covariance whose condition is c has log-densities exact to c · 1e-16 of their terms
    precision = 1e-10 if by_root else 1e-16 * np.linalg.cond(covariance).max() * 100 + 1e-10
    np.testing.assert_allclose(made.log_prob(on(device, x)).numpy(), expected, rtol=precision, atol=precision)
    entropy = np.broadcast_to(log_det + 0.5 * d * (1 + np.log(2 * np.pi)), (2,))
    np.testing.assert_allclose(made.entropy().numpy(), entropy, rtol=precision, atol=precision)
    agree(made.mean, loc)
    np.testing.assert_allclose(made.covariance.numpy(), covariance, atol=1e-10 * np.abs(covariance).max())
    agree(made.variance, np.broadcast_to(np.diagonal(covariance, axis1=-2, axis2=-1), (2, d)))
    if d > 1 or not batched:
        peer = scipy.stats.multivariate_normal(loc[0], covariance[0] if batched else covariance, allow_singular=True)
        if precision < 1e-8:
            np.testing.assert_allclose(made.log_prob(on(device, x)).numpy()[:, 0], peer.logpdf(x[:, 0]), rtol=1e-6)


@pytest.mark.host
@pytest.mark.parametrize(
    "made",
    [
        Normal(0.3, 1.7),
        Laplace(-0.4, 0.6),
        Exponential(2.5),
        Uniform(-1.5, 0.25),
        Mixture([0.2, 0.5, 0.3], [Normal(-2.0, 0.3), Laplace(1.0, 0.5), Uniform(0.0, 4.0)]),
    ],
    ids=repr,
)
def test_densities_integrate_to_one(made: Distribution) -> None:
    """Quadrature of p, p log p and the moments over the pieces between kinks and jumps."""
    edges = [-40.0, -1.5, -0.4, 0.0, 0.25, 1.0, 4.0, 40.0]

    def integral(function: Callable[[float, float], float]) -> float:
        def at(x: float) -> float:
            log_p = made.log_prob(np.array(x)).item()
            return function(x, log_p) * np.exp(log_p) if log_p > -np.inf else 0.0

        parts = [
            scipy.integrate.quad(
                at,
                a,
                b,
                points=[(a + b) / 2] if b - a < 30 else [a + 30 if a < -30 else a + 9],
                epsabs=1e-13,
                limit=200,
            )[0]
            for a, b in itertools.pairwise(edges)
        ]
        return float(sum(parts))

    mean = integral(lambda x, log_p: x)
    assert abs(integral(lambda x, log_p: 1.0) - 1.0) < 1e-9  # quadrature's own error
    tg.set_default_dtype(np.float64)
    try:
        assert abs(mean - made._anchored(None).mean.item()) < 1e-6  # parameters rounded once to float32 at most
        assert abs(integral(lambda x, log_p: (x - mean) ** 2) - made.variance.item()) < 1e-6
        if not isinstance(made, Mixture):
            assert abs(integral(lambda x, log_p: -log_p) - made.entropy().item()) < 1e-6
    finally:
        tg.set_default_dtype(np.float32)


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_follow_the_density(name: str, device: str) -> None:
    """Kolmogorov–Smirnov at a level of 1e-4 for each family: the seed is fixed, so it never alarms by chance."""
    parameters = {"Exponential": (2.5,), "Uniform": (-1.0, 3.0)}.get(name, (0.5, 2.0))
    family = FAMILIES[name]
    for dtype in (np.float64, np.float32):
        made = family.make(*[on(device, np.asarray(p, dtype)) for p in parameters])
        drawn = made.sample(tg.random.Generator(3), 20_000)
        assert drawn.dtype == dtype
        assert drawn.device == device
        assert scipy.stats.kstest(drawn.numpy().astype(float), family.peer(*parameters).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("make", "support"),
    [
        (lambda array: Bernoulli(array(0.3)), 2),
        (lambda array: Bernoulli(logits=array(-1.0)), 2),
        (lambda array: Binomial(6, array(0.3)), 7),
        (lambda array: Binomial(6, logits=array(2.0)), 7),
        (lambda array: Categorical(array([0.1, 0.2, 0.7])), 3),
        (lambda array: Mixture(array([0.3, 0.7]), [Binomial(3, array(0.2)), Binomial(3, array(0.9))]), 4),
    ],
)
def test_counts_follow_the_probabilities(make: Callable[..., Distribution], support: int, device: str) -> None:
    """χ² at a level of 1e-4, with a fixed seed."""
    made = make(lambda values: on(device, np.array(values)))
    drawn = made.sample(tg.random.Generator(5), 20_000).numpy().astype(int)
    expected = np.exp(made.log_prob(on(device, np.arange(support))).numpy())
    assert abs(expected.sum() - 1.0) < 1e-12
    assert scipy.stats.chisquare(np.bincount(drawn, minlength=support), 20_000 * expected).pvalue > 1e-4


def test_vectors_follow_the_density(device: str) -> None:
    """The whitened radius of a normal vector is χ²; of a mixture, the logarithmic density has the same law on both."""
    covariance, loc = np.array([[2.0, -0.7, 0.1], [-0.7, 1.0, 0.3], [0.1, 0.3, 0.5]]), np.array([1.0, -2.0, 0.0])
    for shape in ((), (2,)):
        matrix = np.broadcast_to(covariance, (*shape, 3, 3)).copy()
        made = MultivariateNormal(on(device, loc), on(device, matrix))
        drawn = made.sample(tg.random.Generator(8), 10_000).numpy()
        assert drawn.shape == (10_000, *shape, 3)
        centred = drawn.reshape(-1, 3) - loc
        radius = (centred * np.linalg.solve(covariance, centred.T).T).sum(-1)
        assert scipy.stats.kstest(radius, scipy.stats.chi2(3).cdf).pvalue > 1e-4
        # each entry of the sample covariance deviates by about √2 · 2 / 100; five times that
        assert np.abs(np.cov(centred.T) - covariance).max() < 0.15


def test_mixture_of_vectors(device: str) -> None:
    centres = np.array([[0.0, 3.0], [-3.0, 0.0], [1.0, 1.0]])
    weights = np.array([0.5, 0.3, 0.2])
    components = [Independent(Normal(on(device, centre), 0.5)) for centre in centres]
    made = Mixture(on(device, weights), components)
    x = np.random.default_rng(0).normal(size=(7, 2))
    squares = ((x[:, None] - centres) ** 2).sum(-1)
    agree(made.log_prob(on(device, x)), np.log((weights * np.exp(-2.0 * squares)).sum(-1) / (np.pi / 2)))
    agree(made.mean, weights @ centres)
    agree(made.variance, 0.25 + weights @ centres**2 - (weights @ centres) ** 2)
    drawn = made.sample(tg.random.Generator(2), 20_000).numpy()
    nearest = ((drawn[:, None] - centres) ** 2).sum(-1).argmin(-1)
    # Components overlap: 1e-3 of the draws lie nearer to a strange centre.  Standard errors are 3.5e-3.
    assert np.abs(np.bincount(nearest) / 20_000 - weights).max() < 0.02


def test_batched_mixture(device: str) -> None:
    """Weights and components with a batch axis: each column is a mixture of its own."""
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    made = Mixture(
        on(device, weights),
        [Normal(on(device, np.array([-5.0, -50.0])), 1.0), Normal(on(device, np.array([5.0, 50.0])), 1.0)],
    )
    agree(made.mean, [-5.0, 50.0])
    drawn = made.sample(tg.random.Generator(4), (1000,)).numpy()
    # means of 1000 draws are within 0.2 = 6 standard errors
    np.testing.assert_allclose(drawn.mean(0), [-5.0, 50.0], atol=0.2)
    agree(made.log_prob(on(device, np.array([-5.0, 50.0]))), 2 * [-0.5 * np.log(2 * np.pi)])


SMOOTH: dict[str, tuple[Callable[..., Distribution], list[Any], Any]] = {
    "Normal": (Normal, [[0.3, -1.0], [0.7, 2.0]], [1.0, 0.5]),
    "Laplace": (Laplace, [[0.3, -1.0], [0.7, 2.0]], [1.0, 0.5]),
    "Exponential": (Exponential, [[0.7, 2.0]], [1.0, 0.5]),
    "Uniform": (Uniform, [[-1.0, -2.0], [2.0, 1.0]], [1.0, 0.5]),
    "MultivariateNormal": (
        lambda loc, root: MultivariateNormal(loc, scale_tril=tg.tril(root)),
        [[0.3, -1.0], [[0.7, 0.0], [0.4, 2.0]]],
        [[1.0, 0.5], [0.1, 0.2]],
    ),
    "covariance": (MultivariateNormal, [[0.3, -1.0], [[0.7, 0.2], [0.2, 2.0]]], [1.0, 0.5]),
    "Bernoulli probs": (Bernoulli, [[0.3, 0.6]], None),
    "Bernoulli logits": (lambda logits: Bernoulli(logits=logits), [[0.3, -0.6]], None),
    "Binomial probs": (lambda p: Binomial(3, p), [[0.3, 0.6]], None),
    "Binomial logits": (lambda logits: Binomial(3, logits=logits), [[0.3, -0.6]], None),
    "Categorical logits": (lambda logits: Categorical(logits=logits), [[0.3, -0.6, 0.1]], None),
    "Mixture": (
        lambda logits, loc: Mixture(tg.softmax(logits), [Normal(loc[0], 1.0), Laplace(loc[1], 0.5)]),
        [[0.3, -0.6], [1.5, -1.0]],
        [1.0, 0.5, -2.0],
    ),
    "Independent": (lambda loc: Independent(Normal(loc, 0.5)), [[0.3, -1.0]], [[1.0, 0.5], [0.2, 0.3]]),
}
"""For each family: how to make it from free parameters, these, and values inside the support (None: 0 and 1)."""


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_to_second_order(name: str, device: str) -> None:
    """log p against differences of its own gradients, in the parameters and the value; entropy likewise."""
    make, numbers, value = SMOOTH[name]
    inputs = [np.array(n) for n in numbers] + ([np.array(value)] if value is not None else [])

    def function(*free: Any) -> Any:
        made = make(*free[: len(numbers)])
        log_p = made.log_prob(free[-1] if value is not None else on(device, np.array([0, 1])))
        total = tg.sum(log_p * log_p)
        return total if name == "Mixture" else total + tg.sum(tg.square(made.entropy()))

    def gradient(arrays: list[np.ndarray]) -> np.ndarray:
        leaves = [on(device, a, requires_grad=True) for a in arrays]
        found = tg.grad(function(*leaves), leaves, allow_unused=True)
        return np.concatenate(
            [np.zeros(a.size) if g is None else g.numpy().ravel() for g, a in zip(found, arrays, strict=True)]
        )

    rng, step = np.random.default_rng(0), 1e-5
    v = [rng.normal(size=a.shape) for a in inputs]
    if name == "covariance":
        v[1] = v[1] + v[1].T
    moved = [[a + s * step * w for a, w in zip(inputs, v, strict=True)] for s in (1, -1)]
    slope = sum(function(*[on(device, a) for a in m]).item() * s for m, s in zip(moved, (1, -1), strict=True)) / (
        2 * step
    )
    flat = np.concatenate([w.ravel() for w in v])
    # central differences over 1e-5 keep about 9 digits of terms of size 1 to 100
    assert abs(gradient(inputs) @ flat - slope) < 1e-6 * max(1.0, abs(slope))
    leaves = [on(device, a, requires_grad=True) for a in inputs]
    first = tg.grad(function(*leaves), leaves, create_graph=True, allow_unused=True)
    along = sum(
        (tg.sum(g * on(device, w)) for g, w in zip(first, v, strict=True) if g is not None), start=on(device, 0.0)
    )
    second = tg.grad(along, leaves, allow_unused=True)
    found = np.concatenate(
        [np.zeros(a.size) if g is None else g.numpy().ravel() for g, a in zip(second, inputs, strict=True)]
    )
    wanted = (gradient(moved[0]) - gradient(moved[1])) / (2 * step)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["Normal", "Laplace", "Exponential", "Uniform", "MultivariateNormal", "Independent"])
def test_reparametrised_draws(name: str, device: str) -> None:
    """The gradient of a draw is that of the same draw with moved parameters (PROB-7); sample gives the same numbers."""
    make, numbers, _ = SMOOTH[name]
    arrays = [np.array(n) for n in numbers]

    def drawn(moved: list[np.ndarray], requires_grad: bool = False) -> tuple[tg.Tensor, list[tg.Tensor]]:
        leaves = [on(device, a, requires_grad=requires_grad) for a in moved]
        return make(*leaves).rsample(tg.random.Generator(1), (3,)), leaves

    x, leaves = drawn(arrays, requires_grad=True)
    same = make(*leaves).sample(tg.random.Generator(1), (3,))
    assert not same.requires_grad
    np.testing.assert_array_equal(same.numpy(), x.numpy())
    gradients = tg.grad(tg.sum(x * x), leaves)
    step = 1e-6
    for i, (gradient, array) in enumerate(zip(gradients, arrays, strict=True)):
        v = np.random.default_rng(i).normal(size=array.shape)
        slopes = [
            (drawn([a + s * step * v if j == i else a for j, a in enumerate(arrays)])[0].numpy() ** 2).sum()
            for s in (1, -1)
        ]
        slope = (slopes[0] - slopes[1]) / (2 * step)
        assert abs((gradient.numpy() * v).sum() - slope) < 1e-6 * max(1.0, abs(slope))


def test_impossible_values(device: str) -> None:
    """−∞ outside the support, with gradient 0 and no NaN, also at second order; possible values are untouched."""
    p = on(device, np.array([0.0, 1.0, 0.0, 1.0, 0.5]), requires_grad=True)
    x = on(device, np.array([1.0, 0.0, 0.0, 1.0, 2.0]))
    log_p = Bernoulli(p).log_prob(x)
    np.testing.assert_array_equal(log_p.numpy(), [-np.inf, -np.inf, 0.0, 0.0, -np.inf])
    (slope,) = tg.grad(tg.sum(tg.exp(log_p)), p, create_graph=True)
    np.testing.assert_array_equal(tg.grad(tg.sum(log_p), p)[0].numpy(), [0.0, 0.0, -1.0, 1.0, 0.0])
    assert np.isfinite(slope.numpy()).all()

    rate, low = (on(device, np.array(v), requires_grad=True) for v in (2.0, -1.0))
    outside = on(device, np.array([-3.0, np.inf, np.nan]), requires_grad=True)
    inside = Uniform(low, 1.0).log_prob(outside)
    np.testing.assert_array_equal(inside.numpy(), [-np.inf, -np.inf, np.nan])
    found = tg.grad(
        tg.sum(Uniform(low, 1.0).log_prob(outside[:2]) + Exponential(rate).log_prob(-3.0)), [low, rate, outside]
    )
    for gradient in found:
        np.testing.assert_array_equal(gradient.numpy(), 0.0 * gradient.numpy())

    logits = on(device, np.array([0.0, -np.inf, 1.0]), requires_grad=True)
    made = Categorical(logits=logits)
    (slope,) = tg.grad(made.entropy() + tg.sum(made.log_prob(on(device, np.array([0, 2])))), logits)
    assert np.isfinite(slope.numpy()).all()
    assert made.log_prob(on(device, np.array([1, 3, -1]))).numpy().tolist() == 3 * [-np.inf]
    agree(Categorical(on(device, np.array([0.25, 0.75, 0.0]))).entropy(), scipy.stats.entropy([0.25, 0.75]))


def test_numbers_take_the_dtype_of_what_they_meet(device: str) -> None:
    x32, x64 = on(device, np.float32([0.25])), on(device, np.array([0.25]))
    for made in (
        Normal(0.1, 2.0),
        Laplace(0.1, 2.0),
        Exponential(0.3),
        Uniform(0.1, 0.7),
        Mixture([0.1, 0.9], [Normal(0.1, 0.3), Normal(0.7, 0.3)]),
    ):
        assert made.log_prob(x32).dtype == np.float32
        assert made.log_prob(x64).dtype == np.float64
        assert made.sample(tg.random.Generator(0), 2).dtype == np.float32
        assert made.log_prob(0.25).device == device
    agree(Normal(0.1, 0.3).log_prob(x64), scipy.stats.norm(0.1, 0.3).logpdf([0.25]))
    agree(Bernoulli(0.3).log_prob(on(device, np.array([1.0]))), [np.log(0.3)])
    mixed = Mixture([0.1, 0.9], [Normal(0.1, 0.3), Normal(on(device, np.array(0.7)), 0.3)])
    assert mixed.sample(tg.random.Generator(0), 2).dtype == np.float64
    agree(mixed.mean, 0.1 * 0.1 + 0.9 * 0.7)
    agree(tg.distributions.kl_divergence(Normal(0.1, 1.0), Normal(on(device, np.array(0.3)), 1.0)), 0.02)


def test_shapes(device: str) -> None:
    rng = tg.random.Generator(0)
    made = Normal(on(device, np.zeros((3, 1))), on(device, np.ones(2)))
    assert made.batch_shape == (3, 2)
    assert made.mean.shape == made.variance.shape == made.entropy().shape == (3, 2)
    assert made.sample(rng).shape == (3, 2)
    assert made.sample(rng, 4).shape == (4, 3, 2)
    assert made.log_prob(0.0).shape == (3, 2)
    rows = Independent(made)
    assert (rows.batch_shape, rows.event_shape) == ((3,), (2,))
    assert rows.sample(rng, (5,)).shape == (5, 3, 2)
    assert rows.log_prob(on(device, np.zeros((5, 3, 2)))).shape == (5, 3)
    agree(rows.log_prob(on(device, np.zeros((3, 2)))), made.log_prob(0.0).numpy().sum(-1))
    vectors = MultivariateNormal(
        on(device, np.zeros((4, 1, 2))), on(device, np.broadcast_to(np.eye(2), (3, 2, 2)).copy())
    )
    assert vectors.batch_shape == (4, 3)
    assert vectors.sample(rng, 5).shape == (5, 4, 3, 2)
    assert vectors.entropy().shape == vectors.log_prob(on(device, np.zeros(2))).shape == (4, 3)
    assert Categorical(on(device, np.full((3, 4), 0.25))).sample(rng, 5).dtype == np.int64
    assert repr(Normal(on(device, np.zeros(3)), 1.0)) == "Normal(loc=float64[3], scale=float64[])"


def test_no_synchronisation(device: str) -> None:
    """Making, drawing and scoring on a device never waits for it."""
    loc, root = on(device, np.zeros(2), requires_grad=True), on(device, np.eye(2))
    with no_sync() if device == "double" else nullcontext():
        rng = tg.random.Generator(0)
        for made in (
            Independent(Normal(loc, 1.0)),
            MultivariateNormal(loc, scale_tril=root),
            MultivariateNormal(loc, root),
            Mixture([0.5, 0.5], [MultivariateNormal(loc, root), MultivariateNormal(loc + 1.0, root)]),
        ):
            log_p = made.log_prob(made.sample(rng, 3))
            tg.grad(tg.sum(log_p), loc)
        for counts in (Bernoulli(logits=loc), Binomial(3, logits=loc), Categorical(logits=loc)):
            tg.grad(tg.sum(counts.log_prob(counts.sample(rng, (3, 2) if counts.batch_shape == () else 3))), loc)
        tg.distributions.kl_divergence(Normal(loc, 1.0), Normal(0.0, 1.0))


WRONG = {
    "scale must be positive": lambda: Normal(0.0, [1.0, 0.0]),
    "its values reach from nan": lambda: Normal(0.0, np.array([np.nan])),
    "rate must be positive": lambda: Exponential(-1.0),
    "high - low must be positive": lambda: Uniform(1.0, 1.0),
    "exactly one of probs and logits": lambda: Bernoulli(),
    "give logits by their name": lambda: Bernoulli(1.5),
    "n must be a whole number": lambda: Binomial(0, 0.5),
    "must sum to 1": lambda: Categorical([0.5, 0.6]),
    "must not be negative": lambda: Categorical([1.5, -0.5]),
    "exactly one of covariance": lambda: MultivariateNormal([0.0]),
    "must be symmetric": lambda: MultivariateNormal([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]),
    "positive": lambda: MultivariateNormal([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]),
    "above its diagonal": lambda: MultivariateNormal([0.0, 0.0], scale_tril=[[1.0, 0.5], [0.0, 1.0]]),
    "positive diagonal": lambda: MultivariateNormal([0.0, 0.0], scale_tril=[[1.0, 0.0], [0.0, -1.0]]),
    r"must be \(…, d\)": lambda: MultivariateNormal(0.0, [[1.0]]),
    "do not broadcast": lambda: Normal([0.0, 1.0], [1.0, 2.0, 3.0]),
    "Mixture: weights of shape": lambda: Mixture([0.5, 0.5], [Normal(0.0, 1.0)]),
    "one event shape": lambda: Mixture([0.5, 0.5], [Normal(0.0, 1.0), Independent(Normal([0.0], 1.0))]),
    "take softmax of logits": lambda: Mixture(tg.tensor([1.0, 0.0], requires_grad=True), 2 * [Normal(0.0, 1.0)]),
    "axes=2 must be from 1": lambda: Independent(Normal([0.0], 1.0), 2),
    r"Normal.log_prob: value of shape \(3,\) does not broadcast": lambda: Normal([0.0, 1.0], 1.0).log_prob(np.zeros(3)),
    "must end in the event shape": lambda: MultivariateNormal([0.0, 0.0], np.eye(2)).log_prob(np.zeros((4, 1))),
    "score function": lambda: Bernoulli(0.5).rsample(tg.random.Generator(0)),
    "has no closed form; estimate it": lambda: Mixture([1.0], [Normal(0.0, 1.0)]).entropy(),
    "no closed form for Normal and Laplace": lambda: tg.distributions.kl_divergence(
        Normal(0.0, 1.0), Laplace(0.0, 1.0)
    ),
    "mix dtypes": lambda: Normal(np.zeros(1), np.ones(1, np.float32)),
    "stack tensors": lambda: Normal([tg.zeros(2), tg.zeros(2)], 1.0),
    "shape must be a whole number": lambda: Normal(0.0, 1.0).sample(tg.random.Generator(0), 2.5),
}


@pytest.mark.host
@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_raises(message: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
        WRONG[message]()


@pytest.mark.host
@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_score_has_mean_zero(seed: int) -> None:
    """Σ p ∇log p = 0 over all outcomes: a check of log p and its gradient that needs no second formula."""
    rng = np.random.default_rng(seed)
    free = on("cpu", rng.normal(size=3), requires_grad=True)
    binomial = Binomial(9, logits=free[0])
    for made, outcomes in ((binomial, 10), (Bernoulli(tg.sigmoid(free[1])), 2), (Categorical(logits=free), 3)):
        log_p = made.log_prob(np.arange(outcomes))
        (score,) = tg.grad(tg.sum(log_p * np.exp(log_p.numpy())), free)
        close(score, np.zeros(3), rtol=1e-13)
