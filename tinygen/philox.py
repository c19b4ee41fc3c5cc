"""Floor 0. Philox4x64-10: random words addressed by a key and a counter, and the numbers made of them.

A counter-based generator is a keyed permutation of 256-bit numbers: block ``i`` of stream ``key`` is
``philox(key, i)``, four 64-bit words, computed without computing the blocks before it.  So the whole state of
a stream is two integers, a stream can be read from anywhere, and any device makes the same words.

Source: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011
(https://doi.org/10.1145/2063384.2063405); the tests hold its known answers.

Conventions, the same in both functions: keys lie in [0, 2**128), counters in [0, 2**256), least significant
word first, as in Random123; blocks after counter 2**256 - 1 go on at 0.
"""

from __future__ import annotations

import functools
import math
import threading
from typing import Any

import numpy as np

__all__ = ["COUNTERS", "KEYS", "check", "normals", "uniforms", "words_on_device", "words_on_host"]

KEYS = 1 << 128
"""How many keys there are."""
COUNTERS = 1 << 256
"""How many blocks a stream has, before it starts again."""
_LOW = (1 << 64) - 1


def check(key: int, counter: int) -> None:
    """Raise ValueError if the key or the counter is out of range."""
    if not 0 <= key < KEYS:
        raise ValueError(f"philox: a key lies in [0, 2**128), got {key}; take it modulo 2**128")
    if not 0 <= counter < COUNTERS:
        raise ValueError(f"philox: a counter lies in [0, 2**256), got {counter}; take it modulo 2**256")


class _Host(threading.local):
    """NumPy's generator, one for each thread, because a draw sets its state; making one takes 8 µs, setting 1."""

    def __init__(self) -> None:
        self.bits: Any = np.random.Philox(key=0)


_host = _Host()


def words_on_host(key: int, counter: int, count: int) -> np.ndarray:
    """The first ``count`` words (uint64) of blocks ``counter``, ``counter + 1``, …, by NumPy's C code.

    Raises ValueError if the key or the counter is out of range.

    >>> [hex(word) for word in words_on_host(key=0, counter=0, count=2)]
    ['0x16554d9eca36314c', '0xdb20fe9d672d0fdc']
    """
    check(key, counter)
    bits = _host.bits
    before = counter - 1  # NumPy adds one to the counter before it makes a block; -1 is 2**256 - 1 in the masks below
    bits.state = {
        "bit_generator": "Philox",
        "state": {
            "counter": (before & _LOW, before >> 64 & _LOW, before >> 128 & _LOW, before >> 192 & _LOW),
            "key": (key & _LOW, key >> 64),
        },
        "buffer": (0, 0, 0, 0),
        "buffer_pos": 4,  # the buffer is used up: start with a new block
        "has_uint32": 0,
        "uinteger": 0,
    }
    return bits.random_raw(count)  # type: ignore[no-any-return]


_SOURCE = r"""
typedef unsigned long long word;

extern "C" __global__ void philox4x64(word* words, word blocks, word key0, word key1,
                                      word counter0, word counter1, word counter2, word counter3) {
    word stride = (word)gridDim.x * blockDim.x;
    for (word block = (word)blockIdx.x * blockDim.x + threadIdx.x; block < blocks; block += stride) {
        word a = counter0 + block, carry = a < block;      // the 256-bit sum counter + block
        word b = counter1 + carry; carry &= b == 0;
        word c = counter2 + carry; carry &= c == 0;
        word d = counter3 + carry;
        word k0 = key0, k1 = key1;
        for (int round = 0; round < 10; ++round) {
            word low0 = 0xD2E7470EE14C6C93ull * a, high0 = __umul64hi(0xD2E7470EE14C6C93ull, a);
            word low1 = 0xCA5A826395121157ull * c, high1 = __umul64hi(0xCA5A826395121157ull, c);
            a = high1 ^ b ^ k0; b = low1;
            c = high0 ^ d ^ k1; d = low0;
            k0 += 0x9E3779B97F4A7C15ull;                   // the golden ratio and sqrt(3) - 1, times 2**64
            k1 += 0xBB67AE8584CAA73Bull;
        }
        words[4 * block] = a; words[4 * block + 1] = b; words[4 * block + 2] = c; words[4 * block + 3] = d;
    }
}
"""
_THREADS, _MOST_GROUPS = 256, 1 << 16  # a larger draw loops inside its threads


@functools.cache
def _kernel(xp: Any) -> Any:
    return xp.RawKernel(_SOURCE, "philox4x64")


def words_on_device(xp: Any, key: int, counter: int, count: int) -> Any:
    """The same words as :func:`words_on_host`, made on the current CUDA device by one launch, without synchronising.

    ``xp`` is the array library of the device: it needs ``RawKernel``, ``empty`` and slices.
    """
    check(key, counter)
    blocks = -(-count // 4)
    words = xp.empty(4 * blocks, dtype=np.uint64)
    if blocks:
        limbs = (key, key >> 64, counter, counter >> 64, counter >> 128, counter >> 192)
        numbers = [np.uint64(number & _LOW) for number in (blocks, *limbs)]
        groups = min(-(-blocks // _THREADS), _MOST_GROUPS)
        _kernel(xp)((groups,), (_THREADS,), (words, *numbers))
    return words[:count]


# --- numbers made of words ---------------------------------------------------------------------------------------

# dtype: the unsigned integers that a word is cut into (its low bits first), and how many bits of each are dropped
_PIECES: dict[Any, tuple[Any, int]] = {
    np.dtype(np.float16): (np.uint16, 6),
    np.dtype(np.float32): (np.uint32, 9),
    np.dtype(np.float64): (np.uint64, 12),
}


def uniforms(words: Any, dtype: np.dtype[Any]) -> Any:
    """Uniforms strictly inside (0, 1), bit-equal on every device: one float64 a word, two float32, four float16.

    (k + 1/2) / 2**bits for a whole number k of 52, 23 or 10 random bits.  The half takes the last bit of the
    significand, so each value is exact; with one random bit more, the largest would round to 1.

    >>> uniforms(np.array([0, 2**64 - 1], dtype=np.uint64), np.dtype(np.float64)).tolist() == [2**-53, 1 - 2**-53]
    True
    """
    piece, dropped = _PIECES[dtype]
    unit = (words.view(piece) >> dropped).astype(dtype)
    unit += 0.5
    unit *= 2.0 ** (dropped - 8 * dtype.itemsize)
    return unit


def normals(xp: Any, words: Any, dtype: np.dtype[Any]) -> Any:
    """As many standard normals as words (an even number), at most 8.6 in size; float64 rounded once to ``dtype``.

    Box–Muller: words give u, v, these give r cos a, r sin a with r² = -2 log u, a = 2π (v - 1/2).  With
    t = tan(a / 2), cos a = (1 - t²) / (1 + t²) and sin a = 2t / (1 + t²): one tangent is cheaper than sine and
    cosine, in NumPy with AVX-512 ten times.  Devices differ in the last bits of logarithm and tangent.
    Source: Box and Muller, Annals of Mathematical Statistics 29 (1958), 610.
    """
    unit = uniforms(words, np.dtype(np.float64))
    t = xp.tan((unit[1::2] - 0.5) * math.pi)
    square = t * t
    scale = xp.sqrt(xp.log(unit[0::2]) * -2.0) / (square + 1.0)
    out = xp.empty(unit.shape, dtype=dtype)
    out[0::2] = scale * (1.0 - square)
    out[1::2] = scale * (t + t)
    return out
