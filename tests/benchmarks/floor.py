"""The floor: what each case costs in NumPy when forward and gradient are written by hand, with no engine around.

Everything is float32.  ``…_gradient`` functions take a cotangent and return (value, gradient …).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray
Pair = tuple[int, int]
BLOCK = 1 << 20  # bytes of convolution columns at a time


class Adam:
    """All parameters are views of one flat array, updated in place."""

    def __init__(self, parameters: Sequence[Array], lr: float, betas: tuple[float, float]) -> None:
        self.lr, self.betas, self.count = lr, betas, 0
        self.flat = np.concatenate([p.ravel() for p in parameters])
        ends = np.cumsum([p.size for p in parameters])
        self.parameters = [self.flat[e - p.size : e].reshape(p.shape) for e, p in zip(ends, parameters, strict=True)]
        self.mean, self.square, self.gradient, self.buffer = (np.zeros_like(self.flat) for _ in range(4))

    def step(self, gradients: Sequence[Array]) -> None:
        """One update."""
        (beta1, beta2), gradient, buffer = self.betas, self.gradient, self.buffer
        self.count += 1
        np.concatenate([g.ravel() for g in gradients], out=gradient)
        self.mean *= beta1
        self.mean += np.multiply(gradient, 1 - beta1, out=buffer)
        self.square *= beta2
        gradient *= gradient
        gradient *= 1 - beta2
        self.square += gradient
        np.sqrt(self.square, out=buffer)
        buffer /= (1 - beta2**self.count) ** 0.5
        buffer += 1e-8
        np.divide(self.mean, buffer, out=buffer)
        buffer *= self.lr / (1 - beta1**self.count)
        self.flat -= buffer


# --- elementwise and reductions, on (rows, columns) ------------------------------------------------------------------


def exp_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """eˣ."""
    y = np.exp(x)
    return y, g * y


def tanh_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """Hyperbolic tangent."""
    y = np.tanh(x)
    slope = y * y
    np.subtract(1.0, slope, out=slope)
    slope *= g
    return y, slope


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), in place."""
    y = np.negative(x)
    np.exp(y, out=y)
    y += 1.0
    return np.divide(1.0, y, out=y)


def sigmoid_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """The logistic function."""
    y = sigmoid(x)
    slope = 1.0 - y
    slope *= y
    slope *= g
    return y, slope


def softplus(x: Array) -> Array:
    """log(1 + eˣ) to float32's absolute accuracy."""
    y = np.abs(x)
    np.negative(y, out=y)
    np.exp(y, out=y)
    y += 1.0
    np.log(y, out=y)
    y += np.maximum(x, np.zeros_like(x))
    return y


def softplus_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """log(1 + eˣ)."""
    slope = sigmoid(x)
    slope *= g
    return softplus(x), slope


def relu_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """max(x, 0)."""
    return np.maximum(x, np.zeros_like(x)), g * (x > 0)


def leaky_mask(x: Array, slope: float) -> Array:
    """The derivative of the leaky ReLU."""
    mask = (x > 0) * np.float32(1 - slope)
    mask += slope
    return mask


def leaky_relu_gradient(x: Array, g: Array, slope: float = 0.2) -> tuple[Array, Array]:
    """x or slope · x."""
    mask = leaky_mask(x, slope)
    mask *= g
    return np.maximum(x, slope * x), mask


def elu(x: Array) -> tuple[Array, Array]:
    """x or eˣ − 1, and its derivative, from one exponential."""
    zero = np.zeros_like(x)
    slope = np.minimum(x, zero)
    np.exp(slope, out=slope)
    y = np.maximum(x, zero)
    y += slope
    y -= 1.0
    return y, slope


def elu_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """x or eˣ − 1."""
    y, slope = elu(x)
    slope *= g
    return y, slope


def logsumexp_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """log Σ eˣ along rows."""
    highest = x.max(axis=1, keepdims=True)
    weights = x - highest
    np.exp(weights, out=weights)
    total = weights.sum(axis=1, keepdims=True)
    weights *= g[:, None] / total
    return (np.log(total) + highest)[:, 0], weights


def sum_gradient(axis: int) -> object:
    """The sum over one axis of a matrix."""
    return lambda x, g: (x.sum(axis=axis), np.broadcast_to(np.expand_dims(g, axis), x.shape))


