"""Gaussian autoregressive models: what they see, the density they give, and two ways to draw the same series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import SineProcess, resonator
from tinygen.flows import CausalNetwork, MaskedPerceptron
from tinygen.flows.streaming import ConvolutionStream
from tinygen.models.autoregressive import GaussianAutoregressive, State, excess, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot

LENGTH = 6
NETWORKS: dict[str, Callable[[Generator], nn.Module]] = {
    "masked": lambda rng: MaskedPerceptron(LENGTH, (8, 8), nn.Tanh, rng=rng),
    "causal": lambda rng: CausalNetwork(4, (1, 2), taps=3, marked=True, rng=rng),
}
both = pytest.mark.parametrize("name", NETWORKS)


def teacher(name: str, seed: int = 0, dtype: Any = np.float64) -> GaussianAutoregressive:
    """No parameter is left at zero."""
    model = GaussianAutoregressive(NETWORKS[name](Generator(seed))).astype(dtype)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        moved = parameter.numpy() + 0.3 * rng.normal(size=parameter.shape)
        parameter.assign(tg.tensor(np.asarray(moved, dtype)))
    return model


@both
def test_conditionals_see_the_past_and_nothing_else(name: str, device: str) -> None:
    model, x = teacher(name), Generator(1).normal((LENGTH,), dtype=np.float64)
    for part in range(2):
        slopes = tg.jacobian(lambda v, part=part: model.conditional(v[None])[part][0], x).numpy()
        np.testing.assert_array_equal(np.triu(slopes), 0.0)  # exactly
        assert (np.diag(slopes, -1) != 0.0).all()


@both
def test_the_density_is_that_of_the_flow_to_noise(name: str, device: str) -> None:
    """AR-8: x to z = (x − μ) / σ is a flow, with the log-determinant of autodiff's Jacobian."""
    model, x = teacher(name), Generator(1).normal((3, LENGTH), dtype=np.float64)

    def to_noise(v: tg.Tensor) -> tg.Tensor:
        mean, sd = model.conditional(v)
        return (v - mean) / sd

    z, _, log_det = tg.log_abs_det_jacobian(to_noise, x)
    expected = -0.5 * (z.numpy() ** 2 + np.log(2 * np.pi)).sum(axis=1) + log_det.numpy()
    np.testing.assert_allclose(model.log_prob(x).numpy(), expected, rtol=1e-10)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), n=st.integers(1, 3), length=st.integers(1, 12))
def test_a_network_that_remembers_draws_what_passes_draw(seed: int, n: int, length: int, device: str) -> None:
    """AR-3, and one pass of the density gives the noise back."""
    model = teacher("causal", seed)
    noise = Generator(seed).normal((n, length), dtype=np.float64)
    x = model.generate(noise)
    # tolerance: rounding of sums in another order, which the series' own dynamics may amplify
    np.testing.assert_allclose(x.numpy(), model.generate_by_passes(noise).numpy(), rtol=1e-9, atol=1e-9)
    mean, sd = model.conditional(x)
    np.testing.assert_allclose(((x - mean) / sd).numpy(), noise.numpy(), rtol=1e-8, atol=1e-8)


@pytest.mark.host
def test_remembering_costs_each_layer_one_position_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    original = ConvolutionStream.__call__

    def counted(stream: ConvolutionStream, x: Any) -> Any:
        computed.append(len(x))
        return original(stream, x)

    monkeypatch.setattr(ConvolutionStream, "__call__", counted)
    teacher("causal").generate(tg.zeros((2, 30), dtype=np.float64))
    layers = 2 + 2 * 2 + 1  # first, skip, two blocks of two, last
    assert computed == [1] * layers * 31  # the outputs before the first value, and after each


@both
def test_sampling_uses_the_network_it_has(name: str, device: str) -> None:
    model = teacher(name, dtype=np.float32)
    with no_sync():
        x = model.sample(Generator(3), 5, LENGTH)
    noise = Generator(3).normal((5, LENGTH))
    # float32, and sums in another order
    np.testing.assert_allclose(x.numpy(), model.generate_by_passes(noise).numpy(), rtol=1e-4, atol=1e-4)
    assert x.dtype == np.float32
    if name == "masked":
        with pytest.raises(TypeError, match="MaskedPerceptron has no stream; use generate_by_passes"):
            model.generate(noise)


@both
def test_noise_must_be_a_batch_of_series_of_the_models_kind(name: str, device: str) -> None:
    """Else float32 would turn into float64, five numbers into five series, and nothing into a stack of nothing."""
    model = teacher(name, dtype=np.float32)
    draws = [model.generate_by_passes, *([model.generate] if name == "causal" else [])]
    for draw in draws:
        for dtype in (np.float64, np.int64):
            with pytest.raises(TypeError, match=rf"noise must be float32 on .*, got {np.dtype(dtype)}.*use \.astype"):
                draw(tg.ones((2, LENGTH), dtype=dtype))
        for shape in ((LENGTH,), (2, LENGTH, 1), (3, 0)):
            with pytest.raises(ValueError, match=r"noise must have shape \(N, T\) with T > 0"):
                draw(tg.ones(shape))
        assert draw(tg.ones((0, LENGTH))).shape == (0, LENGTH)
        assert draw(tg.ones((2, LENGTH)).numpy().tolist()).dtype == np.float32
    with pytest.raises(TypeError, match=r"noise must be float32 .*, got float64"):
        model.sample(Generator(0), 2, LENGTH, dtype=np.float64)
    with pytest.raises(ValueError, match="with T > 0"):
        model.sample(Generator(0), 2, 0)
    assert model.sample(Generator(0), 2, LENGTH, dtype=np.float32).dtype == np.float32


