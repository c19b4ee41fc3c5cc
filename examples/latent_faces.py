"""Attribute arithmetic on pixel faces: put glasses, a hat, long hair or a smile on a face, and take them off.

python examples/latent_faces.py            about 1 minute
python examples/latent_faces.py --quick    less than a minute
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygen as tg
from tinygen import latent, nn, optim, plots
from tinygen.data import Batches
from tinygen.data.faces import ATTRIBUTES, Faces, draw_faces
from tinygen.models import pca, vae
from tinygen.models.vae import VAE, NormalLikelihood, evaluate
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.tensor import Tensor

PIXELS, LATENT, HIDDEN, NOISE = 768, 64, 256, 0.3
LABELS = (("no glasses", "glasses"), ("no hat", "hat"), ("short hair", "long hair"), ("sad mouth", "smile"))
"""How the picture calls faces without and with each of ``ATTRIBUTES``."""
STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)

EXAMPLE = Example(
    name="latent_faces",
    systems=("VAE", "LATENT"),
    models=("tinygen/models/vae.py", "tinygen/latent.py"),
    gates=(
        Gate("judge: worst accuracy on real faces", at_least=0.98),
        Gate("VAE: worst share of faces that change as asked", at_least=0.90),
        Gate("VAE: worst share that keep another attribute", at_least=0.80),
    ),
)


class Coder(NamedTuple):
    """From images to codes and back."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def train(run: Run) -> dict[str, float]:
    faces = tg.data.load("faces")
    validation, test = (draw_faces(run.rng.spawn(name), 1000) for name in ("validation", "test"))
    whitening = latent.whitening(rows(faces))
    judge = train_judge(run, faces, whitening)
    accuracy = (judge(rows(test)) == test.attributes).mean(axis=0)

    model = train_vae(run, whitening.apply(rows(faces)))
    coders = {
        "VAE": Coder(lambda x: model.posterior(whitening.apply(x)).mean, lambda z: whitening.undo(model.decode(z))),
        "whitened PCA": principal_components(whitening, rows(faces)),
    }
    measured = {"judge: worst accuracy on real faces": float(accuracy.min())}
    terms = evaluate(model, whitening.apply(rows(test)), run.rng.spawn("evaluate"))
    measured |= {f"VAE: {name}": value for name, value in terms.items()}
    for name, coder in coders.items():
        directions = latent.attribute_directions(coder.encode(rows(faces)).detach(), faces.attributes)
        strength = max(STRENGTHS, key=lambda s: margin(*arithmetic(coder, directions, judge, validation, s)))
        flipped, kept = arithmetic(coder, directions, judge, test, strength)
        measured |= {
            f"{name}: strength": strength,
            f"{name}: worst share of faces that change as asked": flipped,
            f"{name}: worst share that keep another attribute": kept,
        }
    draw(coders["VAE"], faces, test, run.rng.spawn("picture"), run.picture("latent_faces.png"))
    return measured


def rows(faces: Faces) -> Tensor:
    """Images as rows (N, 768)."""
    return tg.tensor(faces.images.reshape(-1, PIXELS))


# --- the judge ---------------------------------------------------------------------------------------------------


@dataclass
class JudgeState:
    """A classifier of the four attributes, and what trains it."""

    network: nn.Module
    optimizer: optim.Optimizer
    batches: Batches


def judge_step(state: JudgeState) -> Mapping[str, Tensor]:
    """Cross-entropy of each attribute from its logit."""
    x, attributes = state.batches.next()
    loss = tg.binary_cross_entropy_with_logits(state.network(x), attributes)
    state.optimizer.minimize(loss)
    return {"cross-entropy": loss}


def train_judge(run: Run, faces: Faces, whitening: latent.Whitening) -> Callable[[Tensor], np.ndarray]:
    """A function from images (N, 768) to their attributes (N, 4), 0 or 1; it sees real faces only."""
    rng, steps = run.rng.spawn("judge"), run.choose(quick=800, full=1500)
    network = nn.Sequential(nn.Linear(PIXELS, 128, rng=rng), nn.ReLU(), nn.Linear(128, len(ATTRIBUTES), rng=rng))
    targets = faces.attributes.astype(faces.images.dtype)
    batches = Batches(whitening.apply(rows(faces)), targets, size=100, rng=rng.spawn("batches"))
    adam = optim.Adam(network.parameters(), lr=optim.cosine(2e-3, steps))
    run.train(JudgeState(network, adam, batches), judge_step, steps, name="judge")

    def judge(x: Tensor) -> np.ndarray:
        with tg.no_grad():
            seen: np.ndarray = network(whitening.apply(x)).numpy() > 0
        return seen.astype(np.int64)

    return judge


# --- the two ways to codes ---------------------------------------------------------------------------------------


