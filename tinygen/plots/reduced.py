"""Floor 7. Small files: pictures of few colours whose lines keep the colours that their legend names."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinygen.checkpoint import replace_file
from tinygen.plots.canvas import PALETTE, REFERENCE

if TYPE_CHECKING:
    from PIL.Image import Image

LOOKED_AT = 16384
"""How many distinct colours are compared with each other, to choose a few."""


def reduced(path: str | os.PathLike[str], to: str | os.PathLike[str], *, width: int = 1200, colours: int = 256) -> Path:
    """A copy of a PNG for a README: at most ``width`` pixels wide, of at most ``colours`` colours.

    The file is written under another name and then renamed.
    """
    from PIL import Image

    with Image.open(path) as file:
        drawn = file.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    content = BytesIO()
    with_colours(pixels, few_colours(pixels, colours)).save(content, "PNG", optimize=True)
    replace_file(Path(to), content.getvalue())
    return Path(to)


def few_colours(pixels: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` colours (k, 3) that stand for those of some pixels (…, 3), bytes both.

    Weighted k-means on the distinct colours.  Each weighs the root of its number of pixels: with the number itself
    the grey edges of letters would take all colours, and a thin orange line would turn brown.  Colours of the palette
    that occur stay as they are.
    """
    packed, pixels_of = np.unique(_packed(pixels), return_counts=True)
    named = np.array([int(colour[1:], 16) for colour in (*PALETTE, REFERENCE, "#ffffff")])
    kept = _unpacked(named[np.isin(named, packed)])
    every = -(-len(packed) // LOOKED_AT)
    colours, weights = _unpacked(packed[::every]), np.sqrt(pixels_of[::every])
    centres = kept if len(kept) else colours[:1]
    distance = np.min([((colours - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
    while len(centres) < count and distance.any():  # the start: always the colour that is missed most
        centres = np.concatenate([centres, colours[[(weights * distance).argmax()]]])
        distance = np.minimum(distance, ((colours - centres[-1]) ** 2).sum(axis=1))
    for _ in range(10):
        own = _nearest(colours, centres)
        total = np.bincount(own, weights, len(centres))
        means = [np.bincount(own, weights * part, len(centres)) / np.maximum(total, 1e-9) for part in colours.T]
        moving = (total > 0) & (np.arange(len(centres)) >= len(kept))
        centres = np.where(moving[:, None], np.stack(means, axis=1), centres)
    return np.unique(centres.round().astype(np.uint8), axis=0)


def with_colours(pixels: np.ndarray, colours: np.ndarray) -> Image:
    """The picture of pixels (height, width, 3), each in the nearest of the colours (k ≤ 256, 3)."""
    from PIL import Image

    distinct, which = np.unique(_packed(pixels), return_inverse=True)
    nearest = _nearest(_unpacked(distinct), colours.astype(np.float64)).astype(np.uint8)
    picture = Image.fromarray(nearest[which].reshape(pixels.shape[:2]))  # greys, until the palette says more
    picture.putpalette(colours.tobytes())
    return picture


def _packed(pixels: np.ndarray) -> np.ndarray:
    """One number for each pixel, as in #rrggbb."""
    red, green, blue = pixels.reshape(-1, 3).astype(np.int64).T
    return red << 16 | green << 8 | blue


def _unpacked(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.float64)


def _nearest(colours: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For each colour the nearest centre: the smallest |centre|² − 2 colour · centre."""
    parts = (colours[i : i + LOOKED_AT] for i in range(0, len(colours), LOOKED_AT))
    return np.concatenate([((centres**2).sum(axis=1) - 2.0 * part @ centres.T).argmin(axis=1) for part in parts])
