"""Training tier: autoencoders reach their gates with one calibrated seed (``pytest -m train``)."""

from __future__ import annotations

import numpy as np
import pytest

import tinygen as tg
from tinygen import metrics, optim, training
from tinygen.models import anomaly, autoencoder, classifier, denoising_autoencoder, pca
from tinygen.random import Generator

pytestmark = [pytest.mark.train, pytest.mark.host]


def test_linear_is_pca() -> None:
    """Over seeds 0 … 4 the excess was below 1e-5, the sine .0003 … .0299 (the gap of the eigenvalues is small)."""
    excess, sine = linear_error(0)
    assert -1e-5 < excess < 0.01
    assert sine < 0.06


def test_denoiser_learns_the_score() -> None:
    """Over seeds 0 … 4 the error was .0485 … .0631 after these 1,500 steps; the example's 6,000 reach .036."""
    assert score_error(0) < 0.08


def test_anomalous_digits_are_found() -> None:
    """Over seeds 0 … 5 the area was .9864 … .9885."""
    assert one_digit_auroc(0) > 0.975


def test_classifier() -> None:
    """Over seeds 0 … 5 the accuracy was 0.9464 … 0.9536 after these 300 steps; the example's 2,500 reach .9818."""
    assert classifier_accuracy(0) > 0.93


def linear_error(seed: int) -> tuple[float, float]:
    """Excess over the discarded eigenvalues, and sine of the angle to the principal subspace."""
    rng, points = Generator(seed), tg.data.load("digits8").images.reshape(-1, 64)
    exact = pca.fit(points)
    centred = points - exact.mean.astype(points.dtype)
    model = autoencoder.linear(64, 8, rng=rng.spawn("parameters"))
    batches = tg.data.Batches(centred, size=len(centred), rng=rng.spawn("batches"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(1e-2, 1500))
    training.run(autoencoder.State(model, optimizer, batches), autoencoder.step, 1500, progress=False)
    excess = autoencoder.error(model, tg.tensor(centred)) / exact.variances[8:].sum() - 1.0
    return excess, float(np.linalg.norm(autoencoder.decoder_projector(model) - exact.projector(8), 2))


def score_error(seed: int) -> float:
    """RMSE of the learned score of the ring with noise .5, over the norm of the exact one."""
    rng, noise, steps = Generator(seed), 0.5, 1500
    model = denoising_autoencoder.PlaneDenoiser(noise, rng=rng.spawn("parameters"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(5e-3, steps))
    sample = tg.data.density("ring", sd=0.2).sample
    state = denoising_autoencoder.State(model, optimizer, sample, rng.spawn("draws"))
    training.run(state, denoising_autoencoder.step, steps, progress=False)
    noisy = tg.data.density("ring", sd=float(np.hypot(0.2, noise)))
    return denoising_autoencoder.score_error(model, noisy, noisy.sample(rng.spawn("points"), 20_000))


def one_digit_auroc(seed: int) -> float:
    """AUROC of the other digits under a detector that saw the digit 0 only."""
    rng = Generator(seed)
    train, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    normal = train.images[train.labels == 0].reshape(-1, 256)
    model = autoencoder.perceptron(256, 8, (256, 64), rng=rng.spawn("parameters"))
    batches = tg.data.Batches(normal[200:], size=64, rng=rng.spawn("batches"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, 400))
    training.run(autoencoder.State(model, optimizer, batches), autoencoder.step, 400, progress=False)
    detector = anomaly.Detector(model, tg.tensor(normal[:200]))
    return metrics.auroc(detector.scores(tg.tensor(test.images.reshape(-1, 256))), test.labels != 0)


def classifier_accuracy(seed: int) -> float:
    """Share of test digits of mnist16 that a short training gets right."""
    rng = Generator(seed)
    train, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    model = classifier.convolutional(rng=rng.spawn("parameters"))
    batches = tg.data.Batches(train.images, train.labels, size=64, rng=rng.spawn("batches"))
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, 300))
    training.run(classifier.State(model, optimizer, batches, rng.spawn("shifts")), classifier.step, 300, progress=False)
    return classifier.accuracy(model, tg.tensor(test.images), test.labels)
