"""Products of matrices: values against NumPy, also of stacks, vectors, empty ones, and einsum on random subscripts."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from arrays import agree, close, layouts, on, raw, values
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg


@st.composite
def products(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two operands of matmul: vectors, matrices, stacks whose leading axes broadcast, with empty axes."""
    n, k, m = (draw(st.integers(0, 3)) for _ in range(3))
    batch = draw(st.lists(st.integers(0, 3), max_size=2))

    def lead() -> tuple[int, ...]:
        return tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in batch[draw(st.integers(0, len(batch))) :])

    a = (k,) if draw(st.integers(0, 3)) == 0 else (*lead(), n, k)
    b = (k,) if draw(st.integers(0, 3)) == 0 else (*lead(), k, m)
    return draw(values(a)), draw(values(b))


@given(pair=products(), layout=layouts)
def test_matmul(pair: tuple[np.ndarray, np.ndarray], layout: str, device: str) -> None:
    agree(device, tg.matmul, lambda a, b: np.asarray(np.matmul(a, b)), *pair, layout=layout)


@given(pair=products())
def test_gradients_of_matmul_have_the_operands_shapes(pair: tuple[np.ndarray, np.ndarray], device: str) -> None:
    a, b = (on(device, operand, requires_grad=True) for operand in pair)
    y = tg.matmul(a, b)
    for g, x in zip(tg.grad(y, (a, b), tg.ones_like(y)), (a, b), strict=True):
        assert g.shape == x.shape


def test_matmul_by_keyword_and_of_arrays(device: str) -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    close(tg.matmul(x1=on(device, a), x2=on(device, b)), a @ b)
    close(tg.matmul(on(device, a), raw(device, b)), a @ b)


@given(data=st.data(), layout=layouts)
def test_linear(data: st.DataObject, layout: str, device: str) -> None:
    lead, n, m = (
        data.draw(st.lists(st.integers(0, 3), max_size=3)),
        data.draw(st.integers(0, 3)),
        data.draw(st.integers(0, 3)),
    )
    x, w, b = data.draw(values((*lead, n))), data.draw(values((m, n))), data.draw(values((m,)))
    agree(device, tg.linear, lambda x, w: x @ w.T, x, w, layout=layout)
    agree(device, tg.linear, lambda x, w, b: x @ w.T + b, x, w, b, layout=layout)
    close(tg.linear(on(device, x), weight=on(device, w), bias=on(device, b)), x @ w.T + b)
    leaves = [on(device, operand, requires_grad=True) for operand in (x, w, b)]
    y = tg.linear(*leaves)
    for g, leaf in zip(tg.grad(y, leaves, tg.ones_like(y)), leaves, strict=True):
        assert g.shape == leaf.shape


@given(data=st.data())
def test_dot_outer_trace(data: st.DataObject, device: str) -> None:
    n, m = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
    a, b, c = data.draw(values((n,))), data.draw(values((n,))), data.draw(values((m, 2)))
    agree(device, tg.dot, lambda a, b: np.asarray(np.dot(a, b)), a, b)
    agree(device, tg.outer, np.outer, a, c)
    agree(device, tg.outer, np.outer, c, a)


@st.composite
def subscripts(draw: st.DrawFn) -> tuple[str, list[np.ndarray]]:
    """Random subscripts: repeated labels, labels summed at once, one to three operands, any order of the result."""
    sizes = {label: draw(st.integers(0, 3)) for label in "abcd"}
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    operands = [draw(values(tuple(sizes[label] for label in term))) for term in terms]
    text = ",".join(terms)
    if draw(st.booleans()):
        labels = sorted(set("".join(terms)))
        kept = draw(st.permutations(labels))[: draw(st.integers(0, len(labels)))]
        text += "->" + "".join(kept)
    return text, operands


@given(drawn=subscripts())
def test_einsum_is_numpys(drawn: tuple[str, list[np.ndarray]], device: str) -> None:
    text, operands = drawn
    agree(device, lambda *a: tg.einsum(text, *a), lambda *a: np.asarray(np.einsum(text, *a)), *operands)
    leaves = [on(device, operand, requires_grad=True) for operand in operands]
    y = tg.einsum(text, *leaves)
    for g, leaf in zip(tg.grad(y, leaves, tg.ones_like(y)), leaves, strict=True):
        assert g.shape == leaf.shape


@pytest.mark.parametrize(
    "text",
    [
        "ij,jk->ik",
        "i j , j k -> k i",
        "bij,bjk->bik",
        "ii",
        "ii->i",
        "ij->ji",
        "ij->",
        "i,i",
        "i,j->ij",
        "iij,jk->ik",
        "bqhd,bkhd->bhqk",
    ],
)
def test_einsum_examples(text: str, device: str) -> None:
    rng = np.random.default_rng(0)
    terms = text.replace(" ", "").partition("->")[0].split(",")
    operands = [rng.normal(size=tuple(2 + "bijkhqd".index(label) % 3 for label in term)) for term in terms]
    agree(device, lambda *a: tg.einsum(text, *a), lambda *a: np.asarray(np.einsum(text, *a)), *operands)


@pytest.mark.host
def test_signatures() -> None:
    assert list(inspect.signature(tg.linear).parameters) == ["x", "weight", "bias"]
    assert inspect.signature(tg.linear).parameters["bias"].default is None
    assert list(inspect.signature(tg.matmul).parameters) == ["x1", "x2"]
