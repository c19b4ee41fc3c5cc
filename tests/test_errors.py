"""One table of mistakes: each raises, and the message names the operation, shows the offending values and says what to do.

Mistakes that only the values show (a label out of range, a singular matrix) are not looked for on a device, where
looking would synchronise: ``values=True`` marks them, and there they are run on the CPU alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
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
    return Mistake(what, call, error, says, values)


V, T, I = ValueError, TypeError, IndexError  # noqa: E741
AXIS = np.exceptions.AxisError
LINALG = (np.linalg.LinAlgError, ValueError)

BROADCAST = [
    wrong(f"{name}: shapes", lambda m, f=getattr(tg, name): f(m(2, 3), m(4)), V, name, "(2, 3)", "(4,)", "reshape")
    for name in ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "logaddexp", "xlogy", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
]  # fmt: skip

OPERATORS = [
    wrong("x + y: shapes", lambda m: m(2, 3) + m(4), V, "add", "(2, 3)", "(4,)", "reshape"),
    wrong("array + x: shapes", lambda m: m.raw(2, 3) + m(4), V, "add", "(2, 3)", "(4,)", "reshape"),
    wrong("x @ y: shapes", lambda m: m(2, 3) @ m(2, 3), V, "matmul", "(2, 3)", ".mT"),
    wrong("where: shapes", lambda m: tg.where(m(3) > 0, m(2, 3), m(4)), V, "where", "(3,)", "(2, 3)", "(4,)", "reshape"),
    wrong("clip: shapes", lambda m: tg.clip(m(2, 3), m(4), m(4)), V, "clip", "(2, 3)", "(4,)", "reshape"),
    wrong("clip: no bounds", lambda m: tg.clip(m(2, 3)), V, "clip", "a_min", "a_max"),
    wrong("x + list", lambda m: m(3) + [1.0, 2.0, 3.0], T, "add", "list", "tg.tensor"),
    wrong("list * x", lambda m: [1.0, 2.0, 3.0] * m(3), T, "multiply", "list", "tg.tensor"),
    wrong("x - None", lambda m: m(3) - None, T, "subtract", "NoneType", "tg.tensor"),
    wrong("x / string", lambda m: m(3) / "2", T, "divide", "str", "tg.tensor"),
    wrong("x ** tuple", lambda m: m(3) ** (1, 2, 3), T, "power", "tuple", "tg.tensor"),
    wrong("maximum: list", lambda m: tg.maximum(m(3), [0.0, 1.0, 2.0]), T, "maximum", "list", "tg.tensor"),
    wrong("where: list", lambda m: tg.where([True, False], m(2), m(2)), T, "where", "list", "tg.tensor"),
    wrong("exp of a list", lambda m: tg.exp([1.0, 2.0]), T, "list", "tg.tensor"),
    wrong("sum of a list", lambda m: tg.sum([1.0, 2.0]), T, "list", "tg.tensor"),
    wrong("add of two lists", lambda m: tg.add([1.0], [2.0]), T, "list", "tg.tensor"),
    wrong("matmul with a list", lambda m: m(2, 2) @ [1.0, 2.0], T, "matmul", "list", "tg.tensor"),
    wrong("linear with a list", lambda m: tg.linear(m(2, 2), [[1.0, 2.0]]), T, "linear", "list", "tg.tensor"),
    wrong("conv2d with a list", lambda m: tg.conv2d(m(1, 1, 2, 2), [[[[1.0]]]]), T, "conv2d", "list", "tg.tensor"),
    wrong("mse_loss with a list", lambda m: tg.mse_loss(m(2), [1.0, 2.0]), T, "mse_loss", "list", "tg.tensor"),
    wrong("leaky_relu: slope", lambda m: tg.leaky_relu(m(3), 2.0), V, "leaky_relu", "negative_slope", "2.0", "[0, 1]"),
]  # fmt: skip

DTYPES = [
    *[
        wrong(
            f"{name}: dtypes", lambda m, f=getattr(tg, name): f(m(2), m(2, dtype=np.float64)), T, name, "float32", "float64",
            "argument 0", "argument 1", "(2,)", ".astype",
        )
        for name in ["add", "multiply", "power", "maximum", "logaddexp", "less", "equal"]
    ],
    wrong("x + array: dtypes", lambda m: m(2) + m.raw(2, dtype=np.float64), T, "add", "float32", "float64", ".astype"),
    wrong("array + x: dtypes", lambda m: m.raw(2, dtype=np.float64) + m(2), T, "add", "float32", "float64", ".astype"),
    wrong("float16 + float32", lambda m: m(2, dtype=np.float16) + m(2), T, "add", "float16", "float32", ".astype"),
    wrong("x < y: dtypes", lambda m: m(2) < m(2, dtype=np.float64), T, "less", "float32", "float64", ".astype"),
    wrong("matmul: dtypes", lambda m: m(2, 2) @ m(2, 2, dtype=np.float64), T, "matmul", "float32", "float64", ".astype"),
    wrong("where: dtypes", lambda m: tg.where(m(2) > 0, m(2), m(2, dtype=np.float64)), T, "where", "float64", ".astype"),
    wrong("linear: dtypes", lambda m: tg.linear(m(2, 2), m(2, 2), m(2, dtype=np.float64)), T, "linear", "argument 2", ".astype"),
    wrong("concatenate: dtypes", lambda m: tg.concatenate([m(2), m(2, dtype=np.float64)]), T, "concatenate", "float64", ".astype"),
    wrong("stack: dtypes", lambda m: tg.stack([m(2), m(2, dtype=np.float64)]), T, "float32", "float64", ".astype"),
    wrong("conv2d: dtypes", lambda m: tg.conv2d(m(1, 1, 2, 2), m(1, 1, 1, 1, dtype=np.float64)), T, "conv", "float64", ".astype"),
    wrong("solve: dtypes", lambda m: tg.linalg.solve(m.of(np.eye(2)), m(2, 2)), T, "solve", "float32", "float64", ".astype"),
    wrong("einsum: dtypes", lambda m: tg.einsum("i,i", m(2), m(2, dtype=np.float64)), T, "float32", "float64", ".astype"),
    wrong("index_add: dtypes", lambda m: tg.index_add(m(3), m.of([0]), m(1, dtype=np.float64)), T, "float32", "float64", ".astype"),
    wrong("mse_loss: dtypes", lambda m: tg.mse_loss(m(2), m(2, dtype=np.float64)), T, "float32", "float64", ".astype"),
    wrong("ints: requires_grad", lambda m: tg.tensor([1, 2], requires_grad=True), T, "requires_grad", "int64", ".astype"),
    wrong("bools: requires_grad", lambda m: tg.tensor([True], requires_grad=True), T, "requires_grad", "bool", ".astype"),
    wrong("zeros of ints: requires_grad", lambda m: tg.zeros(2, dtype=int, requires_grad=True), T, "requires_grad", ".astype"),
    wrong("ints: set requires_grad", lambda m: setattr(m.of([1]), "requires_grad", True), T, "requires_grad", "int64"),
    wrong("complex", lambda m: tg.tensor([1j]), T, "tensor", "complex128"),
    wrong("strings", lambda m: tg.tensor(["a"]), T, "tensor", "<U1"),
    wrong("objects", lambda m: tg.tensor([None]), T, "tensor", "object"),
    wrong("ragged lists", lambda m: tg.tensor([[1.0], [1.0, 2.0]]), V, "tensor"),
    wrong("default dtype", lambda m: tg.set_default_dtype(np.int32), T, "floating", "int32"),
]  # fmt: skip

AXES = [
    *[
        wrong(f"{name}: axis", lambda m, f=getattr(tg, name): f(m(2, 3), axis=2), AXIS, name, "2")
        for name in ["sum", "mean", "var", "std", "max", "min", "prod", "cumsum", "logsumexp", "softmax", "log_softmax", "argmax", "argmin", "flip", "squeeze", "sort", "argsort"]
    ],
    *[
        wrong(f"{name}: axis twice", lambda m, f=getattr(tg, name): f(m(2, 3), axis=(0, -2)), AXIS, name, "(0, -2)", "repeat")
        for name in ["sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "softmax", "flip", "squeeze"]
    ],
    wrong("sum: float axis", lambda m: tg.sum(m(2, 3), axis=1.0), (T, AXIS), "sum", "1.0"),
    wrong("sum: string axis", lambda m: tg.sum(m(2, 3), axis="rows"), (T, V), "sum", "rows"),
    wrong("quantile: axis", lambda m: tg.quantile(m(2, 3), 0.5, axis=2), AXIS, "quantile", "2"),
    wrong("quantile: q", lambda m: tg.quantile(m(2, 3), 1.5), V, "quantile", "[0, 1]"),
    wrong("swapaxes: axis", lambda m: tg.swapaxes(m(2, 3), 0, 2), AXIS, "swapaxes", "2"),
    wrong("moveaxis: axis", lambda m: tg.moveaxis(m(2, 3), 2, 0), AXIS, "moveaxis", "2"),
    wrong("moveaxis: counts", lambda m: tg.moveaxis(m(2, 3), (0, 1), 0), V, "moveaxis", "2 source", "1 dest"),
    wrong("transpose: order", lambda m: tg.transpose(m(2, 3), 0, 0), (V, AXIS), "transpose", "(0, 0)"),
    wrong("transpose: count", lambda m: tg.transpose(m(2, 3), (0,)), (V, AXIS), "transpose", "(0,)", "(2, 3)"),
    wrong("expand_dims: axis", lambda m: tg.expand_dims(m(2, 3), 4), AXIS, "expand_dims", "4"),
    wrong("roll: axis", lambda m: tg.roll(m(2, 3), 1, axis=2), AXIS, "roll", "2"),
    wrong("take: axis", lambda m: tg.take(m(2, 3), m.of([0]), axis=2), AXIS, "take", "2"),
    wrong("take_along_axis: axis", lambda m: tg.take_along_axis(m(2, 3), m.of([[0]]), axis=2), AXIS, "take_along_axis"),
    wrong("index_add: axis", lambda m: tg.index_add(m(2, 3), m.of([0]), m(1, 3), axis=2), AXIS, "index_add", "2"),
    wrong("split: axis", lambda m: tg.split(m(2, 3), 2, axis=2), AXIS, "split", "2"),
    wrong("concatenate: axis", lambda m: tg.concatenate([m(2), m(2)], axis=1), AXIS, "concatenate", "1"),
    wrong("stack: axis", lambda m: tg.stack([m(2), m(2)], axis=2), AXIS, "2"),
    wrong("repeat: axis", lambda m: tg.repeat(m(2), 2, axis=1), AXIS, "repeat", "1"),
    wrong("norm: axis", lambda m: tg.linalg.norm(m(2, 3), axis=2), AXIS, "norm", "2"),
    wrong("diagonal: axis", lambda m: tg.diagonal(m(2, 3), axis1=0, axis2=2), AXIS, "diagonal", "2"),
    wrong("diagonal: same axis", lambda m: tg.diagonal(m(2, 3), axis1=1, axis2=-1), (V, AXIS), "diagonal", "-1"),
    wrong("diagonal: vector", lambda m: tg.diagonal(m(3)), (V, AXIS), "diagonal"),
    wrong("trace: vector", lambda m: tg.trace(m(3)), (V, AXIS), "trace"),
    wrong("tril: scalar", lambda m: tg.tril(m()), V, "tril", "()"),
    wrong("triu: scalar", lambda m: tg.triu(m()), V, "triu", "()"),
]  # fmt: skip

EMPTY = [
    *[
        wrong(f"{name}: no elements", lambda m, f=getattr(tg, name): f(m(2, 0), axis=1), V, name, "(2, 0)")
        for name in ["max", "min", "argmax", "argmin"]
    ],
    wrong("max of nothing", lambda m: tg.max(m(0)), V, "max", "(0,)"),
    wrong("var: too few", lambda m: tg.var(m(1, 3), axis=0, correction=1), V, "var", "1 element", "(1, 3)", "correction"),
    wrong("concatenate: nothing", lambda m: tg.concatenate([]), V, "concatenate", "at least one"),
    wrong("stack: nothing", lambda m: tg.stack([]), V, "at least one"),
    wrong("mean of nothing", lambda m: tg.mean(m(0, 2), axis=0), V, "mean", "(0, 2)"),
]  # fmt: skip

SHAPES = [
    wrong("reshape: size", lambda m: tg.reshape(m(2, 3), (4, 2)), V, "reshape", "(2, 3)", "(4, 2)"),
    wrong("reshape: two unknown", lambda m: tg.reshape(m(2, 3), -1, -1), V, "reshape", "(2, 3)"),
    wrong("reshape: -1 does not divide", lambda m: m(2, 3).reshape(4, -1), V, "reshape", "(2, 3)"),
    wrong("broadcast_to", lambda m: tg.broadcast_to(m(2, 3), (2, 4)), V, "broadcast_to", "(2, 3)", "(2, 4)"),
    wrong("squeeze", lambda m: tg.squeeze(m(2, 3), axis=0), V, "squeeze", "axis 0", "(2, 3)", "size 1"),
    wrong("concatenate: sizes", lambda m: tg.concatenate([m(2, 3), m(2, 4)]), V, "concatenate", "(2, 3)", "(2, 4)"),
    wrong("concatenate: axes", lambda m: tg.concatenate([m(2, 3), m(2)]), V, "concatenate", "(2, 3)", "(2,)"),
    wrong("stack: shapes", lambda m: tg.stack([m(2, 3), m(3, 2)]), V, "stack", "(2, 3)", "(3, 2)"),
    wrong("split: uneven", lambda m: tg.split(m(5, 2), 2), V, "split", "5", "2 equal parts"),
    wrong("split: zero parts", lambda m: tg.split(m(4, 2), 0), V, "split", "0"),
    wrong("pad: negative", lambda m: tg.pad(m(2, 3), -1), V, "pad", "negative", "-1", "x[...]"),
    wrong("pad: mode", lambda m: tg.pad(m(2, 3), 1, mode="mirror"), V, "pad", "'mirror'", "'reflect'"),
    wrong("pad: widths", lambda m: tg.pad(m(2, 3), ((1, 1), (1, 1), (1, 1))), V, "pad", "(2, 3)"),
    wrong("pad: float widths", lambda m: tg.pad(m(2, 3), 1.5), (T, V), "pad", "1.5"),
    wrong("pad: nothing to reflect", lambda m: tg.pad(m(2, 0), 1, mode="edge"), V, "pad", "(2, 0)"),
    wrong("roll: shifts", lambda m: tg.roll(m(2, 3), (1, 2, 3), axis=(0, 1)), V, "roll", "(1, 2, 3)"),
    wrong("roll: axis twice", lambda m: tg.roll(m(2, 3), (1, 1), axis=(0, 5)), AXIS, "roll", "5"),
    wrong("repeat: negative", lambda m: tg.repeat(m(2, 3), -1), V, "repeat", "-1"),
    wrong("tile: negative", lambda m: tg.tile(m(2, 3), -1), V, "tile", "-1"),
    wrong("len of 0-d", lambda m: len(m()), T, "len()"),
    wrong("iteration over 0-d", lambda m: list(m()), T, "without axes"),
    wrong("zeros: negative size", lambda m: tg.zeros((2, -1)), V, "zeros", "-1"),
    wrong("linspace: negative", lambda m: tg.linspace(0, 1, -1), V, "linspace", "-1"),
]  # fmt: skip

INDICES = [
    wrong("x[i]: out of range", lambda m: m(2, 3)[2], I, "getitem", "2", "(2, 3)"),
    wrong("x[i, j]: out of range", lambda m: m(2, 3)[0, -4], I, "getitem", "-4", "(2, 3)"),
    wrong("x[i, j, k]: too many", lambda m: m(2, 3)[0, 0, 0], I, "getitem", "(2, 3)"),
    wrong("x[array]: out of range", lambda m: m(2, 3)[m.of([0, 2])], I, "getitem", "2", "(2, 3)", values=True),
    wrong("x[float]", lambda m: m(2, 3)[1.0], I, "getitem", "integer"),
    wrong("x[float array]", lambda m: m(2, 3)[m(2)], I, "x[...]", "float32", ".astype"),
    wrong("x[float list]", lambda m: m(2, 3)[[0.0, 1.0]], I, "x[...]", "float", ".astype"),
    wrong("x[mask]: shape", lambda m: m(2, 3)[m.of([True, False, True])], I, "getitem", "(2, 3)"),
    wrong("x[string]", lambda m: m(2, 3)["a"], I, "getitem"),
    wrong("x[arrays]: shapes", lambda m: m(2, 3)[m.of([0, 1]), m.of([0, 1, 2])], I, "getitem", "(2,)", "(3,)"),
    wrong("take: out of range", lambda m: tg.take(m(2, 3), m.of([3]), axis=1), I, "take", "3", "(2, 3)", values=True),
    wrong("take: float", lambda m: tg.take(m(2, 3), m(2), axis=1), I, "take", "float32", ".astype"),
    wrong("take_along_axis: range", lambda m: tg.take_along_axis(m(2, 3), m.of([[3], [0]]), 1), I, "take_along_axis", values=True),
    wrong("take_along_axis: ndim", lambda m: tg.take_along_axis(m(2, 3), m.of([0]), 1), V, "take_along_axis", "(1,)", "(2, 3)"),
    wrong("take_along_axis: shapes", lambda m: tg.take_along_axis(m(2, 3), m.of([[0]] * 4), 1), (V, I), "take_along_axis", "(4, 1)", "(2, 3)"),
    wrong("take_along_axis: float", lambda m: tg.take_along_axis(m(2, 3), m(2, 1), 1), (T, I), "take_along_axis", "float32", ".astype"),
    wrong("index_add: values", lambda m: tg.index_add(m(3, 2), m.of([0, 1]), m(3, 2)), V, "index_add", "(3, 2)", "(2, 2)"),
    wrong("index_add: range", lambda m: tg.index_add(m(3, 2), m.of([3]), m(1, 2)), I, "index_add", "3", values=True),
    wrong("index_add: float", lambda m: tg.index_add(m(3, 2), m(1), m(1, 2)), (T, I), "index_add", "float32", ".astype"),
    wrong("embedding: range", lambda m: tg.embedding(m.of([0, 4]), m(4, 2)), I, "embedding", "4", "0 and 3", values=True),
    wrong("embedding: negative", lambda m: tg.embedding(m.of([-1]), m(4, 2)), I, "embedding", "-1", "0 and 3", values=True),
    wrong("embedding: float", lambda m: tg.embedding(m(2), m(4, 2)), T, "embedding", "float32", ".astype"),
    wrong("embedding: weight", lambda m: tg.embedding(m.of([0]), m(4)), V, "embedding", "(4,)"),
    wrong("one_hot: range", lambda m: tg.one_hot(m.of([0, 3]), 3), I, "one_hot", "3", "0 and 2", values=True),
    wrong("one_hot: negative", lambda m: tg.one_hot(m.of([-1]), 3), I, "one_hot", "-1", values=True),
    wrong("one_hot: float", lambda m: tg.one_hot(m(2), 3), T, "one_hot", "float32", ".astype"),
]  # fmt: skip

MATRICES = [
    wrong("matmul: inner sizes", lambda m: tg.matmul(m(2, 3), m(4, 2)), V, "matmul", "(2, 3)", "(4, 2)", ".mT"),
    wrong("matmul: vector", lambda m: tg.matmul(m(2, 3), m(2)), V, "matmul", "(2, 3)", "(2,)"),
    wrong("matmul: stacks", lambda m: tg.matmul(m(2, 2, 3), m(3, 3, 2)), V, "matmul", "(2, 2, 3)", "(3, 3, 2)"),
    wrong("matmul: scalar", lambda m: tg.matmul(m(), m(2, 2)), V, "matmul", "()", "multiply"),
    wrong("matmul: number", lambda m: m(2, 2) @ 2.0, (V, T), "matmul", "multiply"),
    wrong("dot: matrices", lambda m: tg.dot(m(2, 3), m(3)), V, "dot", "(2, 3)", "matmul"),
    wrong("dot: sizes", lambda m: tg.dot(m(2), m(3)), V, "(2,)", "(3,)"),
    wrong("linear: sizes", lambda m: tg.linear(m(2, 3), m(5, 4)), V, "linear", "(2, 3)", "(5, 4)", "(out, 3)"),
    wrong("linear: weight", lambda m: tg.linear(m(2, 3), m(3)), V, "linear", "(2, 3)", "(3,)", "(out, 3)"),
    wrong("linear: bias", lambda m: tg.linear(m(2, 3), m(4, 3), m(3)), V, "linear", "(4, 3)", "(4,)", "(3,)"),
    wrong("einsum: count", lambda m: tg.einsum("ij,jk", m(2, 3)), V, "einsum", "'ij,jk'", "2 operands", "1"),
    wrong("einsum: term", lambda m: tg.einsum("ijk", m(2, 3)), V, "einsum", "'ijk'", "(2, 3)"),
    wrong("einsum: sizes", lambda m: tg.einsum("ij,jk", m(2, 3), m(4, 2)), V, "einsum", "'j'", "3", "4"),
    wrong("einsum: unknown label", lambda m: tg.einsum("ij->ik", m(2, 3)), V, "einsum", "'ik'", "unknown"),
    wrong("einsum: repeated result", lambda m: tg.einsum("ij->ii", m(2, 3)), V, "einsum", "'ii'", "repeat"),
    wrong("einsum: ellipsis", lambda m: tg.einsum("...i->i", m(2, 3)), V, "einsum", "..."),
    *[
        wrong(f"{name}: not square", lambda m, f=getattr(tg.linalg, name): f(m(2, 3)), V, name, "(…, n, n)", "(2, 3)")
        for name in ["det", "slogdet", "inv", "cholesky", "eigh", "cofactor"]
    ],
    *[
        wrong(f"{name}: vector", lambda m, f=getattr(tg.linalg, name): f(m(3)), V, name, "(3,)")
        for name in ["det", "slogdet", "inv", "cholesky", "eigh", "svd", "qr"]
    ],
    *[
        wrong(f"{name}: not square", lambda m, f=getattr(tg.linalg, name): f(m(2, 3), m(2, 1)), V, name, "(2, 3)")
        for name in ["solve", "solve_triangular"]
    ],
    *[
        wrong(f"{name}: sizes", lambda m, f=getattr(tg.linalg, name): f(m.of(np.eye(2)), m(3, 1, dtype=float)), V, "solve", "(2, 2)", "(3, 1)")
        for name in ["solve", "solve_triangular"]
    ],
    wrong("solve: batch", lambda m: tg.linalg.solve(m.of(np.ones((2, 1, 1))), m(3, 1, 1, dtype=float)), V, "solve", "(2, 1, 1)", "(3, 1, 1)"),
    wrong("inv: singular", lambda m: tg.linalg.inv(m(2, 2)), LINALG, "inv", "ingular", "(2, 2)", "identity", values=True),
    wrong("solve: singular", lambda m: tg.linalg.solve(m(2, 2), m(2, 1)), LINALG, "solve", "ingular", "(2, 2)", values=True),
    wrong("cholesky: indefinite", lambda m: tg.linalg.cholesky(-1.0 * m.of(np.eye(2))), LINALG, "cholesky", "ositive definite", "(2, 2)", values=True),
    wrong("norm: order", lambda m: tg.linalg.norm(m(2, 2, requires_grad=True), "nuc"), V, "norm", "'nuc'", "fro"),
    wrong("norm: fro of vector", lambda m: tg.linalg.norm(m(2), "fro"), V, "norm", "two axes", "(2,)"),
    *[
        wrong(f"{name}: gradient", lambda m, f=getattr(tg.linalg, name): f(m(2, 2, requires_grad=True)), V, name, "derivative", "detach")
        for name in ["eigh", "svd", "qr"]
    ],
]  # fmt: skip


def _conv_mistakes() -> list[Mistake]:
    found = []
    for d in (1, 2):
        conv, transposed = getattr(tg, f"conv{d}d"), getattr(tg, f"conv_transpose{d}d")
        one, two, five = (1,) * d, (2,) * d, (5,) * d
        kernel = re.sub(r"[()]", "", str(tuple(five)))
        found += [
            wrong(f"conv{d}d: channels", lambda m, c=conv, f=five, t=two: c(m(1, 3, *f), m(4, 2, *t)), V, f"conv{d}d", "3 channels", "needs 2"),
            wrong(f"conv{d}d: x axes", lambda m, c=conv, f=five, t=two: c(m(3, *f), m(4, 3, *t)), V, f"conv{d}d", "(3, "),
            wrong(f"conv{d}d: weight axes", lambda m, c=conv, f=five: c(m(1, 3, *f), m(4, 3)), V, f"conv{d}d", "(4, 3)"),
            wrong(f"conv{d}d: kernel", lambda m, c=conv, f=five, t=two: c(m(1, 1, *t), m(1, 1, *f)), V, f"conv{d}d", kernel, "does not fit"),
            wrong(f"conv{d}d: groups", lambda m, c=conv, f=five, t=two: c(m(1, 3, *f), m(4, 1, *t), groups=2), V, f"conv{d}d", "groups=2", "3 input"),
            wrong(f"conv{d}d: group outputs", lambda m, c=conv, f=five, t=two: c(m(1, 2, *f), m(3, 1, *t), groups=2), V, f"conv{d}d", "groups=2", "3 output"),
            wrong(f"conv{d}d: groups 0", lambda m, c=conv, f=five, t=two: c(m(1, 3, *f), m(4, 3, *t), groups=0), V, f"conv{d}d", "groups=0"),
            wrong(f"conv{d}d: bias", lambda m, c=conv, f=five, t=two: c(m(1, 3, *f), m(4, 3, *t), m(3)), V, f"conv{d}d", "bias", "(4,)", "(3,)"),
            *[
                wrong(f"conv{d}d: {what} {value}", lambda m, c=conv, f=five, t=two, kw={what: value}: c(m(1, 3, *f), m(4, 3, *t), **kw),
                      V, f"conv{d}d", what, str(value))
                for what, value in (("stride", 0), ("stride", 1.5), ("padding", -1), ("padding", "same"), ("dilation", 0))
            ],
            wrong(f"conv{d}d: empty kernel", lambda m, c=conv, f=five: c(m(1, 1, *f), m(1, 1, *(0,) * len(f))), V, f"conv{d}d"),
            wrong(f"conv_transpose{d}d: channels", lambda m, c=transposed, f=five, t=two: c(m(1, 3, *f), m(4, 2, *t)), V, f"conv_transpose{d}d", "3 channels", "needs 4"),
            wrong(f"conv_transpose{d}d: output_padding", lambda m, c=transposed, f=five, t=two: c(m(1, 3, *f), m(3, 2, *t), stride=2, output_padding=2),
                  V, f"conv_transpose{d}d", "output_padding", "smaller", "2"),
            wrong(f"conv_transpose{d}d: padding", lambda m, c=transposed, o=one, t=two: c(m(1, 3, *o), m(3, 2, *t), padding=1),
                  V, f"conv_transpose{d}d", "padding", "leaves nothing"),
            wrong(f"conv_transpose{d}d: bias", lambda m, c=transposed, f=five, t=two: c(m(1, 3, *f), m(3, 2, *t), m(3)), V, f"conv_transpose{d}d", "(2,)", "(3,)"),
        ]  # fmt: skip
        for kind in ("avg", "max"):
            pool, name = getattr(tg, f"{kind}_pool{d}d"), f"{kind}_pool{d}d"
            found += [
                wrong(f"{name}: axes", lambda m, p=pool, f=five: p(m(3, *f), 2), V, name, "(3, "),
                wrong(f"{name}: kernel", lambda m, p=pool, t=two: p(m(1, 1, *t), 3), V, name, "3", "does not fit"),
                wrong(
                    f"{name}: padding",
                    lambda m, p=pool, f=five: p(m(1, 1, *f), 3, padding=2),
                    V,
                    name,
                    "padding",
                    "2",
                    "half",
                    "3",
                ),
                wrong(f"{name}: kernel 0", lambda m, p=pool, f=five: p(m(1, 1, *f), 0), V, name, "kernel_size", "0"),
                wrong(f"{name}: stride 0", lambda m, p=pool, f=five: p(m(1, 1, *f), 2, 0), V, name, "stride", "0"),
            ]
    return found


IMAGES = [
    *_conv_mistakes(),
    wrong("conv2d: three strides", lambda m: tg.conv2d(m(1, 1, 4, 4), m(1, 1, 2, 2), stride=(1, 1, 1)), V, "conv2d", "stride", "(1, 1, 1)"),
    wrong("conv2d of a 3-d weight", lambda m: tg.conv2d(m(1, 1, 4), m(1, 1, 2)), V, "conv2d", "(1, 1, 4)", "(1, 1, 2)"),
    wrong("interpolate: factor 1.5", lambda m: tg.interpolate(m(1, 1, 2, 2), 1.5), V, "interpolate", "1.5", "whole numbers"),
    wrong("interpolate: factor 0", lambda m: tg.interpolate(m(1, 1, 2, 2), 0), V, "interpolate", "0", "whole numbers"),
    wrong("interpolate: factors", lambda m: tg.interpolate(m(1, 1, 2, 2), (2,)), V, "interpolate", "(2,)", "(1, 1, 2, 2)"),
    wrong("interpolate: axes", lambda m: tg.interpolate(m(2, 2), 2), V, "interpolate", "(2, 2)"),
    wrong("interpolate: mode", lambda m: tg.interpolate(m(1, 1, 2, 2), 2, "cubic"), V, "interpolate", "'cubic'", "'bilinear'"),
]  # fmt: skip

LOSSES = [
    *[
        wrong(f"{name}: shapes", lambda m, f=getattr(tg, name): f(m(2, 3), m(3)), V, name, "(2, 3)", "(3,)", "reshape")
        for name in ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"]
    ],
    *[
        wrong(f"{name}: reduction", lambda m, f=getattr(tg, name): f(m(2), m(2), reduction="average"), V, name, "'average'", "'mean'")
        for name in ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"]
    ],
    *[
        mistake
        for name, f in (("cross_entropy", tg.cross_entropy), ("nll_loss", tg.nll_loss))
        for mistake in (
            wrong(f"{name}: reduction", lambda m, f=f: f(m(2, 3), m.of([0, 1]), reduction=None), V, name, "None", "'mean'"),
            wrong(f"{name}: labels' shape", lambda m, f=f: f(m(2, 3), m.of([0, 1, 2])), V, name, "(2, 3)", "(3,)"),
            wrong(f"{name}: one-hot labels", lambda m, f=f: f(m(2, 3), m(2, 3)), V, name, "(2, 3)", "axis 1"),
            wrong(f"{name}: vector", lambda m, f=f: f(m(3), m.of(0)), V, name, "(3,)", "(N, C"),
            wrong(f"{name}: float labels", lambda m, f=f: f(m(2, 3), m(2)), T, name, "labels", "float32", ".astype"),
            wrong(f"{name}: label too large", lambda m, f=f: f(m(2, 3), m.of([0, 3])), I, name, "labels", "3", "0 and 2", values=True),
            wrong(f"{name}: negative label", lambda m, f=f: f(m(2, 3), m.of([0, -1])), I, name, "labels", "-1", values=True),
        )
    ],
]  # fmt: skip

TENSORS = [
    wrong("x[0] = 1", lambda m: m(3).__setitem__(0, 1.0), T, "never written", "tg.where", ".assign"),
    wrong("bool of many", lambda m: bool(m(3)), V, "truth", "(3,)"),
    wrong("float of many", lambda m: float(m(3)), V, "item", "(3,)"),
    wrong("item of many", lambda m: m(2, 2).item(), V, "item", "(2, 2)", ".numpy()"),
    wrong("np.asarray", lambda m: np.asarray(m(3)), T, ".numpy()"),
    wrong("assign: shape", lambda m: m(3).assign(m.raw(2)), V, "assign", "float32[3]", "float32[2]"),
    wrong("assign: dtype", lambda m: m(3).assign(m.raw(3, dtype=float)), V, "assign", "float32[3]", "float64[3]"),
    wrong("assign: no leaf", lambda m: (m(3, requires_grad=True) * 2.0).assign(m.raw(3)), V, "assign", "leaves", "multiply"),
    wrong("assign: a number", lambda m: m(3).assign(1.0), (T, V), "assign", "float"),
    wrong("assign: a list", lambda m: m(3).assign([1.0, 2.0, 3.0]), (T, V), "assign", "list"),
    wrong("requires_grad of a result", lambda m: setattr(m(1, requires_grad=True) * 2.0, "requires_grad", False), V, "requires_grad", ".detach()"),
    wrong("unknown device", lambda m: tg.zeros(2, device="gpu"), V, "'gpu'", "'cpu'", "'cuda'"),
    wrong("unknown default device", lambda m: tg.set_default_device("tpu:0"), V, "'tpu:0'", "'cpu'"),
    wrong("device index", lambda m: tg.zeros(2, device="cuda:x"), V, "'cuda:x'", "'cuda:N'"),
    wrong("to an unknown device", lambda m: m(2).to("gpu"), V, "'gpu'", "'cpu'"),
    wrong("astype to complex", lambda m: m(2).astype(complex), T, "astype", "complex128"),
    wrong("unknown dtype", lambda m: m(2).astype("float33"), T, "float33"),
]  # fmt: skip

MISTAKES = [
    *BROADCAST, *OPERATORS, *DTYPES, *AXES, *EMPTY, *SHAPES, *INDICES, *MATRICES, *IMAGES, *LOSSES, *TENSORS,
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
    "add": lambda x, y: x + y, "multiply": lambda x, y: x * y, "matmul": lambda x, y: x @ y, "less": lambda x, y: x < y,
    "where": lambda x, y: tg.where(x > 0.0, x, y), "concatenate": lambda x, y: tg.concatenate([x, y]),
    "solve": tg.linalg.solve, "linear": lambda x, y: tg.linear(x, y), "clip": lambda x, y: tg.clip(x, y, y),
    "array on the left": lambda x, y: backend.library(x._data).xp.multiply(x._data, 1.0) + y,
    "array on the right": lambda x, y: x + y._data, "mse_loss": lambda x, y: tg.mse_loss(x, y),
    "outer": lambda x, y: tg.outer(x, y), "einsum": lambda x, y: tg.einsum("ij,jk", x, y), "stack": lambda x, y: tg.stack([x, y]),
}  # fmt: skip


@pytest.mark.host
@pytest.mark.parametrize("name", TWO_DEVICES)
@pytest.mark.parametrize("first", ["cpu", "double"])
def test_two_devices(name: str, first: str) -> None:
    second = "double" if first == "cpu" else "cpu"
    x, y = on(first, np.eye(2)), on(second, np.eye(2))
    with pytest.raises(TypeError, match=everything(("argument", "cpu", "double", ".to("))):
        TWO_DEVICES[name](x, y)


INDEX_ON_ANOTHER_DEVICE: dict[str, Callable[[tg.Tensor, tg.Tensor], Any]] = {
    "getitem": lambda x, i: x[i], "in a tuple": lambda x, i: x[:, i], "take": lambda x, i: tg.take(x, i, axis=1),
    "embedding": lambda x, i: tg.embedding(i, x), "cross_entropy": lambda x, i: tg.cross_entropy(x, i),
    "index_add": lambda x, i: tg.index_add(x, i, x), "take_along_axis": lambda x, i: tg.take_along_axis(x, i.reshape(2, 1), 1),
}  # fmt: skip


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
