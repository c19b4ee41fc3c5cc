"""One table of mistakes: each raises; the message names the operation, shows the values and says what to do.

Mistakes that only the values show (a label out of range, a singular matrix) are not looked for on a device, where
looking would synchronise: ``values=True`` marks them, and there they are run on the CPU alone.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from arrays import on, raw
from double import no_sync

import tinygen as tg
from tinygen import backend

Put = Callable[..., tg.Tensor]


class Maker:
    """Makes tensors on one device: ``m(2, 3)`` of float32 ones, ``m.ints(…)``, ``m.of(array)``."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, *shape: int, dtype: Any = np.float32, requires_grad: bool = False) -> tg.Tensor:
        return on(self.device, np.ones(shape, dtype), requires_grad=requires_grad)

    def of(self, values: Any, dtype: Any = None) -> tg.Tensor:
        return on(self.device, np.asarray(values, dtype))

    def raw(self, *shape: int, dtype: Any = np.float32) -> Any:
        return raw(self.device, np.ones(shape, dtype))


@dataclass(frozen=True)
class Mistake:
    """A call that must raise ``error``, with every one of the ``says`` somewhere in the message."""

    what: str
    call: Callable[[Maker], Any]
    error: type[Exception]
    says: tuple[str, ...]
    values: bool = False

    def __str__(self) -> str:
        return self.what


def wrong(what: str, call: Callable[[Maker], Any], error: Any, *says: str, values: bool = False) -> Mistake:
    """A mistake, named ``what``; an operation that stands there before a colon must stand in the message too."""
    operation, colon, _ = what.partition(": ")
    return Mistake(what, call, error, (*([operation] if colon else []), *says), values)


def each(names: str, what: str, call: Callable[[Any, Maker], Any], error: Any, *says: str) -> list[Mistake]:
    """The same mistake with each of some functions of tinygen."""
    functions = {name.rpartition(".")[2]: operator.attrgetter(name)(tg) for name in names.split()}
    return [wrong(f"{name}: {what}", partial(call, f), error, *says) for name, f in functions.items()]


V, T, I = ValueError, TypeError, IndexError  # noqa: E741
AXIS = np.exceptions.AxisError
LINALG = (np.linalg.LinAlgError, ValueError)

BINARY = """add subtract multiply divide power maximum minimum logaddexp xlogy
            equal not_equal less less_equal greater greater_equal"""
OF_MATRICES = "linalg.det linalg.slogdet linalg.inv linalg.cholesky linalg.eigh"
OF_PAIRS = "mse_loss l1_loss binary_cross_entropy_with_logits"
OVER_AXES = "sum mean var std max min prod logsumexp softmax log_softmax flip squeeze"

OPERATORS = [
    *each(BINARY, "shapes", lambda f, m: f(m(2, 3), m(4)), V, "(2, 3)", "(4,)", "reshape"),
    wrong("add: x + y", lambda m: m(2, 3) + m(4), V, "(2, 3)", "(4,)", "reshape"),
    wrong("add: array + x", lambda m: m.raw(2, 3) + m(4), V, "(2, 3)", "(4,)", "reshape"),
    wrong("matmul: x @ y", lambda m: m(2, 3) @ m(2, 3), V, "(2, 3)", ".mT"),
    wrong("where: shapes", lambda m: tg.where(m(3) > 0, m(2, 3), m(4)), V, "(3,)", "(2, 3)", "(4,)", "reshape"),
    wrong("clip: shapes", lambda m: tg.clip(m(2, 3), m(4), m(4)), V, "(2, 3)", "(4,)", "reshape"),
    wrong("clip: no bounds", lambda m: tg.clip(m(2, 3)), V, "a_min", "a_max"),
    wrong("x + list", lambda m: m(3).__add__([1.0, 2.0, 3.0]), T, "add", "list", "tg.tensor"),
    wrong("list * x", lambda m: [1.0, 2.0, 3.0] * m(3), T, "multiply", "list", "tg.tensor"),
    wrong("x - None", lambda m: m(3) - None, T, "subtract", "NoneType", "tg.tensor"),
    wrong("x / string", lambda m: m(3) / "2", T, "divide", "str", "tg.tensor"),
    wrong("x ** tuple", lambda m: m(3) ** (1, 2, 3), T, "power", "tuple", "tg.tensor"),
    wrong("maximum: list", lambda m: tg.maximum(m(3), [0.0, 1.0, 2.0]), T, "list", "tg.tensor"),
    wrong("where: list", lambda m: tg.where([True, False], m(2), m(2)), T, "list", "tg.tensor"),
    wrong("exp of a list", lambda m: tg.exp([1.0, 2.0]), T, "list", "tg.tensor"),
    wrong("sum of a list", lambda m: tg.sum([1.0, 2.0]), T, "list", "tg.tensor"),
    wrong("add of two lists", lambda m: tg.add([1.0], [2.0]), T, "list", "tg.tensor"),
    wrong("matmul with a list", lambda m: m(2, 2) @ [1.0, 2.0], T, "matmul", "list", "tg.tensor"),
    wrong("linear with a list", lambda m: tg.linear(m(2, 2), [[1.0, 2.0]]), T, "linear", "list", "tg.tensor"),
    wrong("conv2d with a list", lambda m: tg.conv2d(m(1, 1, 2, 2), [[[[1.0]]]]), T, "conv2d", "list", "tg.tensor"),
    wrong("mse_loss with a list", lambda m: tg.mse_loss(m(2), [1.0, 2.0]), T, "mse_loss", "list", "tg.tensor"),
    wrong("leaky_relu: slope", lambda m: tg.leaky_relu(m(3), 2.0), V, "negative_slope", "2.0", "[0, 1]"),
]  # fmt: skip

