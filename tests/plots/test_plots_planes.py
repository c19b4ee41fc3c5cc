"""Planes: every value at its point, every arrow, line and mark where the given numbers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_hex

import tinygen as tg
from tinygen import plots

EXTENT = (-3.0, 1.0, 0.0, 2.0)
coordinates = st.floats(-5, 5).map(lambda number: round(number, 3))

few = settings(max_examples=25)  # each example makes a figure


def new_axes() -> Any:
    return plots.figure()[1][0, 0]


def colour_bars(axes: Any) -> list[Any]:
    return list(axes.child_axes)


@pytest.mark.host
@few
@given(rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_lattice_divides_the_plane_into_equal_cells(rows: int, columns: int) -> None:
    points = plots.lattice(EXTENT, (rows, columns))
    assert points.shape == (rows * columns, 2)
    assert points.dtype == np.float32
    width, height = 4.0 / columns, 2.0 / rows
    for i, (x, y) in enumerate(points):
        assert x == pytest.approx(-3 + (i % columns + 0.5) * width)
        assert y == pytest.approx(2 - (i // columns + 0.5) * height)


@pytest.mark.host
def test_lattice_takes_the_default_dtype() -> None:
    tg.set_default_dtype("float64")
    try:
        assert plots.lattice(EXTENT, 2).dtype == np.float64
    finally:
        tg.set_default_dtype("float32")


@few
@given(arrays(np.float32, (3, 4), elements=st.floats(-2, 2, width=32)))
def test_heat_map_shows_the_field_on_its_lattice(device: str, field: np.ndarray) -> None:
    axes = new_axes()
    plots.heat_map(axes, tg.tensor(field), EXTENT, label="density", title="Ring", names=("x₁", "x₂"))
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), field)
    assert tuple(shown.get_extent()) == EXTENT
    assert shown.origin == "upper"  # the first row on top, as in the lattice
    if field.min() < field.max():
        assert shown.get_clim() == (field.min(), field.max())
    (bar,) = colour_bars(axes)
    assert bar.get_ylabel() == "density"
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Ring", "x₁", "x₂")


@few
@given(arrays(np.float64, (2, 2), elements=st.floats(-2, 2)))
def test_signed_values_are_white_at_zero(device: str, field: np.ndarray) -> None:
    axes = new_axes()
    plots.heat_map(axes, tg.tensor(field), signed=True)
    (shown,) = axes.images
    low, high = shown.get_clim()
    assert -low == high == (np.abs(field).max() or 1.0)
    # RdBu has no entry of pure white: its two middle ones are off by 3 % of the range
    np.testing.assert_allclose(shown.to_rgba(np.zeros(1))[0, :3], 1.0, atol=0.05)
    assert not colour_bars(axes)


@pytest.mark.host
def test_limits_make_colours_comparable() -> None:
    axes = new_axes()
    plots.heat_map(axes, np.eye(2), limits=(-1.0, 4.0))
    assert axes.images[0].get_clim() == (-1.0, 4.0)


@few
@given(offset=st.floats(-1, 1), slope=st.floats(-0.5, 0.5))
def test_contours_run_through_points_of_their_level(device: str, offset: float, slope: float) -> None:
    """A linear field is interpolated exactly, so each drawn point must have the level's value."""
    points = plots.lattice(EXTENT, (6, 9)).astype(np.float64)

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return offset + x + slope * y

    axes = new_axes()
    plots.contours(axes, tg.tensor(field(*points.T).reshape(6, 9)), EXTENT, levels=[offset - 1.5, offset - 0.5])
    (lines,) = [drawn for drawn in axes.collections if hasattr(drawn, "levels")]
    assert list(lines.levels) == [offset - 1.5, offset - 0.5]
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        # 1e-6: the lattice is made in float32
        np.testing.assert_allclose(field(*path.vertices.T), level, atol=1e-6)
        assert len(path.vertices) >= 2


@few
@given(arrays(np.float64, (5, 2), elements=coordinates))
def test_scatter_shows_the_points(device: str, points: np.ndarray) -> None:
    axes = new_axes()
    plots.scatter(axes, tg.tensor(points), label="real", colour=plots.PALETTE[2])
    (drawn,) = axes.collections
    np.testing.assert_array_equal(drawn.get_offsets(), points)
    assert to_hex(drawn.get_facecolor()[0]).upper() == plots.PALETTE[2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["real"]


@few
@given(labels=arrays(np.int64, 12, elements=st.integers(0, 9)), named=st.booleans())
def test_labelled_scatter_gives_each_class_its_colour(device: str, labels: np.ndarray, named: bool) -> None:
    points = np.random.default_rng(0).normal(size=(12, 2))
    classes = [f"class {i}" for i in range(10)] if named else None
    axes = new_axes()
    plots.labelled_scatter(axes, tg.tensor(points), tg.tensor(labels), "Latents", ("z₁", "z₂"), classes=classes)
    present = sorted(set(labels.tolist()))
    for label, drawn in zip(present, axes.collections, strict=True):
        np.testing.assert_array_equal(drawn.get_offsets(), points[labels == label])
        assert to_hex(drawn.get_facecolor()[0]).upper() == plots.PALETTE[label]
    if named:
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"class {i}" for i in present]
    else:
        assert axes.get_legend() is None  # the marks are the numbers
    assert (axes.get_title(), axes.get_xlabel()) == ("Latents", "z₁")


