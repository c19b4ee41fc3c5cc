"""Distillation: what the student is, three estimates of one divergence, and the step that descends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import SineProcess, ar1
from tinygen.distributions import MultivariateNormal, kl_divergence
from tinygen.flows import CausalNetwork, Flow, InverseAutoregressive, MaskedAutoregressive, MaskedPerceptron
from tinygen.lectures.numerics import gauss_hermite, sign_vectors
from tinygen.models.autoregressive import GaussianAutoregressive
from tinygen.models.distillation import (
    DiagonalStudent,
    Estimator,
    FlowStudent,
    State,
    Student,
    all_sampled,
    best_diagonal_kl,
    closed_entropy,
    closed_steps,
    divergences,
    evaluate,
    step,
)
from tinygen.random import Generator
from tinygen.states import restore, snapshot

LENGTH = 5
ESTIMATORS: list[Estimator] = [all_sampled, closed_entropy, closed_steps]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def with_noise(module: Any, seed: int = 0, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(seed)
    for parameter in module.astype(dtype).parameters():
        moved = parameter.numpy() + 0.3 * rng.normal(size=parameter.shape)
        parameter.assign(tg.tensor(np.asarray(moved, dtype)))
    return module


def masked(seed: int = 0, layers: int = 1, length: int = LENGTH) -> FlowStudent:
    rng = Generator(seed)
    networks = [MaskedPerceptron(length, (6,), nn.Tanh, rng=rng) for _ in range(layers)]
    return FlowStudent(InverseAutoregressive(length, network=network, bound=1.0) for network in networks)


def causal(seed: int = 0, layers: int = 2) -> FlowStudent:
    networks = [CausalNetwork(4, (1, 2), taps=3, marked=True, rng=Generator(seed + n)) for n in range(layers)]
    return FlowStudent(InverseAutoregressive(LENGTH, network=network, bound=1.0) for network in networks)


STUDENTS: dict[str, Callable[[], Student]] = {
    "masked": masked,
    "two masked layers": lambda: masked(layers=2),
    "two causal layers": causal,
    "diagonal": lambda: DiagonalStudent(LENGTH),
}
every_student = pytest.mark.parametrize("name", STUDENTS)


def trained_teacher(dtype: Any = np.float64) -> GaussianAutoregressive:
    network = CausalNetwork(3, (1, 2), taps=2, marked=True, rng=Generator(9))
    return with_noise(GaussianAutoregressive(network, bound=1.0), 9, dtype)


@every_student
def test_students_are_triangular_flows_whose_statistics_are_those_of_the_whole(name: str, device: str) -> None:
    """AR-5, AR-7: x = σ ⊙ z + μ with μ_t, σ_t of z_<t alone, and log|det ∂x/∂z| = Σ ln σ_t."""
    student, z = with_noise(STUDENTS[name]()), Generator(1).normal((3, LENGTH), dtype=np.float64)
    drawn = student(z)
    expected = np.exp(drawn.log_sd.numpy()) * z.numpy() + drawn.mean.numpy()
    np.testing.assert_allclose(drawn.x.numpy(), expected, rtol=1e-12, atol=1e-12)
    _, _, log_det = tg.log_abs_det_jacobian(lambda v: student(v).x, z)
    np.testing.assert_allclose(drawn.log_sd.numpy().sum(axis=1), log_det.numpy(), rtol=1e-10)
    for part in ("mean", "log_sd"):
        slopes = tg.jacobian(lambda v, part=part: getattr(student(v[None]), part)[0], z[0]).numpy()
        np.testing.assert_array_equal(np.triu(slopes), 0.0)  # exactly
        assert (np.diag(slopes, -1) != 0.0).all() == (name != "diagonal")
    np.testing.assert_allclose(student.generate(z).numpy(), drawn.x.numpy(), rtol=1e-12, atol=1e-12)


def test_the_density_of_a_student_is_its_flows(device: str) -> None:
    student = with_noise(masked(layers=2))
    z = Generator(1).normal((3, LENGTH), dtype=np.float64)
    drawn = student(z)
    log_p = tg.sum(drawn.conditional().log_prob(drawn.x), axis=1)
    expected = Flow(list(student.layers)).log_prob(drawn.x)  # found by inverting it
    np.testing.assert_allclose(log_p.numpy(), expected.numpy(), rtol=1e-9)


def test_a_causal_student_draws_any_length_at_once(device: str) -> None:
    student = with_noise(causal(), dtype=np.float32)
    z = Generator(1).normal((2, 40))
    with no_sync():
        x, same = student.generate(z), student.sample(Generator(1), 2, 40)
    np.testing.assert_array_equal(x.numpy(), same.numpy())
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.numpy(), student(z).x.numpy(), rtol=1e-4, atol=1e-4)  # float32, sums in another order
    assert student.generate(z[:, :1]).shape == (2, 1)


@every_student
def test_noise_must_be_a_batch_of_series_of_the_students_kind(name: str, device: str) -> None:
    student = with_noise(STUDENTS[name](), dtype=np.float32)
    for dtype in (np.float64, np.int64):
        with pytest.raises(TypeError, match=rf"noise must be float32 on .*, got {np.dtype(dtype)}.*use \.astype"):
            student.generate(tg.ones((2, LENGTH), dtype=dtype))
    for shape in ((LENGTH,), (2, LENGTH, 1), (3, 0)):
        with pytest.raises(ValueError, match=r"noise must have shape \(N, T\) with T > 0"):
            student.generate(tg.ones(shape))
    assert student.generate(tg.ones((0, LENGTH))).shape == (0, LENGTH)


def test_a_student_refuses_layers_that_it_cannot_compose(device: str) -> None:
    for layers, found in (([], "none"), ([MaskedAutoregressive(3, rng=Generator(0))], "MaskedAutoregressive")):
        with pytest.raises(TypeError, match=f"FlowStudent: needs one or more flows.InverseAutoregressive, got {found}"):
            FlowStudent(layers)


def linear_student(B: np.ndarray, b: np.ndarray) -> FlowStudent:
    """x = B z + b with lower triangular B, by the linear part of a masked network."""
    T = len(b)
    student = masked(length=T).astype(np.float64)
    (layer,) = student.layers
    layer.network.skip.weight.assign(tg.tensor(np.concatenate([B, np.zeros((T, T))])))
    layer.bound.assign(tg.tensor(np.array(10.0)))
    layer.network.last.bias.assign(tg.tensor(np.concatenate([b, np.arctanh(np.log(np.diag(B)) / 10.0)])))
    return student


@every_estimator
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_each_estimator_has_the_divergence_of_the_normal_laws_as_its_mean(
    estimator: Estimator, seed: int, device: str
) -> None:
    """AR-9: sign vectors z have the moments of N(0, I) that a linear student and the AR(1) teacher ask for."""
    rng, T, teacher = np.random.default_rng(seed), 4, ar1(0.7, 0.6)
    B = np.tril(0.5 * rng.normal(size=(T, T)), -1) + np.diag(rng.uniform(0.3, 2.0, T))
    b = rng.normal(size=T)
    student = linear_student(B, b)
    found = tg.mean(estimator(student(tg.tensor(sign_vectors(T))), teacher))
    laws = [(b, B @ B.T), (np.zeros(T), teacher.covariance(T))]
    expected = kl_divergence(*(MultivariateNormal(tg.tensor(mean), tg.tensor(C)) for mean, C in laws))
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)


@every_estimator
def test_each_estimator_is_zero_at_the_teachers_law(estimator: Estimator, device: str) -> None:
    """B = chol(C): then ln p_S − ln p_T is 0 for every x, and so are the steps; the closed entropy is so on average."""
    teacher = ar1(0.9, 0.5)
    student = linear_student(np.linalg.cholesky(teacher.covariance(6)), np.zeros(6))
    z = Generator(0).normal((50, 6), dtype=np.float64)
    noise = 0.5 * (z.numpy() ** 2 - 1.0).sum(axis=1) if estimator is closed_entropy else 0.0
    np.testing.assert_allclose(estimator(student(z), teacher).numpy(), noise, atol=1e-10)


def test_closed_steps_are_the_expectation_over_the_last_noise(device: str) -> None:
    """AR-11, by quadrature, with a teacher and a student whose scales vary."""
    student, teacher = with_noise(masked()), trained_teacher()
    nodes, weights = gauss_hermite(8)
    z = np.tile(np.random.default_rng(0).normal(size=LENGTH), (len(nodes), 1))
    z[:, -1] = nodes
    drawn = student(tg.tensor(z))
    closed, sampled = (estimator(drawn, teacher).numpy() for estimator in (closed_steps, closed_entropy))

    def last(rows: np.ndarray) -> float:
        """The part of the last step: what is left without the steps before, which are the same in all rows."""
        before = student(tg.tensor(z))
        cut = type(before)(*(part[:, :-1] for part in (before.x, before.mean, before.log_sd)))
        estimator = closed_steps if rows is closed else closed_entropy
        return float(weights @ (rows - estimator(cut, teacher).numpy()))

    assert last(closed) == pytest.approx(last(sampled), rel=1e-10)


def test_a_closed_entropy_changes_the_value_but_not_the_gradient(device: str) -> None:
    """The two sampled estimates differ by ½ Σ (z² − 1), in which there is no parameter (AR-10)."""
    student, teacher = with_noise(causal()), trained_teacher()
    z = Generator(3).normal((7, LENGTH), dtype=np.float64)
    first, second = (estimator(student(z), teacher) for estimator in (all_sampled, closed_entropy))
    expected = 0.5 * (z.numpy() ** 2 - 1.0).sum(axis=1)
    np.testing.assert_allclose((second - first).numpy(), expected, rtol=1e-9, atol=1e-9)
    parameters = student.parameters()
    for one, other in zip(tg.grad(tg.mean(first), parameters), tg.grad(tg.mean(second), parameters), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.host
def test_the_best_diagonal_student() -> None:
    """AR-13: .598 for T = 4, a = .7 and x_0 = 0; 4.984 for the stationary teacher; no slope at D = 1 / diag Λ."""
    steps = np.linalg.inv(np.eye(4) - 0.7 * np.eye(4, k=-1))
    assert best_diagonal_kl(steps @ steps.T) == pytest.approx(0.598, abs=5e-4)
    covariance = ar1().covariance(16)
    assert best_diagonal_kl(covariance) == pytest.approx(4.984, abs=5e-4)
    student = DiagonalStudent(16).astype(np.float64)
    student.log_sd.assign(tg.tensor(-0.5 * np.log(np.diag(np.linalg.inv(covariance)))))
    z = tg.tensor(np.concatenate([np.eye(16), -np.eye(16)]) * 4.0)  # rows of second moment I
    kl = tg.mean(closed_entropy(student(z), ar1()))
    assert kl.item() == pytest.approx(best_diagonal_kl(covariance), rel=1e-9)
    for slope in tg.grad(kl, student.parameters()):
        np.testing.assert_allclose(slope.numpy(), 0.0, atol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[-1.0]], [[np.nan]],
        [1.0, 2.0], [[1.0, 0.0]], np.zeros((0, 0)),
    ],
)  # fmt: skip
def test_no_covariance_has_no_best_student(matrix: Any) -> None:
    with pytest.raises(ValueError, match="best_diagonal_kl: needs a symmetric, positive definite matrix"):
        best_diagonal_kl(np.array(matrix))


def test_the_step_follows_the_gradient_through_the_frozen_teacher(device: str) -> None:
    """AR-12, AR-13 written out, entropy and cross term; x carries the gradient into the teacher's conditions too."""
    student, teacher = with_noise(masked()), trained_teacher()
    parameters = student.parameters()
    start = [parameter.numpy().copy() for parameter in parameters]
    before = teacher.state_dict()
    z = Generator(5).normal((6, LENGTH), dtype=np.float64)
    mean, log_sd = student.layers[0].shift_and_log_scale(z)
    x = tg.exp(log_sd) * z + mean
    teacher_mean, teacher_sd = teacher.conditional(x)
    log_teacher = -0.5 * tg.square((x - teacher_mean) / teacher_sd) - tg.log(teacher_sd) - 0.5 * np.log(2 * np.pi)
    loss = tg.mean(tg.sum(-0.5 * np.log(2 * np.pi * np.e) - log_sd - log_teacher, axis=1))
    slopes = [slope.numpy() for slope in tg.grad(loss, parameters)]
    state = State(student, teacher, optim.SGD(parameters, lr=1.0), Generator(5), (6, LENGTH), closed_entropy)
    found = step(state)["KL"]
    assert found.item() == pytest.approx(loss.item(), rel=1e-12)
    for parameter, old, slope in zip(parameters, start, slopes, strict=True):
        np.testing.assert_allclose(parameter.numpy(), old - slope, rtol=1e-8, atol=1e-10)
    kl = tg.mean(divergences(student, teacher, Generator(5), (6, LENGTH), closed_entropy))
    assert tg.grad(kl, teacher.parameters(), allow_unused=True) == (None,) * len(teacher.parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in teacher.parameters())
    for key, array in teacher.state_dict().items():
        np.testing.assert_array_equal(tg.tensor(array).numpy(), tg.tensor(before[key]).numpy())