DTYPES = [
    *each(BINARY, "dtypes", lambda f, m: f(m(2), m(2, dtype=np.float64)),
          T, "float32", "float64", "argument 0", "argument 1", "(2,)", ".astype"),
    wrong("add: dtypes of x + array", lambda m: m(2) + m.raw(2, dtype=np.float64), T, "float32", "float64", ".astype"),
    wrong("add: dtypes of array + x", lambda m: m.raw(2, dtype=np.float64) + m(2), T, "float32", "float64", ".astype"),
    wrong("float16 + float32", lambda m: m(2, dtype=np.float16) + m(2), T, "add", "float16", "float32", ".astype"),
    wrong("less: dtypes of x < y", lambda m: m(2) < m(2, dtype=np.float64), T, "float32", "float64", ".astype"),
    wrong("matmul: dtypes", lambda m: m(2, 2) @ m(2, 2, dtype=np.float64), T, "float32", "float64", ".astype"),
    wrong("where: dtypes", lambda m: tg.where(m(2) > 0, m(2), m(2, dtype=np.float64)), T, "float64", ".astype"),
    wrong("linear: dtypes", lambda m: tg.linear(m(2, 2), m(2, 2), m(2, dtype=np.float64)), T, "argument 2", ".astype"),
    wrong("concatenate: dtypes", lambda m: tg.concatenate([m(2), m(2, dtype=np.float64)]), T, "float64", ".astype"),
    wrong("stack: dtypes", lambda m: tg.stack([m(2), m(2, dtype=np.float64)]), T, "float32", "float64", ".astype"),
    wrong("conv2d: dtypes", lambda m: tg.conv2d(m(1, 1, 2, 2), m(1, 1, 1, 1, dtype=np.float64)),
          T, "float64", ".astype"),
    wrong("solve: dtypes", lambda m: tg.linalg.solve(m.of(np.eye(2)), m(2, 2)), T, "float32", "float64", ".astype"),
    wrong("einsum: dtypes", lambda m: tg.einsum("i,i", m(2), m(2, dtype=np.float64)),
          T, "float32", "float64", ".astype"),
    wrong("index_add: dtypes", lambda m: tg.index_add(m(3), m.of([0]), m(1, dtype=np.float64)),
          T, "float32", "float64", ".astype"),
    wrong("mse_loss: dtypes", lambda m: tg.mse_loss(m(2), m(2, dtype=np.float64)), T, "float32", "float64", ".astype"),
    wrong("requires_grad: integers", lambda m: tg.tensor([1, 2], requires_grad=True), T, "int64", ".astype"),
    wrong("requires_grad: booleans", lambda m: tg.tensor([True], requires_grad=True), T, "bool", ".astype"),
    wrong("requires_grad: zeros of integers", lambda m: tg.zeros(2, dtype=int, requires_grad=True), T, ".astype"),
    wrong("requires_grad: set on integers", lambda m: setattr(m.of([1]), "requires_grad", True), T, "int64"),
    wrong("complex", lambda m: tg.tensor([1j]), T, "tensor", "complex128"),
    wrong("strings", lambda m: tg.tensor(["a"]), T, "tensor", "<U1"),
    wrong("objects", lambda m: tg.tensor([None]), T, "tensor", "object"),
    wrong("ragged lists", lambda m: tg.tensor([[1.0], [1.0, 2.0]]), V, "tensor"),
    wrong("default dtype", lambda m: tg.set_default_dtype(np.int32), T, "floating", "int32"),
]  # fmt: skip