@pytest.mark.host
def test_a_mark_is_the_name_of_its_class() -> None:
    """Around its point, and as narrow or wide as the letter is."""
    axes = new_axes()
    plots.labelled_scatter(axes, np.zeros((3, 2)), [0, 1, 2], classes=["I", "O", "W"])
    boxes = [drawn.get_paths()[0].get_extents() for drawn in axes.collections]
    for box in boxes:
        np.testing.assert_allclose(box.p0 + box.p1, 0, atol=1e-12)  # rounding
    narrow, round_, wide = (box.width / box.height for box in boxes)
    assert narrow < round_ < wide


@few
@given(arrays(np.float64, (6, 2), elements=coordinates))
def test_vector_field_shows_directions_and_lengths(device: str, vectors: np.ndarray) -> None:
    points = plots.lattice(EXTENT, (2, 3))
    axes = new_axes()
    plots.vector_field(axes, tg.tensor(points), tg.tensor(vectors), label="|∇ log p|")
    (arrows,) = axes.collections
    np.testing.assert_array_equal(arrows.get_offsets(), points)
    lengths = np.hypot(*vectors.T)
    np.testing.assert_allclose(arrows.get_array(), lengths)
    drawn = np.stack([arrows.U, arrows.V], axis=1)
    np.testing.assert_allclose(drawn * lengths[:, None], vectors, atol=1e-12)  # 1e-12: rounding at values up to 7
    np.testing.assert_allclose(np.hypot(*drawn.T), lengths > 0)  # one length for all but the zero vectors
    assert (colour_bars(axes)[0].get_ylabel(), arrows.get_cmap().name) == ("|∇ log p|", "viridis_r")
    if np.ptp(lengths) > 1e-6:  # a narrower range is widened for the colour bar
        np.testing.assert_allclose(arrows.get_clim(), (lengths.min(), lengths.max()))


@pytest.mark.host
def test_arrows_touch_no_neighbour_and_lie_in_data_coordinates() -> None:
    """On a square lattice an arrow is at most as long as the distance of two points, whatever the units."""
    for scale in (1e-3, 1.0, 1e3):
        points = plots.lattice((-scale, scale, -scale, scale), 10)
        axes = new_axes()
        plots.vector_field(axes, points, np.ones((100, 2)))
        (arrows,) = axes.collections
        assert 0.1 * scale < 1 / arrows.scale < 0.2 * scale
        assert (arrows.angles, arrows.scale_units, arrows.pivot) == ("xy", "xy", "middle")


@pytest.mark.host
@pytest.mark.parametrize("points", [[[1.0, 2.0]], [[0.0, 0.0], [3.0, 0.0]]])
def test_vector_field_draws_points_on_a_line(points: list[list[float]]) -> None:
    made, ((axes,),) = plots.figure()
    plots.vector_field(axes, points, np.ones((len(points), 2)), limits=(0.0, 2.0))
    (arrows,) = axes.collections
    assert np.isfinite(arrows.scale)
    assert arrows.get_clim() == (0.0, 2.0)
    made.draw_without_rendering()


@few
@given(arrays(np.float64, (5, 2), elements=coordinates))
def test_trajectory_runs_from_an_open_to_a_full_circle(device: str, path: np.ndarray) -> None:
    axes = new_axes()
    plots.trajectory(axes, tg.tensor(path), label="simultaneous")
    plots.trajectory(axes, path + 1)
    first, second = axes.lines
    np.testing.assert_array_equal(np.stack(first.get_data(), axis=1), path)
    assert (first.get_color(), second.get_color()) == tuple(plots.PALETTE[:2])
    start, end = axes.collections[:2]
    np.testing.assert_array_equal(start.get_offsets(), path[:1])
    np.testing.assert_array_equal(end.get_offsets(), path[-1:])
    assert to_hex(start.get_facecolor()[0]) == "#ffffff"
    assert to_hex(end.get_facecolor()[0]).upper() == plots.PALETTE[0]


@few
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), every=st.integers(1, 3))
def test_warped_grid_draws_rows_and_columns(device: str, rows: int, columns: int, every: int) -> None:
    nodes = np.random.default_rng(0).normal(size=(rows, columns, 2))
    axes = new_axes()
    plots.warped_grid(axes, tg.tensor(nodes), every=every)
    along_rows, along_columns = axes.collections
    for drawn, expected in (
        (along_rows, [nodes[i] for i in range(0, rows, every)]),
        (along_columns, [nodes[:, j] for j in range(0, columns, every)]),
    ):
        segments = drawn.get_segments()
        assert len(segments) == len(expected)
        for found, line in zip(segments, expected, strict=True):
            np.testing.assert_array_equal(found, line)
    left, right = axes.get_xlim()
    if every == 1:
        assert left <= nodes[..., 0].min()
        assert right >= nodes[..., 0].max()


