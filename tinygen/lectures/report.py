r"""Floor 8. What is told of claims: a table for the terminal, a page, and the documents made from them.

``python -m tinygen.lectures.report docs`` (or ``tinygen verify --write-docs docs``) writes catalogue.md and errata.md.
Formulas stand in math blocks there, which code hosts typeset without touching backslashes and underscores.
"""

from __future__ import annotations

import html
import importlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tinygen.checkpoint import replace_file
from tinygen.lectures import CHAPTERS, entries
from tinygen.lectures.claim import Claim, Falsification, Unchecked
from tinygen.lectures.running import Report, Settings, as_json, chosen, falsifications, falsifying, run

# --- for the terminal ------------------------------------------------------------------------------------------------


def table(reports: Sequence[Report], title_width: int = 48) -> Iterator[str]:
    """A line for each report: ID, title, cases, the largest error as a share of what is allowed, seconds, verdict."""
    yield f"{'':9} {'':{title_width}} {'cases':>6}  {'largest error':<22} {'seconds':>7}"
    for report in reports:
        title = report.title if len(report.title) <= title_width else report.title[: title_width - 1] + "…"
        yield (
            f"{report.id:9} {title:{title_width}} {report.cases:6}  {_error(report):<22} {report.seconds:7.2f}  "
            f"{_verdict(report)}"
        )


def _error(report: Report) -> str:
    if report.tolerance is None or not report.expected:
        return "–"
    return f"{report.error:.1e} / {report.tolerance.value:g} {report.tolerance.name}"


def _verdict(report: Report) -> str:
    if report.broken:
        return "ERROR"
    if report.expected:
        return "FAILS" if report.failure else "holds"
    return "refuted" if report.failure else "NOT REFUTED"


def explanation(report: Report, settings: Settings) -> Iterator[str]:
    """What went wrong with a claim, or how an erratum was refuted: the counterexample and how to see it again."""
    yield f"{report.id} {report.title}: {_verdict(report)}"
    if report.broken:
        yield _indented(report.broken)
    if report.failure:
        yield f"    {report.failure}"
        yield from (f"    {name} = {value}" for name, value in report.counterexample.items())
    if not report.passed:
        kind = "" if report.expected else " --falsify"
        yield (
            f"    again: tinygen verify {report.entry}{kind} --examples {settings.examples} --seed {settings.seed} "
            f"--device {settings.device}"
        )


def summary(reports: Sequence[Report], seconds: float) -> str:
    """One line: how many, and how many not as they should be."""
    wrong = sum(not report.passed for report in reports)
    what = "claims" if not reports or reports[0].expected else "wrong versions"
    did = "hold" if what == "claims" else "refuted"
    cases = sum(report.cases for report in reports)
    return f"{len(reports) - wrong} of {len(reports)} {what} {did}; {cases:,} cases in {seconds:.0f} s"


# --- files -----------------------------------------------------------------------------------------------------------


