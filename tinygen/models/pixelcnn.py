"""PixelCNN (AR-1, AR-3, AR-4): an image is drawn pixel by pixel, each given all those before it in raster order.

    log p(x) = Σ_i log p(x_i | x_<i),    p(x_i = k / (levels − 1) | x_<i) = softmax_k(logits_i(x_<i))

The networks differ in how they keep logits_i from seeing x_i and what comes after it:

* ``PlainPixelCNN``: one stack of masked convolutions, type A and then B.  Above to the right lies a blind spot:
  pixels that come before and are never seen.
* ``GatedPixelCNN``: a vertical stack sees the rows above, a horizontal one what is left of the pixel.  No blind spot.
* ``MADE``: a perceptron with masked weights, which knows nothing of neighbourhood: a baseline.

A density is one pass of the network; a sample is one draw after the other.  ``GatedPixelCNN`` does not compute the
whole image again for each pixel: what is above a row is seen once for the row, and a pixel costs the row alone.

Source: van den Oord, Kalchbrenner & Kavukcuoglu 2016, Pixel Recurrent Neural Networks; van den Oord et al. 2016,
Conditional Image Generation with PixelCNN Decoders, for the two gated stacks; Germain et al. 2015 for MADE.
Departures: one colour; the vertical stack reads the image moved down by one row, the horizontal one moved right by
one pixel, so that no kernel has masked parts; both stacks add their input to their output, and later layers are
dilated, as in WaveNet, so that five layers see the whole of an 8 × 8 image, and with ``dilations=(1, 2, 4, 8)`` of a
16 × 16 one; no residuals in the plain stack.

Shapes: images (N, 1, H, W) with values k / (levels − 1), logits (N, levels, H, W).  Log-probabilities are in nats
per image.  The claims AR-3 and AR-4 of ``tinygen.lectures`` check one pass against many, masks and blind spot; TXT-6
the gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.distributions import Categorical
from tinygen.flows.networks import MaskedPerceptron
from tinygen.random import Generator
from tinygen.tensor import Tensor


class RasterModel(nn.Module):
    """What the networks share: the chain rule over pixels.  A network gives ``forward``, from images to logits."""

    def __init__(self, levels: int) -> None:
        k = np.arange(levels, dtype=np.float32)
        if levels < 2 or not np.array_equal(k / np.float32(levels - 1) * np.float32(levels - 1), k):
            raise ValueError(
                f"{type(self).__name__}: levels={levels}: needs 2 or more, and k/{levels - 1}·{levels - 1} to be k in "
                "float32; use 2, 16, 17 or 256"
            )
        self.levels = levels

    def conditionals(self, x: Tensor) -> Categorical:
        """p(x_i | x_<i) of the number of the level, for all pixels in one pass: batch shape (N, H, W) (AR-3)."""
        return Categorical(logits=tg.moveaxis(self(x), 1, -1))

    def pixel_log_prob(self, x: Tensor) -> Tensor:
        """log p(x_i | x_<i) (N, H, W), by log-softmax (TXT-5); −∞ for what is no level."""
        return self.conditionals(x).log_prob(x[:, 0] * (self.levels - 1))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (N,) (AR-1)."""
        return tg.sum(self.pixel_log_prob(x), axis=(1, 2))

    def sample(self, rng: Generator, count: int, size: tuple[int, int]) -> Tensor:
        """``count`` new images (count, 1, *size)."""
        nothing = zeros(self.parameters()[0], count, 1, 0, size[1])
        return self.complete(rng, nothing, size[0])

    @tg.no_grad()
    def complete(self, rng: Generator, above: Tensor, height: int) -> Tensor:
        """Images (N, 1, height, W) that begin with the given rows (N, 1, i, W): pixel after pixel (AR-3)."""
        count, _, known, width = above.shape
        for _ in range(known, height):
            logits_of, row = self.reader(above), zeros(above, count, 1, 1, 0)
            for _ in range(width):
                probs = tg.softmax(logits_of(pad(row, right=1)), axis=1)
                level = tg.astype(rng.categorical(probs, device=probs.device), row.dtype) / (self.levels - 1)
                row = tg.concatenate([row, tg.reshape(level, (count, 1, 1, 1))], axis=3)
            above = tg.concatenate([above, row], axis=2)
        return above

    def reader(self, above: Tensor) -> Callable[[Tensor], Tensor]:
        """The logits (N, levels) of the last pixel of a row so far (N, 1, 1, j), below rows ``above`` (N, 1, i, W).

        They do not depend on that pixel.  Rows below are not computed.
        """
        width = above.shape[3]

        def logits_of(row: Tensor) -> Tensor:
            logits: Tensor = self(tg.concatenate([above, pad(row, right=width - row.shape[3])], axis=2))
            return logits[:, :, -1, row.shape[3] - 1]

        return logits_of


