"""A variational autoencoder on real 8 × 8 digits: trains, prints its bound, and draws what it learned.

python examples/vae_digits.py            two latent dimensions, about 20 seconds
python examples/vae_digits.py --quick    a first look in 4 seconds
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.models.vae import VAE, BinomialLikelihood, State, evaluate, perceptron, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

LATENT, LEVELS, HELD_OUT = 2, 16, 297

EXAMPLE = Example(
    name="vae_digits",
    systems=("VAE",),
    models=("tinygen/models/vae.py",),
    gates=(
        # Independent binomials, one for each pixel, reach -248.6 on the held-out digits.
        Gate("held-out ELBO", "nats per image", at_least=(-176.0, -156.0)),
        Gate("held-out KL", "nats per image", at_least=4.0),  # an unused latent dimension has KL 0
    ),
)


def train(run: Run) -> dict[str, float]:
    training_images, held_out, labels = split(run.rng.spawn("split"))
    vae = perceptron(64, LATENT, likelihood=BinomialLikelihood(LEVELS), rng=run.rng.spawn("parameters"))
    state = State(
        vae,
        optim.Adam(vae.parameters(), lr=2e-3),
        tg.data.Batches(training_images, size=100, rng=run.rng.spawn("batches")),
        run.rng.spawn("noise"),
    )
    run.train(state, step, run.choose(quick=1500, full=10_000), watch="ELBO")

    measured: dict[str, float] = {}
    for name, images in (("training", training_images), ("held-out", held_out)):
        terms = evaluate(vae, tg.tensor(images), run.rng.spawn(f"evaluate {name}"))
        measured |= {f"{name} {term}": value for term, value in terms.items()}
    draw(vae, tg.tensor(held_out), labels, run.rng.spawn("picture"), run.picture("vae_digits.png"))
    return measured


def split(rng: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training images, held-out images (both (N, 64)) and the labels of the held-out ones, in random order."""
    digits = tg.data.load("digits8")
    order = rng.permutation(len(digits.labels), device="cpu").numpy()
    images, labels = digits.images.reshape(-1, 64)[order], digits.labels[order]
    return images[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]


@tg.no_grad()
def draw(vae: VAE, x: tg.Tensor, labels: np.ndarray, rng: Generator, path: Path) -> Path:
    """Originals over reconstructions, samples, posterior means, and the decoded latent plane."""
    figure, ((top_left, top_right), (low_left, low_right)) = plots.figure(2, 2, (8.0, 7.4))
    mean = vae.posterior(x).mean
    pairs = np.stack([x.numpy()[:40], vae.decode(mean).numpy()[:40]]).reshape(2, 4, 10, 8, 8)
    plots.image_grid(top_left, pairs.swapaxes(0, 1).reshape(80, 8, 8), 10, "Held-out digits over reconstructions")
    plots.image_grid(top_right, vae.sample(rng, 80).reshape(-1, 8, 8), 10, "Samples: decoded z ~ N(0, I)")
    plots.labelled_scatter(low_left, mean, labels, "Posterior means of held-out digits", ("z₁", "z₂"))

    extent, count = (-2.8, 2.8, -2.8, 2.8), 15
    decoded = vae.decode(tg.tensor(plots.lattice(extent, count)))
    plots.image_grid(
        low_right, decoded.reshape(-1, 8, 8), count, "The latent plane, decoded", extent, names=("z₁", "z₂")
    )
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
