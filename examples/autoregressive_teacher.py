"""Gaussian autoregressive models of two series whose exact law is known: fast densities, slow samples.

python examples/autoregressive_teacher.py            two networks on a resonator, one on a nonlinear series
python examples/autoregressive_teacher.py --quick    a short training of each
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim, plots
from tinygen.data import Series, SineProcess, resonator
from tinygen.distributions import Normal, kl_divergence
from tinygen.flows import CausalNetwork, MaskedPerceptron
from tinygen.models.autoregressive import GaussianAutoregressive, State, excess, step
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MASKED_LENGTH = 16
DILATIONS = (1, 2, 4)
FIELD = 1 + 2 ** len(DILATIONS)  # values back that the convolutions see
# Below 0, the model would be better than the law that the series have: it would see what it predicts.  The estimate's
# standard error is below 0.001.
ALARM = -0.003

EXAMPLE = Example(
    name="autoregressive_teacher",
    systems=("AR",),
    models=("tinygen/models/autoregressive.py", "tinygen/flows/streaming.py"),
    gates=(
        Gate("excess, masked perceptron", "nats per value", at_most=(0.05, 0.01), never_below=ALARM),
        Gate("excess, causal convolutions", "nats per value", at_most=(0.05, 0.01), never_below=ALARM),
        Gate("excess, nonlinear series", "nats per value", at_most=(0.03, 0.01), never_below=ALARM),
        Gate("largest difference of cached samples", at_most=1e-10, exact=True),
        Gate("receptive field", "values", at_least=FIELD, at_most=FIELD, exact=True),
        Gate("largest gradient outside of it", at_most=0.0, exact=True),
    ),
)


@dataclass
class Trained:
    """A model, the process that it learned, and its reports."""

    model: GaussianAutoregressive
    process: Series
    history: History


def train(run: Run) -> dict[str, float]:
    rng = run.rng.spawn("parameters")
    masked = MaskedPerceptron(MASKED_LENGTH, (64, 64), nn.Tanh, rng=rng.spawn("masked"))
    causal, nonlinear = (
        CausalNetwork(16, DILATIONS, taps=8, marked=True, rng=rng.spawn(name)) for name in ("causal", "nonlinear")
    )
    teachers = {
        "masked perceptron": learn(run, "masked", masked, resonator(), (256, MASKED_LENGTH), 1e-2, (1000, 3500)),
        "causal convolutions": learn(run, "causal", causal, resonator(), (32, 48), 5e-3, (1200, 2000)),
        "nonlinear series": learn(run, "nonlinear", nonlinear, SineProcess(), (32, 32), 5e-3, (300, 800)),
    }
    convolutional = teachers["causal convolutions"].model
    slopes = sensitivity(convolutional, run.rng.spawn("sensitivity"))
    draw(teachers, slopes, run.rng.spawn("picture"), run.picture("autoregressive_teacher.png"))
    return {
        **{f"excess, {name}": trained.history[-1]["excess"] for name, trained in teachers.items()},
        "largest difference of cached samples": cache_error(convolutional, run.rng.spawn("cache")),
        "receptive field": float(np.count_nonzero(slopes)),
        "largest gradient outside of it": float(np.abs(slopes[FIELD:]).max()),
    }


def learn(
    run: Run,
    name: str,
    network: nn.Module,
    process: Series,
    size: tuple[int, int],
    rate: float,
    steps: tuple[int, int],
) -> Trained:
    """Maximum likelihood on fresh series; the excess is measured on series that were put aside (AR-2)."""
    model, count = GaussianAutoregressive(network), run.choose(quick=steps[0], full=steps[1])
    held_out = process.sample(run.rng.spawn(f"held-out {name}"), 200_000 // size[1], size[1])
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(rate, count))
    state = State(model, optimizer, process, run.rng.spawn(f"data {name}"), size)
    history = run.train(
        state, step, count, name=name, watch="excess", every=max(1, count // 20),
        evaluate=lambda state: {"excess": excess(state.model, process, held_out)},
    )  # fmt: skip
    return Trained(model, process, history)


def cache_error(model: GaussianAutoregressive, rng: Generator) -> float:
    """What remembering changes in samples of given noise, in float64: rounding (AR-3)."""
    twin = GaussianAutoregressive(CausalNetwork(16, DILATIONS, taps=8, marked=True)).astype(np.float64)
    twin.load_state_dict(model.state_dict())
    noise = rng.normal((4, 100), dtype=np.float64)
    return float(tg.max(tg.abs(twin.generate(noise) - twin.generate_by_passes(noise))))


def sensitivity(model: GaussianAutoregressive, rng: Generator, back: int = 16) -> np.ndarray:
    """The mean of ∂μ_t / ∂x_{t−k} over series of the resonator, for k = 1 … back: linear, it would be φ_k."""
    x = tg.tensor(resonator().sample(rng, 500, back + 1).numpy(), requires_grad=True)
    (slopes,) = tg.grad(tg.sum(model.conditional(x)[0][:, -1]), x)
    found: np.ndarray = slopes.numpy()[:, -2::-1]
    largest = np.abs(found).max(axis=0)
    return np.where(largest == 0.0, 0.0, found.mean(axis=0))


# --- pictures ----------------------------------------------------------------------------------------------------


@tg.no_grad()
def draw(teachers: dict[str, Trained], slopes: np.ndarray, rng: Generator, path: Path) -> Path:
    """What was learned, how far back it looks, and where it falls short."""
    figure, ((series, correlation, learning), (field, law, start)) = plots.figure(2, 3, (12.0, 6.8))
    causal, nonlinear = teachers["causal convolutions"].model, teachers["nonlinear series"].model
    draw_series(series, causal, rng.spawn("series"))
    draw_correlation(correlation, causal, rng.spawn("correlation"))
    for name, trained in teachers.items():
        done = [report["step"] for report in trained.history]
        plots.curves(learning, done, {name: [max(report["excess"], 1e-5) for report in trained.history]})
    learning.axhline(0.01, color="k", linestyle="--", linewidth=1)
    learning.set(yscale="log", xlabel="step", ylabel="nats per value", title="NLL above the true process's")
    draw_field(field, slopes)
    draw_law(law, nonlinear, rng.spawn("law"))
    draw_start(start, teachers, rng.spawn("start"))
    return plots.save(figure, path)


def draw_series(axes: Axes, model: GaussianAutoregressive, rng: Generator) -> None:
    """The beginning of a series, and what the model expects before it sees each value."""
    x = resonator().sample(rng, 1, 60)
    mean, sd = (value.numpy()[0] for value in model.conditional(x))
    t = np.arange(1, 61)
    axes.fill_between(t, mean - 2 * sd, mean + 2 * sd, color=plots.PALETTE[1], alpha=0.3, label="μ ± 2σ of the model")
    axes.plot(t, x.numpy()[0], "k.", markersize=4, label="x, drawn from the process")
    axes.set(xlabel="t", ylabel="x", title="A resonator, predicted one value ahead")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))
    axes.legend(frameon=False, loc="upper right")


def draw_correlation(axes: Axes, model: GaussianAutoregressive, rng: Generator) -> None:
    lags = 60
    covariance = resonator().covariance(lags)[0]
    found = metrics.autocorrelation(model.sample(rng, 400, 500), lags)
    plots.curves(
        axes, np.arange(lags), {"samples of the model": found}, names=("lag", ""), title="Autocorrelation of samples"
    )
    axes.plot(np.arange(lags), covariance / covariance[0], "k--", label="the process, exactly")
    axes.legend(frameon=False)


def draw_field(axes: Axes, slopes: np.ndarray) -> None:
    back = np.arange(1, len(slopes) + 1)
    axes.bar(back, slopes, color=plots.PALETTE[0], label="mean ∂μ_t / ∂x_{t−k}")
    phi = resonator().coefficients
    axes.plot(back[: len(phi)], phi, "k_", markersize=16, markeredgewidth=2, label="φ_k of the process")
    axes.axvspan(FIELD + 0.5, len(slopes) + 0.5, color="0.9", label="out of sight: exactly 0")
    axes.axhline(0.0, color="k", linewidth=0.8)
    axes.set(xlabel="k, values back", title="What the convolutions look at", xlim=(0.3, len(slopes) + 0.5))
    axes.set_xticks(back[::3])
    axes.legend(frameon=False, loc="lower right")


def draw_law(axes: Axes, model: GaussianAutoregressive, rng: Generator) -> None:
    """Mean and two standard deviations of the next value over the last one: learned, and true."""
    process = SineProcess()
    series = process.sample(rng, 3000, 12)
    before, x = series.numpy()[:, -2:].T
    order = np.argsort(before)
    axes.scatter(before[::2], x[::2], s=3, color="0.75", label="drawn from the process")
    for name, law, style, colour in (("learned", model, ".", plots.PALETTE[1]), ("true", process, "--", "k")):
        mean, sd = (value.numpy()[order, -1] for value in law.conditional(series))
        for value, label in ((mean - 2 * sd, None), (mean, f"{name} μ, μ ± 2σ"), (mean + 2 * sd, None)):
            axes.plot(before[order], value, style, color=colour, linewidth=1, markersize=2, label=label)
    axes.set(xlabel="x at t − 1", ylabel="x at t", title="The nonlinear series' law")
    axes.legend(frameon=False, loc="upper left")
    axes.set_ylim(top=4.6)


def draw_start(axes: Axes, teachers: dict[str, Trained], rng: Generator) -> None:
    """KL(process ‖ model) of x_t given x_<t: both see from zeros that they are at the beginning of a series."""
    x = resonator().sample(rng, 4000, MASKED_LENGTH)
    truth = Normal(*resonator().conditional(x))
    t = np.arange(1, MASKED_LENGTH + 1)
    for number, name in enumerate(("masked perceptron", "causal convolutions")):
        found = tg.mean(kl_divergence(truth, Normal(*teachers[name].model.conditional(x))), axis=0)
        axes.bar(t + 0.4 * number - 0.2, found.numpy(), 0.4, color=plots.PALETTE[number], label=name)
    axes.set(xlabel="t", ylabel="nats", title="Divergence from the resonator at each t")
    axes.set_xticks(t[::3])
    axes.legend(frameon=False)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
