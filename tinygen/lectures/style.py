"""Chapter 7, first part. Style-based generators: from a latent vector to the styles of feature maps.

Feature maps are (b, c, h, w).  A style is one scale and one shift for each channel of each sample.  What generators do
with them, and perceptual measures, stand in ``style_images``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import EXACT, LIN, QUAD, Check, Claim, holds, same
from tinygen.lectures.numerics import gauss_legendre
from tinygen.testing.strategies import arrays, floats, normals, sizes

Array = np.ndarray


@st.composite
def feature_maps(draw: st.DrawFn) -> Array:
    """Maps (b, c, h, w) with up to three samples and channels and 4 to 16 pixels."""
    shape = (draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(2, 4)), draw(sizes(2, 4)))
    return np.asarray(draw(floats(-3.0, 3.0)) + draw(floats(0.2, 3.0)) * draw(normals(shape)))


# --- STY-1 -------------------------------------------------------------------------------------------------------

STY_1 = Claim(
    "STY-1",
    "Style vector",
    r"(y_s,y_b)=Aw+a,\quad w\in\mathbb R^{512},\ A\in\mathbb R^{2c\times512};\quad A=0,\ a=(1,0):\ \text{identity}",
    sources="000",
)


def style_of(w: tg.Tensor, weight: tg.Tensor, bias: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """The affine map (b, 512) → (b, 2c), cut into scales and shifts."""
    scale, shift = tg.split(tg.linear(w, weight, bias), 2, axis=1)
    return scale, shift


class Affine(NamedTuple):
    """Latent vectors (b, 512) and an affine map to 2c numbers."""

    w: Array
    weight: Array
    bias: Array


@st.composite
def affine_maps(draw: st.DrawFn) -> Affine:
    c = draw(sizes(1, 4))
    return Affine(draw(normals((draw(sizes(1, 3)), 512))), draw(normals((2 * c, 512), 0.05)), draw(normals(2 * c)))


@STY_1.part(given=affine_maps())
def one_scale_and_shift_a_channel(given: Affine, *, style: Any = style_of) -> Iterator[Check]:
    """The styles of a batch equal one scalar product for each sample and channel: first all scales, then all shifts."""
    scale, shift = style(*map(tg.tensor, given))
    rows = [[float(row @ w) + a for row, a in zip(given.weight, given.bias, strict=True)] for w in given.w]
    c = len(given.bias) // 2
    yield holds("shapes (b, c)", scale.shape == shift.shape == (len(given.w), c))
    yield same("scales", scale, np.array(rows)[:, :c])
    yield same("shifts", shift, np.array(rows)[:, c:])


@one_scale_and_shift_a_channel.falsification("scale and shift exchanged")
def exchanged(w: tg.Tensor, weight: tg.Tensor, bias: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return style_of(w, weight, bias)[::-1]


def identity_start(channels: int) -> tuple[Array, Array]:
    """Weight 0; bias 1 for the scales and 0 for the shifts."""
    return np.zeros((2 * channels, 512)), np.repeat([1.0, 0.0], channels)


@STY_1.part(x=feature_maps(), w=normals((3, 512)))
def starts_as_identity(x: Array, w: Array, *, start: Any = identity_start) -> Iterator[Check]:
    """Scale · x + shift leaves every feature map as it is at the start, whatever the latent vectors."""
    b, c = x.shape[:2]
    scale, shift = (part[:, :, None, None] for part in style_of(tg.tensor(w[:b]), *map(tg.tensor, start(c))))
    yield same("scale · x + shift = x", scale * tg.tensor(x) + shift, x, EXACT)


@starts_as_identity.falsification("all zeros, which erases the features")
def all_zeros(channels: int) -> tuple[Array, Array]:
    return np.zeros((2 * channels, 512)), np.zeros(2 * channels)


# --- STY-2 -------------------------------------------------------------------------------------------------------

STY_2 = Claim(
    "STY-2",
    "Mapping network and W",
    r"w=m(z),\ z\sim N(0,I);\quad \mathrm{Cov}(Mz)=MM^\top;\ z\mapsto z/\sqrt{\tfrac1n\textstyle\sum_iz_i^2+10^{-8}}",
    sources="000",
)


def unit_mean_square(z: tg.Tensor) -> tg.Tensor:
    """z / √(mean z² + 10⁻⁸), row by row."""
    return z / tg.sqrt(tg.mean(z**2, axis=-1, keepdims=True) + 1e-8)


@STY_2.part(z=arrays(st.tuples(sizes(1, 3), sizes(1, 16))))
def normalised(z: Array, *, normalise: Any = unit_mean_square) -> Iterator[Check]:
    """The mean square of a normalised row is v / (v + 10⁻⁸) of its own v, 0 for a row of zeros; its direction stays."""
    v = (z**2).mean(axis=-1)
    result = normalise(tg.tensor(z))
    yield same("mean square", tg.mean(result**2, axis=-1), v / (v + 1e-8))
    yield same("direction", tg.sum(result * tg.tensor(z), axis=-1) ** 2, (z.shape[1] * v) ** 2 / (v + 1e-8), LIN)


@normalised.falsification("divided by the Euclidean length")
def unit_length(z: tg.Tensor) -> tg.Tensor:
    return z / tg.sqrt(tg.sum(z**2, axis=-1, keepdims=True) + 1e-8)


def linear_covariance(m: Array) -> Array:
    """The covariance of Mz."""
    return np.asarray(m @ m.T)


@STY_2.part(m=arrays(st.tuples(sizes(1, 5), sizes(1, 5))))
def covariance_in_w(m: Array, *, covariance: Any = linear_covariance) -> Iterator[Check]:
    """Cov(Mz) equals the mean of wwᵀ over the 2n points ±√n eᵢ, which have mean 0 and covariance I exactly."""
    n = m.shape[1]
    points = math.sqrt(n) * np.concatenate([np.eye(n), -np.eye(n)])
    w = tg.linear(tg.tensor(points), tg.tensor(m))
    yield same("covariance", tg.matmul(w.T, w) / (2 * n), np.broadcast_to(covariance(m), (len(m),) * 2), LIN)


@covariance_in_w.falsification("the identity, as if W were Z")
def still_standard(m: Array) -> Array:
    return np.eye(len(m))


def third_central_moment(slope: float) -> float:
    """E(w − E w)³ of w = LeakyReLU(z): moments of the two half-Gaussians."""
    first = (1.0 - slope) / math.sqrt(2.0 * math.pi)
    second, third = 0.5 * (1.0 + slope**2), (1.0 - slope**3) * math.sqrt(2.0 / math.pi)
    return third - 3.0 * first * second + 2.0 * first**3


@STY_2.part(slope=floats(0.0, 0.9))
def not_gaussian(slope: float, *, moment: Any = third_central_moment) -> Iterator[Check]:
    """The third central moment of w = LeakyReLU(z) equals quadrature and is positive; a Gaussian's is 0."""
    nodes, weights = gauss_legendre(0.0, 12.0, 40, panels=4)
    z = tg.tensor(np.concatenate([-nodes, nodes]))
    density = tg.tensor(np.concatenate([weights, weights])) * tg.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    w = tg.leaky_relu(z, slope)
    third = tg.sum(density * (w - tg.sum(density * w)) ** 3)
    yield same("E(w − E w)³", third, moment(slope), QUAD)
    yield holds("positive", third.numpy() > 1e-3)


