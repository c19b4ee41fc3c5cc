"""Chapter 7, second part. Modulated convolution, images from several resolutions, perceptual measures, noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import EXACT, FD, LIN, Check, Claim, at_least, same
from tinygen.lectures.numerics import central_difference, correlate2d
from tinygen.lectures.style import feature_maps
from tinygen.testing.strategies import arrays, floats, normals, sizes, vectors

Array = np.ndarray


def up(image: Array) -> Array:
    """Each pixel four times: nearest upsampling by 2."""
    return np.kron(image, np.ones((2, 2)))


# --- STY-6 -------------------------------------------------------------------------------------------------------

STY_6 = Claim(
    "STY-6",
    "Modulated convolution",
    r"k'=k\odot s,\ k\in\mathbb R^{C_{out}\times C_{in}\times h\times w},\ s\in\mathbb R^{1\times C_{in}\times1\times1}"
    r"\text{, one kernel a sample}",
    sources="000",
)


class Modulated(NamedTuple):
    """Images (b, C, h, w), a kernel (O, C, 3, 3) and styles (b, C)."""

    x: Array
    kernel: Array
    style: Array


@st.composite
def modulated(draw: st.DrawFn) -> Modulated:
    b, c, o, n = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(3, 5))
    return Modulated(draw(normals((b, c, n, n))), draw(normals((o, c, 3, 3))), draw(arrays((b, c), -2.0, 2.0)))


def modulated_conv(x: tg.Tensor, kernel: tg.Tensor, style: tg.Tensor) -> tg.Tensor:
    """One kernel k ⊙ s for each sample, all in one convolution with a group for each sample."""
    (b, c, h, w), o = x.shape, kernel.shape[0]
    kernels = tg.reshape(kernel * style[:, None, :, None, None], (b * o, c, *kernel.shape[2:]))
    y = tg.conv2d(tg.reshape(x, (1, b * c, h, w)), kernels, padding=1, groups=b)
    return tg.reshape(y, (b, o, *y.shape[2:]))


@STY_6.part(given=modulated())
def weights_or_channels(given: Modulated, *, convolution: Any = modulated_conv) -> Iterator[Check]:
    """Modulated weights equal scaled input channels, position by position; s = 1 changes nothing."""
    x, kernel, style = map(tg.tensor, given)
    scaled = given.x * given.style[:, :, None, None]
    one_by_one = np.concatenate([correlate2d(sample[None], given.kernel, padding=1) for sample in scaled])
    yield same("scaled channels", convolution(x, kernel, style), one_by_one)
    plain = correlate2d(given.x, given.kernel, padding=1)
    yield same("s = 1", convolution(x, kernel, tg.ones_like(style)), plain)


@weights_or_channels.falsification("one style for the whole batch")
def first_style(x: tg.Tensor, kernel: tg.Tensor, style: tg.Tensor) -> tg.Tensor:
    return modulated_conv(x, kernel, tg.broadcast_to(style[:1], style.shape))


def modulation_gradients(given: Modulated, by_sample: Array) -> tuple[Array, Array]:
    """From the gradients of the samples' kernels (b, O, C, 3, 3): ∂k = Σ_b s_b ⊙ …, ∂s_b = Σ_o,h,w k ⊙ …."""
    return (by_sample * given.style[:, None, :, None, None]).sum(axis=0), (by_sample * given.kernel).sum(axis=(1, 3, 4))


@STY_6.part(given=modulated(), cotangents=normals((3, 3, 5, 5)), most=50)
def modulation_backward(
    given: Modulated, cotangents: Array, *, gradients: Any = modulation_gradients
) -> Iterator[Check]:
    """Autodiff of kernel and styles equals the hand-derived sums of correlations of images and cotangents."""
    x, (kernel, style) = tg.tensor(given.x), (tg.tensor(a, requires_grad=True) for a in given[1:])
    b, _, n, _ = given.x.shape
    g = cotangents[:b, : len(given.kernel), :n, :n]
    pairs = zip(given.x, g, strict=True)
    by_sample = [correlate2d(image[:, None], c[:, None], padding=1).swapaxes(0, 1) for image, c in pairs]
    slopes = tg.grad(modulated_conv(x, kernel, style), (kernel, style), tg.tensor(g))
    for name, slope, expected in zip("ks", slopes, gradients(given, np.stack(by_sample)), strict=True):
        yield same(f"∂{name}", slope, expected)


