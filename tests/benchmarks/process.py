"""What is measured outside the rounds: the time of an import and the peak of memory."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tracemalloc

import floor
import numpy as np
from timing import Row

import tinygen as tg

IMPORTS = 9  # fresh interpreters of each kind


def import_time(rounds: int) -> Row:
    """``import tinygen`` against ``import numpy``, each in fresh interpreters by turns."""
    seconds: dict[str, list[float]] = {"tinygen": [], "numpy": []}
    for module in seconds:
        _import_seconds(module)  # warms the disk cache
    for _ in range(IMPORTS):
        for module, times in seconds.items():
            times.append(_import_seconds(module))
    return Row("import (against import numpy)", seconds)


def _import_seconds(module: str) -> float:
    """How long a fresh interpreter takes to import a module."""
    program = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    source = str(pathlib.Path(tg.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def peak_memory(rounds: int) -> Row:
    """The peak of memory of a convolution's forward and backward, inputs included, over the data themselves."""
    shape, weight, out = (32, 32, 28, 28), (64, 32, 3, 3), (32, 64, 28, 28)
    data = 4 * (2 * int(np.prod(shape)) + 2 * int(np.prod(weight)) + 2 * int(np.prod(out)))
    peaks = {
        "tinygen": _traced(_conv_in_tinygen, shape, weight, out),
        "numpy": _traced(_conv_by_hand, shape, weight, out),
    }
    told = ", ".join(f"{engine} {peak / data:.2f}" for engine, peak in peaks.items())
    return Row("conv 3×3 32→64 28×28, peak memory", {"tinygen": []}, f"{told} × the {data / 2**20:.1f} MiB of data")


def _traced(function: object, *shapes: tuple[int, ...]) -> int:
    tracemalloc.start()
    function(*(np.zeros(shape, np.float32) + 1.0 for shape in shapes))  # type: ignore[operator]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _conv_in_tinygen(x: np.ndarray, w: np.ndarray, g: np.ndarray) -> object:
    inputs = [tg.Tensor(x, requires_grad=True), tg.Tensor(w, requires_grad=True)]
    y = tg.conv2d(*inputs, padding=1)
    return y, tg.grad(y, inputs, tg.Tensor(g))


def _conv_by_hand(x: np.ndarray, w: np.ndarray, g: np.ndarray) -> object:
    return floor.conv(x, w, 1, 1), floor.conv_input(g, w, 1, 1, x.shape[2]), floor.conv_weight(x, g, 1, 1, w.shape[2])