@not_gaussian.falsification("Gaussian W")
def symmetric_law(slope: float) -> float:
    return 0.0


# --- STY-3 -------------------------------------------------------------------------------------------------------

STY_3 = Claim(
    "STY-3",
    "Adaptive instance normalisation (AdaIN)",
    r"\mathrm{AdaIN}(x,y)=\sigma(y)\,\frac{x-\mu(x)}{\sigma(x)}+\mu(y),\ \text{statistics of each map over }(h,w)",
    sources="000",
    assumptions=r"\sigma(x)>0;\ \text{with }\epsilon\text{ in the root the deviation is }y_s\sqrt{v/(v+\epsilon)}",
)
PIXELS = (2, 3)


def adain(x: tg.Tensor, scale: tg.Tensor, shift: tg.Tensor, eps: float = 0.0) -> tg.Tensor:
    """σ(y) (x − μ(x)) / σ(x) + μ(y), with σ(y) = scale and μ(y) = shift of shape (b, c, 1, 1)."""
    deviation = tg.sqrt(tg.var(x, axis=PIXELS, keepdims=True) + eps)
    return scale * (x - tg.mean(x, axis=PIXELS, keepdims=True)) / deviation + shift


class Styled(NamedTuple):
    """Feature maps (b, c, h, w) and the style of each: scales and shifts (b, c, 1, 1)."""

    x: Array
    scale: Array
    shift: Array


@st.composite
def styled_maps(draw: st.DrawFn) -> Styled:
    x = draw(feature_maps())
    style = (*x.shape[:2], 1, 1)
    return Styled(x, draw(arrays(style, 0.1, 3.0)), draw(arrays(style, -3.0, 3.0)))


