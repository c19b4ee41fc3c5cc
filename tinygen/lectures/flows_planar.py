"""Chapter 11, second part. Planar flows: one ridge function in one direction, and the algebra that makes it cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen import flows
from tinygen.flows.planar import MARGIN
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, Check, Claim, at_least, holds, same
from tinygen.lectures.numerics import central_difference
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, sizes, vectors, well_conditioned

Array = np.ndarray
Function = Callable[[tg.Tensor], tg.Tensor]


class Activation(NamedTuple):
    """h with its first two derivatives."""

    name: str
    h: Function
    slope: Function
    curvature: Function

    def __repr__(self) -> str:
        return self.name


def _tanh_slope(a: tg.Tensor) -> tg.Tensor:
    return 1.0 - tg.tanh(a) ** 2


def _sigmoid_slope(a: tg.Tensor) -> tg.Tensor:
    return tg.sigmoid(a) * tg.sigmoid(-a)


TANH = Activation("tanh", tg.tanh, _tanh_slope, lambda a: -2.0 * tg.tanh(a) * _tanh_slope(a))
SOFTPLUS = Activation("softplus", tg.softplus, tg.sigmoid, _sigmoid_slope)
SINE = Activation("sin", tg.sin, tg.cos, lambda a: -tg.sin(a))
LINEAR = Activation("identity", lambda a: a, tg.ones_like, tg.zeros_like)
SMOOTH = st.sampled_from([TANH, SOFTPLUS, SINE])


class Layer(NamedTuple):
    """The parameters of z + u h(w·z + b): w, u (d,) and b."""

    w: Array
    u: Array
    b: float

    def tensors(self) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        return tg.tensor(self.w), tg.tensor(self.u), tg.tensor(self.b)


@st.composite
def layers(draw: st.DrawFn, size: Any = sizes(1, 6), bound: float = 1.5) -> Layer:
    """Any layer, also w = 0 and u = 0."""
    d = draw(size) if isinstance(size, st.SearchStrategy) else size
    return Layer(draw(arrays(d, -bound, bound)), draw(arrays(d, -bound, bound)), draw(floats(-3.0, 3.0)))


@st.composite
def invertible(draw: st.DrawFn, least: float = -0.9) -> Layer:
    """Layers with w·u ≥ ``least`` and ‖w‖ ≥ 0.1."""
    w, u, b = draw(layers())
    w = w if w @ w > 0.01 else w + 0.5
    product = w @ u
    return Layer(w, u + (max(product, least) - product) * w / (w @ w), b)


def planar(z: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor, h: Function = tg.tanh) -> tg.Tensor:
    """z + u h(w·z + b), for each row of z (N, d)."""
    return z + h(tg.matmul(z, w) + b)[:, None] * u


# --- FLOW-7 ------------------------------------------------------------------------------------------------------

FLOW_7 = Claim("FLOW-7", "Planar layer", r"f(z)=z+u\,h(w^\top z+b)", sources="001")


@FLOW_7.part(layer=layers(3), rows=arrays((4, 3)), shift=vectors(2, -2.0, 2.0))
def moves_along_u(layer: Layer, rows: Array, shift: Array, *, f: Any = planar) -> Iterator[Check]:
    """A batch equals a loop in NumPy; points with one w·z move by one vector; u = 0 and w = 0 do what they must."""
    w, u, b = layer.tensors()
    z = tg.tensor(rows)
    by_hand = [row + layer.u * np.tanh(sum(layer.w * row) + layer.b) for row in rows]
    yield same("batch = loop", f(z, w, u, b), np.array(by_hand), ALG)
    across = np.linalg.svd(layer.w[None])[2][1:]  # two directions orthogonal to w
    beside = tg.tensor(rows + shift @ across)
    yield same("one move for one w·z", f(beside, w, u, b) - beside, f(z, w, u, b) - z, ALG)
    yield same("u = 0: identity", f(z, w, tg.zeros_like(u), b), rows, EXACT)
    yield same("w = 0: shift", f(z, tg.zeros_like(w), u, b), rows + layer.u * np.tanh(layer.b), ALG)


@moves_along_u.falsification("w and u exchanged")
def exchanged(z: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return planar(z, u, w, b)


@moves_along_u.falsification("without b")
def unshifted(z: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return planar(z, w, u, tg.zeros_like(b))


# --- FLOW-8 ------------------------------------------------------------------------------------------------------

FLOW_8 = Claim(
    "FLOW-8",
    "Planar Jacobian",
    r"\frac{\partial f}{\partial z}=I+h'(w^\top z+b)\,u\,w^\top",
    sources="001",
)


def rank_one(slope: tg.Tensor, w: tg.Tensor, u: tg.Tensor) -> tg.Tensor:
    """I + h′ u wᵀ."""
    return tg.eye(w.size) + slope * tg.outer(u, w)


@FLOW_8.part(layer=layers(sizes(1, 20)), point=arrays(20, -2.0, 2.0), activation=SMOOTH)
def jacobian_by_autodiff(
    layer: Layer, point: Array, activation: Activation, *, jacobian: Any = rank_one
) -> Iterator[Check]:
    """The formula equals the Jacobian by autodiff; it fixes what is orthogonal to w and stretches u by 1 + h′ w·u."""
    w, u, b = layer.tensors()
    z = tg.tensor(point[: w.size])
    found = jacobian(activation.slope(tg.matmul(w, z) + b), w, u)
    exact = tg.jacobian(lambda row: planar(row[None], w, u, b, activation.h)[0], z).numpy()
    yield same("I + h′uwᵀ = ∂f/∂z", found, exact, ALG)
    across = np.linalg.svd(layer.w[None])[2][1:].T
    yield same("eigenvalue 1 on w⊥", tg.matmul(found, tg.tensor(across)), across, ALG)
    determinant = 1.0 + float(activation.slope(tg.matmul(w, z) + b)) * (layer.w @ layer.u)
    yield same("eigenvalue 1 + h′w·u at u", tg.matmul(found, u), determinant * layer.u, LIN)


@jacobian_by_autodiff.falsification("u and w exchanged")
def transposed(slope: tg.Tensor, w: tg.Tensor, u: tg.Tensor) -> tg.Tensor:
    return rank_one(slope, w, u).T


@jacobian_by_autodiff.falsification("without h′")
def without_slope(slope: tg.Tensor, w: tg.Tensor, u: tg.Tensor) -> tg.Tensor:
    return tg.eye(w.size) + tg.outer(u, w)


# --- FLOW-9 and FLOW-10 ------------------------------------------------------------------------------------------


class Update(NamedTuple):
    """A (n, n) and C (m, m) regular, U (n, m) and V (m, n) any."""

    A: Array
    U: Array
    C: Array
    V: Array

    def tensors(self) -> tuple[tg.Tensor, ...]:
        return tuple(tg.tensor(part) for part in self)


@st.composite
def updates(draw: st.DrawFn, most: int = 8) -> Update:
    n = draw(sizes(2, most))
    m = draw(sizes(1, n - 1))
    U, V = draw(arrays((n, m), -1.0, 1.0)), draw(arrays((m, n), -1.0, 1.0))
    return Update(draw(well_conditioned(n)), U, draw(well_conditioned(m)), V)


FLOW_9 = Claim(
    "FLOW-9",
    "Matrix determinant lemma",
    r"\det(A+UCV)=\det A\,\det C\,\det(C^{-1}+VA^{-1}U)",
    sources="001",
    assumptions=r"A, C invertible",
)


def lemma(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    """det A · det C · det(C⁻¹ + V A⁻¹ U)."""
    inner = tg.linalg.inv(C) + tg.matmul(V, tg.linalg.solve(A, U))
    return tg.linalg.det(A) * tg.linalg.det(C) * tg.linalg.det(inner)


@FLOW_9.part(update=updates())
def determinant_of_an_update(update: Update, *, right_side: Any = lemma) -> Iterator[Check]:
    """The right side, with its sign, equals the determinant of A + UCV by elimination."""
    A, U, C, V = update
    yield same("det(A + UCV)", right_side(*update.tensors()), np.linalg.det(A + U @ C @ V), LIN)


@determinant_of_an_update.falsification("without det C")
def without_det_c(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return lemma(A, U, C, V) / tg.linalg.det(C)


@determinant_of_an_update.falsification("C for its inverse")
def not_inverted(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    inner = C + tg.matmul(V, tg.linalg.solve(A, U))
    return tg.linalg.det(A) * tg.linalg.det(C) * tg.linalg.det(inner)


def small_side(U: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    """det(I_m + VU)."""
    return tg.linalg.det(tg.eye(U.shape[1]) + tg.matmul(V, U))


@FLOW_9.part(n=sizes(1, 5), m=sizes(1, 5), entries=arrays((2, 5, 5), -1.0, 1.0), singular=st.booleans())
def sylvester(n: int, m: int, entries: Array, singular: bool, *, other_side: Any = small_side) -> Iterator[Check]:
    """With A = I, C = I it needs no inverse, holds for m ≥ n too, and both sides are 0 together."""
    U, V = entries[0, :n, :m], entries[1, :m, :n]
    if singular and abs(V[0] @ U[:, 0]) > 0.05:
        U, V = U[:, :1] / -(V[0] @ U[:, 0]), V[:1]  # V U = −1
    yield same("det(I + UV) = det(I + VU)", other_side(*map(tg.tensor, (U, V))), np.linalg.det(np.eye(n) + U @ V), LIN)


@sylvester.falsification("only to first order: 1 + tr VU")
def first_order(U: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return 1.0 + tg.trace(tg.matmul(V, U))


FLOW_10 = Claim(
    "FLOW-10",
    "Woodbury identity",
    r"(A+UCV)^{-1}=A^{-1}-A^{-1}U\,(C^{-1}+VA^{-1}U)^{-1}\,VA^{-1}",
    sources="001",
    assumptions=r"A, C and C^{-1}+VA^{-1}U invertible",
)


def woodbury(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    """A⁻¹ − A⁻¹U (C⁻¹ + VA⁻¹U)⁻¹ VA⁻¹."""
    inverse = tg.linalg.inv(A)
    inner = tg.linalg.inv(C) + tg.matmul(V, tg.matmul(inverse, U))
    return inverse - tg.matmul(tg.matmul(inverse, U), tg.linalg.solve(inner, tg.matmul(V, inverse)))


@FLOW_10.part(update=updates(11))
def inverse_of_an_update(update: Update, *, right_side: Any = woodbury) -> Iterator[Check]:
    """The right side times A + UCV is the identity, where its condition number is at most 10⁴."""
    A, U, C, V = update
    whole = A + U @ C @ V
    if max(np.linalg.cond(whole), np.linalg.cond(np.linalg.inv(C) + V @ np.linalg.solve(A, U))) > 1e4:
        whole, update = A, update._replace(U=0.0 * U)  # the identity without an update
    yield same(
        "(A + UCV)⁻¹(A + UCV) = I", tg.matmul(right_side(*update.tensors()), tg.tensor(whole)), np.eye(len(A)), LIN
    )


@inverse_of_an_update.falsification("plus for minus")
def plus(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return 2.0 * tg.linalg.inv(A) - woodbury(A, U, C, V)


@inverse_of_an_update.falsification("C for its inverse")
def inner_not_inverted(A: tg.Tensor, U: tg.Tensor, C: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return woodbury(A, U, tg.linalg.inv(C), V)


def sherman_morrison(A: tg.Tensor, u: tg.Tensor, v: tg.Tensor) -> tg.Tensor:
    """A⁻¹ − A⁻¹u vᵀA⁻¹ / (1 + vᵀA⁻¹u)."""
    left, right = tg.linalg.solve(A, u), tg.linalg.solve(A.T, v)
    return tg.linalg.inv(A) - tg.outer(left, right) / (1.0 + tg.matmul(v, left))


@FLOW_10.part(matrix=well_conditioned(4), u=vectors(4, -1.0, 1.0), v=vectors(4, -1.0, 1.0))
def one_column(matrix: Array, u: Array, v: Array, *, right_side: Any = sherman_morrison) -> Iterator[Check]:
    """For m = 1 it is the formula of Sherman and Morrison: the inverse of A + uvᵀ by elimination."""
    if abs(1.0 + v @ np.linalg.solve(matrix, u)) < 1e-2:
        u = 0.0 * u
    inverse = np.linalg.inv(matrix + np.outer(u, v))
    yield same("(A + uvᵀ)⁻¹", right_side(*map(tg.tensor, (matrix, u, v))), inverse, LIN)


@one_column.falsification("without the denominator")
def no_denominator(A: tg.Tensor, u: tg.Tensor, v: tg.Tensor) -> tg.Tensor:
    return tg.linalg.inv(A) - tg.outer(tg.linalg.solve(A, u), tg.linalg.solve(A.T, v))


# --- FLOW-11 -----------------------------------------------------------------------------------------------------

FLOW_11 = Claim(
    "FLOW-11",
    "Planar log-determinant",
    r"\det\frac{\partial f}{\partial z}=h'\Big(\frac1{h'}+w^\top u\Big)=1+h'(w^\top z+b)\,w^\top u",
    sources="001",
    assumptions=r"the lemma's route needs h'\ne0, the result does not",
)


def planar_determinant(slope: tg.Tensor, product: tg.Tensor) -> tg.Tensor:
    """1 + h′ w·u."""
    return 1.0 + slope * product


@FLOW_11.part(
    layer=layers(), rows=arrays((3, 6), -2.0, 2.0), activation=st.sampled_from([TANH, SOFTPLUS, SINE, LINEAR])
)
def determinant_by_autodiff(
    layer: Layer, rows: Array, activation: Activation, *, determinant: Any = planar_determinant
) -> Iterator[Check]:
    """The formula equals sign and slogdet of the Jacobian by autodiff, d = 1, w = 0 and u ⊥ w included."""
    w, u, b = layer.tensors()
    z = tg.tensor(rows[:, : w.size])
    for direction in (u, tg.zeros_like(u), u - w * (layer.w @ layer.u / max(layer.w @ layer.w, 1e-9))):
        _, sign, log_det = tg.log_abs_det_jacobian(partial(planar, w=w, u=direction, b=b, h=activation.h), z)
        found = determinant(activation.slope(tg.matmul(z, w) + b), tg.matmul(w, direction))
        yield same("1 + h′w·u = det", found, sign * tg.exp(log_det), LIN)
        regular = np.abs(found.numpy()) > 1e-3
        logarithms = tg.log(tg.abs(found)).numpy()[regular], log_det.numpy()[regular]
        yield same("its logarithm", *logarithms, LIN)


@determinant_by_autodiff.erratum(
    "E-47", "an absolute value on w·u; it is an equality, and of the signed product",
    printed=r"\det(h')+\omega^\top u\le h'\Big(\frac1{h'}+|\omega^\top u|\Big)",
)  # fmt: skip
def absolute_product(slope: tg.Tensor, product: tg.Tensor) -> tg.Tensor:
    return 1.0 + slope * tg.abs(product)


@determinant_by_autodiff.falsification("the left side as printed: h′ + w·u")
def printed_left_side(slope: tg.Tensor, product: tg.Tensor) -> tg.Tensor:
    return slope + product


@FLOW_11.part(layer=layers(), rows=arrays((2, 6), -2.0, 2.0))
def saturated(layer: Layer, rows: Array, *, determinant: Any = planar_determinant) -> Iterator[Check]:
    """Where tanh is saturated h′ is exactly 0, the lemma's route divides by 0, and the determinant is 1."""
    w, u, _ = layer.tensors()
    z = tg.tensor(rows[:, : w.size])
    slope = _tanh_slope(tg.matmul(z, w) + 60.0)
    _, sign, log_det = tg.log_abs_det_jacobian(lambda x: planar(x, w, u, tg.tensor(60.0)), z)
    yield same("det = 1", determinant(slope, tg.matmul(w, u)), 1.0, EXACT)
    yield same("slogdet agrees", sign * tg.exp(log_det), 1.0, ALG)


