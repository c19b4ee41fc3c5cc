"""Floor 5. Nine densities in the plane whose log-probability is exact, so that a model's gap to the truth is known.

Each is a push-forward: a component, chosen uniformly, and two standard normals are *placed* in the plane.  The
sampler draws them, the entropy integrates −log p over them by Gauss quadrature.  The mean of −log q over samples
minus the entropy is the divergence KL(p ‖ q) of a model q.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygen import ops
from tinygen.backend import namespace
from tinygen.random import Generator
from tinygen.record import no_grad
from tinygen.tensor import Tensor

_LOG_2PI = math.log(2.0 * math.pi)
_PAIRS = 1 << 22  # points × components that log_prob works on at a time: heat maps with many points stay in memory


class Modes(NamedTuple):
    """The centres (K, 2) of equally likely round Gaussians, and their standard deviation."""

    centres: np.ndarray
    sd: float


@dataclass(frozen=True)
class Density:
    """A density in the plane: ``log_prob``, ``sample``, ``entropy``, and ``modes`` where it has such."""

    def log_prob(self, x: Any) -> Tensor:
        """log p (N,) in nats at points x (N, 2), differentiable; in the dtype and on the device of x.

        Raises ValueError for another shape, TypeError for integers.
        """
        x = points(type(self).__name__, x)
        rows = max(1, _PAIRS // self._width)
        if len(x) <= rows:
            return self._log_prob(x)
        return ops.concatenate([self._log_prob(x[start : start + rows]) for start in range(0, len(x), rows)])

    def sample(self, rng: Generator, n: int, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """``n`` independent points (n, 2); dtype and device default to tinygen's."""
        noise = rng.normal((n, 2), dtype=dtype, device=device)
        return self._place(rng.integers(0, self._components, n, device=device), noise)

    @cached_property
    def entropy(self) -> float:
        """−E log p in nats, exact to four digits: Gauss quadrature in float64, computed once."""
        places, weights = self._nodes()
        with no_grad():
            log_p = self.log_prob(ops.tensor(places, dtype=np.float64, device="cpu"))
        return -float(weights @ log_p.numpy())

    @property
    def modes(self) -> Modes | None:
        """The Gaussians that the density is made of, where modes can be counted; else None."""
        return None

    _components: ClassVar[int] = 1

    @property
    def _width(self) -> int:
        """How many numbers ``_log_prob`` works on for each point."""
        return self._components

    def _log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _place(self, component: Any, noise: Any) -> Any:
        """Points (n, 2) from components (n,) and standard normals (n, 2); of tensors or of host arrays."""
        raise NotImplementedError

    def _nodes(self) -> tuple[Any, np.ndarray]:
        """Points (M, 2) and weights (M,) of a quadrature formula for expectations under this density."""
        noise, weights = normal_nodes(48)
        component = np.repeat(np.arange(self._components), len(weights))
        spread = np.tile(weights, self._components) / self._components
        return self._place(component, np.tile(noise, (self._components, 1))), spread


def points(name: str, x: Any) -> Tensor:
    """``x`` as a floating tensor (N, 2), or an error in the name of a density."""
    x = x if isinstance(x, Tensor) else ops.tensor(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{name}.log_prob: x must be points (N, 2), got shape {x.shape}; use reshape(-1, 2)")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}.log_prob: x must be floating, got {x.dtype}; use .astype(...)")
    return x


def normal_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Hermite formula for two standard normals: nodes (count², 2) and weights (count²,) that sum to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid, np.outer(weights, weights).ravel()


def _require(density: Density, **holds: bool) -> None:
    for name, good in holds.items():
        if not good:
            raise ValueError(f"density: {name} cannot be {getattr(density, name)!r} in {density!r}; it must be positive")


def _squared_norm(x: Any) -> Any:
    return ops.sum(ops.square(x), axis=1)


# --- mixtures of round Gaussians ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mixture(Density):
    """Σ_k w_k N(x; c_k, sd² I), with the centres and weights of ``_table``."""

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
        sd: float = self.sd  # type: ignore[attr-defined]
        return ops.logsumexp(log_weights - squares / (2.0 * sd**2), axis=1) - (_LOG_2PI + 2.0 * math.log(sd))


