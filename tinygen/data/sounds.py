"""Floor 5. Ten spoken digits that ship with the package, and the µ-law that makes sound a sequence of classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygen.backend import default_dtype
from tinygen.data.bundled import read

LEVELS = 256


class Sounds(NamedTuple):
    """Recordings on the host: ``waveforms[i]`` (T_i,) with values in [-1, 1] says ``labels[i]``.

    ``rate`` is the number of samples a second.
    """

    waveforms: tuple[np.ndarray, ...]
    labels: np.ndarray
    rate: int


def spoken_digits() -> Sounds:
    """The digits 0 … 9, spoken once each by Allison Smith: 0.7 … 0.9 s at 8 kHz (Asterisk sounds, CC BY-SA 3.0).

    The levels are those of ``mu_law_encode``, which gives them back exactly.

    >>> [len(waveform) for waveform in spoken_digits().waveforms[:2]]
    [6998, 7290]
    """
    arrays = read("spoken_digits")
    waveforms = np.split(mu_law_decode(arrays["codes"]), np.cumsum(arrays["lengths"])[:-1])
    return Sounds(tuple(waveforms), np.arange(10), 8000)


def mu_law_encode(waveform: np.ndarray) -> np.ndarray:
    """Integers 0 … 255 for values in [-1, 1]: equal steps of sign(x) log(1 + µ|x|) / log(1 + µ), µ = 255.

    Near silence the steps are 46 times finer than even ones.  Values outside [-1, 1] and NaN raise ValueError.

    >>> mu_law_encode(np.array([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    values = np.asarray(waveform, np.float64)
    if not np.all(np.abs(values) <= 1):
        raise ValueError("mu_law_encode: values must lie in [-1, 1]; divide by the largest magnitude")
    mu = LEVELS - 1
    companded: np.ndarray = np.sign(values) * np.log1p(mu * np.abs(values)) / np.log1p(mu)
    return np.rint((companded + 1) / 2 * mu).astype(np.int64)


def mu_law_decode(codes: np.ndarray) -> np.ndarray:
    """The values in [-1, 1] of integers 0 … 255: the inverse of ``mu_law_encode``, in the default dtype."""
    levels = np.asarray(codes)
    if levels.dtype.kind not in "iu" or np.any((levels < 0) | (levels >= LEVELS)):
        raise ValueError(f"mu_law_decode: codes must be integers 0 … {LEVELS - 1}")
    mu = LEVELS - 1
    companded = levels / mu * 2 - 1
    values: np.ndarray = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return values.astype(default_dtype())
