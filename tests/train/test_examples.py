"""Training tier: each example with ``--quick`` and seed 0 ends, passes its gates, and writes its pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygen import systems

pytestmark = [pytest.mark.train, pytest.mark.host]

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    path.name for path in sorted(ROOT.glob("examples/*.py")) if not path.stem.endswith("_mnist28")
]  # their data do not ship


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_passes_its_quick_gates(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / script), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["passed"]
    example = next(one for path, one in systems.declared(ROOT / "examples") if path.name == script)
    assert {gate.name for gate in example.gates} <= set(report["runs"][0]["metrics"])
    pictures = [Path(line.split(": ", 1)[1]) for line in done.stdout.splitlines() if line.startswith("picture: ")]
    assert pictures
    assert all(picture.stat().st_size > 1000 for picture in pictures)
