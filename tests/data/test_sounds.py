"""Spoken digits and the µ-law."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data.sounds import mu_law_decode, mu_law_encode, spoken_digits

pytestmark = pytest.mark.host


def test_the_recordings() -> None:
    waveforms, labels, rate = spoken_digits()
    assert rate == 8000
    assert labels.tolist() == list(range(10))
    assert [len(waveform) for waveform in waveforms] == [6998, 7290, 5978, 6706, 6415, 6561, 7047, 6561, 5540, 6870]
    assert all(waveform.dtype == np.float32 for waveform in waveforms)
    assert all(0.2 < np.abs(waveform).max() <= 1 for waveform in waveforms)
    assert all(abs(waveform.mean()) < 0.01 for waveform in waveforms)  # no constant offset
    codes = np.concatenate([mu_law_encode(waveform) for waveform in waveforms]).astype(np.uint8)
    assert hashlib.sha256(codes.tobytes()).hexdigest()[:16] == "c3b70a139a7c29c4"


def test_each_is_sound_between_silences() -> None:
    for waveform in spoken_digits().waveforms:
        loudness = [float(np.sqrt((part**2).mean())) for part in np.array_split(waveform, 20)]
        assert max(loudness) > 10 * min(loudness)


def test_codes_come_back_exactly() -> None:
    codes = np.arange(256)
    assert mu_law_encode(mu_law_decode(codes)).tolist() == codes.tolist()


@given(value=st.floats(-1, 1))
def test_error_is_at_most_half_a_step(value: float) -> None:
    """The curve's slope at x is µ / (log(1 + µ) (1 + µ|x|)); a step on it is 2/255, half of one 1/255."""
    decoded = float(mu_law_decode(mu_law_encode(np.array(value))))
    far = max(abs(value), abs(decoded))  # the slope is smallest at the far end
    assert abs(decoded - value) <= np.log(256) * (1 + 255 * far) / 255 / 255 + 1e-7  # float32


@given(values=st.lists(st.floats(-1, 1), min_size=2))
def test_encoding_keeps_order(values: list[float]) -> None:
    codes = mu_law_encode(np.sort(values))
    assert (np.diff(codes) >= 0).all()
    assert ((codes >= 0) & (codes <= 255)).all()


@pytest.mark.parametrize("value", [1.001, -2.0, np.nan, np.inf])
def test_values_outside_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"values must lie in \[-1, 1\]"):
        mu_law_encode(np.array([0.0, value]))


@pytest.mark.parametrize("codes", [[-1], [256], [0.5]])
def test_codes_outside_are_refused(codes: list[float]) -> None:
    with pytest.raises(ValueError, match="codes must be integers 0 … 255"):
        mu_law_decode(np.array(codes))
