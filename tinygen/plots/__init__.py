"""Floor 7. Pictures: functions that draw tensors or arrays on axes, so that a figure is put together from them.

``figure`` makes axes, the functions of ``images``, ``curves`` and ``planes`` draw on them, several on the same ones
where that makes sense (a density, its contours, samples), ``save`` and ``animation`` write files.  No screen, no
global state; colours that colour-blind readers can tell apart; text that is legible 800 pixels wide.  Values that
cannot be drawn, NaN among them, are refused.  matplotlib is imported at the first figure.

>>> from tinygen import plots
>>> made, ((left, right),) = plots.figure(1, 2)
>>> plots.curves(left, [0, 1, 2], {"training": [3.0, 2.0, 1.5]}, names=("epoch", "nats per image"))
>>> plots.scatter(right, [[0.0, 1.0], [1.0, 0.0]], title="Samples")
>>> plots.save(made, "out/picture.png")  # doctest: +SKIP
"""

from tinygen.plots.canvas import PALETTE, WIDTH, figure, save
from tinygen.plots.curves import curves, histogram, roc_curve
from tinygen.plots.images import image_grid, image_strip
from tinygen.plots.movies import animation
from tinygen.plots.planes import (
    contours,
    heat_map,
    hyperplanes,
    labelled_scatter,
    lattice,
    moved,
    on_lattice,
    scatter,
    trajectory,
    vector_field,
    warped_grid,
)
from tinygen.plots.reduced import reduced

__all__ = [
    "PALETTE", "WIDTH", "animation", "contours", "curves", "figure", "heat_map", "histogram", "hyperplanes",
    "image_grid", "image_strip", "labelled_scatter", "lattice", "moved", "on_lattice", "reduced", "roc_curve", "save",
    "scatter", "trajectory", "vector_field", "warped_grid",
]  # fmt: skip
