"""Floor 7. Two dimensions: densities, samples, latents, vector fields, and what a map does to a grid.

One convention for all values over a plane: rows from top to bottom, each value at the centre of its cell, as
``lattice`` gives the points.  So densities, contours, vector fields and decoded images lie exactly over each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygen.backend import default_dtype
from tinygen.ops import tensor
from tinygen.plots.canvas import (
    AMOUNT,
    PALETTE,
    REFERENCE,
    SIGNED,
    Names,
    Values,
    colour_bar,
    describe,
    next_colour,
    values,
)
from tinygen.plots.images import Extent, Limits
from tinygen.record import no_grad
from tinygen.tensor import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

PLANE: Names = ("x₁", "x₂")


def lattice(extent: Extent, count: int | tuple[int, int]) -> np.ndarray:
    """Points (rows · columns, 2) at the centres of the cells that divide a plane, row after row from the top.

    ``count`` is the number of cells along each axis, or (rows, columns).

    >>> lattice((0.0, 4.0, 0.0, 2.0), (1, 2))
    array([[1., 1.],
           [3., 1.]], dtype=float32)
    """
    x, y = _centres(extent, (count, count) if isinstance(count, int) else count)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(default_dtype())


def on_lattice(function: Callable[[Tensor], Tensor], extent: Extent, count: int | tuple[int, int] = 120) -> np.ndarray:
    """The values of a function of points (N, 2) to (N,) or (N, 1) on a lattice: (rows, columns), for ``heat_map``.

    >>> on_lattice(lambda points: points[:, 0] + 10.0 * points[:, 1], (0.0, 4.0, 0.0, 2.0), (1, 2))
    array([[11., 13.]], dtype=float32)
    """
    shape = (count, count) if isinstance(count, int) else count
    with no_grad():
        found = function(tensor(lattice(extent, count)))
    if found.shape not in ((shape[0] * shape[1],), (shape[0] * shape[1], 1)):
        raise ValueError(f"on_lattice: needs one value for each of {shape[0] * shape[1]} points, got {found.shape}")
    seen: np.ndarray = found.numpy()
    return seen.reshape(shape)


def _centres(extent: Extent, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The centres of the columns, from left to right, and of the rows, from top to bottom."""
    left, right, bottom, top = extent
    if not (left < right and bottom < top):
        raise ValueError(f"an extent is (left, right, bottom, top) with left < right and bottom < top, got {extent}")
    rows, columns = shape
    if rows < 1 or columns < 1:
        raise ValueError(f"a lattice needs at least 1 cell along each axis, got {rows} rows and {columns} columns")
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
    return x, y


def heat_map(
    axes: Axes,
    field: Values,
    extent: Extent | None = None,
    *,
    label: str = "",
    signed: bool = False,
    limits: Limits | None = None,
    title: str = "",
    names: Names = ("", ""),
) -> None:
    """Values (rows, columns) as colours: a density, D(x), a gradient norm, the entropy of each pixel.

    ``extent`` is that of the lattice where the values were computed; without it the axes count pixels.  ``label``
    names the values beside a colour bar; without it there is none.  ``signed`` values take colours that are white at
    0.  Give several pictures the same ``limits`` to compare their colours.
    """
    shown = values(field, "heat_map: field", ("rows", "columns"))
    if extent is not None:
        _centres(extent, shown.shape)  # refuses a wrong extent
    if limits is None:
        largest = float(np.abs(shown).max()) or 1.0  # zeros are white, too
        limits = (-largest, largest) if signed else (float(shown.min()), float(shown.max()))
    drawn = axes.imshow(
        shown, cmap=SIGNED if signed else AMOUNT, vmin=limits[0], vmax=limits[1], extent=extent, interpolation="nearest"
    )
    colour_bar(axes, drawn, label)
    describe(axes, title, names)


