"""Floor 7. What all metrics do to their arguments: bring them to the host, in float64, and look at their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.backend import to_host
from tinygen.tensor import raw


def on_host(x: Any) -> np.ndarray:
    """The values of a tensor, an array or nested lists, on the host in their own dtype."""
    array = raw(x)
    return to_host(array) if hasattr(array, "dtype") and not isinstance(array, np.generic) else np.asarray(array)


def numbers(metric: str, argument: str, x: Any, ndim: int | None = None) -> np.ndarray:
    """Values as float64, with ``ndim`` axes and none of them NaN or infinite; else ValueError."""
    values = on_host(x).astype(np.float64)
    if ndim is not None and values.ndim != ndim:
        raise ValueError(f"{metric}: {argument} must have {ndim} axes, got shape {values.shape}; use reshape")
    if not np.isfinite(values).all():
        raise ValueError(f"{metric}: {argument} has {np.count_nonzero(~np.isfinite(values))} values that are NaN or ±∞")
    return values


def two_samples(metric: str, x: Any, y: Any, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points (n, d) and (m, d), each of at least ``least`` points."""
    first, second = numbers(metric, "x", x, 2), numbers(metric, "y", y, 2)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"{metric}: x {first.shape} and y {second.shape} must be points of the same dimension")
    if min(len(first), len(second)) < least:
        raise ValueError(f"{metric}: needs {least} points or more in each set, got {len(first)} and {len(second)}")
    return first, second
