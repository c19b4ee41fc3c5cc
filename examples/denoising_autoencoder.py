"""Denoising autoencoders: digits with noise restored, and the score of a density in the plane.

python examples/denoising_autoencoder.py            about two minutes
python examples/denoising_autoencoder.py --quick    half a minute
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.models.autoencoder import perceptron
from tinygen.models.denoising_autoencoder import (
    Denoiser,
    LinearDenoiser,
    PlaneDenoiser,
    State,
    exact_score,
    score,
    score_error,
    step,
)
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

IMAGE_NOISE = 0.5

EXAMPLE = Example(
    name="denoising_autoencoder",
    systems=("DAE",),
    models=("tinygen/models/denoising_autoencoder.py",),
    gates=(
        Gate("ring: RMSE of the score / its norm", at_most=(0.08, 0.05)),
        Gate("moons: RMSE of the score / its norm", at_most=(0.12, 0.08)),
        # Held-out images; the best linear map keeps 4.8 of the 64 that the noise adds.
        Gate("digits: error / that of the best linear map", at_most=(0.95, 0.8)),
    ),
)


class Plane(NamedTuple):
    """A density, the same with noise added, and the denoiser that learned to take it away."""

    name: str
    clean: tg.data.Density
    noisy: tg.data.Density
    denoiser: PlaneDenoiser


def train(run: Run) -> dict[str, float]:
    planes, measured = [], {}
    for name, sd, noise in (("ring", 0.2, 0.5), ("moons", 0.1, 0.3)):
        planes.append(learn_plane(run, name, sd, noise))
        points = planes[-1].noisy.sample(run.rng.spawn(f"{name} evaluation"), 50_000)
        error = score_error(planes[-1].denoiser, planes[-1].noisy, points)
        measured[f"{name}: RMSE of the score / its norm"] = error
    images, its_numbers = digits(run)
    draw(planes, images, run.rng.spawn("picture"), run.picture("denoising_autoencoder.png"))
    return measured | its_numbers


def learn_plane(run: Run, name: str, sd: float, noise: float) -> Plane:
    """Fresh samples at each step.  Both densities are made of round Gaussians: noise adds to their variance."""
    rng = run.rng.spawn(name)
    steps = run.choose(quick=2000, full=6000)
    clean = tg.data.density(name, sd=sd)
    noisy = tg.data.density(name, sd=float(np.hypot(sd, noise)))
    denoiser = PlaneDenoiser(noise, rng=rng.spawn("parameters"))
    optimizer = optim.Adam(denoiser.parameters(), lr=optim.cosine(5e-3, steps))
    state = State(denoiser, optimizer, clean.sample, rng.spawn("draws"))
    run.train(state, step, steps, name=name)
    return Plane(name, clean, noisy, denoiser)


def digits(run: Run) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """AE-4 on images: an autoencoder that sees noisy digits, against the best linear map."""
    rng = run.rng.spawn("digits")
    training, clean = (tg.data.load("mnist16", split=split).images.reshape(-1, 256) for split in ("train", "test"))
    steps = run.choose(quick=1000, full=5000)
    model = Denoiser(perceptron(256, 64, (512,), rng=rng.spawn("parameters")), IMAGE_NOISE)
    optimizer = optim.Adam(model.parameters(), lr=optim.warmup(50, optim.cosine(2e-3, steps - 50)))
    batches = tg.data.Batches(training, size=64, rng=rng.spawn("batches"))
    run.train(State(model, optimizer, batches, rng.spawn("noise")), step, steps, name="digits")

    noisy = clean + IMAGE_NOISE * rng.spawn("evaluation").normal(clean.shape, device="cpu").numpy()
    linear = LinearDenoiser(training, IMAGE_NOISE)(noisy)
    images = {"original": clean, "noisy": noisy, "best linear\nmap": linear, "restored": restore(model, noisy)}
    errors = {name: float(((made - clean) ** 2).sum(axis=1).mean()) for name, made in images.items()}
    return images, {
        "digits: error of the best linear map": errors["best linear\nmap"],
        "digits: error of the autoencoder": errors["restored"],
        "digits: error / that of the best linear map": errors["restored"] / errors["best linear\nmap"],
    }


def restore(model: nn.Module, noisy: np.ndarray) -> np.ndarray:
    with tg.no_grad():
        restored: np.ndarray = model(tg.tensor(noisy)).numpy()
    return restored


def draw(planes: list[Plane], images: dict[str, np.ndarray], rng: Generator, path: Path) -> Path:
    """Noisy points over where they are sent, the learned and the exact score, and digits."""
    figure, axes = plots.figure(3, 3, (8.2, 8.6))
    for row, plane, extent in zip(axes, planes, ((-3.2, 3.2, -3.2, 3.2), (-2.0, 3.0, -1.75, 2.25)), strict=False):
        points = plane.noisy.sample(rng, 600)
        with tg.no_grad():
            restored = plane.denoiser(points)
        plots.scatter(row[0], points, colour="#AAAAAA", size=6)
        title = f"{plane.name}, σ = {plane.denoiser.noise:g}:\nnoisy (grey), restored"
        plots.scatter(row[0], restored, colour=plots.PALETTE[1], size=6, title=title, names=("x₁", "x₂"))
        at = tg.tensor(plots.lattice(extent, 15))
        exact = exact_score(plane.noisy, at)
        with tg.no_grad():
            learned = score(plane.denoiser, at)
        limits = (0.0, float(np.linalg.norm(exact.numpy(), axis=1).max()))
        plots.vector_field(row[1], at, learned, limits=limits, label="", title="(r(y) − y) / σ², learned")
        plots.vector_field(row[2], at, exact, limits=limits, title="∇ log p(y), exact")
        for one in row:
            one.set(xlim=extent[:2], ylim=extent[2:])
    place = axes[2, 0].get_gridspec()[2, :]
    for one in axes[2]:
        one.remove()
    shown = np.stack([made[:12].reshape(-1, 16, 16) for made in images.values()])
    wide = figure.add_subplot(place)
    title = f"Held-out digits, noise of standard deviation {IMAGE_NOISE:g}"
    plots.image_strip(wide, shown, rows=list(images), title=title, clip=True)
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
