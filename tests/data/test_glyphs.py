"""Letters in eight styles: every letter in every style, one baseline, and styles that can be told on unseen letters."""

from __future__ import annotations

import hashlib
import string

import numpy as np
import pytest

from tinygen.data.glyphs import ATTRIBUTES, glyphs

pytestmark = pytest.mark.host


def test_shapes_ranges_and_the_very_pictures() -> None:
    images, letters = glyphs()
    assert (images.shape, images.dtype) == ((413, 2, 2, 2, 1, 16, 16), np.float32)
    assert (images.min(), images.max()) == (0, 1)
    assert len(set(letters)) == 413
    assert letters.startswith(string.ascii_uppercase + string.ascii_lowercase)
    pixels = np.rint(images * 15).astype(np.uint8)
    assert np.abs(pixels / 15 - images).max() < 1e-6  # 16 greys, in float32
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "9454d83d08c4137f"


def test_no_picture_is_empty_and_no_two_letters_are_the_same_in_a_style() -> None:
    images = glyphs().images
    assert images.max((-1, -2)).min() > 0.5
    for style in np.ndindex(2, 2, 2):
        pictures = {image.tobytes() for image in images[(slice(None), *style)]}
        assert len(pictures) == 413, dict(zip(ATTRIBUTES, style, strict=True))


def test_letters_stand_on_one_baseline() -> None:
    """Flat-footed capitals end where row 11 ends, in every style (the N with serifs has a point below)."""
    images, letters = glyphs()
    flat = images[[letters.index(letter) for letter in "AEFHIKLMTXZ"]]
    assert (flat[..., 11, :].max(-1) > 0.3).all()
    assert not flat[..., 12:, :].any()


def test_ink_is_in_the_middle() -> None:
    ink = glyphs().images.max((-2, -3)) > 0  # columns
    left, right = ink.argmax(-1), ink[..., ::-1].argmax(-1)
    assert (np.abs(left - right) / 2).max() <= 1  # pixels off the middle: whole pixels, and faint tips round to 0


def test_bold_has_more_ink_and_italic_leans() -> None:
    images = glyphs().images
    assert (images[:, :, 1].sum((-1, -2)) > images[:, :, 0].sum((-1, -2))).mean() > 0.99
    rows, columns = np.mgrid[:16, :16]
    weight = images / images.sum((-1, -2), keepdims=True)
    mean_row = (weight * rows).sum((-1, -2), keepdims=True)
    lean = -(weight * (rows - mean_row) * columns).sum((-1, -2))[..., 0]  # covariance of height and place
    upright, italic = lean[:, :, :, 0], lean[:, :, :, 1]
    assert (italic > upright).mean() > 0.95


def test_styles_are_seen_by_a_linear_decoder_on_unseen_letters() -> None:
    images = glyphs().images.astype(float)
    styles = np.indices((2, 2, 2)).reshape(3, 8).T  # (8, 3): serif, bold, italic
    x = np.concatenate([images.reshape(413, 8, 256), np.ones((413, 8, 1))], -1)
    # Ridge regression; even letters to learn from, odd ones to be tested on.
    seen, wanted = x[::2].reshape(-1, 257), np.tile(2.0 * styles - 1, (207, 1))
    weights = np.linalg.solve(seen.T @ seen + 10 * np.eye(257), seen.T @ wanted)
    right = ((x[1::2] @ weights > 0) == styles).mean((0, 1))
    assert (right > (0.75, 0.9, 0.75)).all()  # measured .81, .93, .80; by chance ½
