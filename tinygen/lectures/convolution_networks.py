"""Chapter 8, second part. What stands between convolutional layers, and a pair of networks made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, Check, Claim, at_least, holds, same
from tinygen.lectures.convolution import Layer, layers
from tinygen.lectures.numerics import correlate2d
from tinygen.testing.strategies import arrays, floats, logits, normals, sizes, well_conditioned

Array = np.ndarray

# --- CNN-6 -------------------------------------------------------------------------------------------------------

CNN_6 = Claim(
    "CNN-6",
    "Activations",
    r"\max(x,0);\ \max(x,\alpha x);\ x\text{ or }\alpha(e^x-1);\ \sigma;\ \tanh;\ \mathrm{softplus};\ "
    r"\mathrm{ELU}'=\mathrm{ELU}+\alpha\ (x<0)",
    sources="001 003",
)
ALPHA = 0.2  # the slope of LeakyReLU for x < 0 in the lectures
ACTIVATIONS: dict[str, Callable[[Any], tg.Tensor]] = {
    "relu": tg.relu,
    "leaky_relu": lambda x: tg.leaky_relu(x, ALPHA),
    "elu": lambda x: tg.elu(x, 1.0),
    "sigmoid": tg.sigmoid,
    "tanh": tg.tanh,
    "softplus": tg.softplus,
}


def slope_by_hand(name: str, x: Array) -> Array:
    """f′(x) away from 0; at 0 what is declared: 0 for relu, α for LeakyReLU, 1 for ELU."""
    rising, below = x > 0.0, np.exp(np.minimum(x, 0.0))
    logistic = np.where(rising, 1.0, below) / (1.0 + np.exp(-np.abs(x)))
    slopes = {
        "relu": 1.0 * rising,
        "leaky_relu": np.where(rising, 1.0, ALPHA),
        "elu": np.where(rising, 1.0, below),  # f + α below 0, with α = 1
        "sigmoid": logistic * (1.0 - logistic),
        "tanh": 1.0 - np.tanh(x) ** 2,
        "softplus": logistic,
    }
    return np.asarray(slopes[name])


@CNN_6.part(name=st.sampled_from(sorted(ACTIVATIONS)), x=st.one_of(arrays(6), logits(6), st.just(np.zeros(3))))
def derivatives(name: str, x: Array, *, slope: Any = slope_by_hand) -> Iterator[Check]:
    """Autodiff equals the derivative by hand, finite up to ±800, within the Lipschitz constant (¼ for σ, else 1)."""
    point = tg.tensor(x, requires_grad=True)
    value = ACTIVATIONS[name](point)
    (found,) = tg.grad(value, point, tg.ones(len(x)))
    yield same(name, found, slope(name, x))
    yield holds("finite", np.isfinite(value.numpy()), f"{value}")
    yield at_least("Lipschitz", 0.25 if name == "sigmoid" else 1.0, np.abs(found.numpy()))


@derivatives.falsification("α e^x − α for the slope of ELU: f instead of f + α")
def elu_value(name: str, x: Array) -> Array:
    return np.where(x > 0.0, 1.0, np.expm1(np.minimum(x, 0.0))) if name == "elu" else slope_by_hand(name, x)


@derivatives.falsification("relu′(0) = 1")
def one_at_zero(name: str, x: Array) -> Array:
    return 1.0 * (x >= 0.0) if name == "relu" else slope_by_hand(name, x)


@derivatives.falsification("σ′ = σ")
def logistic_itself(name: str, x: Array) -> Array:
    return slope_by_hand("softplus" if name == "sigmoid" else name, x)


def elu_jump(alpha: float) -> float:
    """How far the slopes of ELU on both sides of 0 are apart: |1 − α|."""
    return abs(1.0 - alpha)


@CNN_6.part(alpha=floats(0.1, 2.0))
def smooth_elu(alpha: float, *, jump: Any = elu_jump) -> Iterator[Check]:
    """One-sided slopes of ELU next to 0 differ by |1 − α|: continuously differentiable for α = 1 only."""
    sides = tg.tensor([-1e-14, 1e-14], requires_grad=True)
    for a in (alpha, 1.0):
        (slopes,) = tg.grad(tg.sum(tg.elu(sides, a)), sides)
        yield same(f"α = {a}", abs(float(slopes[1]) - float(slopes[0])), jump(a), ALG)


@smooth_elu.falsification("smooth for every α")
def always_smooth(alpha: float) -> float:
    return 0.0


def leaky(s: tg.Tensor) -> tg.Tensor:
    """LeakyReLU with the slope of the lectures."""
    return tg.leaky_relu(s, ALPHA)


@CNN_6.part(weight=well_conditioned(3), x=normals((8, 3)), v=arrays(3, 0.5, 2.0))
def in_the_discriminator(weight: Array, x: Array, v: Array, *, activation: Any = leaky) -> Iterator[Check]:
    """Whatever the image, ‖∇ₓ vᵀ f(Wx)‖ ≥ α σ_min(W) ‖v‖ for LeakyReLU: the generator always gets a gradient."""
    images = tg.tensor(x, requires_grad=True)
    scores = tg.linear(activation(tg.linear(images, tg.tensor(weight))), tg.tensor(v[None]))
    (slope,) = tg.grad(tg.sum(scores), images)
    least = ALPHA * np.linalg.svd(weight)[1].min() * math.hypot(*v)
    yield at_least("‖∇ₓ D‖", np.linalg.norm(slope.numpy(), axis=1), least)


@in_the_discriminator.erratum(
    "E-39",
    "ReLU bottom-up: an image at which all units are off leaves the generator without a gradient",
    printed=r"\text{ReLU bottom-up, LeakyReLU top-down}",
)
def relu_bottom_up(s: tg.Tensor) -> tg.Tensor:
    return tg.relu(s)


# --- CNN-7 -------------------------------------------------------------------------------------------------------

CNN_7 = Claim(
    "CNN-7",
    "Downsampling choices",
    r"\mathrm{avg}_k(x)=\mathrm{conv}_{1/k^2}(x)\text{ with stride }k;\ "
    r"\langle\mathrm{up}_k(x),y\rangle=\langle x,k^2\,\mathrm{avg}_k(y)\rangle;\ "
    r"\mathrm{avg}_k\circ\mathrm{up}_k=\mathrm{id}",
    sources="001",
)


class Tiles(NamedTuple):
    """A size k, maps (b, c, h, w) and maps k times as large."""

    k: int
    small: Array
    large: Array


@st.composite
def tiles(draw: st.DrawFn) -> Tiles:
    k, b, c, h, w = (draw(sizes(1, 3)) for _ in range(5))
    return Tiles(k, draw(normals((b, c, h, w))), draw(normals((b, c, k * h, k * w))))


def block_means(x: tg.Tensor, k: int) -> tg.Tensor:
    """Average pooling."""
    return tg.avg_pool2d(x, k)


@CNN_7.part(given=tiles())
def average(given: Tiles, *, pool: Any = block_means) -> Iterator[Check]:
    """Average pooling equals a strided convolution with a constant kernel; k² times it is the adjoint of upsampling."""
    k, (b, c, h, w) = given.k, given.small.shape
    large = tg.tensor(given.large)
    constant = np.ones((1, 1, k, k)) / k**2
    channel_by_channel = correlate2d(given.large.reshape(b * c, 1, k * h, k * w), constant, k)
    yield same("constant kernel", pool(large, k), channel_by_channel.reshape(b, c, h, w))
    up = np.kron(given.small, np.ones((k, k)))
    yield same("adjoint", tg.sum(tg.tensor(given.small) * pool(large, k)) * k**2, (up * given.large).sum())
    yield same("average of enlarged", pool(tg.interpolate(tg.tensor(given.small), k), k), given.small)


@average.falsification("sums over the blocks")
def block_sums(x: tg.Tensor, k: int) -> tg.Tensor:
    return tg.avg_pool2d(x, k) * float(k**2)


@average.falsification("maxima over the blocks")
def block_maxima(x: tg.Tensor, k: int) -> tg.Tensor:
    return tg.max_pool2d(x, k)


def every(y: tg.Tensor, stride: int) -> tg.Tensor:
    """Subsampling: every stride-th position, from the first on."""
    return y[:, :, ::stride, ::stride]


@CNN_7.part(given=layers())
def strided(given: Layer, *, subsample: Any = every) -> Iterator[Check]:
    """A strided convolution is the dense one, subsampled."""
    x, kernel = tg.tensor(given.x), tg.tensor(given.kernel)
    dense = tg.conv2d(x, kernel, padding=given.padding)
    yield same("subsampled", subsample(dense, given.stride), correlate2d(given.x, given.kernel, *given[3:]))


@strided.falsification("from the last position on, backwards")
def from_the_last(y: tg.Tensor, stride: int) -> tg.Tensor:
    return tg.flip(tg.flip(y, (2, 3))[:, :, ::stride, ::stride], (2, 3))


def to_the_first(block: Array) -> Array:
    """The gradient of max(block): all of it to the first largest element."""
    routed = np.zeros(block.size)
    routed[block.argmax()] = 1.0
    return routed.reshape(block.shape)


@CNN_7.part(k=sizes(1, 3), image=arrays((1, 1, 6, 6), -1.0, 1.0).map(np.round), most=100)
def where_gradients_go(k: int, image: Array, *, route: Any = to_the_first) -> Iterator[Check]:
    """Max pooling hands a block's gradient to its first largest element (ties too), average pooling 1/k² to each."""
    x = tg.tensor(image, requires_grad=True)
    (largest,) = tg.grad(tg.sum(tg.max_pool2d(x, k)), x)
    (mean,) = tg.grad(tg.sum(tg.avg_pool2d(x, k)), x)
    expected = np.zeros((6, 6))
    for i, j in np.ndindex(6 // k, 6 // k):
        block = np.s_[i * k : (i + 1) * k, j * k : (j + 1) * k]
        expected[block] = route(image[0, 0][block])
    yield same("max", largest[0, 0], expected, EXACT)
    yield same("average", mean, np.full(image.shape, 1.0 / k**2))


@where_gradients_go.falsification("ties share the gradient")
def shared_ties(block: Array) -> Array:
    winners = block == block.max()
    return np.asarray(winners / winners.sum())


# --- CNN-8 -------------------------------------------------------------------------------------------------------

CNN_8 = Claim(
    "CNN-8",
    "DCGAN-style pair",
    r"\#\theta=\sum_lc_{l+1}(c_lk_l^2+1);\qquad s\approx0:\ L_D\approx\ln4,\ L_G\approx\ln2",
    sources="003 001",
)


class Pair(NamedTuple):
    """A generator of images (b, 1, 8, 8) and a discriminator, with c channels inside."""

    generator: tg.nn.Sequential
    discriminator: tg.nn.Sequential


def dcgan(channels: int, key: int) -> Pair:
    """CNN-4 against CNN-3: z (b, 4) → 2 × 2 → 4 × 4 → 8 × 8, and back to one logit; small initial logits."""
    rng, c = tg.random.Generator(key), channels
    nn = tg.nn
    up = [nn.ConvTranspose2d(4, c, 2, rng=rng), nn.ReLU(), nn.ConvTranspose2d(c, c, 4, stride=2, padding=1, rng=rng)]
    up += [nn.ReLU(), nn.ConvTranspose2d(c, 1, 4, stride=2, padding=1, rng=rng), nn.Tanh()]
    down = [nn.Conv2d(1, c, 4, stride=2, padding=1, rng=rng), nn.LeakyReLU(ALPHA)]
    last = nn.Linear(c * 16, 1, rng=rng)
    for parameter in last.parameters():
        parameter.assign(0.01 * parameter.detach())
    return Pair(nn.Sequential(*up), nn.Sequential(*down, nn.Flatten(), last))


def counted(layers: list[tuple[int, int, int]]) -> int:
    """Σ c_out (c_in k² + 1) over layers (c_in, c_out, k²)."""
    return sum(c_out * (c_in * area + 1) for c_in, c_out, area in layers)


@CNN_8.part(channels=sizes(1, 6))
def parameters(channels: int, *, count: Any = counted) -> Iterator[Check]:
    """The numbers of parameters of both networks equal the formula."""
    c, pair = channels, dcgan(channels, 0)
    for name, net, widths in (
        ("generator", pair.generator, [(4, c, 4), (c, c, 16), (c, 1, 16)]),
        ("discriminator", pair.discriminator, [(1, c, 16), (c, 1, 16)]),
    ):
        yield same(name, sum(parameter.size for parameter in net.parameters()), count(widths), EXACT)


@parameters.falsification("without biases")
def without_biases(layers: list[tuple[int, int, int]]) -> int:
    return sum(c_out * c_in * area for c_in, c_out, area in layers)


def pair_losses(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """(L_D, non-saturating L_G) from logits."""
    return tg.mean(tg.softplus(-real)) + tg.mean(tg.softplus(fake)), tg.mean(tg.softplus(-fake))


@CNN_8.part(channels=sizes(1, 4), key=st.integers(0, 1000), z=normals((3, 4, 1, 1)), x=normals((3, 1, 8, 8)), most=30)
def first_losses(channels: int, key: int, z: Array, x: Array, *, losses: Any = pair_losses) -> Iterator[Check]:
    """At the start L_D = ln 4 + (t̄ − s̄)/2 and L_G = ln 2 − t̄/2 to second order in the mean logits s̄, t̄."""
    pair = dcgan(channels, key)
    s, t = pair.discriminator(tg.tensor(x)), pair.discriminator(pair.generator(tg.tensor(z)))
    loss_d, loss_g = losses(s, t)
    real, fake = s.numpy(), t.numpy()
    second = ((real**2).mean() + (fake**2).mean()) / 8.0  # |softplus(s) − ln 2 − s/2| ≤ s²/8
    line_d, line_g = math.log(4.0) + (fake.mean() - real.mean()) / 2.0, math.log(2.0) - fake.mean() / 2.0
    yield at_least("L_D", second, np.abs(loss_d.numpy() - line_d))
    yield at_least("L_G", second, np.abs(loss_g.numpy() - line_g))
    yield holds("logits are small", max(np.abs(real).max(), np.abs(fake).max()) < 0.1)


@first_losses.falsification("saturating loss of the generator, −ln 2 at the start")
def saturating(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return pair_losses(real, fake)[0], -tg.mean(tg.softplus(fake))


@first_losses.falsification("L_D as a mean over the pooled examples, ln 2 at the start")
def pooled(real: tg.Tensor, fake: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    loss_d, loss_g = pair_losses(real, fake)
    return 0.5 * loss_d, loss_g


def own_step(pair: Pair, loss: tg.Tensor, lr: float) -> None:
    """One step of gradient descent in the discriminator."""
    tg.optim.SGD(pair.discriminator.parameters(), lr=lr).minimize(loss)


@CNN_8.part(channels=sizes(1, 3), key=st.integers(0, 1000), z=normals((2, 4, 1, 1)), x=normals((2, 1, 8, 8)), most=20)
def one_step(channels: int, key: int, z: Array, x: Array, *, step: Any = own_step) -> Iterator[Check]:
    """A small step η lowers L_D by η‖∇L_D‖² to first order and leaves the generator bit-identical."""
    pair, lr = dcgan(channels, key), 1e-6

    def loss() -> tg.Tensor:
        real, fake = tg.tensor(x), pair.generator(tg.tensor(z))
        return pair_losses(pair.discriminator(real), pair.discriminator(fake))[0]

    before, drawn = loss(), [parameter.numpy().copy() for parameter in pair.generator.parameters()]
    squared = sum((slope.numpy() ** 2).sum() for slope in tg.grad(before, list(pair.discriminator.parameters())))
    step(pair, before, lr)
    # The remainder is ½ η² gᵀHg; relative to η‖g‖² that is ½ η ‖H‖ < 1e-4 for these small networks.
    yield same("−ΔL_D / η‖∇‖²", (before.numpy() - loss().numpy()) / (lr * squared), 1.0, 1e-4)
    for parameter, old in zip(pair.generator.parameters(), drawn, strict=True):
        yield same("generator", parameter, old, EXACT)


@one_step.falsification("both networks step")
def both_step(pair: Pair, loss: tg.Tensor, lr: float) -> None:
    tg.optim.SGD([*pair.discriminator.parameters(), *pair.generator.parameters()], lr=lr).minimize(loss)


@one_step.falsification("uphill")
def uphill(pair: Pair, loss: tg.Tensor, lr: float) -> None:
    own_step(pair, -loss, lr)
