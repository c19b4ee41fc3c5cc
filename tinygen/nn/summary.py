"""Floor 5. A table of what a network does to shapes, and where its parameters are."""

from __future__ import annotations

from typing import Any

import tinygen.ops as ops
from tinygen.nn.module import Module, frozen, observer
from tinygen.record import no_grad
from tinygen.tensor import Tensor

Row = tuple[str, str, str, str]


def summary(module: Module, input_shape: tuple[int, ...], *, dtype: Any = None) -> str:
    """Print the modules in the order in which they finish, with output shapes and parameters; return the table.

    The module is called once on zeros of ``input_shape`` (batch axis included) and of ``dtype`` (its parameters' by
    default; ``int`` for an Embedding), in evaluation and without recording: nothing in it changes.  A parameter
    shared by several modules is counted once, in the first of them.

    >>> import tinygen as tg
    >>> table = summary(tg.nn.Sequential(tg.nn.Linear(64, 16), tg.nn.ReLU()), (1, 64))
    name  module      output   parameters
    0     Linear      (1, 16)       1,040
    1     ReLU        (1, 16)           0
          Sequential  (1, 16)       1,040 in all
    """
    rows = _observed(module, _zeros(module, input_shape, dtype))
    total = sum(parameter.size for parameter in module.parameters())
    rows[-1] = (*rows[-1][:3], f"{total:,} in all")
    table = _aligned([("name", "module", "output", "parameters"), *rows])
    print(table)
    return table


def _zeros(module: Module, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """Zeros on the device and, unless asked otherwise, in the dtype of the module's parameters."""
    like = next(iter(module.parameters()), None)
    if like is None:
        return ops.zeros(shape, dtype=dtype)
    return ops.zeros(shape, dtype=dtype or like.dtype, device=like.device)


def _observed(module: Module, x: Tensor) -> list[Row]:
    """One row for each call of a part of the module, in the order in which the calls end."""
    names = {id(part): name for name, part in module.named_modules()}
    counted: set[int] = set()
    rows: list[Row] = []

    def watch(part: Module, output: Any) -> None:
        own = {id(p): p.size for p in vars(part).values() if isinstance(p, Tensor) and id(p) in trained}
        count = sum(size for key, size in own.items() if key not in counted)
        counted.update(own)
        rows.append((names.get(id(part), "?"), type(part).__name__, _shapes(output), f"{count:,}"))

    trained = {id(parameter) for parameter in module.parameters()}
    modes = [(part, part.training) for part in module.modules()]
    token = observer.set(watch)
    try:
        with no_grad(), frozen(module):
            module.eval()(x)
    finally:
        observer.reset(token)
        for part, training in modes:
            part.training = training
    return rows


def _shapes(output: Any) -> str:
    """The shape of a tensor, or the shapes of several."""
    if isinstance(output, (tuple, list)):
        return ", ".join(_shapes(part) for part in output)
    return str(tuple(output.shape)) if hasattr(output, "shape") else type(output).__name__


def _aligned(rows: list[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    digits = max(len(row[3].removesuffix(" in all")) for row in rows)

    def line(row: Row) -> str:
        number, _, rest = row[3].partition(" ")
        left = "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
        return f"{left}  {number.rjust(digits)} {rest}".rstrip()

    return "\n".join(line(row) for row in rows)
