"""The adversarial game on the line, where all of it is known: what discriminators learn, and what generators feel.

python examples/gan_1d.py            3,000 steps for each of five discriminators, about 30 seconds
python examples/gan_1d.py --quick    1,500 steps
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import divergences, nn, optim, plots
from tinygen.adversarial import ManyClasses, Objective, Smoothed, Swapped, minimax, non_saturating
from tinygen.data import Draws
from tinygen.distributions import Categorical, Normal
from tinygen.models.gan import Affine, State, discriminator_step, normal_prior, perceptron
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATA, FAKES = (-1.0, 0.7), (1.0, 1.0)  # mean and standard deviation
CLASSES, CLASS_SD = np.array([-3.0, 0.0, 2.0]), 0.6  # three equally likely classes of real data
BATCH = 256
LINE = np.linspace(-9.0, 9.0, 3601)
STEP = float(LINE[1] - LINE[0])

EXAMPLE = Example(
    name="gan_1d",
    systems=("LAB-D", "GAN", "NSGAN"),
    models=("tinygen/models/gan.py", "tinygen/adversarial/objectives.py"),
    gates=(
        Gate("RMSE of D", at_most=(0.02, 0.01)),
        # Above 0, a discriminator would be better than the best one.  1e-6 is rounding in float32.
        Gate("V(D) - V(D*)", "nats", at_least=(-0.01, -0.003), never_above=1e-6),
        Gate("RMSE with smoothed labels", at_most=0.02),
        Gate("RMSE with swapped labels", at_most=0.02),
        Gate("RMSE of 3 + 1 classes", at_most=0.02),
        Gate("D(G) of a good discriminator", at_most=0.01),
        Gate("saturating / non-saturating gradient", at_most=0.01),
        # The ratio follows the mean of D(G) below 1e-2 within a few of the 30 or 60 reports.
        Gate("reports with D(G) below 0.01, but not yet their ratio", at_most=5),
        # For each fake it is D / (1 - D), and so below 1e-2 where D is below 0.0099; 1e-6 is rounding in float32.
        Gate("relative error of D / (1 - D), their ratio at each fake", at_most=1e-6, exact=True),
        Gate("error of the gradient of KL(q|p) - 2 JS", at_most=1e-5, exact=True),
        Gate("slope of JS at distance 4", "nats", at_most=1e-6, exact=True),
        Gate("error of W1 at any distance", at_most=1e-6, exact=True),
    ),
)


def train(run: Run) -> dict[str, float]:
    p, q = normal_density(LINE, *DATA), normal_density(LINE, *FAKES)
    swap = Swapped(minimax, 0.1, rng=run.rng.spawn("swaps"))
    objectives: dict[str, Objective] = {"plain": minimax, "smoothed": Smoothed(minimax), "swapped": swap}
    games = {name: (objective, objective.optimal_discriminator(p, q).numpy()) for name, objective in objectives.items()}

    trained, errors = {}, {}
    for name, (objective, best) in games.items():
        state = game(run.rng.spawn(name), run.choose(quick=1500, full=3000), objective)
        run.train(state, discriminator_step, run.choose(quick=1500, full=3000), name=name, watch="discriminator loss")
        trained[name] = on_line(state)[:, 0]
        errors[name] = weighted_rmse(trained[name], best, p + q)
    classes, class_error = learn_classes(run, q)
    slopes = vanishing_gradients(run)
    first = next((report for report in slopes if report["D(G)"] < 0.01), slopes[-1])
    late = sum(r["D(G)"] < 0.01 <= r["saturating"] / r["non-saturating"] for r in slopes)
    identity = generator_gradients(np.linspace(-2.0, 3.0, 26))
    sliding = slide(np.linspace(0.0, 4.0, 81))

    value = float(np.sum(p * np.log(trained["plain"]) + q * np.log1p(-trained["plain"])) * STEP)
    best_value = -np.log(4.0) + 2.0 * divergences.js(p, q, dx=STEP).item()  # GAN-7
    draw(p, q, games, trained, classes, slopes, identity, sliding, run.picture("gan_1d.png"))
    animate(sliding, run.picture("gan_1d_sliding.gif"))
    return {
        "RMSE of D": errors["plain"],
        "V(D) - V(D*)": value - best_value,
        "RMSE with smoothed labels": errors["smoothed"],
        "RMSE with swapped labels": errors["swapped"],
        "RMSE of 3 + 1 classes": class_error,
        "D(G) of a good discriminator": slopes[-1]["D(G)"],
        "saturating / non-saturating gradient": slopes[-1]["saturating"] / slopes[-1]["non-saturating"],
        "their ratio when the mean of D(G) falls below 0.01": first["saturating"] / first["non-saturating"],
        "reports with D(G) below 0.01, but not yet their ratio": float(late),
        "relative error of D / (1 - D), their ratio at each fake": max(report["error"] for report in slopes),
        "error of the gradient of KL(q|p) - 2 JS": float(np.abs(identity.frozen - identity.divergence).max()),
        "slope of JS at distance 4": float(np.diff(sliding.js)[-1] / np.diff(sliding.distance)[-1]),
        "error of W1 at any distance": float(np.abs(sliding.w1 - sliding.distance).max()),
    }


# --- what discriminators learn -----------------------------------------------------------------------------------


def game(
    rng: Generator,
    steps: int,
    objective: Objective,
    *,
    data: tuple[float, float] = DATA,
    fakes: tuple[float, float] = FAKES,
    logits: int = 1,
) -> State:
    """A discriminator that learns against a generator that stands still."""
    generator = Affine(*fakes)
    discriminator = perceptron((1, 64, 64, logits), nn.Tanh, spread=2.0, rng=rng.spawn("parameters"))
    return State(
        generator,
        discriminator,
        optim.SGD(generator.parameters(), lr=0.0),
        optim.Adam(discriminator.parameters(), lr=optim.cosine(2e-3, steps)),
        Draws(lambda rng: Normal(*data).sample(rng, (BATCH, 1)), rng=rng.spawn("data")),
        normal_prior(BATCH, 1),
        rng.spawn("noise"),
        objective,
    )


@tg.no_grad()
def on_line(state: State) -> np.ndarray:
    """The outputs of the trained D on LINE: (points, 1) or, of several classes, (points, K + 1)."""
    x = tg.tensor(LINE[:, None], dtype=np.float32)
    output: np.ndarray = state.objective.output(state.discriminator(x)).numpy().astype(np.float64)
    return output


def normal_density(x: np.ndarray, mean: float | np.ndarray, sd: float) -> np.ndarray:
    density: np.ndarray = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))
    return density


def weighted_rmse(found: np.ndarray, best: np.ndarray, weight: np.ndarray) -> float:
    """Root of the mean squared error where training examples fall: under (p + q) / 2."""
    return float(np.sqrt(np.sum(0.5 * weight * (found - best) ** 2) * STEP))


@dataclass
class Classes:
    """K + 1 classes on LINE: best and trained probabilities, both (points, K + 1)."""

    best: np.ndarray
    trained: np.ndarray


def learn_classes(run: Run, q: np.ndarray) -> tuple[Classes, float]:
    """Three classes of real data and the fakes, by the labelled loss and that of the fakes (GAN-19)."""
    objective, steps = ManyClasses(minimax), run.choose(quick=1500, full=3000)
    state = game(run.rng.spawn("classes"), steps, objective, logits=3)
    centres = tg.tensor(CLASSES, dtype=np.float32)

    def draw(rng: Generator) -> tuple[tg.Tensor, tg.Tensor]:
        labels = Categorical(tg.full(3, 1 / 3)).sample(rng, (BATCH,))
        return tg.take(centres, labels, 0)[:, None] + CLASS_SD * rng.normal((BATCH, 1)), labels

    state.real = Draws(draw, rng=run.rng.spawn("labelled data"))

    def labelled_step(state: State) -> Mapping[str, tg.Tensor]:
        x, labels = state.real.next()
        fake = state.generator(state.prior(state.rng)).detach()
        labelled = objective.labelled_loss(state.discriminator(x), labels)
        state.discriminator_optimizer.minimize(labelled + tg.mean(objective.fake_loss(state.discriminator(fake))))
        return {"labelled loss": labelled}

    run.train(state, labelled_step, steps, name="classes", watch="labelled loss")
    joint = np.stack([normal_density(LINE, centre, CLASS_SD) / 3 for centre in CLASSES], axis=1)
    made = Classes(objective.optimal_discriminator(joint, q).numpy(), on_line(state))
    errors = [weighted_rmse(made.trained[:, k], made.best[:, k], joint.sum(axis=1) + q) for k in range(4)]
    return made, max(errors)


# --- what generators feel ----------------------------------------------------------------------------------------


def vanishing_gradients(run: Run) -> list[dict[str, float]]:
    """The size of both generators' gradients while D learns to tell two laws apart that hardly meet (GAN-11, 12).

    At each fake their ratio is D / (1 − D), for the slopes of the logit are the same ("error" is what is missing).
    The ratio of the whole gradients is an average of these with weights that are larger where D is: it falls below
    1e-2 a little after the mean of D(G) has.
    """
    steps = run.choose(quick=300, full=600)
    state = game(run.rng.spawn("apart"), steps, minimax, data=(0.0, 0.5), fakes=(4.0, 0.5))
    z = run.rng.spawn("fixed noise").normal((1000, 1))

    def slopes(state: State) -> dict[str, float]:
        logits = state.discriminator(state.generator(z))
        saturating, other = (objective.generator_loss(logits) for objective in (minimax, non_saturating))
        at_fakes = [tg.grad(loss, logits)[0].numpy().astype(np.float64) for loss in (saturating, other)]
        expected = np.exp(logits.numpy().astype(np.float64))  # D / (1 − D) with D = σ(logit)
        return {
            "error": float(np.abs(at_fakes[0] / at_fakes[1] / expected - 1.0).max()),
            "D(G)": float(tg.mean(tg.sigmoid(logits))),
            "saturating": size_of_gradient(saturating, state.generator),
            "non-saturating": size_of_gradient(other, state.generator),
        }

    return run.train(state, discriminator_step, steps, name="apart", every=10, evaluate=slopes, watch="D(G)")


def size_of_gradient(loss: tg.Tensor, network: nn.Module) -> float:
    """The norm of the loss's gradient in all parameters of a network."""
    return float(np.sqrt(sum(float(tg.sum(tg.square(slope))) for slope in tg.grad(loss, network.parameters()))))


