"""Chapter 12, third part. Distillation: a flow that samples in one pass learns from a model that scores in one pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import Normal
from tinygen.lectures.autoregressive import Conditioner, Counted, Statistics, conditioners, log_normal, to_data
from tinygen.lectures.claim import EXACT, FD, LIN, OPT, QUAD, Check, Claim, at_least, host, same, within
from tinygen.lectures.numerics import central_difference, gauss_hermite, sign_vectors
from tinygen.models.distillation import best_diagonal_kl
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, sizes, triangular, vectors

Array = np.ndarray
Tensors = list[tg.Tensor]
LN_TAU_E = math.log(2.0 * math.pi * math.e)


@dataclass(frozen=True)
class Markov:
    """The teacher x_t | x_{t−1} ~ N(a x_{t−1} + c, v) with x_0 = 0, for T variables."""

    a: float
    c: float
    v: float
    T: int

    def __call__(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """μ and ln σ of all conditionals for x (n, T), in one pass."""
        previous = tg.pad(x[:, :-1], ((0, 0), (1, 0)))
        return self.a * previous + self.c, tg.full_like(x, 0.5 * math.log(self.v))

    def law(self) -> tuple[Array, Array]:
        """Mean and covariance of the normal law that all steps together are."""
        steps = np.linalg.inv(np.eye(self.T) - self.a * np.eye(self.T, k=-1))
        return steps @ np.full(self.T, self.c), self.v * steps @ steps.T


@dataclass(frozen=True)
class Affine:
    """The student x = Bz + b with lower triangular B, as a flow: μ_t = b_t + B_{t,<t} z_<t and σ_t = B_tt > 0."""

    B: tg.Tensor
    b: tg.Tensor

    def __call__(self, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return z @ tg.tril(self.B, -1).mT + self.b, tg.zeros_like(z) + tg.log(tg.diagonal(self.B))


@dataclass(frozen=True)
class Lesson:
    """A teacher, and the B (T, T) and b (T,) of a student."""

    teacher: Markov
    B: Array
    b: Array

    @property
    def student(self) -> Affine:
        """The student's network."""
        return Affine(tg.tensor(self.B), tg.tensor(self.b))


@st.composite
def lessons(draw: st.DrawFn, size: int | st.SearchStrategy[int] = sizes(1, 4)) -> Lesson:
    T = size if isinstance(size, int) else draw(size)
    teacher = Markov(draw(floats(-0.9, 0.9)), draw(floats(-1, 1)), draw(floats(0.3, 2)), T)
    return Lesson(teacher, draw(triangular(T)), draw(vectors(T, -2, 2)))


def log_density(teacher: Statistics, x: tg.Tensor) -> tg.Tensor:
    """ln p_T(x) of each row, in one pass."""
    mean, log_sigma = teacher(x)
    return tg.sum(log_normal(x, mean, tg.exp(log_sigma)), axis=1)


def log_student(student: Statistics, z: tg.Tensor) -> tg.Tensor:
    """ln p_S(x(z)) of each row: the product form (AR-5)."""
    mean, log_sigma = student(z)
    return tg.sum(log_normal(tg.exp(log_sigma) * z + mean, mean, tg.exp(log_sigma)), axis=1)


# --- AR-9 --------------------------------------------------------------------------------------------------------

AR_9 = Claim(
    "AR-9",
    "Distillation objective",
    r"\mathrm{KL}(p_S\,\|\,p_T)=\mathbb E_{p_S}\ln p_S-\mathbb E_{p_S}\ln p_T\to\min_\theta",
    sources="001",
    assumptions="teacher frozen, but differentiable in x; p_S ≪ p_T",
)


def normal_kl(mean: tg.Tensor, C: tg.Tensor, other_mean: tg.Tensor, other: tg.Tensor) -> tg.Tensor:
    """KL(N(mean, C) ‖ N(other_mean, other))."""
    off = other_mean - mean
    squares = tg.trace(tg.linalg.solve(other, C)) + tg.sum(off * tg.linalg.solve(other, off))
    return 0.5 * (squares - C.shape[0] + tg.linalg.slogdet(other)[1] - tg.linalg.slogdet(C)[1])


def student_first(mean: tg.Tensor, C: tg.Tensor, teacher_mean: tg.Tensor, teacher: tg.Tensor) -> tg.Tensor:
    """KL(p_S ‖ p_T): sampled from the student."""
    return normal_kl(mean, C, teacher_mean, teacher)


