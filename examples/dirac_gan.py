"""The Dirac GAN: six adversarial games of two numbers, their phase portraits, and why some of them never end.

python examples/dirac_gan.py             about 5 seconds; nothing is left to chance
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinygen as tg
from tinygen import plots
from tinygen.adversarial import R1, GradientPenalty, minimax, non_saturating, wasserstein
from tinygen.models.dirac_gan import DiracGAN, alternating, simultaneous
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

H, STEPS, START = 0.1, 500, (1.0, 1.0)
GAMMAS = np.round(np.arange(0.0, 2.525, 0.05), 2)

EXAMPLE = Example(
    name="dirac_gan",
    systems=("GAN", "NSGAN", "WGAN", "WGANGP", "R1GAN"),
    models=("tinygen/models/dirac_gan.py",),
    gates=(
        Gate("error of the growth by sqrt(1 + h²) per step", at_most=1e-12, exact=True),
        Gate("error of the eigenvalues", at_most=1e-10, exact=True),
        Gate("gamma of the fastest R1", at_least=1.0, at_most=1.0, exact=True),
        Gate("radius with R1 after 500 steps", at_most=1e-9, exact=True),
        Gate("radius of alternating WGAN after 500 steps", at_least=1.3, at_most=1.5, exact=True),  # √2 at the start
        Gate("radius of WGAN-GP, least of the last 100 steps", at_least=0.1, exact=True),
    ),
)

GAMES = {
    "GAN": DiracGAN(minimax),
    "Non-saturating GAN": DiracGAN(non_saturating),
    "WGAN": DiracGAN(wasserstein),
    "WGAN-GP, λ = 1": DiracGAN(wasserstein, GradientPenalty(Generator(0), weight=1.0)),
    "Instance noise, σ = 1": DiracGAN(non_saturating, noise=1.0),
    "R1, γ = 1": DiracGAN(non_saturating, R1(1.0)),
}


def train(run: Run) -> dict[str, float]:
    paths = {name: simultaneous(game, START, H, STEPS) for name, game in GAMES.items()}
    paths["WGAN, alternating"] = alternating(GAMES["WGAN"], START, H, STEPS)
    radii = {name: np.linalg.norm(path, axis=1) for name, path in paths.items()}
    growth = radii["WGAN"][1:] / radii["WGAN"][:-1]
    found = np.array([DiracGAN(non_saturating, R1(float(gamma))).eigenvalues() for gamma in GAMMAS])
    errors = [np.abs(found - np.array([eigenvalues(gamma, 0.5) for gamma in GAMMAS])).max()]
    # Without a penalty the linear part of the game circles; noise of variance σ² acts like R1 with γ = σ² / 2.
    theory = {
        "GAN": (0.0, 0.5),
        "Non-saturating GAN": (0.0, 0.5),
        "WGAN": (0.0, 1.0),
        "Instance noise, σ = 1": (0.5, 0.5),
    }
    errors += [np.abs(GAMES[name].eigenvalues() - eigenvalues(*terms)).max() for name, terms in theory.items()]
    draw(paths, radii, found, run.picture("dirac_gan.png"))
    return {
        "error of the growth by sqrt(1 + h²) per step": float(np.abs(growth - np.sqrt(1.0 + H**2)).max()),
        "error of the eigenvalues": float(max(errors)),
        "gamma of the fastest R1": float(GAMMAS[found.real.max(axis=1).argmin()]),
        "radius with R1 after 500 steps": float(radii["R1, γ = 1"][-1]),
        "radius of alternating WGAN after 500 steps": float(radii["WGAN, alternating"][-1]),
        "radius of WGAN-GP, least of the last 100 steps": float(radii["WGAN-GP, λ = 1"][-100:].min()),
    }


def eigenvalues(damping: float, coupling: float) -> np.ndarray:
    """Of [[0, c], [−c, −γ]]: −γ/2 ± √(γ²/4 − c²)."""
    root = np.sqrt(complex(damping**2 / 4.0 - coupling**2))
    return np.array([-damping / 2.0 + root, -damping / 2.0 - root])


def draw(paths: dict[str, np.ndarray], radii: dict[str, np.ndarray], found: np.ndarray, path: Path) -> Path:
    """A portrait of each game, the eigenvalues of R1 over γ, and how far each game is from its saddle."""
    figure, axes = plots.figure(2, 4, (14.0, 7.2))
    portraits = [*axes[0, :3], *axes[1, :3]]
    extent = (-2.2, 2.2, -2.2, 2.2)
    points = plots.lattice(extent, 16)
    for one, (name, game) in zip(portraits, GAMES.items(), strict=True):
        vectors = game.field(tg.tensor(points, dtype=np.float64)).detach()
        plots.vector_field(
            one, points, vectors, label="", limits=(0.0, 2.0), names=("θ, the generator", "ψ, the critic")
        )
        plots.trajectory(one, paths[name][:300], title=name)
        one.set(xlim=extent[:2], ylim=extent[2:])

    right, low_right = axes[:, 3]
    parts = {"real": found.real, "imaginary": found.imag}
    for name, part in parts.items():
        plots.curves(right, GAMMAS, {name: part[:, 0]}, names=("γ", ""), title="Eigenvalues of R1 at the saddle")
        right.plot(GAMMAS, part[:, 1], color=right.lines[-1].get_color())
    right.axvline(1.0, color=plots.canvas.REFERENCE, linestyle="--", label="critical, γ = 1")
    right.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 0.02), handlelength=1.2, fontsize=8)
    plots.curves(low_right, np.arange(STEPS + 1), radii, title="Distance from the saddle")
    low_right.set(yscale="log", xlabel=f"steps of size {H}", ylim=(1e-9, 100.0))
    low_right.legend(frameon=False, fontsize=8, loc="lower left")
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
