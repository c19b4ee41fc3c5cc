"""Floor 9. The command ``tinygen`` (also ``python -m tinygen``): one function a subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

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


COMMANDS: list[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]] = [_add_models]
