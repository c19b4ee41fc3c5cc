"""What a tensor is: its dtype by policy, its data never written, its ways in and out, its refusals."""

from __future__ import annotations

import contextlib
import copy
import functools
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from arrays import LAYOUTS, close, host, on, raw
from double import knobs, no_sync
from double import xp as double_xp
from hypothesis import given
from hypothesis import strategies as st
from operations import ALWAYS_TENSORS, CASES, CREATION, Case, results

import tinygen as tg
from tinygen import backend, ops

F16, F32, F64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _default_dtype() -> Iterator[None]:
    yield
    tg.set_default_dtype(np.float32)


# --- the sample calls cover every operation ------------------------------------------------------------------------


@pytest.mark.host
def test_every_public_operation_has_a_sample_call() -> None:
    public = {name for name in ops.__all__ if name != "linalg"} - CREATION
    public |= {
        f"linalg.{name}"
        for name in ["det", "slogdet", "inv", "solve", "solve_triangular", "cholesky", "norm", "eigh", "svd", "qr"]
    }
    assert public <= {case.name for case in CASES}


@pytest.mark.host
def test_every_public_name_exists() -> None:
    for name in [*ops.__all__, *tg.__all__]:
        assert hasattr(tg, name)
    assert len(set(tg.__all__)) == len(tg.__all__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_in_arrays_out(case: Case, device: str) -> None:
    """Without a tensor an operation is the library's: same values as with tensors, no tensor made."""
    plain = results(case.call(*[raw(device, operand) for operand in case.operands]))
    wrapped = results(case.call(*[on(device, operand) for operand in case.operands]))
    for found, also in zip(plain, wrapped, strict=True):
        assert isinstance(also, tg.Tensor)
        assert isinstance(found, tg.Tensor) == (case.name in ALWAYS_TENSORS)
        if case.name != "one_hot":  # no floating operand: of tensors it has the default dtype in both cases
            assert found.dtype == also.dtype
        np.testing.assert_array_equal(host(found), host(also))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_memory_layout_does_not_matter(case: Case, layout: str, device: str) -> None:
    straight = results(case.call(*[on(device, operand) for operand in case.operands]))
    laid_out = results(case.call(*[on(device, operand, layout) for operand in case.operands]))
    for one, other in zip(straight, laid_out, strict=True):
        close(other, host(one))


# --- dtypes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_dtype_is_kept(case: Case, dtype: np.dtype[Any], device: str) -> None:
    """Forward, backward and second backward stay in the operands' dtype; on the double no intermediate leaves it."""
    operands = [operand.astype(dtype) if operand.dtype.kind == "f" else operand for operand in case.operands]
    tensors = [on(device, operand, requires_grad=case.flows and operand.dtype.kind == "f") for operand in operands]
    with knobs.using(promote="raise" if dtype == F32 else "allow"):
        outputs = results(case.call(*tensors))
        if any(operand.dtype.kind == "f" for operand in operands):
            assert all(output.dtype == dtype for output in outputs if output.dtype.kind == "f")
        leaves = [tensor for tensor in tensors if tensor.requires_grad]
        if not leaves:
            return
        outs = [output * output for output in outputs if output.requires_grad]
        seeds = [tg.full_like(output, 0.5) for output in outs]
        plain = tg.grad(outs, leaves, seeds)
        recorded = tg.grad(outs, leaves, seeds, create_graph=True)
        again = [g for g in recorded if g.requires_grad]
        second = tg.grad(again, leaves, [tg.ones_like(g) for g in again], allow_unused=True)
    for g in (*plain, *recorded, *second):
        assert g is None or g.dtype == dtype


@pytest.mark.parametrize("case", [c for c in CASES if "linalg" not in c.name or c.name in ("linalg.norm",)], ids=str)
def test_half_precision_is_kept(case: Case, device: str) -> None:
    """float16 too, outside linear algebra (which neither NumPy nor CuPy offers in it)."""
    operands = [operand.astype(F16) if operand.dtype.kind == "f" else operand for operand in case.operands]
    tensors = [on(device, operand, requires_grad=case.flows and operand.dtype.kind == "f") for operand in operands]
    outputs = results(case.call(*tensors))
    if any(operand.dtype.kind == "f" for operand in operands):
        assert all(output.dtype == F16 for output in outputs if output.dtype.kind == "f")
    outs = [output for output in outputs if output.requires_grad]
    if outs:
        leaves = [tensor for tensor in tensors if tensor.requires_grad]
        assert all(g.dtype == F16 for g in tg.grad(outs, leaves, [tg.ones_like(output) for output in outs]))


WEAK = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.float16(2.5), np.int64(2), np.int32(2), np.bool_(True)]


