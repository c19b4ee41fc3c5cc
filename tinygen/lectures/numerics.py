"""Floor 8. The independent side of a claim: quadrature, finite differences, enumeration, linear programming.

Plain NumPy and nothing of the engine, so that a fault of the engine cannot hide in both sides.
"""

from __future__ import annotations

import itertools
import math
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


def correlate2d(x: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Σ kernel[o, c, u, v] · x[b, c, s·i + u, s·j + v], position by position (b, o, i, j), with zeros around x."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = kernel.shape[2:]
    rows = range(0, x.shape[2] - height + 1, stride)
    columns = range(0, x.shape[3] - width + 1, stride)
    y = np.zeros((len(x), len(kernel), len(rows), len(columns)))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            y[:, :, i, j] = np.tensordot(x[:, :, top : top + height, left : left + width], kernel, ((1, 2, 3),) * 2)
    return y


def golden_section(f: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where f, unimodal between low and high, is largest: elementwise, by 80 cuts in the golden ratio."""
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))
    for _ in range(80):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        rising = f(left) < f(right)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return np.asarray((low + high) / 2.0)


def normal_cdf(x: np.ndarray | float) -> np.ndarray:
    """Φ(x) = P(z ≤ x) for z ~ N(0, 1), to full relative accuracy in the lower tail."""
    x = np.asarray(x, dtype=np.float64)
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x.ravel()]).reshape(x.shape)


def assignment(cost: np.ndarray) -> float:
    """The least mean cost of pairing n rows with n columns one to one, by trying all n! ways (n ≤ 7)."""
    rows = np.arange(len(cost))
    orders = np.array(list(itertools.permutations(rows)))
    return float(cost[rows, orders].mean(axis=1).min())


def transport(p: np.ndarray, q: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The linear programme of optimal transport, for small tables: an optimal plan (n, m) and prices u (n,), v (m,).

    The plan has the marginals p and q; the prices satisfy u_i + v_j ≤ cost_ij.  A plan and prices of equal value,
    ⟨cost, plan⟩ = ⟨p, u⟩ + ⟨q, v⟩, prove each other optimal, so a claim can check the answer without trusting the
    method: mass is sent along shortest paths, which may take back what was sent before.
    """
    plan = np.zeros(cost.shape)
    supply, demand = p.astype(np.float64), q.astype(np.float64)
    while True:
        open_rows, open_columns = supply > 1e-15, demand > 1e-15
        if not (open_rows.any() and open_columns.any()):
            break
        _, to_column, back, forth = _shortest(np.where(open_rows, 0.0, np.inf), plan, cost)
        column = int(np.argmin(np.where(open_columns, to_column, np.inf)))
        path = [(int(back[column]), column)]
        while not open_rows[path[-1][0]]:  # this row's mass comes from a column that gives some back
            row = path[-1][0]
            path.append((int(back[forth[row]]), int(forth[row])))
        start = path[-1][0]
        given_back = [(path[i][0], path[i + 1][1]) for i in range(len(path) - 1)]
        mass = min([supply[start], demand[column], *(plan[edge] for edge in given_back)])
        for edge in path:
            plan[edge] += mass
        for edge in given_back:
            plan[edge] -= mass
        supply[start] -= mass
        demand[column] -= mass
    to_row, to_column, _, _ = _shortest(np.zeros(len(p)), plan, cost)
    return plan, -to_row, to_column


def _shortest(
    start: np.ndarray, plan: np.ndarray, cost: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distances to rows and columns (row → column costs ``cost``, back −cost where mass was sent), and how one came."""
    to_row, to_column = start.copy(), np.full(cost.shape[1], np.inf)
    back, forth = np.zeros(cost.shape[1], dtype=int), np.zeros(cost.shape[0], dtype=int)
    for _ in range(cost.shape[0]):
        through = to_row[:, None] + cost
        nearer = through.min(axis=0) < to_column - 1e-13  # rounding must not make a cycle of length 0 look shorter
        back = np.where(nearer, through.argmin(axis=0), back)
        to_column = np.where(nearer, through.min(axis=0), to_column)
        through = np.where(plan > 0.0, to_column - cost, np.inf)
        nearer = through.min(axis=1) < to_row - 1e-13
        forth = np.where(nearer, through.argmin(axis=1), forth)
        to_row = np.where(nearer, through.min(axis=1), to_row)
    return to_row, to_column, back, forth


def sign_vectors(n: int) -> np.ndarray:
    """All 2ⁿ vectors of ±1 as rows: their moments up to the third are those of N(0, I)."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=n))).reshape(2**n, n)
