"""Flows to check: right ones, and each with one of the mistakes that are made with it."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.random import Generator


class Planar(nn.Module):
    """x = z + u tanh(w·z + b) with w·u > −1 (FLOW-11, FLOW-13); the inverse solves for w·z by ``tg.root``."""

    mistake = ""

    def __init__(self, dim: int, *, rng: Generator) -> None:
        self.w = nn.Parameter(rng.normal(dim))
        self.raw_u = nn.Parameter(rng.normal(dim))
        self.b = nn.Parameter(tg.zeros(()))

    def u(self) -> Any:
        """The raw u moved along w so that w·u = softplus(w·u_raw) − 1 + a little."""
        inner, square = tg.sum(self.w * self.raw_u), tg.sum(self.w * self.w)
        if self.mistake == "norm":
            square = tg.sqrt(square)
        return self.raw_u + (0.05 + 0.95 * tg.softplus(inner) - 1.0 - inner) * self.w / square

    def log_det(self, along: Any) -> Any:
        slope = 1.0 - tg.square(tg.tanh(along + self.b))
        return tg.log(tg.abs(1.0 + slope * tg.sum(self.w * self.u())))

    def to_data(self, z: Any) -> Any:
        along = z @ self.w
        x = z + tg.expand_dims(tg.tanh(along + self.b), 1) * self.u()
        log_det = self.log_det(x @ self.w if self.mistake == "at output" else along)
        return x, -log_det if self.mistake == "wrong direction" else log_det

    def to_latent(self, x: Any) -> Any:
        gain = tg.sum(self.w * self.u())
        reach = abs(gain.item()) + 1.0
        target = x @ self.w
        low, high = tg.detach(target) - reach, tg.detach(target) + reach
        along = tg.root(lambda a, t, g, b: a + g * tg.tanh(a + b) - t, (low, high), target, gain, self.b)
        z = x - tg.expand_dims(tg.tanh(along + self.b), 1) * self.u()
        log_det = self.log_det(x @ self.w if self.mistake == "at output" else along)
        return z, log_det if self.mistake == "wrong direction" else -log_det


class PlanarTerm(Planar):
    """The determinant with ‖w‖ in place of ‖w‖²: u = c w makes w·u = c ‖w‖², which is taken for c ‖w‖."""

    def u(self) -> Any:
        return tg.softplus(self.raw_u[0]) * self.w

    def log_det(self, along: Any) -> Any:
        slope = 1.0 - tg.square(tg.tanh(along + self.b))
        square = tg.sum(self.w * self.w)
        size = tg.sqrt(square) if self.mistake == "norm" else square
        return tg.log(1.0 + slope * tg.softplus(self.raw_u[0]) * size)


class Coupling(nn.Module):
    """x₁ = z₁, x₂ = z₂ eˢ + t with (s, t) from z₁ (FLOW-15, FLOW-16); the last layer starts at zero: the identity."""

    mistake = ""

    def __init__(self, dim: int, *, rng: Generator) -> None:
        self.kept = dim - dim // 2
        moved = dim - self.kept
        self.body = nn.Sequential(nn.Linear(self.kept, 6, rng=rng), nn.Tanh(), nn.Linear(6, 2 * moved, rng=rng))
        for parameter in self.body[2].parameters():
            parameter.assign(tg.zeros_like(parameter).data)

    def scale_and_shift(self, kept: Any) -> Any:
        s, t = tg.split(self.body(kept), 2, axis=1)
        return s, t

    def log_det(self, s: Any) -> Any:
        return tg.sum(s[:, 1:] if self.mistake == "drops a column" else s, axis=1)

    def to_data(self, z: Any) -> Any:
        kept, moved = z[:, : self.kept], z[:, self.kept :]
        s, t = self.scale_and_shift(kept)
        sign = -1.0 if self.mistake == "wrong direction" else 1.0
        return tg.concatenate([kept, moved * tg.exp(s) + t], axis=1), sign * self.log_det(s)

    def to_latent(self, x: Any) -> Any:
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        s, t = self.scale_and_shift(kept)
        sign = -1.0 if self.mistake == "wrong direction" else 1.0
        log_det = self.log_det(s)
        if self.mistake == "detached":
            log_det = tg.detach(log_det)
        return tg.concatenate([kept, (moved - t) * tg.exp(-s)], axis=1), -sign * log_det


class DetachedCoupling(Coupling):
    """A log-determinant with the right value and no gradient."""

    def log_det(self, s: Any) -> Any:
        return tg.detach(tg.sum(s, axis=1))


class InverseAutoregressive(nn.Module):
    """x_t = z_t e^{s_t} + m_t with (s_t, m_t) from z_{<t} (AR-5): fast forwards, one dimension at a time backwards."""

    shift = 1  # the first of the later dimensions that z_t may move; 0 lets it move its own scale

    def __init__(self, dim: int, *, rng: Generator) -> None:
        self.scale_weight = nn.Parameter(0.5 * rng.normal((dim, dim)))
        self.shift_weight = nn.Parameter(rng.normal((dim, dim)))
        self.mask = nn.Constant(tg.tensor(np.triu(np.ones((dim, dim), np.float32), self.shift)))

    def terms(self, z: Any) -> Any:
        return tg.tanh(z @ (self.scale_weight * self.mask)), z @ (self.shift_weight * self.mask)

    def to_data(self, z: Any) -> Any:
        s, m = self.terms(z)
        return z * tg.exp(s) + m, tg.sum(s, axis=1)

    def to_latent(self, x: Any) -> Any:
        z = tg.zeros_like(x)
        for _ in range(x.shape[1]):  # after t rounds the first t dimensions are right
            s, m = self.terms(z)
            z = (x - m) * tg.exp(-s)
        return z, -tg.sum(self.terms(z)[0], axis=1)


class ShiftedIAF(InverseAutoregressive):
    """The index shifted by one: s_t and m_t see z_t itself."""

    shift = 0


class LateIAF(InverseAutoregressive):
    """The index shifted by one the other way, in the log-determinant: the scales of the dimensions before."""

    def to_data(self, z: Any) -> Any:
        x, _ = super().to_data(z)
        return x, tg.sum(self.terms(z)[0][:, :-1], axis=1)


class BatchMean:
    """Takes the mean of the batch away, which makes rows depend on each other."""

    def to_data(self, z: Any) -> Any:
        return z + tg.detach(tg.mean(z, axis=0)), tg.zeros(len(z), dtype=z.dtype)

    def to_latent(self, x: Any) -> Any:
        return x - 0.5 * tg.detach(tg.mean(x, axis=0)), tg.zeros(len(x), dtype=x.dtype)


class Exponential:
    """x = eᶻ: its data are positive."""

    def to_data(self, z: Any) -> Any:
        return tg.exp(z), tg.sum(z, axis=1)

    def to_latent(self, x: Any) -> Any:
        return tg.log(x), -tg.sum(tg.log(x), axis=1)


class Folded:
    """x = |z| and back: its round trip from the data is right, and it is no bijection."""

    def to_data(self, z: Any) -> Any:
        return tg.abs(z), tg.zeros(len(z), dtype=z.dtype)

    def to_latent(self, x: Any) -> Any:
        return x, tg.zeros(len(x), dtype=x.dtype)


class Halves:
    """x = z for z > 0 and 2z else, with a log-determinant that forgets so beyond 4, where random points do not look."""

    def to_data(self, z: Any) -> Any:
        return tg.where(z > 0, z, 2.0 * z), tg.sum(tg.where(z > 0, 0.0 * z, 0.0 * z + np.log(2.0)), axis=1)

    def to_latent(self, x: Any) -> Any:
        return tg.where(x > 0, x, 0.5 * x), tg.sum(tg.where(x > 0, 0.0 * x, 0.0 * x - np.log(2.0)), axis=1)
