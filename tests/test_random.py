"""Streams: the same bits on every device, the right distributions, and a state of two integers."""

from __future__ import annotations

import copy
import doctest
import json
import math
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from double import no_sync
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tinygen import backend, philox, random
from tinygen.random import Generator
from tinygen.tensor import Tensor

PROBS = [0.1, 0.0, 0.6, 0.3, 0.0]

# Every method that draws: name, draw of `shape` on `device`, how many numbers a block gives.
DRAWS: dict[str, tuple[Callable[[Generator, Any, str], Tensor], int]] = {
    "normal": (lambda rng, shape, device: rng.normal(shape, device=device), 4),
    "normal float64": (lambda rng, shape, device: rng.normal(shape, dtype="float64", device=device), 4),
    "uniform": (lambda rng, shape, device: rng.uniform(shape, device=device), 8),
    "uniform float16": (lambda rng, shape, device: rng.uniform(shape, dtype=np.float16, device=device), 16),
    "uniform float64": (lambda rng, shape, device: rng.uniform(shape, dtype=np.float64, device=device), 4),
    "uniform(-3, 0.1)": (lambda rng, shape, device: rng.uniform(shape, -3, 0.1, device=device), 8),
    "bernoulli": (lambda rng, shape, device: rng.bernoulli(0.3, shape, device=device), 8),
    "bernoulli array": (lambda rng, shape, device: rng.bernoulli([0.3], shape, device=device), 8),
    "integers": (lambda rng, shape, device: rng.integers(-5, 1000, shape, device=device), 4),
    "categorical": (lambda rng, shape, device: rng.categorical(PROBS, shape, device=device), 4),
    "categorical rows": (lambda rng, shape, device: rng.categorical([PROBS], shape, device=device), 4),
}
every_draw = pytest.mark.parametrize("name", DRAWS)


def test_examples() -> None:
    for module in (random, philox):
        failed, tried = doctest.testmod(module)
        assert tried > 0
        assert failed == 0


# --- the same on every device ------------------------------------------------------------------------------------


@every_draw
@pytest.mark.parametrize("shape", [(), 0, 1, 7, (3, 0, 2), (5, 3)])
def test_shape_dtype_device(name: str, shape: Any, device: str) -> None:
    if "array" in name or "rows" in name:  # their probabilities have an axis
        shape = shape or 1
    drawn = DRAWS[name][0](Generator(1), shape, device)
    assert type(drawn) is Tensor
    assert drawn.shape == ((shape,) if isinstance(shape, int) else shape)
    assert drawn.device == device
    assert not drawn.requires_grad
    whole = name.startswith(("integers", "categorical"))
    assert drawn.dtype == ("int64" if whole else name.split()[-1] if "float" in name else backend.default_dtype())


@every_draw
def test_same_bits(name: str, device: str) -> None:
    """Normals too where the library of the device is NumPy underneath; on CUDA up to the last bit."""
    draw = DRAWS[name][0]
    ours, host = draw(Generator(3, 5), (41, 3), device).numpy(), draw(Generator(3, 5), (41, 3), "cpu").numpy()
    if "normal" in name and device not in ("cpu", "double"):
        np.testing.assert_array_max_ulp(ours, host, maxulp=4)
    else:
        np.testing.assert_array_equal(ours, host)


