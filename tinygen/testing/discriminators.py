"""Floor 8. The discriminator that is best against given laws: found by search, compared with a claimed formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygen.autograd import grad
from tinygen.ops import sigmoid, sum, tensor
from tinygen.testing.search import host, refuted, search
from tinygen.testing.strategies import sizes, tables

OPT = 1e-6  # an argument found by an optimiser (LECTURES §0)
REACH = 60.0  # logits from −60 to 60: beyond, a sigmoid is 0 or 1 to 1e-26

ROUNDING = 1e-13  # a slope, as a share of p + q, that is the rounding error of no slope
FLAT = 1e-6  # a slope at the end of the range, as a share of p + q, that is no slope: a sigmoid's is below 1e-26

Losses = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def check_discriminator(
    objective: Any,
    optimum: Callable[[Any, Any], Any] | None = None,
    *,
    output: Callable[[Any], Any] | None = None,
    examples: int = 100,
    seed: int = 0,
) -> None:
    """Raise AssertionError, with simple tables, unless the claimed optimum is the best discriminator (GAN-6).

    ``objective`` is what a discriminator minimises: a pair (real_loss, fake_loss) of elementwise functions of logits
    (n,), or an object with methods of these names.  For random tables p (data) and q (generator), exact zeros among
    them, the logits that minimise Σ p real_loss(s) + q fake_loss(s) are found place by place; ``optimum(p, q)`` claims
    the discriminator there, D = output(logits).  Where a whole interval of logits is best, any of them will do.  Left
    out, ``optimum`` and ``output`` are the object's ``optimal_discriminator`` and ``output``, or the logistic function.

    >>> import tinygen as tg
    >>> minimax = (lambda s: tg.softplus(-s), tg.softplus)
    >>> check_discriminator(minimax, lambda p, q: p / (p + q))
    >>> smoothed = (lambda s: 0.7 * tg.softplus(-s) + 0.3 * tg.softplus(s), tg.softplus)
    >>> check_discriminator(smoothed, lambda p, q: p / (p + q))
    Traceback (most recent call last):
    AssertionError: check_discriminator: the claimed discriminator is not the best one
    ...
    """
    real_loss, fake_loss = _losses(objective)
    claimed = optimum or getattr(objective, "optimal_discriminator", None)
    if claimed is None:
        raise TypeError("check_discriminator: give optimum(p, q), or an objective with optimal_discriminator(p, q)")
    shown_as = output or getattr(objective, "output", None) or sigmoid

    def value(logits: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        s = tensor(logits)
        return host(tensor(p) * real_loss(s) + tensor(q) * fake_loss(s))

    def slope(logits: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        s = tensor(logits, requires_grad=True)
        return grad(sum(tensor(p) * real_loss(s) + tensor(q) * fake_loss(s)), s)[0].numpy()  # type: ignore[no-any-return]

    def best(pair: tuple[np.ndarray, np.ndarray]) -> None:
        possible = (pair[0] + pair[1]) > 0.0  # elsewhere no discriminator is better than another
        p, q = (table[possible] for table in pair)
        least, most = _best_logits(value, slope, p, q)
        low, high = (host(shown_as(tensor(logits))) for logits in (least, most))
        found = host(claimed(tensor(p), tensor(q)))
        if found.shape != p.shape:
            raise TypeError(
                f"check_discriminator: optimum must return {p.shape} for tables {p.shape}, got {found.shape}"
            )
        with np.errstate(invalid="ignore"):
            near = (found >= low - OPT * (1.0 + np.abs(low))) & (found <= high + OPT * (1.0 + np.abs(high)))
        if not near.all():
            raise refuted(
                "the claimed discriminator is not the best one", p=p, q=q, claimed=found,
                **{"found by search": low if np.array_equal(low, high) else 0.5 * (low + high)},
            )  # fmt: skip

    search("check_discriminator", best, {"pair": _pairs()}, examples, seed)


def _losses(objective: Any) -> Losses:
    if isinstance(objective, tuple):
        real_loss, fake_loss = objective
        return real_loss, fake_loss
    return objective.real_loss, objective.fake_loss


def _best_logits(value: Any, slope: Any, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of the best logits of each place: a grid, then bisection of the slope's sign."""
    grid = np.linspace(-REACH, REACH, 601)
    n, m = len(p), len(grid)
    heights = value(np.repeat(grid, n), np.tile(p, m), np.tile(q, m)).reshape(m, n)
    if np.isnan(heights).any():
        raise refuted(f"the loss is not a number for some logits up to {REACH:g}", p=p, q=q)
    place = heights.argmin(0)
    at_edge = slope(grid[place], p, q) / (p + q)
    if (((place == 0) & (at_edge > FLAT)) | ((place == m - 1) & (at_edge < -FLAT))).any():
        raise refuted("there is no best discriminator: the loss falls without end", p=p, q=q)
    # The ends of the valley, which may be flat and wide: where the loss stops falling, and where it starts to rise.
    lowest = np.repeat([True, False], n)
    low = np.concatenate([np.full(n, -REACH), grid[np.maximum(place - 1, 0)]])
    high = np.concatenate([grid[np.minimum(place + 1, m - 1)], np.full(n, REACH)])
    for _ in range(60):
        middle = 0.5 * (low + high)
        rising = slope(middle, np.tile(p, 2), np.tile(q, 2)) / np.tile(p + q, 2)
        beyond = np.where(lowest, rising >= -ROUNDING, rising > ROUNDING)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    ends = 0.5 * (low + high)
    return ends[:n], ends[n:]


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(sizes(2, 5))
    return draw(tables(size, zeros=True)), draw(tables(size, zeros=True))
