"""Convolutional adversarial networks: shapes, what reaches which pixel, and the step against its written-out loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from double import no_sync

import tinygen as tg
from tinygen import nn, optim
from tinygen.adversarial import R1
from tinygen.data import Draws
from tinygen.models.dcgan import Discriminator, FeatureNoise, Generator, generate, leaky
from tinygen.models.gan import State, discriminator_step, generator_step, normal_prior, step
from tinygen.random import Generator as Stream
from tinygen.states import restore, snapshot

CLASSES, BATCH, LATENT = 3, 6, 5


def pair(
    seed: int = 0, *, classes: int = CLASSES, rectifier: Any = leaky, noise: bool = False, pooling: bool = False
) -> tuple[Generator, Discriminator]:
    """Small networks for images of 8 × 8."""
    rng, shared = Stream(seed), {"classes": classes, "rectifier": rectifier}
    generator = Generator(8, LATENT, (6, 4), noise=noise, rng=rng.spawn("G"), **shared)
    return generator, Discriminator(8, (4, 6), pooling=pooling, rng=rng.spawn("D"), **shared)


def game(networks: tuple[Generator, Discriminator], rate: float = 1e-2) -> State:
    """A game on random images, with plain gradient descent."""
    generator, discriminator = networks
    dtype = generator.image.weight.dtype

    def classes(rng: Stream) -> tuple[tg.Tensor, ...]:
        return (rng.integers(0, CLASSES, BATCH),) if generator.classes else ()

    def real(rng: Stream) -> tuple[tg.Tensor, ...]:
        return (rng.uniform((BATCH, 1, 8, 8), dtype=dtype), *classes(rng))

    return State(
        generator,
        discriminator,
        optim.SGD(generator.parameters(), lr=rate),
        optim.SGD(discriminator.parameters(), lr=rate),
        Draws(real, rng=Stream(7)),
        lambda rng: rng.normal((BATCH, LATENT), dtype=dtype),
        Stream(8),
        labels=Draws(classes, rng=Stream(9)) if generator.classes else None,
    )


# --- networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(
    ("size", "down", "up"),
    [(16, (64, 32, 16), (32, 64)), (28, (64, 32, 16), (32, 64)), (32, (128, 64, 32, 16), (32, 64, 128))],
)
def test_the_documented_sizes(size: int, down: tuple[int, ...], up: tuple[int, ...], classes: int) -> None:
    rng = Stream(0)
    generator = Generator(size, channels=down, classes=classes, noise=True, rng=rng)
    y = (tg.tensor([0, 2]),) if classes else ()
    images = generator(rng.normal((2, 32)), *y)
    assert (images.shape, images.dtype) == ((2, 1, size, size), np.float32)
    assert 0.0 <= images.numpy().min() < images.numpy().max() <= 1.0
    for pooling in (False, True):
        logits = Discriminator(size, up, classes=classes, pooling=pooling, rng=rng)(images, *y)
        assert (logits.shape, logits.dtype) == ((2, 1), np.float32)


@pytest.mark.host
def test_numbers_of_parameters() -> None:
    """Counted by hand for the documented networks of 16 × 16 (CNN-8)."""
    rng = Stream(0)
    dense, doubled, image = 32 * 64 * 16, (64 * 32 + 32 * 16) * 16, 16 * 9 + 1
    normalised = 2 * (64 + 32 + 16)
    assert sum(p.size for p in Generator(rng=rng).parameters()) == dense + doubled + image + normalised
    halved, last, logit = (1 * 16 + 1) * 32 + (32 * 16 + 1) * 64, (64 * 9 + 1) * 64, 64 * 16 + 1
    assert sum(p.size for p in Discriminator(rng=rng).parameters()) == halved + last + logit
    told = sum(p.size for p in Discriminator(classes=10, rng=rng).parameters())
    assert told == halved + last + logit + 10 * 64 * 16


@pytest.mark.parametrize("pooling", [False, True])
@pytest.mark.parametrize("rectifier", [leaky, nn.ELU])
def test_a_slope_reaches_every_pixel(pooling: bool, rectifier: Any) -> None:
    """No rectifier is flat and no pooling drops a pixel (GAN-20); with ReLU alone, whole images may get nothing."""
    _, critic = pair(pooling=pooling, rectifier=rectifier)
    x = tg.tensor(Stream(1).uniform((4, 1, 8, 8)), requires_grad=True)
    (slope,) = tg.grad(tg.sum(critic(x, tg.tensor([0, 1, 2, 0]))), x)
    assert np.count_nonzero(slope.numpy()) == slope.size


def test_the_discriminator_judges_each_image_by_itself() -> None:
    """What penalties of its slopes need; the generator's batch normalisation does not."""
    _, critic = pair()
    x, y = Stream(1).uniform((4, 1, 8, 8)), tg.tensor([0, 1, 2, 0])
    alone = np.concatenate([critic(x[i : i + 1], y[i : i + 1]).numpy() for i in range(4)])
    np.testing.assert_allclose(critic(x, y).numpy(), alone, atol=1e-6)  # float32


