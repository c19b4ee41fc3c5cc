"""Floor 5. Nine densities in the plane whose log-probability is exact, so that a model's gap to the truth is known.

Those made of round Gaussians are in ``mixtures.py``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygen import ops
from tinygen.backend import namespace
from tinygen.data.mixtures import Grid, Moons, Ring, Spirals
from tinygen.data.pushforward import LOG_2PI, Density, require
from tinygen.random import Generator
from tinygen.tensor import Tensor


def _squared_norm(x: Any) -> Any:
    return ops.sum(ops.square(x), axis=1)


@dataclass(frozen=True, kw_only=True)
class Banana(Density):
    """x₁ ~ N(0, 1), x₂ | x₁ ~ N(bend · x₁², sd²).  Entropy 1.922 nats."""

    bend: float = 0.5
    sd: float = 0.4

    def __post_init__(self) -> None:
        require(self, sd=self.sd > 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        residual = (x[:, 1] - self.bend * ops.square(x[:, 0])) / self.sd
        return -0.5 * (ops.square(x[:, 0]) + ops.square(residual)) - (LOG_2PI + math.log(self.sd))

    def _place(self, component: Any, noise: Any) -> Any:
        first = noise[:, 0]
        return ops.stack([first, self.bend * ops.square(first) + self.sd * noise[:, 1]], axis=1)


@dataclass(frozen=True, kw_only=True)
class Funnel(Density):
    """x₁ ~ N(0, sd²), x₂ | x₁ ~ N(0, exp x₁) (Neal 2003).  Entropy 2.838 nats."""

    sd: float = 1.0

    def __post_init__(self) -> None:
        require(self, sd=self.sd > 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        first = x[:, 0]
        squares = ops.square(first / self.sd) + ops.square(x[:, 1] * ops.exp(-0.5 * first))
        return -0.5 * (squares + first) - (LOG_2PI + math.log(self.sd))

    def _place(self, component: Any, noise: Any) -> Any:
        first = self.sd * noise[:, 0]
        return ops.stack([first, ops.exp(0.5 * first) * noise[:, 1]], axis=1)


@dataclass(frozen=True, kw_only=True)
class Pinwheel(Density):
    """``arms`` long Gaussians like the rays of a star, each turned by an angle that grows with the radius.

    Before turning, an arm is ``scale`` · (1 + radial_sd · ε₁, tangential_sd · ε₂).  A point at radius r is turned by
    twist · (r / scale)²: turning by an angle that depends on the radius alone keeps area, so the density is that of
    the point turned back.  Entropy 2.321 nats.
    """

    arms: int = 5
    radial_sd: float = 0.3
    tangential_sd: float = 0.1
    twist: float = 0.4
    scale: float = 2.0

    def __post_init__(self) -> None:
        positive = {name: getattr(self, name) > 0 for name in ("arms", "radial_sd", "tangential_sd", "scale")}
        require(self, **positive)

    @property
    def _components(self) -> int:
        return self.arms

    def _log_prob(self, x: Tensor) -> Tensor:
        back = self._turned(x, -1.0)
        exponents = []
        for arm in range(self.arms):
            c, s = math.cos(2 * math.pi * arm / self.arms), math.sin(2 * math.pi * arm / self.arms)
            along = (c * back[:, 0] + s * back[:, 1]) / self.scale - 1.0
            across = (c * back[:, 1] - s * back[:, 0]) / self.scale
            exponents.append(ops.square(along / self.radial_sd) + ops.square(across / self.tangential_sd))
        area = self.arms * self.radial_sd * self.tangential_sd * self.scale**2
        return ops.logsumexp(-0.5 * ops.stack(exponents, axis=1), axis=1) - (LOG_2PI + math.log(area))

    def _place(self, component: Any, noise: Any) -> Any:
        angle = ops.astype(component, noise.dtype) * (2.0 * math.pi / self.arms)
        c, s = ops.cos(angle), ops.sin(angle)
        along = self.scale * (1.0 + self.radial_sd * noise[:, 0])
        across = self.scale * self.tangential_sd * noise[:, 1]
        return self._turned(ops.stack([c * along - s * across, s * along + c * across], axis=1), 1.0)

    def _turned(self, x: Any, direction: float) -> Any:
        angle = (direction * self.twist / self.scale**2) * _squared_norm(x)
        c, s = ops.cos(angle), ops.sin(angle)
        return ops.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], axis=1)


# --- others ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rings(Density):
    """Radius |N(R, sd²)| for one of three equally likely R, and any angle.  Entropy 2.202 nats.

    p(x) = f(r) / (2πr), where the density f of the radius has a second term for normals below 0.  At the origin p
    is infinite (where f is tiny, at the default sd); there log_prob gives the value at the smallest radius whose
    square is a normal number.
    """

    radii: tuple[float, ...] = (0.8, 1.6, 2.4)
    sd: float = 0.08

    def __post_init__(self) -> None:
        require(self, radii=len(self.radii) > 0 and min(self.radii) > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:
        return len(self.radii)

    def _log_prob(self, x: Tensor) -> Tensor:
        squared = ops.maximum(_squared_norm(x), float(np.finfo(x.dtype).tiny))
        r = ops.sqrt(squared)
        both = ops.stack([r - R for R in self.radii] + [r + R for R in self.radii], axis=1)
        log_f = ops.logsumexp(-0.5 * ops.square(both / self.sd), axis=1)
        return log_f - 0.5 * ops.log(squared) - (1.5 * LOG_2PI + math.log(len(self.radii) * self.sd))

    def sample(self, rng: Generator, n: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        noise = rng.normal(n, dtype=dtype, device=device)
        angle = 2.0 * math.pi * rng.uniform(n, dtype=dtype, device=device)
        ring = rng.integers(0, len(self.radii), n, device=device)
        centre = sum(R * ops.astype(ring == k, noise.dtype) for k, R in enumerate(self.radii))
        r = centre + self.sd * noise  # below 0 it is the same ring at the opposite angle
        return ops.stack([r * ops.cos(angle), r * ops.sin(angle)], axis=1)

    def _nodes(self) -> tuple[Any, np.ndarray]:
        nodes, weights = np.polynomial.hermite_e.hermegauss(64)
        r = np.concatenate([R + self.sd * nodes for R in self.radii])
        shares = np.tile(weights / weights.sum(), len(self.radii)) / len(self.radii)
        return np.stack([r, np.zeros_like(r)], axis=1), shares


@dataclass(frozen=True, kw_only=True)
class Checkerboard(Density):
    """Uniform on every second cell of a ``cells`` × ``cells`` board of edge ``width``.  Entropy 2.079 = ln 8 nats.

    Outside the support log p is −∞; its gradient is 0 wherever it exists.
    """

    cells: int = 4
    width: float = 4.0

    def __post_init__(self) -> None:
        if self.cells < 2 or self.cells % 2:
            raise ValueError(f"density: cells must be even and positive, got {self.cells} in {self!r}")
        require(self, width=self.width > 0)

    @cached_property
    def entropy(self) -> float:
        return math.log(self.width**2 / 2)

    def _log_prob(self, x: Tensor) -> Tensor:
        xp = namespace(x.data)
        cell = xp.clip(xp.floor((x.data / self.width + 0.5) * self.cells), -1, self.cells)
        outside = ((cell < 0) | (cell == self.cells)).any(axis=1) | (cell.sum(axis=1) % 2 == 1)  # NaN is not outside
        # 0 · x: the result depends on x, as its type promises, with gradient 0
        nothing = 0.0 * ops.sum(ops.where(outside[:, None], 0.0, x), axis=1)
        return ops.where(outside, -math.inf, nothing - self.entropy)

    def sample(self, rng: Generator, n: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        unit = rng.uniform((n, 2), dtype=dtype, device=device)
        column = rng.integers(0, self.cells, n, device=device)
        pair = rng.integers(0, self.cells // 2, n, device=device)
        xp = namespace(column.data)
        row = 2 * pair.data + column.data % 2  # both even or both odd
        corner = xp.stack([column.data, row], axis=1).astype(unit.dtype)
        made: Tensor = ((unit + corner) / self.cells - 0.5) * self.width
        return made


# --- by name -----------------------------------------------------------------------------------------------------

DENSITIES: dict[str, type[Density]] = {
    "ring": Ring, "grid": Grid, "banana": Banana, "funnel": Funnel, "rings": Rings, "checkerboard": Checkerboard,
    "pinwheel": Pinwheel, "moons": Moons, "spirals": Spirals,
}  # fmt: skip


def density(name: str, **parameters: Any) -> Density:
    """The density called ``name``: ring, grid, banana, funnel, rings, checkerboard, pinwheel, moons or spirals.

    Parameters are the fields of its class.  Raises ValueError for another name or a parameter out of range, and
    TypeError for a parameter that the density does not have.

    >>> import tinygen as tg
    >>> ring = tg.data.density("ring", sd=0.02)
    >>> x = ring.sample(tg.random.Generator(0), 1000)
    >>> x.shape, ring.log_prob(x).shape, round(ring.entropy, 3)
    ((1000, 2), (1000,), -2.907)
    """
    if name not in DENSITIES:
        raise ValueError(f"density: there is no density {name!r}; there are {', '.join(sorted(DENSITIES))}")
    kind = DENSITIES[name]
    allowed = [f.name for f in dataclasses.fields(kind) if f.init]
    if unknown := sorted(set(parameters) - set(allowed)):
        raise TypeError(f"density: {name!r} has no parameter {', '.join(unknown)}; it has {', '.join(allowed)}")
    return kind(**parameters)
