"""Floor 3. Pooling and resampling of images (N, C, H, W) and sequences (N, C, L)."""

from __future__ import annotations

import math
from typing import Any

from tinygen.backend import Array, namespace
from tinygen.operands import operation
from tinygen.ops.arrange import repeat
from tinygen.ops.conv import numbers
from tinygen.ops.index import _pick
from tinygen.ops.matmul import matmul
from tinygen.ops.shape import expand_dims, squeeze, swapaxes
from tinygen.ops.trilinear import Geometry, image_geometry
from tinygen.primitive import primitive
from tinygen.tensor import Tensor, raw


def _taps(geometry: Geometry) -> list[tuple[slice, slice]]:
    """For each element of the kernel, the rows and columns of the padded image that it meets."""
    (kh, kw), (oh, ow), (sh, sw) = geometry.kernel_size, geometry.output_size, geometry.stride
    return [
        (slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw)) for i in range(kh) for j in range(kw)
    ]


def _surrounded(x: Array, geometry: Geometry, value: float) -> Array:
    """x with its padding, filled with a value."""
    (ph, pw), xp = geometry.padding, namespace(x)
    return xp.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=value) if ph or pw else x


@primitive()
def _window_sum(x: Array, *, geometry: Geometry) -> Array:
    padded = _surrounded(x, geometry, 0.0)
    total = namespace(x).zeros((*x.shape[:2], *geometry.output_size), dtype=x.dtype)
    for rows, columns in _taps(geometry):
        total += padded[:, :, rows, columns]
    return total


@primitive()
def _window_spread(g: Array, *, geometry: Geometry) -> Array:
    """The adjoint of summing windows: each output's number added to every element of its window."""
    (h, w), (ph, pw) = geometry.input_size, geometry.padding
    padded = namespace(g).zeros((*g.shape[:2], h + 2 * ph, w + 2 * pw), dtype=g.dtype)
    for rows, columns in _taps(geometry):
        padded[:, :, rows, columns] += g
    return padded[:, :, ph : ph + h, pw : pw + w]


_window_sum.derivatives(lambda g, y, x, geometry: _window_spread(g, geometry=geometry))
_window_spread.derivatives(lambda x, y, g, geometry: _window_sum(x, geometry=geometry))


@primitive()
def _window_argmax(x: Array, *, geometry: Geometry) -> Array:
    """Where the first largest element of each window stands in the flat array x; without derivative."""
    xp, (h, w), (ph, pw) = namespace(x), geometry.input_size, geometry.padding
    padded = _surrounded(x, geometry, -float("inf"))
    stacked = xp.stack([padded[:, :, rows, columns] for rows, columns in _taps(geometry)])
    tap = stacked.argmax(axis=0)
    rows = xp.arange(geometry.output_size[0]).reshape(-1, 1) * geometry.stride[0] + tap // geometry.kernel_size[1] - ph
    columns = xp.arange(geometry.output_size[1]) * geometry.stride[1] + tap % geometry.kernel_size[1] - pw
    images = xp.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1)
    return (images * h + rows) * w + columns


def _pooled(name: str, axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Geometry]:
    """x as images, and the geometry of pooling them."""
    if x.ndim != axes + 2:
        raise ValueError(f"{name}: x must have {axes + 2} axes (N, C, …), got shape {tuple(x.shape)}")
    k, size = numbers(name, "kernel_size", kernel_size, 1, axes), tuple(x.shape[2:])
    s = k if stride is None else numbers(name, "stride", stride, 1, axes)
    p = numbers(name, "padding", padding, 0, axes)
    if any(2 * p[a] > k[a] for a in range(axes)):
        raise ValueError(f"{name}: padding {p} must be at most half of the kernel size {k}")
    output = tuple((size[a] + 2 * p[a] - k[a]) // s[a] + 1 for a in range(axes))
    if min(output) < 1:
        raise ValueError(f"{name}: a kernel {k} does not fit into {size} with padding {p}")
    return x if axes == 2 else expand_dims(x, 2), image_geometry(size, k, output, s, p, (1,) * axes, 1)


def _averaged(name: str, axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Tensor:
    images, geometry = _pooled(name, axes, x, kernel_size, stride, padding)
    means = _window_sum(images, geometry=geometry) / math.prod(geometry.kernel_size)
    return means if axes == 2 else squeeze(means, 2)


def _largest(name: str, axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any) -> Tensor:
    images, geometry = _pooled(name, axes, x, kernel_size, stride, padding)
    chosen = _pick(images, _window_argmax(images, geometry=geometry))
    return chosen if axes == 2 else squeeze(chosen, 2)


@operation
def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Mean of each window of x (N, C, H, W); padding counts as zeros, stride is the kernel's size by default."""
    return _averaged("avg_pool2d", 2, x, kernel_size, stride, padding)


@operation
def avg_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Mean of each window of x (N, C, L)."""
    return _averaged("avg_pool1d", 1, x, kernel_size, stride, padding)


@operation
def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Largest element of each window of x (N, C, H, W); of equal ones the first gets the cotangent."""
    return _largest("max_pool2d", 2, x, kernel_size, stride, padding)


@operation
def max_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Largest element of each window of x (N, C, L)."""
    return _largest("max_pool1d", 1, x, kernel_size, stride, padding)


@operation
def interpolate(x: Any, scale_factor: Any, mode: str = "nearest") -> Tensor:
    """x (N, C, L) or (N, C, H, W) enlarged by whole numbers, ``nearest`` or ``bilinear`` (align_corners=False)."""
    if x.ndim not in (3, 4):
        raise ValueError(f"interpolate: x must have shape (N, C, L) or (N, C, H, W), got {tuple(x.shape)}")
    factors = numbers("interpolate", f"scale_factor for x {tuple(x.shape)}", scale_factor, 1, x.ndim - 2)
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"interpolate: unknown mode {mode!r}; use 'nearest' or 'bilinear'")
    for axis, factor in enumerate(factors, start=2):
        if mode == "nearest":
            x = repeat(x, factor, axis)
        else:
            x = swapaxes(matmul(swapaxes(x, axis, -1), _hats(x, axis, factor)), axis, -1)
    return x  # type: ignore[no-any-return]


def _hats(x: Any, axis: int, factor: int) -> Array:
    """The matrix (size, factor · size) of linear interpolation at the centres of the finer cells."""
    array = raw(x)
    xp, size = namespace(array), array.shape[axis]
    centres = xp.clip((xp.arange(factor * size, dtype=array.dtype) + 0.5) / factor - 0.5, 0, size - 1)
    distance = xp.abs(centres - xp.arange(size, dtype=array.dtype).reshape(-1, 1))
    return xp.maximum(1.0 - distance, 0.0)