@pytest.mark.parametrize("dtype", [F16, F32, F64], ids=str)
@pytest.mark.parametrize("scalar", WEAK, ids=lambda scalar: f"{type(scalar).__module__}.{type(scalar).__name__}")
@pytest.mark.parametrize("symbol", BINARY)
def test_scalars_are_weak(symbol: str, scalar: Any, dtype: np.dtype[Any], device: str) -> None:
    x = on(device, np.array([0.5, 2.0], dtype), requires_grad=True)
    for y, number in ((BINARY[symbol](x, scalar), (x, scalar)), (BINARY[symbol](scalar, x), (scalar, x))):
        assert isinstance(y, tg.Tensor)
        assert y.dtype == dtype
        plain = [host(v).astype(F64) if isinstance(v, tg.Tensor) else float(v) for v in number]
        close(y, BINARY[symbol](*plain).astype(dtype))
        assert tg.grad(tg.sum(y), x)[0].dtype == dtype
    if symbol == "+":
        for function in (tg.maximum, tg.logaddexp, lambda a, b: tg.where(a > 0, a, b), tg.xlogy):
            assert function(x, scalar).dtype == dtype


@pytest.mark.parametrize("symbol", COMPARISONS)
def test_comparisons(symbol: str, device: str) -> None:
    a, b = np.array([1.0, 2.0, np.nan], np.float32), np.array([2.0, 2.0, 1.0], np.float32)
    for left, right in (
        (on(device, a), on(device, b)),
        (on(device, a), raw(device, b)),
        (raw(device, a), on(device, b)),
    ):
        found = COMPARISONS[symbol](left, right)
        assert isinstance(found, tg.Tensor)
        assert not found.requires_grad
        close(found, COMPARISONS[symbol](a, b))
    for scalar in (2, 2.0, np.float64(2.0)):
        close(COMPARISONS[symbol](on(device, a), scalar), COMPARISONS[symbol](a, scalar))
        close(COMPARISONS[symbol](scalar, on(device, a)), COMPARISONS[symbol](scalar, a))