@every_estimator
@pytest.mark.parametrize("known", [True, False], ids=["known teacher", "trained teacher"])
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(estimator: Estimator, known: bool, device: str) -> None:
    student = with_noise(causal(), dtype=np.float32)
    teacher = SineProcess() if known else trained_teacher(np.float32)
    state = State(student, teacher, optim.Adam(student.parameters()), Generator(2), (4, LENGTH), estimator)
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)["KL"]
    after = student.state_dict()
    assert {array.dtype for array in after.values()} == {np.dtype(np.float32)}
    restore(state, saved)
    assert step(state)["KL"].item() == first.item()
    for key, array in student.state_dict().items():
        np.testing.assert_array_equal(tg.tensor(array).numpy(), tg.tensor(after[key]).numpy())
    twin = with_noise(causal(), 1, np.float32)
    twin.load_state_dict(after)
    z = Generator(4).normal((2, LENGTH))
    np.testing.assert_array_equal(twin(z).x.numpy(), student(z).x.numpy())


def test_evaluation_is_the_mean_of_closed_steps(device: str) -> None:
    student, teacher = with_noise(causal()), trained_teacher()
    found = evaluate(student, teacher, Generator(0), (20, LENGTH))
    expected = divergences(student, teacher, Generator(0), (20, LENGTH), closed_steps).numpy().mean()
    assert found == pytest.approx(expected, rel=1e-12)
    assert found >= 0.0


def test_evaluation_is_in_evaluation_mode(device: str) -> None:
    """Where dropout would draw; afterwards all is as before."""
    network = nn.Sequential(nn.Dropout(0.5, rng=Generator(1)), MaskedPerceptron(LENGTH, (6,), rng=Generator(2)))
    student, teacher = with_noise(masked()), with_noise(GaussianAutoregressive(network))
    found = evaluate(student, teacher, Generator(0), (20, LENGTH))
    assert all(part.training for model in (student, teacher) for part in model.modules())
    assert found == evaluate(student, teacher, Generator(0), (20, LENGTH))
