"""Spectral normalisation against the singular value decomposition; when the vectors move and when not (WGAN-6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.backend import to_host
from tinygen.random import Generator


def vectors(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight_u.numpy().copy(), layer.weight_v.numpy().copy()


def same(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("kind", "settings"), [(nn.Linear, (128, 64)), (nn.Conv2d, (8, 16, 3)), (nn.ConvTranspose1d, (8, 4, 5))]
)
def test_the_largest_singular_value_becomes_one(kind: Any, settings: tuple[int, ...], device: str) -> None:
    layer = nn.spectral_norm(kind(*settings, rng=Generator(0)), rng=Generator(1))
    weight = layer.eval().weight.numpy()
    outputs_first = weight.swapaxes(0, 1) if kind is nn.ConvTranspose1d else weight
    matrix = outputs_first.reshape(len(outputs_first), -1)
    assert abs(np.linalg.svd(matrix, compute_uv=False)[0] - 1.0) < 0.02  # 30 power steps from random vectors


def test_the_vectors_move_once_for_each_new_weight(device: str) -> None:
    layer, x = nn.spectral_norm(nn.Linear(6, 5, rng=Generator(0)), rng=Generator(1)), tg.ones((2, 6))
    start = vectors(layer)
    real = layer(x)
    first = vectors(layer)
    assert not same(start, first)
    np.testing.assert_array_equal(layer(x).numpy(), real.numpy())  # D(fake) of the same step
    assert same(first, vectors(layer))
    layer.weight_orig.assign(layer.weight_orig.detach() + 0.1 * tg.tensor(np.eye(5, 6, dtype=np.float32)))
    layer(x)
    assert not same(first, vectors(layer))


def test_the_vectors_rest_in_evaluation_and_when_frozen(device: str) -> None:
    layer, x = nn.spectral_norm(nn.Linear(6, 5, rng=Generator(0)), rng=Generator(1)), tg.ones((2, 6))
    start = vectors(layer)
    layer.eval()(x)
    with nn.frozen(layer.train()):
        layer(x)
    assert same(start, vectors(layer))


def test_an_older_graph_keeps_its_gradient(device: str) -> None:
    """Rebinding, not writing, is what moves the vectors: a graph made before gives what it gave at once."""
    layer, x = nn.spectral_norm(nn.Linear(6, 5, rng=Generator(0)), rng=Generator(1)), tg.ones((2, 6))
    loss = tg.sum(tg.square(layer(x)))
    (at_once,) = tg.grad(loss, layer.weight_orig)
    layer.weight_orig.assign(layer.weight_orig.detach() * 2.0 + 1.0)
    layer(x)
    np.testing.assert_array_equal(tg.grad(loss, layer.weight_orig)[0].numpy(), at_once.numpy())


def test_repeated_steps_find_the_norm_of_a_moving_weight(device: str) -> None:
    rng = np.random.default_rng(0)
    layer = nn.spectral_norm(nn.Linear(20, 10, rng=Generator(0)), rng=Generator(1))
    goal = rng.normal(size=(10, 20)).astype(np.float32)
    for _ in range(60):  # the weight settles, the vectors follow with one power step each
        layer.weight_orig.assign(0.8 * layer.weight_orig.detach() + 0.2 * tg.tensor(goal))
        layer(tg.ones((1, 20)))
    sigma = np.linalg.svd(layer.weight_orig.numpy(), compute_uv=False)[0]
    ratio = np.linalg.svd(layer.weight.numpy(), compute_uv=False)[0]
    assert abs(ratio - 1.0) < 0.01
    assert abs(sigma / np.linalg.svd(goal, compute_uv=False)[0] - 1.0) < 0.01


def test_a_network_of_normalised_layers_is_one_lipschitz(device: str) -> None:
    rng = Generator(0)
    layers = [nn.spectral_norm(nn.Linear(16, 16, rng=rng), rng=rng) for _ in range(3)]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.LeakyReLU(0.2), layers[2]).astype(np.float64)
    for _ in range(200):  # σ from below: with vectors that have converged it is exact
        for layer in layers:
            layer.weight_orig.assign(layer.weight_orig.detach() * 1.0)
        network(tg.ones((1, 16), dtype=np.float64))
    a, b = np.random.default_rng(0).normal(size=(2, 2000, 16))
    moved = network.eval()(tg.tensor(a)).numpy() - network(tg.tensor(b)).numpy()
    assert (np.linalg.norm(moved, axis=1) <= (1.0 + 1e-3) * np.linalg.norm(a - b, axis=1)).all()


def test_two_weights_of_one_module(device: str) -> None:
    lstm = nn.LSTM(3, 4, rng=Generator(0))
    nn.spectral_norm(lstm, "weight_hh_l0", rng=Generator(1))
    nn.spectral_norm(lstm, "weight_ih_l0", rng=Generator(2))
    lstm(tg.ones((2, 1, 3)))
    assert set(lstm.extra_state()[""]) == {"weight_hh_l0_followed", "weight_ih_l0_followed"}
    assert isinstance(lstm, nn.LSTM)
    assert "weight_hh_l0_orig" in lstm.state_dict()
    assert to_host(lstm.state_dict()["weight_ih_l0_u"]).shape == (16,)
    assert repr(lstm).startswith("LSTM(3, 4, spectral_norm, spectral_norm)")
