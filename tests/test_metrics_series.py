"""The autocorrelation of series, against the exact one of a process, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

import tinygen as tg
from tinygen.data import resonator
from tinygen.metrics import autocorrelation
from tinygen.random import Generator


def test_autocorrelation_of_a_known_process(device: str) -> None:
    process = resonator()
    exact = process.covariance(30)[0]
    found = autocorrelation(process.sample(Generator(0), 4000, 100), 30)
    # its standard error is .02 at most: 4,000 independent series of five periods each
    np.testing.assert_allclose(found, exact / exact[0], atol=0.06)


@pytest.mark.host
def test_autocorrelation_by_hand() -> None:
    """Mean 1 and deviations (−1, 0, 1, 0): products −1·0, 0·1, 1·0 at lag 1, and −1, 0 at lag 2; variance ½."""
    np.testing.assert_allclose(autocorrelation([[0.0, 1.0, 2.0, 1.0]], 4), [1.0, 0.0, -1.0, 0.0])
    np.testing.assert_array_equal(autocorrelation(tg.tensor([[0.0, 1.0, 2.0, 1.0]]), 1), [1.0])


@pytest.mark.host
def test_autocorrelation_refuses() -> None:
    for x, lags, message in (
        ([[1.0, 2.0]], 3, r"lags=3 must be 1 … 2"),
        ([[1.0, 1.0]], 1, "x is constant"),
        ([1.0, 2.0], 1, "x must have 2 axes"),
    ):
        with pytest.raises(ValueError, match=f"autocorrelation: {message}"):
            autocorrelation(x, lags)
