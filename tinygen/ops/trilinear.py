"""Floor 3. Convolution (cross-correlation, as in every deep-learning library) as one trilinear form.

    T(x, w, g) = ⟨conv(x, w), g⟩ = Σ x[n, c, s·i + d·k − p] · w[o, c, k] · g[n, o, i]

is linear in the input x, in the weight w and in the output's cotangent g.  Leaving one of the three out gives
the three contractions below; each one's derivatives are the other two, so derivatives of every order close.
The transposed convolution is the contraction that leaves out the input.

Inside, images are (N, H, W, C): then a window is a few contiguous runs, and the product over (kernel, channel)
is one matrix product.  Columns (unrolled windows) exist only for a cache-sized block at a time and are made
again in the backward pass instead of being saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from tinygen.backend import Array, block_bytes, namespace
from tinygen.primitive import primitive

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """The sizes of one convolution, all (height, width); every contraction carries all of them explicitly."""

    input_size: Pair
    kernel_size: Pair
    output_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def padded_size(self) -> Pair:
        """Height and width of the input with its padding, at least as large as the windows reach."""
        h, w = (
            max(size + 2 * padding, (out - 1) * stride + dilation * (kernel - 1) + 1)
            for size, padding, out, stride, dilation, kernel in zip(
                self.input_size,
                self.padding,
                self.output_size,
                self.stride,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        return h, w


def image_geometry(
    input_size: Any, kernel: Any, output: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Geometry:
    """The geometry of a convolution over one or two axes; sequences are images of height 1."""
    ones, zeros = (1,) * (2 - len(kernel)), (0,) * (2 - len(kernel))
    size, window, result, step = ((*ones, *value) for value in (input_size, kernel, output, stride))
    return Geometry(size, window, result, step, (*zeros, *padding), (*ones, *dilation), groups)


# --- the three contractions --------------------------------------------------------------------------------------


@primitive()
def _conv(x: Array, w: Array, *, geometry: Geometry) -> Array:
    """⟨·, g⟩ left open: x (N, C, H, W), w (O, C/groups, KH, KW) to (N, O, OH, OW)."""
    return _gather(x, w, geometry)


def _gather(x: Array, w: Array, geometry: Geometry) -> Array:
    """Each output from its window: one matrix product a block of windows."""
    xp = namespace(x)
    n, o = x.shape[0], w.shape[0]
    out = xp.empty((n, *geometry.output_size, o), dtype=x.dtype)
    padded = _padded(x, geometry)
    for channels, outputs in _groups(x.shape[1], o, geometry.groups):
        windows = _windows(padded[..., channels], geometry)
        matrix = _rows(w[outputs].transpose(2, 3, 1, 0))
        for samples, rows in _blocks(xp, windows):
            columns = _columns(windows[samples, rows])
            if geometry.groups == 1:
                xp.dot(columns, matrix, out=_rows(out[samples, rows]))
            else:
                out[samples, rows, :, outputs] = (columns @ matrix).reshape(out[samples, rows, :, outputs].shape)
    return out.transpose(0, 3, 1, 2)


@primitive()
def _conv_input(g: Array, w: Array, *, geometry: Geometry) -> Array:
    """⟨x, ·⟩ left open: g (N, O, OH, OW), w (O, C/groups, KH, KW) to (N, C, H, W)."""
    if geometry.stride == (1, 1) and all(d * (k - 1) >= p for d, k, p in _zip(geometry)):
        return _gather(g, _flipped(w, geometry.groups), _reversed(geometry))
    xp, rows_of_taps = namespace(g), range(geometry.kernel_size[0])
    c = w.shape[1] * geometry.groups
    padded = xp.zeros((g.shape[0], *geometry.padded_size, c), dtype=g.dtype)
    nhwc = g.transpose(0, 2, 3, 1)
    for channels, outputs in _groups(c, w.shape[0], geometry.groups):
        windows = _windows(padded[..., channels], geometry)
        taps = w[outputs].transpose(2, 3, 0, 1)  # (KH, KW, O, C)
        matrices = [(i, j, xp.concatenate(list(taps[i, j]), axis=1)) for i in rows_of_taps for j in _apart(geometry)]
        for samples, rows in _blocks(xp, windows):
            block, vectors = windows[samples, rows], _rows(nhwc[samples, rows, :, outputs])
            for i, j, matrix in matrices:  # these taps' positions are distinct: adding to this view adds to the image
                positions = block[:, :, :, i, j]
                positions += (vectors @ matrix).reshape(positions.shape)
    (ph, pw), (h, width) = geometry.padding, geometry.input_size
    return padded[:, ph : ph + h, pw : pw + width].transpose(0, 3, 1, 2)


@primitive()
def _conv_weight(x: Array, g: Array, *, geometry: Geometry) -> Array:
    """⟨w, ·⟩ left open: x (N, C, H, W), g (N, O, OH, OW) to (O, C/groups, KH, KW)."""
    xp, o = namespace(x), g.shape[1]
    weight = xp.zeros((o, x.shape[1] // geometry.groups, *geometry.kernel_size), dtype=x.dtype)
    padded = _padded(x, geometry)
    nhwc = g.transpose(0, 2, 3, 1)
    for channels, outputs in _groups(x.shape[1], o, geometry.groups):
        windows = _windows(padded[..., channels], geometry)
        total = xp.zeros((math.prod(windows.shape[3:]), outputs.stop - outputs.start), dtype=x.dtype)
        for samples, rows in _blocks(xp, windows):
            total += _columns(windows[samples, rows]).T @ _rows(nhwc[samples, rows, :, outputs])
        weight[outputs] = total.reshape(*windows.shape[3:], -1).transpose(3, 2, 0, 1)
    return weight


_conv.derivatives(
    lambda g, y, x, w, geometry: _conv_input(g, w, geometry=geometry),
    lambda g, y, x, w, geometry: _conv_weight(x, g, geometry=geometry),
)
_conv_input.derivatives(
    lambda x, y, g, w, geometry: _conv(x, w, geometry=geometry),
    lambda x, y, g, w, geometry: _conv_weight(x, g, geometry=geometry),
)
_conv_weight.derivatives(
    lambda w, y, x, g, geometry: _conv_input(g, w, geometry=geometry),
    lambda w, y, x, g, geometry: _conv(x, w, geometry=geometry),
)


def _apart(geometry: Geometry) -> Iterator[slice]:
    """Taps of a kernel's row in runs so short that no two windows meet in them: 2 of stride 2, 1 of stride 1.

    Windows meet where s·i + d·k = s·i' + d·k', so first where k − k' is s without its factors in d.
    """
    (_, stride), (_, dilation), (_, kernel) = geometry.stride, geometry.dilation, geometry.kernel_size
    run = stride // math.gcd(stride, dilation)
    for first in range(0, kernel, run):
        yield slice(first, min(first + run, kernel))


def _zip(geometry: Geometry) -> Iterator[tuple[int, int, int]]:
    return zip(geometry.dilation, geometry.kernel_size, geometry.padding, strict=True)


def _flipped(w: Array, groups: int) -> Array:
    """The weight with which the input gradient of a stride-1 convolution is a convolution itself."""
    o, c, kh, kw = w.shape
    grouped = w.reshape(groups, o // groups, c, kh, kw)[..., ::-1, ::-1]
    return grouped.transpose(0, 2, 1, 3, 4).reshape(groups * c, o // groups, kh, kw)


def _reversed(geometry: Geometry) -> Geometry:
    """The geometry of that convolution: from the output back to the input."""
    p, q = (d * (k - 1) - p for d, k, p in _zip(geometry))
    return Geometry(
        geometry.output_size,
        geometry.kernel_size,
        geometry.input_size,
        (1, 1),
        (p, q),
        geometry.dilation,
        geometry.groups,
    )


def _groups(c: int, o: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The input and output channels of each group."""
    for i in range(groups):
        yield slice(i * c // groups, (i + 1) * c // groups), slice(i * o // groups, (i + 1) * o // groups)


def _padded(x: Array, geometry: Geometry) -> Array:
    """x (N, C, H, W) as (N, H, W, C) with zeros around it, so that windows are contiguous runs of channels."""
    xp, (ph, pw), (h, w) = namespace(x), geometry.padding, geometry.input_size
    nhwc = x.transpose(0, 2, 3, 1)
    if geometry.padded_size == (h, w):
        return xp.ascontiguousarray(nhwc)
    padded = xp.zeros((x.shape[0], *geometry.padded_size, x.shape[1]), dtype=x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = nhwc
    return padded


def _windows(padded: Array, geometry: Geometry) -> Array:
    """A view (N, OH, OW, KH, KW, C) of an image (N, H, W, C): the window of every output position."""
    n, h, w, c = padded.strides
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    return namespace(padded).lib.stride_tricks.as_strided(
        padded,
        shape=(padded.shape[0], *geometry.output_size, *geometry.kernel_size, padded.shape[3]),
        strides=(n, sh * h, sw * w, dh * h, dw * w, c),
    )


def _blocks(xp: Any, windows: Array) -> Iterator[tuple[slice, slice]]:
    """Slices of samples and of output rows whose columns fit into one block."""
    n, height = windows.shape[:2]
    row = windows[0, 0].size * windows.itemsize if n and height else 1
    rows = max(1, block_bytes(xp) // max(1, row))
    samples = max(1, rows // max(1, height))
    for first in range(0, n, samples):
        for top in range(0, height, rows):
            yield slice(first, min(first + samples, n)), slice(top, min(top + rows, height))


def _columns(windows: Array) -> Array:
    """The windows of one block as rows of a matrix."""
    return windows.reshape(math.prod(windows.shape[:3]), math.prod(windows.shape[3:]))


def _rows(block: Array) -> Array:
    """A stack of vectors as one matrix."""
    return block.reshape(math.prod(block.shape[:-1]), block.shape[-1])
