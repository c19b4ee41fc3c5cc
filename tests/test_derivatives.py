"""Every derivative rule to third order, against oracles that do not use it; on the CPU and on devices."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import BINARY, CASES, LINALG, UNARY, Case, real
from checks import (
    LAYOUTS,
    NARROW_TOLERANCE,
    TOLERANCE,
    Probe,
    WrongDerivativeError,
    check_adjoint,
    check_complex_step,
    check_differences,
    check_single_precision,
    check_walks_agree,
    differences,
    discrepancies,
    ladder,
    leaves,
    reference,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

import tinygen as tg
from tinygen.primitive import Primitive

OPERATIONS = sorted({case.operation for case in CASES})  # one test for all cases of an operation: tests have a price
over_operations = pytest.mark.parametrize("operation", OPERATIONS)


def require(operation: str, check: Callable[[Case], None]) -> None:
    """Run a check on every case of an operation and report all that fail it."""
    failures = []
    for case in CASES:
        if case.operation == operation:
            try:
                check(case)
            except Exception as error:
                failures.append(f"{case.name}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


WITHOUT_DERIVATIVE = {
    "arange", "argmax", "argmin", "argsort", "equal", "eye", "from_dlpack", "full", "full_like", "greater",
    "greater_equal", "less", "less_equal", "linalg", "linspace", "not_equal", "one_hot", "ones", "ones_like",
    "quantile", "sign", "tensor", "zeros", "zeros_like",
}  # fmt: skip


# --- no gaps -----------------------------------------------------------------------------------------------------


def recorded(case: Case) -> set[str]:
    """The names of the primitives that a case records, in its function or in its first derivative."""
    inputs = leaves(case.arrays())
    pending = [value for value, _ in ladder(case.function, inputs, Probe(case.seed), 2)]
    names, seen = set(), set()
    while pending:
        node = pending.pop().node
        if node is not None and node not in seen:
            seen.add(node)
            names.add(node.primitive.name)
            pending.extend(arg for arg in node.args if isinstance(arg, tg.Tensor))
    return names


@pytest.mark.host
def test_every_primitive_with_rules_has_a_case() -> None:
    in_use = set().union(*map(recorded, CASES))
    missing = {name for name, primitive in Primitive.registry.items() if primitive.rules} - in_use
    assert not missing, f"primitives with derivative rules but without a case in cases.py: {sorted(missing)}"


@pytest.mark.host
def test_every_differentiable_function_has_a_case() -> None:
    public = set(tg.ops.__all__) | {f"linalg.{name}" for name in LINALG}
    missing = public - WITHOUT_DERIVATIVE - {case.operation for case in CASES}
    assert not missing, f"differentiable functions without a case in cases.py: {sorted(missing)}"


@pytest.mark.host
def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


# --- the oracles -------------------------------------------------------------------------------------------------


@over_operations
def test_finite_differences_of_orders_1_to_3(operation: str, device: str) -> None:
    require(operation, lambda case: check_differences(case, device))


@over_operations
def test_adjoint_identity_and_agreement_of_walks_and_dtypes(operation: str, device: str) -> None:
    def check(case: Case) -> None:
        for position in case.linear:
            check_adjoint(case, position, device)
        check_walks_agree(case, device)
        if not case.narrow:
            check_single_precision(case, device)

    require(operation, check)


@pytest.mark.host
@pytest.mark.parametrize("operation", sorted({case.operation for case in CASES if case.analytic}))
def test_complex_step(operation: str) -> None:
    require(operation, lambda case: check_complex_step(case) if case.analytic else None)


@pytest.mark.host
@over_operations
def test_memory_layout_does_not_matter(operation: str) -> None:
    def check(case: Case) -> None:
        for layout in LAYOUTS[1:]:
            check_differences(case, layout=layout, orders=2)

    require(operation, check)


# --- random shapes -----------------------------------------------------------------------------------------------


def check_random(function: Any, arrays: list[np.ndarray], layout: str, seed: int, order: int = 2) -> None:
    probe = Probe(seed)
    expected = differences(function, arrays, probe, order)
    for error in discrepancies(function, leaves(arrays, layout=layout), probe, expected):
        assert error <= TOLERANCE


seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(LAYOUTS)


@pytest.mark.host
@settings(max_examples=60)
@given(st.sampled_from(sorted(UNARY)), array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), layouts, seeds)
def test_unary_of_any_shape(name: str, shape: tuple[int, ...], layout: str, seed: int) -> None:
    function, sampler = UNARY[name]
    check_random(function, [sampler(*shape)(np.random.default_rng(seed))], layout, seed)


@pytest.mark.host
@settings(max_examples=120)
@given(
    st.sampled_from(sorted(BINARY)),
    mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=4, min_side=0, max_side=3),
    layouts,
    seeds,
)
def test_binary_of_any_shapes_that_broadcast(name: str, shapes: Any, layout: str, seed: int) -> None:
    function, *samplers = BINARY[name]
    rng = np.random.default_rng(seed)
    arrays = [sampler(*shape)(rng) for sampler, shape in zip(samplers, shapes.input_shapes, strict=True)]
    check_random(function, arrays, layout, seed)


@pytest.mark.host
@settings(max_examples=80)
@given(
    mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, min_side=0, max_side=3),
    layouts,
    seeds,
)
def test_matmul_of_any_shapes_that_fit(shapes: Any, layout: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_random(tg.matmul, [real(*shape)(rng) for shape in shapes.input_shapes], layout, seed, order=3)


@st.composite
def einsums(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts over up to four labels, with sizes, for one to three operands."""
    sizes = {label: draw(st.integers(1, 3)) for label in string.ascii_lowercase[: draw(st.integers(1, 4))]}
    terms = draw(st.lists(st.lists(st.sampled_from(sorted(sizes)), max_size=3), min_size=1, max_size=3))
    present = sorted(set().union(*terms))
    target = draw(st.permutations(present))[: draw(st.integers(0, len(present)))]
    subscripts = ",".join("".join(term) for term in terms) + "->" + "".join(target)
    return subscripts, [tuple(sizes[label] for label in term) for term in terms]


