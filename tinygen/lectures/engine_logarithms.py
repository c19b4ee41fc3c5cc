"""Chapter 15, second part. Logarithms that neither overflow nor vanish, and their base."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.divergences import js, kl
from tinygen.lectures.claim import ALG, OPT, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import golden_section
from tinygen.testing.strategies import arrays, laws, logits, sizes

Array = np.ndarray

# --- ENG-6 -------------------------------------------------------------------------------------------------------

ENG_6 = Claim(
    "ENG-6",
    "Stable primitives",
    r"\ln\sigma(s)=-\mathrm{softplus}(-s),\ \ln(1-\sigma(s))=-\mathrm{softplus}(s),\ "
    r"\mathrm{softplus}(s)=\max(s,0)+\ln(1+e^{-|s|})",
    sources="000 001 002 003 004",
)


def log_probabilities(s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """(ln σ(s), ln(1 − σ(s)))."""
    return -tg.softplus(-s), -tg.softplus(s)


@ENG_6.part(s=logits(sizes(1, 8)), dtype=st.sampled_from([np.float64, np.float32]))
def sigmoid_logarithms(s: Array, dtype: type, *, logarithms: Any = log_probabilities) -> Iterator[Check]:
    """Values and gradients of ln σ and ln(1 − σ) are right and finite up to ±800, also in float32."""
    tolerance = ALG if dtype is np.float64 else 1e-5  # ALG of float32 in LECTURES §0
    for values in (s, np.array([-800.0, -50.0, 0.0, 50.0, 800.0])):
        x = tg.tensor(values.astype(dtype), requires_grad=True)
        exact = x.numpy().astype(np.float64)
        upper, lower = logarithms(x)
        yield same("ln σ(s)", upper, -np.logaddexp(0.0, -exact), tolerance)
        yield same("ln(1 − σ(s))", lower, -np.logaddexp(0.0, exact), tolerance)
        for name, value, slope in (("ln σ", upper, -exact), ("ln(1 − σ)", lower, exact)):
            sign = 1.0 if name == "ln σ" else -1.0
            expected = sign * np.exp(-np.logaddexp(0.0, -slope))
            yield same(f"∂ {name}", tg.grad(tg.sum(value), x)[0], expected, tolerance)
    yield holds("keeps its dtype", upper.dtype == dtype, f"{upper.dtype}")


@sigmoid_logarithms.falsification("logarithm of the rounded sigmoid")
def of_the_sigmoid(s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return tg.log(tg.sigmoid(s)), tg.log(1.0 - tg.sigmoid(s))


@sigmoid_logarithms.falsification("the two exchanged")
def exchanged(s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    upper, lower = log_probabilities(s)
    return lower, upper


def shifted_logsumexp(s: tg.Tensor) -> tg.Tensor:
    """max + ln Σ e^(s − max), the engine's."""
    return tg.logsumexp(s)


@ENG_6.part(s=logits(sizes(1, 8)))
def log_of_sums(s: Array, *, lse: Any = shifted_logsumexp) -> Iterator[Check]:
    """logsumexp equals a fold of pairwise logaddexp; its gradient sums to 1; ±800 and large equal entries are exact."""
    x = tg.tensor(s, requires_grad=True)
    value = lse(x)
    yield same("fold", value, np.logaddexp.reduce(s))
    (slope,) = tg.grad(value, x)
    yield same("Σ gradient", tg.sum(slope), 1.0)
    yield same("800, 800", lse(tg.tensor([800.0, 800.0])), 800.0 + math.log(2.0))
    yield same("−800, −800", lse(tg.tensor([-800.0, -800.0])), -800.0 + math.log(2.0))


@log_of_sums.falsification("without the shift by the maximum")
def unshifted(s: tg.Tensor) -> tg.Tensor:
    return tg.log(tg.sum(tg.exp(s)))


# --- ENG-7 -------------------------------------------------------------------------------------------------------

ENG_7 = Claim(
    "ENG-7",
    "Base of the logarithm",
    r"\text{bits}=\text{nats}/\ln2;\quad\arg\min\text{ unchanged};\quad\nabla\text{bits}=\nabla\text{nats}/\ln2",
    sources="000",
)


def in_bits(nats: Any) -> Any:
    """nats / ln 2."""
    return nats / math.log(2.0)


@ENG_7.part(tables=laws(zeros=True))
def divergences_in_bits(tables: tuple[Array, Array], *, bits: Any = in_bits) -> Iterator[Check]:
    """KL and JS with base 2, and sums of log₂, are the nats / ln 2; so are the bounds 1 bit and −2 bits."""
    p, q = tables
    q = (q + 1e-3) / (q + 1e-3).sum()  # KL is finite
    terms = [a * math.log2(a / b) for a, b in zip(p, q, strict=True) if a > 0.0]
    yield same("KL", bits(kl(tg.tensor(p), tg.tensor(q))), math.fsum(terms))
    yield same("KL, base 2", kl(tg.tensor(p), tg.tensor(q), base=2.0), math.fsum(terms))
    m = 0.5 * (p + q)
    halves = [0.5 * a * math.log2(a / c) for side in (p, q) for a, c in zip(side, m, strict=True) if a > 0.0]
    yield same("JS", bits(js(tg.tensor(p), tg.tensor(q))), math.fsum(halves))
    yield same("ln 4 = 2 bits", bits(math.log(4.0)), 2.0)
    yield same("disjoint laws", js(tg.tensor([1.0, 0.0]), tg.tensor([0.0, 1.0]), base=2.0), bits(math.log(2.0)))


@divergences_in_bits.falsification("times ln 2")
def times_ln2(nats: Any) -> Any:
    return nats * math.log(2.0)


@ENG_7.part(tables=laws(), scores=arrays(8, -2.0, 2.0))
def optima_and_gradients(tables: tuple[Array, Array], scores: Array, *, bits: Any = in_bits) -> Iterator[Check]:
    """Gradients in bits are those in nats / ln 2; the best discriminator is p / (p + q) in either base."""
    p, q = tables
    x = tg.tensor(scores[: len(p)], requires_grad=True)
    (in_nats,) = tg.grad(kl(tg.tensor(p), tg.softmax(x)), x)
    (slope,) = tg.grad(kl(tg.tensor(p), tg.softmax(x), base=2.0), x)
    y = np.exp(scores[: len(p)]) / np.exp(scores[: len(p)]).sum()
    yield same("∇ in bits", slope, bits(in_nats))
    yield same("∇ = (ŷ − p) / ln 2", slope, bits(y - p))
    shares = p / (p + q)
    # A maximum is found up to the root of the rounding error of the values: 1e-8 relative to its curvature.
    ends = np.full(len(p), 1e-12), np.full(len(p), 1.0 - 1e-12)
    best = golden_section(lambda d: shares * np.log2(d) + (1.0 - shares) * np.log2(1.0 - d), *ends)
    yield same("arg max in bits", best, shares, OPT)
    yield at_least("V* ≥ −2 bits", bits(_value(p, q)), -2.0)


def _value(p: Array, q: Array) -> float:
    """V(q, D*) in nats."""
    total = tg.tensor(p + q)
    return float(tg.sum(tg.xlogy(tg.tensor(p), tg.tensor(p) / total) + tg.xlogy(tg.tensor(q), tg.tensor(q) / total)))


@optima_and_gradients.falsification("gradients unchanged")
def unchanged(nats: Any) -> Any:
    return nats
