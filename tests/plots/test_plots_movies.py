"""Pictures that move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinygen import plots

pytestmark = pytest.mark.host


def test_animation_has_the_frames_that_were_drawn(tmp_path: Path) -> None:
    made, ((axes,),) = plots.figure(size=(2, 2))
    path = tmp_path / "walk.gif"
    positions = [0.1, 0.5, 0.9]
    with plots.animation(made, path, fps=5, pause=2.0, dpi=50) as frame:
        for position in positions:
            axes.clear()
            axes.axis("off")
            plots.scatter(axes, [[position, 0.5]], size=100)
            axes.set(xlim=(0, 1), ylim=(0, 1))
            frame()
    with Image.open(path) as movie:
        assert (movie.format, movie.n_frames, movie.size) == ("GIF", 3, (100, 100))
        assert movie.info["loop"] == 0
        for i, (position, duration) in enumerate(zip(positions, (200, 200, 2000), strict=True)):
            movie.seek(i)
            assert movie.info["duration"] == duration
            pixels = np.asarray(movie.convert("RGB")).astype(int)
            blue = pixels[..., 2] - pixels[..., 0] > 100
            # 3 % of the width: the layout leaves a narrow margin around the axes
            assert np.nonzero(blue)[1].mean() / 100 == pytest.approx(position, abs=0.03)


def test_animation_keeps_the_colours_of_later_frames(tmp_path: Path) -> None:
    made, _ = plots.figure(size=(1, 1))
    made.axes[0].remove()
    path = tmp_path / "colours.gif"
    with plots.animation(made, path) as frame:
        for colour in plots.PALETTE:
            made.set_facecolor(colour)
            frame()
    with Image.open(path) as movie:
        for i, colour in enumerate(plots.PALETTE):
            movie.seek(i)
            found = movie.convert("RGB").getpixel((50, 50))
            expected = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
            assert list(found) == expected


def test_animation_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    made, _ = plots.figure(size=(1, 1))
    path = tmp_path / "walk.gif"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with plots.animation(made, path) as frame:
            frame()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ValueError, match="no frame was drawn"), plots.animation(made, path):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_animation_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    made, _ = plots.figure(size=(1, 1))
    with pytest.raises(ValueError, match=r"walk\.mp4"), plots.animation(made, tmp_path / "walk.mp4"):
        pass
    with pytest.raises(ValueError, match="fps=0"), plots.animation(made, tmp_path / "walk.gif", fps=0):
        pass
