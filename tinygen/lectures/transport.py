"""Chapter 3. Optimal transport between laws on finitely many points: p on the rows of x, q on the rows of y."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.divergences import total_variation, wasserstein_1d, wasserstein_1d_samples
from tinygen.lectures.claim import ALG, EXACT, LIN, QUAD, Check, Claim, at_least, same
from tinygen.lectures.numerics import assignment, gauss_legendre, normal_cdf, transport
from tinygen.testing.strategies import arrays, floats, laws, sizes, tables, vectors, well_conditioned

Array = np.ndarray
Critic = Callable[[tg.Tensor], tg.Tensor]


def distances(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """‖x_i − y_j‖₂ for all pairs of points (n, d) and (m, d)."""
    return tg.linalg.norm(tg.expand_dims(x, 1) - tg.expand_dims(y, 0), axis=-1)


class Points(NamedTuple):
    """Two laws on points."""

    p: Array
    q: Array
    x: Array
    y: Array

    def optimal(self) -> tuple[Array, Array, Array]:
        """An optimal plan and its prices, by linear programming."""
        return transport(self.p, self.q, np.linalg.norm(self.x[:, None] - self.y, axis=-1))


@st.composite
def two_laws(draw: st.DrawFn, most: int = 5) -> Points:
    """Tables with exact zeros on up to ``most`` points each, in one to three dimensions; points may coincide."""
    n, m, d = draw(sizes(1, most)), draw(sizes(1, most)), draw(sizes(1, 3))
    p, q = draw(tables(n, zeros=True)), draw(tables(m, zeros=True))
    return Points(p, q, draw(arrays((n, d))), draw(arrays((m, d))))


# --- OT-1 --------------------------------------------------------------------------------------------------------

OT_1 = Claim(
    "OT-1",
    "Couplings",
    r"\Gamma(p,q)=\Big\{\gamma\ge0:\ \int\gamma(x,y)\,dy=p(x),\ \int\gamma(x,y)\,dx=q(y)\Big\}",
    sources="000",
)


def independent(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    """p ⊗ q."""
    return tg.outer(p, q)


@OT_1.part(pq=laws(zeros=True))
def never_empty(pq: tuple[Array, Array], *, coupling: Any = independent) -> Iterator[Check]:
    """The sums of p ⊗ q over columns and rows are p and q."""
    plan = coupling(*map(tg.tensor, pq))
    yield same("Σ over y = p", tg.sum(plan, 1), pq[0], ALG)
    yield same("Σ over x = q", tg.sum(plan, 0), pq[1], ALG)
    yield at_least("γ ≥ 0", plan, 0.0, EXACT)


@never_empty.falsification("transposed: the marginals are exchanged")
def exchanged(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return tg.outer(q, p)


def mixture(share: float, first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    """(1 − t) γ + t γ′."""
    return (1.0 - share) * first + share * second


@OT_1.part(points=two_laws(), share=floats(0.0, 1.0))
def convex(points: Points, share: float, *, mix: Any = mixture) -> Iterator[Check]:
    """The optimal plan of the linear programme has the marginals p and q, and so has its mixture with p ⊗ q."""
    optimal = tg.tensor(points.optimal()[0])
    for plan in (optimal, mix(share, optimal, independent(tg.tensor(points.p), tg.tensor(points.q)))):
        yield same("Σ over y = p", tg.sum(plan, 1), points.p, ALG)
        yield same("Σ over x = q", tg.sum(plan, 0), points.q, ALG)
        yield at_least("γ ≥ 0", plan, 0.0, EXACT)


@convex.falsification("the elementwise product, renormalised")
def product(share: float, first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    return first * second / tg.sum(first * second)


# --- OT-2 --------------------------------------------------------------------------------------------------------

OT_2 = Claim(
    "OT-2",
    "Wasserstein-1 distance, primal",
    r"W(p,q)=\inf_{\gamma\in\Gamma(p,q)}\mathbb E_{(x,y)\sim\gamma}\|x-y\|_2",
    sources="000",
    assumptions="finite first moments",
)


def wasserstein(p: Array, q: Array, cost: tg.Tensor) -> float:
    """The least expected cost of a coupling, by linear programming."""
    plan, _, _ = transport(p, q, cost.numpy())
    return float(tg.sum(tg.tensor(plan) * cost))


@OT_2.part(n=st.integers(1, 5), x=arrays((5, 2)), y=arrays((5, 2)))
def pairings(n: int, x: Array, y: Array, *, cost: Any = distances) -> Iterator[Check]:
    """Between n equally likely points each, splitting mass does not help: W is the least mean over all n! pairings."""
    even = np.full(n, 1.0 / n)
    expected = assignment(np.sqrt(((x[:n, None] - y[:n]) ** 2).sum(-1)))
    yield same("W", wasserstein(even, even, cost(tg.tensor(x[:n]), tg.tensor(y[:n]))), expected, ALG)


@pairings.falsification("the sum of coordinate distances")
def city_blocks(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.abs(tg.expand_dims(x, 1) - tg.expand_dims(y, 0)), -1)


@OT_2.part(three=laws(3, size=4, zeros=True), points=arrays((4, 2)))
def metric(three: tuple[Array, Array, Array], points: Array, *, cost: Any = distances) -> Iterator[Check]:
    """W is symmetric, 0 at p = q, at most diameter · TV, and satisfies the triangle inequality (KL does not: DIV-4)."""
    p, q, h = three
    between = cost(tg.tensor(points), tg.tensor(points))
    direct = wasserstein(p, h, between)
    yield same("W(p, p) = 0", wasserstein(p, p, between), 0.0, ALG)
    yield same("symmetric", direct, wasserstein(h, p, between), ALG)
    yield at_least("triangle", wasserstein(p, q, between) + wasserstein(q, h, between), direct, ALG)
    variation = total_variation(tg.tensor(p), tg.tensor(h)).item()
    yield at_least("W ≤ diameter · TV", tg.max(between).item() * variation, direct, ALG)


@OT_2.part(p=tables(4, zeros=True), x=arrays((4, 2)), shift=arrays(2), factor=floats(-3.0, 3.0), y=arrays((4, 2)))
def moved_and_scaled(
    p: Array, x: Array, shift: Array, factor: float, y: Array, *, cost: Any = distances
) -> Iterator[Check]:
    """W(p, p moved by a) = ‖a‖, and scaling the space by c scales W by |c|."""
    points, others = tg.tensor(x), tg.tensor(y)
    yield same("‖a‖", wasserstein(p, p, cost(points, points + tg.tensor(shift))), math.hypot(*shift), ALG)
    even = np.full(4, 0.25)
    scaled = wasserstein(p, even, cost(factor * points, factor * others))
    yield same("|c| W", scaled, abs(factor) * wasserstein(p, even, cost(points, others)), ALG)


@metric.falsification("squared distances, whose least mean is no metric")
@moved_and_scaled.falsification("squared distances")
def squared_distances(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return distances(x, y) ** 2


# --- OT-3 --------------------------------------------------------------------------------------------------------

OT_3 = Claim(
    "OT-3",
    "Kantorovich–Rubinstein duality",
    r"W(p,q)=\sup_{\|f\|_L\le1}\big(\mathbb E_pf-\mathbb E_qf\big)",
    sources="000",
    assumptions="finite first moments; the supremum over K-Lipschitz functions is K W",
)


def cone_critic(tips: tg.Tensor, heights: tg.Tensor) -> Critic:
    """f(z) = min_j (‖z − y_j‖ + h_j): the lower envelope of cones of slope 1, so 1-Lipschitz everywhere."""
    return lambda z: tg.min(distances(z, tips) + heights, 1)


def optimal_critic(points: Points) -> Critic:
    """The envelope of cones on the points of q, as high as the prices of the linear programme are low."""
    _, _, prices = points.optimal()
    return cone_critic(tg.tensor(points.y), -tg.tensor(prices))


def gain(points: Points, critic: Critic) -> tg.Tensor:
    """E_p f − E_q f."""
    p, q, x, y = map(tg.tensor, points)
    return tg.sum(p * critic(x)) - tg.sum(q * critic(y))


def best_lipschitz(points: Points) -> tg.Tensor:
    """sup E_p f − E_q f over 1-Lipschitz f."""
    return gain(points, optimal_critic(points))


@OT_3.part(points=two_laws())
def no_gap(points: Points, *, supremum: Any = best_lipschitz) -> Iterator[Check]:
    """The best critic of the dual programme attains the cost of the best plan of the primal, and no pair is steeper."""
    plan, _, _ = points.optimal()
    cost = np.sqrt(((points.x[:, None] - points.y) ** 2).sum(-1))
    yield same("dual = primal", supremum(points), (plan * cost).sum(), ALG)
    everywhere = tg.tensor(np.concatenate([points.x, points.y]))
    f = optimal_critic(points)(everywhere)
    steps = tg.abs(tg.expand_dims(f, 1) - tg.expand_dims(f, 0))
    yield at_least("|f(a) − f(b)| ≤ ‖a − b‖", distances(everywhere, everywhere), steps, ALG)


@no_gap.erratum(
    "E-13",
    "with a bound on |f| itself the supremum is ‖p − q‖₁ = 2 TV",
    printed=r"\sup_{\|f\|\le1}(\mathbb E_pf-\mathbb E_qf)",
)
def bounded_critic(points: Points) -> tg.Tensor:
    """f is 1 on the atoms where p is larger, −1 where q is."""
    p, q, x, y = points
    excess: dict[tuple[float, ...], float] = {}
    for mass, places in ((p, x), (-q, y)):
        for weight, place in zip(mass.tolist(), places.tolist(), strict=True):
            excess[tuple(place)] = excess.get(tuple(place), 0.0) + weight
    return tg.sum(tg.abs(tg.tensor(list(excess.values()))))


@no_gap.erratum(
    "E-58",
    "a Lipschitz constant L gives L · W (here L = 2): only L = 1 gives W",
    printed=r"\sup_{\|f\|_L\le L}(\mathbb E_pf-\mathbb E_qf)",
)
def twice_as_steep(points: Points) -> tg.Tensor:
    critic = optimal_critic(points)
    return gain(points, lambda z: 2.0 * critic(z))


def slope_one(tips: tg.Tensor, heights: tg.Tensor) -> Critic:
    """A 1-Lipschitz critic, with a constant that changes nothing."""
    critic = cone_critic(tips, heights)
    return lambda z: critic(z) + 7.0


@OT_3.part(points=two_laws(), heights=arrays(5, 0.0, 3.0))
def lower_bound(points: Points, heights: Array, *, critic: Any = slope_one) -> Iterator[Check]:
    """Any 1-Lipschitz f gains at most W, and a constant added to f gains nothing."""
    plan, _, _ = points.optimal()
    cost = np.sqrt(((points.x[:, None] - points.y) ** 2).sum(-1))
    tips, raised = tg.tensor(points.y), tg.tensor(heights[: len(points.y)])
    found = gain(points, critic(tips, raised))
    yield at_least("W ≥ E_p f − E_q f", (plan * cost).sum(), found, ALG)
    yield same("the constant is free", found, gain(points, cone_critic(tips, raised)), ALG)


@lower_bound.falsification("slope 2")
def slope_two(tips: tg.Tensor, heights: tg.Tensor) -> Critic:
    critic = cone_critic(tips, heights)
    return lambda z: 2.0 * critic(z)


# --- OT-4 --------------------------------------------------------------------------------------------------------

OT_4 = Claim(
    "OT-4",
    "Lipschitz condition",
    r"|f(x)-f(y)|\le L\|x-y\|,\qquad L=\sup\|\nabla f\|_2\ \text{ on a convex domain}",
    sources="000",
    assumptions="f is differentiable on a convex domain",
)


def largest_slope(slopes: tg.Tensor) -> tg.Tensor:
    """sup |f′| over a grid."""
    return tg.max(tg.abs(slopes))


@OT_4.part(heights=arrays(3, -2.0, 2.0), phases=arrays(3, -3.0, 3.0))
def on_the_line(heights: Array, phases: Array, *, constant: Any = largest_slope) -> Iterator[Check]:
    """For f = Σ h_k sin(k x + φ_k): sup |f′|, by autodiff, is the largest quotient on a grid, up to the grid's step."""
    x = tg.linspace(-3.0, 3.0, 2001)
    rates, amplitudes, offsets = tg.tensor([1.0, 2.0, 3.0]), tg.tensor(heights), tg.tensor(phases)

    def f(x: tg.Tensor) -> tg.Tensor:
        return tg.sum(amplitudes * tg.sin(rates * tg.expand_dims(x, -1) + offsets), -1)

    slopes = tg.jvp(f, (x,), (tg.ones_like(x),))[1]
    step, bend = 6.0 / 2000.0, np.abs(heights) @ np.array([1.0, 4.0, 9.0])  # |f″| ≤ bend
    values = f(x).numpy()
    steepest = np.abs(np.diff(values)).max() / step
    yield at_least("L = largest quotient", bend * step, abs(constant(slopes).item() - steepest), ALG)
    far = np.abs(values - values[::-1]) / np.maximum(np.abs(x.numpy() - x.numpy()[::-1]), step)
    yield at_least("no quotient is larger", constant(slopes).item() + bend * step, far, ALG)


