"""A student that draws a series in one pass learns the law of a teacher that needs a step for each value.

python examples/distillation.py            a teacher of known law, and one that was trained before
python examples/distillation.py --quick    the same with fewer steps
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import metrics, nn, optim, plots
from tinygen.data import Series, SineProcess, ar1
from tinygen.flows import CausalNetwork, InverseAutoregressive, MaskedPerceptron
from tinygen.models import autoregressive
from tinygen.models.autoregressive import GaussianAutoregressive
from tinygen.models.distillation import (
    DiagonalStudent,
    Estimator,
    FlowStudent,
    State,
    Student,
    all_sampled,
    best_diagonal_kl,
    closed_entropy,
    closed_steps,
    divergences,
    evaluate,
    step,
)
from tinygen.random import Generator
from tinygen.running import Example, Gate, Run, main
from tinygen.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LENGTH, LONG = 16, 1000
ESTIMATORS: dict[str, Estimator] = {
    "all sampled": all_sampled,
    "closed entropy": closed_entropy,
    "closed steps": closed_steps,
}
DIAGONAL = best_diagonal_kl(ar1().covariance(LENGTH))

EXAMPLE = Example(
    name="distillation",
    systems=("DISTILL", "IAF"),
    models=("tinygen/models/distillation.py", "tinygen/models/autoregressive.py"),
    gates=(
        # The best student with independent values has 4.984.  0.001 below 0 is chance.
        Gate("KL to the AR(1) teacher", "nats per series", at_most=0.05, never_below=-0.001),
        Gate("KL to the trained teacher / best diagonal", at_most=0.75, never_below=0.0),
        Gate("speed of the student at T = 1,000", "× the teacher's", at_least=50.0),
        Gate("difference of the two sampled gradients", at_most=1e-3, exact=True),
    ),
)


@dataclass
class Lesson:
    """A teacher, its student, and the reports of the student's training."""

    teacher: Series
    student: Student
    history: History


def train(run: Run) -> dict[str, float]:
    rng = run.rng.spawn("parameters")
    masked = MaskedPerceptron(LENGTH, (64, 64), nn.Tanh, rng=rng.spawn("AR(1)"))
    known = learn(run, "AR(1)", ar1(), one_layer(masked), 256, 5e-3, (500, 1500), spreads)

    teacher = trained_teacher(run, rng.spawn("teacher"))
    diagonal = learn(run, "diagonal", teacher, DiagonalStudent(LENGTH), 256, 2e-2, (300, 500))
    causal = CausalNetwork(8, taps=8, marked=True, rng=rng.spawn("student"))
    fast = learn(run, "one pass", teacher, one_layer(causal), 64, 5e-3, (500, 1500))

    size, draws = (20_000, LENGTH), run.rng.spawn("evaluate")
    lessons = {"AR(1)": known, "diagonal": diagonal, "one pass": fast}
    kl = {name: evaluate(it.student, it.teacher, draws.spawn(name), size) for name, it in lessons.items()}
    taught = teacher.sample(draws.spawn("teacher"), 20_000, LENGTH).numpy()
    cost = costs(teacher, fast.student, run.rng.spawn("cost"))
    draw(known, fast, diagonal, kl, cost, run.rng.spawn("picture"), run.picture("distillation.png"))
    first, last = known.history[0], known.history[-1]
    return {
        "KL to the AR(1) teacher": kl["AR(1)"],
        "KL to the trained teacher / best diagonal": kl["one pass"] / kl["diagonal"],
        "speed of the student at T = 1,000": cost["teacher, remembering"][LONG] / cost["student"][LONG],
        "difference of the two sampled gradients": gradient_difference(known, run.rng.spawn("gradients")),
        "best diagonal for AR(1)": DIAGONAL,
        "KL to the trained teacher": kl["one pass"],
        "KL of the best diagonal student": kl["diagonal"],
        "KL to the true process": evaluate(fast.student, SineProcess(), draws.spawn("truth"), size),
        "cost of keeping to one mode": -float(np.log(in_first_mode(taught).mean())),
        "gradient variance at equal cost, sampled / closed steps, first": variance_ratio(known, first),
        "gradient variance at equal cost, sampled / closed steps, last": variance_ratio(known, last),
    }


