"""The classical benchmark: a variational autoencoder on 28 × 28 MNIST, binarised anew at every step.

It needs MNIST's four files (``tg.data.load("mnist", download=True)`` fetches them; or put them into a folder ``mnist``
beneath the one that TINYGEN_DATA names).

python examples/vae_mnist28.py           30,000 steps, some 10 minutes on one core
python examples/vae_mnist28.py --quick   10,000 steps, some 3 minutes
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.models import vae
from tinygen.models.vae import VAE, BinomialLikelihood, State, evaluate
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.tensor import Tensor

PIXELS, LATENT, HIDDEN = 784, 32, 512

EXAMPLE = Example(
    name="vae_mnist28",
    systems=("VAE",),
    models=("tinygen/models/vae.py",),
    # Published for a perceptron after as many steps: -109.0 and -106.6 (jaanli/variational-autoencoder).
    gates=(Gate("held-out ELBO", "nats per image", at_least=(-112.0, -107.0)),),
)


def train(run: Run) -> dict[str, float]:
    grey, held_out = (load(split) for split in ("train", "test"))
    rng, steps = run.rng, run.choose(quick=10_000, full=30_000)
    encoder = perceptron(PIXELS, 2 * LATENT, rng.spawn("encoder"))
    decoder = perceptron(LATENT, PIXELS, rng.spawn("decoder"))
    model = VAE(encoder, decoder, BinomialLikelihood(), LATENT)
    adam = optim.Adam(model.parameters(), lr=optim.cosine(1e-3, steps, 1e-4))
    state = State(model, adam, tg.data.Batches(grey, size=128, rng=rng.spawn("batches")), rng.spawn("noise"))
    run.train(state, binarising_step, steps, watch="ELBO")

    x = rng.spawn("held-out").bernoulli(tg.tensor(held_out), dtype=held_out.dtype)
    terms = evaluate(model, x, rng.spawn("evaluate"), samples=3)
    figure, ((left, middle, right),) = plots.figure(1, 3, (9.0, 3.2))
    few = x[:64]
    for axes, images, title in (
        (left, few, "Held-out digits, binarised"),
        (middle, model.reconstruct(few), "Reconstructions"),
        (right, model.sample(rng.spawn("samples"), 64), "Samples: decoded z ~ N(0, I)"),
    ):
        plots.image_grid(axes, images.detach().reshape(-1, 28, 28), 8, title)
    plots.save(figure, run.picture("vae_mnist28.png"))
    return {f"held-out {name}": value for name, value in terms.items()}


def perceptron(inputs: int, outputs: int, rng: Generator) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN, rng=rng), nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN, rng=rng), nn.ReLU(),
        nn.Linear(HIDDEN, outputs, rng=rng),
    )  # fmt: skip


def binarising_step(state: State) -> Mapping[str, Tensor]:
    """A grey is the probability of ink: each time an image is seen, its pixels are drawn anew."""
    (grey,) = state.batches.next()
    return vae.ascend(state, state.rng.bernoulli(grey, dtype=grey.dtype))


def load(split: str) -> np.ndarray:
    """Rows of 784 greys; leaves with a word if the files are not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the small digits are used instead, which they are not
        images: np.ndarray = tg.data.load("mnist", split=split).images
    if images.shape[1:] != (1, 28, 28):
        sys.exit(f"vae_mnist28 needs the files of MNIST.\n{__doc__}")
    return images.reshape(-1, PIXELS)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
