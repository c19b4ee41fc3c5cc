"""Floor 8. Hypothesis strategies for the inputs of derivations: float64 arrays that shrink to simple numbers.

>>> from hypothesis import given
>>> @given(tables(4))
... def sums_to_one(p):
...     assert abs(p.sum() - 1) < 1e-12
>>> sums_to_one()
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygen import nn
from tinygen.random import Generator

Array = np.ndarray
Size = int | st.SearchStrategy[int]
Strategy = st.SearchStrategy[Array]


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    """Finite numbers from ``low`` to ``high``, without subnormal ones."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def sizes(low: int = 1, high: int = 8) -> st.SearchStrategy[int]:
    """How many: whole numbers from ``low`` to ``high``."""
    return st.integers(low, high)


def shapes(axes: int = 3, largest: int = 4, smallest: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes with up to ``axes`` axes, empty ones included."""
    return hnp.array_shapes(min_dims=0, max_dims=axes, min_side=smallest, max_side=largest)


def arrays(shape: Any, low: float = -5.0, high: float = 5.0) -> Strategy:
    """Arrays of a shape (or of drawn shapes) with elements from ``low`` to ``high``."""
    return hnp.arrays(np.float64, shape, elements=floats(low, high))


@st.composite
def normals(draw: st.DrawFn, shape: int | tuple[int, ...], scale: float = 1.0) -> Array:
    """Arrays of any shape in general position, N(0, scale²): one drawn key makes them, so they do not shrink."""
    return scale * np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(shape)


@st.composite
def vectors(draw: st.DrawFn, size: Size = sizes(), low: float = -5.0, high: float = 5.0) -> Array:
    """Vectors (size,)."""
    return draw(arrays(_drawn(draw, size), low, high))


@st.composite
def tables(draw: st.DrawFn, size: Size = sizes(2, 20), zeros: bool = False) -> Array:
    """Probability tables (size,): even ones, sharp ones (down to 1e-12), and with ``zeros`` ones with exact zeros."""
    n = _drawn(draw, size)
    weights = np.exp(-draw(arrays(n, 0.0, draw(st.sampled_from([0.0, 1.0, 5.0, 27.0])))))
    if zeros:
        kept = draw(hnp.arrays(np.bool_, n))
        weights = weights * kept if kept.any() else weights
    return np.asarray(weights / weights.sum())


@st.composite
def laws(draw: st.DrawFn, count: int = 2, size: Size = sizes(2, 8), zeros: bool = False) -> tuple[Array, ...]:
    """Several probability tables over one set of outcomes."""
    n = _drawn(draw, size)
    return tuple(draw(tables(n, zeros)) for _ in range(count))


@st.composite
def orthogonal(draw: st.DrawFn, size: Size = sizes()) -> Array:
    """Orthogonal matrices (n, n): products of reflections, of which the simplest is I."""
    n = _drawn(draw, size)
    q = np.eye(n)
    for _ in range(draw(st.integers(0, n))):
        direction = draw(arrays(n, -1.0, 1.0))
        length = float(direction @ direction)
        if length > 1e-2:
            q = q - (2.0 / length) * np.outer(q @ direction, direction)
    return q


@st.composite
def well_conditioned(draw: st.DrawFn, size: Size = sizes(), low: float = 0.5, high: float = 2.0) -> Array:
    """Regular matrices (n, n) with singular values from ``low`` to ``high``: Q₁ diag(s) Q₂."""
    n = _drawn(draw, size)
    first, values, second = draw(orthogonal(n)), draw(arrays(n, low, high)), draw(orthogonal(n))
    return np.asarray(first * values @ second)


@st.composite
def singular(draw: st.DrawFn, size: Size = sizes(1, 6), rank: int | None = None) -> Array:
    """Singular matrices (n, n), of the given rank or of any below n; exactly so only up to rounding."""
    n = _drawn(draw, size)
    kept = draw(st.integers(0, n - 1)) if rank is None else rank
    values = np.where(np.arange(n) < kept, draw(arrays(n, 0.5, 2.0)), 0.0)
    first, second = draw(orthogonal(n)), draw(orthogonal(n))
    return np.asarray(first * values @ second)


@st.composite
def positive_definite(draw: st.DrawFn, size: Size = sizes(), low: float = 0.25, high: float = 4.0) -> Array:
    """Symmetric matrices (n, n) with eigenvalues from ``low`` to ``high``."""
    n = _drawn(draw, size)
    q = draw(orthogonal(n))
    matrix = q * draw(arrays(n, low, high)) @ q.T
    return np.asarray(0.5 * (matrix + matrix.T))


@st.composite
def triangular(draw: st.DrawFn, size: Size = sizes(), lower: bool = True) -> Array:
    """Triangular matrices (n, n) with a diagonal from 0.5 to 2."""
    n = _drawn(draw, size)
    strict = np.tril(draw(arrays((n, n), -1.0, 1.0)), -1)
    matrix = strict + np.diag(draw(arrays(n, 0.5, 2.0)))
    return np.asarray(matrix if lower else matrix.T)


@st.composite
def positive_functions(draw: st.DrawFn, grid: Array) -> Array:
    """Positive, smooth functions on a grid (points,): sums of up to four bumps on a floor."""
    span = float(grid[-1] - grid[0])
    values = np.full(len(grid), draw(floats(0.01, 1.0)))
    for _ in range(draw(st.integers(1, 4))):
        centre, width = draw(floats(float(grid[0]), float(grid[-1]))), draw(floats(0.05, 0.5)) * span
        values = values + draw(floats(0.1, 3.0)) * np.exp(-0.5 * ((grid - centre) / width) ** 2)
    return values


def logits(size: Size = sizes(2, 8), bound: float = 800.0) -> Strategy:
    """Vectors of logits as extreme as stable losses must stand."""
    return vectors(size, -bound, bound)


def _drawn(draw: st.DrawFn, size: Size) -> int:
    return size if isinstance(size, int) else draw(size)


@st.composite
def networks(draw: st.DrawFn, inputs: int, outputs: int, widest: int = 8, deepest: int = 2) -> nn.Module:
    """Smooth networks from (n, inputs) to (n, outputs) in float64; the simplest is one linear layer."""
    rng = Generator(draw(st.integers(0, 9999)))
    widths = draw(st.lists(st.integers(1, widest), max_size=deepest))
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([inputs, *widths, outputs]):
        layers += [nn.Linear(before, after, rng=rng), draw(st.sampled_from([nn.Tanh, nn.Softplus]))()]
    return nn.Sequential(*layers[:-1]).astype(np.float64)
