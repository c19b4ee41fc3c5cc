"""Picking and adding at positions: values against NumPy over shapes, axes and index kinds."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from arrays import agree, arrays, close, host, layouts, on, raw, values
from double import no_sync
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygen as tg


@st.composite
def picks(draw: st.DrawFn, negative: bool = True) -> tuple[np.ndarray, np.ndarray, int]:
    """An array, integer indices of any shape along one of its axes, and the axis."""
    x = draw(arrays(least=1))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    size = x.shape[axis]
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    assume(size or 0 in shape)
    low = -size if negative else 0
    count = int(np.prod(shape))
    indices = draw(st.lists(st.integers(low, max(size - 1, low)), min_size=count, max_size=count))
    return x, np.array(indices, np.int64).reshape(shape), axis


@given(drawn=picks(), layout=layouts)
def test_take(drawn: tuple[np.ndarray, np.ndarray, int], layout: str, device: str) -> None:
    x, indices, axis = drawn
    agree(
        device, lambda a, i: tg.take(a, i, axis=axis), lambda a, i: np.take(a, i, axis=axis), x, indices, layout=layout
    )
    found = tg.take(on(device, x), raw(device, indices), axis)  # an array as index of a tensor
    close(found, np.take(x, indices, axis))


@given(x=arrays(smallest=1), seed=st.integers(0, 99))
def test_take_from_the_flat_array(x: np.ndarray, seed: int, device: str) -> None:
    indices = np.random.default_rng(seed).integers(-x.size, x.size, (2, 3))
    agree(device, tg.take, np.take, x, indices)


def test_take_with_numbers_and_lists(device: str) -> None:
    x = np.arange(12.0).reshape(3, 4)
    for indices in (1, -1, np.int64(2), [0, 2, 2], [[0], [1]]):
        close(tg.take(on(device, x), indices, axis=1), np.take(x, indices, axis=1))
        close(tg.take(on(device, x), indices), np.take(x, indices))


@given(data=st.data(), x=arrays(least=1, smallest=1), layout=layouts)
def test_take_along_axis(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    shape = list(x.shape)
    shape[axis] = data.draw(st.integers(0, 3))
    seed = data.draw(st.integers(0, 99))
    indices = np.random.default_rng(seed).integers(-x.shape[axis], x.shape[axis], shape)
    agree(
        device,
        lambda a, i: tg.take_along_axis(a, i, axis=axis),
        lambda a, i: np.take_along_axis(a, i, axis=axis),
        x,
        indices,
        layout=layout,
    )


def test_take_along_axis_broadcasts(device: str) -> None:
    x = np.arange(12.0).reshape(3, 4)
    indices = np.array([[3, 0]])
    agree(device, lambda a, i: tg.take_along_axis(a, i, 1), lambda a, i: np.take_along_axis(a, i, 1), x, indices)


@given(drawn=picks(), seed=st.integers(0, 99), layout=layouts)
def test_index_add(drawn: tuple[np.ndarray, np.ndarray, int], seed: int, layout: str, device: str) -> None:
    x, indices, axis = drawn
    added = np.random.default_rng(seed).normal(size=np.take(x, indices, axis).shape)

    def twin(a: np.ndarray, i: np.ndarray, v: np.ndarray) -> np.ndarray:
        result = np.moveaxis(a.copy(), axis, 0)
        flat = np.moveaxis(
            v.reshape(*v.shape[: axis % a.ndim], i.size, *v.shape[axis % a.ndim + i.ndim :]), axis % a.ndim, 0
        )
        for position, value in zip(i.ravel().tolist(), flat, strict=True):
            result[position] += value
        return np.moveaxis(result, 0, axis)

    agree(device, lambda a, i, v: tg.index_add(a, i, v, axis=axis), twin, x, indices, added, layout=layout)


def test_index_add_does_not_write_its_argument(device: str) -> None:
    x = on(device, np.zeros(3))
    tg.index_add(x, raw(device, np.array([1, 1])), on(device, np.ones(2)))
    assert host(x).tolist() == [0.0, 0.0, 0.0]
    found = tg.index_add(x, raw(device, np.array([1, 1, -1])), raw(device, np.ones(3)))
    assert host(found).tolist() == [0.0, 2.0, 1.0]


@given(drawn=picks(negative=False), dtype=st.sampled_from(["int64", "int32", "uint8"]))
def test_embedding(drawn: tuple[np.ndarray, np.ndarray, int], dtype: str, device: str) -> None:
    x, indices, axis = drawn
    weight = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1) if x.size else np.ones((max(x.shape[axis], 1), 2))
    agree(device, tg.embedding, lambda i, w: w[i], indices.astype(dtype), weight)
    close(tg.embedding(indices=on(device, indices), weight=on(device, weight)), weight[indices])


@given(indices=st.lists(st.integers(0, 4), max_size=5), classes=st.integers(5, 7))
def test_one_hot(indices: list[int], classes: int, device: str) -> None:
    expected = np.zeros((len(indices), classes), np.float32)
    expected[np.arange(len(indices)), indices] = 1.0
    agree(device, lambda i: tg.one_hot(i, classes), lambda i: expected, np.array(indices, np.int64))
    found = tg.one_hot(on(device, np.array([indices], np.int64)), num_classes=classes, dtype=np.int64)
    close(found, expected[None].astype(np.int64))


def test_one_hot_of_one_number(device: str) -> None:
    close(tg.one_hot(on(device, np.array(2)), 3), np.array([0.0, 0.0, 1.0], np.float32))
    close(tg.one_hot(tg.tensor([0, 2], device=device), 3, dtype="float64"), np.eye(3)[[0, 2]])


@given(data=st.data(), x=arrays(least=1), layout=layouts)
def test_sort_and_argsort(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    agree(device, lambda a: tg.sort(a, axis=axis), lambda a: np.sort(a, axis=axis), x, layout=layout)
    agree(device, tg.sort, np.sort, x, layout=layout)
    order = tg.argsort(on(device, x), axis=axis)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.take_along_axis(x, host(order), axis), np.sort(x, axis))


@given(x=values((4, 3)), index=st.sampled_from([[1, 1, 0], [[0], [3]], [-1, 2, -1]]))
def test_a_picks_adjoint_adds(x: np.ndarray, index: Any, device: str) -> None:
    """⟨x[i], v⟩ = ⟨x, put(v, i)⟩ for every way to pick."""
    array = np.array(index)
    for pick in (
        lambda a, i: a[i],
        lambda a, i: a[i, 1:],
        lambda a, i: a[:, None][i],
        lambda a, i: a[..., i % 3],
        lambda a, i: a[i, i % 3],
    ):
        leaf = on(device, x, requires_grad=True)
        with no_sync():
            picked = pick(leaf, raw(device, array))
            v = on(device, np.cos(np.arange(picked.size)).reshape(picked.shape))
            (g,) = tg.grad(picked, leaf, v)
        np.testing.assert_allclose(np.vdot(host(picked), host(v)), np.vdot(x, host(g)), atol=1e-12)


@pytest.mark.host
def test_signatures() -> None:
    def parameters(name: str) -> list[str]:
        return list(inspect.signature(getattr(tg, name)).parameters)

    assert parameters("take") == ["x", "indices", "axis"]
    assert parameters("take_along_axis") == ["x", "indices", "axis"]
    assert parameters("index_add") == ["x", "indices", "values", "axis"]
    assert inspect.signature(tg.index_add).parameters["axis"].default == 0
    assert parameters("embedding") == ["indices", "weight"]
    assert parameters("one_hot")[:2] == ["indices", "num_classes"]
    assert inspect.signature(tg.sort).parameters["axis"].default == -1
