"""Floor 7. What every picture needs: a figure without a screen, colours, checked values, and files written whole."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygen.backend import to_host
from tinygen.checkpoint import replace_file
from tinygen.tensor import Tensor

if TYPE_CHECKING:  # matplotlib is imported by the functions that need it: importing tinygen.plots stays quick
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values: TypeAlias = Any
"""A tensor or an array on any device, or nested lists of numbers."""

Names: TypeAlias = tuple[str, str]
"""What the horizontal and the vertical axis show, with units."""

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#661100", "#332288", "#F0E442"]
"""Ten colours that colour-blind readers can tell apart, the strongest on white first.

The eight of Okabe and Ito (2008), with Paul Tol's brown and indigo for classes 8 and 9.
"""

AMOUNT, SIGNED = "viridis", "RdBu_r"
"""The colour maps of amounts, and of values on both sides of zero."""

REFERENCE = "#555555"
"""The grey of what is known beforehand: floors, thresholds, chance."""

WIDTH = 8.0
"""Inches.  Text of 10 points is easy to read where a picture of this width is shown 800 pixels wide."""


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None) -> tuple[Figure, np.ndarray]:
    """A figure without a screen, and its axes (rows, columns).

    ``size`` is the width and the height in inches; without it the picture is ``WIDTH`` wide, its panels 4 : 3.

    >>> from tinygen import plots
    >>> made, axes = plots.figure(1, 3)
    >>> axes.shape
    (1, 3)
    """
    from matplotlib.figure import Figure

    if size is None:
        size = WIDTH, WIDTH * 0.75 * rows / columns
    made = Figure(figsize=size, layout="constrained")  # no pyplot: nothing global, nothing to close
    axes: np.ndarray = made.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def save(made: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> Path:
    """Write a figure to a file; the suffix (``.png``, ``.svg``, ``.pdf``) says how.

    The same figure gives the same bytes of PNG.  The file is written under another name and then renamed: an
    interruption leaves the old file as it was.
    """
    path = Path(path)
    content = BytesIO()
    metadata: dict[str, Any] = {"Software": None} if path.suffix == ".png" else {}
    made.savefig(content, format=path.suffix[1:], dpi=dpi, metadata=metadata)
    replace_file(path, content.getvalue())
    return path


# --- shared by the drawing functions -----------------------------------------------------------------------------


def values(data: Values, what: str, *shapes: tuple[int | str, ...]) -> np.ndarray:
    """``data`` as a host array of one of the shapes; a name in a shape stands for any positive size.

    NaN and infinity are refused, because a picture would leave them out without a word.
    """
    if isinstance(data, Tensor):
        array = data.numpy()
    else:
        array = np.asarray(data) if isinstance(data, (list, tuple)) else to_host(data)
    if not any(_fits(array.shape, shape) for shape in shapes):
        expected = " or ".join(f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for shape in shapes)
        raise ValueError(f"{what} must have shape {expected}, got {array.shape}")
    if array.dtype.kind not in "bifu":
        raise TypeError(f"{what} must be real numbers, got {array.dtype}")
    wrong = array.size - np.count_nonzero(np.isfinite(array))
    if wrong:
        raise ValueError(f"{what} holds {wrong} values (of {array.size}) that are NaN or infinite")
    return array


def _fits(actual: tuple[int, ...], shape: tuple[int | str, ...]) -> bool:
    return len(actual) == len(shape) and all(
        found == size if isinstance(size, int) else found > 0 for found, size in zip(actual, shape, strict=True)
    )


def describe(axes: Axes, title: str, names: Names = ("", "")) -> None:
    """Set what is given and leave what an earlier call on the same axes has set."""
    if title:
        axes.set_title(title)
    if names[0]:
        axes.set_xlabel(names[0])
    if names[1]:
        axes.set_ylabel(names[1])


def next_colour(axes: Axes) -> str:
    """The palette's colour for one more line on these axes."""
    return PALETTE[len(axes.lines) % len(PALETTE)]


def colour_bar(axes: Axes, drawn: Any, label: str) -> None:
    """What the colours of ``drawn`` stand for, beside the axes; nothing for an empty label."""
    made = axes.get_figure()
    if label and made is not None:
        made.colorbar(drawn, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)), label=label)  # as high as the axes
