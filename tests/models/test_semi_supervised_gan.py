"""The discriminator of K + 1 classes: each term of its loss against a gradient by hand, and who moves when."""

from __future__ import annotations

import numpy as np
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim
from tinygen.adversarial import R1
from tinygen.data import Draws
from tinygen.models import gan
from tinygen.models.gan import perceptron
from tinygen.models.semi_supervised_gan import State, convolutional, discriminator_step, step
from tinygen.random import Generator
from tinygen.states import restore, snapshot
from tinygen.tensor import Tensor

CLASSES, GAMMA = 3, 0.7


def game(
    seed: int, generator: nn.Module, discriminator: nn.Module, *, dtype: type = np.float32, gamma: float = GAMMA
) -> State:
    """Seven points without labels and four with, six fakes; plain gradient descent with rate 1."""
    rng = Generator(seed)

    def labelled(rng: Generator) -> tuple[Tensor, Tensor]:
        return rng.normal((4, 2), dtype=dtype), rng.integers(0, CLASSES, 4)

    return State(
        generator,
        discriminator,
        optim.SGD(generator.parameters(), lr=1.0),
        optim.SGD(discriminator.parameters(), lr=1.0),
        Draws(lambda rng: rng.normal((7, 2), dtype=dtype) + 1.0, rng=rng.spawn("data")),
        lambda rng: rng.normal((6, 3), dtype=dtype),
        rng.spawn("noise"),
        penalties=[R1(gamma)] if gamma else [],
        labelled=Draws(labelled, rng=rng.spawn("labelled")),
    )


def perceptrons(seed: int = 0) -> State:
    rng = Generator(seed)
    generator = perceptron((3, 8, 2), rng=rng.spawn("generator"))
    return game(seed, generator, perceptron((2, 8, CLASSES), nn.LeakyReLU, rng=rng.spawn("discriminator")))