@AR_9.part(lesson=lessons())
def closed_form(lesson: Lesson, *, kl: Any = student_first) -> Iterator[Check]:
    """E[ln p_S − ln p_T] over sign vectors z (exact moments) is the KL of two normal laws, 0 at chol(C_T)."""
    z = tg.tensor(sign_vectors(lesson.teacher.T))
    x, _ = to_data(lesson.student, z)
    stepwise = tg.mean(log_student(lesson.student, z) - log_density(lesson.teacher, x))
    mean, C = (tg.tensor(value) for value in lesson.teacher.law())
    B, b = tg.tensor(lesson.B), tg.tensor(lesson.b)
    yield same("stepwise = multivariate", stepwise, kl(b, B @ B.mT, mean, C), LIN)
    yield at_least("never negative", stepwise, 0.0, LIN)
    best = Affine(tg.linalg.cholesky(C), mean)
    found = tg.mean(log_student(best, z) - log_density(lesson.teacher, to_data(best, z)[0]))
    yield same("0 at the teacher's law", found, 0.0, LIN)


@closed_form.falsification("teacher first")
def teacher_first(mean: tg.Tensor, C: tg.Tensor, teacher_mean: tg.Tensor, teacher: tg.Tensor) -> tg.Tensor:
    return normal_kl(teacher_mean, teacher, mean, C)


@closed_form.falsification("means forgotten")
def centred(mean: tg.Tensor, C: tg.Tensor, teacher_mean: tg.Tensor, teacher: tg.Tensor) -> tg.Tensor:
    return normal_kl(mean, C, mean, teacher)


def entropy_term(T: int, log_det: float) -> float:
    """E ln p_S = −(T/2) ln 2πe − ln det B."""
    return -0.5 * T * LN_TAU_E - log_det


@AR_9.part(lesson=lessons(), power=st.integers(0, 6))
def entropy_alone(lesson: Lesson, power: int, *, term: Any = entropy_term) -> Iterator[Check]:
    """A student scaled by 10^k lowers E ln p_S by k T ln 10: without the cross term the loss has no lower bound."""
    T, log_det = lesson.teacher.T, float(np.log(np.diag(lesson.B)).sum())
    scaled = Affine(tg.tensor(10.0**power * lesson.B), tg.tensor(lesson.b))
    found = tg.mean(log_student(scaled, tg.tensor(sign_vectors(T))))
    yield same("E ln p_S", found, term(T, log_det + power * T * math.log(10.0)), LIN)


@entropy_alone.falsification("sign of the log-determinant")
def plus_log_det(T: int, log_det: float) -> float:
    return -0.5 * T * LN_TAU_E + log_det


# --- AR-10 -------------------------------------------------------------------------------------------------------

AR_10 = Claim(
    "AR-10",
    "Negative entropy of the student",
    r"\mathbb E_{p_S}\ln p_S=-\tfrac T2\ln(2\pi e)-\sum_t\mathbb E_z\ln\sigma_t(z_{<t},\theta)",
    sources="001",
)


def hermite_grid(points: int) -> tuple[tg.Tensor, Array]:
    """Two standard normals: nodes (points², 2) and weights."""
    nodes, weights = gauss_hermite(points)
    grid = np.array(list(itertools.product(nodes, nodes)))
    return tg.tensor(grid), np.outer(weights, weights).ravel()


def negative_entropy(log_sigma: tg.Tensor, weights: tg.Tensor) -> tg.Tensor:
    """−(T/2) ln 2πe − E_z Σ ln σ_t, for ln σ (n, T) at noises with weights (n,)."""
    return -0.5 * log_sigma.shape[1] * LN_TAU_E - weights @ tg.sum(log_sigma, axis=1)


