"""Recurrent networks against loops in NumPy; lengths, initial states, the forget gate's bias (TXT-11, TXT-12)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from double import counting
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import outputs

import tinygen as tg
from tinygen import nn
from tinygen.ops.arrange import unstack
from tinygen.random import Generator


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_by_hand(module: nn.LSTM, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One layer, gate by gate, for each sequence by itself."""
    w, u, b, d = (module.parameter(n, 0).numpy() for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    size, y = module.hidden_size, np.zeros((*x.shape[:2], module.hidden_size))
    last_h, last_c = np.zeros((2, x.shape[1], size))
    for n in range(x.shape[1]):
        h, c = np.zeros(size), np.zeros(size)
        for t in range(x.shape[0]):
            i, f, g, o = np.split(w @ x[t, n] + b + u @ h + d, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            y[t, n] = h
        last_h[n], last_c[n] = h, c
    return y, last_h, last_c


def test_lstm_is_the_loop_of_its_equations(device: str) -> None:
    module = nn.LSTM(3, 4, rng=Generator(0)).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    y, (h, c) = module(tg.tensor(x))
    for found, expected in zip((y, h, c), lstm_by_hand(module, x), strict=True):
        # other order of sums, float64
        np.testing.assert_allclose(found.numpy().reshape(expected.shape), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_is_the_loop_of_its_equation(nonlinearity: str, device: str) -> None:
    module = nn.RNN(3, 4, nonlinearity=nonlinearity, rng=Generator(0)).astype(np.float64)
    w, u, b, d = (module.parameter(n, 0).numpy() for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    x, h = np.random.default_rng(0).normal(size=(6, 2, 3)), np.zeros((2, 4))
    y, _ = module(tg.tensor(x))
    for t in range(6):
        before = x[t] @ w.T + b + h @ u.T + d
        h = np.tanh(before) if nonlinearity == "tanh" else np.maximum(before, 0.0)
        np.testing.assert_allclose(y.numpy()[t], h, rtol=1e-12, atol=1e-14)  # other order of sums, float64


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4), layers=st.integers(1, 2), seed=st.integers(0, 99))
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM])
def test_lengths_are_the_same_as_shorter_sequences(
    kind: Any, lengths: list[int], layers: int, seed: int, device: str
) -> None:
    """Each sequence of a batch gives what it gives alone, cut to its length; after it zeros, and no gradient."""
    module = kind(2, 3, layers, rng=Generator(seed)).astype(np.float64)
    rng = np.random.default_rng(seed)
    x = tg.tensor(rng.normal(size=(5, len(lengths), 2)), requires_grad=True)
    starts = [tg.tensor(rng.normal(size=(layers, len(lengths), 3))) for _ in range(module.states)]
    y, state = module(x, starts if module.states > 1 else starts[0], lengths=np.array(lengths))
    total = tg.sum(tg.square(y)) + sum(tg.sum(part) for part in outputs(state))
    (slope,) = tg.grad(total, x, allow_unused=True)
    for n, length in enumerate(lengths):
        assert (y.numpy()[length:, n] == 0.0).all()
        assert (slope.numpy()[length:, n] == 0.0).all()
        begin = [start[:, n : n + 1] for start in starts]
        if length == 0:
            for part, start in zip(outputs(state), starts, strict=True):
                np.testing.assert_array_equal(part.numpy()[:, n], start.numpy()[:, n])
            continue
        alone, last = module(x[:length, n : n + 1], begin if module.states > 1 else begin[0])
        np.testing.assert_allclose(y.numpy()[:length, n], alone.numpy()[:, 0], rtol=1e-12)  # other blocking of products
        for part, want in zip(outputs(state), outputs(last), strict=True):
            np.testing.assert_allclose(part.numpy()[:, n], want.numpy()[:, 0], rtol=1e-12)


