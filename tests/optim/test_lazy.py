"""Lazy tables: a step changes the rows that were looked up, and what it does to them is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import host
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import backend, optim

MAKERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p, **o: optim.SGD(p, lr=0.1, **o),
    "SGD, momentum": lambda p, **o: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, **o),
    "Adam": lambda p, **o: optim.Adam(p, lr=0.1, **o),
    "AdamW": lambda p, **o: optim.AdamW(p, lr=0.1, **o),
    "RMSprop": lambda p, **o: optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9, **o),
    "Adagrad": lambda p, **o: optim.Adagrad(p, lr=0.1, **o),
}
every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
ROUNDING = 1e-13  # float64; sums of equal rows are taken in another order

# a batch: the words of two lookups, with repetitions within and across them
batches = st.lists(
    st.tuples(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(-6, 5), min_size=1, max_size=3)),
    min_size=1,
    max_size=4,
)


def table(rows: int = 6, width: int = 2, seed: int = 0) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(seed).normal(size=(rows, width)), requires_grad=True)


def indices(numbers: list[int]) -> tg.Tensor:
    return tg.tensor(np.array(numbers, np.int64))


def loss_of(weight: tg.Tensor, batch: tuple[list[int], list[int]]) -> tg.Tensor:
    """A scalar of two lookups, one by ``embedding`` and one by an index array with negative numbers."""
    first = tg.embedding(indices(batch[0]), weight)
    second = weight[indices(batch[1])]
    return tg.sin(first).sum() + (tg.square(second) * tg.cos(second)).sum()


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
@settings(max_examples=20)
@given(batches)
def test_lazy_is_dense_where_a_gradient_of_0_changes_nothing(name: str, device: str, some: list[Any]) -> None:
    with tg.device(device):
        lazy, dense = table(), table()
        optimizers = MAKERS[name]([lazy], lazy=[lazy]), MAKERS[name]([dense])
        for batch in some:
            for optimizer, weight in zip(optimizers, (lazy, dense), strict=True):
                optimizer.minimize(loss_of(weight, batch))
        np.testing.assert_allclose(lazy.numpy(), dense.numpy(), rtol=0, atol=ROUNDING)


@every_optimizer
@settings(max_examples=10)
@given(batches)
def test_each_row_is_a_parameter_of_its_own(make: Any, device: str, some: list[Any]) -> None:
    """Looked-up rows end where dense steps over the looked-up rows alone, with the table's count, would lead."""
    with tg.device(device):
        lazy = table()
        optimizer = make([lazy], lazy=[lazy])
        oracle = make([table()])  # only its formula is used
        values = lazy.numpy().copy()
        moments = [np.zeros_like(values) for _ in oracle.state_dict()["moments"]]
        for count, batch in enumerate(some, start=1):
            twin = tg.tensor(values, requires_grad=True)
            gradient = tg.grad(loss_of(twin, batch), twin)[0].numpy()
            rows = sorted({number % 6 for number in [*batch[0], *batch[1]]})
            owned, out = [moment[rows] for moment in moments], np.empty((len(rows), 2))
            oracle._update(out, values[rows], gradient[rows], owned, count, 0.1)
            values[rows] = out
            for moment, new in zip(moments, owned, strict=True):
                moment[rows] = new
            with no_sync():
                optimizer.minimize(loss_of(lazy, batch))
            np.testing.assert_allclose(lazy.numpy(), values, rtol=0, atol=ROUNDING)


@every_optimizer
def test_with_all_rows_looked_up_it_is_the_dense_optimiser(make: Any) -> None:
    lazy, dense = table(), table()
    optimizers = make([lazy], lazy=[lazy]), make([dense])
    for _ in range(5):
        for optimizer, weight in zip(optimizers, (lazy, dense), strict=True):
            optimizer.minimize(loss_of(weight, ([5, 4, 3, 2, 1, 0], [0])))
    np.testing.assert_allclose(lazy.numpy(), dense.numpy(), rtol=0, atol=ROUNDING)


@every_optimizer
def test_other_rows_and_old_arrays_stay(make: Any) -> None:
    lazy = table()
    optimizer = make([lazy], lazy=[lazy])
    optimizer.minimize(loss_of(lazy, ([0, 1, 2], [5])))
    held, before = lazy.detach(), lazy.numpy().copy()
    moments = [host(moment).copy() for arrays in optimizer.state_dict()["moments"].values() for moment in arrays[1:]]
    optimizer.minimize(loss_of(lazy, ([1, 1], [3])))
    np.testing.assert_array_equal(held.numpy(), before)
    changed = (lazy.numpy() != before).all(axis=1)
    np.testing.assert_array_equal(changed, [False, True, False, True, False, False])
    after = [host(moment) for arrays in optimizer.state_dict()["moments"].values() for moment in arrays[1:]]
    for old, new in zip(moments, after, strict=True):
        np.testing.assert_array_equal(old[[0, 2, 4, 5]], new[[0, 2, 4, 5]])