@STY_3.part(given=styled_maps(), eps=st.sampled_from([0.0, 1e-5, 0.1]))
def output_statistics(given: Styled, eps: float, *, modulate: Any = adain) -> Iterator[Check]:
    """Each output map has the style's mean and deviation, computed map by map; a constant map becomes the shift."""
    y = modulate(*map(tg.tensor, given), eps).numpy()
    for b, c in np.ndindex(given.x.shape[:2]):
        v = given.x[b, c].var()
        yield same("mean", y[b, c].mean(), given.shift[b, c, 0, 0])
        yield same("deviation", y[b, c].std(), given.scale[b, c, 0, 0] * math.sqrt(v / (v + eps)))
    scale, shift = tg.tensor(given.scale), tg.tensor(given.shift)
    flat = tg.zeros(given.x.shape) + shift
    yield same("constant map", modulate(flat, scale, shift, 1e-5), flat)
    yield same("one pixel", modulate(tg.tensor(given.x[:, :, :1, :1]), scale, shift, 1e-5), shift, EXACT)


@output_statistics.erratum(
    "E-31", "c labels the statistic (per channel), it does not divide", printed=r"g(y)\,\frac{x-\mu(x)}{g(x)\,c}+\mu(y)"
)
def channels_divide(x: tg.Tensor, scale: tg.Tensor, shift: tg.Tensor, eps: float) -> tg.Tensor:
    return adain(x, scale / x.shape[1], shift, eps)


@output_statistics.falsification("divided by the variance")
def by_variance(x: tg.Tensor, scale: tg.Tensor, shift: tg.Tensor, eps: float) -> tg.Tensor:
    return adain(x, scale / tg.sqrt(tg.var(x, axis=PIXELS, keepdims=True) + eps), shift, eps)


@STY_3.part(given=styled_maps(), gain=floats(0.1, 5.0), offset=floats(-5.0, 5.0))
def invariances(given: Styled, gain: float, offset: float, *, modulate: Any = adain) -> Iterator[Check]:
    """AdaIN forgets contrast and brightness of x, is idempotent, and is the identity for x's own statistics."""
    x, scale, shift = map(tg.tensor, given)
    y = modulate(x, scale, shift)
    yield same("a x + b, a > 0", modulate(gain * x + offset, scale, shift), y)
    yield same("a < 0 reflects", modulate(-gain * x + offset, scale, shift) - shift, shift - y)
    yield same("twice = once", modulate(y, scale, shift), y)
    own_scale, own_shift = given.x.std(axis=PIXELS, keepdims=True), given.x.mean(axis=PIXELS, keepdims=True)
    yield same("own style", modulate(x, tg.tensor(own_scale), tg.tensor(own_shift)), x)


@invariances.falsification("divided by the root mean square")
def by_root_mean_square(x: tg.Tensor, scale: tg.Tensor, shift: tg.Tensor) -> tg.Tensor:
    centred = x - tg.mean(x, axis=PIXELS, keepdims=True)
    return scale * centred / tg.sqrt(tg.mean(x**2, axis=PIXELS, keepdims=True)) + shift


def adain_pullback(x: Array, scale: Array, g: Array) -> Array:
    """∂/∂x = y_s/σ · (g − mean g − x̂ mean(g x̂)), by hand."""
    deviation = x.std(axis=PIXELS, keepdims=True)
    unit = (x - x.mean(axis=PIXELS, keepdims=True)) / deviation
    along = (g * unit).mean(axis=PIXELS, keepdims=True)
    return np.asarray(scale / deviation * (g - g.mean(axis=PIXELS, keepdims=True) - unit * along))


@STY_3.part(given=styled_maps(), cotangents=normals((3, 3, 4, 4)))
def backward(given: Styled, cotangents: Array, *, pullback: Any = adain_pullback) -> Iterator[Check]:
    """Autodiff through both statistics equals the pullback derived by hand."""
    b, c, h, w = given.x.shape
    cotangent = cotangents[:b, :c, :h, :w]
    x = tg.tensor(given.x, requires_grad=True)
    (slope,) = tg.grad(adain(x, tg.tensor(given.scale), tg.tensor(given.shift)), x, tg.tensor(cotangent))
    # A map of four nearly equal pixels has a small deviation, by which the slope is divided: LIN.
    yield same("∂x", slope, pullback(given.x, given.scale, cotangent), LIN)


@backward.falsification("statistics taken for constants")
def constant_statistics(x: Array, scale: Array, g: Array) -> Array:
    return np.asarray(scale / x.std(axis=PIXELS, keepdims=True) * g)


