"""Training tier: PixelCNN reaches its gate with one calibrated seed (``pytest -m train``)."""

from __future__ import annotations

import numpy as np
import pytest

import tinygen as tg
from tinygen import optim, training
from tinygen.data import CausalField
from tinygen.models.pixelcnn import GatedPixelCNN, PlainPixelCNN, RasterModel, State, evaluate, step
from tinygen.random import Generator

pytestmark = [pytest.mark.train, pytest.mark.host]


def excess(kind: str, seed: int) -> tuple[float, float]:
    """Held-out NLL, and its mean excess over −log p of the truth, in nats per pixel, after 300 steps."""
    rng, steps, field = Generator(seed), 300, CausalField(8, 1.0)
    model: RasterModel = (
        PlainPixelCNN(channels=8, layers=3, rng=rng.spawn("parameters"))
        if kind == "plain"
        else GatedPixelCNN(channels=8, dilations=(1, 1), rng=rng.spawn("parameters"))
    )
    batches = tg.data.Batches(field.sample(rng.spawn("images"), 20_000), size=64, rng=rng.spawn("batches"))
    state = State(model, optim.Adam(model.parameters(), lr=optim.cosine(1e-2, steps, 1e-4)), batches)
    training.run(state, step, steps, progress=False)
    held_out = field.sample(rng.spawn("held out"), 3_000)
    log_q = evaluate(model, held_out).sum(axis=(1, 2))
    return -float(np.mean(log_q)) / 64, float(np.mean(field.log_prob(held_out).numpy() - log_q)) / 64


@pytest.mark.parametrize("kind", ["plain", "gated"])
def test_pixelcnn_learns_the_causal_field(kind: str) -> None:
    """Over seeds 0 … 4 the excess was 0.0002 … 0.0006 (plain) and 0.0003 … 0.0004 (gated), so 0.005 is far above it.

    Independent pixels are 0.177 nats above the entropy.
    """
    nll, over = excess(kind, 0)
    assert over < 0.005
    assert nll > 0.507  # below: the network sees what it predicts; the entropy is .51659
