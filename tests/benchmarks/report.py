"""The table: a heading, a line for each row, and the same as plain data."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import numpy as np
from peers import ENGINES, INSTALLED, torch
from timing import Row, median

import tinygen

PEERS = ENGINES[1:]


def heading(threads: int, rounds: int) -> str:
    """What was compared, and the names of the columns."""
    versions = [f"tinygen {getattr(tinygen, '__version__', '(this tree)')}", f"numpy {np.__version__}"]
    versions += [f"torch {torch.__version__}"] if torch else []
    versions += [f"autograd {importlib.metadata.version('autograd')}"] if "autograd" in INSTALLED else []
    columns = "".join(f"{'tinygen / ' + peer:>26}" for peer in PEERS)
    return (
        f"{', '.join(versions)}; Python {platform.python_version()}; {threads} thread(s), {rounds} rounds\n"
        f"ratios: median of rounds (smallest–largest); numpy = hand-written forward and gradient\n\n"
        f"{'case':<38}{'tinygen ms':>11}{columns}  memory"
    )


def line(row: Row) -> str:
    """One row of the table."""
    ours = row.seconds["tinygen"]
    return (
        f"{row.name:<38}{_time(ours):>11}" + "".join(f"{_ratio(row, peer):>26}" for peer in PEERS) + f"  {row.remark}"
    )


def _time(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.3f}" if seconds else "–"


def _ratio(row: Row, peer: str) -> str:
    ratios = row.ratios(peer)
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"


def as_dictionary(row: Row) -> dict[str, Any]:
    """A row with every round's times, for a file."""
    ratios = {peer: median(row.ratios(peer)) for peer in PEERS if row.ratios(peer)}
    return {"case": row.name, "ratios": ratios, "remark": row.remark, "seconds": row.seconds}
