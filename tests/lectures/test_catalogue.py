"""The whole catalogue: every entry and erratum is there, every claim holds, every wrong version is refuted."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from tinygen.lectures import claims, entries, report, unchecked
from tinygen.lectures.claim import Claim, Falsification, Part
from tinygen.lectures.running import falsifications
from tinygen.lectures.verify import Result, falsify, verify

DOCS = Path(__file__).parents[2] / "docs"

COUNTS = {
    "PROB": 10, "DIV": 12, "OT": 6, "GAN": 23, "WGAN": 9, "CYC": 5, "STY": 11, "CNN": 8, "AE": 6, "VAE": 13,
    "FLOW": 20, "AR": 13, "TXT": 12, "APP": 5, "ENG": 7,
}  # fmt: skip
ENTRIES = [f"{chapter}-{number}" for chapter, count in COUNTS.items() for number in range(1, count + 1)]
ERRATA = [f"E-{number:02}" for number in range(1, 63)]
WRONG = [(claim, part, wrong) for claim in claims() for part, wrong in falsifications(claim)]

EXAMPLES = {"cpu": 10, "double": 5}


def collected(result: Result) -> Result:
    """The result, after a collection of the frames that Hypothesis keeps of a failure, with the tensors in them."""
    flags = gc.get_debug()
    gc.set_debug(0)
    gc.collect()
    gc.set_debug(flags)
    return result


@pytest.mark.host
def test_every_entry_is_a_claim_or_says_why_not() -> None:
    found = [entry.id for entry in entries() if not entry.id.startswith("E-")]
    assert len(ENTRIES) == 160
    assert sorted(found) == sorted(ENTRIES)  # each once
    assert found == sorted(found, key=ENTRIES.index)
    assert sum(not entry.id.startswith("E-") for entry in unchecked()) <= 10
    assert len(claims()) >= 150
    assert all(entry.reason and entry.title for entry in unchecked())


@pytest.mark.host
def test_every_erratum_is_refuted_or_says_why_not() -> None:
    refuted = {wrong.erratum for _, _, wrong in WRONG if wrong.erratum}
    excused = {entry.id for entry in unchecked() if entry.id.startswith("E-")}
    assert refuted | excused >= set(ERRATA)
    assert refuted | excused <= set(ERRATA)
    assert all(wrong.printed for _, _, wrong in WRONG if wrong.erratum)


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.id)
def test_claims_hold(claim: Claim, device: str) -> None:
    result = collected(verify(claim, EXAMPLES.get(device, 10), device=device))
    assert not result.failure, f"{result.failure}\n{result.counterexample}"
    assert result.cases


@pytest.mark.host
def test_every_claim_has_a_wrong_version() -> None:
    assert [claim.id for claim in claims() if not falsifications(claim)] == []


@pytest.mark.host
@pytest.mark.parametrize(
    ("part", "wrong"), [(part, wrong) for _, part, wrong in WRONG],
    ids=[f"{claim.id} {part.name} {wrong.erratum} {wrong.what}" for claim, part, wrong in WRONG],
)  # fmt: skip
def test_wrong_versions_are_refuted(part: Part, wrong: Falsification) -> None:
    assert collected(falsify(part, wrong, shrink=False)).failure


FORBIDDEN = (r"\newcommand", r"\def", r"\require", r"\href", r"\unicode", r"\hspace", r"\cases")  # refused on GitHub


@pytest.mark.host
def test_formulas_are_well_formed() -> None:
    formulas = {claim.id: claim.statement for claim in claims()}
    formulas |= {f"{claim.id} {wrong.what}": wrong.printed for claim, _, wrong in WRONG if wrong.printed}
    for name, formula in formulas.items():
        assert formula.strip(), name
        assert "\n" not in formula, name
        assert "$" not in formula, name
        assert not any(re.search(rf"{re.escape(macro)}(?![a-z])", formula) for macro in FORBIDDEN), name
        braces = re.sub(r"\\[{}]", "", formula)
        depths = [braces[:end].count("{") - braces[:end].count("}") for end in range(len(braces) + 1)]
        assert min(depths) == depths[-1] == 0, name
        assert len(re.findall(r"\\left(?![a-z])", formula)) == len(re.findall(r"\\right(?![a-z])", formula)), name
        assert len(re.findall(r"\\begin\{", formula)) == len(re.findall(r"\\end\{", formula)), name


@pytest.mark.host
def test_the_documents_are_those_of_the_claims() -> None:
    assert (DOCS / "catalogue.md").read_text() == report.catalogue(), "run: tinygen verify --write-docs docs"


@pytest.mark.host
def test_the_list_of_errata_is_that_of_the_claims() -> None:
    """All but the counterexamples (in quotation marks), which depend on the version of Hypothesis."""
    written = (DOCS / "errata.md").read_text().splitlines()
    assert [line for line in written if line.startswith("## ")] == [f"## {number}" for number in ERRATA]
    told = [line for line in report.errata_without_counterexamples().splitlines() if not line.startswith(">")]
    assert [line for line in written if not line.startswith(">")] == told, "run: tinygen verify --write-docs docs"
    assert sum(line.startswith("> ") and not line.startswith("> - ") for line in written) == sum(
        bool(wrong.erratum) for _, _, wrong in WRONG
    )
