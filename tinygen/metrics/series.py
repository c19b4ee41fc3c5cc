"""Floor 7. How long a series remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.metrics.arrays import numbers


def autocorrelation(x: Any, lags: int) -> np.ndarray:
    """The correlation of x_t and x_{t+k} for k = 0 … lags − 1, of stationary series (N, T): over all of them and all t.

    >>> autocorrelation([[1.0, -1.0, 1.0, -1.0]], 3).tolist()
    [1.0, -1.0, 1.0]
    """
    series = numbers("autocorrelation", "x", x, 2)
    if not 0 < lags <= series.shape[1]:
        raise ValueError(f"autocorrelation: lags={lags} must be 1 … {series.shape[1]}, the length of the series")
    series = series - series.mean()
    if not series.any():
        raise ValueError("autocorrelation: x is constant, and what does not vary has no correlation")
    products = np.array([np.mean(series[:, : series.shape[1] - k] * series[:, k:]) for k in range(lags)])
    correlations: np.ndarray = products / products[0]
    return correlations
