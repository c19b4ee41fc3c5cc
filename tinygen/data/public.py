"""Floor 5. Well-known sets that do not ship: MNIST and Fashion-MNIST at 28 × 28, text8, tiny Shakespeare.

Each loader looks in ``data_dir``, in the folder that the environment variable TINYGEN_DATA names, in the user's
cache folder, and where Debian puts it; in each folder also in the subfolders that tinygen and torchvision make.  Only
with ``download=True`` does it then download (into the first of these folders that is given, else the cache).
Checksums are those of the unpacked files: official archives, Debian's, npm's and torchvision's are all the same.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinygen.backend import default_dtype
from tinygen.data import remote
from tinygen.data.idx import parse_idx
from tinygen.data.images import Images
from tinygen.data.remote import RemoteFile

PathLike = str | os.PathLike[str]

_MNIST_SERVERS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_FASHION_SERVERS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _idx_files(servers: Sequence[str], *sha256: str) -> dict[str, tuple[RemoteFile, RemoteFile]]:
    """Images and labels of each split; all sets in this format have files of the same names and sizes."""
    names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    sizes = [47_040_016, 60_008, 7_840_016, 10_008]
    files = [
        RemoteFile(name, size, digest, tuple(f"{server}{name}.gz" for server in servers), archive=f"{name}.gz")
        for name, size, digest in zip(names, sizes, sha256, strict=True)
    ]
    return {"train": (files[0], files[1]), "test": (files[2], files[3])}


MNIST = _idx_files(
    _MNIST_SERVERS,
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION = _idx_files(
    _FASHION_SERVERS,
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
TEXT8 = RemoteFile(
    "text8.zip",
    31_344_016,
    "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    ("http://mattmahoney.net/dc/text8.zip",),
)
SHAKESPEARE = RemoteFile(
    "tinyshakespeare.txt",
    1_115_394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
)

_DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")


def mnist(
    split: str = "train", *, data_dir: PathLike | None = None, download: bool = False, progress: bool = True
) -> Images:
    """Handwritten digits (LeCun, Cortes, Burges; CC BY-SA 3.0): 60,000 to train, 10,000 to test, 1 × 28 × 28.

    Without the files (and without ``download``, or offline) a UserWarning says how to get them, and the digits are
    those that ship: ``mnist16``.  Raises ValueError for another split or a damaged file.
    """
    return _images("mnist", MNIST, ("mnist", "MNIST/raw"), split, data_dir, download, progress)


def fashion(
    split: str = "train", *, data_dir: PathLike | None = None, download: bool = False, progress: bool = True
) -> Images:
    """Fashion-MNIST (Zalando, MIT licence): clothes in ten classes, as many and as large as :func:`mnist`.

    Without the files (and without ``download``, or offline) a UserWarning says how to get them, and what comes back
    are the digits that ship: ``mnist16``.  Debian's package dataset-fashion-mnist has the files.  Raises ValueError
    for another split or a damaged file.
    """
    return _images("fashion", FASHION, ("fashion", "FashionMNIST/raw"), split, data_dir, download, progress)


def text8(*, data_dir: PathLike | None = None, download: bool = False, progress: bool = True) -> str:
    """100,000,000 characters of the English Wikipedia of 2006 (M. Mahoney): lower-case letters and blanks.

    Raises FileNotFoundError without the file, ConnectionError if it cannot be downloaded, ValueError if damaged.
    """
    packed = _obtain("text8", TEXT8, ("text8",), data_dir, download, progress)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return archive.read("text8").decode("ascii")


def shakespeare(*, data_dir: PathLike | None = None, download: bool = False, progress: bool = True) -> str:
    """1,115,394 characters of plays (the "tiny Shakespeare" of char-rnn).  Errors as :func:`text8`."""
    return _obtain("shakespeare", SHAKESPEARE, ("shakespeare",), data_dir, download, progress).decode("ascii")


def _images(
    name: str,
    files: dict[str, tuple[RemoteFile, RemoteFile]],
    subfolders: tuple[str, ...],
    split: str,
    data_dir: PathLike | None,
    download: bool,
    progress: bool,
) -> Images:
    if split not in files:
        raise ValueError(f"load: {name!r} has no split {split!r}; it has {', '.join(files)}")
    try:
        pixels, labels = (
            parse_idx(_obtain(name, file, subfolders, data_dir, download, progress), file.name) for file in files[split]
        )
    except (FileNotFoundError, ConnectionError) as error:
        from tinygen.data.loading import load

        warnings.warn(f"{error}. Here are the bundled digits 'mnist16' (16 × 16) instead.", UserWarning, stacklevel=5)
        bundled: Images = load("mnist16", split=split)
        return bundled
    return Images(pixels[:, None].astype(default_dtype()) / 255, labels.astype(np.int64))


def _obtain(
    name: str,
    file: RemoteFile,
    subfolders: tuple[str, ...],
    data_dir: PathLike | None,
    download: bool,
    progress: bool,
) -> bytes:
    """The content of one file, from this machine or, if asked, from the network."""
    folders = remote.folders(data_dir)
    places = [place for folder in folders for place in (*(folder / sub for sub in subfolders), folder)]
    found = remote.find(file, places + [_DEBIAN_FASHION] * (name == "fashion"))
    if found is not None:
        return found
    if download:
        return remote.download(file, folders[0] / subfolders[0], progress=progress)
    raise FileNotFoundError(
        f"load: {file.name} of {name!r} is not on this machine (looked in {', '.join(map(str, folders))}); "
        f"use load({name!r}, download=True), or name a folder that has it by data_dir=... or TINYGEN_DATA"
    )
