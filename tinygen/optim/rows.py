"""Floor 5. Gradients of tables of which a loss looks up a few rows, such as word vectors.

The gradient of a lookup y = table[indices] is nearly all zeros, and a dense array of it is as large as the table.
So it is never made: the walk stops at y, and the cotangents of y are summed over equal indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygen.autograd import uses
from tinygen.backend import Array, namespace, sum_rows
from tinygen.ops.index import looked_up_rows
from tinygen.record import show_location
from tinygen.tensor import Tensor, wrap


class Lookup(NamedTuple):
    """One recorded lookup: its result, the rows it picked, and from which table."""

    result: Tensor
    rows: Array
    table: Tensor


class RowGradient(NamedTuple):
    """The gradient of the rows ``where`` of a table; of these only the ``touched`` ones were looked up (None: all)."""

    where: Any
    gradient: Array
    touched: Array | None


def lookups(owner: str, loss: Tensor, tables: Sequence[Tensor]) -> list[Lookup]:
    """All lookups in the tables that a loss depends on; raises ValueError if it depends on one in another way."""
    found = []
    for node, table in uses(loss, tables) if tables else []:
        rows = looked_up_rows(node)
        if rows is None:
            raise ValueError(
                f"{owner}.minimize: the lazy parameter of shape {table.shape} is used by {node.primitive.name} at "
                f"{show_location(node.location)}, not only by embedding: which rows it needs is unknown; "
                f"leave it out of lazy="
            )
        found.append(Lookup(wrap(node.output, node, True), rows, table))
    return found


def row_gradients(found: Sequence[Lookup], cotangents: Sequence[Tensor | None]) -> dict[int, RowGradient]:
    """The gradient of each table that was looked up, by its ``id``; rows looked up several times are summed."""
    given: dict[int, list[tuple[Lookup, Tensor]]] = {}
    for lookup, cotangent in zip(found, cotangents, strict=True):
        if cotangent is not None:
            given.setdefault(id(lookup.table), []).append((lookup, cotangent))
    result = {}
    for key, pairs in given.items():
        size, *rest = pairs[0][0].table.shape
        xp = namespace(pairs[0][0].rows)
        rows = xp.concatenate([lookup.rows.reshape(-1) for lookup, _ in pairs])
        values = xp.concatenate([cotangent._data.reshape(-1, *rest) for _, cotangent in pairs])
        result[key] = RowGradient(*sum_rows(values, rows, size))
    return result
