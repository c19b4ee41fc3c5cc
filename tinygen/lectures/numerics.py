"""Floor 8. The independent side of a claim: quadrature, finite differences, enumeration, linear programming.

Plain NumPy and nothing of the engine, so that a fault of the engine cannot hide in both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def gauss_hermite(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights with E f(z) ≈ Σ w f(z) for z ~ N(0, 1); exact for polynomials of degree 2·points − 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return nodes, weights / weights.sum()


def gauss_legendre(low: float, high: float, points: int, panels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for an integral from low to high, cut into equal panels of ``points`` nodes each."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    half = (high - low) / (2 * panels)
    centres = low + half * (2 * np.arange(panels) + 1)
    return (centres[:, None] + half * nodes).ravel(), np.tile(half * weights, panels)


def central_difference(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The Jacobian (…output, …x) of f by central differences with steps h = step · (1 + |x|)."""
    x = np.asarray(x, dtype=np.float64)
    columns = []
    for index in np.ndindex(x.shape):
        h = step * (1.0 + abs(x[index]))
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        columns.append((np.asarray(f(up)) - np.asarray(f(down))) / (up[index] - down[index]))
    return np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *x.shape) if columns else np.zeros(x.shape)


def golden_section(f: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where f, unimodal between low and high, is largest: elementwise, by 80 cuts in the golden ratio."""
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        rising = f(left) < f(right)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return np.asarray((low + high) / 2.0)
