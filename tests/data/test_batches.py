"""Batches: every row once an epoch, aligned arrays, the same bits after stopping anywhere."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from arrays import host
from double import no_sync
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data import Batches
from tinygen.random import Generator


@given(rows=st.integers(1, 30), size=st.integers(1, 30), drop_last=st.booleans(), key=st.integers(0, 2**127))
def test_each_row_once_an_epoch(rows: int, size: int, drop_last: bool, key: int, device: str) -> None:
    size = min(size, rows)
    batches = Batches(np.arange(rows), -np.arange(rows), size=size, rng=Generator(key), drop_last=drop_last)
    orders = []
    for epoch in range(2):
        parts = []
        for _ in range(len(batches)):
            x, y = next(batches)
            assert batches.epoch == epoch
            assert x.device == y.device == device
            np.testing.assert_array_equal(host(x), -host(y))  # rows stay together
            parts.append(host(x))
        assert all(len(part) == size for part in parts[:-1])
        used = np.concatenate(parts)
        assert len(set(used)) == len(used) == (rows - rows % size if drop_last else rows)
        orders.append(used.tolist())
    if rows > 10 and len(orders[0]) > 10:
        assert orders[0] != orders[1]


@given(rows=st.integers(1, 20), size=st.integers(1, 20), drop_last=st.booleans(), stop=st.integers(0, 40))
def test_resumes_to_the_bit(rows: int, size: int, drop_last: bool, stop: int, device: str) -> None:
    """The state goes through JSON into batches made with another seed, and the rest is the same."""
    size = min(size, rows)
    data = np.arange(2.0 * rows).reshape(rows, 2)
    unbroken = Batches(data, size=size, rng=Generator(7), drop_last=drop_last)
    for _ in range(stop):
        next(unbroken)
    resumed = Batches(data, size=size, rng=Generator(8), drop_last=drop_last)
    resumed.load_state_dict(json.loads(json.dumps(unbroken.state_dict())))
    for _ in range(2 * len(unbroken) + 1):
        np.testing.assert_array_equal(host(next(resumed)[0]), host(next(unbroken)[0]))
        assert resumed.state_dict() == unbroken.state_dict()


def test_no_synchronisation(device: str) -> None:
    batches = Batches(np.arange(10.0), size=4, rng=Generator(0), drop_last=False)
    with no_sync():
        for _ in range(7):  # over the end of two epochs
            next(batches)


def test_same_order_on_every_device(device: str) -> None:
    there = Batches(np.arange(50), size=20, rng=Generator(3))
    here = Batches(np.arange(50), size=20, rng=Generator(3), device="cpu")
    for _ in range(5):
        x = next(here)[0]
        assert x.device == "cpu"
        np.testing.assert_array_equal(host(next(there)[0]), host(x))


def test_what_it_takes(device: str) -> None:
    """Arrays keep their dtypes; tensors, lists, and iterables that can be read only once."""
    n = 6
    sources: list[Any] = [
        np.arange(n, dtype=np.int32),
        tg.arange(n),
        list(range(n)),
        (np.full(3, float(i), np.float32) for i in range(n)),
        (tg.full(2, float(i)) for i in range(n)),
        range(n),
    ]
    batches = Batches(*sources, size=4, rng=Generator(0))
    found = next(batches)
    assert [x.shape for x in found] == [(4,), (4,), (4,), (4, 3), (4, 2), (4,)]
    assert [x.dtype.name for x in found] == ["int32", "int64", "int64", "float32", "float32", "int64"]
    for x in found:
        np.testing.assert_array_equal(host(x).reshape(4, -1)[:, 0], host(found[0]))
    assert iter(batches) is batches


def test_later_changes_of_the_callers_array_and_generator_do_nothing(device: str) -> None:
    data, rng = np.arange(5.0), Generator(0)
    batches, twin = (Batches(data, size=5, rng=rng) for _ in range(2))
    expected = host(next(twin)[0])
    data[:] = 0
    rng.state = {"key": 99, "counter": 0}
    np.testing.assert_array_equal(host(next(batches)[0]), expected)
    assert rng.state == {"key": 99, "counter": 0}


@pytest.mark.host
def test_wrong_use_is_refused() -> None:
    rng = Generator(0)
    for arrays, size in [((), 1), ((np.zeros(3), np.zeros(4)), 2), ((np.zeros(3),), 4), ((np.zeros(3),), 0)]:
        with pytest.raises(ValueError, match=r"Batches: arrays of \[.*\] rows do not give batches of size="):
            Batches(*arrays, size=size, rng=rng)
    with pytest.raises(ValueError, match="single number"):
        Batches(np.float32(3.0), size=1, rng=rng)
    for strange in ("text", 3, {"a": 1}):
        with pytest.raises(TypeError, match="arrays or iterables of rows"):
            Batches(strange, size=1, rng=rng)
    with pytest.raises(ValueError, match="different devices"):
        Batches(tg.zeros(2, device="cpu"), tg.zeros(2, device="double"), size=1, rng=rng)


@pytest.mark.host
def test_states_of_other_batches_are_refused() -> None:
    batches = Batches(np.arange(10), size=4, rng=Generator(0))
    next(batches)
    state = batches.state_dict()
    wrong = {"rows": 11, "size": 5, "drop_last": 0, "epoch": -1, "position": 3, "key": -1}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            batches.load_state_dict({**state, name: value})
    with pytest.raises(ValueError, match="needs key, epoch, position"):
        batches.load_state_dict({"epoch": 0, "position": 0})
    assert batches.state_dict() == state
