"""The training scheme of adversarial networks: who moves when, along which gradient, and back to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import adversarial, nn, optim
from tinygen.adversarial import R1, GradientPenalty, ManyClasses, Smoothed, Swapped
from tinygen.data import Draws
from tinygen.models.gan import State, discriminator_step, generator_step, normal_prior, perceptron, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot
from tinygen.tensor import Tensor


class Conditional(nn.Module):
    """A network that is called with a class too."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.network(tg.concatenate([x, tg.one_hot(y, self.classes, dtype=x.dtype)], axis=1))


def game(seed: int = 0, **settings: Any) -> State:
    rng = Generator(seed)
    generator = perceptron((3, 8, 2), rng=rng.spawn("generator"))
    discriminator = perceptron((2, 8, settings.pop("logits", 1)), nn.LeakyReLU, rng=rng.spawn("discriminator"))
    return State(
        generator,
        discriminator,
        optim.Adam(generator.parameters(), lr=1e-2),
        optim.Adam(discriminator.parameters(), lr=1e-2),
        Draws(lambda rng: rng.normal((6, 2)) + 1.0, rng=rng.spawn("data")),
        normal_prior(6, 3),
        rng.spawn("noise"),
        **settings,
    )


def conditional_game() -> State:
    state = game(labels=Draws(lambda rng: rng.integers(0, 4, 6), rng=Generator(8)))
    generator = Conditional(perceptron((7, 8, 2), rng=Generator(1)), 4)
    discriminator = Conditional(perceptron((6, 8, 1), rng=Generator(2)), 4)
    state.generator, state.discriminator = generator, discriminator
    state.generator_optimizer = optim.Adam(generator.parameters())
    state.discriminator_optimizer = optim.Adam(discriminator.parameters())
    state.real = Draws(lambda rng: (rng.normal((6, 2)), rng.integers(0, 4, 6)), rng=Generator(7))
    state.penalties = [R1(), GradientPenalty(Generator(6))]
    return state


GAMES: dict[str, Callable[[], State]] = {
    "minimax": lambda: game(objective=adversarial.minimax, discriminator_steps=2, generator_steps=2),
    "swapped": lambda: game(objective=Swapped(Smoothed(adversarial.non_saturating), rng=Generator(5))),
    "lazy R1": lambda: game(penalties=[R1(0.1, every=2)]),
    "Wasserstein": lambda: game(objective=adversarial.wasserstein, penalties=[GradientPenalty(Generator(4))]),
    "clipped": lambda: game(objective=adversarial.wasserstein, clip=0.05),
    "classes": lambda: game(objective=ManyClasses(adversarial.hinge), logits=4),
    "conditional": conditional_game,
}


def values(module: nn.Module) -> list[np.ndarray]:
    return [parameter.numpy().copy() for parameter in module.parameters()]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", GAMES)
def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(name: str, device: str) -> None:
    state = GAMES[name]()
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)
        step(state)
    after = values(state.generator), values(state.discriminator)
    assert {array.dtype for arrays in after for array in arrays} == {np.dtype(np.float32)}
    restore(state, saved)
    again = step(state)
    assert {key: float(value) for key, value in again.items()} == {key: float(value) for key, value in first.items()}
    step(state)
    assert same(after[0], values(state.generator))
    assert same(after[1], values(state.discriminator))


@pytest.mark.parametrize("name", GAMES)
def test_each_phase_moves_its_own_player_only(name: str, device: str) -> None:
    state = GAMES[name]()
    generator, discriminator = values(state.generator), values(state.discriminator)
    discriminator_step(state)
    assert same(generator, values(state.generator))
    moved = values(state.discriminator)
    assert not same(discriminator, moved)
    if state.clip is not None:
        assert max(np.abs(weight).max() for weight in moved) <= np.float32(state.clip)
    generator_step(state)
    assert same(moved, values(state.discriminator))
    assert not same(generator, values(state.generator))


