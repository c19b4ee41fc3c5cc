"""The strict double itself: it stops what would fail, lie or wait on CuPy, and lets everything else through."""

from __future__ import annotations

import copy
import gc
import weakref
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from double import DeviceArray, DeviceError, counters, counting, knobs, no_sync, xp

pytestmark = pytest.mark.host

# What CuPy 14.2 does, then code that runs on NumPy and must not get past the double.
# In scope: xp; a, a (4, 5) float32 array; i, four indices with a repetition; h, a host array like a; dev(host).
PLANTED: dict[str, tuple[str, str]] = {
    "np.asarray(dev)": ("TypeError", "np.asarray(a)"),
    "np.array([dev scalars])": ("TypeError", "np.array([a.sum(), a.sum()])"),
    "np.float32(dev0d)": ("TypeError", "np.float32(a.sum())"),
    "dev + host": ("TypeError", "a + h"),
    "host * dev": ("TypeError", "h * a"),
    "xp.maximum(dev, host)": ("TypeError", "xp.maximum(a, h)"),
    "xp.where(dev, dev, host)": ("TypeError", "xp.where(a > 0, a, h)"),
    "np.exp(dev)": ("slow dispatch", "np.exp(a)"),
    "np.concatenate dev": ("slow dispatch", "np.concatenate([a, a])"),
    "np.add.at(dev,..)": ("slow dispatch", "np.add.at(a, i, 1.0)"),
    "isinstance ndarray": ("False", "assert isinstance(a, np.ndarray)"),
    "range(dev int)": ("TypeError", "list(range(i.max()))"),
    "slice by dev int": ("TypeError", "a[:i[0]]"),
    "if dev:": ("synchronises", "1 if (a > 0).all() else 0"),
    "float(loss) each step": ("synchronises", "float(a.sum())"),
    "print(dev)": ("synchronises", "str(a.sum())"),
    ".item()": ("synchronises", "a.sum().item()"),
    "a[mask] gather": ("synchronises", "a[a > 0]"),
    "nonzero": ("synchronises", "xp.nonzero(a > 0)"),
    # allclose gives a 0-d device array; reading it is what waits (cupy/_logic/comparison.py)
    "allclose in loop": ("synchronises", "assert xp.allclose(a, a)"),
    "dup fancy assign": ("undefined", "z = xp.zeros((4, 5)); z[i] = a[i]"),
    "oob index expecting IndexError": ("wraps", "with pytest.raises(IndexError): a[i + 99]"),
    "LinAlgError expected": ("silent", "with pytest.raises(np.linalg.LinAlgError): xp.linalg.inv(xp.zeros((3, 3)))"),
    "cholesky not PD": ("silent", "with pytest.raises(np.linalg.LinAlgError): xp.linalg.cholesky(-xp.eye(3))"),
    "slogdet().logabsdet": ("AttributeError", "xp.linalg.slogdet(xp.eye(3)).logabsdet"),
    "solve broadcasts batch": ("ValueError", "xp.linalg.solve(xp.eye(3), xp.ones((2, 3, 1)))"),
    "max(initial=)": ("TypeError", "xp.max(a, initial=0.0)"),
    "sum(where=)": ("TypeError", "a.sum(where=a > 0)"),
    "var(correction=)": ("TypeError", "xp.var(a, correction=1)"),
    "maximum.reduce": ("NotImplementedError", "xp.maximum.reduce(a, axis=0)"),
    "multiply.at": ("NotImplementedError", "xp.multiply.at(a, i, 2.0)"),
    "subtract.at float": ("TypeError", "xp.subtract.at(a, i, 2.0)"),
    "add.at bool/int8": ("TypeError", "z = xp.zeros(4, dtype=xp.int8); xp.add.at(z, i, 1)"),
    "xp.errstate": ("AttributeError", "xp.errstate(over='ignore')"),
    "xp.insert": ("AttributeError", "xp.insert(a, 0, 1.0, axis=0)"),
    "linalg.multi_dot": ("AttributeError", "xp.linalg.multi_dot([a, a.T, a])"),
    "np.nditer": ("AttributeError", "xp.nditer(a)"),
    "rng.normal": ("AttributeError", "xp.random.default_rng(0).normal(0.0, 1.0, (2, 2))"),
    "rng.permutation": ("AttributeError", "xp.random.default_rng(0).permutation(4)"),
    "RNG parity assumed": (
        "other stream",
        "draw = xp.random.default_rng(0).standard_normal(4)\n"
        "assert np.allclose(on_host(draw), np.random.default_rng(0).standard_normal(4))",
    ),
    "flags.writeable": ("AttributeError", "a.flags.writeable = False; assert not a.flags.writeable"),
    "setflags": ("AttributeError", "a.setflags(write=False)"),
    ".ctypes": ("AttributeError", "a.ctypes"),
    "object array": ("ValueError", "xp.array([None, 1])"),
    "index by host array": ("hidden upload", "a[np.array([0, 1])]"),
    "index by list": ("hidden upload", "a[[0, 1]]"),
    "ufunc on list": ("TypeError", "xp.add([1, 2], a[0, :2])"),
    "assign host into slice": ("ValueError", "a[0] = h[0]"),
    "scatter order bitwise": (
        "nondeterministic",
        # 64 sums: that two random orders round one sum alike happens every now and then, all of them never
        "zero = xp.zeros(256, dtype=xp.int64)\n"
        "one, two = xp.zeros((1, 64), dtype=xp.float32), xp.zeros((1, 64), dtype=xp.float32)\n"
        "values = dev(np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32))\n"
        "xp.add.at(one, zero, values); xp.add.at(two, zero, values)\n"
        "assert bool((one == two).all())",
    ),
    "sort(stable=)": ("TypeError", "xp.sort(a, stable=True)"),
    "einsum out=": ("TypeError", "xp.einsum('ij->i', a, out=xp.zeros(4))"),
}

