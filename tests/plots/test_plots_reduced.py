"""Small copies of pictures: few colours, the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tinygen import plots
from tinygen.plots.reduced import few_colours, with_colours

pytestmark = pytest.mark.host


def lines_beside_a_field(tmp_path: Path) -> Path:
    """One thin line in each colour of the palette, text, and a map of many colours."""
    made, ((left, right),) = plots.figure(1, 2, (12, 4))
    for i, colour in enumerate(plots.PALETTE):
        left.axhline(i, color=colour, lw=1.5)
        left.text(0.5, i + 0.2, f"line {i}")
    plots.heat_map(right, np.add.outer(np.sin(np.linspace(0, 6, 200)), np.linspace(0, 2, 200)))
    return plots.save(made, tmp_path / "picture.png")


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_thin_lines_keep_the_colours_of_their_legend(tmp_path: Path) -> None:
    path = lines_beside_a_field(tmp_path)
    small = plots.reduced(path, tmp_path / "small.png", width=2000)
    before, after = pixels_of(path), pixels_of(small)
    assert before.shape == after.shape
    assert small.stat().st_size < 0.7 * path.stat().st_size
    assert len(np.unique(after.reshape(-1, 3), axis=0)) <= 256
    for colour in plots.PALETTE:
        named = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        exact = (before == named).all(axis=-1)
        assert exact.sum() > 100
        assert (after[exact] == named).all()
    # 256 colours cannot be all of some thousand; a level of one in 255 is not seen.
    assert np.abs(before.astype(int) - after).mean() < 1.0


def test_a_copy_is_no_wider_than_asked_and_always_the_same(tmp_path: Path) -> None:
    path = lines_beside_a_field(tmp_path)
    copies = [plots.reduced(path, tmp_path / f"{i}.png", width=900) for i in range(2)]
    assert pixels_of(copies[0]).shape == (300, 900, 3)
    assert copies[0].read_bytes() == copies[1].read_bytes()


@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))),
    count=st.integers(12, 40),  # at least the named colours, which always stay
)
def test_colours_are_kept_where_there_are_enough(pixels: np.ndarray, count: int) -> None:
    colours = few_colours(pixels, count)
    assert len(colours) <= count
    again = np.asarray(with_colours(pixels, colours).convert("RGB"))
    assert again.shape == pixels.shape
    if len(np.unique(pixels.reshape(-1, 3), axis=0)) <= count:
        np.testing.assert_array_equal(again, pixels)


@given(pixels=arrays(np.uint8, (5, 4, 3)), colours=arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(3))))
def test_each_pixel_takes_the_nearest_colour(pixels: np.ndarray, colours: np.ndarray) -> None:
    shown = np.asarray(with_colours(pixels, colours).convert("RGB")).astype(int)
    distances = ((pixels[..., None, :].astype(int) - colours.astype(int)) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(((pixels.astype(int) - shown) ** 2).sum(axis=-1), distances.min(axis=-1))