@dataclass
class Identity:
    """Slopes in the generator's mean: with D* frozen, and of the divergences; both generators (GAN-7, GAN-13)."""

    mean: np.ndarray
    frozen: np.ndarray  # (2, means): non-saturating, saturating
    divergence: np.ndarray  # (2, means): of KL(q‖p) − 2 JS, and of 2 JS


def generator_gradients(means: np.ndarray) -> Identity:
    """Both slopes by quadrature, for q = N(mean, 1) and p as above."""
    z = np.linspace(-8.0, 8.0, 3201)
    weights = tg.tensor(normal_density(z, 0.0, 1.0) * (z[1] - z[0]))
    x = np.linspace(-14.0, 15.0, 5801)
    width = x[1] - x[0]
    p = tg.tensor(normal_density(x, *DATA))
    frozen, divergence = [], []
    for mean in means:
        now = Normal(float(mean), 1.0)
        at = tg.tensor(float(mean), dtype=np.float64, requires_grad=True)
        sample = at + tg.tensor(z)  # x = G(z)
        logit = Normal(*DATA).log_prob(sample) - now.log_prob(sample)  # of D*, which does not move with the mean
        losses = [tg.sum(weights * tg.softplus(-logit)), -tg.sum(weights * tg.softplus(logit))]
        frozen.append([tg.grad(loss, at)[0].item() for loss in losses])

        q = tg.exp(Normal(at, 1.0).log_prob(tg.tensor(x)))
        twice_js = 2.0 * divergences.js(p, q, dx=width)
        measures = [divergences.kl(q, p, dx=width) - twice_js, twice_js]
        divergence.append([tg.grad(measure, at)[0].item() for measure in measures])
    return Identity(means, np.array(frozen).T, np.array(divergence).T)