def contours(
    axes: Axes,
    field: Values,
    extent: Extent,
    *,
    levels: int | Sequence[float] = 8,
    colour: str = "black",
    title: str = "",
    names: Names = ("", ""),
) -> None:
    """Lines of equal value, with the values on them, of ``field`` (rows, columns) on a lattice of ``extent``."""
    shown = values(field, "contours: field", ("rows", "columns"))
    if min(shown.shape) < 2:
        raise ValueError(f"contours: field must have at least 2 rows and 2 columns, got {shown.shape}")
    x, y = _centres(extent, shown.shape)
    lines = axes.contour(x, y, shown, levels=levels, colors=colour, linewidths=1.0)
    axes.clabel(lines, fontsize=9)
    axes.set_aspect("equal")
    describe(axes, title, names)


def scatter(
    axes: Axes,
    points: Values,
    *,
    label: str = "",
    colour: str = PALETTE[0],
    size: float = 8.0,
    title: str = "",
    names: Names = ("", ""),
) -> None:
    """Points (N, 2), each with a white rim, so that they stand out from a density and from each other."""
    shown = values(points, "scatter: points", ("N", 2))
    axes.scatter(
        shown[:, 0], shown[:, 1], s=size, color=colour, edgecolors="white", linewidths=0.25, label=label or None
    )
    axes.set_aspect("equal")
    if label:
        axes.legend(loc="upper right", markerscale=2.0)
    describe(axes, title, names)


def labelled_scatter(
    axes: Axes,
    points: Values,
    labels: Values,
    title: str = "",
    names: Names = ("z₁", "z₂"),
    *,
    classes: Sequence[str] | None = None,
) -> None:
    """A latent plane: points (N, 2) with a colour and a mark for each of their integer labels (N,).

    ``classes`` names the labels 0, 1, …; without names a label is its number.  Names of one character are the marks
    themselves, longer ones stand in a legend.
    """
    shown = values(points, "labelled_scatter: points", ("N", 2))
    label_of = values(labels, "labelled_scatter: labels", (len(shown),))
    if label_of.dtype.kind not in "iu" or label_of.min() < 0:
        raise TypeError(
            f"labelled_scatter: labels must be integers from 0 on, got {label_of.dtype} from {label_of.min()}"
        )
    class_names = classes if classes is not None else [str(label) for label in range(int(label_of.max()) + 1)]
    if len(class_names) <= label_of.max():
        raise ValueError(f"labelled_scatter: label {label_of.max()} has no name among {len(class_names)} classes")
    are_marks = all(len(name) == 1 and name.isalnum() for name in class_names)
    for label in np.unique(label_of):
        x, y = shown[label_of == label].T
        axes.scatter(
            x, y,
            s=34 if are_marks else 22,
            marker=_glyph(class_names[label]) if are_marks else _MARKS[label % len(_MARKS)],
            color=PALETTE[label % len(PALETTE)],
            edgecolors="#333333" if are_marks else "white",
            linewidths=0.3,
            label=class_names[label],
        )  # fmt: skip
    if not are_marks:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set_aspect("equal", adjustable="datalim")
    describe(axes, title, names)