def var_gradient(x: Array, g: Array) -> tuple[Array, Array]:
    """The variance along rows."""
    centred = x - x.mean(axis=1, keepdims=True)
    y = np.einsum("ij,ij->i", centred, centred) / x.shape[1]
    centred *= (2.0 / x.shape[1]) * g[:, None]
    return y.astype(np.float32), centred


def cross_entropy_gradient(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Mean of −log softmax(logits) at the labels."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[rows, labels]
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - picked).mean()
    shifted *= np.float32(1 / len(labels)) / total
    shifted[rows, labels] -= np.float32(1 / len(labels))
    return loss, shifted


# --- convolution on (N, C, H, W), by cache-sized blocks of columns in (N, H, W, C) -----------------------------------


def conv(x: Array, w: Array, stride: int, padding: int) -> Array:
    """Convolution of x with w (O, C, K, K)."""
    windows = _windows(_padded(x, padding), w.shape[2], stride)
    out = np.empty((*windows.shape[:3], len(w)), np.float32)
    matrix = w.transpose(2, 3, 1, 0).reshape(-1, len(w))
    for samples, columns in _blocks(windows):
        np.dot(columns, matrix, out=out[samples].reshape(-1, len(w)))
    return out.transpose(0, 3, 1, 2)


def conv_input(g: Array, w: Array, stride: int, padding: int, size: int) -> Array:
    """The gradient in x of conv: a convolution with the flipped weight at stride 1, else products scattered back."""
    kernel = w.shape[2]
    if stride == 1:
        return conv(g, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), 1, kernel - 1 - padding)
    image = np.zeros((len(g), size + 2 * padding, size + 2 * padding, w.shape[1]), np.float32)
    windows, matrix = _windows(image, kernel, stride), w.transpose(0, 2, 3, 1).reshape(len(w), -1)
    rows = np.ascontiguousarray(g.transpose(0, 2, 3, 1))
    count = max(1, BLOCK // windows[0].nbytes)
    for first in range(0, len(g), count):
        block = windows[first : first + count]
        columns = np.dot(rows[first : first + count].reshape(-1, len(w)), matrix).reshape(block.shape)
        for i in range(kernel):
            for j in range(kernel):
                block[:, :, :, i, j] += columns[:, :, :, i, j]
    return image[:, padding : padding + size, padding : padding + size].transpose(0, 3, 1, 2)


def conv_weight(x: Array, g: Array, stride: int, padding: int, kernel: int) -> Array:
    """The gradient in w of conv."""
    windows = _windows(_padded(x, padding), kernel, stride)
    rows = np.ascontiguousarray(g.transpose(0, 2, 3, 1)).reshape(len(g), -1, g.shape[1])
    total = np.zeros((g.shape[1], windows[0, 0, 0].size), np.float32)
    for samples, columns in _blocks(windows):
        total += np.dot(rows[samples].reshape(-1, g.shape[1]).T, columns)
    return total.reshape(-1, *windows.shape[3:]).transpose(0, 3, 1, 2)


def _padded(x: Array, padding: int) -> Array:
    n, c, h, w = x.shape
    image = np.zeros((n, h + 2 * padding, w + 2 * padding, c), np.float32)
    image[:, padding : padding + h, padding : padding + w] = x.transpose(0, 2, 3, 1)
    return image


def _windows(image: Array, kernel: int, stride: int) -> Array:
    n, h, w, c = image.strides
    size = (image.shape[1] - kernel) // stride + 1
    shape = (image.shape[0], size, size, kernel, kernel, image.shape[3])
    return as_strided(image, shape, (n, stride * h, stride * w, h, w, c))


def _blocks(windows: Array) -> Iterator[tuple[slice, Array]]:
    """Slices of samples with their columns, always in the same buffer."""
    count = max(1, BLOCK // windows[0].nbytes)
    buffer = np.empty((count, *windows.shape[1:]), np.float32)
    for first in range(0, len(windows), count):
        block = windows[first : first + count]
        np.copyto(buffer[: len(block)], block)
        yield slice(first, first + len(block)), buffer[: len(block)].reshape(-1, windows[0, 0, 0].size)
