"""Classifiers and the ascent on their input: gradients by hand, Bayes' rule, parameters that stay."""

from __future__ import annotations

import numpy as np
import pytest
from double import knobs, no_sync

import tinygen as tg
from tinygen import nn, optim
from tinygen.backend import to_host
from tinygen.models.classifier import (
    Ascent,
    State,
    accuracy,
    ascend,
    class_score,
    convolutional,
    of_gaussians,
    probabilities,
    shifted,
    step,
)
from tinygen.models.denoising_autoencoder import exact_score
from tinygen.random import Generator


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [16, 28, 30])
def test_shapes_dtype_and_saved_parameters(size: int, device: str) -> None:
    model, other = (convolutional(10, 4, size=size, rng=Generator(seed)).eval() for seed in (0, 1))
    x = Generator(2).uniform((3, 1, size, size))
    logits = model(x)
    assert (logits.shape, logits.dtype, logits.device) == ((3, 10), np.float32, device)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), logits.numpy())


def test_a_step_descends_and_does_not_wait_for_the_device(device: str) -> None:
    rng = Generator(1)
    x, labels = rng.uniform((12, 1, 16, 16)), rng.integers(0, 3, 12)
    model = convolutional(3, 4, rng=rng.spawn("p"))
    batches = tg.data.Batches(x, labels, size=12, rng=rng.spawn("b"))
    state = State(model, optim.Adam(model.parameters(), lr=1e-2), batches, rng.spawn("s"), reach=1)
    losses = []
    for _ in range(40):
        with no_sync(), knobs.using(promote="raise"):
            losses.append(step(state)["cross-entropy"])
    assert losses[0].dtype == np.float32
    assert losses[-1].item() < 0.8 * losses[0].item()


def test_probabilities_are_those_of_evaluation_whatever_the_mode() -> None:
    model = convolutional(4, 4, rng=Generator(0))
    x = Generator(1).uniform((7, 1, 16, 16))
    found = probabilities(model, x, size=3)
    assert model.training
    np.testing.assert_allclose(found, softmax(model.eval()(x).numpy()), rtol=1e-5)  # float32
    assert accuracy(model, x, found.argmax(axis=1)) == 1.0
    assert accuracy(model, x, (found.argmax(axis=1) + 1) % 4) == 0.0


def test_measuring_leaves_each_part_in_its_own_mode_also_after_an_exception(device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 8, rng=Generator(0)), nn.BatchNorm1d(8), nn.Linear(8, 3, rng=Generator(1)))
    model[1].eval()
    modes = [part.training for part in model.modules()]
    x, labels = Generator(2).normal((6, 3)), tg.tensor(np.zeros(6, np.int64))
    probabilities(model, x)
    class_score(model, x, labels)
    with pytest.raises(ValueError, match="linear"):
        probabilities(model, x[:, :2])
    assert [part.training for part in model.modules()] == modes


