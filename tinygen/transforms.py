"""Floor 4. Derivatives as functions: vjp, jvp, Jacobian, Hessian and log|det Jacobian|.

All are built on ``grad`` alone, so they nest and can be differentiated again.  Each starts from *fresh* tensors
(an identity recorded on the given one), so that a derivative with respect to x at x = a never meets an ``a`` that
the function uses for something else (perturbation confusion).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from tinygen.autograd import _seeds, grad
from tinygen.ops import add, convert, linalg, moveaxis, reshape, stack, sum, zeros_like
from tinygen.record import mode, recording
from tinygen.tensor import Tensor, detach

P = ParamSpec("P")
R = TypeVar("R")


def fresh(x: Any) -> Tensor:
    """A tensor equal to x that a gradient can be taken with respect to, and only with respect to it."""
    if isinstance(x, Tensor) and x.requires_grad:
        return add(x, 0.0)
    return convert.tensor(x, requires_grad=True)


def always_recorded(transform: Callable[P, R]) -> Callable[P, R]:
    """A transform records what it differentiates also inside ``no_grad``; there its results are detached."""

    @functools.wraps(transform)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if mode.get().recording:
            return transform(*args, **kwargs)
        with recording():
            result = transform(*args, **kwargs)
        return tuple(map(detach, result)) if isinstance(result, tuple) else detach(result)  # type: ignore[return-value]

    return run


def tensor_of(name: str, y: Any) -> Tensor:
    """What f returned, which must be a tensor."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}: f must return a tensor, got a {type(y).__name__}")
    return y


def vjp(f: Callable[..., Tensor], *primals: Any) -> tuple[Tensor, Callable[[Any], tuple[Tensor, ...]]]:
    """f(*primals) and its pullback: from a cotangent of the output to the cotangents of the primals (Jᵀ u).

    >>> import tinygen as tg
    >>> y, pullback = tg.vjp(lambda x: x * x, tg.tensor([1.0, 2.0]))
    >>> pullback(tg.tensor([1.0, 10.0]))[0].numpy().tolist()
    [2.0, 40.0]
    """
    with recording():
        inputs = [fresh(primal) for primal in primals]
        output = tensor_of("vjp", f(*inputs))

    @always_recorded
    def pullback(cotangent: Any) -> tuple[Tensor, ...]:
        return _grad_or_zeros(output, inputs, cotangent)

    return output, pullback


def _grad_or_zeros(output: Tensor, inputs: list[Tensor], cotangent: Any = None) -> tuple[Tensor, ...]:
    """Gradients recorded for further derivatives; zeros where the output does not depend on an input."""
    if not output.requires_grad:
        _seeds("vjp", [output], cotangent if cotangent is None else [cotangent], False)  # a wrong one raises here too
        return tuple(zeros_like(x) for x in inputs)
    found = grad(output, inputs, cotangent, create_graph=True, allow_unused=True)
    return tuple(zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True))


@always_recorded
def jvp(f: Callable[..., Tensor], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """f(*primals) and its directional derivative J v along the tangents.

    The pullback u ↦ Jᵀ u is linear, so its own pullback is v ↦ J v: forward mode from two reverse passes.
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primals need as many tangents, got {len(tangents)}")
    output, pullback = vjp(f, *primals)
    dummy = zeros_like(output)
    dummy.requires_grad = True
    cotangents = pullback(dummy)
    tangent = zeros_like(output)
    for cotangent, direction in zip(cotangents, tangents, strict=True):
        _seeds("jvp", [cotangent], [direction], False)  # a wrong one raises, also where nothing depends on it
        if cotangent.requires_grad:
            (part,) = grad(cotangent, dummy, direction, create_graph=True, allow_unused=True)
            tangent = tangent if part is None else tangent + part
    return output, tangent


@always_recorded
def jacobian(f: Callable[[Tensor], Tensor], x: Any, *, batch: bool = False, create_graph: bool = False) -> Tensor:
    """All partial derivatives of f at x: shape (*f(x).shape, *x.shape).

    With ``batch`` the first axis counts independent rows, f works on each row by itself, and the result has shape
    (N, *f(x).shape[1:], *x.shape[1:]).  One backward walk for each element of the output (of one row).
    With ``create_graph`` the result can be differentiated again, also in parameters of f.
    """
    point = fresh(x)
    return _jacobian(tensor_of("jacobian", f(point)), point, batch, create_graph)


def _jacobian(y: Tensor, point: Tensor, batch: bool, create_graph: bool) -> Tensor:
    """The Jacobian of a computed y in a tensor it was computed from."""
    lead = 1 if batch else 0
    if batch and (y.ndim == 0 or y.shape[0] != point.shape[0]):
        raise ValueError(f"jacobian: with batch=True f must keep the first axis, it maps {point.shape} to {y.shape}")
    columns = moveaxis(reshape(y, (*y.shape[:lead], math.prod(y.shape[lead:]))), -1, 0)
    rows = [_row(sum(column), point, create_graph) for column in columns]
    shape = (*point.shape[:lead], *y.shape[lead:], *point.shape[lead:])
    return reshape(stack(rows, axis=lead), shape) if rows else convert.zeros(shape, dtype=point.dtype)


def _row(entry: Tensor, point: Tensor, create_graph: bool) -> Tensor:
    if not entry.requires_grad:
        return zeros_like(point)
    (row,) = grad(entry, point, create_graph=create_graph, allow_unused=True)
    return zeros_like(point) if row is None else row


@always_recorded
def hessian(f: Callable[[Tensor], Tensor], x: Any, *, create_graph: bool = False) -> Tensor:
    """Second derivatives of a scalar function: shape (*x.shape, *x.shape)."""
    return jacobian(lambda point: _gradient("hessian", f, point), x, create_graph=create_graph)


@always_recorded
def hvp(f: Callable[[Tensor], Tensor], x: Any, v: Any) -> Tensor:
    """The Hessian of a scalar function times v, by two walks and without the Hessian."""
    point = fresh(x)
    slope = _gradient("hvp", f, point)
    return _grad_or_zeros(slope, [point], v)[0]


def _gradient(name: str, f: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    y = tensor_of(name, f(point))
    if y.size != 1:
        raise ValueError(f"{name}: f must be scalar, it maps {point.shape} to {y.shape}; use jacobian")
    return _grad_or_zeros(y, [point])[0]


@always_recorded
def log_abs_det_jacobian(f: Callable[[Tensor], Tensor], x: Any, batch: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """(y, sign, log|det ∂f/∂x|) of a map that keeps the dimension, for each row of a batch.

    Differentiable in x and in the parameters of f: the general form that every flow is checked against (ENG-4).

    >>> import tinygen as tg
    >>> tg.log_abs_det_jacobian(lambda x: 3.0 * x, tg.zeros((5, 2)))[2].shape
    (5,)
    """
    point = fresh(x)
    y, lead = tensor_of("log_abs_det_jacobian", f(point)), 1 if batch else 0
    if y.shape != point.shape:
        raise ValueError(f"log_abs_det_jacobian: f must keep the shape, it maps {point.shape} to {y.shape}")
    size = math.prod(point.shape[lead:])
    matrix = reshape(_jacobian(y, point, batch, create_graph=True), (*point.shape[:lead], size, size))
    sign, log_abs_det = linalg.slogdet(matrix)
    return y, sign, log_abs_det
