"""Penalties: values against closed forms and explicit slopes, derivatives against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import adversarial, nn
from tinygen.adversarial import R1, GradientPenalty, InstanceNoise, PathLength
from tinygen.random import Generator
from tinygen.tensor import Tensor

SMOOTH = [nn.Tanh, nn.Softplus]
KINKED = [nn.LeakyReLU, nn.ELU]


def critics() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Dense and convolutional critics in float64, and the shape of one example."""
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}
    for activation in SMOOTH + KINKED:
        rng = Generator(7).spawn(activation.__name__)
        dense = nn.Sequential(nn.Linear(3, 5, rng=rng), activation(), nn.Linear(5, 1, rng=rng))
        conv = nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1, rng=rng), activation(),
            nn.Conv2d(3, 2, 3, padding=1, rng=rng), activation(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(2, 1, rng=rng),
        )  # fmt: skip
        found[f"dense {activation.__name__}"] = dense.astype(np.float64), (3,)
        found[f"convolutional {activation.__name__}"] = conv.astype(np.float64), (2, 4, 4)
    return found


def batches(shape: tuple[int, ...], count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    real, fake = np.random.default_rng(seed).normal(size=(2, count, *shape))
    return tg.tensor(real), tg.tensor(fake)


def explicit_slopes(critic: nn.Module, x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """‖∇D‖ of each example by differences of order h⁴ (1e-13): no derivative of the engine."""

    @tg.no_grad()
    def score(x: np.ndarray) -> np.ndarray:
        values: np.ndarray = critic(tg.tensor(x)).numpy()[:, 0]
        return values

    slopes = np.zeros(x.shape)
    for place in np.ndindex(*x.shape[1:]):
        shift = np.zeros(x.shape)
        shift[(slice(None), *place)] = h
        near, far = (score(x + k * shift) - score(x - k * shift) for k in (1, 2))
        slopes[(slice(None), *place)] = (8.0 * near - far) / (12.0 * h)
    return np.sqrt((slopes.reshape(len(x), -1) ** 2).sum(1))


@pytest.mark.parametrize("name", critics())
def test_values_are_those_of_explicit_slopes(name: str, device: str) -> None:
    critic, shape = critics()[name]
    real, fake = batches(shape)
    slopes = explicit_slopes(critic, real.numpy())
    np.testing.assert_allclose(adversarial.r1(critic, real, 0.6).item(), 0.3 * (slopes**2).mean(), rtol=0.0, atol=1e-10)
    epsilon = Generator(5).uniform((len(real),) + (1,) * len(shape), dtype=np.float64).numpy()
    slopes = explicit_slopes(critic, epsilon * real.numpy() + (1 - epsilon) * fake.numpy())
    for power in (1, 2):
        found = adversarial.gradient_penalty(Generator(5), critic, real, fake, 3.0, power)
        np.testing.assert_allclose(found.item(), 3 * (np.abs(slopes - 1) ** power).mean(), rtol=0.0, atol=1e-10)


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(1, 8))
def test_values_of_linear_and_quadratic_critics(device: str, seed: int, width: int) -> None:
    """wᵀx: λ(‖w‖ − 1)² with gradient 2λ(‖w‖ − 1) w/‖w‖, γ/2 ‖w‖²; ½xᵀAx + bᵀx: γ/2 E‖Ax + b‖²."""
    rng = np.random.default_rng(seed)
    w, (real, fake) = rng.normal(size=width), batches((width,), seed=seed)
    weight = tg.tensor(w, requires_grad=True)
    norm = np.linalg.norm(w)

    def linear(x: Tensor) -> Tensor:
        return x @ weight

    penalty = adversarial.gradient_penalty(Generator(0), linear, real, fake, 10.0)
    np.testing.assert_allclose(penalty.item(), 10 * (norm - 1) ** 2, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(tg.grad(penalty, weight)[0].numpy(), 20 * (norm - 1) * w / norm, rtol=0.0, atol=1e-9)
    penalty = adversarial.gradient_penalty(Generator(0), linear, real, fake, 10.0, power=1)
    np.testing.assert_allclose(penalty.item(), 10 * abs(norm - 1), rtol=0.0, atol=1e-10)
    penalty = adversarial.r1(linear, real, 0.5)
    np.testing.assert_allclose(penalty.item(), 0.25 * norm**2, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(tg.grad(penalty, weight)[0].numpy(), 0.5 * w, rtol=0.0, atol=1e-10)

    A, b = rng.normal(size=(width, width)), rng.normal(size=width)
    A = A + A.T
    quadratic = lambda x: 0.5 * tg.sum((x @ tg.tensor(A)) * x, axis=1) + x @ tg.tensor(b)  # noqa: E731
    expected = 0.5 * ((real.numpy() @ A + b) ** 2).sum(1).mean()
    np.testing.assert_allclose(adversarial.r1(quadratic, real, 1.0).item(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", critics())
def test_parameter_gradients_are_finite_differences(name: str, device: str) -> None:
    """The derivative of the penalty along random directions of all parameters: ∇θ∇x of the critic."""
    critic, shape = critics()[name]
    real, fake = batches(shape)
    parameters, rng = critic.parameters(), np.random.default_rng(1)
    start = [p.numpy() for p in parameters]
    penalties = {
        "r1": lambda: adversarial.r1(critic, real, 0.7),
        "power 2": lambda: adversarial.gradient_penalty(Generator(5), critic, real, fake, 3.0),
        "power 1": lambda: adversarial.gradient_penalty(Generator(5), critic, real, fake, 3.0, power=1),
    }
    for kind, penalty in penalties.items():
        slopes = tg.grad(penalty(), parameters, allow_unused=True)  # the last bias moves no slope
        for _ in range(3):
            directions = [rng.normal(size=p.shape) for p in start]
            ends = []
            for h in (1e-6, -1e-6):
                for p, value, direction in zip(parameters, start, directions, strict=True):
                    p.assign(tg.tensor(value + h * direction).data)
                ends.append(penalty().item())
            for p, value in zip(parameters, start, strict=True):
                p.assign(tg.tensor(value).data)
            along = sum((s.numpy() * d).sum() for s, d in zip(slopes, directions, strict=True) if s is not None)
            np.testing.assert_allclose(along, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-6, err_msg=kind)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_flat_critic_gives_exact_numbers(device: str, dtype: type) -> None:
    """No unit is active: slope 0, where a norm has no derivative; the penalty is λ (0 − 1)², and a constant."""
    weight = tg.tensor([[-1.0], [-1.0]], dtype=dtype, requires_grad=True)
    critic = lambda x: tg.relu(tg.abs(x) @ weight)  # noqa: E731
    real, fake = tg.ones((3, 2), dtype=dtype), tg.full((3, 2), 2.0, dtype=dtype)
    for penalty, value in (
        (adversarial.gradient_penalty(Generator(0), critic, real, fake, 10.0), 10.0),
        (adversarial.gradient_penalty(Generator(0), critic, real, fake, 10.0, power=1), 10.0),
        (adversarial.r1(critic, real), 0.0),
    ):
        assert (penalty.item(), penalty.dtype) == (value, dtype)
        np.testing.assert_array_equal(tg.grad(penalty, weight)[0].numpy(), 0.0)


def test_fakes_do_not_enter_r1_and_the_generator_gets_nothing(device: str) -> None:
    critic, shape = critics()["dense Tanh"]
    real, fake = batches(shape)
    recording = tg.tensor(fake.numpy(), requires_grad=True)
    penalty = GradientPenalty(Generator(0))(critic, real, recording)
    assert tg.grad(penalty, recording, allow_unused=True) == (None,)
    assert R1(2.0)(critic, real, fake).item() == R1(2.0)(critic, real, 5.0 * fake).item()


def test_wrong_use_says_what_to_do(device: str) -> None:
    real, fake = batches((3,))
    with pytest.raises(ValueError, match=r"one score for each of 4 examples, got shape \(4, 3\)"):
        adversarial.r1(lambda x: 2.0 * x, real)
    with pytest.raises(ValueError, match="must have the same shape"):
        adversarial.gradient_penalty(Generator(0), lambda x: x[:, 0], real, fake[:2])
    with pytest.raises(ValueError, match="power must be 1 or 2"):
        adversarial.gradient_penalty(Generator(0), lambda x: x[:, 0], real, fake, power=3)
    score = lambda x: x[:, 0]  # noqa: E731
    for wrong in (-1.0, float("nan"), float("inf")):
        for call in (
            lambda wrong=wrong: adversarial.r1(score, real, wrong),
            lambda wrong=wrong: adversarial.gradient_penalty(Generator(0), score, real, fake, wrong),
            lambda wrong=wrong: adversarial.path_length(Generator(0), lambda w: w, real, 1.0, wrong),
            lambda wrong=wrong: R1(wrong),
            lambda wrong=wrong: GradientPenalty(Generator(0), wrong),
            lambda wrong=wrong: GradientPenalty(Generator(0), lambda call: wrong)(score, real, fake),
            lambda wrong=wrong: PathLength(Generator(0), wrong),
        ):
            with pytest.raises(ValueError, match="must be a number, not negative"):
                call()
    for every in (0, -1, 1.5):
        with pytest.raises(ValueError, match="every must be a whole number from 1 on"):
            R1(1.0, every=every)
    with pytest.raises(ValueError, match="power must be 1 or 2"):
        GradientPenalty(Generator(0), power=3)
    with pytest.raises(ValueError, match="decay must lie between 0 and 1"):
        PathLength(Generator(0), decay=1.5)
    with pytest.raises(ValueError, match="limit must be positive"):
        adversarial.clip([tg.ones(3)], 0.0)
    with pytest.raises(ValueError, match="must not be negative"):
        InstanceNoise(-1.0)


# --- objects -----------------------------------------------------------------------------------------------------


def test_lazy_r1_is_the_dense_one_on_average(device: str) -> None:
    critic, shape = critics()["dense Tanh"]
    real, fake = batches(shape)
    lazy, dense = R1(0.3, every=4), R1(0.3)
    found = [float(lazy(critic, real, fake)) for _ in range(8)]
    assert [value != 0 for value in found] == [True, False, False, False] * 2
    np.testing.assert_allclose(np.mean(found), dense(critic, real, fake).item(), rtol=1e-12)


def test_the_weight_follows_a_schedule(device: str) -> None:
    critic, shape = critics()["dense Tanh"]
    real, fake = batches(shape)
    ramp = GradientPenalty(Generator(3), weight=lambda call: 2.0 * call)
    constant = GradientPenalty(Generator(3), weight=1.0)
    found = [(ramp(critic, real, fake).item(), constant(critic, real, fake).item()) for _ in range(3)]
    np.testing.assert_allclose([a for a, _ in found], [2 * k * b for k, (_, b) in enumerate(found)], rtol=1e-12)


def test_clip_rebinds_every_weight(device: str) -> None:
    critic, _ = critics()["dense Tanh"]
    before = [p.numpy().copy() for p in critic.parameters()]
    adversarial.clip(critic, 0.1)
    for parameter, value in zip(critic.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), np.clip(value, -0.1, 0.1))
        assert parameter.requires_grad


def test_path_length_of_a_linear_generator(device: str) -> None:
    """G(w) = A w: ‖Aᵀy‖ for the very y that is drawn; the running mean comes to E ‖Aᵀy‖."""
    A = np.random.default_rng(0).normal(size=(5, 3))
    generator = lambda w: w @ tg.tensor(A.T)  # noqa: E731
    w = tg.tensor(np.zeros((4, 3)))
    y = Generator(2).normal((4, 5), dtype=np.float64).numpy()
    found = adversarial.path_lengths(Generator(2), generator, w).numpy()
    np.testing.assert_allclose(found, np.linalg.norm(y @ A, axis=1), rtol=1e-10)
    found = adversarial.path_length(Generator(2), generator, w, target=1.5, weight=3.0).item()
    np.testing.assert_allclose(found, 3 * ((np.linalg.norm(y @ A, axis=1) - 1.5) ** 2).mean(), rtol=1e-10)
    penalty = PathLength(Generator(3), decay=0.9)
    many = tg.tensor(np.zeros((2000, 3)))
    for _ in range(80):
        penalty(generator, many)
    draws = np.linalg.norm(np.random.default_rng(1).normal(size=(200_000, 5)) @ A, axis=1)
    # 1 %: 0.9⁸⁰ = 2e-4 of the start, and a standard error of 0.3 %
    np.testing.assert_allclose(penalty.mean.item(), draws.mean(), rtol=0.01)


def test_path_length_does_not_grow_with_the_resolution(device: str) -> None:
    def spread(side: int) -> float:
        images = lambda w: tg.broadcast_to(w[:, :, None, None], (500, 2, side, side))  # noqa: E731
        return float(adversarial.path_lengths(Generator(0), images, tg.ones((500, 2))).numpy().mean())

    found = spread(1), spread(8)
    assert abs(found[1] / found[0] - 1.0) < 0.15  # two means of 500 lengths of relative spread 0.5


def test_instance_noise_is_only_in_training(device: str) -> None:
    x, layer = tg.zeros((20_000, 2)), InstanceNoise(0.3, rng=Generator(0))
    noisy = layer(x).numpy()
    assert abs(noisy.std() - 0.3) < 0.005  # a standard error is 0.3/√80,000 = 0.001
    assert abs(noisy.mean()) < 0.008
    assert noisy.dtype == np.float32
    assert not np.array_equal(layer(x).numpy(), noisy)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())


def test_no_hidden_synchronisation_and_single_precision(device: str) -> None:
    critic = nn.Sequential(InstanceNoise(0.1, rng=Generator(1)), nn.spectral_norm(nn.Linear(2, 1, rng=Generator(0))))
    real, fake = Generator(4).normal((8, 2)), Generator(5).normal((8, 2))
    penalties = [R1(), GradientPenalty(Generator(2)), GradientPenalty(Generator(3), power=1)]
    path = PathLength(Generator(6))
    with no_sync():
        terms = [penalty(critic, real, fake) for penalty in penalties] + [path(lambda w: 2.0 * w, real)]
        adversarial.clip(critic, 0.01)
    assert {term.dtype for term in (*terms, path.mean)} == {np.dtype(np.float32)}