LEGITIMATE: dict[str, str] = {
    "add": "a + a",
    "scalar": "a * 2.0 + 1",
    "rscalar": "1.0 / (a + 3.0)",
    "sum axis": "a.sum(axis=0, keepdims=True)",
    "mean": "a.mean()",
    "matmul": "a @ a.T",
    "tensordot": "xp.tensordot(a, a, axes=([1], [1]))",
    "einsum": "xp.einsum('ij,kj->ik', a, a)",
    "swv": "xp.lib.stride_tricks.sliding_window_view(a, (2, 2))",
    "pad": "xp.pad(a, ((1, 1), (0, 0)))",
    "where": "xp.where(a > 0, a, 0.0)",
    "max": "xp.max(a, axis=1)",
    "take rows": "a[i]",
    "add.at": "z = xp.zeros((4, 5), dtype=xp.float32); xp.add.at(z, i, a[i])",
    "slice assign": "a[0] = 0.0; a[1:3, ::2] = 1.0",
    "iadd": "a += 1.0",
    "slogdet": "xp.linalg.slogdet(xp.eye(3))[1]",
    "solve": "xp.linalg.solve(xp.eye(3), xp.ones((3, 1)))",
    "inv batched": "xp.linalg.inv(xp.broadcast_to(xp.eye(3), (2, 3, 3)).copy())",
    "take_along_axis": "xp.take_along_axis(a, i[:4, None], axis=1)",
    "concat": "xp.concatenate([a, a], axis=0)",
    "stack": "xp.stack([a, a])",
    "transpose": "a.transpose(1, 0).reshape(-1)",
    "fancy 2d": "a[xp.arange(4), i]",
    "none idx": "a[:, None, :]",
    "broadcast_to": "xp.broadcast_to(a[0], (3, 5))",
    "rng": "xp.random.default_rng(0).standard_normal((2, 2), dtype=xp.float32)",
    "logaddexp": "xp.logaddexp(a, a)",
    "argmax": "xp.argmax(a, axis=1)",
    "cumsum": "xp.cumsum(a, axis=1)",
    "asnumpy at boundary": "on_host(a)",
    "astype": "a.astype(xp.float64)",
    "out=": "xp.multiply(a, a, out=a)",
    "clip": "xp.clip(a, -1.0, 1.0)",
    "flip": "xp.flip(a, axis=1)",
    "roll": "xp.roll(a, 1, axis=0)",
    "eq mask mult": "(a > 0).astype(a.dtype) * a",
    "len": "len(a)",
    "float('inf')": "xp.full((2,), -float('inf'))",
    "abs": "abs(-a)",
}


def on_host(array: Any) -> np.ndarray:
    return array.get() if isinstance(array, DeviceArray) else array


def scope(namespace: Any) -> dict[str, Any]:
    """The names that snippets use, on NumPy or on the double."""
    dev = xp.asarray if namespace is xp else np.array
    return {
        "np": np, "xp": namespace, "dev": dev, "on_host": on_host, "pytest": pytest,
        "a": dev(np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)),
        "i": dev(np.array([0, 1, 1, 3])),
        "h": np.ones((4, 5), np.float32),
    }  # fmt: skip


