"""Floor 5. What the densities in the plane share: log-probability, sampler and entropy from one description.

Each is a push-forward: a component, chosen uniformly, and two standard normals are *placed* in the plane.  The
sampler draws them, the entropy integrates −log p over them by Gauss quadrature.  The mean of −log q over samples
minus the entropy is the divergence KL(p ‖ q) of a model q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tinygen import ops
from tinygen.random import Generator
from tinygen.record import no_grad
from tinygen.tensor import Tensor

LOG_2PI = math.log(2.0 * math.pi)
_PAIRS = 1 << 22  # points × components that log_prob works on at a time: heat maps with many points stay in memory


class Modes(NamedTuple):
    """The centres (K, 2) of equally likely round Gaussians, and their standard deviation."""

    centres: np.ndarray
    sd: float


@dataclass(frozen=True, kw_only=True)
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
        made: Tensor = self._place(rng.integers(0, self._components, n, device=device), noise)
        return made

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

    @property
    def _components(self) -> int:
        return 1

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
    found: Tensor = x if isinstance(x, Tensor) else ops.tensor(x)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"{name}.log_prob: x must be points (N, 2), got shape {found.shape}; use reshape(-1, 2)")
    if found.dtype.kind != "f":
        raise TypeError(f"{name}.log_prob: x must be floating, got {found.dtype}; use .astype(...)")
    return found


def normal_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Hermite formula for two standard normals: nodes (count², 2) and weights (count²,) that sum to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid, np.outer(weights, weights).ravel()


def require(density: Density, **holds: bool) -> None:
    """ValueError naming the first parameter that does not hold what it must."""
    for name, good in holds.items():
        if not good:
            raise ValueError(f"density: {name} must be positive, got {getattr(density, name)!r} in {density!r}")