@pytest.mark.host
@settings(max_examples=80)
@given(einsums(), layouts, seeds)
def test_einsum_of_any_subscripts(drawn: tuple[str, list[tuple[int, ...]]], layout: str, seed: int) -> None:
    subscripts, shapes = drawn
    rng = np.random.default_rng(seed)
    arrays = [real(*shape)(rng) for shape in shapes]
    np.testing.assert_allclose(tg.einsum(subscripts, *arrays), np.einsum(subscripts, *arrays), rtol=1e-12, atol=1e-12)
    check_random(lambda *x: tg.einsum(subscripts, *x), arrays, layout, seed)


# --- the oracles reject wrong rules ------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("order", [1, 2, 3])
def test_finite_differences_reject_an_error_at_each_order(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """exp with a rule whose k-th derivative alone is wrong by 10⁻⁶: the first factor of y beyond the k-th is damped."""
    case = next(case for case in CASES if case.operation == "exp")
    reference(case)  # of the right rule

    def rule(depth: int) -> Any:
        if depth == 1:
            return lambda g, y, x: g * y * 1.000001
        return lambda g, y, x: g * nested[depth - 2](x)

    nested: list[Primitive[Any]] = []
    for depth in range(1, order):  # exp, differentiated `order` times before the error shows
        twin = Primitive(lambda x: np.exp(x))
        del Primitive.registry[twin.name]
        twin.derivatives(rule(depth))
        nested.append(twin)
    monkeypatch.setattr(tg.exp, "rules", (rule(order),))
    check_differences(case, orders=order - 1)
    with pytest.raises(WrongDerivativeError, match=f"order {order}"):
        check_differences(case, orders=order)


@pytest.mark.host
def test_the_other_oracles_reject_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in CASES if case.operation == "negative")
    monkeypatch.setattr(tg.negative, "rules", (lambda g, y, x: -1.0000001 * g,))
    with pytest.raises(WrongDerivativeError, match="Jv"):
        check_adjoint(case, 0)
    with pytest.raises(WrongDerivativeError, match="complex step"):
        check_complex_step(case)
    assert NARROW_TOLERANCE < 0.01  # a rule wrong by 1 % is seen also where a case rounds to float32
