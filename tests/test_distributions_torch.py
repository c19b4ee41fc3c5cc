"""KL divergences in closed form, log-probabilities and their gradients against PyTorch's (extra ``bench``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import on
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import distributions as ours

torch = pytest.importorskip("torch")
theirs = torch.distributions


def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive numbers over six decades."""
    return 10.0 ** rng.uniform(-3, 3, shape)


def lower(rng: np.random.Generator) -> np.ndarray:
    root = np.tril(rng.normal(size=(2, 3, 3)))
    root[:, range(3), range(3)] = 10.0 ** rng.uniform(-1, 1, (2, 3))
    return root


def either(family: Any) -> Callable[..., Any]:
    return lambda logits: family(logits=logits)


# name: (ours, theirs, parameters)
PAIRS: dict[str, tuple[Any, Any, Callable[[np.random.Generator], list[np.ndarray]]]] = {
    "Normal": (ours.Normal, theirs.Normal, lambda rng: [10 * rng.normal(size=4), spread(rng, 4)]),
    "Laplace": (ours.Laplace, theirs.Laplace, lambda rng: [10 * rng.normal(size=4), spread(rng, 4)]),
    "Exponential": (ours.Exponential, theirs.Exponential, lambda rng: [spread(rng, 4)]),
    "Bernoulli": (either(ours.Bernoulli), either(theirs.Bernoulli), lambda rng: [10 * rng.normal(size=4)]),
    "Binomial": (
        lambda logits: ours.Binomial(5, logits=logits),
        lambda logits: theirs.Binomial(5, logits=logits),
        lambda rng: [10 * rng.normal(size=4)],
    ),
    "Categorical": (either(ours.Categorical), either(theirs.Categorical), lambda rng: [10 * rng.normal(size=(4, 3))]),
    "MultivariateNormal": (
        lambda loc, root: ours.MultivariateNormal(loc, scale_tril=root),
        lambda loc, root: theirs.MultivariateNormal(loc, scale_tril=root),
        lambda rng: [rng.normal(size=(2, 3)), lower(rng)],
    ),
    "Independent": (
        lambda loc: ours.Independent(ours.Normal(loc, 2.0)),
        lambda loc: theirs.Independent(theirs.Normal(loc, torch.tensor(2.0, dtype=loc.dtype)), 1),
        lambda rng: [rng.normal(size=(4, 3))],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@given(seed=st.integers(0, 9999))
def test_kl(name: str, seed: int, device: str) -> None:
    make, peer, parameters = PAIRS[name]
    rng = np.random.default_rng(seed)
    p, q = parameters(rng), parameters(rng)
    found = ours.kl_divergence(make(*[on(device, a) for a in p]), make(*[on(device, a) for a in q])).numpy()
    if name == "Binomial":  # PyTorch takes log(1 − p) of a rounded p there; n trials have n times the divergence of one
        expected = 5 * theirs.kl_divergence(*[theirs.Bernoulli(logits=torch.tensor(a)) for (a,) in (p, q)]).numpy()
    else:
        expected = theirs.kl_divergence(peer(*map(torch.tensor, p)), peer(*map(torch.tensor, q))).numpy()
    # Terms that cancel are as large as the logarithm of a scale or 10 nats: 1e-10 of these.
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    same = ours.kl_divergence(make(*[on(device, a) for a in p]), make(*[on(device, a) for a in p])).numpy()
    np.testing.assert_allclose(same, np.zeros_like(same), atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
@given(seed=st.integers(0, 9999))
def test_log_prob_and_gradients(name: str, seed: int, device: str) -> None:
    make, peer, parameters = PAIRS[name]
    arrays = parameters(np.random.default_rng(seed))
    leaves, twins = (
        [on(device, a, requires_grad=True) for a in arrays],
        [torch.tensor(a, requires_grad=True) for a in arrays],
    )
    twin = peer(*twins)
    x = twin.sample((3,))
    log_p, expected = make(*leaves).log_prob(on(device, x.numpy())), twin.log_prob(x)
    np.testing.assert_allclose(log_p.numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    gradients = tg.grad(tg.sum(log_p), leaves)
    expected.sum().backward()
    for gradient, leaf in zip(gradients, twins, strict=True):
        want = leaf.grad.numpy()
        if name == "MultivariateNormal" and want.ndim == 3:
            want, gradient = np.tril(want), tg.tril(gradient)
        np.testing.assert_allclose(gradient.numpy(), want, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize("name", PAIRS)
@given(seed=st.integers(0, 9999))
def test_single_precision(name: str, seed: int, device: str) -> None:
    """float32 stays float32, and is as exact as PyTorch's: measured against float64 of the same parameters."""
    make, peer, parameters = PAIRS[name]
    arrays = [a.astype(np.float32) for a in parameters(np.random.default_rng(seed))]
    x = peer(*map(torch.tensor, arrays)).sample((3,)).numpy()
    exact = peer(*[torch.tensor(a.astype(np.float64)) for a in arrays])
    floating = x.dtype.kind == "f"
    expected = exact.log_prob(torch.tensor(x.astype(np.float64) if floating else x)).numpy()
    found = make(*[on(device, a) for a in arrays]).log_prob(on(device, x))
    assert found.dtype == np.float32
    # float32 has 7 digits; 3e-5 leaves room for the squares of whitened vectors whose matrix has a condition of 100
    np.testing.assert_allclose(found.numpy(), expected, rtol=3e-5, atol=3e-5)


def test_kl_with_impossible_values(device: str) -> None:
    kl = ours.kl_divergence
    p, q = (on(device, np.array(a)) for a in ([0.5, 0.5, 0.0], [0.25, 0.75, 0.0]))
    r = on(device, np.array([1.0, 0.0, 0.0]))
    assert abs(kl(ours.Categorical(p), ours.Categorical(q)).item() - (0.5 * np.log(2) + 0.5 * np.log(2 / 3))) < 1e-15
    assert kl(ours.Categorical(p), ours.Categorical(r)).item() == np.inf
    assert abs(kl(ours.Categorical(r), ours.Categorical(p)).item() - np.log(2)) < 1e-15
    np.testing.assert_array_equal(
        kl(ours.Bernoulli(r), ours.Bernoulli(on(device, np.array([1.0, 0.5, 1.0])))).numpy(), [0.0, np.log(2), np.inf]
    )
    low = on(device, np.array([0.0, -1.0, 0.5]))
    np.testing.assert_allclose(
        kl(ours.Uniform(low, 1.0), ours.Uniform(0.0, 2.0)).numpy(), [np.log(2), np.inf, np.log(4)]
    )
    with pytest.raises(NotImplementedError, match="n=2 and n=3"):
        kl(ours.Binomial(2, 0.5), ours.Binomial(3, 0.5))
    with pytest.raises(ValueError, match="3 classes, q 2"):
        kl(ours.Categorical(p), ours.Categorical([0.5, 0.5]))
