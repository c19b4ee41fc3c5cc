"""Distillation of an autoregressive teacher (AR-5 … AR-13): a flow that draws a series at once learns its law.

    x_t = σ_t(z_<t) z_t + μ_t(z_<t),  z ~ N(0, I)                                (AR-5: inverse autoregressive flow)
    KL(p_S ‖ p_T) = E_{p_S} ln p_S − E_{p_S} ln p_T → min                        (AR-9)

The teacher scores a whole series in one pass and needs T steps to draw one; the student draws it in one pass.  So the
student draws, the teacher scores, and the gradient comes back through the series: into x_t and into the x_<t that the
teacher conditions on.  Nobody needs data: the teacher's law is all there is to learn.

Source: Kingma et al. 2016 (IAF); van den Oord et al. 2018, Parallel WaveNet; Ping et al. 2019, ClariNet, for the closed
inner expectation.  Departure: several layers in the same order of time, so that μ_t and σ_t of the whole are known.
Shapes: noise and series (N, T); divergences in nats per series.  The claims AR-5 … AR-13 of ``tinygen.lectures``
compare the same formulas with quadrature, and their gradients with finite differences; of the code itself they check
the layers (AR-5) and ``best_diagonal_kl`` (AR-13).  The rest of this file is tested in
``tests/models/test_distillation.py``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.backend import namespace
from tinygen.data import Series
from tinygen.distributions import Normal, kl_divergence
from tinygen.flows import CausalNetwork, InverseAutoregressive
from tinygen.flows.streaming import NetworkStream, noise_for
from tinygen.random import Generator
from tinygen.tensor import Tensor, raw

# --- students ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """Series x (N, T) that a student made of noise, and the μ_t and ln σ_t of x_t given z_<t, all (N, T)."""

    x: Tensor
    mean: Tensor
    log_sd: Tensor

    def conditional(self) -> Normal:
        """The law of each x_t given z_<t, and so given x_<t."""
        return Normal(self.mean, tg.exp(self.log_sd))


class Student(nn.Module):
    """A network from noise z (N, T) to :class:`Drawn`."""

    def sample(self, rng: Generator, n: int, length: int) -> Tensor:
        """``n`` series (n, length), all values at once."""
        like = self.parameters()[0]
        return self.generate(rng.normal((n, length), dtype=like.dtype, device=like.device))

    @tg.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """The series of given noise (N, T) of the student's dtype, without what only training needs."""
        drawn: Drawn = self(noise_for(self, z))
        return drawn.x


class FlowStudent(Student):
    """Inverse autoregressive layers, one after the other, all in the order of time (AR-5).

    A layer maps a value of its input to a multiple of it plus a shift, both given by what came before; so the whole
    does, and x_t given z_<t is N(μ_t, σ_t²) with the composed shifts and scales.  With causal networks the series may
    have any length, whatever the ``dim`` of the layers.
    """

    def __init__(self, layers: Iterable[InverseAutoregressive]) -> None:
        self.layers = nn.ModuleList(layers)
        if not len(self.layers) or len(self._flows()) < len(self.layers):
            kinds = ", ".join(type(layer).__name__ for layer in self.layers)
            raise TypeError(f"FlowStudent: needs one or more flows.InverseAutoregressive, got {kinds or 'none'}")

    def forward(self, z: Tensor) -> Drawn:
        x, mean, log_sd = z, tg.zeros_like(z), tg.zeros_like(z)
        for layer in self._flows():
            shift, log_scale = layer.shift_and_log_scale(x)
            scale = tg.exp(log_scale)
            x, mean, log_sd = scale * x + shift, scale * mean + shift, log_sd + log_scale
        return Drawn(x, mean, log_sd)

    @tg.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        z = noise_for(self, z)
        x = raw(z).T
        for layer in self._flows():
            if not isinstance(layer.network, CausalNetwork):
                return super().generate(z)
            stream, xp = NetworkStream(layer.network, len(z)), namespace(x)  # fed all values in one piece
            output = xp.concatenate([stream.first, stream(x[:-1])])
            x = xp.exp(raw(layer.bound) * xp.tanh(output[:, :, 1])) * x + output[:, :, 0]
        return tg.tensor(x.T)

    def _flows(self) -> list[InverseAutoregressive]:
        return [layer for layer in self.layers if isinstance(layer, InverseAutoregressive)]


