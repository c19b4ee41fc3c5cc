"""Chapter 2. Divergences between distributions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, QUAD, Check, Claim, at_least, same
from tinygen.lectures.numerics import gauss_hermite
from tinygen.testing.strategies import vectors

DIV_5 = Claim(
    "DIV-5",
    "KL of a Gaussian from N(0, I): the KL term of a variational autoencoder",
    r"\mathrm{KL}\big(N(\mu,\mathrm{diag}\,\sigma^2)\,\|\,N(0,I)\big)=\tfrac12\sum_i(\sigma_i^2-\ln\sigma_i^2-1+\mu_i^2)",
    sources="004 002 003",
)


def kl_from_standard(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    """½ Σ (σ² − ln σ² − 1 + μ²), in nats."""
    return 0.5 * tg.sum(deviation**2 - 2.0 * tg.log(deviation) - 1.0 + mean**2)


@DIV_5.part(mean=vectors(3), deviation=vectors(3, 0.1, 5.0))
def equals_the_integral(mean: np.ndarray, deviation: np.ndarray, *, kl: Any = kl_from_standard) -> Iterator[Check]:
    """The closed form equals E_q[ln q − ln p] by Gauss–Hermite quadrature, dimension by dimension."""
    nodes, weights = gauss_hermite(20)
    x = mean[:, None] + deviation[:, None] * nodes
    log_ratio = -np.log(deviation)[:, None] - 0.5 * nodes**2 + 0.5 * x**2
    yield same("closed form = quadrature", kl(tg.tensor(mean), tg.tensor(deviation)), (log_ratio @ weights).sum(), QUAD)
    yield at_least("never negative", kl(tg.tensor(mean), tg.tensor(deviation)), 0.0, ALG)
    zero, one = tg.zeros_like(tg.tensor(mean)), tg.ones_like(tg.tensor(mean))
    yield same("zero at μ = 0, σ = 1", kl(zero, one), 0.0, EXACT)


@equals_the_integral.erratum(
    "E-06", "σ is the variance there, not the standard deviation", printed=r"\tfrac12(\sigma_i-\ln\sigma_i-1+\mu_i^2)"
)
def variance_as_deviation(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return 0.5 * tg.sum(deviation - tg.log(deviation) - 1.0 + mean**2)


@equals_the_integral.falsification("without μ²")
def without_the_mean(mean: tg.Tensor, deviation: tg.Tensor) -> tg.Tensor:
    return kl_from_standard(tg.zeros_like(mean), deviation)


def slopes_by_hand(mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂KL/∂μ = μ and, with ℓ = ln σ², ∂KL/∂ℓ = ½ (eˡ − 1)."""
    return mean, 0.5 * (np.exp(log_variance) - 1.0)


@DIV_5.part(mean=vectors(3), log_variance=vectors(3))
def gradients(mean: np.ndarray, log_variance: np.ndarray, *, slopes: Any = slopes_by_hand) -> Iterator[Check]:
    """Autodiff of the closed form gives the slopes derived by hand."""
    mu, log_var = (tg.tensor(value, requires_grad=True) for value in (mean, log_variance))
    found = tg.grad(kl_from_standard(mu, tg.exp(0.5 * log_var)), (mu, log_var))
    for name, slope, expected in zip("μℓ", found, slopes(mean, log_variance), strict=True):
        yield same(f"∂{name}", slope, expected, ALG)


@gradients.falsification("without the −1")
def no_minus_one(mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return mean, 0.5 * np.exp(log_variance)
