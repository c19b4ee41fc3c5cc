"""Floor 5. Spectral normalisation: a weight divided by its largest singular value (WGAN-6; Miyato et al. 2018)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import tinygen.ops as ops
from tinygen import random
from tinygen.backend import Array
from tinygen.nn.convolution import ConvTranspose1d, ConvTranspose2d
from tinygen.nn.module import Buffer, Module, Parameter
from tinygen.tensor import Tensor

M = TypeVar("M", bound=Module)

WARM_UP = 30  # power steps at the start: 1 leaves σ of a random 64 × 128 matrix 28 % low, 30 leave 0.1 %


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    *,
    rng: random.Generator | None = None,
) -> M:
    """Divide the parameter ``name`` of a module by its spectral norm σ = uᵀ W v; returns the same module.

    W is the weight as a matrix (outputs, everything else).  The module keeps W as ``weight_orig`` and the singular
    vectors as buffers ``weight_u`` and ``weight_v``; ``weight`` is now computed from them, as W / σ.  In every
    derivative u and v are constants, σ is not.  The norm is that of the matrix, not of the convolution made of it.

    **When the vectors move**: in training and outside ``frozen``, at the first use after the weight was rebound (by an
    optimiser, ``load_state_dict``, ``assign``, ``to``).  That is one power step for each new weight, and D(real),
    D(fake) and a penalty of one step see the same weight.  (PyTorch moves them at every training forward.)

    >>> import tinygen as tg
    >>> import numpy as np
    >>> rng = tg.random.Generator(0)
    >>> critic = tg.nn.spectral_norm(tg.nn.Linear(8, 4, rng=rng), rng=rng)
    >>> bool(np.isclose(np.linalg.norm(critic.weight.numpy(), ord=2), 1.0, rtol=0.01))
    True
    >>> list(critic.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = vars(module).get(name)
    if not isinstance(weight, Parameter) or weight.ndim < 2:
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter {name!r} with two axes or more")
    axis = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d)) else 0
    rng = rng or random.default()
    matrix = _matrix(weight.detach(), axis)
    u, v = (rng.normal(size, dtype=weight.dtype, device=weight.device) for size in matrix.shape)
    u, v = _power_steps(matrix, u, v, WARM_UP, eps)
    delattr(module, name)
    setattr(module, f"{name}_orig", weight)
    setattr(module, f"{name}_u", Buffer(u))
    setattr(module, f"{name}_v", Buffer(v))
    setattr(module, f"{name}_norm", _Settings(axis, n_power_iterations, eps))
    kind: Any = type(module)
    module.__class__ = _normalised_class(kind, name)
    return module


class _Settings:
    """How one weight is normalised, and the array that its vectors follow already."""

    def __init__(self, axis: int, steps: int, eps: float) -> None:
        self.axis, self.steps, self.eps = axis, steps, eps
        self.followed: Array | None = None


@functools.cache
def _normalised_class(kind: Any, name: str) -> Any:
    """A layer's class in which the weight is a property; the rest, and its own name, stay."""

    def settings(self: Module) -> _Settings:
        return getattr(self, f"{name}_norm")  # type: ignore[no-any-return]

    def weight(self: Module) -> Tensor:
        return _normalised(self, name, settings(self))

    def get_extra_state(self: Module) -> dict[str, Any]:
        follows = settings(self).followed is getattr(self, f"{name}_orig")._data
        return {**kind.get_extra_state(self), f"{name}_followed": follows}

    def set_extra_state(self: Module, state: Mapping[str, Any]) -> None:
        kind.set_extra_state(self, state)
        settings(self).followed = getattr(self, f"{name}_orig")._data if state[f"{name}_followed"] else None

    def describe(self: Module) -> str:
        return f"{kind.describe(self)}, spectral_norm"

    changed = {"get_extra_state": get_extra_state, "set_extra_state": set_extra_state, "describe": describe}
    return type(kind.__name__, (kind,), {name: property(weight), **changed, "__module__": kind.__module__})


def _normalised(module: Module, name: str, settings: _Settings) -> Tensor:
    """W / σ, after a power step if the vectors do not follow W yet."""
    weight, u, v = (getattr(module, f"{name}_{part}") for part in ("orig", "u", "v"))
    if module.training and not module.is_frozen and settings.followed is not weight._data:
        moved = _power_steps(_matrix(weight.detach(), settings.axis), u, v, settings.steps, settings.eps)
        for vector, value in zip((u, v), moved, strict=True):
            vector.assign(value._data, copy=False)
        settings.followed = weight._data
    sigma = ops.dot(u.detach(), ops.matmul(_matrix(weight, settings.axis), v.detach()))
    return weight / sigma  # type: ignore[no-any-return]


def _matrix(weight: Tensor, axis: int) -> Tensor:
    """The weight as a matrix whose rows belong to the outputs."""
    outputs_first = weight if axis == 0 else ops.swapaxes(weight, 0, axis)
    return ops.reshape(outputs_first, (outputs_first.shape[0], -1))


def _power_steps(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> tuple[Tensor, Tensor]:
    """v ← Wᵀu / ‖Wᵀu‖, u ← W v / ‖W v‖, ``steps`` times: they turn to the largest singular value's vectors."""
    for _ in range(steps):
        v = _unit(ops.matmul(u, matrix), eps)
        u = _unit(ops.matmul(matrix, v), eps)
    return u, v


def _unit(vector: Tensor, eps: float) -> Tensor:
    return vector / ops.maximum(ops.linalg.norm(vector), eps)
