"""Floor 8. Integrals over a line or a box, for the total mass of a density."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

Density = Callable[[np.ndarray], np.ndarray]

ORDER = 8  # Clenshaw–Curtis: 9 nodes, the ends among them, so that a jump just inside a panel is seen
MOST_PANELS = 100_000


def box_integral(density: Density, low: np.ndarray, high: np.ndarray, points: int) -> float:
    """∫ density over a box by the trapezoidal rule, so many points along each axis; ``density`` takes rows (n, dim).

    For a smooth density that has died out at the edges its error falls faster than any power of the spacing.
    """
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return float(cell * density(rows).sum())


def line_integrals(density: Density, edges: np.ndarray, tolerance: float) -> np.ndarray:
    """∫ density between neighbouring edges: adaptive bisection, which also closes in on jumps and kinks.

    ``density`` takes points (n,).  A panel is halved until it agrees with its two halves; result: (len(edges) − 1,).
    """
    totals = np.zeros(len(edges) - 1)
    owner = np.arange(len(totals))
    low, high = edges[:-1].astype(np.float64), edges[1:].astype(np.float64)
    whole = _panels(density, low, high)
    for _ in range(60):
        middle = 0.5 * (low + high)
        left, right = _panels(density, low, middle), _panels(density, middle, high)
        split = ~(np.abs(left + right - whole) <= tolerance)
        if split.sum() > MOST_PANELS:
            break
        np.add.at(totals, owner[~split], (left + right)[~split])
        owner = np.tile(owner[split], 2)
        low, high = np.concatenate([low[split], middle[split]]), np.concatenate([middle[split], high[split]])
        whole = np.concatenate([left[split], right[split]])
    np.add.at(totals, owner, whole)  # what is left are panels too narrow to matter
    return totals


def _panels(density: Density, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The Clenshaw–Curtis rule on each panel."""
    if not len(low):
        return np.zeros(0)
    nodes, weights = _clenshaw_curtis()
    half = 0.5 * (high - low)
    x = 0.5 * (low + high)[:, None] + half[:, None] * nodes
    return (density(x.ravel()).reshape(x.shape) @ weights) * half  # type: ignore[no-any-return]


@functools.cache
def _clenshaw_curtis() -> tuple[np.ndarray, np.ndarray]:
    """Nodes cos(kπ/n), and the weights that integrate the interpolating polynomial from −1 to 1."""
    angles = np.pi * np.arange(ORDER + 1) / ORDER
    j = np.arange(1, ORDER // 2 + 1)
    shares = np.where(j == ORDER // 2, 1.0, 2.0) / (4.0 * j**2 - 1.0)
    weights = (1.0 - np.cos(2.0 * np.outer(angles, j)) @ shares) * 2.0 / ORDER
    weights[[0, -1]] *= 0.5
    return np.cos(angles), weights