@pytest.mark.host
@pytest.mark.parametrize("counts", [(1, 1), (5, 1), (2, 3)])
def test_inner_steps_are_counted_and_draws_are_fresh(counts: tuple[int, int]) -> None:
    """k_D and k_G steps; real data are drawn k_D times only, and noise anew for each."""
    state = game(discriminator_steps=counts[0], generator_steps=counts[1])
    drawn: dict[str, list[np.ndarray]] = {"real": [], "noise": []}

    def real(rng: Generator) -> Tensor:
        drawn["real"].append((x := rng.normal((6, 2))).numpy())
        return x

    def prior(rng: Generator) -> Tensor:
        drawn["noise"].append((z := rng.normal((6, 3))).numpy())
        return z

    state.real, state.prior = Draws(real, rng=Generator(1)), prior
    step(state)
    assert (state.discriminator_optimizer.steps, state.generator_optimizer.steps) == counts
    assert (len(drawn["real"]), len(drawn["noise"])) == (counts[0], sum(counts))
    assert len({z.tobytes() for z in drawn["noise"]}) == sum(counts)


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.booleans())
def test_steps_follow_gradients_derived_by_hand(device: str, seed: int, saturating: bool) -> None:
    """Linear G(z) = A z + a and D = σ(w·x + c), plain gradient descent (GAN-2, GAN-11, GAN-12, GAN-14).

    ∂L_D/∂w = mean −(1 − D(x)) x + mean D(x̃) x̃;  with r = −D or −(1 − D) at fresh fakes, ∂L_G/∂A = mean r w zᵀ.
    """
    rng = Generator(seed)
    generator, discriminator = (nn.Linear(*sizes, rng=rng).astype(np.float64) for sizes in ((3, 2), (2, 1)))
    noise = [rng.spawn(name).normal((5, 3), dtype=np.float64) for name in ("first", "second")]
    x = rng.normal((5, 2), dtype=np.float64)
    waiting = iter(noise)
    objective = adversarial.minimax if saturating else adversarial.non_saturating
    state = State(
        generator, discriminator, optim.SGD(generator.parameters(), lr=1.0),
        optim.SGD(discriminator.parameters(), lr=1.0), Draws(lambda rng: x, rng=rng), lambda rng: next(waiting), rng,
        objective,
    )  # fmt: skip
    A, a = generator.weight.numpy().copy(), generator.bias.numpy().copy()
    w, c = discriminator.weight.numpy()[0].copy(), discriminator.bias.numpy().copy()
    step(state)

    real, fake, last = x.numpy(), noise[0].numpy() @ A.T + a, noise[1].numpy()
    D = lambda x: 1 / (1 + np.exp(-(x @ w + c)))  # noqa: E731
    on_real, on_fake = -(1 - D(real)), D(fake)
    w, c = w - (on_real @ real + on_fake @ fake) / 5, c - (on_real.mean() + on_fake.mean())
    np.testing.assert_allclose(discriminator.weight.numpy()[0], w, atol=1e-12)
    np.testing.assert_allclose(discriminator.bias.numpy(), c, atol=1e-12)
    fresh = D(last @ A.T + a)
    r = -fresh if saturating else -(1 - fresh)
    np.testing.assert_allclose(generator.weight.numpy(), A - np.outer(w, r @ last / 5), atol=1e-12)
    np.testing.assert_allclose(generator.bias.numpy(), a - w * r.mean(), atol=1e-12)


def test_the_average_follows_the_generator(device: str) -> None:
    state = game()
    state.average = optim.ExponentialMovingAverage(state.generator, 0.5)
    start = values(state.generator)
    step(state)
    for average, first, now in zip(values(state.average.module), start, values(state.generator), strict=True):
        np.testing.assert_allclose(average, 0.5 * (first + now), rtol=1e-6, atol=1e-8)


def test_perceptrons_have_spread_biases_and_round_trip(device: str) -> None:
    network = perceptron((2, 400, 400, 1), spread=3.0, rng=Generator(0))
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert [layer.weight.shape for layer in layers] == [(400, 2), (400, 400), (1, 400)]
    for layer in layers[:-1]:
        assert 2.9 < np.abs(layer.bias.numpy()).max() <= 3.0
    assert abs(layers[1].weight.numpy().std() / np.sqrt(2 / 400) - 1) < 0.01  # 160,000 weights: 5 standard errors
    assert not layers[-1].bias.numpy().any()
    other = perceptron((2, 400, 400, 1), rng=Generator(1))
    other.load_state_dict(network.state_dict())
    x = tg.ones((2, 2))
    np.testing.assert_array_equal(network(x).numpy(), other(x).numpy())


def test_the_penalty_is_part_of_what_the_discriminator_descends(device: str) -> None:
    """One step of gradient descent with rate 1, against the gradient of loss + penalty written out, same draws."""
    state = game(penalties=[R1(gamma=3.0)])
    twin = game()  # the same seed: the same networks and draws
    (real,) = twin.real.next()
    fake = tg.detach(twin.generator(twin.prior(twin.rng)))
    critic = twin.discriminator
    loss = tg.mean(tg.softplus(-critic(real))) + tg.mean(tg.softplus(critic(fake)))
    parameters = list(critic.parameters())
    slopes = tg.grad(loss + adversarial.r1(critic, real, 3.0), parameters)
    state.discriminator_optimizer = optim.SGD(state.discriminator.parameters(), lr=1.0)
    discriminator_step(state)
    for moved, start, slope in zip(values(state.discriminator), parameters, slopes, strict=True):
        np.testing.assert_allclose(moved, start.numpy() - slope.numpy(), rtol=1e-5, atol=1e-6)  # float32


def test_statistics_of_the_network_that_waits_do_not_move(device: str) -> None:
    """While one network learns, the other is frozen: its running means stay too (GAN-14)."""
    state = game()
    state.generator = nn.Sequential(nn.Linear(3, 2, rng=Generator(1)), nn.BatchNorm1d(2))
    state.discriminator = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1, rng=Generator(2)))
    state.generator_optimizer = optim.Adam(state.generator.parameters())
    state.discriminator_optimizer = optim.Adam(state.discriminator.parameters())
    for move, waiting in ((discriminator_step, state.generator), (generator_step, state.discriminator)):
        before = [buffer.numpy().copy() for _, buffer in waiting.named_buffers()]
        move(state)
        after = [buffer.numpy() for _, buffer in waiting.named_buffers()]
        assert before
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
