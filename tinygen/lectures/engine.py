"""Chapter 15, first part. Identities of the engine that the lectures rely on: derivatives of first and second order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import EXACT, FD, LIN, QUAD, Check, Claim, same, within
from tinygen.lectures.numerics import central_difference, gauss_hermite
from tinygen.testing.strategies import (
    arrays,
    floats,
    normals,
    singular,
    sizes,
    triangular,
    vectors,
    well_conditioned,
)

Array = np.ndarray
Map = Callable[[tg.Tensor], tg.Tensor]


def complex_step(f: Callable[[Array], Array], x: Array, v: Array) -> Array:
    """J v = Im f(x + i h v) / h of an analytic function: no difference is taken, so nothing cancels."""
    return np.asarray(f(x + 1e-100j * v).imag / 1e-100)


# --- ENG-1 -------------------------------------------------------------------------------------------------------

ENG_1 = Claim(
    "ENG-1",
    "Reverse mode is the adjoint",
    r"\langle Jv,\bar y\rangle=\langle v,J^\top\bar y\rangle",
    sources="000 001 002 003 004",
)

# Maps ℝⁿ → ℝⁿ, as the engine and as NumPy for complex numbers write them; A is a regular (n, n) matrix.
MAPS: dict[str, tuple[Callable[[Any, Any], tg.Tensor], Callable[[Array, Array], Array]]] = {
    "exp": (lambda x, a: tg.exp(x), lambda x, a: np.exp(x)),
    "expm1": (lambda x, a: tg.expm1(x), lambda x, a: np.exp(x) - 1.0),
    "log": (lambda x, a: tg.log(1.0 + x**2), lambda x, a: np.log(1.0 + x**2)),
    "sqrt": (lambda x, a: tg.sqrt(1.0 + x**2), lambda x, a: np.sqrt(1.0 + x**2)),
    "sin cos": (lambda x, a: tg.sin(x) * tg.cos(x), lambda x, a: np.sin(2.0 * x) / 2.0),
    "tanh": (lambda x, a: tg.tanh(x), lambda x, a: np.tanh(x)),
    "arctan": (lambda x, a: tg.arctan(x), lambda x, a: np.arctan(x)),
    "sinh cosh": (lambda x, a: tg.sinh(x) - tg.cosh(x), lambda x, a: -np.exp(-x)),
    "sigmoid": (lambda x, a: tg.sigmoid(x), lambda x, a: 1.0 / (1.0 + np.exp(-x))),
    "softplus": (lambda x, a: tg.softplus(x), lambda x, a: np.log(1.0 + np.exp(x))),
    "power": (lambda x, a: x**3, lambda x, a: x * x * x),
    "division": (lambda x, a: x / (2.0 + x[::-1] ** 2), lambda x, a: x / (2.0 + x[::-1] ** 2)),
    "softmax": (lambda x, a: tg.softmax(x), lambda x, a: np.exp(x) / np.exp(x).sum()),
    "log_softmax": (lambda x, a: tg.log_softmax(x), lambda x, a: x - np.log(np.exp(x).sum())),
    "variance": (lambda x, a: x * tg.var(x), lambda x, a: x * ((x * x).mean() - x.mean() ** 2)),
    "product": (lambda x, a: x + tg.prod(x / 5.0), lambda x, a: x + np.prod(x / 5.0)),
    "cumsum": (lambda x, a: tg.cumsum(x), lambda x, a: np.tri(len(x)) @ x),
    "roll": (lambda x, a: tg.roll(x, 1), lambda x, a: np.concatenate([x[-1:], x[:-1]])),
    "matmul": (lambda x, a: tg.matmul(a, x), lambda x, a: (a * x).sum(axis=1)),
    "solve": (lambda x, a: tg.linalg.solve(a, x), lambda x, a: np.linalg.inv(a) @ x),
    "take": (lambda x, a: tg.take(x, tg.tensor(np.arange(x.shape[0]) // 2)), lambda x, a: x[np.arange(len(x)) // 2]),
    "conv1d": (
        lambda x, a: tg.conv1d(tg.reshape(x, (1, 1, -1)), tg.tensor([[[1.0, 2.0, 3.0]]]), padding=1)[0, 0],
        lambda x, a: np.convolve(x, [3.0, 2.0, 1.0], "full")[1:-1],
    ),
}


def reverse(f: Map, x: tg.Tensor, cotangent: tg.Tensor) -> tg.Tensor:
    """Jᵀ ȳ by one backward walk."""
    return tg.vjp(f, x)[1](cotangent)[0]


@ENG_1.part(matrix=well_conditioned(sizes(1, 5)), x=arrays(5), v=normals(5), cotangent=normals(5), most=12)
def adjoint(matrix: Array, x: Array, v: Array, cotangent: Array, *, pullback: Any = reverse) -> Iterator[Check]:
    """For 22 maps: ⟨v, Jᵀȳ⟩ by the backward walk equals ⟨Jv, ȳ⟩ with Jv by a complex step through NumPy."""
    n = len(matrix)
    x, v, cotangent = x[:n], v[:n], cotangent[:n]
    for name, (recorded, plain) in MAPS.items():

        def f(point: tg.Tensor, recorded: Any = recorded) -> tg.Tensor:
            value: tg.Tensor = recorded(point, tg.tensor(matrix))
            return value

        def g(point: Array, plain: Any = plain) -> Array:
            return np.asarray(plain(point, matrix))

        forward = complex_step(g, x, v)
        yield same(f"{name}: value", f(tg.tensor(x)), g(x.astype(complex)).real)
        yield same(f"{name}: Jv", tg.jvp(f, (tg.tensor(x),), (tg.tensor(v),))[1], forward, LIN)
        back = pullback(f, tg.tensor(x), tg.tensor(cotangent)).numpy()
        yield same(f"{name}: ⟨v, Jᵀȳ⟩", v @ back, forward @ cotangent, LIN)


@adjoint.falsification("J ȳ instead of Jᵀ ȳ")
def not_transposed(f: Map, x: tg.Tensor, cotangent: tg.Tensor) -> tg.Tensor:
    return tg.jvp(f, (x,), (cotangent,))[1]


def summed(slopes: list[Array]) -> Array:
    """What reaches a value by several ways adds up."""
    return np.asarray(np.sum(slopes, axis=0))


@ENG_1.part(x=arrays(3), matrix=arrays((3, 3)))
def reuse(x: Array, matrix: Array, *, accumulate: Any = summed) -> Iterator[Check]:
    """The gradient of a value used three times is the sum of the gradients of three separate copies."""

    def f(first: tg.Tensor, second: tg.Tensor, third: tg.Tensor) -> tg.Tensor:
        return tg.sum(tg.tanh(first) * tg.matmul(tg.tensor(matrix), second) * third)

    once, copies = tg.tensor(x, requires_grad=True), [tg.tensor(x, requires_grad=True) for _ in range(3)]
    (slope,) = tg.grad(f(once, once, once), once)
    yield same("Σ over uses", slope, accumulate([part.numpy() for part in tg.grad(f(*copies), copies)]))
    for _ in range(2):
        f(once, once, once).backward()
    yield same("two backward walks add", once.grad, 2.0 * slope.numpy())


@reuse.falsification("the last use wins")
def last_use(slopes: list[Array]) -> Array:
    return slopes[-1]


def summed_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The pullback of broadcasting: sums over the axes that were added or stretched."""
    for _ in range(g.ndim - len(shape)):
        g = g.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            g = g.sum(axis=axis, keepdims=True)
    return np.asarray(g)