@on_the_line.falsification("mean slope")
def mean_slope(slopes: tg.Tensor) -> tg.Tensor:
    return tg.mean(tg.abs(slopes))


@on_the_line.falsification("without absolute values")
def signed_slope(slopes: tg.Tensor) -> tg.Tensor:
    return tg.max(slopes)


def product_of_norms(first: Array, second: Array) -> float:
    """‖B‖₂ ‖A‖₂, a bound for x ↦ B tanh(A x), because |tanh′| ≤ 1 (WGAN-7)."""
    return float(np.linalg.norm(first, 2) * np.linalg.norm(second, 2))


@OT_4.part(first=well_conditioned(3), second=well_conditioned(3), x=arrays((2, 3), -0.1, 0.1), y=arrays((3, 3)))
def network(first: Array, second: Array, x: Array, y: Array, *, bound: Any = product_of_norms) -> Iterator[Check]:
    """No difference quotient of a network, and no norm of its Jacobian by autodiff, exceeds the certified bound."""
    a, b = tg.tensor(first), tg.tensor(second)
    points = tg.tensor(np.concatenate([x, y]))
    values = tg.tanh(points @ a.T) @ b.T
    certified = bound(first, second)
    yield at_least("quotients", certified * distances(points, points), distances(values, values), ALG)
    jacobians = tg.jacobian(lambda z: tg.tanh(z @ a.T) @ b.T, points, batch=True)
    yield at_least("Jacobians", certified, np.linalg.norm(jacobians.numpy(), 2, axis=(1, 2)), ALG)