class WithShortcut(nn.Module):
    """A perceptron with one hidden layer, plus a linear map beside it."""

    def __init__(self, inputs: int, outputs: int, *, rng: Generator) -> None:
        self.straight = nn.Linear(inputs, outputs, rng=rng)
        self.bent = nn.Sequential(nn.Linear(inputs, HIDDEN, rng=rng), nn.SiLU(), nn.Linear(HIDDEN, outputs, rng=rng))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.straight(x) + self.bent(x)
        return total


def train_vae(run: Run, white: Tensor) -> VAE:
    """A VAE of whitened faces: without whitening, the mouth is too few pixels to be worth a code."""
    rng, steps = run.rng.spawn("vae"), run.choose(quick=1200, full=2500)
    encoder = WithShortcut(PIXELS, 2 * LATENT, rng=rng.spawn("encoder"))
    decoder = WithShortcut(LATENT, PIXELS, rng=rng.spawn("decoder"))
    model = VAE(encoder, decoder, NormalLikelihood(NOISE), LATENT)
    adam = optim.Adam(model.parameters(), lr=optim.cosine(2e-3, steps, 1e-4))
    state = vae.State(model, adam, Batches(white, size=100, rng=rng.spawn("batches")), rng.spawn("noise"))
    run.train(state, vae.step, steps, name="vae", watch="ELBO")
    return model


def principal_components(whitening: latent.Whitening, x: Tensor) -> Coder:
    """The baseline without any training: as many principal components of the whitened faces (AE-2)."""
    found = pca.fit(whitening.apply(x))
    directions = tg.tensor(found.directions[:LATENT]).astype(x.dtype)
    mean = tg.tensor(found.mean).astype(x.dtype)
    return Coder(lambda x: (whitening.apply(x) - mean) @ directions.T, lambda z: whitening.undo(z @ directions + mean))


# --- arithmetic (VAE-12) -----------------------------------------------------------------------------------------


@tg.no_grad()
def arithmetic(
    coder: Coder, directions: Tensor, judge: Callable[[Tensor], np.ndarray], faces: Faces, strength: float
) -> tuple[float, float]:
    """Over all attributes, added and removed: the worst share that changes, and the worst that keeps another one."""
    codes, flipped, kept = coder.encode(rows(faces)), [], []
    for attribute in range(len(ATTRIBUTES)):
        others = [other for other in range(len(ATTRIBUTES)) if other != attribute]
        for has, sign in ((0, 1.0), (1, -1.0)):
            those = np.flatnonzero(faces.attributes[:, attribute] == has)
            moved = tg.take(codes, tg.tensor(those), 0) + sign * strength * directions[attribute]  # z + α v
            seen, true = judge(coder.decode(moved)), faces.attributes[those]
            flipped.append((seen[:, attribute] != has).mean())
            kept += list((seen[:, others] == true[:, others]).mean(axis=0))
    return float(min(flipped)), float(min(kept))


def margin(flipped: float, kept: float) -> float:
    """How far the worse of the two is from what is asked of it."""
    return min(flipped - 0.90, kept - 0.80)


# --- the picture -------------------------------------------------------------------------------------------------


@tg.no_grad()
def draw(coder: Coder, faces: Faces, test: Faces, rng: Generator, path: Path) -> Path:
    """A face without and one with each attribute from −2 to 2, and from one face to another by a line and an arc."""
    figure, ((left, right),) = plots.figure(1, 2, (10.0, 6.0))
    directions = latent.attribute_directions(coder.encode(rows(faces)), faces.attributes)
    z = coder.encode(rows(test))
    strengths = (-2.0, -1.0, 0.0, 1.0, 2.0)
    steps = tg.tensor(np.array(strengths)[:, None]).astype(z.dtype)
    labels, strips = [], []
    for attribute, direction, names in zip(np.eye(len(ATTRIBUTES)), directions, LABELS, strict=True):
        for has, name in enumerate(names):
            # The first test face that has this attribute, or not, and none of the others.
            face = int(np.flatnonzero((test.attributes == has * attribute).all(axis=1))[0])
            strips.append(coder.decode(z[face] + steps * direction).reshape(-1, 3, 16, 16))
            labels.append(name)
    plots.image_strip(
        left, tg.stack(strips), rows=labels, columns=[f"{strength:+g}" for strength in strengths], clip=True,
        title="z + α v, α above",
    )  # fmt: skip
    shares: Sequence[float] = np.linspace(0.0, 1.0, 5).tolist()
    ways = {"line": latent.lerp, "arc": latent.slerp}
    strips = [
        coder.decode(tg.stack([way(z[a], z[b], share) for share in shares])).reshape(-1, 3, 16, 16)
        for a, b in ((5, 6), (7, 8))
        for way in ways.values()
    ]
    plots.image_strip(
        right, tg.stack(strips), rows=[*ways, *ways], columns=[f"{share:.2g}" for share in shares], clip=True,
        title="From one face to another",
    )  # fmt: skip
    return plots.save(figure, path)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