def test_the_class_is_told_by_an_inner_product_with_the_features() -> None:
    _, critic = pair()
    x = Stream(1).uniform((4, 1, 8, 8))
    h, v = critic.features(x).numpy(), critic.of_class.weight.numpy()
    first, second = (critic(x, tg.tensor(y)).numpy()[:, 0] for y in ([0, 1, 2, 0], [2, 2, 1, 0]))
    expected = ((v[[0, 1, 2, 0]] - v[[2, 2, 1, 0]]) * h).sum(axis=1)
    np.testing.assert_allclose(first - second, expected, atol=1e-6)  # float32


def test_at_the_start_nobody_knows_anything() -> None:
    """Logits near 0: the losses are ln 4 and ln 2 (CNN-8)."""
    rng = Stream(0)
    state = game((Generator(rng=rng), Discriminator(rng=rng)), rate=0.0)
    state.real = Draws(lambda rng: rng.uniform((BATCH, 1, 16, 16)), rng=rng)
    state.prior = normal_prior(BATCH, 32)
    measured = step(state)
    # The weights start uniform in ±1/√fan in: the logits of the first images are below 0.1.
    assert float(measured["discriminator loss"]) == pytest.approx(math.log(4.0), abs=0.1)
    assert float(measured["generator loss"]) == pytest.approx(math.log(2.0), abs=0.1)


def test_wrong_sizes_and_missing_classes_are_refused() -> None:
    rng = Stream(0)
    with pytest.raises(ValueError, match="30 × 30 cannot be halved 2 times; use fewer channels"):
        Generator(30, channels=(64, 32, 16), rng=rng)
    with pytest.raises(ValueError, match="2 × 2 cannot be halved 2 times"):
        Discriminator(2, (32, 64), rng=rng)
    x, z, y = tg.zeros((2, 1, 8, 8)), tg.zeros((2, LATENT)), tg.tensor([0, 1])
    for network, given in zip(pair(), (z, x), strict=True):
        with pytest.raises(ValueError, match="made for 3 classes, it needs the class y of each example"):
            network(given)
    for network, given in zip(pair(classes=0), (z, x), strict=True):
        with pytest.raises(ValueError, match=r"got classes y \(2,\), but was made without"):
            network(given, y)