AXES = [
    *each(f"{OVER_AXES} cumsum argmax argmin sort argsort", "axis", lambda f, m: f(m(2, 3), axis=2), AXIS, "2"),
    *each(OVER_AXES, "axis twice", lambda f, m: f(m(2, 3), axis=(0, -2)), AXIS, "(0, -2)", "repeat"),
    wrong("sum: float axis", lambda m: tg.sum(m(2, 3), axis=1.0), (T, AXIS), "1.0"),
    wrong("sum: string axis", lambda m: tg.sum(m(2, 3), axis="rows"), (T, V), "rows"),
    wrong("quantile: axis", lambda m: tg.quantile(m(2, 3), 0.5, axis=2), AXIS, "2"),
    wrong("quantile: q", lambda m: tg.quantile(m(2, 3), 1.5), V, "[0, 1]"),
    wrong("swapaxes: axis", lambda m: tg.swapaxes(m(2, 3), 0, 2), AXIS, "2"),
    wrong("moveaxis: axis", lambda m: tg.moveaxis(m(2, 3), 2, 0), AXIS, "2"),
    wrong("moveaxis: counts", lambda m: tg.moveaxis(m(2, 3), (0, 1), 0), V, "2 source", "1 dest"),
    wrong("transpose: order", lambda m: tg.transpose(m(2, 3), 0, 0), (V, AXIS), "(0, 0)"),
    wrong("transpose: count", lambda m: tg.transpose(m(2, 3), (0,)), (V, AXIS), "(0,)", "(2, 3)"),
    wrong("expand_dims: axis", lambda m: tg.expand_dims(m(2, 3), 4), AXIS, "4"),
    wrong("roll: axis", lambda m: tg.roll(m(2, 3), 1, axis=2), AXIS, "2"),
    wrong("take: axis", lambda m: tg.take(m(2, 3), m.of([0]), axis=2), AXIS, "2"),
    wrong("take_along_axis: axis", lambda m: tg.take_along_axis(m(2, 3), m.of([[0]]), axis=2), AXIS),
    wrong("index_add: axis", lambda m: tg.index_add(m(2, 3), m.of([0]), m(1, 3), axis=2), AXIS, "2"),
    wrong("split: axis", lambda m: tg.split(m(2, 3), 2, axis=2), AXIS, "2"),
    wrong("concatenate: axis", lambda m: tg.concatenate([m(2), m(2)], axis=1), AXIS, "1"),
    wrong("stack: axis", lambda m: tg.stack([m(2), m(2)], axis=2), AXIS, "2"),
    wrong("repeat: axis", lambda m: tg.repeat(m(2), 2, axis=1), AXIS, "1"),
    wrong("norm: axis", lambda m: tg.linalg.norm(m(2, 3), axis=2), AXIS, "2"),
    wrong("diagonal: axis", lambda m: tg.diagonal(m(2, 3), axis1=0, axis2=2), AXIS, "2"),
    wrong("diagonal: same axis", lambda m: tg.diagonal(m(2, 3), axis1=1, axis2=-1), (V, AXIS), "-1"),
    wrong("diagonal: vector", lambda m: tg.diagonal(m(3)), (V, AXIS)),
    wrong("trace: vector", lambda m: tg.trace(m(3)), (V, AXIS)),
    wrong("tril: scalar", lambda m: tg.tril(m()), V, "()"),
    wrong("triu: scalar", lambda m: tg.triu(m()), V, "()"),
]  # fmt: skip

EMPTY = [
    *each("max min argmax argmin", "no elements", lambda f, m: f(m(2, 0), axis=1), V, "(2, 0)"),
    wrong("max of nothing", lambda m: tg.max(m(0)), V, "max", "(0,)"),
    wrong("var: too few", lambda m: tg.var(m(1, 3), axis=0, correction=1), V, "1 element", "(1, 3)", "correction"),
    wrong("concatenate: nothing", lambda m: tg.concatenate([]), V, "at least one"),
    wrong("stack: nothing", lambda m: tg.stack([]), V, "at least one"),
    wrong("mean of nothing", lambda m: tg.mean(m(0, 2), axis=0), V, "mean", "(0, 2)"),
]  # fmt: skip