def test_a_network_must_give_two_numbers_a_value(device: str) -> None:
    model = GaussianAutoregressive(nn.Linear(LENGTH, 2, rng=Generator(0)))
    with pytest.raises(ValueError, match=r"Linear: must give shifts and log-scales \(3, 12\) .*got \(3, 2\)"):
        model.log_prob(tg.zeros((3, LENGTH)))


class Noisy(nn.Module):
    """A network that drops inputs while it is trained."""

    def __init__(self) -> None:
        self.dropout = nn.Dropout(0.5, rng=Generator(1))
        self.network = with_all_moved(MaskedPerceptron(LENGTH, (8,), rng=Generator(0)))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.network(self.dropout(x))


def with_all_moved(module: Any) -> Any:
    for parameter in module.parameters():
        parameter.assign(parameter + 0.3)
    return module


def test_excess_judges_in_evaluation_mode(device: str) -> None:
    model, x = GaussianAutoregressive(Noisy()), Generator(2).normal((5, LENGTH))
    found = excess(model, resonator(), x)
    assert all(part.training for part in model.modules())
    assert found == excess(model, resonator(), x) == excess(model.eval(), resonator(), x)


def test_the_linear_part_can_be_the_true_process(device: str) -> None:
    """With φ in the taps and σ in the bias, the conditionals are the resonator's but for its first values."""
    process = resonator()
    model = GaussianAutoregressive(CausalNetwork(4, (1,), taps=4, rng=Generator(0))).astype(np.float64)
    taps = np.zeros((2, 1, 4))
    taps[0, 0] = process.coefficients[::-1]
    model.network.skip.weight.assign(tg.tensor(taps))
    model.network.last.bias.assign(tg.tensor(np.array([0.0, np.arctanh(np.log(process.sd) / 3.0)])))
    x = process.sample(Generator(1), 4, 20, dtype=np.float64)
    for found, expected in zip(model.conditional(x), process.conditional(x), strict=True):
        np.testing.assert_allclose(found.numpy()[:, 4:], expected.numpy()[:, 4:], rtol=1e-12, atol=1e-12)


def test_excess_is_zero_for_the_truth_and_a_divergence_for_others(device: str) -> None:
    """A resonator of the wrong scale 2σ costs ln 2 + ½ (¼ − 1) = .318 nats a value (after the first ones)."""
    process = resonator()
    x = process.sample(Generator(0), 200, 200)
    assert excess(process, process, x) == 0.0
    wide = type(process)(process.coefficients, 2.0 * process.sd)
    expected = np.log(2.0) + 0.5 * (0.25 - 1.0)
    assert excess(wide, process, x) == pytest.approx(expected, abs=0.01)  # 40,000 values with sd .53: 4 s.e.


@both
def test_the_step_goes_down_the_written_out_likelihood(name: str, device: str) -> None:
    model = teacher(name)
    parameters, process = list(model.parameters()), SineProcess()
    start = [parameter.numpy().copy() for parameter in parameters]
    tg.set_default_dtype(np.float64)
    try:
        x = process.sample(Generator(5), 4, LENGTH)
        mean, sd = model.conditional(x)
        nll = tg.mean(0.5 * tg.square((x - mean) / sd) + tg.log(sd) + 0.5 * np.log(2 * np.pi))
        slopes = [slope.numpy() for slope in tg.grad(nll, parameters)]
        state = State(model, optim.SGD(parameters, lr=1.0), process, Generator(5), (4, LENGTH))
        found = step(state)["NLL"]
    finally:
        tg.set_default_dtype(np.float32)
    assert found.item() == pytest.approx(nll.item(), rel=1e-12)
    for parameter, before, slope in zip(parameters, start, slopes, strict=True):
        np.testing.assert_allclose(parameter.numpy(), before - slope, rtol=1e-9, atol=1e-12)


@both
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(name: str, device: str) -> None:
    model = teacher(name, dtype=np.float32)
    state = State(model, optim.Adam(model.parameters(), lr=1e-2), resonator(), Generator(1), (4, LENGTH))
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)["NLL"]
    after = model.state_dict()
    assert {array.dtype for array in after.values()} == {np.dtype(np.float32)}
    restore(state, saved)
    assert step(state)["NLL"].item() == first.item()
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(tg.tensor(array).numpy(), tg.tensor(after[key]).numpy())
    twin = teacher(name, seed=1, dtype=np.float32)
    twin.load_state_dict(after)
    x = Generator(2).normal((3, LENGTH))
    np.testing.assert_array_equal(twin.log_prob(x).numpy(), model.log_prob(x).numpy())
