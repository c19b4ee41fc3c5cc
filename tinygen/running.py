"""Floor 8. What every example script shares: its command line, its folder, its verdict.

A script declares an :class:`~tinygen.systems.Example`, defines ``train(run)``, which trains with one seed and returns
what it measured, and ends in ``main(EXAMPLE, train, __doc__)``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import inspect
import json
import platform
import shlex
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinygen import backend, plots, training
from tinygen.checkpoint import replace_file
from tinygen.random import Generator
from tinygen.systems import Example, Gate, enough_of

__all__ = ["Example", "Gate", "Run", "main"]

T = TypeVar("T")
RESULTS, IMAGES = Path("docs/results"), Path("docs/images")
"""Where ``--store`` puts the figures that ``tinygen models`` shows, and small copies of the first seed's pictures."""


class Run:
    """One training with one seed: what ``train(run)`` is given.

    ``rng`` is the stream of the seed, to be spawned from; ``out`` is the folder for what it writes, ``shared`` one for
    what is the same for all seeds of a command; ``device`` is already the default device.
    """

    def __init__(
        self, seed: int, out: Path, *, quick: bool, resume: bool, shared: Path | None = None, code: str = ""
    ) -> None:
        self.seed, self.out, self.quick, self.resume, self.code = seed, out, quick, resume, code
        self.shared = shared or out
        self.rng = Generator(seed)
        self.device = backend.default_device()
        self.pictures: list[Path] = []
        self.resumed = False

    def choose(self, *, quick: T, full: T) -> T:
        """One value for ``--quick``, another without it."""
        return quick if self.quick else full

    def train(
        self, state: Any, step: training.Step, steps: int, *, name: str = "training", **options: Any
    ) -> training.History:
        """:func:`tinygen.training.run` with its checkpoint and curves in the folder ``name`` of this run.

        A checkpoint of other code is refused: figures begun by one program and ended by another belong to neither.
        """
        self.resumed |= self.resume and (self.out / name / training.CHECKPOINT).exists()
        settings = {"name": name, "seed": self.seed, "quick": self.quick, "code": self.code}
        return training.run(state, step, steps, out=self.out / name, resume=self.resume, settings=settings, **options)

    def picture(self, name: str) -> Path:
        """Where to save a picture; it is shown at the end by ``--show``."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.pictures.append(self.out / name)
        return self.pictures[-1]


def main(
    example: Example,
    train: Callable[[Run], Mapping[str, float]],
    about: str | None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Train with each seed, print what was measured and the verdict on each gate, and leave with the exit status.

    The status is 0 if all gates pass, 1 if one fails, 2 for wrong arguments, 130 after Ctrl-C.
    """
    parser = _parser(example, about)
    options = parser.parse_args(arguments)
    obstacle = _cannot_write(options.out)  # not to be learned after the training
    if obstacle:
        parser.error(obstacle)
    try:
        with backend.device(options.device):
            passed = _train_all(example, train, options)
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'stopped'} (with --resume)", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if passed else 1)


