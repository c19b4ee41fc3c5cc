"""Floor 5. Convolutions and transposed convolutions; shapes and settings are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import tinygen.ops as ops
from tinygen import random
from tinygen.nn import init
from tinygen.nn.module import Module, Parameter
from tinygen.tensor import Tensor


class _Convolution(Module):
    """What all convolutions share: channels, kernel, settings, and a start uniform in ±1/√fan in, as PyTorch's."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]
    transposed: ClassVar[bool] = False

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        settings: dict[str, Any],
        bias: bool,
        rng: random.Generator | None,
    ) -> None:
        rng, groups = rng or random.default(), settings["groups"]
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{type(self).__name__}: groups={groups} must divide {in_channels} input and {out_channels} output "
                f"channels"
            )
        kernel = (kernel_size,) * self.axes if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != self.axes:
            raise ValueError(f"{type(self).__name__}: kernel_size must be one number or {self.axes}, got {kernel_size}")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.settings = settings
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (first, second // groups, *kernel)
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(init.around_zero(rng, shape, fan_in))
        self.bias = Parameter(init.around_zero(rng, out_channels, fan_in)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return type(self).function(x, self.weight, self.bias, **self.settings)

    def describe(self) -> str:
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        unusual = "".join(f", {name}={value}" for name, value in self.settings.items() if value != usual[name])
        return f"{self.in_channels}, {self.out_channels}, {self.kernel_size}{unusual}" + (
            "" if self.bias is not None else ", bias=False"
        )


class _Forward(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self._build(in_channels, out_channels, kernel_size, settings, bias, rng)


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        rng: random.Generator | None = None,
    ) -> None:
        settings = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
        self._build(in_channels, out_channels, kernel_size, {**settings, "dilation": dilation}, bias, rng)


class Conv1d(_Forward):
    """Convolution of x (N, in, L) to (N, out, L'); weight (out, in/groups, K)."""

    axes, function = 1, staticmethod(ops.conv1d)


class Conv2d(_Forward):
    """Convolution of x (N, in, H, W) to (N, out, H', W'); weight (out, in/groups, KH, KW).

    H' = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1.  Settings are one number or (height, width).
    """

    axes, function = 2, staticmethod(ops.conv2d)


class ConvTranspose1d(_Transposed):
    """The adjoint of a convolution: x (N, in, L) to (N, out, L'); weight (in, out/groups, K)."""

    axes, function = 1, staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The adjoint of a convolution: x (N, in, H, W) to (N, out, H', W'); weight (in, out/groups, KH, KW).

    H' = (H − 1)·stride − 2·padding + dilation·(KH − 1) + output_padding + 1.
    """

    axes, function = 2, staticmethod(ops.conv_transpose2d)
