"""PixelCNN and its baselines: the chain rule, who sees whom, the samplers, and the step of maximum likelihood."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from double import no_sync

import tinygen as tg
from tinygen import optim
from tinygen.data import Batches
from tinygen.models.pixelcnn import MADE, GatedPixelCNN, PlainPixelCNN, RasterModel, State, evaluate, influence, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot

Make = Callable[[Generator, tuple[int, int], int], RasterModel]

MODELS: dict[str, Make] = {
    "plain": lambda rng, size, levels: PlainPixelCNN(levels, 4, 3, 5, rng=rng),
    "gated": lambda rng, size, levels: GatedPixelCNN(levels, 4, 2, (1, 1), rng=rng),
    "MADE": lambda rng, size, levels: spread(MADE(size, (12,), rng=rng), rng),
}


def spread(model: RasterModel, rng: Generator) -> RasterModel:
    """Weights of the layers that start at zero, so that they say something."""
    for parameter in model.parameters():
        parameter.assign(parameter + 0.3 * rng.normal(parameter.shape))
    return model


def make(name: str, size: tuple[int, int] = (4, 5), levels: int = 2, seed: int = 0) -> RasterModel:
    return MODELS[name](Generator(seed), size, 2 if name == "MADE" else levels)


def images(count: int, size: tuple[int, int] = (4, 5), levels: int = 2, dtype: type = np.float32) -> tg.Tensor:
    whole = np.random.default_rng(1).integers(0, levels, (count, 1, *size))
    return tg.tensor(whole.astype(dtype) / dtype(levels - 1))


@pytest.mark.parametrize("name", MODELS)
def test_no_pixel_sees_itself_or_later_ones(name: str, device: str) -> None:
    """The slopes of all logits, largest of 8 images: exactly zero there, and not zero just left of a pixel."""
    model = make(name, levels=3)
    x = tg.tensor(np.random.default_rng(0).normal(size=(8, 1, 4, 5)), dtype=np.float32)
    slopes = np.abs(tg.jacobian(model, x, batch=True).numpy()).max(axis=0).reshape(model.levels, 20, 20)
    np.testing.assert_array_equal(np.triu(slopes), 0.0)
    beside = [i for i in range(20) if i % 5]
    assert (slopes[:, beside, [i - 1 for i in beside]] != 0.0).all()


def test_two_stacks_see_all_that_comes_before_and_one_does_not(device: str) -> None:
    """From (3, 0) of 4 × 7 pixels, three layers 5, 3, 3 wide: the blind spot, cell by cell (AR-4)."""
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 1, 4, 7)), dtype=np.float32)
    seen = {name: influence(make(name), x)[3, 0] > 0.0 for name in ("plain", "gated")}
    # Mask A reaches 2 to the right in the two rows above; each B then one more, but only from a row further down.
    expected = ["1111100", "1111000", "1110000", "0000000"]
    np.testing.assert_array_equal(seen["plain"], [[cell == "1" for cell in row] for row in expected])
    # The vertical stack: 2, then 1 and 1 more in each row above, and all reach the row right above.
    expected = ["1111100", "1111100", "1111100", "0000000"]
    np.testing.assert_array_equal(seen["gated"], [[cell == "1" for cell in row] for row in expected])


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_images_sum_to_one(name: str, device: str) -> None:
    every = np.array(list(itertools.product((0.0, 1.0), repeat=6)), np.float32).reshape(-1, 1, 2, 3)
    log_prob = make(name, (2, 3)).log_prob(tg.tensor(every))
    assert log_prob.dtype == np.float32
    assert np.exp(log_prob.numpy()).sum() == pytest.approx(1.0, abs=1e-5)  # float32
    assert np.ptp(log_prob.numpy()) > 0.1


@pytest.mark.parametrize("name", ["plain", "gated"])
def test_likelihood_of_several_levels_is_the_chain_rule_written_out(name: str, device: str) -> None:
    model, x = make(name, levels=16), images(3, levels=16)
    logits = model(x).numpy()
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = np.rint(x.numpy() * 15).astype(int)
    expected = np.take_along_axis(log_p, labels, axis=1)[:, 0]
    np.testing.assert_allclose(model.pixel_log_prob(x).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(model.log_prob(x).numpy(), expected.sum(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(evaluate(model, x, size=2), expected, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_no_level_is_impossible(name: str, device: str) -> None:
    grey = images(1) + tg.tensor(np.eye(1, 20, 7, dtype=np.float32).reshape(1, 1, 4, 5)) * 0.4
    assert make(name).log_prob(grey).item() == -np.inf


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_read_as_the_whole_image_is(name: str, device: str) -> None:
    """The cheap logits of each pixel, from the rows above and the row so far, are those of one pass (AR-3)."""
    model, x = make(name, (3, 4)).astype(np.float64), images(2, (3, 4), dtype=np.float64)
    whole = model(x).numpy()
    for i in range(3):
        logits_of = model.reader(x[:, :, :i])
        for j in range(4):
            found = logits_of(x[:, :, i : i + 1, : j + 1]).numpy()
            np.testing.assert_allclose(found, whole[:, :, i, j], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_samples_follow_the_probabilities(name: str, device: str) -> None:
    """Counts of all 2 × 2 images against n · p."""
    model, count = make(name, (2, 2)), 4000
    samples = model.sample(Generator(3), count, (2, 2))
    assert (samples.shape, samples.dtype) == ((count, 1, 2, 2), np.dtype(np.float32))
    every = np.array(list(itertools.product((0.0, 1.0), repeat=4)), np.float32)
    expected = count * np.exp(model.log_prob(tg.tensor(every.reshape(-1, 1, 2, 2))).numpy())
    found = np.bincount((samples.numpy().reshape(-1, 4) @ [8, 4, 2, 1]).astype(int), minlength=16)
    assert np.sum((found - expected) ** 2 / expected) < 37.7  # χ² with 15 degrees of freedom: above it once in 1,000


@pytest.mark.parametrize("name", MODELS)
def test_completions_keep_what_is_given(name: str, device: str) -> None:
    model, x = make(name), images(6)
    with no_sync():
        whole = model.complete(Generator(2), x[:, :, :2], 4)
    assert whole.shape == x.shape
    np.testing.assert_array_equal(whole[:, :, :2].numpy(), x[:, :, :2].numpy())
    assert set(np.unique(whole.numpy())) <= {0.0, 1.0}
    assert not whole.requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_a_step_follows_the_gradient_of_the_written_out_loss(name: str, device: str) -> None:
    """Gradient descent of rate 1: every pixel of every image counts, each by softmax − one-hot (TXT-6)."""
    model = make(name).astype(np.float64)
    x = images(6, dtype=np.float64)
    logits = model(x)
    probs = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    labels = np.concatenate([1.0 - x.numpy(), x.numpy()], axis=1)
    parameters = model.parameters()
    slopes = tg.grad(logits, parameters, tg.tensor((probs - labels) / x.size))
    expected = [p.numpy() - slope.numpy() for p, slope in zip(parameters, slopes, strict=True)]
    state = State(model, optim.SGD(parameters, lr=1.0), Batches(x, size=6, rng=Generator(0)))
    loss = step(state)["NLL"].item()
    assert loss == pytest.approx(-np.mean(np.log((probs * labels).sum(axis=1))), rel=1e-12)
    for found, wanted in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(name: str, device: str) -> None:
    model = make(name)
    batches, average = Batches(images(8), size=4, rng=Generator(0)), optim.ExponentialMovingAverage(model, 0.5)
    state = State(model, optim.Adam(model.parameters()), batches, average)
    step(state)
    before = [parameter.numpy().copy() for parameter in average.module.parameters()]
    saved = snapshot(state)
    with no_sync():
        step(state)
    after = [parameter.numpy().copy() for parameter in model.parameters()]
    assert {array.dtype for array in after} == {np.dtype(np.float32)}
    for found, earlier, latest in zip(average.module.parameters(), before, after, strict=True):
        np.testing.assert_allclose(found.numpy(), (earlier + latest) / 2, rtol=1e-5, atol=1e-6)  # float32
    restore(state, saved)
    step(state)
    for found, expected in zip(model.parameters(), after, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("name", MODELS)
def test_weights_move_to_another_model(name: str, device: str) -> None:
    model, other, x = make(name), make(name, seed=1), images(2)
    assert not np.array_equal(model(x).numpy(), other(x).numpy())
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(model(x).numpy(), other(x).numpy())


@pytest.mark.host
@pytest.mark.parametrize("levels", [1, 50])
def test_levels_that_do_not_come_back_are_refused(levels: int) -> None:
    """k / 49 · 49 is not k for every k, in float32: a sample would be impossible under its own model."""
    with pytest.raises(ValueError, match=f"PlainPixelCNN: levels={levels}"):
        PlainPixelCNN(levels, rng=Generator(0))


@pytest.mark.host
@pytest.mark.parametrize("levels", [2, 16, 17, 256])
def test_usual_levels_come_back(levels: int) -> None:
    assert PlainPixelCNN(levels, 1, 1, rng=Generator(0)).levels == levels
