"""Floor 8. Looking for a counterexample: random inputs, shrunk to simple ones, and a message that a person can read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tinygen.backend import default_dtype, set_default_dtype
from tinygen.tensor import Tensor

Strategies = Mapping[str, Any]


def search(title: str, check: Callable[..., None], inputs: Strategies, examples: int, seed: int) -> int:
    """Call ``check`` with random inputs; where it fails, AssertionError for the simplest inputs it fails with.

    Returns the number of inputs tried.
    """
    tried, held = 0, [check]
    del check

    def once(**drawn: Any) -> None:
        nonlocal tried
        tried += 1
        held[0](**drawn)

    try:
        with double_precision(), np.errstate(all="ignore"):
            repeated(once, inputs, examples, seed)()
    except AssertionError as error:
        message = f"{title}: {error}\n  the simplest counterexample of {tried} inputs tried; seed={seed} finds it again"
    else:
        return tried
    finally:
        held.clear()  # Hypothesis keeps ``once`` in a reference cycle, which must not hold the tensors of ``check``
    raise AssertionError(message)


def repeated(
    once: Callable[..., None], inputs: Strategies, examples: int, seed: int, shrink: bool = True
) -> Callable[[], None]:
    """``once`` with random inputs; where it fails, its last call has the simplest (without ``shrink``, the first)."""
    if not inputs:
        return once
    run = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    return seeded(seed)(run(given(**inputs)(once)))


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Inside the block new tensors are float64."""
    before = default_dtype()
    set_default_dtype(np.float64)
    try:
        yield
    finally:
        set_default_dtype(before)


def refuted(what: str, **facts: Any) -> AssertionError:
    """The error for something that does not hold, with the facts one a line."""
    width = max(map(len, facts), default=0)
    lines = [f"  {name:{width}} = {shown(value)}" for name, value in facts.items()]
    return AssertionError("\n".join([what, *lines]))


def shown(value: Any) -> str:
    """A value, or several, in one line."""
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, threshold=50, separator=", ").replace("\n", "")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, FunctionType):
        return value.__name__  # without its address, which another run would not show
    return value if isinstance(value, str) else " ".join(repr(value).split())


def host(value: Any) -> np.ndarray:
    """The values of a tensor, array, list or number as float64 on the host."""
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value, dtype=np.float64)