SMALLER = st.sampled_from([(), (1,), (3,), (2, 1), (1, 3), (2, 3), (4, 1, 3), (1, 2, 1), (1, 1, 1)])


@ENG_1.part(shape=SMALLER, values=normals((4, 2, 3)), large=normals((4, 2, 3)), cotangent=normals((4, 2, 3)))
def broadcasting(
    shape: tuple[int, ...], values: Array, large: Array, cotangent: Array, *, unbroadcast: Any = summed_to
) -> Iterator[Check]:
    """The gradient of a broadcast operand is that of its stretched copy, summed over the stretched axes."""
    small = np.resize(values, shape)
    x = tg.tensor(small, requires_grad=True)
    (slope,) = tg.grad(tg.sin(x) * tg.tensor(large), x, tg.tensor(cotangent))
    stretched = np.cos(np.broadcast_to(small, large.shape)) * large * cotangent
    yield same("Σ over stretched axes", slope, unbroadcast(stretched, shape))


@broadcasting.falsification("mean instead of sum")
def averaged_to(g: Array, shape: tuple[int, ...]) -> Array:
    return summed_to(g, shape) * math.prod(shape) / g.size


# --- ENG-2 -------------------------------------------------------------------------------------------------------

ENG_2 = Claim(
    "ENG-2",
    "Gradient of expectations under sampling",
    r"\nabla_\theta\,\mathbb E_zf(g_\theta(z))=\mathbb E_z\nabla_\theta f(g_\theta(z)),\ z\text{ drawn without }\theta",
    sources="001 002 003",
)