# --- STY-4 -------------------------------------------------------------------------------------------------------

STY_4 = Claim(
    "STY-4",
    "Batch versus instance statistics",
    r"\mu(c)=\tfrac1{bhw}\sum_{i,j,n}X[i,c,j,n]=\tfrac1b\sum_i\mu(i,c),\qquad \mu(i,c)=\tfrac1{hw}\sum_{j,n}X[i,c,j,n]",
    sources="000",
)


def batch_mean(x: tg.Tensor) -> tg.Tensor:
    """μ(c) = 1/(b h w) Σ X[i, c, j, n]."""
    b, _, h, w = x.shape
    return tg.sum(x, axis=(0, 2, 3)) / (b * h * w)


@STY_4.part(x=feature_maps())
def total_variance(x: Array, *, mean: Any = batch_mean) -> Iterator[Check]:
    """The batch mean is the mean of the instance means; the batch variance their variance plus the mean instance's."""
    instance_means, instance_variances = x.mean(axis=PIXELS), x.var(axis=PIXELS)
    centre = mean(tg.tensor(x))
    variance = mean((tg.tensor(x) - tg.reshape(centre, (1, -1, 1, 1))) ** 2)
    yield same("batch mean", centre, instance_means.mean(axis=0))
    yield same("batch variance", variance, instance_variances.mean(axis=0) + instance_means.var(axis=0))
    norm = tg.nn.BatchNorm2d(x.shape[1], momentum=1.0)
    norm(tg.tensor(x))
    yield same("what batch norm keeps", norm.running_mean, centre)


@total_variance.erratum(
    "E-32", "the sum over pixels is not divided: h·w times the mean", printed=r"\mu(c)=\tfrac1b\sum_{i,j,n}X[i,c,j,n]"
)
def divided_by_the_batch_only(x: tg.Tensor) -> tg.Tensor:
    return tg.sum(x, axis=(0, 2, 3)) / x.shape[0]


@total_variance.falsification("mean over the samples, of the first pixel")
def first_pixel(x: tg.Tensor) -> tg.Tensor:
    return tg.mean(x[:, :, 0, 0], axis=0)


def instance_normalised(x: tg.Tensor) -> tg.Tensor:
    """Each map by its own statistics."""
    y: tg.Tensor = tg.nn.InstanceNorm2d(x.shape[1], eps=1e-5)(x)
    return y


@STY_4.part(x=feature_maps(), other=normals((3, 3, 4, 4), 2.0))
def alone_or_together(x: Array, other: Array, *, normalise: Any = instance_normalised) -> Iterator[Check]:
    """A normalised sample does not change when the others do, and equals batch norm of that sample alone."""
    b, c, h, w = x.shape
    changed = np.concatenate([x[:1], x[1:] + other[: b - 1, :c, :h, :w]])
    first = normalise(tg.tensor(x))[0]
    yield same("others changed", normalise(tg.tensor(changed))[0], first)
    yield same("b = 1: batch norm", tg.nn.BatchNorm2d(c, eps=1e-5)(tg.tensor(x[:1]))[0], first)


@alone_or_together.falsification("batch norm")
def batch_normalised(x: tg.Tensor) -> tg.Tensor:
    y: tg.Tensor = tg.nn.BatchNorm2d(x.shape[1], eps=1e-5)(x)
    return y


# --- STY-5 -------------------------------------------------------------------------------------------------------

STY_5 = Claim(
    "STY-5",
    "From W to W+",
    r"W\in\mathbb R^{b\times512}\to W^+\in\mathbb R^{b\times L\times512},\ L=2(k-1)\text{ at }2^k\times2^k;\ "
    r"\partial_w G=\textstyle\sum_l\partial_{w_l}G",
    sources="000",
)


def style_layers(resolution: int) -> int:
    """Two for each of 4, 8, …, 2ᵏ: 2 (k − 1)."""
    return 2 * (resolution.bit_length() - 2)


@STY_5.part(k=st.integers(2, 11))
def layers_of_a_resolution(k: int, *, layers: Any = style_layers) -> Iterator[Check]:
    """The number of styles equals a count of two for each resolution from 4 on; 512² has 16, 1024² has 18."""
    counted, side = 2, 4
    while side < 2**k:
        side, counted = 2 * side, counted + 2
    yield same(f"{2**k} × {2**k}", layers(2**k), counted, EXACT)
    yield same("512 × 512", layers(512), 16, EXACT)
    yield same("1024 × 1024", layers(1024), 18, EXACT)