@network.falsification("the largest norm of a layer instead of the product")
def largest_norm(first: Array, second: Array) -> float:
    return float(max(np.linalg.norm(first, 2), np.linalg.norm(second, 2)))


def half_plane(radius: Array, angle: Array) -> Array:
    """Points with a first coordinate of at least 1: a convex set."""
    return np.stack([radius, angle], -1)


@OT_4.part(radius=arrays(4, 1.0, 3.0), angle=arrays(4, -3.0, 3.0))
def convexity_is_needed(radius: Array, angle: Array, *, domain: Any = half_plane) -> Iterator[Check]:
    """f = the angle at the origin has ‖∇f‖ = 1/r ≤ 1, by autodiff; on a convex domain its quotients are ≤ 1."""

    def f(points: tg.Tensor) -> tg.Tensor:
        lengths = tg.linalg.norm(points, axis=-1)
        return 2.0 * tg.arctan(points[:, 1] / (lengths + points[:, 0]))

    points = tg.tensor(domain(radius, angle), requires_grad=True)
    angles = f(points)
    (gradients,) = tg.grad(tg.sum(angles), points)
    lengths = tg.linalg.norm(points, axis=-1)
    yield same("‖∇f‖ = 1/r", tg.linalg.norm(gradients, axis=-1), 1.0 / lengths, LIN)
    steps = tg.abs(tg.expand_dims(angles, 1) - tg.expand_dims(angles, 0))
    yield at_least("quotients ≤ 1", distances(points, points), steps, LIN)


