"""Chapter 11, first part. Flows in general: change of variables, composition, and how a flow is trained.

Planar layers stand in ``flows_planar``, coupling layers in ``flows_coupling``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, OPT, QUAD, Check, Claim, at_least, same, within
from tinygen.lectures.numerics import central_difference, gauss_legendre
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, sizes, vectors, well_conditioned

Array = np.ndarray
Map = Callable[[tg.Tensor], tg.Tensor]
LOG_2PI = math.log(2.0 * math.pi)


def log_normal(z: tg.Tensor) -> tg.Tensor:
    """ln φ(z) of N(0, I), for each row."""
    return -0.5 * tg.sum(z * z, axis=-1) - 0.5 * z.shape[-1] * LOG_2PI


def log_abs_det(f: Map, x: tg.Tensor) -> tg.Tensor:
    """ln|det ∂f/∂x| by autodiff, for each row."""
    return tg.log_abs_det_jacobian(f, x)[2]


def inverted(equation: Callable[..., tg.Tensor], x: tg.Tensor, *parameters: tg.Tensor) -> tg.Tensor:
    """z of x's shape with equation(z, x, *parameters) = 0, between −200 and 200."""
    bracket = (tg.full_like(x, -200.0), tg.full_like(x, 200.0))
    return tg.root(equation, bracket, x, *parameters)


def trapezoid_plane(f: Map, side: float, points: int) -> float:
    """∫ f over the square [−side, side]², exact to rounding for analytic f that is 0 at the edge."""
    line = np.linspace(-side, side, points)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return float(f(tg.tensor(grid)).numpy().sum()) * (2.0 * side / (points - 1)) ** 2


# --- FLOW-1 ------------------------------------------------------------------------------------------------------

FLOW_1 = Claim(
    "FLOW-1",
    "Change of variables",
    r"z=f(x),\ z\sim p_z:\qquad p_x(x)=p_z(f(x))\,\Big|\det\tfrac{\partial f(x)}{\partial x}\Big|",
    sources="002 001 000",
    assumptions=r"f a continuously differentiable bijection whose Jacobian is not 0",
)


def density_of(f: Map, x: tg.Tensor) -> tg.Tensor:
    """p_x(x) (N,) for z = f(x) ~ N(0, I)."""
    return tg.exp(log_normal(f(x)) + log_abs_det(f, x))


@dataclass(frozen=True)
class Line:
    """x ↦ slope · (x + bend · tanh(x + shift)): a bijection of the line for bend > −1."""

    slope: float
    bend: float
    shift: float

    def __call__(self, x: tg.Tensor, /) -> tg.Tensor:
        return self.slope * (x + self.bend * tg.tanh(x + self.shift))


def lines() -> st.SearchStrategy[Line]:
    slope = floats(0.5, 3.0)
    return st.builds(Line, slope | slope.map(lambda a: -a), floats(-0.8, 3.0), floats(-3.0, 3.0))


@FLOW_1.part(f=lines())
def mass_on_the_line(f: Line, *, density: Any = density_of) -> Iterator[Check]:
    """The density of a bent line integrates to 1, by quadrature."""
    x, weights = gauss_legendre(-45.0, 45.0, 24, panels=180)
    yield same("∫ p = 1", density(f, tg.tensor(x[:, None])).numpy() @ weights, 1.0, QUAD)


@mass_on_the_line.erratum(
    "E-43", "the factor stands on the other side: z = 3x integrates to 1/9",
    printed=r"p_z(f(x))=p_x(f^{-1}(z))\,|\det Df(x)|",
)  # fmt: skip
def factor_on_the_other_side(f: Map, x: tg.Tensor) -> tg.Tensor:
    return tg.exp(log_normal(f(x)) - log_abs_det(f, x))


@mass_on_the_line.falsification("determinant without its absolute value")
def signed(f: Map, x: tg.Tensor) -> tg.Tensor:
    z, sign, log_det = tg.log_abs_det_jacobian(f, x)
    return tg.exp(log_normal(z) + log_det) * sign