def from_key(key: int, call: int) -> tg.Tensor:
    """The noise of a key, whichever call asks for it."""
    return tg.random.Generator(key).normal(5)


@ENG_2.part(key=st.integers(0, 2**32), mean=floats(-2, 2), deviation=floats(0.1, 2))
def common_random_numbers(key: int, mean: float, deviation: float, *, noise: Any = from_key) -> Iterator[Check]:
    """With the same noise the gradient is bit-identical from run to run and equals central differences."""
    calls = iter(range(1000))

    def estimate(theta: tg.Tensor) -> tg.Tensor:
        return tg.mean(tg.sin(theta[0] + theta[1] * noise(key, next(calls))))

    point = np.array([mean, deviation])
    slopes = []
    for _ in range(2):
        theta = tg.tensor(point, requires_grad=True)
        slopes.append(tg.grad(estimate(theta), theta)[0])
    yield same("same bits", slopes[1], slopes[0], EXACT)
    numerical = central_difference(lambda value: estimate(tg.tensor(value)).numpy(), point)
    yield same("central differences", slopes[0], numerical.reshape(2), FD)


@common_random_numbers.falsification("fresh noise at each evaluation")
def fresh_noise(key: int, call: int) -> tg.Tensor:
    return tg.random.Generator(key).spawn(str(call)).normal(5)