def values(module: nn.Module) -> list[np.ndarray]:
    return [parameter.numpy().copy() for parameter in module.parameters()]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_shapes_dtype_and_saved_parameters(device: str) -> None:
    model, other = (convolutional(10, 4, rng=Generator(seed)).eval() for seed in (0, 1))
    x = Generator(2).uniform((3, 1, 16, 16))
    logits = model(x)
    assert (logits.shape, logits.dtype, logits.device) == ((3, 10), np.float32, device)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), logits.numpy())


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_a_step_follows_gradients_derived_by_hand(device: str, seed: int) -> None:
    """Linear l = W x + b and G = A z + a.  With P the probabilities of K + 1 classes and π = softmax l, p = p_real:

    labelled  ∂/∂l_k = P_k − [k = y],   real  ∂/∂l_k = −(1 − p) π_k,   fake  ∂/∂l_k = P_k,
    and for G, through the fakes,  ∂/∂x̃ = −(1 − p) Wᵀ π   (GAN-12, GAN-19).
    """
    rng = Generator(seed)
    generator, D = (nn.Linear(*sizes, rng=rng).astype(np.float64) for sizes in ((3, 2), (2, CLASSES)))
    state, twin = (game(seed, generator, D, dtype=np.float64, gamma=0.0) for _ in range(2))
    W, b, A, a = (tensor.numpy().copy() for tensor in (D.weight, D.bias, generator.weight, generator.bias))
    (real,), (labelled, y) = twin.real.next(), twin.labelled.next()
    fake = twin.prior(twin.rng).numpy() @ A.T + a
    real, labelled, one_hot = real.numpy(), labelled.numpy(), np.eye(CLASSES)[y.numpy()]

    def shares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """P without the fakes, π, and 1 − p."""
        weights = np.exp(x @ W.T + b)
        total = weights.sum(axis=1, keepdims=True)
        return weights / (1.0 + total), weights / total, 1.0 / (1.0 + total)

    _, pi, doubt = shares(real)
    terms = [(shares(labelled)[0] - one_hot, labelled), (-doubt * pi, real), (shares(fake)[0], fake)]
    slopes = [slope.T @ x / len(x) for slope, x in terms], [slope.mean(axis=0) for slope, _ in terms]
    W, b = W - sum(slopes[0]), b - sum(slopes[1])
    last = twin.prior(twin.rng).numpy()
    _, pi, doubt = shares(last @ A.T + a)
    pull = -(doubt * pi) @ W / len(last)

    step(state)
    for found, expected in ((D.weight, W), (D.bias, b), (generator.weight, A - pull.T @ last)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(generator.bias.numpy(), a - pull.sum(axis=0), rtol=1e-9, atol=1e-12)


def test_the_penalty_is_that_of_the_logit_of_real_at_examples_without_labels(device: str) -> None:
    """γ/2 E‖∇ ln Z‖² at real x, added to the rest: two steps that differ in γ alone differ by its gradient (WGAN-5)."""
    penalised, free = perceptrons(), perceptrons()
    free.penalties = []
    parameters, start = list(free.discriminator.parameters()), values(free.discriminator)
    (x,) = perceptrons().real.next()
    x.requires_grad = True
    (slope,) = tg.grad(tg.sum(tg.logsumexp(free.discriminator(x), axis=1)), x, create_graph=True)
    penalty = tg.grad(0.5 * GAMMA * tg.sum(tg.square(slope)) / len(x), parameters, allow_unused=True)
    discriminator_step(penalised)
    discriminator_step(free)
    pairs = zip(values(penalised.discriminator), values(free.discriminator), penalty, start, strict=True)
    for with_penalty, without, gradient, first in pairs:
        expected = without - (np.zeros_like(first) if gradient is None else gradient.numpy())
        np.testing.assert_allclose(with_penalty, expected, rtol=1e-5, atol=1e-6)  # float32


def test_each_phase_moves_its_own_player_only(device: str) -> None:
    state = perceptrons()
    generator, discriminator = values(state.generator), values(state.discriminator)
    discriminator_step(state)
    assert same(generator, values(state.generator))
    moved = values(state.discriminator)
    assert not same(discriminator, moved)
    gan.generator_step(state)
    assert same(moved, values(state.discriminator))
    assert not same(generator, values(state.generator))


def test_a_step_does_not_synchronise_and_comes_back_to_the_bit(device: str) -> None:
    state = perceptrons()
    step(state)
    saved = snapshot(state)
    with no_sync():
        first = step(state)
    assert set(first) == {"labelled loss", "discriminator loss", "generator loss"}
    after = values(state.discriminator), values(state.generator)
    assert {array.dtype for arrays in after for array in arrays} == {np.dtype(np.float32)}
    restore(state, saved)
    again = step(state)
    assert {key: float(value) for key, value in again.items()} == {key: float(value) for key, value in first.items()}
    assert same(after[0], values(state.discriminator))
    assert same(after[1], values(state.generator))


def test_inner_steps_are_counted_and_weights_are_clipped(device: str) -> None:
    state = perceptrons()
    state.discriminator_steps, state.generator_steps, state.clip = 2, 3, 0.05
    step(state)
    assert (state.discriminator_optimizer.steps, state.generator_optimizer.steps) == (2, 3)
    assert max(np.abs(weight).max() for weight in values(state.discriminator)) <= np.float32(0.05)


def test_statistics_of_the_generator_do_not_move_while_it_waits(device: str) -> None:
    state = perceptrons()
    state.generator = nn.Sequential(nn.Linear(3, 2, rng=Generator(1)), nn.BatchNorm1d(2))
    before = [buffer.numpy().copy() for _, buffer in state.generator.named_buffers()]
    discriminator_step(state)
    assert before
    for old, (_, buffer) in zip(before, state.generator.named_buffers(), strict=True):
        np.testing.assert_array_equal(old, buffer.numpy())
