"""Curves with bands over seeds, histograms, ROC curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygen as tg
from tinygen import plots

few = settings(max_examples=25)  # each example makes a figure


def new_axes() -> Any:
    return plots.figure()[1][0, 0]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@few
@given(arrays(np.float32, 4, elements=st.floats(-10, 10, width=32)))
def test_a_curve_is_the_values_given(device: str, values: np.ndarray) -> None:
    axes = new_axes()
    steps = tg.tensor([0.0, 100.0, 200.0, 300.0])
    plots.curves(
        axes, steps, {"NLL": tg.tensor(values)}, floor=1.0076, floor_name="entropy", names=("step", "nats per example")
    )
    line, floor = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 100, 200, 300])
    np.testing.assert_array_equal(line.get_ydata(), values)
    assert list(floor.get_ydata()) == [1.0076, 1.0076]
    assert legend(axes) == ["NLL", "entropy 1.008"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats per example")


@few
@given(arrays(np.float64, (5, 3), elements=st.floats(-10, 10)))
def test_seeds_become_a_median_inside_their_range(device: str, seeds: np.ndarray) -> None:
    axes = new_axes()
    plots.curves(axes, [0, 1, 2], {"R1": tg.tensor(seeds), "none": tg.tensor(seeds + 100)})
    for shift, line, band in zip((0, 100), axes.lines, axes.collections, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), np.median(seeds + shift, axis=0))
        edge = band.get_paths()[0].vertices
        for step in range(3):
            at_step = edge[edge[:, 0] == step, 1]
            assert (at_step.min(), at_step.max()) == ((seeds + shift)[:, step].min(), (seeds + shift)[:, step].max())
    assert sorted(legend(axes)) == ["R1", "median and range of 5 seeds", "none"]


@pytest.mark.host
def test_each_line_has_its_own_colour_over_two_calls() -> None:
    axes = new_axes()
    plots.curves(axes, [0, 1], {"a": [0, 1], "b": [1, 2]})
    plots.curves(axes, [0, 1, 2], {"c": [0, 1, 2]})
    assert [line.get_color() for line in axes.lines] == plots.PALETTE[:3]
    assert legend(axes) == ["a", "b", "c"]


eighths = st.integers(0, 24).map(lambda number: number / 8)


@few
@given(st.lists(eighths, min_size=1, max_size=20), st.lists(eighths, min_size=1, max_size=20))
def test_histograms_are_densities_in_the_same_bins(device: str, first: list[float], second: list[float]) -> None:
    axes = new_axes()
    bins = 7  # eighths do not fall on the edges of sevenths, but for the two ends
    plots.histogram(axes, {"normal": tg.tensor(first), "anomalous": second}, threshold=0.75, bins=bins)
    low, high = min(first + second), max(first + second)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    for given_samples, patch in zip((first, second), axes.patches, strict=True):
        outline = patch.get_xy()  # from the left: each edge, up or down, along the top of a bin
        np.testing.assert_allclose(outline[: 2 * bins + 1 : 2, 0], edges)
        for bin_number, height in enumerate(outline[1 : 2 * bins : 2, 1]):
            start, end = edges[bin_number], edges[bin_number + 1]
            is_last = bin_number == bins - 1
            inside = sum(start <= sample < end or (is_last and sample == end) for sample in given_samples)
            assert height == pytest.approx(inside / len(given_samples) / (end - start))
    (line,) = axes.lines
    assert list(line.get_xdata()) == [0.75, 0.75]
    assert sorted(legend(axes)) == ["anomalous", "normal", "threshold 0.75"]


scores = st.lists(st.integers(0, 6), min_size=1, max_size=15)  # few values: many ties


@few
@given(normal=scores, anomalous=scores)
def test_roc_area_is_the_probability_of_the_right_order(device: str, normal: list[int], anomalous: list[int]) -> None:
    axes = new_axes()
    plots.roc_curve(axes, {"AE": (tg.tensor(normal), np.array(anomalous))})
    curve, chance = axes.lines
    x, y = curve.get_data()
    for threshold, false_alarms, found in zip(sorted({*normal, *anomalous}, reverse=True), x[1:], y[1:], strict=True):
        assert false_alarms == pytest.approx(np.mean([score >= threshold for score in normal]))
        assert found == pytest.approx(np.mean([score >= threshold for score in anomalous]))
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    order = np.mean([0.5 * (a == n) + (a > n) for n in normal for a in anomalous])
    assert np.trapezoid(y, x) == pytest.approx(order)
    assert legend(axes)[0].startswith("AE: area ")
    assert float(legend(axes)[0].split()[-1]) == pytest.approx(order, abs=5.1e-4)  # the legend has three decimals
    assert list(chance.get_xdata()) == [0, 1]


@pytest.mark.host
def test_wrong_use_of_curves_is_refused() -> None:
    axes = new_axes()
    with pytest.raises(ValueError, match=r"curves: 'NLL' must have shape \(2,\) or \(seeds, 2\), got \(3,\)"):
        plots.curves(axes, [0, 1], {"NLL": [1, 2, 3]})
    with pytest.raises(ValueError, match="curves: 'NLL' holds 1 values"):
        plots.curves(axes, [0, 1], {"NLL": [1, np.nan]})
    with pytest.raises(ValueError, match=r"histogram: 'error' must have shape \(N,\)"):
        plots.histogram(axes, {"error": [[1.0]]})
    with pytest.raises(ValueError, match=r"roc_curve: 'AE', anomalous must have shape \(M,\), got \(0,\)"):
        plots.roc_curve(axes, {"AE": ([1.0], [])})
