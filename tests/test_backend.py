"""Devices: where tensors are made, what moves them, and that nothing but ``backend`` knows a second library."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import close, host, on, raw
from double import DeviceArray, counting, no_sync
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import backend

PACKAGE = Path(tg.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
API = json.loads(Path(__file__).with_name("double").joinpath("cupy_api.json").read_text())


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints; CuPy cannot be imported there, as on a machine without a GPU."""
    blocked = "import sys; sys.modules['cupy'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + code],
        capture_output=True, text=True, check=False, cwd=PACKAGE.parent, env={"PATH": "/usr/bin", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- devices -------------------------------------------------------------------------------------------------------


def test_new_tensors_are_made_on_the_device(device: str) -> None:
    made = [
        tg.tensor(1.0), tg.tensor([1.0]), tg.tensor(np.ones(2)), tg.zeros(2), tg.ones(2), tg.full((2,), 1.0), tg.eye(2),
        tg.arange(3), tg.linspace(0.0, 1.0, 3),
    ]  # fmt: skip
    assert [t.device for t in made] == [device] * len(made)


@pytest.fixture
def default_device() -> Iterator[None]:
    before = backend._default_device
    yield
    backend._default_device = before


@pytest.mark.host
@pytest.mark.usefixtures("default_device")
def test_context_wins_over_default() -> None:
    tg.set_default_device("double")
    assert tg.zeros(1).device == "double"
    with tg.device("cpu") as name:
        assert name == "cpu"
        assert tg.zeros(1).device == "cpu"
        with tg.device("double"):
            assert tg.zeros(1).device == "double"
        assert tg.zeros(1).device == "cpu"
        assert tg.zeros(1, device="double").device == "double"
        with pytest.raises(KeyError), tg.device("double"):
            raise KeyError
        assert tg.zeros(1).device == "cpu"
    assert tg.zeros(1).device == "double"


@pytest.mark.host
def test_context_is_local_to_its_thread() -> None:
    seen: list[str] = []
    with tg.device("double"):
        thread = threading.Thread(target=lambda: seen.append(tg.zeros(1).device))
        thread.start()
        thread.join()
    assert seen == ["cpu"]


@pytest.mark.host
def test_environment_variable_sets_the_default() -> None:
    assert python("import tinygen as tg; print(tg.zeros(1).device)", TINYGEN_DEVICE="cpu") == "cpu"
    code = """
import tinygen as tg
assert tg.zeros(1, device="cpu").device == "cpu"
for make in (lambda: tg.zeros(1), lambda: tg.tensor(1.0)):
    try:
        make()
    except RuntimeError as error:
        print(error)
"""
    said = python(code, TINYGEN_DEVICE="cuda").splitlines()
    assert len(said) == 2
    assert all("CuPy" in line and "tinygen[cuda12]" in line for line in said)
    assert "'nonsense'" in python(
        "import tinygen as tg\ntry: tg.zeros(1)\nexcept ValueError as e: print(e)", TINYGEN_DEVICE="nonsense"
    )


@pytest.mark.host
@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "", "cpu:", "CPU", "cuda:1:2", "cpu:x"])
def test_unknown_devices(name: str) -> None:
    for use in (
        lambda: tg.zeros(1, device=name or "?"),
        lambda: tg.set_default_device(name),
        lambda: tg.device(name).__enter__(),
    ):
        with pytest.raises(ValueError, match=r"unknown device.*'cpu', 'cuda' and 'cuda:N'"):
            use()


@pytest.mark.host
def test_cpu_has_one_device() -> None:
    with pytest.raises((ValueError, RuntimeError), match="cpu:1"):
        tg.zeros(1, device="cpu:1")


@pytest.mark.host
def test_cuda_without_cupy() -> None:
    code = """
import tinygen as tg
print(tg.cuda_is_available())
for use in (
    lambda: tg.zeros(1, device="cuda"),
    lambda: tg.tensor([1.0]).to("cuda:1"),
    lambda: tg.set_default_device("cuda"),
    lambda: tg.device("cuda").__enter__(),
    lambda: tg.tensor(1.0, device="cuda"),
):
    try:
        use()
    except RuntimeError as error:
        print(error)
print(tg.zeros(1).device)
"""
    first, *said, last = python(code).splitlines()
    assert (first, last, len(said)) == ("False", "cpu", 5)
    assert set(said) == {
        "device 'cuda' needs CuPy, which is not installed: pip install 'tinygen[cuda12]' or 'tinygen[cuda13]'"
    }


