"""explain: scripts that run without tinygen and compute the same numbers; draw and recorded: the whole record."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import host, on, raw
from cases import CASES
from checks import Probe, ladder, leaves

import tinygen as tg
from tinygen.explain import recorded

# The script makes the calls of the recorded walk in the same order: only the summation in the double, which CuPy's
# sums in no fixed order are played by, and NumPy's use of SIMD for other memory layouts round differently.
SAME = {"rtol": 1e-11, "atol": 1e-12}


def run(script: str) -> tuple[Any, tuple[Any, ...]]:
    """What a script prints when it is run as a program, as objects; tinygen is out of its reach."""
    printed: list[Any] = []
    hidden = {name: sys.modules[name] for name in sys.modules if name.partition(".")[0] == "tinygen"}
    try:
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # an import raises
        with np.errstate(all="ignore"):
            exec(compile(script, "<script>", "exec"), {"__name__": "__main__", "print": printed.append})
    finally:
        sys.modules.update(hidden)
    (result,) = printed
    return result


def agree(loss: tg.Tensor, inputs: list[tg.Tensor]) -> None:
    """The script of a loss gives its value and its gradients, with their dtypes and shapes."""
    value, gradients = run(tg.explain(loss, inputs))
    np.testing.assert_allclose(np.asarray(value), host(loss), **SAME, strict=True)
    for found, exact in zip(gradients, tg.grad(loss, inputs), strict=True):
        np.testing.assert_allclose(np.asarray(found), host(exact), **SAME, strict=True)


# --- the script --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", sorted({case.operation for case in CASES}))
def test_every_operation_and_its_first_and_second_derivative(operation: str, device: str) -> None:
    """φ₁ is a function of the operation's result, φ₂ of its derivative (``checks.ladder``): explain writes ∇φ₁, ∇φ₂."""
    failures = []
    for case in (case for case in CASES if case.operation == operation):
        inputs = leaves(case.arrays(), device)
        for value, _ in ladder(case.function, inputs, Probe(case.seed), 1):
            free = [x for x in inputs if x.requires_grad]
            found = tg.grad(value, free, allow_unused=True) if value.requires_grad else [None] * len(free)
            used = [x for x, slope in zip(free, found, strict=True) if slope is not None]
            if used:
                try:
                    agree(value, used)
                except Exception as error:
                    failures.append(f"{case.name}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def network(device: str) -> tuple[tg.Tensor, list[tg.Tensor]]:
    """A loss with convolution, indexing, a solve, a mask, constants of the caller's, and a gradient penalty."""
    rng = np.random.default_rng(0)
    x, w, a = (on(device, rng.normal(size=shape), requires_grad=True) for shape in ((2, 1, 5, 5), (3, 1, 3, 3), (3, 3)))
    features = tg.relu(tg.conv2d(x, w, stride=2, padding=1))[raw(device, np.array([1, 0, 1]))]
    scores = tg.linalg.solve(a + 4.0 * tg.eye(3, dtype=a.dtype), tg.mean(features, axis=(2, 3)).T)
    loss = tg.cross_entropy(scores.T, raw(device, np.array([2, 0, 1]))) + tg.linalg.slogdet(a)[1] / 10
    (slope,) = tg.grad(loss, x, create_graph=True)
    return loss + tg.mean(slope * slope * raw(device, np.arange(25.0).reshape(5, 5))), [x, w, a]


def test_a_network_with_a_gradient_penalty(device: str) -> None:
    agree(*network(device))


def test_float32_and_weak_numbers(device: str) -> None:
    """A script keeps float32: constants stay Python numbers."""
    x = on(device, np.linspace(0.5, 2.0, 20, dtype=np.float32), requires_grad=True)
    loss = tg.mean(2.5 * x**3 / 7 + tg.logsumexp(x)) + tg.sum(x * on(device, np.arange(20)))
    value, (slope,) = run(tg.explain(loss, x))
    assert value.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(slope, host(tg.grad(loss, x)[0]), rtol=1e-6)  # some roundings in float32


@pytest.mark.parametrize("values", [[], [1.5, -0.0, 1e-310], [np.inf, 2.0], list(np.linspace(0.1, 1.0, 40))])
def test_values_are_written_exactly(values: list[float], device: str) -> None:
    x = on(device, np.array(values).reshape(-1, 1), requires_grad=True)
    _, (slope,) = run(tg.explain(tg.sum(x * x), x))
    np.testing.assert_array_equal(slope, 2.0 * np.array(values).reshape(-1, 1), strict=True)


def test_gradient_is_a_function_of_other_values_too(device: str) -> None:
    """``gradient(x, seed)`` of a script that is imported computes anew, masks included."""
    x = on(device, np.array([1.0, -2.0]), requires_grad=True)
    script: dict[str, Any] = {"__name__": "script"}
    exec(tg.explain(tg.sum(tg.relu(x) ** 2), x), script)
    value, (slope,) = script["gradient"](np.array([-3.0, 4.0]), np.array(1.0))
    assert (float(value), slope.tolist()) == (16.0, [0.0, 8.0])


def test_the_users_lines_stand_beside_the_operations(device: str) -> None:
    x = on(device, np.array([1.0, 2.0]), requires_grad=True)
    line = sys._getframe().f_lineno + 1
    y = tg.sum(tg.sin(x))
    script = tg.explain(y, x)
    assert re.search(rf"np\.sin\(x1\)  # float64\[2\] .*test_explain\.py:{line} in test_the_users", script)
    assert re.search(rf"np\.cos\(x1\).*in the derivative of sin, .*test_explain\.py:{line} in ", script)


@pytest.mark.host
def test_a_script_is_a_program_of_its_own(tmp_path: Path) -> None:
    """In another process, in another folder, in isolation, without tinygen: it prints what explain's caller has."""
    loss, inputs = network("cpu")
    program = tmp_path / "derivative.py"
    program.write_text(
        "import sys, numpy\nsys.modules['tinygen'] = None\nnumpy.set_printoptions(threshold=10**6, precision=17)\n"
        + f"exec(compile({tg.explain(loss, inputs)!r}, 'script', 'exec'))\n"
        + "assert not any(name.startswith('tinygen.') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", program], capture_output=True, text=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    value, gradients = eval(done.stdout, {"np": np, "array": np.array, "float64": np.float64})
    np.testing.assert_allclose(value, host(loss), **SAME)
    for found, exact in zip(gradients, tg.grad(loss, inputs), strict=True):
        np.testing.assert_allclose(found, host(exact), **SAME)


def test_explain_leaves_the_record_as_it_was(device: str) -> None:
    loss, inputs = network(device)
    first, second = tg.explain(loss, inputs), tg.explain(loss, inputs)
    assert first == second
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed by .*backward\(\)"):
        tg.explain(loss, inputs)
    with pytest.raises(RuntimeError, match=r"freed by .*backward\(\)"):
        tg.draw(loss)


def test_explain_refuses_what_grad_refuses(device: str) -> None:
    x, y = (on(device, np.ones(2), requires_grad=True) for _ in range(2))
    for call, says in (
        (lambda: tg.explain(x * x, x), "not a scalar"),
        (lambda: tg.explain(tg.sum(x), y), "do not depend on input 0"),
        (lambda: tg.explain(tg.sum(on(device, np.ones(2))), x), "does not require a gradient"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


# --- the picture and the list ------------------------------------------------------------------------------------

DECLARED = re.compile(r'  (n\d+)(?:\(\["([^"]+)"\]\)|\["([^"]+)"\])')
ARROW = re.compile(r"  (n\d+) --> (n\d+)")


def parsed(text: str) -> tuple[dict[str, str], dict[str, str], list[tuple[str, str]]]:
    """Leaves, operations and arrows of a flowchart; every line must be one of them and use declared names only."""
    head, *lines = text.splitlines()
    assert head == "flowchart LR"
    leaves, operations, arrows = {}, {}, []
    for line in lines:
        if declared := DECLARED.fullmatch(line):
            name, leaf, operation = declared.groups()
            assert name not in leaves | operations
            (leaves if leaf else operations)[name] = leaf or operation
        else:
            arrow = ARROW.fullmatch(line)
            assert arrow, f"not Mermaid: {line!r}"
            assert set(arrow.groups()) <= leaves.keys() | operations.keys()
            arrows.append(arrow.groups())
    return leaves, operations, arrows


@pytest.mark.parametrize("case", CASES[::23], ids=lambda case: case.name)
def test_draw_shows_every_node_and_every_edge(case: Any, device: str) -> None:
    _, (value, _), _ = ladder(case.function, leaves(case.arrays(), device), Probe(case.seed), 2)  # with a derivative
    nodes = recorded(value)
    shown_leaves, operations, arrows = parsed(tg.draw(value))
    made = [f"{node.primitive.name} {node.output.dtype}[{','.join(map(str, node.output.shape))}]" for node in nodes]
    assert list(operations.values()) == made
    assert len(arrows) == sum(isinstance(arg, tg.Tensor) for node in nodes for arg in node.args)
    inputs = {id(arg) for node in nodes for arg in node.args if isinstance(arg, tg.Tensor) and arg.node is None}
    assert len(shown_leaves) == len(inputs)
    assert {source for source, _ in arrows} >= shown_leaves.keys()


def test_draw_of_a_small_record(device: str) -> None:
    x, c = on(device, np.ones((2, 3)), requires_grad=True), on(device, np.ones(3))
    assert tg.draw(tg.sum(x * x + c)).splitlines() == [
        "flowchart LR",
        '  n0(["float64[2,3] requires_grad"])',
        '  n1["multiply float64[2,3]"]',
        "  n0 --> n1",
        "  n0 --> n1",
        '  n2(["float64[3]"])',
        '  n3["add float64[2,3]"]',
        "  n1 --> n3",
        "  n2 --> n3",
        '  n4["sum float64[]"]',
        "  n3 --> n4",
    ]


def test_draw_of_a_leaf(device: str) -> None:
    leaves, operations, arrows = parsed(tg.draw(on(device, np.ones(2), requires_grad=True)))
    assert (list(leaves.values()), operations, arrows) == (["float64[2] requires_grad"], {}, [])


def test_recorded_lists_each_node_once_oldest_first(device: str) -> None:
    """Masks, which no gradient flows through, are in the record too."""
    x = on(device, np.ones(2), requires_grad=True)
    a = x * 2.0
    b, c = tg.where(a > 1.0, a, x), tg.exp(a)
    assert [node.primitive.name for node in recorded(b, c, a)] == ["multiply", "greater", "where", "exp"]
    assert [node.sequence for node in recorded(c, b)] == sorted(node.sequence for node in recorded(b, c))
    assert recorded(x) == []


def test_recorded_is_not_limited_by_depth(device: str) -> None:
    x = on(device, np.ones(1), requires_grad=True)
    y = x
    for _ in range(1500):
        y = y + 1.0
    assert len(recorded(y)) == 1500
    assert len(parsed(tg.draw(y))[1]) == 1500
    value, (slope,) = run(tg.explain(tg.sum(y), x))
    assert (float(value), slope.tolist()) == (1501.0, [1.0])
