"""Floor 5. Seeded batches of rows, which can be stopped and resumed anywhere."""

from __future__ import annotations

from typing import Any

from tinygen.ops import take, tensor
from tinygen.random import Generator
from tinygen.tensor import Tensor


class Batches:
    """Batches of the rows of one or several arrays, in a new random order each epoch, without end.

    The arrays go to the default device once.  Rows left over at the end of an epoch are not used in it.

    >>> import numpy as np, tinygen as tg
    >>> batches = tg.data.Batches(np.arange(10.0), size=4, rng=tg.random.Generator(0))
    >>> batches.next()[0].shape
    (4,)
    """

    def __init__(self, *arrays: Any, size: int, rng: Generator) -> None:
        self.arrays = [tensor(array) for array in arrays]
        self.size, self.rng = size, rng
        self.epoch = self.position = 0
        counts = {len(array) for array in self.arrays}
        if len(counts) != 1 or not 0 < size <= min(counts):
            raise ValueError(f"Batches: arrays of {sorted(counts)} rows do not give batches of {size}")
        self._order: Tensor | None = None

    def next(self) -> tuple[Tensor, ...]:
        """The next batch: one tensor for each array."""
        rows = len(self.arrays[0])
        if self.position + self.size > rows:
            self.epoch, self.position, self._order = self.epoch + 1, 0, None
        if self._order is None:  # the order depends on the epoch alone, so that a resumed run finds it again
            self._order = self.rng.spawn(f"epoch {self.epoch}").permutation(rows)
        chosen = self._order[self.position : self.position + self.size]
        self.position += self.size
        return tuple(take(array, chosen, 0) for array in self.arrays)

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Stand where a saved run stood."""
        self.epoch, self.position, self._order = int(state["epoch"]), int(state["position"]), None
