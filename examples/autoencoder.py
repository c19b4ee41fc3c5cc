"""Autoencoders: linear (which is PCA), as a perceptron with a map in two dimensions, and convolutional.

It ends with why an autoencoder does not generate: its loss does not say where the codes lie.

python examples/autoencoder.py            about a minute and a half
python examples/autoencoder.py --quick    half a minute
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import metrics, optim, plots
from tinygen.models import pca
from tinygen.models.autoencoder import (
    Autoencoder,
    CodeDensity,
    State,
    convolutional,
    decoder_projector,
    error,
    linear,
    perceptron,
    recoded,
    step,
)
from tinygen.running import Example, Gate, Run, main

LINEAR_CODE, CODE, SAMPLES = 8, 16, 2000

EXAMPLE = Example(
    name="autoencoder",
    systems=("AE",),
    models=("tinygen/models/autoencoder.py", "tinygen/models/pca.py"),
    gates=(
        # 1 is the exact optimum, the sum of the discarded eigenvalues: nothing linear is below it.
        Gate("linear: error / discarded eigenvalues", at_most=1.01, never_below=0.99999),
        Gate("linear: sine of the angle to the principal subspace", at_most=(0.05, 0.02)),
        Gate("linear: |GMx - Px| / |Px|", at_most=0.01),
        Gate("map: held-out error / that of 2 principal components", at_most=(0.8, 0.68)),
        # With --quick .587 … .727 over seeds 0 … 7.
        Gate("convolutional: held-out error / that of 16 principal components", at_most=(0.78, 0.55)),
        Gate("recoded: |change of the error| / error", at_most=1e-3, exact=True),
        Gate("distance to real images: codes from N(0, I) / from the fitted Gaussian", at_least=3.0),
    ),
)


class Digits(NamedTuple):
    """mnist16 as rows of pixels, and as images."""

    training: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray
    pca: pca.PCA


def train(run: Run) -> dict[str, float]:
    training, test = tg.data.load("mnist16"), tg.data.load("mnist16", split="test")
    digits = Digits(training.images, test.images, test.labels, pca.fit(rows(training.images)))
    measured = linear_is_pca(run)
    flat, its_numbers = two_dimensions(run, digits)
    deep, more_numbers = convolutions(run, digits)
    generated, last_numbers = generate(run, deep, digits)
    draw(flat, deep, digits, generated, run.picture("autoencoder.png"))
    return measured | its_numbers | more_numbers | last_numbers


def rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def linear_is_pca(run: Run) -> dict[str, float]:
    """AE-2: two linear maps, trained on all digits at once, against the eigenvalues and the principal projector."""
    points = rows(tg.data.load("digits8").images)
    exact = pca.fit(points)
    centred = points - exact.mean.astype(points.dtype)
    steps = run.choose(quick=2500, full=4000)
    rng = run.rng.spawn("linear")
    model = linear(64, LINEAR_CODE, rng=rng.spawn("parameters"))
    batches = tg.data.Batches(centred, size=len(centred), rng=rng.spawn("batches"))
    state = State(model, optim.Adam(model.parameters(), lr=optim.cosine(1e-2, steps)), batches)
    run.train(state, step, steps, name="linear")

    x, projector = tg.tensor(centred), exact.projector(LINEAR_CODE)
    with tg.no_grad():
        mapped = model(x).numpy()
    return {
        "linear: error / discarded eigenvalues": error(model, x) / exact.variances[LINEAR_CODE:].sum(),
        "linear: sine of the angle to the principal subspace": np.linalg.norm(decoder_projector(model) - projector, 2),
        "linear: |GMx - Px| / |Px|": np.linalg.norm(mapped - centred @ projector) / np.linalg.norm(centred @ projector),
    }


def two_dimensions(run: Run, digits: Digits) -> tuple[Autoencoder, dict[str, float]]:
    """AE-3: a code of two numbers, to look at."""
    model = perceptron(256, 2, rng=run.rng.spawn("map parameters"))
    fit(run, model, rows(digits.training), run.choose(quick=1000, full=5000), name="map")
    own, exact = error(model, tg.tensor(rows(digits.held_out))), digits.pca.error(rows(digits.held_out), 2).mean()
    return model, {"map: held-out error / that of 2 principal components": own / exact}


def convolutions(run: Run, digits: Digits) -> tuple[Autoencoder, dict[str, float]]:
    model = convolutional(CODE, rng=run.rng.spawn("convolutional parameters"))
    fit(run, model, digits.training, run.choose(quick=800, full=4000), name="convolutional")
    own, exact = error(model, tg.tensor(digits.held_out)), digits.pca.error(rows(digits.held_out), CODE).mean()
    return model, {"convolutional: held-out error / that of 16 principal components": own / exact}


def fit(run: Run, model: Autoencoder, images: np.ndarray, steps: int, *, name: str) -> None:
    batches = tg.data.Batches(images, size=64, rng=run.rng.spawn(f"{name} batches"))
    rate = optim.warmup(50, optim.cosine(3e-3, steps - 50))
    run.train(State(model, optim.Adam(model.parameters(), lr=rate), batches), step, steps, name=name, watch="error")


@tg.no_grad()
def generate(run: Run, model: Autoencoder, digits: Digits) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """AE-6: images decoded from codes of three origins, and how far they are from real ones."""
    rng = run.rng.spawn("generate")
    held_out = tg.tensor(digits.held_out[:SAMPLES])
    other = recoded(model, 0.3 * np.linalg.qr(rng.normal((CODE, CODE), device="cpu").numpy())[0])
    noise = rng.normal((SAMPLES, CODE))
    fitted = CodeDensity(model.encoder(tg.tensor(digits.training)))
    images = {
        "real": held_out,
        "z from N(0, I)": model.decoder(noise),
        "the same codes,\nrecoded": other.decoder(noise),
        "z from a\nGaussian fit": model.decoder(fitted.sample(rng, SAMPLES)),
    }
    generated = {name: made.numpy() for name, made in images.items()}
    far = {
        name: metrics.energy_distance(rows(made), rows(digits.held_out[SAMPLES:])) for name, made in generated.items()
    }
    before, after = error(model, held_out), error(other, held_out)
    return generated, {
        "recoded: |change of the error| / error": abs(after - before) / before,
        "distance to real images: codes from N(0, I) / from the fitted Gaussian": (
            far["z from N(0, I)"] / far["z from a\nGaussian fit"]
        ),
    }


@tg.no_grad()
def draw(flat: Autoencoder, deep: Autoencoder, digits: Digits, generated: dict[str, np.ndarray], path: Path) -> Path:
    """Two maps of the same held-out digits, reconstructions, and generated images."""
    figure, ((top_left, top_right), (low_left, low_right)) = plots.figure(2, 2, (8.0, 6.3))
    x, labels = rows(digits.held_out[:600]), digits.labels[:600]
    principal = digits.pca.encode(x, 2)
    plots.labelled_scatter(top_left, principal, labels, "2 principal components (linear)", ("z₁", "z₂"))
    plots.labelled_scatter(top_right, flat.encoder(tg.tensor(x)), labels, "Code of 2 numbers (perceptron)")

    shown = digits.held_out[:8]
    pictures = {
        "original": shown,
        f"{CODE} principal\ncomponents": digits.pca.decode(digits.pca.encode(rows(shown), CODE)),
        f"code of {CODE}": deep(tg.tensor(shown)).numpy(),
        "2 principal\ncomponents": digits.pca.decode(digits.pca.encode(rows(shown), 2)),
        "code of 2": flat(tg.tensor(rows(shown))).numpy(),
    }
    strip(low_left, pictures, "Held-out digits, restored from codes")
    strip(low_right, generated, f"Decoded codes of {CODE} numbers")
    return plots.save(figure, path)


def strip(axes: Any, pictures: dict[str, np.ndarray], title: str) -> None:
    images = np.stack([made[:8].reshape(8, 16, 16) for made in pictures.values()])
    plots.image_strip(axes, images, rows=list(pictures), title=title, clip=True)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