SHAPES = [
    wrong("reshape: size", lambda m: tg.reshape(m(2, 3), (4, 2)), V, "(2, 3)", "(4, 2)"),
    wrong("reshape: two unknown", lambda m: tg.reshape(m(2, 3), -1, -1), V, "(2, 3)"),
    wrong("reshape: -1 does not divide", lambda m: m(2, 3).reshape(4, -1), V, "(2, 3)"),
    wrong("broadcast_to", lambda m: tg.broadcast_to(m(2, 3), (2, 4)), V, "broadcast_to", "(2, 3)", "(2, 4)"),
    wrong("squeeze", lambda m: tg.squeeze(m(2, 3), axis=0), V, "squeeze", "axis 0", "(2, 3)", "size 1"),
    wrong("concatenate: sizes", lambda m: tg.concatenate([m(2, 3), m(2, 4)]), V, "(2, 3)", "(2, 4)"),
    wrong("concatenate: axes", lambda m: tg.concatenate([m(2, 3), m(2)]), V, "(2, 3)", "(2,)"),
    wrong("stack: shapes", lambda m: tg.stack([m(2, 3), m(3, 2)]), V, "(2, 3)", "(3, 2)"),
    wrong("split: uneven", lambda m: tg.split(m(5, 2), 2), V, "5", "2 equal parts"),
    wrong("split: zero parts", lambda m: tg.split(m(4, 2), 0), V, "0"),
    wrong("pad: negative", lambda m: tg.pad(m(2, 3), -1), V, "negative", "-1", "x[...]"),
    wrong("pad: mode", lambda m: tg.pad(m(2, 3), 1, mode="mirror"), V, "'mirror'", "'reflect'"),
    wrong("pad: widths", lambda m: tg.pad(m(2, 3), ((1, 1), (1, 1), (1, 1))), V, "(2, 3)"),
    wrong("pad: float widths", lambda m: tg.pad(m(2, 3), 1.5), (T, V), "1.5"),
    wrong("pad: nothing to reflect", lambda m: tg.pad(m(2, 0), 1, mode="edge"), V, "(2, 0)"),
    wrong("roll: shifts", lambda m: tg.roll(m(2, 3), (1, 2, 3), axis=(0, 1)), V, "(1, 2, 3)"),
    wrong("roll: axis twice", lambda m: tg.roll(m(2, 3), (1, 1), axis=(0, 5)), AXIS, "5"),
    wrong("repeat: negative", lambda m: tg.repeat(m(2, 3), -1), V, "-1"),
    wrong("tile: negative", lambda m: tg.tile(m(2, 3), -1), V, "-1"),
    wrong("len of 0-d", lambda m: len(m()), T, "len()"),
    wrong("iteration over 0-d", lambda m: list(m()), T, "without axes"),
    wrong("zeros: negative size", lambda m: tg.zeros((2, -1)), V, "-1"),
    wrong("linspace: negative", lambda m: tg.linspace(0, 1, -1), V, "-1"),
]  # fmt: skip

INDICES = [
    wrong("getitem: x[i] out of range", lambda m: m(2, 3)[2], I, "2", "(2, 3)"),
    wrong("getitem: x[i, j] out of range", lambda m: m(2, 3)[0, -4], I, "-4", "(2, 3)"),
    wrong("getitem: x[i, j, k] of two axes", lambda m: m(2, 3)[0, 0, 0], I, "(2, 3)"),
    wrong("getitem: x[array] out of range", lambda m: m(2, 3)[m.of([0, 2])], I, "2", "(2, 3)", values=True),
    wrong("getitem: x[float]", lambda m: m(2, 3)[1.0], I, "integer"),
    wrong("x[float array]", lambda m: m(2, 3)[m(2)], I, "x[...]", "float32", ".astype"),
    wrong("x[float list]", lambda m: m(2, 3)[[0.0, 1.0]], I, "x[...]", "float", ".astype"),
    wrong("getitem: x[mask] of another shape", lambda m: m(2, 3)[m.of([True, False, True])], I, "(2, 3)"),
    wrong("getitem: x[string]", lambda m: m(2, 3)["a"], I),
    wrong("getitem: x[arrays] of two shapes", lambda m: m(2, 3)[m.of([0, 1]), m.of([0, 1, 2])], I, "(2,)", "(3,)"),
    wrong("take: out of range", lambda m: tg.take(m(2, 3), m.of([3]), axis=1), I, "3", "(2, 3)", values=True),
    wrong("take: float", lambda m: tg.take(m(2, 3), m(2), axis=1), I, "float32", ".astype"),
    wrong("take_along_axis: range", lambda m: tg.take_along_axis(m(2, 3), m.of([[3], [0]]), 1), I, values=True),
    wrong("take_along_axis: ndim", lambda m: tg.take_along_axis(m(2, 3), m.of([0]), 1), V, "(1,)", "(2, 3)"),
    wrong("take_along_axis: shapes", lambda m: tg.take_along_axis(m(2, 3), m.of([[0]] * 4), 1),
          (V, I), "(4, 1)", "(2, 3)"),
    wrong("take_along_axis: float", lambda m: tg.take_along_axis(m(2, 3), m(2, 1), 1), (T, I), "float32", ".astype"),
    wrong("index_add: values", lambda m: tg.index_add(m(3, 2), m.of([0, 1]), m(3, 2)), V, "(3, 2)", "(2, 2)"),
    wrong("index_add: range", lambda m: tg.index_add(m(3, 2), m.of([3]), m(1, 2)), I, "3", values=True),
    wrong("index_add: float", lambda m: tg.index_add(m(3, 2), m(1), m(1, 2)), (T, I), "float32", ".astype"),
    wrong("embedding: range", lambda m: tg.embedding(m.of([0, 4]), m(4, 2)), I, "4", "0 and 3", values=True),
    wrong("embedding: negative", lambda m: tg.embedding(m.of([-1]), m(4, 2)), I, "-1", "0 and 3", values=True),
    wrong("embedding: float", lambda m: tg.embedding(m(2), m(4, 2)), T, "float32", ".astype"),
    wrong("embedding: weight", lambda m: tg.embedding(m.of([0]), m(4)), V, "(4,)"),
    wrong("one_hot: range", lambda m: tg.one_hot(m.of([0, 3]), 3), I, "3", "0 and 2", values=True),
    wrong("one_hot: negative", lambda m: tg.one_hot(m.of([-1]), 3), I, "-1", values=True),
    wrong("one_hot: float", lambda m: tg.one_hot(m(2), 3), T, "float32", ".astype"),
]  # fmt: skip

