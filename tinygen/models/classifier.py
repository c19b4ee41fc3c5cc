"""A classifier, and generation by ascent on its input (APP-1, APP-2).

    train    minimise  −log P(y | x)  in the parameters                              (TXT-5: softmax − one-hot)
    ascend   x ← x + η ∇ₓ log P(y | x)  with the parameters fixed                     (APP-1)

The second is no way to generate: P(y | x) says nothing about p(x), so that P(y | x) → 1 where no data are.  By Bayes'
rule  ∇ₓ log p(x | y) = ∇ₓ log P(y | x) + ∇ₓ log p(x),  and the last term is missing; where it is known, adding
it repairs the ascent.  To learn it is the business of all generative models.

Source: Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks.  The network is that of LeCun et al.
1998 with a smaller kernel, rectifiers and dropout.

Shapes: images (N, 1, size, size) with values in [0, 1], or points (N, D); labels (N,); logits (N, classes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.metrics.arrays import on_host
from tinygen.random import Generator
from tinygen.tensor import Tensor

Score = Callable[[Tensor], Tensor]
"""∇ log p(x), of the shape of x."""


def convolutional(
    classes: int = 10, channels: int = 32, *, size: int = 16, rng: Generator | None = None
) -> nn.Sequential:
    """Two convolutions with pooling, two dense layers; for images (N, 1, size, size)."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * channels * (size // 4) ** 2, 128, rng=rng),
        nn.ReLU(),
        nn.Dropout(0.1, rng=rng),
        nn.Linear(128, classes, rng=rng),
    )


def of_gaussians(centres: np.ndarray, sd: float) -> nn.Linear:
    """The exact classifier of equally likely round Gaussians at ``centres`` (classes, D): it is linear (PROB-1).

    log P(k | x) = −‖x − c_k‖²/2sd² + … = c_k·x/sd² − ‖c_k‖²/2sd² + terms that all classes share.
    """
    classes, inputs = centres.shape
    made = nn.Linear(inputs, classes, rng=Generator(0))  # its values are replaced at once
    made.load_state_dict({"weight": centres / sd**2, "bias": -(centres**2).sum(axis=1) / (2 * sd**2)})
    return made


def shifted(rng: Generator, images: Tensor, reach: int = 1) -> Tensor:
    """Each image moved by up to ``reach`` pixels along each axis; what enters is 0."""
    count, _, height, width = images.shape
    padded = tg.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    down, right = (rng.integers(0, 2 * reach + 1, (count, 1), device=images.device) for _ in range(2))
    rows = down + tg.arange(height, device=images.device)
    columns = right + tg.arange(width, device=images.device)
    which = tg.arange(count, device=images.device)
    moved: Tensor = padded[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return tg.moveaxis(moved, -1, 1)


@dataclass
class State:
    """All that a training step reads and changes; ``reach`` is that of random shifts of images, in pixels."""

    model: nn.Module
    optimizer: optim.Optimizer
    batches: Batches
    rng: Generator
    reach: int = 0


def step(state: State) -> Mapping[str, Tensor]:
    """One step down −log P(y | x) of a batch."""
    x, labels = state.batches.next()
    if state.reach:
        x = shifted(state.rng, x, state.reach)
    loss = tg.cross_entropy(state.model(x), labels)
    state.optimizer.minimize(loss)
    return {"cross-entropy": loss}


def probabilities(model: nn.Module, x: Tensor, size: int = 500) -> np.ndarray:
    """P(k | x) (N, classes) in evaluation mode, on the host, some images at a time."""
    with tg.no_grad(), nn.evaluating(model):
        parts = [tg.softmax(model(x[start : start + size]), axis=1).numpy() for start in range(0, len(x), size)]
    return np.concatenate(parts)


def accuracy(model: nn.Module, x: Tensor, labels: np.ndarray | Tensor) -> float:
    """The share of examples whose most probable class is their label; labels (N,) are 0 … classes − 1."""
    found, true = probabilities(model, x), on_host(labels)
    if true.shape != (len(found),) or true.dtype.kind not in "iu":
        raise ValueError(
            f"accuracy: {len(found)} examples need {len(found)} whole numbers as labels, got {true.dtype} {true.shape}"
        )
    if not ((true >= 0) & (true < found.shape[1])).all():
        raise ValueError(
            f"accuracy: the model knows classes 0 … {found.shape[1] - 1}, but labels reach from {true.min()} "
            f"to {true.max()}"
        )
    return float((found.argmax(axis=1) == true).mean())


def class_score(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """∇ₓ log P(y | x) of each example, in evaluation mode: for a linear model W_y − Σ_k P(k | x) W_k (APP-1)."""
    at = tg.tensor(x.data, requires_grad=True)
    with nn.frozen(model), nn.evaluating(model):
        loss = tg.cross_entropy(model(at), labels, reduction="sum")
        slope: Tensor = tg.grad(-loss, at)[0]
    return slope


@dataclass
class Ascent:
    """All that a step of the ascent reads and changes; ``prior`` is ∇ log p(x), where it is known."""

    model: nn.Module
    x: Tensor
    labels: Tensor
    rate: float
    prior: Score | None = None


def ascend(state: Ascent) -> Mapping[str, Tensor]:
    """x ← x + η ∇ₓ log P(y | x), or with the prior x ← x + η ∇ₓ log p(x | y) (APP-1)."""
    slope = class_score(state.model, state.x, state.labels)
    if state.prior is not None:
        prior = state.prior(state.x)
        if prior.shape != state.x.shape:
            raise ValueError(f"ascend: the prior's gradient {prior.shape} must have the shape of x, {state.x.shape}")
        slope = slope + prior
    state.x = state.x + state.rate * slope
    return {"squared length of the gradient": tg.mean(tg.square(slope))}
