"""Floor 2. The record: nodes, the user's lines they came from, and whether anything is recorded at all.

A node is a *record*, not a closure: the primitive, its arguments, the raw arrays that went in, the raw array
that came out.  So a graph can be printed, drawn and written out as source.  Nodes point only to older nodes:
there are no reference cycles, memory is freed by reference counting alone, and falling sequence numbers are a
topological order for the walk back (``autograd.py``).
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygen.backend import Array

if TYPE_CHECKING:
    from tinygen.primitive import Primitive

Location = tuple[Any, int, Any]  # (code, instruction, origin): the user's line, looked up only when it is shown
_next_sequence = itertools.count().__next__
_PACKAGE = os.path.dirname(__file__)


class Mode(NamedTuple):
    """What happens beside computing a result."""

    recording: bool = True
    inspect: Callable[[str, list[Any], Array, Location], None] | None = None  # detect_anomaly's look at each result
    origin: tuple[str, Location] | None = None  # in a recorded backward walk: the operation whose rule is running


mode: ContextVar[Mode] = ContextVar("mode", default=Mode())  # noqa: B039 (a NamedTuple is immutable)


class no_grad(ContextDecorator):  # noqa: N801 (PyTorch's name)
    """Record nothing inside the block, or inside the decorated function."""

    def __init__(self) -> None:
        self._tokens: list[Token[Mode]] = []  # a stack: one decorator may be entered again by a recursive function

    def __enter__(self) -> None:
        self._tokens.append(mode.set(mode.get()._replace(recording=False)))

    def __exit__(self, *exception: object) -> None:
        mode.reset(self._tokens.pop())


class recording(no_grad):  # noqa: N801
    """Record inside the block, also within ``no_grad``: transforms differentiate what they call in any case."""

    def __enter__(self) -> None:
        self._tokens.append(mode.set(mode.get()._replace(recording=True)))


class Node:
    """One executed operation; ``needs`` lists the arguments that a gradient flows to."""

    __slots__ = ("__weakref__", "args", "inputs", "kwargs", "location", "needs", "output", "primitive", "sequence")

    def __init__(
        self, primitive: Primitive[Any], args: Any, kwargs: Any, inputs: Any, output: Array, needs: Any, location: Any
    ) -> None:
        self.primitive = primitive
        self.args: tuple[Any, ...] | None = (
            args  # tensors and constants as given; None once backward() has consumed the node
        )
        self.kwargs: dict[str, Any] = kwargs
        self.inputs: list[Any] = inputs  # the raw arrays computed from: a tensor may be rebound afterwards
        self.output = output
        self.needs: list[int] = needs
        self.location: Location = location
        self.sequence = _next_sequence()

    def __repr__(self) -> str:
        if self.args is None:
            return f"{self.primitive.name}(… consumed by backward())"
        shown = [brief(value) if hasattr(value, "dtype") else repr(value) for value in self.inputs]
        return (
            f"{self.primitive.name}({', '.join(shown + [f'{name}={value!r}' for name, value in self.kwargs.items()])})"
        )


def brief(array: Array) -> str:
    """Dtype and shape of an array, as ``float32[3,4]``."""
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"


def user_location(now: Mode) -> Location:
    """The innermost running line outside tinygen, and what it is the derivative of."""
    frame = sys._getframe(2)
    while _is_ours[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti, now.origin


class _Ours(dict[str, bool]):
    """Whether a source file belongs to tinygen, looked at once for each file."""

    def __missing__(self, filename: str) -> bool:
        self[filename] = filename.startswith(_PACKAGE)
        return self[filename]


_is_ours = _Ours()


def show_location(location: Location) -> str:
    """``file:line in function`` of a recorded operation, and of the operation whose derivative it belongs to."""
    code, instruction, origin = location
    line = next(itertools.islice(code.co_positions(), instruction // 2, None))[0]
    place = f"{code.co_filename}:{line} in {code.co_name}"
    return place if origin is None else f"{place} (in the derivative of {origin[0]}, {show_location(origin[1])})"
