"""Floor 7. Images side by side: samples, reconstructions, interpolations, traversals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tinygen.plots.canvas import Names, Values, describe, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Extent: TypeAlias = tuple[float, float, float, float]
"""Left, right, bottom, top."""

Limits: TypeAlias = tuple[float, float]
"""The smallest and the largest value that can be drawn."""


def image_grid(
    axes: Axes,
    images: Values,
    columns: int | None = None,
    title: str = "",
    extent: Extent | None = None,
    *,
    names: Names = ("", ""),
    limits: Limits = (0.0, 1.0),
    clip: bool = False,
) -> None:
    """Images in rows of ``columns`` (by default as square as possible), for samples and reconstructions.

    ``images``: (N, H, W) or (N, 1, H, W) grey, drawn as ink on paper (the lower limit white, the upper one black), or
    (N, 3, H, W) red, green and blue.  Values outside ``limits`` are refused, or drawn as the nearest limit if ``clip``.

    With ``extent`` (left, right, bottom, top) the middle of each image stands where ``lattice(extent, …)`` has its
    point: draw the decoded points of a lattice to see a latent plane.
    """
    cells = _cells(images, "image_grid: images", ("N",), limits, clip)
    if columns is None:
        columns = math.ceil(math.sqrt(len(cells)))
    if columns < 1:
        raise ValueError(f"image_grid: columns must be at least 1, got {columns}")
    empty = np.full((-len(cells) % columns, *cells.shape[1:]), _PAPER[cells.shape[-1]], cells.dtype)
    cells = np.concatenate([cells, empty]).reshape(-1, columns, *cells.shape[1:])
    if extent is None:
        _show(axes, cells, _gap(cells), None)
    else:  # one pixel of paper around each image instead of gaps: so every image has its point in its middle
        margin = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
        _show(axes, np.pad(cells, margin, constant_values=_PAPER[cells.shape[-1]]), 0, extent)
    if extent is None:
        axes.set(xticks=[], yticks=[])
    describe(axes, title, names)


def image_strip(
    axes: Axes,
    images: Values,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str = "",
    names: Names = ("", ""),
    limits: Limits = (0.0, 1.0),
    clip: bool = False,
) -> None:
    """Images in labelled rows and columns, for triptychs, interpolations, traversals and attribute strips.

    ``images``: (R, C, H, W), (R, C, 1, H, W) or (R, C, 3, H, W) with a label for each of the R rows and C columns;
    colours and limits as in ``image_grid``.

    >>> from tinygen import plots
    >>> made, ((axes,),) = plots.figure(size=(8.0, 3.0))
    >>> plots.image_strip(axes, np.zeros((1, 3, 8, 8)), columns=["original", "noisy", "restored"])
    """
    cells = _cells(images, "image_strip: images", ("R", "C"), limits, clip)
    for labels, count, what in ((rows, cells.shape[0], "rows"), (columns, cells.shape[1], "columns")):
        if labels is not None and len(labels) != count:
            raise ValueError(f"image_strip: {len(labels)} labels for {count} {what} of images")
    gap = _gap(cells)
    _show(axes, cells, gap, None)
    for axis, labels, count, size in (
        (axes.yaxis, rows, cells.shape[0], cells.shape[2]),
        (axes.xaxis, columns, cells.shape[1], cells.shape[3]),
    ):
        centres = np.arange(count) * (size + gap) + (size - 1) / 2
        axis.set_ticks([] if labels is None else centres, labels)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    describe(axes, title, names)


_PAPER = {1: 0.0, 3: 1.0}
"""The value that is drawn white, for grey images (ink on paper) and for coloured ones."""


def _cells(images: Values, what: str, leading: tuple[str, ...], limits: Limits, clip: bool) -> np.ndarray:
    """Images as a host array (leading…, H, W, 1 or 3), with the limits at 0 and 1."""
    low, high = limits
    if not low < high:
        raise ValueError(f"{what}: the lower limit must be below the upper one, got limits={limits}")
    checked = values(images, what, (*leading, "H", "W"), (*leading, 1, "H", "W"), (*leading, 3, "H", "W"))
    least, most = checked.min(), checked.max()
    if max(low - least, most - high) > 1e-3 * (high - low) and not clip:  # a smaller excess cannot be seen
        raise ValueError(
            f"{what} reach from {least:g} to {most:g}, outside limits={limits}; pass their limits, "
            "or clip=True to draw values outside as the nearest limit"
        )
    if checked.ndim == len(leading) + 2:
        checked = np.expand_dims(checked, -3)
    return np.moveaxis(np.clip((checked - low) / (high - low), 0.0, 1.0), -3, -1)


def _gap(cells: np.ndarray) -> int:
    """Pixels between images: the narrowest that separates them."""
    return max(1, int(cells.shape[2]) // 8)


def _show(axes: Axes, cells: np.ndarray, gap: int, extent: Extent | None) -> None:
    """Draw cells (R, C, H, W, channels) as one sheet, ``gap`` pixels of paper between them."""
    rows, columns, height, width, channels = cells.shape
    sheet = np.full((rows, height + gap, columns, width + gap, channels), _PAPER[channels], cells.dtype)
    sheet[:, :height, :, :width] = cells.swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), channels)
    sheet = sheet[: len(sheet) - gap, : sheet.shape[1] - gap]
    shown = sheet[..., 0] if channels == 1 else sheet
    axes.imshow(shown, cmap="gray_r", vmin=0.0, vmax=1.0, extent=extent, interpolation="nearest")
    axes.spines[:].set_visible(False)
