"""Networks that are told a class: closed forms, the best logit, and a step whose fakes keep their own class."""

from __future__ import annotations

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim
from tinygen.adversarial import R1, minimax, r1
from tinygen.data import Draws
from tinygen.models.conditional_gan import Labelled, Projection
from tinygen.models.gan import State, discriminator_step, generator_step, perceptron, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot
from tinygen.tensor import Tensor

CLASSES = 3


def networks(seed: int, *, projection: bool) -> tuple[Labelled, nn.Module]:
    """A generator of points from noise (N, 2) and a class, and a discriminator of either kind."""
    rng = Generator(seed)
    generator = Labelled(perceptron((2 + CLASSES, 8, 2), rng=rng.spawn("generator")), CLASSES)
    if projection:
        features = perceptron((2, 8, 5), nn.LeakyReLU, rng=rng.spawn("features"))
        return generator, Projection(features, 5, CLASSES, rng=rng.spawn("head"))
    return generator, Labelled(perceptron((2 + CLASSES, 8, 1), nn.LeakyReLU, rng=rng.spawn("d")), CLASSES)


def game(seed: int = 0, *, projection: bool = True) -> State:
    generator, discriminator = networks(seed, projection=projection)
    rng = Generator(seed).spawn("game")
    return State(
        generator,
        discriminator,
        optim.SGD(generator.parameters(), lr=1.0),
        optim.SGD(discriminator.parameters(), lr=1.0),
        Draws(lambda rng: (rng.normal((6, 2)), rng.integers(0, CLASSES, 6)), rng=rng.spawn("data")),
        lambda rng: rng.normal((6, 2)),
        rng.spawn("noise"),
        penalties=[R1(0.5)],
        labels=Draws(lambda rng: rng.integers(0, CLASSES, 6), rng=rng.spawn("labels")),
    )


@pytest.mark.parametrize("projection", [False, True])
def test_shapes_dtype_and_saved_parameters(device: str, projection: bool) -> None:
    rng = Generator(0)
    x, y = rng.normal((7, 2)), rng.integers(0, CLASSES, 7)
    for one, other in zip(networks(1, projection=projection), networks(2, projection=projection), strict=True):
        made = one(x, y)
        assert (made.dtype, made.device, len(made)) == (np.float32, device, 7)
        other.load_state_dict(one.state_dict())
        np.testing.assert_array_equal(other(x, y).numpy(), made.numpy())
    assert made.shape == (7, 1)


@pytest.mark.host
@pytest.mark.parametrize("projection", [False, True])
def test_classes_that_do_not_fit_the_examples_are_refused(projection: bool) -> None:
    x = tg.zeros((4, 2))
    for network in networks(0, projection=projection):
        for wrong in ([1], [0, 1, 2], [[0], [1], [2], [0]]):
            with pytest.raises(ValueError, match="needs one class for each of 4 examples"):
                network(x, tg.tensor(wrong))
        for strange in ([0, 1, 2, -1], [0, 1, 2, CLASSES]):
            with pytest.raises(IndexError, match="must lie between 0 and 2"):
                network(x, tg.tensor(strange))
    with pytest.raises(ValueError, match="one class for each of 1 examples"):
        network(x[:1], tg.tensor([0, 1, 2, 0]))


