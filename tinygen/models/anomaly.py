"""Anomaly detection by reconstruction (AE-5): what an autoencoder has not seen, it cannot restore.

    score(x) = ‖x − G(M(x))‖²,   anomaly if score(x) > t,   t = a quantile of the scores of held-out normal data

It is trained on normal data only, and needs no example of an anomaly.  The quantile is the share of false alarms that
is accepted; t comes from normal data that were not trained on, whose scores are higher.  It is blind to whatever the
decoder can make although it is not normal: for linear maps, to outliers inside the principal subspace.

Source: Japkowicz, Myers & Gluck 1995; the linear case is the residual of PCA (Jackson & Mudholkar 1979).
"""

from __future__ import annotations

import math

import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.models.autoencoder import squared_error
from tinygen.tensor import Tensor


class Detector:
    """A trained autoencoder, and the threshold above which an error is an alarm.

    ``normal`` are held-out normal examples, ``false_alarms`` the accepted share of alarms among such.
    Raises ValueError if there are too few of them for that share, or if one has no finite error.
    """

    def __init__(self, model: nn.Module, normal: Tensor, false_alarms: float = 0.05) -> None:
        if not 0 < false_alarms < 1:
            raise ValueError(f"Detector: false_alarms is a share between 0 and 1, got {false_alarms}")
        if false_alarms * (len(normal) + 1) < 1 - 1e-9:
            raise ValueError(
                f"Detector: {len(normal)} normal examples do not show a share of {false_alarms}; "
                f"give at least {math.ceil(1 / false_alarms) - 1}"
            )
        self.model = model
        ordered = np.sort(self.scores(normal))
        if not np.isfinite(ordered).all():
            raise ValueError(
                f"Detector: {np.count_nonzero(~np.isfinite(ordered))} of the normal examples have an error that is NaN "
                "or infinite; take them out, or train the model anew if it gives NaN"
            )
        # New normal data are above the k-th smallest of n with probability (n + 1 − k) / (n + 1).  The small number
        # makes up for the rounding of a product that should be whole.
        above = math.floor(false_alarms * (len(ordered) + 1) + 1e-9)
        self.threshold = float(ordered[len(ordered) - above])

    def scores(self, x: Tensor) -> np.ndarray:
        """The squared error of reconstruction (N,), in evaluation mode, on the host (AE-5)."""
        with tg.no_grad(), nn.evaluating(self.model):
            found: np.ndarray = squared_error(x, self.model(x)).numpy()
        return found

    def alarms(self, x: Tensor) -> np.ndarray:
        """Which examples are called anomalies: (N,) booleans.  One whose error is NaN or infinite is one."""
        alarms: np.ndarray = ~(self.scores(x) <= self.threshold)
        return alarms


def auroc_of_scaled_noise(degrees: int, ratio: float) -> float:
    """The exact AUROC of ‖noise‖² where anomalies have ``ratio`` times the variance of normal examples.

    In the 2a = ``degrees`` dimensions that the autoencoder drops, both scores are multiples of χ² with 2a degrees of
    freedom, so that P(anomaly's score > normal one's) = P(F > 1/ratio) for an F distribution with (2a, 2a) degrees:
    the regularised incomplete beta function I_s(a, a) at s = ratio / (1 + ratio), for whole a a binomial sum.

    >>> auroc_of_scaled_noise(2, 3.0), auroc_of_scaled_noise(8, 1.0)
    (0.75, 0.5)
    """
    if degrees < 2 or degrees % 2 or not ratio > 0:
        raise ValueError(f"auroc_of_scaled_noise: degrees must be even and ratio positive, got {degrees} and {ratio}")
    a, s = degrees // 2, ratio / (1 + ratio)
    trials = 2 * a - 1
    return sum(math.comb(trials, j) * s**j * (1 - s) ** (trials - j) for j in range(a, trials + 1))
