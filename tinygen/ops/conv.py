"""Floor 3. Convolution over one or two axes, and its transpose: two contractions of ``trilinear.py``."""

from __future__ import annotations

from typing import Any

from tinygen.operands import is_whole, operation
from tinygen.ops.shape import expand_dims, reshape, squeeze
from tinygen.ops.trilinear import Geometry, _conv, _conv_input, image_geometry
from tinygen.tensor import Tensor


def numbers(name: str, what: str, value: Any, least: int, axes: int) -> tuple[int, ...]:
    """A setting as one whole number for each spatial axis."""
    each = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(each) != axes or any(not is_whole(v) or v < least for v in each):
        raise ValueError(f"{name}: {what} must be {axes} whole numbers (or one for all), at least {least}, got {value}")
    return tuple(int(v) for v in each)


def _check(name: str, axes: int, x: Any, weight: Any, bias: Any, channels: int, outputs: int, groups: Any) -> None:
    """Raise unless x, weight, bias and groups fit; ``channels`` is what the weight asks of x."""
    shapes = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}"
    if x.ndim != axes + 2 or weight.ndim != axes + 2:
        raise ValueError(f"{name}: needs {axes + 2} axes, (N, C, …) and (O, C/groups, …), got {shapes}")
    if 0 in weight.shape[2:]:
        raise ValueError(f"{name}: the kernel is empty: {shapes}")
    if not is_whole(groups) or groups < 1 or x.shape[1] % groups or outputs % groups:
        raise ValueError(
            f"{name}: groups={groups} must divide {x.shape[1]} input and {outputs} output channels: {shapes}"
        )
    if x.shape[1] != channels:
        raise ValueError(
            f"{name}: x has {x.shape[1]} channels, the weight with groups={groups} needs {channels}: {shapes}"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ValueError(f"{name}: bias must have shape ({outputs},), got {tuple(bias.shape)}; {shapes}")


def _apply(contraction: Any, x: Any, weight: Any, bias: Any, geometry: Geometry) -> Tensor:
    """A contraction of images, or of sequences as images of height 1, and the bias."""
    flat = x.ndim == 3
    y = contraction(expand_dims(x, 2) if flat else x, expand_dims(weight, 2) if flat else weight, geometry=geometry)
    y = squeeze(y, 2) if flat else y
    return y if bias is None else y + reshape(bias, (bias.shape[0],) + (1,) * (y.ndim - 2))


def _convolve(
    name: str, axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    _check(name, axes, x, weight, bias, weight.shape[1] * groups, weight.shape[0], groups)
    s, d = numbers(name, "stride", stride, 1, axes), numbers(name, "dilation", dilation, 1, axes)
    p, size, kernel = numbers(name, "padding", padding, 0, axes), tuple(x.shape[2:]), tuple(weight.shape[2:])
    output = tuple((size[a] + 2 * p[a] - d[a] * (kernel[a] - 1) - 1) // s[a] + 1 for a in range(axes))
    if min(output) < 1:
        raise ValueError(f"{name}: a kernel {kernel} with dilation {d} does not fit into {size} with padding {p}")
    return _apply(_conv, x, weight, bias, image_geometry(size, kernel, output, s, p, d, groups))


def _transposed(
    name: str,
    axes: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    extra: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    _check(name, axes, x, weight, bias, weight.shape[0], weight.shape[1] * groups, groups)
    s, d = numbers(name, "stride", stride, 1, axes), numbers(name, "dilation", dilation, 1, axes)
    p, e = numbers(name, "padding", padding, 0, axes), numbers(name, "output_padding", extra, 0, axes)
    if any(e[a] >= max(s[a], d[a]) for a in range(axes)):
        raise ValueError(f"{name}: output_padding {e} must be smaller than stride {s} or dilation {d}")
    output, kernel = tuple(x.shape[2:]), tuple(weight.shape[2:])
    size = tuple((output[a] - 1) * s[a] - 2 * p[a] + d[a] * (kernel[a] - 1) + e[a] + 1 for a in range(axes))
    if min(size) < 1:
        raise ValueError(
            f"{name}: x {tuple(x.shape)} with padding {p} leaves nothing, a size of {size}; use a smaller padding"
        )
    return _apply(_conv_input, x, weight, bias, image_geometry(size, kernel, output, s, p, d, groups))


@operation
def conv2d(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolution of x (N, C, H, W) with weight (O, C/groups, KH, KW): (N, O, OH, OW).

    OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1.  Settings are one number or (height, width).
    """
    return _convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


@operation
def conv1d(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolution of x (N, C, L) with weight (O, C/groups, K): (N, O, OL)."""
    return _convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@operation
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The adjoint of conv2d: x (N, O, OH, OW) with weight (O, C/groups, KH, KW) gives (N, C, H, W).

    H = (OH − 1)·stride − 2·padding + dilation·(KH − 1) + output_padding + 1; output_padding chooses among the
    sizes that conv2d maps to the same OH and must be smaller than stride or dilation.
    """
    return _transposed("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)


@operation
def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The adjoint of conv1d: x (N, O, OL) with weight (O, C/groups, K) gives (N, C, L)."""
    return _transposed("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)
