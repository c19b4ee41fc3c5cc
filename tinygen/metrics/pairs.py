"""Floor 7. Functions of all pairs of two sets of points, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From points (n, d) and (m, d) to the matrix (n, m) of its values."""

_BLOCK = 1 << 22  # numbers in a block: 32 MiB
_FEW = 16  # dimensions up to which differences are taken one by one


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m).

    In few dimensions by differences, which is exact; in many by ‖x‖² + ‖y‖² − 2⟨x, y⟩, one matrix product, whose
    rounding leaves about 1e-8 of the largest norm at distance 0.
    """
    squares: np.ndarray = np.zeros((len(x), len(y)))
    if x.shape[1] <= _FEW:
        for a, b in zip(x.T, y.T, strict=True):
            squares += np.subtract.outer(a, b) ** 2
    else:
        centre = y.mean(axis=0)
        x, y = x - centre, y - centre
        squares += (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * (x @ y.T)
    return np.sqrt(np.maximum(squares, 0.0))  # type: ignore[no-any-return]


def blocks(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The matrix ``kernel(x, y)`` in blocks of rows, each with its rows' place."""
    rows = max(1, _BLOCK // max(1, len(y)))
    for start in range(0, len(x), rows):
        place = slice(start, start + rows)
        yield place, kernel(x[place], y)


def distance_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """:func:`distances` in blocks of rows."""
    return blocks(distances, x, y)


def mean_between(kernel: Kernel, x: np.ndarray, y: np.ndarray) -> float:
    """The mean of a kernel over all pairs of two sets."""
    return float(sum(block.sum() for _, block in blocks(kernel, x, y))) / (len(x) * len(y))


def mean_within(kernel: Kernel, x: np.ndarray, unbiased: bool) -> float:
    """The mean of a kernel over all pairs of one set; ``unbiased`` leaves out the pairs of a point with itself."""
    if not unbiased:
        return mean_between(kernel, x, x)
    total = 0.0
    for place, block in blocks(kernel, x, x):
        total += float(block.sum() - block[:, place].trace())
    return total / (len(x) * (len(x) - 1))