@modulation_backward.falsification("gradient of the kernel without the style")
def without_style(given: Modulated, by_sample: Array) -> tuple[Array, Array]:
    return by_sample.sum(axis=0), modulation_gradients(given, by_sample)[1]


# --- STY-7 -------------------------------------------------------------------------------------------------------

STY_7 = Claim(
    "STY-7",
    "Demodulation",
    r"k''=k'/\sigma,\qquad\sigma_o=\sqrt{\textstyle\sum_{i,h,w}k'^2_{o,i,h,w}+\epsilon}\quad\text{per output channel}",
    sources="000",
    assumptions=r"inputs uncorrelated, mean 0, variance 1; unit variance holds away from zero-padded borders",
)


def channel_deviation(kernel: tg.Tensor, eps: float = 0.0) -> tg.Tensor:
    """σ (O, 1, 1, 1): the root of the sum of squares that reaches an output channel."""
    return tg.sqrt(tg.sum(kernel**2, axis=(1, 2, 3), keepdims=True) + eps)


@STY_7.part(given=modulated(), factor=floats(0.1, 10.0))
def unit_kernels(given: Modulated, factor: float, *, deviation: Any = channel_deviation) -> Iterator[Check]:
    """Demodulated kernels have unit sums of squares, do not feel the style's length, and are 0, not NaN, for s = 0."""
    x, kernel = tg.tensor(given.x), tg.tensor(given.kernel)
    style = tg.tensor(np.abs(given.style[:1, :, None, None]) + 0.1)
    modulated = kernel * style
    unit = modulated / deviation(modulated)
    squares = [float((k**2).sum()) for k in unit.numpy()]
    yield same("Σ k''² = 1", np.array(squares), np.ones(len(squares)))
    yield same("s → c s", kernel * (factor * style) / deviation(kernel * (factor * style)), unit)
    deviations = np.sqrt([(k**2).sum() for k in modulated.numpy()])
    scaled_output = correlate2d(given.x, modulated.numpy(), padding=1) / deviations[:, None, None]
    yield same("kernel or output", tg.conv2d(x, unit, padding=1), scaled_output)
    yield same("s = 0", (kernel * 0.0) / deviation(kernel * 0.0, 1e-8), np.zeros(kernel.shape), EXACT)


@unit_kernels.erratum(
    "E-34",
    "the statistic belongs to output channels: dimension 0 is kept, not reduced",
    printed=r"\sigma=\sigma_{\mathrm{dim}=0}(k')",
)
def over_dimension_0(kernel: tg.Tensor, eps: float = 0.0) -> tg.Tensor:
    return tg.sqrt(tg.var(kernel, axis=0, keepdims=True) + eps)


@unit_kernels.falsification("centred standard deviation")
def centred_deviation(kernel: tg.Tensor, eps: float = 0.0) -> tg.Tensor:
    return tg.sqrt(tg.var(kernel, axis=(1, 2, 3), keepdims=True) + eps)


@STY_7.part(given=modulated(), most=10)
def unit_variance(given: Modulated, *, deviation: Any = channel_deviation) -> Iterator[Check]:
    """The variance of an output, the squared length of its Jacobian row, is 1 inside, less at a padded corner."""
    _, c, n, _ = given.x.shape
    kernel = tg.tensor(given.kernel) / deviation(tg.tensor(given.kernel))
    jacobian = tg.jacobian(lambda x: tg.conv2d(x, kernel, padding=1)[0], tg.zeros((1, c, n, n))).numpy()
    variance = (jacobian**2).reshape(*jacobian.shape[:3], -1).sum(axis=-1)
    squares = given.kernel**2 / (given.kernel**2).sum(axis=(1, 2, 3), keepdims=True)
    yield same("inside", variance[:, 1:-1, 1:-1], 1.0)
    yield same("corner", variance[:, 0, 0], squares[:, :, 1:, 1:].sum(axis=(1, 2, 3)))


