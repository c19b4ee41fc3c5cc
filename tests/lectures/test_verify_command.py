"""``tinygen verify``: what it prints and writes, its exit status, and that processes do not change results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tinygen import cli
from tinygen.lectures import divergences, report, running
from tinygen.lectures.claim import Check, Claim, same
from tinygen.lectures.running import Settings, Task

pytestmark = pytest.mark.host


def wrong_claim() -> Claim:
    claim = Claim("DEMO-1", "Squares are doubles", "x^2=2x", sources="000")

    @claim.part(x=st.integers(0, 50))
    def doubles(x: int, *, formula: Any = lambda x: x * x) -> Iterator[Check]:
        """Square against double."""
        yield same("square", formula(x), 2 * x)

    @doubles.falsification("right, which is wrong here")
    def right(x: int) -> int:
        return 2 * x

    @doubles.falsification("crashes")
    def crashing(x: int) -> int:
        raise ZeroDivisionError("by zero")

    return claim


@pytest.fixture
def only_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "claims", lambda: [wrong_claim()])
    monkeypatch.setattr(report, "entries", lambda: [wrong_claim()])
    monkeypatch.setattr(running, "_known", {})


def test_chosen_claims_hold_and_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    arguments = ["DIV-5", "div-6", "--examples", "3", "--jobs", "1", "--html", str(page), "--json", str(data)]
    assert cli.main(["verify", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "DIV-5 " in printed
    assert "2 of 2 claims hold" in printed
    told = json.loads(data.read_text())
    assert (told["passed"], told["settings"]["examples"], told["settings"]["seed"]) == (True, 3, 0)
    assert [entry["id"] for entry in told["reports"]] == ["DIV-5", "DIV-6"]
    assert told["reports"][0]["tolerance"]["class"] in ("ALG", "QUAD", "LIN", "FD")
    text = page.read_text()
    assert r"\mathrm{KL}" in text
    assert text.count("<tr") == 3


def test_errata_are_refuted_as_printed_with_their_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "E-06", "--as-printed", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "E-06 σ is the variance there" in printed
    assert "    deviation = [" in printed
    assert "E-07" not in printed
    assert "1 of 1 wrong versions refuted" in printed


def test_a_failing_claim_shows_its_counterexample_and_how_to_see_it_again(
    only_wrong: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "--jobs", "1", "--seed", "3"]) == 1
    printed = capsys.readouterr().out
    assert "FAILS" in printed
    assert "    x = 1\n" in printed
    assert "again: tinygen verify DEMO-1 --examples 25 --seed 3 --device cpu" in printed
    assert "0 of 1 claims hold" in printed


def test_wrong_versions_that_hold_or_crash_are_no_success(
    only_wrong: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert cli.main(["verify", "--falsify", "--jobs", "1", "--html", str(page)]) == 1
    printed = capsys.readouterr().out
    assert "NOT REFUTED" in printed
    assert "ERROR" in printed
    assert "ZeroDivisionError: by zero" in printed
    assert "again: tinygen verify DEMO-1 --falsify" in printed
    assert page.read_text().count('class="bad"') == 2


@pytest.mark.parametrize("name", ["DIV-99", "NONE", "E-99", ""])
def test_unknown_entries_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", name]) == 2
    assert "there is no such entry" in capsys.readouterr().err


def test_a_missing_device_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "DIV-5", "--device", "tpu"]) == 2
    assert "tpu" in capsys.readouterr().err


def test_processes_change_nothing() -> None:
    tasks = [Task("DIV-5"), Task("DIV-4"), Task("DIV-5", 0, 0)]
    alone, together = (running.run(tasks, Settings(examples=5, jobs=jobs)) for jobs in (1, 2))
    assert [told._replace(seconds=0.0) for told in alone] == [told._replace(seconds=0.0) for told in together]
    assert [told.expected for told in alone] == [True, True, False]
    assert alone[0].entry == divergences.DIV_5.id
