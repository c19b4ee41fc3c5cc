"""The walk backwards: the bugs that other engines had, as properties; memory; anomalies; no hidden synchronisation."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from arrays import close, host, on, raw
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import CASES, Case, results

import tinygen as tg
from tinygen.primitive import Each, Primitive
from tinygen.record import Node, recording

Operation = Callable[..., Any]


def leaf(device: str, value: Any, dtype: Any = np.float64) -> tg.Tensor:
    """A leaf that requires a gradient."""
    return on(device, np.asarray(value, dtype), requires_grad=True)


def line() -> int:
    """The line that this is called from."""
    return sys._getframe(1).f_lineno


def here(number: int) -> str:
    """How messages show a line of this file."""
    return re.escape(f"{__file__}:{number} in test_")


def count_rules(patch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(primitive, argument) of every derivative rule that runs from now on."""
    calls: list[tuple[str, int]] = []

    def counted(name: str, position: int, rule: Operation) -> Operation:
        def run(*args: Any, **kwargs: Any) -> Any:
            calls.append((name, position))
            return rule(*args, **kwargs)

        return run

    def counted_each(name: str, rule: Operation) -> Operation:
        return lambda position, *args, **kwargs: counted(name, position, rule)(position, *args, **kwargs)

    for primitive in Primitive.registry.values():
        rules = primitive.rules
        if isinstance(rules, Each):
            patch.setattr(primitive, "rules", Each(counted_each(primitive.name, rules.rule)))
        else:
            counting = tuple(counted(primitive.name, position, rule) for position, rule in enumerate(rules))
            patch.setattr(primitive, "rules", counting)
    return calls


