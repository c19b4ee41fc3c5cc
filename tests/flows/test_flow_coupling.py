"""Coupling layers: what stays, what the Jacobian looks like, bounded scales, and how they stack."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from double import no_sync
from flow_cases import assert_bijection, random_layer, random_rows, with_noise

import tinygen as tg
from tinygen import flows, nn
from tinygen.random import Generator


def smooth(dim: int, kept: Any = None, **settings: Any) -> Any:
    return with_noise(flows.AffineCoupling(dim, kept, (8,), nn.Tanh, rng=Generator(0), **settings), 0.5)


@pytest.mark.parametrize("kept", [[1, 0, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], None])
def test_kept_coordinates_stay_bit_for_bit(kept: Any, device: str) -> None:
    """Also where none or all of them are kept (d = 0 and d = D)."""
    layer, rows = smooth(5, kept), random_rows(5)
    mask = np.arange(5) < 2 if kept is None else np.array(kept, bool)
    for direction in (layer.to_data, layer.to_latent):
        image = direction(rows)[0].numpy()
        np.testing.assert_array_equal(image[:, mask], rows.numpy()[:, mask])
        assert (image[:, ~mask] != rows.numpy()[:, ~mask]).all()
    assert_bijection(layer, rows)


def test_the_jacobian_has_four_blocks(device: str) -> None:
    """I, 0 exactly, the mixed block, and diag(exp s) (FLOW-16)."""
    layer, rows = smooth(5), random_rows(5, 3)
    jacobian = tg.jacobian(lambda v: layer.to_data(v)[0], rows, batch=True).numpy()
    scale = np.exp(layer.shift_and_log_scale(rows)[1].numpy())
    for block, z_scale in zip(jacobian, scale, strict=True):
        np.testing.assert_array_equal(block[:2, :2], np.eye(2))
        np.testing.assert_array_equal(block[:2, 2:], 0.0)
        assert (block[2:, :2] != 0.0).all()
        np.testing.assert_allclose(block[2:, 2:], np.diag(z_scale[2:]), rtol=1e-13)
        np.testing.assert_array_equal(block[2:, 2:][~np.eye(3, dtype=bool)], 0.0)


def test_formula(device: str) -> None:
    """x = z ⊙ exp(c tanh r) + t with the network's two halves, in NumPy."""
    layer, z = smooth(4, bound=2.0), random_rows(4)
    seen = z.numpy() * [1.0, 1.0, 0.0, 0.0]
    shift, raw = np.split(layer.network(tg.tensor(seen)).numpy(), 2, axis=1)
    log_scale = layer.bound.item() * np.tanh(raw)
    expected = z.numpy().copy()
    expected[:, 2:] = (z.numpy() * np.exp(log_scale) + shift)[:, 2:]
    x, log_det = layer.to_data(z)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(log_det.numpy(), log_scale[:, 2:].sum(axis=1), rtol=1e-13)


def test_extreme_networks_stay_invertible(device: str) -> None:
    """Raw log-scales of ±10,000 give exp(±c) and no infinity."""
    layer = smooth(4, bound=3.0)
    last = list(layer.network)[-1]
    last.weight.assign(tg.tensor(1e4 * last.weight.numpy() * np.repeat([1e-4, 1.0], 4)[:, None]))
    rows = random_rows(4)
    _, log_scale = layer.shift_and_log_scale(rows)
    assert (np.abs(log_scale.numpy()[:, 2:]) > 2.0).all()
    assert_bijection(layer, rows)


@pytest.mark.parametrize(("layers", "zeros"), [(1, 21), (2, 6), (3, 0)])
def test_zeros_of_the_jacobian_of_a_stack(layers: int, zeros: int, device: str) -> None:
    """FLOW-19 for D = 6 and halves of 3: exact counts."""
    flow = with_noise(flows.real_nvp(6, layers, (8,), nn.Tanh, rng=Generator(0)), 0.5)
    jacobian = tg.jacobian(lambda v: flow.to_data(v)[0][0], random_rows(6, 1)).numpy()[:, 0]
    assert np.count_nonzero(jacobian == 0.0) == zeros


def test_two_couplings_see_everything_in_the_plane(device: str) -> None:
    flow = with_noise(flows.real_nvp(2, 2, (8,), nn.Tanh, rng=Generator(0)), 0.5)
    assert (tg.jacobian(lambda v: flow.to_data(v)[0][0], random_rows(2, 1)).numpy() != 0.0).all()


def test_a_network_of_ones_own(device: str) -> None:
    """Any map of rows to two numbers a coordinate; it is never inverted."""

    class Waves(nn.Module):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            total = tg.sum(tg.sin(3.0 * x), axis=1, keepdims=True)
            return tg.concatenate([total * x, tg.cos(total) * tg.ones_like(x)], axis=1)

    assert_bijection(flows.AffineCoupling(3, network=Waves()).astype(np.float64), random_rows(3))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_training_does_not_wait_for_the_device(batch_norm: bool, device: str) -> None:
    flow = flows.real_nvp(2, 2, (8,), batch_norm=batch_norm, rng=Generator(0))
    optimizer, x = tg.optim.Adam(flow.parameters(), lr=0.01), random_rows(2).astype(np.float32)
    with no_sync() if device == "double" else nullcontext():
        for _ in range(2):
            optimizer.minimize(-tg.mean(flow.log_prob(x)))
        flow.sample(Generator(1), 4)


def test_batch_norm_in_a_stack_is_a_density_in_evaluation(device: str) -> None:
    flow = random_layer("RealNVP", 3)
    for _ in range(3):
        flow.train().log_prob(random_rows(3, 20))
    assert_bijection(flow.eval(), random_rows(3))


@pytest.mark.parametrize("kept", [[True, False], [[1, 0, 1]], [2, 0, 1], [0.2, 0.0, -1.0], [np.nan, 0.0, 1.0]])
def test_a_mask_is_as_many_truth_values_as_coordinates(kept: Any, device: str) -> None:
    """Indices of the kept coordinates, above all, are no mask."""
    with pytest.raises(ValueError, match="AffineCoupling: kept must be 3 truth values, not indices"):
        flows.AffineCoupling(3, kept, rng=Generator(0))


@pytest.mark.parametrize("kept", [[True, False, True], [1, 0, 1], np.array([1.0, 0.0, 1.0])])
def test_truth_values_may_be_written_as_numbers(kept: Any, device: str) -> None:
    assert flows.AffineCoupling(3, kept, rng=Generator(0)).describe() == "3, kept=[1, 0, 1]"


def test_the_mask_comes_with_the_state(device: str) -> None:
    """A coupling that loads the state of one with another mask becomes that one; a state without a mask is refused."""
    layer, twin, rows = smooth(4, [1, 0, 0, 1]), smooth(4, [0, 1, 1, 0]), random_rows(4)
    state = layer.state_dict()
    twin.load_state_dict(state)
    for mine, its in zip(layer.to_data(rows), twin.to_data(rows), strict=True):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())
    del state["kept"]
    with pytest.raises(ValueError, match=r"missing: kept \(4,\)"):
        twin.load_state_dict(state)