def zeros(like: Tensor, *shape: int) -> Tensor:
    """Zeros of the dtype and on the device of another tensor."""
    return tg.zeros(shape, dtype=like.dtype, device=like.device)


class PlainPixelCNN(RasterModel):
    """Masked convolutions one after the other: mask A, ``layers`` − 1 times mask B, a 1 × 1 convolution to logits.

    ``first`` and ``kernel`` are the odd sides of the first kernel and of the others.
    """

    def __init__(
        self, levels: int = 2, channels: int = 16, layers: int = 3, first: int = 7, kernel: int = 3, *, rng: Generator
    ) -> None:
        super().__init__(levels)
        modules: list[nn.Module] = [nn.MaskedConv2d("A", 1, channels, first, rng=rng), nn.ReLU()]
        for _ in range(layers - 1):
            modules += [nn.MaskedConv2d("B", channels, channels, kernel, rng=rng), nn.ReLU()]
        self.layers = nn.Sequential(*modules, nn.Conv2d(channels, levels, 1, rng=rng))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(signs(x))
        return logits


def signs(x: Tensor) -> Tensor:
    """Levels from −1 to 1: the zeros around an image are then neither black nor white."""
    return 2.0 * x - 1.0


class GatedPixelCNN(RasterModel):
    """Gated layers of a vertical and a horizontal stack, then two 1 × 1 convolutions to logits.

    The kernels of the first layer reach ``reach`` pixels up and to the sides.  One more layer comes for each of the
    ``dilations``, whose kernels take a single step of that many pixels.
    """

    def __init__(
        self,
        levels: int = 2,
        channels: int = 16,
        reach: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 1),
        *,
        rng: Generator,
    ) -> None:
        super().__init__(levels)
        shapes = [(1, reach, 1)] + [(channels, 1, dilation) for dilation in dilations]
        self.vertical = nn.ModuleList(VerticalLayer(inputs, channels, *shape, rng=rng) for inputs, *shape in shapes)
        self.horizontal = nn.ModuleList(HorizontalLayer(inputs, channels, *shape, rng=rng) for inputs, *shape in shapes)
        last = nn.Conv2d(channels, levels, 1, rng=rng)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1, rng=rng), nn.ReLU(), last)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(rng, layer.weight)
        # All levels about equally likely at first.  Certain and wrong, it would begin with a gradient a hundred times
        # the later ones, which Adam's second moment remembers for a thousand steps.
        nn.init.normal_(rng, last.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(x, self.above(x[:, :, :-1]))

    def reader(self, above: Tensor) -> Callable[[Tensor], Tensor]:
        links = [link[:, :, -1:] for link in self.above(above)]
        return lambda row: self.along(row, [link[..., : row.shape[3]] for link in links])[:, :, 0, -1]

    def above(self, x: Tensor) -> list[Tensor]:
        """For rows 0 … i, what each layer of the vertical stack says about the rows above, from i rows (N, 1, i, W)."""
        v, links = pad(signs(x), top=1), []  # moved down by one row: from here on a row may see itself
        for layer in self.vertical:
            v, link = layer(v)
            links.append(link)
        return links

    def along(self, x: Tensor, links: list[Tensor]) -> Tensor:
        """Logits of rows (N, 1, i, W), each by itself, from what is above them."""
        h = pad(signs(x[:, :, :, :-1]), left=1)  # moved right by one pixel: this is mask A
        for layer, link in zip(self.horizontal, links, strict=True):
            h = layer(h, link)
        logits: Tensor = self.head(h)
        return logits


class VerticalLayer(nn.Module):
    """From features (N, inputs, H, W) of whole rows to the next ones, and to what the horizontal stack hears of them.

    The kernel reaches ``steps`` · ``dilation`` pixels up and to both sides, and never down.
    """

    def __init__(self, inputs: int, channels: int, steps: int, dilation: int, *, rng: Generator) -> None:
        self.reach = steps * dilation
        self.convolution = nn.Conv2d(inputs, 2 * channels, (steps + 1, 2 * steps + 1), dilation=dilation, rng=rng)
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1, rng=rng)
        self.residual = inputs == channels

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        features = self.convolution(pad(v, top=self.reach, left=self.reach, right=self.reach))
        return v + gate(features) if self.residual else gate(features), self.link(features)


