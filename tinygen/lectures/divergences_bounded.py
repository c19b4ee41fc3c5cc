"""Chapter 2, second part. The Jensen–Shannon divergence, and what becomes of it on disjoint supports."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.divergences import js, kl, total_variation
from tinygen.lectures.claim import ALG, EXACT, QUAD, Check, Claim, at_least, holds, same
from tinygen.lectures.divergences import root_of_js
from tinygen.lectures.numerics import assignment
from tinygen.testing.strategies import arrays, floats, laws, tables, vectors

Array = np.ndarray
Pair = tuple[Array, Array]
LN2, LN4 = math.log(2.0), math.log(4.0)


# --- DIV-9 -------------------------------------------------------------------------------------------------------

DIV_9 = Claim(
    "DIV-9",
    "Jensen–Shannon divergence",
    r"\mathrm{JS}(p,q)=\tfrac12\mathrm{KL}(p\,\|\,m)+\tfrac12\mathrm{KL}(q\,\|\,m)"
    r"=\tfrac12\Big(\ln4+\mathbb E_p\ln\tfrac p{p+q}+\mathbb E_q\ln\tfrac q{p+q}\Big),\quad m=\tfrac12(p+q)",
    sources="000 001",
)


def by_the_mean(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """½ KL(p‖m) + ½ KL(q‖m)."""
    middle = 0.5 * (p + q)
    return 0.5 * kl(p, middle) + 0.5 * kl(q, middle)


def by_the_sum(p: Array, q: Array) -> float:
    """½ (ln 4 + E_p ln p/(p+q) + E_q ln q/(p+q)), outcome by outcome."""
    pairs = list(zip(p.tolist(), q.tolist(), strict=True))
    terms = [a * math.log(a / (a + b)) for x, y in pairs for a, b in ((x, y), (y, x)) if a > 0.0]
    return 0.5 * (LN4 + math.fsum(terms))


@DIV_9.part(pq=laws(zeros=True))
def two_forms(pq: Pair, *, formula: Any = by_the_mean) -> Iterator[Check]:
    """The form with m equals the sum over outcomes and the stable version, is symmetric, and finite with zeros."""
    p, q = map(tg.tensor, pq)
    yield same("form with p + q", formula(p, q), by_the_sum(*pq), ALG)
    yield same("divergences.js", js(p, q), by_the_sum(*pq), ALG)
    yield same("symmetric", formula(p, q), formula(q, p), ALG)


@two_forms.erratum(
    "E-10", "ln 4 is inside m already: too large by ln 2", printed=r"\tfrac12(\ln4+\mathrm{KL}(p\|m)+\mathrm{KL}(q\|m))"
)
def log_four_twice(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return by_the_mean(p, q) + 0.5 * LN4


@two_forms.erratum("E-10", "the sum without ½ is 2 JS", printed=r"\mathrm{KL}(p\|m)+\mathrm{KL}(q\|m)")
def not_halved(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return 2.0 * by_the_mean(p, q)


@two_forms.falsification("the sum p + q for the mean of p and q")
def without_mean(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return 0.5 * tg.sum(tg.xlogy(p, p) + tg.xlogy(q, q) - tg.xlogy(p + q, p + q))


# --- DIV-10 ------------------------------------------------------------------------------------------------------

DIV_10 = Claim(
    "DIV-10",
    "Bounds and metric property",
    r"0\le\mathrm{JS}\le\ln2,\quad\mathrm{JS}=0\iff p=q,\quad\mathrm{JS}=\ln2\iff\text{disjoint supports},"
    r"\quad\sqrt{\mathrm{JS}}\text{ is a metric}",
    sources="000",
)


def between(variation: float) -> tuple[float, float]:
    """½ TV² ≤ JS ≤ TV ln 2: 0 only where TV = 0, ln 2 only where TV = 1."""
    return 0.5 * variation**2, variation * LN2


@DIV_10.part(pq=laws(zeros=True))
def bounds(pq: Pair, *, limits: Any = between) -> Iterator[Check]:
    """JS lies between two functions of the total variation that meet 0 and ln 2 only at equal and disjoint laws."""
    p, q = map(tg.tensor, pq)
    low, high = limits(0.5 * np.abs(pq[0] - pq[1]).sum())
    yield at_least("JS ≥ ½ TV²", js(p, q), low, ALG)
    yield at_least("JS ≤ TV ln 2", high, js(p, q), ALG)
    yield at_least("JS ≤ 1 bit", 1.0, js(p, q, base=2), ALG)
    disjoint = not np.logical_and(*pq).any()
    yield holds("disjoint supports: ln 2", not disjoint or abs(js(p, q).item() - LN2) < 1e-12)


@bounds.falsification("TV² ln 2 as upper bound")
def squared(variation: float) -> tuple[float, float]:
    return 0.5 * variation**2, variation**2 * LN2


@DIV_10.part(three=laws(3, zeros=True))
def triangle(three: tuple[Array, Array, Array], *, distance: Any = root_of_js) -> Iterator[Check]:
    """√JS satisfies the triangle inequality."""
    p, q, h = map(tg.tensor, three)
    yield at_least("d(p, q) + d(q, h) ≥ d(p, h)", distance(p, q) + distance(q, h), distance(p, h), 1e-8)  # √ of a 0


@triangle.falsification("JS itself")
def without_root(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return js(p, q)


# --- DIV-11 ------------------------------------------------------------------------------------------------------

DIV_11 = Claim(
    "DIV-11",
    "JS saturates on disjoint supports",
    r"p\perp q:\quad\mathrm{JS}=\tfrac12(\ln2+\ln2)=\ln2,\quad V(D^*)=-\ln4+2\ln2=0,\quad\mathrm{KL}=\infty",
    sources="000",
)


def js_in_bits(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """½ {log₂ 4 + E_p log₂ p/(p+q) + E_q log₂ q/(p+q)}, for laws that have no common zero."""
    total = p + q
    return 0.5 * (2.0 + tg.sum(tg.xlogy(p, p / total) + tg.xlogy(q, q / total)) / LN2)


@DIV_11.part(first=tables(), second=tables())
def saturated(first: Array, second: Array, *, formula: Any = js_in_bits) -> Iterator[Check]:
    """Laws on different outcomes: JS is 1 bit, KL infinite both ways, total variation 1, V at D* = p/(p+q) is 0."""
    p = tg.tensor(np.concatenate([first, np.zeros(len(second))]))
    q = tg.tensor(np.concatenate([np.zeros(len(first)), second]))
    yield same("JS in bits", formula(p, q), 1.0, ALG)
    yield same("JS in nats", js(p, q), LN2, ALG)
    yield same("KL(p‖q), KL(q‖p)", [kl(p, q).item(), kl(q, p).item()], np.inf, EXACT)
    yield same("total variation", total_variation(p, q), 1.0, ALG)
    best = p / (p + q)
    yield same("V(D*) = 0", tg.sum(tg.xlogy(p, best) + tg.xlogy(q, 1.0 - best)), 0.0, EXACT)


@saturated.erratum(
    "E-11",
    "no logarithms, no ½, and both log 4 and the factors 2: the literal value is 6 bits",
    printed=r"\Big\{\log_24+\mathbb E_p\tfrac{2p}{p+q}+\mathbb E_q\tfrac{2q}{p+q}\Big\}",
)
def no_logarithms(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return 2.0 + tg.sum(p * (2.0 * p / (p + q)) + q * (2.0 * q / (p + q)))


def apart(scores: tg.Tensor) -> tg.Tensor:
    """A generator's law that keeps off the first two outcomes, where the data are."""
    return tg.concatenate([tg.zeros((2,)), tg.softmax(scores)])


