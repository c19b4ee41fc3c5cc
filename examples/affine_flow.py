"""The two flows whose best is known exactly: an affine one in the plane, and an increasing one on the line.

python examples/affine_flow.py            two trainings, about 10 seconds
python examples/affine_flow.py --quick    half the steps on the line
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

import tinygen as tg
from tinygen import optim, plots
from tinygen.data import Batches, Draws
from tinygen.distributions import Mixture, Normal
from tinygen.flows import Affine, Flow, Planar, TriangularAffine
from tinygen.models.flow import State, step
from tinygen.running import Example, Gate, Run, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 400
SHARES, PEAKS = (0.4, 0.6), ((-1.5, 0.7), (1.2, 0.5))  # of two normals on the line: (mean, standard deviation)
LINE = np.linspace(-6.0, 5.0, 2201)
STEP = float(LINE[1] - LINE[0])

EXAMPLE = Example(
    name="affine_flow",
    systems=("AFFINE",),
    models=("tinygen/models/flow.py", "tinygen/flows/elementary.py", "tinygen/flows/planar.py"),
    gates=(
        # Below 0 a fit would be better than the best one.  The slack is rounding, in float64 and float32.
        Gate("plane: best log-likelihood - own", "nats per point", at_most=1e-9, never_below=-1e-12, exact=True),
        Gate("plane: error of the mean", at_most=1e-5, exact=True),
        Gate("plane: error of the Cholesky factor", at_most=1e-5, exact=True),
        Gate("line: KL(p|q)", "nats", at_most=(0.03, 0.02), never_below=-1e-5),
        Gate("line: RMSE of the map to the latent", at_most=(0.1, 0.05)),
        Gate("line: smallest slope of the map", at_least=0.0, exact=True),
    ),
)


def train(run: Run) -> dict[str, float]:
    plane, line = fit_plane(run), fit_line(run)
    draw(plane, line, run.picture("affine_flow.png"))
    p = np.exp(line.log_p)
    shift, factor = plane.layer.shift.numpy(), plane.layer.matrix().numpy()
    return {
        "plane: best log-likelihood - own": plane.history[-1]["NLL"] + plane.best,
        "plane: error of the mean": float(np.abs(shift - plane.mean).max()),
        "plane: error of the Cholesky factor": float(np.abs(factor - plane.factor).max()),
        "line: KL(p|q)": float(np.sum(p * (line.log_p - line.log_q)) * STEP),
        "line: RMSE of the map to the latent": math.sqrt(float(np.sum(p * (line.map - line.best_map) ** 2)) * STEP),
        "line: smallest slope of the map": float(np.diff(line.map).min() / STEP),
    }


# --- in the plane ------------------------------------------------------------------------------------------------


@dataclass
class Plane:
    """x = L z + b fitted to points (N, 2), and what maximum likelihood must find: their mean and covariance."""

    points: np.ndarray
    layer: TriangularAffine
    history: list[dict[str, float]]
    mean: np.ndarray
    factor: np.ndarray
    best: float
    """The largest mean log-likelihood that a normal distribution has: −½ log det(2πe S)."""


def fit_plane(run: Run) -> Plane:
    """Points that are not normal themselves: the best affine flow has their moments all the same."""
    z = run.rng.spawn("points").normal((POINTS, 2), dtype=np.float64, device="cpu").numpy()
    points = np.stack([1.0 + 1.2 * z[:, 0], 0.8 * z[:, 0] + 0.3 * z[:, 0] ** 2 + 0.5 * z[:, 1]], axis=1)
    layer = TriangularAffine(2).astype(np.float64)
    flow, steps = Flow([layer]), 600
    state = State(
        flow,
        optim.Adam(flow.parameters(), lr=optim.cosine(5e-2, steps)),
        Batches(points, size=POINTS, rng=run.rng.spawn("order")),
    )
    history = run.train(state, step, steps, name="plane", every=5, watch="NLL")
    covariance = np.cov(points.T, bias=True)
    best = -0.5 * float(np.linalg.slogdet(2.0 * math.pi * math.e * covariance)[1])
    return Plane(points, layer, history, points.mean(axis=0), np.linalg.cholesky(covariance), best)


# --- on the line -------------------------------------------------------------------------------------------------


@dataclass
class Line:
    """log p, log q and the maps to the latent at the points of ``LINE``."""

    log_p: np.ndarray
    log_q: np.ndarray
    map: np.ndarray
    best_map: np.ndarray


def fit_line(run: Run) -> Line:
    """Planar layers in one dimension are increasing functions, and only one such function makes p normal (PROB-9)."""
    p = Mixture(SHARES, [Normal(*peak) for peak in PEAKS])
    parameters = run.rng.spawn("parameters")
    flow = Flow([*(Planar(1, rng=parameters) for _ in range(6)), Affine(1)])
    steps = run.choose(quick=600, full=1200)
    state = State(
        flow,
        optim.Adam(flow.parameters(), lr=optim.cosine(1e-2, steps)),
        Draws(lambda rng: tg.reshape(p.sample(rng, 256), (256, 1)), rng=run.rng.spawn("data")),
    )
    run.train(state, step, steps, name="line", watch="NLL")
    with tg.no_grad():
        x = tg.tensor(LINE[:, None], dtype=np.float32)
        log_q, z = flow.log_prob(x).numpy(), flow.to_latent(x)[0].numpy()[:, 0]
        log_p = p.log_prob(tg.tensor(LINE)).numpy()
    return Line(log_p, log_q.astype(np.float64), z.astype(np.float64), exact_map(LINE))


def exact_map(x: np.ndarray) -> np.ndarray:
    """Φ⁻¹(F(x)) of the mixture; beyond 8 standard deviations of the latent, where F is 0 or 1 up to rounding, ±8."""
    below, above = np.zeros_like(x), np.zeros_like(x)  # F and 1 − F
    for share, (mean, sd) in zip(SHARES, PEAKS, strict=True):
        scaled = (x - mean) / (math.sqrt(2.0) * sd)
        below += [0.5 * share * math.erfc(-v) for v in scaled]
        above += [0.5 * share * math.erfc(v) for v in scaled]
    normal = NormalDist()
    least = normal.cdf(-8.0)
    quantile = [normal.inv_cdf(max(p, least)) for p in np.minimum(below, above)]  # the smaller tail keeps its digits
    return np.where(below < above, quantile, np.negative(quantile))


# --- pictures ----------------------------------------------------------------------------------------------------


def draw(plane: Plane, line: Line, path: Path) -> Path:
    """The fitted ellipse on the exact one, the way there; the fitted density and map on the exact ones."""
    figure, ((ellipses, gap), (densities, maps)) = plots.figure(2, 2, (9.0, 7.4))
    plots.scatter(ellipses, plane.points, colour="#999999", title="Plane: one standard deviation", names=("x₁", "x₂"))
    ellipse(ellipses, np.zeros(2), np.eye(2), plots.PALETTE[2], 1.5, "flow at the start")
    ellipse(ellipses, plane.mean, plane.factor, plots.PALETTE[0], 5.0, "mean and covariance of the points")
    ellipse(ellipses, plane.layer.shift.numpy(), plane.layer.matrix().numpy(), plots.PALETTE[1], 1.5, "flow at the end")
    ellipses.legend(frameon=False, loc="upper left", fontsize=8)

    gaps = [max(report["NLL"] + plane.best, 1e-16) for report in plane.history]
    plots.curves(
        gap, [report["step"] for report in plane.history], {"best log-likelihood - own": gaps},
        title="Plane: what is lost", names=("step", "nats per point"),
    )  # fmt: skip
    gap.set_yscale("log")

    plots.curves(densities, LINE, {"data p": np.exp(line.log_p), "flow q": np.exp(line.log_q)})
    plots.curves(maps, LINE, {"exact Φ⁻¹(F(x))": line.best_map, "flow": line.map})
    densities.set(title="Line: densities", xlabel="x", ylabel="density", xlim=(-4.5, 3.5))
    maps.set(title="Line: the only increasing map to N(0, 1)", xlabel="x", ylabel="z", xlim=(-4.5, 3.5), ylim=(-5, 6))
    for axes in (densities, maps):
        exact, own = axes.lines
        exact.set_linewidth(5.0)
        exact.set_alpha(0.5)
        own.set_linewidth(1.5)
    return plots.save(figure, path)


def ellipse(axes: Axes, mean: np.ndarray, factor: np.ndarray, colour: str, width: float, label: str) -> None:
    """The image of the unit circle."""
    angle = np.linspace(0.0, 2.0 * math.pi, 100)
    outline = mean[:, None] + factor @ np.stack([np.cos(angle), np.sin(angle)])
    axes.plot(*outline, color=colour, linewidth=width, label=label)


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
