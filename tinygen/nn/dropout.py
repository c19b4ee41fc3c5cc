"""Floor 5. Dropout, and the streams that layers draw their noise from."""

from __future__ import annotations

from tinygen import random
from tinygen.nn.activations import Parameterless
from tinygen.tensor import Tensor


def own_stream(rng: random.Generator | None, name: str) -> random.Generator:
    """An independent stream for one layer, named by where ``rng`` stands; ``rng`` moves on: no two layers share one.

    The layer keeps it as an attribute, so that it is part of the module's ``extra_state``.
    """
    rng = rng or random.default()
    stream = rng.spawn(f"{name} at {rng.state['counter']}")
    rng.integers(0, 2, device="cpu")
    return stream


class Dropout(Parameterless):
    """In training each element is 0 with probability p, and the others are divided by 1 − p; else x itself.

    (Srivastava et al. 2014.)  The stream is the layer's own and is saved by ``extra_state``.
    """

    def __init__(self, p: float = 0.5, *, rng: random.Generator | None = None) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Dropout: p must be a probability, got {p}")
        self.p = p
        self.stream = own_stream(rng, "dropout")

    def forward(self, x: Tensor) -> Tensor:
        return drop(self.stream, x, self.p) if self.training else x

    def describe(self) -> str:
        return str(self.p)


def drop(rng: random.Generator, x: Tensor, p: float) -> Tensor:
    """x with elements dropped with probability p and the rest scaled so that the mean stays."""
    if p == 0.0 or p == 1.0:
        return x * (1.0 - p)
    kept = rng.bernoulli(1.0 - p, x.shape, dtype=x.dtype, device=x.device)
    return x * (kept * (1.0 / (1.0 - p)))
