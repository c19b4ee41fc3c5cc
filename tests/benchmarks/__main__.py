"""Times tinygen against PyTorch, HIPS/autograd and hand-written NumPy, side by side in one process.

    python tests/benchmarks [--threads 1] [--rounds 15] [--only NAME …] [--json FILE]

Every ratio is tinygen's time over a peer's (below 1: tinygen is faster), the median over rounds in which all of
them ran one after the other, with the smallest and the largest round.  "–": the peer is not installed or cannot
express the case.  Before a case is timed, all its implementations must agree in values and gradients.  Times
pass or fail nothing: the machine may be busy.  PyTorch and autograd come with the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of every library (default 1)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each case (default 15)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only cases named like one of these")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write every round's times there")
    return parser.parse_args()


def limit_threads(count: int) -> None:
    """Tell the array libraries how many threads to use; they read it once, when they are imported."""
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)


def main() -> None:
    """Check and time the chosen cases, and print a line for each as it is done."""
    options = arguments()
    limit_threads(options.threads)
    import catalogue  # these import NumPy
    import peers
    import report

    peers.limit_threads(options.threads)
    print(report.heading(options.threads, options.rounds), flush=True)
    rows = []
    for name, measure in catalogue.measurements().items():
        if not options.only or any(part in name for part in options.only):
            rows.append(measure(options.rounds))
            print(report.line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([report.as_dictionary(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
