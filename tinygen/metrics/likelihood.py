"""Floor 7. Units of likelihoods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygen.metrics.arrays import on_host


def bits_per_dimension(nats: Any, dimensions: int, bin_width: float = 1.0) -> Any:
    """Bits per dimension of a negative log-likelihood in nats per example: (nats / D − log bin_width) / log 2.

    ``bin_width`` is how far apart two neighbouring values of the data are, in the unit of the density.  Pixels of
    256 levels that were scaled to [0, 1] with uniform noise added have 1/256; probabilities of the data as they are
    (and densities of pixels 0 … 255) have 1.  A number for a number, an array for an array.

    >>> bits_per_dimension(0.0, 784, bin_width=1 / 256)  # a density of 1 everywhere says nothing: 8 bits a pixel
    8.0
    """
    if dimensions < 1 or not bin_width > 0:
        raise ValueError(f"bits_per_dimension: dimensions={dimensions} and bin_width={bin_width} must be positive")
    bits = (on_host(nats).astype(np.float64) / dimensions - math.log(bin_width)) / math.log(2.0)
    return float(bits) if bits.ndim == 0 else bits