MATRICES = [
    wrong("matmul: inner sizes", lambda m: tg.matmul(m(2, 3), m(4, 2)), V, "(2, 3)", "(4, 2)", ".mT"),
    wrong("matmul: vector", lambda m: tg.matmul(m(2, 3), m(2)), V, "(2, 3)", "(2,)"),
    wrong("matmul: stacks", lambda m: tg.matmul(m(2, 2, 3), m(3, 3, 2)), V, "(2, 2, 3)", "(3, 3, 2)"),
    wrong("matmul: scalar", lambda m: tg.matmul(m(), m(2, 2)), V, "()", "multiply"),
    wrong("matmul: number", lambda m: m(2, 2) @ 2.0, (V, T), "multiply"),
    wrong("dot: matrices", lambda m: tg.dot(m(2, 3), m(3)), V, "(2, 3)", "matmul"),
    wrong("dot: sizes", lambda m: tg.dot(m(2), m(3)), V, "(2,)", "(3,)"),
    wrong("linear: sizes", lambda m: tg.linear(m(2, 3), m(5, 4)), V, "(2, 3)", "(5, 4)", "(out, 3)"),
    wrong("linear: weight", lambda m: tg.linear(m(2, 3), m(3)), V, "(2, 3)", "(3,)", "(out, 3)"),
    wrong("linear: bias", lambda m: tg.linear(m(2, 3), m(4, 3), m(3)), V, "(4, 3)", "(4,)", "(3,)"),
    wrong("einsum: count", lambda m: tg.einsum("ij,jk", m(2, 3)), V, "'ij,jk'", "2 operands", "1"),
    wrong("einsum: term", lambda m: tg.einsum("ijk", m(2, 3)), V, "'ijk'", "(2, 3)"),
    wrong("einsum: sizes", lambda m: tg.einsum("ij,jk", m(2, 3), m(4, 2)), V, "'j'", "3", "4"),
    wrong("einsum: unknown label", lambda m: tg.einsum("ij->ik", m(2, 3)), V, "'ik'", "unknown"),
    wrong("einsum: repeated result", lambda m: tg.einsum("ij->ii", m(2, 3)), V, "'ii'", "repeat"),
    wrong("einsum: ellipsis", lambda m: tg.einsum("...i->i", m(2, 3)), V, "..."),
    *each(f"{OF_MATRICES} linalg.cofactor", "not square", lambda f, m: f(m(2, 3)), V, "(…, n, n)", "(2, 3)"),
    *each(f"{OF_MATRICES} linalg.svd linalg.qr", "vector", lambda f, m: f(m(3)), V, "(3,)"),
    *each("linalg.solve linalg.solve_triangular", "not square", lambda f, m: f(m(2, 3), m(2, 1)), V, "(2, 3)"),
    *each("linalg.solve linalg.solve_triangular", "sizes", lambda f, m: f(m.of(np.eye(2)), m(3, 1, dtype=float)),
          V, "(2, 2)", "(3, 1)"),
    wrong("solve: batch", lambda m: tg.linalg.solve(m.of(np.ones((2, 1, 1))), m(3, 1, 1, dtype=float)),
          V, "(2, 1, 1)", "(3, 1, 1)"),
    wrong("inv: singular", lambda m: tg.linalg.inv(m(2, 2)), LINALG, "ingular", "(2, 2)", "identity", values=True),
    wrong("solve: singular", lambda m: tg.linalg.solve(m(2, 2), m(2, 1)), LINALG, "ingular", "(2, 2)", values=True),
    wrong("cholesky: indefinite", lambda m: tg.linalg.cholesky(-1.0 * m.of(np.eye(2))),
          LINALG, "ositive definite", "(2, 2)", values=True),
    wrong("norm: order", lambda m: tg.linalg.norm(m(2, 2, requires_grad=True), "nuc"), V, "'nuc'", "fro"),
    wrong("norm: fro of vector", lambda m: tg.linalg.norm(m(2), "fro"), V, "two axes", "(2,)"),
    *each("linalg.eigh linalg.svd linalg.qr", "gradient", lambda f, m: f(m(2, 2, requires_grad=True)),
          V, "derivative", "detach"),
]  # fmt: skip


