"""Floor 8. Analytic derivatives against numerical ones, to any order, entry by entry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygen.autograd import grad
from tinygen.backend import default_device, to_device, to_host
from tinygen.ops import add, concatenate, reshape, sum, zeros_like
from tinygen.tensor import Tensor, raw
from tinygen.testing.search import double_precision

TOLERANCE = 1e-6  # |analytic − numerical|, relative: central differences with steps of 1e-5 are good to about 1e-9
STEP = 1e-5

Values = list[np.ndarray]
Evaluate = Callable[[Values], tuple[Tensor, list[Tensor]]]


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 2,
    *,
    tolerance: float = TOLERANCE,
    entries: int = 64,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless the derivatives of ``f`` at ``inputs`` are right up to ``order``.

    ``inputs`` is an array or tensor, or a sequence of them, one for each argument; floating ones are taken in float64
    and differentiated, others are passed as they are.  ``f`` returns a tensor or a tuple of them.  Compared are, for
    each argument, up to ``entries`` random entries of the gradient with central differences, and for higher orders
    the gradient of the gradient along a random direction.  The message names the argument and its worst entry, with
    the slopes there of a random smooth function of the output (which of many outputs is wrong cannot be told).

    Inputs must stay clear of kinks by 1e-5 · (1 + |x|): there the two differ and both are right.

    >>> import tinygen as tg
    >>> gradcheck(lambda x, y: tg.sum(tg.sin(x) * y), [[0.3, 1.2], [2.0, -1.0]])
    >>> gradcheck(lambda x: x * tg.detach(x), 2.0)
    Traceback (most recent call last):
    AssertionError: gradcheck: order 1, argument 0 (x): analytic 0.833927, numerical 1.66785
    """
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    names = _argument_names(f, len(given))
    places = [value.device if isinstance(value, Tensor) else default_device() for value in given]
    arrays = [to_host(raw(value)) if hasattr(raw(value), "dtype") else np.asarray(value) for value in given]
    floating = [position for position, array in enumerate(arrays) if array.dtype.kind == "f"]
    if not floating:
        raise TypeError("gradcheck: none of the inputs is floating; give floats, as in [1.0, 2.0]")

    def evaluate(values: Values) -> tuple[Tensor, list[Tensor]]:
        tensors = [Tensor(to_device(np.array(a), place)) for a, place in zip(arrays, places, strict=True)]
        leaves = [
            Tensor(to_device(np.array(value, np.float64), places[position]), requires_grad=True)
            for position, value in zip(floating, values, strict=True)
        ]
        for position, leaf in zip(floating, leaves, strict=True):
            tensors[position] = leaf
        return joined(f(*tensors)), leaves

    with double_precision(), np.errstate(all="ignore"):
        found = worst_entry(evaluate, [arrays[position] for position in floating], order, tolerance, entries, seed)
    if found is not None:
        raise AssertionError(f"gradcheck: {found.text([names[position] for position in floating])}")


class Mismatch(NamedTuple):
    """An entry of a derivative, both ways; ``error`` is relative to the sizes of both and of the whole gradient."""

    order: int
    argument: int
    entry: tuple[int, ...]
    analytic: float
    numerical: float
    error: float

    def text(self, names: Sequence[str]) -> str:
        """One line for a person, with a name for each argument."""
        place = f" entry {list(self.entry)}" if self.entry else ""
        return (
            f"order {self.order}, {names[self.argument]}{place}: analytic {self.analytic:.6g}, "
            f"numerical {self.numerical:.6g}"
        )


def worst_entry(
    evaluate: Evaluate, values: Values, order: int, tolerance: float, entries: int, seed: int
) -> Mismatch | None:
    """The entry that is most wrong in the lowest order that is wrong, or None.

    ``evaluate(values)`` gives an output and the leaves that stand for the values.  From it comes the ladder
    φ₁ = Σ u₀t + u₁t² + u₂t³ (t: the output over its size; random u), φ₂ = ⟨∇φ₁, w⟩, φ₃ = ⟨∇φ₂, w′⟩ …: the cubic makes
    the cotangent that enters a rule depend on the inputs, so that rules must be right as functions of it too.
    """
    values = [np.array(value, np.float64) for value in values]
    probe = _Probe(evaluate, values, seed)
    for rung in range(1, order + 1):
        slopes = probe.slopes(values, rung)
        chosen = _chosen(values, entries, np.random.default_rng([seed, rung]))
        pairs = [(a, e, float(slopes[a][e]), _difference(probe, values, rung, a, e)) for a, e in chosen]
        size = max((abs(numerical) for *_, numerical in pairs), default=0.0)
        found = [Mismatch(rung, *pair, abs(pair[2] - pair[3]) / (size + 1e-3)) for pair in pairs]
        wrong = [mismatch for mismatch in found if not mismatch.error <= tolerance]  # a NaN is wrong
        if wrong:
            return max(wrong, key=lambda mismatch: np.nan_to_num(mismatch.error, nan=np.inf))
    return None