@unit_variance.falsification("root of the mean square")
def mean_square(kernel: tg.Tensor) -> tg.Tensor:
    return tg.sqrt(tg.mean(kernel**2, axis=(1, 2, 3), keepdims=True))


# --- STY-8 -------------------------------------------------------------------------------------------------------

STY_8 = Claim(
    "STY-8",
    "toRGB, progressive growing and skips",
    r"\mathrm{rgb}=(1-\alpha)\,\mathrm{up}(\mathrm{rgb}_{low})+\alpha\,\mathrm{rgb}_{new};\qquad"
    r"\mathrm{rgb}_l=\mathrm{up}(\mathrm{rgb}_{l-1})+\mathrm{toRGB}_l(h_l)",
    sources="000",
)


def blended(alpha: float, low: tg.Tensor, new: tg.Tensor) -> tg.Tensor:
    """Progressive growing: from the upsampled old image to the new head."""
    return (1.0 - alpha) * tg.interpolate(low, 2) + alpha * new


@STY_8.part(alpha=floats(0.0, 1.0), low=normals((2, 3, 2, 3)), new=normals((2, 3, 4, 6)))
def progressive(alpha: float, low: Array, new: Array, *, blend: Any = blended) -> Iterator[Check]:
    """α = 0 is the upsampled old image, α = 1 the new head alone, and between them lies the straight line."""
    old, head = tg.tensor(low), tg.tensor(new)
    yield same("α = 0", blend(0.0, old, head), up(low), EXACT)
    yield same("α = 1", blend(1.0, old, head), new, EXACT)
    yield same("between", blend(alpha, old, head), up(low) + alpha * (new - up(low)))


@progressive.falsification("α and 1 − α exchanged")
def alpha_exchanged(alpha: float, low: tg.Tensor, new: tg.Tensor) -> tg.Tensor:
    return blended(1.0 - alpha, low, new)


def summed_skips(heads: list[tg.Tensor]) -> tg.Tensor:
    """rgb ← up(rgb) + head, from the lowest resolution to the highest."""
    image = heads[0]
    for head in heads[1:]:
        image = tg.interpolate(image, 2) + head
    return image


