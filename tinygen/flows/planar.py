"""Floor 6. Planar layers: one ridge function in one direction, with a determinant and an inverse in one dimension.

    x = z + û h(w·z + b),   det ∂x/∂z = 1 + h′(w·z + b) w·û                                    (FLOW-7, FLOW-11)

Source: Rezende & Mohamed 2015.  Departures: the inverse, which the paper says has none in closed form, is computed to
machine precision and is differentiable (FLOW-12), so the layer can be trained by maximum likelihood; and the
determinant stays above ``MARGIN``.

What a round trip loses: x is rounded, to eps · (‖z‖ + ‖û‖ |h|), and the inverse makes an error of x up to
1 + L ‖û‖ ‖w‖ / (1 + L w·û) times as large, L being the steepest slope of h.  With û along w that is 1 / MARGIN at most,
three digits.  It has no bound where û is long and lies across w: there u was so, or ‖w‖ is near 0, for ‖û‖ grows as
.3 / ‖w‖ then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygen.ops as ops
from tinygen import random
from tinygen.backend import Array, checks_values, namespace
from tinygen.flows.base import Layer
from tinygen.nn import Parameter
from tinygen.tensor import Tensor, raw

MARGIN = 1e-3
MOST_STEPS = 24  # 17 were needed for w·û up to 10⁶ and targets up to 10⁶, in float64


class Activation(NamedTuple):
    """h, its slope h′(a) ∈ (0, steepest] given a and h(a), the largest slope; convex before 0 and concave after?"""

    h: Callable[[Any], Any]
    slope: Callable[[Any, Any], Any]
    steepest: float
    s_shaped: bool = True


ACTIVATIONS = {
    "tanh": Activation(ops.tanh, lambda a, h: 1.0 - h * h, 1.0),
    "arctan": Activation(ops.arctan, lambda a, h: 1.0 / (1.0 + a * a), 1.0),
    "sigmoid": Activation(ops.sigmoid, lambda a, h: h * (1.0 - h), 0.25),
    "softplus": Activation(ops.softplus, lambda a, h: ops.sigmoid(a), 1.0, s_shaped=False),
}


class Planar(Layer):
    """z + û h(w·z + b) on rows (N, dim), for h = tanh, arctan, sigmoid or softplus, always a bijection.

    û is u changed along w so that w·û = m(w·u) with m(x) = −(1 − MARGIN)/L + log(1 + eˣ), L the steepest slope of h
    (FLOW-13).  With w = 0 the layer is a shift.  w and b start as standard normals, and u so that û has the standard
    deviation ``spread``, but for what the constraint changes: with 0 the layer starts as the identity.

    ``to_latent`` finds a = w·z + b, the root of a + (w·û) h(a) = w·x + b, by Newton's method on raw arrays, and takes
    two recorded steps from there, which make its derivatives right to third order.

    >>> import tinygen as tg
    >>> layer = tg.flows.Planar(2, rng=tg.random.Generator(0)).astype("float64")
    >>> x, log_det = layer.to_data(tg.tensor([[1.0, -2.0]], dtype="float64"))
    >>> z, back = layer.to_latent(x)
    >>> z.numpy().round(12).tolist(), abs(log_det + back).item() < 1e-12
    ([[1.0, -2.0]], True)
    """

    def __init__(
        self, dim: int, activation: str = "tanh", spread: float = 0.1, *, rng: random.Generator | None = None
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"Planar: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        rng = rng or random.default()
        self.dim, self.activation = dim, activation
        w, b, noise = rng.normal(dim), rng.normal(()), rng.normal(dim)
        still = math.log(math.expm1((1.0 - MARGIN) / ACTIVATIONS[activation].steepest))  # m(still) = 0
        self.w, self.u = Parameter(w), Parameter(still * w / ops.sum(w * w) + spread * noise)
        self.b = Parameter(b)

    def _to_data(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        direction, product = self.direction()
        h, slope = self._ridge(self._along(z))
        return z + h * direction, ops.squeeze(ops.log1p(product * slope), 1)  # FLOW-7, FLOW-11

    def _to_latent(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        direction, product = self.direction()
        target = self._along(x)
        a = Tensor(planar_root(ACTIVATIONS[self.activation], raw(target), raw(product)))
        for _ in range(2):
            h, slope = self._ridge(a)
            a = a - (a + product * h - target) / (1.0 + product * slope)
        h, slope = self._ridge(a)
        return x - h * direction, ops.squeeze(-ops.log1p(product * slope), 1)  # FLOW-12

    def _along(self, rows: Tensor) -> Tensor:
        """w·z + b, (N, 1)."""
        return ops.matmul(rows, ops.expand_dims(self.w, 1)) + self.b

    def direction(self) -> tuple[Tensor, Tensor]:
        """û (dim,) and w·û, which is above −1/L: the constraint of FLOW-13."""
        product, squared = ops.sum(self.w * self.u), ops.sum(self.w * self.w)
        least = (MARGIN - 1.0) / ACTIVATIONS[self.activation].steepest
        wanted = ops.softplus(product) + least
        there = raw(squared) > float(np.finfo(squared.dtype).tiny)  # else w = 0, and nothing depends on w·z
        scale = ops.where(there, squared, math.inf)
        direction = self.u + (wanted - product) / scale * self.w
        wanted = ops.where(there, wanted, product)
        # For w·u ≪ −1 the sum cancels.  What w·û lacks is rounding, in truth 0: it is added as a constant.
        lacks = raw(wanted) - (raw(self.w) * raw(direction)).sum()
        return direction + Tensor(lacks / raw(scale) * raw(self.w)), wanted

    def _ridge(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """h(a) and h′(a)."""
        kind = ACTIVATIONS[self.activation]
        h = kind.h(a)
        return h, kind.slope(a, h)

    def describe(self) -> str:
        return f"{self.dim}, {self.activation!r}"


def planar_root(kind: Activation, target: Array, product: Array) -> Array:
    """a with F(a) = a + c h(a) = target, up to rounding, on raw arrays; c is ``product`` > −1/L, so F rises.

    F′ = 1 + c h′ lies between 1 and 1 + cL, so the distance from a = target, where F is off by c h(target), to the
    root lies between two known numbers.  Between there and the root F bends one way only, the s-shaped h being convex
    before 0 and concave after; so Newton's method from the right end never passes the root: it starts at the lower end
    where F is concave, and at the upper end where it is convex.  On the host it stops when every F is met up to
    rounding; on a device, where looking would synchronise, it takes as many steps as the worst case needs.
    """
    xp = namespace(target)
    off = product * kind.h(target)
    ends = target - off, target - off / (1.0 + product * kind.steepest)
    low, high = xp.minimum(*ends), xp.maximum(*ends)
    if kind.s_shaped:
        after = target > product * kind.h(xp.zeros_like(target))  # F(0) < target: the root is above 0
        low, high = xp.where(after, xp.maximum(low, 0.0), low), xp.where(after, high, xp.minimum(high, 0.0))
        concave = after == (product > 0)
    else:
        concave = xp.zeros_like(target) > product
        # The same upper end without the difference of two large numbers: L · target − h(target) ends at 0.
        leftover = target + product * (kind.steepest * target - kind.h(target))
        high = xp.where(concave, high, leftover / (1.0 + product * kind.steepest))
    a = xp.where(concave, low, high)
    rounding = 4.0 * float(np.finfo(target.dtype).eps)
    for _ in range(MOST_STEPS):
        h = kind.h(a)
        pushed = product * h
        rest = a + pushed - target
        if checks_values(a) and not (abs(rest) > rounding * (abs(a) + abs(pushed) + abs(target))).any():
            return a
        a = a - rest / (1.0 + product * kind.slope(a, h))
    if checks_values(a):
        raise FloatingPointError(
            f"Planar.to_latent: no root after {MOST_STEPS} steps, w·û is {float(product):.3g}: far from any layer that "
            "learns; keep w and u small, by a norm of gradients or a smaller learning rate"
        )
    return a
