"""Image grids and strips: every pixel where it belongs, labels beside their rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import plots

few = settings(max_examples=25)  # each example makes a figure


def new_axes() -> Any:
    return plots.figure()[1][0, 0]


def sheet(axes: Any) -> np.ndarray:
    (shown,) = axes.images
    return np.asarray(shown.get_array())


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def paper_elsewhere(found: np.ndarray, covered: np.ndarray, paper: float) -> bool:
    return bool((found[~covered] == paper).all())


@few
@given(
    count=st.integers(1, 7), columns=st.integers(1, 5), height=st.integers(1, 17), width=st.integers(1, 17),
    channels=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_grid_shows_each_image_in_its_cell(
    device: str, count: int, columns: int, height: int, width: int, channels: int
) -> None:
    shape = (count, height, width) if channels == 0 else (count, channels, height, width)
    given_images = images(*shape)
    axes = new_axes()
    plots.image_grid(axes, tg.tensor(given_images), columns, "Samples")
    found = sheet(axes)
    assert found.dtype == np.float32
    gap = max(1, height // 8)
    assert found.shape[:2] == (-(-count // columns) * (height + gap) - gap, columns * (width + gap) - gap)
    covered = np.zeros(found.shape[:2], bool)
    for i, image in enumerate(given_images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        cell = slice(top, top + height), slice(left, left + width)
        covered[cell] = True
        expected = np.moveaxis(image, 0, -1) if channels == 3 else image.reshape(height, width)
        np.testing.assert_array_equal(found[cell], expected)
    assert paper_elsewhere(found, covered, 1.0 if channels == 3 else 0.0)
    assert axes.get_title() == "Samples"
    assert list(axes.get_xticks()) == []


@pytest.mark.host
def test_grey_is_ink_on_paper() -> None:
    axes = new_axes()
    plots.image_grid(axes, np.array([[[0.0, 1.0]]]))
    (shown,) = axes.images
    assert shown.to_rgba(shown.get_array())[0, :, :3].tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.host
def test_grid_is_square_if_no_columns_are_given() -> None:
    axes = new_axes()
    plots.image_grid(axes, images(9, 8, 8))
    assert sheet(axes).shape == (26, 26)


@few
@given(count=st.integers(1, 6))
def test_decoded_lattice_stands_at_its_points(device: str, count: int) -> None:
    extent = (-3.0, 1.0, 0.0, 2.0)
    points = plots.lattice(extent, count)
    height = width = 4
    given_images = images(count**2, height, width)
    axes = new_axes()
    plots.image_grid(axes, tg.tensor(given_images), count, extent=extent)
    (shown,) = axes.images
    assert tuple(shown.get_extent()) == extent
    found = sheet(axes).copy()
    for (x, y), image in zip(points, given_images, strict=True):
        column = (x - extent[0]) / (extent[1] - extent[0]) * found.shape[1]
        row = (extent[3] - y) / (extent[3] - extent[2]) * found.shape[0]
        top, left = round(row - height / 2), round(column - width / 2)
        np.testing.assert_array_equal(found[top : top + height, left : left + width], image)
        found[top : top + height, left : left + width] = 0.0
    assert not found.any()  # nothing but paper between them


@few
@given(rows=st.integers(1, 3), columns=st.integers(1, 4), channels=st.sampled_from([0, 1, 3]))
def test_strip_labels_its_rows_and_columns(device: str, rows: int, columns: int, channels: int) -> None:
    height, width = 16, 12
    given_images = images(rows, columns, *([channels] if channels else []), height, width)
    row_names, column_names = [f"row {i}" for i in range(rows)], [f"{i:+d}" for i in range(columns)]
    axes = new_axes()
    plots.image_strip(
        axes, tg.tensor(given_images), rows=row_names, columns=column_names, title="Smile", names=("strength", "")
    )
    found = sheet(axes)
    gap = 2
    for i in range(rows):
        for j in range(columns):
            image = given_images[i, j]
            expected = np.moveaxis(image, 0, -1) if channels == 3 else image.reshape(height, width)
            top, left = i * (height + gap), j * (width + gap)
            np.testing.assert_array_equal(found[top : top + height, left : left + width], expected)
            # pixel k of a row is drawn from k - ½ to k + ½: the label stands at the middle of the image
            assert axes.get_xticks()[j] == left + width / 2 - 0.5
            assert axes.get_yticks()[i] == top + height / 2 - 0.5
    assert [text.get_text() for text in axes.get_xticklabels()] == column_names
    assert [text.get_text() for text in axes.get_yticklabels()] == row_names
    assert (axes.get_title(), axes.get_xlabel()) == ("Smile", "strength")


@pytest.mark.host
@few
@given(low=st.floats(-300, 299), span=st.floats(0.1, 300))
def test_limits_are_drawn_white_and_black(low: float, span: float) -> None:
    axes = new_axes()
    high = low + span
    plots.image_grid(axes, np.array([[[low, low + span / 2, high]]]), limits=(low, high))
    # 1e-6: the subtraction of limits of size 300 loses 1e-13 of a span of 0.1
    np.testing.assert_allclose(sheet(axes), [[0.0, 0.5, 1.0]], atol=1e-6)


@pytest.mark.host
def test_values_outside_the_limits_need_consent() -> None:
    noisy = np.array([[[-0.5, 0.25, 1.5]]])
    with pytest.raises(ValueError, match=r"image_grid: images reach from -0\.5 to 1\.5, outside limits=\(0\.0, 1\.0\)"):
        plots.image_grid(new_axes(), noisy)
    with pytest.raises(ValueError, match="clip=True"):
        plots.image_strip(new_axes(), (255 * noisy[None]).astype(int))
    axes = new_axes()
    plots.image_grid(axes, noisy, clip=True)
    assert sheet(axes).tolist() == [[0.0, 0.25, 1.0]]


@pytest.mark.host
def test_wrong_use_of_images_is_refused() -> None:
    axes = new_axes()
    with pytest.raises(ValueError, match=r"image_grid: images must have shape \(N, H, W\) or .* got \(2, 8, 8, 3\)"):
        plots.image_grid(axes, images(2, 8, 8, 3))
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        plots.image_grid(axes, images(2, 8, 8), 0)
    with pytest.raises(ValueError, match="lower limit must be below"):
        plots.image_grid(axes, images(2, 8, 8), limits=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"image_strip: images must have shape \(R, C, H, W\)"):
        plots.image_strip(axes, images(2, 8, 8))
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        plots.image_strip(axes, images(2, 3, 8, 8), rows=["one"])
    with pytest.raises(ValueError, match="4 labels for 3 columns"):
        plots.image_strip(axes, images(2, 3, 8, 8), columns=list("abcd"))
    with pytest.raises(ValueError, match="NaN"):
        plots.image_grid(axes, np.full((1, 2, 2), np.nan))
    assert not axes.images
