"""Floor 5. Densities made of round Gaussians: on a ring, on a grid, and all along a curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinygen import ops
from tinygen.data.pushforward import LOG_2PI, Density, Modes, normal_nodes, require
from tinygen.random import Generator
from tinygen.tensor import Tensor


@dataclass(frozen=True, kw_only=True)
class _Mixture(Density):
    """Σ_k w_k N(x; c_k, sd² I), with the centres and weights of ``_table``."""

    sd: float
    _placed: dict[Any, tuple[Tensor, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres (K, 2) and weights (K,) in float64."""
        raise NotImplementedError

    def _constants(self, like: Tensor) -> tuple[Tensor, ...]:
        """Centres and log-weights in the dtype and on the device of ``like``, put there once."""
        key = (like.device, like.dtype)
        if key not in self._placed:
            centres, weights = self._table()
            tables = (centres, np.log(weights))
            self._placed[key] = tuple(ops.tensor(t.astype(like.dtype), device=like.device) for t in tables)
        return self._placed[key]

    def _log_prob(self, x: Tensor) -> Tensor:
        centres, log_weights = self._constants(x)
        # Differences first: |x|² − 2 x·c + |c|² would lose the digits that a small sd needs.
        squares = ops.square(x[:, :1] - centres[:, 0]) + ops.square(x[:, 1:] - centres[:, 1])
        return ops.logsumexp(log_weights - squares / (2.0 * self.sd**2), axis=1) - (LOG_2PI + 2.0 * math.log(self.sd))


@dataclass(frozen=True, kw_only=True)
class _CountedModes(_Mixture):
    """Equal weights: the centres are modes."""

    def _centres(self) -> np.ndarray:
        raise NotImplementedError

    @property
    def modes(self) -> Modes:
        return Modes(self._centres(), self.sd)

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        centres = self._centres()
        return centres, np.full(len(centres), 1.0 / len(centres))

    def _place(self, component: Any, noise: Any) -> Any:
        centres = self._constants(noise)[0] if isinstance(noise, Tensor) else self._centres()
        return ops.take(centres, component, 0) + noise * self.sd


@dataclass(frozen=True, kw_only=True)
class Ring(_CountedModes):
    """``components`` Gaussians, equally spaced on a circle.  Entropy 1.698 nats."""

    components: int = 8
    radius: float = 2.0
    sd: float = 0.2

    def __post_init__(self) -> None:
        require(self, components=self.components > 0, radius=self.radius > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:
        return self.components

    def _centres(self) -> np.ndarray:
        angle = 2.0 * math.pi * np.arange(self.components) / self.components
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Grid(_CountedModes):
    """``side`` × ``side`` Gaussians on a square lattice round the origin.  Entropy 1.451 nats."""

    side: int = 5
    spacing: float = 1.0
    sd: float = 0.1

    def __post_init__(self) -> None:
        require(self, side=self.side > 0, spacing=self.spacing > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:
        return self.side**2

    def _centres(self) -> np.ndarray:
        line = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


# --- Gaussian noise round a curve --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Curves(_Mixture):
    """A point that moves uniformly in t ∈ [0, span] on one of two curves, plus Gaussian noise in the plane.

    p(x) = ½ Σ_arm ∫ N(x; c_arm(t), sd² I) dt / span, by Gauss–Legendre nodes in t about half an sd apart, where the
    formula is exact to nine digits: a mixture with one component a node.
    """

    _span: ClassVar[float]
    _fastest: ClassVar[float]  # largest |c′(t)|

    def __post_init__(self) -> None:
        require(self, sd=self.sd > 0)

    @property
    def _components(self) -> int:
        return 2

    def _curve(self, arm: Any, t: Any) -> Any:
        """Points (n, 2) at times t of the curves ``arm``, which is 0.0 or 1.0."""
        raise NotImplementedError

    @property
    def _width(self) -> int:
        return 2 * max(200, math.ceil(2.0 * self._fastest * self._span / self.sd))

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        times, weights = self._times(self._width // 2)
        return np.concatenate([self._curve(arm, times) for arm in (0.0, 1.0)]), np.tile(weights, 2) / 2

    def _times(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        return self._span * (nodes + 1) / 2, weights / 2

    def sample(self, rng: Generator, n: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        noise = rng.normal((n, 2), dtype=dtype, device=device)
        time = rng.uniform(n, dtype=dtype, device=device) * self._span
        arm = ops.astype(rng.integers(0, 2, n, device=device), noise.dtype)
        made: Tensor = self._curve(arm, time) + noise * self.sd
        return made

    def _nodes(self) -> tuple[Any, np.ndarray]:
        noise, weights = normal_nodes(24)
        times, shares = self._times(64)
        # One curve is the other one turned by half a circle: the first is enough.
        centres = np.repeat(self._curve(0.0, times), len(weights), axis=0)
        noise = np.tile(noise, (len(times), 1)) * self.sd
        return centres + noise, np.outer(shares, weights).ravel()


@dataclass(frozen=True, kw_only=True)
class Moons(_Curves):
    """Two half circles of radius 1 that reach into each other.  Entropy 1.008 nats."""

    sd: float = 0.1
    _span: ClassVar[float] = math.pi
    _fastest: ClassVar[float] = 1.0

    def _curve(self, arm: Any, t: Any) -> Any:
        side = 1.0 - 2.0 * arm
        return ops.stack([arm + side * ops.cos(t), 0.5 * arm + side * ops.sin(t)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Spirals(_Curves):
    """Two Archimedean spirals of one and a half turns, radius t / 3 at angle t.  Entropy 2.534 nats."""

    sd: float = 0.12
    _span: ClassVar[float] = 3.0 * math.pi
    _fastest: ClassVar[float] = math.hypot(1.0, 3.0 * math.pi) / 3.0

    def _curve(self, arm: Any, t: Any) -> Any:
        radius = (1.0 - 2.0 * arm) * t / 3.0
        return ops.stack([radius * ops.cos(t), radius * ops.sin(t)], axis=1)
