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
from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.models import vae
from tinygen.models.vae import VAE, BinomialLikelihood, State, evaluate
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.tensor import Tensor
from tinygen.training import History

PIXELS, LATENT, HIDDEN = 784, 32, 512

EXAMPLE = Example(
    name="vae_mnist28",
    systems=("VAE",),
    models=("tinygen/models/vae.py",),
    gates=(
        # Published for a perceptron after 10,000 and 30,000 steps: -109.0 and -106.6 (jaanli/variational-autoencoder).
        Gate("held-out ELBO after 10,000 steps", "nats per image", at_least=-112.0),
        Gate("held-out ELBO at the end", "nats per image", at_least=(-112.0, -107.0)),
    ),
)


def train(run: Run) -> dict[str, float]:
    grey, held_out = (load(split) for split in ("train", "test"))
    rng, steps = run.rng, run.choose(quick=10_000, full=30_000)
    encoder = perceptron(PIXELS, 2 * LATENT, rng.spawn("encoder"))
    decoder = perceptron(LATENT, PIXELS, rng.spawn("decoder"))
    model = VAE(encoder, decoder, BinomialLikelihood(), LATENT)
    adam = optim.Adam(model.parameters(), lr=optim.cosine(1e-3, steps, 1e-4))
    state = State(model, adam, tg.data.Batches(grey, size=128, rng=rng.spawn("batches")), rng.spawn("noise"))
    x = rng.spawn("held-out").bernoulli(tg.tensor(held_out), dtype=held_out.dtype)

    def held_out_bound(state: State) -> dict[str, float]:
        return {"held-out ELBO": evaluate(state.vae, x, rng.spawn("evaluate"), samples=1)["ELBO"]}

    history = run.train(state, binarising_step, steps, every=1000, watch="held-out ELBO", evaluate=held_out_bound)
    draw(model, x, history, rng.spawn("samples"), run.picture("vae_mnist28.png"))
    bound_after = {report["step"]: report["held-out ELBO"] for report in history}
    terms = evaluate(model, x, rng.spawn("evaluate"), samples=3)
    return {
        "held-out ELBO after 10,000 steps": bound_after[10_000],
        "held-out ELBO at the end": terms.pop("ELBO"),
        **{f"held-out {name}": value for name, value in terms.items()},
    }


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


@tg.no_grad()
def draw(model: VAE, x: Tensor, history: History, rng: Generator, path: Path) -> Path:
    """Held-out digits, what the model restores and invents, and the bound over the steps."""
    figure, ((left, middle), (low_left, low_right)) = plots.figure(2, 2, (7.6, 7.6))
    few = x[:64]
    for axes, images, title in (
        (left, few, "Held-out digits, binarised"),
        (middle, model.reconstruct(few), "Reconstructions"),
        (low_left, model.sample(rng, 64), "Samples: decoded z ~ N(0, I)"),
    ):
        plots.image_grid(axes, images.reshape(-1, 28, 28), 8, title)
    bounds = {
        "training": [report["ELBO"] for report in history],
        "held-out": [report["held-out ELBO"] for report in history],
    }
    steps = [report["step"] for report in history]
    plots.curves(low_right, steps, bounds, title="The bound", names=("step", "ELBO, nats per image"))
    low_right.set_ylim(bottom=-115.0)
    return plots.save(figure, path)


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