@AR_10.part(net=conditioners(2), most=15)
def entropy(net: Conditioner, *, formula: Any = negative_entropy) -> Iterator[Check]:
    """E ln p_S of two variables by quadrature, with densities from autodiff Jacobians; and by 2000 drawn noises."""

    def student(z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return net(z + 0.5)  # so that E ln σ is not ln σ at the mean noise

    def log_p(z: tg.Tensor) -> Array:
        _, _, log_det = tg.log_abs_det_jacobian(lambda v: to_data(student, v)[0], z)
        return host(tg.sum(Normal(0.0, 1.0).log_prob(z), axis=1) - log_det)

    nodes, weights = hermite_grid(20)
    exact, log_sigma = log_p(nodes), student(nodes)[1]
    claimed = formula(log_sigma, tg.tensor(weights))
    yield same("quadrature", claimed, weights @ exact, QUAD)
    drawn = log_p(Generator(10).spawn("AR-10").normal((2000, 2), dtype=np.float64))
    yield within("drawn", drawn.mean(), claimed, drawn.std() / math.sqrt(2000))
    reduced = host(tg.sum(log_sigma, axis=1))
    spread = weights @ exact**2 - (weights @ exact) ** 2
    yield at_least("its variance is less", spread, weights @ reduced**2 - (weights @ reduced) ** 2 + 0.5, QUAD)


@entropy.erratum(
    "E-53",
    "½ ln σ_t, as if σ_t were the variance",
    printed=r"\sum_t\Big(-\tfrac12\ln2\pi-\tfrac12\ln\sigma_t-\tfrac12\Big)",
)
def half_log_sigma(log_sigma: tg.Tensor, weights: tg.Tensor) -> tg.Tensor:
    return negative_entropy(0.5 * log_sigma, weights)


@entropy.falsification("E_z dropped: ln σ at one noise")
def at_one_noise(log_sigma: tg.Tensor, weights: tg.Tensor) -> tg.Tensor:
    return -0.5 * log_sigma.shape[1] * LN_TAU_E - tg.sum(log_sigma[0])


# --- AR-11 -------------------------------------------------------------------------------------------------------

AR_11 = Claim(
    "AR-11",
    "Cross term with the teacher",
    r"\mathbb E_{p_S}\ln p_T=\sum_t\mathbb E_z\ln p_T\big(\sigma_tz_t+\mu_t\mid x_{<t}(z)\big),\quad"
    r"\mathbb E_{z_t}[\dots]=-\tfrac12\ln2\pi-\ln\sigma_T-\tfrac{\sigma_t^2+(\mu_t-\mu_T)^2}{2\sigma_T^2}",
    sources="001",
    assumptions="Gaussian conditionals for the inner expectation",
)


def inner_expectation(
    mean: tg.Tensor, sigma: tg.Tensor, teacher_mean: tg.Tensor, teacher_sigma: tg.Tensor
) -> tg.Tensor:
    """E ln N(x; μ_T, σ_T²) for x ~ N(μ, σ²)."""
    spread = (tg.square(sigma) + tg.square(mean - teacher_mean)) / tg.square(teacher_sigma)
    return -0.5 * math.log(2.0 * math.pi) - tg.log(teacher_sigma) - 0.5 * spread


@AR_11.part(means=vectors(2, -3, 3), sigmas=vectors(2, 0.2, 3.0))
def inner(means: Array, sigmas: Array, *, closed: Any = inner_expectation) -> Iterator[Check]:
    """The inner expectation over z_t by quadrature is the closed form."""
    nodes, weights = gauss_hermite(8)
    x = sigmas[0] * nodes + means[0]
    log_p = -0.5 * ((x - means[1]) / sigmas[1]) ** 2 - math.log(sigmas[1]) - 0.5 * math.log(2.0 * math.pi)
    (m, teacher_m), (s, teacher_s) = (tuple(tg.tensor(float(v)) for v in pair) for pair in (means, sigmas))
    yield same("E ln p_T", closed(m, s, teacher_m, teacher_s), weights @ log_p, QUAD)


@inner.falsification("student's variance forgotten")
def at_the_mean(mean: tg.Tensor, sigma: tg.Tensor, teacher_mean: tg.Tensor, teacher_sigma: tg.Tensor) -> tg.Tensor:
    return inner_expectation(mean, tg.zeros_like(sigma), teacher_mean, teacher_sigma)


def generated(x: tg.Tensor, mean: tg.Tensor) -> tg.Tensor:
    """What the teacher conditions on: the generated prefix x_<t."""
    return x


@AR_11.part(student=conditioners(2), teacher=conditioners(2), most=15)
def outer(student: Conditioner, teacher: Conditioner, *, prefix: Any = generated) -> Iterator[Check]:
    """E ln p_T(x(z)) of two variables by quadrature is the sum of inner expectations given the generated prefix."""
    z, weights = hermite_grid(40)
    mean, log_sigma = student(z)
    x = tg.exp(log_sigma) * z + mean
    teacher_mean, teacher_log_sigma = teacher(prefix(x, mean))
    terms = tg.sum(inner_expectation(mean, tg.exp(log_sigma), teacher_mean, tg.exp(teacher_log_sigma)), axis=1)
    yield same("cross term", weights @ host(terms), weights @ host(log_density(teacher, x)), QUAD)


@outer.erratum(
    "E-54",
    "the teacher conditions on the prefix, not on the student's means",
    printed=r"\ln p_T\big(\sigma_t(z_{\le t})z_t+\mu_t(z_{\le t})\mid\mu_t(z_{\le t})\big)",
)
def means_as_prefix(x: tg.Tensor, mean: tg.Tensor) -> tg.Tensor:
    return mean


def linked(x: tg.Tensor) -> tg.Tensor:
    """The prefix with its record: gradients pass through it."""
    return x


def student_alone(student: Tensors, teacher: Tensors) -> Tensors:
    """The parameters that a step may change."""
    return student


@AR_11.part(student=conditioners(3), teacher=conditioners(3), noise=arrays((3, 3), -2, 2), most=15)
def gradient(
    student: Conditioner, teacher: Conditioner, noise: Array, *, prefix: Any = linked, trained: Any = student_alone
) -> Iterator[Check]:
    """Autodiff through x_t and x_<t gives central differences with the same noises; the teacher stays as it is."""
    fields = ("A", "B", "c", "d")
    parameters = [tg.tensor(getattr(student, name), requires_grad=True) for name in fields]
    fixed = [tg.tensor(getattr(teacher, name), requires_grad=True) for name in fields]
    z = tg.tensor(noise)

    def statistics(v: tg.Tensor, values: Tensors) -> tuple[tg.Tensor, tg.Tensor]:
        A, B, c, d = values
        return c + tg.sin(v) @ tg.tril(A, -1).mT, d + tg.sin(v) @ tg.tril(B, -1).mT

    x, _ = to_data(lambda v: statistics(v, parameters), z)
    mean, log_sigma = statistics(prefix(x), fixed)
    cross = tg.mean(tg.sum(log_normal(x, mean, tg.exp(log_sigma)), axis=1))
    for name, parameter, slope in zip(fields, parameters, tg.grad(cross, parameters), strict=True):
        at = getattr(student, name)
        expected = central_difference(partial(cross_by_hand, student, name, teacher, noise), at)
        yield same(f"∂{name}", slope, expected, FD)
        yield same(f"{name} is the student's", parameter, at, EXACT)
    tg.optim.SGD(trained(parameters, fixed), lr=0.1).minimize(-cross)
    for name, value in zip(fields, fixed, strict=True):
        yield same(f"teacher's {name} stays", value, getattr(teacher, name), EXACT)


def cross_by_hand(student: Conditioner, name: str, teacher: Conditioner, z: Array, value: Array) -> Array:
    """The cross term without the engine, with a value in place of what the student has under a name."""
    changed = replace(student, **{name: value})
    A, B, c, d = changed.A, changed.B, changed.c, changed.d
    x = np.exp(d + np.sin(z) @ np.tril(B, -1).T) * z + c + np.sin(z) @ np.tril(A, -1).T
    mean = teacher.c + np.sin(x) @ np.tril(teacher.A, -1).T
    log_sigma = teacher.d + np.sin(x) @ np.tril(teacher.B, -1).T
    terms = -0.5 * ((x - mean) * np.exp(-log_sigma)) ** 2 - log_sigma - 0.5 * math.log(2.0 * math.pi)
    return np.asarray(terms.sum(axis=1).mean())


@gradient.falsification("no gradient through the prefix", replaces="prefix")
def cut_prefix(x: tg.Tensor) -> tg.Tensor:
    return x.detach()


@gradient.falsification("teacher trained too", replaces="trained")
def both_trained(student: Tensors, teacher: Tensors) -> Tensors:
    return student + teacher


# --- AR-12 -------------------------------------------------------------------------------------------------------

AR_12 = Claim(
    "AR-12",
    "Monte Carlo estimate of the distillation loss",
    r"\hat{\mathcal L}=-\tfrac T2\ln2\pi e-\tfrac1n\sum_i\sum_t\ln\sigma_t(z^{(i)}_{<t})-\hat L_\theta,\qquad"
    r"\hat L_\theta=\tfrac1n\sum_i\ln p_T\big(\sigma(z^{(i)})\odot z^{(i)}+\mu(z^{(i)})\big)",
    sources="001",
)


def loss_of_each(log_sigma: tg.Tensor, log_teacher: tg.Tensor) -> tg.Tensor:
    """−(T/2) ln 2πe − Σ ln σ_t − ln p_T(x) for each noise, from ln σ (n, T) and ln p_T (n,)."""
    return -0.5 * log_sigma.shape[1] * LN_TAU_E - tg.sum(log_sigma, axis=1) - log_teacher


def losses(lesson: Lesson, z: tg.Tensor, loss: Any = loss_of_each) -> tg.Tensor:
    """The loss of each noise (n,): one pass of the student, one of the teacher."""
    x, _ = to_data(lesson.student, z)
    each: tg.Tensor = loss(lesson.student(z)[1], log_density(lesson.teacher, x))
    return each


@AR_12.part(lesson=lessons())
def unbiased(lesson: Lesson, *, loss: Any = loss_of_each) -> Iterator[Check]:
    """Its mean over sign vectors is the KL of two normal laws, and over 2000 drawn noises within 5 standard errors."""
    T = lesson.teacher.T
    mean, C = (tg.tensor(value) for value in lesson.teacher.law())
    exact = normal_kl(tg.tensor(lesson.b), tg.tensor(lesson.B @ lesson.B.T), mean, C)
    yield same("exact mean", tg.mean(losses(lesson, tg.tensor(sign_vectors(T)), loss)), exact, LIN)
    noise = Generator(12).spawn(f"AR-12 {T}").normal((2000, T), dtype=np.float64)
    drawn = host(losses(lesson, noise, loss))
    yield within("drawn mean", drawn.mean(), exact, drawn.std() / math.sqrt(2000))


@unbiased.erratum(
    "E-55",
    "without the entropy the student collapses to the teacher's mode",
    printed=r"\hat\zeta_\theta=\tfrac1n\sum_i\ln p_T\big(\sigma z^{(i)}+\mu\big)\to\max",
)
def teacher_part_only(log_sigma: tg.Tensor, log_teacher: tg.Tensor) -> tg.Tensor:
    return -log_teacher


@unbiased.falsification("entropy subtracted with the wrong sign")
def wrong_entropy(log_sigma: tg.Tensor, log_teacher: tg.Tensor) -> tg.Tensor:
    return loss_of_each(-log_sigma, log_teacher)


@AR_12.part(lesson=lessons())
def keeps_its_width(lesson: Lesson, *, loss: Any = loss_of_each) -> Iterator[Check]:
    """At the teacher's own law, autodiff finds no slope of the loss in a common scale of the student."""
    z = tg.tensor(sign_vectors(lesson.teacher.T))
    mean, C = lesson.teacher.law()
    scale = tg.tensor(1.0, requires_grad=True)
    student = Affine(scale * tg.tensor(np.linalg.cholesky(C)), tg.tensor(mean))
    x, _ = to_data(student, z)
    value = tg.mean(loss(student(z)[1], log_density(lesson.teacher, x)))
    yield same("slope", tg.grad(value, scale)[0], 0.0, LIN)


@keeps_its_width.falsification("teacher part only: shrinks")
def shrinking(log_sigma: tg.Tensor, log_teacher: tg.Tensor) -> tg.Tensor:
    return -log_teacher


def root_rate(n: int) -> float:
    """1 / √n."""
    return 1.0 / math.sqrt(n)


@AR_12.part(lesson=lessons(2), n=st.sampled_from([16, 25, 50]), most=15)
def standard_error(lesson: Lesson, n: int, *, rate: Any = root_rate) -> Iterator[Check]:
    """The means of batches of n noises scatter by 1/√n times the scatter of single ones."""
    drawn = host(losses(lesson, Generator(12).spawn("AR-12 batches").normal((8000, 2), dtype=np.float64)))
    batches = drawn.reshape(-1, n).mean(axis=1)
    claimed = drawn.std() * rate(n)
    yield within("scatter of means", batches.std(), claimed, batches.std() / math.sqrt(2.0 * len(batches)) + 1e-12)


@standard_error.falsification("1/n")
def inverse_rate(n: int) -> float:
    return 1.0 / n


# --- AR-13 -------------------------------------------------------------------------------------------------------

AR_13 = Claim(
    "AR-13",
    "Distillation scheme",
    r"z\sim N(0,I)\to x=f_\theta(z)\to\text{AR-12}\to\theta:\qquad\text{linear student of an AR(1) teacher: }"
    r"B\to\operatorname{chol}(C_T);\ \text{diagonal }B\text{ stops at }"
    r"\tfrac12\big(\textstyle\sum_t\ln\Lambda_{tt}-\ln\det\Lambda\big)",
    sources="001",
    assumptions="Λ is the inverse of C_T; σ_t > 0",
)


def minimise(lesson: Lesson, entries: Array) -> tuple[Affine, float, tuple[int, int], int]:
    """Damped Newton steps on the scheme's loss, over the entries of B listed as rows (t, s), and over b.

    Returns the student, its loss, the passes of student and teacher, and how often the loss was computed.  The loss is
    a square minus logarithms of the diagonal, for which steps divided by 1 + decrement keep σ_t > 0 and converge.
    """
    T, m = lesson.teacher.T, len(entries)
    place = np.zeros((T * T, m))
    place[entries[:, 0] * T + entries[:, 1], np.arange(m)] = 1.0
    at = tg.tensor(np.concatenate([(entries[:, 0] == entries[:, 1]).astype(np.float64), np.zeros(T)]))
    z, passes, calls = tg.tensor(sign_vectors(T)), [0, 0], 0

    def student_at(values: tg.Tensor) -> Affine:
        return Affine(tg.reshape(tg.tensor(place) @ values[:m], (T, T)), values[m:])

    def loss(values: tg.Tensor) -> tg.Tensor:
        nonlocal calls
        calls += 1
        student, teacher = Counted(student_at(values)), Counted(lesson.teacher)
        mean, log_sigma = student(z)
        value = tg.mean(loss_of_each(log_sigma, log_density(teacher, tg.exp(log_sigma) * z + mean)))
        passes[0] += student.passes
        passes[1] += teacher.passes
        return value

    for _ in range(100):
        slope, curvature = host(tg.jacobian(loss, at)), host(tg.hessian(loss, at))
        step = np.linalg.solve(curvature, slope)
        decrement = math.sqrt(max(float(slope @ step), 0.0))
        at = at - tg.tensor(step / (1.0 + decrement if decrement > 0.2 else 1.0))
        if decrement < 1e-10:
            break
    return student_at(at), float(loss(at)), (passes[0], passes[1]), calls


def cholesky_factor(mean: tg.Tensor, C: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """B = chol(C_T), b = μ_T."""
    return tg.linalg.cholesky(C), mean


@AR_13.part(lesson=lessons(sizes(1, 3)), most=6)
def distilled(lesson: Lesson, *, limit: Any = cholesky_factor) -> Iterator[Check]:
    """Newton steps on the scheme's loss by autodiff end at chol(C_T), μ_T and KL 0, with one pass of each a loss."""
    rows = np.array([(t, s) for t in range(lesson.teacher.T) for s in range(t + 1)])
    student, kl, passes, calls = minimise(lesson, rows)
    B, b = limit(*(tg.tensor(value) for value in lesson.teacher.law()))
    yield same("KL", kl, 0.0, LIN)
    yield same("B", student.B, B, OPT)
    yield same("b", student.b, b, OPT)
    yield same("passes of student and teacher", np.array(passes), np.array([calls, calls]), EXACT)


@distilled.falsification("symmetric root of the covariance")
def symmetric_root(mean: tg.Tensor, C: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    values, axes = np.linalg.eigh(host(C))
    return tg.tensor(axes * np.sqrt(values) @ axes.T), mean


@AR_13.part(lesson=lessons(sizes(2, 4)), most=6)
def diagonal_student(lesson: Lesson, *, rest: Any = best_diagonal_kl) -> Iterator[Check]:
    """A student without links between variables stops at the claimed KL: .598 for T = 4, a = .7."""
    T = lesson.teacher.T
    _, kl, _, _ = minimise(lesson, np.stack([np.arange(T), np.arange(T)], axis=1))
    yield same("KL left", kl, rest(lesson.teacher.law()[1]), LIN)
    quoted = rest(Markov(0.7, 0.0, 1.0, 4).law()[1])
    yield same("quoted example", quoted, 0.598, 5e-4)  # three digits are quoted


@diagonal_student.falsification("of the covariance, which the reverse KL does not match")
def of_covariance(C: Array) -> float:
    return float(0.5 * (np.log(np.diag(C)).sum() - np.linalg.slogdet(C)[1]))
