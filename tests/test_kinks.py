"""The derivative where there is none: one convention at each kink, and no NaN from branches that were not taken."""

from __future__ import annotations

import pytest
from cases import KINKS, Kink
from checks import check_kink


@pytest.mark.parametrize("kink", KINKS, ids=lambda kink: kink.name)
def test_convention_at(kink: Kink, device: str) -> None:
    check_kink(kink, device)