# --- teachers and students ---------------------------------------------------------------------------------------


def trained_teacher(run: Run, rng: Generator) -> GaussianAutoregressive:
    """A WaveNet that learned the nonlinear series from data (AR-13, first part)."""
    model = GaussianAutoregressive(CausalNetwork(16, taps=8, marked=True, rng=rng))
    steps = run.choose(quick=300, full=800)
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(5e-3, steps))
    state = autoregressive.State(model, optimizer, SineProcess(), run.rng.spawn("data"), (32, 32))
    run.train(state, autoregressive.step, steps, name="teacher", watch="NLL")
    return model


def one_layer(network: nn.Module) -> FlowStudent:
    """With a causal network, which has the same weights for all t, it may be asked for any number of values."""
    return FlowStudent([InverseAutoregressive(LENGTH, network=network)])


def learn(
    run: Run,
    name: str,
    teacher: Series,
    student: Student,
    batch: int,
    rate: float,
    steps: tuple[int, int],
    study: Callable[[State], dict[str, float]] | None = None,
) -> Lesson:
    """AR-13, second part: the teacher stays as it is."""
    count, rng = run.choose(quick=steps[0], full=steps[1]), run.rng.spawn(f"noise {name}")
    state = State(
        student, teacher, optim.Adam(student.parameters(), lr=optim.cosine(rate, count)), rng, (batch, LENGTH)
    )
    history = run.train(state, step, count, name=name, watch="KL", every=max(1, count // 20), evaluate=study)
    return Lesson(teacher, student, history)


def in_first_mode(x: np.ndarray) -> np.ndarray:
    """Which of the series (N, T) never fall below 0.

    The nonlinear series has two modes, and seldom changes from one to the other.  A student that draws exactly the
    series that stay in the first has a divergence of −ln of their share: the reverse KL's price for a whole mode.
    """
    stays: np.ndarray = np.all(x > 0.0, axis=1)
    return stays


# --- three estimators --------------------------------------------------------------------------------------------


def spreads(state: State) -> dict[str, float]:
    """Of each estimator, on the same noise: the standard deviation of its value for one series, that of its gradient.

    A gradient's is the root of the summed variances of its parts, for one series: estimated from batches of 32.
    """
    found: dict[str, float] = {}
    for name, estimator in ESTIMATORS.items():
        with tg.no_grad():
            values = divergences(state.student, state.teacher, Generator(0), (1000, LENGTH), estimator)
        rng = Generator(1)
        slopes = np.stack([gradient(state.student, state.teacher, rng, estimator) for _ in range(24)])
        found[f"value, {name}"] = float(values.numpy().std())
        found[f"gradient, {name}"] = float(np.sqrt(32 * slopes.var(axis=0, ddof=1).sum()))
    return found


def gradient(student: Student, teacher: Series, rng: Generator, estimator: Estimator, size: int = 32) -> np.ndarray:
    """The gradient of the mean over a batch, as one vector."""
    loss = tg.mean(divergences(student, teacher, rng, (size, LENGTH), estimator))
    parts: list[np.ndarray] = [slope.numpy().ravel() for slope in tg.grad(loss, student.parameters())]
    return np.concatenate(parts)


def gradient_difference(lesson: Lesson, rng: Generator) -> float:
    """How far the gradients of ``all_sampled`` and ``closed_entropy`` on the same noise are apart, relatively."""
    first, second = (
        gradient(lesson.student, lesson.teacher, rng.spawn("same"), estimator)
        for estimator in (all_sampled, closed_entropy)
    )
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))


def variance_ratio(lesson: Lesson, report: dict[str, float]) -> float:
    """Variance of the gradient times seconds for it: AR-12's estimator over the one with closed steps."""
    works = []
    for name in ("closed entropy", "closed steps"):
        taken = seconds(lambda: gradient(lesson.student, lesson.teacher, Generator(0), ESTIMATORS[name], 256), 10)  # noqa: B023
        works.append(taken * report[f"gradient, {name}"] ** 2)
    return works[0] / works[1]


