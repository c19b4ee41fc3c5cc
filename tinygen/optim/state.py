"""Floor 5. Whether a saved state belongs to an optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def check_state(
    state: Mapping[str, Any],
    identity: Mapping[str, Any],
    scheduled: bool,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """Raise ValueError, with every reason, unless ``state`` was saved by an optimiser of this identity.

    ``names`` are those of its moments, each of which is a list of arrays of these ``shapes``.
    """
    owner = identity["optimizer"]
    fields = {*identity, "lr", "steps", "updates", "moments"}
    if not isinstance(state, Mapping) or set(state) != fields:
        found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"load_state_dict of {owner}: the state must have the entries {sorted(fields)}, got {found}")
    problems = [f"{name} is {state[name]!r}, here {here!r}" for name, here in identity.items() if state[name] != here]
    problems += _problems_of_rate(state["lr"], scheduled)
    steps, updates = state["steps"], state["updates"]
    if not _is_count(steps):
        problems.append(f"steps must be a count, got {steps!r}")
    elif (
        not isinstance(updates, list)
        or len(updates) != len(identity["shapes"])
        or not all(_is_count(n) and n <= steps for n in updates)
    ):
        problems.append(f"updates must be {len(identity['shapes'])} counts up to {steps}, got {updates!r}")
    problems += _problems_of_moments(state["moments"], names, shapes if steps else [], identity["dtype"])
    if problems:
        raise ValueError(f"load_state_dict of {owner}: this state belongs to another optimiser: " + "; ".join(problems))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _problems_of_rate(rate: Any, scheduled: bool) -> list[str]:
    if scheduled:
        return [] if rate is None else [f"lr is the number {rate!r}, here a schedule"]
    if rate is None:
        return ["lr is a schedule, here a number"]
    fits = type(rate) in (int, float) and math.isfinite(rate) and rate >= 0
    return [] if fits else [f"lr must be a number from 0 on, got {rate!r}"]


def _problems_of_moments(
    moments: Any, names: Sequence[str], shapes: Sequence[tuple[int, ...]], dtype: str
) -> list[str]:
    if not isinstance(moments, Mapping) or set(moments) != set(names):
        found = sorted(map(str, moments)) if isinstance(moments, Mapping) else type(moments).__name__
        return [f"moments must be {sorted(names)}, got {found}"]
    wanted = [f"{dtype}{tuple(shape)}" for shape in shapes]
    problems = []
    for name, arrays in moments.items():
        parts = arrays if isinstance(arrays, list) else [arrays]
        found = [f"{a.dtype}{tuple(a.shape)}" if hasattr(a, "dtype") else type(a).__name__ for a in parts]
        if found != wanted:
            problems.append(f"moment {name} must be {wanted}, got {found}")
    return problems
