"""The bundled digits: shapes, ranges, classes, the very pictures, and no test picture among the training pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import tinygen as tg
from tinygen.data.images import Images, digits8, mnist16

pytestmark = pytest.mark.host


def checksum(images: np.ndarray, levels: int) -> str:
    """SHA-256 of the whole-number pixels, row by row; fails if a value is not a whole number of levels."""
    exact = images * levels
    assert np.abs(exact - np.rint(exact)).max() < 1e-5  # float32 keeps 7 digits, the largest level has 2
    return hashlib.sha256(np.rint(exact).astype(np.uint8).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("loaded", "shape", "levels", "pixels", "labels"),
    [
        (digits8(), (1797, 1, 8, 8), 16, "8f26b2bd9d135c25", "8ba4f891220f5e4c"),
        (mnist16(), (10_000, 1, 16, 16), 15, "02fbe18a09286b16", "2f345bad07338ec5"),
        (mnist16(split="test"), (5_000, 1, 16, 16), 15, "6d32cc5517c3fbef", "23e83d84e6b636db"),
    ],
    ids=["digits8", "mnist16 train", "mnist16 test"],
)
def test_the_very_pictures(loaded: Images, shape: tuple[int, ...], levels: int, pixels: str, labels: str) -> None:
    assert loaded.images.shape == shape
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.float32, np.int64)
    assert (loaded.images.min(), loaded.images.max()) == (0, 1)
    assert checksum(loaded.images, levels) == pixels
    assert hashlib.sha256(loaded.labels.astype(np.uint8).tobytes()).hexdigest()[:16] == labels


def test_classes_are_those_of_the_originals() -> None:
    assert np.bincount(digits8().labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # The first 10,000 labels of MNIST, as other copies of it have them; its first images are 5, 0, 4, 1, 9.
    assert np.bincount(mnist16().labels).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert mnist16().labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist16(split="test").labels[:4].tolist() == [7, 1, 4, 4]  # of 7, 2, 1, 0, 4, 1, 4, 9 every second


def test_no_test_picture_is_a_training_picture() -> None:
    train, test = ({image.tobytes() for image in mnist16(split=split).images} for split in ("train", "test"))
    assert len(train) == 10_000
    assert len(test) == 5_000
    assert not train & test


def test_digits_are_inside_the_margin_and_look_like_their_labels() -> None:
    train, test = mnist16(), mnist16(split="test")
    frame = np.ones((16, 16), bool)
    frame[1:-1, 1:-1] = False
    assert not train.images[..., frame].any()
    # The nearest training picture tells the digit: measured 95.3 %.
    x, y = train.images.reshape(10_000, -1), test.images.reshape(5_000, -1)[:1000]
    nearest = ((x**2).sum(1) - 2 * y @ x.T).argmin(1)
    assert (train.labels[nearest] == test.labels[:1000]).mean() > 0.94


def test_float64_on_demand() -> None:
    tg.set_default_dtype("float64")
    try:
        assert mnist16(split="test").images.dtype == np.float64
    finally:
        tg.set_default_dtype("float32")


def test_another_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split must be 'train' or 'test', not 'validation'"):
        mnist16(split="validation")
