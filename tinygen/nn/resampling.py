"""Floor 5. Modules that change the shape: pooling, enlarging, flattening."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tinygen.ops as ops
from tinygen.nn.activations import Parameterless
from tinygen.tensor import Tensor


class _Pool(Parameterless):
    """Pooling of windows; the stride is the kernel's size by default."""

    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.kernel_size, self.stride, self.padding)

    def describe(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}" + (f", padding={self.padding}" if self.padding else "")


class AvgPool1d(_Pool):
    """Mean of each window of x (N, C, L); padding counts as zeros."""

    function = staticmethod(ops.avg_pool1d)


class AvgPool2d(_Pool):
    """Mean of each window of x (N, C, H, W); padding counts as zeros."""

    function = staticmethod(ops.avg_pool2d)


class MaxPool1d(_Pool):
    """Largest element of each window of x (N, C, L)."""

    function = staticmethod(ops.max_pool1d)


class MaxPool2d(_Pool):
    """Largest element of each window of x (N, C, H, W)."""

    function = staticmethod(ops.max_pool2d)


class Upsample(Parameterless):
    """x (N, C, L) or (N, C, H, W) enlarged by whole numbers, ``nearest`` or ``bilinear`` (align_corners=False)."""

    def __init__(self, scale_factor: Any = 2, mode: str = "nearest") -> None:
        self.scale_factor, self.mode = scale_factor, mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.interpolate(x, self.scale_factor, self.mode)

    def describe(self) -> str:
        return f"{self.scale_factor}, {self.mode!r}"


class Flatten(Parameterless):
    """All axes from ``start_dim`` on made one; the first, the batch, stays by default."""

    def __init__(self, start_dim: int = 1) -> None:
        self.start_dim = start_dim

    def forward(self, x: Tensor) -> Tensor:
        if not 0 <= self.start_dim < x.ndim:
            raise ValueError(f"Flatten: x of shape {x.shape} has no axis {self.start_dim} to start from")
        return ops.reshape(x, (*x.shape[: self.start_dim], math.prod(x.shape[self.start_dim :])))

    def describe(self) -> str:
        return "" if self.start_dim == 1 else f"start_dim={self.start_dim}"


class Unflatten(Parameterless):
    """Axis ``dim`` made several, of the lengths ``unflattened_size``: what undoes ``Flatten``."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        if not 0 <= self.dim < x.ndim or x.shape[self.dim] != math.prod(self.unflattened_size):
            raise ValueError(
                f"Unflatten: axis {self.dim} of x of shape {x.shape} does not make {self.unflattened_size}"
            )
        return ops.reshape(x, (*x.shape[: self.dim], *self.unflattened_size, *x.shape[self.dim + 1 :]))

    def describe(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"
