"""What is recorded, and when: no_grad, the user's line, nodes as readable records, the registry of primitives."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from typing import Any

import numpy as np
import pytest
from arrays import close, on, raw

import tinygen as tg
from tinygen.primitive import Each, Primitive
from tinygen.record import Node, mode, recording, show_location


def leaf(device: str, *values: float) -> tg.Tensor:
    return on(device, np.array(values), requires_grad=True)


def line() -> int:
    return sys._getframe(1).f_lineno


# --- no_grad -------------------------------------------------------------------------------------------------------


def test_no_grad_as_block_and_as_decorator(device: str) -> None:
    x = leaf(device, 1.0, 2.0)

    @tg.no_grad()
    def twice(value: tg.Tensor) -> tg.Tensor:
        """Documented."""
        return value * 2.0

    with tg.no_grad():
        assert not (x * 2.0).requires_grad
        assert (x * 2.0).node is None
    assert not twice(x).requires_grad
    assert not twice(x).requires_grad  # the decorated function can be called again
    assert twice.__doc__ == "Documented."
    assert (x * 2.0).requires_grad


def test_no_grad_nests_and_survives_errors(device: str) -> None:
    x = leaf(device, 1.0)
    with tg.no_grad():
        with tg.no_grad():
            pass
        assert not (x * 2.0).requires_grad
        with pytest.raises(KeyError), tg.no_grad():
            raise KeyError
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_on_a_recursive_function(device: str) -> None:
    x = leaf(device, 1.0)

    @tg.no_grad()
    def deep(x: tg.Tensor, n: int) -> tg.Tensor:  # x as an argument: a recursive closure over it would be a cycle
        y = deep(x, n - 1) if n > 1 else x
        assert not (x * 2.0).requires_grad
        return y * 2.0

    assert float(deep(x, 5)) == 32.0
    assert (x * 2.0).requires_grad


def test_recording_inside_no_grad(device: str) -> None:
    x = leaf(device, 1.0)
    with tg.no_grad():
        with recording():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad


def test_no_grad_does_not_reach_other_threads_and_tasks(device: str) -> None:
    x = leaf(device, 1.0)
    seen: list[bool] = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2.0).requires_grad))
        thread.start()
        thread.join()

    async def quiet(gate: asyncio.Event) -> None:
        with tg.no_grad():
            gate.set()
            await asyncio.sleep(0)
            seen.append(not (x * 2.0).requires_grad)

    async def loud(gate: asyncio.Event) -> None:
        await gate.wait()
        seen.append((x * 2.0).requires_grad)

    async def both() -> None:
        gate = asyncio.Event()
        await asyncio.gather(quiet(gate), loud(gate))

    asyncio.run(both())
    assert seen == [True, True, True]


def test_leaves_made_inside_no_grad_can_be_trained(device: str) -> None:
    with tg.no_grad():
        x = tg.zeros(2, requires_grad=True)
    assert x.requires_grad
    assert (x * 2.0).requires_grad


# --- nodes ---------------------------------------------------------------------------------------------------------


def test_a_node_is_a_record(device: str) -> None:
    x, number = leaf(device, 1.0, 2.0), line() + 1
    y = tg.sum(x * x, axis=0)
    node = y.node
    assert isinstance(node, Node)
    assert node.primitive.name == "sum"
    assert node.kwargs["axis"] == (0,)
    assert node.output is y._data
    (product,) = node.args
    assert product.node.args == (x, x)
    assert product.node.inputs[0] is x._data
    assert product.node.sequence < node.sequence
    assert re.fullmatch(rf"{re.escape(__file__)}:{number} in test_a_node_is_a_record", show_location(node.location))
    assert repr(product.node) == "multiply(float64[2], float64[2])"


def test_nodes_have_no_dictionary(device: str) -> None:
    """Slots: a node costs little, and nothing can be hung on it by mistake."""
    node = (leaf(device, 1.0) * 2.0).node
    assert not hasattr(node, "__dict__")
    assert not hasattr(leaf(device, 1.0), "__dict__")


def test_the_users_line_is_outside_of_tinygen(device: str) -> None:
    """Composite operations are the user's line, too, not a line of tinygen."""
    x = on(device, np.ones((2, 1, 4, 4)), requires_grad=True)
    for y in (tg.var(x), tg.max_pool2d(x, 2), tg.interpolate(x, 2), tg.einsum("abij->ab", x), x.mean(0), x[0], 2.0 - x):
        node = y.node
        while node is not None:
            assert show_location(node.location).endswith("in test_the_users_line_is_outside_of_tinygen")
            parents = [arg.node for arg in node.args if isinstance(arg, tg.Tensor)]
            node = next((parent for parent in parents if parent is not None), None)


