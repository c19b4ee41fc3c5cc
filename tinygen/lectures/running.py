"""Floor 8. Running many claims in parallel processes, and their falsifications."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinygen.lectures import claims, unchecked
from tinygen.lectures.claim import Claim, Falsification, Part, Tolerance
from tinygen.lectures.verify import Result, falsify, verify

FALSIFYING_EXAMPLES = 100  # a wrong version may be right in the first, simple cases

Progress = Callable[["Report"], None]


@dataclass
class Settings:
    """How claims are run: random inputs for each part, their seed, the device, how many processes; and whether
    counterexamples are made simple, which takes most of the time of falsifications.
    """

    examples: int = 25
    seed: int = 0
    device: str = "cpu"
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    shrink: bool = True


class Report(NamedTuple):
    """What became of one claim, or of one falsification, as text and numbers that travel between processes."""

    id: str
    entry: str  # the claim
    title: str
    cases: int
    worst: str  # the check that came closest to its tolerance
    error: float
    tolerance: Tolerance | None
    seconds: float
    failure: str
    counterexample: dict[str, str]
    expected: bool  # whether it holds: claims do, falsifications do not
    broken: str = ""  # an exception that is no refutation

    @property
    def passed(self) -> bool:
        """A claim that holds, or a falsification that is refuted."""
        return not self.broken and self.expected == (not self.failure)


class Task(NamedTuple):
    """A claim, or with ``part`` and ``number`` one of its falsifications; small enough to send to a process."""

    claim: str
    part: int | None = None
    number: int = 0


def chosen(wanted: Sequence[str]) -> list[Claim]:
    """The claims with these IDs (``GAN-6``), of these chapters (``GAN``) or with these errata (``E-16``); none: all.

    Unknown ones raise ValueError, and those that nothing can check too, with the reason.
    """
    every = claims()
    reasons = {entry.id: entry.reason for entry in unchecked()}
    found = []
    for name in map(str.upper, wanted):
        matching = [claim for claim in every if name in (claim.id, claim.id.rsplit("-", 1)[0]) or name in errata(claim)]
        if not matching:
            raise ValueError(f"{name}: {reasons.get(name, 'there is no such entry, chapter or erratum')}")
        found += matching
    return [claim for claim in every if claim in found] if wanted else every


def errata(claim: Claim) -> list[str]:
    """The numbers of the errata that a claim refutes."""
    return [wrong.erratum for _, wrong in falsifications(claim) if wrong.erratum]


def falsifications(claim: Claim) -> list[tuple[Part, Falsification]]:
    """Every wrong version of a claim, with the part that must refute it."""
    return [(part, wrong) for part in claim.parts for wrong in part.falsifications]


def falsifying(chosen: Sequence[Claim], *, printed: bool = False, numbers: Collection[str] = ()) -> list[Task]:
    """A task for each wrong version; with ``printed`` for the errata alone, or for those of these numbers."""
    return [
        Task(claim.id, place, number)
        for claim in chosen
        for place, part in enumerate(claim.parts)
        for number, wrong in enumerate(part.falsifications)
        if (wrong.erratum or not printed) and (not numbers or wrong.erratum in numbers)
    ]


def run(tasks: Sequence[Task], settings: Settings, progress: Progress = lambda report: None) -> list[Report]:
    """A report for each task, in order, whatever the order in which the processes finish."""
    reports = []
    with contextlib.ExitStack() as stack:
        done: Iterator[Report]
        if settings.jobs > 1 and len(tasks) > 1:
            done = stack.enter_context(_processes(settings)).map(_report, tasks, [settings] * len(tasks))
        else:
            done = (_report(task, settings) for task in tasks)
        for report in done:
            progress(report)
            reports.append(report)
    return reports


@contextlib.contextmanager
def _processes(settings: Settings) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes (a copy of this one could not use its GPU), of one thread each."""
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))
    pool = ProcessPoolExecutor(settings.jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_known: dict[str, Claim] = {}


def _report(task: Task, settings: Settings) -> Report:
    """Run one task here."""
    if task.claim not in _known:
        _known.update({claim.id: claim for claim in claims()})
    claim = _known[task.claim]
    expected, broken = task.part is None, ""
    try:
        if task.part is None:
            result = Result(claim.id, claim.title)
            result = verify(claim, settings.examples, settings.seed, settings.device)
        else:
            part = claim.parts[task.part]
            wrong = part.falsifications[task.number]
            result = Result(wrong.erratum or claim.id, wrong.what)
            examples = max(FALSIFYING_EXAMPLES, settings.examples)
            result = falsify(part, wrong, examples, settings.seed, settings.device, settings.shrink)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        broken = f"{type(error).__name__}: {error}\n{notes}".strip()
    worst = result.worst
    return Report(
        result.id, claim.id, result.title, result.cases,
        worst.what if worst else "", worst.error if worst else 0.0, worst.tolerance if worst else None,
        result.seconds, result.failure, result.counterexample, expected, broken,
    )  # fmt: skip


def as_json(report: Report) -> dict[str, Any]:
    """A report in numbers and strings that JSON knows (it has no infinity)."""
    tolerance = {"class": report.tolerance.name, "value": report.tolerance.value} if report.tolerance else None
    error: float | str = report.error if math.isfinite(report.error) else repr(report.error)
    return {**report._asdict(), "error": error, "tolerance": tolerance, "passed": report.passed}
