"""Floor 5. Learning-rate schedules: functions from the number of steps already taken to a learning rate.

They hold no state.  An optimiser calls its schedule with its own count of steps, so that a resumed run goes on
where it stopped; and a schedule can be tabulated or plotted without training.

>>> from tinygen import optim
>>> rate = optim.warmup(4, optim.cosine(0.1, 100))
>>> [round(rate(step), 4) for step in (0, 3, 4, 54, 104)]
[0.025, 0.1, 0.1, 0.05, 0.0]
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]
"""The learning rate of the step that follows ``step`` earlier ones; a constant rate is a plain number."""


def linear(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` to ``end`` along a line in ``steps`` steps, then ``end``."""
    _positive("linear", "steps", steps)
    return lambda step: start + (end - start) * min(step / steps, 1.0)


def cosine(start: float, steps: int, end: float = 0.0) -> Schedule:
    """From ``start`` to ``end`` along half a cosine in ``steps`` steps, then ``end`` (Loshchilov & Hutter 2017)."""
    _positive("cosine", "steps", steps)
    return lambda step: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


def exponential(start: float, factor: float) -> Schedule:
    """``start · factor^step``."""
    return lambda step: start * factor**step


def staircase(start: float, factor: float, every: int) -> Schedule:
    """``start``, multiplied by ``factor`` after each ``every`` steps."""
    _positive("staircase", "every", every)
    return lambda step: start * factor ** (step // every)


def piecewise(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """``rates[0]`` before step ``boundaries[0]``, ``rates[1]`` from there to ``boundaries[1]``, and so on."""
    boundaries, rates = tuple(boundaries), tuple(rates)
    if len(rates) != len(boundaries) + 1:
        raise ValueError(f"piecewise: {len(boundaries)} boundaries need {len(boundaries) + 1} rates, got {len(rates)}")
    if any(later <= earlier for earlier, later in itertools.pairwise(boundaries)):
        raise ValueError(f"piecewise: boundaries must rise, got {boundaries}")
    return lambda step: rates[bisect.bisect_right(boundaries, step)]


def warmup(steps: int, after: float | Schedule) -> Schedule:
    """Rise along a line in ``steps`` steps, the first above 0, to the first rate of ``after``; then ``after``."""
    _positive("warmup", "steps", steps)
    later = after if callable(after) else lambda step: after
    return lambda step: later(0) * (step + 1) / steps if step < steps else later(step - steps)


def _positive(name: str, what: str, steps: int) -> None:
    if steps <= 0:
        raise ValueError(f"{name}: {what} must be positive, got {steps}")