@pytest.mark.host
def test_classes_that_do_not_fit_the_examples_are_refused() -> None:
    generator, critic = pair()
    z, x = tg.zeros((4, LATENT)), tg.zeros((4, 1, 8, 8))
    calls = {"Generator": lambda y: generator(z, y), "Discriminator": lambda y: critic(x, y)}
    calls["generate"] = lambda y: generate(generator, z, y, size=3)
    for name, call in calls.items():
        for wrong in ([1], [0, 1, 2, 0, 1], [[0], [1], [2], [0]]):
            with pytest.raises(ValueError, match=f"dcgan.{name}: needs one class for each of 4 examples"):
                call(tg.tensor(wrong))
        for strange in ([0, 1, 2, -1], [0, 1, 2, 3]):
            with pytest.raises(IndexError, match="must lie between 0 and 2"):
                call(tg.tensor(strange))
    with pytest.raises(ValueError, match="one class for each of 1 examples"):
        critic(x[:1], tg.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_weights_move_to_another_pair(classes: int) -> None:
    z, x = Stream(1).normal((4, LATENT)), Stream(2).uniform((4, 1, 8, 8))
    y = (tg.tensor([0, 1, 2, 0]),) if classes else ()
    for one, other, given in zip(pair(0, classes=classes), pair(1, classes=classes), (z, x), strict=True):
        other.load_state_dict(one.state_dict())
        np.testing.assert_array_equal(one.eval()(given, *y).numpy(), other.eval()(given, *y).numpy())


def test_images_are_generated_in_parts() -> None:
    generator, _ = pair()
    z, y = Stream(1).normal((7, LATENT)), tg.tensor([0, 1, 2, 0, 1, 2, 0])
    generator(z, y)
    before = {name: buffer.numpy().copy() for name, buffer in generator.named_buffers()}
    parts = generate(generator, z, y, size=3)  # of a generator in training: its statistics stay as they are
    assert generator.training
    assert not parts.requires_grad
    for name, buffer in generator.named_buffers():
        np.testing.assert_array_equal(buffer.numpy(), before[name])
    np.testing.assert_allclose(parts.numpy(), generator.eval()(z, y).numpy(), atol=1e-6)  # float32


# --- noise in the maps -------------------------------------------------------------------------------------------


def test_noise_of_the_maps_has_the_scale_of_each_channel() -> None:
    """GAN-21: the mean stays, the variance grows by b_c²; at the start b = 0 and the layer is the identity."""
    layer, h = FeatureNoise(2, rng=Stream(0)), tg.ones((50, 2, 20, 20))
    np.testing.assert_array_equal(layer(h).numpy(), h.numpy())
    layer.scale.assign(tg.tensor([[[0.5]], [[2.0]]], dtype=np.float32))
    first, second = layer(h).numpy(), layer(h).numpy()
    assert not np.array_equal(first, second)
    # 20,000 numbers a channel: 5 standard errors of mean and standard deviation.
    np.testing.assert_allclose(first.mean(axis=(0, 2, 3)), 1.0, atol=5 * 2.0 / np.sqrt(20_000))
    np.testing.assert_allclose(first.std(axis=(0, 2, 3)), [0.5, 2.0], rtol=5 / np.sqrt(40_000))


def test_noise_is_learned(device: str) -> None:
    generator, critic = pair(noise=True)
    state = game((generator, critic))
    step(state)
    (layer,) = (one for one in generator.maps if isinstance(one, FeatureNoise))
    assert np.all(layer.scale.numpy() != 0.0)


# --- the step ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_the_discriminators_step_follows_its_written_out_loss(classes: int) -> None:
    """E softplus(−D(x, y)) + E softplus(D(G(z, y), y)) + γ/2 E ‖∇D(x, y)‖², of every convolution (GAN-14, WGAN-5)."""
    networks = tuple(network.astype(np.float64) for network in pair(classes=classes))
    state, twin = game(networks, rate=1.0), game(networks)
    state.penalties = [R1(gamma=3.0)]
    x, *y = twin.real.next()
    fake = tg.detach(networks[0](twin.prior(twin.rng), *y))
    at = tg.tensor(x, requires_grad=True)
    (slope,) = tg.grad(tg.sum(networks[1](at, *y)), at, create_graph=True)
    loss = tg.mean(tg.softplus(-networks[1](x, *y))) + tg.mean(tg.softplus(networks[1](fake, *y)))
    parameters = list(networks[1].parameters())
    slopes = tg.grad(loss + 1.5 * tg.mean(tg.sum(tg.square(slope), axis=(1, 2, 3))), parameters)
    expected = [p.numpy() - g.numpy() for p, g in zip(parameters, slopes, strict=True)]
    before = networks[0].state_dict()
    discriminator_step(state)
    for moved, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(moved.numpy(), value, atol=1e-12)
    assert all(
        np.array_equal(tg.tensor(before[k]).numpy(), tg.tensor(v).numpy()) for k, v in networks[0].state_dict().items()
    )


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_the_generators_step_follows_its_written_out_loss(classes: int) -> None:
    """E softplus(−D(G(z, y), y)), through both networks (GAN-12)."""
    networks = tuple(network.astype(np.float64) for network in pair(classes=classes))
    state, twin = game(networks, rate=1.0), game(networks)
    y = () if twin.labels is None else twin.labels.next()
    with nn.frozen(networks[1]):
        logits = networks[1](networks[0](twin.prior(twin.rng), *y), *y)
    parameters = list(networks[0].parameters())
    slopes = tg.grad(-tg.mean(tg.log_sigmoid(logits)), parameters)
    expected = [p.numpy() - g.numpy() for p, g in zip(parameters, slopes, strict=True)]
    generator_step(state)
    for moved, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(moved.numpy(), value, atol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("pooling", [False, True])
def test_slopes_through_both_networks_are_those_of_finite_differences(pooling: bool) -> None:
    """Of E softplus(−D(G(z, y), y)) in random directions of all parameters of both (CNN-3, CNN-4); ELU has no kink."""
    generator, discriminator = (network.astype(np.float64) for network in pair(pooling=pooling, rectifier=nn.ELU))
    rng, y = Stream(3), tg.tensor([0, 1, 2, 0])
    z = rng.normal((4, LATENT), dtype=np.float64)
    parameters = [*generator.parameters(), *discriminator.parameters()]
    start = [parameter.numpy().copy() for parameter in parameters]
    slopes = tg.grad(tg.mean(tg.softplus(-discriminator(generator(z, y), y))), parameters)
    for _ in range(3):
        direction = [rng.normal(value.shape, dtype=np.float64).numpy() for value in start]

        def along(step: float, direction: list[np.ndarray] = direction) -> float:
            for parameter, value, way in zip(parameters, start, direction, strict=True):
                parameter.assign(value + step * way)
            return float(tg.mean(tg.softplus(-discriminator(generator(z, y), y))))

        difference = (along(1e-5) - along(-1e-5)) / 2e-5
        slope = sum(float((g.numpy() * way).sum()) for g, way in zip(slopes, direction, strict=True))
        assert difference == pytest.approx(slope, rel=1e-6, abs=1e-8)  # of a central difference of step 1e-5


def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(device: str) -> None:
    state = game(pair(noise=True))
    state.penalties = [R1(0.1, every=2)]
    state.average = optim.ExponentialMovingAverage(state.generator, 0.9)
    step(state)
    saved = snapshot(state)
    with no_sync():
        step(state)
        step(state)
    first = [p.numpy() for p in (*state.generator.parameters(), *state.discriminator.parameters())]
    assert {array.dtype for array in first} == {np.dtype(np.float32)}
    restore(state, saved)
    step(state)
    step(state)
    again = [p.numpy() for p in (*state.generator.parameters(), *state.discriminator.parameters())]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
