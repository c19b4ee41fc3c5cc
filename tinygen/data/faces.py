"""Floor 5. Pixel faces with four known attributes, as many as wanted, composed from layers that ship with the package.

A face is a stack of layers over a flat background.  Each pixel of a layer is

    own · colour + white + below · (what is beneath)

with three weights, so a face whose glasses are taken off is known exactly: it is the same stack without that layer.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from tinygen.backend import default_dtype
from tinygen.data.bundled import read
from tinygen.random import Generator

ATTRIBUTES = ("glasses", "hat", "long_hair", "happy")


class Faces(NamedTuple):
    """Faces (N, 3, 16, 16), red, green, blue in [0, 1], and attributes (N, 4), integers 0 or 1; on the host.

    The columns of ``attributes`` are named by ``ATTRIBUTES``: glasses, hat, long_hair, happy.
    """

    images: np.ndarray
    attributes: np.ndarray


def faces(*, split: str = "train") -> Faces:
    """The same faces each time: 8,000 for ``split="train"``, 2,000 others for ``"test"``; attributes are balanced.

    Parts and colours are DiceBear's Pixel Art (CC0 1.0).

    >>> faces(split="test").images.shape
    (2000, 3, 16, 16)
    """
    if split not in ("train", "test"):
        raise ValueError(f"faces: split must be 'train' or 'test', not {split!r}")
    return draw_faces(Generator(0).spawn(f"faces {split}"), 8000 if split == "train" else 2000)


def draw_faces(
    rng: Generator, n: int, *, glasses: float = 0.5, hat: float = 0.5, long_hair: float = 0.5, happy: float = 0.5
) -> Faces:
    """``n`` new faces; each attribute is there with its probability, independent of all else.

    >>> import tinygen as tg
    >>> draw_faces(tg.random.Generator(1), 3, glasses=1.0).attributes[:, 0].tolist()
    [1, 1, 1]
    """
    chances = np.array([glasses, hat, long_hair, happy])
    attributes = rng.bernoulli(chances, (n, len(ATTRIBUTES)), device="cpu").numpy().astype(np.int64)
    return Faces(_compose(_choose(rng, n), attributes), attributes)


def draw_face_pairs(rng: Generator, n: int, attribute: str) -> tuple[Faces, Faces]:
    """``n`` new faces without an attribute, and the same faces with it: nothing else differs.

    The attribute is one of ``ATTRIBUTES``; the other three are there with probability ½.

    >>> import tinygen as tg
    >>> without, wearing = draw_face_pairs(tg.random.Generator(1), 5, "hat")
    >>> (wearing.attributes - without.attributes).sum(0).tolist()
    [0, 5, 0, 0]
    """
    if attribute not in ATTRIBUTES:
        raise ValueError(f"draw_face_pairs: attribute must be one of {', '.join(ATTRIBUTES)}, not {attribute!r}")
    column = ATTRIBUTES.index(attribute)
    attributes = rng.bernoulli(0.5, (n, len(ATTRIBUTES)), device="cpu").numpy().astype(np.int64)
    choices = _choose(rng, n)

    def having(value: int) -> Faces:
        changed = attributes.copy()
        changed[:, column] = value
        return Faces(_compose(choices, changed), changed)

    return having(0), having(1)


class _Layer(NamedTuple):
    """A layer of the stack: which drawings and colours it takes, and which value of which attribute it needs."""

    drawings: str
    colours: str
    attribute: str | None = None
    needs: int = 1


_BOTTOM_TO_TOP = (
    _Layer("skin", "skin_colours"),
    _Layer("clothing", "clothing_colours"),
    _Layer("eyes", "eyes_colours"),
    _Layer("glasses", "glasses_colours", "glasses"),
    _Layer("mouth_happy", "mouth_colours", "happy"),
    _Layer("mouth_sad", "mouth_colours", "happy", needs=0),
    _Layer("hair_long", "hair_colours", "long_hair"),
    _Layer("hair_short", "hair_colours", "long_hair", needs=0),
    _Layer("hat", "hat_colours", "hat"),
)
_BACKGROUNDS = np.array([(182, 227, 244), (192, 174, 222), (209, 212, 249), (255, 213, 220), (255, 223, 191)])


@cache
def _parts() -> dict[str, np.ndarray]:
    """Drawings (K, 3, 16, 16), the weights *own*, *white*, *below* in hundredths, and colours (K, 3), 0 … 255."""
    return {**read("faces"), "background_colours": _BACKGROUNDS}


def _choose(rng: Generator, n: int) -> dict[str, np.ndarray]:
    """One of each kind of drawing and colour for each of ``n`` faces, worn or not."""
    return {kind: rng.integers(0, len(known), n, device="cpu").numpy() for kind, known in _parts().items()}


def _compose(choices: dict[str, np.ndarray], attributes: np.ndarray) -> np.ndarray:
    """The faces (N, 3, 16, 16) that wear what their ``attributes`` (N, 4) tell, of what was chosen for them."""

    def chosen(kind: str, unit: int) -> np.ndarray:
        values: np.ndarray = _parts()[kind][choices[kind]].astype(default_dtype()) / unit
        return values

    images = np.tile(chosen("background_colours", 255)[:, :, None, None], (16, 16))
    for layer in _BOTTOM_TO_TOP:
        own, white, below = np.split(chosen(layer.drawings, 100), 3, axis=1)
        covered = own * chosen(layer.colours, 255)[:, :, None, None] + white + below * images
        worn = layer.attribute is None or attributes[:, ATTRIBUTES.index(layer.attribute)] == layer.needs
        images = np.where(np.reshape(worn, (-1, 1, 1, 1)), covered, images)
    return images