@DIV_11.part(data=tables(2), scores=vectors(st.integers(2, 6)))
def no_gradient(data: Array, scores: Array, *, law: Any = apart) -> Iterator[Check]:
    """Autodiff: whatever a generator does away from the data, the slope of JS is 0 everywhere."""
    p = tg.tensor(np.concatenate([data, np.zeros(len(scores))]))
    theta = tg.tensor(scores, requires_grad=True)
    q = law(theta)
    (slope,) = tg.grad(js(p, q), theta)
    yield same("∂JS/∂θ = 0", slope, 0.0, ALG)


@no_gradient.falsification("a generator that reaches the data")
def overlapping(scores: tg.Tensor) -> tg.Tensor:
    return tg.softmax(tg.concatenate([scores, tg.zeros((2,))]))


# --- DIV-12 ------------------------------------------------------------------------------------------------------

DIV_12 = Claim(
    "DIV-12",
    "Two parallel segments",
    r"P=\mathrm{law}(0,Z),\ Q_\theta=\mathrm{law}(\theta,Z),\ Z\sim U[0,1],\ \theta\ne0:\quad"
    r"\mathrm{KL}=\infty,\quad\mathrm{JS}=\ln2,\quad W_1=|\theta|",
    sources="000",
)


def apart_by(theta: float) -> tuple[float, float, float]:
    """(KL, JS, W₁) of the segments."""
    return (math.inf, LN2, abs(theta)) if theta else (0.0, 0.0, 0.0)