@dataclass
class Sliding:
    """N(0, ¼²) and N(distance, ¼²): two measures of how far apart they are."""

    distance: np.ndarray
    js: np.ndarray
    w1: np.ndarray


def slide(distances: np.ndarray) -> Sliding:
    """JS and W₁ of two laws that slide apart: the one saturates at ln 2 (DIV-11), the other is the distance (OT-5)."""
    p = normal_density(LINE, 0.0, 0.25)
    js, w1 = [], []
    for distance in distances:
        q = normal_density(LINE, distance, 0.25)
        js.append(divergences.js(p, q, dx=STEP).item())
        w1.append(divergences.wasserstein_1d(p, q, dx=STEP).item())
    return Sliding(distances, np.array(js), np.array(w1))


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(
    p: np.ndarray,
    q: np.ndarray,
    games: Mapping[str, tuple[Objective, np.ndarray]],
    trained: Mapping[str, np.ndarray],
    classes: Classes,
    slopes: list[dict[str, float]],
    identity: Identity,
    sliding: Sliding,
    path: Path,
) -> Path:
    """What discriminators learn (upper row), and what generators feel (lower row)."""
    figure, ((left, middle, right), (low_left, low_middle, low_right)) = plots.figure(2, 3, (12.0, 6.8))
    near = np.abs(LINE) <= 4.5
    x = LINE[near]

    left.fill_between(x, p[near], color=plots.PALETTE[0], alpha=0.25, label="data p")
    left.fill_between(x, q[near], color=plots.PALETTE[1], alpha=0.25, label="generator q")
    plots.curves(left, x, {"trained D": trained["plain"][near]}, names=("x", ""), title="D learns p / (p + q)")
    left.plot(x, games["plain"][1][near], "k--", label="p / (p + q)")
    left.legend(frameon=False, loc="upper right")

    tricks = {"smoothed, .7 and 0": "smoothed", "swapped, 10 %": "swapped"}
    plots.curves(middle, x, {name: trained[key][near] for name, key in tricks.items()}, names=("x", ""))
    for key in tricks.values():
        middle.plot(x, games[key][1][near], "k--", label="optimum" if key == "swapped" else None)
    middle.set(title="Smoothed and swapped labels", ylim=(-0.02, 1.02))
    middle.legend(frameon=False, loc="upper right")

    names = ("class 1", "class 2", "class 3", "fake")
    plots.curves(right, x, {name: classes.trained[near, k] for k, name in enumerate(names)}, names=("x", ""))
    right.plot(x, classes.best[near], "k--", label=["optimum", *[None] * 3])
    right.set_title("Three classes and the fakes")
    right.legend(frameon=False, handlelength=1.2)

    sizes = {name: [report[name] for report in slopes] for name in ("saturating", "non-saturating", "D(G)")}
    plots.curves(low_left, [report["step"] for report in slopes], sizes, title="Gradients while D learns")
    low_left.set(yscale="log", xlabel="steps of D", ylabel="size of the gradient, and D(G)")

    plots.curves(
        low_middle, identity.mean, {"non-saturating": identity.frozen[0], "saturating": identity.frozen[1]},
        names=("mean of q", "slope of the generator's loss"), title="What generators minimise at D*",
    )  # fmt: skip
    for k, name in enumerate(("KL(q‖p) − 2 JS", "2 JS")):
        low_middle.plot(identity.mean, identity.divergence[k], "k" + ("--", ":")[k], label=f"slope of {name}")
    low_middle.legend(frameon=False)

    draw_measures(low_right, sliding, len(sliding.distance))
    return plots.save(figure, path)


