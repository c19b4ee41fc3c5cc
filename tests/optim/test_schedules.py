"""Schedules at their landmarks; test_optim_torch compares every step with PyTorch's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen import optim

pytestmark = pytest.mark.host


def test_landmarks() -> None:
    ramp = optim.linear(0.2, 1.0, 4)
    assert [ramp(0), ramp(4), ramp(400)] == [0.2, 1.0, 1.0]
    assert math.isclose(ramp(1), 0.4)
    wave = optim.cosine(1.0, 10, end=0.5)
    assert [wave(0), wave(10), wave(11)] == [1.0, 0.5, 0.5]
    assert math.isclose(wave(5), 0.75)
    assert [optim.staircase(1.0, 0.5, 3)(step) for step in (0, 2, 3, 5, 6)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert [optim.exponential(1.0, 0.5)(step) for step in (0, 1, 3)] == [1.0, 0.5, 0.125]
    assert [optim.piecewise([2, 5], [3.0, 2.0, 1.0])(step) for step in (0, 1, 2, 4, 5, 9)] == [3, 3, 2, 2, 1, 1]
    assert [optim.warmup(4, 1.0)(step) for step in (0, 1, 3, 4, 9)] == [0.25, 0.5, 1.0, 1.0, 1.0]


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 60))
def test_warmup_then_the_schedule_from_its_start(steps: int, length: int, step: int) -> None:
    after = optim.cosine(1.0, length)
    rate = optim.warmup(steps, after)(step)
    assert rate == (after(step - steps) if step >= steps else (step + 1) / steps)


def test_refused() -> None:
    for make in (lambda: optim.linear(1.0, 0.0, 0), lambda: optim.cosine(1.0, -1), lambda: optim.warmup(0, 1.0)):
        with pytest.raises(ValueError, match="steps must be positive"):
            make()
    with pytest.raises(ValueError, match="every must be positive"):
        optim.staircase(1.0, 0.5, 0)
    with pytest.raises(ValueError, match="need 3 rates, got 2"):
        optim.piecewise([1, 2], [1.0, 2.0])
    with pytest.raises(ValueError, match="rise"):
        optim.piecewise([2, 2], [1.0, 2.0, 3.0])
