"""Conditional adversarial networks: both players are told the class y, and the generator learns p(x | y) (GAN-15).

    V(G, D) = E_{p(x, y)} ln D(x, y) + E_{p(y)} E_z ln(1 − D(G(z, y), y)),   min_G max_D V
    D*(x, y) = p(x | y) / (p(x | y) + q(x | y)),   V(G, D*) = −ln 4 + 2 E_{p(y)} JS(p(· | y), q(· | y))

The scheme is that of ``tinygen.models.gan``, on batches (x, y) and with ``labels`` that give the generator classes of
the same law p(y).  What is new are networks that take a class:

    concatenated     D(x, y) = d([x, one-hot y]),  G(z, y) = g([z, one-hot y])
    projection       D(x, y) = a·φ(x) + b + v_y·φ(x)

The weights that the one-hot vector meets are an embedding: one vector for each class.  The projection has the form of
the best logit.  By Bayes' rule  ln p(x | y)/q(x | y) = ln p(x)/q(x) + ln p(y | x)/q(y | x),  because p(y) = q(y);  if
both p(y | x) and q(y | x) are softmaxes of linear functions of φ(x), the last term is v_y·φ(x) and a part without y.

Source: Mirza & Osindero 2014; Miyato & Koyama 2018 for the projection.  Departures: the loss is the non-saturating one
unless the state says otherwise, and R1 keeps the discriminator tame.

Shapes: points (N, 2) or images (N, 1, 16, 16) in [0, 1]; classes (N,) of whole numbers; noise (N, latent); logits
(N, 1).  The claims GAN-15 of ``tinygen.lectures`` compare D*, V and the gradient through the one-hot vector with
formulas derived by hand.
"""

from __future__ import annotations

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator
from tinygen.tensor import Tensor


def check_classes(name: str, x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless there is one class for each example: a single one would be taken for all, silently."""
    if tuple(y.shape) != (len(x),):
        raise ValueError(f"{name}: needs one class for each of {len(x)} examples, got y of shape {tuple(y.shape)}")


class Labelled(nn.Module):
    """A network of x (N, inputs) and y (N,), made of one of [x, one-hot y], (N, inputs + classes)."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        check_classes("Labelled", x, y)
        made: Tensor = self.network(tg.concatenate([x, tg.one_hot(y, self.classes, dtype=x.dtype)], axis=1))
        return made


class Projection(nn.Module):
    """D(x, y) = a·φ(x) + b + v_y·φ(x), logits (N, 1): a vector v for each class, which begins at 0.

    ``features`` is φ, from x to (N, width).
    """

    def __init__(self, features: nn.Module, width: int, classes: int, *, rng: Generator | None = None) -> None:
        self.features = features
        self.marginal = nn.Linear(width, 1, rng=rng)
        self.conditional = nn.Embedding(classes, width, rng=rng)
        nn.init.zeros_(self.conditional.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        check_classes("Projection", x, y)
        features = self.features(x)
        logits: Tensor = self.marginal(features) + tg.sum(self.conditional(y) * features, axis=1, keepdims=True)
        return logits
