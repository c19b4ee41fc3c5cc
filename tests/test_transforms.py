"""vjp, jvp, jacobian, hessian, hvp, log|det Jacobian|: against closed forms, differences, and each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import host, on, shapes
from cases import STEP
from double import counting
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg

Function = Callable[..., tg.Tensor]
seeds = st.integers(0, 2**16)


def same(found: Any, expected: Any) -> None:
    """Equal shapes, and values that differ by the order of sums in float64 only."""
    np.testing.assert_allclose(host(found), host(expected), rtol=1e-11, atol=1e-11, strict=True)


def near(found: Any, expected: Any) -> None:
    """Equal to differences: truncation is of order STEP⁶ times a 7th derivative, rounding 1e-16 / STEP times values."""
    np.testing.assert_allclose(host(found), host(expected), rtol=1e-8, atol=1e-8, strict=True)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def uniform(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1.0, 1.0, shape)


def differences(f: Function, x: np.ndarray, device: str) -> np.ndarray:
    """The Jacobian, shape (*f(x).shape, *x.shape), a column an element: central differences, extrapolated to step 0."""

    def values(moved: np.ndarray) -> np.ndarray:
        return host(f(on(device, moved)))

    columns = []
    for unit in np.eye(x.size).reshape(x.size, *x.shape):
        a, b, c = ((values(x + h * unit) - values(x - h * unit)) / (2 * h) for h in (STEP, STEP / 2, STEP / 4))
        columns.append((a - 20 * b + 64 * c) / 45)
    return np.stack(columns, -1).reshape((*values(x).shape, *x.shape))


# --- closed forms ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=seeds, shape=shapes(most=2, side=3), outputs=shapes(most=2, side=3))
def test_first_derivatives_of_a_quadratic(
    seed: int, shape: tuple[int, ...], outputs: tuple[int, ...], device: str
) -> None:
    """f(x) = A x + (B x)² has J = A + 2 diag(B x) B; vjp is uᵀ J, jvp is J v: of all shapes, empty ones too."""
    n, m = math.prod(shape), math.prod(outputs)
    a, b, x, u, v = normal(seed, m, n), normal(seed + 1, m, n), normal(seed, n), normal(seed, m), normal(seed + 1, n)
    device_a, device_b = on(device, a), on(device, b)

    def f(point: tg.Tensor) -> tg.Tensor:
        column = tg.reshape(point, (n, 1))
        return tg.reshape(device_a @ column + tg.square(device_b @ column), outputs)

    exact = a + 2.0 * (b @ x)[:, None] * b
    point, cotangent, tangent = (on(device, w.reshape(s)) for w, s in ((x, shape), (u, outputs), (v, shape)))
    same(tg.jacobian(f, point), exact.reshape((*outputs, *shape)))
    value, pullback = tg.vjp(f, point)
    same(value, (a @ x + (b @ x) ** 2).reshape(outputs))
    same(pullback(cotangent)[0], (u @ exact).reshape(shape))
    value, pushed = tg.jvp(f, (point,), (tangent,))
    same(value, (a @ x + (b @ x) ** 2).reshape(outputs))
    same(pushed, (exact @ v).reshape(outputs))


@settings(max_examples=30)
@given(seed=seeds, shape=shapes(most=2, side=3))
def test_higher_derivatives_of_a_cubic(seed: int, shape: tuple[int, ...], device: str) -> None:
    """f(x) = Σₖ (bₖ·x)³ has H = 6 Σₖ (bₖ·x) bₖ bₖᵀ, and ⟨H, W⟩ has the gradient 6 Σₖ (bₖᵀ W bₖ) bₖ."""
    n = math.prod(shape)
    b, x, v, w = normal(seed, 4, n), normal(seed, n), normal(seed + 1, n), normal(seed, n, n)
    device_b = on(device, b)

    def f(point: tg.Tensor) -> tg.Tensor:
        return tg.sum((device_b @ tg.reshape(point, (n, 1))) ** 3)

    exact = 6.0 * np.einsum("k,ki,kj->ij", b @ x, b, b)
    point = on(device, x.reshape(shape), requires_grad=True)
    same(tg.hessian(f, point), exact.reshape((*shape, *shape)))
    same(tg.hvp(f, point, on(device, v.reshape(shape))), (exact @ v).reshape(shape))
    hessian = tg.hessian(f, point, create_graph=True)
    if n:  # else nothing was computed from the point
        (third,) = tg.grad(tg.sum(hessian * on(device, w.reshape((*shape, *shape)))), point)
        same(third, (6.0 * np.einsum("ki,ij,kj,kl->l", b, w, b, b)).reshape(shape))


# --- differences -------------------------------------------------------------------------------------------------

_W = normal(1, 2, 1, 2, 2)
FUNCTIONS: dict[str, tuple[Function, tuple[int, ...]]] = {
    "softmax": (tg.softmax, (2, 3)),
    "logsumexp of products": (lambda x: tg.logsumexp(x[:, None] * x, axis=0), (3,)),
    "convolution": (lambda x: tg.tanh(tg.conv2d(x[None, None], on(x.device, _W), stride=2, padding=1)), (3, 3)),
    "determinant": (lambda x: tg.linalg.det(x) * tg.exp(x[0]), (2, 2)),
    "inverse": (lambda x: tg.linalg.inv(x + 3.0 * tg.eye(2, dtype=x.dtype)), (2, 2)),
    "repeated indices": (lambda x: x[[0, 1, 0, 2]] ** 2 / (2.0 + x[0]), (3,)),
    "scalar": (lambda x: tg.sin(x) * x, ()),
    "normalised": (lambda x: (x - tg.mean(x)) / tg.std(x), (4,)),
}  # fmt: skip
over_functions = pytest.mark.parametrize("name", FUNCTIONS)


@over_functions
def test_jacobian_is_that_of_differences(name: str, device: str) -> None:
    f, shape = FUNCTIONS[name]
    x = uniform(*shape)
    near(tg.jacobian(f, on(device, x)), differences(f, x, device))


@over_functions
def test_hessian_is_the_slope_of_the_gradient(name: str, device: str) -> None:
    f, shape = FUNCTIONS[name]
    x = uniform(*shape)

    def scalar(point: tg.Tensor) -> tg.Tensor:
        return tg.sum(tg.sin(f(point)))

    def gradient(point: tg.Tensor) -> tg.Tensor:
        return tg.jacobian(scalar, point)

    near(tg.hessian(scalar, on(device, x)), differences(gradient, x, device))


@over_functions
def test_transforms_agree(name: str, device: str) -> None:
    """⟨u, J v⟩ both ways; H symmetric and H v; the second derivative along v by jvp of jvp; jvp of the gradient."""
    f, shape = FUNCTIONS[name]
    x, v = on(device, uniform(*shape)), on(device, normal(1, *shape))

    def scalar(point: tg.Tensor) -> tg.Tensor:
        return tg.sum(tg.sin(f(point)))

    y, pushed = tg.jvp(f, (x,), (v,))
    u = on(device, normal(2, *y.shape))
    jacobian = host(tg.jacobian(f, x)).reshape(y.size, x.size)
    same(pushed, (jacobian @ host(v).reshape(-1)).reshape(y.shape))
    same(tg.vjp(f, x)[1](u)[0], (host(u).reshape(-1) @ jacobian).reshape(shape))
    hessian = host(tg.hessian(scalar, x)).reshape(x.size, x.size)
    same(hessian, hessian.T)
    product = hessian @ host(v).reshape(-1)
    same(tg.hvp(scalar, x, v), product.reshape(shape))
    same(tg.jvp(lambda point: tg.vjp(scalar, point)[1](None)[0], (x,), (v,))[1], product.reshape(shape))
    twice = tg.jvp(lambda point: tg.jvp(scalar, (point,), (v,))[1], (x,), (v,))[1]
    same(twice, np.asarray(host(v).reshape(-1) @ product))


def test_several_primals(device: str) -> None:
    """Derivatives for each argument; one that f does not use has zeros."""
    x, y, z = (on(device, normal(seed, 3)) for seed in range(3))
    out, pullback = tg.vjp(lambda x, y, z: x * y * y, x, y, z)
    u = on(device, normal(3, 3))
    for found, exact in zip(pullback(u), (u * y * y, 2.0 * u * x * y, 0.0 * z), strict=True):
        same(found, exact)
    value, tangent = tg.jvp(lambda x, y, z: x * y * y, (x, y, z), (u, z, x))
    same(value, out)
    same(tangent, u * y * y + 2.0 * x * y * z)


# --- batches -----------------------------------------------------------------------------------------------------


def rowwise(x: tg.Tensor) -> tg.Tensor:
    """Each row (of any shape) by itself, nonlinear, its elements mixed."""
    flat = tg.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    return tg.tanh(tg.cumsum(flat, 1)) + flat * tg.sum(flat * flat, axis=1, keepdims=True)


@given(seed=seeds, n=st.integers(0, 3), shape=shapes(most=2, side=3))
@settings(max_examples=25)
def test_batched_jacobian_is_that_of_each_row(seed: int, n: int, shape: tuple[int, ...], device: str) -> None:
    x = normal(seed, n, *shape)
    found = tg.jacobian(rowwise, on(device, x), batch=True)
    assert found.shape == (n, math.prod(shape), *shape)
    for row, matrix in zip(x, host(found), strict=True):
        same(tg.jacobian(lambda point: rowwise(point[None])[0], on(device, row)), matrix)


@pytest.mark.host
@pytest.mark.parametrize(
    "transform", [lambda x: tg.jacobian(rowwise, x, batch=True), lambda x: tg.log_abs_det_jacobian(rowwise, x)]
)
def test_a_larger_batch_takes_no_more_launches(transform: Function) -> None:
    launches = []
    for n in (2, 64):
        x = on("double", normal(0, n, 3))
        with counting() as count:
            transform(x)
        launches.append(count.launches)
    assert launches[0] == launches[1] > 0


# --- what is recorded --------------------------------------------------------------------------------------------


def test_jacobian_can_be_differentiated_with_create_graph(device: str) -> None:
    """In x and in a parameter of f: ⟨J, W⟩ for f(x) = sin(a x) has J = diag(a cos(a x))."""
    a, x, w = on(device, 1.5), normal(0, 3), normal(1, 3, 3)
    a.requires_grad = True
    point = on(device, x, requires_grad=True)
    jacobian = tg.jacobian(lambda p: tg.sin(a * p), point, create_graph=True)
    in_a, in_x = tg.grad(tg.sum(jacobian * on(device, w)), [a, point])
    d = np.diag(w)
    same(in_a, np.sum(d * (np.cos(1.5 * x) - 1.5 * x * np.sin(1.5 * x))))
    same(in_x, -d * 1.5**2 * np.sin(1.5 * x))
    assert not tg.jacobian(lambda p: tg.sin(a * p), point).requires_grad


def test_transforms_are_differentiable_in_parameters_and_in_computed_primals(device: str) -> None:
    """For f(x) = a x³ at x = 2 c, all of vjp, jvp, hvp and hessian have known derivatives in a and c."""
    a, c = (on(device, value, requires_grad=True) for value in (1.5, 0.7))
    x, one = 2.0 * c, on(device, 1.0)

    def f(point: tg.Tensor) -> tg.Tensor:
        return a * point**3

    first = [tg.vjp(f, x)[1](one)[0], tg.jvp(f, (x,), (one,))[1], tg.jacobian(f, x, create_graph=True)]
    for found in first:  # 3 a x²
        in_a, in_c = tg.grad(found, [a, c])
        same(in_a, np.array(3 * 1.4**2))
        same(in_c, np.array(6 * 1.5 * 1.4 * 2))
    for found in (tg.hvp(f, x, one), tg.hessian(f, x, create_graph=True)):  # 6 a x
        in_a, in_c = tg.grad(found, [a, c])
        same(in_a, np.array(6 * 1.4))
        same(in_c, np.array(6 * 1.5 * 2))


def test_inside_no_grad(device: str) -> None:
    """The same values as outside, detached; f itself may be differentiated there, and recording is off again."""
    a = on(device, 1.5, requires_grad=True)
    x, v = (on(device, normal(seed, 3), requires_grad=True) for seed in range(2))

    def f(point: tg.Tensor) -> tg.Tensor:
        return a * point**3

    def total(point: tg.Tensor) -> tg.Tensor:
        return tg.sum(f(point))

    def everything() -> list[tg.Tensor]:
        return [
            tg.vjp(f, x)[1](v)[0], *tg.jvp(f, (x,), (v,)), tg.jacobian(f, x), tg.jacobian(f, x, create_graph=True),
            tg.hessian(total, x), tg.hvp(total, x, v), *tg.log_abs_det_jacobian(f, x, batch=False),
        ]  # fmt: skip

    outside = everything()
    with tg.no_grad():
        inside = everything()
        assert (x * x).node is None
    for one, other in zip(inside, outside, strict=True):
        assert one.node is None
        assert not one.requires_grad
        np.testing.assert_array_equal(host(one), host(other))


def test_functions_that_do_not_depend_on_their_argument(device: str) -> None:
    x, v, c = (on(device, normal(seed, 3)) for seed in range(3))
    constant = on(device, 2.0, requires_grad=True)
    for f in (lambda point: c, lambda point: c * constant, lambda point: tg.sign(point)):
        same(tg.jacobian(f, x), np.zeros((3, 3)))
        same(tg.jacobian(lambda point, f=f: f(point) + 0.0 * x, on(device, normal(4, 3)), batch=True), np.zeros(3))
        same(tg.vjp(f, x)[1](v)[0], np.zeros(3))
        same(tg.jvp(f, (x,), (v,))[1], np.zeros(3))
    same(tg.hessian(tg.sum, x), np.zeros((3, 3)))
    same(tg.hvp(tg.sum, x, v), np.zeros(3))


def test_inner_derivatives_do_not_see_outer_variables(device: str) -> None:
    """No perturbation confusion: a tensor that f uses for something else is a constant of the inner derivative."""
    x = on(device, 3.0, requires_grad=True)
    same(tg.jacobian(lambda x: x * tg.jacobian(lambda y: x + y, x, create_graph=True), x), np.array(1.0))
    same(tg.jacobian(lambda y: y * x, x), np.array(3.0))
    same(tg.vjp(lambda y: y * x, x)[1](on(device, 1.0))[0], np.array(3.0))
    same(tg.jvp(lambda y: y * x, (x,), (on(device, 1.0),))[1], np.array(3.0))
    same(tg.hvp(lambda y: y * y * x, x, on(device, 1.0)), np.array(6.0))
    same(tg.jvp(lambda a, b: a * b, (x, x), (on(device, 1.0), on(device, 0.0)))[1], np.array(3.0))


def test_float32_stays_float32(device: str) -> None:
    x = on(device, normal(0, 3).astype(np.float32))

    def f(point: tg.Tensor) -> tg.Tensor:
        return tg.tanh(point) * 1.5 + tg.mean(point) / 3

    results = [
        tg.jacobian(f, x), tg.vjp(f, x)[1](x)[0], *tg.jvp(f, (x,), (x,)), *tg.log_abs_det_jacobian(f, x, batch=False),
        tg.hessian(lambda p: tg.sum(f(p)), x), tg.hvp(lambda p: tg.sum(f(p)), x, x),
    ]  # fmt: skip
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


# --- log|det Jacobian| -------------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(0, 3), shape=st.sampled_from([(), (0,), (1,), (3,), (2, 2)]))
@settings(max_examples=25)
def test_log_abs_det_is_that_of_the_jacobian(seed: int, n: int, shape: tuple[int, ...], device: str) -> None:
    x = normal(seed, n, *shape)

    def f(point: tg.Tensor) -> tg.Tensor:
        return tg.reshape(rowwise(point), point.shape)

    y, sign, log_abs_det = tg.log_abs_det_jacobian(f, on(device, x))
    size = math.prod(shape)
    expected = np.linalg.slogdet(host(tg.jacobian(f, on(device, x), batch=True)).reshape(n, size, size))
    same(y, f(on(device, x)))
    same(sign, expected.sign)
    same(log_abs_det, expected.logabsdet)


def autoregressive(x: tg.Tensor, w: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """y_i = x_i exp(s_i) + s_i² with s_i a function of x_1 … x_{i−1}: triangular, log|det J| = Σ s_i."""
    s = tg.tanh(x @ tg.tril(w, -1).mT)
    return x * tg.exp(s) + s * s, tg.sum(s, axis=1)


@given(seed=seeds, n=st.integers(1, 4), d=st.integers(1, 4))
@settings(max_examples=25)
def test_log_abs_det_of_a_triangular_map(seed: int, n: int, d: int, device: str) -> None:
    """The value is Σ s, and so is every derivative of it, in the parameters and in x, to second order."""
    w = on(device, normal(seed, d, d), requires_grad=True)
    x = on(device, normal(seed, n, d), requires_grad=True)
    known = tg.sum(autoregressive(x, w)[1] ** 2)
    y, sign, log_abs_det = tg.log_abs_det_jacobian(lambda point: autoregressive(point, w)[0], x)
    same(y, autoregressive(x, w)[0])
    same(sign, np.ones(n))
    same(log_abs_det, autoregressive(x, w)[1])
    first = [tg.grad(value, [w, x], create_graph=True) for value in (tg.sum(log_abs_det**2), known)]
    for found, exact in zip(*first, strict=True):
        same(found, exact)
    slopes = [tg.sum(on(device, normal(1, d, d)) * in_w) + tg.sum(tg.sin(in_x)) for in_w, in_x in first]
    second = [tg.grad(value, [w, x], allow_unused=True) for value in slopes]
    for found, exact in zip(*second, strict=True):
        same(found if found is not None else 0.0 * exact, exact if exact is not None else 0.0 * found)


def test_log_abs_det_of_a_linear_map(device: str) -> None:
    """log|det A| has the gradient A⁻ᵀ, for each row of the batch; a reflection has the sign −1."""
    a = normal(0, 3, 3)
    a *= -np.sign(np.linalg.det(a))
    matrix = on(device, a, requires_grad=True)
    _, sign, log_abs_det = tg.log_abs_det_jacobian(lambda x: x @ matrix.mT, on(device, normal(1, 5, 3)))
    same(sign, -np.ones(5))
    same(log_abs_det, np.full(5, np.log(-np.linalg.det(a))))
    assert not sign.requires_grad
    same(tg.grad(tg.sum(log_abs_det), matrix)[0], 5.0 * np.linalg.inv(a).T)


def test_log_abs_det_without_a_batch(device: str) -> None:
    """One map of a whole array: x ↦ A x B has det(A)² det(B)² for 2×2 matrices."""
    a, b = normal(0, 2, 2), normal(1, 2, 2)
    _, sign, log_abs_det = tg.log_abs_det_jacobian(
        lambda x: on(device, a) @ x @ on(device, b), on(device, np.eye(2)), batch=False
    )
    same(sign, np.array(1.0))
    same(log_abs_det, np.array(2 * np.log(abs(np.linalg.det(a) * np.linalg.det(b)))))


# --- mistakes ----------------------------------------------------------------------------------------------------

ones = tg.ones
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "jvp: one tangent": (lambda: tg.jvp(tg.multiply, (ones(3), ones(3)), (ones(3),)), ValueError, "2 primals.* got 1"),
    "jvp: shape": (lambda: tg.jvp(tg.exp, (ones(3),), (ones(2),)), ValueError, r"float32\[3\].*float32\[2\]"),
    "jvp: shape for a constant": (lambda: tg.jvp(lambda x: ones(2), (ones(3),), (ones(7),)), ValueError, r"\[3.*\[7"),
    "vjp: shape": (lambda: tg.vjp(tg.exp, ones(3))[1](ones(2)), ValueError, r"float32\[3\].*float32\[2\]"),
    "vjp: shape for a constant": (lambda: tg.vjp(lambda x: ones(2), ones(3))[1](ones(7)), ValueError, r"\[2\].*\[7\]"),
    "vjp: integers": (lambda: tg.vjp(tg.exp, tg.arange(3)), TypeError, "requires_grad.*int64.*astype"),
    "vjp: no tensor": (lambda: tg.vjp(lambda x: 3.0, ones(3)), TypeError, "vjp: f must return a tensor, got a float"),
    "jacobian: integers": (lambda: tg.jacobian(tg.square, tg.arange(3)), TypeError, "requires_grad.*int64.*astype"),
    "jacobian: no tensor": (lambda: tg.jacobian(lambda x: (x, x), ones(3)), TypeError, "jacobian: f must.* a tuple"),
    "jacobian: first axis": (lambda: tg.jacobian(tg.sum, ones((2, 3)), batch=True), ValueError, r"\(2, 3\) to \(\)"),
    "jacobian: no batch axis": (lambda: tg.jacobian(tg.exp, ones(()), batch=True), ValueError, "batch=True.*first"),
    "hessian: no scalar": (lambda: tg.hessian(tg.exp, ones(3)), ValueError, r"hessian: .*scalar.*\(3,\).*jacobian"),
    "hessian: no tensor": (lambda: tg.hessian(lambda x: None, ones(3)), TypeError, "hessian: f must.* NoneType"),
    "hvp: no scalar": (lambda: tg.hvp(tg.exp, ones(3), ones(3)), ValueError, r"hvp: .*scalar.*\(3,\).*jacobian"),
    "hvp: shape": (lambda: tg.hvp(lambda x: tg.sum(x * x), ones(3), ones(2)), ValueError, r"\[3\].*\[2\]"),
    "hvp: shape for a linear f": (lambda: tg.hvp(tg.sum, ones(3), ones(2)), ValueError, r"\[3\].*\[2\]"),
    "log_abs_det_jacobian: shape": (lambda: tg.log_abs_det_jacobian(lambda x: x[:, :2], ones((4, 3))), ValueError,
                                    r"keep the shape.*\(4, 3\) to \(4, 2\)"),
    "log_abs_det_jacobian: no batch axis": (lambda: tg.log_abs_det_jacobian(tg.exp, ones(())), ValueError, "first"),
    "log_abs_det_jacobian: no tensor": (lambda: tg.log_abs_det_jacobian(lambda x: 1.0, ones((2, 2))), TypeError,
                                        "log_abs_det_jacobian: f must return a tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, device: str) -> None:
    call, error, says = MISTAKES[name]
    with pytest.raises(error, match=says):
        call()
