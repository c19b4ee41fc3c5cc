"""Makes the device of a test's parameter the default also where the test does not name the fixture."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _on_device(request: pytest.FixtureRequest) -> None:
    """The root's ``conftest`` adds the parameter to such tests; only asking for the fixture sets it up."""
    if "device" in getattr(getattr(request.node, "callspec", None), "params", {}):
        request.getfixturevalue("device")
