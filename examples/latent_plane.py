"""The latent plane of an autoencoder beside that of a variational one, and the encoder beside the exact posterior.

Both compress 8 × 8 digits into two numbers, with networks of the same sizes.  Two numbers can be integrated over:
log p(x) and the posterior p(z | x) of the variational one are known, and so is what its encoder's q(z | x) loses.

python examples/latent_plane.py            about half a minute
python examples/latent_plane.py --quick    about 10 seconds
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import latent, metrics, optim, plots
from tinygen.models import autoencoder, vae
from tinygen.models.autoencoder import Autoencoder
from tinygen.models.vae import VAE, BinomialLikelihood
from tinygen.models.vae_exact import LatticeVAE
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN, HELD_OUT, SAMPLES = (128, 64), 297, 1000
JUDGED, DRAWS = 100, 64  # images whose log p(x) is computed, samples for both of their bounds
CIRCLE = np.stack([np.cos(np.linspace(0.0, 2.0 * np.pi, 100)), np.sin(np.linspace(0.0, 2.0 * np.pi, 100))])

EXAMPLE = Example(
    name="latent_plane",
    systems=("VAE", "AE", "LATENT"),
    models=("tinygen/models/vae.py", "tinygen/models/vae_exact.py", "tinygen/models/autoencoder.py"),
    gates=(
        Gate("codes: energy distance to N(0, I), autoencoder", at_least=0.3),
        Gate("codes: energy distance to N(0, I), VAE", at_most=0.1),
        Gate("decoded N(0, I): energy distance to real digits, autoencoder / VAE", at_least=1.0),
        Gate("VAE: log p(x) - ELBO", "nats per image", at_least=0.0, exact=True),
        Gate("VAE: IW-64 bound - ELBO", "nats per image", at_least=0.0, exact=True),
        Gate("VAE: log p(x) - IW-64 bound", "nats per image", at_least=-0.05, exact=True),  # 0, but for chance
        # VAE-4: what the bound lacks is exactly the divergence of the encoder from the posterior.
        Gate("VAE: |log p(x) - ELBO - KL(q(z | x) ‖ p(z | x))|", "nats per image", at_most=0.1, exact=True),
    ),
)


class Digits(NamedTuple):
    """Rows of 64 pixels, black or white, and the labels of those that are held out."""

    training: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray


def train(run: Run) -> dict[str, float]:
    digits = split(run.rng.spawn("split"))
    plain, variational = train_autoencoder(run, digits), train_vae(run, digits)
    exact = LatticeVAE(variational, reach=6.0, cells=384)
    measured = compare(run.rng.spawn("compare"), plain, variational, digits)
    measured |= bounds(run.rng.spawn("bounds"), exact, tg.tensor(digits.held_out[:JUDGED].astype(np.float64)))
    draw(plain, variational, exact, digits, run.picture("latent_plane.png"))
    return measured


def split(rng: Generator) -> Digits:
    digits = tg.data.load("digits8")
    order = rng.permutation(len(digits.labels), device="cpu").numpy()
    images, labels = (digits.images > 0.5).reshape(-1, 64).astype(np.float32)[order], digits.labels[order]
    return Digits(images[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT])


def train_autoencoder(run: Run, digits: Digits) -> Autoencoder:
    rng, steps = run.rng.spawn("autoencoder"), run.choose(quick=1500, full=3000)
    model = autoencoder.perceptron(64, 2, HIDDEN, rng=rng.spawn("parameters"))
    batches = tg.data.Batches(digits.training, size=100, rng=rng.spawn("batches"))
    state = autoencoder.State(model, optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps)), batches)
    run.train(state, autoencoder.step, steps, name="autoencoder", watch="error")
    return model


def train_vae(run: Run, digits: Digits) -> VAE:
    rng, steps = run.rng.spawn("vae"), run.choose(quick=1500, full=3000)
    inward = autoencoder.perceptron(64, 4, HIDDEN, rng=rng.spawn("encoder")).encoder
    outward = autoencoder.perceptron(64, 2, HIDDEN, rng=rng.spawn("decoder")).decoder
    model = VAE(inward, outward, BinomialLikelihood(), 2)
    batches = tg.data.Batches(digits.training, size=100, rng=rng.spawn("batches"))
    adam = optim.Adam(model.parameters(), lr=optim.cosine(3e-3, steps))
    run.train(vae.State(model, adam, batches, rng.spawn("noise")), vae.step, steps, name="vae", watch="ELBO")
    return model


@tg.no_grad()
def compare(rng: Generator, plain: Autoencoder, variational: VAE, digits: Digits) -> dict[str, float]:
    """Where the codes lie, and what becomes of codes from N(0, I) (VAE-10, VAE-11)."""
    x, prior = tg.tensor(digits.held_out), rng.normal((SAMPLES, 2))
    codes = {"autoencoder": plain.encoder(x), "VAE": variational.posterior(x).rsample(rng)}
    generated = {"autoencoder": plain.decoder(prior), "VAE": variational.decode(prior)}
    to_prior = {name: metrics.energy_distance(found, prior) for name, found in codes.items()}
    to_real = {name: metrics.energy_distance(made, digits.held_out) for name, made in generated.items()}
    return {
        **{f"codes: energy distance to N(0, I), {name}": value for name, value in to_prior.items()},
        "decoded N(0, I): energy distance to real digits, autoencoder / VAE": to_real["autoencoder"] / to_real["VAE"],
    }


@tg.no_grad()
def bounds(rng: Generator, exact: LatticeVAE, x: tg.Tensor) -> dict[str, float]:
    """log p(x) beside both bounds, and what the encoder loses: means over images (VAE-4)."""
    log_p, lost = (float(tg.mean(values)) for values in (exact.log_prob(x), exact.divergence(x)))
    elbo = vae.evaluate(exact.vae, x, rng.spawn("ELBO"), samples=DRAWS)["ELBO"]
    weighted = float(tg.mean(exact.vae.importance_weighted_bound(rng.spawn("weights"), x, DRAWS)))
    return {
        "VAE: log p(x)": log_p,
        "VAE: log p(x) - ELBO": log_p - elbo,
        "VAE: log p(x) - IW-64 bound": log_p - weighted,
        "VAE: IW-64 bound - ELBO": weighted - elbo,
        "VAE: |log p(x) - ELBO - KL(q(z | x) ‖ p(z | x))|": abs(log_p - elbo - lost),
    }


# --- the picture -------------------------------------------------------------------------------------------------


class Coder(NamedTuple):
    """From images to codes and back."""

    encode: Callable[[tg.Tensor], tg.Tensor]
    decode: Callable[[tg.Tensor], tg.Tensor]


@tg.no_grad()
def draw(plain: Autoencoder, variational: VAE, exact: LatticeVAE, digits: Digits, path: Path) -> Path:
    """Codes and decoded planes of both models, the posteriors of one, and the way from one digit to another."""
    figure, axes = plots.figure(2, 3, (11.0, 7.4))
    models = {
        "Autoencoder": Coder(plain.encoder, plain.decoder),
        "VAE": Coder(lambda x: variational.posterior(x).mean, variational.decode),
    }
    x, place = tg.tensor(digits.held_out), (-2.5, 2.5, -2.5, 2.5)
    for (name, coder), (above, below) in zip(models.items(), axes.T[:2], strict=True):
        plots.labelled_scatter(above, coder.encode(x), digits.labels, f"{name}: codes of held-out digits")
        (prior,) = above.plot(*(2.0 * CIRCLE), color="black", linewidth=1.2)
        above.legend([prior], ["2σ of N(0, I)"], loc="upper right", framealpha=0.9)
        decoded = coder.decode(tg.tensor(plots.lattice(place, 12))).reshape(-1, 8, 8)
        plots.image_grid(below, decoded, 12, f"{name}: decoded plane", place, names=("z₁", "z₂"), clip=True)
    posteriors(axes[0, 2], exact, digits)
    walks(axes[1, 2], models, x, digits.labels)
    return plots.save(figure, path)


def walks(axes: Axes, models: dict[str, Coder], x: tg.Tensor, labels: np.ndarray, count: int = 8) -> None:
    """From one digit to another, along the line between their codes (VAE-13)."""
    shares, strips = tg.linspace(0.0, 1.0, count)[:, None], []
    for start, end in ((0, 6), (7, 2), (3, 4)):
        first, last = (int(np.flatnonzero(labels == digit)[0]) for digit in (start, end))
        for coder in models.values():
            z = coder.encode(x)
            strips.append(coder.decode(latent.lerp(z[first], z[last], shares)).reshape(count, 8, 8))
    plots.image_strip(axes, tg.stack(strips), rows=[*models] * 3, title="Along lines between codes", clip=True)


@tg.no_grad()
def posteriors(axes: Axes, exact: LatticeVAE, digits: Digits, count: int = 16) -> None:
    """Exact posteriors, and the ellipses that the encoder has in their place."""
    axes.set(title="Exact posteriors of 16 digits (grey)\nand 2σ of their q(z | x)", xlabel="z₁", ylabel="z₂")
    x = tg.tensor(digits.held_out[:count].astype(np.float64))
    log_posterior = exact.log_posterior(x).numpy()
    relative = np.exp(log_posterior - log_posterior.max(axis=1, keepdims=True)).max(axis=0)
    side = math.isqrt(relative.size)
    axes.imshow(relative.reshape(side, side), cmap="Greys", extent=(-exact.reach, exact.reach) * 2)
    q = exact.vae.posterior(x)
    for i, (mean, deviation) in enumerate(zip(q.mean.numpy(), q.scale.numpy(), strict=True)):
        colour = plots.PALETTE[digits.labels[i] % len(plots.PALETTE)]
        outline = mean[:, None] + 2.0 * deviation[:, None] * CIRCLE
        axes.plot(*outline, color=colour, linewidth=1.2)
    axes.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
