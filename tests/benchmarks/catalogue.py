"""All measurements by name, in the order of the table."""

from __future__ import annotations

import functools
from collections.abc import Callable

import convolutional_gan
import models
import operations
import process
import recurrent
from timing import Case, Row, measure

GROUPS: tuple[Callable[[], dict[str, Case]], ...] = (
    operations.overhead,
    models.classifier,
    models.autoencoder,
    models.critic,
    operations.convolutions,
    models.convolutional_penalty,
    convolutional_gan.convolutional_gan,
    recurrent.recurrent,
    operations.linear_algebra,
    operations.softmax_cross_entropy,
    operations.elementwise,
    operations.adam,
    operations.embedding,
)


def measurements() -> dict[str, Callable[[int], Row]]:
    """Functions from a number of rounds to a row."""
    cases = {name: case for group in GROUPS for name, case in group().items()}
    rows: dict[str, Callable[[int], Row]] = {
        name: functools.partial(measure, name, case) for name, case in cases.items()
    }
    return {**rows, "import": process.import_time, "peak memory of conv": process.peak_memory}