def test_what_lies_behind_the_end_does_not_matter(device: str) -> None:
    """Padding may hold anything, NaN too."""
    module = nn.LSTM(2, 3, 2, rng=Generator(0)).astype(np.float64)
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    broken = x.copy()
    broken[2:, 0] = np.nan
    for a, b in zip(
        outputs(module(tg.tensor(x), lengths=[2, 4])), outputs(module(tg.tensor(broken), lengths=[2, 4])), strict=True
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    slopes = tg.grad(tg.sum(module(tg.tensor(broken), lengths=[2, 4])[0]), module.parameters())
    assert all(np.isfinite(slope.numpy()).all() for slope in slopes)


def test_nothing_grows_after_the_end(device: str) -> None:
    """A network that doubles its state at each step is finite where the sequences end before it overflows."""
    module = nn.RNN(1, 1, nonlinearity="relu", bias=False, rng=Generator(0))
    nn.init.constant_(module.weight_ih_l0, 1.0)
    nn.init.constant_(module.weight_hh_l0, 2.0)
    ones = tg.ones((200, 2, 1))  # float32 ends at 2¹²⁸
    y, h = module(ones, lengths=[3, 1])
    np.testing.assert_array_equal(h.numpy(), [[[7.0], [1.0]]])
    (slope,) = tg.grad(tg.sum(y), module.weight_hh_l0)  # 1 + (1 + w) + (1 + w + w²), and 1
    assert slope.item() == 1.0 + 1.0 + 2 * 2.0


def test_forget_bias(device: str) -> None:
    """Without input an LSTM with weights 0 keeps σ(forget bias) of its cell at each step."""
    for value in (0.0, 1.0, 2.5):
        module = nn.LSTM(1, 1, forget_bias=value, rng=Generator(0)).astype(np.float64)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            nn.init.zeros_(getattr(module, name))
        total = module.bias_ih_l0.numpy() + module.bias_hh_l0.numpy()
        np.testing.assert_allclose(total[1], value, rtol=1e-6)
        i, _, g, _ = total
        _, (_, c) = module(tg.zeros((1, 1, 1), dtype=np.float64), (tg.zeros((1, 1, 1), dtype=np.float64),) * 2)
        _, (_, d) = module(
            tg.zeros((1, 1, 1), dtype=np.float64),
            (tg.zeros((1, 1, 1), dtype=np.float64), tg.ones((1, 1, 1), dtype=np.float64)),
        )
        np.testing.assert_allclose((d - c).item(), sigmoid(np.float64(value)), rtol=1e-6)
        np.testing.assert_allclose(c.item(), sigmoid(i) * np.tanh(g), rtol=1e-12)


@pytest.mark.host
def test_forget_bias_none_starts_like_the_other_gates() -> None:
    plain = nn.LSTM(2, 50, forget_bias=None, rng=Generator(0)).bias_ih_l0.numpy()
    forget = nn.LSTM(2, 50, rng=Generator(0)).bias_ih_l0.numpy()
    assert np.abs(plain).max() <= 50**-0.5
    np.testing.assert_array_equal(np.delete(plain, np.s_[50:100]), np.delete(forget, np.s_[50:100]))
    assert (forget[50:100] == 1.0).all()


@given(length=st.integers(0, 9), seed=st.integers(0, 9))
def test_unstack(length: int, seed: int, device: str) -> None:
    x = tg.tensor(np.random.default_rng(seed).normal(size=(length, 2)), requires_grad=True)
    parts = unstack(x)
    assert [part.numpy().tolist() for part in parts] == x.numpy().tolist()
    if length:
        weights = np.arange(1.0, length + 1.0)
        (slope,) = tg.grad(sum(weight * tg.sum(part) for weight, part in zip(weights, parts, strict=True)), x)
        np.testing.assert_array_equal(slope.numpy(), np.broadcast_to(weights[:, None], (length, 2)))


def test_the_input_takes_one_matrix_product_for_all_steps(device: str) -> None:
    if device != "double":
        return
    module = nn.RNN(3, 4, rng=Generator(0))
    launches = []
    for steps in (8, 16):
        x = tg.ones((steps, 2, 3))
        with counting() as count:
            module(x)
        launches.append(count.launches)
    assert launches[1] - launches[0] <= 8 * 7  # two cuts, product, sum, tanh, stacking: no product with the input


@pytest.mark.host
def test_wrong_states_and_lengths() -> None:
    module, x = nn.LSTM(3, 4, 2, rng=Generator(0)), tg.ones((5, 2, 3))
    with pytest.raises(
        ValueError, match=r"LSTM: needs 2 initial state\(s\) \(2, 2, 4\), got \[\(1, 2, 4\), \(1, 2, 4\)\]"
    ):
        module(x, (tg.ones((1, 2, 4)),) * 2)
    with pytest.raises(ValueError, match=r"lengths: needs 2 whole numbers, one a sequence, got int64 \(3,\)"):
        module(x, lengths=[1, 2, 3])
    with pytest.raises(ValueError, match="lengths: needs 2 whole numbers, one a sequence, got float64"):
        module(x, lengths=[1.0, 2.0])
    with pytest.raises(ValueError, match="lengths: must lie between 0 and the 5 steps of x, got 1 to 6"):
        module(x, lengths=[1, 6])