def of_axes(d: int) -> list[Mistake]:
    """Mistakes with the convolutions and the poolings of ``d`` axes."""
    conv, transposed, pools = f"conv{d}d", f"conv_transpose{d}d", f"avg_pool{d}d max_pool{d}d"
    one, two, five = (1,) * d, (2,) * d, (5,) * d
    kernel = ", ".join(["5"] * d)
    options = [("stride", 0), ("stride", 1.5), ("padding", -1), ("padding", "same"), ("dilation", 0), ("groups", 0)]
    return [
        *each(conv, "channels", lambda f, m: f(m(1, 3, *five), m(4, 2, *two)), V, "3 channels", "needs 2"),
        *each(conv, "x axes", lambda f, m: f(m(3, *five), m(4, 3, *two)), V, "(3, "),
        *each(conv, "weight axes", lambda f, m: f(m(1, 3, *five), m(4, 3)), V, "(4, 3)"),
        *each(conv, "kernel", lambda f, m: f(m(1, 1, *two), m(1, 1, *five)), V, kernel, "does not fit"),
        *each(conv, "empty kernel", lambda f, m: f(m(1, 1, *five), m(1, 1, *(0,) * d)), V, "(1, 1, 0"),
        *each(conv, "groups", lambda f, m: f(m(1, 3, *five), m(4, 1, *two), groups=2), V, "groups=2", "3 input"),
        *each(conv, "group outputs", lambda f, m: f(m(1, 2, *five), m(3, 1, *two), groups=2),
              V, "groups=2", "3 output"),
        *each(conv, "bias", lambda f, m: f(m(1, 3, *five), m(4, 3, *two), m(3)), V, "bias", "(4,)", "(3,)"),
        *[
            wrong(f"{conv}: {what} {value}", lambda m, option={what: value}: getattr(tg, conv)(
                m(1, 3, *five), m(4, 3, *two), **option), V, what, str(value))
            for what, value in options
        ],
        *each(transposed, "channels", lambda f, m: f(m(1, 3, *five), m(4, 2, *two)), V, "3 channels", "needs 4"),
        *each(transposed, "bias", lambda f, m: f(m(1, 3, *five), m(3, 2, *two), m(3)), V, "(2,)", "(3,)"),
        *each(transposed, "padding", lambda f, m: f(m(1, 3, *one), m(3, 2, *two), padding=1),
              V, "padding", "leaves nothing"),
        *each(transposed, "output_padding", lambda f, m: f(m(1, 3, *five), m(3, 2, *two), stride=2, output_padding=2),
              V, "output_padding", "smaller", "2"),
        *each(pools, "axes", lambda f, m: f(m(3, *five), 2), V, "(3, "),
        *each(pools, "kernel", lambda f, m: f(m(1, 1, *two), 3), V, "3", "does not fit"),
        *each(pools, "padding", lambda f, m: f(m(1, 1, *five), 3, padding=2), V, "padding", "2", "half", "3"),
        *each(pools, "kernel 0", lambda f, m: f(m(1, 1, *five), 0), V, "kernel_size", "0"),
        *each(pools, "stride 0", lambda f, m: f(m(1, 1, *five), 2, 0), V, "stride", "0"),
    ]  # fmt: skip


