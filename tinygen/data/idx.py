"""Floor 5. The IDX format of MNIST and its relatives: a header of big-endian numbers, then the values.

Two zero bytes, a byte for the type, a byte for the number of axes, four bytes for each length, the values.
"""

from __future__ import annotations

import math

import numpy as np

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The array in the bytes of an IDX file; ``name`` is the file that an error names.

    Raises ValueError for whatever is not an IDX file of exactly the length that its header tells.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7]), "two.idx")
    array([5, 7], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or content[3] == 0:
        raise ValueError(f"{name}: not an IDX file, it begins with {content[:4].hex(' ') or 'nothing'}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{name}: truncated inside its header, after {len(content)} bytes of {start}")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", content[3], 4))
    dtype = np.dtype(_TYPES[content[2]]).newbyteorder(">")
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        kind = "truncated" if len(content) < expected else "too long"
        raise ValueError(f"{name}: {kind}, {len(content)} bytes where {dtype.name} of shape {shape} takes {expected}")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