def draw_measures(axes: Axes, sliding: Sliding, count: int) -> None:
    """The first ``count`` values of both measures over the distance."""
    plots.curves(
        axes, sliding.distance[:count], {"W₁": sliding.w1[:count], "JS": sliding.js[:count]},
        floor=float(np.log(2.0)), floor_name="ln 2 =", names=("distance", ""), title="Two laws slide apart",
    )  # fmt: skip
    axes.set(xlim=(0.0, 4.0), ylim=(-0.1, 4.1))
    axes.legend(frameon=False, loc="upper left")


def animate(sliding: Sliding, path: Path) -> None:
    """Two laws and their best discriminator slide apart; W₁ goes on, JS stops."""
    figure, ((left, right),) = plots.figure(1, 2, (8.0, 3.4))
    x = LINE[(LINE > -1.0) & (LINE < 5.0)]
    p = normal_density(x, 0.0, 0.25)
    with plots.animation(figure, path) as frame:
        for count in range(2, len(sliding.distance) + 1, 3):
            left.clear()
            right.clear()
            q = normal_density(x, float(sliding.distance[count - 1]), 0.25)
            left.fill_between(x, p, color=plots.PALETTE[0], alpha=0.3, label="data p")
            left.fill_between(x, q, color=plots.PALETTE[1], alpha=0.3, label="generator q")
            logit = 0.5 * ((x - sliding.distance[count - 1]) ** 2 - x**2) / 0.25**2
            left.plot(x, 1.0 / (1.0 + np.exp(np.clip(-logit, -700.0, 700.0))), "k", label="D* = p / (p + q)")
            left.set(title="Far apart, a perfect D is flat at the fakes", xlabel="x", ylim=(-0.05, 2.2))
            left.legend(frameon=False, loc="upper center", ncols=3, fontsize=8, columnspacing=1.0, handlelength=1.2)
            draw_measures(right, sliding, count)
            frame()


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