@dataclass(frozen=True)
class Swirl:
    """Two coupling layers in the plane with scales from e^−0.3 to e^0.3; ``weights`` (2, 3) bend them."""

    weights: Array

    def __call__(self, x: tg.Tensor, /) -> tg.Tensor:
        first, second = x[:, 0], x[:, 1]
        (a, b, c), (d, e, f) = self.weights.tolist()
        second = second * tg.exp(0.3 * tg.tanh(a * first + b)) + tg.tanh(c * first)
        first = first * tg.exp(0.3 * tg.tanh(d * second + e)) + tg.tanh(f * second)
        return tg.stack([first, second], axis=1)


@FLOW_1.part(most=4, weights=arrays((2, 3), -1.5, 1.5))
def mass_in_the_plane(weights: Array, *, density: Any = density_of) -> Iterator[Check]:
    """The density of two couplings integrates to 1 over the plane, by the trapezoid rule."""
    f = Swirl(weights)
    yield same("∫ p = 1", trapezoid_plane(lambda x: density(f, x), 14.0, 141), 1.0, QUAD)


@mass_in_the_plane.falsification("one row of the Jacobian only")
def one_row(f: Map, x: tg.Tensor) -> tg.Tensor:
    slope = tg.jacobian(f, x, batch=True)[:, 0, 0]
    return tg.exp(log_normal(f(x))) * tg.abs(slope)


@FLOW_1.part(matrix=well_conditioned(sizes(1, 5)), x=arrays(5), mean=arrays(5))
def affine_flow_is_normal(matrix: Array, x: Array, mean: Array, *, density: Any = density_of) -> Iterator[Check]:
    """For x = Bz + μ the density is that of N(μ, BBᵀ), computed from its covariance."""
    n = len(matrix)
    mean, x, covariance = mean[:n], x[:n], matrix @ matrix.T
    inverse, shift = tg.tensor(np.linalg.inv(matrix).T), tg.tensor(mean)
    found = density(lambda rows: tg.matmul(rows - shift, inverse), tg.tensor(x[None]))
    squared = (x - mean) @ np.linalg.solve(covariance, x - mean)
    expected = -0.5 * (squared + n * LOG_2PI + np.linalg.slogdet(covariance)[1])
    yield same("ln p = ln N(x; μ, BBᵀ)", tg.log(found)[0], expected, LIN)


@affine_flow_is_normal.falsification("without the determinant")
def without_determinant(f: Map, x: tg.Tensor) -> tg.Tensor:
    return tg.exp(log_normal(f(x)))


def pulled_back(generate: Map, inverse: Map, x: tg.Tensor) -> tg.Tensor:
    """p_x(x) = p_z(f⁻¹(x)) |det ∂f⁻¹/∂x| for x = f(z)."""
    return density_of(inverse, x)


@FLOW_1.part(most=8, f=lines(), low=floats(-2.0, 1.0), width=floats(0.2, 2.0))
def shares_of_samples(f: Line, low: float, width: float, *, density: Any = pulled_back) -> Iterator[Check]:
    """The share of 4,000 generated samples in an interval is the integral of the density of the inverse map."""
    n = 4000
    x = f(Generator(0).spawn("FLOW-1").normal(n)).numpy()
    share = ((x >= low) & (x < low + width)).mean()
    nodes, weights = gauss_legendre(low, low + width, 30)

    def inverse(rows: tg.Tensor) -> tg.Tensor:
        return inverted(lambda z, y: f(z) - y, rows)

    mass = density(f, inverse, tg.tensor(nodes[:, None])).numpy() @ weights
    yield within("share = ∫ p", share, mass, math.sqrt(max(mass * (1.0 - mass), 1e-3) / n))


@shares_of_samples.falsification("determinant of f instead of that of its inverse")
def determinant_of_the_map(generate: Map, inverse: Map, x: tg.Tensor) -> tg.Tensor:
    z = inverse(x)
    return tg.exp(log_normal(z) + log_abs_det(generate, z))


# --- FLOW-2 ------------------------------------------------------------------------------------------------------

FLOW_2 = Claim(
    "FLOW-2",
    "Inverse function theorem",
    r"\frac{\partial f^{-1}}{\partial x}=\Big(\frac{\partial f}{\partial z}\Big)^{-1},\qquad "
    r"p_x(x)=p_z(z)\Big|\det\frac{\partial f}{\partial z}\Big|^{-1},\ z=f^{-1}(x)",
    sources="001",
)


