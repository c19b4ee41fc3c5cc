"""Write a bundled file: a .npz that any NumPy reads, packed by LZMA, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

FILES = Path(__file__).parents[2] / "tinygen" / "data" / "files"


def source() -> Path:
    """The folder with the unpacked originals: the script's argument."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python {sys.argv[0]} FOLDER_OF_ORIGINALS")
    return Path(sys.argv[1])


def write(name: str, **arrays: np.ndarray) -> None:
    """Write ``files/name.npz`` and print the line for ``tinygen/data/bundled.py``."""
    path = FILES / f"{name}.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), compress_type=zipfile.ZIP_LZMA)
    print(f'    "{name}": "{hashlib.sha256(path.read_bytes()).hexdigest()}",  # {path.stat().st_size:,} bytes')


def pack_nibbles(values: np.ndarray) -> np.ndarray:
    """Values 0 … 15, two a byte along the last axis, the first in the high half."""
    return (values[..., ::2] << 4 | values[..., 1::2]).astype(np.uint8)