def reparameterised(mean: tg.Tensor, deviation: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    """x = μ + σ z."""
    return mean + deviation * z


@ENG_2.part(mean=floats(-3, 3), deviation=floats(0.1, 2))
def pathwise(mean: float, deviation: float, *, sample: Any = reparameterised) -> Iterator[Check]:
    """E ∇ sin(μ + σz) by quadrature over z equals ∇ of E sin = sin μ e^(−σ²/2); a sampled mean is within 5 errors."""
    mu, sigma = (tg.tensor(value, requires_grad=True) for value in (mean, deviation))
    damping = math.exp(-0.5 * deviation**2)
    exact = np.array([math.cos(mean) * damping, -deviation * math.sin(mean) * damping])
    nodes, weights = gauss_hermite(40)
    expected = tg.sum(tg.tensor(weights) * tg.sin(sample(mu, sigma, tg.tensor(nodes))))
    yield same("E ∇", np.array([slope.numpy() for slope in tg.grad(expected, (mu, sigma))]), exact, QUAD)
    z = tg.random.Generator(2).spawn("ENG-2").normal(4000)
    cosines = np.cos(mean + deviation * z.numpy())
    one_by_one = np.stack([cosines, cosines * z.numpy()])
    found = np.array([slope.numpy() for slope in tg.grad(tg.mean(tg.sin(sample(mu, sigma, z))), (mu, sigma))])
    yield within("sampled", found, exact, one_by_one.std(axis=1) / math.sqrt(4000))


@pathwise.falsification("no gradient through the deviation of the sample")
def deviation_detached(mean: tg.Tensor, deviation: tg.Tensor, z: tg.Tensor) -> tg.Tensor:
    held: tg.Tensor = tg.detach(deviation)
    return mean + held * z + 0.0 * deviation


# --- ENG-3 -------------------------------------------------------------------------------------------------------

ENG_3 = Claim(
    "ENG-3",
    "Determinant, log-determinant, inverse, solve",
    r"\partial\ln|\det A|=A^{-\top},\ \partial\det A=\mathrm{cof}\,A,\ \partial\langle\bar G,A^{-1}\rangle"
    r"=-A^{-\top}\bar GA^{-\top},\ \partial^2\ln|\det A|[E,F]=-\mathrm{tr}(A^{-1}EA^{-1}F)",
    sources="001 002",
)


def minors(a: Array) -> Array:
    """cof A by its definition: (−1)^(i+j) times the determinant without row i and column j."""
    n = len(a)
    cofactors = np.ones((n, n))
    for i, j in np.ndindex(n, n):
        rest = np.delete(np.delete(a, i, axis=0), j, axis=1)
        cofactors[i, j] = (-1.0) ** (i + j) * (np.linalg.det(rest) if n > 1 else 1.0)
    return cofactors


def matrix_rules(a: Array, g: Array) -> tuple[Array, Array, Array]:
    """Gradients of ln|det A|, det A and ⟨G, A⁻¹⟩ by hand."""
    inverse = np.linalg.inv(a)
    return inverse.T, minors(a), -inverse.T @ g @ inverse.T


@ENG_3.part(a=well_conditioned(sizes(1, 6)), g=normals((6, 6)), reflected=st.booleans())
def first_order(a: Array, g: Array, reflected: bool, *, rules: Any = matrix_rules) -> Iterator[Check]:
    """Autodiff of log-determinant, determinant and inverse equals the rules, for negative determinants too."""
    n = len(a)
    if reflected:
        a = np.concatenate([-a[:1], a[1:]])
    x, weights = tg.tensor(a, requires_grad=True), tg.tensor(g[:n, :n])
    sign, log_abs_det = tg.linalg.slogdet(x)
    values = (log_abs_det, tg.linalg.det(x), tg.sum(weights * tg.linalg.inv(x)))
    for name, value, expected in zip(("ln|det|", "det", "⟨G, A⁻¹⟩"), values, rules(a, g[:n, :n]), strict=True):
        yield same(f"∂ {name}", tg.grad(value, x)[0], expected, LIN)
    yield same("sign e^(ln|det|)", sign * tg.exp(log_abs_det), np.linalg.det(a), LIN)


@first_order.falsification("inverse without its transpose")
def untransposed_inverse(a: Array, g: Array) -> tuple[Array, Array, Array]:
    inverse = np.linalg.inv(a)
    return inverse, minors(a), -inverse @ g @ inverse


@first_order.falsification("cofactors without their signs")
def unsigned_minors(a: Array, g: Array) -> tuple[Array, Array, Array]:
    log_abs_det, cofactors, inverse = matrix_rules(a, g)
    checkerboard = (-1.0) ** np.add.outer(np.arange(len(a)), np.arange(len(a)))
    return log_abs_det, cofactors * checkerboard, inverse


def trace_form(a: Array, e: Array, f: Array) -> float:
    """−tr(A⁻¹ E A⁻¹ F)."""
    inverse = np.linalg.inv(a)
    return float(-np.trace(inverse @ e @ inverse @ f))


@ENG_3.part(a=well_conditioned(sizes(1, 6)), e=normals((6, 6)), f=normals((6, 6)))
def second_order(a: Array, e: Array, f: Array, *, form: Any = trace_form) -> Iterator[Check]:
    """The Hessian of ln|det| along two directions, by two walks, equals −tr(A⁻¹EA⁻¹F)."""
    n = len(a)
    e, f = e[:n, :n], f[:n, :n]
    along = tg.hvp(lambda x: tg.linalg.slogdet(x)[1], tg.tensor(a), tg.tensor(e))
    yield same("⟨F, H E⟩", tg.sum(along * tg.tensor(f)), form(a, e, f), LIN)


@second_order.falsification("plus")
def positive_form(a: Array, e: Array, f: Array) -> float:
    return -trace_form(a, e, f)


@second_order.falsification("one direction transposed")
def transposed_direction(a: Array, e: Array, f: Array) -> float:
    return trace_form(a, e.T, f)


def polynomial_gradient(a: Array) -> Array:
    """cof A, also where A has no inverse."""
    return minors(a)


@ENG_3.part(a=singular(sizes(1, 5)))
def singular_matrices(a: Array, *, gradient: Any = polynomial_gradient) -> Iterator[Check]:
    """At a singular matrix the determinant is 0, its gradient the cofactors; ln|det| of a zero row is −∞."""
    x = tg.tensor(a, requires_grad=True)
    determinant = tg.linalg.det(x)
    yield same("det = 0", determinant, 0.0, LIN)
    yield same("∂ det", tg.grad(determinant, x)[0], gradient(a), LIN)
    with_zero_row = np.concatenate([0.0 * a[:1], a[1:]])
    yield same("ln|det| = −∞", tg.linalg.slogdet(tg.tensor(with_zero_row))[1], -np.inf, EXACT)


@singular_matrices.falsification("det A · A⁻ᵀ with a pseudo-inverse: 0")
def through_the_inverse(a: Array) -> Array:
    return np.asarray(np.linalg.det(a) * np.linalg.pinv(a).T)


def diagonal_sum(a: Array) -> float:
    """ln|det| of a triangular matrix: Σ ln|a_ii|."""
    return float(np.log(np.abs(np.diagonal(a))).sum())


@ENG_3.part(a=triangular(sizes(1, 6)), b=normals(6), others=normals((3, 3, 3)))
def triangular_and_batched(a: Array, b: Array, others: Array, *, log_det: Any = diagonal_sum) -> Iterator[Check]:
    """ln|det| of a triangular matrix is Σ ln|a_ii|; its system is solved by substitution; a batch equals a loop."""
    n = len(a)
    yield same("Σ ln|a_ii|", tg.linalg.slogdet(tg.tensor(a))[1], log_det(a), LIN)
    solution = np.zeros(n)
    for i in range(n):
        solution[i] = (b[i] - a[i, :i] @ solution[:i]) / a[i, i]
    for solve in (tg.linalg.solve, tg.linalg.solve_triangular):
        yield same("substitution", solve(tg.tensor(a), tg.tensor(b[:n, None]))[:, 0], solution, LIN)
    stack = tg.tensor(others + 4.0 * np.eye(3), requires_grad=True)
    signs, log_abs = tg.linalg.slogdet(stack)
    one_by_one = [np.linalg.slogdet(matrix) for matrix in stack.numpy()]
    yield same("batched", tg.stack([signs, log_abs]), np.array(one_by_one).T, LIN)
    inverses = np.stack([np.linalg.inv(matrix).T for matrix in stack.numpy()])
    yield same("batched gradient", tg.grad(tg.sum(log_abs), stack)[0], inverses, LIN)


@triangular_and_batched.falsification("logarithm of the trace")
def log_trace(a: Array) -> float:
    return math.log(np.trace(a))


# --- ENG-4 -------------------------------------------------------------------------------------------------------

ENG_4 = Claim(
    "ENG-4",
    "Full Jacobian operator",
    r"J_{ij}=\partial f_i/\partial x_j,\quad J_{g\circ f}=J_gJ_f,\quad\nabla_A\ln|\det J|=A^{-\top}-2\tanh(Ax)\,x^\top"
    r"\text{ for }f(x)=\tanh(Ax)",
    sources="001 002",
)


def by_rows(f: Map, x: tg.Tensor) -> tg.Tensor:
    """One backward walk for each output."""
    return tg.jacobian(f, x)


@ENG_4.part(a=arrays((4, 3), -2.0, 2.0), b=arrays((2, 4), -2.0, 2.0), x=vectors(3, -1.0, 1.0), batch=normals((3, 3)))
def jacobians(a: Array, b: Array, x: Array, batch: Array, *, jacobian: Any = by_rows) -> Iterator[Check]:
    """Rows by backward walks equal columns by complex steps; linear maps, the chain rule, and batch against loop."""
    outer, inner = tg.tensor(b), tg.tensor(a)

    def f(point: tg.Tensor) -> tg.Tensor:
        return tg.tanh(tg.matmul(inner, point))

    def g(point: tg.Tensor) -> tg.Tensor:
        return tg.sin(tg.matmul(outer, point))

    point = tg.tensor(x)
    columns = [complex_step(lambda z: np.sin(b @ np.tanh(a @ z)), x, unit) for unit in np.eye(3)]
    whole = jacobian(lambda z: g(f(z)), point)
    yield same("columns", whole, np.stack(columns, axis=1))
    yield same("linear map", jacobian(lambda z: tg.matmul(inner, z), point), a, EXACT)
    yield same("chain rule", whole, tg.matmul(jacobian(g, f(point)), jacobian(f, point)))
    rows = tg.jacobian(lambda z: tg.tanh(tg.linear(z, inner)), tg.tensor(batch), batch=True)
    yield same("batch = loop", rows, tg.stack([jacobian(f, tg.tensor(row)) for row in batch]))


@jacobians.falsification("linearised at 0 instead of at x")
def at_the_origin(f: Map, x: tg.Tensor) -> tg.Tensor:
    return tg.jacobian(f, tg.zeros_like(x))


def volume_gradient(a: Array, x: Array) -> Array:
    """∇_A ln|det J| of f(x) = tanh(Ax): A⁻ᵀ − 2 tanh(Ax) xᵀ."""
    return np.asarray(np.linalg.inv(a).T - 2.0 * np.outer(np.tanh(a @ x), x))


@ENG_4.part(a=well_conditioned(sizes(1, 4)), x=arrays(4, -1.0, 1.0))
def volume(a: Array, x: Array, *, gradient: Any = volume_gradient) -> Iterator[Check]:
    """ln|det J| through the operator equals ln|det A| + Σ ln(1 − tanh²); its gradient in A equals the hand's."""
    x = x[: len(a)]
    weights = tg.tensor(a, requires_grad=True)
    _, _, log_abs_det = tg.log_abs_det_jacobian(lambda z: tg.tanh(tg.matmul(weights, z)), tg.tensor(x), batch=False)
    by_hand = np.linalg.slogdet(a)[1] - 2.0 * np.log(np.cosh(a @ x)).sum()
    yield same("ln|det J|", log_abs_det, by_hand, LIN)
    yield same("∇_A", tg.grad(log_abs_det, weights)[0], gradient(a, x), LIN)


@volume.falsification("without the derivative of the derivative of tanh")
def linear_volume(a: Array, x: Array) -> Array:
    return np.asarray(np.linalg.inv(a).T)


# --- ENG-5 -------------------------------------------------------------------------------------------------------

ENG_5 = Claim(
    "ENG-5",
    "Second-order derivatives",
    r"H=H^\top;\qquad D=v^\top\mathrm{relu}(Wx):\ \nabla_x^2D=0,\ g=W^\top(a\odot v),\ "
    r"\frac{\partial\|g\|}{\partial W}=(a\odot v)\frac{g^\top}{\|g\|}",
    sources="000",
    assumptions=r"a\text{ the mask of active units, no unit at its kink}",
)


def smooth_hessian(w: Array, v: Array, x: Array) -> Array:
    """Of vᵀ tanh(Wx): Wᵀ diag(−2 v t (1 − t²)) W."""
    t = np.tanh(w @ x)
    return np.asarray((w.T * (-2.0 * v * t * (1.0 - t**2))) @ w)


@ENG_5.part(w=arrays((4, 3), -2.0, 2.0), v=arrays(4, -2.0, 2.0), x=vectors(3, -1.0, 1.0), direction=normals(3))
def hessians(w: Array, v: Array, x: Array, direction: Array, *, hessian: Any = smooth_hessian) -> Iterator[Check]:
    """The Hessian of a network equals the one by hand and its transpose; times a vector, differences of gradients."""

    def score(point: tg.Tensor) -> tg.Tensor:
        return tg.sum(tg.tensor(v) * tg.tanh(tg.matmul(tg.tensor(w), point)))

    found = tg.hessian(score, tg.tensor(x))
    yield same("by hand", found, hessian(w, v, x))
    yield same("symmetric", found, found.T)
    product = tg.hvp(score, tg.tensor(x), tg.tensor(direction))
    yield same("H v", product, found.numpy() @ direction)

    def gradient(point: Array) -> Array:
        start = tg.tensor(point, requires_grad=True)
        return np.asarray(tg.grad(score(start), start)[0].numpy())

    yield same("differences", product, central_difference(gradient, x) @ direction, FD)


@hessians.falsification("slope of tanh instead of its second derivative")
def first_derivative(w: Array, v: Array, x: Array) -> Array:
    return np.asarray((w.T * (v * (1.0 - np.tanh(w @ x) ** 2))) @ w)


def mixed_by_hand(active: Array, g: Array) -> Array:
    """∂‖g‖/∂W = (a ⊙ v) gᵀ / ‖g‖ for active = a ⊙ v; 0 if no unit is active."""
    length = np.linalg.norm(g)
    return np.asarray(np.outer(active, g) / (length if length else 1.0))


def guarded_norm(g: tg.Tensor) -> tg.Tensor:
    """‖g‖ with gradient 0 at 0."""
    return tg.linalg.norm(g)


@ENG_5.part(w=normals((4, 3)), v=normals(4), x=normals(3), dead=st.booleans())
def mixed(
    w: Array, v: Array, x: Array, dead: bool, *, by_hand: Any = mixed_by_hand, length: Any = guarded_norm
) -> Iterator[Check]:
    """‖∇ₓ vᵀrelu(Wx)‖ has the gradient in W by hand, 0 (not NaN) without an active unit; ∇ₓ² is 0."""
    if dead:
        w = -np.sign(w @ x)[:, None] * w  # every unit below its threshold
    weights, point = tg.tensor(w, requires_grad=True), tg.tensor(x, requires_grad=True)

    def score(z: tg.Tensor) -> tg.Tensor:
        return tg.sum(tg.tensor(v) * tg.relu(tg.matmul(weights, z)))

    (g,) = tg.grad(score(point), point, create_graph=True)
    active = v * (w @ x > 0.0)
    yield same("∇ₓ D", g, w.T @ active)
    yield same("∂‖∇ₓ D‖/∂W", tg.grad(length(g), weights)[0], by_hand(active, w.T @ active), LIN)
    yield same("∇ₓ² D = 0", tg.hessian(score, tg.tensor(x)), np.zeros((3, 3)), EXACT)


@mixed.falsification("no mixed derivative: 0, as for ∇ₓ²", replaces="by_hand")
def no_mixed_term(active: Array, g: Array) -> Array:
    return np.zeros((len(active), len(g)))


@mixed.falsification("root of a sum of squares: NaN at 0", replaces="length")
def unguarded_norm(g: tg.Tensor) -> tg.Tensor:
    return tg.sum(g**2) ** 0.5
