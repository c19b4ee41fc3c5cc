"""Cases of single operations: overhead, elementwise, products, convolutions, indexing, Adam alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import floor
import numpy as np
from peers import Implementation, Step, anp, autograd, differentiate, forward, functional, torch
from timing import Case

import tinygen as tg

Array = np.ndarray
LENGTH = 100  # multiply-adds in a chain


def normal(*shape: int, seed: int = 0) -> Array:
    """Standard normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def everywhere(function: Callable[..., Any], **others: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """One text for tinygen, PyTorch and autograd, where their names agree; ``numpy`` and exceptions beside it."""
    return {"tinygen": function, "torch": function, "autograd": function, **others}


# --- overhead: many operations on few numbers ------------------------------------------------------------------------


def chain(y: Any, a: Any, b: Any) -> Any:
    """y ← y·a + b, many times, then summed."""
    for _ in range(LENGTH):
        y = y * a + b
    return y.sum()


def overhead() -> dict[str, Case]:
    """Chains of multiply-adds on 10 numbers, first and second derivatives."""
    x, a, b = normal(10), np.full(10, 1.001, np.float32), np.full(10, 0.1, np.float32)
    with_numbers = everywhere(lambda x: chain(x, 1.001, 0.1), numpy=lambda x: _chain_in_x(x, 1.001, 0.1))
    constants = {
        "tinygen": _with_constants(lambda v: tg.tensor(v), a, b),
        "torch": _with_constants(lambda v: torch.tensor(v), a, b),
        "autograd": lambda x: chain(x, a, b),
        "numpy": lambda x: _chain_in_x(x, a, b),
    }
    return {
        "overhead, numbers": Case(differentiate(with_numbers, [x])),
        "overhead, constant tensors": Case(differentiate(constants, [x])),
        "overhead, all require gradients": Case(differentiate(everywhere(chain, numpy=_chain_in_all), [x, a, b])),
        "overhead, second derivative": Case(
            {
                "tinygen": lambda: _second(lambda v: tg.tensor(v, requires_grad=True), tg.grad, [x, a, b]),
                "torch": lambda: _second(lambda v: torch.tensor(v, requires_grad=True), torch.autograd.grad, [x, a, b]),
                "autograd": lambda: _second_in_autograd(x, a, b),
                "numpy": lambda: lambda: _chain_twice(x, a, b),
            }
        ),
    }


def _with_constants(make: Callable[[Array], Any], a: Array, b: Array) -> Callable[[Any], Any]:
    """The chain with constants that are made at the first call (PyTorch may not be installed)."""
    made: list[Any] = []

    def run(x: Any) -> Any:
        if not made:
            made.extend((make(a), make(b)))
        return chain(x, *made)

    return run


def _second(make: Callable[[Array], Any], grad: Callable[..., Any], arrays: list[Array]) -> Step:
    """Gradients of Σ ∂/∂x + Σ ∂/∂a of the chain."""
    leaves = [make(array) for array in arrays]

    def step() -> Any:
        first = grad(chain(*leaves), leaves[:2], create_graph=True)
        return grad(first[0].sum() + first[1].sum(), leaves)

    return step


def _second_in_autograd(x: Array, a: Array, b: Array) -> Step:
    first = autograd.grad(chain, (0, 1))

    def total(x: Any, a: Any, b: Any) -> Any:
        in_x, in_a = first(x, a, b)
        return anp.sum(in_x) + anp.sum(in_a)

    second = autograd.grad(total, (0, 1, 2))
    return lambda: second(x, a, b)


def _chain_in_x(x: Array, a: Any, b: Any) -> tuple[Array, Array]:
    y, g = x, np.ones_like(x)
    for _ in range(LENGTH):
        y = y * a + b
    for _ in range(LENGTH):
        g = g * a
    return y.sum(), g


def _chain_in_all(x: Array, a: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    values = [x]
    for _ in range(LENGTH):
        values.append(values[-1] * a + b)
    g, in_a, in_b = np.ones_like(x), np.zeros_like(a), np.zeros_like(b)
    for y in values[-2::-1]:
        in_b += g
        in_a += g * y
        g = g * a
    return values[-1].sum(), g, in_a, in_b


def _chain_twice(x: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    values, slopes = [x], [np.ones_like(x)]
    for _ in range(LENGTH):
        values.append(values[-1] * a + b)
    for _ in range(LENGTH):
        slopes.append(slopes[-1] * a)
    slopes.reverse()  # slopes[k] = ∂ y_n / ∂ y_k; the sum is slopes[0] + Σ slopes[k + 1] · y_k
    g, in_a, in_b = np.ones_like(x), np.zeros_like(a), np.zeros_like(b)
    for k in range(LENGTH):
        in_a += g * slopes[k + 1]
        g = g * a + values[k]
    g = np.zeros_like(x)
    for k in reversed(range(LENGTH)):
        in_b += g
        in_a += g * values[k]
        g = g * a + slopes[k + 1]
    return g, in_a, in_b


# --- elementwise functions and reductions ----------------------------------------------------------------------------


def elementwise() -> dict[str, Case]:
    """Forward and backward on (256, 1024)."""
    x, g = normal(256, 1024), normal(256, 1024, seed=1)
    rows, columns = g[:, 0].copy(), g[0].copy()
    f = functional
    table: dict[str, tuple[dict[str, Callable[..., Any]], Array]] = {
        "exp": (_named("exp", floor.exp_gradient), g),
        "tanh": (_named("tanh", floor.tanh_gradient), g),
        "sigmoid": (
            {
                "tinygen": tg.sigmoid,
                "torch": lambda x: torch.sigmoid(x),
                "autograd": lambda x: 1.0 / (1.0 + anp.exp(-x)),
                "numpy": floor.sigmoid_gradient,
            },
            g,
        ),
        "softplus": (
            {
                "tinygen": tg.softplus,
                "torch": lambda x: f.softplus(x),
                "autograd": lambda x: anp.logaddexp(x, 0.0),
                "numpy": floor.softplus_gradient,
            },
            g,
        ),
        "relu": (
            {
                "tinygen": tg.relu,
                "torch": lambda x: f.relu(x),
                "autograd": lambda x: anp.maximum(x, 0.0),
                "numpy": floor.relu_gradient,
            },
            g,
        ),
        "leaky_relu": (
            {
                "tinygen": lambda x: tg.leaky_relu(x, 0.2),
                "torch": lambda x: f.leaky_relu(x, 0.2),
                "autograd": lambda x: anp.maximum(x, 0.2 * x),
                "numpy": floor.leaky_relu_gradient,
            },
            g,
        ),
        "elu": (
            {
                "tinygen": tg.elu,
                "torch": lambda x: f.elu(x),
                "autograd": lambda x: anp.where(x > 0, x, anp.expm1(x)),
                "numpy": floor.elu_gradient,
            },
            g,
        ),
        "logsumexp rows": (
            {
                "tinygen": lambda x: tg.logsumexp(x, 1),
                "torch": lambda x: torch.logsumexp(x, 1),
                "autograd": lambda x: anp.log(anp.sum(anp.exp(x), axis=1)),
                "numpy": floor.logsumexp_gradient,
            },
            rows,
        ),
        "sum over rows": (everywhere(lambda x: x.sum(0), numpy=floor.sum_gradient(0)), columns),
        "sum over columns": (everywhere(lambda x: x.sum(1), numpy=floor.sum_gradient(1)), rows),
        "var of rows": (
            {
                "tinygen": lambda x: tg.var(x, 1),
                "torch": lambda x: torch.var(x, 1, correction=0),
                "autograd": lambda x: anp.var(x, 1),
                "numpy": floor.var_gradient,
            },
            rows,
        ),
    }
    return {name: Case(differentiate(functions, [x], weights)) for name, (functions, weights) in table.items()}


def _named(name: str, hand_written: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """A function that has the same name in every library."""
    return {
        "tinygen": getattr(tg, name),
        "torch": getattr(torch, name, None),
        "autograd": getattr(anp, name, None),
        "numpy": hand_written,
    }


# --- products, determinants, softmax, indexing -----------------------------------------------------------------------


def linear_algebra() -> dict[str, Case]:
    """Forward and backward of matrix products and determinants."""
    a, b, g = (normal(512, 512, seed=seed) for seed in range(3))
    matrices, weights = normal(64, 16, 16), normal(64, seed=1)
    return {
        "matmul 512": Case(
            differentiate(everywhere(lambda a, b: a @ b, numpy=lambda a, b, g: (a @ b, g @ b.T, a.T @ g)), [a, b], g)
        ),
        "slogdet 64 × (16 × 16)": Case(
            differentiate(
                {
                    "tinygen": lambda a: tg.linalg.slogdet(a)[1],
                    "torch": lambda a: torch.linalg.slogdet(a)[1],
                    "autograd": lambda a: anp.linalg.slogdet(a)[1],
                    "numpy": lambda a, g: (
                        np.linalg.slogdet(a)[1],
                        g[:, None, None] * np.linalg.inv(a).transpose(0, 2, 1),
                    ),
                },
                [matrices],
                weights,
            ),
            tolerance=1e-3,  # some of the matrices are ill-conditioned
        ),
    }


def softmax_cross_entropy() -> dict[str, Case]:
    """Forward and backward on 512 × 1000 logits."""
    logits, labels = normal(512, 1000), np.random.default_rng(1).integers(0, 1000, 512)
    rows = np.arange(512)

    def in_autograd(x: Any) -> Any:
        shifted = x - anp.max(x, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(shifted), axis=1)) - shifted[rows, labels])

    targets = torch.tensor(labels) if torch else None
    functions = {
        "tinygen": lambda x: tg.cross_entropy(x, labels),
        "torch": lambda x: functional.cross_entropy(x, targets),
        "autograd": in_autograd,
        "numpy": lambda x: floor.cross_entropy_gradient(x, labels),
    }
    return {"softmax cross-entropy 512 × 1000": Case(differentiate(functions, [logits]))}


def embedding() -> dict[str, Case]:
    """The gradient of 6,144 rows taken out of 12,000 × 64."""
    table, g = normal(12000, 64), normal(6144, 64, seed=1)
    rows = np.random.default_rng(2).integers(0, 12000, 6144)
    indices, ours = torch.tensor(rows) if torch else None, tg.tensor(rows)

    def by_hand(table: Array, g: Array) -> tuple[Array, Array]:
        positions = (rows[:, None] * 64 + np.arange(64)).ravel()
        return table[rows], np.bincount(positions, g.ravel(), table.size).astype(np.float32).reshape(table.shape)

    functions = {
        "tinygen": lambda w: tg.embedding(ours, w),
        "torch": lambda w: functional.embedding(indices, w),
        "autograd": lambda w: w[rows],
        "numpy": by_hand,
    }
    return {"embedding 6144 of 12000 × 64": Case(differentiate(functions, [table], g))}


# --- convolutions ----------------------------------------------------------------------------------------------------


def convolutions() -> dict[str, Case]:
    """conv2d and conv_transpose2d of several shapes.  autograd has no convolution that is worth timing."""
    x, w = normal(32, 32, 28, 28), normal(64, 32, 3, 3, seed=1)
    values = {
        "tinygen": lambda x, w: tg.conv2d(x, w, padding=1),
        "torch": lambda x, w: functional.conv2d(x, w, padding=1),
        "numpy": lambda x, w: floor.conv(x, w, 1, 1),
    }
    return {
        "conv 3×3 32→64 28×28, forward": Case(forward(values, [x, w])),
        "conv 3×3 32→64 28×28": _convolution((32, 32, 28, 28), 64, 3, stride=1, padding=1),
        "conv 4×4 stride 2 64→128 8×8": _convolution((64, 64, 8, 8), 128, 4, stride=2, padding=1),
        "conv 1×1 64→64 16×16": _convolution((32, 64, 16, 16), 64, 1, stride=1, padding=0),
        "conv 3×3 1→32 28×28, weight only": _first_layer((64, 1, 28, 28), 32, 3, padding=1),
        "conv_transpose 4×4 stride 2 128→64 4×4": _transposed((64, 128, 4, 4), 64, 4, stride=2, padding=1),
    }


def _convolution(shape: tuple[int, ...], outputs: int, kernel: int, stride: int, padding: int) -> Case:
    """Forward and both gradients of conv2d."""
    size, out = shape[2], (shape[2] + 2 * padding - kernel) // stride + 1
    x, w = normal(*shape), normal(outputs, shape[1], kernel, kernel, seed=1)
    functions = {
        "tinygen": lambda x, w: tg.conv2d(x, w, stride=stride, padding=padding),
        "torch": lambda x, w: functional.conv2d(x, w, stride=stride, padding=padding),
        "numpy": lambda x, w, g: (
            floor.conv(x, w, stride, padding),
            floor.conv_input(g, w, stride, padding, size),
            floor.conv_weight(x, g, stride, padding, kernel),
        ),
    }
    return Case(differentiate(functions, [x, w], normal(shape[0], outputs, out, out, seed=2)))


def _first_layer(shape: tuple[int, ...], outputs: int, kernel: int, padding: int) -> Case:
    """Forward and weight gradient: the images are data."""
    x, w = normal(*shape), normal(outputs, shape[1], kernel, kernel, seed=1)
    ours, theirs = tg.tensor(x), torch.tensor(x) if torch else None
    functions = {
        "tinygen": lambda w: tg.conv2d(ours, w, padding=padding),
        "torch": lambda w: functional.conv2d(theirs, w, padding=padding),
        "numpy": lambda w, g: (floor.conv(x, w, 1, padding), floor.conv_weight(x, g, 1, padding, kernel)),
    }
    return Case(differentiate(functions, [w], normal(shape[0], outputs, *shape[2:], seed=2)))


def _transposed(shape: tuple[int, ...], outputs: int, kernel: int, stride: int, padding: int) -> Case:
    """Forward and both gradients of conv_transpose2d."""
    size = (shape[2] - 1) * stride - 2 * padding + kernel
    x, w = normal(*shape), normal(shape[1], outputs, kernel, kernel, seed=1)
    functions = {
        "tinygen": lambda x, w: tg.conv_transpose2d(x, w, stride=stride, padding=padding),
        "torch": lambda x, w: functional.conv_transpose2d(x, w, stride=stride, padding=padding),
        "numpy": lambda x, w, g: (
            floor.conv_input(x, w, stride, padding, size),
            floor.conv(g, w, stride, padding),
            floor.conv_weight(g, x, stride, padding, kernel),
        ),
    }
    return Case(differentiate(functions, [x, w], normal(shape[0], outputs, size, size, seed=2)))


# --- Adam alone ------------------------------------------------------------------------------------------------------


def adam() -> dict[str, Case]:
    """A step of Adam over 100 tensors of 10,000 parameters, gradients given."""
    values, slopes = [normal(10000, seed=i) for i in range(100)], [normal(10000, seed=100 + i) for i in range(100)]

    def in_tinygen() -> Step:
        parameters = [tg.tensor(value, requires_grad=True) for value in values]
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = tg.tensor(slope)
        optimizer = tg.optim.Adam(parameters, 1e-3)
        return lambda: optimizer.step() or parameters[:1]  # type: ignore[func-returns-value]

    def in_torch() -> Step:
        parameters = [torch.tensor(value, requires_grad=True) for value in values]
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = torch.tensor(slope)
        optimizer = torch.optim.Adam(parameters, 1e-3)
        return lambda: optimizer.step() or parameters[:1]

    def by_hand() -> Step:
        optimizer = floor.Adam(values, 1e-3, (0.9, 0.999))
        return lambda: optimizer.step(slopes) or optimizer.parameters[:1]  # type: ignore[func-returns-value]

    implementations: dict[str, Implementation] = {"tinygen": in_tinygen, "torch": in_torch, "numpy": by_hand}
    return {"Adam, 100 × 10,000": Case(implementations)}
