"""Floor 8. Running claims: many random inputs, the largest error, and a shrunk counterexample where one fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

import tinygen as tg
from tinygen.lectures.claim import Check, Claim, Falsification, Part, Refuted
from tinygen.tensor import Tensor


@dataclass
class Result:
    """What became of one claim, or of one falsification of it."""

    id: str
    title: str
    cases: int = 0
    worst: Check | None = None  # the check that came closest to its tolerance
    seconds: float = 0.0
    failure: str = ""  # empty: it held for every case
    counterexample: dict[str, str] = field(default_factory=dict)


def verify(claim: Claim, examples: int = 25, number: int = 0, device: str = "cpu") -> Result:
    """Run every part of a claim on ``examples`` random inputs of the seed ``number``."""
    result, started = Result(claim.id, claim.title), time.perf_counter()
    for part in claim.parts:
        _run(part, {}, examples, number, device, result)
        if result.failure:
            break
    result.seconds = time.perf_counter() - started
    return result


def falsify(part: Part, wrong: Falsification, examples: int = 100, number: int = 0, device: str = "cpu") -> Result:
    """Run a part with a wrong version of one formula; its ``failure`` should not stay empty."""
    result, started = Result(wrong.erratum or part.claim.id, wrong.what), time.perf_counter()
    _run(part, dict(wrong.formulas), examples, number, device, result)
    result.seconds = time.perf_counter() - started
    return result


def _run(part: Part, formulas: dict[str, Any], examples: int, number: int, device: str, result: Result) -> None:
    """Draw inputs and check; the last failing inputs that Hypothesis tries are the shrunk ones."""
    last: dict[str, Any] = {}

    def once(**inputs: Any) -> None:
        last.clear()
        last.update(inputs)
        result.cases += 1
        for check in part(**inputs, **formulas):
            if result.worst is None or check.ratio > result.worst.ratio:
                result.worst = check

    try:
        with tg.device(device), _double_precision(), np.errstate(all="ignore"):
            _drawn(once, part, examples, number)()
    except Refuted as refuted:
        result.failure = str(refuted)
        result.counterexample = {name: _shown(value) for name, value in last.items()}


def _drawn(once: Callable[..., None], part: Part, examples: int, number: int) -> Callable[[], None]:
    """``once`` for random inputs of a part, or as it is if the part takes none."""
    if not part.inputs:
        return once
    run = settings(
        max_examples=min(examples, part.most),
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    return seed(number)(run(given(**part.inputs)(once)))


@contextlib.contextmanager
def _double_precision() -> Iterator[None]:
    before = tg.default_dtype()
    tg.set_default_dtype(np.float64)
    try:
        yield
    finally:
        tg.set_default_dtype(before)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, threshold=50, separator=", ").replace("\n", "")
    return repr(value)
