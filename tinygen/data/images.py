"""Floor 5. Handwritten digits that ship with the package; ``files/NOTICE.txt`` says where they come from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygen.backend import default_dtype
from tinygen.data.bundled import read, unpack_nibbles


class Images(NamedTuple):
    """Images (N, C, H, W) with values in [0, 1], and integer labels (N,); both on the host."""

    images: np.ndarray
    labels: np.ndarray


def digits8() -> Images:
    """1,797 handwritten digits, 8 × 8, each pixel the share of 16 cells that are inked.

    From the Optical Recognition of Handwritten Digits (UCI, CC BY 4.0).

    >>> digits8().images.shape
    (1797, 1, 8, 8)
    """
    arrays = read("digits8")
    return _scaled(arrays["images"], arrays["labels"], 16)


def mnist16(*, split: str = "train") -> Images:
    """Digits of MNIST (CC BY-SA 3.0), 16 × 16 in 16 greys, white on black, with a black margin of one pixel.

    ``"train"``: the first 10,000 training images.  ``"test"``: every second test image, 5,000.  Each got a margin
    of two pixels, and each pixel here is the mean of four.

    >>> mnist16(split="test").images.shape
    (5000, 1, 16, 16)
    """
    if split not in ("train", "test"):
        raise ValueError(f"mnist16: split must be 'train' or 'test', not {split!r}")
    arrays = read("mnist16")
    return _scaled(unpack_nibbles(arrays[f"{split}_images"]), arrays[f"{split}_labels"], 15)


def _scaled(images: np.ndarray, labels: np.ndarray, white: int) -> Images:
    return Images(images[:, None].astype(default_dtype()) / white, labels.astype(np.int64))
