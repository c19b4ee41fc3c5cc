"""Floor 7. Pictures that move."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinygen.checkpoint import replace_file
from tinygen.plots.reduced import few_colours, with_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


@contextmanager
def animation(
    made: Figure, path: str | os.PathLike[str], *, fps: float = 10.0, pause: float = 1.0, dpi: int = 100
) -> Iterator[Callable[[], None]]:
    """A looping GIF: the block draws on the figure and calls what it is given once a frame.

    The last frame stays for ``pause`` seconds.  All frames share one palette and the first one's layout, so that
    only what moves changes.  The file is written when the block ends; if it raises, the old file stays.

    >>> from tinygen import plots
    >>> made, ((axes,),) = plots.figure()
    >>> with plots.animation(made, "out/walk.gif") as frame:  # doctest: +SKIP
    ...     for position in range(10):
    ...         axes.clear()
    ...         plots.scatter(axes, [[position, 0.0]])
    ...         axes.set_xlim(0, 10)
    ...         frame()
    """
    path = Path(path)
    if path.suffix != ".gif":
        raise ValueError(f"animation: writes a GIF, got the path {str(path)!r}; end it in .gif")
    if fps <= 0 or pause < 0:
        raise ValueError(f"animation: fps must be positive and pause not negative, got fps={fps}, pause={pause}")
    drawn: list[bytes] = []  # as PNG: some hundred frames of pixels would fill the memory

    def frame() -> None:
        content = BytesIO()
        made.savefig(content, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
        made.set_layout_engine("none")
        drawn.append(content.getvalue())

    yield frame
    if not drawn:
        raise ValueError("animation: no frame was drawn; call the function that the with statement gives")
    content = BytesIO()
    first, *rest = _one_palette(drawn)
    durations = [1000 / fps] * len(rest) + [1000 * max(pause, 1 / fps)]
    first.save(content, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    replace_file(path, content.getvalue())


def _one_palette(frames: Sequence[bytes], colours: int = 128, looked_at: int = 12) -> list[Image]:
    """PNG images with their colours replaced by the nearest of one palette, found on a few of the images."""
    from PIL import Image

    def pixels(content: bytes) -> np.ndarray:
        return np.asarray(Image.open(BytesIO(content)).convert("RGB"))

    chosen = np.linspace(0, len(frames) - 1, min(looked_at, len(frames))).round().astype(int)
    palette = few_colours(np.concatenate([pixels(frames[i]) for i in chosen]), colours)
    return [with_colours(pixels(content), palette) for content in frames]
