"""Floor 3. Products of matrices: matmul, linear, and what is made of them (outer, dot, trace, einsum)."""

from __future__ import annotations

import math
from typing import Any

from tinygen.backend import Array, stacked_matmul
from tinygen.operands import operation
from tinygen.ops.arrange import diagonal
from tinygen.ops.elementwise import multiply
from tinygen.ops.reduce import sum
from tinygen.ops.shape import expand_dims, reshape, squeeze, sum_to, swapaxes, transpose
from tinygen.primitive import primitive
from tinygen.tensor import Tensor


@primitive()
def _matmul(a: Array, b: Array) -> Array:
    return stacked_matmul(a, b)


_matmul.derivatives(
    lambda g, y, a, b: sum_to(_matmul(g, swapaxes(b, -1, -2)), shape=a.shape),
    lambda g, y, a, b: sum_to(_matmul(swapaxes(a, -1, -2), g), shape=b.shape) if b.ndim > 2 else _left(a, g),
)


def _left(a: Any, g: Any) -> Any:
    """aᵀ g summed over the stack, as one product."""
    rows = math.prod(a.shape[:-1])
    return _matmul(swapaxes(reshape(a, (rows, a.shape[-1])), 0, 1), reshape(g, (rows, g.shape[-1])))


@operation
def matmul(x1: Any, x2: Any) -> Tensor:
    """Matrix product of (…, n, k) and (…, k, m), leading axes broadcast; a vector counts as one row or one column."""
    for x in (x1, x2):
        if isinstance(x, (int, float)) or (hasattr(x, "ndim") and x.ndim == 0):
            raise ValueError("matmul: operands need at least one axis, one of them has the shape (); use multiply")
    if x1.shape[-1] != x2.shape[-2 if x2.ndim > 1 else 0]:
        raise ValueError(f"matmul: inner sizes differ for shapes {x1.shape} and {x2.shape}; one may need .mT")
    if x1.ndim > 1 and x2.ndim > 1:
        return _matmul(x1, x2)
    rows = expand_dims(x1, 0) if x1.ndim == 1 else x1
    columns = expand_dims(x2, -1) if x2.ndim == 1 else x2
    product = _matmul(rows, columns)
    return squeeze(product, [a for a, x in ((-2, x1), (-1, x2)) if x.ndim == 1])


@primitive()
def _linear(x: Array, weight: Array, bias: Array) -> Array:
    y = stacked_matmul(x, weight.T)
    y += bias
    return y


_linear.derivatives(
    lambda g, y, x, w, b: _matmul(g, w),
    lambda g, y, x, w, b: _left(g, x),
    lambda g, y, x, w, b: sum(g, tuple(range(g.ndim - 1))),
)


@operation
def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """x Wᵀ + b for x (…, in), weight (out, in), bias (out)."""
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: x {x.shape} needs a weight (out, {x.shape[-1] if x.ndim else 1}), got {weight.shape}"
        )
    if bias is None:
        return matmul(x, swapaxes(weight, 0, 1))
    if tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"linear: weight {weight.shape} needs a bias ({weight.shape[0]},), got {bias.shape}")
    return _linear(x, weight, bias) if x.ndim > 1 else squeeze(_linear(expand_dims(x, 0), weight, bias), 0)


@operation
def dot(x1: Any, x2: Any) -> Tensor:
    """Inner product of two vectors."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"dot: needs two vectors, got shapes {x1.shape} and {x2.shape}; use matmul")
    return matmul(x1, x2)


@operation
def outer(x1: Any, x2: Any) -> Tensor:
    """x1[i] · x2[j] for all pairs of two flattened arrays."""
    return multiply(reshape(x1, (math.prod(x1.shape), 1)), reshape(x2, (1, math.prod(x2.shape))))


@operation
def trace(x: Any, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """Sum of the diagonal of each matrix."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


@operation
def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Einstein summation, as products of matrices: ``einsum("bij,bjk->bik", x, y)``.  No ellipsis.

    Labels that an operand repeats are taken on its diagonal; labels that no one else needs are summed at once;
    then operands are multiplied in pairs from the left, as stacks of matrices.
    """
    left, arrow, target = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:  # NumPy's rule: labels that occur once, in alphabetical order
        target = "".join(label for label in sorted(set(left) - {","}) if left.count(label) == 1)
    sizes = _label_sizes(subscripts, terms, target, operands)
    result, labels = operands[0], terms[0]
    for position, (operand, term) in enumerate(zip(operands, terms, strict=True)):
        needed = set(target).union(*terms[position + 1 :])
        if position == 0:
            result, labels = _reduced(operand, term, needed)
        else:
            operand, term = _reduced(operand, term, needed | set(labels))
            result, labels = _reduced(result, labels, needed | set(term))
            result, labels = _contract(result, labels, operand, term, needed, sizes)
    return transpose(result, [labels.index(label) for label in target]) if target else result


def _label_sizes(subscripts: str, terms: list[str], target: str, operands: Any) -> dict[str, int]:
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, {len(operands)} were given")
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        if len(term) != operand.ndim or (not term.isalpha() and term):
            raise ValueError(
                f"einsum: term {term!r} of {subscripts!r} does not fit an operand of shape {operand.shape}"
            )
        for label, size in zip(term, operand.shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise ValueError(f"einsum: label {label!r} of {subscripts!r} has sizes {sizes[label]} and {size}")
    if len(set(target)) < len(target) or set(target) - set(sizes):
        raise ValueError(f"einsum: the result {target!r} of {subscripts!r} repeats a label or names an unknown one")
    return sizes


def _reduced(x: Any, labels: str, needed: set[str]) -> tuple[Any, str]:
    """x on the diagonal of its repeated labels, summed over the labels that are not needed."""
    for label in sorted(set(labels)):
        while labels.count(label) > 1:
            first, second = labels.index(label), labels.rindex(label)
            x = diagonal(x, 0, first, second)
            labels = "".join(other for a, other in enumerate(labels) if a not in (first, second)) + label
    gone = tuple(a for a, label in enumerate(labels) if label not in needed)
    return (sum(x, gone) if gone else x), "".join(label for label in labels if label in needed)


def _contract(a: Any, of_a: str, b: Any, of_b: str, needed: set[str], sizes: dict[str, int]) -> tuple[Any, str]:
    """The product of two operands, as one stack of matrix products (batch, rows, summed) @ (batch, summed, columns)."""
    batch = [label for label in of_a if label in of_b and label in needed]
    summed = [label for label in of_a if label in of_b and label not in needed]
    rows = [label for label in of_a if label not in of_b]
    columns = [label for label in of_b if label not in of_a]

    def grouped(x: Any, labels: str, *groups: list[str]) -> Any:
        order = [labels.index(label) for group in groups for label in group]
        shape = [math.prod(sizes[label] for label in group) for group in groups]
        return reshape(transpose(x, order) if order else x, shape)

    product = matmul(grouped(a, of_a, batch, rows, summed), grouped(b, of_b, batch, summed, columns))
    labels = batch + rows + columns
    return reshape(product, [sizes[label] for label in labels]), "".join(labels)