IMAGES = [
    *of_axes(1),
    *of_axes(2),
    wrong("conv2d: three strides", lambda m: tg.conv2d(m(1, 1, 4, 4), m(1, 1, 2, 2), stride=(1, 1, 1)),
          V, "stride", "(1, 1, 1)"),
    wrong("conv2d of a 3-d weight", lambda m: tg.conv2d(m(1, 1, 4), m(1, 1, 2)), V, "conv2d", "(1, 1, 4)", "(1, 1, 2)"),
    wrong("interpolate: factor 1.5", lambda m: tg.interpolate(m(1, 1, 2, 2), 1.5), V, "1.5", "whole numbers"),
    wrong("interpolate: factor 0", lambda m: tg.interpolate(m(1, 1, 2, 2), 0), V, "0", "whole numbers"),
    wrong("interpolate: factors", lambda m: tg.interpolate(m(1, 1, 2, 2), (2,)), V, "(2,)", "(1, 1, 2, 2)"),
    wrong("interpolate: axes", lambda m: tg.interpolate(m(2, 2), 2), V, "(2, 2)"),
    wrong("interpolate: mode", lambda m: tg.interpolate(m(1, 1, 2, 2), 2, "cubic"), V, "'cubic'", "'bilinear'"),
]  # fmt: skip

LOSSES = [
    *each(OF_PAIRS, "shapes", lambda f, m: f(m(2, 3), m(3)),
          V, "(2, 3)", "(3,)", "reshape"),
    *each(OF_PAIRS, "reduction", lambda f, m: f(m(2), m(2), reduction="average"), V, "'average'", "'mean'"),
    *[
        mistake
        for name, f in (("cross_entropy", tg.cross_entropy), ("nll_loss", tg.nll_loss))
        for mistake in (
            wrong(f"{name}: reduction", lambda m, f=f: f(m(2, 3), m.of([0, 1]), reduction=None), V, "None", "'mean'"),
            wrong(f"{name}: labels' shape", lambda m, f=f: f(m(2, 3), m.of([0, 1, 2])), V, "(2, 3)", "(3,)"),
            wrong(f"{name}: one-hot labels", lambda m, f=f: f(m(2, 3), m(2, 3)), V, "(2, 3)", "axis 1"),
            wrong(f"{name}: vector", lambda m, f=f: f(m(3), m.of(0)), V, "(3,)", "(N, C"),
            wrong(f"{name}: float labels", lambda m, f=f: f(m(2, 3), m(2)), T, "labels", "float32", ".astype"),
            wrong(f"{name}: label too large", lambda m, f=f: f(m(2, 3), m.of([0, 3])),
                  I, "labels", "3", "0 and 2", values=True),
            wrong(f"{name}: negative label", lambda m, f=f: f(m(2, 3), m.of([0, -1])), I, "labels", "-1", values=True),
        )
    ],
]  # fmt: skip

TENSORS = [
    wrong("x[0] = 1", lambda m: m(3).__setitem__(0, 1.0), T, "never written", "tg.where", ".assign"),
    wrong("bool of many", lambda m: bool(m(3)), V, "truth", "(3,)"),
    wrong("float of many", lambda m: float(m(3)), V, "item", "(3,)"),
    wrong("item of many", lambda m: m(2, 2).item(), V, "item", "(2, 2)", ".numpy()"),
    wrong("np.asarray", lambda m: np.asarray(m(3)), T, ".numpy()"),
    wrong("assign: shape", lambda m: m(3).assign(m.raw(2)), V, "float32[3]", "float32[2]"),
    wrong("assign: dtype", lambda m: m(3).assign(m.raw(3, dtype=float)), V, "float32[3]", "float64[3]"),
    wrong("assign: no leaf", lambda m: (m(3, requires_grad=True) * 2.0).assign(m.raw(3)), V, "leaves", "multiply"),
    wrong("assign: a number", lambda m: m(3).assign(1.0), (T, V), "float"),
    wrong("assign: a list", lambda m: m(3).assign([1.0, 2.0, 3.0]), (T, V), "list"),
    wrong("requires_grad of a result", lambda m: setattr(m(1, requires_grad=True) * 2.0, "requires_grad", False),
          V, "requires_grad", ".detach()"),
    wrong("unknown device", lambda m: tg.zeros(2, device="gpu"), V, "'gpu'", "'cpu'", "'cuda'"),
    wrong("unknown default device", lambda m: tg.set_default_device("tpu:0"), V, "'tpu:0'", "'cpu'"),
    wrong("device index", lambda m: tg.zeros(2, device="cuda:x"), V, "'cuda:x'", "'cuda:N'"),
    wrong("to an unknown device", lambda m: m(2).to("gpu"), V, "'gpu'", "'cpu'"),
    wrong("astype to complex", lambda m: m(2).astype(complex), T, "astype", "complex128"),
    wrong("unknown dtype", lambda m: m(2).astype("float33"), T, "float33"),
]  # fmt: skip

