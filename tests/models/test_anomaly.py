"""Anomaly detection: scores against distances, thresholds against quantiles, the exact area against Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import metrics, nn
from tinygen.models import pca
from tinygen.models.anomaly import Detector, auroc_of_scaled_noise
from tinygen.models.autoencoder import linear
from tinygen.random import Generator


def principal(x: np.ndarray, k: int) -> nn.Module:
    """The linear autoencoder at its optimum (AE-2)."""
    exact = pca.fit(x)
    model = linear(x.shape[1], k, rng=Generator(0)).astype(x.dtype)
    basis = exact.directions[:k]
    model.encoder.load_state_dict({"weight": basis, "bias": -basis @ exact.mean})
    model.decoder.load_state_dict({"weight": basis.T, "bias": exact.mean})
    return model


def test_a_linear_score_is_the_squared_distance_to_the_subspace_and_blind_inside_it(device: str) -> None:
    rng = Generator(1)
    x = rng.normal((200, 5), dtype=np.float64).numpy() * [3.0, 2.0, 0.3, 0.2, 0.1]
    detector = Detector(principal(x, 2), tg.tensor(x))
    exact = pca.fit(x)
    np.testing.assert_allclose(detector.scores(tg.tensor(x)), exact.error(x, 2), rtol=1e-9, atol=1e-12)
    outlier = exact.mean + 1000.0 * exact.directions[0]
    off = exact.mean + 2.0 * exact.directions[4]
    assert detector.alarms(tg.tensor(np.stack([outlier, off]))).tolist() == [False, True]


@given(st.integers(1, 300), st.data(), st.integers(0, 100))
def test_of_n_normal_examples_the_threshold_is_the_one_that_the_share_asks_for(
    device: str, count: int, data: st.DataObject, seed: int
) -> None:
    """With a share of a/(n + 1), it is the a-th largest: that is how often a new score is above it."""
    above = data.draw(st.integers(1, count))
    model, normal = nn.Linear(1, 1, rng=Generator(0)), Generator(seed).normal((count, 1))
    detector = Detector(model, normal, above / (count + 1))
    assert detector.threshold == sorted(detector.scores(normal))[-above]


def test_new_normal_data_are_alarms_with_the_accepted_probability() -> None:
    """Averaged over the normal examples that the threshold was made of: exactly ⌊share·(n + 1)⌋ / (n + 1)."""
    model, rng = nn.Linear(1, 1, rng=Generator(0)), Generator(3)
    rates = [Detector(model, rng.normal((49, 1)), 0.1).alarms(rng.normal((200, 1))).mean() for _ in range(400)]
    assert abs(np.mean(rates) - 0.1) < 5 * np.std(rates) / 20  # 5 standard errors


@pytest.mark.host
@pytest.mark.parametrize(("degrees", "ratio"), [(2, 3.0), (6, 1.7), (16, 2.0), (16, 0.5)])
def test_the_exact_area_against_monte_carlo(degrees: int, ratio: float) -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    scores = np.concatenate([rng.chisquare(degrees, n), ratio * rng.chisquare(degrees, n)])
    measured = metrics.auroc(scores, np.arange(2 * n) >= n)
    assert abs(measured - auroc_of_scaled_noise(degrees, ratio)) < 0.006  # 5 standard errors: √(1/12 · 2/n) each
    assert np.isclose(auroc_of_scaled_noise(degrees, ratio) + auroc_of_scaled_noise(degrees, 1 / ratio), 1.0)


def test_nan_and_infinity_are_anomalies_and_no_normal_examples(device: str) -> None:
    model = nn.Linear(1, 1, rng=Generator(0))
    normal = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    strange = tg.tensor(np.array([[np.nan], [np.inf], [1e3], [0.0]], np.float32))
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        assert Detector(model, tg.tensor(normal)).alarms(strange).tolist() == [True, True, True, False]
    for bad in (np.nan, np.inf):
        normal[3] = bad
        with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="1 of the normal examples have an error"):
            Detector(model, tg.tensor(normal))


def test_scores_are_those_of_evaluation_mode(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=Generator(0)), nn.BatchNorm1d(2), nn.Dropout(0.5, rng=Generator(1)))
    x = Generator(2).normal((30, 2))
    detector = Detector(model, x)
    np.testing.assert_allclose(detector.scores(x)[:1], detector.scores(x[:1]), rtol=1e-6)  # float32
    assert all(part.training for part in model.modules())


def test_what_makes_no_sense_is_refused() -> None:
    model = nn.Linear(1, 1, rng=Generator(0))
    with pytest.raises(ValueError, match="false_alarms is a share between 0 and 1, got 5"):
        Detector(model, tg.zeros((10, 1)), 5)
    with pytest.raises(ValueError, match=r"10 normal examples do not show a share of 0\.01; give at least 99"):
        Detector(model, tg.zeros((10, 1)), 0.01)
    with pytest.raises(ValueError, match="degrees must be even"):
        auroc_of_scaled_noise(3, 2.0)
