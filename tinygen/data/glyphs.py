"""Floor 5. Letters in eight styles that ship with the package: pairs of domains in which every picture has its twin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygen.backend import default_dtype
from tinygen.data.bundled import read, unpack_nibbles

ATTRIBUTES = ("serif", "bold", "italic")


class Glyphs(NamedTuple):
    """Letters on the host, values in [0, 1], ink is 1.

    ``images`` (L, 2, 2, 2, 1, 16, 16): letter, serif, bold, italic, channel, height, width; ``letters`` has the L
    letters of the first axis.  So ``images[:, 0, 1, 0]`` are the bold letters without serifs (N, C, H, W),
    and ``images[:, 1, 1, 0]`` the same letters with serifs.
    """

    images: np.ndarray
    letters: str


def glyphs() -> Glyphs:
    """413 letters of Latin, Greek, Cyrillic and the phonetic alphabet; the first 52 are A … Z and a … z.

    DejaVu Sans and Serif (free fonts), drawn 16 times too large and averaged; on one baseline, ink in the middle.
    Letters of two alphabets that look the same are here once.

    >>> glyphs().letters[:3], glyphs().images.shape
    ('ABC', (413, 2, 2, 2, 1, 16, 16))
    """
    arrays = read("glyphs")
    images = unpack_nibbles(arrays["images"]).astype(default_dtype()) / 15
    return Glyphs(images.reshape(-1, 2, 2, 2, 1, 16, 16), "".join(map(chr, arrays["codes"])))