@dataclass(frozen=True)
class Mixing:
    """z ↦ z + ½ tanh(Qz) with an orthogonal-like Q of norm at most 1: a bijection, inverted by iteration."""

    matrix: Array

    def __call__(self, z: tg.Tensor, /) -> tg.Tensor:
        return z + 0.5 * tg.tanh(tg.matmul(z, tg.tensor(self.matrix.T)))

    def inverse(self, x: Array) -> Array:
        """The fixed point of z = x − ½ tanh(Qz), in NumPy; the distance halves at each step."""
        z = x
        for _ in range(60):
            z = x - 0.5 * np.tanh(z @ self.matrix.T)
        return z


def mixings() -> st.SearchStrategy[Mixing]:
    return well_conditioned(sizes(1, 4), 0.2, 1.0).map(Mixing)


def inverse_matrix(jacobian: tg.Tensor) -> tg.Tensor:
    """(∂f/∂z)⁻¹."""
    return tg.linalg.inv(jacobian)


@FLOW_2.part(f=mixings(), point=arrays(4, -2.0, 2.0))
def jacobian_of_the_inverse(f: Mixing, point: Array, *, inverted: Any = inverse_matrix) -> Iterator[Check]:
    """The Jacobian of the numerically inverted map, by differences, is the inverse of the Jacobian by autodiff."""
    x = point[: len(f.matrix)]
    z = f.inverse(x)
    jacobian = tg.jacobian(lambda row: f(row[None])[0], tg.tensor(z))
    by_differences = central_difference(f.inverse, x)
    yield same("∂f⁻¹/∂x = (∂f/∂z)⁻¹", inverted(jacobian), by_differences, FD)
    product = np.linalg.det(by_differences) * tg.linalg.det(jacobian)
    yield same("the determinants' product is 1", product, 1.0, FD)


@jacobian_of_the_inverse.falsification("transposed")
def transposed_inverse(jacobian: tg.Tensor) -> tg.Tensor:
    return tg.linalg.inv(jacobian).T


@jacobian_of_the_inverse.falsification("inverted element by element")
def elementwise_inverse(jacobian: tg.Tensor) -> tg.Tensor:
    return 1.0 / jacobian


def divided(log_p: tg.Tensor, log_det: tg.Tensor) -> tg.Tensor:
    """ln p_z(z) − ln|det ∂f/∂z|."""
    return log_p - log_det


@FLOW_2.part(f=mixings(), point=arrays(4, -2.0, 2.0))
def density_at_the_latent(f: Mixing, point: Array, *, log_density: Any = divided) -> Iterator[Check]:
    """ln p_x from the Jacobian of f at z equals ln p_x from that of the iterated inverse at x, by differences."""
    x = point[: len(f.matrix)]
    z = f.inverse(x)
    rows = tg.tensor(z[None])
    expected = -0.5 * (z @ z + len(z) * LOG_2PI) + np.linalg.slogdet(central_difference(f.inverse, x))[1]
    yield same("both ways", log_density(log_normal(rows), log_abs_det(f, rows))[0], expected, FD)


@density_at_the_latent.falsification("multiplied by the determinant instead of divided")
def multiplied(log_p: tg.Tensor, log_det: tg.Tensor) -> tg.Tensor:
    return log_p + log_det


# --- FLOW-3 ------------------------------------------------------------------------------------------------------

FLOW_3 = Claim(
    "FLOW-3",
    "Jacobian matrix",
    r"\Big(\frac{\partial f}{\partial x}\Big)_{ij}=\frac{\partial f_i}{\partial x_j},\quad \dim x\times\dim x",
    sources="002 001",
)


def by_pullback(f: Map, x: tg.Tensor) -> tg.Tensor:
    """Rows by the pullback of basis vectors (ENG-4)."""
    y, pullback = tg.vjp(f, x)
    basis = np.eye(y.size)
    return tg.stack([pullback(tg.tensor(row))[0] for row in basis])


