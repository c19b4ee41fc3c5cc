"""The kit of claims: what is wrong fails, NaN fails, counterexamples are simple, and only a refutation refutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, Check, Claim, Refuted, at_least, holds, same, within
from tinygen.lectures.verify import falsify, verify
from tinygen.testing.strategies import floats, vectors

pytestmark = pytest.mark.host


def triangle(n: int) -> float:
    return n * (n + 1) / 2


def demo(formula: Any = triangle, most: int = 1000) -> Claim:
    """1 + … + n = n (n + 1) / 2."""
    claim = Claim("DEMO-1", "Sum of the first numbers", r"\sum_{k\le n}k=\tfrac12n(n+1)", sources="000")

    @claim.part(n=st.integers(0, 50), most=most)
    def sums(n: int, *, formula: Any = formula) -> Iterator[Check]:
        """The formula against the sum."""
        yield same("sum", formula(n), sum(range(n + 1)), ALG)

    return claim


def test_a_true_claim_holds_and_reports_what_it_did() -> None:
    result = verify(demo(), examples=20)
    assert (result.failure, result.counterexample, result.cases) == ("", {}, 20)
    assert result.worst is not None
    assert result.worst.tolerance == ALG
    assert result.seconds > 0
    assert verify(demo(most=3), examples=20).cases == 3


def test_a_false_claim_fails_with_the_simplest_counterexample() -> None:
    result = verify(demo(lambda n: triangle(n) if n < 7 else 0.0), examples=100)
    assert result.counterexample == {"n": "7"}
    assert "DEMO-1 sums: sum: 0. against 28." in result.failure


def test_nan_never_holds() -> None:
    for value in (np.nan, [1.0, np.nan]):
        assert not same("nan", value, value, 1e300).holds
        assert not at_least("nan", value, 0.0, 1e300).holds
        assert not within("nan", value, 0.0, 1.0).holds
    assert verify(demo(lambda n: np.nan)).failure


@given(a=floats(-1e6, 1e6), b=floats(-1e6, 1e6))
def test_comparisons_are_relative_to_the_right_side(a: float, b: float) -> None:
    error = abs(a - b) / (1.0 + abs(b))
    assert same("x", a, b, error * (1 + 1e-12) + 1e-300).holds
    assert error == 0.0 or not same("x", a, b, error * (1 - 1e-12)).holds
    assert at_least("x", a, b, EXACT).holds == (a >= b)
    assert within("x", a, b, abs(a - b) / 4.9 + 1e-290).holds
    assert abs(a - b) < 1e-280 or not within("x", a, b, abs(a - b) / 5.1).holds
    assert holds("x", a <= b).holds == (a <= b)


def test_infinite_sides_are_equal_only_to_themselves() -> None:
    assert same("x", np.inf, np.inf).holds
    assert not same("x", np.inf, -np.inf).holds
    assert not same("x", np.inf, 1.0).holds
    assert at_least("x", np.inf, 5.0).holds


@given(x=vectors(3))
def test_sides_may_be_tensors(x: np.ndarray) -> None:
    assert same("x", tg.tensor(x), x, EXACT).holds


def test_sides_of_different_shapes_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"shapes \(2,\) and \(3,\)"):
        same("x", [1.0, 2.0], [1.0, 2.0, 3.0])
    assert same("x", [1.0, 1.0], 1.0).holds


def test_a_falsification_takes_the_formulas_place_and_is_refuted() -> None:
    claim = demo()
    (part,) = claim.parts

    @part.erratum("E-00", "off by n", printed=r"\tfrac12n(n-1)")
    def printed(n: int) -> float:
        return n * (n - 1) / 2

    (wrong,) = part.falsifications
    result = falsify(part, wrong)
    assert (result.id, result.title, result.counterexample) == ("E-00", "off by n", {"n": "1"})
    assert result.failure
    assert not verify(claim).failure  # the right one is untouched


def test_a_wrong_version_that_is_right_is_not_refuted() -> None:
    (part,) = demo().parts
    part.falsification("the same")(triangle)
    assert falsify(part, part.falsifications[0]).failure == ""


def test_only_a_refutation_refutes() -> None:
    (part,) = demo().parts

    @part.falsification("crashes")
    def crashing(n: int) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        falsify(part, part.falsifications[0])


def test_mistakes_in_the_writing_of_a_claim_are_errors() -> None:
    claim = Claim("DEMO-2", "", "", sources="")
    with pytest.raises(TypeError, match=r"takes \['n'\], but the inputs are \['m'\]"):

        @claim.part(m=st.integers())
        def misnamed(n: int) -> Iterator[Check]:
            """Something."""
            yield holds("x", True)

    with pytest.raises(TypeError, match="say in the docstring"):

        @claim.part(n=st.integers())
        def silent(n: int) -> Iterator[Check]:
            yield holds("x", True)

    @claim.part()
    def empty(*, f: Any = None, g: Any = None) -> Iterator[Check]:
        """Nothing."""
        yield from ()

    with pytest.raises(TypeError, match="yields no check"):
        empty()
    with pytest.raises(TypeError, match=r"say which of \['f', 'g'\]"):
        empty.falsification("which?")
    with pytest.raises(TypeError, match="has no formula 'h'"):
        empty.falsification("which?", replaces="h")


def test_the_precision_is_double_inside_and_restored_outside() -> None:
    seen = []
    claim = Claim("DEMO-3", "", "", sources="")

    @claim.part()
    def dtypes() -> Iterator[Check]:
        """The default dtype."""
        seen.append(tg.default_dtype())
        yield holds("false", False)

    assert verify(claim).failure
    assert seen == [np.float64]
    assert tg.default_dtype() == np.float32
    with pytest.raises(Refuted):
        dtypes()


def test_the_seed_decides_the_inputs() -> None:
    drawn: list[list[float]] = []
    claim = Claim("DEMO-4", "", "", sources="")

    @claim.part(x=floats(-5.0, 5.0))
    def record(x: float) -> Iterator[Check]:
        """Nothing."""
        drawn[-1].append(x)
        yield holds("true", True)

    for number in (0, 0, 1):
        drawn.append([])
        verify(claim, number=number)
    assert drawn[0] == drawn[1] != drawn[2]
