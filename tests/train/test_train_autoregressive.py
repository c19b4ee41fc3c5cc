"""Training tier: autoregressive teachers and their students reach their gates (``pytest -m train``)."""

from __future__ import annotations

import pytest

from tinygen import nn, optim, training
from tinygen.data import Series, SineProcess, ar1, resonator
from tinygen.flows import CausalNetwork, InverseAutoregressive, MaskedPerceptron
from tinygen.models import autoregressive, distillation
from tinygen.models.autoregressive import GaussianAutoregressive, excess
from tinygen.models.distillation import DiagonalStudent, FlowStudent, Student, best_diagonal_kl, evaluate
from tinygen.random import Generator

pytestmark = [pytest.mark.train, pytest.mark.host]

LENGTH = 16


def learned_excess(
    process: Series, network: nn.Module, rng: Generator, size: tuple[int, int], rate: float, steps: int
) -> float:
    """NLL of a value above the true process's, on 200,000 values that were put aside."""
    model = GaussianAutoregressive(network)
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(rate, steps))
    state = autoregressive.State(model, optimizer, process, rng.spawn("data"), size)
    training.run(state, autoregressive.step, steps, progress=False)
    return excess(model, process, process.sample(rng.spawn("held-out"), 200_000 // size[1], size[1]))


def masked_excess(seed: int) -> float:
    rng = Generator(seed)
    network = MaskedPerceptron(LENGTH, (64, 64), nn.Tanh, rng=rng.spawn("parameters"))
    return learned_excess(resonator(), network, rng, (256, LENGTH), 1e-2, 3500)


def causal_excess(seed: int) -> float:
    rng = Generator(seed)
    network = CausalNetwork(12, (1, 2), taps=4, marked=True, rng=rng.spawn("parameters"))
    return learned_excess(SineProcess(), network, rng, (32, 24), 1e-2, 500)


def distilled_kl(teacher: Series, student: Student, rng: Generator, batch: int, rate: float, steps: int) -> float:
    """KL(student ‖ teacher) in nats per series of 16, after that many steps."""
    optimizer = optim.Adam(student.parameters(), lr=optim.cosine(rate, steps))
    state = distillation.State(student, teacher, optimizer, rng.spawn("noise"), (batch, LENGTH))
    training.run(state, distillation.step, steps, progress=False)
    return evaluate(student, teacher, rng.spawn("evaluate"), (20_000, LENGTH))


def linear_teacher(seed: int) -> float:
    rng = Generator(seed)
    network = MaskedPerceptron(LENGTH, (64, 64), nn.Tanh, rng=rng.spawn("parameters"))
    student = FlowStudent([InverseAutoregressive(LENGTH, network=network)])
    return distilled_kl(ar1(), student, rng, 256, 5e-3, 1000)


def nonlinear_teacher(seed: int) -> float:
    """The divergence over that of the best diagonal student."""
    rng = Generator(seed)
    network = CausalNetwork(8, (1, 2), taps=4, marked=True, rng=rng.spawn("parameters"))
    student = FlowStudent([InverseAutoregressive(LENGTH, network=network)])
    found = distilled_kl(SineProcess(), student, rng, 64, 1e-2, 500)
    return found / distilled_kl(SineProcess(), DiagonalStudent(LENGTH), rng.spawn("diagonal"), 256, 2e-2, 500)


def test_a_masked_perceptron_learns_the_resonator() -> None:
    """Over seeds 0 … 5 the excess was .0047 … .0065 nats a value; the bound is the issue's.

    Below 0 by more than the standard error of .0003, it would see what it predicts.
    """
    assert -0.001 < masked_excess(0) < 0.01


def test_causal_convolutions_learn_a_nonlinear_series() -> None:
    """Over seeds 0 … 5 the excess was .0018 … .0069 nats a value."""
    assert -0.001 < causal_excess(0) < 0.01


def test_a_student_learns_the_linear_teacher() -> None:
    """Over seeds 0 … 5 the divergence was .0062 … .0076 nats; the best diagonal student has 4.984."""
    assert best_diagonal_kl(ar1().covariance(LENGTH)) > 4.98
    assert -0.001 < linear_teacher(0) < 0.05


def test_a_causal_student_learns_the_nonlinear_teacher() -> None:
    """Over seeds 0 … 5 the ratio was .47 … .50, with .27 of it for the mode that the student leaves out."""
    assert 0.0 < nonlinear_teacher(0) < 0.75