@saturated.falsification("by the lemma's route as it stands")
def dividing_by_slope(slope: tg.Tensor, product: tg.Tensor) -> tg.Tensor:
    return slope * (1.0 / slope + product)


class Slopes(NamedTuple):
    """Derivatives of ln|1 + h′(w·z + b) w·u| in u, w, z and b."""

    u: Any
    w: Any
    z: Any
    b: Any


def slopes_by_hand(layer: Layer, z: Array, slope: float, curvature: float) -> Slopes:
    """h′w/Δ, (h′u + h″(w·u)z)/Δ, h″(w·u)w/Δ, h″(w·u)/Δ with Δ = 1 + h′w·u."""
    w, u, product = layer.w, layer.u, float(layer.w @ layer.u)
    delta = 1.0 + slope * product
    bent = curvature * product
    return Slopes(slope * w / delta, (slope * u + bent * z) / delta, bent * w / delta, bent / delta)


@FLOW_11.part(layer=invertible(-0.5), point=arrays(6, -2.0, 2.0), activation=st.sampled_from([TANH, SOFTPLUS]))
def gradient_of_the_log_determinant(
    layer: Layer, point: Array, activation: Activation, *, slopes: Any = slopes_by_hand
) -> Iterator[Check]:
    """Second-order autodiff through slogdet of the Jacobian gives the slopes derived by hand, and differences agree."""
    z = tg.tensor(point[: len(layer.w)], requires_grad=True)
    w, u, b = (tg.tensor(part, requires_grad=True) for part in layer)
    _, _, log_det = tg.log_abs_det_jacobian(lambda x: planar(x, w, u, b, activation.h), z[None])
    found = Slopes(*tg.grad(log_det[0], (u, w, z, b), allow_unused=True))
    at = tg.matmul(w, z) + b
    expected = slopes(layer, z.numpy(), float(activation.slope(at)), float(activation.curvature(at)))
    for name, slope, by_hand in zip(Slopes._fields, found, expected, strict=True):
        yield same(f"∂ln|det|/∂{name}", slope, by_hand, LIN)

    def log_det_of_w(values: Array) -> Array:
        product = values @ layer.u
        slope = activation.slope(tg.tensor(values @ z.numpy() + layer.b)).numpy()
        return np.asarray(np.log(np.abs(1.0 + slope * product)))

    yield same("∂/∂w by differences", expected.w, central_difference(log_det_of_w, layer.w), FD)


