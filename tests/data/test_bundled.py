"""The files that ship: complete, unchanged, small, and refused when damaged."""

from __future__ import annotations

import doctest
import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data import bundled

pytestmark = pytest.mark.host
FOLDER = Path(str(bundled.FILES))


@pytest.mark.parametrize("name", sorted(bundled.SHA256))
def test_is_read_without_pickle_and_named_in_the_notice(name: str) -> None:
    arrays = bundled.read(name)
    assert arrays
    assert all(array.dtype != object and array.size for array in arrays.values())
    assert f"{name}.npz" in (FOLDER / "NOTICE.txt").read_text("utf-8")


def test_every_file_has_a_checksum_and_all_are_small() -> None:
    files = list(FOLDER.iterdir())
    assert {file.stem for file in files if file.suffix == ".npz"} == set(bundled.SHA256)
    assert sum(file.stat().st_size for file in files) < 1_100_000  # of the 3 MB that the installed package may have


@given(
    name=st.sampled_from(sorted(bundled.SHA256)), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7),
    cut=st.booleans(),
)  # fmt: skip
@settings(max_examples=200)
def test_a_damaged_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bit: int, cut: bool
) -> None:
    raw = bytearray((FOLDER / f"{name}.npz").read_bytes())
    position = int(place * len(raw))
    if cut:
        del raw[position:]
    else:
        raw[position] ^= 1 << bit
    folder = tmp_path_factory.mktemp("damaged")
    (folder / f"{name}.npz").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"{name}\.npz is damaged.*install tinygen again"):
        bundled.read(name, folder)


def test_a_pickle_and_another_file_in_its_place_are_refused(tmp_path: Path) -> None:
    class Executes:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("a pickle was executed",))

    foreign = io.BytesIO()
    np.savez(foreign, images=np.array([Executes()], dtype=object))
    for raw in (foreign.getvalue(), (FOLDER / "glyphs.npz").read_bytes()):
        (tmp_path / "faces.npz").write_bytes(raw)
        with pytest.raises(ValueError, match=r"faces\.npz is damaged"):
            bundled.read("faces", tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"faces\.npz"):
        bundled.read("faces", tmp_path)


@given(values=st.lists(st.integers(0, 15), max_size=8).filter(lambda values: len(values) % 2 == 0))
def test_nibbles_are_unpacked_in_order(values: list[int]) -> None:
    packed = np.array([16 * high + low for high, low in zip(values[::2], values[1::2], strict=True)], np.uint8)
    assert bundled.unpack_nibbles(packed).tolist() == values


@pytest.mark.parametrize("name", ["digits8", "mnist16", "faces", "glyphs", "wordnet", "spoken_digits"])
def test_load_finds_each_set(name: str) -> None:
    module = {"digits8": "images", "mnist16": "images", "wordnet": "text", "spoken_digits": "sounds"}.get(name, name)
    loader = getattr(importlib.import_module(f"tinygen.data.{module}"), name)
    loaded, direct = tg.data.load(name), loader()
    assert type(loaded) is type(direct)
    assert len(loaded[0]) == len(direct[0])


@pytest.mark.parametrize("module", ["images", "faces", "glyphs", "text", "sounds"])
def test_the_examples_of_the_docstrings_run(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"tinygen.data.{module}"))
    assert tried > 0
    assert failed == 0
