"""A critic as a measure of distance: what WGAN-GP learns on the line, where the best critic is known exactly.

A critic starts with the right sign or the wrong one, as chance has it.  Where λ rises, it finds its side even from
the wrong one; a penalty of full weight from the first step keeps it where it began, unless that was close to 0.

python examples/critic_distance.py            seven critics, and six starts of the trap; about 40 seconds
python examples/critic_distance.py --quick    three starts of the trap
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import nn, optim, plots
from tinygen.adversarial import GradientPenalty, Penalty, wasserstein
from tinygen.data import Draws
from tinygen.distributions import Normal
from tinygen.models.gan import Affine, State, discriminator_step, normal_prior
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHIFTS = (0.5, 1.0, 2.0)  # of the fakes N(m, 1) from the data N(0, 1): the distance W₁
WEIGHT, BATCH, STEPS = 10.0, 128, 1000
LINE = np.linspace(-8.0, 10.0, 3601)
STEP = float(LINE[1] - LINE[0])
Penalties = list[Penalty]

EXAMPLE = Example(
    name="critic_distance",
    systems=("WGAN", "WGANGP", "SNGAN", "LAB-OT"),
    models=("tinygen/models/gan.py", "tinygen/adversarial/penalties.py"),
    gates=(
        *(Gate(f"gap at distance {m:g} / best", at_least=0.98, at_most=1.02, exact=True) for m in SHIFTS),
        # In all reports of all distances; above 1, a critic would not be 1-Lipschitz.
        Gate("normalised critics' largest gap / W1", at_least=0.5, never_above=1.0),
        Gate("normalised critic's steepest of 10,000 pairs", at_most=1.001, exact=True),
        Gate("error of the trained critic's spectral norms", at_most=0.02, exact=True),
        *(
            Gate(f"median error of 100 random {kind} spectral norms, 15 power steps", at_most=0.02)
            for kind in ("matrices'", "kernels'")
        ),
        Gate("critics that end on the side where they began, without a ramp", "share", at_least=0.6),
    ),
)


def train(run: Run) -> dict[str, float]:
    measured: dict[str, float] = {}
    gaps: dict[str, History] = {}
    critics: dict[str, np.ndarray] = {}
    for m in SHIFTS:
        ramped = GradientPenalty(run.rng.spawn(f"penalty {m:g}"), weight=ramp)
        network = on_the_wrong_side(critic(run.rng.spawn(f"parameters {m:g}")), m)
        critics[f"penalty, {m:g}"], gaps[f"{m:g}"] = learn(run, f"penalty {m:g}", network, m, [ramped])
        measured[f"gap at distance {m:g} / best"] = gap(critics[f"penalty, {m:g}"], m) / best_gap(m)

    ratios: list[float] = []
    for m in SHIFTS:
        normalised = normalised_critic(run.rng.spawn(f"normalised {m:g}"))
        critics[f"normalised, {m:g}"], history = learn(run, f"normalised {m:g}", normalised, m)
        ratios += [report["gap"] / m for report in history]
        measured[f"normalised critic's gap at distance {m:g} / W1"] = ratios[-1]
    measured["normalised critics' largest gap / W1"] = max(ratios)
    measured["normalised critic's steepest of 10,000 pairs"] = steepest(normalised, run.rng.spawn("pairs"))
    with nn.evaluating(normalised):
        errors = [spectral_error(layer) for layer in normalised if isinstance(layer, nn.Linear)]
    measured["error of the trained critic's spectral norms"] = max(errors)
    for kind, layer in (
        ("matrices'", nn.Linear(128, 64, rng=run.rng.spawn("matrices"))),
        ("kernels'", nn.Conv2d(16, 32, 3, rng=run.rng.spawn("kernels"))),
    ):
        of_random = power_errors(layer, run.rng.spawn(kind))
        measured[f"median error of 100 random {kind} spectral norms, 15 power steps"] = float(np.median(of_random))
        measured[f"share of 100 random {kind} spectral norms within 2 %"] = float(np.mean(of_random < 0.02))
    critics["clipped"], _ = learn(run, "clipped", critic(run.rng.spawn("clipped")), 2.0, clip=0.1)
    measured["clipped critic's gap / W1"] = gap(critics["clipped"], 2.0) / 2.0

    trap = []
    stayed = []
    for number in range(run.choose(quick=3, full=6)):
        constant = GradientPenalty(run.rng.spawn(f"constant penalty {number}"), weight=WEIGHT)
        network = critic(run.rng.spawn(f"constant {number}"))
        start = gap(scores(network), 2.0)
        trap.append(learn(run, f"constant {number}", network, 2.0, [constant])[1])
        stayed.append(start * trap[-1][-1]["gap"] > 0.0)
    measured["critics that end on the side where they began, without a ramp"] = float(np.mean(stayed))
    draw(gaps, trap, critics, run.picture("critic_distance.png"))
    return measured


# --- the critics -------------------------------------------------------------------------------------------------


def ramp(step: int) -> float:
    """λ_k: small at first, so that the critic finds its side before slopes near 0 become expensive."""
    return WEIGHT * min(1.0, (step + 1) / 300) ** 2


def critic(rng: Generator) -> nn.Sequential:
    """With small weights, and so nearly a line at the start: one with kinks all over finds its way out of the trap."""
    return nn.Sequential(
        nn.Linear(1, 64, rng=rng), nn.Tanh(), nn.Linear(64, 64, rng=rng), nn.Tanh(), nn.Linear(64, 1, rng=rng)
    )


def normalised_critic(rng: Generator) -> nn.Sequential:
    """Each weight divided by its spectral norm (WGAN-6)."""
    network = critic(rng)
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.spectral_norm(layer, rng=rng.spawn("power iteration"))
    return network


def on_the_wrong_side(network: nn.Sequential, m: float) -> nn.Sequential:
    """The critic, with its sign changed if it starts with higher scores for data than for fakes."""
    if gap(scores(network), m) > 0.0:
        weight = network.parameters()[-2]  # of the last layer
        weight.assign((-weight).data)
    return network


def learn(
    run: Run, name: str, network: nn.Sequential, m: float, penalties: Penalties | None = None, clip: float | None = None
) -> tuple[np.ndarray, History]:
    """Train a critic of N(0, 1) against N(m, 1): its scores on LINE, and its gap over the steps."""
    rng = run.rng.spawn(name)
    generator = Affine(m, 1.0)
    cosine = optim.cosine(2e-3, int(0.7 * STEPS))
    rate = lambda step: cosine(max(0, step - int(0.3 * STEPS)))  # noqa: E731
    state = State(
        generator,
        network,
        optim.SGD(generator.parameters(), lr=0.0),
        # A momentum would go on pushing clipped weights against their limit.
        optim.RMSprop(network.parameters(), lr=rate)
        if clip
        else optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.9)),
        Draws(lambda rng: Normal(0.0, 1.0).sample(rng, (BATCH, 1)), rng=rng.spawn("data")),
        normal_prior(BATCH, 1),
        rng.spawn("noise"),
        wasserstein,
        penalties or [],
        clip=clip,
    )
    history = run.train(
        state, discriminator_step, STEPS, name=name, every=25, watch="gap",
        evaluate=lambda state: {"gap": gap(scores(state.discriminator), m)},
    )  # fmt: skip
    return scores(network), history


@tg.no_grad()
def scores(network: nn.Module) -> np.ndarray:
    """The critic on LINE (points,)."""
    with nn.evaluating(network):
        values: np.ndarray = network(tg.tensor(LINE[:, None], dtype=np.float32)).numpy()[:, 0]
    return values.astype(np.float64)


@tg.no_grad()
def steepest(network: nn.Module, rng: Generator) -> float:
    """The largest |f(x) − f(y)| / |x − y| of 10,000 random pairs (WGAN-7)."""
    x, y = (rng.uniform((10_000, 1), -8.0, 10.0) for _ in range(2))
    far = tg.maximum(tg.abs(x - y), 1e-2)  # nearer pairs would show the rounding of float32
    with nn.evaluating(network):
        return float(tg.max(tg.abs(network(x) - network(y)) / far))


def spectral_error(layer: nn.Linear | nn.Conv2d) -> float:
    """How far the largest singular value of a normalised weight, as a matrix, is from 1, by the SVD (WGAN-6)."""
    weight = layer.weight.numpy()
    return abs(float(np.linalg.norm(weight.reshape(len(weight), -1), ord=2)) - 1.0)


def power_errors(layer: nn.Linear | nn.Conv2d, rng: Generator) -> np.ndarray:
    """That error of 100 normal weights (100,), after 15 power steps from unrelated vectors (WGAN-8).

    A quarter of them are more than 2 % off, the worst some 10 %: those whose two largest singular values lie close
    together, from where no power iteration comes away soon.  In training, where weights move slowly and the vectors
    follow them, one step for each new weight is enough.
    """
    nn.spectral_norm(layer, n_power_iterations=15, rng=rng)
    weight = dict(layer.named_parameters())["weight_orig"]
    errors = []
    for _ in range(100):
        weight.assign(rng.normal(weight.shape).data)
        errors.append(spectral_error(layer))
    return np.array(errors)


# --- what is known -----------------------------------------------------------------------------------------------


def normal(x: np.ndarray, mean: float, sd: float = 1.0) -> np.ndarray:
    density: np.ndarray = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi))
    return density


def gap(values: np.ndarray, m: float) -> float:
    """E_p f − E_q f by quadrature (WGAN-1)."""
    return float(np.sum(values * (normal(LINE, 0.0) - normal(LINE, m))) * STEP)


def best_slope(m: float) -> np.ndarray:
    """−f′ of the best penalised critic on LINE: 1 + w / (2 λ r).

    The loss is −∫ w (−f′) dx + λ ∫ r (|f′| − 1)² dx with w = F_p − F_q, by parts, and r the density of x̂: at each
    place a parabola in the slope.
    """
    cumulative = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)))
    w = cumulative(LINE) - cumulative(LINE - m)
    nodes, weights = np.polynomial.legendre.leggauss(60)  # ε ~ U(0, 1); given it x̂ is normal
    r = sum(
        0.5 * weight * normal(LINE, (1.0 - e) * m, math.hypot(e, 1.0 - e))
        for e, weight in zip(0.5 * (nodes + 1.0), weights, strict=True)
    )
    slope: np.ndarray = 1.0 + w / (2.0 * WEIGHT * np.maximum(r, 1e-300))
    return slope


def best_gap(m: float) -> float:
    """The gap of the best penalised critic, W₁ + ∫ w² / (2 λ r) dx: a little above the distance."""
    cumulative = np.cumsum(normal(LINE, 0.0) - normal(LINE, m)) * STEP
    return float(np.sum(cumulative * best_slope(m)) * STEP)


# --- the picture -------------------------------------------------------------------------------------------------


def draw(gaps: dict[str, History], trap: list[History], critics: dict[str, np.ndarray], path: Path) -> Path:
    """Gaps over the steps, with and without a ramp; critics and their slopes at distance 2."""
    figure, ((left, right), (low_left, low_right)) = plots.figure(2, 2, (9.6, 7.2))
    for m, history in zip(SHIFTS, gaps.values(), strict=True):
        over_steps(left, history, f"distance {m:g}")
        left.axhline(best_gap(m), color=left.lines[-1].get_color(), linestyle="--", linewidth=1.0)
    left.set(title="λ rises: gaps come to the optimum (dashed)", ylabel="E f(x) − E f(G(z))")

    for number, history in enumerate(trap):
        over_steps(right, history, f"start {number + 1}")
    right.axhline(best_gap(2.0), color="k", linestyle="--", linewidth=1.0)
    right.set(title="The trap: λ = 10 from the first step, distance 2", ylabel="E f(x) − E f(G(z))")

    near = (LINE > -3.5) & (LINE < 5.5)
    x = LINE[near]
    for axes, title in ((low_left, "Critics at distance 2"), (low_right, "Slopes of these critics, −f′")):
        axes.fill_between(x, normal(x, 0.0), color=plots.PALETTE[0], alpha=0.2, linewidth=0)
        axes.fill_between(x, normal(x, 2.0), color=plots.PALETTE[1], alpha=0.2, linewidth=0)
        axes.set(title=title, xlabel="x")
    for name, key in (
        ("gradient penalty", "penalty, 2"),
        ("spectral norm", "normalised, 2"),
        ("clipped at 0.1", "clipped"),
    ):
        values = critics[key]
        plots.curves(low_left, x, {name: (values - np.interp(1.0, LINE, values))[near]}, names=("x", "f(x) − f(1)"))
        plots.curves(low_right, x, {name: -np.gradient(values, LINE)[near]}, names=("x", ""))
    low_left.plot(x, 1.0 - x, "k:", label="best of all, slope −1")
    low_right.plot(x, best_slope(2.0)[near], "k--")
    low_right.set_ylim(-0.1, 1.7)
    low_left.legend(frameon=False)
    low_right.text(0.0, 0.06, "data", ha="center")
    low_right.text(2.0, 0.06, "fakes", ha="center")
    low_right.text(5.4, 1.32, "best penalised", ha="right")
    low_right.legend().remove()
    return plots.save(figure, path)


def over_steps(axes: Axes, history: History, name: str) -> None:
    plots.curves(axes, [report["step"] for report in history], {name: [report["gap"] for report in history]})


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