@dataclass(frozen=True)
class _CountedModes(_Mixture):
    """Equal weights: the centres are modes."""

    def _centres(self) -> np.ndarray:
        raise NotImplementedError

    @property
    def modes(self) -> Modes:
        return Modes(self._centres(), self.sd)  # type: ignore[attr-defined]

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        centres = self._centres()
        return centres, np.full(len(centres), 1.0 / len(centres))

    def _place(self, component: Any, noise: Any) -> Any:
        centres = self._constants(noise)[0] if isinstance(noise, Tensor) else self._centres()
        return ops.take(centres, component, 0) + noise * self.sd  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Ring(_CountedModes):
    """``components`` Gaussians, equally spaced on a circle.  Entropy 1.698 nats."""

    components: int = 8
    radius: float = 2.0
    sd: float = 0.2

    def __post_init__(self) -> None:
        _require(self, components=self.components > 0, radius=self.radius > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:  # type: ignore[override]
        return self.components

    def _centres(self) -> np.ndarray:
        angle = 2.0 * math.pi * np.arange(self.components) / self.components
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@dataclass(frozen=True)
class Grid(_CountedModes):
    """``side`` × ``side`` Gaussians on a square lattice round the origin.  Entropy 1.451 nats."""

    side: int = 5
    spacing: float = 1.0
    sd: float = 0.1

    def __post_init__(self) -> None:
        _require(self, side=self.side > 0, spacing=self.spacing > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:  # type: ignore[override]
        return self.side**2

    def _centres(self) -> np.ndarray:
        line = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


# --- Gaussian noise round a curve --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curves(_Mixture):
    """A point that moves uniformly in t ∈ [0, span] on one of two curves, plus Gaussian noise in the plane.

    p(x) = ½ Σ_arm ∫ N(x; c_arm(t), sd² I) dt / span, by Gauss–Legendre nodes in t about half an sd apart, where the
    formula is exact to nine digits: a mixture with one component a node.
    """

    _span: ClassVar[float]
    _fastest: ClassVar[float]  # largest |c′(t)|
    _components: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _require(self, sd=self.sd > 0)  # type: ignore[attr-defined]

    def _curve(self, arm: Any, t: Any) -> Any:
        """Points (n, 2) at times t of the curves ``arm``, which is 0.0 or 1.0."""
        raise NotImplementedError

    @property
    def _width(self) -> int:
        return 2 * max(200, math.ceil(2.0 * self._fastest * self._span / self.sd))  # type: ignore[attr-defined]

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
        return self._curve(arm, time) + noise * self.sd  # type: ignore[attr-defined,no-any-return]

    def _nodes(self) -> tuple[Any, np.ndarray]:
        noise, weights = normal_nodes(24)
        times, shares = self._times(64)
        # One curve is the other one turned by half a circle: the first is enough.
        centres = np.repeat(self._curve(0.0, times), len(weights), axis=0)
        noise = np.tile(noise, (len(times), 1)) * self.sd  # type: ignore[attr-defined]
        return centres + noise, np.outer(shares, weights).ravel()


@dataclass(frozen=True)
class Moons(_Curves):
    """Two half circles of radius 1 that reach into each other.  Entropy 1.008 nats."""

    sd: float = 0.1
    _span: ClassVar[float] = math.pi
    _fastest: ClassVar[float] = 1.0

    def _curve(self, arm: Any, t: Any) -> Any:
        side = 1.0 - 2.0 * arm
        return ops.stack([arm + side * ops.cos(t), 0.5 * arm + side * ops.sin(t)], axis=1)


@dataclass(frozen=True)
class Spirals(_Curves):
    """Two Archimedean spirals of one and a half turns, radius t / 3 at angle t.  Entropy 2.534 nats."""

    sd: float = 0.12
    _span: ClassVar[float] = 3.0 * math.pi
    _fastest: ClassVar[float] = math.hypot(1.0, 3.0 * math.pi) / 3.0

    def _curve(self, arm: Any, t: Any) -> Any:
        radius = (1.0 - 2.0 * arm) * t / 3.0
        return ops.stack([radius * ops.cos(t), radius * ops.sin(t)], axis=1)


# --- changes of variables of a Gaussian --------------------------------------------------------------------------


@dataclass(frozen=True)
class Banana(Density):
    """x₁ ~ N(0, 1), x₂ | x₁ ~ N(bend · x₁², sd²).  Entropy 1.922 nats."""

    bend: float = 0.5
    sd: float = 0.4

    def __post_init__(self) -> None:
        _require(self, sd=self.sd > 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        residual = (x[:, 1] - self.bend * ops.square(x[:, 0])) / self.sd
        return -0.5 * (ops.square(x[:, 0]) + ops.square(residual)) - (_LOG_2PI + math.log(self.sd))

    def _place(self, component: Any, noise: Any) -> Any:
        first = noise[:, 0]
        return ops.stack([first, self.bend * ops.square(first) + self.sd * noise[:, 1]], axis=1)


@dataclass(frozen=True)
class Funnel(Density):
    """x₁ ~ N(0, sd²), x₂ | x₁ ~ N(0, exp x₁) (Neal 2003).  Entropy 2.838 nats."""

    sd: float = 1.0

    def __post_init__(self) -> None:
        _require(self, sd=self.sd > 0)

    def _log_prob(self, x: Tensor) -> Tensor:
        first = x[:, 0]
        squares = ops.square(first / self.sd) + ops.square(x[:, 1] * ops.exp(-0.5 * first))
        return -0.5 * (squares + first) - (_LOG_2PI + math.log(self.sd))

    def _place(self, component: Any, noise: Any) -> Any:
        first = self.sd * noise[:, 0]
        return ops.stack([first, ops.exp(0.5 * first) * noise[:, 1]], axis=1)


@dataclass(frozen=True)
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
        _require(self, **positive)

    @property
    def _components(self) -> int:  # type: ignore[override]
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
        return ops.logsumexp(-0.5 * ops.stack(exponents, axis=1), axis=1) - (_LOG_2PI + math.log(area))

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


@dataclass(frozen=True)
class Rings(Density):
    """Radius |N(R, sd²)| for one of three equally likely R, and any angle.  Entropy 2.202 nats.

    p(x) = f(r) / (2πr), where the density f of the radius has a second term for normals below 0.  At the origin p
    is infinite (where f is tiny, at the default sd); there log_prob gives the value at the smallest radius whose
    square is a normal number.
    """

    radii: tuple[float, ...] = (0.8, 1.6, 2.4)
    sd: float = 0.08

    def __post_init__(self) -> None:
        _require(self, radii=len(self.radii) > 0 and min(self.radii) > 0, sd=self.sd > 0)

    @property
    def _components(self) -> int:  # type: ignore[override]
        return len(self.radii)

    def _log_prob(self, x: Tensor) -> Tensor:
        squared = ops.maximum(_squared_norm(x), float(np.finfo(x.dtype).tiny))
        r = ops.sqrt(squared)
        both = ops.stack([r - R for R in self.radii] + [r + R for R in self.radii], axis=1)
        log_f = ops.logsumexp(-0.5 * ops.square(both / self.sd), axis=1)
        return log_f - 0.5 * ops.log(squared) - (1.5 * _LOG_2PI + math.log(len(self.radii) * self.sd))

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


@dataclass(frozen=True)
class Checkerboard(Density):
    """Uniform on every second cell of a ``cells`` × ``cells`` board of edge ``width``.  Entropy 2.079 = ln 8 nats.

    Outside the support log p is −∞; its gradient is 0 wherever it exists.
    """

    cells: int = 4
    width: float = 4.0

    def __post_init__(self) -> None:
        if self.cells < 2 or self.cells % 2:
            raise ValueError(f"density: cells must be even and positive, got {self.cells} in {self!r}")
        _require(self, width=self.width > 0)

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
        return ((unit + corner) / self.cells - 0.5) * self.width


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