@pytest.mark.host
def test_import_loads_nothing_but_numpy() -> None:
    code = """
import tinygen as tg
x = tg.tensor([1.0], requires_grad=True)
(x * x).backward()
heavy = ("cupy", "matplotlib", "hypothesis", "tqdm", "scipy", "torch", "pytest")
print(" ".join(name for name in heavy if sys.modules.get(name)))
"""
    assert python(code) == ""


# --- moving --------------------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("there", ["cpu", "double"])
@pytest.mark.parametrize("here", ["cpu", "double"])
def test_to_moves_values_and_gradients(here: str, there: str) -> None:
    x = on(here, np.array([1.0, 2.0]), requires_grad=True)
    y = x.to(there)
    assert y.device == there
    close(y, np.array([1.0, 2.0]))
    (g,) = tg.grad(tg.sum(y * on(there, np.array([3.0, 4.0]))), x, create_graph=True)
    assert g.device == here
    close(g, np.array([3.0, 4.0]))
    (y * y).to(here).sum().backward()
    assert x.grad.device == here
    close(x.grad, np.array([2.0, 4.0]))
    close(tg.to(raw(here, np.ones(2)), there), np.ones(2))


@pytest.mark.host
def test_tensor_goes_to_the_default_device_or_stays_on_its_own() -> None:
    there, array = raw("double", np.ones(2)), np.ones(2)
    with tg.device("cpu"):
        assert tg.tensor(there).device == "double"
        assert tg.tensor(tg.Tensor(there)).device == "double"
        assert tg.tensor(there, device="cpu").device == "cpu"
        assert tg.tensor(array).device == "cpu"
    with tg.device("double"):
        assert tg.tensor(array).device == "double"
        assert tg.tensor(tg.Tensor(array)).device == "double"
        assert tg.tensor(array, device="cpu").device == "cpu"


@pytest.mark.host
def test_the_array_decides_where_an_operation_runs() -> None:
    """The default device does not matter to operations: all of a chain stays where its input lives."""
    for here, other in (("cpu", "double"), ("double", "cpu")):
        x = on(here, np.ones((2, 3)), requires_grad=True)
        with tg.device(other):
            y = tg.mean(tg.softmax(tg.linear(x, x) * 2.0 + 1.0)[:, 0])
            assert y.device == here
            (g,) = tg.grad(y, x, create_graph=True)
            assert g.device == here
            y.backward()
            assert x.grad.device == here
            assert tg.one_hot(raw(here, np.array([0])), 2)[0].shape == (2,)
            assert tg.zeros_like(x).device == tg.full_like(x, 2.0).device == here


# --- the differences between the libraries -------------------------------------------------------------------------


@given(data=st.data())
def test_add_at_accumulates(data: st.DataObject, device: str) -> None:
    positions = data.draw(st.lists(st.integers(0, 4), max_size=12))
    for dtype in (np.float16, np.float32, np.float64, np.int64):
        values = np.arange(1, len(positions) + 1).astype(dtype)
        with no_sync():
            found = backend.add_at(5, raw(device, np.array(positions, np.int64)), raw(device, values))
        expected = np.zeros(5, dtype)
        np.add.at(expected, np.array(positions, int), values)
        close(found, expected)


