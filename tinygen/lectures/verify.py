"""Floor 8. Running claims: many random inputs, the largest error, and a shrunk counterexample where one fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygen as tg
from tinygen.lectures.claim import Check, Claim, Falsification, Part, Refuted
from tinygen.testing.search import double_precision, repeated, shown


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


def falsify(
    part: Part, wrong: Falsification, examples: int = 100, number: int = 0, device: str = "cpu", shrink: bool = True
) -> Result:
    """Run a part with a wrong version of one formula; its ``failure`` should not stay empty.

    Without ``shrink`` the counterexample is the first that was found: that is faster.
    """
    result, started = Result(wrong.erratum or part.claim.id, wrong.what), time.perf_counter()
    _run(part, dict(wrong.formulas), examples, number, device, result, shrink)
    result.seconds = time.perf_counter() - started
    return result


def _run(
    part: Part, formulas: dict[str, Any], examples: int, number: int, device: str, result: Result, shrink: bool = True
) -> None:
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
        with tg.device(device), double_precision(), np.errstate(all="ignore"):
            repeated(once, part.inputs, min(examples, part.most), number, shrink)()
    except Refuted as refuted:
        result.failure = str(refuted)
        result.counterexample = {name: shown(value) for name, value in last.items()}
