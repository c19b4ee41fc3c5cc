"""Chapter 8, first part. Convolutional layers, upwards and downwards.

Images are (b, c, h, w), kernels (c_out, c_in, h, w).  Convolution here is cross-correlation: no kernel is flipped.
Activations, pooling and the adversarial pair stand in ``convolution_networks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import EXACT, LIN, Check, Claim, holds, same
from tinygen.lectures.numerics import correlate2d
from tinygen.testing.strategies import normals, sizes

Array = np.ndarray


class Layer(NamedTuple):
    """Images, a kernel, a bias (c_out,), a stride and a padding."""

    x: Array
    kernel: Array
    bias: Array
    stride: int
    padding: int


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Batches and channels 1 to 3, sides 4 to 8, kernels 1 to 4, strides 1 to 3, paddings 0 to 2."""
    b, c, o, kernel = draw(sizes(1, 2)), draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 4))
    images = draw(normals((b, c, draw(sizes(4, 8)), draw(sizes(4, 8)))))
    weights = (draw(normals((o, c, kernel, kernel))), draw(normals(o)))
    return Layer(images, *weights, draw(sizes(1, 3)), draw(st.integers(0, 2)))


# --- CNN-1 -------------------------------------------------------------------------------------------------------

CNN_1 = Claim(
    "CNN-1",
    "Bottom-up layer",
    r"h^l_{ij}=\mathrm{rect}\big(\textstyle\sum_{\Delta i,\Delta j}w^l_{\Delta i,\Delta j}\,"
    r"h^{l-1}_{i+\Delta i,j+\Delta j}+b^l\big)",
    sources="003",
)


def rectified_layer(x: tg.Tensor, kernel: tg.Tensor, bias: tg.Tensor, stride: int = 1, padding: int = 0) -> tg.Tensor:
    """rect(Σ w h + b)."""
    return tg.relu(tg.conv2d(x, kernel, bias, stride=stride, padding=padding))


@CNN_1.part(given=layers())
def position_by_position(given: Layer, *, layer: Any = rectified_layer) -> Iterator[Check]:
    """The layer equals a sum of products at each position, also in one dimension and for 1 × 1 kernels."""
    x, kernel, bias = map(tg.tensor, given[:3])
    sums = correlate2d(given.x, given.kernel, given.stride, given.padding) + given.bias[:, None, None]
    yield same("2-D", layer(x, kernel, bias, given.stride, given.padding), np.maximum(sums, 0.0))
    row, row_kernel = given.x[:, :, :1], given.kernel[:, :, :1]
    sums = correlate2d(row, row_kernel, given.stride) + given.bias[:, None, None]
    line = tg.conv1d(tg.tensor(row[:, :, 0]), tg.tensor(row_kernel[:, :, 0]), bias, stride=given.stride)
    yield same("1-D", tg.relu(line), np.maximum(sums[:, :, 0], 0.0))
    matrix = given.kernel[:, :, 0, 0]
    pixels = np.maximum(np.einsum("oc,bcij->boij", matrix, given.x) + given.bias[:, None, None], 0.0)
    yield same("1 × 1 = a matrix a pixel", layer(x, tg.tensor(matrix[:, :, None, None]), bias), pixels)


@position_by_position.erratum(
    "E-37", "rect is applied to the sum, not added to it", printed=r"h^l_{ij}=\sum w\,h^{l-1}+b^l+\mathrm{rectify}"
)
def added_rectifier(x: tg.Tensor, kernel: tg.Tensor, bias: tg.Tensor, stride: int = 1, padding: int = 0) -> tg.Tensor:
    sums = tg.conv2d(x, kernel, bias, stride=stride, padding=padding)
    return sums + tg.relu(sums)


@position_by_position.falsification("flipped kernel (the convolution of signal processing)")
def flipped_kernel(x: tg.Tensor, kernel: tg.Tensor, bias: tg.Tensor, stride: int = 1, padding: int = 0) -> tg.Tensor:
    return rectified_layer(x, tg.flip(kernel, (2, 3)), bias, stride, padding)


