"""What β does: the exact collapse of a linear VAE, and the trade-off on pixel faces, whose factors are known.

python examples/beta_vae.py            about 2 minutes
python examples/beta_vae.py --quick    less than a minute
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data.faces import ATTRIBUTES, draw_faces
from tinygen.models import linear_vae, pca, vae
from tinygen.models.linear_vae import LinearVAE, collapsed_kl
from tinygen.models.vae import VAE, NormalLikelihood, evaluate, perceptron
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

VARIANCES, NOISE = (5.0, 3.0, 1.8, 1.1, 0.65, 0.4), 0.5
LINEAR_BETAS = (16.0, 9.0, 5.5, 3.4, 2.0, 1.0, 0.5)  # falling: each training begins where the one before ended
FACE_BETAS = (0.25, 1.0, 4.0, 16.0, 64.0)
FACE_NOISE, LATENT, SHOWN = 0.1, 16, 4.0  # SHOWN is the β of the traversals

EXAMPLE = Example(
    name="beta_vae",
    systems=("BVAE",),
    models=("tinygen/models/vae.py", "tinygen/models/linear_vae.py"),
    gates=(
        Gate("linear: largest |KL - ½ ln⁺(λ/βσ²)|", "nats", at_most=1e-3, exact=True),
        Gate("linear: dimensions on the wrong side of β = λ/σ²", at_most=0.0, exact=True),
        Gate("faces: smallest fall of KL from β to the next", "nats", at_least=0.0),
        Gate("faces: smallest fall of reconstruction from β to the next", "nats", at_least=0.0),
        Gate("faces: active dimensions at β = 64 below those at β = 0.25", at_least=1.0),
    ),
)


class Sweep(NamedTuple):
    """What each β led to."""

    betas: Sequence[float]
    terms: list[dict[str, float]]
    models: list[VAE]


def train(run: Run) -> dict[str, float]:
    found, exact, variances = collapse(run)
    sweep = train_on_faces(run)
    held_out = draw_faces(run.rng.spawn("held-out faces"), 1000)
    path = run.picture("beta_vae.png")
    draw(found, variances, sweep, held_out.images.reshape(-1, 768), held_out.attributes, path)
    kl, reconstruction, active = (
        np.array([terms[name] for terms in sweep.terms]) for name in ("KL", "reconstruction", "active")
    )
    at_each = {f"faces: KL at β = {beta:g}": value for beta, value in zip(sweep.betas, kl, strict=True)}
    return at_each | {
        "linear: largest |KL - ½ ln⁺(λ/βσ²)|": float(np.abs(found - exact).max()),
        # A hundredth of a nat: none of these λ and β is so close to the threshold.
        "linear: dimensions on the wrong side of β = λ/σ²": float(np.sum((found > 0.01) != (exact > 0.0))),
        "faces: smallest fall of KL from β to the next": float(-np.diff(kl).max()),
        "faces: smallest fall of reconstruction from β to the next": float(-np.diff(reconstruction).max()),
        "faces: active dimensions at β = 64 below those at β = 0.25": float(active[0] - active[-1]),
    }


# --- the linear VAE, where the optimum is known ------------------------------------------------------------------


def collapse(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """KL of the dimensions (β, D), largest first: of the trained linear VAE, and of VAE-9; and λ of the points (D,)."""
    rng, size = run.rng.spawn("linear"), len(VARIANCES)
    directions = np.linalg.qr(rng.normal((size, size), dtype=np.float64, device="cpu").numpy())[0]
    x = rng.normal((500, size), dtype=np.float64, device="cpu").numpy() * np.sqrt(VARIANCES) @ directions.T
    model = LinearVAE(size, size, rng=rng.spawn("parameters")).astype(np.float64)
    model.log_noise.assign(tg.full_like(model.log_noise, float(np.log(NOISE))))
    trained = [parameter for parameter in model.parameters() if parameter is not model.log_noise]
    steps = run.choose(quick=800, full=1500)
    found = []
    for beta in LINEAR_BETAS:
        batches = tg.data.Batches(x, size=len(x), rng=rng.spawn("batches"))
        rate = optim.cosine(2e-2, steps, 1e-4)
        state = linear_vae.State(model, optim.Adam(trained, lr=rate), batches, beta)
        run.train(state, linear_vae.step, steps, name=f"linear {beta:g}", watch="ELBO")
        with tg.no_grad():
            found.append(np.sort(tg.mean(model.terms(tg.tensor(x))[1], axis=0).numpy())[::-1])
    variances = pca.fit(x).variances
    exact = [collapsed_kl(variances, NOISE, beta) for beta in LINEAR_BETAS]
    return np.stack(found), np.stack(exact), variances


# --- faces -------------------------------------------------------------------------------------------------------


def train_on_faces(run: Run) -> Sweep:
    """One VAE for each β, from the same parameters, and its terms on faces that it has not seen."""
    rng, steps = run.rng.spawn("faces"), run.choose(quick=700, full=4000)
    images = tg.data.load("faces").images.reshape(-1, 768)
    held_out = tg.tensor(tg.data.load("faces", split="test").images.reshape(-1, 768))
    models, terms = [], []
    for beta in FACE_BETAS:
        model = perceptron(768, LATENT, 256, NormalLikelihood(FACE_NOISE), rng=rng.spawn("parameters"))
        batches = tg.data.Batches(images, size=100, rng=rng.spawn("batches"))
        adam = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps, 1e-4))
        state = vae.State(model, adam, batches, rng.spawn("noise"), beta)
        run.train(state, vae.step, steps, name=f"faces {beta:g}", watch="ELBO")
        models.append(model)
        terms.append(evaluate(model, held_out, rng.spawn("evaluate"), samples=5))
    return Sweep(FACE_BETAS, terms, models)


@tg.no_grad()
def order_of_dimensions(model: VAE, x: tg.Tensor) -> np.ndarray:
    """The latent dimensions, that of the largest KL first."""
    kl = model.elbo(Generator(0), x)[1]
    return np.argsort(-tg.mean(kl, axis=0).numpy())


@tg.no_grad()
def traversals(model: VAE, x: tg.Tensor, dimensions: np.ndarray, places: Sequence[float]) -> np.ndarray:
    """Decoded (dimensions, places, 3, 16, 16): the first face with one dimension after the other moved."""
    z = model.posterior(x[:1]).mean.numpy()
    codes = np.repeat(z[None], len(dimensions) * len(places), axis=0).reshape(len(dimensions), len(places), -1)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = places
    decoded = model.decode(tg.tensor(codes.reshape(-1, z.shape[1]))).numpy()
    return decoded.reshape(len(dimensions), len(places), 3, 16, 16)


@tg.no_grad()
def correlations(model: VAE, x: tg.Tensor, dimensions: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """|Pearson correlation| (dimensions, attributes) of posterior means with the known factors."""
    means = model.posterior(x).mean.numpy()[:, dimensions]
    both = np.corrcoef(means.T, attributes.T)
    found: np.ndarray = np.abs(both[: len(dimensions), len(dimensions) :])
    return found


def draw(
    found: np.ndarray,
    variances: np.ndarray,
    sweep: Sweep,
    faces: np.ndarray,
    attributes: np.ndarray,
    path: Path,
) -> Path:
    """The collapse beside its formula, the trade-off, traversals, and which dimension knows which attribute."""
    figure, ((top_left, top_right), (low_left, low_right)) = plots.figure(2, 2, (11.0, 9.0))
    for i, variance in enumerate(variances):
        colour = plots.PALETTE[i]
        betas = np.geomspace(min(LINEAR_BETAS), variance / NOISE**2, 100)
        top_left.axvline(variance / NOISE**2, color=colour, linestyle=":", linewidth=1.0)
        top_left.plot(betas, [collapsed_kl(variance, NOISE, beta) for beta in betas], color=colour, linewidth=1.0)
        top_left.plot(LINEAR_BETAS, found[:, i], "o", color=colour, label=f"λ = {variance:.2f}")
    top_left.set(xscale="log", xlabel="β", ylabel="KL of a dimension, nats")
    top_left.set_title("Linear VAE: dimensions die at β = λ/σ² (dotted)\nlines: ½ ln⁺(λ/βσ²), dots: trained")
    top_left.legend(frameon=False, loc="upper right")

    for beta, terms in zip(sweep.betas, sweep.terms, strict=True):
        top_right.plot(terms["KL"], terms["reconstruction"], "o", color=plots.PALETTE[0])
        top_right.annotate(
            f"β = {beta:g}",
            (terms["KL"], terms["reconstruction"]),
            xytext=(-5, 5),
            textcoords="offset points",
            ha="right",
        )
    top_right.plot(*([terms[name] for terms in sweep.terms] for name in ("KL", "reconstruction")), color="#999999")
    top_right.margins(x=0.2, y=0.12)
    top_right.set(xlabel="KL, nats per face", ylabel="E log p(x | z), nats per face", title="Faces: what β trades")

    model, x = sweep.models[sweep.betas.index(SHOWN)], tg.tensor(faces)
    dimensions, places = order_of_dimensions(model, x)[:8], (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    plots.image_strip(
        low_left, traversals(model, x, dimensions, places), rows=[f"z{i}" for i in dimensions],
        columns=[f"{place:+g}" for place in places], clip=True, title=f"One dimension moved at a time, β = {SHOWN:g}",
    )  # fmt: skip
    table = correlations(model, x, dimensions, attributes)
    plots.heat_map(low_right, table, label="|correlation|", limits=(0.0, 1.0))
    low_right.set_xticks(range(len(ATTRIBUTES)), [name.replace("_", "\n") for name in ATTRIBUTES])
    low_right.set_yticks(range(len(dimensions)), [f"z{i}" for i in dimensions])
    low_right.set_title("Which dimension knows which attribute")
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
