"""Operations that move numbers: values against NumPy over all shapes and axes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from arrays import agree, arrays, axes, close, layouts, on, raw, shapes, values
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygen as tg


@st.composite
def reshapings(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """An array and another shape for its elements, with at most one size left open."""
    factors = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=4))
    zero = [0] if draw(st.integers(0, 5)) == 0 else []

    def grouped() -> list[int]:
        order, sizes = draw(st.permutations(factors)), []
        for factor in order:
            if sizes and draw(st.booleans()):
                sizes[-1] *= factor
            else:
                sizes.append(factor)
        return sizes + zero

    x, shape = draw(values(tuple(grouped()))), grouped()
    if shape and not zero and draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return x, tuple(shape)


@given(drawn=reshapings(), layout=layouts)
def test_reshape(drawn: tuple[np.ndarray, tuple[int, ...]], layout: str, device: str) -> None:
    x, shape = drawn
    agree(device, lambda a: tg.reshape(a, shape), lambda a: np.reshape(a, shape), x, layout=layout)
    if shape:
        agree(device, lambda a: tg.reshape(a, *shape), lambda a: np.reshape(a, shape), x)
        agree(device, lambda a: tg.reshape(a, list(shape)), lambda a: np.reshape(a, shape), x)
    close(on(device, x).reshape(*shape) if shape else on(device, x).reshape(()), np.reshape(x, shape))


def test_reshape_to_one_number(device: str) -> None:
    x = np.arange(6.0).reshape(2, 3)
    agree(device, lambda a: tg.reshape(a, -1), lambda a: a.reshape(-1), x)
    agree(device, lambda a: tg.reshape(a, np.int64(6)), lambda a: a.reshape(6), x)
    close(on(device, x).reshape(-1), x.ravel())


@given(data=st.data(), x=arrays(), layout=layouts)
def test_transpose_and_kin(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    order = data.draw(st.permutations(range(x.ndim)))
    order = tuple(a - x.ndim * data.draw(st.booleans()) for a in order)
    agree(device, tg.transpose, np.transpose, x, layout=layout)
    agree(device, lambda a: tg.transpose(a, order), lambda a: np.transpose(a, order), x, layout=layout)
    if order:
        agree(device, lambda a: tg.transpose(a, *order), lambda a: np.transpose(a, order), x)
        i, j = data.draw(st.tuples(*[st.integers(-x.ndim, x.ndim - 1)] * 2))
        agree(device, lambda a: tg.swapaxes(a, i, j), lambda a: np.swapaxes(a, i, j), x, layout=layout)
        agree(device, lambda a: tg.moveaxis(a, i, j), lambda a: np.moveaxis(a, i, j), x, layout=layout)
        count = data.draw(st.integers(0, x.ndim))
        source, target = (data.draw(st.permutations(range(x.ndim)))[:count] for _ in range(2))
        source = [a - x.ndim * data.draw(st.booleans()) for a in source]
        agree(
            device, lambda a: tg.moveaxis(a, source, target), lambda a: np.moveaxis(a, source, target), x, layout=layout
        )


@given(data=st.data(), x=arrays(), layout=layouts)
def test_expand_dims_and_squeeze(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    axis = data.draw(axes(x.ndim + 1, several=False, none=False))
    agree(device, lambda a: tg.expand_dims(a, axis), lambda a: np.expand_dims(a, axis), x, layout=layout)
    wide = np.expand_dims(x, axis)
    agree(device, lambda a: tg.squeeze(a, axis), lambda a: np.squeeze(a, axis), wide, layout=layout)
    agree(device, tg.squeeze, np.squeeze, wide, layout=layout)
    agree(device, lambda a: tg.expand_dims(a, (0, -1)), lambda a: np.expand_dims(a, (0, -1)), x)
    agree(
        device, lambda a: tg.squeeze(a, axis=(0, -1)), lambda a: np.squeeze(a, axis=(0, -1)), np.expand_dims(x, (0, -1))
    )
    agree(device, lambda a: tg.squeeze(a, axis=()), lambda a: np.squeeze(a, axis=()), x)


@given(data=st.data(), shape=shapes(), layout=layouts)
def test_broadcast_to(data: st.DataObject, shape: tuple[int, ...], layout: str, device: str) -> None:
    lead = data.draw(st.integers(0, len(shape)))
    x = data.draw(values(tuple(1 if data.draw(st.booleans()) else size for size in shape[lead:])))
    agree(device, lambda a: tg.broadcast_to(a, shape), lambda a: np.broadcast_to(a, shape), x, layout=layout)
    agree(device, lambda a: tg.broadcast_to(a, list(shape)), lambda a: np.broadcast_to(a, shape), x)


def test_broadcast_to_one_number(device: str) -> None:
    agree(device, lambda a: tg.broadcast_to(a, 3), lambda a: np.broadcast_to(a, 3), np.ones(1))


@given(data=st.data(), shape=shapes(least=1), count=st.integers(1, 3), layout=layouts)
def test_concatenate_stack_split(
    data: st.DataObject, shape: tuple[int, ...], count: int, layout: str, device: str
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(count):
        sizes = list(shape)
        sizes[axis] = data.draw(st.integers(0, 3))
        parts.append(data.draw(values(tuple(sizes))))
    agree(
        device, lambda *a: tg.concatenate(a, axis=axis), lambda *a: np.concatenate(a, axis=axis), *parts, layout=layout
    )
    agree(device, lambda *a: tg.concatenate(list(a), axis), lambda *a: np.concatenate(a, axis), *parts)
    same = [data.draw(values(shape)) for _ in range(count)]
    new = data.draw(st.integers(-len(shape) - 1, len(shape)))
    agree(device, lambda *a: tg.stack(a, axis=new), lambda *a: np.stack(a, axis=new), *same, layout=layout)
    whole = np.concatenate(parts, axis)
    cuts = np.cumsum([part.shape[axis] for part in parts])[:-1].tolist()
    agree(device, lambda a: tg.split(a, cuts, axis=axis), lambda a: np.split(a, cuts, axis=axis), whole, layout=layout)
    even = np.concatenate(same * 2, axis)
    agree(
        device,
        lambda a: tg.split(a, 2 * count, axis=axis),
        lambda a: np.split(a, 2 * count, axis=axis),
        even,
        layout=layout,
    )


@given(data=st.data(), cuts=st.lists(st.integers(-6, 7), max_size=3))
def test_split_at_any_indices(data: st.DataObject, cuts: list[int], device: str) -> None:
    """Cuts may be negative, out of order or beyond the end, as NumPy allows."""
    x = data.draw(values((5, 2)))
    agree(device, lambda a: tg.split(a, cuts), lambda a: np.split(a, cuts), x)


def test_split_of_one_tensor_by_default(device: str) -> None:
    x = np.arange(6.0).reshape(2, 3)
    agree(device, lambda a: tg.split(a, 2), lambda a: np.split(a, 2), x)
    agree(device, lambda a: tg.split(a, np.int64(2)), lambda a: np.split(a, 2), x)
    agree(device, lambda a: tg.split(a, (1,), 1), lambda a: np.split(a, [1], 1), x)


def test_concatenate_mixes_tensors_arrays_and_integers(device: str) -> None:
    x, y = np.ones(2, np.float32), np.arange(2)
    found = tg.concatenate([on(device, x), raw(device, x), on(device, y)])
    close(found, np.array([1, 1, 1, 1, 0, 1], np.float32))
    stacked = tg.stack([on(device, x), raw(device, x)], axis=1)
    close(stacked, np.ones((2, 2), np.float32))


@given(data=st.data(), x=arrays(), layout=layouts)
def test_flip_and_roll(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    axis = data.draw(axes(x.ndim))
    agree(device, lambda a: tg.flip(a, axis), lambda a: np.flip(a, axis), x, layout=layout)
    shift = data.draw(st.integers(-5, 5))
    agree(device, lambda a: tg.roll(a, shift), lambda a: np.roll(a, shift), x, layout=layout)
    if x.ndim:
        one = data.draw(st.integers(-x.ndim, x.ndim - 1))
        agree(device, lambda a: tg.roll(a, shift, axis=one), lambda a: np.roll(a, shift, axis=one), x, layout=layout)
        agree(
            device, lambda a: tg.roll(a, (shift, 1), axis=(one, 0)), lambda a: np.roll(a, (shift, 1), axis=(one, 0)), x
        )
        if axis not in (None, ()):
            agree(device, lambda a: tg.roll(a, shift, axis=axis), lambda a: np.roll(a, shift, axis=axis), x)


@given(data=st.data(), x=arrays(), layout=layouts)
def test_tile_and_repeat(data: st.DataObject, x: np.ndarray, layout: str, device: str) -> None:
    reps = data.draw(st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2), min_size=1, max_size=4)))
    agree(device, lambda a: tg.tile(a, reps), lambda a: np.tile(a, reps), x, layout=layout)
    count = data.draw(st.integers(0, 3))
    agree(device, lambda a: tg.repeat(a, count), lambda a: np.repeat(a, count), x, layout=layout)
    if x.ndim:
        axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
        agree(
            device, lambda a: tg.repeat(a, count, axis=axis), lambda a: np.repeat(a, count, axis=axis), x, layout=layout
        )


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@given(data=st.data(), layout=layouts)
def test_pad(mode: str, data: st.DataObject, layout: str, device: str) -> None:
    x = data.draw(arrays(smallest=0 if mode == "constant" else 1))
    form = data.draw(st.sampled_from(["number", "pair", "pairs"]))
    width = st.integers(0, 4)  # also wider than the axis: reflections and wraps repeat
    if form == "number":
        widths: Any = data.draw(width)
    elif form == "pair":
        widths = data.draw(st.tuples(width, width))
    else:
        widths = tuple(data.draw(st.tuples(width, width)) for _ in range(x.ndim))
    assume(x.ndim or form == "number")
    agree(device, lambda a: tg.pad(a, widths, mode=mode), lambda a: np.pad(a, widths, mode=mode), x, layout=layout)


def test_pad_with_a_value(device: str) -> None:
    x = np.arange(4.0).reshape(2, 2)
    agree(device, lambda a: tg.pad(a, 1, constant_values=-7.0), lambda a: np.pad(a, 1, constant_values=-7.0), x)
    agree(device, lambda a: tg.pad(a, ((1, 0), (0, 2))), lambda a: np.pad(a, ((1, 0), (0, 2))), x)
    infinite = tg.pad(on(device, x.astype(np.float32)), 1, constant_values=-np.inf)
    assert infinite.dtype == np.float32


@pytest.mark.parametrize("name", ["tril", "triu"])
@given(x=arrays(least=2), k=st.integers(-4, 4), layout=layouts)
def test_triangles(name: str, x: np.ndarray, k: int, layout: str, device: str) -> None:
    agree(device, lambda a: getattr(tg, name)(a, k), lambda a: getattr(np, name)(a, k), x, layout=layout)
    agree(device, lambda a: getattr(tg, name)(a, k=k), lambda a: getattr(np, name)(a, k), x)
    agree(device, getattr(tg, name), getattr(np, name), x)


@given(data=st.data(), x=arrays(least=2), offset=st.integers(-4, 4), layout=layouts)
def test_diagonal_and_trace(data: st.DataObject, x: np.ndarray, offset: int, layout: str, device: str) -> None:
    i, j = data.draw(st.permutations(range(x.ndim)))[:2]
    i -= x.ndim * data.draw(st.booleans())
    for name, twin in (("diagonal", np.diagonal), ("trace", np.trace)):
        operation = getattr(tg, name)
        agree(
            device,
            lambda a, f=operation: f(a, offset, i, j),
            lambda a, f=twin: np.asarray(f(a, offset, i, j)),
            x,
            layout=layout,
        )
        agree(
            device,
            lambda a, f=operation: f(a, offset=offset, axis1=i, axis2=j),
            lambda a, f=twin: np.asarray(f(a, offset, i, j)),
            x,
        )
        # by default the last two axes: NumPy's for matrices, the matrices' of a stack
        agree(device, operation, lambda a, f=twin: np.asarray(f(a, 0, -2, -1)), x)


@pytest.mark.host
def test_signatures() -> None:
    def parameters(name: str) -> list[str]:
        return list(inspect.signature(getattr(tg, name)).parameters)

    assert parameters("concatenate") == parameters("stack") == ["arrays", "axis"]
    assert parameters("split") == ["x", "indices_or_sections", "axis"]
    assert parameters("pad") == ["x", "pad_width", "mode", "constant_values"]
    assert parameters("roll") == ["x", "shift", "axis"]
    assert parameters("repeat") == ["x", "repeats", "axis"]
    assert parameters("tile") == ["x", "reps"]
    assert parameters("moveaxis") == ["x", "source", "destination"]
    assert parameters("swapaxes") == ["x", "axis1", "axis2"]
    assert parameters("diagonal") == parameters("trace") == ["x", "offset", "axis1", "axis2"]
    assert parameters("broadcast_to") == ["x", "shape"]
