"""Every differentiable operation with inputs to test it on: one table of smooth cases, one of kinks.

A :class:`Case` is a function of arrays and a sampler for each of them, in a domain where all derivatives exist:
``STEP`` away from kinks and singularities in every direction.  Floating arguments are differentiated, integers and
booleans are passed along.  The oracles that use the table are in ``checks.py``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygen as tg
from tinygen.ops import linalg
from tinygen.ops.elementwise import divide_or_zero, multiply_or_zero
from tinygen.ops.index import _drop, _pick, _put
from tinygen.ops.lstm import _lstm, lstm
from tinygen.ops.pool import _window_spread
from tinygen.ops.shape import sum_to
from tinygen.ops.trilinear import Geometry, _conv_input, _conv_weight

Sampler = Callable[[np.random.Generator], np.ndarray]

LINALG = ("det", "slogdet", "inv", "solve", "solve_triangular", "cholesky", "norm")
"""The differentiable functions of ``tg.linalg``."""

STEP = 0.01
"""How far any element of an input is moved by the finite differences."""


@dataclass(frozen=True, eq=False)
class Case:
    """A function and where to test its derivatives."""

    operation: str
    variant: str
    function: Callable[..., Any]
    samplers: tuple[Sampler, ...]
    linear: tuple[int, ...] = ()  # the positions of the arguments in each of which the function is linear
    analytic: bool = True  # the raw forward takes complex arrays and is analytic in them
    narrow: bool = False  # rounds to float32 inside

    @property
    def name(self) -> str:
        return f"{self.operation}: {self.variant}"

    @property
    def seed(self) -> int:
        return zlib.crc32(self.name.encode())

    def arrays(self) -> list[np.ndarray]:
        """The same inputs at every call."""
        rng = np.random.default_rng(self.seed)
        return [sampler(rng) for sampler in self.samplers]


CASES: list[Case] = []


def case(operation: str, variant: str, function: Callable[..., Any], *samplers: Sampler, **facts: Any) -> None:
    CASES.append(Case(operation, variant, function, samplers, **facts))


# --- samplers ----------------------------------------------------------------------------------------------------


def between(low: float, high: float, *shape: int) -> Sampler:
    return lambda rng: rng.uniform(low, high, shape)


def real(*shape: int) -> Sampler:
    return between(-1.5, 1.5, *shape)


def positive(*shape: int) -> Sampler:
    return between(0.5, 2.0, *shape)


def apart(*shape: int) -> Sampler:
    """Of both signs, away from 0."""
    return lambda rng: rng.uniform(0.4, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def distinct(*shape: int) -> Sampler:
    """No two elements, nor their absolute values, nor one and 0, closer than 0.04: several steps."""

    def sample(rng: np.random.Generator) -> np.ndarray:
        size = math.prod(shape)
        values = (np.arange(size) + 1.0 + rng.uniform(-0.25, 0.25, size)) * 0.08
        return (rng.permutation(values) * rng.choice([-1.0, 1.0], size)).reshape(shape)

    return sample


def constant(value: Any) -> Sampler:
    return lambda rng: np.array(value)


def mask(*shape: int) -> Sampler:
    return lambda rng: rng.permutation(np.arange(math.prod(shape)) % 2 == 0).reshape(shape)


def regular(*shape: int) -> Sampler:
    """Well conditioned square matrices."""
    return lambda rng: 1.5 * np.eye(shape[-1]) + rng.uniform(-0.4, 0.4, shape)


def symmetric(*shape: int) -> Sampler:
    """Well conditioned positive definite matrices."""

    def sample(rng: np.random.Generator) -> np.ndarray:
        factor = rng.uniform(-0.5, 0.5, shape)
        return 1.5 * np.eye(shape[-1]) + factor @ np.swapaxes(factor, -1, -2)

    return sample


def of_rank(rank: int, *shape: int) -> Sampler:
    """Square matrices of the given rank."""

    def sample(rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, (*shape[:-1], rank)) @ rng.uniform(-1, 1, (*shape[:-2], rank, shape[-1]))

    return sample


# --- elementwise -------------------------------------------------------------------------------------------------

UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Sampler]]] = {
    "negative": (tg.negative, real),
    "square": (tg.square, real),
    "sqrt": (tg.sqrt, positive),
    "abs": (tg.abs, apart),
    "exp": (tg.exp, real),
    "expm1": (tg.expm1, real),
    "log": (tg.log, positive),
    "log1p": (tg.log1p, positive),
    "sin": (tg.sin, real),
    "cos": (tg.cos, real),
    "tan": (tg.tan, lambda *shape: between(-1, 1, *shape)),
    "arcsin": (tg.arcsin, lambda *shape: between(-0.7, 0.7, *shape)),
    "arccos": (tg.arccos, lambda *shape: between(-0.7, 0.7, *shape)),
    "arctan": (tg.arctan, real),
    "sinh": (tg.sinh, real),
    "cosh": (tg.cosh, real),
    "tanh": (tg.tanh, real),
    "relu": (tg.relu, apart),
    "leaky_relu": (tg.leaky_relu, apart),
    "elu": (tg.elu, apart),
    "sigmoid": (tg.sigmoid, real),
    "softplus": (tg.softplus, real),
    "log_sigmoid": (tg.log_sigmoid, real),
    "silu": (tg.silu, real),
}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Sampler], Callable[..., Sampler]]] = {
    "add": (tg.add, real, real),
    "subtract": (tg.subtract, real, real),
    "multiply": (tg.multiply, real, real),
    "divide": (tg.divide, real, apart),
    "power": (tg.power, positive, real),
    "maximum": (tg.maximum, lambda *shape: between(-1, 0.3, *shape), lambda *shape: between(0.4, 1, *shape)),
    "minimum": (tg.minimum, lambda *shape: between(-1, 0.3, *shape), lambda *shape: between(0.4, 1, *shape)),
    "logaddexp": (tg.logaddexp, real, real),
    "xlogy": (tg.xlogy, real, positive),
    "multiply_or_zero": (multiply_or_zero, apart, apart),
    "divide_or_zero": (divide_or_zero, apart, apart),
}
_USES_ABS = {"abs", "sigmoid", "softplus", "log_sigmoid", "silu", "logaddexp"}  # |x| of a complex x is not analytic
_LINEAR = {"negative": (0,), "multiply": (0, 1), "divide": (0,), "xlogy": (0,), "divide_or_zero": (0,)}
_LINEAR["multiply_or_zero"] = (0, 1)

for _name, (_function, _sampler) in UNARY.items():
    for _shape in [(2, 3), (), (1,), (0, 3)]:
        case(
            _name, f"{_shape}", _function, _sampler(*_shape),
            linear=_LINEAR.get(_name, ()), analytic=_name not in _USES_ABS,
        )  # fmt: skip
for _name, (_function, _first, _second) in BINARY.items():
    for _left, _right in [
        ((2, 3), (2, 3)),
        ((3,), (2, 3)),
        ((2, 1), (1, 3)),
        ((), (2,)),
        ((0, 3), (1, 3)),
        ((1, 1), (1,)),
    ]:
        case(
            _name, f"{_left} and {_right}", _function, _first(*_left), _second(*_right),
            linear=_LINEAR.get(_name, ()), analytic=_name not in _USES_ABS,
        )  # fmt: skip

for _number in (2.5, -3, np.float64(0.5)):
    case("add", f"number {_number!r}", lambda x, c=_number: c + x + c, real(2, 3))
    case("subtract", f"number {_number!r}", lambda x, c=_number: (x - c) + (c - x * x), real(2, 3))
    case("multiply", f"number {_number!r}", lambda x, c=_number: c * x * c, real(2, 3), linear=(0,))
    case("divide", f"number {_number!r}", lambda x, c=_number: x / c + c / x, apart(2, 3))
for _exponent in (0, 1, 2, 3, 4, 2.0, 1.0, 1.5, 0.5, -1, -2.5):
    case("power", f"exponent {_exponent!r}", lambda x, p=_exponent: x**p, positive(2, 3))
for _exponent in (1, 2, 3, 4, -1, -2):
    case("power", f"negative base, exponent {_exponent}", lambda x, p=_exponent: x**p, apart(2, 3))
case("power", "exponent without derivative", lambda x: x ** tg.full_like(x, 2.5), positive(2, 3))
case("power", "number as base", lambda p: 2.0**p, real(2, 3))
case("power", "same tensor twice", lambda x: x**x, positive(2, 3))
case("multiply", "same tensor twice", lambda x: x * x * x, real(2, 3))
case("divide", "by itself times a factor", lambda x, f: (x * f) / x, apart(2, 3), real(3))
case("leaky_relu", "slope 0.3", lambda x: tg.leaky_relu(x, 0.3), apart(2, 3))
case("leaky_relu", "slope 0", lambda x: tg.leaky_relu(x, 0.0), apart(2, 3))
case("elu", "alpha 0.3", lambda x: tg.elu(x, 0.3), apart(2, 3))
case("elu", "alpha −0.5", lambda x: tg.elu(x, -0.5), apart(2, 3))
case("maximum", "number", lambda x: tg.maximum(x, 0.0) + tg.maximum(0.0, x * x * x), apart(2, 3))
case("maximum", "mixed", tg.maximum, distinct(5), constant(np.zeros(5)))
case("minimum", "mixed", tg.minimum, distinct(5), constant(np.zeros(5)))
case("where", "same shapes", tg.where, mask(2, 3), real(2, 3), real(2, 3), analytic=False)
case("where", "broadcast", tg.where, mask(3, 1), real(2, 1, 4), real(4), linear=())
case("where", "numbers", lambda c, x: tg.where(c, x, 0.0) + tg.where(c, 1.0, x * x), mask(2, 3), real(2, 3))
case("where", "of its own argument", lambda x: tg.where(x > 0, x * x, tg.exp(x)), apart(2, 3))
case("where", "linear", lambda c, x: tg.where(c, x, 0.0), mask(2, 3), real(3), linear=(1,))

_spaced = constant([-1.0, -0.45, 0.1, 0.7, 1.3])
case("clip", "numbers", lambda x: tg.clip(x, -0.5, 0.5), _spaced, analytic=False)
case("clip", "no upper bound", lambda x: tg.clip(x, a_min=-0.5), _spaced, analytic=False)
case("clip", "no lower bound", lambda x: tg.clip(x, a_max=0.5), _spaced, analytic=False)
case("clip", "arrays", tg.clip, real(4, 5), between(-2.0, -1.7, 4, 1), between(1.7, 2.0, 5), analytic=False)
case("clip", "arrays that bind", tg.clip, _spaced, constant(-0.6), constant([0.6, 0.8, -0.2, 0.5, 0.9]), analytic=False)
case("clip", "lower above upper", tg.clip, _spaced, constant([0.4] * 5), constant([-0.2] * 5), analytic=False)

# --- reductions --------------------------------------------------------------------------------------------------

_AXES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3), {}), ((2, 3), {"axis": 0}), ((2, 3, 2), {"axis": (0, -1)}), ((2, 3), {"axis": 1, "keepdims": True}),
    ((3, 1), {"axis": 1}), ((), {}), ((1,), {}), ((2, 3), {"keepdims": True}),
]  # fmt: skip


def _stated(shape: tuple[int, ...], options: dict[str, Any]) -> str:
    return ", ".join([f"{shape}", *(f"{key}={value}" for key, value in options.items())])


for _shape, _options in _AXES:
    _text = _stated(_shape, _options)
    case("sum", _text, lambda x, o=_options: tg.sum(x, **o), real(*_shape), linear=(0,))
    case("mean", _text, lambda x, o=_options: tg.mean(x, **o), real(*_shape), linear=(0,))
    case("var", _text, lambda x, o=_options: tg.var(x, **o), real(*_shape))
    case("max", _text, lambda x, o=_options: tg.max(x, **o), distinct(*_shape))
    case("min", _text, lambda x, o=_options: tg.min(x, **o), distinct(*_shape))
    case("logsumexp", _text, lambda x, o=_options: tg.logsumexp(x, **o), real(*_shape))
    case("prod", _text, lambda x, o=_options: tg.prod(x, **o), real(*_shape))
    if math.prod(_shape) > 1 and _shape != (3, 1):  # a single element deviates by 0, where the root has a kink
        case("std", _text, lambda x, o=_options: tg.std(x, **o), real(*_shape))
case("sum", "empty", lambda x: tg.sum(x, axis=0), real(0, 3), linear=(0,))
case("sum", "no axes", lambda x: tg.sum(x, axis=()), real(2, 3), linear=(0,))
case("max", "empty rows", lambda x: tg.max(x, axis=1), real(0, 3))
case("logsumexp", "empty rows", lambda x: tg.logsumexp(x, axis=1), real(0, 3))
case("logsumexp", "with −∞", lambda x: tg.logsumexp(tg.concatenate([x, tg.full_like(x, -math.inf)]), 0), real(2, 3))
case("var", "correction", lambda x: tg.var(x, axis=1, correction=1), real(2, 4))
case("std", "correction", lambda x: tg.std(x, axis=1, correction=1), real(2, 4))
case("prod", "with zeros", lambda x: tg.prod(x, axis=1), constant([[0.0, 2.0, 1.5], [0.0, 0.0, 0.7], [1.1, 0.0, 0.9]]))
case("prod", "7 factors", lambda x: tg.prod(x, axis=0), positive(7))
for _axis in (None, 0, 1, -1):
    case("cumsum", f"axis {_axis}", lambda x, a=_axis: tg.cumsum(x, a), real(2, 3), linear=(0,))
for _axis in (-1, 0, (0, 2), None):
    case("softmax", f"axis {_axis}", lambda x, a=_axis: tg.softmax(x, a), real(2, 3, 2))
    case("log_softmax", f"axis {_axis}", lambda x, a=_axis: tg.log_softmax(x, a), real(2, 3, 2))
case("softmax", "empty", tg.softmax, real(0, 3))
case("log_softmax", "empty", tg.log_softmax, real(0, 3))

# --- shapes ------------------------------------------------------------------------------------------------------

_MOVES: list[tuple[str, str, Callable[..., Any], tuple[int, ...]]] = [
    ("reshape", "(2, 3) to (3, 2)", lambda x: tg.reshape(x, 3, 2), (2, 3)),
    ("reshape", "flat", lambda x: tg.reshape(x, -1), (2, 3)),
    ("reshape", "() to (1, 1)", lambda x: tg.reshape(x, (1, 1)), ()),
    ("reshape", "empty", lambda x: tg.reshape(x, (3, 0)), (0, 2)),
    ("transpose", "reversed", tg.transpose, (2, 3, 4)),
    ("transpose", "cycle", lambda x: tg.transpose(x, (1, 2, 0)), (2, 3, 4)),
    ("transpose", "negative axes", lambda x: tg.transpose(x, -1, 0, 1), (2, 3, 4)),
    ("transpose", ".T", lambda x: x.T, (2, 3)),
    ("transpose", ".mT", lambda x: x.mT, (4, 2, 3)),
    ("swapaxes", "the last two", lambda x: tg.swapaxes(x, -1, -2), (4, 2, 3)),
    ("swapaxes", "0 and 2", lambda x: tg.swapaxes(x, 0, 2), (2, 3, 4)),
    ("moveaxis", "0 to −1", lambda x: tg.moveaxis(x, 0, -1), (2, 3, 4)),
    ("moveaxis", "two", lambda x: tg.moveaxis(x, (0, 1), (2, 0)), (2, 3, 4)),
    ("expand_dims", "front and back", lambda x: tg.expand_dims(x, (0, -1)), (2, 3)),
    ("squeeze", "all", tg.squeeze, (1, 3, 1)),
    ("squeeze", "last", lambda x: tg.squeeze(x, -1), (1, 3, 1)),
    ("broadcast_to", "(3,) to (2, 3)", lambda x: tg.broadcast_to(x, (2, 3)), (3,)),
    ("broadcast_to", "(2, 1, 3) to (4, 2, 5, 3)", lambda x: tg.broadcast_to(x, (4, 2, 5, 3)), (2, 1, 3)),
    ("broadcast_to", "() to (2,)", lambda x: tg.broadcast_to(x, (2,)), ()),
    ("broadcast_to", "(1,) to (0,)", lambda x: tg.broadcast_to(x, (0,)), (1,)),
    ("sum_to", "(4, 2, 5, 3) to (2, 1, 3)", lambda x: sum_to(x, shape=(2, 1, 3)), (4, 2, 5, 3)),
    ("sum_to", "(2, 1) to (1, 1)", lambda x: sum_to(x, shape=(1, 1)), (2, 1)),
    ("sum_to", "(2, 3) to ()", lambda x: sum_to(x, shape=()), (2, 3)),
    ("split", "2 parts", lambda x: tg.split(x, 2, axis=1)[1], (3, 4)),
    ("split", "at indices", lambda x: tg.split(x, [1, 3], axis=1)[1], (3, 4)),
    ("flip", "all", tg.flip, (2, 3)),
    ("flip", "one axis", lambda x: tg.flip(x, 1), (2, 3)),
    ("roll", "flat", lambda x: tg.roll(x, 2), (2, 3)),
    ("roll", "two axes", lambda x: tg.roll(x, (1, 2), (0, 1)), (2, 5)),
    ("tile", "number", lambda x: tg.tile(x, 2), (2, 3)),
    ("tile", "new axis", lambda x: tg.tile(x, (2, 1, 3)), (2, 3)),
    ("tile", "()", lambda x: tg.tile(x, (2, 2)), ()),
    ("repeat", "flat", lambda x: tg.repeat(x, 2), (2, 3)),
    ("repeat", "axis 0", lambda x: tg.repeat(x, 3, 0), (2, 3)),
    ("repeat", "axis −1", lambda x: tg.repeat(x, 2, -1), (2, 3)),
    ("pad", "constant, number", lambda x: tg.pad(x, 2), (2, 3)),
    ("pad", "constant, uneven", lambda x: tg.pad(x, ((1, 0), (0, 2))), (2, 3)),
    ("pad", "reflect", lambda x: tg.pad(x, ((1, 2), (2, 1)), "reflect"), (3, 4)),
    ("pad", "reflect further than the size", lambda x: tg.pad(x, (4, 5), "reflect"), (3,)),
    ("pad", "edge", lambda x: tg.pad(x, ((0, 2), (1, 1)), "edge"), (2, 3)),
    ("pad", "wrap", lambda x: tg.pad(x, ((1, 1), (4, 2)), "wrap"), (2, 3)),
    ("pad", "of one pixel", lambda x: tg.pad(x, 1, "edge"), (1, 1)),
    ("tril", "k = 0", tg.tril, (2, 3, 3)),
    ("tril", "k = −1", lambda x: tg.tril(x, -1), (3, 4)),
    ("triu", "k = 0", tg.triu, (2, 3, 3)),
    ("triu", "k = 1", lambda x: tg.triu(x, 1), (4, 3)),
    ("diagonal", "stack", tg.diagonal, (2, 3, 3)),
    ("diagonal", "offset 1", lambda x: tg.diagonal(x, 1), (3, 4)),
    ("diagonal", "offset −2", lambda x: tg.diagonal(x, -2), (4, 2)),
    ("diagonal", "axes 0 and 2", lambda x: tg.diagonal(x, 0, 0, 2), (3, 2, 3)),
    ("trace", "stack", tg.trace, (2, 3, 3)),
    ("trace", "offset", lambda x: tg.trace(x, 1), (3, 4)),
    ("getitem", "number", lambda x: x[1], (3, 2)),
    ("getitem", "negative number", lambda x: x[-1, 0], (3, 2)),
    ("getitem", "slice with step", lambda x: x[::2, 1:], (5, 3)),
    ("getitem", "backwards", lambda x: x[::-2], (5, 2)),
    ("getitem", "ellipsis and new axis", lambda x: x[..., None, 0], (2, 3)),
    ("getitem", "empty slice", lambda x: x[1:1], (3, 2)),
    ("getitem", "repeated list", lambda x: x[[0, 2, 0, -1]], (3, 2)),
    ("getitem", "lists in two axes", lambda x: x[[0, 2, 0], [1, 1, 1]], (3, 2)),
    ("getitem", "lists around a slice", lambda x: x[[0, 1, 0], :, [1, 1, 1]], (2, 3, 2)),
    ("getitem", "scalar of a vector", lambda x: x[1], (3,)),
]
for _name, _variant, _function, _shape in _MOVES:
    case(_name, _variant, _function, real(*_shape), linear=(0,))
case("pad", "constant value", lambda x: tg.pad(x, 1, constant_values=2.0), real(2, 3))
case("concatenate", "axis 0", lambda *x: tg.concatenate(x), real(2, 3), real(1, 3), real(0, 3))
case("concatenate", "axis −1", lambda *x: tg.concatenate(x, -1), real(2, 3), real(2, 1))
case("concatenate", "middle axis", lambda *x: tg.concatenate(x, 1), real(2, 3, 2), real(2, 1, 2))
case("concatenate", "one array twice", lambda x: tg.concatenate([x, x * x, x], 0), real(2, 3))
case("stack", "axis 0", lambda *x: tg.stack(x), real(2, 3), real(2, 3))
case("stack", "axis −1", lambda *x: tg.stack(x, -1), real(2, 3), real(2, 3))
case("getitem", "integer tensor", lambda x, i: x[i], real(4, 3), constant([[0, 3], [3, -1]]), linear=(0,))
case("getitem", "mask", lambda x, m: x[m], real(3, 4), mask(3, 4), linear=(0,))
case("getitem", "mask of rows", lambda x, m: x[m], real(4, 2), mask(4), linear=(0,))
case("getitem", "slice before an index", lambda x, i: x[:, i], real(2, 4), constant([1, 1, 3]), linear=(0,))
_repeated = constant([2, 0, 2])
case("take", "axis 0", lambda x, i: tg.take(x, i, 0), real(3, 2), _repeated, linear=(0,))
case("take", "axis 1", lambda x, i: tg.take(x, i, 1), real(2, 3), _repeated, linear=(0,))
case("take", "flat", tg.take, real(2, 3), constant([5, -1, 0, 5]), linear=(0,))
case("take", "one number", lambda x: tg.take(x, 1, 0), real(3, 2), linear=(0,))
case(
    "take_along_axis",
    "axis 1",
    lambda x, i: tg.take_along_axis(x, i, 1),
    real(2, 4),
    constant([[0, 0, 2], [3, 1, 3]]),
    linear=(0,),
)
case("take_along_axis", "axis 0", lambda x, i: tg.take_along_axis(x, i, 0), real(3, 2), constant([[0, 2]]), linear=(0,))
case("index_add", "axis 0", lambda x, i, v: tg.index_add(x, i, v), real(4, 2), _repeated, real(3, 2))
case("index_add", "axis 1", lambda x, i, v: tg.index_add(x, i, v, 1), real(2, 4), _repeated, real(2, 3))
case(
    "embedding",
    "(2, 3) indices",
    lambda w, i: tg.embedding(i, w),
    real(4, 3),
    constant([[0, 3, 3], [1, 0, 3]]),
    linear=(0,),
)
case(
    "embedding", "no indices", lambda w, i: tg.embedding(i, w), real(4, 3), constant(np.zeros(0, np.int64)), linear=(0,)
)
case("sort", "axis −1", tg.sort, distinct(2, 5))
case("sort", "axis 0", lambda x: tg.sort(x, 0), distinct(4, 2))
case("put", "slice", lambda v: _put(v, index=(slice(0, 4, 2), 1), shape=(4, 3)), real(2), linear=(0,))
case(
    "put",
    "repeated rows",
    lambda v, i: _put(v, index=getattr(i, "_data", i), shape=(4, 3)),
    real(3, 3),
    _repeated,
    linear=(0,),
)
case("pick", "repeated", _pick, real(2, 3), constant([[0, 5], [5, 1]]), linear=(0,))
case("drop", "repeated", lambda v, i: _drop(v, i, shape=(2, 3)), real(2, 2), constant([[0, 5], [5, 1]]), linear=(0,))
case("astype", "to its own dtype", lambda x: tg.astype(x, x.dtype), real(2, 3), linear=(0,), analytic=False)
case("astype", "to float32", lambda x: tg.astype(x, np.float32), real(2, 3), analytic=False, narrow=True)
case("to", "its own device", lambda x: tg.to(x, x.device), real(2, 3), analytic=False)
case("to", "another device", lambda x: tg.to(x, "double" if x.device == "cpu" else "cpu"), real(2, 3), analytic=False)

# --- products of matrices ----------------------------------------------------------------------------------------

_PRODUCTS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3, 2)), ((4, 2, 3), (3,)),
    ((2, 3), (4, 3, 2)), ((4, 2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((1, 2, 3), (4, 3, 1)), ((3,), (2, 3, 2)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((3, 3), (3, 3)), ((2, 3, 3), (2, 3, 3)),
]  # fmt: skip
for _left, _right in _PRODUCTS:
    case("matmul", f"{_left} @ {_right}", tg.matmul, real(*_left), real(*_right), linear=(0, 1))
case("matmul", "same tensor twice", lambda x: x @ x, real(3, 3))
case("dot", "vectors", tg.dot, real(3), real(3), linear=(0, 1))
case("outer", "vectors", tg.outer, real(2), real(3), linear=(0, 1))
case("outer", "flattened", tg.outer, real(2, 2), real(1, 3), linear=(0, 1))
for _shape in [(3,), (2, 3), (4, 2, 3), (0, 3)]:
    case("linear", f"{_shape}", tg.linear, real(*_shape), real(2, 3), real(2))
    case("linear", f"{_shape} without bias", tg.linear, real(*_shape), real(2, 3), linear=(0, 1))
case("linear", "square weight", tg.linear, real(3, 3), real(3, 3), real(3))

_EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("i,i->", [(3,), (3,)]), ("i,j->ij", [(2,), (3,)]), ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ii->i", [(3, 3)]),
    ("ii->", [(3, 3)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("ij,k->ijk", [(2, 3), (2,)]),
    ("ijk,jil->kl", [(2, 3, 2), (3, 2, 4)]), ("bhqd,bhkd->bhqk", [(2, 2, 3, 2), (2, 2, 1, 2)]),
    ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 4)]), ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("iij,j->i", [(2, 2, 3), (3,)]), ("ijk->kij", [(2, 3, 4)]), ("ij,kl->k", [(2, 3), (2, 2)]),
]  # fmt: skip
for _subscripts, _shapes in _EINSUMS:
    _positions = tuple(range(len(_shapes)))
    case(
        "einsum",
        _subscripts,
        lambda *x, s=_subscripts: tg.einsum(s, *x),
        *(real(*s) for s in _shapes),
        linear=_positions,
    )

# --- linear algebra ----------------------------------------------------------------------------------------------

for _n in (1, 2, 3, 4, 5):
    for _batch in [(), (2,)]:
        _shape = (*_batch, _n, _n)
        case("linalg.det", f"{_shape}", linalg.det, regular(*_shape))
        case("linalg.slogdet", f"{_shape}", lambda a: linalg.slogdet(a)[1], regular(*_shape), analytic=False)
        case("linalg.inv", f"{_shape}", linalg.inv, regular(*_shape))
        case("linalg.solve", f"{_shape}", linalg.solve, regular(*_shape), real(*_shape), linear=(1,))
        case("linalg.cholesky", f"{_shape}", linalg.cholesky, symmetric(*_shape), analytic=False)
        for _rank in {_n - 1, max(_n - 2, 0)}:
            case("linalg.det", f"{_shape} of rank {_rank}", linalg.det, of_rank(_rank, *_shape))
case("linalg.det", "(8, 8) of rank 6", linalg.det, of_rank(6, 8, 8))
case("linalg.det", "(2, 9, 9)", linalg.det, regular(2, 9, 9))
case("linalg.det", "(2, 2, 3, 3)", linalg.det, regular(2, 2, 3, 3))
case("linalg.det", "empty stack", linalg.det, regular(0, 3, 3))
case("linalg.slogdet", "negative determinant", lambda a: linalg.slogdet(-a)[1], regular(2, 3, 3), analytic=False)
for _n, _rank in [(1, 0), (2, 1), (4, 2)]:  # looked up when it is called, so that it can be mutated
    case("linalg.cofactor", f"{_n} × {_n}", lambda a: linalg.cofactor(a), of_rank(_rank, 2, _n, _n), analytic=_n > 1)
case("linalg.solve", "vector", linalg.solve, regular(3, 3), real(3), linear=(1,))
case("linalg.solve", "vector, stack", linalg.solve, regular(2, 3, 3), real(3), linear=(1,))
case("linalg.solve", "b broadcast", linalg.solve, regular(2, 3, 3), real(3, 2), linear=(1,))
case("linalg.solve", "a broadcast", linalg.solve, regular(3, 3), real(4, 3, 2), linear=(1,))
case("linalg.solve", "both broadcast", linalg.solve, regular(2, 1, 3, 3), real(3, 3, 1), linear=(1,))
for _lower in (True, False):
    for _unit in (True, False):
        case(
            "linalg.solve_triangular", f"lower={_lower}, unit_diagonal={_unit}",
            lambda a, b, lower=_lower, unit=_unit: linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit),
            regular(2, 3, 3), real(3, 2), linear=(1,),
        )  # fmt: skip
for _ord in (None, 1, 2, math.inf, -math.inf):
    case(
        "linalg.norm",
        f"order {_ord}",
        lambda x, o=_ord: linalg.norm(x, o, axis=-1),
        distinct(3, 4),
        analytic=_ord in (None, 2),
    )
    case(
        "linalg.norm",
        f"order {_ord}, vector",
        lambda x, o=_ord: linalg.norm(x, o),
        distinct(4),
        analytic=_ord in (None, 2),
    )
case("linalg.norm", "all axes", linalg.norm, apart(2, 3))
case("linalg.norm", "Frobenius", lambda x: linalg.norm(x, "fro", axis=(0, 2)), apart(2, 3, 2))
case("linalg.norm", "kept axes", lambda x: linalg.norm(x, axis=0, keepdims=True), apart(2, 3))
case("linalg.norm", "scalar", linalg.norm, apart())
case("linalg.norm", "an element is 0", linalg.norm, constant([0.0, 0.7, -1.1]))

# --- convolution -------------------------------------------------------------------------------------------------

_IMAGES: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("plain", (2, 2, 4, 5), (3, 2, 3, 2), {}),
    ("1×1 kernel", (2, 3, 2, 3), (2, 3, 1, 1), {}),
    ("kernel as large as the image", (1, 2, 3, 2), (2, 2, 3, 2), {}),
    ("stride that does not divide", (2, 2, 6, 5), (2, 2, 3, 2), {"stride": 2}),
    ("uneven stride and padding", (1, 2, 5, 4), (2, 2, 2, 3), {"stride": (2, 3), "padding": (0, 2)}),
    ("stride larger than the kernel", (1, 1, 7, 5), (2, 1, 2, 1), {"stride": 3}),
    ("padding", (1, 2, 3, 4), (2, 2, 3, 3), {"padding": 1}),
    ("padding larger than kernel − 1", (1, 2, 2, 3), (2, 2, 2, 2), {"padding": (2, 3)}),
    ("dilation", (1, 2, 6, 5), (2, 2, 3, 2), {"dilation": (2, 3)}),
    ("dilation, stride, padding", (1, 2, 7, 6), (2, 2, 3, 2), {"dilation": 2, "stride": 2, "padding": (1, 2)}),
    ("groups", (2, 4, 3, 4), (6, 2, 2, 2), {"groups": 2}),
    ("depthwise with stride", (1, 3, 5, 4), (3, 1, 2, 2), {"groups": 3, "stride": 2, "padding": 1}),
    ("no images", (0, 2, 3, 3), (2, 2, 2, 2), {}),
]
for _variant, _x, _w, _options in _IMAGES:
    case("conv2d", _variant, lambda x, w, o=_options: tg.conv2d(x, w, **o), real(*_x), real(*_w), linear=(0, 1))
    _made = tg.conv2d(np.zeros(_x), np.zeros(_w), **_options).shape
    _pairs = {
        k: v if isinstance(v, tuple) else (v, v)
        for k, v in ({"stride": 1, "padding": 0, "dilation": 1} | _options).items()
    }
    _geometry = Geometry(
        _x[2:], _w[2:], _made[2:], _pairs["stride"], _pairs["padding"], _pairs["dilation"], _options.get("groups", 1)
    )  # type: ignore[arg-type]
    case(
        "conv_input",
        _variant,
        lambda g, w, p=_geometry: _conv_input(g, w, geometry=p),
        real(*_made),
        real(*_w),
        linear=(0, 1),
    )
    case(
        "conv_weight",
        _variant,
        lambda x, g, p=_geometry: _conv_weight(x, g, geometry=p),
        real(*_x),
        real(*_made),
        linear=(0, 1),
    )
case("conv2d", "bias", tg.conv2d, real(2, 2, 3, 3), real(3, 2, 2, 2), real(3))
for _variant, _x, _w, _options in [
    ("plain", (2, 3, 2, 3), (3, 2, 2, 3), {}),
    ("stride", (1, 2, 3, 2), (2, 2, 3, 2), {"stride": (2, 3)}),
    ("output_padding", (1, 2, 2, 3), (2, 2, 3, 2), {"stride": (2, 3), "output_padding": (1, 2), "padding": 1}),
    ("output_padding smaller than dilation", (1, 2, 2, 2), (2, 1, 2, 2), {"dilation": 2, "output_padding": 1}),
    ("padding, groups", (1, 4, 3, 3), (4, 1, 3, 2), {"padding": (2, 1), "groups": 2}),
    ("padding larger than kernel − 1", (1, 1, 6, 5), (1, 2, 2, 2), {"padding": 2}),
]:
    case(
        "conv_transpose2d",
        _variant,
        lambda x, w, o=_options: tg.conv_transpose2d(x, w, **o),
        real(*_x),
        real(*_w),
        linear=(0, 1),
    )
case("conv_transpose2d", "bias", tg.conv_transpose2d, real(2, 2, 2, 2), real(2, 3, 2, 2), real(3))
case(
    "conv1d",
    "stride, padding",
    lambda x, w: tg.conv1d(x, w, stride=2, padding=1),
    real(2, 2, 6),
    real(3, 2, 3),
    linear=(0, 1),
)
case(
    "conv1d",
    "dilation, groups, bias",
    lambda x, w, b: tg.conv1d(x, w, b, dilation=2, groups=2),
    real(2, 2, 6),
    real(4, 1, 3),
    real(4),
)
case(
    "conv_transpose1d", "output_padding", lambda x, w: tg.conv_transpose1d(x, w, stride=2, output_padding=1),
    real(2, 2, 3), real(2, 3, 3), linear=(0, 1),
)  # fmt: skip
case("conv_transpose1d", "bias", tg.conv_transpose1d, real(1, 2, 3), real(2, 3, 2), real(3))

_POOLS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("2 × 2", (2, 2, 4, 4), {"kernel_size": 2}),
    ("overlapping, not dividing", (1, 2, 6, 5), {"kernel_size": (3, 2), "stride": (2, 2)}),
    ("padding", (1, 2, 5, 4), {"kernel_size": 3, "stride": 2, "padding": (1, 0)}),
    ("stride larger than the kernel", (1, 1, 5, 5), {"kernel_size": 1, "stride": 3}),
    ("no images", (0, 2, 4, 4), {"kernel_size": 2}),
]
for _variant, _shape, _options in _POOLS:
    case("avg_pool2d", _variant, lambda x, o=_options: tg.avg_pool2d(x, **o), real(*_shape), linear=(0,))
    case("max_pool2d", _variant, lambda x, o=_options: tg.max_pool2d(x, **o), distinct(*_shape))
case("avg_pool1d", "stride, padding", lambda x: tg.avg_pool1d(x, 3, 2, 1), real(2, 2, 6), linear=(0,))
case("max_pool1d", "stride, padding", lambda x: tg.max_pool1d(x, 3, 2, 1), distinct(2, 2, 6))
_pooled = Geometry((5, 4), (3, 2), (2, 3), (2, 1), (1, 0), (1, 1), 1)
case("window_spread", "padding", lambda g: _window_spread(g, geometry=_pooled), real(1, 2, 2, 3), linear=(0,))
for _mode in ("nearest", "bilinear"):
    case("interpolate", f"{_mode}, sequences", lambda x, m=_mode: tg.interpolate(x, 2, m), real(2, 2, 3), linear=(0,))
    case(
        "interpolate",
        f"{_mode}, images",
        lambda x, m=_mode: tg.interpolate(x, (2, 3), m),
        real(1, 2, 3, 2),
        linear=(0,),
    )

# --- recurrence ---------------------------------------------------------------------------------------------------

for _steps, _batch, _size in [(3, 2, 2), (1, 1, 3), (2, 1, 1), (2, 0, 2)]:
    case(
        "lstm",
        f"{_steps} steps, {_batch} sequences of size {_size}",
        lambda *x: tg.concatenate(lstm(*x)),
        real(_steps, _batch, 4 * _size),
        real(4 * _size, _size),
        real(_batch, _size),
        real(_batch, _size),
        analytic=False,
    )
case(  # the whole output, gates and all
    "lstm",
    "arguments end to end",
    lambda x: _lstm(x, steps=3, batch=2, size=2),
    real(3 * 2 * 8 + 8 * 2 + 2 * 2 * 2),
    analytic=False,
)

# --- losses ------------------------------------------------------------------------------------------------------

for _reduction in ("mean", "sum", "none"):
    case("mse_loss", _reduction, lambda x, t, r=_reduction: tg.mse_loss(x, t, r), real(2, 3), real(2, 3))
    case(
        "l1_loss",
        _reduction,
        lambda x, t, r=_reduction: tg.l1_loss(x, t, r),
        between(0.2, 1, 2, 3),
        between(-1, 0.1, 2, 3),
        analytic=False,
    )
    case(
        "binary_cross_entropy_with_logits", _reduction,
        lambda x, t, r=_reduction: tg.binary_cross_entropy_with_logits(x, t, r),
        real(2, 3), between(0, 1, 2, 3), analytic=False,
    )  # fmt: skip
    case(
        "cross_entropy",
        _reduction,
        lambda x, t, r=_reduction: tg.cross_entropy(x, t, r),
        real(3, 4),
        constant([0, 3, 3]),
    )
    case(
        "nll_loss",
        _reduction,
        lambda x, t, r=_reduction: tg.nll_loss(x, t, r),
        real(3, 4),
        constant([0, 3, 3]),
        linear=(0,),
    )
case("cross_entropy", "images", tg.cross_entropy, real(2, 3, 2, 2), constant([[[0, 2], [1, 1]], [[2, 2], [0, 1]]]))
case("nll_loss", "sequences", tg.nll_loss, real(2, 3, 2), constant([[0, 2], [1, 1]]), linear=(0,))


# --- kinks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kink:
    """A point where the derivative is a convention: the gradients that it demands, exactly.

    ``second``, if given, is the gradient of the sum of all first gradients.
    """

    name: str
    function: Callable[..., Any]
    points: Iterable[Any]
    gradients: Iterable[Any]
    cotangent: Any = None  # ones, if not given
    second: Iterable[Any] | None = field(default=None)


_inf = math.inf
KINKS = [
    Kink("relu′(0) = 0", tg.relu, [[-1, 0, 2]], [[0, 0, 1]], second=[[0, 0, 0]]),
    Kink(
        "leaky_relu′(0) = its slope",
        lambda x: tg.leaky_relu(x, 0.25),
        [[-1, 0, 2]],
        [[0.25, 0.25, 1]],
        second=[[0, 0, 0]],
    ),
    Kink("elu′(0) = alpha, elu″(0) = alpha", lambda x: tg.elu(x, 0.5), [[0, 2]], [[0.5, 1]], second=[[0.5, 0]]),
    Kink("abs′(0) = 0", tg.abs, [[-1, 0, 2]], [[-1, 0, 1]], second=[[0, 0, 0]]),
    Kink("norm′(0) = 0", linalg.norm, [[0, 0]], [[0, 0]], second=[[0, 0]]),
    Kink("norm′(0) = 0 in one row", lambda x: linalg.norm(x, axis=1), [[[0, 0], [0, -2]]], [[[0, 0], [0, -1]]]),
    Kink("norm of order 1 at 0", lambda x: linalg.norm(x, 1), [[0, -2]], [[0, -1]]),
    Kink("norm of order inf splits ties", lambda x: linalg.norm(x, _inf), [[-2, 2, 1]], [[-0.5, 0.5, 0]]),
    Kink("norm of order inf at 0", lambda x: linalg.norm(x, _inf), [[0, 0]], [[0, 0]]),
    Kink("norm of order −inf splits ties", lambda x: linalg.norm(x, -_inf), [[-1, 2, 1]], [[-0.5, 0, 0.5]]),
    Kink("max splits ties", tg.max, [[2, 1, 2]], [[0.5, 0, 0.5]], second=[[0, 0, 0]]),
    Kink(
        "max splits ties in rows",
        lambda x: tg.max(x, 1),
        [[[2, 2, 2, 2], [0, 1, 0, 1]]],
        [[[0.25] * 4, [0, 0.5, 0, 0.5]]],
    ),
    Kink("min splits ties", tg.min, [[2, 1, 1]], [[0, 0.5, 0.5]], second=[[0, 0, 0]]),
    Kink("maximum splits ties", tg.maximum, [[1, 0, 2], [1, 2, 0]], [[0.5, 0, 1], [0.5, 1, 0]]),
    Kink("minimum splits ties", tg.minimum, [[1, 0, 2], [1, 2, 0]], [[0.5, 1, 0], [0.5, 0, 1]]),
    Kink("max_pool: the first wins", lambda x: tg.max_pool2d(x, 2), [[[[[1, 1], [1, 0]]]]], [[[[[1, 0], [0, 0]]]]]),
    Kink("max_pool: the first wins in each window", lambda x: tg.max_pool1d(x, 2, 1), [[[[1, 1, 1]]]], [[[[1, 1, 0]]]]),
    Kink("clip is inclusive", lambda x: tg.clip(x, -1.0, 1.0), [[-2, -1, 0, 1, 2]], [[0, 1, 1, 1, 0]]),
    Kink("clip at equal bounds", tg.clip, [[0, 1, 2], [1, 1, 1], [1, 1, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
    Kink(
        "clip where the lower bound is above the upper",
        tg.clip,
        [[1, 0, 3], [2] * 3, [1] * 3],
        [[0] * 3, [0] * 3, [1] * 3],
    ),
    Kink("clip at its bounds, as arrays", tg.clip, [[-1, 1], [-1, -1], [1, 1]], [[1, 1], [0, 0], [0, 0]]),
    Kink("sqrt′(0) = ∞", tg.sqrt, [[0, 4]], [[_inf, 0.25]]),
    Kink("sqrt: 0 stays 0", tg.sqrt, [[0, 4]], [[0, 0]], cotangent=[0, 0]),
    Kink(
        "where(x > 0, sqrt(x), 0) at 0",
        lambda x: tg.where(x > 0, tg.sqrt(x), 0.0),
        [[0, 4]],
        [[0, 0.25]],
        second=[[0, -1 / 32]],
    ),
    Kink(
        "where(x > 0, x^0.5, 0) at 0",
        lambda x: tg.where(x > 0, x**0.5, 0.0),
        [[0, 4]],
        [[0, 0.25]],
        second=[[0, -1 / 32]],
    ),
    Kink(
        "where(x > 0, 1/x, 0) at 0", lambda x: tg.where(x > 0, x**-1, 0.0), [[0, 2]], [[0, -0.25]], second=[[0, 0.25]]
    ),
    Kink(
        "power: 0 stays 0 at 0 with an array exponent",
        lambda x, p: tg.where(x > 0, x**p, 0.0),
        [[0, 1], [0.5, 2]],
        [[0, 2], [0, 0]],
    ),
    Kink(
        "power: 0 stays 0 at a negative base with an array exponent",
        lambda x, p: tg.where(x > 0, x**p, 0.0),
        [[-2, 1], [2, 3]],
        [[0, 3], [0, 0]],
    ),
    Kink("power: derivatives at base 0", tg.power, [[0, 0, 1], [2, 1, 3]], [[0, 1, 3], [0, 0, 0]]),
    Kink("0^0 is constant", lambda x: x**0, [[0, 2]], [[0, 0]], second=[[0, 0]]),
    Kink("x^1 at 0", lambda x: x**1, [[0, 2]], [[1, 1]], second=[[0, 0]]),
    Kink("x^2 at 0", lambda x: x**2, [[0, 2]], [[0, 4]], second=[[2, 2]]),
    Kink("x^3 at 0", lambda x: x**3, [[0, 2]], [[0, 12]], second=[[0, 12]]),
    Kink("x^1.5 at 0", lambda x: x**1.5, [[0, 4]], [[0, 3]], second=[[_inf, 0.375]]),
    Kink("0 · log 0 in its second argument", lambda y: tg.xlogy(tg.zeros_like(y), y), [[0, 2]], [[0, 0]]),
    Kink("xlogy(0, y)", lambda x, y: tg.xlogy(tg.detach(x), y) + 0.0 * x, [[0, 2], [0, 1]], [[0, 0], [0, 2]]),
    Kink(
        "multiply_or_zero: its factor infinite",
        multiply_or_zero,
        [[1, 2], [_inf, 3]],
        [[0, 3], [0, 2]],
        cotangent=[0, 1],
    ),
    Kink(
        "multiply_or_zero: an infinite cotangent",
        multiply_or_zero,
        [[0, 2], [1, 3]],
        [[_inf, 3], [0, 2]],
        cotangent=[_inf, 1],
    ),
    Kink(
        "divide_or_zero: 0/0",
        lambda g, d: tg.where(d > 0, divide_or_zero(g, d), 0.0),
        [[0, 2], [0, 4]],
        [[0, 0.25], [0, -0.125]],
    ),
    Kink("divide_or_zero: 0/0, its divisor alone", lambda d: divide_or_zero(tg.zeros_like(d), d), [[0, 2]], [[0, 0]]),
    Kink(
        "divide_or_zero: 1/0",
        lambda g, d: tg.where(d > 0, divide_or_zero(g, d), 0.0),
        [[1, 2], [0, 4]],
        [[0, 0.25], [0, -0.125]],
    ),
    Kink("logsumexp of −∞ alone", lambda x: tg.logsumexp(x, 1), [[[-_inf, -_inf], [0, 0]]], [[[0, 0], [0.5, 0.5]]]),
    Kink("softplus far out", tg.softplus, [[-1000, 1000]], [[0, 1]], second=[[0, 0]]),
    Kink("sigmoid far out", tg.sigmoid, [[-1000, 1000]], [[0, 0]], second=[[0, 0]]),
    Kink("logaddexp far out", tg.logaddexp, [[-1000, 1000], [1000, -1000]], [[0, 1], [1, 0]]),
    Kink("prod of zeros", tg.prod, [[0, 0, 3]], [[0, 0, 0]], second=[[3, 3, 0]]),
]
