"""Floor 4. Looking for the first operation that makes a NaN or an infinity."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygen.backend import Array, namespace
from tinygen.record import Location, mode, show_location


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise FloatingPointError at the first operation, forward or backward, that makes a NaN or an infinity.

    The message names the operation and the user's line; in a second backward also the operation that is
    differentiated.  Every result is looked at, which on a device synchronises: for debugging only.
    """
    token = mode.set(mode.get()._replace(inspect=_raise_if_first_anomaly))
    try:
        yield
    finally:
        mode.reset(token)


def _raise_if_first_anomaly(name: str, inputs: list[Any], output: Array, location: Location) -> None:
    made = _anomalies(output)
    if made and not made <= set().union(*map(_anomalies, inputs)):
        shapes = ", ".join(str(value.shape) for value in inputs if hasattr(value, "shape"))
        raise FloatingPointError(
            f"{name} made {' and '.join(sorted(made))} at {show_location(location)}; operand shapes: {shapes}"
        )


def _anomalies(value: Any) -> set[str]:
    if isinstance(value, (int, float)):
        value = np.float64(value)
    if not hasattr(value, "dtype") or value.dtype.kind != "f":
        return set()
    xp = namespace(value)
    return {name for name, test in (("NaN", xp.isnan), ("infinity", xp.isinf)) if bool(test(value).any())}