def test_tables_beside_dense_parameters() -> None:
    """Two lazy tables, one of them unused for a step, between dense parameters: all ends as with an optimiser each."""
    found = []
    for together in (True, False):
        first, second = table(seed=1), table(seed=2)
        bias = [tg.tensor(np.ones(2), requires_grad=True), tg.tensor(np.full(2, 0.5), requires_grad=True)]
        parameters = [bias[0], first, bias[1], second]
        if together:
            optimizers = [optim.Adam(parameters, lazy=[second, first])]
        else:
            optimizers = [optim.Adam([p], lazy=[p] if p.ndim == 2 else []) for p in parameters]
        for step in range(4):
            parts = [tg.sin(bias[0] * bias[1]).sum(), loss_of(first, ([1], [2]))]
            if step != 2:
                parts.append((bias[1] * loss_of(second, ([step], [0]))).sum())
            loss = sum(parts[1:], parts[0])
            if together:
                optimizers[0].minimize(loss)
                continue
            live = [p for p in parameters if p is not second or step != 2]
            slopes = dict(zip(map(id, live), tg.grad(loss, live), strict=True))
            for optimizer, parameter in zip(optimizers, parameters, strict=True):
                if id(parameter) in slopes and parameter.ndim == 1:
                    parameter.grad = slopes[id(parameter)]
                    optimizer.step()
                elif id(parameter) in slopes:  # a loss with the same gradient, as a lookup of the rows in question
                    rows = indices(sorted({1, 2} if parameter is first else {step, 0}))
                    constant = slopes[id(parameter)][rows]
                    optimizer.minimize((tg.embedding(rows, parameter) * constant).sum())
        found.append([parameter.numpy() for parameter in parameters])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=ROUNDING)


def test_a_table_of_matrices_and_clipping() -> None:
    """Entries of any shape are rows; max_norm counts every row once, with its sum."""
    rng = np.random.default_rng(0)
    value, targets = rng.normal(size=(5, 2, 3)), tg.tensor(rng.normal(size=(4, 2, 3)))
    lazy, dense = tg.tensor(value, requires_grad=True), tg.tensor(value, requires_grad=True)
    norms = [
        optimizer.minimize((weight[indices([3, 1, 3, 0])] * targets).sum(), max_norm=0.1).item()
        for weight, optimizer in [(lazy, optim.SGD([lazy], lr=0.1, lazy=[lazy])), (dense, optim.SGD([dense], lr=0.1))]
    ]
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-14)
    np.testing.assert_allclose(lazy.numpy(), dense.numpy(), rtol=0, atol=ROUNDING)


def test_no_dense_gradient_is_made(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """The walk stops at the lookup: its adjoint, which would be as large as the table, never runs."""
    lazy = table()
    calls: list[int] = []
    monkeypatch.setattr(tg.Primitive.registry["put"], "forward", lambda *args, **kwargs: calls.append(1))
    optim.Adam([lazy], lazy=[lazy]).minimize(loss_of(lazy, ([1, 2], [0])))
    assert not calls


def test_refused() -> None:
    lazy, other = table(), table(seed=1)
    optimizer = optim.Adam([lazy, other], lazy=[lazy])
    with pytest.raises(ValueError, match=r"Adam.minimize: the lazy parameter of shape \(6, 2\) is used by multiply at"):
        optimizer.minimize(loss_of(lazy, ([1], [1])) + (lazy * other).sum())
    with pytest.raises(ValueError, match=r"is used by getitem at"):
        optimizer.minimize(lazy[2:4].sum())
    with pytest.raises(ValueError, match="none of the parameters"):
        optim.Adam([lazy], lazy=[lazy]).minimize(other.sum())
    loss_of(lazy, ([1], [1])).backward()
    with pytest.raises(ValueError, match=r"minimize\(loss\)"):
        optimizer.step()


def test_saving() -> None:
    """The state goes on to the same bits; that of an optimiser with other lazy tables is refused."""
    whole, first = table(), table()
    optimizer = optim.Adam([whole], lazy=[whole])
    halves = optim.Adam([first], lazy=[first])
    for batch in [([1, 2], [3]), ([1, 1], [5]), ([], [0])]:
        optimizer.minimize(loss_of(whole, batch))
        halves.minimize(loss_of(first, batch))
        state = halves.state_dict()
        first = tg.tensor(first.numpy(), requires_grad=True)
        halves = optim.Adam([first], lazy=[first])
        halves.load_state_dict(state)
    np.testing.assert_array_equal(whole.numpy(), first.numpy())
    with pytest.raises(ValueError, match=r"lazy is \[0\], here \[\]"):
        optim.Adam([first]).load_state_dict(state)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 8), max_size=60))
def test_sum_rows(device: str, positions: list[int]) -> None:
    """The sums of equal rows, wherever they stand."""
    rows = np.random.default_rng(0).normal(size=(len(positions), 3))
    library, index = backend.library_for(device)
    place = library.upload(np.array(positions, np.int64), index)
    where, sums, touched = backend.sum_rows(library.upload(rows, index), place, 9)
    expected, found = np.zeros((9, 3)), np.zeros((9, 3))
    for position, row in zip(positions, rows, strict=True):
        expected[position] += row
    found[where if isinstance(where, slice) else host(where)] = host(sums)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    if touched is not None:
        np.testing.assert_array_equal(host(touched)[:, 0], np.isin(np.arange(9), positions))
    else:
        assert list(host(where)) == sorted(set(positions))
