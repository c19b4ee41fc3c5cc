"""Training normalising flows: from samples of a density, or from its energy (FLOW-1 … FLOW-6).

A flow q has a density that can be computed and samples that can be drawn, so both divergences can be descended:

    KL(p ‖ q) = −H(p) − E_p log q(x)               from samples of p, which go through ``to_latent``      (FLOW-6)
    KL(q ‖ p) = E_q[log q(x) + U(x)] + log Z       from p = exp(−U) / Z, samples of q through ``to_data``  (PROB-7)

The first, maximum likelihood, covers all that the data cover.  The second seeks modes, and may stay in one of them;
against that, ``EnergyState.weight`` lets the energy come in slowly (Rezende & Mohamed 2015, section 6.1).

The flows themselves are in ``tinygen.flows``.  Shapes: points (N, dim).  Everything is in nats per point.

Of ``tinygen.lectures``, FLOW-6 compares the gradient of the same likelihood, of a flow of its own, with finite
differences through the inverse, and FLOW-13, FLOW-18, AR-5 and AR-8 check layers of ``tinygen.flows``.  The steps here
are compared with finite differences in ``tests/models/test_flow.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import tinygen as tg
from tinygen import optim
from tinygen.data import Source
from tinygen.flows import Flow
from tinygen.metrics import Estimate
from tinygen.nn import evaluating
from tinygen.random import Generator
from tinygen.tensor import Tensor

# --- maximum likelihood ------------------------------------------------------------------------------------------


@dataclass
class State:
    """All that a step of maximum likelihood reads and changes.

    ``data`` gives batches (x,) with rows (N, dim); (x, context) for a conditional flow.  The gradient is held to
    ``max_norm``: where layers multiply their scales, a single point can have a gradient a hundred times the usual one,
    and undo in one step what a thousand have learned.
    """

    flow: Flow
    optimizer: optim.Optimizer
    data: Source
    max_norm: float | None = None


def step(state: State) -> Mapping[str, Tensor]:
    """One step up L = mean (log p₀(z₀) − Σ_k log|det ∂f_k/∂z_{k−1}|), where z₀ is x run backwards (FLOW-6)."""
    loss = -tg.mean(state.flow.log_prob(*state.data.next()))
    state.optimizer.minimize(loss, max_norm=state.max_norm)
    return {"NLL": loss}


# --- variational inference ---------------------------------------------------------------------------------------


def full_weight(step: int) -> float:
    """The energy as it is, from the first step on."""
    return 1.0


def annealed(steps: int, start: float = 0.01) -> Callable[[int], float]:
    """A weight of the energy that rises along a line from ``start`` to 1 in ``steps`` steps, and stays there."""
    return optim.linear(start, 1.0, steps)


@dataclass
class EnergyState:
    """All that a step towards p ∝ exp(−U) reads and changes.

    ``energy`` is U and takes points (N, dim) to (N,), with N = ``batch``.  ``weight`` gives its factor w after a
    number of steps: with a small w the flow stays as wide as p^w is, and finds all the modes before they are steep.
    """

    flow: Flow
    optimizer: optim.Optimizer
    energy: Callable[[Tensor], Tensor]
    rng: Generator
    batch: int = 256
    weight: Callable[[int], float] = full_weight


def energy_step(state: EnergyState) -> Mapping[str, Tensor]:
    """One step down E_q[log q(x) + w U(x)] over points that the flow makes itself (PROB-7).

    The metric is the free energy E_q[log q + U] = KL(q ‖ p) − log Z, without the weight.
    """
    x, log_q = state.flow.rsample_and_log_prob(state.rng, state.batch)
    negative_entropy, energy = tg.mean(log_q), tg.mean(state.energy(x))
    state.optimizer.minimize(negative_entropy + state.weight(state.optimizer.steps) * energy)
    return {"free energy": negative_entropy + energy}


# --- how far from the truth --------------------------------------------------------------------------------------


class Known(Protocol):
    """A density that is known exactly: of ``tg.data.density``, or of ``tg.data.energy``."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p (N,) in nats at points x (N, dim)."""


@tg.no_grad()
def forward_kl(p: Known, flow: Flow, x: Tensor) -> Estimate:
    """KL(p ‖ q) = E_p[log p(x) − log q(x)] as a mean over samples x of p: what maximum likelihood leaves.

    Both terms at the same x: what is common to their fluctuations cancels, so this is far more precise than the
    mean NLL minus the entropy of p.  The flow is judged in evaluation mode, for only there it is a density.
    """
    with evaluating(flow):
        return _mean(p.log_prob(x), flow.log_prob(x))


@tg.no_grad()
def reverse_kl(flow: Flow, p: Known, rng: Generator, count: int) -> Estimate:
    """KL(q ‖ p) = E_q[log q(x) − log p(x)] as a mean over ``count`` samples of the flow, in evaluation mode."""
    with evaluating(flow):
        x, log_q = flow.rsample_and_log_prob(rng, count)
    return _mean(log_q, p.log_prob(x))


def _mean(log_first: Tensor, log_second: Tensor) -> Estimate:
    """Of their difference; densities of other shapes than (N,) would be broadcast."""
    if log_first.ndim != 1 or log_first.shape != log_second.shape:
        raise ValueError(f"log_prob must be one number a point (N,), got {log_first.shape} and {log_second.shape}")
    terms = log_first - log_second
    deviation = float(tg.std(terms, correction=1))
    return Estimate(float(tg.mean(terms)), deviation / math.sqrt(terms.shape[0]))