class _Probe:
    """The functions φ₁, φ₂, … with the same random numbers at every call."""

    def __init__(self, evaluate: Evaluate, values: Values, seed: int) -> None:
        self.evaluate = evaluate
        self.seed = seed
        y = evaluate(values)[0].numpy()
        size = float(np.max(np.abs(y), initial=0.0))
        if not np.isfinite(y).all():
            raise AssertionError(f"the function itself is not finite here: {y}")
        self.scale = 1.0 / size if size else 1.0
        self.u = np.random.default_rng([seed, 0]).uniform(0.5, 1.0, (3, *y.shape))
        self.u[1:] *= 0.3

    def phi(self, values: Values, rung: int) -> tuple[Tensor, list[Tensor]]:
        """φ of a rung, recorded, and the leaves it depends on."""
        y, leaves = self.evaluate(values)
        t = y * self.scale
        u = [_like(row, y) for row in self.u]
        value = sum(t * (u[0] + t * (u[1] + t * u[2])))
        for step in range(1, rung):
            rng = np.random.default_rng([self.seed, 1, step])
            slopes = _gradients(value, leaves, create_graph=True)
            along = [sum(s * _like(rng.uniform(0.3, 1.0, s.shape), s)) for s in slopes]
            value = along[0]
            for part in along[1:]:
                value = add(value, part)
        return value, leaves

    def slopes(self, values: Values, rung: int) -> Values:
        """∇φ by the rules."""
        value, leaves = self.phi(values, rung)
        return [slope.numpy() for slope in _gradients(value, leaves, create_graph=False)]


def _difference(probe: _Probe, values: Values, rung: int, argument: int, entry: tuple[int, ...]) -> float:
    """The central difference of φ along one entry."""
    step = STEP * (1.0 + abs(float(values[argument][entry])))
    ends = []
    for shift in (step, -step):
        moved = values[argument].copy()
        moved[entry] += shift
        at = [moved if position == argument else value for position, value in enumerate(values)]
        ends.append(probe.phi(at, rung)[0].item())
    return float((ends[0] - ends[1]) / (2.0 * step))


def _chosen(values: Values, entries: int, rng: np.random.Generator) -> list[tuple[int, tuple[int, ...]]]:
    """(argument, entry) for up to so many random entries of each argument."""
    chosen = []
    for argument, value in enumerate(values):
        places = rng.permutation(value.size)[:entries]
        chosen += [(argument, tuple(int(i) for i in np.unravel_index(place, value.shape))) for place in sorted(places)]
    return chosen


def _gradients(value: Tensor, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
    """Zeros where nothing was recorded: numerically that is right or wrong like any other gradient."""
    if not value.requires_grad:
        return [zeros_like(leaf) for leaf in leaves]
    found = grad(value, leaves, create_graph=create_graph, allow_unused=True)
    return [zeros_like(leaf) if slope is None else slope for slope, leaf in zip(found, leaves, strict=True)]


def joined(output: Any) -> Tensor:
    """The tensors of an output, which may be nested tuples, as one flat tensor."""
    parts = [reshape(part, -1) for part in tensors_of(output)]
    return parts[0] if len(parts) == 1 else concatenate(parts)


def tensors_of(output: Any) -> list[Tensor]:
    """The floating tensors of an output that may be nested tuples, lists and dictionaries."""
    if isinstance(output, Tensor):
        return [output] if output.dtype.kind == "f" else []
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return [tensor for part in output for tensor in tensors_of(part)]
    raise TypeError(f"the function must return tensors, it returned a {type(output).__name__}")


def _like(array: Any, tensor: Tensor) -> Tensor:
    return Tensor(to_device(np.asarray(array, tensor.dtype), tensor.device))


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    """``argument 0 (x)``, as far as the signature tells."""
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    return [f"argument {i}" + (f" ({names[i]})" if i < len(names) else "") for i in range(count)]
