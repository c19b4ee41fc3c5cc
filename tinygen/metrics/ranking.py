"""Floor 7. Measures that depend on the order of numbers only."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.metrics.arrays import numbers


def ranks(x: np.ndarray) -> np.ndarray:
    """1 for the smallest … n for the largest; equal numbers share the mean of their ranks."""
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - 0.5 * (count - 1))[group]


def auroc(scores: Any, labels: Any) -> float:
    """Area under the receiver operating characteristic: P(score of a positive > of a negative), ties count half.

    ``labels`` (n,) are 1 (or True) for positives, which should score high, and 0 for the others; both must occur.
    """
    values, positive = numbers("auroc", "scores", scores, 1), numbers("auroc", "labels", labels, 1)
    if values.shape != positive.shape:
        raise ValueError(f"auroc: scores {values.shape} and labels {positive.shape} must have the same shape")
    if not np.isin(positive, (0, 1)).all() or len(np.unique(positive)) < 2:
        raise ValueError(f"auroc: labels must be 0 and 1, and both must occur; got {np.unique(positive)[:5]}")
    n, m = np.count_nonzero(positive == 1), np.count_nonzero(positive == 0)
    above = ranks(values)[positive == 1].sum() - 0.5 * n * (n + 1)  # Mann and Whitney's U
    return float(above / (n * m))


def spearman(x: Any, y: Any) -> float:
    """Spearman's rank correlation, from −1 to 1: Pearson's correlation of the ranks, ties share theirs.

    >>> round(spearman([1, 2, 3, 4], [10, 20, 40, 30]), 4)
    0.8
    """
    first, second = numbers("spearman", "x", x, 1), numbers("spearman", "y", y, 1)
    if first.shape != second.shape or len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        raise ValueError(
            f"spearman: x {first.shape} and y {second.shape} must be of one length, and neither may be constant"
        )
    a, b = (r - r.mean() for r in (ranks(first), ranks(second)))
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))