@FLOW_3.part(f=mixings(), point=arrays(4, -2.0, 2.0))
def rows_and_columns(f: Mixing, point: Array, *, jacobian: Any = by_pullback) -> Iterator[Check]:
    """Rows by the pullback equal columns by central differences; a linear map gives back its matrix."""
    x = point[: len(f.matrix)]

    def row_map(row: tg.Tensor) -> tg.Tensor:
        return f(row[None])[0]

    by_columns = central_difference(lambda v: row_map(tg.tensor(v)).numpy(), x)
    yield same("rows = columns", jacobian(row_map, tg.tensor(x)), by_columns, FD)
    matrix = tg.tensor(f.matrix)
    yield same("of a linear map", jacobian(lambda v: tg.matmul(matrix, v), tg.tensor(x)), f.matrix, ALG)


@rows_and_columns.falsification("indices exchanged")
def exchanged(f: Map, x: tg.Tensor) -> tg.Tensor:
    return by_pullback(f, x).T


def product_of_jacobians(outer: tg.Tensor, inner: tg.Tensor) -> tg.Tensor:
    """J_g J_f, with J_g taken at f(x)."""
    return tg.matmul(outer, inner)


@FLOW_3.part(
    first=well_conditioned(3).map(Mixing), second=well_conditioned(3).map(Mixing), points=arrays((2, 3), -2.0, 2.0)
)
def chain_rule(first: Mixing, second: Mixing, points: Array, *, product: Any = product_of_jacobians) -> Iterator[Check]:
    """J of g∘f is J_g(f(x)) J_f(x); the Jacobians of a batch are those of its rows one by one."""
    x = tg.tensor(points)
    whole = tg.jacobian(lambda rows: second(first(rows)), x, batch=True)
    for row in range(len(points)):
        at = x[row]
        outer = tg.jacobian(lambda v: second(v[None])[0], first(at[None])[0])
        inner = tg.jacobian(lambda v: first(v[None])[0], at)
        yield same("J_{g∘f} = J_g J_f", product(outer, inner), whole[row], ALG)


@chain_rule.falsification("factors in the wrong order")
def wrong_order(outer: tg.Tensor, inner: tg.Tensor) -> tg.Tensor:
    return tg.matmul(inner, outer)


def outputs_needed(n: int) -> int:
    """A flow on n coordinates has n outputs."""
    return n


@FLOW_3.part(matrix=well_conditioned(sizes(1, 6)))
def square(matrix: Array, *, outputs: Any = outputs_needed) -> Iterator[Check]:
    """√det JᵀJ, which any shape of J allows, is the volume |det| of the image of a unit cube."""
    n = len(matrix)
    kept = tg.tensor(matrix[: outputs(n)])
    jacobian = tg.jacobian(lambda x: tg.matmul(kept, x), tg.zeros(n))
    gram = tg.linalg.det(tg.matmul(jacobian.T, jacobian))
    yield same("det JᵀJ = det²", gram, np.linalg.det(matrix) ** 2, LIN)


@square.erratum(
    "E-44", "m × n with m < n flattens the cube: the density has no finite factor", printed=r"J\in\mathbb R^{m\times n}"
)
def fewer_outputs(n: int) -> int:
    return n - 1


# --- FLOW-4 ------------------------------------------------------------------------------------------------------

FLOW_4 = Claim(
    "FLOW-4",
    "Composition",
    r"z_k=f_k(z_{k-1}),\quad q_k(z_k)=q_{k-1}(z_{k-1})\Big|\det\frac{\partial f_k}{\partial z_{k-1}}\Big|^{-1}",
    sources="001",
)


class Chain(NamedTuple):
    """Planar layers z + u tanh(w·z + b): w, u (K, d), b (K,), all with w·u ≥ −½."""

    w: Array
    u: Array
    b: Array

    def layer(self, k: int) -> Map:
        w, u, b = tg.tensor(self.w[k]), tg.tensor(self.u[k]), float(self.b[k])
        return lambda z: z + tg.tanh(tg.matmul(z, w) + b)[:, None] * u

    def layers(self) -> list[Map]:
        return [self.layer(k) for k in range(len(self.w))]


@st.composite
def chains(draw: st.DrawFn, layers: Any = sizes(1, 5), dims: Any = sizes(1, 8)) -> Chain:
    count, d = draw(layers), draw(dims)
    w, u = draw(arrays((count, d), -1.5, 1.5)), draw(arrays((count, d), -1.5, 1.5))
    product = (w * u).sum(axis=1, keepdims=True)
    return Chain(w, u * np.minimum(1.0, 0.5 / np.maximum(-product, 1e-9)), draw(arrays(count, -2.0, 2.0)))


