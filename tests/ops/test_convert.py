"""Making tensors: values against NumPy, dtypes, devices, requires_grad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import arrays, close, host, layouts, on, raw, shapes
from double import no_sync
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg

DTYPES: list[Any] = ["float32", np.float64, np.dtype(np.int64), "bool", np.float16]


@given(shape=shapes(), dtype=st.sampled_from([None, *DTYPES]))
def test_zeros_ones_full(shape: tuple[int, ...], dtype: Any, device: str) -> None:
    wanted = np.float32 if dtype is None else dtype
    close(tg.zeros(shape, dtype=dtype), np.zeros(shape, wanted))
    close(tg.ones(list(shape), dtype=dtype), np.ones(shape, wanted))
    close(tg.full(shape, 2, dtype=dtype), np.full(shape, 2, wanted))
    if len(shape) == 1:
        close(tg.zeros(shape[0]), np.zeros(shape, np.float32))
    like = on(device, np.ones(shape, wanted))
    for make, twin in (
        (tg.zeros_like, np.zeros_like),
        (tg.ones_like, np.ones_like),
        (lambda x: tg.full_like(x, 3), lambda x: np.full_like(x, 3)),
    ):
        close(make(like), twin(np.ones(shape, wanted)))
        close(make(raw(device, np.ones(shape, wanted))), twin(np.ones(shape, wanted)))


@given(n=st.integers(0, 4), m=st.one_of(st.none(), st.integers(0, 4)), k=st.integers(-3, 3))
def test_eye(n: int, m: int | None, k: int, device: str) -> None:
    close(tg.eye(n, m, k), np.eye(n, m, k, dtype=np.float32))
    close(tg.eye(n, k=k, dtype=np.int64), np.eye(n, k=k, dtype=np.int64))


@given(bounds=st.lists(st.integers(-5, 5), min_size=1, max_size=3).filter(lambda b: len(b) < 3 or b[2] != 0))
def test_arange(bounds: list[int], device: str) -> None:
    close(tg.arange(*bounds), np.arange(*bounds))
    close(tg.arange(*[float(b) for b in bounds]), np.arange(*[float(b) for b in bounds], dtype=np.float32))
    close(tg.arange(*bounds, dtype="float64"), np.arange(*bounds, dtype="float64"))


@given(start=st.integers(-5, 5), stop=st.integers(-5, 5), num=st.integers(0, 6))
def test_linspace(start: int, stop: int, num: int, device: str) -> None:
    close(tg.linspace(start, stop, num), np.linspace(start, stop, num, dtype=np.float32))
    close(tg.linspace(start, stop, num=num, dtype=np.float64), np.linspace(start, stop, num))


def test_linspace_has_50_numbers_by_default(device: str) -> None:
    assert tg.linspace(0.0, 1.0).shape == (50,)


CREATE: dict[str, Callable[..., tg.Tensor]] = {
    "tensor": lambda **k: tg.tensor([1.0], **k),
    "zeros": lambda **k: tg.zeros(2, **k),
    "ones": lambda **k: tg.ones(2, **k),
    "full": lambda **k: tg.full(2, 1.0, **k),
}


@pytest.mark.parametrize("name", CREATE)
def test_requires_grad(name: str, device: str) -> None:
    assert not CREATE[name]().requires_grad
    made = CREATE[name](requires_grad=True, dtype=np.float64)
    assert made.requires_grad
    assert made.node is None
    assert made.device == device
    assert tg.grad(tg.sum(made * 2.0), made)[0].dtype == np.float64


@given(x=arrays(), layout=layouts)
def test_tensor_keeps_values_of_every_layout(x: np.ndarray, layout: str, device: str) -> None:
    close(tg.tensor(raw(device, x, layout)), x)
    close(tg.tensor(tg.Tensor(raw(device, x, layout))), x)
    close(tg.tensor(x.tolist(), dtype=np.float64).reshape(x.shape), x)
    close(tg.tensor(raw(device, x, layout), dtype=np.float32), x.astype(np.float32))


def test_likes_are_constants(device: str) -> None:
    x = on(device, np.ones(2), requires_grad=True)
    for made in (tg.zeros_like(x), tg.ones_like(x), tg.full_like(x, 2.0)):
        assert not made.requires_grad


def test_creation_on_the_device_does_not_synchronise(device: str) -> None:
    with no_sync():
        tg.zeros(2), tg.ones(2), tg.full(2, 1.0), tg.eye(2), tg.arange(3), tg.linspace(0.0, 1.0, 3), tg.tensor([1.0])
        tg.zeros_like(tg.zeros(2))


def test_astype_to_the_same_dtype_is_not_an_alias_to_write_to(device: str) -> None:
    array = raw(device, np.ones(2))
    x = tg.tensor(array)
    y = x.astype(np.float64)
    close(y, host(x))
    assert not y.numpy().flags.writeable
