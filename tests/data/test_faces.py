"""Pixel faces: the attributes are balanced, visible and independent, and a pair differs in one of them alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data.bundled import read
from tinygen.data.faces import ATTRIBUTES, Faces, draw_face_pairs, draw_faces, faces

pytestmark = pytest.mark.host
keys = st.integers(0, 2**32)


def linear_decoder(faces: Faces) -> np.ndarray:
    """Ridge regression of ±1 on pixels and a constant: weights (769, 4)."""
    x = with_constant(faces)
    return np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ (2.0 * faces.attributes - 1))


def with_constant(faces: Faces) -> np.ndarray:
    return np.column_stack([faces.images.reshape(len(faces.images), -1), np.ones(len(faces.images))]).astype(float)


@given(key=keys, n=st.integers(0, 20))
@settings(max_examples=20)
def test_shapes_and_ranges(key: int, n: int) -> None:
    drawn = draw_faces(tg.random.Generator(key), n)
    assert (drawn.images.shape, drawn.images.dtype) == ((n, 3, 16, 16), np.float32)
    assert (drawn.attributes.shape, drawn.attributes.dtype) == ((n, 4), np.int64)
    assert np.isin(drawn.attributes, (0, 1)).all()
    assert ((drawn.images >= 0) & (drawn.images <= 1)).all()


def test_each_attribute_is_seen_by_a_linear_decoder() -> None:
    decoded = with_constant(faces(split="test")) @ linear_decoder(faces()) > 0
    assert ((decoded == faces(split="test").attributes).mean(0) >= 0.99).all()


def test_attributes_are_balanced_and_independent() -> None:
    attributes = faces().attributes
    codes = attributes @ (1, 2, 4, 8)
    # 16 equally likely kinds, 8,000 draws: each 500 with a standard deviation of 21.7; 5 of them
    assert (np.abs(np.bincount(codes, minlength=16) - 500) < 110).all()


def test_all_faces_differ_also_between_the_splits() -> None:
    every = [image.tobytes() for split in ("train", "test") for image in faces(split=split).images]
    assert len(set(every)) == 10_000


def test_the_very_pictures() -> None:
    pixels = np.rint(faces(split="test").images * 255).astype(np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "8a3c36c13bd6d57e"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_pair_differs_in_its_attribute_alone(attribute: str) -> None:
    without, wearing = draw_face_pairs(tg.random.Generator(3), 500, attribute)
    column = ATTRIBUTES.index(attribute)
    assert (without.attributes[:, column] == 0).all()
    assert (wearing.attributes[:, column] == 1).all()
    assert (np.delete(without.attributes, column, 1) == np.delete(wearing.attributes, column, 1)).all()
    differs = (without.images != wearing.images).any(1)
    assert differs.sum((1, 2)).min() >= 2  # in every pair something is seen
    # … and only where the attribute can be.  A mouth: 4 × 3 pixels; glasses: 12 × 5; a hat: the upper 5 rows.
    row, column_of_pixel = np.nonzero(differs.any(0))
    bottom, top = {"happy": (11, 9), "glasses": (8, 4), "hat": (4, 0), "long_hair": (15, 1)}[attribute]
    assert top <= row.min() <= row.max() <= bottom
    if attribute == "happy":
        assert 6 <= column_of_pixel.min() <= column_of_pixel.max() <= 9


@given(key=keys, attribute=st.sampled_from(ATTRIBUTES))
@settings(max_examples=20)
def test_the_same_key_gives_the_same_faces(key: int, attribute: str) -> None:
    first = draw_face_pairs(tg.random.Generator(key), 4, attribute)
    again = draw_face_pairs(tg.random.Generator(key), 4, attribute)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.attributes, other.attributes)


@given(key=keys, chances=st.tuples(*[st.sampled_from((0.0, 1.0))] * 4))
@settings(max_examples=20)
def test_probabilities_of_attributes(key: int, chances: tuple[float, ...]) -> None:
    drawn = draw_faces(tg.random.Generator(key), 3, **dict(zip(ATTRIBUTES, chances, strict=True)))
    assert drawn.attributes.tolist() == [list(chances)] * 3


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_frequency_of_an_attribute(chance: float) -> None:
    share = draw_faces(tg.random.Generator(11), 5000, hat=chance).attributes[:, 1].mean()
    assert abs(share - chance) < 5 * (chance * (1 - chance) / 5000) ** 0.5  # 5 standard deviations


def test_weights_of_layers_leave_light_between_0_and_1() -> None:
    layers = [array for array in read("faces").values() if array.ndim == 4]
    assert len(layers) == 9
    for weights in layers:
        assert (weights.sum(1, dtype=int) <= 100).all()  # hundredths: own colour, white, beneath; the rest is black


def test_what_is_not_there_is_refused() -> None:
    rng = tg.random.Generator(0)
    with pytest.raises(ValueError, match="attribute must be one of glasses, hat, long_hair, happy, not 'beard'"):
        draw_face_pairs(rng, 1, "beard")
    with pytest.raises(ValueError, match="split must be"):
        faces(split="valid")
    with pytest.raises(ValueError, match="probabilities lie in"):
        draw_faces(rng, 1, hat=1.5)
