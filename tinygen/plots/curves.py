"""Floor 7. Numbers over steps, distributions of scores, and how well a score separates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tinygen.plots.canvas import PALETTE, REFERENCE, Names, Values, describe, next_colour, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(
    axes: Axes,
    x: Values,
    series: Mapping[str, Values],
    *,
    floor: float | None = None,
    floor_name: str = "floor",
    title: str = "",
    names: Names = ("step", ""),
) -> None:
    """One line a name over ``x`` (N,): losses, modes covered, NLL minus its floor.

    Each of ``series`` is (N,), or (seeds, N): then the line is the median of the seeds, inside the band of all of
    them.  ``floor`` is the known best value, a dashed line.  A second call on the same axes adds lines.

    >>> from tinygen import plots
    >>> made, ((axes,),) = plots.figure()
    >>> plots.curves(axes, [0, 100, 200], {"NLL": [3.0, 1.5, 1.2]}, floor=1.0, names=("step", "nats per example"))
    """
    steps = values(x, "curves: x", ("N",))
    for name, given in series.items():
        seeds = np.atleast_2d(values(given, f"curves: {name!r}", (len(steps),), ("seeds", len(steps))))
        colour = next_colour(axes)
        if len(seeds) > 1:
            note = f"median and range of {len(seeds)} seeds"
            noted = any(band.get_label() == note for band in axes.collections)
            axes.fill_between(
                steps, seeds.min(axis=0), seeds.max(axis=0), color=colour, alpha=0.2, linewidth=0,
                label=None if noted else note,
            )  # fmt: skip
        axes.plot(steps, np.median(seeds, axis=0), color=colour, label=name)
    if floor is not None:
        axes.axhline(floor, color=REFERENCE, linestyle="--", label=f"{floor_name} {floor:.4g}")
    axes.legend(frameon=False)
    describe(axes, title, names)


def histogram(
    axes: Axes,
    samples: Mapping[str, Values],
    *,
    threshold: float | None = None,
    bins: int = 40,
    title: str = "",
    names: Names = ("", "density"),
) -> None:
    """Densities of several sets of numbers (N,), all in the same bins, with a threshold between them."""
    checked = {name: values(given, f"histogram: {name!r}", ("N",)) for name, given in samples.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(checked.values())), bins).tolist()
    for i, (name, given) in enumerate(checked.items()):
        axes.hist(
            given, edges, density=True, histtype="stepfilled", color=PALETTE[i % len(PALETTE)], alpha=0.5, label=name
        )
    if threshold is not None:
        axes.axvline(threshold, color=REFERENCE, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.legend(frameon=False)
    describe(axes, title, names)


def roc_curve(axes: Axes, scores: Mapping[str, tuple[Values, Values]], *, title: str = "") -> None:
    """The share of anomalies found over the share of false alarms, as the threshold of a score falls.

    ``scores``: for each name the scores of normal and of anomalous examples, (N,) and (M,); an example is called an
    anomaly if its score reaches the threshold.  The legend gives the area under each curve: the probability that an
    anomaly scores higher than a normal example, ties counting one half.
    """
    for name, (normal, anomalous) in scores.items():
        false_alarms, found = _rates(
            values(normal, f"roc_curve: {name!r}, normal", ("N",)),
            values(anomalous, f"roc_curve: {name!r}, anomalous", ("M",)),
        )
        area = np.trapezoid(found, false_alarms)
        axes.plot(false_alarms, found, color=next_colour(axes), label=f"{name}: area {area:.3f}")
    axes.plot([0, 1], [0, 1], color=REFERENCE, linestyle="--", label="chance: area 0.500")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    describe(axes, title, ("false positive rate", "true positive rate"))


def _rates(normal: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of each that reaches the threshold, for a threshold above all scores and then for every score."""
    thresholds = np.unique(np.concatenate([normal, anomalous]))[::-1]
    first, second = (
        np.concatenate([[0.0], 1.0 - np.searchsorted(np.sort(scores), thresholds) / len(scores)])
        for scores in (normal, anomalous)
    )
    return first, second
