"""Convolutional variational autoencoders on 16 × 16 digits: black and white, and grey with normal noise.

Each stands beside the best model of the same kind without hidden layers: a mixture of 50 Bernoullis by EM, and
probabilistic PCA with as many latent dimensions.  Then walks between codes: along a line, and along an arc.

python examples/vae_convolutional.py            a minute and a half
python examples/vae_convolutional.py --quick    less than a minute
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import latent, optim, plots
from tinygen.models import bernoulli_mixture
from tinygen.models.linear_vae import fit_probabilistic_pca
from tinygen.models.vae import (
    VAE,
    BinomialLikelihood,
    Likelihood,
    NormalLikelihood,
    State,
    convolutional,
    evaluate,
    step,
)
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPE, LATENT, CHANNELS = (1, 16, 16), 20, 16
COMPONENTS = 50  # of the mixture

EXAMPLE = Example(
    name="vae_convolutional",
    systems=("VAE", "LATENT"),
    models=("tinygen/models/vae.py", "tinygen/latent.py"),
    gates=(
        Gate("black and white: ELBO above the mixture's log p", "%", at_least=(4.0, 10.0)),
        Gate("black and white: active dimensions", at_least=4.0),
        Gate("black and white: IW-64 bound - ELBO", "nats per image", at_least=0.0, exact=True),
        Gate("grey: ELBO above the log p of probabilistic PCA", "nats per image", at_least=(15.0, 40.0)),
        Gate("grey: active dimensions", at_least=4.0),
    ),
)


def train(run: Run) -> dict[str, float]:
    images, held_out = (tg.data.load("mnist16", split=split).images for split in ("train", "test"))
    black, held_out_black = ((grey > 0.5).astype(grey.dtype) for grey in (images, held_out))
    binary = fit(run, "black and white", BinomialLikelihood(), black, 5e-3, run.choose(quick=1200, full=4000))
    grey = fit(run, "grey", NormalLikelihood(0.2, learned=True), images, 3e-3, run.choose(quick=800, full=1500))
    measured = against_mixture(run.rng.spawn("mixture"), binary, black, held_out_black)
    measured |= against_pca(run.rng.spawn("pca"), grey, images, held_out)
    draw(binary, grey, held_out_black, held_out, run.rng.spawn("picture"), run.picture("vae_convolutional.png"))
    return measured


def fit(run: Run, name: str, likelihood: Likelihood, images: np.ndarray, rate: float, steps: int) -> VAE:
    rng = run.rng.spawn(name)
    model = convolutional(SHAPE, LATENT, CHANNELS, likelihood, rng=rng.spawn("parameters"))
    batches = tg.data.Batches(images, size=100, rng=rng.spawn("batches"))
    adam = optim.Adam(model.parameters(), lr=optim.cosine(rate, steps, 1e-4))
    run.train(State(model, adam, batches, rng.spawn("noise")), step, steps, name=name, watch="ELBO")
    return model


def against_mixture(rng: Generator, model: VAE, images: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """The bound on held-out digits beside the exact log-probability of a mixture of Bernoullis."""
    rows, judged = (tg.tensor(part.reshape(len(part), -1)) for part in (images, held_out))
    log_p = float(tg.mean(bernoulli_mixture.fit_best(rng.spawn("EM"), rows, judged, COMPONENTS).log_prob(judged)))
    x = tg.tensor(held_out)
    terms = evaluate(model, x, rng.spawn("ELBO"), samples=5)
    few = x[:300]
    with tg.no_grad():
        tighter = float(tg.mean(model.importance_weighted_bound(rng.spawn("weights"), few, 64)))
    return {
        "black and white: mixture's log p": log_p,
        "black and white: ELBO": terms["ELBO"],
        "black and white: ELBO above the mixture's log p": 100.0 * (terms["ELBO"] - log_p) / abs(log_p),
        "black and white: active dimensions": terms["active"],
        "black and white: IW-64 bound - ELBO": tighter - evaluate(model, few, rng.spawn("few"))["ELBO"],
    }


def against_pca(rng: Generator, model: VAE, images: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """The bound on held-out digits beside the best linear decoder with the same latent dimensions and noise (VAE-5)."""
    rows, judged = (part.reshape(len(part), -1).astype(np.float64) for part in (images, held_out))
    best = fit_probabilistic_pca(rows, LATENT)
    log_p = float(tg.mean(best.marginal().log_prob(tg.tensor(judged))))
    terms = evaluate(model, tg.tensor(held_out), rng.spawn("ELBO"), samples=5)
    return {
        "grey: log p of probabilistic PCA": log_p,
        "grey: ELBO": terms["ELBO"],
        "grey: ELBO above the log p of probabilistic PCA": terms["ELBO"] - log_p,
        "grey: active dimensions": terms["active"],
    }


# --- the picture -------------------------------------------------------------------------------------------------


@tg.no_grad()
def draw(binary: VAE, grey: VAE, black: np.ndarray, held_out: np.ndarray, rng: Generator, path: Path) -> Path:
    """Digits, reconstructions and samples of both models, and two ways between codes."""
    figure, axes = plots.figure(2, 2, (9.6, 6.4))
    for row, model, images, name in (
        (axes[0], binary, black, "Bernoulli likelihood"),
        (axes[1], grey, held_out, "Normal likelihood"),
    ):
        x = tg.tensor(images[:10])
        shown = [x, model.reconstruct(x), *tg.split(model.sample(rng, 30), 3)]
        rows = ["held-out", "reconstructed", "samples", "", ""]
        plots.image_strip(row[0], tg.stack(shown).reshape(5, 10, 16, 16), rows=rows, title=name, clip=True)
    walks(axes[0][1], binary, black)
    norms(axes[1][1], rng)
    return plots.save(figure, path)


def walks(axes: Axes, model: VAE, images: np.ndarray, count: int = 9) -> None:
    """From one held-out digit to another, along the line and along the arc (VAE-13)."""
    shares = tg.linspace(0.0, 1.0, count)[:, None]
    z = model.posterior(tg.tensor(images[:10])).mean
    ways = {"line": latent.lerp, "arc": latent.slerp}
    strips = [model.decode(way(z[a], z[b], shares)) for a, b in ((2, 5), (0, 9)) for way in ways.values()]
    columns = [f"{share:.2g}" for share in shares.numpy()[:, 0]]
    plots.image_strip(
        axes, tg.stack(strips).reshape(4, count, 16, 16), rows=[*ways] * 2, columns=columns, clip=True,
        title="From one digit to another",
    )  # fmt: skip


def norms(axes: Axes, rng: Generator) -> None:
    """Why an arc: half-way along a line between two draws from N(0, I) is no place where draws lie."""
    start, end = rng.normal((4000, LATENT)), rng.normal((4000, LATENT))
    lengths = {
        name: tg.linalg.norm(points, axis=1)
        for name, points in (
            ("draws from N(0, I)", start),
            ("half-way, line", latent.lerp(start, end, 0.5)),
            ("half-way, arc", latent.slerp(start, end, 0.5)),
        )
    }
    plots.histogram(axes, lengths, title=f"Lengths of codes of {LATENT} numbers", names=("‖z‖", "density"))
    axes.axvline(math.sqrt(LATENT), color="black", linestyle=":", label="√d")
    axes.set_xlim(1.0, 10.0)
    axes.legend(frameon=False, loc="upper right")


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
