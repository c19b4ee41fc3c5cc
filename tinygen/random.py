"""Floor 4. Random tensors from counter-based streams: a key, a counter, and nothing hidden.

A draw takes as many whole blocks of four 64-bit words of its stream as it needs and moves the counter past them, so
draws that fill their blocks are the same numbers as one long draw.  The bits are the same on every device, but for
rare last bits of normals (``philox.py`` says why).  A generator is not locked: give each thread its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from numbers import Real
from typing import Any

import numpy as np

from tinygen import backend, philox
from tinygen.backend import Array
from tinygen.tensor import Tensor

__all__ = ["Generator", "default", "seed"]

Shape = int | Sequence[int]
Device = str | None
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Generator:
    """The random stream ``key`` (0 ≤ key < 2**128, all are equally good), from block ``counter`` on.

    ``shape``, a whole number or a tuple, is the shape of the result; ``dtype`` and ``device`` default to tinygen's.
    Wrong arguments raise ValueError or TypeError; probabilities are checked where they are on the host.

    >>> rng = Generator(7)
    >>> saved, noise = rng.state, rng.normal((2, 3))
    >>> rng
    Generator(key=7, counter=2)
    >>> rng.state = saved
    >>> bool((rng.normal((2, 3)).numpy() == noise.numpy()).all())
    True
    """

    __slots__ = ("_counter", "_key")

    def __init__(self, key: int, counter: int = 0) -> None:
        self.state = {"key": key, "counter": counter}

    @property
    def state(self) -> dict[str, int]:
        """Key and counter, as plain integers: all there is to save."""
        return {"key": self._key, "counter": self._counter}

    @state.setter
    def state(self, state: Mapping[str, int]) -> None:
        _require("state", "entries", set(state) == {"key", "counter"}, sorted(state), "needs 'key' and 'counter'")
        key, counter = _wholes("state", "key and counter", [state["key"], state["counter"]])
        philox.check(key, counter)
        self._key, self._counter = key, counter

    def __repr__(self) -> str:
        return f"Generator(key={self._key}, counter={self._counter})"

    def spawn(self, name: str) -> Generator:
        """The independent stream called ``name``: its key is a 128-bit BLAKE2b hash of our key and the name.

        The counter plays no part and does not move: a layer's noise does not depend on when its stream was made.

        >>> Generator(1).spawn("noise").state == Generator(1, counter=99).spawn("noise").state
        True
        """
        if not isinstance(name, str):
            raise TypeError(f"Generator.spawn: name must be a string, got {name!r}; use str(...)")
        secret = self._key.to_bytes(16, "little")
        digest = blake2b(name.encode(), digest_size=16, key=secret, person=b"tinygen.spawn").digest()
        return Generator(int.from_bytes(digest, "little"))

    def normal(self, shape: Shape, *, dtype: Any = None, device: Device = None) -> Tensor:
        """Standard normals, one word each: Box–Muller in float64, rounded once."""
        exact = _float_dtype("normal", dtype)
        xp = backend.library_for(device or backend.default_device())[0].xp
        return Tensor(self._draw("normal", shape, device, 1, lambda words: philox.normals(xp, words, exact)))

    def uniform(
        self, shape: Shape, low: float = 0.0, high: float = 1.0, *, dtype: Any = None, device: Device = None
    ) -> Tensor:
        """Uniforms in [low, high), and with the default bounds strictly inside (0, 1); 8 bytes of them a word."""
        exact = _float_dtype("uniform", dtype)
        bounds = _bounds(low, high, exact)

        def make(words: Array) -> Array:
            unit = philox.uniforms(words, exact)
            if bounds is None:
                return unit
            first, span, last = bounds
            return backend.namespace(unit).minimum(unit * span + first, last)  # the sum may have been rounded to high

        return Tensor(self._draw("uniform", shape, device, 8 // exact.itemsize, make))

    def bernoulli(self, probs: Any, shape: Shape | None = None, *, dtype: Any = None, device: Device = None) -> Tensor:
        """1 with probability ``probs``, else 0; an array broadcasts to ``shape`` (default: its own), on its own device.

        Compares uniforms of 23 bits, whatever the dtype: probabilities are met up to 2**-24, and 0 and 1 exactly.

        >>> Generator(0).bernoulli([0.0, 1.0]).numpy().tolist()
        [0.0, 1.0]
        """
        exact = _float_dtype("bernoulli", dtype)
        probs, device = _given(probs, device)
        shape = _lengths("bernoulli", shape, getattr(probs, "shape", ()))
        if backend.checks_values(probs):
            hint = "probabilities lie in [0, 1]; of logits take the sigmoid"
            _require("bernoulli", "probs", np.all((probs >= 0) & (probs <= 1)), probs, hint)
        unit = self._draw("bernoulli", shape, device, 2, lambda words: philox.uniforms(words, _FLOAT32))
        return Tensor(backend.namespace(unit).asarray(unit < probs, dtype=exact))

    def integers(self, low: int, high: int, shape: Shape = (), *, device: Device = None) -> Tensor:
        """Whole numbers low ≤ n < high (int64): a word each, modulo high - low, which must be below 2**32.

        The modulo favours small values by (high - low) / 2**64 at most: below 2**-40 for ranges below 2**24.

        >>> sorted(set(Generator(0).integers(1, 7, 100).numpy().tolist()))
        [1, 2, 3, 4, 5, 6]
        """
        low, high = _wholes("integers", "low and high", [low, high])
        allowed = 0 < high - low < 1 << 32 and low >= -(1 << 63) and high <= 1 << 63
        _require("integers", "(low, high)", allowed, (low, high), "needs low < high < low + 2**32, within int64")
        span = high - low
        return Tensor(self._draw("integers", shape, device, 1, lambda words: (words % span).view(np.int64) + low))

    def permutation(self, n: int, *, device: Device = None) -> Tensor:
        """0, …, n - 1 in random order (int64): sorted on the host, so the order of data is the same on every device."""
        words = self._draw("permutation", _wholes("permutation", "n", [n]), "cpu", 1, lambda words: words)
        order = np.argsort(words, kind="stable")  # stable: equal words leave no choice to the machine
        return Tensor(backend.to_device(order, device or backend.default_device()))

    def categorical(self, probs: Any, shape: Shape | None = None, *, device: Device = None) -> Tensor:
        """Classes (int64) with probabilities on the last axis of ``probs``; its other axes broadcast to ``shape``.

        Inverts the cumulated probabilities at a 52-bit uniform each.  A class of probability 0 is never drawn, nor
        one below 2**-53; rows sum to 1 within 0.001.  Drawn on the device of the array.

        >>> Generator(0).categorical([[0.0, 1.0], [1.0, 0.0]], (3, 2)).numpy().tolist()
        [[1, 0], [1, 0], [1, 0]]
        """
        probs, device = _given(probs, device)
        _require("categorical", "probs", getattr(probs, "shape", ())[-1:] > (0,), probs, "no classes on a last axis")
        shape = _lengths("categorical", shape, probs.shape[:-1])
        if backend.checks_values(probs):
            proper = (probs >= 0).all() and (abs(probs.sum(axis=-1, dtype=_FLOAT64) - 1.0) <= 1e-3).all()
            _require("categorical", "probs", proper, probs, "rows are ≥ 0 and sum to 1; of logits take the softmax")
        xp = backend.namespace(probs)
        # Whole numbers below 2**53 add up exactly in float64, in any order: a device that sums in parallel gets the
        # same edges, and the edge of a class of probability 0 never differs from the one before.
        edges = xp.cumsum(xp.rint(probs.astype(_FLOAT64) * 2.0**52), axis=-1)
        unit = self._draw("categorical", shape, device, 1, lambda words: philox.uniforms(words, _FLOAT64))
        if probs.ndim == 1:
            return Tensor(xp.searchsorted(edges, unit.reshape(-1) * edges[-1:], side="right").reshape(shape))
        return Tensor((edges <= (unit * edges[..., -1])[..., None]).sum(axis=-1))

    def _draw(self, method: str, shape: Shape, device: Device, per_word: int, make: Callable[[Array], Array]) -> Array:
        """``make(words)`` cut to ``shape``; in pieces that stay in a CPU's cache, which is twice as fast."""
        lengths, name = _lengths(method, shape), device or backend.default_device()
        count, per_block = math.prod(lengths), 4 * per_word
        xp, blocks = backend.library_for(name)[0].xp, -(-count // per_block)
        most = backend.block_bytes(xp) // 32
        for start in range(0, max(blocks, 1), most):
            taken = min(most, blocks - start)
            piece = make(backend.random_bits(name, self._key, self._counter, 4 * taken))
            self._counter = (self._counter + taken) % philox.COUNTERS
            if start == 0:
                whole = piece if taken == blocks else xp.empty(blocks * per_block, dtype=piece.dtype)
            if whole is not piece:
                whole[start * per_block : (start + taken) * per_block] = piece
        return whole[:count].reshape(lengths)


def _require(method: str, argument: str, holds: Any, value: Any, hint: str) -> None:
    if not holds:
        raise ValueError(f"Generator.{method}: {argument} {value!r}: {hint}")


def _wholes(method: str, argument: str, values: Iterable[Any]) -> tuple[int, ...]:
    try:
        return tuple(map(operator.index, values))
    except TypeError as error:
        raise TypeError(f"Generator.{method}: {argument} must be whole numbers, not {values!r}; use int()") from error


def _lengths(method: str, shape: Any, given: tuple[int, ...] = ()) -> tuple[int, ...]:
    """``shape`` as a tuple, to which ``given`` must broadcast; ``given`` itself if no shape is asked for."""
    lengths = given if shape is None else _wholes(method, "shape", shape if isinstance(shape, Sequence) else [shape])
    _require(method, "shape", min(lengths, default=0) >= 0, lengths, "no length may be negative")
    fits = len(given) <= len(lengths) and all(a in (1, b) for a, b in zip(given[::-1], lengths[::-1], strict=False))
    _require(method, "shape", fits, lengths, f"probs of shape {given} do not broadcast to it; use expand_dims")
    return lengths


def _float_dtype(method: str, dtype: Any) -> np.dtype[Any]:
    exact = backend.default_dtype() if dtype is None else np.dtype(dtype)
    if exact.char not in "efd":
        raise TypeError(f"Generator.{method}: dtype must be float16, float32 or float64, not {exact}; use .astype")
    return exact


def _bounds(low: Any, high: Any, dtype: np.dtype[Any]) -> tuple[float, float, float] | None:
    """The first number of ``dtype`` in [low, high), the length of the interval, its last number; None for [0, 1)."""
    numbers = isinstance(low, Real) and isinstance(high, Real)
    _require("uniform", "(low, high)", numbers and low < high, (low, high), "needs two numbers, low < high")
    if low == 0 and high == 1:
        return None
    with np.errstate(over="ignore"):
        first, last, span = (dtype.type(number) for number in (low, high, float(high) - float(low)))
    if float(first) < low:
        first = np.nextafter(first, dtype.type(math.inf))
    if float(last) >= high:
        last = np.nextafter(last, dtype.type(-math.inf))
    _require("uniform", "(low, high)", np.isfinite(span) and first <= last, (low, high), f"too far or near for {dtype}")
    return float(first), float(span), float(last)


def _given(probs: Any, device: Device) -> tuple[Any, str | None]:
    """Numbers as they are, else the raw array of ``probs`` on the device of the draw: as asked, or its own."""
    if isinstance(probs, Real):
        return float(probs), device
    if isinstance(probs, list | tuple):
        probs, device = np.asarray(probs), device or backend.default_device()
    raw = probs.data if isinstance(probs, Tensor) else probs
    name = device or backend.device_of(raw)
    return backend.to_device(raw, name), name


_default = Generator(0)


def default() -> Generator:
    """The generator that stands for ``rng=None``: a convenience for users, on which nothing inside tinygen relies."""
    return _default


def seed(n: int) -> None:
    """Start the default generator again, at the beginning of stream ``n``."""
    _default.state = {"key": n, "counter": 0}
