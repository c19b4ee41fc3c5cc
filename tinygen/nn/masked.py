"""Floor 5. Layers that cannot see everything: what makes a network autoregressive (AR-3, AR-4).

The weight is multiplied by a mask of zeros and ones at each forward and never written, so derivatives that must be
zero are exactly zero.  Masks are not part of ``state_dict``: names are those of the layers without masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygen.ops as ops
from tinygen import random
from tinygen.backend import default_dtype, to_host
from tinygen.nn.convolution import Conv1d, Conv2d
from tinygen.nn.linear import Linear
from tinygen.nn.module import Constant
from tinygen.tensor import Tensor, raw


def _mask(values: Any) -> Constant:
    return Constant(ops.tensor(np.asarray(values, default_dtype())))


def autoregressive_mask(inputs: Any, outputs: Any, *, strict: bool) -> np.ndarray:
    """Which input a unit may see: mask (out, in), 1 where degree of output ≥ degree of input, or > if ``strict``.

    Degrees are whole numbers, one for each unit: the position of a variable, or how far a hidden unit may look.  With
    positions 1 … D as inputs, strict only in the *last* layer (whose outputs have the positions as degrees), output t
    depends on inputs before t alone (MADE, Germain et al. 2015).

    >>> autoregressive_mask([1, 2, 3], [1, 2, 3], strict=True).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    rows, columns = np.asarray(outputs)[:, None], np.asarray(inputs)[None, :]
    return (rows > columns if strict else rows >= columns).astype(float)


class MaskedLinear(Linear):
    """x (W ∘ mask)ᵀ + b: x (…, in) to (…, out), for a mask (out, in) of zeros and ones."""

    def __init__(self, mask: Any, bias: bool = True, *, rng: random.Generator | None = None) -> None:
        mask = to_host(raw(mask)) if hasattr(mask, "dtype") else np.asarray(mask)
        if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
            raise ValueError(f"MaskedLinear: mask must be zeros and ones of shape (out, in), got shape {mask.shape}")
        super().__init__(mask.shape[1], mask.shape[0], bias, rng=rng)
        self.mask = _mask(mask)

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight * self.mask, self.bias)


class MaskedConv2d(Conv2d):
    """A convolution whose pixel sees only the pixels before it in raster order (PixelCNN, AR-4).

    ``mask_type`` "A", for the first layer, excludes the pixel itself; "B" includes it.  The kernel's sides are odd, and
    the size of the image stays.  With several ``colours``, channels are that many equal blocks in order (R, G, B): a
    block sees at the pixel itself the blocks before it and, with "B", its own.  A stack of 3×3 kernels has a blind
    spot: it never sees what lies above to the right beyond a slope of one pixel a layer.
    """

    def __init__(
        self,
        mask_type: str,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        bias: bool = True,
        *,
        colours: int = 1,
        rng: random.Generator | None = None,
    ) -> None:
        if mask_type not in ("A", "B"):
            raise ValueError(f"MaskedConv2d: mask_type must be 'A' or 'B', got {mask_type!r}")
        if in_channels % colours or out_channels % colours:
            raise ValueError(f"MaskedConv2d: {colours} colours must divide {in_channels} and {out_channels} channels")
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if height % 2 == 0 or width % 2 == 0:
            raise ValueError(f"MaskedConv2d: the sides of the kernel must be odd, got {kernel_size}")
        super().__init__(
            in_channels, out_channels, (height, width), padding=(height // 2, width // 2), bias=bias, rng=rng
        )
        self.mask_type = mask_type
        mask = np.ones(self.weight.shape)
        mask[:, :, height // 2, width // 2 + 1 :] = 0.0
        mask[:, :, height // 2 + 1 :] = 0.0
        blocks_in = np.arange(in_channels) // (in_channels // colours)
        blocks_out = np.arange(out_channels) // (out_channels // colours)
        mask[:, :, height // 2, width // 2] = autoregressive_mask(blocks_in, blocks_out, strict=mask_type == "A")
        self.mask = _mask(mask)

    def forward(self, x: Any) -> Tensor:
        return ops.conv2d(x, self.weight * self.mask, self.bias, **self.settings)

    def describe(self) -> str:
        return f"{self.mask_type!r}, {super().describe()}"


class CausalConv1d(Conv1d):
    """A convolution of x (N, in, L) to (N, out, L) whose output t sees x at t, t − d, … only (d: the dilation).

    The sequence is padded with zeros at its beginning, by dilation · (K − 1).  ``strict`` excludes t itself, by one
    more zero: the first layer of a model of x_t given what came before (AR-3).  A stack with kernel 2 and dilations
    1, 2, 4, …, 2^(k−1) sees 2ᵏ positions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        strict: bool = False,
        rng: random.Generator | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, groups=groups, bias=bias, rng=rng)
        self.strict = strict

    def forward(self, x: Any) -> Tensor:
        if x.ndim != 3:
            raise ValueError(f"CausalConv1d: x must have shape (N, C, L), got {tuple(x.shape)}")
        seen = x[:, :, : x.shape[2] - self.strict]
        before = self.settings["dilation"] * (self.kernel_size[0] - 1) + self.strict
        return super().forward(ops.pad(seen, ((0, 0), (0, 0), (before, 0))))

    def describe(self) -> str:
        return super().describe() + (", strict=True" if self.strict else "")