@few
@given(
    normals=arrays(np.float64, (3, 2), elements=st.floats(0.1, 5)), offsets=arrays(np.float64, 3, elements=coordinates)
)
def test_hyperplanes_are_where_the_form_is_zero(device: str, normals: np.ndarray, offsets: np.ndarray) -> None:
    axes = new_axes()
    axes.set(xlim=(-2, 2), ylim=(-1, 1))
    plots.hyperplanes(axes, tg.tensor(normals), tg.tensor(offsets))
    for w, b, line in zip(normals, offsets, axes.lines, strict=True):
        for point in (line.get_xy1(), line.get_xy2()):
            assert np.dot(w, point) + b == pytest.approx(0, abs=1e-12)  # rounding at values up to 50
        assert not np.array_equal(line.get_xy1(), line.get_xy2())
    assert tuple(axes.axis()) == (-2, 2, -1, 1)


@pytest.mark.host
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda axes: plots.lattice((1, -1, 0, 1), 2), "an extent is"),
        (lambda axes: plots.lattice(EXTENT, 0), "at least 1 cell"),
        (lambda axes: plots.heat_map(axes, np.ones(3)), r"heat_map: field must have shape \(rows, columns\)"),
        (lambda axes: plots.heat_map(axes, np.ones((2, 2)), (0, 1, 1, 0)), "an extent is"),
        (lambda axes: plots.heat_map(axes, np.full((2, 2), np.inf)), "4 values"),
        (lambda axes: plots.contours(axes, np.ones((1, 2)), EXTENT), "at least 2 rows and 2 columns"),
        (lambda axes: plots.scatter(axes, np.ones((2, 3))), r"scatter: points must have shape \(N, 2\)"),
        (lambda axes: plots.labelled_scatter(axes, np.ones((2, 2)), [1]), r"labels must have shape \(2,\), got \(1,\)"),
        (lambda axes: plots.labelled_scatter(axes, np.ones((1, 2)), [0.5]), "integers from 0 on"),
        (lambda axes: plots.labelled_scatter(axes, np.ones((1, 2)), [-1]), "integers from 0 on"),
        (lambda axes: plots.labelled_scatter(axes, np.ones((1, 2)), [2], classes=["a", "b"]), "label 2 has no name"),
        (lambda axes: plots.vector_field(axes, np.ones((2, 2)), np.ones((3, 2))), r"vectors must have shape \(2, 2\)"),
        (lambda axes: plots.trajectory(axes, np.ones((2, 1))), "trajectory: points"),
        (lambda axes: plots.warped_grid(axes, np.ones((2, 2))), r"warped_grid: nodes must have shape \(R, C, 2\)"),
        (lambda axes: plots.warped_grid(axes, np.ones((2, 2, 2)), every=0), "every must be at least 1, got 0"),
        (lambda axes: plots.hyperplanes(axes, np.ones((2, 2)), [1.0]), r"offsets must have shape \(2,\)"),
        (lambda axes: plots.hyperplanes(axes, [[0.0, 0.0]], [1.0]), "a normal is zero"),
    ],
)
def test_wrong_use_is_refused_and_draws_nothing(wrong: Callable[[Any], None], message: str) -> None:
    axes = new_axes()
    with pytest.raises((ValueError, TypeError), match=message):
        wrong(axes)
    assert not [*axes.images, *axes.lines, *axes.collections]


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), column=st.booleans())
def test_functions_are_seen_where_the_lattice_has_its_points(rows: int, columns: int, column: bool) -> None:
    def height(points: Any) -> Any:
        return (points[:, :1] if column else points[:, 0]) * 2.0 - 1.0

    seen = plots.on_lattice(height, EXTENT, (rows, columns))
    np.testing.assert_array_equal(seen, 2.0 * plots.lattice(EXTENT, (rows, columns))[:, 0].reshape(rows, columns) - 1.0)


def test_a_function_of_a_lattice_gives_one_value_a_point() -> None:
    with pytest.raises(ValueError, match=r"on_lattice: needs one value for each of 9 points, got \(9, 2\)"):
        plots.on_lattice(lambda points: points, EXTENT, 3)


def test_a_stray_point_does_not_set_the_frame_of_what_a_map_moved() -> None:
    points = np.concatenate([np.random.default_rng(0).uniform(-1.0, 1.0, (999, 2)), [[100.0, -100.0]]])
    axes = new_axes()
    plots.moved(axes, plots.lattice(EXTENT, 4).reshape(4, 4, 2), points, every=2)
    assert len(axes.collections) == 3  # rows, columns, points
    assert -1.0 <= axes.get_xlim()[0] < -0.9
    assert 0.9 < axes.get_xlim()[1] <= 1.0
    assert -1.0 <= axes.get_ylim()[0] < -0.9
    assert 0.9 < axes.get_ylim()[1] <= 1.0