def test_default_device_and_dtype(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_default_dtype", np.dtype(np.float64))
    with backend.device(device):
        for draw in (Generator(1).normal(3), Generator(1).uniform(3), Generator(1).bernoulli([0.5])):
            assert (draw.device, draw.dtype) == (device, np.float64)
        assert Generator(1).permutation(3).device == Generator(1).categorical(PROBS).device == device


def test_probabilities_bring_their_device(device: str) -> None:
    probs = Tensor(backend.to_device(np.array(PROBS), device))
    assert Generator(1).bernoulli(probs).device == device
    assert Generator(1).bernoulli(probs.data).device == device
    assert Generator(1).categorical(probs, 9).device == device
    assert Generator(1).categorical(probs, 9, device="cpu").device == "cpu"


@every_draw
def test_no_draw_waits_for_the_device(name: str, device: str) -> None:
    probs = Tensor(backend.to_device(np.array(PROBS, dtype=np.float32), device))
    with no_sync() if device == "double" else nullcontext():
        DRAWS[name][0](Generator(1), (5, 3), device)
        Generator(1).bernoulli(probs)
        Generator(1).categorical(probs, 7)
        Generator(1).permutation(7, device=device)


def test_order_of_data_is_made_on_the_host(device: str) -> None:
    expected = Generator(8).permutation(1000).numpy()
    drawn = Generator(8).permutation(1000, device=device)
    assert drawn.device == device
    np.testing.assert_array_equal(drawn.numpy(), expected)


# --- streams and state -------------------------------------------------------------------------------------------


@every_draw
@given(blocks=st.lists(st.integers(0, 5), max_size=4), rest=st.integers(0, 40), key=st.integers(0, philox.KEYS - 1))
def test_full_blocks_concatenate(name: str, blocks: list[int], rest: int, key: int) -> None:
    draw, per_block = DRAWS[name]
    rng = Generator(key)
    counts = [per_block * n for n in blocks] + [rest]
    parts = [draw(rng, (count,), "cpu").numpy() for count in counts]
    np.testing.assert_array_equal(np.concatenate(parts), draw(Generator(key), (sum(counts),), "cpu").numpy())
    assert rng.state == {"key": key, "counter": sum(blocks) + -(-rest // per_block)}


@every_draw
def test_pieces_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    draw = DRAWS[name][0]
    one, many = Generator(4), Generator(4)
    whole = draw(one, (20, 51), device).numpy()
    monkeypatch.setattr(backend, "block_bytes", lambda xp: 96)  # three blocks
    np.testing.assert_array_equal(draw(many, (20, 51), device).numpy(), whole)
    assert one.state == many.state


def test_pinned_values() -> None:
    """The first numbers of one stream: they change for nobody's convenience."""
    rng = Generator(42)
    assert rng.integers(0, 1000, 5).numpy().tolist() == [454, 223, 429, 992, 406]
    u = rng.uniform(3, dtype="float64").numpy()
    assert u.tolist() == [0.3681284509091395, 0.4344462539595918, 0.1946354913878906]
    u = rng.uniform(3, dtype="float32").numpy()
    assert u.tolist() == [0.38147491216659546, 0.8767979741096497, 0.21955639123916626]
    z = rng.normal(3, dtype="float64").numpy()
    np.testing.assert_allclose(z, [2.1742423620055584, 0.8346259797380537, 0.6348796319183077], rtol=1e-14)
    assert rng.permutation(6).numpy().tolist() == [2, 5, 3, 1, 4, 0]
    assert rng.state == {"key": 42, "counter": 7}
    assert rng.spawn("noise").state == {"key": 338388638441448434967003008205638744852, "counter": 0}


@every_draw
def test_state_round_trip(name: str) -> None:
    rng = Generator(6)
    rng.normal(10)
    saved = json.loads(json.dumps(rng.state))
    expected = DRAWS[name][0](rng, (9,), "cpu").numpy()
    restored = Generator(0)
    restored.state = saved
    copies = [copy.deepcopy(restored), pickle.loads(pickle.dumps(restored)), eval(repr(restored)), Generator(**saved)]
    for twin in (restored, *copies):
        np.testing.assert_array_equal(DRAWS[name][0](twin, (9,), "cpu").numpy(), expected)
        assert twin.state == rng.state


def test_state_is_a_copy() -> None:
    rng = Generator(1)
    rng.state["counter"] = 9
    assert rng.state == {"key": 1, "counter": 0}


def test_the_counter_wraps() -> None:
    rng = Generator(1, philox.COUNTERS - 1)
    drawn = rng.integers(0, 100, 8).numpy()
    assert rng.state["counter"] == 1
    np.testing.assert_array_equal(drawn[4:], Generator(1).integers(0, 100, 4).numpy())


@given(st.integers(0, philox.KEYS - 1), st.text(), st.text(), st.integers(0, 1000))
def test_spawn(key: int, name: str, other: str, counter: int) -> None:
    assume(name != other and not any("\ud800" <= letter <= "\udfff" for letter in name + other))
    rng = Generator(key, counter)
    child = rng.spawn(name)
    assert rng.state == {"key": key, "counter": counter}
    assert child.state == Generator(key).spawn(name).state
    assert len({key, child.state["key"], rng.spawn(other).state["key"], child.spawn(name).state["key"]}) == 4


def test_spawned_streams_are_uncorrelated() -> None:
    rng = Generator(0)
    streams = [rng, rng.spawn("a"), rng.spawn("b"), rng.spawn("a").spawn("b"), rng.spawn("b").spawn("a"), Generator(1)]
    drawn = np.stack([stream.normal(20_000).numpy() for stream in streams])
    correlation = np.corrcoef(drawn) - np.eye(len(streams))
    assert abs(correlation).max() < 4.5 / math.sqrt(20_000)


def test_seed_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "_default", Generator(0))
    held = random.default()
    random.seed(5)
    assert held is random.default()
    first = held.normal(4).numpy()
    random.seed(5)
    np.testing.assert_array_equal(random.default().normal(4).numpy(), first)


# --- distributions -----------------------------------------------------------------------------------------------

N = 100_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals(dtype: str) -> None:
    z = Generator(11).normal(N, dtype=dtype).numpy().astype(np.float64)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((z**power).mean() - mean) < 4 * math.sqrt(variance / N)
    pairs = z.reshape(-1, 2)  # the two halves of a Box–Muller pair, and their squares, are independent
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(N / 2)
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 4 / math.sqrt(N / 2)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 4 / math.sqrt(N)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniforms(dtype: str) -> None:
    u = Generator(12).uniform(N, dtype=dtype).numpy().astype(np.float64)
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(u.mean() - 0.5) < 4 / math.sqrt(12 * N)
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / math.sqrt(N)  # two float32 share a word


def test_half_uniforms() -> None:
    u = Generator(13).uniform(N, dtype="float16").numpy().astype(np.float64)
    counts = np.bincount((u * 1024).astype(int), minlength=1024)
    assert 1e-3 < stats.chisquare(counts).pvalue < 1 - 1e-3


finite = st.floats(-1e30, 1e30, allow_subnormal=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.tuples(finite, finite).filter(lambda pair: pair[0] != pair[1]))
def test_uniforms_stay_inside(dtype: Any, pair: tuple[float, float]) -> None:
    """Also for the largest and the smallest uniform, and however near the bounds are."""
    low, high = min(pair), max(pair)
    first = dtype(low) if float(dtype(low)) >= low else np.nextafter(dtype(low), dtype(math.inf))
    if float(first) >= high:
        with pytest.raises(ValueError, match="too far or near for float32"):
            Generator(1).uniform(64, low, high, dtype=dtype)
        return
    u = Generator(1).uniform(64, low, high, dtype=dtype).numpy()
    assert u.dtype == dtype
    assert all(low <= value < high for value in u.astype(np.float64).tolist())


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.7), (-1, 1), (1, 1 + 2**-22), (16777215, 16777217), (-1e-3, 0)])
def test_uniform_bounds_with_extreme_words(low: float, high: float, monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([0, 2**64 - 1] * 2, dtype=np.uint64)
    monkeypatch.setattr(backend, "random_bits", lambda name, key, counter, count: words[:count])
    for dtype in (np.float32, np.float64):
        u = Generator(1).uniform(8 if dtype == np.float32 else 4, low, high, dtype=dtype).numpy().astype(np.float64)
        assert all(low <= value < high for value in u.tolist())


def test_scaled_uniforms_fill_their_interval() -> None:
    u = Generator(14).uniform(N, -2.5, 7.5).numpy().astype(np.float64)
    assert stats.kstest(u, stats.uniform(-2.5, 10).cdf).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.0, 1e-3, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bernoulli(p: float, dtype: str) -> None:
    drawn = Generator(15).bernoulli(p, N, dtype=dtype).numpy()
    assert drawn.dtype == dtype
    assert set(np.unique(drawn).tolist()) <= {0.0, 1.0}
    assert abs(drawn.mean(dtype=np.float64) - p) <= 4 * math.sqrt(p * (1 - p) / N)
    np.testing.assert_array_equal(drawn, Generator(15).bernoulli(np.full(N, p), dtype=dtype).numpy())
    np.testing.assert_array_equal(drawn, Generator(15).bernoulli(p, N, dtype=np.float32).numpy())


def test_bernoulli_broadcasts() -> None:
    probs = np.array([0.0, 0.5, 1.0])
    drawn = Generator(16).bernoulli(probs, (4000, 3)).numpy()
    assert drawn[:, 0].max() == 0
    assert drawn[:, 2].min() == 1
    assert abs(drawn[:, 1].mean() - 0.5) < 4 * math.sqrt(0.25 / 4000)
    assert Generator(16).bernoulli(np.array([0, 1])).numpy().tolist() == [0.0, 1.0]
    assert Generator(16).bernoulli(np.float32(1.0), 2).numpy().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-7, 13), (5, 6), (0, 1000)])