@DIV_12.part(theta=st.one_of(st.just(0.0), floats(-3.0, 3.0)), heights=arrays(st.integers(1, 5), 0.0, 1.0))
def three_distances(theta: float, heights: Array, *, values: Any = apart_by) -> Iterator[Check]:
    """Segments of k atoms: KL and JS of tables over all different atoms, W₁ by trying all pairings."""
    heights = np.unique(heights)
    data, fakes = ([(x, y) for y in heights.tolist()] for x in (0.0, theta))
    atoms = sorted({*data, *fakes})
    p, q = (tg.tensor([(atom in law) / len(heights) for atom in atoms]) for law in (data, fakes))
    cost = np.array([[math.dist(a, b) for b in fakes] for a in data])
    entropy, jensen, wasserstein = values(theta)
    yield same("KL both ways", [kl(p, q).item(), kl(q, p).item()], entropy, ALG)
    yield same("JS", js(p, q), jensen, ALG)
    yield same("W₁", assignment(cost), wasserstein, ALG)
    on_data = tg.tensor([float(atom in data) for atom in atoms])
    yield same("D*: 1 on P, 0 on Q", p / (p + q), on_data if theta else 0.5 * on_data, EXACT)


@three_distances.erratum("E-12", "that is JS; KL is ∞ and W₁ is |θ|", printed=r"\theta\ne0\quad\log2")
def all_log_two(theta: float) -> tuple[float, float, float]:
    return (LN2, LN2, LN2) if theta else (0.0, 0.0, 0.0)


def potential(x: tg.Tensor, theta: float) -> tg.Tensor:
    """f(x) = −sign(θ) x₁, the critic that attains W₁."""
    return -math.copysign(1.0, theta) * x[..., 0]


@DIV_12.part(theta=floats(0.1, 3.0), sign=st.sampled_from([-1.0, 1.0]), heights=arrays(4, 0.0, 1.0))
def useful_slope(theta: float, sign: float, heights: Array, *, critic: Any = potential) -> Iterator[Check]:
    """The critic attains |θ|, its gradient has norm 1, and by autodiff the slope in θ of what it attains is sign θ."""
    shift = tg.tensor(sign * theta, requires_grad=True)
    z = tg.tensor(heights)
    data, fakes = tg.stack([0.0 * z, z], -1), tg.stack([shift + 0.0 * z, z], -1)
    attained = tg.mean(critic(data, sign)) - tg.mean(critic(fakes, sign))
    yield same("E_P f − E_Q f = |θ|", attained, theta, ALG)
    yield same("∂/∂θ = sign θ", tg.grad(attained, shift)[0], sign, ALG)
    point = tg.tensor(heights[:2], requires_grad=True)
    yield same("‖∇f‖ = 1", tg.linalg.norm(tg.grad(critic(point, sign), point)[0]), 1.0, EXACT)


@useful_slope.falsification("the critic turned round")
def turned(x: tg.Tensor, theta: float) -> tg.Tensor:
    return -potential(x, theta)


def blurred_kl(theta: tg.Tensor, blur: float) -> tg.Tensor:
    """θ² / (2 s²): KL of the segments blurred by N(0, s²)."""
    return theta**2 / (2.0 * blur**2)


@DIV_12.part(theta=floats(0.2, 2.0), ratio=floats(1.0, 10.0))
def blurred(theta: float, ratio: float, *, divergence: Any = blurred_kl) -> Iterator[Check]:
    """Blurred by s = θ/r: KL on a grid is θ²/2s²; JS grows with r to ln 2, while its slope in θ, by autodiff, dies."""

    def laws_on_grid(shift: tg.Tensor, blur: float) -> tuple[tg.Tensor, tg.Tensor]:
        step = blur / 10.0
        x = tg.tensor(np.arange(-120, 120 + 10 * math.ceil(theta / blur)) * step)
        scale = step / (blur * math.sqrt(2.0 * math.pi))
        return tg.exp(-0.5 * (x / blur) ** 2) * scale, tg.exp(-0.5 * ((x - shift) / blur) ** 2) * scale

    shift = tg.tensor(theta, requires_grad=True)
    p, q = laws_on_grid(shift, theta / ratio)
    yield same("KL = θ²/2s²", kl(p, q), divergence(shift, theta / ratio), QUAD)
    saturating = js(p, q)
    (slope,) = tg.grad(saturating, shift)
    wider = js(*laws_on_grid(shift, 1.25 * theta / ratio))
    yield at_least("less blur, more JS", saturating, wider, ALG)
    yield at_least("JS ≤ ln 2", LN2, saturating, ALG)
    # With ln(1 + t) ≤ √t, what is missing from ln 2 is at most ∫ √(p q) = e^{−r²/8}, and so for the slope
    overlap = math.exp(-(ratio**2) / 8.0)
    yield at_least("JS → ln 2", saturating, LN2 - overlap, ALG)
    yield at_least("slope → 0", 0.5 * ratio / theta * math.hypot(1.0, 0.5 * ratio) * overlap, tg.abs(slope), ALG)


@blurred.falsification("without the ½")
def blurred_without_half(theta: tg.Tensor, blur: float) -> tg.Tensor:
    return 2.0 * blurred_kl(theta, blur)