class HorizontalLayer(nn.Module):
    """From features (N, inputs, H, W) of what is to the left, and those of what is above, to the next ones."""

    def __init__(self, inputs: int, channels: int, steps: int, dilation: int, *, rng: Generator) -> None:
        self.reach = steps * dilation
        self.convolution = nn.Conv2d(inputs, 2 * channels, (1, steps + 1), dilation=dilation, rng=rng)
        self.mix = nn.Conv2d(channels, channels, 1, rng=rng)
        self.residual = inputs == channels

    def forward(self, h: Tensor, link: Tensor) -> Tensor:
        mixed: Tensor = self.mix(gate(self.convolution(pad(h, left=self.reach)) + link))
        return h + mixed if self.residual else mixed


def gate(features: Tensor) -> Tensor:
    """tanh(a) ⊙ σ(b) of the two halves of the channels."""
    a, b = tg.split(features, 2, axis=1)
    return tg.tanh(a) * tg.sigmoid(b)


def pad(x: Tensor, *, top: int = 0, left: int = 0, right: int = 0) -> Tensor:
    """Zeros around images, but never below: there lies what must not be seen."""
    return tg.pad(x, ((0, 0), (0, 0), (top, 0), (left, right)))


class MADE(RasterModel):
    """A masked perceptron over the pixels of black and white images of one ``size``."""

    def __init__(self, size: tuple[int, int], hidden: tuple[int, ...] = (400,), *, rng: Generator) -> None:
        super().__init__(2)
        self.size = size
        self.network = MaskedPerceptron(size[0] * size[1], hidden, rng=rng)  # two numbers a pixel: its logits

    def forward(self, x: Tensor) -> Tensor:
        count, rows = len(x), x.shape[2]
        whole = tg.pad(signs(x), ((0, 0), (0, 0), (0, self.size[0] - rows), (0, 0)))  # rows to come are not seen
        logits = tg.reshape(self.network(tg.reshape(whole, (count, -1))), (count, 2, *self.size))
        return logits[:, :, :rows]


# --- the training ------------------------------------------------------------------------------------------------


@dataclass
class State:
    """All that a training step reads and changes.  ``average`` follows the model."""

    model: RasterModel
    optimizer: optim.Optimizer
    batches: Batches
    average: optim.ExponentialMovingAverage[RasterModel] | None = None


def step(state: State) -> Mapping[str, Tensor]:
    """One step of maximum likelihood; the loss is −log p(x) in nats per pixel."""
    (x,) = state.batches.next()
    loss = -tg.mean(state.model.pixel_log_prob(x))
    state.optimizer.minimize(loss)
    if state.average is not None:
        state.average.update()
    return {"NLL": loss}


@tg.no_grad()
def evaluate(model: RasterModel, x: Tensor, size: int = 500) -> np.ndarray:
    """log p(x_i | x_<i) of each pixel (N, H, W) of given images, ``size`` images at a time."""
    parts = [model.pixel_log_prob(x[start : start + size]) for start in range(0, len(x), size)]
    found: np.ndarray = tg.concatenate(parts).numpy()
    return found


def influence(model: RasterModel, x: Tensor) -> np.ndarray:
    """How much one pixel sways what is said of another: (H, W, H, W).

    Entry (i, j, k, l) is the mean of |∂ (logit_1 − logit_0)(i, j) / ∂ x(k, l)| over given images.  It is exactly zero
    where pixel (i, j) cannot see (k, l): at itself, after it, and in a blind spot.
    """

    def log_odds(x: Tensor) -> Tensor:
        logits: Tensor = model(x)
        return logits[:, 1] - logits[:, 0]

    slopes = tg.jacobian(log_odds, x, batch=True)[:, :, :, 0]
    found: np.ndarray = tg.mean(tg.abs(slopes), axis=0).numpy()
    return found
