"""Floor 5. Seeded batches of rows, which can be stopped and resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from tinygen.ops import stack, take, tensor
from tinygen.random import Generator
from tinygen.tensor import Tensor


class Source(Protocol):
    """Where real examples come from: ``Batches`` of what there is, or ``Draws`` of what can be drawn."""

    def next(self) -> tuple[Tensor, ...]:
        """A batch (x,), or (x, y) of a conditional game."""


class Batches:
    """Batches of the rows of one or several arrays, in a new random order each epoch, without end.

    ``arrays``: anything :func:`tinygen.tensor` takes, or an iterable of rows, which is read to its end at once (so
    it must have one) and stacked.  All have the same number of rows, and row i of each belongs together: images and
    their labels.  They go to ``device`` once (default: arrays of a device stay there, others go to the default
    device), and a batch never waits for it.

    Rows left over at the end of an epoch are not used in it; with ``drop_last=False`` they make a short batch.

    The order of an epoch depends on the key of ``rng`` and the number of the epoch alone, so a state is a few
    integers, and a resumed run sees the same batches to the bit.

    >>> import numpy as np, tinygen as tg
    >>> batches = tg.data.Batches(np.arange(10.0), size=4, rng=tg.random.Generator(0))
    >>> next(batches)[0].shape, len(batches), batches.epoch
    ((4,), 2, 0)

    Raises ValueError if the arrays differ in rows, have none, or have fewer than ``size`` of them.
    """

    epoch: int
    """Number of the epoch that the last batch came from, from 0 on."""

    def __init__(
        self, *arrays: Any, size: int, rng: Generator, drop_last: bool = True, device: str | None = None
    ) -> None:
        self.arrays = tuple(_rows(array, device) for array in arrays)
        self.size, self.drop_last = size, drop_last
        self.epoch = self.position = 0
        counts = sorted({len(array) for array in self.arrays})
        if len(counts) != 1 or not 0 < size <= counts[0]:
            raise ValueError(f"Batches: arrays of {counts} rows do not give batches of size={size!r}")
        devices = sorted({array.device for array in self.arrays})
        if len(devices) != 1:
            raise ValueError(f"Batches: the arrays live on different devices, {devices}; choose one with device=...")
        self._rows, self._key = counts[0], rng.state["key"]
        self._order: Tensor | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._rows // self.size if self.drop_last else -(-self._rows // self.size)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        """The next batch: one tensor for each array.  There is always a next one."""
        if self.position >= len(self) * self.size or self.position >= self._rows:
            self.epoch, self.position, self._order = self.epoch + 1, 0, None
        if self._order is None:
            stream = Generator(self._key).spawn(f"epoch {self.epoch}")
            self._order = stream.permutation(self._rows, device=self.arrays[0].device)
        chosen = self._order[self.position : self.position + self.size]
        self.position += len(chosen)
        return tuple(take(array, chosen, 0) for array in self.arrays)

    next = __next__

    def state_dict(self) -> dict[str, int]:
        """Where it stands, and what it stands in: the key of the order, and the numbers that make the batches."""
        made = {"rows": self._rows, "size": self.size, "drop_last": int(self.drop_last)}
        return {"key": self._key, "epoch": self.epoch, "position": self.position, **made}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Stand where a saved run stood, in its order; raises ValueError if these are not batches of the same kind."""
        have = self.state_dict()
        if set(state) != set(have):
            raise ValueError(f"Batches.load_state_dict: needs {', '.join(have)}; got {', '.join(map(str, state))}")
        for name in ("rows", "size", "drop_last"):
            if int(state[name]) != have[name]:
                raise ValueError(f"Batches.load_state_dict: saved with {name}={state[name]}, here {have[name]}")
        key, epoch, position = (int(state[name]) for name in ("key", "epoch", "position"))
        if epoch < 0 or not 0 <= position <= self._rows or (position % self.size and position != self._rows):
            raise ValueError(f"Batches.load_state_dict: no batch ends at epoch {epoch}, position {position}")
        self._key, self.epoch, self.position, self._order = Generator(key).state["key"], epoch, position, None


class Draws:
    """Fresh examples for each batch: ``draw(rng)`` gives them, a tensor or a tuple of tensors."""

    def __init__(self, draw: Callable[[Generator], Tensor | tuple[Tensor, ...]], *, rng: Generator) -> None:
        self.draw, self.rng = draw, rng

    def next(self) -> tuple[Tensor, ...]:
        drawn = self.draw(self.rng)
        return drawn if isinstance(drawn, tuple) else (drawn,)

    def state_dict(self) -> dict[str, int]:
        return self.rng.state

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.rng.state = state


def _rows(array: Any, device: str | None) -> Tensor:
    """``array``, or the rows of an iterable, as one tensor."""
    if not hasattr(array, "dtype") and not isinstance(array, (list, tuple)):
        if not isinstance(array, Iterable) or isinstance(array, (str, bytes, Mapping)):
            raise TypeError(f"Batches: needs arrays or iterables of rows, got {type(array).__name__}")
        array = list(array)
    if isinstance(array, (list, tuple)) and any(isinstance(row, Tensor) for row in array):
        array = stack(array)
    made = tensor(array, device=device)
    if made.ndim == 0:
        raise ValueError(f"Batches: needs arrays with rows, got the single number {array!r}")
    return made