@convexity_is_needed.falsification("outside the unit circle, cut open at the back: chords are shorter than arcs")
def slit_plane(radius: Array, angle: Array) -> Array:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


# --- OT-5 --------------------------------------------------------------------------------------------------------

OT_5 = Claim(
    "OT-5",
    "One-dimensional closed forms",
    r"W_1=\int|F_p-F_q|\,dx=\int_0^1|F_p^{-1}-F_q^{-1}|\,du,\qquad"
    r"\tfrac1n\sum_i|x_{(i)}-y_{(i)}|,\qquad N(\mu_1,\sigma^2),N(\mu_2,\sigma^2):\ |\mu_1-\mu_2|",
    sources="000",
)


def by_quantiles(p: tg.Tensor, q: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    """∫ |F_p⁻¹ − F_q⁻¹| du: the mass that both laws put on one pair of places is an overlap of two intervals of u."""
    order = tg.argsort(x)
    p, q, x = tg.take(p, order), tg.take(q, order), tg.take(x, order)
    upper_p, upper_q = tg.expand_dims(tg.cumsum(p), 1), tg.expand_dims(tg.cumsum(q), 0)
    lower_p, lower_q = upper_p - tg.expand_dims(p, 1), upper_q - tg.expand_dims(q, 0)
    overlap = tg.maximum(tg.minimum(upper_p, upper_q) - tg.maximum(lower_p, lower_q), 0.0)
    return tg.sum(overlap * tg.abs(tg.expand_dims(x, 1) - tg.expand_dims(x, 0)))


@OT_5.part(pq=laws(size=5, zeros=True), places=st.one_of(arrays(5), arrays(5, 0.0, 2.0).map(np.round)))
def on_tables(pq: tuple[Array, Array], places: Array, *, formula: Any = wasserstein_1d) -> Iterator[Check]:
    """The integral of |F_p − F_q| equals the linear programme and the integral over quantiles; places may coincide."""
    p, q, x = tg.tensor(pq[0]), tg.tensor(pq[1]), tg.tensor(places)
    cost = np.abs(places[:, None] - places)
    plan, _, _ = transport(*pq, cost)
    yield same("∫ |F_p − F_q| = linear programme", formula(p, q, x), (plan * cost).sum(), ALG)
    yield same("∫ |F_p − F_q| = ∫ |F_p⁻¹ − F_q⁻¹|", formula(p, q, x), by_quantiles(p, q, x), ALG)


@on_tables.falsification("|∫ F_p − F_q|, the difference of the means")
def difference_of_means(p: tg.Tensor, q: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return tg.abs(tg.sum((p - q) * x))


@on_tables.falsification("places one apart")
def even_places(p: tg.Tensor, q: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
    return wasserstein_1d(p, q)


def sorted_pairing(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """The mean of |x₍ᵢ₎ − y₍ᵢ₎|."""
    return tg.mean(tg.abs(tg.sort(x) - tg.sort(y)))


@OT_5.part(n=st.integers(1, 6), x=arrays(6), y=st.one_of(arrays(6), arrays(6, 0.0, 2.0).map(np.round)))
def on_samples(n: int, x: Array, y: Array, *, formula: Any = sorted_pairing) -> Iterator[Check]:
    """Sorting both samples finds the best of all n! pairings, ties included, and the function for samples agrees."""
    first, second = tg.tensor(x[:n]), tg.tensor(y[:n])
    best = assignment(np.abs(x[:n, None] - y[:n]))
    yield same("sorted = best pairing", formula(first, second), best, ALG)
    yield same("wasserstein_1d_samples", wasserstein_1d_samples(first, second), best, ALG)


@on_samples.falsification("in the order they came")
def unsorted(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return tg.mean(tg.abs(x - y))


def difference_of_locations(first: float, second: float) -> float:
    """|μ₁ − μ₂|."""
    return abs(first - second)


@OT_5.part(means=vectors(2), deviation=floats(0.2, 3.0))
def on_normals(means: Array, deviation: float, *, formula: Any = difference_of_locations) -> Iterator[Check]:
    """For normals of one variance, |μ₁ − μ₂| equals the quadrature of |F_p − F_q|."""
    x, weights = gauss_legendre(-32.0, 32.0, 8, panels=128)
    first, second = (normal_cdf((x - mean) / deviation) for mean in means)
    yield same("W₁", formula(*means), weights @ np.abs(first - second), QUAD)


@on_normals.falsification("half the square, as KL has it")
def like_kl(first: float, second: float) -> float:
    return 0.5 * (first - second) ** 2


# --- OT-6 --------------------------------------------------------------------------------------------------------

OT_6 = Claim(
    "OT-6",
    "Unit gradient of the optimal critic",
    r"\gamma^*(x,y)>0\ \Rightarrow\ f^*(x)-f^*(y)=\|x-y\|,"
    r"\quad\text{so }\|\nabla f^*\|=1\text{ between }x\text{ and }y",
    sources="000",
    assumptions="where f* is differentiable",
)


@OT_6.part(points=two_laws(4), share=floats(0.1, 0.9))
def along_the_plan(points: Points, share: float, *, critic: Any = optimal_critic) -> Iterator[Check]:
    """On pairs that the optimal plan joins, the optimal critic falls by the distance, with a gradient of norm 1."""
    f = critic(points)
    plan, _, prices = points.optimal()
    x, y = (places[index] for places, index in zip((points.x, points.y), np.nonzero(plan > 1e-9), strict=True))
    lengths = np.sqrt(((x - y) ** 2).sum(-1))
    start, end = tg.tensor(x), tg.tensor(y)
    yield same("f(x) − f(y) = ‖x − y‖", f(start) - f(end), lengths, ALG)
    between = tg.tensor(share * x + (1.0 - share) * y, requires_grad=True)
    values = f(between)
    yield same("f is straight in between", values, share * f(start) + (1.0 - share) * f(end), ALG)
    (gradient,) = tg.grad(tg.sum(values), between)
    levels = np.sort(np.linalg.norm(between.numpy()[:, None] - points.y, axis=-1) - prices, axis=-1)
    smooth = lengths > 1e-3  # away from the tip of its cone, and from the edge to the next one
    if len(points.y) > 1:
        smooth &= levels[:, 1] - levels[:, 0] > 1e-9
    norms = np.where(smooth, tg.linalg.norm(gradient, axis=-1).numpy(), 1.0)
    yield same("‖∇f‖ = 1", norms, 1.0, ALG)


@along_the_plan.falsification("the distance to the nearest fake: of slope 1, but not optimal")
def without_prices(points: Points) -> Critic:
    return cone_critic(tg.tensor(points.y), tg.zeros((len(points.y),)))


@along_the_plan.falsification("slope ½")
def half_as_steep(points: Points) -> Critic:
    critic = optimal_critic(points)
    return lambda z: 0.5 * critic(z)


def toward_the_data(z: tg.Tensor, theta: float) -> tg.Tensor:
    """f(x) = −sign(θ) x₁ for segments at x₁ = 0 and x₁ = θ (DIV-12)."""
    return -math.copysign(1.0, theta) * z[:, 0]


@OT_6.part(theta=floats(0.1, 3.0), sign=st.sampled_from([-1.0, 1.0]), z=arrays((4, 2)))
def parallel_segments(theta: float, sign: float, z: Array, *, critic: Any = toward_the_data) -> Iterator[Check]:
    """Between two parallel segments the optimal critic has a gradient of norm 1, so a gradient penalty of 0."""
    points = tg.tensor(z, requires_grad=True)
    (gradient,) = tg.grad(tg.sum(critic(points, sign * theta)), points)
    yield same("(‖∇f‖ − 1)² = 0", (tg.linalg.norm(gradient, axis=-1) - 1.0) ** 2, 0.0, EXACT)
    heights = tg.tensor(z[:, 1])
    data, fakes = tg.stack([0.0 * heights, heights], 1), tg.stack([0.0 * heights + sign * theta, heights], 1)
    fall = critic(data, sign * theta) - critic(fakes, sign * theta)
    yield same("f(x) − f(y) = ‖x − y‖ on each pair", fall, theta, EXACT)


@parallel_segments.falsification("across the segments' own direction")
def along_the_segments(z: tg.Tensor, theta: float) -> tg.Tensor:
    return toward_the_data(tg.flip(z, 1), theta)
