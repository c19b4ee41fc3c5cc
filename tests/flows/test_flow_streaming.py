"""Causal networks fed piece by piece give what one pass over the whole gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn
from tinygen.flows import CausalNetwork
from tinygen.flows.streaming import ConvolutionStream, NetworkStream
from tinygen.random import Generator
from tinygen.tensor import raw


def noisy(module: nn.Module, scale: float = 0.3) -> nn.Module:
    """In float64, with no parameter left at zero."""
    rng = np.random.default_rng(0)
    for parameter in module.astype(np.float64).parameters():
        parameter.assign(tg.tensor(parameter.numpy() + scale * rng.normal(size=parameter.shape)))
    return module


def pieces(cuts: list[int], length: int) -> list[slice]:
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    return [slice(*edge) for edge in pairwise(edges)]


@settings(max_examples=25)
@given(
    kernel=st.integers(1, 3), dilation=st.integers(1, 4), bias=st.booleans(),
    cuts=st.lists(st.integers(0, 12), max_size=4), n=st.integers(1, 3),
)  # fmt: skip
def test_pieces_of_any_length_give_the_whole_convolution(
    kernel: int, dilation: int, bias: bool, cuts: list[int], n: int, device: str
) -> None:
    layer = noisy(nn.CausalConv1d(2, 3, kernel, dilation, bias=bias, rng=Generator(0)))
    x = Generator(1).normal((12, n, 2), dtype=np.float64)
    stream = ConvolutionStream(layer, n)
    found = np.concatenate([tg.tensor(stream(raw(x)[piece])).numpy() for piece in pieces(cuts, 12)])
    whole = layer(tg.transpose(x, (1, 2, 0))).numpy().transpose(2, 0, 1)
    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-12)  # rounding: sums in another order


@settings(max_examples=15)
@given(marked=st.booleans(), cuts=st.lists(st.integers(0, 11), max_size=4), taps=st.integers(1, 5))
def test_pieces_of_any_length_give_the_whole_network(marked: bool, cuts: list[int], taps: int, device: str) -> None:
    network = noisy(CausalNetwork(3, (1, 2, 4), taps, marked=marked, rng=Generator(0)))
    x = Generator(1).normal((2, 12), dtype=np.float64)
    stream = NetworkStream(network, 2)
    parts = [stream.first, *(stream(raw(x).T[piece]) for piece in pieces(cuts, 11))]
    found = np.concatenate([tg.tensor(part).numpy() for part in parts])
    np.testing.assert_allclose(found, network(x).numpy().reshape(2, 2, 12).transpose(2, 0, 1), rtol=1e-12, atol=1e-12)


def test_streams_keep_float32_and_do_not_synchronise(device: str) -> None:
    network = CausalNetwork(3, (1, 2), marked=True, rng=Generator(0))
    x = raw(Generator(1).normal((5, 2)))
    with no_sync():
        stream = NetworkStream(network, 2)
        found = stream(x)
    assert (stream.first.dtype, found.dtype) == (np.float32, np.float32)


def test_a_marked_network_tells_values_from_nothing(device: str) -> None:
    """A first value of zero is no padding: with the mark, the first layers see the difference."""
    for marked in (True, False):
        network = noisy(CausalNetwork(3, (), marked=marked, rng=Generator(0)))
        first, second = network(tg.zeros((1, 2), dtype=np.float64)).numpy().reshape(2, 2).T
        assert (np.abs(first - second).max() > 1e-3) == marked


def test_streams_refuse_what_they_cannot_follow(device: str) -> None:
    rng = Generator(0)
    wrong = [nn.Conv1d(1, 1, 3, rng=rng), nn.CausalConv1d(2, 2, 2, groups=2, rng=rng), nn.Linear(1, 1, rng=rng)]
    for layer in wrong:
        with pytest.raises(ValueError, match="ConvolutionStream: needs a causal convolution without groups"):
            ConvolutionStream(layer, 1)
    stream = NetworkStream(CausalNetwork(2, (1,), rng=rng), 2)
    for shape, dtype in (((5, 2), np.float64), ((5, 2), np.int64), ((5, 3), np.float32), ((5, 1), np.float32)):
        with pytest.raises(ValueError, match=r"ConvolutionStream: needs inputs \(L, 2, 1\) of float32, got"):
            stream(raw(tg.zeros(shape, dtype=dtype)))
    with pytest.raises(ValueError, match="NetworkStream: the network is conditional"):
        NetworkStream(CausalNetwork(2, (1,), context=1, rng=rng), 1)
