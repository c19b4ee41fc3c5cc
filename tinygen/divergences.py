"""Floor 5. How far one probability distribution is from another: tables, and densities on a grid.

A table holds probabilities along ``axis`` (one axis or several; all others are a batch).  With ``dx`` the numbers
are densities on a grid instead, and ``dx`` is the width of its cells: a number, or an array of weights that
broadcasts with the densities; integrals become Σ … dx.

Everything is differentiable.  Tables are checked on the host: a negative number, or a sum that is not 1, raises
ValueError.  A density's Σ p dx may be off by 0.001, for what a grid leaves out.  Infinite terms, and terms at an
exact 0 whose slope would be infinite, are constants: gradients are those of changes that keep the support.

>>> import tinygen as tg
>>> p, q = tg.tensor([0.5, 0.5, 0.0]), tg.tensor([0.5, 0.25, 0.25])
>>> round(kl(p, q, base=2).item(), 4)
0.5
>>> kl(q, p).item()
inf
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen.backend import default_dtype, namespace
from tinygen.operands import axes_of
from tinygen.probability import INFINITY, log_or_minus_infinity, relative_entropy, require_table
from tinygen.tensor import Tensor, raw

__all__ = ["chi2", "hellinger", "js", "kl", "total_variation", "wasserstein_1d", "wasserstein_1d_samples"]


def kl(p: Any, q: Any, *, axis: Any = -1, dx: Any = None, base: float | None = None) -> Tensor:
    """Kullback–Leibler divergence Σ p log(p/q) ≥ 0 (DIV-1), in nats or to a logarithm's ``base``; ∞ where q = 0 < p."""
    p, q, width = _pair("kl", p, q, axis, dx)
    terms = relative_entropy(p, log_or_minus_infinity(p), log_or_minus_infinity(q))
    return ops.divide(ops.sum(terms * width, axis), _unit("kl", base))


def js(p: Any, q: Any, *, axis: Any = -1, dx: Any = None, base: float | None = None) -> Tensor:
    """Jensen–Shannon divergence ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q) (DIV-9): from 0 to log 2, symmetric.

    Its square root is a metric (DIV-10).
    """
    p, q, width = _pair("js", p, q, axis, dx)
    log_middle = log_or_minus_infinity(0.5 * p + 0.5 * q)
    terms = sum(relative_entropy(x, log_or_minus_infinity(x), log_middle) for x in (p, q))
    return ops.divide(ops.sum(0.5 * terms * width, axis), _unit("js", base))


def total_variation(p: Any, q: Any, *, axis: Any = -1, dx: Any = None) -> Tensor:
    """½ Σ |p − q|: the largest difference of the two probabilities of one event, from 0 to 1."""
    p, q, width = _pair("total_variation", p, q, axis, dx)
    return 0.5 * ops.sum(ops.abs(p - q) * width, axis)


def hellinger(p: Any, q: Any, *, axis: Any = -1, dx: Any = None) -> Tensor:
    """√(½ Σ (√p − √q)²): a metric from 0 to 1.  (Some leave out the ½, or the root.)  The derivative at p = q is 0."""
    p, q, width = _pair("hellinger", p, q, axis, dx)
    difference = (_root(p) - _root(q)) * ops.sqrt(0.5 * width)
    return ops.linalg.norm(difference, axis=axis)


def chi2(p: Any, q: Any, *, axis: Any = -1, dx: Any = None) -> Tensor:
    """Pearson's χ² divergence Σ (p − q)² / q ≥ 0; ∞ where q = 0 < p, and 0 where both are 0."""
    p, q, width = _pair("chi2", p, q, axis, dx)
    possible = ops.greater(q, 0.0)
    finite = ops.square(p - q) / ops.where(possible, q, 1.0)
    terms = ops.where(possible, finite, ops.where(ops.greater(p, 0.0), INFINITY, 0.0 * p))
    return ops.sum(terms * width, axis)


def wasserstein_1d(p: Any, q: Any, positions: Any = None, *, axis: int = -1, dx: Any = None) -> Tensor:
    """Wasserstein-1 distance ∫ |F_p − F_q| dx of tables on the line (OT-5), in the unit of ``positions``.

    ``positions`` (n,) are the places of the n entries along ``axis``, in any order; without them entries stand 1
    apart, or ``dx`` apart, which must be a number then.  Differentiable in the positions too.
    """
    p, q, width = _pair("wasserstein_1d", p, q, axis, dx)
    n = p.shape[axis]
    if positions is None:
        if isinstance(width, Tensor):
            raise ValueError("wasserstein_1d: cells of several widths have no places by themselves; give positions=")
        positions = ops.arange(n, dtype=p.dtype, device=p.device) * (1.0 if dx is None else width)
    places = _table(positions, p)
    if places.shape != (n,):
        raise ValueError(
            f"wasserstein_1d: positions {places.shape} must be ({n},), one for each entry along axis {axis}"
        )
    order = ops.argsort(places.detach())
    excess = ops.take(ops.moveaxis((p - q) * width, axis, -1), order, axis=-1)
    return _transport(excess, ops.take(places, order))