@layers_of_a_resolution.erratum(
    "E-33", "16 rows beside images of 1024 × 1024 pixels, which need 18", printed=r"W\to W^t,\ (b,5/2)\to(b,16,5/2)"
)
def always_sixteen(resolution: int) -> int:
    return 16


class Synthesis(NamedTuple):
    """Latent vectors, and a network of L layers h ← tanh(A_l h) · (B_l w_l) of width n."""

    w: Array  # (b, d)
    other: Array  # (b, d)
    mix: Array  # A (L, n, n)
    read: Array  # B (L, n, d)


@st.composite
def syntheses(draw: st.DrawFn) -> Synthesis:
    b, d, layers, n = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 4)), draw(sizes(1, 3))
    return Synthesis(*(draw(normals(shape)) for shape in ((b, d), (b, d), (layers, n, n), (layers, n, d))))


def features(net: Synthesis, rows: tg.Tensor) -> list[tg.Tensor]:
    """What each layer puts out, for one style a layer: rows (b, L, d)."""
    h, outputs = tg.ones((len(net.w), net.mix.shape[1])), []
    for layer, (mix, read) in enumerate(zip(net.mix, net.read, strict=True)):
        h = tg.tanh(tg.linear(h, tg.tensor(mix))) * tg.linear(rows[:, layer], tg.tensor(read))
        outputs.append(h)
    return outputs


def to_rows(w: tg.Tensor, layers: int) -> tg.Tensor:
    """(b, d) → (b, L, d): the same style for each layer."""
    return tg.broadcast_to(w[:, None], (w.shape[0], layers, w.shape[1]))


@STY_5.part(net=syntheses(), most=30)
def broadcast(net: Synthesis, *, rows_of: Any = to_rows) -> Iterator[Check]:
    """With equal rows W+ gives what W gives, and the gradient in w is the sum of the gradients in free rows."""
    layers = len(net.mix)
    h = np.ones((len(net.w), net.mix.shape[1]))
    for mix, read in zip(net.mix, net.read, strict=True):
        h = np.tanh(h @ mix.T) * (net.w @ read.T)
    w = tg.tensor(net.w, requires_grad=True)
    last = features(net, rows_of(w, layers))[-1]
    yield same("output", last, h)
    free = tg.tensor(np.stack([net.w] * layers, axis=1), requires_grad=True)
    (slope,) = tg.grad(tg.sum(last), w)
    (by_row,) = tg.grad(tg.sum(features(net, free)[-1]), free)
    yield same("Σ over layers", slope, by_row.numpy().sum(axis=1))


@broadcast.falsification("rows of one sample mixed with those of another")
def mixed_samples(w: tg.Tensor, layers: int) -> tg.Tensor:
    return tg.reshape(tg.tile(w, (layers, 1)), (w.shape[0], layers, w.shape[1]))


@broadcast.falsification("gradient of the last layer only")
def only_last_row(w: tg.Tensor, layers: int) -> tg.Tensor:
    rows = to_rows(w, layers)
    return tg.concatenate([tg.detach(rows[:, : layers - 1]), rows[:, layers - 1 :]], axis=1)


def crossed(first: tg.Tensor, second: tg.Tensor, layer: int) -> tg.Tensor:
    """Style mixing: rows before ``layer`` from the first, the others from the second."""
    return tg.concatenate([first[:, :layer], second[:, layer:]], axis=1)


@STY_5.part(net=syntheses(), layer=st.integers(0, 4), most=50)
def mixing(net: Synthesis, layer: int, *, cross: Any = crossed) -> Iterator[Check]:
    """Other rows from a layer on leave what comes before it bit-identical; that layer already reads the others."""
    layers = len(net.mix)
    layer = min(layer, layers)
    first, second = (tg.tensor(np.repeat(w[:, None], layers, axis=1)) for w in (net.w, net.other))
    mixed, original = features(net, cross(first, second, layer)), features(net, first)
    for number in range(layer):
        yield same(f"layer {number}", mixed[number], original[number], EXACT)
    if layer < layers:
        before = mixed[layer - 1].numpy() if layer else np.ones_like(mixed[0].numpy())
        expected = np.tanh(before @ net.mix[layer].T) * (net.other @ net.read[layer].T)
        yield same(f"layer {layer} reads the second", mixed[layer], expected)
    yield same("no layer is lost", len(mixed), layers, EXACT)


@mixing.falsification("one layer too early")
def one_too_early(first: tg.Tensor, second: tg.Tensor, layer: int) -> tg.Tensor:
    return crossed(first, second, max(layer - 1, 0))
