"""Autoencoder (AE-1 … AE-3, AE-6): an encoder M to a short code and a decoder G that restores the data from it.

    minimise  E ‖x − G(M(x))‖²,   M: data → codes,   G: codes → data        (AE-1)

The code is too short to copy everything, so that only what the data have in common can pass: with linear maps it is
the principal subspace (AE-2).  Two numbers make a map to look at (AE-3).  It is no generative model: nothing says
which codes the decoder has seen, as M and G may be replaced by A·M and G·A⁻¹ for any invertible A (AE-6).

Source: Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.  Departures: trained
at once, not layer by layer; squared error.  Errors are sums over pixels and means over images: an error is the
squared Euclidean distance, and does not change its meaning with the size of the image.  Decoders end in a linear
map: a sigmoid saturates at "all white" in the first steps of a squared error on digits, and stays there.

Shapes: points (N, D) or images (N, 1, 16, 16) with values in [0, 1], codes (N, code).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.random import Generator
from tinygen.tensor import Tensor


class Autoencoder(nn.Module):
    """An encoder and a decoder: any two modules of which the second takes what the first gives."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction G(M(x)), of the shape of x."""
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


def linear(dimension: int, code: int, *, rng: Generator | None = None) -> Autoencoder:
    """Affine maps both ways: the optimum is PCA (AE-2)."""
    return Autoencoder(nn.Linear(dimension, code, rng=rng), nn.Linear(code, dimension, rng=rng))


def perceptron(
    dimension: int, code: int, hidden: tuple[int, ...] = (256, 128, 32), *, rng: Generator | None = None
) -> Autoencoder:
    """Perceptrons with ``hidden`` units a layer on the way in, and the same in reverse on the way out."""
    inward = _layers((dimension, *hidden, code), rng)
    outward = _layers((code, *reversed(hidden), dimension), rng)
    return Autoencoder(nn.Sequential(*inward), nn.Sequential(*outward))


def _layers(widths: tuple[int, ...], rng: Generator | None) -> list[nn.Module]:
    """Linear maps through these widths, with a nonlinearity between each two of them."""
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1], rng=rng)]
    for before, after in itertools.pairwise(widths[1:]):
        layers += [nn.SiLU(), nn.Linear(before, after, rng=rng)]
    return layers


def convolutional(code: int, channels: int = 16, *, rng: Generator | None = None) -> Autoencoder:
    """For images (N, 1, 16, 16): two strided convolutions to 4 × 4, a code, and the way back (CNN-3)."""
    encoder = nn.Sequential(
        nn.Conv2d(1, channels, 4, stride=2, padding=1, rng=rng),
        nn.LeakyReLU(0.1),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, rng=rng),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(2 * channels * 16, code, rng=rng),
    )
    return Autoencoder(encoder, ImageDecoder(code, channels, rng=rng))


class ImageDecoder(nn.Module):
    """A code (N, code) to an image (N, 1, 16, 16), by transposed convolutions."""

    def __init__(self, code: int, channels: int = 16, *, rng: Generator | None = None) -> None:
        self.channels = channels
        self.seed = nn.Linear(code, 2 * channels * 16, rng=rng)
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, rng=rng),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1, rng=rng),
        )

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.layers(tg.reshape(self.seed(z), (-1, 2 * self.channels, 4, 4)))
        return image


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """‖x − G(M(x))‖² of each example (N,), summed over all that an example is made of (AE-1)."""
    if x.shape != reconstruction.shape:
        raise ValueError(
            f"squared_error: a reconstruction of shape {reconstruction.shape} cannot be compared with x of shape "
            f"{x.shape}; a model must give back the shape that it got"
        )
    return tg.sum(tg.square(x - reconstruction), axis=tuple(range(1, x.ndim)))


@dataclass
class State:
    """All that a training step reads and changes."""

    model: nn.Module
    optimizer: optim.Optimizer
    batches: Batches


def step(state: State) -> Mapping[str, Tensor]:
    """One step down the mean squared error of a batch (AE-1)."""
    (x,) = state.batches.next()
    loss = tg.mean(squared_error(x, state.model(x)))
    state.optimizer.minimize(loss)
    return {"error": loss}


def error(model: nn.Module, x: Tensor) -> float:
    """The mean squared error on given data, in evaluation mode."""
    with tg.no_grad(), nn.evaluating(model):
        return float(tg.mean(squared_error(x, model(x))))


def recoded(model: Autoencoder, matrix: np.ndarray) -> Autoencoder:
    """The pair (A·M, G·A⁻¹): other codes, the same reconstructions, the same loss (AE-6).  A is (code, code)."""
    last = list(model.encoder.modules())[-1]
    code = last.weight.shape[0] if isinstance(last, nn.Linear) else len(matrix)
    if matrix.shape != (code, code):
        raise ValueError(f"recoded: for codes of {code} numbers the matrix must be {(code, code)}, got {matrix.shape}")
    forth, back = (_linear_map(a) for a in (matrix, np.linalg.inv(matrix)))
    return Autoencoder(nn.Sequential(model.encoder, forth), nn.Sequential(back, model.decoder))


def _linear_map(matrix: np.ndarray) -> nn.Linear:
    made = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, rng=Generator(0))  # its values are replaced at once
    made.load_state_dict({"weight": matrix})
    return made


def decoder_projector(model: Autoencoder) -> np.ndarray:
    """The orthogonal projector (D, D) on all that the decoder of a linear autoencoder can make, less its bias.

    At the optimum it is the principal one (AE-2).  The product G·M itself is the projector only along directions in
    which the data vary: what it does to pixels that are always white, no loss can tell.
    """
    if not isinstance(model.decoder, nn.Linear):
        raise TypeError("decoder_projector: the decoder must be one Linear module; make the autoencoder with linear()")
    basis, _ = np.linalg.qr(model.decoder.weight.numpy().astype(np.float64))
    projector: np.ndarray = basis @ basis.T
    return projector


class CodeDensity:
    """A Gaussian fitted to codes (N, code): the simplest remedy for AE-6, a law to draw codes from."""

    def __init__(self, codes: Tensor) -> None:
        values = codes.numpy().astype(np.float64)
        centred = values - values.mean(axis=0)
        covariance = centred.T @ centred / len(values)
        # A code that does not vary makes the covariance singular; so small an addition changes no other.
        factor = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) * np.eye(len(covariance)))
        parameters = (values.mean(axis=0), factor)
        self.mean, self.factor = (tg.tensor(a.astype(codes.dtype), device=codes.device) for a in parameters)

    def sample(self, rng: Generator, count: int) -> Tensor:
        """Codes (count, code) from the fitted Gaussian."""
        noise = rng.normal((count, self.mean.size), dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + noise @ self.factor.T
