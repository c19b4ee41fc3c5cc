r"""Floor 8. What a claim is: a statement of the lectures, random inputs, and sides computed independently.

A claim has one or more *parts*.  A part is a function of random inputs that yields :class:`Check`\ s: comparisons
of two sides.  The formulas under test are its keyword-only arguments, so that a *falsification*, a wrong version of
one of them, can take the right one's place; the part must refute it.  Errata of the lecture notes are falsifications
that carry their number.

>>> from hypothesis import strategies as st
>>> from tinygen.lectures.claim import ALG, Claim, same
>>> square = Claim("DEMO-1", "Binomial formula", r"(a+b)^2 = a^2 + 2ab + b^2", sources="000")
>>> @square.part(a=st.floats(-5, 5), b=st.floats(-5, 5))
... def expanded(a, b, *, formula=lambda a, b: a * a + 2 * a * b + b * b):
...     yield same("expanded = multiplied", formula(a, b), (a + b) * (a + b), ALG)
>>> @expanded.falsification("without the mixed term", printed=r"a^2 + b^2")
... def no_mixed_term(a, b):
...     return a * a + b * b
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tinygen.tensor import Tensor


class Tolerance(NamedTuple):
    """Largest allowed |left − right| / (1 + |right|) in float64 (LECTURES §0)."""

    name: str
    value: float


ALG = Tolerance("ALG", 1e-12)  # algebraic identity
LIN = Tolerance("LIN", 1e-9)  # linear algebra or an inverse round trip, condition number at most 10⁴
FD = Tolerance("FD", 1e-6)  # against central differences
QUAD = Tolerance("QUAD", 1e-9)  # quadrature
OPT = Tolerance("OPT", 1e-6)  # an argument found by an optimiser
MC = Tolerance("MC", 5.0)  # Monte Carlo: standard errors
EXACT = Tolerance("EXACT", 0.0)  # a fact that holds or does not


class Check(NamedTuple):
    """One comparison: how far the two sides are apart, how far they may be, and both as text."""

    what: str
    error: float
    tolerance: Tolerance
    shown: str

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance.value  # a NaN does not

    @property
    def ratio(self) -> float:
        """The error as a share of what is allowed."""
        return self.error / self.tolerance.value if self.tolerance.value else 0.0 if self.holds else np.inf


class Refuted(AssertionError):  # noqa: N818 (what happened to the claim, not to the program)
    """A check that does not hold."""


def host(value: Any) -> np.ndarray:
    """The values of a tensor, array, list or number as float64 on the host."""
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value, dtype=np.float64)


def same(what: str, left: Any, right: Any, tolerance: Tolerance | float = ALG) -> Check:
    """Two sides of one shape (or a number against all), equal up to |left − right| ≤ tolerance · (1 + |right|)."""
    a, b = host(left), host(right)
    if a.shape != b.shape and b.ndim and a.ndim:
        raise TypeError(f"{what}: the sides have shapes {a.shape} and {b.shape}")
    with np.errstate(invalid="ignore"):
        error = np.where(a == b, 0.0, np.abs(a - b) / (1.0 + np.abs(b)))  # equal infinities differ by nothing
    return Check(what, _largest(error), _named(tolerance), f"{_shown(a)} against {_shown(b)}")


def at_least(what: str, left: Any, right: Any, slack: Tolerance | float = ALG) -> Check:
    """left ≥ right up to slack · (1 + |right|), everywhere."""
    a, b = np.broadcast_arrays(host(left), host(right))
    with np.errstate(invalid="ignore"):
        error = np.where(a >= b, 0.0, (b - a) / (1.0 + np.abs(b)))
    return Check(what, _largest(error), _named(slack), f"{_shown(a)} must not be below {_shown(b)}")


def within(what: str, estimate: Any, exact: Any, standard_error: Any) -> Check:
    """A Monte Carlo estimate within five of its standard errors of the exact value."""
    a, b, s = host(estimate), host(exact), host(standard_error)
    error = np.abs(a - b) / np.maximum(s, 1e-300)
    return Check(what, _largest(error), MC, f"{_shown(a)} ± {_shown(s)} against {_shown(b)}")


def holds(what: str, fact: Any, shown: str = "") -> Check:
    """A fact without a number: all of it true."""
    return Check(what, 0.0 if bool(np.all(fact)) else np.inf, EXACT, shown or f"{fact}")


def _largest(error: np.ndarray) -> float:
    return float(np.max(error, initial=0.0)) if not np.isnan(error).any() else float("nan")


def _named(tolerance: Tolerance | float) -> Tolerance:
    return tolerance if isinstance(tolerance, Tolerance) else Tolerance(f"{tolerance:g}", tolerance)


def _shown(values: np.ndarray) -> str:
    return np.array2string(values, precision=6, threshold=8, edgeitems=3, separator=", ").replace("\n", "")


@dataclass(frozen=True)
class Falsification:
    """A wrong version of a formula, that its part must refute; ``erratum`` is its number if the notes print it."""

    what: str
    formulas: Mapping[str, Callable[..., Any]]
    printed: str = ""
    erratum: str = ""


class Part:
    """One property of a claim: random inputs, and a function of them that yields checks."""

    def __init__(
        self, claim: Claim, check: Callable[..., Iterator[Check]], inputs: Mapping[str, Any], most: int
    ) -> None:
        self.claim = claim
        self.check = check
        self.inputs = inputs
        self.most = most
        self.name = check.__name__
        self.what = " ".join((check.__doc__ or "").split())
        self.falsifications: list[Falsification] = []
        parameters = inspect.signature(check).parameters.values()
        self.formulas = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        drawn = {p.name for p in parameters if p.kind is not p.KEYWORD_ONLY}
        if drawn != set(inputs):
            raise TypeError(f"{claim.id} {self.name}: takes {sorted(drawn)}, but the inputs are {sorted(inputs)}")
        if not self.what:
            raise TypeError(f"{claim.id} {self.name}: say in the docstring what is compared with what")

    def __call__(self, **arguments: Any) -> list[Check]:
        """All checks for these inputs; raises Refuted at the first that does not hold."""
        made = []
        for check in self.check(**arguments):
            if not check.holds:
                raise Refuted(
                    f"{self.claim.id} {self.name}: {check.what}: {check.shown} "
                    f"(error {check.error:.3g}, allowed {check.tolerance.value:g} {check.tolerance.name})"
                )
            made.append(check)
        if not made:
            raise TypeError(f"{self.claim.id} {self.name}: yields no check")
        return made

    def falsification(
        self, what: str, *, printed: str = "", replaces: str | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """The decorated wrong version takes the place of the formula ``replaces`` (needed if there are several)."""
        return self._falsification(what, printed, "", replaces)

    def erratum(
        self, number: str, what: str, *, printed: str, replaces: str | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """The decorated function is the formula as the notes print it: ``printed`` in LaTeX, ``what`` is wrong."""
        return self._falsification(what, printed, number, replaces)

    def _falsification(
        self, what: str, printed: str, erratum: str, replaces: str | None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        if replaces is None and len(self.formulas) != 1:
            raise TypeError(f"{self.claim.id} {self.name}: say which of {self.formulas} the wrong version replaces")
        name = replaces or self.formulas[0]
        if name not in self.formulas:
            raise TypeError(f"{self.claim.id} {self.name}: has no formula {name!r}, only {self.formulas}")

        def add(wrong: Callable[..., Any]) -> Callable[..., Any]:
            self.falsifications.append(Falsification(what, {name: wrong}, printed, erratum))
            return wrong

        return add


@dataclass
class Claim:
    """An entry of the lectures: its statement in LaTeX, the sets of notes it comes from, and its parts."""

    id: str
    title: str
    statement: str
    sources: str
    assumptions: str = ""
    parts: list[Part] = field(default_factory=list)

    def part(self, *, most: int = 1000, **inputs: Any) -> Callable[[Callable[..., Iterator[Check]]], Part]:
        """Add a part with these Hypothesis strategies; ``most`` limits the examples of a slow one."""

        def add(check: Callable[..., Iterator[Check]]) -> Part:
            self.parts.append(Part(self, check, inputs, most))
            return self.parts[-1]

        return add


@dataclass(frozen=True)
class Unchecked:
    """An entry or an erratum without a checkable statement, and the reason."""

    id: str
    title: str
    reason: str
