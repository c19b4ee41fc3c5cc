"""Denoising autoencoder (AE-4): it gets a noisy example and learns to give back the clean one.

    minimise  E ‖x − r(x + σε)‖²,   ε ~ N(0, I) drawn anew at each step          (AE-4)
    optimum   r(y) = E[x | y] = y + σ² ∇ log p(y),   p the density of noisy data

So what it has learned is the *score* of the noisy data, (r(y) − y) / σ²: at each point the direction in which the
density grows.  No bottleneck is needed: to copy does not help, as what comes in is not what must come out.

Sources: Vincent et al. 2008; Vincent 2011 (the score).  Departure: each example is shown twice, with a noise and with
its negative, so that what is odd in the noise cancels from the gradient's variance.

Shapes: points (N, 2) or images (N, 1, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches, Density
from tinygen.metrics.arrays import numbers
from tinygen.models.autoencoder import squared_error
from tinygen.random import Generator
from tinygen.tensor import Tensor


class PlaneDenoiser(nn.Module):
    """r(y) = y + σ·net(y) for points (N, 2): the network, a perceptron, computes the noise to take away, in units of σ.

    For images take an autoencoder, whose code is the second reason why noise cannot pass.
    """

    def __init__(self, noise: float, hidden: int = 96, *, rng: Generator | None = None) -> None:
        layers: list[nn.Module] = []
        for inputs in (2, hidden, hidden):
            layers += [nn.Linear(inputs, hidden, rng=rng), nn.Tanh()]
        self.network = nn.Sequential(*layers, nn.Linear(hidden, 2, rng=rng))
        self.noise = _standard_deviation("PlaneDenoiser", noise)

    def forward(self, y: Tensor) -> Tensor:
        """The expected clean points E[x | y]."""
        restored: Tensor = y + self.noise * self.network(y)
        return restored


def _standard_deviation(what: str, noise: float) -> float:
    if not noise > 0:
        raise ValueError(f"{what}: noise is a standard deviation and must be positive, got {noise}")
    return noise


def denoising_loss(rng: Generator, model: nn.Module, x: Tensor, noise: float) -> Tensor:
    """E ‖x − r(x + σε)‖² / σ² for clean x (AE-4): the number of dimensions, if nothing is restored at all."""
    sigma = _standard_deviation("denoising_loss", noise)
    added = sigma * rng.normal(x.shape, dtype=x.dtype, device=x.device)
    restored = model(tg.concatenate([x + added, x - added]))
    return tg.mean(squared_error(tg.concatenate([x, x]), restored)) / sigma**2


def score(model: nn.Module, y: Tensor, noise: float) -> Tensor:
    """What the model says of ∇ log p(y), with p the density of the noisy data: (r(y) − y) / σ² (AE-4)."""
    slope: Tensor = (model(y) - y) / _standard_deviation("score", noise) ** 2
    return slope


@dataclass
class State:
    """All that a training step reads and changes; clean examples come from batches, or fresh from ``sample``."""

    model: nn.Module
    optimizer: optim.Optimizer
    clean: Batches | Callable[[Generator, int], Tensor]
    rng: Generator
    noise: float
    size: int = 256


def step(state: State) -> Mapping[str, Tensor]:
    """One step: clean examples, fresh noise, down the squared error of what is restored."""
    if isinstance(state.clean, Batches):
        (x,) = state.clean.next()
    else:
        x = state.clean(state.rng, state.size)
    loss = denoising_loss(state.rng, state.model, x, state.noise)
    state.optimizer.minimize(loss)
    return {"error / noise²": loss}


def exact_score(density: Density, y: Tensor) -> Tensor:
    """∇ log p(y) (N, 2) of a density that is known."""
    at = tg.tensor(y.data, requires_grad=True)
    slope: Tensor = tg.grad(tg.sum(density.log_prob(at)), at)[0]
    return slope


def score_error(model: nn.Module, noisy: Density, y: Tensor, noise: float) -> float:
    """Root mean square of |learned − exact score|, over that of |exact score|, at points y of the noisy density."""
    with tg.no_grad():
        learned = score(model, y, noise).numpy().astype(np.float64)
    exact = exact_score(noisy, y).numpy().astype(np.float64)
    return float(np.linalg.norm(learned - exact) / np.linalg.norm(exact))


class LinearDenoiser:
    """The best linear map y ↦ μ + C (C + σ²I)⁻¹ (y − μ), from clean examples with mean μ and covariance C (AE-4).

    On the host, in float64; examples are rows (N, D).
    """

    def __init__(self, clean: np.ndarray, noise: float) -> None:
        rows = numbers("LinearDenoiser", "clean", clean, 2)
        self.mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
        self.matrix = np.linalg.solve(covariance + noise**2 * np.eye(len(covariance)), covariance).T

    def __call__(self, y: np.ndarray) -> np.ndarray:
        restored: np.ndarray = self.mean + (numbers("LinearDenoiser", "y", y, 2) - self.mean) @ self.matrix.T
        return restored