@gradient_of_the_log_determinant.falsification("h′ treated as a constant in w")
def constant_slope(layer: Layer, z: Array, slope: float, curvature: float) -> Slopes:
    return slopes_by_hand(layer, z, slope, 0.0)


# --- FLOW-12 -----------------------------------------------------------------------------------------------------

FLOW_12 = Claim(
    "FLOW-12",
    "Planar inverse",
    r"w^\top y=\alpha+(w^\top u)\,h(\alpha+b),\qquad z=z_\perp+\frac{\alpha w}{\|w\|^2},\quad "
    r"z_\perp=y-\frac{\alpha w}{\|w\|^2}-u\,h(\alpha+b)",
    sources="001",
    assumptions=r"w\ne0 and the condition of FLOW-13",
)


def alpha_of(s: tg.Tensor, c: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """α with α + c tanh(α + b) = s; it lies within |c| of s."""
    reach = tg.abs(c) + 1.0
    zero = tg.zeros_like(s)
    return tg.root(lambda a, s, c, b: a + c * tg.tanh(a + b) - s, (s - reach + zero, s + reach + zero), s, c, b)


def along_w(alpha: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """z_∥ = α w / ‖w‖², for each row."""
    return alpha[:, None] * w / tg.sum(w * w)


@FLOW_12.part(most=15, layer=invertible(), rows=arrays((3, 6)))
def round_trip(layer: Layer, rows: Array, *, parallel: Any = along_w) -> Iterator[Check]:
    """f⁻¹(f(z)) = z and f(f⁻¹(y)) = y; the two parts are orthogonal, and z = y − u h(α + b) gives the same."""
    w, u, b = layer.tensors()
    z = tg.tensor(rows[:, : w.size])

    def inverse(y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        alpha = alpha_of(tg.matmul(y, w), tg.matmul(w, u), b)
        along = parallel(alpha, w)
        moved = tg.tanh(alpha + b)[:, None] * u
        return along, y - along - moved, y - moved

    along, across, short = inverse(planar(z, w, u, b))
    yield same("z⊥·w = 0", tg.matmul(across, w), 0.0, LIN)
    yield same("z⊥ + z∥ = z", along + across, z, LIN)
    yield same("z∥·w = w·z", tg.matmul(along, w), tg.matmul(z, w), LIN)
    yield same("y − u h(α + b) = z", short, z, LIN)
    _, _, back = inverse(z)
    yield same("f(f⁻¹(y)) = y", planar(back, w, u, b), z, LIN)


@round_trip.erratum(
    "E-48", "the first factor is the number α = w·z, not w", printed=r"z_\parallel=\frac{\omega}{\|\omega\|^2}\,\omega"
)
def w_for_alpha(alpha: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return tg.ones_like(alpha)[:, None] * w * w / tg.sum(w * w)


@round_trip.falsification("norm instead of its square")
def norm_not_squared(alpha: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return alpha[:, None] * w / tg.linalg.norm(w)


def implicit_slopes(alpha: float, c: float, b: float) -> tuple[float, float, float]:
    """∂α/∂s = 1/(1 + ch′), ∂α/∂c = −h/(1 + ch′), ∂α/∂b = −ch′/(1 + ch′)."""
    h = np.tanh(alpha + b)
    slope = 1.0 - h * h
    delta = 1.0 + c * slope
    return 1.0 / delta, -h / delta, -c * slope / delta


@FLOW_12.part(most=15, s=floats(-5.0, 5.0), c=floats(-0.9, 5.0), b=floats(-3.0, 3.0))
def implicit_derivatives(s: float, c: float, b: float, *, slopes: Any = implicit_slopes) -> Iterator[Check]:
    """The derivatives of α in w·y, w·u and b: by autodiff through the root, by hand, and by differences."""
    given = np.array([s, c, b])
    inputs = [tg.tensor(value, requires_grad=True) for value in given]
    alpha = alpha_of(*inputs)
    found = np.array([slope.item() for slope in tg.grad(alpha, inputs)])
    by_hand = slopes(alpha.item(), c, b)
    yield same("autodiff = by hand", found, by_hand, LIN)

    def numerically(values: Array) -> Array:
        low, high = values[0] - 6.0, values[0] + 6.0
        for _ in range(70):
            middle = 0.5 * (low + high)
            beyond = middle + values[1] * np.tanh(middle + values[2]) > values[0]
            low, high = (low, middle) if beyond else (middle, high)
        return np.asarray(low)

    yield same("by hand = differences", by_hand, central_difference(numerically, given), FD)


@implicit_derivatives.falsification("as if α did not move in h")
def explicit_only(alpha: float, c: float, b: float) -> tuple[float, float, float]:
    h = np.tanh(alpha + b)
    return 1.0, -h, -c * (1.0 - h * h)


# --- FLOW-13 -----------------------------------------------------------------------------------------------------

FLOW_13 = Claim(
    "FLOW-13",
    "Invertibility condition",
    r"1+h'\,w^\top u>0;\quad \hat u=u+\big(m(w^\top u)-w^\top u\big)\frac{w}{\|w\|^2},\ m(x)=-1+\ln(1+e^x)",
    sources="001",
    assumptions=r"h' in (0, L] needs w^\top u\ge-1/L; w\ne0",
)


def corrected(u: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    """û with w·û = m(w·u)."""
    product = tg.matmul(w, u)
    return u + (tg.softplus(product) - 1.0 - product) * w / tg.sum(w * w)


@FLOW_13.part(layer=layers(bound=5.0))
def constrained(layer: Layer, *, constraint: Any = corrected) -> Iterator[Check]:
    """w·û = m(w·u) ≥ −1 up to rounding, for w·u ≪ 0 too, and û differs from u along w alone."""
    raw, u = layer.w, tg.tensor(layer.u)
    raw = raw if raw @ raw > 1e-2 else raw + 1.0
    w = tg.tensor(raw)
    product = raw @ layer.u
    found = constraint(u, w)
    yield same("w·û = m(w·u)", tg.matmul(w, found), np.logaddexp(0.0, product) - 1.0, ALG)
    yield at_least("w·û ≥ −1", tg.matmul(w, found), -1.0, ALG)
    across = tg.tensor(np.linalg.svd(raw[None])[2][1:])
    yield same("û − u is along w", tg.matmul(across, found - u), 0.0, ALG)


@constrained.falsification("divided by the norm instead of its square")
def by_the_norm(u: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    product = tg.matmul(w, u)
    return u + (tg.softplus(product) - 1.0 - product) * w / tg.linalg.norm(w)


@constrained.falsification("no correction")
def uncorrected(u: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    return u


def tinygens_layer(layer: Layer) -> flows.Layer:
    """The layer of ``tinygen.flows`` with the same w, u and b, in float64."""
    found = flows.Planar(len(layer.w), rng=Generator(0)).astype(np.float64)
    for parameter, value in zip((found.w, found.u, found.b), layer.tensors(), strict=True):
        parameter.assign(value)
    return found


@FLOW_13.part(layer=layers(bound=3.0), rows=arrays((3, 6), -2.0, 2.0))
def always_a_bijection(layer: Layer, rows: Array, *, made: Any = tinygens_layer) -> Iterator[Check]:
    """``flows.Planar`` is the layer of û, 10⁻³ above the bound; its log-determinants and its inverse are right."""
    layer = layer if layer.w @ layer.w > 1e-2 else layer._replace(w=layer.w + 1.0)
    w, u, b = layer.tensors()
    z, flow = tg.tensor(rows[:, : w.size]), made(layer)
    direction = corrected(u, w) + MARGIN * w / tg.sum(w * w)
    expected, _, exact = tg.log_abs_det_jacobian(partial(planar, w=w, u=direction, b=b), z)
    x, log_det = flow.to_data(z)
    yield same("x", x, expected, LIN)
    yield same("ln|det|", log_det, exact, LIN)
    again, back = flow.to_latent(x)
    yield same("z again", again, z, LIN)
    yield same("ln|det| of the inverse", back, -exact, LIN)


@always_a_bijection.falsification("the other way round")
def turned(layer: Layer) -> flows.Layer:
    return flows.Inverse(tinygens_layer(layer))


class Bounded(NamedTuple):
    """An activation whose largest slope is at 0, and the sum x·h(x) as a plain function."""

    name: str
    h: Callable[[Array], Array]
    steepest: float

    def __repr__(self) -> str:
        return self.name


BOUNDED = st.sampled_from(
    [Bounded("tanh", np.tanh, 1.0), Bounded("sigmoid", lambda a: 0.5 * (1.0 + np.tanh(0.5 * a)), 0.25)]
)


def least_product(steepest: float) -> float:
    """c ≥ −1/L: −1 for tanh, −4 for the sigmoid."""
    return -1.0 / steepest


@FLOW_13.part(activation=BOUNDED, excess=floats(0.02, 1.0), b=floats(-2.0, 2.0))
def threshold(activation: Bounded, excess: float, b: float, *, least: Any = least_product) -> Iterator[Check]:
    """On a fine line α + c h(α + b) rises everywhere down to the threshold, and falls somewhere below it."""
    alpha = np.linspace(-0.5, 0.5, 4001) - b
    bound = least(activation.steepest)

    def slowest(c: float) -> float:
        return float(np.diff(alpha + c * activation.h(alpha + b)).min())

    yield holds("rises above it", slowest(bound + excess) > 0.0)
    yield holds("does not fall at it", slowest(bound) > -1e-12)
    yield holds("falls below it", slowest(bound - excess) < 0.0)


@threshold.falsification("−1 for every activation")
def always_minus_one(steepest: float) -> float:
    return -1.0


@threshold.falsification("−L instead of −1/L")
def not_inverse(steepest: float) -> float:
    return -steepest


def turning_points(c: float) -> float:
    """The α > 0 where 1 + c(1 − tanh²α) = 0: tanh²α = 1 + 1/c."""
    return float(np.arctanh(np.sqrt(1.0 + 1.0 / c)))


@FLOW_13.part(c=floats(-5.0, -1.05) | st.just(-1.5))
def three_roots(c: float, *, turning: Any = turning_points) -> Iterator[Check]:
    """Below −1 the equation α + c tanh α = 0 has three roots, and the turning points are where its derivative is 0."""
    alpha = np.linspace(-8.0, 8.0, 100_000)  # an even number of points: none of them is 0
    values = np.sign(alpha + c * np.tanh(alpha))
    yield same("sign changes", np.count_nonzero(np.diff(values)), 3, EXACT)
    at = tg.tensor(turning(c), requires_grad=True)
    yield same("derivative there", tg.grad(at + c * tg.tanh(at), at)[0], 0.0, LIN)
    if c == -1.5:
        yield same("at c = −1.5", at, 0.658479, 1e-6)  # the number has six digits


@three_roots.falsification("tanh²α = 1 − 1/c")
def wrong_turning_point(c: float) -> float:
    return float(np.arctanh(np.sqrt(-1.0 / c)))


# --- FLOW-14 -----------------------------------------------------------------------------------------------------

FLOW_14 = Claim(
    "FLOW-14",
    "Planar layer with linear h",
    r"h=\mathrm{id}:\quad \det=1+w^\top u,\qquad f^{-1}(y)=\Big(I-\frac{uw^\top}{1+w^\top u}\Big)(y-ub)",
    sources="001",
)


def linear_inverse(y: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """(I − u wᵀ / (1 + w·u)) (y − u b), for each row."""
    centred = y - u * b
    return centred - (tg.matmul(centred, w) / (1.0 + tg.matmul(w, u)))[:, None] * u


@FLOW_14.part(layer=invertible(), rows=arrays((3, 6)), flipped=st.booleans())
def linear_round_trip(layer: Layer, rows: Array, flipped: bool, *, inverse: Any = linear_inverse) -> Iterator[Check]:
    """The formula undoes the layer, and the determinant, 1 + w·u, is that of the Jacobian by autodiff."""
    if flipped:  # 1 + w·u below 0: a bijection all the same
        layer = layer._replace(u=layer.u - (2.0 + 2.0 * layer.w @ layer.u) * layer.w / (layer.w @ layer.w))
    w, u, b = layer.tensors()
    z = tg.tensor(rows[:, : w.size])
    y, sign, log_det = tg.log_abs_det_jacobian(lambda x: planar(x, w, u, b, LINEAR.h), z)
    yield same("f⁻¹(f(z)) = z", inverse(y, w, u, b), z, LIN)
    yield same("det = 1 + w·u", sign * tg.exp(log_det), 1.0 + layer.w @ layer.u, LIN)


@linear_round_trip.falsification("b subtracted without u")
def shift_without_u(y: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    return linear_inverse(y - b + u * b, w, u, b)


@linear_round_trip.falsification("1 − w·u in the denominator")
def wrong_denominator(y: tg.Tensor, w: tg.Tensor, u: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    centred = y - u * b
    return centred - (tg.matmul(centred, w) / (1.0 - tg.matmul(w, u)))[:, None] * u


def mirror(w: tg.Tensor) -> tg.Tensor:
    """u = −2w/‖w‖²."""
    return -2.0 * w / tg.sum(w * w)


@FLOW_14.part(layer=invertible(), rows=arrays((3, 6)))
def householder(layer: Layer, rows: Array, *, direction: Any = mirror) -> Iterator[Check]:
    """With u = −2w/‖w‖² and b = 0 it is a reflection: its own inverse, lengths stay, the determinant is −1."""
    w = tg.tensor(layer.w)
    u, b = direction(w), tg.zeros(())
    z = tg.tensor(rows[:, : w.size])
    y, sign, log_det = tg.log_abs_det_jacobian(lambda x: planar(x, w, u, b, LINEAR.h), z)
    yield same("twice is the identity", planar(y, w, u, b, LINEAR.h), z, LIN)
    yield same("lengths stay", tg.sum(y * y, axis=1), (z.numpy() ** 2).sum(axis=1), LIN)
    yield same("sign −1", sign, -1.0, EXACT)
    yield same("ln|det| = 0", log_det, 0.0, LIN)


@householder.falsification("projection: −w/‖w‖²")
def projection(w: tg.Tensor) -> tg.Tensor:
    return -w / tg.sum(w * w)
