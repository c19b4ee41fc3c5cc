"""Floor 5. Normalisation: (x − mean) / √(variance + eps) · weight + bias, over the batch, an image, or a row.

Everything is made of recorded operations, so that derivatives of every order go through the statistics too.
"""

from __future__ import annotations

import math
from typing import Any

import tinygen.ops as ops
from tinygen.nn.activations import Parameterless
from tinygen.nn.module import Buffer, Parameter
from tinygen.tensor import Tensor


def normalise(centred: Tensor, variance: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
    """(x − mean) · weight / √(variance + eps) + bias, all broadcast against x − mean; weight and bias may be None.

    For statistics of channels the factor is small: only the product and the sum are as long as x.
    """
    factor = 1.0 / ops.sqrt(variance + eps) if weight is None else weight / ops.sqrt(variance + eps)
    scaled = centred * factor
    return scaled if bias is None else scaled + bias


def moments(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, x − mean and variance (divided by n) over axes that are kept with size 1."""
    mean = ops.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    return mean, centred, ops.mean(ops.square(centred), axis=axes, keepdims=True)


class _BatchNorm(Parameterless):
    """Each channel (axis 1) normalised over the batch and all positions (Ioffe & Szegedy 2015; CNN-6)."""

    ndims: tuple[int, ...]
    shape: str

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(ops.ones(num_features)) if affine else None
        self.bias = Parameter(ops.zeros(num_features)) if affine else None
        self.running_mean = Buffer(ops.zeros(num_features)) if track_running_stats else None
        self.running_var = Buffer(ops.ones(num_features)) if track_running_stats else None
        self.num_batches_tracked = Buffer(ops.zeros((), dtype=int)) if track_running_stats else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            raise ValueError(f"{type(self).__name__}({self.num_features}): x must be {self.shape}, got {x.shape}")
        axes = (0, *range(2, x.ndim))
        channel = (1, self.num_features, *(1,) * (x.ndim - 2))
        if self.training or self.running_mean is None or self.running_var is None:
            count = x.size // max(self.num_features, 1)
            if count < 2:
                raise ValueError(
                    f"{type(self).__name__}: the variance over a batch needs two values a channel, got x {x.shape}; "
                    f"use a larger batch, or eval()"
                )
            mean, centred, variance = moments(x, axes)
            self._track(mean.detach(), variance.detach(), count)
        else:
            centred = x - ops.reshape(self.running_mean, channel)
            variance = ops.reshape(self.running_var, channel)
        weight, bias = (None if p is None else ops.reshape(p, channel) for p in (self.weight, self.bias))
        return normalise(centred, variance, weight, bias, self.eps)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """running ← running + m · (batch − running); the batch's variance divided by n − 1 here, as PyTorch's.

        Without ``momentum`` m is 1 / number of batches: the mean over all batches.  The buffers are rebound, and the
        number stays on the device.
        """
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        if self.is_frozen or not self.training:
            return
        batches = self.num_batches_tracked + 1
        move = 1.0 / ops.astype(batches, mean.dtype) if self.momentum is None else self.momentum
        unbiased = variance * (count / (count - 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            moved = (1.0 - move) * running + move * ops.reshape(batch, self.num_features)
            running.assign(moved._data, copy=False)
        self.num_batches_tracked.assign(batches._data, copy=False)

    def describe(self) -> str:
        return str(self.num_features)


class BatchNorm1d(_BatchNorm):
    """Each feature of x (N, C), or channel of x (N, C, L), normalised over the batch.

    In training with the batch's own mean and variance, while running means of both are kept for evaluation.  In
    ``frozen`` the batch's are used and the running ones stay.
    """

    ndims, shape = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Each channel of x (N, C, H, W) normalised over the batch and all pixels; else as :class:`BatchNorm1d`."""

    ndims, shape = (4,), "(N, C, H, W)"


class InstanceNorm2d(Parameterless):
    """Each channel of each image of x (N, C, H, W) normalised over its pixels (Ulyanov et al. 2016; CYC-5)."""

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        self.num_features, self.eps = num_features, eps
        self.weight = Parameter(ops.ones(num_features)) if affine else None
        self.bias = Parameter(ops.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ValueError(f"InstanceNorm2d({self.num_features}): x must be (N, C, H, W), got {x.shape}")
        if x.shape[2] * x.shape[3] < 2:
            raise ValueError(f"InstanceNorm2d: the variance of an image needs two pixels, got x {x.shape}")
        weight, bias = (None if p is None else ops.reshape(p, (1, -1, 1, 1)) for p in (self.weight, self.bias))
        _, centred, variance = moments(x, (2, 3))
        return normalise(centred, variance, weight, bias, self.eps)

    def describe(self) -> str:
        return str(self.num_features)


class LayerNorm(Parameterless):
    """The last axes of x, which have the shape ``normalized_shape``, normalised together (Ba et al. 2016)."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = Parameter(ops.ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(ops.zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.normalized_shape)
        if x.shape[x.ndim - last :] != self.normalized_shape or math.prod(self.normalized_shape) == 0:
            raise ValueError(f"LayerNorm({self.normalized_shape}): x must end in these axes, got {x.shape}")
        axes = tuple(range(x.ndim - last, x.ndim))
        _, centred, variance = moments(x, axes)
        y = normalise(centred, variance, None, None, self.eps)  # here the weight is not of the statistics' shape
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias

    def describe(self) -> str:
        return str(self.normalized_shape)