def compose(layers: list[Map]) -> Map:
    """f_K ∘ … ∘ f_1: the first layer acts first."""

    def composite(z: tg.Tensor) -> tg.Tensor:
        for layer in layers:
            z = layer(z)
        return z

    return composite


def one_step(log_q: tg.Tensor, log_det: tg.Tensor, k: int) -> tg.Tensor:
    """ln q_k(z_k) = ln q_{k−1}(z_{k−1}) − ln|det ∂f_k/∂z_{k−1}|."""
    return log_q - log_det


def recursion(step: Any, layers: list[Map], z: tg.Tensor) -> tg.Tensor:
    """ln q_K(z_K), layer by layer."""
    log_q = log_normal(z)
    for k, layer in enumerate(layers, start=1):
        log_q = step(log_q, log_abs_det(layer, z), k)
        z = layer(z)
    return log_q


@FLOW_4.part(chain=chains(), point=arrays(8, -2.0, 2.0))
def recursion_is_one_shot(
    chain: Chain, point: Array, *, step: Any = one_step, composed: Any = compose
) -> Iterator[Check]:
    """The recursion equals ln p_0 minus slogdet of the Jacobian of the whole composite."""
    z, layers = tg.tensor(point[None, : chain.w.shape[1]]), chain.layers()
    one_shot = log_normal(z) - log_abs_det(composed(layers), z)
    yield same("layer by layer = at once", recursion(step, layers, z), one_shot, LIN)


@recursion_is_one_shot.erratum(
    "E-45", "the inverse of the first determinant is missing", replaces="step",
    printed=r"q_2(z_2)=q_0(z_0)\Big|\det\frac{\partial f_1}{\partial z_0}\Big|\,"
    r"\Big|\det\frac{\partial f_2}{\partial z_1}\Big|^{-1}",
)  # fmt: skip
def first_not_inverted(log_q: tg.Tensor, log_det: tg.Tensor, k: int) -> tg.Tensor:
    return log_q + log_det if k == 1 else log_q - log_det


@recursion_is_one_shot.falsification("layers in the opposite order", replaces="composed")
def last_layer_first(layers: list[Map]) -> Map:
    return compose(layers[::-1])


@FLOW_4.part(first=lines(), second=lines(), most=10)
def mass_of_a_composition(first: Line, second: Line, *, step: Any = one_step) -> Iterator[Check]:
    """∫ q_2(x) dx = ∫ q_2(x(z)) |x′(z)| dz = 1, with x′ by differences: for two stretchings too (E-45 gives 4)."""
    nodes, weights = gauss_legendre(-12.0, 12.0, 12, panels=40)
    z = tg.tensor(nodes[:, None])
    log_q = recursion(step, [first, second], z).numpy()

    def slope(line: Line, x: Array) -> Array:
        return line.slope * (1.0 + line.bend * (1.0 - np.tanh(x + line.shift) ** 2))

    between = first.slope * (nodes + first.bend * np.tanh(nodes + first.shift))
    stretch = np.abs(slope(first, nodes) * slope(second, between))
    yield same("∫ q = 1", (np.exp(log_q) * stretch) @ weights, 1.0, QUAD)


@mass_of_a_composition.falsification("only the last determinant counts")
def last_determinant(log_q: tg.Tensor, log_det: tg.Tensor, k: int) -> tg.Tensor:
    return log_q - log_det if k == 2 else log_q


# --- FLOW-5 ------------------------------------------------------------------------------------------------------

FLOW_5 = Claim(
    "FLOW-5",
    "Log-density of a flow",
    r"\ln q_K(z_K)=\ln p_0(z_0)-\sum_{k=1}^K\ln\Big|\det\frac{\partial f_k}{\partial z_{k-1}}\Big|",
    sources="001",
)


def summed(log_p: tg.Tensor, log_dets: tg.Tensor, k: int) -> tg.Tensor:
    """ln p_0 minus the log-determinants of layers 1 … k; log_dets is (K, N)."""
    return log_p - tg.sum(log_dets[:k], axis=0)