def _glyph(character: str) -> Path:
    """The outline of a character around the origin, as a mark."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), character, prop=FontProperties(weight="bold"))
    box = outline.get_extents()
    return Path(outline.vertices - (box.p0 + box.p1) / 2, outline.codes)


_MARKS = ["o", "s", "^", "D", "v", "P", "X", "*", "<"]  # nine beside ten colours: a pair comes back after 90 classes


def vector_field(
    axes: Axes,
    points: Values,
    vectors: Values,
    *,
    label: str = "length",
    limits: Limits | None = None,
    title: str = "",
    names: Names = PLANE,
) -> None:
    """Vectors (N, 2) at points (N, 2): arrows of one length that show directions, and colours that show lengths.

    ``label`` names the lengths beside a colour bar.  Give an exact and a learned field the same ``limits`` of the
    colours, to compare them.
    """
    at = values(points, "vector_field: points", ("N", 2))
    arrows = values(vectors, "vector_field: vectors", at.shape)
    lengths = np.linalg.norm(arrows, axis=1)
    directions = arrows / np.where(lengths > 0, lengths, 1)[:, None]
    low, high = limits or (float(lengths.min()), float(lengths.max()))
    spread = np.ptp(at, axis=0)
    spacing = float(np.sqrt(np.prod(spread) / len(at))) or float(spread.max()) / len(at) or 1.0
    drawn = axes.quiver(
        at[:, 0], at[:, 1], directions[:, 0], directions[:, 1], lengths, cmap=f"{AMOUNT}_r", clim=(low, high),
        angles="xy", scale_units="xy", scale=1 / (0.9 * spacing), pivot="middle",
        units="xy", width=0.09 * spacing, headwidth=3.5, headlength=4.0, headaxislength=3.5,
    )  # fmt: skip
    colour_bar(axes, drawn, label)
    axes.set_aspect("equal")
    describe(axes, title, names)


def trajectory(axes: Axes, points: Values, *, label: str = "", title: str = "", names: Names = ("", "")) -> None:
    """A path through the plane, (steps, 2): a line from an open circle to a full one."""
    path = values(points, "trajectory: points", ("steps", 2))
    colour = next_colour(axes)
    axes.plot(path[:, 0], path[:, 1], color=colour, linewidth=1.5, label=label or None)
    for step, filling in ((0, "white"), (-1, colour)):
        axes.scatter(path[step, 0], path[step, 1], s=40, color=filling, edgecolors=colour, linewidths=1.5, zorder=3)
    axes.set_aspect("equal")
    if label:
        axes.legend(frameon=True)
    describe(axes, title, names)


def warped_grid(axes: Axes, nodes: Values, *, every: int = 1, title: str = "", names: Names = PLANE) -> None:
    """Where a map takes a grid: ``nodes`` (R, C, 2), the images of a lattice's points.

    Of the lines along rows and along columns one in ``every`` is drawn, through all of its nodes: a fine lattice
    with ``every=5`` gives smooth curves.

    >>> from tinygen import plots
    >>> made, ((axes,),) = plots.figure()
    >>> plane = plots.lattice((-2.0, 2.0, -2.0, 2.0), 41).reshape(41, 41, 2)
    >>> plots.warped_grid(axes, np.tanh(plane), every=5)
    """
    from matplotlib.collections import LineCollection

    mapped = values(nodes, "warped_grid: nodes", ("R", "C", 2))
    if every < 1:
        raise ValueError(f"warped_grid: every must be at least 1, got {every}")
    for lines, colour in ((mapped, PALETTE[0]), (mapped.swapaxes(0, 1), PALETTE[1])):
        axes.add_collection(LineCollection(list(lines[::every]), colors=colour, linewidths=0.9))
    axes.autoscale_view()
    axes.set_aspect("equal")
    describe(axes, title, names)


def moved(axes: Axes, nodes: Values, points: Values, *, every: int = 1, title: str = "") -> None:
    """A grid (R, C, 2) and points (N, 2) where a map took them, in a square that holds all but a few of the points."""
    warped_grid(axes, nodes, every=every, title=title, names=("", ""))
    scatter(axes, points, colour="black", size=3.0)
    low, high = np.quantile(values(points, "moved: points", ("N", 2)), [0.002, 0.998], axis=0)
    centre, half = (low + high) / 2, max(high - low) / 2
    axes.set(xlim=centre[0] + np.array([-half, half]), ylim=centre[1] + np.array([-half, half]))


def hyperplanes(axes: Axes, normals: Values, offsets: Values, *, colour: str = REFERENCE) -> None:
    """The lines w·x + b = 0 for normals w (K, 2) and offsets b (K,), on axes whose limits stay as they are."""
    w = values(normals, "hyperplanes: normals", ("K", 2))
    b = values(offsets, "hyperplanes: offsets", (len(w),))
    squared = (w**2).sum(axis=1)
    if not squared.all():
        raise ValueError("hyperplanes: a normal is zero, and w·x + b = 0 is then no line")
    limits = axes.axis()
    for (first, second), foot in zip(w, -(b / squared)[:, None] * w, strict=True):
        axes.axline(foot, foot + np.array([-second, first]), color=colour, linewidth=0.9, linestyle="--")
    axes.axis(limits)
