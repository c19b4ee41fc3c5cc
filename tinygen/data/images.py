"""Floor 5. Images that ship with the package; ``files/NOTICE.txt`` says where they come from."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import numpy as np

from tinygen.backend import default_dtype


class Images(NamedTuple):
    """Images (N, C, H, W) with values in [0, 1], and integer labels (N,); both on the host."""

    images: np.ndarray
    labels: np.ndarray


_LEVELS = {"digits8": 16}  # data set: the value of a white pixel


def load(name: str) -> Images:
    """A bundled data set.

    ``digits8``: 1,797 handwritten digits, 8 × 8, each pixel the share of 16 cells that are inked.

    >>> import tinygen as tg
    >>> tg.data.load("digits8").images.shape
    (1797, 1, 8, 8)
    """
    if name not in _LEVELS:
        raise ValueError(f"load: there is no data set {name!r}; there are {', '.join(sorted(_LEVELS))}")
    with resources.files("tinygen.data").joinpath(f"files/{name}.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return Images(images[:, None].astype(default_dtype()) / _LEVELS[name], labels.astype(np.int64))
