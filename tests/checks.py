"""Oracles for derivatives that do not use them: finite differences, the adjoint identity, the complex step.

From a function f of several arrays and fixed random numbers u, w₁, w₂ comes a ladder of scalar functions

    φ₁ = Σ u₀y + u₁y² + u₂y³ with y = f(x),     φ₂ = ⟨∇φ₁, w₁⟩,     φ₃ = ⟨∇φ₂, w₂⟩,

and at each rung ⟨∇φₖ, v⟩ must be the slope of φₖ along v.  The cubic makes the cotangent that enters a rule depend
on x, so that a rule must be right as a function of its cotangent too, also for linear operations at third order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import STEP, Case, Kink

import tinygen as tg
from tinygen.backend import to_device, to_host

LAYOUTS = ("C", "F", "strided", "reversed")

# Errors relative to Σ|∇φ·v| + |φ|.  The largest measured over all cases is 3e-11, at every order: rounding in φ is
# divided by the smallest step, and the truncation that the extrapolation leaves is of order STEP⁶.
TOLERANCE = 1e-9
ROUNDING = 0.1  # added to every size: a determinant of rank n − 2 has a slope of 0, of which 1e-17 is left
NARROW_TOLERANCE = 1e-3  # where a case rounds to float32 inside, differences over STEP/4 keep 3 to 4 digits
EXACT = 1e-12  # two ways to the same number in float64 that differ by the order of summation only


class WrongDerivativeError(AssertionError):
    """A derivative and an oracle disagree."""


# --- inputs ------------------------------------------------------------------------------------------------------


def place(array: np.ndarray, device: str, layout: str = "C") -> Any:
    """``array`` on a device, with its elements laid out in memory as asked."""
    if layout == "F":
        return to_device(np.array(array.T, order="C"), device).T
    if layout == "strided":
        return to_device(np.stack([array, array], -1), device)[..., 0]
    if layout == "reversed":
        backwards = (..., *(slice(None, None, -1),) * array.ndim)
        return to_device(np.array(array[backwards], order="C"), device)[backwards]
    return to_device(np.array(array, order="C"), device)


def leaves(
    arrays: list[np.ndarray], device: str = "cpu", layout: str = "C", dtype: Any = np.float64
) -> list[tg.Tensor]:
    """Tensors of the arrays; the floating ones require gradients."""
    made = []
    for array in arrays:
        floating = array.dtype.kind == "f"
        made.append(
            tg.Tensor(place(array.astype(dtype) if floating else array, device, layout), requires_grad=floating)
        )
    return made


# --- the ladder --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """The random numbers of one ladder, the same at every call."""

    seed: int

    def coefficients(self, y: tg.Tensor) -> tg.Tensor:
        return _like(np.random.default_rng([self.seed, 0]).uniform(-1, 1, (3, *y.shape)), y)

    def directions(self, rung: int, inputs: list[tg.Tensor]) -> list[tg.Tensor]:
        """w₁, w₂ for the rungs 1 and 2, v for rung 0: one direction for each input."""
        rng = np.random.default_rng([self.seed, 1, rung])
        return [_like(rng.uniform(0.3, 1, x.shape) * rng.choice([-1, 1], x.shape), x) for x in inputs]


def _like(array: Any, tensor: tg.Tensor) -> tg.Tensor:
    return tg.tensor(np.asarray(array, tensor.dtype), device=tensor.device)


def gradients(value: tg.Tensor, inputs: list[tg.Tensor], create_graph: bool) -> list[tg.Tensor]:
    """The gradient for each input, zeros where nothing depends on it; each must be like its input."""
    if not value.requires_grad:
        return [tg.zeros_like(x) for x in inputs]
    found = tg.grad(value, inputs, create_graph=create_graph, allow_unused=True)
    result = [tg.zeros_like(x) if slope is None else slope for slope, x in zip(found, inputs, strict=True)]
    for slope, x in zip(result, inputs, strict=True):
        have, wanted = (slope.shape, slope.dtype, slope.device), (x.shape, x.dtype, x.device)
        if have != wanted:
            raise WrongDerivativeError(f"the gradient is {have}, its input {wanted}")
    return result


def ladder(
    function: Callable[..., Any], inputs: list[tg.Tensor], probe: Probe, order: int
) -> Iterator[tuple[tg.Tensor, list[tg.Tensor]]]:
    """(φₖ, ∇φₖ) for k = 1 … order, and at last φ of the next rung with no gradient."""
    free = [x for x in inputs if x.requires_grad]
    y = function(*inputs)
    if not isinstance(y, tg.Tensor):
        raise WrongDerivativeError(f"a function of tensors returned a {type(y).__name__}")
    u = probe.coefficients(y)
    value = tg.sum(y * (u[0] + y * (u[1] + y * u[2])))
    for rung in range(1, order + 1):
        slopes = gradients(value, free, create_graph=rung < order)
        yield value, slopes
        parts = [tg.sum(slope * w) for slope, w in zip(slopes, probe.directions(rung, free), strict=True)]
        value = functools.reduce(tg.add, parts)
    yield value, []


# --- oracle 1: finite differences --------------------------------------------------------------------------------


def differences(function: Callable[..., Any], arrays: list[np.ndarray], probe: Probe, order: int) -> list[float]:
    """The slope of φ₁ … φ_order along v, on the CPU.

    Central differences over STEP, STEP/2 and STEP/4, extrapolated to step 0 (Richardson): the error is O(STEP⁶).
    """
    directions = iter(probe.directions(0, [x for x in leaves(arrays) if x.requires_grad]))
    along = [next(directions).numpy() if array.dtype.kind == "f" else None for array in arrays]

    def values(step: float) -> np.ndarray:
        moved = leaves([array if v is None else array + step * v for array, v in zip(arrays, along, strict=True)])
        return np.array([value.item() for value, _ in ladder(function, moved, probe, order - 1)])

    central = [(values(step) - values(-step)) / (2 * step) for step in (STEP, STEP / 2, STEP / 4)]
    return list((central[0] - 20 * central[1] + 64 * central[2]) / 45)


@functools.cache
def reference(case: Case) -> list[float]:
    """The finite differences of a case to third order; the same for every device, layout and mutant.

    A mutant is compared with the slopes of the *right* functions φₖ.  Where its own φₖ differ from these, it has
    failed a lower order already.
    """
    return differences(case.function, case.arrays(), Probe(case.seed), 3)


def discrepancies(
    function: Callable[..., Any], inputs: list[tg.Tensor], probe: Probe, expected: list[float]
) -> Iterator[float]:
    """For each order, how far ⟨∇φₖ, v⟩ is from what is expected, relative to the size of its terms."""
    v = [to_host(w.data) for w in probe.directions(0, [x for x in inputs if x.requires_grad])]
    for (value, slopes), slope in zip(ladder(function, inputs, probe, len(expected)), expected, strict=False):
        terms = [s.numpy() * w for s, w in zip(slopes, v, strict=True)]
        size = sum(np.abs(term).sum() for term in terms) + abs(value.item()) + ROUNDING
        error = abs(sum(term.sum() for term in terms) - slope)
        yield error / size if np.isfinite(size) else np.inf


def check_differences(case: Case, device: str = "cpu", layout: str = "C", orders: int = 3) -> None:
    """Raise unless the derivatives of a case agree with finite differences up to an order."""
    found = discrepancies(
        case.function, leaves(case.arrays(), device, layout), Probe(case.seed), reference(case)[:orders]
    )
    for order, error in enumerate(found, start=1):
        if error > (NARROW_TOLERANCE if case.narrow else TOLERANCE):
            raise WrongDerivativeError(f"{case.name}: order {order} is off by {error:.1e}, relative to its terms")


# --- oracle 2: the adjoint identity ------------------------------------------------------------------------------


def check_adjoint(case: Case, position: int, device: str = "cpu") -> None:
    """⟨J v, u⟩ = ⟨v, Jᵀ u⟩ for an argument in which the function is linear: J v is the function itself at v."""
    arrays, rng = case.arrays(), np.random.default_rng(case.seed)
    v = rng.uniform(-1, 1, arrays[position].shape)
    moved = leaves([v if i == position else a for i, a in enumerate(arrays)], device)
    forward = case.function(*moved).numpy()
    u = rng.uniform(-1, 1, forward.shape)
    inputs = leaves(arrays, device)
    y = case.function(*inputs)
    (pulled,) = tg.grad(y, inputs[position], _like(u, y))
    back = v * pulled.numpy()
    if abs((forward * u).sum() - back.sum()) > EXACT * (np.abs(forward * u).sum() + np.abs(back).sum() + ROUNDING):
        raise WrongDerivativeError(f"{case.name}: ⟨Jv, u⟩ = {(forward * u).sum()} but ⟨v, Jᵀu⟩ = {back.sum()}")


# --- oracle 3: the complex step ----------------------------------------------------------------------------------


def check_complex_step(case: Case) -> None:
    """Im⟨f(x + ihv), u⟩ / h is ⟨∇f·u, v⟩ without cancellation, so h may be tiny; for analytic forwards, on the CPU."""
    arrays, rng, h = case.arrays(), np.random.default_rng(case.seed), 1e-30
    v = [rng.uniform(-1, 1, a.shape) if a.dtype.kind == "f" else None for a in arrays]
    moved = case.function(*(a if w is None else a + 1j * h * w for a, w in zip(arrays, v, strict=True)))
    moved = np.asarray(moved._data if isinstance(moved, tg.Tensor) else moved)  # losses always return tensors
    u = rng.uniform(-1, 1, moved.shape)
    inputs = leaves(arrays)
    y = case.function(*inputs)
    found = gradients(tg.sum(y * u), [x for x in inputs if x.requires_grad], create_graph=False)
    terms = [s.numpy() * w for s, w in zip(found, [w for w in v if w is not None], strict=True)]
    slope = (np.imag(moved) / h * u).sum()
    if abs(sum(term.sum() for term in terms) - slope) > EXACT * (
        sum(np.abs(t).sum() for t in terms) + abs(slope) + ROUNDING
    ):
        raise WrongDerivativeError(
            f"{case.name}: the complex step gives {slope}, the rules {sum(t.sum() for t in terms)}"
        )


# --- agreement of the engine with itself -------------------------------------------------------------------------


def check_walks_agree(case: Case, device: str = "cpu") -> None:
    """The walk over raw arrays and the recorded walk run the same rules and must give the same gradient."""
    inputs = leaves(case.arrays(), device)
    free = [x for x in inputs if x.requires_grad]
    value, _ = next(ladder(case.function, inputs, Probe(case.seed), 0))
    raw, recorded = (gradients(value, free, create_graph) for create_graph in (False, True))
    for a, b in zip(raw, recorded, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-13, atol=1e-13)


def check_single_precision(case: Case, device: str = "cpu") -> None:
    """float32 in: float32 result and float32 gradients of every order (``gradients`` compares dtypes)."""
    inputs = leaves(case.arrays(), device, dtype=np.float32)
    y = case.function(*inputs)
    if y.dtype != np.float32:
        raise WrongDerivativeError(f"{case.name}: float32 in, {y.dtype} out")
    for _ in ladder(case.function, inputs, Probe(case.seed), 2):
        pass


def check_kink(kink: Kink, device: str = "cpu") -> None:
    """Raise unless the gradients at a kink are exactly as agreed, in both walks."""
    for create_graph in (False, True):
        inputs = leaves([np.array(point, np.float64) for point in kink.points], device)
        y = kink.function(*inputs)
        u = _like(np.ones(y.shape) if kink.cotangent is None else kink.cotangent, y)
        found = tg.grad(y, inputs, u, create_graph=create_graph)
        for slope, wanted in zip(found, kink.gradients, strict=True):
            np.testing.assert_array_equal(slope.numpy(), np.array(wanted, np.float64), err_msg=kink.name)
    if kink.second is not None:
        total = functools.reduce(tg.add, [tg.sum(slope) for slope in found])
        for slope, wanted in zip(gradients(total, inputs, create_graph=False), kink.second, strict=True):
            np.testing.assert_array_equal(slope.numpy(), np.array(wanted, np.float64), err_msg=kink.name)