# --- speed -------------------------------------------------------------------------------------------------------


def costs(teacher: GaussianAutoregressive, student: Student, rng: Generator) -> dict[str, dict[int, float]]:
    """Seconds for one series, by its length: of the teacher in both ways, and of the student."""
    ways: dict[str, tuple[Callable[[tg.Tensor], tg.Tensor], tuple[int, ...], int]] = {
        "teacher, a pass for each value": (teacher.generate_by_passes, (10, 30, 100, 300), 2),
        "teacher, remembering": (teacher.generate, (10, 30, 100, 300, LONG), 10),
        "student": (student.generate, (10, 30, 100, 300, LONG, 10 * LONG), 100),
    }
    found: dict[str, dict[int, float]] = {}
    for name, (way, lengths, rounds) in ways.items():
        noises = [rng.normal((1, length)) for length in lengths]
        found[name] = {noise.shape[1]: seconds(lambda: way(noise), rounds) for noise in noises}  # noqa: B023
    return found


def seconds(call: Callable[[], object], rounds: int) -> float:
    """The fastest of several calls, in seconds of this process: what else the machine does is not counted."""
    taken = []
    for _ in range(rounds + 1):
        started = time.process_time()
        call()
        taken.append(time.process_time() - started)
    return min(taken[1:])


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(
    known: Lesson,
    fast: Lesson,
    diagonal: Lesson,
    kl: dict[str, float],
    cost: dict[str, dict[int, float]],
    rng: Generator,
    path: Path,
) -> Path:
    """How the divergence falls and what the estimators spread; series; their statistics; and how fast they come."""
    figure, ((learning, value, slope), (linear, nonlinear, pairs), (marginal, correlation, speed)) = plots.figure(
        3, 3, (12.0, 10.0)
    )
    draw_learning(learning, known, fast, kl["diagonal"])
    draw_spreads(value, slope, known.history)
    draw_series(linear, known, rng.spawn("linear"), "AR(1)")
    draw_series(nonlinear, fast, rng.spawn("nonlinear"), "Nonlinear series")
    taught = fast.teacher.sample(rng.spawn("teacher"), 20_000, LENGTH).numpy()
    series = {
        "teacher": taught,
        "teacher in that mode": taught[in_first_mode(taught)],
        "student": fast.student.sample(rng.spawn("student"), 10_000, LENGTH).numpy(),
        "best diagonal student": diagonal.student.sample(rng.spawn("diagonal"), 10_000, LENGTH).numpy(),
    }
    draw_pairs(pairs, series)
    draw_marginals(marginal, series)
    draw_correlations(correlation, known, series, rng.spawn("correlations"))
    draw_speed(speed, cost)
    return plots.save(figure, path, dpi=120)


def draw_learning(axes: Axes, known: Lesson, fast: Lesson, diagonal: float) -> None:
    for colour, name, lesson, bound in (
        (plots.PALETTE[0], "AR(1)", known, DIAGONAL),
        (plots.PALETTE[1], "trained WaveNet", fast, diagonal),
    ):
        done, kl = ([report[key] for report in lesson.history] for key in ("step", "KL"))
        axes.plot(done, kl, color=colour, label=f"teacher: {name}")
        axes.axhline(bound, color=colour, linestyle="--", label=f"its best diagonal student: {bound:.2f}")
    axes.set(yscale="log", xlabel="step", ylabel="nats per series of 16", title="KL(student ‖ teacher)")
    axes.set_ylim(top=3000.0)
    axes.legend(frameon=False, loc="upper right")


def draw_spreads(value: Axes, slope: Axes, history: History) -> None:
    steps = [report["step"] for report in history]
    for axes, what in ((value, "value"), (slope, "gradient")):
        for name, style, colour in zip(ESTIMATORS, ("-", "--", "-"), plots.PALETTE, strict=False):
            axes.plot(steps, [report[f"{what}, {name}"] for report in history], style, color=colour, label=name)
        axes.set(yscale="log", xlabel="step", ylabel="sd, one series", title=f"Spread of the {what}, AR(1)")
    slope.legend(frameon=False, loc="center right")


