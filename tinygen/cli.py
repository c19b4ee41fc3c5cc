"""Floor 9. The command ``tinygen`` (also ``python -m tinygen``): one function a subcommand."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinygen.backend import device

Status = int


def main(arguments: Sequence[str] | None = None) -> Status:
    """Run a subcommand and return the exit status."""
    parser = argparse.ArgumentParser(prog="tinygen", description="Generative models from first principles.")
    subcommands = parser.add_subparsers(required=True, metavar="command")
    for add in COMMANDS:
        add(subcommands)
    options = parser.parse_args(arguments)
    status: Status = options.run(options)
    return status


def _add_models(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subcommands.add_parser("models", help="every system of the lectures, its example, its gates, its results")
    checkout = Path(__file__).resolve().parents[1]
    parser.add_argument("--examples", type=Path, default=checkout / "examples", help="folder of the example scripts")
    parser.add_argument("--results", type=Path, default=checkout / "docs/results", help="folder of their figures")
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> Status:
    from tinygen import systems

    if not options.examples.is_dir():
        print(f"there are no examples in {options.examples}: give the folder with --examples", file=sys.stderr)
        return 2
    print("\n".join(systems.overview(options.examples, options.results)))
    return 0


def _add_verify(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subcommands.add_parser("verify", help="check the derivations of the lectures on random inputs")
    parser.add_argument("ids", nargs="*", metavar="ID", help="an entry (GAN-6), a chapter (GAN), an erratum (E-16)")
    parser.add_argument("--examples", type=int, help="random inputs for each property (default 25, with --quick 4)")
    parser.add_argument("--quick", action="store_true", help="few examples: under 20 seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--as-printed", action="store_true", help="refute the formulas that the notes print wrongly")
    parser.add_argument("--falsify", action="store_true", help="refute every deliberately wrong version")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the statements typeset")
    parser.add_argument("--write-docs", type=Path, metavar="DIR", help="write catalogue.md and errata.md, and stop")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> Status:
    from tinygen.lectures import report, running

    examples = options.examples or (4 if options.quick else 25)
    shrink = not options.falsify or options.as_printed
    settings = running.Settings(examples, options.seed, options.device, options.jobs, shrink)
    try:
        with device(options.device):
            claims = running.chosen(options.ids)
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.write_docs:
        report.write_documents(options.write_docs, settings)
        return 0
    started, what = time.perf_counter(), "claims"
    if options.as_printed or options.falsify:
        what = "errata" if options.as_printed else "wrong versions"
        named = {name.upper() for name in options.ids if name.upper().startswith("E-")}
        tasks = running.falsifying(claims, printed=options.as_printed, numbers=named)
    else:
        tasks = [running.Task(claim.id) for claim in claims]
    with _progress(len(tasks), what) as advance:
        reports = running.run(tasks, settings, advance)
    seconds = time.perf_counter() - started
    for line in report.table(reports):
        print(line)
    for told in reports:
        if options.as_printed or not told.passed:
            print("", *report.explanation(told, settings), sep="\n")
    print(f"\n{report.summary(reports, seconds)}")
    if options.json:
        report.write_json(options.json, reports, settings, seconds)
    if options.html:
        report.write_html(options.html, reports, settings, seconds)
    return 0 if all(told.passed for told in reports) else 1


@contextlib.contextmanager
def _progress(count: int, unit: str) -> Iterator[Callable[[Any], None]]:
    """A bar on a terminal, and what to call for each thing done."""
    from tqdm import tqdm

    with tqdm(total=count, unit=f" {unit}", disable=None) as bar:

        def advance(told: Any) -> None:
            bar.set_postfix_str(told.id)
            bar.update()

        yield advance


COMMANDS: list[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]] = [_add_models, _add_verify]