MISTAKES = [
    *OPERATORS, *DTYPES, *AXES, *EMPTY, *SHAPES, *INDICES, *MATRICES, *IMAGES, *LOSSES, *TENSORS,
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
@pytest.mark.filterwarnings("error")
def test_mistake(mistake: Mistake, device: str) -> None:
    if mistake.values and device != "cpu":
        device = "cpu"  # by design not looked for on a device: test_values_are_not_looked_at_on_a_device
    with pytest.raises(mistake.error, match=everything(mistake.says)):
        mistake.call(Maker(device))


def everything(says: tuple[str, ...]) -> str:
    """A pattern that every one of the texts occurs, in any order (NumPy writes shapes without spaces)."""
    return "(?s)" + "".join(f"(?=.*{re.escape(text).replace(chr(92) + ' ', ' ?')})" for text in says)


@pytest.mark.host
@pytest.mark.parametrize("mistake", [mistake for mistake in MISTAKES if mistake.values], ids=str)
def test_values_are_not_looked_at_on_a_device(mistake: Mistake) -> None:
    """What only the values would show passes on the double, without a synchronisation (CuPy wraps, or gives NaN)."""
    maker = Maker("double")
    with no_sync():
        mistake.call(maker)


TWO_DEVICES: dict[str, Callable[[tg.Tensor, tg.Tensor], Any]] = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "matmul": lambda x, y: x @ y,
    "less": lambda x, y: x < y,
    "where": lambda x, y: tg.where(x > 0.0, x, y),
    "concatenate": lambda x, y: tg.concatenate([x, y]),
    "solve": tg.linalg.solve,
    "linear": lambda x, y: tg.linear(x, y),
    "clip": lambda x, y: tg.clip(x, y, y),
    "array on the left": lambda x, y: backend.library(x._data).xp.multiply(x._data, 1.0) + y,
    "array on the right": lambda x, y: x + y._data,
    "mse_loss": lambda x, y: tg.mse_loss(x, y),
    "outer": lambda x, y: tg.outer(x, y),
    "einsum": lambda x, y: tg.einsum("ij,jk", x, y),
    "stack": lambda x, y: tg.stack([x, y]),
}


@pytest.mark.host
@pytest.mark.parametrize("name", TWO_DEVICES)
@pytest.mark.parametrize("first", ["cpu", "double"])
def test_two_devices(name: str, first: str) -> None:
    second = "double" if first == "cpu" else "cpu"
    x, y = on(first, np.eye(2)), on(second, np.eye(2))
    with pytest.raises(TypeError, match=everything(("argument", "cpu", "double", ".to("))):
        TWO_DEVICES[name](x, y)


INDEX_ON_ANOTHER_DEVICE: dict[str, Callable[[tg.Tensor, tg.Tensor], Any]] = {
    "getitem": lambda x, i: x[i],
    "in a tuple": lambda x, i: x[:, i],
    "take": lambda x, i: tg.take(x, i, axis=1),
    "embedding": lambda x, i: tg.embedding(i, x),
    "cross_entropy": lambda x, i: tg.cross_entropy(x, i),
    "index_add": lambda x, i: tg.index_add(x, i, x),
    "take_along_axis": lambda x, i: tg.take_along_axis(x, i.reshape(2, 1), 1),
}


@pytest.mark.host
@pytest.mark.parametrize("name", INDEX_ON_ANOTHER_DEVICE)
@pytest.mark.parametrize("first", ["cpu", "double"])
def test_indices_on_another_device(name: str, first: str) -> None:
    second = "double" if first == "cpu" else "cpu"
    x, index = on(first, np.eye(2)), on(second, np.array([0, 1]))
    with pytest.raises(TypeError, match=everything(("index", "cpu", "double", ".to("))):
        INDEX_ON_ANOTHER_DEVICE[name](x, index)


@pytest.mark.host
@pytest.mark.parametrize(("first", "second"), [("cpu", "double"), ("double", "cpu")])
def test_assign_and_seeds_on_another_device(first: str, second: str) -> None:
    x, there = on(first, np.ones(2), requires_grad=True), on(second, np.ones(2))
    with pytest.raises(ValueError, match=everything(("assign", "cpu", "double"))):
        x.assign(there)
    with pytest.raises(ValueError, match=everything(("grad", "cpu", "double"))):
        tg.grad(x * x, x, there)
