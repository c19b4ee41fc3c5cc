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


def digits8() -> Images:
    """1,797 handwritten digits, 8 × 8, each pixel the share of 16 cells that are inked.

    >>> digits8().images.shape
    (1797, 1, 8, 8)
    """
    with resources.files("tinygen.data").joinpath("files/digits8.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return Images(images[:, None].astype(default_dtype()) / 16, labels.astype(np.int64))
