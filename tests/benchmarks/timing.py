"""Agreement first, then interleaved rounds: how one case becomes one row of the table."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from peers import ENGINES, INSTALLED, Implementation, Step, as_numpy

SHORTEST = 0.008  # seconds: a quicker step is repeated until one measurement takes about this long


@dataclass
class Case:
    """What is timed, by engine; ``compared`` is what must agree as well, where a step's own results say too little.

    ``tolerance`` bounds the largest difference from the floor, relative to the largest number of that result.
    """

    steps: dict[str, Implementation]
    tolerance: float = 1e-4
    compared: dict[str, Implementation] = field(default_factory=dict)


@dataclass
class Row:
    """One line of the table: seconds of one step in each round, by engine, and a remark (memory)."""

    name: str
    seconds: dict[str, list[float]]
    remark: str = ""

    def ratios(self, peer: str) -> list[float]:
        """tinygen's time over the peer's, round by round; empty without the peer."""
        return [
            ours / theirs for ours, theirs in zip(self.seconds["tinygen"], self.seconds.get(peer, []), strict=False)
        ]


def measure(name: str, case: Case, rounds: int) -> Row:
    """Check that a case's implementations agree, then time them."""
    _check(name, _prepared(case.compared), case.tolerance, steps=1)
    steps = _prepared(case.steps)
    _check(name, steps, case.tolerance, steps=3)
    return Row(name, interleaved(steps, rounds))


def _prepared(implementations: dict[str, Implementation]) -> dict[str, Step]:
    return {e: implementations[e]() for e in ENGINES if e in implementations and e in INSTALLED}


def _check(name: str, prepared: dict[str, Step], tolerance: float, steps: int) -> None:
    """Run each implementation some steps and compare all results with those of the last one, the floor."""
    results = {e: [as_numpy(value).copy() for _ in range(steps) for value in step()] for e, step in prepared.items()}
    reference: Sequence[np.ndarray] = list(results.values())[-1] if results else []
    for engine, values in results.items():
        for position, (value, expected) in enumerate(zip(values, reference, strict=True)):
            if value.shape != expected.shape:
                raise AssertionError(f"{name}: result {position} of {engine} is {value.shape}, not {expected.shape}")
            apart = np.abs(np.subtract(value, expected, dtype=np.float64)).max() / max(np.abs(expected).max(), 1e-30)
            if not apart <= tolerance:
                raise AssertionError(f"{name}: result {position} of {engine} is off by {apart:.1e} (> {tolerance:.0e})")


def interleaved(steps: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of one step in each round, by engine.  All run in every round, in an order that turns each time."""
    repeats = {engine: max(1, round(SHORTEST / _seconds(step, 1))) for engine, step in steps.items()}
    seconds: dict[str, list[float]] = {engine: [] for engine in steps}
    gc.collect()
    gc.freeze()  # what exists already is not looked at by the collector again and again
    for number in range(rounds):
        for engine in list(steps)[:: -1 if number % 2 else 1]:
            seconds[engine].append(_seconds(steps[engine], repeats[engine]))
    gc.unfreeze()
    return seconds


def _seconds(step: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