@pytest.fixture
def rule_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The rules that run during the test."""
    return count_rules(monkeypatch)


# --- random programs: shared results, dead branches, the same argument twice ---------------------------------------

STEPS: dict[str, tuple[int, Operation]] = {
    "add": (2, lambda a, b: a + b),
    "subtract": (2, lambda a, b: a - 0.5 * b),
    "multiply": (2, lambda a, b: a * b * 0.25),
    "tanh": (1, lambda a: tg.tanh(a)),
    "sine": (1, lambda a: tg.sin(a) * 1.5),
    "square": (1, lambda a: tg.square(tg.tanh(a))),
}
program = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12
)


def run_program(steps: list[tuple[str, int, int]], inputs: list[Any]) -> list[Any]:
    """Every value of a program: each step takes earlier values; many remain unused."""
    known = list(inputs)
    for name, first, second in steps:
        count, operation = STEPS[name]
        known.append(operation(*[known[i % len(known)] for i in (first, second)[:count]]))
    return known


def slopes(steps: list[tuple[str, int, int]], values: list[float]) -> list[float]:
    """The gradient of a program's last value by forward accumulation of (value, derivative) in plain NumPy."""

    def dual(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if name in ("add", "subtract"):
            return a + b if name == "add" else a - 0.5 * b
        if name == "multiply":
            return np.array([a[0] * b[0], a[1] * b[0] + a[0] * b[1]]) * 0.25
        t = np.tanh(a[0])
        slope = 1.0 - t * t
        if name == "tanh":
            return np.array([t, slope * a[1]])
        return (
            np.array([t * t, 2.0 * t * slope * a[1]])
            if name == "square"
            else 1.5 * np.array([np.sin(a[0]), np.cos(a[0]) * a[1]])
        )

    gradient = []
    for wanted in range(len(values)):
        known = [np.array([value, float(i == wanted)]) for i, value in enumerate(values)]
        for name, first, second in steps:
            known.append(dual(name, known[first % len(known)], known[second % len(known)]))
        gradient.append(float(known[-1][1]))
    return gradient


@given(steps=program, values=st.lists(st.floats(-2, 2), min_size=1, max_size=3))
def test_gradients_of_random_programs(steps: list[tuple[str, int, int]], values: list[float], device: str) -> None:
    expected = slopes(steps, values)
    leaves = [leaf(device, value) for value in values]
    output = run_program(steps, leaves)[-1]
    plain = tg.grad(output, leaves, allow_unused=True)
    recorded = tg.grad(output, leaves, allow_unused=True, create_graph=True)
    again = tg.grad(output, leaves, allow_unused=True)  # grad leaves the record alone
    output.backward()
    for want, found, graph, second, x in zip(expected, plain, recorded, again, leaves, strict=True):
        for result in (found, graph, second, x.grad):
            assert result is not None or want == 0.0
            if result is not None:
                # 1e-12: a dozen multiplications, in another order
                np.testing.assert_allclose(float(result), want, rtol=1e-12, atol=1e-12)


@given(steps=program, values=st.lists(st.floats(-2, 2), min_size=2, max_size=3))
def test_dead_branches_change_nothing(steps: list[tuple[str, int, int]], values: list[float], device: str) -> None:
    leaves = [leaf(device, value) for value in values]
    live = tg.sin(leaves[0]) * leaves[1]
    before = [float(g) for g in tg.grad(live, leaves[:2])]
    run_program(steps, [live, *leaves])
    assert [float(g) for g in tg.grad(live, leaves[:2])] == before


# --- cost: each edge once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
def test_diamonds_cost_one_rule_call_an_edge(create_graph: bool, device: str, rule_calls: list[Any]) -> None:
    x = leaf(device, 1.5)
    y = x
    for _ in range(60):  # 2⁶⁰ paths, 120 edges
        y = tg.add(y, y)
    (g,) = tg.grad(y, x, create_graph=create_graph)
    assert float(g) == 2.0**60
    assert rule_calls == [("add", 0), ("add", 1)] * 60


@given(steps=program)
def test_rule_calls_of_random_programs(steps: list[tuple[str, int, int]], device: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        calls = count_rules(patch)
        x = leaf(device, 0.5)
        output = run_program(steps, [x])[-1]
        nodes, pending = set(), [output.node]
        while pending:
            node = pending.pop()
            if node is not None and node not in nodes:
                nodes.add(node)
                pending += [node.args[i].node for i in node.needs]
        edges = sum(len(node.needs) for node in nodes)
        tg.grad(output, x, allow_unused=True)
        assert len(calls) == edges


def test_only_needed_arguments_are_asked(device: str, rule_calls: list[Any]) -> None:
    """A gradient penalty computes no weight gradient in its inner pass."""
    x, w1, w2 = leaf(device, np.ones((2, 3))), leaf(device, np.ones((3, 4))), leaf(device, np.ones((4, 1)))
    score = tg.sum(tg.tanh(x @ w1) @ w2)
    tg.grad(score, x)
    assert sorted(call for call in rule_calls if call[0] == "matmul" and call[1] == 1) == []
    rule_calls.clear()
    tg.grad(score, w2)
    assert rule_calls == [("sum", 0), ("matmul", 1)]  # nothing below w2 is visited
    rule_calls.clear()
    tg.grad(score, w1)
    assert ("matmul", 1) in rule_calls
    assert rule_calls.count(("matmul", 0)) == 1  # through the second product only


def test_walk_stops_at_a_computed_input(device: str, rule_calls: list[Any]) -> None:
    x = leaf(device, 2.0)
    hat = tg.exp(x)
    (g,) = tg.grad(tg.square(hat), hat)
    assert float(g) == 2.0 * float(hat)
    assert rule_calls == [("square", 0)]


def test_constants_are_not_recorded(device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    constant = tg.exp(on(device, np.ones(2)))
    assert constant.node is None
    assert not constant.requires_grad
    assert (x * constant).node.needs == [0]


def test_depth_50000(device: str) -> None:
    x = leaf(device, [1.0, -2.0])
    y = x
    for _ in range(25_000):
        y = y * 1.0 + 0.0001
    (g,) = tg.grad(tg.sum(y), x)
    assert host(g).tolist() == [1.0, 1.0]
    tg.sum(y).backward()
    assert host(x.grad).tolist() == [1.0, 1.0]
    del y  # frees 50,000 nodes without recursion


def test_depth_50000_with_create_graph(device: str) -> None:
    x = leaf(device, 1.0)
    y = x * x
    for _ in range(50_000):
        y = y + 0.0001
    (g,) = tg.grad(y, x, create_graph=True)
    (h,) = tg.grad(g, x)
    assert (float(g), float(h)) == (2.0, 2.0)
    del y, g  # a long graph dropped without a walk


# --- the same argument twice ---------------------------------------------------------------------------------------

_M = np.array([[1.0, 0.5], [-0.25, 2.0]])
TWICE: dict[str, Operation] = {
    "add": tg.add, "subtract": tg.subtract, "multiply": tg.multiply, "divide": tg.divide, "maximum": tg.maximum,
    "minimum": tg.minimum, "logaddexp": tg.logaddexp, "matmul": tg.matmul, "outer": tg.outer,
    "power": lambda a, b: tg.power(tg.square(a) + 1.0, b), "xlogy": lambda a, b: tg.xlogy(a, tg.square(b) + 1.0),
    "where": lambda a, b: tg.where(np_mask(a), a, b), "concatenate": lambda a, b: tg.concatenate([a, b]),
    "stack": lambda a, b: tg.stack([a, b], 1), "einsum": lambda a, b: tg.einsum("ij,ij->i", a, b),
    "solve": tg.linalg.solve, "linear": lambda a, b: tg.linear(a, b), "mse_loss": lambda a, b: tg.mse_loss(a, 2.0 * b),
    "clip": lambda a, b: tg.clip(a, b, 3.0), "index_add": lambda a, b: tg.index_add(a, indices_like(a), b),
    "conv2d": lambda a, b: tg.conv2d(tg.reshape(a, 1, 1, 2, 2), tg.reshape(b, 1, 1, 2, 2), padding=1),
}  # fmt: skip


def np_mask(like: tg.Tensor) -> Any:
    """A mask on the device of a tensor."""
    return raw(like.device, np.array([[True, False], [False, True]]))


def indices_like(like: tg.Tensor) -> Any:
    """Indices on the device of a tensor, one repeated."""
    return raw(like.device, np.array([1, 1]))


@pytest.mark.parametrize("name", TWICE)
def test_one_tensor_in_two_arguments(name: str, device: str) -> None:
    """The gradient of f(x, x) is the sum of those of f(a, b)."""
    x, a, b = leaf(device, _M), leaf(device, _M), leaf(device, _M)
    weights = np.cos(np.arange(host(TWICE[name](a, b)).size)).reshape(TWICE[name](a, b).shape)
    seed = on(device, weights)
    (both,) = tg.grad(tg.sum(TWICE[name](x, x) * seed), x)
    first, second = tg.grad(tg.sum(TWICE[name](a, b) * seed), (a, b))
    close(both, host(first) + host(second))


def test_fan_out(device: str) -> None:
    x = leaf(device, 3.0)
    total = sum(k * x for k in range(1, 101))
    assert float(tg.grad(total, x)[0]) == 5050.0
    total.backward()
    assert float(x.grad) == 5050.0


# --- backward() ----------------------------------------------------------------------------------------------------


def test_gradients_accumulate_in_leaves(device: str) -> None:
    x, y = leaf(device, [1.0, 2.0]), leaf(device, [3.0, 4.0])
    for _ in range(2):
        tg.sum(x * y).backward()
    assert host(x.grad).tolist() == [6.0, 8.0]
    assert host(y.grad).tolist() == [2.0, 4.0]
    first = x.grad
    tg.sum(x).backward()
    assert host(first).tolist() == [6.0, 8.0]  # an older .grad is a value, not a buffer
    assert host(x.grad).tolist() == [7.0, 9.0]
    assert x.grad.node is None
    assert not x.grad.requires_grad


def test_backward_of_a_leaf_and_of_constants_beside_it(device: str) -> None:
    x, constant = leaf(device, 2.0), on(device, np.array(5.0))
    x.backward()
    (x * constant).backward()
    assert float(x.grad) == 6.0
    assert constant.grad is None


def test_second_backward_names_the_operation_and_its_line(device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    y, number = tg.sum(tg.exp(x)), line()
    y.backward()
    with pytest.raises(RuntimeError, match=rf"(sum|exp) at {here(number)}.*freed by an earlier backward\(\).*tg\.grad"):
        y.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward\(\)"):
        tg.grad(y, x)
    assert host(x.grad).tolist() == np.exp([1.0, 2.0]).tolist()


def test_second_backward_through_a_shared_part(device: str) -> None:
    x = leaf(device, 2.0)
    shared, number = x * x, line()
    (shared * 2.0).backward()
    with pytest.raises(RuntimeError, match=rf"multiply at {here(number)}"):
        (shared * 3.0).backward()


def test_backward_with_a_cotangent(device: str) -> None:
    x = leaf(device, [1.0, 2.0, 3.0])
    (x * x).backward(on(device, np.array([1.0, 0.0, -1.0])))
    assert host(x.grad).tolist() == [2.0, 0.0, -6.0]
    (x * x).backward(raw(device, np.array([1.0, 1.0, 1.0])))
    assert host(x.grad).tolist() == [4.0, 4.0, 0.0]


@pytest.mark.parametrize("call", [lambda y, x: y.backward(), lambda y, x: tg.grad(y, x)])
def test_an_output_that_is_no_scalar_needs_a_cotangent(call: Operation, device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"\(2,\).*not a scalar.*\.sum\(\)"):
        call(x * x, x)
    assert x.grad is None


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_is_a_scalar(shape: tuple[int, ...], device: str) -> None:
    x = leaf(device, np.full(shape, 3.0))
    (g,) = tg.grad(x * x, x)
    assert g.shape == shape
    assert float(g) == 6.0


def test_backward_of_what_needs_no_gradient(device: str) -> None:
    with pytest.raises(ValueError, match=r"backward.*does not require a gradient"):
        tg.sum(on(device, np.ones(2))).backward()
    x = leaf(device, [1.0])
    with pytest.raises(ValueError, match="does not require a gradient"):
        tg.sum(tg.sign(x)).backward()


# --- grad() --------------------------------------------------------------------------------------------------------


def test_grad_returns_a_tuple_of_detached_tensors(device: str) -> None:
    x, y = leaf(device, 2.0), leaf(device, 3.0)
    found = tg.grad(x * y, [x, y])
    assert isinstance(found, tuple)
    assert [type(g) for g in found] == [tg.Tensor, tg.Tensor]
    assert not any(g.requires_grad or g.node for g in found)
    assert [float(g) for g in found] == [3.0, 2.0]
    assert isinstance(tg.grad(x * y, x), tuple)
    assert x.grad is None


def test_several_outputs_add_up(device: str) -> None:
    x = leaf(device, 2.0)
    y = x * x
    assert float(tg.grad([y, y * x], x)[0]) == 4.0 + 12.0
    assert float(tg.grad([y, y], x)[0]) == 8.0
    assert float(tg.grad([y, x], x)[0]) == 5.0
    assert float(tg.grad([y * x, y], y)[0]) == 2.0 + 1.0
    assert float(tg.grad(x, x)[0]) == 1.0


def test_one_input_asked_for_twice(device: str) -> None:
    x = leaf(device, 2.0)
    assert [float(g) for g in tg.grad(x * x, [x, x])] == [4.0, 4.0]


def test_inputs_may_be_computed_and_also_inputs_of_each_other(device: str) -> None:
    x = leaf(device, 0.5)
    hat = tg.exp(x)
    y = hat * hat * x
    by_x, by_hat = tg.grad(y, [x, hat])
    np.testing.assert_allclose(float(by_hat), 2.0 * np.exp(0.5) * 0.5, rtol=1e-14)
    np.testing.assert_allclose(float(by_x), np.exp(1.0) * (1.0 + 2.0 * 0.5), rtol=1e-14)  # ∂ along every path


def test_input_that_the_output_does_not_depend_on(device: str) -> None:
    x, other = leaf(device, 2.0), leaf(device, np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"input 1 \(shape \(3, 4\)\).*allow_unused"):
        tg.grad(x * x, [x, other])
    found, none = tg.grad(x * x, [x, other], allow_unused=True)
    assert float(found) == 4.0
    assert none is None


def test_gradient_that_is_zero_is_not_unused(device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    assert host(tg.grad(tg.sum(x * 0.0), x)[0]).tolist() == [0.0, 0.0]


def test_grad_of_what_was_not_recorded(device: str) -> None:
    x, plain = leaf(device, 2.0), on(device, np.array(1.0))
    with pytest.raises(ValueError, match=r"outputs\[0\] .*does not require a gradient"):
        tg.grad(plain * 2.0, x)
    with pytest.raises(ValueError, match=r"inputs\[0\] .*does not require a gradient"):
        tg.grad(x * 2.0, plain)
    with tg.no_grad():
        y = x * 2.0
    with pytest.raises(ValueError, match="does not require a gradient"):
        tg.grad(y, x)
    with pytest.raises(ValueError, match="does not require a gradient"):
        tg.grad(tg.detach(x) * x.detach(), x)
    for bad in ([1.0], None, np.ones(1)):
        with pytest.raises(TypeError, match="grad"):
            tg.grad(x * 2.0, bad)
        with pytest.raises(TypeError, match="grad"):
            tg.grad(bad, x)


def test_grad_works_inside_no_grad(device: str) -> None:
    x = leaf(device, 3.0)
    y = x * x
    with tg.no_grad():
        (g,) = tg.grad(y, x)
        assert float(g) == 6.0
        with pytest.raises(RuntimeError, match=r"create_graph=True inside no_grad\(\)"):
            tg.grad(y, x, create_graph=True)
        y.backward()
    assert float(x.grad) == 6.0


def test_a_walk_without_create_graph_records_nothing(device: str) -> None:
    x = leaf(device, 3.0)
    y = x * tg.sin(x)
    before = live()
    (g,) = tg.grad(y, x)
    assert live() == before + 1
    assert g.node is None


@pytest.mark.parametrize(
    ("seed", "error", "says"),
    [
        (np.ones(3), ValueError, r"float64\[2\].*float64\[3\]"),
        (np.ones((2, 1)), ValueError, r"float64\[2\].*float64\[2,1\]"),
        (np.ones(2, np.float32), ValueError, r"float64\[2\].*float32\[2\]"),
        (np.ones(2, np.int64), ValueError, r"float64\[2\].*int64\[2\]"),
        ([np.ones(2), np.ones(2)], ValueError, "1 outputs need as many cotangents, got 2"),
        ([], ValueError, "1 outputs need as many cotangents, got 0"),
    ],
)
def test_wrong_cotangents(seed: Any, error: type[Exception], says: str, device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    given_here = [raw(device, s) for s in seed] if isinstance(seed, list) else raw(device, seed)
    with pytest.raises(error, match=f"grad.*{says}"):
        tg.grad(x * x, x, given_here)


def test_seed_as_tensor_array_and_list(device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    seed = np.array([1.0, -1.0])
    for weights in (on(device, seed), raw(device, seed), [on(device, seed)], [raw(device, seed)], (raw(device, seed),)):
        assert host(tg.grad(x * x, x, weights)[0]).tolist() == [2.0, -4.0]


def test_a_seed_may_be_differentiated(device: str) -> None:
    x, v = leaf(device, [1.0, 2.0]), leaf(device, [0.5, 0.25])
    (pulled,) = tg.grad(x * x * x, x, v, create_graph=True)
    by_v, by_x = tg.grad(tg.sum(pulled), (v, x))
    assert host(by_v).tolist() == [3.0, 12.0]
    assert host(by_x).tolist() == [3.0, 3.0]


def test_seeds_are_not_written(device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    seed = raw(device, np.array([1.0, 2.0]))
    tg.grad([x * x, x * x, x], x, [seed, seed, seed])
    (x + x).backward(seed)
    assert host(seed).tolist() == [1.0, 2.0]


def test_release(device: str) -> None:
    x = leaf(device, 3.0)
    y = x * x
    assert float(tg.grad(y, x, release=True)[0]) == 6.0
    with pytest.raises(RuntimeError, match="freed"):
        tg.grad(y, x)
    with pytest.raises(ValueError, match=r"release.*create_graph"):
        tg.grad(x * x, x, create_graph=True, release=True)


@pytest.mark.parametrize("free", [lambda y, x: tg.grad(y, x, release=True), lambda y, x: y.backward()])
def test_release_frees_while_the_output_lives(free: Operation, device: str) -> None:
    x = leaf(device, [1.0, 2.0])
    middle = tg.exp(x)
    gone = weakref.ref(middle.node)
    y = tg.sum(middle * middle)
    del middle
    assert gone() is not None
    free(y, x)
    assert gone() is None
    assert y.node is not None


# --- higher order --------------------------------------------------------------------------------------------------


def test_orders_of_a_power(device: str) -> None:
    x = leaf(device, 2.0)
    value, coefficient = x**5, 1.0
    for order in range(5):
        (value,) = tg.grad(value, x, create_graph=True)
        coefficient *= 5 - order
        assert float(value) == coefficient * 2.0 ** (4 - order)


def test_inner_derivative_of_an_outer_variable_is_constant(device: str) -> None:
    """Perturbation confusion: d/dx [x · d/dy (x + y)] = 1, and d/dx [x · d/dy (x·y)] = 2x."""
    x = leaf(device, 3.0)
    y = leaf(device, 2.0)
    (inner,) = tg.grad(x + y, y, create_graph=True)
    assert float(tg.grad(x * inner, x)[0]) == 1.0
    (inner,) = tg.grad(x * y, y, create_graph=True)
    assert float(tg.grad(x * inner, x)[0]) == 6.0
    same = x * 1.0  # the inner variable is computed from the outer one, as in a nested function
    (inner,) = tg.grad(same * x, same, create_graph=True)
    assert float(tg.grad(x * inner, x)[0]) == 6.0


def test_second_gradient_through_a_gradient_twice(device: str) -> None:
    x = leaf(device, [0.5, -1.0])
    (g,) = tg.grad(tg.sum(tg.exp(x) * x), x, create_graph=True)
    loss = tg.sum(g * g) + tg.sum(x)
    (second,) = tg.grad(loss, x)
    v = np.array([0.5, -1.0])
    np.testing.assert_allclose(host(second), 2.0 * np.exp(v) * (1 + v) * np.exp(v) * (2 + v) + 1.0, rtol=1e-14)


def test_create_graph_result_that_is_constant(device: str) -> None:
    """The gradient of a linear function is recorded as a constant: its own gradient is refused or None, not wrong."""
    x = leaf(device, 2.0)
    (g,) = tg.grad(3.0 * x, x, create_graph=True)
    assert float(g) == 3.0
    if g.requires_grad:
        assert tg.grad(g, x, allow_unused=True)[0] in (None,) or float(tg.grad(g, x)[0]) == 0.0
    else:
        with pytest.raises(ValueError, match="does not require a gradient"):
            tg.grad(g, x, allow_unused=True)


# --- values at the time of recording -------------------------------------------------------------------------------


def test_old_graph_after_an_assign_gives_the_gradient_at_recorded_values(device: str) -> None:
    x, w = leaf(device, [[1.0, 2.0]]), leaf(device, [[3.0, 5.0], [4.0, 6.0]])
    y = tg.sum(tg.linear(x, w) * tg.linear(x, w))
    before = [host(g) for g in tg.grad(y, (x, w))]
    w.assign(raw(device, np.zeros((2, 2))))
    x.assign(raw(device, np.zeros((1, 2))))
    for was, now in zip(before, tg.grad(y, (x, w)), strict=True):
        np.testing.assert_array_equal(host(now), was)
    y.backward()
    np.testing.assert_array_equal(host(w.grad), before[1])


def test_create_graph_after_an_assign_raises(device: str) -> None:
    w = leaf(device, [1.0, 2.0])
    y, number = tg.sum(w * w), line()
    w.assign(raw(device, np.array([5.0, 6.0])))
    with pytest.raises(RuntimeError, match=rf"\(2,\).*multiply.*{here(number)}.*rebound"):
        tg.grad(y, w, create_graph=True)
    (g,) = tg.grad(tg.sum(w * w), w, create_graph=True)
    assert host(g).tolist() == [10.0, 12.0]


def test_create_graph_ignores_rebound_tensors_that_are_not_visited(device: str) -> None:
    """A rebound tensor on no path to the inputs, or one without gradient, keeps its recorded value."""
    w, x = on(device, np.array([1.0, 2.0])), leaf(device, [3.0, 4.0])
    y = tg.sum(w * x * x)
    w.assign(raw(device, np.zeros(2)))
    (g,) = tg.grad(y, x, create_graph=True)
    assert host(g).tolist() == [6.0, 16.0]
    assert host(tg.grad(tg.sum(g), x)[0]).tolist() == [2.0, 4.0]


CALLERS_ARRAY: dict[str, Operation] = {
    "multiply": lambda x, a: x * a,
    "reflected": lambda x, a: a * x,
    "matmul": lambda x, a: x @ a,
    "divide": lambda x, a: x / a,
    "power": lambda x, a: tg.square(x) ** a,
    "where": lambda x, a: tg.where(a > 1.0, x * x, x) * a,
    "linear": lambda x, a: tg.linear(x, a),
    "clip": lambda x, a: tg.clip(x, -a, a) * a,
    "solve": lambda x, a: tg.linalg.solve(a, x),
    "einsum": lambda x, a: tg.einsum("ij,jk->ik", x, a),
    "conv2d": lambda x, a: tg.conv2d(tg.reshape(x, 1, 1, 2, 2), tg.reshape(a, 1, 1, 2, 2)),
    "by keyword": lambda x, a: tg.multiply(x, x2=a),
    "mse_loss": lambda x, a: tg.mse_loss(x, a),
}


@pytest.mark.parametrize("name", CALLERS_ARRAY)
def test_a_callers_array_may_be_written_after_recording(name: str, device: str) -> None:
    x = leaf(device, _M)
    array = raw(device, np.array([[2.0, 1.0], [0.5, 3.0]]))
    y = tg.sum(CALLERS_ARRAY[name](x, array) * 1.5)
    (before,) = tg.grad(y, x)
    array[...] = 77.0
    for create_graph in (False, True):
        np.testing.assert_array_equal(host(tg.grad(y, x, create_graph=create_graph)[0]), host(before))


INDEX_ARRAY: dict[str, Operation] = {
    "getitem": lambda x, i: x[i],
    "in a tuple": lambda x, i: x[:, i],
    "take": lambda x, i: tg.take(x, i, axis=1),
    "flat take": lambda x, i: tg.take(x, i),
    "take_along_axis": lambda x, i: tg.take_along_axis(x, tg.reshape(i, 2, 1), 1),
    "embedding": lambda x, i: tg.embedding(i, x),
    "index_add": lambda x, i: tg.index_add(x, i, x * x),
    "index_add of values": lambda x, i: tg.index_add(tg.zeros_like(x), i, x),
    "cross_entropy": lambda x, i: tg.cross_entropy(x, i),
    "mask": lambda x, i: tg.where(tg.reshape(i, 2, 1) == 0, x, 2.0 * x),
}


@pytest.mark.parametrize("name", INDEX_ARRAY)
def test_a_callers_index_may_be_written_after_recording(name: str, device: str) -> None:
    x = leaf(device, _M)
    index = raw(device, np.array([1, 0]))
    y = INDEX_ARRAY[name](x, index)
    y = tg.sum(y * on(device, np.cos(np.arange(host(y).size)).reshape(y.shape)))
    (before,) = tg.grad(y, x)
    index[...] = 0
    np.testing.assert_array_equal(host(tg.grad(y, x)[0]), host(before))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operations_write_neither_their_operands_nor_the_cotangent(case: Case, device: str) -> None:
    tensors = [on(device, operand, requires_grad=case.flows and operand.dtype.kind == "f") for operand in case.operands]
    outputs = results(case.call(*tensors))
    copies = [host(output).copy() for output in outputs]
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    if leaves:
        outs = [output for output in outputs if output.requires_grad]
        seeds = [on(device, np.full(output.shape, 0.5)) for output in outs]
        first = tg.grad(outs, leaves, seeds)
        kept = [host(g).copy() for g in first]
        tg.grad(outs, leaves, seeds, create_graph=True)
        assert all((host(seed) == 0.5).all() for seed in seeds)
        for g, values in zip(first, kept, strict=True):
            np.testing.assert_array_equal(host(g), values)
    case.call(*[raw(device, operand) for operand in case.operands])
    for tensor, operand in zip(tensors, case.operands, strict=True):
        np.testing.assert_array_equal(host(tensor), operand)
    for output, values in zip(outputs, copies, strict=True):
        np.testing.assert_array_equal(host(output), values)


@pytest.mark.parametrize("case", [case for case in CASES if case.flows], ids=str)
def test_every_differentiable_operation_records(case: Case, device: str) -> None:
    """Each floating operand gets a gradient, from every output that can carry one, at first and second order."""
    leaves = [on(device, operand, requires_grad=operand.dtype.kind == "f") for operand in case.operands]
    outputs = [output for output in results(case.call(*leaves)) if output.requires_grad]
    assert outputs
    wanted = [x for x in leaves if x.requires_grad]
    found = tg.grad(tg.sum(sum(tg.sum(y * y) for y in outputs)), wanted, create_graph=True)
    for x, g in zip(wanted, found, strict=True):
        assert (g.shape, g.dtype, g.device) == (x.shape, x.dtype, x.device)
        assert g.requires_grad
    tg.grad(sum(tg.sum(g) for g in found), wanted, allow_unused=True)


@pytest.mark.parametrize("case", [case for case in CASES if not case.flows], ids=str)
def test_operations_without_a_derivative_give_constants(case: Case, device: str) -> None:
    leaves = [on(device, operand, requires_grad=operand.dtype.kind == "f") for operand in case.operands]
    if case.name in ("linalg.eigh", "linalg.svd", "linalg.qr"):
        with pytest.raises(ValueError, match="derivative"):
            case.call(*leaves)
        return
    outputs = results(case.call(*leaves))
    assert not any(output.requires_grad for output in outputs)


# --- acid: indices, ties, traps ------------------------------------------------------------------------------------


@given(rows=st.lists(st.integers(0, 3), max_size=8))
def test_repeated_indices_accumulate(rows: list[int], device: str) -> None:
    index = raw(device, np.array(rows, np.int64))
    for pick in (lambda x: x[index], lambda x: tg.take(x, index, axis=0), lambda x: tg.embedding(index, x)):
        x = leaf(device, np.ones((4, 2)))
        picked = pick(x)
        weights = np.arange(1.0, 1.0 + picked.size).reshape(picked.shape)
        (g,) = tg.grad(picked, x, on(device, weights))
        expected = np.zeros((4, 2))
        np.add.at(expected, np.array(rows, int), weights)
        np.testing.assert_array_equal(host(g), expected)


@given(values=st.lists(st.integers(-2, 2), min_size=1, max_size=6))
def test_ties_obey_euler(values: list[int], device: str) -> None:
    """max and min are homogeneous: ⟨∇f(x), x⟩ = f(x), also where several elements attain them."""
    for operation in (tg.max, tg.min):
        x = leaf(device, values)
        y = operation(x)
        np.testing.assert_allclose(float(np.dot(host(tg.grad(y, x)[0]), host(x))), float(y), rtol=1e-14)


def test_traps_at_zero(device: str) -> None:
    x = leaf(device, [0.0, 4.0])
    y = tg.sum(tg.where(x > 0.0, tg.sqrt(x), 0.0))
    (g,) = tg.grad(y, x, create_graph=True)
    assert host(g).tolist() == [0.0, 0.25]
    assert np.isfinite(host(tg.grad(tg.sum(g), x)[0])).all()
    zero = leaf(device, np.zeros(3))
    assert host(tg.grad(tg.linalg.norm(zero), zero)[0]).tolist() == [0.0] * 3
    far = leaf(device, [-1000.0, 1000.0])
    assert host(tg.grad(tg.sum(tg.sigmoid(far)), far)[0]).tolist() == [0.0, 0.0]
    assert host(tg.grad(tg.sum(zero**2), zero)[0]).tolist() == [0.0] * 3
    assert host(tg.grad(tg.sum(zero**1), zero)[0]).tolist() == [1.0] * 3


@given(seed=st.integers(0, 999), n=st.integers(2, 5))
@settings(max_examples=30)
def test_det_at_singular_matrices_has_the_cofactor_gradient(seed: int, n: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    a[:, -1] = a[:, :-1] @ rng.normal(size=n - 1)  # rank n − 1
    cofactors = np.array([
        [(-1.0) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(n)] for i in range(n)
    ])  # fmt: skip
    x = leaf(device, a)
    np.testing.assert_allclose(host(tg.grad(tg.linalg.det(x), x)[0]), cofactors, rtol=1e-10, atol=1e-10)


# --- memory --------------------------------------------------------------------------------------------------------


def live() -> int:
    """How many tensors and nodes there are (the collector is off: whatever is in a cycle counts)."""
    return sum(isinstance(found, (tg.Tensor, Node)) for found in gc.get_objects())


def network(device: str) -> tuple[list[tg.Tensor], Callable[[], tg.Tensor]]:
    """Parameters and loss of a small network with most kinds of operations."""
    rng = np.random.default_rng(0)
    w1, b1, w2 = (leaf(device, rng.normal(size=shape)) for shape in ((4, 3), (4,), (2, 4)))
    x, labels = on(device, rng.normal(size=(5, 3))), raw(device, np.array([0, 1, 1, 0, 1]))

    def loss() -> tg.Tensor:
        hidden = tg.tanh(tg.linear(x, w1, b1))
        normed = (hidden - hidden.mean(0)) / (hidden.std(0) + 1e-3)
        return tg.cross_entropy(tg.linear(normed, w2), labels)

    return [w1, b1, w2], loss


def step_backward(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    loss.backward()


def step_grad(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    tg.grad(loss, parameters)


def step_create_graph(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    gradients = tg.grad(loss, parameters, create_graph=True)
    tg.grad(sum(tg.sum(g * g) for g in gradients), parameters)


def step_penalty_backward(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    gradients = tg.grad(loss, parameters, create_graph=True)
    (loss + sum(tg.sum(g * g) for g in gradients)).backward()


def step_forward_only(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    pass


def step_error_in_forward(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    with pytest.raises(ValueError, match="add"):
        tg.exp(loss + 1.0) + on(loss.device, np.ones((2, 3))) + on(loss.device, np.ones(7))


def step_error_in_a_rule(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tg.tanh, "rules", (lambda g, y, x: exec("raise KeyError('in a rule')"),))
        for create_graph in (False, True):
            with pytest.raises(KeyError, match="in a rule"):
                tg.grad(loss, parameters, create_graph=create_graph)
        with pytest.raises(KeyError, match="in a rule"):
            loss.backward()


def step_anomaly(loss: tg.Tensor, parameters: list[tg.Tensor]) -> None:
    with tg.detect_anomaly(), pytest.raises(FloatingPointError):
        tg.log(loss * 0.0)


STEP_KINDS = [
    step_backward, step_grad, step_create_graph, step_penalty_backward, step_forward_only, step_error_in_forward,
    step_error_in_a_rule, step_anomaly,
]  # fmt: skip


@pytest.mark.parametrize("step", STEP_KINDS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_reference_counting_frees_every_intermediate(step: Callable[..., None], device: str) -> None:
    assert not gc.isenabled()
    parameters, loss = network(device)
    for parameter in parameters:
        parameter.grad = on(device, np.zeros(parameter.shape))
    before = live()
    for _ in range(3):
        step(loss(), parameters)
        assert live() == before


def test_arrays_are_freed_too(device: str) -> None:
    """Neither a closure nor a traceback keeps the raw arrays of a step."""
    x = leaf(device, np.ones(3))
    y = tg.exp(x)
    kept = weakref.ref(y._data)
    (g,) = tg.grad(tg.sum(y * y), x, create_graph=True)
    del y
    assert kept() is not None  # the gradient's record needs it
    del g
    assert kept() is None


# --- detect_anomaly ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value", "ignore:overflow")
class TestAnomalies:
    """The first operation that makes a NaN or an infinity is named, with the user's line."""

    def test_forward(self, device: str) -> None:
        x = leaf(device, [1.0, -1.0])
        with tg.detect_anomaly():
            y, number = tg.exp(x), line() + 2
            with pytest.raises(FloatingPointError, match=rf"log made NaN at {here(number)}.*\(2,\)"):
                tg.sum(tg.log(x) + y)

    def test_forward_of_constants_too(self, device: str) -> None:
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="divide made infinity"):
            on(device, np.ones(2)) / on(device, np.zeros(2))

    def test_infinity_then_nan(self, device: str) -> None:
        """inf − inf makes a NaN, though an infinity was there before."""
        x = on(device, np.array([np.inf]))
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="subtract made NaN"):
            tg.exp(x) - x

    def test_what_came_in_is_not_blamed_on_the_operation(self, device: str) -> None:
        x = leaf(device, [np.nan, np.inf, 1.0])
        with tg.detect_anomaly():
            y = tg.sum(x * 2.0 + 1.0)
            y.backward()
        assert host(x.grad).tolist() == [2.0, 2.0, 2.0]

    def test_backward(self, device: str) -> None:
        x = leaf(device, [0.0, 4.0])
        with tg.detect_anomaly():
            y, number = tg.sqrt(x), line()
            loss = tg.sum(y)
            with pytest.raises(FloatingPointError, match=rf"derivative of sqrt made infinity at {here(number)}"):
                loss.backward()

    def test_grad(self, device: str) -> None:
        x = leaf(device, [0.0, 4.0])
        loss, number = tg.sum(tg.sqrt(x)), line()
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=rf"derivative of sqrt.* at {here(number)}"):
            tg.grad(loss, x)

    def test_second_backward(self, device: str) -> None:
        """x^1.5 has the finite slope 0 at 0 and an infinite second derivative there."""
        x = leaf(device, [0.0, 1.0])
        y, number = tg.power(x, 1.5), line()
        (g,) = tg.grad(tg.sum(y), x, create_graph=True)
        assert host(g).tolist() == [0.0, 1.5]
        says = rf"made infinity at .*in the derivative of power, {here(number)}"
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=says):
            tg.grad(tg.sum(g), x)

    def test_recorded_backward(self, device: str) -> None:
        """The walk with create_graph runs operations: the anomaly is in one of them."""
        x = leaf(device, [0.0, 4.0])
        y, number = tg.log(x * 1.0), line()
        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=rf"made infinity at .*{here(number)}"):
            tg.grad(tg.sum(y), x, create_graph=True)

    def test_recorded_backward_without_anomaly(self, device: str) -> None:
        x = leaf(device, [1.0, 4.0])
        with tg.detect_anomaly():
            (g,) = tg.grad(tg.sum(tg.log(x)), x, create_graph=True)
            assert host(tg.grad(tg.sum(g), x)[0]).tolist() == [-1.0, -0.0625]

    def test_off_again_afterwards(self, device: str) -> None:
        with pytest.raises(FloatingPointError), tg.detect_anomaly():
            tg.log(on(device, np.array(-1.0)))
        assert np.isnan(float(tg.log(on(device, np.array(-1.0)))))

    def test_inside_a_function_of_the_users(self, device: str) -> None:
        def inner(x: Any) -> Any:
            return tg.log(x)

        with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=f":{line() - 2} in inner"):
            inner(on(device, np.array(-1.0)))


def test_an_error_in_a_walk_leaves_the_mode_as_it_was(device: str) -> None:
    x = leaf(device, 2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tg.exp, "rules", (lambda g, y, x: exec("raise KeyError"),))
        with tg.no_grad(), recording():
            y = tg.exp(x)
            with pytest.raises(KeyError):
                tg.grad(y, x, create_graph=True)
        assert (x * x).node is not None
    with tg.no_grad():
        assert (x * x).node is None


# --- no hidden synchronisation -------------------------------------------------------------------------------------


def mlp(device: str) -> tuple[list[tg.Tensor], Callable[[], tg.Tensor]]:
    """A perceptron with a penalty on the gradient of its output: parameters and loss."""
    rng = np.random.default_rng(0)
    w1, b1, w2, b2 = (leaf(device, rng.normal(size=s), np.float32) for s in ((8, 3), (8,), (2, 8), (2,)))
    x = on(device, rng.normal(size=(5, 3)).astype(np.float32), requires_grad=True)
    labels = raw(device, np.array([0, 1, 1, 0, 1]))

    def loss() -> tg.Tensor:
        logits = tg.linear(tg.relu(tg.linear(x, w1, b1)), w2, b2)
        (slope,) = tg.grad(tg.sum(tg.logsumexp(logits, axis=1)), x, create_graph=True)
        penalty = tg.mean(tg.square(tg.linalg.norm(slope, axis=1) - 1.0))
        return tg.cross_entropy(logits, labels) + 10.0 * penalty + 0.1 * tg.mean(tg.softmax(logits)[:, 0])

    return [w1, b1, w2, b2], loss


def convnet(device: str) -> tuple[list[tg.Tensor], Callable[[], tg.Tensor]]:
    """A critic of images with strides, pooling, resampling, normalisation, and a gradient penalty."""
    rng = np.random.default_rng(0)
    w1, b1, w2, w3 = (
        leaf(device, rng.normal(size=s), np.float32) for s in ((4, 2, 3, 3), (4,), (4, 4, 3, 3), (4, 2, 2, 2))
    )
    x = on(device, rng.normal(size=(2, 2, 8, 8)).astype(np.float32), requires_grad=True)
    index = raw(device, np.array([1, 1, 0]))

    def loss() -> tg.Tensor:
        h = tg.leaky_relu(tg.conv2d(x, w1, b1, stride=2, padding=1), 0.2)
        h = (h - tg.mean(h, axis=(0, 2, 3), keepdims=True)) / tg.std(h, axis=(0, 2, 3), keepdims=True)
        h = tg.conv2d(tg.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1))), w2)
        up = tg.conv_transpose2d(h, w3, stride=2)
        score = (
            tg.sum(tg.max_pool2d(h, 2))
            + tg.mean(tg.avg_pool2d(tg.interpolate(up, 2, "bilinear"), 3, 2, 1))
            + tg.sum(up[index])
        )
        (slope,) = tg.grad(score, x, create_graph=True)
        return score + tg.mean(tg.square(tg.sqrt(tg.sum(slope * slope, axis=(1, 2, 3)) + 1e-12) - 1.0))

    return [w1, b1, w2, w3], loss


@pytest.mark.parametrize("model", [mlp, convnet])
def test_a_training_step_does_not_synchronise(model: Callable[..., Any], device: str) -> None:
    parameters, loss = model(device)
    with no_sync():
        for _ in range(2):
            value = loss()
            gradients = tg.grad(value, parameters, release=True)
            for parameter, g in zip(parameters, gradients, strict=True):
                parameter.assign(parameter.data - 0.01 * g.data, copy=False)
            loss().backward()
    assert np.isfinite(float(value))
    assert all(parameter.grad.dtype == np.float32 for parameter in parameters)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(device: str) -> Iterator[None]:
    """No test may leave recording off, or a default dtype behind."""
    yield
    assert (leaf(device, 1.0) * 2.0).requires_grad
    assert tg.default_dtype() == np.float32
