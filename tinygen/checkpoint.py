"""Floor 7. Saving nested states to one file that nobody has to trust.

A file is an ordinary .npz (or .safetensors) archive: each array under its path in the state, and a JSON text that
says what the state looked like.  Nothing is pickled, so nothing in a file can run.  A SHA-256 checksum of the whole
file stands inside it: one changed or missing byte, and the file is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygen.backend import to_host
from tinygen.tensor import raw

_VERSION = 1
_HEADER = "__tinygen__"  # the entry that holds the JSON text
_SEAL = b"tinygen-sha256:"  # is followed by the checksum of all bytes but its own 64
_ARRAY = "__array__"  # {"__array__": name} stands for an array in the JSON text

Arrays = dict[str, np.ndarray]


def save(path: str | os.PathLike[str], state: Any, *, kind: str = "state") -> None:
    """Write nested dictionaries and lists of arrays, tensors, numbers, strings and None to ``path``.

    A path that ends in ``.safetensors`` makes that format (extra ``safetensors``), any other makes an .npz archive,
    which ``numpy.load`` reads as well.  ``kind`` says what the file is for, and :func:`load` can insist on it.
    Whoever reads ``path`` finds the old file or the new one, never a part: the new one is written beside it, flushed
    to the disk and then renamed.  Raises TypeError for what cannot be written.

    >>> import tempfile, tinygen as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save(f"{folder}/state.npz", {"weight": tg.ones(2), "step": 7})
    ...     tg.load(f"{folder}/state.npz")
    {'weight': array([1., 1.], dtype=float32), 'step': 7}
    """
    path, arrays = Path(path), Arrays()
    header = {"version": _VERSION, "kind": kind, "state": _taken_apart(state, (), arrays)}
    arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    replace_file(path, _sealed(_safetensors_bytes(arrays) if _is_safetensors(path) else _npz_bytes(arrays), path))


def load(path: str | os.PathLike[str], *, kind: str | None = None) -> Any:
    """Read what :func:`save` wrote.  Tensors and arrays come back as NumPy arrays, tuples as lists.

    Raises ValueError, with the reason, for a file that is damaged, foreign, of another version or (if ``kind`` is
    given) of another kind.
    """
    path = Path(path)
    data = path.read_bytes()
    damage = _damage(data, path)
    if damage:
        raise ValueError(f"load: {path} {damage}")
    try:
        arrays = _safetensors_arrays(data) if _is_safetensors(path) else _npz_arrays(data)
        header = json.loads(arrays.pop(_HEADER).tobytes())
        version, found, state = header["version"], header["kind"], header["state"]
        whole = _put_together(state, arrays) if version == _VERSION else None
    except ImportError:
        raise
    except Exception as error:  # zipfile, NumPy, safetensors and JSON each have their own
        raise ValueError(f"load: {path} is not laid out as a file of tinygen: {error!r}") from error
    if version != _VERSION:
        raise ValueError(f"load: {path} has version {version!r} of the format, this tinygen reads {_VERSION}")
    if kind not in (None, found):
        raise ValueError(f"load: {path} holds a {found!r}, but a {kind!r} is needed")
    return whole


def replace_file(path: Path, data: bytes | bytearray) -> None:
    """Write a file under another name, flush it to the disk and rename it: a part of it never stands under ``path``.

    The other name is always the same, so that what a killed process left behind is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


# --- the state as a JSON text and arrays -------------------------------------------------------------------------


def _taken_apart(value: Any, path: tuple[str, ...], arrays: Arrays) -> Any:
    """``value`` with a reference for each array, which goes into ``arrays``."""
    here = "/".join(path) or "the state"
    value = raw(value)
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) or key == _ARRAY for key in value):
            raise TypeError(f"save: keys of {here} must be strings (other than {_ARRAY!r}), got {list(value)}")
        return {key: _taken_apart(part, (*path, key), arrays) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_taken_apart(part, (*path, str(i)), arrays) for i, part in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if not hasattr(value, "dtype"):
        raise TypeError(f"save: {here} is a {type(value).__name__}, which cannot be written; give its state_dict()")
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise TypeError(f"save: {here} is an array of {value.dtype}; give numbers or booleans of at most 64 bits")
    name = _entry_name(here, arrays)
    arrays[name] = np.asarray(to_host(value), order="C")
    return {_ARRAY: name}


def _entry_name(path: str, arrays: Arrays) -> str:
    """The path if it makes a good name in an archive, else a number (with a space, which no good name has)."""
    good = re.fullmatch(r"[\w./-]+", path, re.ASCII) and not path.startswith("__") and path not in arrays
    return path if good else f"array {len(arrays)}"


def _put_together(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _put_together(part, arrays) for key, part in value.items()}
    return [_put_together(part, arrays) for part in value] if isinstance(value, list) else value


# --- the seal ----------------------------------------------------------------------------------------------------


def _checksum_at(data: bytes | bytearray, path: Path) -> int:
    """Where the checksum stands: last in an .npz (its comment), in the header, so first, in safetensors; -1: nowhere.

    User data cannot come before or after it, nor can a name of an entry look like it.
    """
    found = data.find(_SEAL) if _is_safetensors(path) else data.rfind(_SEAL)
    return -1 if found < 0 or found + len(_SEAL) + 64 > len(data) else found + len(_SEAL)


def _checksum(data: bytes | bytearray, at: int) -> bytes:
    whole, view = hashlib.sha256(), memoryview(data)
    whole.update(view[:at])
    whole.update(view[at + 64 :])
    return whole.hexdigest().encode()


def _sealed(data: bytes, path: Path) -> bytearray:
    """The archive with its checksum in place of 64 zeros."""
    archive = bytearray(data)
    at = _checksum_at(archive, path)
    archive[at : at + 64] = _checksum(archive, at)
    return archive


def _damage(data: bytes, path: Path) -> str:
    """What is wrong with the bytes of a file, or nothing."""
    at = _checksum_at(data, path)
    if at < 0:
        return "carries no checksum of tinygen: it was written by something else, or it is damaged"
    return "" if data[at : at + 64] == _checksum(data, at) else "is damaged: its bytes do not have its checksum"


# --- the archives ------------------------------------------------------------------------------------------------


def _npz_bytes(arrays: Arrays) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():  # ZipInfo's date is always the same: equal states give equal files
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        file.comment = _SEAL + b"0" * 64
    return archive.getvalue()


def _npz_arrays(data: bytes) -> Arrays:
    arrays = Arrays()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for name in file.namelist():
            with file.open(name) as entry:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(entry, allow_pickle=False)
    return arrays


def _is_safetensors(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _safetensors_bytes(arrays: Arrays) -> bytes:
    written: bytes = _safetensors().save(arrays, metadata={"seal": (_SEAL + b"0" * 64).decode()})
    return written


def _safetensors_arrays(data: bytes) -> Arrays:
    return dict(_safetensors().load(data))


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "files that end in .safetensors need the safetensors package: pip install 'tinygen[safetensors]'; "
            "files that end in .npz need nothing"
        ) from error
    return safetensors.numpy