@pytest.mark.parametrize("symbol", BINARY)
@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "bool"])
def test_integer_operands_take_the_floating_dtype(symbol: str, kind: str, device: str) -> None:
    x = on(device, np.array([0.5, 2.0], np.float32), requires_grad=True)
    whole = np.array([1, 0]).astype(kind)
    for other in (on(device, whole), raw(device, whole)):
        for left, right in ((x, other), (other, x)):
            with knobs.using(promote="raise"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # x / 0
                y = BINARY[symbol](left, right)
                (g,) = tg.grad(tg.sum(y), x)
            assert y.dtype == g.dtype == F32


@given(values=st.lists(st.integers(-5, 5), min_size=1, max_size=4))
def test_integers_among_themselves(values: list[int], device: str) -> None:
    """Sums and products of integers stay integers; divisions, means and roots have the default dtype."""
    x, array = on(device, np.array(values)), np.array(values)
    for y, want in (
        (x + x, array + array), (x * 2, array * 2), (-x, -array), (tg.sum(x), array.sum()), (abs(x), abs(array)),
        (tg.max(x), array.max()), (tg.cumsum(x), np.cumsum(array)), (tg.square(x), array**2),
        (tg.sign(x), np.sign(array)), (tg.prod(x), array.prod()), (tg.clip(x, -1, 1), array.clip(-1, 1)),
        (tg.maximum(x, 0), np.maximum(array, 0)),
    ):  # fmt: skip
        assert y.dtype == np.int64
        close(y, want)
    for default in (F32, F64):
        tg.set_default_dtype(default)
        for y, want in (
            (x / 2, array / 2), (tg.mean(x), array.mean()), (tg.sqrt(tg.square(x)), np.sqrt(array**2)),
            (tg.exp(x), np.exp(array)), (x / x.size, array / array.size), (tg.var(x), array.var()),
            (tg.tanh(x), np.tanh(array)), (x * 0.5, array * 0.5), (tg.relu(x) + 0.5, np.maximum(array, 0) + 0.5),
            (tg.sigmoid(x), 1 / (1 + np.exp(-array.astype(float)))),
        ):  # fmt: skip
            assert y.dtype == default
            close(y, np.asarray(want, default))


@pytest.mark.parametrize("default", [F32, F64], ids=str)
def test_default_dtype(default: np.dtype[Any], device: str) -> None:
    tg.set_default_dtype(default.name)
    assert tg.default_dtype() == default
    made = [
        tg.tensor(1.0), tg.tensor([1.0, 2.0]), tg.tensor([[1, 2.5]]), tg.zeros(2), tg.ones((2, 3)), tg.full(2, 7),
        tg.eye(2), tg.linspace(0, 1, 3), tg.arange(0.0, 1.0, 0.5), tg.one_hot(raw(device, np.array([0, 1])), 2),
        tg.tensor(np.float64(1.0)), tg.tensor(np.float32(1.0)), tg.tensor([np.float64(1.0)]),
    ]  # fmt: skip
    assert [t.dtype for t in made] == [default] * len(made)
    assert tg.tensor([1, 2]).dtype == tg.arange(3).dtype == np.int64
    assert tg.tensor([True]).dtype == bool
    for dtype in (F32, F64):  # arrays keep theirs
        assert tg.tensor(np.ones(2, dtype)).dtype == dtype
        assert tg.tensor(on(device, np.ones(2, dtype))).dtype == dtype
        assert tg.tensor([np.ones(2, dtype), np.ones(2, dtype)]).dtype == dtype
        assert tg.zeros_like(on(device, np.ones(2, dtype))).dtype == dtype
        assert tg.tensor([1.0], dtype=dtype).dtype == dtype


@pytest.mark.parametrize("source", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64", "int64", "int32", "bool"])
def test_astype_gives_what_was_asked_for(source: str, target: str, device: str) -> None:
    array = np.array([0, 1, 2]).astype(source)
    for name in (target, np.dtype(target), getattr(np, "bool_" if target == "bool" else target)):
        close(on(device, array).astype(name), array.astype(target))
        close(tg.astype(raw(device, array), name), array.astype(target))


def test_astype_carries_gradients_between_floats(device: str) -> None:
    x = on(device, np.array([1.0, 2.0], np.float32), requires_grad=True)
    y = x.astype(np.float64) * on(device, np.array([3.0, 4.0]))
    (g,) = tg.grad(tg.sum(y), x)
    assert g.dtype == F32
    assert host(g).tolist() == [3.0, 4.0]
    assert not x.astype(np.int64).requires_grad


# --- operators and methods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", BINARY)
@given(seed=st.integers(0, 99))
def test_operators_and_reflected_operators(symbol: str, seed: int, device: str) -> None:
    a, b = np.random.default_rng(seed).uniform(0.5, 2.0, (2, 2, 3))
    want = BINARY[symbol](a, b)
    for left, right in (
        (on(device, a), on(device, b)),
        (on(device, a), raw(device, b)),
        (raw(device, a), on(device, b)),
    ):
        y = BINARY[symbol](left, right)
        assert isinstance(y, tg.Tensor)
        close(y, want)


def test_matmul_operator(device: str) -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for left, right in (
        (on(device, a), on(device, b)),
        (on(device, a), raw(device, b)),
        (raw(device, a), on(device, b)),
    ):
        assert isinstance(left @ right, tg.Tensor)
        close(left @ right, a @ b)


def test_in_place_operators_rebind(device: str) -> None:
    """``x += 1`` makes a new tensor; the old one keeps its values."""
    x = before = on(device, np.ones(2))
    x += 1.0
    x *= 3.0
    x -= 1.0
    x /= 5.0
    x **= 2
    assert host(x).tolist() == [1.0, 1.0]
    assert host(before).tolist() == [1.0, 1.0]
    assert x is not before


def test_unary_operators(device: str) -> None:
    x = np.array([-1.5, 2.0])
    close(-on(device, x), -x)
    close(abs(on(device, x)), abs(x))
    close(+on(device, x), x)


_X = np.random.default_rng(3).uniform(0.1, 2.0, (2, 3, 3))
METHODS: dict[str, tuple[Any, ...]] = {
    "abs": (), "argmax": (1,), "argmin": (1,), "astype": (np.float32,), "clip": (0.5, 1.0), "cumsum": (1,),
    "diagonal": (), "exp": (), "expand_dims": (1,), "flip": (1,), "log": (), "logsumexp": (1,), "log_softmax": (1,),
    "max": ((0, 1),), "mean": ((0, 1),), "min": (1,), "moveaxis": (0, 2), "prod": (1,), "relu": (), "repeat": (2, 1),
    "reshape": (3, 6), "sigmoid": (), "softmax": (0,), "sort": (1,), "sqrt": (), "square": (), "squeeze": (),
    "std": (1,), "sum": (1,), "swapaxes": (0, 1), "take": (1, 1), "tanh": (), "tile": (2,),
    "trace": (), "transpose": (2, 0, 1), "var": (1,), "cos": (), "sin": (),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions(name: str, device: str) -> None:
    x, args = on(device, _X), METHODS[name]
    method, function = getattr(x, name)(*args), getattr(tg, name)(x, *args)
    assert method.dtype == function.dtype
    np.testing.assert_array_equal(host(method), host(function))


def test_methods_take_keywords(device: str) -> None:
    x = on(device, _X)
    close(x.sum(axis=(0, -1), keepdims=True), _X.sum(axis=(0, -1), keepdims=True))
    close(x.mean(axis=1), _X.mean(axis=1))
    close(x.var(axis=1, correction=1), _X.var(axis=1, ddof=1))
    close(x.std(axis=0, keepdims=True), _X.std(axis=0, keepdims=True))
    close(x.clip(a_max=1.0), _X.clip(max=1.0))
    close(x.reshape((3, -1)), _X.reshape(3, -1))
    close(x.transpose(), _X.T)
    close(x.transpose((1, 0, 2)), _X.transpose(1, 0, 2))
    close(x.max(), _X.max())


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_the_functions_documentation(name: str, device: str) -> None:
    assert getattr(tg.Tensor, name).__doc__
    assert getattr(tg.Tensor, name).__name__ == name


def test_properties(device: str) -> None:
    x = on(device, _X)
    assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((2, 3, 3), 3, 18, F64, device)
    close(x.T, _X.T)
    close(x.mT, np.swapaxes(_X, -1, -2))
    assert on(device, np.ones(())).shape == ()


@given(data=st.data())
def test_indexing_like_numpy(data: st.DataObject, device: str) -> None:
    part = st.one_of(
        st.integers(-2, 1), st.just(Ellipsis), st.none(), st.slices(2), st.just([0, 1]), st.just([]),
        st.just(np.array([1, 0, 1])), st.just(np.array([[0], [1]])), st.just(np.int64(1)), st.just(np.array(1)),
    )  # fmt: skip
    index = data.draw(st.one_of(part, st.lists(part, max_size=3).map(tuple)))
    parts = index if isinstance(index, tuple) else (index,)
    if sum(p is Ellipsis for p in parts) > 1:
        return
    fixed = tuple(np.zeros(0, int) if isinstance(p, list) and not p else p for p in parts)
    try:
        want = _X[fixed if isinstance(index, tuple) else fixed[0]]
    except IndexError:
        here = [raw(device, p) if isinstance(p, np.ndarray) else p for p in parts]
        with pytest.raises(IndexError):
            on(device, _X)[tuple(here)]
        return
    for make in (raw, on):  # index arrays as arrays or as tensors
        here = [make(device, p) if isinstance(p, np.ndarray) else p for p in parts]
        found = on(device, _X)[tuple(here) if isinstance(index, tuple) else here[0]]
        close(found, want)


def test_masks(device: str) -> None:
    x = on(device, _X)
    close(x[x > 1.0], _X[_X > 1.0])
    close(x[raw(device, np.array([True, False]))], _X[np.array([True, False])])
    close(x[0, raw(device, np.array([True, False, True]))], _X[0, [True, False, True]])
    close(x[[True, False]], _X[[True, False]])
    y = on(device, _X, requires_grad=True)
    (g,) = tg.grad(tg.sum(y[y > 1.0]), y)
    close(g, (_X > 1.0).astype(float))


# --- data is never written -----------------------------------------------------------------------------------------


def test_data_and_numpy_are_read_only(device: str) -> None:
    x = on(device, np.ones(3), requires_grad=True)
    for tensor in (x, x * 2.0, tg.grad(tg.sum(x * x), x)[0], x.detach(), tg.tensor([1.0, 2.0])):
        view = tensor.numpy()
        assert type(view) is np.ndarray
        assert not view.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 7.0
        with pytest.raises(ValueError, match="read-only"):
            view += 1.0
        if device == "cpu":
            with pytest.raises(ValueError, match="read-only"):
                tensor.data[0] = 7.0
    assert host(x).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.host
def test_numpy_is_a_view_on_the_cpu() -> None:
    with tg.device("cpu"):
        x = tg.tensor([1.0, 2.0])
        assert np.shares_memory(x.numpy(), x.data)


def test_data_lives_on_the_device(device: str) -> None:
    x = on(device, np.ones(3))
    assert backend.device_of(x.data) == device
    assert x.data.dtype == F64
    with no_sync():
        _ = (x.data, x.shape, x.device, x.dtype, len(x), x * 2.0, x.detach())


def test_tensor_copies(device: str) -> None:
    array = raw(device, np.ones(3))
    for made in (
        tg.tensor(array, device=device),
        tg.tensor(array, dtype=np.float64, device=device),
        tg.tensor(tg.Tensor(array)),
    ):
        array[...] = 1.0
        kept = host(made).copy()
        array[...] = 5.0
        np.testing.assert_array_equal(host(made), kept)


@pytest.mark.host
def test_tensor_copies_host_arrays_to_every_device() -> None:
    for name in ("cpu", "double"):
        array = np.ones(3)
        made = tg.tensor(array, device=name)
        array[:] = 5.0
        assert host(made).tolist() == [1.0, 1.0, 1.0]


def test_tensor_of_tensors_and_numbers(device: str) -> None:
    x = on(device, np.array([1.0, 2.0]), requires_grad=True)
    twin = tg.tensor(x)
    assert twin is not x
    assert twin.node is None
    assert not twin.requires_grad
    assert tg.tensor(x * 2.0).node is None
    assert tg.tensor(3).item() == 3
    assert tg.tensor([]).shape == (0,)
    assert tg.tensor(((1, 2), (3, 4))).shape == (2, 2)
    assert tg.tensor(range(3)).dtype == np.int64
    close(tg.tensor([np.array([1.0, 2.0]), np.array([3.0, 4.0])]), np.array([[1.0, 2.0], [3.0, 4.0]]))


def test_tensor_of_a_list_of_tensors(device: str) -> None:
    """Either it works or it says what to do; it must not quietly build something else."""
    parts = [on(device, np.ones(2)), on(device, np.zeros(2))]
    with pytest.raises(TypeError, match=r"stack|numpy\(\)"):
        tg.tensor(parts)


# --- assign --------------------------------------------------------------------------------------------------------


def test_assign_rebinds_and_copies(device: str) -> None:
    x = on(device, np.ones(2), requires_grad=True)
    old = x.data
    array = raw(device, np.array([3.0, 4.0]))
    x.assign(array)
    array[...] = 0.0
    assert host(x).tolist() == [3.0, 4.0]
    assert host(old).tolist() == [1.0, 1.0]
    x.assign(on(device, np.array([5.0, 6.0])))
    assert host(x).tolist() == [5.0, 6.0]
    assert x.requires_grad
    own = raw(device, np.array([7.0, 8.0]))
    x.assign(own, copy=False)
    assert x._data is own


# --- ways out and refusals -----------------------------------------------------------------------------------------


def test_numbers(device: str) -> None:
    for shape in ((), (1,), (1, 1)):
        x = on(device, np.full(shape, 2.5))
        assert type(x.item()) is float
        assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert type(on(device, np.array(3)).item()) is int
    assert type(on(device, np.array(True)).item()) is bool
    assert not bool(on(device, np.array(0.0)))


@pytest.mark.host
def test_leaving_the_device_synchronises_openly() -> None:
    x = on("double", np.ones(()))
    for way_out in (float, int, bool, repr, tg.Tensor.item, tg.Tensor.numpy):
        with no_sync(), pytest.raises(TypeError, match="synchronisation"):
            way_out(x)


def test_len_and_iteration(device: str) -> None:
    x = on(device, _X, requires_grad=True)
    assert len(x) == 2
    rows = list(x)
    assert all(isinstance(row, tg.Tensor) and row.requires_grad for row in rows)
    for row, want in zip(rows, _X, strict=True):
        close(row, want)
    first, second = x
    close(first + second, _X[0] + _X[1])
    assert len(on(device, np.ones((0, 2)))) == 0
    assert list(on(device, np.ones((0, 2)))) == []


def test_membership_and_sum(device: str) -> None:
    """Python's ``sum`` works by ``__radd__``; hashing is by identity."""
    x, y = on(device, np.ones(2)), on(device, np.ones(2))
    close(sum([x, y]), np.array([2.0, 2.0]))
    assert len({x, y, x}) == 2
    assert hash(x) != hash(y)
    assert functools.reduce(operator.mul, [x, y]).shape == (2,)


def test_repr(device: str) -> None:
    x = on(device, np.array([[1.0, 2.12345678]], np.float32), requires_grad=True)
    assert repr(x) == f"tensor([[1.     2.1235]], float32[1,2] on {device}, requires_grad)"
    assert repr(x * x) == f"tensor([[1.     4.5091]], float32[1,2] on {device}, by multiply)"
    assert repr(x.detach()) == f"tensor([[1.     2.1235]], float32[1,2] on {device})"
    assert repr(on(device, np.array(3))) == f"tensor(3, int64[] on {device})"
    assert len(repr(on(device, np.ones((100, 100))))) < 200
    assert "multiply(float32[1,2], float32[1,2])" in repr((x * x).node)
    y = tg.sum(x)
    y.backward()
    assert "consumed by backward()" in repr(y.node)


def test_deepcopy(device: str) -> None:
    x = on(device, np.ones(2), requires_grad=True)
    tg.sum(x).backward()
    twin = copy.deepcopy(x)
    assert twin.requires_grad
    assert twin.node is None
    twin.assign(raw(device, np.zeros(2)))
    assert host(x).tolist() == [1.0, 1.0]
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    with pytest.raises(ValueError, match=r"only leaves can be deep-copied.*multiply.*detach"):
        copy.deepcopy(x * 2.0)


def test_requires_grad_can_be_switched_on_leaves(device: str) -> None:
    x = on(device, np.ones(2))
    x.requires_grad = True
    assert (x * 2.0).requires_grad
    x.requires_grad = False
    assert not (x * 2.0).requires_grad
    assert tg.tensor([1.0], requires_grad=True).requires_grad
    assert tg.zeros(2, requires_grad=True).requires_grad


def test_detach(device: str) -> None:
    x = on(device, np.ones(2), requires_grad=True)
    y = x * 3.0
    for cut in (y.detach(), tg.detach(y)):
        assert cut.node is None
        assert not cut.requires_grad
        np.testing.assert_array_equal(host(cut), host(y))
    array = raw(device, np.ones(2))
    assert tg.detach(array) is array
    assert tg.detach(2.0) == 2.0


NUMPY_FUNCTIONS = [
    "mean",
    "sum",
    "exp",
    "sqrt",
    "concatenate",
    "stack",
    "reshape",
    "where",
    "maximum",
    "dot",
    "matmul",
    "array",
    "asarray",
    "isnan",
    "zeros_like",
]


@pytest.mark.parametrize("name", NUMPY_FUNCTIONS)
def test_numpy_functions_are_refused_with_the_way_out(name: str, device: str) -> None:
    x = on(device, np.ones((2, 2)), requires_grad=True)
    call = {
        "concatenate": lambda f: f([x, x]),
        "stack": lambda f: f([x, x]),
        "reshape": lambda f: f(x, -1),
        "maximum": lambda f: f(x, 0.0),
        "where": lambda f: f(np.ones((2, 2), bool), x, x),
        "dot": lambda f: f(x, x),
        "matmul": lambda f: f(np.ones((2, 2)), x),
    }.get(name, lambda f: f(x))
    with pytest.raises(TypeError, match=r"tg\.|\.numpy\(\)|__array_ufunc__"):
        call(getattr(np, name))


@pytest.mark.host
def test_cupy_functions_are_refused() -> None:
    """A tensor is no device array either: CuPy's functions refuse it, they do not read through it."""
    x = on("double", np.ones(2))
    with pytest.raises(TypeError):
        double_xp.exp(x)


def test_dlpack(device: str) -> None:
    if device != "cpu":
        with pytest.raises((TypeError, AttributeError, BufferError, NotImplementedError)):
            np.from_dlpack(on(device, np.ones(2)))  # memory of another device
        return
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.from_dlpack(x).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    array = np.arange(6.0).reshape(2, 3)
    made = tg.from_dlpack(array)
    array[:] = 0.0
    assert made.numpy().tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert made.node is None
    assert tg.from_dlpack(x).numpy().tolist() == x.numpy().tolist()
    with contextlib.suppress(ValueError):  # read-only or a copy: never a way to write into a tensor
        np.from_dlpack(x)[0] = 5.0
    assert x.numpy().tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.host
def test_numpy_scalars_become_arrays() -> None:
    """NumPy makes scalars of 0-d results: a tensor that held one would look rebound to a recorded walk."""
    b = tg.tensor(np.float64(1.0), requires_grad=True)
    b.assign(b.numpy() + 1.0)
    assert isinstance(b.data, np.ndarray)
    assert isinstance(tg.Tensor(np.float32(1.0)).data, np.ndarray)
    (slope,) = tg.grad(b * b, b, create_graph=True)
    assert float(slope) == 4.0
