"""Floor 7. Saving nested states to one file: .npz with JSON inside, nothing pickled, never half written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygen.backend import to_host
from tinygen.tensor import Tensor

_STRUCTURE = "__structure__"


def save(path: str | os.PathLike[str], state: Any) -> None:
    """Write nested dictionaries and lists of arrays, tensors, numbers, strings and None.

    The file is written under another name, flushed to the disk and then renamed: whoever reads finds the old
    file or the new one, never a part.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            if any(not isinstance(key, str) or key == "__array__" for key in value):
                raise TypeError(f"save: keys must be strings (other than '__array__'), got {list(value)}")
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Tensor) or hasattr(value, "dtype"):
            name = f"array{len(arrays)}"
            arrays[name] = to_host(value._data if isinstance(value, Tensor) else value)
            return {"__array__": name}
        if isinstance(value, (bool, int, float, str, type(None))):
            return value
        raise TypeError(f"save: cannot write a {type(value).__name__}; give its state_dict()")

    structure = json.dumps(plain(state))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{_STRUCTURE: np.frombuffer(structure.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote; arrays come back as NumPy arrays."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        structure = json.loads(arrays.pop(_STRUCTURE).tobytes())
        return _nested(structure, arrays)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, zlib, NumPy and JSON each have their own
        raise ValueError(f"load: {path} is not a file written by tinygen, or it is damaged ({error})") from error


def _nested(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]]
        return {key: _nested(part, arrays) for key, part in value.items()}
    return [_nested(part, arrays) for part in value] if isinstance(value, list) else value
