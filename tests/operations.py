"""One sample call of every public operation, for the tests that go through all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygen as tg

_rng = np.random.default_rng(7)


def _any(*shape: int) -> np.ndarray:
    return _rng.normal(size=shape)


def _positive(*shape: int) -> np.ndarray:
    return _rng.uniform(0.5, 2.0, shape)


def _unit(*shape: int) -> np.ndarray:
    return _rng.uniform(-0.9, 0.9, shape)


def _indices(high: int, *shape: int) -> np.ndarray:
    return _rng.integers(0, high, shape)


def _regular(*batch: int) -> np.ndarray:
    return _any(*batch, 3, 3) + 4.0 * np.eye(3)


def _definite(*batch: int) -> np.ndarray:
    root = _any(*batch, 3, 3)
    return root @ np.swapaxes(root, -1, -2) + np.eye(3)


@dataclass(frozen=True)
class Case:
    """A call of one operation: its operands (float64 or integers), and whether gradients flow to the floating ones."""

    name: str
    call: Callable[..., Any]
    operands: tuple[np.ndarray, ...]
    flows: bool = True

    def __str__(self) -> str:
        return self.name


def _same(names: str, *operands: np.ndarray, flows: bool = True) -> list[Case]:
    return [Case(name, getattr(tg, name), operands, flows) for name in names.split()]


CASES = [
    *_same("abs exp expm1 negative square sin cos tan arctan sinh cosh tanh", _any(2, 3)),
    *_same("log log1p sqrt", _positive(2, 3)),
    *_same("arcsin arccos", _unit(2, 3)),
    *_same("sigmoid log_sigmoid softplus relu leaky_relu elu silu", _any(2, 3)),
    *_same("sign", _any(2, 3), flows=False),
    *_same("add subtract multiply divide maximum minimum logaddexp", _any(2, 3), _any(3)),
    *_same("power xlogy", _positive(2, 3), _positive(3)),
    Case("power", lambda x: tg.power(x, 3), (_any(2, 3),)),
    Case("power", lambda x: tg.power(x, -0.5), (_positive(2, 3),)),
    Case("power", lambda x: tg.power(2.0, x), (_any(2, 3),)),
    *_same("equal not_equal less less_equal greater greater_equal", _any(2, 3), _any(3), flows=False),
    Case("where", lambda x, y: tg.where(tg.greater(x, 0.0), x, y), (_any(2, 3), _any(3))),
    Case("clip", lambda x: tg.clip(x, -0.5, 0.5), (_any(2, 3),)),
    Case("clip", tg.clip, (_any(2, 3), _any(3) - 1.0, _any(2, 1) + 1.0)),
    # reductions
    *_same("sum mean var std max min prod logsumexp", _any(2, 3)),
    Case("sum", lambda x: tg.sum(x, axis=(0, -1), keepdims=True), (_any(2, 3, 2),)),
    Case("mean", lambda x: tg.mean(x, axis=1), (_any(2, 3),)),
    Case("var", lambda x: tg.var(x, axis=1, correction=1, keepdims=True), (_any(2, 3),)),
    Case("std", lambda x: tg.std(x, axis=0), (_any(2, 3),)),
    Case("max", lambda x: tg.max(x, axis=0), (_any(2, 3),)),
    Case("min", lambda x: tg.min(x, axis=1, keepdims=True), (_any(2, 3),)),
    Case("prod", lambda x: tg.prod(x, axis=1), (_any(2, 3),)),
    *_same("cumsum softmax log_softmax", _any(2, 3)),
    Case("cumsum", lambda x: tg.cumsum(x, axis=1), (_any(2, 3),)),
    Case("softmax", lambda x: tg.softmax(x, axis=0), (_any(2, 3),)),
    *_same("argmax argmin argsort", _any(2, 3), flows=False),
    Case("quantile", lambda x: tg.quantile(x, 0.25), (_any(2, 3),), flows=False),
    # shapes
    Case("reshape", lambda x: tg.reshape(x, 3, -1), (_any(2, 3),)),
    Case("transpose", tg.transpose, (_any(2, 3),)),
    Case("swapaxes", lambda x: tg.swapaxes(x, 0, -1), (_any(2, 3),)),
    Case("moveaxis", lambda x: tg.moveaxis(x, 0, -1), (_any(2, 3, 2),)),
    Case("expand_dims", lambda x: tg.expand_dims(x, 1), (_any(2, 3),)),
    Case("squeeze", tg.squeeze, (_any(2, 1, 3),)),
    Case("broadcast_to", lambda x: tg.broadcast_to(x, (2, 2, 3)), (_any(2, 1),)),
    Case("concatenate", lambda x, y: tg.concatenate([x, y], axis=1), (_any(2, 3), _any(2, 1))),
    Case("stack", lambda x, y: tg.stack([x, y], axis=1), (_any(2, 3), _any(2, 3))),
    Case("split", lambda x: tg.split(x, 3, axis=1), (_any(2, 3),)),
    Case("flip", tg.flip, (_any(2, 3),)),
    Case("roll", lambda x: tg.roll(x, 1, axis=1), (_any(2, 3),)),
    Case("tile", lambda x: tg.tile(x, (2, 1)), (_any(2, 3),)),
    Case("repeat", lambda x: tg.repeat(x, 2, axis=1), (_any(2, 3),)),
    *[
        Case("pad", lambda x, mode=mode: tg.pad(x, ((1, 0), (1, 2)), mode=mode), (_any(2, 3),))
        for mode in ("constant", "reflect", "edge", "wrap")
    ],
    *_same("tril triu diagonal trace", _any(3, 3)),
    # indexing
    Case("take", lambda x, i: tg.take(x, i, axis=1), (_any(2, 3), _indices(3, 4))),
    Case("take_along_axis", lambda x, i: tg.take_along_axis(x, i, axis=1), (_any(2, 3), _indices(3, 2, 4))),
    Case("index_add", lambda x, i, v: tg.index_add(x, i, v), (_any(3, 2), _indices(3, 5), _any(5, 2))),
    Case("embedding", lambda i, w: tg.embedding(i, w), (_indices(4, 2, 3), _any(4, 2))),
    Case("one_hot", lambda i: tg.one_hot(i, 4), (_indices(4, 2, 3),), flows=False),
    Case("sort", tg.sort, (_any(2, 3),)),
    # matrices
    Case("matmul", tg.matmul, (_any(2, 2, 3), _any(3, 2))),
    Case("linear", tg.linear, (_any(2, 3), _any(4, 3), _any(4))),
    Case("linear", tg.linear, (_any(2, 3), _any(4, 3))),
    Case("einsum", lambda x, y: tg.einsum("bij,jk->bki", x, y), (_any(2, 2, 3), _any(3, 2))),
    *_same("outer dot", _any(3), _any(3)),
    *[
        Case(f"linalg.{name}", getattr(tg.linalg, name), (_regular(2),))
        for name in ("det", "slogdet", "inv", "cofactor", "norm")
    ],
    *[
        Case(f"linalg.{name}", getattr(tg.linalg, name), (_regular(2), _any(3, 2)))
        for name in ("solve", "solve_triangular")
    ],
    Case("linalg.cholesky", tg.linalg.cholesky, (_definite(2),)),
    Case("linalg.norm", lambda x: tg.linalg.norm(x, 1, axis=-1), (_any(2, 3),)),
    Case("linalg.norm", lambda x: tg.linalg.norm(x, np.inf, axis=0), (_any(2, 3),)),
    *[Case(f"linalg.{name}", getattr(tg.linalg, name), (_definite(2),), flows=False) for name in ("eigh", "svd", "qr")],
    # convolution and pooling
    Case("conv1d", tg.conv1d, (_any(2, 3, 5), _any(2, 3, 2), _any(2))),
    Case(
        "conv2d",
        lambda x, w, b: tg.conv2d(x, w, b, stride=2, padding=1),
        (_any(2, 2, 4, 5), _any(2, 2, 3, 2), _any(2)),
    ),
    Case("conv2d", lambda x, w: tg.conv2d(x, w, groups=2), (_any(2, 4, 3, 3), _any(2, 2, 2, 2))),
    Case("conv_transpose1d", tg.conv_transpose1d, (_any(2, 3, 4), _any(3, 2, 2), _any(2))),
    Case(
        "conv_transpose2d",
        lambda x, w, b: tg.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1),
        (_any(2, 2, 3, 2), _any(2, 2, 3, 2), _any(2)),
    ),
    *[Case(pool.__name__, lambda x, f=pool: f(x, 2), (_any(2, 2, 5),)) for pool in (tg.avg_pool1d, tg.max_pool1d)],
    *[
        Case(pool.__name__, lambda x, f=pool: f(x, 3, 2, 1), (_any(2, 2, 4, 5),))
        for pool in (tg.avg_pool2d, tg.max_pool2d)
    ],
    *[
        Case("interpolate", lambda x, mode=mode: tg.interpolate(x, 2, mode), (_any(2, 2, 2, 3),))
        for mode in ("nearest", "bilinear")
    ],
    # losses
    *_same("mse_loss l1_loss", _any(2, 3), _any(2, 3)),
    Case("binary_cross_entropy_with_logits", tg.binary_cross_entropy_with_logits, (_any(2, 3), _positive(2, 3) / 2.0)),
    *_same("cross_entropy nll_loss", _any(3, 4), _indices(4, 3)),
    # conversions
    Case("astype", lambda x: tg.astype(x, x.dtype), (_any(2, 3),)),
    Case("to", lambda x: tg.to(x, tg.backend.device_of(x._data if isinstance(x, tg.Tensor) else x)), (_any(2, 3),)),
    *_same("zeros_like ones_like", _any(2, 3), flows=False),
    Case("full_like", lambda x: tg.full_like(x, 2.5), (_any(2, 3),), flows=False),
    Case("getitem", lambda x: x[1, ::2], (_any(2, 3),)),
]  # fmt: skip

CREATION = {"arange", "eye", "from_dlpack", "full", "linspace", "ones", "tensor", "zeros"}
"""Operations without operands (tests/ops/test_convert.py goes through them)."""

ALWAYS_TENSORS = {
    "mse_loss",
    "l1_loss",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "nll_loss",
    "zeros_like",
    "ones_like",
    "full_like",
}
"""Operations that return tensors of arrays, too."""


def results(output: Any) -> list[Any]:
    """What an operation gave, as a list: ``split`` and ``slogdet`` give several tensors."""
    return list(output) if isinstance(output, (list, tuple)) else [output]