def test_integers(low: int, high: int) -> None:
    drawn = Generator(17).integers(low, high, N).numpy()
    counts = np.bincount(drawn - low, minlength=high - low)
    assert counts.size == high - low
    assert high - low == 1 or 1e-3 < stats.chisquare(counts).pvalue < 1 - 1e-3


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**32 - 1), st.integers(0, 1000))
def test_integers_are_words_modulo_the_range(low: int, span: int, counter: int) -> None:
    span = min(span, 2**63 - low)
    drawn = Generator(18, counter).integers(low, low + span, 9).numpy()
    words = philox.words_on_host(18, counter, 9)
    assert drawn.tolist() == [low + word % span for word in words.tolist()]


@given(st.integers(0, 300), st.integers(0, philox.KEYS - 1))
def test_permutation(n: int, key: int) -> None:
    drawn = Generator(key).permutation(n).numpy()
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(n))


def test_permutations_are_equally_likely() -> None:
    rng = Generator(19)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6000):
        order = tuple(rng.permutation(3).numpy().tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_categorical(dtype: str) -> None:
    probs = np.array([PROBS, [0.0, 0.0, 0.0, 0.0, 1.0], [0.2] * 5], dtype=dtype)
    drawn = Generator(20).categorical(probs, (N // 5, 3)).numpy()
    for row, wanted in zip(drawn.T, probs.astype(np.float64), strict=True):
        counts = np.bincount(row, minlength=5)
        assert counts.size == 5
        assert (counts[wanted == 0] == 0).all()
        if (wanted < 1).all():
            possible = wanted > 0
            expected = wanted[possible] / wanted.sum() * len(row)
            assert 1e-3 < stats.chisquare(counts[possible], expected).pvalue < 1 - 1e-3


@given(st.lists(st.sampled_from([0.0, 1e-30, 1e-12, 0.1, 1.0, 3.0]), min_size=1, max_size=8), st.integers(0, 2**32))
def test_impossible_classes_at_extreme_words(weights: list[float], key: int) -> None:
    """Neither zeros at the ends nor the largest and smallest uniforms give a class of probability 0."""
    assume(sum(weights) > 0)
    probs = np.array(weights) / sum(weights)
    words = np.concatenate([np.array([0, 2**64 - 1], dtype=np.uint64), philox.words_on_host(key, 0, 6)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "random_bits", lambda name, key, counter, count: words)
        flat = Generator(0).categorical(probs, 8).numpy()
        rows = Generator(0).categorical(probs[None], 8).numpy()
    assert (probs[flat] > 0).all()
    np.testing.assert_array_equal(flat, rows)


def test_categorical_shapes() -> None:
    table = np.full((2, 3, 4), 0.25)
    assert Generator(1).categorical(table).shape == (2, 3)
    assert Generator(1).categorical(table, (7, 2, 3)).shape == (7, 2, 3)
    assert Generator(1).categorical(table[0, 0]).shape == ()
    assert Generator(1).categorical(table[0, 0], (5, 6)).shape == (5, 6)
    np.testing.assert_array_equal(
        Generator(1).categorical(table[0, 0], (50, 3)).numpy(), Generator(1).categorical(table[0], (50, 3)).numpy()
    )


# --- wrong use ---------------------------------------------------------------------------------------------------


@pytest.mark.host  # the values of probabilities are checked on the host alone: see the next test
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda rng: rng.normal(-1), ValueError, r"Generator.normal: shape \(-1,\)"),
        (lambda rng: rng.normal((2, -3)), ValueError, r"normal: shape \(2, -3\)"),
        (lambda rng: rng.normal(2.5), TypeError, r"normal: shape must be whole numbers, not \[2.5\]"),
        (lambda rng: rng.uniform("12"), TypeError, "uniform: shape .*'12'"),
        (lambda rng: rng.normal(3, dtype="int64"), TypeError, "normal: dtype .* not int64"),
        (lambda rng: rng.bernoulli(0.5, 3, dtype=bool), TypeError, "bernoulli: dtype .* not bool"),
        (lambda rng: rng.uniform(3, 1.0, 1.0), ValueError, r"uniform: \(low, high\) \(1.0, 1.0\): .*low < high"),
        (lambda rng: rng.uniform(3, 2, 1), ValueError, "low < high"),
        (lambda rng: rng.uniform(3, math.nan, 1), ValueError, "low < high"),
        (lambda rng: rng.uniform(3, -math.inf, 1), ValueError, "too far"),
        (lambda rng: rng.uniform(3, -3e38, 3e38), ValueError, "too far or near for float32"),
        (lambda rng: rng.uniform(3, 1 + 1e-12, 1 + 2e-12), ValueError, "too far or near"),
        (lambda rng: rng.uniform(3, np.zeros(3), 1), ValueError, "two numbers"),
        (lambda rng: rng.bernoulli(1.5), ValueError, r"bernoulli: probs 1.5: .*\[0, 1\].*sigmoid"),
        (lambda rng: rng.bernoulli(math.nan), ValueError, "probs nan"),
        (lambda rng: rng.bernoulli([0.5, -0.1]), ValueError, "-0.1"),
        (lambda rng: rng.bernoulli([0.5, 0.5], 3), ValueError, r"shape \(3,\): .*\(2,\) do not broadcast"),
        (lambda rng: rng.bernoulli(np.ones((2, 1)), 2), ValueError, "do not broadcast"),
        (lambda rng: rng.integers(3, 3), ValueError, r"integers: \(low, high\) \(3, 3\)"),
        (lambda rng: rng.integers(0, 2**32), ValueError, r"low \+ 2\*\*32"),
        (lambda rng: rng.integers(2**63 - 1, 2**63 + 1), ValueError, "int64"),
        (lambda rng: rng.integers(0.0, 3), TypeError, "integers: low and high must be whole"),
        (lambda rng: rng.permutation(-1), ValueError, "permutation: shape"),
        (lambda rng: rng.permutation(2.0), TypeError, "permutation: n must be whole"),
        (lambda rng: rng.categorical(0.5), ValueError, "categorical: probs 0.5: no classes"),
        (lambda rng: rng.categorical(np.ones((2, 0))), ValueError, "no classes"),
        (lambda rng: rng.categorical([0.5, 0.6]), ValueError, "sum to 1"),
        (lambda rng: rng.categorical([1.5, -0.5]), ValueError, "softmax"),
        (lambda rng: rng.categorical([math.nan, 1.0]), ValueError, "nan"),
        (lambda rng: rng.categorical([[0.5, 0.5]] * 2, 3), ValueError, "do not broadcast"),
        (lambda rng: rng.spawn(3), TypeError, "spawn: name must be a string, got 3"),
        (lambda rng: Generator(-1), ValueError, r"key lies in \[0, 2\*\*128\), got -1"),
        (lambda rng: Generator(0, -1), ValueError, "counter lies in"),
        (lambda rng: Generator(1.5), TypeError, "state: key and counter must be whole"),
        (lambda rng: setattr(rng, "state", {"key": 1}), ValueError, r"state: entries \['key'\]"),
        (lambda rng: rng.normal(3, device="abacus"), ValueError, "abacus"),
    ],
)
def test_wrong_use(call: Callable[[Generator], Any], kind: type[Exception], message: str) -> None:
    rng = Generator(1, 2)
    with pytest.raises(kind, match=message):
        call(rng)
    assert rng.state == {"key": 1, "counter": 2}  # a refused draw takes nothing


def test_the_checks_of_values_stay_on_the_host(device: str) -> None:
    """On a device they would wait for it: there the caller answers for the probabilities."""
    probs = Tensor(backend.to_device(np.array([0.9, 1.7]), device))
    for draw in (Generator(1).bernoulli, Generator(1).categorical):
        if device == "cpu":
            with pytest.raises(ValueError, match="probs"):
                draw(probs)
        else:
            assert draw(probs).device == device
