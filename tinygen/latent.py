"""Floor 6. Walking in a latent space: between two codes, and along the direction of an attribute (VAE-12, VAE-13).

Codes are rows (…, d); all functions are differentiable and stay on their device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import tinygen.ops as ops
from tinygen.probability import require
from tinygen.tensor import Tensor


def lerp(start: Any, end: Any, share: Any) -> Tensor:
    """(1 − t) start + t end: the straight line, for ``share`` t a number or an array that broadcasts (VAE-13).

    Half-way between two independent draws from N(0, I) the norm is about √(d/2), where no draw ever is: √d.

    >>> lerp([0.0, 2.0], [4.0, 2.0], 0.25).numpy().tolist()
    [1.0, 2.0]
    """
    first, last, t = _alike(start, end, share)
    line: Tensor = (1.0 - t) * first + t * last
    return line


def slerp(start: Any, end: Any, share: Any) -> Tensor:
    """sin((1 − t)ω)/sin ω · start + sin(tω)/sin ω · end: along the arc, ω the angle between the ends (VAE-13).

    Between ends of one norm every point has that norm (Shoemake 1985).  Zeros, and ends whose directions are equal or
    opposite, are joined by the straight line: opposite ones have no shortest arc.  Equal and opposite means within √ε
    of 0 or π, which is 1.5e-8 in float64 and 3.5e-4 in float32; just above it the norm is right within √ε, too.

    >>> tuple(round(number, 4) for number in slerp([1.0, 0.0], [0.0, 1.0], 0.5).numpy().tolist())
    (0.7071, 0.7071)
    """
    first, last, t = _alike(start, end, share)
    (u, some), (v, more) = _direction(first), _direction(last)
    # The chords are 2 sin(ω/2) and 2 cos(ω/2), exact also where the cosine of ω has lost it: near 0 and near π.
    apart, together = (ops.linalg.norm(chord, axis=-1, keepdims=True) for chord in (u - v, u + v))
    smallest = float(np.finfo(u.dtype).eps) ** 0.5
    curved = ops.greater(0.5 * apart * together, smallest) * some * more  # sin ω > √ε
    angle = 2.0 * ops.arctan(ops.where(curved, apart, 1.0) / ops.where(curved, together, 1.0))
    arc = (ops.sin((1.0 - t) * angle) * first + ops.sin(t * angle) * last) / ops.sin(angle)
    return ops.where(curved, arc, lerp(first, last, t))


def attribute_directions(codes: Any, attributes: Any) -> Tensor:
    """Mean code of those that have an attribute minus mean code of those that do not: (A, d) (VAE-12).

    ``codes`` (N, d), best the means of the posteriors; ``attributes`` (N, A) of 0 and 1.  An attribute that goes with
    another one drags its direction along: balance them first.

    >>> attribute_directions([[0.0, 1.0], [0.0, 3.0], [5.0, 2.0]], [[0], [0], [1]]).numpy().tolist()
    [[5.0, 0.0]]
    """
    codes = _floating(codes)
    has = ops.astype(_floating(attributes).to(codes.device), codes.dtype)
    require("attribute_directions: attributes", has, lambda a: (a == 0) | (a == 1), "must be 0 or 1")
    if codes.ndim != 2 or has.ndim != 2 or len(codes) != len(has):
        raise ValueError(f"attribute_directions: codes {codes.shape} and attributes {has.shape} must be (N, d), (N, A)")
    share = ops.mean(has, 0)
    require("attribute_directions: the share that has an attribute", share, lambda a: (a > 0) & (a < 1), "is 0 or 1")
    return _mean_code(codes, has) - _mean_code(codes, 1.0 - has)


class Whitening(NamedTuple):
    """Each pixel minus its mean, over its standard deviation: so that a few dark pixels of a mouth count too."""

    mean: Tensor
    scale: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """The whitened images."""
        white: Tensor = (x - self.mean) / self.scale
        return white

    def undo(self, x: Tensor) -> Tensor:
        """The images again."""
        images: Tensor = x * self.scale + self.mean
        return images


def whitening(x: Tensor, smallest_variance: float = 0.002) -> Whitening:
    """The whitening of images (N, …); ``smallest_variance`` is added, for pixels that hardly ever change."""
    return Whitening(ops.mean(x, 0), ops.sqrt(ops.var(x, 0) + smallest_variance))


def _direction(code: Tensor) -> tuple[Tensor, Tensor]:
    """The codes (…, d) divided by their lengths, and where (…, 1) they have one at all."""
    length = ops.linalg.norm(code, axis=-1, keepdims=True)
    some = ops.greater(length, 0.0)
    return code / ops.where(some, length, 1.0), some


def _mean_code(codes: Tensor, has: Tensor) -> Tensor:
    """The mean of the codes (N, d) of those for whom a column of ``has`` (N, A) is 1: (A, d)."""
    return ops.matmul(has.T, codes) / ops.expand_dims(ops.sum(has, 0), 1)


def _floating(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else ops.tensor(x)


def _alike(start: Any, end: Any, share: Any) -> tuple[Tensor, Tensor, Any]:
    """Both ends as tensors of the same last axis; a share that is an array in their dtype."""
    first, last = _floating(start), _floating(end)
    if first.ndim == 0 or last.ndim == 0 or first.shape[-1] != last.shape[-1]:
        raise ValueError(f"lerp, slerp: start {first.shape} and end {last.shape} must be codes (…, d) of one length d")
    if isinstance(share, (int, float)):
        return first, last, float(share)
    return first, last, ops.astype(_floating(share).to(first.device), first.dtype)