@FLOW_5.part(chain=chains(sizes(2, 5), sizes(1, 6)), point=arrays(6, -2.0, 2.0))
def sum_of_layers(chain: Chain, point: Array, *, log_density: Any = summed) -> Iterator[Check]:
    """For every k, the sum over the first k layers is slogdet of the Jacobian of their composite by autodiff."""
    start = z = tg.tensor(point[None, : chain.w.shape[1]])
    layers, log_dets = chain.layers(), []
    for layer in layers:
        log_dets.append(log_abs_det(layer, z))
        z = layer(z)
    for k in range(len(layers) + 1):
        exact = log_normal(start) - log_abs_det(compose(layers[:k]), start)
        yield same(f"ln q_{k}", log_density(log_normal(start), tg.stack(log_dets), k), exact, LIN)


@sum_of_layers.erratum(
    "E-60", "the sum belongs to the last density",
    printed=r"\ln q_k(z_k)=\ln p_0(z_0)-\sum_{k=1}^K\ln|\det\cdot|",
)  # fmt: skip
def sum_over_all(log_p: tg.Tensor, log_dets: tg.Tensor, k: int) -> tg.Tensor:
    return log_p - tg.sum(log_dets, axis=0)


@sum_of_layers.falsification("determinants added")
def added(log_p: tg.Tensor, log_dets: tg.Tensor, k: int) -> tg.Tensor:
    return log_p + tg.sum(log_dets[:k], axis=0)


# --- FLOW-6 ------------------------------------------------------------------------------------------------------

FLOW_6 = Claim(
    "FLOW-6",
    "Flow training scheme",
    r"L_\theta=\frac1M\sum_i\Big(\ln p_0(z_0^i)-\sum_k\ln\Big|\det\frac{\partial f_k}{\partial z_{k-1}}\Big|"
    r"_{z_{k-1}^i}\Big),\quad z_{k-1}^i=f_k^{-1}(z_k^i)",
    sources="001",
    assumptions=r"z_{k-1}^i depends on θ through the inverse, and the gradient includes this",
)


def mean_log_likelihood(z: tg.Tensor, log_det: tg.Tensor) -> tg.Tensor:
    """L of latents z (N, d) and the log-determinants (N,) of the generating map."""
    return tg.mean(log_normal(z) - log_det)


@FLOW_6.part(most=6, data=vectors(sizes(3, 8), -2.0, 2.0))
def affine_flow_learns_the_moments(data: Array, *, objective: Any = mean_log_likelihood) -> Iterator[Check]:
    """Ascent on L of x = eˢz + t, started beside the optimum, ends at the mean and the standard deviation of data."""
    x = data + 5.0 * np.arange(len(data))  # never all equal
    theta = np.array([x.mean() + 0.2, math.log(x.std()) + 0.2])
    rows = tg.tensor(x[:, None])

    def loss(point: tg.Tensor) -> tg.Tensor:
        shift, log_scale = point[0], point[1]
        likelihood: tg.Tensor = objective((rows - shift) * tg.exp(-log_scale), log_scale * tg.ones(len(x)))
        return -likelihood

    for _ in range(8):  # Newton's method on the two parameters
        point = tg.tensor(theta, requires_grad=True)
        slope = tg.grad(loss(point), point)[0].numpy()
        theta = theta - np.linalg.lstsq(tg.hessian(loss, tg.tensor(theta)).numpy(), slope, rcond=None)[0]
    yield same("t = mean", theta[0], x.mean(), OPT)
    yield same("eˢ = standard deviation", math.exp(min(theta[1], 50.0)), x.std(), OPT)


@affine_flow_learns_the_moments.falsification("half of the determinant")
def half_the_determinant(z: tg.Tensor, log_det: tg.Tensor) -> tg.Tensor:
    return tg.mean(log_normal(z) - 0.5 * log_det)


def recorded_inverse(z: tg.Tensor) -> tg.Tensor:
    """The gradient flows through z = f⁻¹(x; θ)."""
    return z


def before_the_layer(before: tg.Tensor, after: tg.Tensor) -> tg.Tensor:
    """The determinant of layer k is taken at z_{k−1}."""
    return before


