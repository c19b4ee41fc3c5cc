"""A linear variational autoencoder beside the exact answer: probabilistic PCA.

python examples/linear_vae.py            3,000 steps, about 10 seconds
python examples/linear_vae.py --quick    1,500 steps
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.models.linear_vae import LinearVAE, State, fit_probabilistic_pca, largest_angle, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIMENSIONS, LATENT, NOISE, POINTS = 10, 3, 0.5, 20_000
LENGTHS = (1.4, 1.1, 0.8)  # of the true columns

EXAMPLE = Example(
    name="linear_vae",
    systems=("VAE", "LAB-LG"),
    models=("tinygen/models/linear_vae.py",),
    gates=(
        # A negative gap would be better than the exact optimum.  1e-9 is rounding in float64.
        Gate("best log p(x) - ELBO", "nats per point", at_most=0.02, never_below=-1e-9),
        Gate("own log p(x) - ELBO", "nats per point", at_most=0.02, never_below=-1e-9),
        Gate("smallest log p(x) - ELBO of a point, every 100 steps", "nats", never_below=-1e-9),
        Gate("angle to the principal subspace", "degrees", at_most=2.0),
        Gate("angle to the true subspace", "degrees", at_most=2.0),
    ),
)


def train(run: Run) -> dict[str, float]:
    x, true = draw_points(run.rng.spawn("points"))
    vae = LinearVAE(DIMENSIONS, LATENT, rng=run.rng.spawn("parameters")).astype(np.float64)
    start = LinearVAE(DIMENSIONS, LATENT, rng=run.rng.spawn("parameters")).astype(np.float64)
    steps = run.choose(quick=1500, full=3000)
    batches = tg.data.Batches(x, size=500, rng=run.rng.spawn("batches"))
    state = State(vae, optim.Adam(vae.parameters(), lr=optim.cosine(1e-2, steps)), batches)
    points = tg.tensor(x)
    history = run.train(state, step, steps, watch="ELBO", evaluate=lambda state: bounds(state.vae, points))

    best = fit_probabilistic_pca(x, LATENT)
    reached = bounds(vae, points)
    draw(start, vae, points, history, best.log_likelihood, run.picture("linear_vae.png"))
    return {
        "best log p(x) - ELBO": best.log_likelihood - reached["mean ELBO"],
        "own log p(x) - ELBO": reached["mean log p(x)"] - reached["mean ELBO"],
        "smallest log p(x) - ELBO of a point, every 100 steps": min(report["smallest gap"] for report in history),
        "angle to the principal subspace": largest_angle(vae.decoder.weight.numpy(), best.W),
        "angle to the true subspace": largest_angle(vae.decoder.weight.numpy(), true),
    }


def draw_points(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, D) of the model with orthogonal columns in random directions, and these columns (D, k)."""
    directions = np.linalg.qr(rng.normal((DIMENSIONS, LATENT), dtype=np.float64, device="cpu").numpy())[0]
    true = directions * LENGTHS
    z = rng.normal((POINTS, LATENT), dtype=np.float64, device="cpu").numpy()
    noise = rng.normal((POINTS, DIMENSIONS), dtype=np.float64, device="cpu").numpy()
    return z @ true.T + NOISE * noise, true


@tg.no_grad()
def bounds(vae: LinearVAE, x: tg.Tensor) -> dict[str, float]:
    """The bound and what it bounds, of the model as it is now."""
    elbo, log_p = vae.elbo(x), vae.marginal().log_prob(x)
    return {
        "mean ELBO": float(tg.mean(elbo)),
        "mean log p(x)": float(tg.mean(log_p)),
        "smallest gap": float(tg.min(log_p - elbo)),
    }


@tg.no_grad()
def draw(
    start: LinearVAE, end: LinearVAE, x: tg.Tensor, history: list[dict[str, float]], best: float, path: Path
) -> Path:
    """Both gaps over the steps, and posteriors before and after: the exact ones turn until q can be them."""
    figure, ((curves, before, after),) = plots.figure(1, 3, (11.0, 3.9))
    steps = [report["step"] for report in history]
    gaps = {
        "best log p(x) - ELBO": [best - report["mean ELBO"] for report in history],
        "own log p(x) - ELBO": [report["mean log p(x)"] - report["mean ELBO"] for report in history],
    }
    plots.curves(curves, steps, gaps, floor=0.02, floor_name="gate", title="The bound closes", names=("step", "nats"))
    curves.set_yscale("log")
    for axes, vae, title in ((before, start, "Posteriors at the start"), (after, end, "Posteriors at the end")):
        posteriors(axes, vae, x[:6])
        axes.set(title=title, xlabel="z₁", ylabel="z₂")
    after.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return plots.save(figure, path)


def posteriors(axes: Axes, vae: LinearVAE, x: tg.Tensor) -> None:
    """Ellipses of one standard deviation in the first two latent dimensions: exact, and of the encoder."""
    means, covariance = (part.numpy() for part in vae.exact_posterior(x))
    q = vae.posterior(x)
    guessed = np.diag(q.variance.numpy()[0])
    angle = np.linspace(0.0, 2.0 * math.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for centres, matrix, colour, width, name in (
        (means, covariance, plots.PALETTE[0], 4.0, "exact p(z | x)"),
        (q.mean.numpy(), guessed, plots.PALETTE[1], 1.5, "encoder's q(z | x)"),
    ):
        ellipse = np.linalg.cholesky(matrix[:2, :2]) @ circle
        for i, centre in enumerate(centres):
            outline = centre[:2, None] + ellipse
            axes.plot(*outline, color=colour, linewidth=width, alpha=0.8, label=name if i == 0 else None)
    axes.set_aspect("equal", adjustable="datalim")


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
