"""Floor 5. Random series x₁, x₂, … whose exact conditional densities are known: teachers to learn from, and to beat.

Every process here is Gaussian given the past (AR-1, AR-2): p(x_t | x_<t) = N(m_t, s_t²).  A model's mean negative
log-likelihood minus the truth's, on the same samples, is its divergence from the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygen import ops
from tinygen.random import Generator
from tinygen.tensor import Tensor

_LOG_2PI = math.log(2.0 * math.pi)


class Series:
    """Base of the processes: what follows from the conditional mean and standard deviation."""

    def conditional(self, x: Any) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (N, T), of x_t given x_<t, for series x (N, T); differentiable in x."""
        raise NotImplementedError

    def sample(self, rng: Generator, n: int, length: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """``n`` independent series (n, length); dtype and device default to tinygen's."""
        raise NotImplementedError

    def entropy(self, length: int) -> float:
        """Exact entropy of ``length`` values together, in nats."""
        raise NotImplementedError

    def log_prob(self, x: Any) -> Tensor:
        """log p (N,) of whole series x (N, T), in nats: Σ_t log N(x_t; m_t, s_t²)."""
        x = _series(x)
        mean, sd = self.conditional(x)
        return -ops.sum(0.5 * ops.square((x - mean) / sd) + ops.log(sd) + 0.5 * _LOG_2PI, axis=1)


def _series(x: Any) -> Tensor:
    found: Tensor = x if isinstance(x, Tensor) else ops.tensor(x)
    if found.ndim != 2 or found.shape[1] == 0 or found.dtype.kind != "f":
        raise ValueError(f"series must be floating and of shape (N, T) with T > 0, got {found.dtype} {found.shape}")
    return found


def _check_length(length: int) -> None:
    if length < 1:
        raise ValueError(f"a series needs a length of at least 1, got {length!r}")


@dataclass(frozen=True)
class Autoregression(Series):
    """The stationary process x_t = Σ_i φ_i x_{t−i} + sd · ε_t, ε_t ~ N(0, 1).

    The first values follow the stationary distribution, so there is no burn-in: every stretch of a series has the
    same law.  Raises ValueError if the process is not stationary (a root of its polynomial outside the circle).
    """

    coefficients: tuple[float, ...]
    sd: float

    def __post_init__(self) -> None:
        if not self.coefficients or not self.sd > 0:
            raise ValueError(f"Autoregression: needs coefficients and a positive sd, got {self!r}")
        if (radius := float(abs(np.linalg.eigvals(self._companion)).max())) >= 1:
            raise ValueError(f"Autoregression: {self.coefficients} is not stationary, a root has modulus {radius:.4g}")

    @property
    def order(self) -> int:
        """How many past values count."""
        return len(self.coefficients)

    @property
    def entropy_rate(self) -> float:
        """Entropy of a value given all before it, in nats: ½ log(2πe sd²)."""
        return 0.5 * (_LOG_2PI + 1.0) + math.log(self.sd)

    def entropy(self, length: int) -> float:
        _check_length(length)
        _, sds = self._start
        return 0.5 * (_LOG_2PI + 1.0) * length + sum(
            math.log(sds[t] if t < self.order else self.sd) for t in range(length)
        )

    def covariance(self, length: int) -> np.ndarray:
        """Covariance matrix (length, length) of a stretch, in float64."""
        _check_length(length)
        lags = list(self._stationary[0])
        while len(lags) < length:  # γ_k = Σ_i φ_i γ_{k−i}
            lags.append(sum(c * lags[-1 - i] for i, c in enumerate(self.coefficients)))
        distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        return np.take(np.array(lags), distance)

    def conditional(self, x: Any) -> tuple[Tensor, Tensor]:
        x = _series(x)
        length, known = x.shape[1], min(self.order, x.shape[1])
        weights, sds = self._start
        first = x[:, :known] @ ops.tensor(weights[:known, :known].T, dtype=x.dtype, device=x.device)
        lagged = [c * x[:, known - 1 - i : length - 1 - i] for i, c in enumerate(self.coefficients) if length > known]
        mean = ops.concatenate([first, sum(lagged[1:], lagged[0])], axis=1) if lagged else first
        sd = np.concatenate([sds[:known], np.full(length - known, self.sd)])
        return mean, ops.broadcast_to(ops.tensor(sd, dtype=x.dtype, device=x.device), x.shape)

    def sample(self, rng: Generator, n: int, length: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """``n`` independent series (n, length), a block of 64 values at a time from the ``order`` values before it."""
        _check_length(length)
        noise = rng.normal((n, length), dtype=dtype, device=device)
        block = max(64, self.order)
        first = np.linalg.cholesky(self.covariance(block))
        past, response = self._block(block)
        first_t, past_t, response_t = (
            ops.tensor(table.T, dtype=noise.dtype, device=noise.device) for table in (first, past, response)
        )
        values = [noise[:, :block] @ first_t[: noise.shape[1], : noise.shape[1]]]
        for start in range(block, length, block):
            fresh = noise[:, start : start + block]
            size = fresh.shape[1]
            before = values[-1][:, -self.order :]
            values.append(before @ past_t[:, :size] + fresh @ response_t[:size, :size])
        return ops.concatenate(values, axis=1)

    @property
    def _companion(self) -> np.ndarray:
        """The matrix that moves (x_{t−1}, x_{t−2}, …) to (x_t, x_{t−1}, …), without the noise."""
        matrix = np.eye(self.order, k=-1)
        matrix[0] = self.coefficients
        return matrix

    @property
    def _stationary(self) -> np.ndarray:
        """Covariance P of ``order`` values in a row: the solution of P = F P Fᵀ + sd² e₁e₁ᵀ."""
        size = self.order
        noise = np.zeros(size * size)
        noise[0] = self.sd**2
        forward = np.kron(self._companion, self._companion)
        return np.linalg.solve(np.eye(size * size) - forward, noise).reshape(size, size)

    @cached_property
    def _start(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (p, p) of the mean of each of the first p values given those before it, and their sds (p,).

        With C = L Lᵀ, x = L ε: the rows of I − diag(L) L⁻¹ give the means, diag(L) the standard deviations.
        """
        factor = np.linalg.cholesky(self._stationary)
        sds = np.diag(factor)
        weights = np.eye(self.order) - sds[:, None] * np.linalg.inv(factor)
        return np.tril(weights, -1), sds  # exactly 0 where rounding would let a value see itself

    def _block(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """x = past @ (the ``order`` values before, oldest first) + response @ ε for the next ``length`` values."""
        power, past = np.eye(self.order), []
        for _ in range(length):
            power = self._companion @ power
            past.append(power[0, ::-1])
        response = [1.0, *(float(row[-1]) for row in past[:-1])]  # after a unit impulse
        delay = np.subtract.outer(np.arange(length), np.arange(length))
        return np.array(past), self.sd * np.where(delay >= 0, np.array(response)[abs(delay)], 0.0)


def resonator() -> Autoregression:
    """The default teacher: two damped oscillations, poles .98 at frequency .05 and .95 at .18 a step; noise .1.

    Its entropy rate is −.8836 nats a value, its standard deviation 1.19.

    >>> round(resonator().entropy_rate, 4)
    -0.8836
    """
    poles = [r * np.exp(2j * np.pi * f * side) for r, f in ((0.98, 0.05), (0.95, 0.18)) for side in (1, -1)]
    return Autoregression(tuple(float(c) for c in -np.poly(poles).real[1:]), 0.1)


def ar1(coefficient: float = 0.9, sd: float = 0.5) -> Autoregression:
    """x_t = coefficient · x_{t−1} + sd · ε_t, stationary: the teacher whose best student is known in closed form."""
    return Autoregression((coefficient,), sd)


@dataclass(frozen=True)
class SineProcess(Series):
    """A nonlinear teacher: x_t ~ N(1.5 sin(1.5 x_{t−1}), (.2 + .3 σ(2 x_{t−1}))²), from x₀ = ``start``."""

    start: float = 0.5

    def conditional(self, x: Any) -> tuple[Tensor, Tensor]:
        x = _series(x)
        start = ops.full((len(x), 1), self.start, dtype=x.dtype, device=x.device)
        return self._step(ops.concatenate([start, x[:, :-1]], axis=1))

    def sample(self, rng: Generator, n: int, length: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        _check_length(length)
        noise = rng.normal((n, length), dtype=dtype, device=device)
        values = [ops.full_like(noise[:, 0], self.start)]
        for t in range(length):
            mean, sd = self._step(values[-1])
            values.append(mean + sd * noise[:, t])
        return ops.stack(values[1:], axis=1)

    def entropy(self, length: int) -> float:
        """Σ_t ½ log 2πe + E log s_t, with the law of x_{t−1} carried along on a fine grid."""
        _check_length(length)
        step = 0.02
        line = np.arange(-5.0, 5.0 + step / 2, step)  # the means lie within ±1.5, seven of the largest sds away
        mean, sd = self._step(line)
        onto = np.exp(-0.5 * ((line[:, None] - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi)) * step
        mean, sd = self._step(np.array(self.start))
        share = np.exp(-0.5 * ((line - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi)) * step
        total, log_sd = math.log(sd), np.log(self._step(line)[1])
        for _ in range(length - 1):
            total += float(share @ log_sd)
            share = onto @ share
        return float(total) + 0.5 * (_LOG_2PI + 1.0) * length

    def _step(self, before: Any) -> tuple[Any, Any]:
        """Mean and standard deviation given the value before; of tensors or of host arrays."""
        return 1.5 * ops.sin(1.5 * before), 0.2 + 0.3 * ops.sigmoid(2.0 * before)


@dataclass(frozen=True)
class CausalField:
    """Binary pixels in raster order: P(pixel = 1 | left, up) = σ(coupling · (l + u)), neighbours ±1, 0 outside.

    At coupling 1 on 8 × 8 pixels the entropy is .51659 nats a pixel (log 2 = .693 if pixels were independent): a
    model below that has seen what it predicts.
    """

    side: int = 8
    coupling: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.side <= 16:
            raise ValueError(f"CausalField: side must be 1 to 16 (the entropy sums over 2**side rows), got {self.side}")

    def logits(self, x: Any) -> Tensor:
        """Logits (N, 1, side, side) of each pixel given those before it, for pixels x of that shape, 0.0 or 1.0."""
        x = x if isinstance(x, Tensor) else ops.tensor(x)
        if x.shape[1:] != (1, self.side, self.side) or x.dtype.kind != "f":
            expected = f"(N, 1, {self.side}, {self.side})"
            raise ValueError(f"CausalField: pixels must be floating and {expected}, got {x.dtype} {x.shape}")
        spins = 2.0 * x - 1.0
        left = ops.pad(spins[..., :-1], ((0, 0), (0, 0), (0, 0), (1, 0)))
        up = ops.pad(spins[..., :-1, :], ((0, 0), (0, 0), (1, 0), (0, 0)))
        return self.coupling * (left + up)

    def log_prob(self, x: Any) -> Tensor:
        """log p (N,) of whole fields, in nats."""
        x = x if isinstance(x, Tensor) else ops.tensor(x)
        return ops.sum(ops.log_sigmoid((2.0 * x - 1.0) * self.logits(x)), axis=(1, 2, 3))

    def sample(self, rng: Generator, n: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """``n`` independent fields (n, 1, side, side) of 0.0 and 1.0."""
        uniform = rng.uniform((n, self.side, self.side), dtype=dtype, device=device)
        nothing = ops.zeros_like(uniform[:, 0, 0])
        rows: list[list[Tensor]] = [[nothing] * self.side]
        for i in range(self.side):
            row = [nothing]
            for j in range(self.side):
                probability = ops.sigmoid(self.coupling * (row[-1] + rows[-1][j]))
                row.append(2.0 * ops.astype(uniform[:, i, j] < probability, uniform.dtype) - 1.0)
            rows.append(row[1:])
        field = ops.stack([ops.stack(row, axis=1) for row in rows[1:]], axis=1)
        return ops.expand_dims(0.5 * (field + 1.0), 1)

    @cached_property
    def entropy(self) -> float:
        """Exact, in nats for the whole field: the law of the last ``side`` pixels is carried along, 2**side states.

        Axis j of the table stands for column j: at pixel (i, j) it holds the pixel above, and is replaced.
        """
        law = np.ones((1,) * self.side)  # axis of one state: outside, spin 0
        total = 0.0
        for _ in range(self.side):
            for j in range(self.side):
                up, left = self._spins(law, j), self._spins(law, j - 1) if j else np.zeros(1)
                logit = self.coupling * (up + left)
                p = 1.0 / (1.0 + np.exp(-logit))
                total += float((law * (np.logaddexp(0.0, logit) - p * logit)).sum())  # E h(p)
                law = np.concatenate([(law * (1.0 - p)).sum(j, keepdims=True), (law * p).sum(j, keepdims=True)], j)
        return total

    def _spins(self, law: np.ndarray, column: int) -> np.ndarray:
        """The values of one column, along its axis of the table."""
        values = np.array([0.0]) if law.shape[column] == 1 else np.array([-1.0, 1.0])
        return values.reshape([-1 if axis == column else 1 for axis in range(self.side)])