class DiagonalStudent(Student):
    """Independent values N(μ_t, σ_t²): what can be learned without looking at z_<t."""

    def __init__(self, length: int) -> None:
        self.mean, self.log_sd = nn.Parameter(tg.zeros(length)), nn.Parameter(tg.zeros(length))

    def forward(self, z: Tensor) -> Drawn:
        mean, log_sd = (tg.broadcast_to(row, z.shape) for row in (self.mean, self.log_sd))
        return Drawn(mean + tg.exp(log_sd) * z, mean, log_sd)


def best_diagonal_kl(covariance: np.ndarray) -> float:
    """min KL(N(m, D) ‖ N(m, C)) over diagonal D: ½ (Σ ln Λ_tt − ln det Λ) with Λ = C⁻¹, at D = 1 / diag Λ (AR-13).

    Raises ValueError unless C is symmetric, up to rounding, and positive definite.
    """
    C = np.asarray(covariance)
    square = C.ndim == 2 and C.shape[0] == C.shape[1] > 0 and np.isfinite(C).all()
    if not square or abs(C - C.T).max() > 1e-6 * abs(C).max() or np.linalg.eigvalsh(C).min() <= 0.0:
        raise ValueError(f"best_diagonal_kl: needs a symmetric, positive definite matrix, got {C.shape} {C!s:.80}")
    precision = np.linalg.inv(C)
    return float(0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]))


# --- three estimates of KL(p_S ‖ p_T) ----------------------------------------------------------------------------

Estimator = Callable[[Drawn, Series], Tensor]
"""From what the student drew, and the teacher, to a number for each series (N,) whose mean is KL(p_S ‖ p_T)."""


def all_sampled(drawn: Drawn, teacher: Series) -> Tensor:
    """ln p_S(x) − ln p_T(x) of what was drawn (AR-9).  Where the two laws agree it is 0 for every x."""
    return tg.sum(drawn.conditional().log_prob(drawn.x), axis=1) - teacher.log_prob(drawn.x)


def closed_entropy(drawn: Drawn, teacher: Series) -> Tensor:
    """−T/2 ln 2πe − Σ ln σ_t − ln p_T(x): the student's entropy in closed form (AR-10, AR-12).

    It differs from ``all_sampled`` by ½ Σ (z_t² − 1), in which there is no parameter: the gradients are the same.
    """
    half_log_2πe = 0.5 * math.log(2.0 * math.pi * math.e)
    return -half_log_2πe * drawn.x.shape[1] - tg.sum(drawn.log_sd, axis=1) - teacher.log_prob(drawn.x)


def closed_steps(drawn: Drawn, teacher: Series) -> Tensor:
    """Σ_t KL(N(μ_t, σ_t²) ‖ N(μ_T, σ_T²)), the teacher's given x_<t: E over z_t in closed form (AR-11)."""
    return tg.sum(kl_divergence(drawn.conditional(), Normal(*teacher.conditional(drawn.x))), axis=1)


# --- the training ------------------------------------------------------------------------------------------------


@dataclass
class State:
    """All that a training step reads and changes; ``size`` is how many series the student draws, and their length."""

    student: Student
    teacher: Series
    optimizer: optim.Optimizer
    rng: Generator
    size: tuple[int, int]
    estimator: Estimator = closed_steps


def step(state: State) -> Mapping[str, Tensor]:
    """Draw with the student, score with the teacher, go down the divergence (AR-13)."""
    kl = tg.mean(divergences(state.student, state.teacher, state.rng, state.size, state.estimator))
    state.optimizer.minimize(kl)
    return {"KL": kl}


def divergences(
    student: Student, teacher: Series, rng: Generator, size: tuple[int, int], estimator: Estimator
) -> Tensor:
    """The estimate for each of ``size[0]`` series of length ``size[1]``; the teacher is a function that stays."""
    like = student.parameters()[0]
    drawn = student(rng.normal(size, dtype=like.dtype, device=like.device))
    with nn.frozen(teacher) if isinstance(teacher, nn.Module) else contextlib.nullcontext():
        return estimator(drawn, teacher)


@tg.no_grad()
def evaluate(student: Student, teacher: Series, rng: Generator, size: tuple[int, int]) -> float:
    """KL(p_S ‖ p_T) in nats per series, from ``size[0]`` series of length ``size[1]``; networks in evaluation mode."""
    with nn.evaluating(student, *([teacher] if isinstance(teacher, nn.Module) else [])):
        return float(tg.mean(divergences(student, teacher, rng, size, closed_steps)))