def _parser(example: Example, about: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=_device, default=backend.default_device(), help="cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=_count, default=1, metavar="N", help="train with N seeds, one after the other")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a short training, with gates of its own")
    size.add_argument("--full", action="store_true", help="the whole training (this is the default)")
    parser.add_argument("--out", type=Path, default=Path("out") / example.name, help="folder for all that is written")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoints in --out")
    parser.add_argument("--show", action="store_true", help="open the pictures at the end")
    parser.add_argument(
        "--store",
        action="store_true",
        help=f"keep the figures in {RESULTS}, for 'tinygen models', beside those of other seeds of the same code, "
        f"and small copies of the pictures in {IMAGES}",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number above 0, got {text!r}")
    return int(text)


def _cannot_write(folder: Path) -> str:
    """What keeps files from being written into a folder, which is made if need be; empty if nothing does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"cannot write into the folder {folder}: {error}"


def _device(text: str) -> str:
    try:
        backend.library_for(text)
    except (ValueError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _train_all(example: Example, train: Callable[[Run], Mapping[str, float]], options: argparse.Namespace) -> bool:
    code = _code(train)  # as it is now: it may be edited while this runs
    runs: list[Run] = []
    results: list[dict[str, Any]] = []
    for seed in range(options.seed, options.seed + options.seeds):
        out = options.out if options.seeds == 1 else options.out / f"seed{seed}"
        run = Run(seed, out, quick=options.quick, resume=options.resume, shared=options.out, code=code)
        started, worked = time.monotonic(), time.process_time()
        metrics = {name: float(value) for name, value in train(run).items()}
        missing = [gate.name for gate in example.gates if gate.name not in metrics]
        if missing:
            raise ValueError(f"{example.name}: train measured {list(metrics)}, not the gates {missing}")
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.6g}" for name, value in metrics.items()))
        runs.append(run)
        results.append(
            {
                "seed": seed,
                "seconds": round(time.monotonic() - started, 1),
                "cpu_seconds": round(time.process_time() - worked, 1),  # a busy machine blurs the others
                "resumed": run.resumed,  # then the seconds are those of the last part
                "metrics": metrics,
            }
        )
    passed = _print_gates(example.gates, results, options.quick)
    report = {
        "example": example.name,
        "commands": [shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])],
        "quick": options.quick,
        "passed": passed,
        "seconds": round(sum(result["seconds"] for result in results), 1),
        "code": code,
        "versions": _versions(),
        "runs": results,
    }
    training.write_json(options.out / "metrics.json", report)
    if options.store:
        _store(example, report)
        _store_pictures(runs[0].pictures)
    pictures = [picture for run in runs for picture in run.pictures]
    for picture in pictures:
        print(f"picture: {picture}")
        if options.show:
            webbrowser.open(picture.resolve().as_uri())
    return passed


def _store(example: Example, report: dict[str, Any]) -> None:
    """Keep a report; where one of the same code, size and versions is kept already, with its other seeds."""
    path = RESULTS / f"{example.name}.json"
    stored = json.loads(path.read_text()) if path.exists() else None
    if stored and all(stored.get(key) == report[key] for key in ("quick", "code", "versions")):
        runs = {run["seed"]: run for run in [*stored["runs"], *report["runs"]]}
        report = {
            **report,
            "commands": list(dict.fromkeys([*stored["commands"], *report["commands"]])),
            "runs": [runs[seed] for seed in sorted(runs)],
            "seconds": round(sum(run["seconds"] for run in runs.values()), 1),
        }
        print(f"stored: seeds {', '.join(map(str, sorted(runs)))}")
        report["passed"] = _print_gates(example.gates, report["runs"], report["quick"])
    training.write_json(path, report)


def _store_pictures(pictures: Sequence[Path]) -> None:
    """Keep copies of pictures at README size; those that move are small already."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        if picture.suffix == ".png":
            plots.reduced(picture, IMAGES / picture.name)
        else:
            replace_file(IMAGES / picture.name, picture.read_bytes())


def _code(train: Callable[[Run], Mapping[str, float]]) -> str:
    """A digest of the script that defines ``train`` and of the package, but for the proofs, which no example runs."""
    package = Path(__file__).parent
    files = [file for file in sorted(package.rglob("*.py")) if file.parent.name not in ("lectures", "testing")]
    digest = hashlib.sha256()
    for file in (Path(inspect.getfile(train)), *files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _print_gates(gates: Sequence[Gate], results: Sequence[dict[str, Any]], quick: bool) -> bool:
    """A table of the gates; whether each is passed by enough seeds, and enough seeds pass all that chance decides."""
    rows, passed = [("gate", "unit", "value", "threshold", "verdict")], True
    together = [
        all(gate.exact or gate.passes(float(result["metrics"][gate.name]), quick=quick) for gate in gates)
        for result in results
    ]
    for gate in gates:
        values = [float(result["metrics"][gate.name]) for result in results]
        shown, verdict, enough = gate.verdict(values, quick=quick)
        rows.append((gate.name, gate.unit, shown, gate.threshold(quick=quick), verdict))
        passed = passed and enough
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if len(results) > 1:
        print(f"{sum(together)} of {len(results)} seeds pass all")
    return passed and sum(together) >= enough_of(len(results))


def _versions() -> dict[str, str]:
    """What the figures were made with, for whoever finds others."""
    try:
        version = importlib.metadata.version("tinygen")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is on the path, but not installed
        version = "checkout"
    return {
        "tinygen": version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "device": backend.default_device(),
        "machine": platform.machine(),
    }
