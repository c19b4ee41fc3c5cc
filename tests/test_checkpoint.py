"""Files come back as they were written, or they are refused with the reason."""

from __future__ import annotations

import io
import json
import pickle
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygen as tg
from tinygen import checkpoint

SUFFIXES = (".npz", ".safetensors")
STATE = {
    "weights": {"encoder.0.weight": np.arange(12.0, dtype=np.float32).reshape(3, 4)},
    "moments": [np.zeros((2, 0)), np.array(7), np.array([True, False])],
    "step": 12,
    "note": "é\0",
}

DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
NUMBERS = st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text(max_size=8)
STATES = st.recursive(
    NUMBERS | ARRAYS | ARRAYS.map(lambda array: array.T),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=6), parts, max_size=3),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, NaN and the sign of zero included."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


@pytest.mark.host
@pytest.mark.parametrize("suffix", SUFFIXES)
@given(state=STATES)
@settings(max_examples=60)
def test_what_is_saved_is_loaded(suffix: str, state: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"round_trip{suffix}"
    tg.save(path, state)
    assert same(state, tg.load(path))
    first = path.read_bytes()
    tg.save(path, state)
    assert path.read_bytes() == first  # nothing of the moment is in a file


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tensors_of_any_device(suffix: str, tmp_path: Path) -> None:
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    tg.save(tmp_path / f"x{suffix}", {"leaf": x, "computed": x * 2, "raw": x.data})
    loaded = tg.load(tmp_path / f"x{suffix}")
    assert all(type(array) is np.ndarray and array.dtype == np.float32 for array in loaded.values())
    np.testing.assert_array_equal(loaded["computed"], [[2.0, 4.0]])


@pytest.mark.host
def test_other_programs_read_the_arrays_under_their_paths(tmp_path: Path) -> None:
    import safetensors.numpy

    for suffix in SUFFIXES:
        tg.save(tmp_path / f"state{suffix}", STATE)
    read = {
        ".npz": np.load(tmp_path / "state.npz"),
        ".safetensors": safetensors.numpy.load_file(tmp_path / "state.safetensors"),
    }
    for arrays in read.values():
        np.testing.assert_array_equal(arrays["weights/encoder.0.weight"], STATE["weights"]["encoder.0.weight"])
    read[".npz"].close()


@pytest.mark.host
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_flipped_cut_swapped_or_added_byte_is_refused(suffix: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{suffix}"
    tg.save(whole, STATE)
    data, chance = whole.read_bytes(), random.Random(0)
    damaged = [data[:cut] for cut in (0, 1, len(data) - 1, *(chance.randrange(len(data)) for _ in range(60)))]
    damaged += [data + extra for extra in (b"\0", b"more", data)] + [b"\0" + data, data[1:]]
    for position in range(len(data)):  # one bit of every byte
        flipped = bytearray(data)
        flipped[position] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for _ in range(100):
        i, j = sorted(chance.sample(range(0, len(data) - 8), 2))
        swapped = bytearray(data)
        swapped[i : i + 8], swapped[j : j + 8] = data[j : j + 8], data[i : i + 8]
        if swapped != data:
            damaged.append(bytes(swapped))
    assert len(damaged) > 800
    path = tmp_path / f"damaged{suffix}"
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged.* (is damaged: its bytes|carries no checksum)"):
            tg.load(path)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "boom"))


def sealed_npz(entries: dict[str, bytes]) -> bytes:
    """An archive of raw entries with a right checksum, as someone malicious would make it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
        file.comment = b"tinygen-sha256:" + b"0" * 64
    return bytes(checkpoint._sealed(archive.getvalue(), Path("x.npz")))


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def header(**changes: Any) -> bytes:
    text = json.dumps({"version": 1, "kind": "state", "state": {"__array__": "a"}} | changes)
    return npy(np.frombuffer(text.encode(), np.uint8))


@pytest.mark.host
def test_a_pickle_with_a_right_checksum_is_refused_and_does_not_run(tmp_path: Path) -> None:
    bomb, path = Bomb(tmp_path / "boom"), tmp_path / "bomb.npz"
    bombs = np.empty(1, object)
    bombs[0] = bomb
    for entries in (
        {"__tinygen__.npy": header(), "a.npy": npy(bombs)},
        {"__tinygen__.npy": npy(bombs)},
        {"__tinygen__.npy": header(), "a.npy": pickle.dumps(bomb)},
    ):
        path.write_bytes(sealed_npz(entries))
        with pytest.raises(ValueError, match="not laid out as a file of tinygen"):
            tg.load(path)
    path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(ValueError, match="no checksum of tinygen"):
        tg.load(path)
    assert not bomb.path.exists()


@pytest.mark.host
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"__tinygen__.npy": header(version=2), "a.npy": npy(np.ones(1))},
            "version 2 of the format, this tinygen reads 1",
        ),
        ({"__tinygen__.npy": header()}, "not laid out"),  # the array it speaks of is not there
        ({"a.npy": npy(np.ones(1))}, "not laid out"),
        ({"__tinygen__.npy": npy(np.frombuffer(b"[1", np.uint8))}, "not laid out"),
        ({"__tinygen__.npy": npy(np.frombuffer(b"[1]", np.uint8))}, "not laid out"),
    ],
)
def test_other_layouts_are_refused(entries: dict[str, bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(sealed_npz(entries))
    with pytest.raises(ValueError, match=message):
        tg.load(path)


@pytest.mark.host
def test_foreign_files_are_refused(tmp_path: Path) -> None:
    import safetensors.numpy

    np.savez(tmp_path / "foreign.npz", a=np.ones(3))
    safetensors.numpy.save_file({"a": np.ones(3)}, tmp_path / "foreign.safetensors")
    tg.save(tmp_path / "ours.npz", STATE)
    (tmp_path / "ours.safetensors").write_bytes((tmp_path / "ours.npz").read_bytes())
    for name in ("foreign.npz", "foreign.safetensors", "ours.safetensors"):
        with pytest.raises(ValueError, match=name):
            tg.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="holds a 'state', but a 'training run' is needed"):
        tg.load(tmp_path / "ours.npz", kind="training run")


@pytest.mark.host
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": object()}}, "a/b is a object"),
        ({1: 2}, "keys of the state must be strings"),
        ({"a": {"__array__": 1}}, "keys of a must be strings"),
        ([np.array(["text"])], "0 is an array of <U4"),
        (np.array([None]), "array of object"),
        (np.ones(1, np.complex64), "array of complex64"),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_old_file_stays(state: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    tg.save(path, STATE)
    with pytest.raises(TypeError, match=message):
        tg.save(path, state)
    assert same(STATE, tg.load(path))


@pytest.mark.host
def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.npz"
    tg.save(path, STATE)

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        tg.save(path, {"new": 1})
    monkeypatch.undo()
    assert same(STATE, tg.load(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.host
def test_without_safetensors_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tg.save(tmp_path / "state.safetensors", STATE)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for use in (lambda path: tg.save(path, STATE), tg.load):
        with pytest.raises(ImportError, match=r"pip install 'tinygen\[safetensors\]'"):
            use(tmp_path / "state.safetensors")