def circular_layer(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    """rect of the correlation on a torus: as large as x."""
    after = kernel.shape[2] - 1
    return rectified_layer(tg.pad(x, ((0, 0), (0, 0), (0, after), (0, after)), "wrap"), kernel, tg.zeros(len(kernel)))


@CNN_1.part(given=layers(), down=st.integers(-3, 3), right=st.integers(-3, 3))
def translation(given: Layer, down: int, right: int, *, layer: Any = circular_layer) -> Iterator[Check]:
    """With circular padding a shifted image gives the shifted map."""
    kernel = tg.tensor(given.kernel)
    shifted = layer(tg.tensor(np.roll(given.x, (down, right), (2, 3))), kernel).numpy()
    yield same("equivariant", shifted, np.roll(layer(tg.tensor(given.x), kernel).numpy(), (down, right), (2, 3)))


@translation.falsification("zeros around the image")
def zero_padded(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    after = kernel.shape[2] - 1
    padded = tg.pad(x, ((0, 0), (0, 0), (0, after), (0, after)))
    return rectified_layer(padded, kernel, tg.zeros(len(kernel)))


def output_size(n: int, kernel: int, stride: int, padding: int) -> int:
    """⌊(n + 2p − k) / s⌋ + 1."""
    return (n + 2 * padding - kernel) // stride + 1


@CNN_1.part(given=layers())
def sizes_of_maps(given: Layer, *, size: Any = output_size) -> Iterator[Check]:
    """The formula for the side of a map equals the shape that comes out, and a count of where the kernel fits."""
    kernel, stride, padding = given.kernel.shape[2], given.stride, given.padding
    y = tg.conv2d(tg.tensor(given.x), tg.tensor(given.kernel), stride=stride, padding=padding)
    for axis in (2, 3):
        n = given.x.shape[axis]
        fits = sum(start + kernel <= n + 2 * padding for start in range(0, n + 2 * padding, stride))
        yield same("shape", y.shape[axis], size(n, kernel, stride, padding), EXACT)
        yield same("count", fits, size(n, kernel, stride, padding), EXACT)


@sizes_of_maps.falsification("padded on one side only")
def padded_once(n: int, kernel: int, stride: int, padding: int) -> int:
    return (n + padding - kernel) // stride + 1


@sizes_of_maps.falsification("rounded up")
def rounded_up(n: int, kernel: int, stride: int, padding: int) -> int:
    return -((kernel - n - 2 * padding) // stride) + 1


# --- CNN-2 -------------------------------------------------------------------------------------------------------

CNN_2 = Claim(
    "CNN-2",
    "Thought vectors: what a unit sees",
    r"R_l=R_{l-1}+(k_l-1)\prod_{j<l}s_j,\quad R_0=1",
    sources="003",
    assumptions=r"\text{positive weights, so that no path cancels}",
)
Stack = list[tuple[int, int]]  # (kernel, stride) of each layer


def receptive_field(stack: Stack) -> int:
    """How many inputs a unit of the last layer sees, along one axis."""
    seen, jump = 1, 1
    for kernel, stride in stack:
        seen, jump = seen + (kernel - 1) * jump, jump * stride
    return seen


@CNN_2.part(stack=st.lists(st.tuples(sizes(1, 4), sizes(1, 3)), min_size=1, max_size=4))
def support_of_the_gradient(stack: Stack, *, field: Any = receptive_field) -> Iterator[Check]:
    """The receptive field equals the span of inputs at which the gradient of the first unit is not 0."""
    needed = 1
    for kernel, stride in reversed(stack):
        needed = (needed - 1) * stride + kernel
    x = tg.ones((1, 1, needed + 3), requires_grad=True)
    h = x
    for kernel, stride in stack:
        h = tg.relu(tg.conv1d(h, tg.ones((1, 1, kernel)) / kernel, stride=stride))
    (slope,) = tg.grad(h[0, 0, 0], x)
    seen = np.flatnonzero(slope.numpy()[0, 0])
    yield same("last − first + 1", seen[-1] - seen[0] + 1, field(stack), EXACT)


@support_of_the_gradient.falsification("product over j ≤ l: the layer's own stride too")
def own_stride(stack: Stack) -> int:
    seen, jump = 1, 1
    for kernel, stride in stack:
        jump *= stride
        seen += (kernel - 1) * jump
    return seen


@support_of_the_gradient.falsification("strides forgotten")
def without_strides(stack: Stack) -> int:
    return receptive_field([(kernel, 1) for kernel, _ in stack])


# --- CNN-3 -------------------------------------------------------------------------------------------------------

CNN_3 = Claim(
    "CNN-3",
    "Discriminator as an image classifier",
    r"D(x)=\sigma\big(v^\top\mathrm{vec}\,h^L(x)+a\big)\in(0,1)^{b\times1},\quad h^l\text{ as in CNN-1}",
    sources="003",
)


class Classifier(NamedTuple):
    """Images (b, 1, 8, 8) and the weights of a network 8 × 8 → 4 × 4 → 2 × 2 → one logit."""

    x: Array
    first: Array  # (2, 1, 3, 3)
    second: Array  # (3, 2, 3, 3)
    last: Array  # (1, 12)


@st.composite
def classifiers(draw: st.DrawFn) -> Classifier:
    shapes = ((draw(sizes(1, 3)), 1, 8, 8), (2, 1, 3, 3), (3, 2, 3, 3), (1, 12))
    return Classifier(*(draw(normals(shape, 0.5)) for shape in shapes))


def logit_of(x: tg.Tensor, first: tg.Tensor, second: tg.Tensor, last: tg.Tensor) -> tg.Tensor:
    """Two strided layers and a linear one: logits (b, 1)."""
    h = tg.leaky_relu(tg.conv2d(x, first, stride=2, padding=1), 0.2)
    h = tg.leaky_relu(tg.conv2d(h, second, stride=2, padding=1), 0.2)
    return tg.linear(tg.reshape(h, (x.shape[0], -1)), last)


@CNN_3.part(net=classifiers(), steps=classifiers(), most=30)
def end_to_end(net: Classifier, steps: Classifier, *, classifier: Any = logit_of) -> Iterator[Check]:
    """Values equal plain loops; autodiff in image and weights equals a derivative carried forward through the loops."""
    h, tangent = net.x, np.resize(steps.x, net.x.shape)
    for kernel, step in ((net.first, steps.first), (net.second, steps.second)):
        sums = correlate2d(h, kernel, 2, 1)
        slope = np.where(sums > 0.0, 1.0, 0.2)
        h, tangent = slope * sums, slope * (correlate2d(tangent, kernel, 2, 1) + correlate2d(h, step, 2, 1))
    h, tangent = h.reshape(len(h), 12), tangent.reshape(len(h), 12)
    logit = h @ net.last.T
    forward = ((tangent @ net.last.T + h @ steps.last.T) / (1.0 + np.exp(logit))).sum()
    operands = [tg.tensor(value, requires_grad=True) for value in net]
    scores = classifier(*operands)
    yield same("probability (b, 1)", tg.sigmoid(scores), 1.0 / (1.0 + np.exp(-logit)))
    slopes = tg.grad(tg.sum(tg.log_sigmoid(scores)), operands)
    directions = (np.resize(steps.x, net.x.shape), *steps[1:])
    along = sum(float((slope.numpy() * step).sum()) for slope, step in zip(slopes, directions, strict=True))
    yield same("Σ ⟨∂ ln D, step⟩", along, forward)


@end_to_end.falsification("no gradient below the second layer")
def cut_below(x: tg.Tensor, first: tg.Tensor, second: tg.Tensor, last: tg.Tensor) -> tg.Tensor:
    h = tg.detach(tg.leaky_relu(tg.conv2d(x, first, stride=2, padding=1), 0.2)) + 0.0 * tg.sum(x) + 0.0 * tg.sum(first)
    h = tg.leaky_relu(tg.conv2d(h, second, stride=2, padding=1), 0.2)
    return tg.linear(tg.reshape(h, (x.shape[0], -1)), last)


# --- CNN-4 -------------------------------------------------------------------------------------------------------

CNN_4 = Claim(
    "CNN-4",
    "Top-down generator",
    r"h^L=z\sim N(0,I),\qquad h^l_{ij}=\mathrm{rect}\big(\textstyle\sum w^l_{\Delta i,\Delta j}\,"
    r"\mathrm{up}(h^{l+1})_{i+\Delta i,j+\Delta j}+b^l\big),\ l<L",
    sources="003",
)


def enlarging_layer(h: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    """LeakyReLU of a "same" convolution of the map enlarged by 2."""
    return tg.leaky_relu(tg.conv2d(tg.interpolate(h, 2), kernel, padding=1), 0.2)


def merged_kernel(kernel: Array) -> Array:
    """(c_in, c_out, 4, 4): the flipped 3 × 3 kernel spread by a 2 × 2 block of ones."""
    flipped = kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
    merged = np.zeros((*flipped.shape[:2], 4, 4))
    for i, j in np.ndindex(2, 2):
        merged[:, :, i : i + 3, j : j + 3] += flipped
    return merged


@CNN_4.part(z=normals((2, 3, 2, 2)), kernel=normals((3, 3, 3, 3)))
def two_ways_up(z: Array, kernel: Array, *, layer: Any = enlarging_layer) -> Iterator[Check]:
    """Nearest upsampling and a 3 × 3 convolution equal a strided transposed convolution with a merged 4 × 4 kernel."""
    once = layer(tg.tensor(z), tg.tensor(kernel))
    yield holds("the resolution doubles", once.shape[2:] == (4, 4), f"(2, 2) became {once.shape[2:]}")
    merged = tg.tensor(merged_kernel(kernel))
    yield same("transposed", once, tg.leaky_relu(tg.conv_transpose2d(tg.tensor(z), merged, stride=2, padding=1), 0.2))
    twice = layer(once, tg.tensor(kernel))
    yield same("two layers", twice, tg.leaky_relu(tg.conv_transpose2d(once, merged, stride=2, padding=1), 0.2), LIN)


@two_ways_up.erratum(
    "E-38",
    "every layer is called the top one, and none of them changes the resolution",
    printed=r"h^L_{ij}=\mathrm{rect}\big(\sum w^l_{\Delta i,\Delta j}h^{l+1}_{i+\Delta i,j+\Delta j}+b^l\big)",
)
def never_enlarged(h: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    return tg.leaky_relu(tg.conv2d(h, kernel, padding=1), 0.2)


@two_ways_up.falsification("bilinear upsampling")
def bilinear(h: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    return tg.leaky_relu(tg.conv2d(tg.interpolate(h, 2, "bilinear"), kernel, padding=1), 0.2)


def summed_blocks(slope: Array) -> Array:
    """The pullback of nearest upsampling: sums over 2 × 2 blocks."""
    b, c, h, w = slope.shape
    return np.asarray(slope.reshape(b, c, h // 2, 2, w // 2, 2).sum(axis=(3, 5)))


@CNN_4.part(z=normals((1, 2, 2, 2)), kernel=normals((2, 2, 3, 3)), cotangent=normals((1, 2, 4, 4)))
def down_again(z: Array, kernel: Array, cotangent: Array, *, blocks: Any = summed_blocks) -> Iterator[Check]:
    """Autodiff in z and w of a linear layer equals correlations of cotangent, flipped kernel and enlarged map."""
    h, w = tg.tensor(z, requires_grad=True), tg.tensor(kernel, requires_grad=True)
    in_z, in_w = tg.grad(tg.conv2d(tg.interpolate(h, 2), w, padding=1), (h, w), tg.tensor(cotangent))
    flipped = kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
    yield same("∂z", in_z, blocks(correlate2d(cotangent, flipped, padding=1)))
    enlarged = np.kron(z, np.ones((2, 2)))
    yield same("∂w", in_w, correlate2d(enlarged.swapaxes(0, 1), cotangent.swapaxes(0, 1), padding=1).swapaxes(0, 1))


@down_again.falsification("blocks averaged instead of summed")
def averaged_blocks(slope: Array) -> Array:
    return summed_blocks(slope) / 4.0


# --- CNN-5 -------------------------------------------------------------------------------------------------------

CNN_5 = Claim(
    "CNN-5",
    "Convolution and its adjoint",
    r"\langle\mathrm{conv}_k(x),y\rangle=\langle x,\mathrm{convT}_k(y)\rangle=\langle k,\mathrm{corr}(x,y)\rangle",
    sources="003",
)


def adjoint(y: tg.Tensor, kernel: tg.Tensor, x: tg.Tensor, stride: int, padding: int) -> tg.Tensor:
    """convT_k(y), as large as x: the output padding is what the division by the stride left over."""
    size = kernel.shape[2]
    left_over = tuple((n + 2 * padding - size) % stride for n in x.shape[2:])
    return tg.conv_transpose2d(y, kernel, stride=stride, padding=padding, output_padding=left_over)


@CNN_5.part(given=layers(), seed=st.integers(0, 2**32 - 1))
def three_products(given: Layer, seed: int, *, transposed: Any = adjoint) -> Iterator[Check]:
    """⟨conv(x), y⟩ by loops equals ⟨x, convT(y)⟩ and ⟨k, corr(x, y)⟩, for every stride and padding."""
    x, kernel, (stride, padding) = tg.tensor(given.x), tg.tensor(given.kernel), given[3:]
    forward = correlate2d(given.x, given.kernel, stride, padding)
    y = np.random.default_rng(seed).standard_normal(forward.shape)
    product = (forward * y).sum()
    back = transposed(tg.tensor(y), kernel, x, stride, padding)
    yield same("⟨x, convT(y)⟩", tg.sum(x * back), product, LIN)
    padded = np.pad(given.x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    correlation = np.zeros(given.kernel.shape)
    size = kernel.shape[2]
    for i, j in np.ndindex(y.shape[2:]):
        window = padded[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
        correlation += np.einsum("bo,bcuv->ocuv", y[:, :, i, j], window)
    yield same("⟨k, corr(x, y)⟩", (given.kernel * correlation).sum(), product, LIN)
    free = [tg.tensor(value, requires_grad=True) for value in given[:2]]
    slopes = tg.grad(tg.conv2d(*free, stride=stride, padding=padding), free, tg.tensor(y))
    yield same("backward in x = convT", slopes[0], back)
    yield same("backward in k = corr", slopes[1], correlation)


@three_products.falsification("without output padding, filled up with zeros")
def filled_with_zeros(y: tg.Tensor, kernel: tg.Tensor, x: tg.Tensor, stride: int, padding: int) -> tg.Tensor:
    back = tg.conv_transpose2d(y, kernel, stride=stride, padding=padding)
    return tg.pad(back, ((0, 0), (0, 0), *((0, n - m) for n, m in zip(x.shape[2:], back.shape[2:], strict=True))))


@three_products.falsification("flipped kernel")
def flipped_adjoint(y: tg.Tensor, kernel: tg.Tensor, x: tg.Tensor, stride: int, padding: int) -> tg.Tensor:
    return adjoint(y, tg.flip(kernel, (2, 3)), x, stride, padding)


def transposed_backward(cotangent: Array, kernel: Array, stride: int) -> Array:
    """∂y of convT: the convolution itself."""
    return correlate2d(cotangent, kernel, stride)


@CNN_5.part(given=layers(), seed=st.integers(0, 2**32 - 1))
def and_vice_versa(given: Layer, seed: int, *, backward: Any = transposed_backward) -> Iterator[Check]:
    """The backward pass of a transposed convolution is the convolution, in two dimensions and in one."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((1, len(given.kernel), 3, 3))
    for name, conv, kernel, value in (
        ("2-D", tg.conv_transpose2d, given.kernel, y),
        ("1-D", tg.conv_transpose1d, given.kernel[:, :, 0], y[:, :, 0]),
    ):
        low = tg.tensor(value, requires_grad=True)
        high = conv(low, tg.tensor(kernel), stride=given.stride)
        cotangent = rng.standard_normal(high.shape)
        (slope,) = tg.grad(high, low, tg.tensor(cotangent))
        planes = (cotangent, kernel) if name == "2-D" else (cotangent[:, :, None], kernel[:, :, None])
        yield same(name, slope, np.reshape(backward(*planes, given.stride), value.shape))


@and_vice_versa.falsification("flipped kernel")
def flipped_backward(cotangent: Array, kernel: Array, stride: int) -> Array:
    return correlate2d(cotangent, kernel[:, :, ::-1, ::-1], stride)