def test_the_line_in_a_derivative_names_the_operation(device: str) -> None:
    x = leaf(device, 2.0)
    y, number = tg.exp(x), line()
    (g,) = tg.grad(y, x, create_graph=True)
    shown = show_location(g.node.location)
    assert re.search(rf"\(in the derivative of exp, {re.escape(__file__)}:{number} in test_the_line_in", shown)


def test_only_tensors_that_need_it_are_recorded(device: str) -> None:
    x, constant = leaf(device, 1.0), on(device, np.ones(1))
    assert (constant * 2.0).node is None
    assert (x * constant).node.needs == [0]
    assert (constant * x).node.needs == [1]
    assert tg.where(x > 0.0, constant, x).node.needs == [2]
    assert tg.argmax(x).requires_grad is False
    assert (x > 0.0).requires_grad is False


def test_array_operands_are_copied_into_the_record(device: str) -> None:
    x, array = leaf(device, 1.0, 2.0), raw(device, np.array([3.0, 4.0]))
    node = (x * array).node
    assert node.inputs[1] is not array
    array[...] = 0.0
    close(node.inputs[1], np.array([3.0, 4.0]))


@pytest.mark.host
def test_the_mode_is_clean_outside() -> None:
    now = mode.get()
    assert now.recording
    assert now.inspect is None
    assert now.origin is None


# --- the registry --------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_every_primitive_is_registered_under_its_name() -> None:
    for name, primitive in Primitive.registry.items():
        assert primitive.name == name
        assert repr(primitive) == f"<primitive {name}>"


@pytest.mark.host
@pytest.mark.parametrize("name", sorted(Primitive.registry))
def test_a_primitive_has_no_rule_or_one_for_each_argument(name: str) -> None:
    primitive = Primitive.registry[name]
    if not isinstance(primitive.rules, Each) and primitive.rules:
        arguments = [p for p in primitive.__signature__.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert len(primitive.rules) >= sum(p.default is p.empty for p in arguments)


def test_a_primitive_of_the_users_own(device: str) -> None:
    """Registering an operation is public: forward, rules, and every order follows."""

    def forward(x: Any) -> Any:
        return x * x * x

    name = "cube_of_the_test"
    forward.__name__ = name
    try:
        cube = tg.Primitive(forward, elementwise=True)
        cube.derivatives(lambda g, y, x: g * (3.0 * tg.square(x)))
        x = leaf(device, 2.0)
        (g,) = tg.grad(cube(x), x, create_graph=True)
        (h,) = tg.grad(g, x)
        assert (float(g), float(h)) == (12.0, 12.0)
        array = raw(device, np.ones(2))
        assert not isinstance(cube(array), tg.Tensor)
    finally:
        del Primitive.registry[name]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (lambda g, y, x: tg.sum(g), r"\(\).*\(2,\)"),
        (lambda g, y, x: tg.astype(g, np.float32), r"float32\(2,\).*float64\(2,\)"),
    ],
)
def test_a_wrong_rule_is_caught(rule: Any, says: str, device: str) -> None:
    """A gradient has the shape and dtype of its value, or the walk says whose rule is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tg.tanh, "rules", (rule,))
        patch.setattr(tg.tanh, "elementwise", False)
        x = leaf(device, 1.0, 2.0)
        for create_graph in (False, True):
            with pytest.raises(AssertionError, match=rf"rule of tanh for argument 0 returned .*{says}"):
                tg.grad(tg.tanh(x), x, on(device, np.ones(2)), create_graph=create_graph)
