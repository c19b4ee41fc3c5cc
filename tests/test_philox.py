"""Philox words: the published answers, NumPy's generator and the CUDA kernel all agree with ten lines of Python."""

from __future__ import annotations

import threading
from typing import Any

import kernel_twin
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from tinygen import philox

pytestmark = pytest.mark.host

LOW = (1 << 64) - 1
COUNTERS = philox.COUNTERS


def limbs(number: int, count: int) -> list[int]:
    return [number >> 64 * i & LOW for i in range(count)]


def number(words: str) -> int:
    """Words in hexadecimal, least significant first, as Random123 writes them."""
    return sum(int(word, 16) << 64 * i for i, word in enumerate(words.split()))


def block(key: int, counter: int) -> list[int]:
    """Philox4x64-10 by its definition: Salmon et al. 2011, section 3.3."""
    a, b, c, d = limbs(counter, 4)
    key0, key1 = limbs(key, 2)
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = right >> 64 ^ b ^ key0, right & LOW, left >> 64 ^ d ^ key1, left & LOW
        key0, key1 = key0 + 0x9E3779B97F4A7C15 & LOW, key1 + 0xBB67AE8584CAA73B & LOW
    return [a, b, c, d]


def stream(key: int, counter: int, count: int) -> list[int]:
    blocks = -(-count // 4)
    return [word for i in range(blocks) for word in block(key, (counter + i) % COUNTERS)][:count]


# counter, key, words: the three known answers for philox4x64 with ten rounds of Random123's tests/kat_vectors
KNOWN_ANSWERS = [
    (
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000",
        "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
    ),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


def on_twin(key: int, counter: int, count: int) -> np.ndarray:
    words: np.ndarray = philox.words_on_device(kernel_twin.xp, key, counter, count)
    return words


@pytest.mark.parametrize("words_of", [stream, philox.words_on_host, on_twin])
@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(words_of: Any, counter: str, key: str, words: str) -> None:
    assert [int(word) for word in words_of(number(key), number(counter), 4)] == limbs(number(words), 4)


keys = st.one_of(st.integers(0, philox.KEYS - 1), st.sampled_from([0, LOW, LOW + 1, philox.KEYS - 1]))
edges = st.sampled_from([1 << 64, 1 << 128, 1 << 192, 1 << 256])
counters = st.one_of(
    st.integers(0, COUNTERS - 1),
    st.integers(0, 1000),
    st.builds(lambda edge, back: (edge - back) % COUNTERS, edges, st.integers(0, 9)),  # a carry within the draw
)


@given(keys, counters, st.integers(0, 41))
@example(0, COUNTERS - 1, 8)
def test_host_words(key: int, counter: int, count: int) -> None:
    words = philox.words_on_host(key, counter, count)
    assert words.dtype == np.uint64
    assert words.tolist() == stream(key, counter, count)


@given(keys, counters, st.integers(0, 41))
@example(0, COUNTERS - 1, 8)
def test_kernel_words(key: int, counter: int, count: int) -> None:
    words = on_twin(key, counter, count)
    assert words.dtype == np.uint64
    assert words.tolist() == stream(key, counter, count)


@pytest.mark.parametrize("count", [4 * 256 - 1, 4 * 256, 4 * 256 + 1, 4 * 256 * 7 + 5])
def test_kernel_over_several_groups(count: int) -> None:
    counter = (1 << 128) - 300  # the carry falls into the second group
    np.testing.assert_array_equal(on_twin(1, counter, count), philox.words_on_host(1, counter, count))


def test_kernel_loops_when_the_grid_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(philox, "_MOST_GROUPS", 2)
    np.testing.assert_array_equal(on_twin(9, 4, 4 * 256 * 5 + 3), philox.words_on_host(9, 4, 4 * 256 * 5 + 3))


# NVRTC runs without a GPU, but is 86 MB: `pip install nvidia-cuda-nvrtc` adds its two architectures here.
@pytest.mark.parametrize("compiler", ["g++", *(["sm_80", "sm_90"] if kernel_twin.nvrtc_path() else [])])
def test_kernel_compiles(compiler: str) -> None:
    if compiler == "g++":
        kernel_twin.RawKernel(philox._SOURCE, "philox4x64")
        with pytest.raises(SyntaxError, match="g\\+\\+ refuses"):
            kernel_twin.RawKernel(philox._SOURCE.replace("__umul64hi", "__umul46hi"), "philox4x64")
    else:
        assert kernel_twin.compile_for(philox._SOURCE, compiler) > 1000
        with pytest.raises(SyntaxError, match="NVRTC refuses"):
            kernel_twin.compile_for(philox._SOURCE.replace("__umul64hi", "__umul46hi"), compiler)


def test_the_twin_notices_wrong_launches() -> None:
    kernel = kernel_twin.RawKernel(philox._SOURCE, "philox4x64")
    numbers = [np.uint64(1)] * 7
    with pytest.raises(TypeError, match="argument 0"):
        kernel((1,), (1,), (np.empty(4, dtype=np.int64), *numbers))
    with pytest.raises(TypeError, match="argument 7"):
        kernel((1,), (1,), (kernel_twin.empty(4, np.uint64), *numbers[:6], 1))
    with pytest.raises(TypeError, match="takes 8"):
        kernel((1,), (1,), (kernel_twin.empty(4, np.uint64), *numbers[:6]))
    with pytest.raises(ValueError, match="refuses grid"):
        kernel((0,), (256,), (kernel_twin.empty(4, np.uint64), *numbers))
    with pytest.raises(IndexError, match="outside"):
        kernel((1,), (256,), (kernel_twin.empty(3, np.uint64), *numbers))


def test_blocks_are_addressed() -> None:
    whole = philox.words_on_host(3, 10, 400)
    for start in (0, 1, 57, 99):
        np.testing.assert_array_equal(philox.words_on_host(3, 10 + start, 400 - 4 * start), whole[4 * start :])


def test_words_are_new_arrays() -> None:
    first = philox.words_on_host(1, 0, 8)
    kept = first.copy()
    philox.words_on_host(2, 0, 8)
    np.testing.assert_array_equal(first, kept)


def test_threads_do_not_mix_their_streams() -> None:
    expected = [philox.words_on_host(key, 0, 1000) for key in range(8)]
    wrong: list[int] = []

    def read(key: int) -> None:
        if any((philox.words_on_host(key, 0, 1000) != expected[key]).any() for _ in range(200)):
            wrong.append(key)

    threads = [threading.Thread(target=read, args=(key,)) for key in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("words_of", [philox.words_on_host, on_twin])
@pytest.mark.parametrize(("key", "counter"), [(-1, 0), (philox.KEYS, 0), (0, -1), (0, COUNTERS)])
def test_out_of_range(words_of: Any, key: int, counter: int) -> None:
    with pytest.raises(ValueError, match=r"philox: a (key|counter) lies in"):
        words_of(key, counter, 4)


def test_the_device_is_asked_for_nothing_but_a_launch() -> None:
    calls: list[str] = []

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(kernel_twin.xp, name)

    words = philox.words_on_device(Recorder(), 1, 2, 10)
    assert sorted(calls) == ["RawKernel", "empty"]  # nothing here can wait for the device
    assert words.tolist() == stream(1, 2, 10)


# --- numbers made of words ---------------------------------------------------------------------------------------

DTYPES = {"float16": 10, "float32": 23, "float64": 52}


@pytest.mark.parametrize(("dtype", "bits"), DTYPES.items())
def test_extreme_uniforms(dtype: str, bits: int) -> None:
    """All zeros and all ones: strictly inside, exact, and symmetric about one half."""
    unit = philox.uniforms(np.array([0, LOW], dtype=np.uint64), np.dtype(dtype))
    per_word = 8 // unit.itemsize
    assert unit.dtype == dtype
    assert unit.astype(float).tolist() == [2.0 ** -(bits + 1)] * per_word + [1 - 2.0 ** -(bits + 1)] * per_word


@pytest.mark.parametrize(("dtype", "bits"), DTYPES.items())
@given(st.lists(st.integers(0, LOW), min_size=1, max_size=5))
def test_uniforms_are_exact(dtype: str, bits: int, words: list[int]) -> None:
    """Each piece of a word, low bits first, gives its leading bits and a half, as rational numbers would."""
    unit = philox.uniforms(np.array(words, dtype=np.uint64), np.dtype(dtype))
    width = 8 * unit.itemsize
    pieces = [word >> shift & (1 << width) - 1 for word in words for shift in range(0, 64, width)]
    assert unit.astype(float).tolist() == [((piece >> width - bits) + 0.5) / 2**bits for piece in pieces]


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_normals(dtype: str) -> None:
    words = np.array([a for u in (0, 1 << 63, LOW) for v in (0, 1 << 62, 1 << 63, LOW) for a in (u, v)], np.uint64)
    normals = philox.normals(np, words, np.dtype(dtype))
    assert normals.dtype == dtype
    assert np.isfinite(normals).all()
    assert 8 < abs(normals).max() < 8.6


def test_normals_are_box_muller() -> None:
    words = philox.words_on_host(1, 0, 10_000)
    u, v = philox.uniforms(words, np.dtype(np.float64)).reshape(-1, 2).T
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * (v - 0.5)
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
    normals = philox.normals(np, words, np.dtype(np.float64))
    np.testing.assert_allclose(normals, expected, rtol=0, atol=1e-14)  # 14 roundings of numbers below 8.6
    np.testing.assert_array_equal(philox.normals(np, words, np.dtype(np.float32)), normals.astype(np.float32))


def test_words_are_uniform() -> None:
    """Chi-square over the bytes of a long stretch: 256 values, each place of the word by itself."""
    octets = philox.words_on_host(12345, 0, 1 << 17).view(np.uint8).reshape(-1, 8)
    for place in range(8):
        assert 1e-4 < stats.chisquare(np.bincount(octets[:, place], minlength=256)).pvalue < 1 - 1e-4