def test_a_class_adds_its_own_column_of_weights(device: str) -> None:
    """A linear layer on [x, one-hot y] is W x + b + the column of y: an embedding (GAN-15)."""
    layer = nn.Linear(2 + CLASSES, 4, rng=Generator(0)).astype(np.float64)
    x, y = Generator(1).normal((9, 2), dtype=np.float64), Generator(2).integers(0, CLASSES, 9)
    weight, columns = np.split(layer.weight.numpy(), [2], axis=1)
    expected = x.numpy() @ weight.T + layer.bias.numpy() + columns.T[y.numpy()]
    np.testing.assert_allclose(Labelled(layer, CLASSES)(x, y).numpy(), expected, rtol=1e-12, atol=1e-14)


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_a_projection_can_be_the_best_logit(device: str, seed: int) -> None:
    """Real classes N(c_y, I) against fakes N(f_y, I): ln p(x|y)/q(x|y) = (c_y − f_y)·x + const_y, so φ(x) = (x, 1)."""
    centres, fakes = np.random.default_rng(seed).normal(size=(2, CLASSES, 2))
    rng = Generator(seed)
    x, y = rng.normal((8, 2), dtype=np.float64), rng.integers(0, CLASSES, 8)

    class WithOne(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return tg.concatenate([x, tg.ones_like(x[:, :1])], axis=1)

    discriminator = Projection(WithOne(), 3, CLASSES, rng=rng).astype(np.float64)
    shared = discriminator.marginal.weight.numpy()[0]
    offsets = 0.5 * ((fakes**2).sum(axis=1) - (centres**2).sum(axis=1)) - discriminator.marginal.bias.numpy()[0]
    wanted = np.concatenate([centres - fakes, offsets[:, None]], axis=1) - shared
    discriminator.conditional.weight.assign(tg.tensor(wanted).data)
    labels = y.numpy()
    p, q = (np.exp(-0.5 * ((x.numpy() - means[labels]) ** 2).sum(axis=1)) for means in (centres, fakes))
    found = minimax.output(discriminator(x, y)).numpy()[:, 0]
    np.testing.assert_allclose(found, p / (p + q), rtol=1e-9)


def test_a_projection_begins_without_a_preference(device: str) -> None:
    _, discriminator = networks(0, projection=True)
    x = Generator(1).normal((5, 2))
    scores = [discriminator(x, tg.full(5, y, dtype=np.int64)).numpy() for y in range(CLASSES)]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


@pytest.mark.parametrize("projection", [False, True])
def test_fakes_are_made_and_judged_with_the_classes_of_the_real_ones(device: str, projection: bool) -> None:
    """One step with rate 1 against the gradient of the loss written out; all of its terms carry y (GAN-14, GAN-15)."""
    state, twin = (game(projection=projection) for _ in range(2))  # the same seeds: the same networks and draws
    D, parameters = twin.discriminator, list(twin.discriminator.parameters())
    x, y = twin.real.next()
    fake = tg.detach(twin.generator(twin.prior(twin.rng), y))
    value = tg.mean(tg.log_sigmoid(D(x, y))) + tg.mean(tg.log_sigmoid(-D(fake, y)))
    slopes = tg.grad(-value + r1(lambda x: D(x, y), x, 0.5), parameters)
    discriminator_step(state)
    compare(state.discriminator, [p.numpy() - s.numpy() for p, s in zip(parameters, slopes, strict=True)])


@pytest.mark.parametrize("projection", [False, True])
def test_the_generator_learns_with_classes_of_its_own(device: str, projection: bool) -> None:
    state, twin = (game(projection=projection) for _ in range(2))
    G, parameters = twin.generator, list(twin.generator.parameters())
    (y,) = twin.labels.next()
    loss = -tg.mean(tg.log_sigmoid(twin.discriminator(G(twin.prior(twin.rng), y), y)))
    slopes = tg.grad(loss, parameters)
    generator_step(state)
    compare(state.generator, [p.numpy() - s.numpy() for p, s in zip(parameters, slopes, strict=True)])


def compare(moved: nn.Module, expected: list[np.ndarray]) -> None:
    for parameter, value in zip(moved.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.numpy(), value, rtol=1e-5, atol=1e-6)  # float32


@pytest.mark.parametrize("projection", [False, True])
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(device: str, projection: bool) -> None:
    state = game(projection=projection)
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)
    restore(state, saved)
    again = step(state)
    assert {key: float(value) for key, value in again.items()} == {key: float(value) for key, value in first.items()}
    assert {parameter.dtype for parameter in state.discriminator.parameters()} == {np.dtype(np.float32)}