def wasserstein_1d_samples(x: Any, y: Any, x_weights: Any = None, y_weights: Any = None) -> Tensor:
    """Wasserstein-1 distance ∫ |F_x − F_y| of two samples on the line (OT-5), exactly; ties and unequal sizes too.

    ``x`` (…, n) and ``y`` (…, m) with the same batch axes.  Weights, of the same shapes, are non-negative and sum
    to 1 along the last axis; without them all draws of a sample count equally.  Differentiable in all arguments.
    """
    x = _table(x)
    y = _table(y, x)
    if x.ndim < 1 or x.shape[:-1] != y.shape[:-1] or 0 in (x.shape[-1], y.shape[-1]):
        raise ValueError(f"wasserstein_1d_samples: x {x.shape} and y {y.shape} must be (…, n) and (…, m), not empty")
    places = ops.concatenate([x, y], -1)
    order = ops.argsort(places.detach(), -1)
    if x_weights is None and y_weights is None:
        # Counts m for each x and −n for each y add up exactly: no rounding where the two functions meet.
        n, m = x.shape[-1], y.shape[-1]
        counts = ops.concatenate([_filled(x, m), _filled(y, -n)], -1)
        cumulated = ops.cumsum(ops.take_along_axis(counts, order, -1), -1)
        ahead = ops.astype(cumulated, x.dtype) / float(n * m)
        return _distance(ahead, ops.take_along_axis(places, order, -1))
    weights = [
        _weights(name, given, like) for name, given, like in (("x_weights", x_weights, x), ("y_weights", y_weights, y))
    ]
    excess = ops.concatenate([weights[0], -weights[1]], -1)
    return _transport(ops.take_along_axis(excess, order, -1), ops.take_along_axis(places, order, -1))


# --- what they share ---------------------------------------------------------------------------------------------


def _table(p: Any, like: Tensor | None = None) -> Tensor:
    """A floating tensor; lists of numbers and whole numbers take the dtype of ``like``."""
    dtype = default_dtype() if like is None else like.dtype
    if not hasattr(p, "dtype") or isinstance(p, np.generic):
        return ops.tensor(p, dtype=dtype, device=None if like is None else like.device)
    table = p if isinstance(p, Tensor) else ops.tensor(p)
    return table if table.dtype.kind == "f" else table.astype(dtype)


def _pair(name: str, p: Any, q: Any, axis: Any, dx: Any) -> tuple[Tensor, Tensor, Any]:
    """Both tables, checked, and the width of a cell."""
    like = _table(p if hasattr(p, "dtype") else q)
    p, q = _table(p, like), _table(q, like)
    width = 1.0 if dx is None else float(dx) if isinstance(dx, (int, float, np.floating)) else _table(dx, like)
    tolerance = None if dx is None else 1e-3
    for which, table in (("p", p), ("q", q)):
        require_table(f"{name}: {which}", table, axes_of(name, axis, table.ndim), raw(width), tolerance)
    sizes = [[table.shape[a] for a in axes_of(name, axis, table.ndim)] for table in (p, q)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{name}: p {p.shape} and q {q.shape} must have the same sizes along axis {axis}")
    return p, q, width


def _unit(name: str, base: float | None) -> float:
    if base is not None and not base > 1:
        raise ValueError(f"{name}: base must be above 1 (2 for bits, None for nats), got {base!r}")
    return 1.0 if base is None else math.log(base)


def _root(p: Tensor) -> Tensor:
    """√p, constant where p is 0."""
    possible = ops.greater(p, 0.0)
    return ops.where(possible, ops.sqrt(ops.where(possible, p, 1.0)), 0.0)


def _filled(like: Tensor, count: int) -> Tensor:
    array = raw(like)
    return Tensor(namespace(array).full(array.shape, count, dtype=np.int64))


def _weights(name: str, given: Any, like: Tensor) -> Tensor:
    if given is None:
        return ops.full_like(like, 1.0 / like.shape[-1])
    weights = _table(given, like)
    if weights.shape != like.shape:
        raise ValueError(
            f"wasserstein_1d_samples: {name} {weights.shape} must have the shape {like.shape} of its sample"
        )
    require_table(f"wasserstein_1d_samples: {name}", weights, -1)
    return weights


def _transport(excess: Tensor, places: Tensor) -> Tensor:
    """The cost of moving masses at sorted places so that the excess of one over the other vanishes."""
    return _distance(ops.cumsum(excess, -1), places)


def _distance(ahead: Tensor, places: Tensor) -> Tensor:
    """Σ |F_p − F_q| · (gap to the next place); the last value of F_p − F_q is 0 and has no gap."""
    gaps = places[..., 1:] - places[..., :-1]
    return ops.sum(ops.abs(ahead[..., :-1]) * gaps, -1)
