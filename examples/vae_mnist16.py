"""Variational autoencoders against the best mixture of 50 components, on two sets of digits.

python examples/vae_mnist16.py           16 × 16 black and white and 8 × 8 counts, about 2 minutes
python examples/vae_mnist16.py --quick   less than a minute
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.models import bernoulli_mixture
from tinygen.models.bernoulli_mixture import BernoulliMixture
from tinygen.models.vae import VAE, BinomialLikelihood, State, evaluate, perceptron, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

COMPONENTS = 50
IMPORTANCE_SAMPLES, BOUNDED = 64, 500

EXAMPLE = Example(
    name="vae_mnist16",
    systems=("VAE",),
    models=("tinygen/models/vae.py", "tinygen/models/bernoulli_mixture.py"),
    gates=(
        Gate("mnist16: ELBO above the mixture's log p", "%", at_least=(5.0, 10.0)),
        Gate("mnist16: active dimensions", at_least=4.0),
        Gate("mnist16: IW-64 bound - ELBO", "nats per image", at_least=0.0, exact=True),
        Gate("digits8: ELBO above the mixture's log p", "%", at_least=15.0),
        Gate("digits8: active dimensions", at_least=4.0),
        Gate("digits8: IW-64 bound - ELBO", "nats per image", at_least=0.0, exact=True),
    ),
)


def train(run: Run) -> dict[str, float]:
    likelihood = BinomialLikelihood(16)
    images, held_out = digits8(run.rng.spawn("split"))
    small = perceptron(64, 8, 128, likelihood, rng=run.rng.spawn("digits8"))
    measured, _ = compare(run, "digits8", small, images, held_out, run.choose(quick=2000, full=4000))

    images, held_out = mnist16("train"), mnist16("test")
    hidden, latent = run.choose(quick=(256, 16), full=(400, 20))
    vae = perceptron(256, latent, hidden, rng=run.rng.spawn("mnist16"))
    more, mixture = compare(run, "mnist16", vae, images, held_out, run.choose(quick=2500, full=8000))
    draw(vae, mixture, held_out, run.rng.spawn("picture"), run.picture("vae_mnist16.png"))
    return measured | more


def digits8(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """1,500 training images and 297 held-out ones, rows of 64 shares of 16 cells."""
    images = tg.data.load("digits8").images.reshape(-1, 64)
    order = rng.permutation(len(images), device="cpu").numpy()
    return images[order[297:]], images[order[:297]]


def mnist16(split: str) -> np.ndarray:
    """Rows of 256 pixels, black where the grey is above one half."""
    images = tg.data.load("mnist16", split=split).images.reshape(-1, 256)
    black: np.ndarray = images > 0.5
    return black.astype(images.dtype)


def compare(
    run: Run, name: str, vae: VAE, images: np.ndarray, held_out: np.ndarray, steps: int
) -> tuple[dict[str, float], BernoulliMixture]:
    """Train, and measure the bounds on held-out images beside the mixture's exact log-probability; and the mixture."""
    rng = run.rng.spawn(f"train {name}")
    state = State(
        vae,
        optim.Adam(vae.parameters(), lr=optim.cosine(4e-3, steps, 2e-4)),
        tg.data.Batches(images, size=100, rng=rng.spawn("batches")),
        rng.spawn("noise"),
    )
    run.train(state, step, steps, name=name, watch="ELBO")
    x = tg.tensor(held_out)
    terms = evaluate(vae, x, rng.spawn("evaluate"), samples=10)
    levels = getattr(vae.likelihood, "levels", 1)
    mixture = bernoulli_mixture.fit_best(rng.spawn("mixture"), tg.tensor(images), x, COMPONENTS, levels=levels)
    log_p = float(tg.mean(mixture.log_prob(x)))
    few = x[:BOUNDED]
    with tg.no_grad():
        tighter = float(tg.mean(vae.importance_weighted_bound(rng.spawn("importance"), few, IMPORTANCE_SAMPLES)))
    measured = {
        f"{name}: mixture's log p": log_p,
        f"{name}: ELBO": terms["ELBO"],
        f"{name}: KL": terms["KL"],
        f"{name}: ELBO above the mixture's log p": 100.0 * (terms["ELBO"] - log_p) / abs(log_p),
        f"{name}: active dimensions": terms["active"],
        f"{name}: IW-64 bound": tighter,
        f"{name}: IW-64 bound - ELBO": tighter - evaluate(vae, few, rng.spawn("few"), samples=10)["ELBO"],
    }
    return measured, mixture


@tg.no_grad()
def draw(vae: VAE, mixture: BernoulliMixture, held_out: np.ndarray, rng: Generator, path: Path) -> Path:
    """What either model has learned: the mixture 50 templates, the VAE a space; and what each dimension carries."""
    figure, ((low, middle, high), (first, second, third)) = plots.figure(2, 3, (10.0, 6.8))
    x, count = tg.tensor(held_out), 49
    some = x[:count]
    nearest = tg.take(mixture.probs, tg.argmax(mixture.log_joint(some), axis=1), 0)
    for axes, images, title in (
        (low, some, "Held-out digits"),
        (middle, vae.reconstruct(some), "VAE: reconstructions"),
        (high, vae.sample(rng, count), "VAE: samples, z ~ N(0, I)"),
        (first, mixture.probs[:count], f"Mixture: {count} of its 50 templates"),
        (second, nearest, "Mixture: templates of the digits above"),
    ):
        plots.image_grid(axes, images.reshape(-1, 16, 16), 7, title)
    kl = np.sort(tg.mean(vae.elbo(rng, x)[1], axis=0).numpy())[::-1]
    third.bar(np.arange(1, len(kl) + 1), kl, color=plots.PALETTE[0])
    third.axhline(0.1, color=plots.PALETTE[1], linestyle="--", label="active above 0.1")
    third.legend(frameon=False)
    third.set(title="What each latent dimension carries", xlabel="dimension, sorted", ylabel="KL, nats")
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
