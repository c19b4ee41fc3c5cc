"""Floor 5. Four unnormalised densities in the plane, p(z) ∝ exp(−U(z)), with their exact normalising constants.

Source: Rezende & Mohamed 2015, Variational Inference with Normalizing Flows, table 1.  Departure: U2, U3 and U4 as
printed have infinite mass, for they do not bound z₁; here a soft wall is added beyond |z₁| = 4.  They are targets of
reverse KL (FLOW): E_q[log q + U] = KL(q ‖ p) − log Z, so with log Z the loss tells the divergence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygen import ops
from tinygen.data.pushforward import points
from tinygen.tensor import Tensor

_ROOT_2PI = math.sqrt(2.0 * math.pi)


def _gaussian_exponent(x: Any, sd: float) -> Any:
    return -0.5 * ops.square(x / sd)


def _wave(z1: Any) -> Any:
    return ops.sin(0.5 * math.pi * z1)  # w₁


def _u1(z1: Any, z2: Any) -> Any:
    """A ring of radius 2 with two heavy sides."""
    norm = ops.linalg.norm(ops.stack([z1, z2], axis=-1), axis=-1)  # its gradient is 0 at the origin, not NaN
    sides = ops.logaddexp(_gaussian_exponent(z1 - 2.0, 0.6), _gaussian_exponent(z1 + 2.0, 0.6))
    return -_gaussian_exponent(norm - 2.0, 0.4) - sides


def _u2(z1: Any, z2: Any) -> Any:
    """A sine wave."""
    return -_gaussian_exponent(z2 - _wave(z1), 0.4)


def _u3(z1: Any, z2: Any) -> Any:
    """A sine wave that splits and meets again."""
    bump = 3.0 * ops.exp(_gaussian_exponent(z1 - 1.0, 0.6))  # w₂
    rest = z2 - _wave(z1)
    return -ops.logaddexp(_gaussian_exponent(rest, 0.35), _gaussian_exponent(rest + bump, 0.35))


def _u4(z1: Any, z2: Any) -> Any:
    """A sine wave that forks."""
    step = 3.0 * ops.sigmoid((z1 - 1.0) / 0.3)  # w₃
    rest = z2 - _wave(z1)
    return -ops.logaddexp(_gaussian_exponent(rest, 0.4), _gaussian_exponent(rest + step, 0.35))


# name: (energy, mass in z₂ at each z₁); ∫ exp(−U) dz₂ does not depend on z₁ in the last three
_ENERGIES: dict[str, tuple[Callable[[Any, Any], Any], float | None]] = {
    "U1": (_u1, None), "U2": (_u2, 0.4 * _ROOT_2PI), "U3": (_u3, 0.7 * _ROOT_2PI), "U4": (_u4, 0.75 * _ROOT_2PI),
}  # fmt: skip


@dataclass(frozen=True)
class Energy:
    """U(z) and log Z = log ∫ exp(−U).  ``bound``, ``wall``: where U2 to U4 begin to rise, and how far they leak.

    Beyond |z₁| = bound the energy rises as that of a normal with standard deviation ``wall``.

    >>> import tinygen as tg
    >>> target = tg.data.energy("U1")
    >>> target([[2.0, 0.0]]).shape, round(target.log_normaliser, 4)
    ((1,), 1.8775)
    """

    name: str
    bound: float = 4.0
    wall: float = 0.2

    def __post_init__(self) -> None:
        if self.name not in _ENERGIES:
            raise ValueError(f"energy: there is no energy {self.name!r}; there are {', '.join(_ENERGIES)}")
        if not (self.bound > 0 and self.wall > 0):
            raise ValueError(f"energy: bound and wall must be positive, got {self!r}")

    def __call__(self, z: Any) -> Tensor:
        """U (N,) at points z (N, 2), differentiable.  Wrong shapes raise ValueError, integers TypeError."""
        z = points("energy", z)
        u, mass = _ENERGIES[self.name]
        energy: Tensor = u(z[:, 0], z[:, 1])
        if mass is not None:
            energy = energy - _gaussian_exponent(ops.relu(abs(z[:, 0]) - self.bound), self.wall)
        return energy

    def log_prob(self, z: Any) -> Tensor:
        """log p (N,) = −U − log Z, in nats."""
        return -self(z) - self.log_normaliser

    @cached_property
    def log_normaliser(self) -> float:
        """log Z: in closed form for U2 to U4; for U1 by the trapezoid rule, which is exact to rounding here."""
        mass = _ENERGIES[self.name][1]
        if mass is not None:
            return math.log(mass * (2.0 * self.bound + self.wall * _ROOT_2PI))
        step = 0.02
        line = np.arange(-6.0, 6.0 + step / 2, step)
        total = sum(float(np.exp(-_u1(line, np.full_like(line, z2))).sum()) for z2 in line)
        return math.log(total * step**2)


def energy(name: str, *, bound: float = 4.0, wall: float = 0.2) -> Energy:
    """The energy U1, U2, U3 or U4."""
    return Energy(name, bound, wall)