@STY_8.part(levels=sizes(1, 3), images=normals((3, 3, 8, 8)))
def skips(levels: int, images: Array, *, combine: Any = summed_skips) -> Iterator[Check]:
    """The image is the sum of all heads, each enlarged to the last resolution; a new head of zeros changes nothing."""
    heads = [images[level][:, : 2 << level, : 2 << level][None] for level in range(levels)]
    size = 2 << (levels - 1)
    enlarged = [head.repeat(size // head.shape[2], axis=2).repeat(size // head.shape[3], axis=3) for head in heads]
    tensors = [tg.tensor(head) for head in heads]
    yield same("Σ enlarged heads", combine(tensors), sum(enlarged))
    yield same("zero head", combine([*tensors, tg.zeros((1, 3, 2 * size, 2 * size))]), up(sum(enlarged)))


@skips.erratum(
    "E-35",
    "only the last head kept, as the strokes suggest: true of finished progressive growing, not of skips",
    printed=r"\text{toRGB }16{\times}16\text{ struck out, }1024{\times}1024\text{ ticked}",
)
def last_head(heads: list[tg.Tensor]) -> tg.Tensor:
    return heads[-1]


def to_rgb(h: tg.Tensor, weight: tg.Tensor) -> tg.Tensor:
    """A 1 × 1 convolution (3, c, 1, 1)."""
    return tg.conv2d(h, weight)


@STY_8.part(h=feature_maps(), weight=normals((3, 3)))
def linear_in_each_pixel(h: Array, weight: Array, *, head: Any = to_rgb) -> Iterator[Check]:
    """toRGB is one and the same matrix at every pixel."""
    matrix = weight[:, : h.shape[1]]
    image = head(tg.tensor(h), tg.tensor(matrix[:, :, None, None]))
    pixels = [[[matrix @ h[b, :, i, j] for j in range(h.shape[3])] for i in range(h.shape[2])] for b in range(len(h))]
    yield same("pixel by pixel", image, np.moveaxis(np.array(pixels), 3, 1))


@linear_in_each_pixel.falsification("with a ReLU behind")
def rectified_head(h: tg.Tensor, weight: tg.Tensor) -> tg.Tensor:
    return tg.relu(to_rgb(h, weight))


# --- STY-9 -------------------------------------------------------------------------------------------------------

STY_9 = Claim(
    "STY-9",
    "Perceptual distance (the idea of LPIPS)",
    r"d(I_1,I_2)=\sum_l\tfrac1{H_lW_l}\sum_{h,w}\|w_l\odot(\hat h^l_1-\hat h^l_2)\|_2^2,\quad\hat h=h/\|h\|_2",
    sources="000",
    assumptions=r"a fixed feature network (random here): no claim about human judgement",
)


def unit_features(h: tg.Tensor) -> tg.Tensor:
    """h / ‖h‖ at each position; 0 stays 0."""
    length = tg.linalg.norm(h, axis=1, keepdims=True)
    return h / tg.where(length > 0.0, length, 1.0)


def perceptual_distance(first: list[tg.Tensor], second: list[tg.Tensor], weights: list[tg.Tensor]) -> tg.Tensor:
    """d of feature maps (b, c, h, w), layer by layer: (b,)."""
    total = tg.zeros(first[0].shape[0])
    for h1, h2, weight in zip(first, second, weights, strict=True):
        gap = tg.reshape(weight, (1, -1, 1, 1)) * (unit_features(h1) - unit_features(h2))
        total = total + tg.mean(tg.sum(gap**2, axis=1), axis=(1, 2))
    return total


def unweighted(h1: tg.Tensor, h2: tg.Tensor, distance: Any) -> Any:
    return distance([h1], [h2], [tg.ones(h1.shape[1])])


@STY_9.part(first=feature_maps(), others=normals((3, 3, 4, 4)), weight=arrays(3, 0.0, 2.0))
def distance_of_features(
    first: Array, others: Array, weight: Array, *, distance: Any = perceptual_distance
) -> Iterator[Check]:
    """d ≥ 0, d(I, I) = 0, symmetric; zero features are no NaN; and a sum over positions with plain loops."""
    b, c, h, w = first.shape
    second, scales = others[:b, :c, :h, :w], weight[:c]
    h1, h2, wanted = tg.tensor(first), tg.tensor(second), tg.tensor(scales)
    d = distance([h1, h2], [h2, h1], [wanted, wanted])
    by_hand = np.zeros(b)
    for n, i, j in np.ndindex(b, h, w):
        gap = first[n, :, i, j] / math.hypot(*first[n, :, i, j]) - second[n, :, i, j] / math.hypot(*second[n, :, i, j])
        by_hand[n] += 2.0 * ((scales * gap) ** 2).sum() / (h * w)  # the second layer is the first exchanged
    yield same("loops", d, by_hand)
    yield at_least("d ≥ 0", d, 0.0, EXACT)
    yield same("symmetric", distance([h1], [h2], [wanted]), distance([h2], [h1], [wanted]))
    yield same("d(I, I) = 0", distance([h1], [h1], [wanted]), np.zeros(b), EXACT)
    yield same("no features", distance([h1 * 0.0], [h1 * 0.0], [wanted]), np.zeros(b), EXACT)


@distance_of_features.falsification("unit vectors weighted after squaring, as if w were w²")
def weighted_squares(first: list[tg.Tensor], second: list[tg.Tensor], weights: list[tg.Tensor]) -> tg.Tensor:
    return perceptual_distance(first, second, [tg.sqrt(weight) for weight in weights])


@STY_9.part(first=feature_maps(), others=normals((3, 3, 4, 4)), brightness=normals((3, 1, 4, 4)))
def cosine(first: Array, others: Array, brightness: Array, *, distance: Any = perceptual_distance) -> Iterator[Check]:
    """One unweighted layer: d = 2 − 2 cos averaged over positions, whatever positive factor a position has."""
    b, c, h, w = first.shape
    second, factor = others[:b, :c, :h, :w], np.exp(brightness[:b, :, :h, :w])
    lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    angles = 2.0 - 2.0 * (first * second).sum(axis=1) / lengths
    yield same("2 − 2 cos", unweighted(tg.tensor(first), tg.tensor(second), distance), angles.mean(axis=(1, 2)))
    bright = unweighted(tg.tensor(first * factor), tg.tensor(second), distance)
    yield same("rescaled features", bright, angles.mean(axis=(1, 2)))


@cosine.erratum(
    "E-36", "LPIPS names the distance, not the feature map", printed=r"h_i=\mathrm{LPIPS}(I_i),\quad d=|h_1-h_2|"
)
def plain_difference(first: list[tg.Tensor], second: list[tg.Tensor], weights: list[tg.Tensor]) -> tg.Tensor:
    return tg.sqrt(tg.sum((first[0] - second[0]) ** 2, axis=(1, 2, 3)))


@STY_9.part(image=normals((1, 1, 4, 4)), other=normals((1, 1, 4, 4)), kernel=normals((3, 1, 3, 3)), most=25)
def image_gradient(
    image: Array, other: Array, kernel: Array, *, distance: Any = perceptual_distance
) -> Iterator[Check]:
    """Autodiff of d in the image, through a random convolutional network, equals central differences."""

    def to_other(x: tg.Tensor) -> Any:
        maps = [tg.tanh(tg.conv2d(value, tg.tensor(kernel), padding=1)) for value in (x, tg.tensor(other))]
        return tg.sum(unweighted(maps[0], maps[1], distance))

    x = tg.tensor(image, requires_grad=True)
    (slope,) = tg.grad(to_other(x), x)
    yield same("∂I", slope, central_difference(lambda value: to_other(tg.tensor(value)).numpy(), image), FD)


@image_gradient.falsification("no gradient through the lengths")
def constant_lengths(first: list[tg.Tensor], second: list[tg.Tensor], weights: list[tg.Tensor]) -> tg.Tensor:
    h1, h2 = (h / tg.detach(tg.linalg.norm(h, axis=1, keepdims=True)) for h in (first[0], second[0]))
    return tg.mean(tg.sum((h1 - h2) ** 2, axis=1), axis=(1, 2))


# --- STY-10 ------------------------------------------------------------------------------------------------------

STY_10 = Claim(
    "STY-10",
    "Perceptual path length",
    r"\mathrm{PPL}=\mathbb E\,\tfrac1{\epsilon^2}d\big(G(\gamma(t)),G(\gamma(t+\epsilon))\big);\qquad"
    r"G=A,\ d=\|\cdot\|^2,\ \gamma\text{ linear}:\ \|A(z_2-z_1)\|^2",
    sources="000",
    assumptions=r"d quadratic in small displacements; float64, as \epsilon=10^{-4} loses the digits of float32",
)
Path = Callable[[tg.Tensor, tg.Tensor, float], tg.Tensor]


def straight(first: tg.Tensor, second: tg.Tensor, t: float) -> tg.Tensor:
    """The path in W."""
    return first + t * (second - first)


def spherical(first: tg.Tensor, second: tg.Tensor, t: float) -> tg.Tensor:
    """The path in Z: sin((1−t)Ω)/sin Ω · z₁ + sin(tΩ)/sin Ω · z₂, for rows of one length."""
    apart, together = (tg.linalg.norm(v, axis=-1, keepdims=True) for v in (second - first, second + first))
    angle = 2.0 * tg.arctan(apart / together)  # exact for small angles too, unlike the arc cosine
    divisor = tg.where(angle > 0.0, tg.sin(angle), 1.0)
    weights = (tg.where(angle > 0.0, tg.sin(share * angle) / divisor, share) for share in (1.0 - t, t))
    return sum((weight * end for weight, end in zip(weights, (first, second), strict=True)), tg.zeros_like(first))


def path_length(generator: Any, path: Path, ends: tuple[tg.Tensor, tg.Tensor], t: float, eps: float) -> tg.Tensor:
    """Mean of ‖G(γ(t+ε)) − G(γ(t))‖² / ε² over the rows of the ends (b, d)."""
    gap = generator(path(*ends, t + eps)) - generator(path(*ends, t))
    return tg.mean(tg.sum(gap**2, axis=-1)) / eps**2


class LinearGenerator(NamedTuple):
    """A (m, n) and the ends z₁, z₂ (b, n) of b paths."""

    a: Array
    first: Array
    second: Array


@st.composite
def linear_generators(draw: st.DrawFn) -> LinearGenerator:
    b, m, n = draw(sizes(1, 4)), draw(sizes(1, 4)), draw(sizes(2, 4))
    return LinearGenerator(draw(arrays((m, n), -2.0, 2.0)), draw(normals((b, n))), draw(normals((b, n))))


@STY_10.part(given=linear_generators(), t=floats(0.0, 1.0), eps=st.sampled_from([1e-4, 1e-2]), factor=floats(0.1, 3.0))
def linear_generator(
    given: LinearGenerator, t: float, eps: float, factor: float, *, length: Any = path_length
) -> Iterator[Check]:
    """A linear generator has ‖A(z₂ − z₁)‖² for every t and ε; a constant one has 0; factor c gives c²."""
    a, ends = tg.tensor(given.a), (tg.tensor(given.first), tg.tensor(given.second))
    exact = (((given.second - given.first) @ given.a.T) ** 2).sum(axis=1).mean()
    yield same("linear", length(lambda z: tg.linear(z, a), straight, ends, t, eps), exact, LIN)
    yield same("c G", length(lambda z: factor * tg.linear(z, a), straight, ends, t, eps), factor**2 * exact, LIN)
    yield same("constant", length(lambda z: 0.0 * z + 1.0, straight, ends, t, eps), 0.0, EXACT)


@linear_generator.falsification("divided by ε instead of ε²")
def one_epsilon(generator: Any, path: Path, ends: tuple[tg.Tensor, tg.Tensor], t: float, eps: float) -> tg.Tensor:
    return path_length(generator, path, ends, t, eps) * eps


def expected_length(a: Array) -> float:
    """E‖A(z₂ − z₁)‖² = 2 tr(AᵀA), as both ends are random."""
    return float(2.0 * (a**2).sum())


@STY_10.part(given=linear_generators(), t=floats(0.0, 1.0))
def expectation(given: LinearGenerator, t: float, *, expected: Any = expected_length) -> Iterator[Check]:
    """The expectation for z ~ N(0, I) equals the mean over all pairs of the points ±√n eᵢ (exact for squares)."""
    n = given.a.shape[1]
    points = math.sqrt(n) * np.concatenate([np.eye(n), -np.eye(n)])
    pairs = np.array(list(itertools.product(points, points)))
    ends = tg.tensor(pairs[:, 0]), tg.tensor(pairs[:, 1])
    mean = path_length(lambda z: tg.linear(z, tg.tensor(given.a)), straight, ends, t, 1e-2)
    yield same("2 tr(AᵀA)", mean, expected(given.a), LIN)


@expectation.falsification("one random end only")
def one_end(a: Array) -> float:
    return float((a**2).sum())


@STY_10.part(given=linear_generators(), radius=floats(0.1, 5.0), t=floats(0.0, 1.0))
def on_the_sphere(given: LinearGenerator, radius: float, t: float, *, path: Any = spherical) -> Iterator[Check]:
    """Spherical interpolation meets both ends, keeps the norm, and is at the share t of the angle."""
    z1, z2 = (radius * z / np.linalg.norm(z, axis=1, keepdims=True) for z in (given.first, given.second))
    ends = tg.tensor(z1), tg.tensor(z2)
    angle = np.arctan2(np.linalg.norm(z1 - z2, axis=1), np.linalg.norm(z1 + z2, axis=1)) * 2.0
    between = path(*ends, t).numpy()
    yield same("first end", path(*ends, 0.0), z1, LIN)
    yield same("last end", path(*ends, 1.0), z2, LIN)
    # Nearly opposite or parallel ends divide by a small sin Ω: LIN.
    yield same("norm", np.linalg.norm(between, axis=1), np.full(len(z1), radius), LIN)
    to_first = np.arctan2(np.linalg.norm(z1 - between, axis=1), np.linalg.norm(z1 + between, axis=1)) * 2.0
    yield same("angle", to_first, t * angle, LIN)


@on_the_sphere.falsification("the straight line")
def chord(first: tg.Tensor, second: tg.Tensor, t: float) -> tg.Tensor:
    return straight(first, second, t)


# --- STY-11 ------------------------------------------------------------------------------------------------------

STY_11 = Claim(
    "STY-11",
    "Per-pixel noise input",
    r"h\leftarrow h+b_c\,\eta_{hw}:\quad(b,c,h,w)+(1,c,1,1)\times(b,1,h,w),\ \eta\sim N(0,1)",
    sources="001 000",
)


def with_noise(h: tg.Tensor, strength: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    """One noise image (b, 1, h, w) for all channels, scaled channel by channel: strength (c,)."""
    return h + tg.reshape(strength, (1, -1, 1, 1)) * noise


@STY_11.part(h=feature_maps(), noises=normals((3, 1, 4, 4)), strength=vectors(3, -2.0, 2.0))
def one_image_for_all_channels(h: Array, noises: Array, strength: Array, *, add: Any = with_noise) -> Iterator[Check]:
    """The broadcast equals loops over samples and channels; opposite noise averages out; strength 0 is the identity."""
    b, c, height, width = h.shape
    noise, scales = noises[:b, :, :height, :width], strength[:c]
    y = add(tg.tensor(h), tg.tensor(scales), tg.tensor(noise))
    loops = [[h[n, m] + scales[m] * noise[n, 0] for m in range(c)] for n in range(b)]
    yield same("loops", y, np.array(loops))
    opposite = add(tg.tensor(h), tg.tensor(scales), tg.tensor(-noise))
    yield same("mean kept", 0.5 * (y + opposite), h)
    yield same("strength 0", add(tg.tensor(h), tg.zeros(c), tg.tensor(noise)), h, EXACT)


@one_image_for_all_channels.falsification("one strength for all channels")
def mean_strength(h: tg.Tensor, strength: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    return with_noise(h, tg.zeros_like(strength) + tg.mean(strength), noise)


def strength_gradient(noise: Array, g: Array) -> Array:
    """∂/∂b_c = Σ over samples and pixels of η · h̄."""
    return np.asarray((noise * g).sum(axis=(0, 2, 3)))


@STY_11.part(h=feature_maps(), noises=normals((3, 1, 4, 4)), cotangent=normals((3, 3, 4, 4)), strength=vectors(3))
def noise_derivatives(
    h: Array, noises: Array, cotangent: Array, strength: Array, *, gradient: Any = strength_gradient
) -> Iterator[Check]:
    """Autodiff in the strengths equals Σ η h̄; the variance added to a channel, its squared Jacobian row, is b_c²."""
    b, c, height, width = h.shape
    noise, g = noises[:b, :, :height, :width], cotangent[:b, :c, :height, :width]
    scales, eta = tg.tensor(strength[:c], requires_grad=True), tg.tensor(noise)
    (slope,) = tg.grad(with_noise(tg.tensor(h), scales, eta), scales, tg.tensor(g))
    yield same("∂b", slope, gradient(noise, g))
    pixel = tg.jacobian(lambda eta: with_noise(tg.tensor(h), scales.detach(), eta)[-1, :, 0, 1], eta).numpy()
    yield same("added variance", (pixel**2).sum(axis=(1, 2, 3, 4)), strength[:c] ** 2)


@noise_derivatives.falsification("mean over the pixels instead of their sum")
def mean_gradient(noise: Array, g: Array) -> Array:
    return np.asarray((noise * g).mean(axis=(0, 2, 3)))
