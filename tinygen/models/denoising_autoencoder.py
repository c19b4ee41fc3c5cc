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

import math
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


class Denoiser(nn.Module):
    """r(y) = network(y), and the standard deviation ``noise`` of what it is to take away: σ, for training and score.

    For images the network may be an autoencoder, whose code is the second reason why noise cannot pass.
    """

    def __init__(self, network: nn.Module, noise: float) -> None:
        if not 0 < noise < math.inf:
            raise ValueError(f"Denoiser: noise is a standard deviation and must be positive and finite, got {noise}")
        self.network, self.noise = network, noise

    def forward(self, y: Tensor) -> Tensor:
        """The expected clean examples E[x | y]."""
        restored: Tensor = self.network(y)
        return restored


class PlaneDenoiser(Denoiser):
    """r(y) = y + σ·network(y) for points (N, 2): a perceptron computes the noise to take away, in units of σ."""

    def __init__(self, noise: float, hidden: int = 96, *, rng: Generator | None = None) -> None:
        layers: list[nn.Module] = []
        for inputs in (2, hidden, hidden):
            layers += [nn.Linear(inputs, hidden, rng=rng), nn.Tanh()]
        super().__init__(nn.Sequential(*layers, nn.Linear(hidden, 2, rng=rng)), noise)

    def forward(self, y: Tensor) -> Tensor:
        restored: Tensor = y + self.noise * self.network(y)
        return restored


def denoising_loss(rng: Generator, model: Denoiser, x: Tensor) -> Tensor:
    """E ‖x − r(x + σε)‖² / σ² for clean x (AE-4): the number of dimensions, if nothing is restored at all."""
    added = model.noise * rng.normal(x.shape, dtype=x.dtype, device=x.device)
    restored = model(tg.concatenate([x + added, x - added]))
    return tg.mean(squared_error(tg.concatenate([x, x]), restored)) / model.noise**2


def score(model: Denoiser, y: Tensor) -> Tensor:
    """What the model in evaluation mode says of ∇ log p(y), p the density of noisy data: (r(y) − y) / σ² (AE-4)."""
    with nn.evaluating(model):
        restored = model(y)
    if restored.shape != y.shape:
        raise ValueError(f"score: the denoiser made {restored.shape} of y {y.shape}; it must give back the same shape")
    slope: Tensor = (restored - y) / model.noise**2
    return slope


@dataclass
class State:
    """All that a training step reads and changes; clean examples come from batches, or fresh from ``sample``."""

    model: Denoiser
    optimizer: optim.Optimizer
    clean: Batches | Callable[[Generator, int], Tensor]
    rng: Generator
    size: int = 256


def step(state: State) -> Mapping[str, Tensor]:
    """One step: clean examples, fresh noise, down the squared error of what is restored."""
    if isinstance(state.clean, Batches):
        (x,) = state.clean.next()
    else:
        x = state.clean(state.rng, state.size)
    loss = denoising_loss(state.rng, state.model, x)
    state.optimizer.minimize(loss)
    return {"error / noise²": loss}


def exact_score(density: Density, y: Tensor) -> Tensor:
    """∇ log p(y) (N, 2) of a density that is known."""
    at = tg.tensor(y.data, requires_grad=True)
    slope: Tensor = tg.grad(tg.sum(density.log_prob(at)), at)[0]
    return slope


def score_error(model: Denoiser, noisy: Density, y: Tensor) -> float:
    """Root mean square of |learned − exact score|, over that of |exact score|, at points y of the noisy density."""
    with tg.no_grad():
        learned = score(model, y).numpy().astype(np.float64)
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
