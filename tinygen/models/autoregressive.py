"""Gaussian autoregressive models (AR-1 … AR-3, AR-8): series whose next value is normal, given those before it.

    p(x) = Π_t p(x_t | x_<t),   x_t | x_<t ~ N(μ_t(x_<t), σ_t²(x_<t))            (AR-1, AR-2)

One network gives μ and σ of all t in one pass, if output t sees what came before t and nothing else: a masked
perceptron (MADE, Germain et al. 2015), with weights of its own for each t, or gated causal convolutions (WaveNet, van
den Oord et al. 2016), with the same weights for all.  The density is fast, drawing is slow: x_t must be known before
x_{t+1} (AR-3).  Seen as a map from noise, x_t = μ_t + σ_t ε_t, the model is a flow (AR-8): ``flows.
MaskedAutoregressive`` with other names for its parameters.

Departure: σ = exp(c tanh(·)) with a learned c, which can neither collapse nor explode.  Values are (N, T), likelihoods
in nats per series.  The claims AR-1 … AR-3 and AR-8 of ``tinygen.lectures`` check the same formulas on networks of
their own, AR-8 with the layer of ``tinygen.flows`` too; this file is tested in ``tests/models/test_autoregressive.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tinygen as tg
from tinygen import nn, optim
from tinygen.backend import namespace
from tinygen.data import Series
from tinygen.flows import CausalNetwork
from tinygen.flows.networks import shift_and_raw_log_scale
from tinygen.flows.streaming import NetworkStream, noise_for
from tinygen.random import Generator
from tinygen.tensor import Tensor, raw


class GaussianAutoregressive(nn.Module, Series):
    """A series whose conditional densities a network computes: it stands wherever a process of known law can stand.

    ``network`` maps series (N, T) to means, then raw log-scales r, together (N, 2 T); log σ = c tanh(r), and c starts
    at ``bound``.  ``flows.MaskedPerceptron`` and ``flows.CausalNetwork`` are such networks.
    """

    def __init__(self, network: nn.Module, bound: float = 3.0) -> None:
        self.network = network
        self.bound = nn.Parameter(tg.full((), bound))

    def conditional(self, x: Any) -> tuple[Tensor, Tensor]:
        """μ_t and σ_t, both (N, T), of x_t given x_<t: one pass for all t (AR-2)."""
        mean, raw_log_sd = shift_and_raw_log_scale(self.network, x, self.network(x))
        return mean, tg.exp(self.bound * tg.tanh(raw_log_sd))

    def sample(self, rng: Generator, n: int, length: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """``n`` series (n, length).

        ``dtype`` and ``device`` are there because other series have them; what is not the model's raises TypeError.
        """
        noise = rng.normal((n, length), dtype=dtype or self.bound.dtype, device=device or self.bound.device)
        return self.generate(noise) if isinstance(self.network, CausalNetwork) else self.generate_by_passes(noise)

    @tg.no_grad()
    def generate_by_passes(self, noise: Tensor) -> Tensor:
        """x_t = μ_t + σ_t ε_t for given noise ε (N, T), a pass of the whole network for each t: O(T²) work (AR-3)."""
        noise = noise_for(self, noise)
        x = tg.zeros_like(noise)
        position = tg.arange(noise.shape[1], device=noise.device)
        for t in range(noise.shape[1]):
            mean, sd = self.conditional(x)
            x = tg.where(position == t, mean + sd * noise, x)
        return x

    @tg.no_grad()
    def generate(self, noise: Tensor) -> Tensor:
        """The same by a causal network that remembers what it computed: a step for each t, O(T) work."""
        if not isinstance(self.network, CausalNetwork):
            raise TypeError(f"generate: a {type(self.network).__name__} has no stream; use generate_by_passes")
        noise = noise_for(self, noise)
        stream, bound = NetworkStream(self.network, len(noise)), raw(self.bound)
        xp, values, output = namespace(bound), [], stream.first
        for epsilon in raw(noise).T:
            x = output[0, :, 0] + xp.exp(bound * xp.tanh(output[0, :, 1])) * epsilon
            values.append(x)
            output = stream(x[None])
        return tg.tensor(xp.stack(values, axis=1))


@dataclass
class State:
    """All that a training step reads and changes; ``size`` is how many series it draws, and their length."""

    model: GaussianAutoregressive
    optimizer: optim.Optimizer
    process: Series
    rng: Generator
    size: tuple[int, int]


def step(state: State) -> Mapping[str, Tensor]:
    """One step up the likelihood of fresh series; the NLL is that of a value, in nats."""
    x = state.process.sample(state.rng, *state.size)
    nll = -tg.mean(state.model.log_prob(x)) / x.shape[1]
    state.optimizer.minimize(nll)
    return {"NLL": nll}


@tg.no_grad()
def excess(model: Series, process: Series, x: Tensor) -> float:
    """The model's NLL of a value minus the true process's, in nats, on the same series x (N, T) drawn from it.

    It estimates KL(process ‖ model) / T, with networks in evaluation mode.  Below 0 by more than chance, the model has
    seen what it predicts.
    """
    with nn.evaluating(*(part for part in (model, process) if isinstance(part, nn.Module))):
        return float(tg.mean(process.log_prob(x) - model.log_prob(x))) / x.shape[1]
