"""Training tier: examples without labels make a better classifier, with one calibrated seed (``pytest -m train``).

Both are trainings of the example's ``--quick``.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tinygen.running import Run

pytestmark = [pytest.mark.train, pytest.mark.host]

EXAMPLE = Path(__file__).parents[2] / "examples" / "semi_supervised_gan.py"


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE), run_name="semi_supervised_gan")


def test_moons(script: dict[str, Any], tmp_path: Path) -> None:
    """Over seeds 0 … 4: .789, .867, .892, .782, .964 with the labels alone; .973, .902, .964, .893, .998 with all.

    Seed 0 gains .184.
    """
    run = Run(0, tmp_path, quick=True, resume=False)
    learned = script["on_moons"](run, script["moons"](run.rng.spawn("moons")))
    assert learned[script["TOGETHER"]].accuracy > 0.9
    assert learned[script["TOGETHER"]].accuracy > learned[script["ALONE"]].accuracy + 0.05


def test_digits(script: dict[str, Any], tmp_path: Path) -> None:
    """Seeds 0 and 1: .841 and .831 with the labels alone, .904 and .884 with all; a longer training gains more."""
    learned = script["on_digits"](Run(0, tmp_path, quick=True, resume=False), 20)
    assert learned[script["TOGETHER"]].accuracy > learned[script["ALONE"]].accuracy + 0.03