def draw_series(axes: Axes, lesson: Lesson, rng: Generator, title: str) -> None:
    """Teacher and student on the same noise: a triangular map with a positive diagonal is known by its law."""
    teacher, student = (
        party.sample(rng.spawn("same"), 3, LENGTH).numpy() for party in (lesson.teacher, lesson.student)
    )
    for number, (slow, quick) in enumerate(zip(teacher, student, strict=True)):
        axes.plot(np.arange(1, LENGTH + 1), quick, color=plots.PALETTE[number])
        axes.plot(np.arange(1, LENGTH + 1), slow, "--", color=plots.PALETTE[number])
    axes.plot([], [], "k", label="student")
    axes.plot([], [], "k--", label="teacher, same noise")
    axes.set(xlabel="t", ylabel="x", title=title, xticks=range(1, LENGTH + 1, 3))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))
    axes.legend(frameon=False, loc="upper right")


def draw_pairs(axes: Axes, series: dict[str, np.ndarray]) -> None:
    """The last two values: what independent values cannot follow."""
    colours = {"teacher": "0.8", "best diagonal student": plots.PALETTE[1], "student": plots.PALETTE[0]}
    for name, colour in colours.items():
        before, last = series[name][:1000, -2:].T
        axes.scatter(before, last, s=3, color=colour, label=name)
    axes.set(xlabel=f"x at t = {LENGTH - 1}", ylabel=f"x at t = {LENGTH}", title="One value after another")
    axes.set_ylim(top=5.0)
    axes.legend(frameon=False, loc="upper left", markerscale=3)


def draw_marginals(axes: Axes, series: dict[str, np.ndarray]) -> None:
    """The last value.  Nothing in KL(student ‖ teacher) asks for a mode that the student never visits."""
    edges = np.linspace(-2.6, 3.0, 57)
    for (name, x), colour in zip(series.items(), ("0.8", "k", *plots.PALETTE), strict=False):
        density, _ = np.histogram(x[:, -1], edges, density=True)
        axes.stairs(density, edges, label=name, linewidth=1.3, color=colour, fill=name == "teacher")
    axes.set(xlabel=f"x at t = {LENGTH}", ylabel="density", title="The student keeps to one mode")
    axes.set_ylim(top=1.75)
    axes.legend(frameon=False, loc="upper left")


def draw_correlations(axes: Axes, known: Lesson, series: dict[str, np.ndarray], rng: Generator) -> None:
    lags, blue = np.arange(8), plots.PALETTE[0]
    axes.plot(lags, 0.9**lags, "k--", label="AR(1) teacher, exactly")
    axes.plot(
        lags, metrics.autocorrelation(series["teacher in that mode"], 8), "k-", label="nonlinear teacher, one mode"
    )
    for x in (known.student.sample(rng, 4000, LENGTH), series["student"]):
        axes.plot(lags, metrics.autocorrelation(x, 8), "s", color=blue)
    axes.plot([], [], "s", color=blue, label="their students")
    axes.set(xlabel="lag", title="Autocorrelation", ylim=(-0.25, 1.05))
    axes.legend(frameon=False, loc=(0.25, 0.26))


def draw_speed(axes: Axes, cost: dict[str, dict[int, float]]) -> None:
    for (name, found), marker, colour in zip(cost.items(), "os^", plots.PALETTE, strict=False):
        axes.plot(list(found), list(found.values()), marker=marker, color=colour, label=name)
    slow, quick = cost["teacher, remembering"][LONG], cost["student"][LONG]
    axes.annotate("", (LONG, quick), (LONG, slow), arrowprops={"arrowstyle": "<->"})
    axes.text(LONG * 1.2, (slow * quick) ** 0.5, f"{slow / quick:.0f} ×")
    axes.set(xscale="log", yscale="log", xlabel="T, values", ylabel="seconds a series", title="Time to draw")
    axes.set_ylim(top=30.0)  # room for the legend
    axes.legend(frameon=False, loc="upper left")


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