def write_json(path: Path, reports: Sequence[Report], settings: Settings, seconds: float) -> None:
    """All results with the settings they belong to."""
    told = {
        "settings": vars(settings),
        "passed": all(report.passed for report in reports),
        "seconds": seconds,
        "reports": [as_json(report) for report in reports],
    }
    replace_file(path, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


def write_html(path: Path, reports: Sequence[Report], settings: Settings, seconds: float) -> None:
    """One page of all results, with the statements; MathJax typesets them if the reader's browser is online."""
    claims = {claim.id: claim for claim in entries() if isinstance(claim, Claim)}
    rows = "\n".join(_row(report, claims[report.entry]) for report in reports)
    about = html.escape(
        f"{summary(reports, seconds)}; {settings.examples} examples, seed {settings.seed}, {settings.device}"
    )
    replace_file(path, PAGE.replace("ABOUT", about).replace("ROWS", rows).encode())


def _row(report: Report, claim: Claim) -> str:
    """A claim or a wrong version, its formula, its figures."""
    formula = claim.statement if report.expected else _printed(claim, report)
    shown = f"\\[{html.escape(formula)}\\]" if formula else ""
    facts = "".join(
        f"<br><code>{html.escape(f'{name} = {value}')}</code>" for name, value in report.counterexample.items()
    )
    why = html.escape(report.broken or report.failure)
    verdict = _verdict(report)
    return (
        f'<tr class="{"good" if report.passed else "bad"}"><td>{html.escape(report.id)}</td>'
        f"<td>{html.escape(report.title)}{shown}{f'<small>{why}{facts}</small>' if why else ''}</td>"
        f"<td>{report.cases}</td><td>{html.escape(_error(report))}</td><td>{report.seconds:.2f}</td><td>{verdict}</td>"
        "</tr>"
    )


def _printed(claim: Claim, report: Report) -> str:
    return next((wrong.printed for _, wrong in falsifications(claim) if wrong.what == report.title), "")


PAGE = r"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>tinygen: the lectures as executable claims</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .4rem .6rem; border-top: 1px solid #ddd; text-align: left; vertical-align: top; }
td:nth-child(n+3) { white-space: nowrap; }
.good td:last-child { color: #16722e; } .bad td:last-child { color: #b3261e; font-weight: bold; }
small { color: #555; }
</style>
<script defer src="https://cdn.jsdelivr.net/npm/mathjax@3.2.2/es5/tex-svg.js"></script>
<h1>The lectures as executable claims</h1>
<p>ABOUT</p>
<table><tr><th>ID</th><th>statement</th><th>cases</th><th>largest error / allowed</th><th>seconds</th><th></th></tr>
ROWS
</table></html>
"""

# --- documents -------------------------------------------------------------------------------------------------------

CATALOGUE = """# The catalogue

Every statement of the lectures, and how a machine checks it. Made from the claims in `tinygen/lectures` by
`tinygen verify --write-docs docs`; `tinygen verify` runs them, `tinygen verify GAN-6` one of them. The sides of a
comparison are computed independently: a closed form against automatic differentiation, quadrature, enumeration, an
optimiser or a simulation. *Refuted* are the wrong versions that a claim is shown to tell from the right one; numbers
E-… are errors of the lecture notes ([errata.md](errata.md)). Sources are the five sets of notes, 000 to 004.
"""

ERRATA = """# Errata of the lecture notes

What the notes print, what is wrong with it, and a counterexample that a machine has found and made simple. Made from
the claims in `tinygen/lectures` by `tinygen verify --write-docs docs`; `tinygen verify --as-printed` refutes all of
them again. The right statements are in the [catalogue](catalogue.md).
"""


def write_documents(folder: Path, settings: Settings | None = None) -> None:
    """Write catalogue.md and errata.md; the counterexamples are looked for now."""
    settings = settings or Settings()
    replace_file(folder / "catalogue.md", catalogue().encode())
    replace_file(folder / "errata.md", errata(run(falsifying(chosen([]), printed=True), settings)).encode())


def catalogue() -> str:
    """The text of catalogue.md."""
    lines = [CATALOGUE]
    for chapter in CHAPTERS:
        module = importlib.import_module(f"tinygen.lectures.{chapter}")
        lines += [f"## {_heading(module)}", ""]
        for entry in vars(module).values():
            if isinstance(entry, Claim | Unchecked) and not entry.id.startswith("E-"):
                lines += [f"### {entry.id} · {_plain(entry.title)}", ""]
                lines += (
                    [f"Not checked: {_plain(entry.reason)}", ""]
                    if isinstance(entry, Unchecked)
                    else _claim_lines(entry)
                )
    return "\n".join(lines).rstrip("\n") + "\n"


def _claim_lines(claim: Claim) -> list[str]:
    lines = [*_math(claim.statement)]
    if claim.assumptions:
        lines += [f"Assumes: {_plain(claim.assumptions)}", ""]
    for part in claim.parts:
        lines.append(f"- {_plain(part.what)}")
        lines += [f"  - refuted: {_named(wrong)}" for wrong in part.falsifications]
    return [*lines, "", f"Sources: {claim.sources}", ""]


def _named(wrong: Falsification) -> str:
    what = _plain(wrong.what)
    return f"[{wrong.erratum}](errata.md#{wrong.erratum.lower()}), {what}" if wrong.erratum else what


def errata(found: Sequence[Report]) -> str:
    """The text of errata.md, with counterexamples from these reports of falsifications, in quotation marks of >."""
    claims = {entry.id: entry for entry in entries()}
    numbered: dict[str, list[str]] = {}
    for report in found:
        claim = claims[report.entry]
        assert isinstance(claim, Claim)
        numbered.setdefault(report.id, []).extend(_erratum_lines(claim, report))
    for entry in entries():
        if isinstance(entry, Unchecked) and entry.id.startswith("E-"):
            numbered.setdefault(entry.id, []).extend(
                [f"{_plain(entry.title)}. Not checked: {_plain(entry.reason)}", ""]
            )
    lines = [ERRATA]
    for number in sorted(numbered):
        lines += [f"## {number}", "", *numbered[number]]
    return "\n".join(lines).rstrip("\n") + "\n"


def errata_without_counterexamples() -> str:
    """The text of errata.md without running anything; lines that start with > are empty."""
    claims = {claim.id: claim for claim in chosen([])}
    found = []
    for name, part, number in falsifying(list(claims.values()), printed=True):
        wrong = claims[name].parts[part or 0].falsifications[number]
        found.append(Report(wrong.erratum, name, wrong.what, 0, "", 0.0, None, 0.0, "", {}, expected=False))
    return errata(found)


def _erratum_lines(claim: Claim, report: Report) -> list[str]:
    lines = [f"In {claim.id}, {_plain(claim.title)} (notes {claim.sources}): {_plain(report.title)}. Printed:", ""]
    lines += _math(_printed(claim, report))
    lines += ["It is refuted by", "", f"> {_plain(report.failure)}"]
    lines += [f"> - `{name} = {value}`" for name, value in report.counterexample.items()]
    return [*lines, ""]


def _heading(module: ModuleType) -> str:
    """The first two sentences of a chapter's docstring: its number and its title."""
    text = " ".join((module.__doc__ or module.__name__).split())
    found = re.match(r"[^.]*\. [^.:]*", text)
    return _plain(found.group() if found else text)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([*_<\\])", r"\\\1", text)


def _math(formula: str) -> list[str]:
    r"""A block of mathematics; GitHub refuses ``\operatorname``."""
    allowed = re.sub(r"\\operatorname\*?\{([^{}]*)\}", r"\\mathop{\\mathrm{\1}}", formula)
    return ["```math", allowed, "```", ""]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def main(arguments: Sequence[str]) -> Any:
    """Write the documents into the folder given."""
    (folder,) = arguments
    write_documents(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