def test_a_gradient_does_not_depend_on_the_rest_of_the_batch(device: str) -> None:
    """In training mode batch normalisation would mix the examples, and dropout would draw."""
    model = nn.Sequential(nn.Linear(3, 8, rng=Generator(0)), nn.BatchNorm1d(8), nn.Linear(8, 3, rng=Generator(1)))
    x, labels = Generator(2).normal((6, 3)), tg.tensor(np.zeros(6, np.int64))
    alone, together = class_score(model, x[:2], labels[:2]), class_score(model, x, labels)[:2]
    np.testing.assert_allclose(alone.numpy(), together.numpy(), rtol=1e-5, atol=1e-7)  # float32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((6, 1), np.int64), r"6 examples need 6 whole numbers as labels, got int64 \(6, 1\)"),
        (np.array([0]), r"got int64 \(1,\)"),
        (np.zeros(6), r"got float64 \(6,\)"),
        (np.full(6, 3), r"knows classes 0 … 2, but labels reach from 3 to 3"),
        (np.full(6, -1), r"knows classes 0 … 2, but labels reach from -1 to -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy(nn.Linear(3, 3, rng=Generator(0)), Generator(1).normal((6, 3)), labels)


def test_a_prior_of_another_shape_is_refused(device: str) -> None:
    """Broadcasting would change the shape of x, or move all examples alike."""
    model, labels = nn.Linear(3, 3, rng=Generator(0)), tg.tensor(np.zeros(4, np.int64))
    for shape in ((2, 4, 3), (4, 1), (3,)):
        state = Ascent(model, tg.zeros((4, 3)), labels, 0.1, lambda x, shape=shape: tg.ones(shape))
        with pytest.raises(ValueError, match="ascend: the prior's gradient"):
            ascend(state)


def test_gradient_in_the_parameters_by_hand() -> None:
    """Linear model: ∂(−log P)/∂W = 1/n Σ (P − one-hot) xᵀ (TXT-5)."""
    model, x = nn.Linear(3, 4, rng=Generator(0)).astype(np.float64), Generator(1).normal((6, 3), dtype=np.float64)
    labels = Generator(2).integers(0, 4, 6)
    slope, offset = tg.grad(tg.cross_entropy(model(x), labels), [model.weight, model.bias])
    residual = softmax(model(x).numpy()) - np.eye(4)[labels.numpy()]
    np.testing.assert_allclose(slope.numpy(), residual.T @ x.numpy() / 6, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(offset.numpy(), residual.mean(axis=0), rtol=1e-10, atol=1e-14)


def test_gradient_in_the_input_by_hand() -> None:
    """APP-1 for a linear model: ∇ₓ log P(y | x) = W_y − Σ_k P(k | x) W_k, for each example by itself."""
    model, x = nn.Linear(3, 4, rng=Generator(0)).astype(np.float64), Generator(1).normal((6, 3), dtype=np.float64)
    labels, w = Generator(2).integers(0, 4, 6), model.weight.numpy()
    expected = w[labels.numpy()] - softmax(model(x).numpy()) @ w
    np.testing.assert_allclose(class_score(model, x, labels).numpy(), expected, rtol=1e-10, atol=1e-14)


def test_the_exact_classifier_has_the_posterior_probabilities() -> None:
    centres, sd = np.random.default_rng(0).normal(size=(4, 3)), 0.8
    x = Generator(1).normal((9, 3))
    squares = ((x.numpy()[:, None] - centres) ** 2).sum(axis=2)
    # float32
    np.testing.assert_allclose(probabilities(of_gaussians(centres, sd), x), softmax(-squares / 2 / sd**2), rtol=1e-4)


def test_with_the_prior_the_gradient_is_that_of_the_class() -> None:
    """Bayes: ∇ log P(y | x) + ∇ log p(x) = ∇ log p(x | y) = −(x − c_y)/sd², for round Gaussians (APP-1)."""
    density = tg.data.density("ring", components=5, sd=0.6)
    centres = density.modes.centres
    exact = of_gaussians(centres, 0.6)
    x, labels = 2.0 * Generator(1).normal((20, 2)), Generator(2).integers(0, 5, 20)
    together = class_score(exact, x, labels) + exact_score(density, x)
    wanted = -(x.numpy() - centres[labels.numpy()]) / 0.36
    np.testing.assert_allclose(together.numpy(), wanted, rtol=1e-3, atol=1e-3)  # float32, with terms of order 10


def test_the_ascent_climbs_leaves_the_parameters_and_never_stops(device: str) -> None:
    """APP-1 for two linear classes: log P rises at each step below 1/L, and ‖x‖ grows without bound."""
    model = nn.Linear(2, 2, rng=Generator(0))
    before = model.state_dict()
    state = Ascent(model, tg.zeros((1, 2)), tg.tensor(np.array([1])), rate=1.0)
    lengths, chances = [], []
    for _ in range(4):
        with no_sync(), knobs.using(promote="raise"):
            for _ in range(50):
                ascend(state)
        lengths.append(np.linalg.norm(state.x.numpy()))
        chances.append(probabilities(model, state.x)[0, 1])
    assert state.x.dtype == np.float32
    assert (np.diff(lengths) > 0.1).all()
    assert (np.diff(chances) > 0).all()
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(to_host(values), to_host(before[name]))


@pytest.mark.parametrize("reach", [1, 2])
def test_shifted_images_are_moved_by_every_allowed_step_and_nothing_else(device: str, reach: int) -> None:
    image = np.random.default_rng(0).random((1, 5, 6)).astype(np.float32)
    moved = shifted(Generator(1), tg.tensor(np.repeat(image[None], 300, axis=0)), reach)
    assert (moved.shape, moved.dtype, moved.device) == ((300, 1, 5, 6), np.float32, device)
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)))
    steps = range(2 * reach + 1)
    allowed = {padded[:, i : i + 5, j : j + 6].tobytes() for i in steps for j in steps}
    assert {one.tobytes() for one in np.ascontiguousarray(moved.numpy())} == allowed
