"""Floor 7. Pictures: image grids and scatter plots of latents.  Headless; colours safe for colour-blind readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PALETTE = ["#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#555555"]
"""Ten colours that colour-blind readers can tell apart (Paul Tol's muted scheme)."""


def figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """A figure without a screen, and its axes (rows, columns)."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 11}):
        made = Figure(figsize=size, dpi=110, layout="constrained")
        FigureCanvasAgg(made)
        return made, made.subplots(rows, columns, squeeze=False)


def save(made: Any, path: Path) -> Path:
    """Write a figure as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path)
    return path


def tiled(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Grey images (N, H, W) set in rows of ``columns``, with white gaps of ``gap`` pixels between them."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap), images.dtype)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = 1.0 - image
    return sheet


def image_grid(axes: Any, images: np.ndarray, columns: int, title: str, extent: Any = None) -> None:
    """Grey images (N, H, W), 0 white and 1 black, set in rows of ``columns``."""
    axes.imshow(tiled(images, columns), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    axes.set_title(title)
    if extent is None:
        axes.set_xticks([])
        axes.set_yticks([])


def labelled_scatter(axes: Any, points: np.ndarray, labels: np.ndarray, title: str, names: tuple[str, str]) -> None:
    """Points (N, 2) drawn as their label's digit, each digit in its own colour."""
    for label in np.unique(labels):
        chosen = points[labels == label]
        colour = PALETTE[int(label) % len(PALETTE)]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=28, marker=f"${label}$", color=colour, linewidths=0.2, label=str(label)
        )
    axes.set_title(title)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
