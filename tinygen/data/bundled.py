"""Floor 5. The files that ship with the package: arrays without pickle, checked before they are opened.

``files/NOTICE.txt`` says where each comes from and under which licence; ``docs/data`` holds the scripts that made them.
"""

from __future__ import annotations

import hashlib
import io
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

FILES: Traversable = resources.files("tinygen.data") / "files"
SHA256 = {
    "digits8": "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e",
    "faces": "92bb14d45f9f19bbb8458e4a02db3b7a58ab4b6382eb0ae4ae1c8b57bdabd58b",
    "glyphs": "7f28777b47e08794bb001fee775a385048cd26a605ae10cac8725471e8351e96",
    "mnist16": "149a12fb549ecf953929d9b0536dee2da063a0c35407811ee37d1b4bd605ffb3",
    "spoken_digits": "b8922605c4af8a9feff14780381ba417f6839024d5ec3129c129268512b059db",
    "wordnet": "230b51051b15b94ac703108fa751c78b5d732f3e687e2818df25f777267c91e6",
}


def read(name: str, folder: Traversable = FILES) -> dict[str, np.ndarray]:
    """The arrays of ``name.npz``.  Raises FileNotFoundError without it, ValueError if it differs by a single bit."""
    file = folder / f"{name}.npz"
    raw = file.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256[name]:
        raise ValueError(f"{file} is damaged: it is not the file that ships with tinygen; install tinygen again")
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        return dict(arrays)


def unpack_nibbles(packed: np.ndarray) -> np.ndarray:
    """The values 0 … 15 packed two a byte along the last axis, the first in the high half."""
    return np.stack([packed >> 4, packed & 15], axis=-1).reshape(*packed.shape[:-1], -1)