def execute(code: str, namespace: Any) -> None:
    exec(code, scope(namespace))


def device(*shape: int, dtype: Any = np.float32) -> DeviceArray:
    return xp.asarray(np.arange(np.prod(shape)).reshape(shape).astype(dtype))


def test_the_lists_are_complete() -> None:
    assert (len(PLANTED), len(LEGITIMATE)) == (51, 40)


DID_NOT_RAISE = pytest.fail.Exception
STOPPED_BY: dict[str, Any] = {
    "TypeError": TypeError, "ValueError": (ValueError, DeviceError), "AttributeError": AttributeError,
    "NotImplementedError": NotImplementedError, "slow dispatch": DeviceError, "hidden upload": DeviceError,
    "undefined": DeviceError, "synchronises": DeviceError, "wraps": DID_NOT_RAISE, "silent": DID_NOT_RAISE,
    "False": AssertionError, "other stream": AssertionError, "nondeterministic": AssertionError,
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_passes_on_numpy_and_is_caught_on_the_double(name: str) -> None:
    what, code = PLANTED[name]
    execute(code, np)
    guard, message = (no_sync(), "synchronisation") if what == "synchronises" else (nullcontext(), None)
    with guard, pytest.raises(STOPPED_BY[what], match=message):
        execute(code, xp)


@pytest.mark.parametrize("name", LEGITIMATE)
def test_legitimate_code_runs_without_a_synchronisation(name: str) -> None:
    execute(LEGITIMATE[name], np)
    execute(LEGITIMATE[name], xp)
    with no_sync():
        if name == "asnumpy at boundary":  # an explicit transfer: legal, but not inside a training step
            with pytest.raises(DeviceError, match="get"):
                execute(LEGITIMATE[name], xp)
        else:
            execute(LEGITIMATE[name], xp)


EXPRESSIONS = [name for name, code in LEGITIMATE.items() if ";" not in code and name not in ("iadd", "rng")]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_double_computes_what_numpy_computes(name: str) -> None:
    expected, found = (eval(LEGITIMATE[name], scope(namespace)) for namespace in (np, xp))
    result = on_host(found)
    assert np.asarray(result).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(result, expected, rtol=1e-6)


# --- counting ---


def test_counting_launches_uploads_and_synchronisations() -> None:
    with counting() as count:
        a = xp.asarray(np.ones((2, 3), np.float32))
        b = (a * 2.0).sum(axis=0)
        float(b[0])
    assert (count.launches, count.uploads, count.synchronisations) == (2, 1, 1)
    assert count.reasons == ["float()"]


def test_views_and_metadata_launch_nothing_and_copies_do() -> None:
    a = device(2, 3)
    with counting() as views:
        a.reshape(3, 2), a.T, a[0, 1:], xp.swapaxes(a, 0, 1), a.astype(np.float32, copy=False), xp.flip(a)
        xp.broadcast_to(a, (4, 2, 3)), a.ravel(), xp.result_type(a, np.float32), xp.empty(3), a.shape, len(a)
    assert views.launches == 0
    with counting() as copies:
        a.T.reshape(-1), a.astype(np.float32), a.copy(), xp.zeros(3), a[device(1, dtype=int)]
    assert copies.launches == 5


def test_counters_can_be_read_and_reset() -> None:
    device(2) + 1.0
    assert counters.read().launches > 0
    counters.reset()
    assert counters.read().launches == counters.read().uploads == counters.read().synchronisations == 0


def test_no_sync_names_the_culprit_and_ends_with_its_block() -> None:
    a = device(3)
    with no_sync(), pytest.raises(DeviceError, match=r"synchronisation: float\(\)"):
        float(a.sum())
    assert float(a.sum()) == 3.0


@pytest.mark.parametrize(
    "code",
    ["a[a > 0] = 0.0", "a[a > 0]", "xp.where(a > 0)", "xp.bincount(i)", "xp.unique(i)", "xp.repeat(i, i)", "a.get()",
     "xp.asnumpy(a)", "a.tolist()", "f'{a.sum():.3f}'", "int(i[0])", "bool(i[0])", "xp.argwhere(a > 0)"],
)  # fmt: skip
def test_these_synchronise(code: str) -> None:
    with no_sync(), pytest.raises(DeviceError, match="synchronisation"):
        execute(code, xp)


@pytest.mark.parametrize(
    "code",
    ["xp.allclose(a, a)", "xp.array_equal(a, a)", "xp.count_nonzero(a)", "xp.repeat(a, 2, axis=0)", "xp.isin(i, i)",
     "[row + 1 for row in a]", "a[i[0]]", "a == None", "xp.where(a > 0, 1.0, a)", "xp.array([a[0, 0], a[0, 1]])"],
)  # fmt: skip
def test_these_stay_on_the_device(code: str) -> None:
    with no_sync():
        execute(code, xp)


# --- where CuPy is silently different ---


def test_index_arrays_out_of_range_wrap_around() -> None:
    a, far = device(3), xp.asarray(np.array([4, -4]))
    for result in (a[far], xp.take(a, far), a.take(far), xp.take_along_axis(a, far, 0)):
        assert result.get().tolist() == [1.0, 2.0]
    xp.add.at(a, far, 10.0)
    assert a.get().tolist() == [0.0, 11.0, 12.0]
    with knobs.using(out_of_range="raise"), pytest.raises(IndexError):
        a[far]
    with pytest.raises(IndexError):
        a[3]  # a host integer is checked, in CuPy too


def test_singular_matrices_give_nan_for_themselves_alone() -> None:
    batch = xp.asarray(np.stack([np.eye(2), np.zeros((2, 2)), -np.eye(2)]))
    assert np.isnan(xp.linalg.inv(batch).get()).all(axis=(1, 2)).tolist() == [False, True, False]
    assert np.isnan(xp.linalg.cholesky(batch).get()).all(axis=(1, 2)).tolist() == [False, True, True]
    assert np.isnan(xp.linalg.solve(batch, xp.ones((3, 2, 1))).get()).all(axis=(1, 2)).tolist() == [False, True, False]
    with knobs.using(silent_linalg=False), pytest.raises(np.linalg.LinAlgError):
        xp.linalg.inv(batch)


def test_linalg_is_batched_but_solve_does_not_broadcast() -> None:
    a = xp.asarray(np.eye(3) + 0.1 * np.arange(18.0).reshape(2, 3, 3) ** 0.5)
    np.testing.assert_allclose((a @ xp.linalg.inv(a)).get(), np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-12)
    assert xp.linalg.solve(a, xp.ones((2, 3, 4))).shape == (2, 3, 4)
    assert type(xp.linalg.slogdet(a)) is tuple
    assert xp.linalg.qr(a)[1].shape == xp.linalg.eigh(a)[1].shape == (2, 3, 3)
    with pytest.raises(ValueError, match="must have"):
        xp.linalg.solve(a, xp.ones((3, 1)))
    with pytest.raises(DeviceError, match="float16"):
        xp.linalg.inv(xp.eye(3, dtype=xp.float16))


def test_scatter_add_is_shuffled_and_still_a_sum() -> None:
    values = np.random.default_rng(1).standard_normal((2000, 3)).astype(np.float32)
    where, sums = xp.zeros(2000, dtype=xp.int64), set()
    for _ in range(20):
        total = xp.zeros((1, 3), dtype=xp.float32)
        xp.add.at(total, where, xp.asarray(values))
        np.testing.assert_allclose(total.get()[0], values.sum(axis=0), rtol=1e-4)
        sums.add(total.get().tobytes())
    assert len(sums) > 1
    grid = xp.zeros((3, 4), dtype=xp.float32)
    xp.add.at(grid, (slice(None), xp.asarray(np.array([0, 0, 3]))), 1.0)
    assert grid.get().tolist() == [[2.0, 0.0, 0.0, 1.0]] * 3


@pytest.mark.parametrize(
    ("ufunc", "legal", "illegal"),
    [("add", "float16 float32 float64 int32 int64 uint64", "int8 bool complex64"),
     ("subtract", "int32 uint32", "float32 int64"), ("maximum", "float32 int64", "float16 int16")],
)  # fmt: skip
def test_at_takes_the_dtypes_with_an_atomic(ufunc: str, legal: str, illegal: str) -> None:
    at, where = getattr(xp, ufunc).at, xp.asarray(np.array([0, 0]))
    for name in legal.split():
        at(xp.ones(2, dtype=name), where, xp.ones(2, dtype=name))
    for name in illegal.split():
        with pytest.raises(DeviceError, match="only supports"):
            at(xp.ones(2, dtype=name), where, xp.ones(2, dtype=name))


def test_numpy_scalars_are_strong_and_python_scalars_weak() -> None:
    a = device(3)
    two = np.float64(2.0)
    assert (a * two).dtype == (two * a).dtype == xp.multiply(a, two).dtype == np.float64
    assert (a * 2.0).dtype == (2 * a).dtype == (a**2).dtype == xp.maximum(a, 0.0).dtype == np.float32


@pytest.mark.parametrize(
    "code", ["a * np.float64(2)", "np.float64(2) * a", "a + xp.arange(5)", "xp.mean(i)", "a @ xp.eye(5, dtype=int)"]
)
def test_promote_raise_stops_a_silent_float64(code: str) -> None:
    execute(code, xp)
    with knobs.using(promote="raise"), pytest.raises(DeviceError, match="float64"):
        execute(code, xp)


@pytest.mark.parametrize("code", ["a * 2.0", "a.astype(xp.float64) * 2", "a.sum(dtype=xp.float64)", "xp.zeros(3)"])
def test_promote_raise_lets_explicit_float64_through(code: str) -> None:
    with knobs.using(promote="raise"):
        execute(code, xp)


def test_no_warnings_on_the_device() -> None:
    zero = xp.zeros(2, dtype=xp.float32)
    assert np.isnan((zero / zero).get()).all()
    assert np.isinf(xp.log(zero).get()).all()
    zero /= 0.0


def test_elementwise_results_are_in_c_order() -> None:
    assert (device(3, 4).T + 1).flags.c_contiguous
    assert xp.exp(device(3, 4).T).flags.c_contiguous


# --- the array ---


def test_in_place_operators_write_into_the_same_memory() -> None:
    a = b = device(2, 2)
    a += 1.0
    a *= a
    a -= xp.ones(2, dtype=xp.float64)
    a /= 2
    a **= 2
    assert a is b
    assert a.dtype == np.float32
    assert a.get().tolist() == [[0.0, 2.25], [16.0, 56.25]]
    with pytest.raises(TypeError):
        xp.arange(3).__iadd__(0.5)


def test_matmul_has_no_in_place_form() -> None:
    a = b = xp.eye(2)
    a @= a
    assert a is not b


def test_views_alias_memory() -> None:
    a = device(4, 3)
    a[1:3][...] = 0
    a[0][1][...] = 9.0  # a 0-d view
    a.T[2, 3:] = 7.0
    a.reshape(-1)[0] = -1.0
    assert a.get().tolist() == [[-1.0, 9.0, 2.0], [0.0] * 3, [0.0] * 3, [9.0, 10.0, 7.0]]
    assert a[1:].base is not None
    copy_of_rows = a[xp.asarray(np.array([0]))]
    copy_of_rows[...] = 5.0
    a[xp.asarray(np.array(0))][...] = 5.0  # an index array of no axes copies too
    assert float(a[0, 0]) == -1.0


def test_writing_by_index_arrays() -> None:
    a, rows = device(3, 2), xp.asarray(np.array([2, 0]))
    a[rows] = device(2, 2)
    a[rows, :1] = -1.0
    assert a.get().tolist() == [[-1.0, 3.0], [2.0, 3.0], [-1.0, 1.0]]
    a[xp.asarray(np.array([1, 1]))] = 0.0  # one value: the order cannot matter
    a[rows, xp.asarray(np.array([1, 1]))] = device(2)  # distinct places, though a column repeats
    with pytest.raises(DeviceError, match="repeated"):
        a[xp.asarray(np.array([2, 2])), xp.asarray(np.array([1, 1]))] = device(2)
    with pytest.raises(DeviceError, match=r"numpy\.ndarray"):
        a[rows] = np.zeros((2, 2))
    with knobs.using(host_index=True), counting() as count:
        a[[0, 1]]
    assert count.uploads == 1


def test_metadata() -> None:
    a = device(2, 3, 4)
    assert (a.shape, a.ndim, a.size, a.nbytes, a.itemsize, a.strides) == ((2, 3, 4), 3, 24, 96, 4, (48, 16, 4))
    assert (a.T.shape, a.mT.shape, a.dtype) == ((4, 3, 2), (2, 4, 3), np.float32)
    assert a.flags.c_contiguous
    assert not a.mT.flags.c_contiguous
    assert repr(a.device) == "double:0"
    assert a.device.id == 0


def test_weak_references_work_and_memory_goes_by_reference_counting() -> None:
    a = device(3)
    reference = weakref.ref(a)
    gc.disable()
    try:
        del a
        assert reference() is None
    finally:
        gc.enable()


def test_copies_own_their_memory() -> None:
    host = np.ones(3)
    a = xp.asarray(host)
    twins = [copy.copy(a), copy.deepcopy(a), xp.array(a), a.copy()]
    host[:] = 0
    a[...] = 2.0
    assert all(twin.get().tolist() == [1.0] * 3 for twin in twins)
    assert xp.asarray(a) is a
    a.get()[:] = 0.0
    assert float(a[0]) == 2.0


def test_foreign_operands_get_their_turn() -> None:
    class Tensor:
        __array_ufunc__ = None
        __rmul__ = __req__ = __eq__ = lambda self, other: "tensor"
        __hash__ = None

    assert device(2) * Tensor() == "tensor"
    assert (device(2) == Tensor()) == "tensor"
    assert not (device(2) == object()).get().any()  # all False, as on CuPy


# --- functions with an output, and the namespace ---


def test_functions_with_an_output_return_it() -> None:
    a, out = device(2, 2), xp.empty((2, 2), dtype=xp.float32)
    for function in (xp.dot, xp.matmul, xp.add):
        assert function(a, a, out=out) is out
    np.testing.assert_array_equal(xp.matmul(a, a, out=out).get(), a.get() @ a.get())
    assert xp.sum(a, axis=0, out=out[0]).get().tolist() == out[0].get().tolist() == [2.0, 4.0]
    assert xp.copyto(out, 3.0) is None
    xp.copyto(out[0], a[1])
    assert out.get().tolist() == [[2.0, 3.0], [3.0, 3.0]]
    with pytest.raises(AttributeError):
        xp.matmul.at  # noqa: B018  (a function in CuPy, not a ufunc)


def test_as_strided_has_no_writeable() -> None:
    a = device(6)
    windows = xp.lib.stride_tricks.as_strided(a, shape=(4, 3), strides=(4, 4))
    assert windows.get()[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(DeviceError, match="writeable"):
        xp.lib.stride_tricks.as_strided(a, shape=(4, 3), strides=(4, 4), writeable=False)


@pytest.mark.parametrize(
    "code",
    ["xp.add(a, a, where=a > 0)", "xp.add(a, a, order='F')", "xp.sum(2.0)", "xp.max([1.0, 2.0])", "xp.dot(a, 2.0)",
     "xp.zeros((i[0], 2))", "a.reshape(i[0], 5)", "xp.concatenate([a, h])", "xp.take(a, [0, 1])", "a.item(0)",
     "xp.take(a, i, 0, None, 'clip')", "xp.ascontiguousarray(h)", "a + [1.0]", "a[0] = [1.0] * 5",
     "xp.array([a[0], h[0]])", "xp.add.at(a, i, h)", "a.fill(h)",
     "xp.broadcast_to(a, (2, 4, 5))[...] = 0", "a[i] += 1.0 * a[i]", "hash(a)", "a.note = 1"],
)  # fmt: skip
def test_also_refused(code: str) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        execute(code, xp)


def test_the_namespace_holds_what_cupy_holds() -> None:
    assert xp.float32 is np.float32
    assert xp.newaxis is None
    assert not hasattr(xp, "vecdot")
    assert not hasattr(xp, "RawKernel")  # in CuPy, but nothing can play it here
    assert {"einsum", "pad", "fuse"} <= set(dir(xp))
    assert xp.get_array_module(device(1)) is xp
    assert xp.get_array_module(np.ones(1)) is np
    assert xp.finfo(xp.float32).eps == np.finfo(np.float32).eps


@pytest.mark.parametrize(
    "call",
    ["concatenate([a, a], axis=1)", "stack([a, a], axis=-1)", "pad(a, ((1, 0), (0, 2)))", "where(a > 0, a, 0)",
     "take(a, i, axis=0)", "flip(a)", "roll(a, 2, axis=1)", "tril(a)", "triu(a)", "cumsum(a)", "sort(a)", "argsort(a)",
     "argmax(a)", "arange(5, dtype=xp.float32)", "eye(3)", "full((2, 3), 0.5, dtype=xp.float32)", "ones((2, 3))"],
)  # fmt: skip
def test_functions_agree_with_numpy(call: str) -> None:
    expected, found = (eval(f"xp.{call}", scope(namespace)) for namespace in (np, xp))
    assert isinstance(found, DeviceArray)
    np.testing.assert_array_equal(found.get(), expected)
    assert found.dtype == expected.dtype
