"""Floor 8. Is it a divergence, and is it more: symmetric, or even a metric?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygen.ops import tensor
from tinygen.testing.search import host, refuted, search
from tinygen.testing.strategies import floats, sizes, tables

ROUNDING = 1e-7  # a root of a divergence (a metric) turns errors of 1e-16 into 1e-8
APART = 0.05  # tables further apart than this, in total variation, must be told apart

Divergence = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class DivergenceFacts:
    """What a search has found out; a counterexample is a text, None if there was none."""

    asymmetry: str | None
    triangle: str | None

    @property
    def symmetric(self) -> bool:
        """No two tables were found with d(p, q) ≠ d(q, p)."""
        return self.asymmetry is None

    @property
    def metric(self) -> bool:
        """No counterexample to symmetry or to the triangle inequality was found."""
        return self.symmetric and self.triangle is None


def check_divergence(
    d: Divergence, *, symmetric: bool | None = None, metric: bool | None = None, examples: int = 100, seed: int = 0
) -> DivergenceFacts:
    """Raise AssertionError, with simple tables, unless d(p, q) ≥ 0, and = 0 if and only if p = q (DIV-2).

    ``d`` takes two probability tables (n,), float64 tensors with exact zeros among them, and returns a number, which
    may be infinite.  Searched for are also d(p, q) ≠ d(q, p) (DIV-3) and d(p, r) > d(p, q) + d(q, r) (DIV-4): the
    result tells what was found, and where ``symmetric`` or ``metric`` says something else, AssertionError.

    >>> import tinygen as tg
    >>> facts = check_divergence(tg.divergences.kl)
    >>> facts.symmetric, facts.metric
    (False, False)
    >>> check_divergence(tg.divergences.total_variation, metric=True).metric
    True
    >>> check_divergence(tg.divergences.js, metric=True)
    Traceback (most recent call last):
    AssertionError: check_divergence: the triangle inequality fails
    ...
    """

    def at(p: np.ndarray, q: np.ndarray) -> float:
        value = host(d(tensor(p), tensor(q)))
        if value.size != 1:
            raise TypeError(f"check_divergence: d must return one number for two tables {p.shape}, got {value.shape}")
        return float(value.item())

    def positive(pair: tuple[np.ndarray, np.ndarray]) -> None:
        p, q = pair
        for same in pair:
            if not abs(at(same, same)) <= ROUNDING:
                raise refuted("d(p, p) is not 0", p=same, d=at(same, same))
        value = at(p, q)
        if not value >= -ROUNDING:
            raise refuted("it is negative or undefined", p=p, q=q, d=value)
        if 0.5 * np.abs(p - q).sum() > APART and value <= ROUNDING:
            raise refuted("it is 0 for two different tables", p=p, q=q, d=value)

    def even(pair: tuple[np.ndarray, np.ndarray]) -> None:
        p, q = pair
        there, back = at(p, q), at(q, p)
        if there != back and not abs(there - back) <= ROUNDING * (1.0 + abs(back)):
            raise refuted("it is not symmetric", **{"p": p, "q": q, "d(p, q)": there, "d(q, p)": back})

    def short(triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        p, q, r = triple
        direct, first, second = at(p, r), at(p, q), at(q, r)
        if np.isfinite([direct, first, second]).all() and direct > (first + second) * (1.0 + ROUNDING) + ROUNDING:
            facts = {"p": p, "q": q, "r": r, "d(p, q) + d(q, r)": first + second, "d(p, r)": direct}
            raise refuted("the triangle inequality fails", **facts)

    title = "check_divergence"
    search(title, positive, {"pair": _laws(2)}, examples, seed)
    found = DivergenceFacts(
        _failure(title, even, {"pair": _laws(2)}, examples, seed),
        _failure(title, short, {"triple": st.one_of(_laws(3), _between())}, examples, seed),
    )
    for name, said, wrong in (
        ("symmetric", symmetric, found.asymmetry),
        ("a metric", metric, found.asymmetry or found.triangle),
    ):
        if said and wrong:
            raise AssertionError(wrong)
        if said is False and wrong is None:
            raise AssertionError(f"{title}: said not to be {name}, but {examples} tries found nothing against it")
    return found


@st.composite
def _laws(draw: st.DrawFn, count: int) -> tuple[np.ndarray, ...]:
    """Tables on one set."""
    size = draw(sizes(2, 6))
    return tuple(draw(tables(size, zeros=True)) for _ in range(count))


@st.composite
def _between(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """Tables p, q, r with q between the others: where a divergence that grows like a square breaks the triangle."""
    p, r = draw(_laws(2))
    share = draw(floats(0.1, 0.9))
    return p, share * p + (1.0 - share) * r, r


def _failure(title: str, check: Callable[..., None], inputs: dict[str, Any], examples: int, seed: int) -> str | None:
    """The message of a search that finds something."""
    try:
        search(title, check, inputs, examples, seed)
    except AssertionError as error:
        return str(error)
    return None