@given(
    batch=st.lists(st.integers(0, 3), max_size=2),
    rows=st.integers(0, 3),
    inner=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_matmul_of_a_stack_and_a_matrix(batch: list[int], rows: int, inner: int, seed: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(*batch, rows, inner)), rng.normal(size=(inner, 2))
    close(backend.stacked_matmul(raw(device, a), raw(device, b)), a @ b)


@given(
    order=st.permutations(range(4)), axis=st.sets(st.integers(0, 3)), keepdims=st.booleans(), seed=st.integers(0, 99)
)
def test_sums_do_not_depend_on_the_order_in_memory(
    order: list[int], axis: set[int], keepdims: bool, seed: int, device: str
) -> None:
    """9 × 3 × 11 × 16 elements, enough for the sum in two parts; exact in float64, for the numbers are whole."""
    whole = np.random.default_rng(seed).integers(-9, 10, (9, 3, 11, 16)).astype(np.float64)
    laid_out = np.ascontiguousarray(whole.transpose(order)).transpose(np.argsort(order))
    sums = backend.sum_over(raw(device, laid_out), tuple(axis), keepdims)
    expected = whole.sum(axis=tuple(axis), keepdims=keepdims)
    np.testing.assert_array_equal(host(sums), expected)


@pytest.mark.host
def test_sums_over_images_round_little() -> None:
    """Channels last, 2¹⁴ numbers near 1 each: one long chain of additions would be wrong by some 1e-5."""
    images = np.random.default_rng(0).uniform(0.5, 1.5, (64, 16, 16, 8)).astype(np.float32).transpose(0, 3, 1, 2)
    sums = backend.sum_over(images, (0, 2, 3), False)
    np.testing.assert_allclose(sums, images.astype(np.float64).sum(axis=(0, 2, 3)), rtol=1e-6)


def test_solve_broadcasts(device: str) -> None:
    rng = np.random.default_rng(0)
    for first, second in (((), (3,)), ((3,), ()), ((2, 1), (1, 3)), ((1,), (3,))):
        a, b = rng.normal(size=(*first, 2, 2)), rng.normal(size=(*second, 2, 4))
        close(backend.stacked_solve(raw(device, a), raw(device, b)), np.linalg.solve(a, b))


@pytest.mark.host
@pytest.mark.parametrize("data", [1.0, 1, True, np.float32(1.0), np.ones(1), np.memmap])
def test_host_values_are_numpys(data: Any, tmp_path: Path) -> None:
    if data is np.memmap:
        data = np.memmap(tmp_path / "array", dtype=np.float32, mode="w+", shape=(2,))
    assert backend.namespace(data) is np
    assert backend.device_of(data) == "cpu"
    assert backend.checks_values(data)


@pytest.mark.host
@pytest.mark.parametrize("data", [None, "a", [1.0], (1.0,), {1: 2.0}, object()])
def test_what_is_no_array(data: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"expected a tensor, an array or a number, got {type(data).__name__}.*tg\.tensor"
    ):
        backend.library(data)


@pytest.mark.host
def test_subclasses_of_ndarray_are_accepted() -> None:
    class Mine(np.ndarray):
        pass

    x = tg.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True)
    y = x * np.ones(2).view(Mine)
    assert type(y.numpy()) is np.ndarray
    close(tg.grad(tg.sum(y), x)[0], np.ones(2))


@pytest.mark.host
def test_the_double_is_registered() -> None:
    assert backend.library(raw("double", np.ones(1))).array_type is DeviceArray
    with counting() as count:
        array = raw("double", np.ones(3))
        host(array * 2.0)
    assert (count.uploads, count.synchronisations) == (1, 1)


# --- every name exists in CuPy -------------------------------------------------------------------------------------


def dotted(node: ast.AST) -> list[str]:
    """``xp.linalg.inv`` as ["xp", "linalg", "inv"]; a call of ``namespace`` counts as xp."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    if isinstance(node, ast.Name) and node.id == "xp":
        return ["xp"]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "namespace":
        return ["xp"]
    return ["?"]


def names_of_xp(source: Path) -> set[str]:
    """Every dotted name behind ``xp`` in a file: ``linalg.inv``, ``exp`` …"""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute):
            parts = dotted(node)
            if "xp" in parts[:2]:  # xp.name, or library.xp.name
                found.add(".".join(parts[parts.index("xp") + 1 :]))
    return found - {""}


@pytest.mark.host
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_name_of_xp_exists_in_cupy(source: Path) -> None:
    for name in names_of_xp(source):
        first, _, last = name.rpartition(".")
        if name.partition(".")[0] == "cuda":  # not in the snapshot, which was read without a GPU
            assert source.name in ("backend.py", "philox.py"), f"{source.name}: xp.{name}"
        elif name not in ("lib", *API["names"]):
            names = API["at"] if last == "at" else API["names"]["" if first == "lib" else first]
            assert (first if last == "at" else last) in names or name == "lib.stride_tricks", (
                f"{source.name}: xp.{name}"
            )


@pytest.mark.host
def test_the_walk_over_the_sources_sees_names() -> None:
    seen = set().union(*map(names_of_xp, SOURCES))
    assert {"exp", "linalg.inv", "lib.stride_tricks.as_strided", "zeros"} <= seen


@pytest.mark.host
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_backend_names_cupy(source: Path) -> None:
    """No other file imports CuPy, or reaches for it; comments and docstrings may speak of it."""
    if source.name == "backend.py":
        return
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        assert not any(name.startswith("cupy") for name in [*names, module])
        assert not (isinstance(node, ast.Name) and node.id in ("cupy", "cp"))


@pytest.mark.host
@pytest.mark.parametrize("source", sorted((PACKAGE / "ops").glob("*.py")), ids=lambda path: path.name)
def test_derivative_rules_do_not_read_raw_data(source: Path) -> None:
    """``.data`` of an ndarray is a memoryview and would pass silently; rules work on what they are handed."""
    for node in ast.walk(ast.parse(source.read_text())):
        assert not (isinstance(node, ast.Attribute) and node.attr == "data"), f"{source.name}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "derivatives":
            for inner in ast.walk(node):
                assert not (isinstance(inner, ast.Attribute) and inner.attr == "_data"), f"{source.name}:{inner.lineno}"
