"""``gradcheck`` accepts right derivatives, and finds rules that are wrong at any order up to the one asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal import refusal

import tinygen as tg
from tinygen.primitive import Primitive
from tinygen.testing import gradcheck, strategies

RIGHT = {
    "product": (lambda x, y: x * y, ([[1.0, 2.0]], [[0.5], [-1.0]])),
    "chain": (lambda x: tg.tanh(tg.exp(x) @ x), (np.array([0.3, -0.2, 0.7]),)),
    "determinant": (tg.linalg.det, (np.array([[2.0, 0.5], [0.1, 1.0]]),)),
    "singular determinant": (tg.linalg.det, (np.zeros((3, 3)),)),
    "two outputs": (lambda x: (tg.sin(x), {"square": x * x}), (1.5,)),
    "indices": (lambda x, i: tg.take(x, i, axis=0) ** 3, ([1.0, 2.0, 3.0], np.array([2, 0, 2]))),
    "unused": (lambda x, y: x * x, (1.5, 2.5)),
    "huge and tiny": (lambda x: 1e9 * tg.sin(x) + 1e-9, (np.linspace(0.1, 1.0, 5),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_are_accepted(name: str, device: str) -> None:
    f, inputs = RIGHT[name]
    gradcheck(f, inputs, order=3)


@given(x=strategies.well_conditioned(st.integers(1, 4)))
def test_inverses_are_accepted(x: np.ndarray) -> None:
    gradcheck(tg.linalg.inv, [x], order=2, entries=4)


@pytest.fixture
def wrong_cube(request: pytest.FixtureRequest) -> Iterator[Any]:
    """x³ with a rule that is wrong."""
    cube = Primitive(lambda x: x * x * x)
    cube.derivatives(request.param)
    yield cube
    Primitive.registry.pop(cube.name)


def also_times_two(g: Any, y: Any, x: Any) -> Any:
    return 2.0 * g * x * x


def constant_in_x(g: Any, y: Any, x: Any) -> Any:
    """Right, but what it returns does not know that it depends on x: wrong from the second derivative on."""
    return g * 3.0 * tg.detach(x) * tg.detach(x)


def constant_in_the_cotangent(g: Any, y: Any, x: Any) -> Any:
    return tg.detach(g) * 3.0 * x * x


def constant_in_one_factor(g: Any, y: Any, x: Any) -> Any:
    """d/dx of 3 x x̄ is 3 x̄ instead of 6 x."""
    return g * 3.0 * x * tg.detach(x)


@pytest.mark.parametrize(
    ("wrong_cube", "order"),
    [(also_times_two, 1), (constant_in_x, 2), (constant_in_the_cotangent, 2), (constant_in_one_factor, 2)],
    indirect=["wrong_cube"],
)
def test_wrong_rules_are_found_in_the_order_in_which_they_are_wrong(wrong_cube: Any, order: int, device: str) -> None:
    x = np.array([0.7, 1.3])
    if order == 2:
        gradcheck(lambda x: wrong_cube(x), [x], order=1)
    said = refusal(gradcheck, lambda x: wrong_cube(x), [x])
    assert said.startswith(f"gradcheck: order {order}, argument 0 (x) entry [")


def test_the_worst_entry_of_the_right_argument_is_named() -> None:
    def f(first: Any, second: Any) -> Any:
        wrong = tg.concatenate([second[:1, 1:], tg.detach(second[1:, 1:])], axis=0)
        return tg.sum(first) * tg.sum(wrong)

    said = refusal(gradcheck, f, [np.array([1.0, 2.0]), np.array([[1.0, 2.0], [3.0, 4.0]])])
    assert "order 1, argument 1 (second) entry [1, 1]: analytic 0, numerical" in said


def test_what_cannot_be_checked_raises() -> None:
    with pytest.raises(TypeError, match="none of the inputs is floating"):
        gradcheck(lambda i: i, [np.array([1, 2])])
    with pytest.raises(TypeError, match="must return tensors"):
        gradcheck(lambda x: "text", [1.0])
    assert "not finite" in refusal(gradcheck, tg.log, [np.array([0.0])])