def planar_equation(z: tg.Tensor, x: tg.Tensor, u: tg.Tensor, w: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """0 where x = z + u tanh(wz + b)."""
    return z + u * tg.tanh(w * z + b) - x


def planar_likelihood(theta: tg.Tensor, x: tg.Tensor, connect: Any, place: Any) -> tg.Tensor:
    """L of x = z + u tanh(wz + b) on the line, through the numerical inverse."""
    u, w, b = theta[0], theta[1], theta[2]
    z = connect(inverted(planar_equation, x, u, w, b))
    log_det = log_abs_det(lambda z: z + u * tg.tanh(w * z + b), place(z, x)[:, None])
    return mean_log_likelihood(z[:, None], log_det)


def planar_likelihood_on_the_host(theta: Array, x: Array) -> float:
    """The same by bisection and the derivative 1 + uw(1 − tanh²), in NumPy."""
    u, w, b = theta
    low, high = np.full_like(x, -50.0), np.full_like(x, 50.0)
    for _ in range(80):
        z = 0.5 * (low + high)
        beyond = z + u * np.tanh(w * z + b) > x
        low, high = np.where(beyond, low, z), np.where(beyond, z, high)
    slope = 1.0 + u * w * (1.0 - np.tanh(w * z + b) ** 2)
    return float(np.mean(-0.5 * z**2 - 0.5 * LOG_2PI - np.log(slope)))


@FLOW_6.part(
    most=15, data=vectors(sizes(1, 4), -3.0, 3.0), u=floats(0.1, 2.0), w=floats(-0.4, 1.5), b=floats(-1.0, 1.0)
)
def gradient_through_the_inverse(
    data: Array, u: float, w: float, b: float, *, connect: Any = recorded_inverse, place: Any = before_the_layer
) -> Iterator[Check]:
    """L and its gradient, by autodiff through a root, equal L by bisection in NumPy and its central differences."""
    values = np.array([u, w, b])
    theta = tg.tensor(values, requires_grad=True)
    likelihood = planar_likelihood(theta, tg.tensor(data), connect, place)
    yield same("L", likelihood, planar_likelihood_on_the_host(values, data), LIN)
    slopes = central_difference(lambda point: np.asarray(planar_likelihood_on_the_host(point, data)), values)
    yield same("∂L/∂θ", tg.grad(likelihood, theta)[0], slopes, FD)


@gradient_through_the_inverse.erratum(
    "E-46", "the determinant is taken at the wrong end of the layer", replaces="place",
    printed=r"z_0=f_L^{-1}(z_1),\qquad \Big|\det\frac{\partial f_k}{\partial z_{k+1}}\Big|_{z_k}",
)  # fmt: skip
def after_the_layer(before: tg.Tensor, after: tg.Tensor) -> tg.Tensor:
    return after


@gradient_through_the_inverse.falsification("the inverse treated as a constant", replaces="connect")
def detached_inverse(z: tg.Tensor) -> tg.Tensor:
    return z.detach()


@FLOW_6.part(most=3, data=vectors(4, -3.0, 3.0))
def likelihood_rises(data: Array, *, objective: Any = mean_log_likelihood) -> Iterator[Check]:
    """Twenty small steps up the gradient: the likelihood of a planar flow, measured in NumPy, never falls."""
    theta = tg.tensor(np.array([0.5, 0.5, 0.1]), requires_grad=True)
    before = first = planar_likelihood_on_the_host(theta.numpy(), data)
    for _ in range(20):
        u, w, b = theta[0], theta[1], theta[2]
        z = inverted(planar_equation, tg.tensor(data), u, w, b)
        log_det = tg.log(1.0 + u * w * (1.0 - tg.tanh(w * z + b) ** 2))
        (slope,) = tg.grad(objective(z[:, None], log_det), theta)
        theta = tg.tensor(theta.numpy() + 0.01 * slope.numpy(), requires_grad=True)
        after = planar_likelihood_on_the_host(theta.numpy(), data)
        yield at_least("L rises", after, before, ALG)
        before = after
    yield at_least("L has not fallen in all", before, first, EXACT)


@likelihood_rises.falsification("determinant with the wrong sign")
def rewarded_determinant(z: tg.Tensor, log_det: tg.Tensor) -> tg.Tensor:
    return tg.mean(log_normal(z) + log_det)
