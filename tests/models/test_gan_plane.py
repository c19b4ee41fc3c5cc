"""Games in the plane: the settings that they share, how samples are judged, and what a resumed run keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from double import no_sync

import tinygen as tg
from tinygen import adversarial, nn, training
from tinygen.adversarial import GradientPenalty
from tinygen.models.gan import step
from tinygen.models.gan_plane import BATCH, PlaneState, Unfolded, judge, plane_game, samples
from tinygen.random import Generator

RING = tg.data.density("ring", sd=0.02)


def wasserstein_game() -> PlaneState:
    rng = Generator(0)
    return plane_game(
        RING, 20, rng=rng, objective=adversarial.wasserstein, penalties=[GradientPenalty(rng.spawn("penalty"))],
        discriminator_steps=3, clip=0.5,
    )  # fmt: skip


def test_a_step_stays_in_single_precision_and_does_not_synchronise(device: str) -> None:
    state = wasserstein_game()
    with no_sync():
        step(state)
    for network in (state.generator, state.discriminator):
        assert {parameter.dtype for parameter in network.parameters()} == {np.dtype(np.float32)}
    assert (state.generator_optimizer.steps, state.discriminator_optimizer.steps) == (1, 3)
    assert max(np.abs(p.numpy()).max() for p in state.discriminator.parameters()) <= 0.5


@pytest.mark.host
def test_both_players_have_the_same_rate_at_each_round() -> None:
    """The cosine of the generator's steps; the discriminator takes three of its own in each round."""
    state = wasserstein_game()
    rates = state.generator_optimizer.lr, state.discriminator_optimizer.lr
    assert callable(rates[0])
    assert callable(rates[1])
    found = [(rates[0](number), *(rates[1](3 * number + k) for k in range(3))) for number in range(20)]
    assert all(len(set(row)) == 1 for row in found)
    assert found[0][0] == pytest.approx(3e-3)
    assert found[-1][0] < 1e-4


def test_samples_are_those_of_the_average(device: str) -> None:
    state = wasserstein_game()
    step(state)
    points = samples(state, Generator(3), 50)
    assert points.shape == (50, 2)
    assert points.dtype == np.float32
    assert state.average is not None
    z = Generator(3).normal((50, 2))
    np.testing.assert_array_equal(points, state.average.module(z).numpy())
    assert not np.array_equal(points, state.generator(z).numpy())


def test_an_unfolded_generator_begins_as_the_stretched_plane_and_learns_in_every_layer(device: str) -> None:
    rng = Generator(4)
    generator = Unfolded(2.5, rng=rng)
    z = rng.normal((50, 2))
    assert generator(z).dtype == np.float32
    np.testing.assert_array_equal(generator(z).numpy(), 2.5 * z.numpy())
    before = [parameter.numpy() for parameter in generator.parameters()]
    state = plane_game(RING, 20, rng=rng, generator=generator)
    for _ in range(2):  # the last layer leaves zero first: only then do those before it have a gradient
        step(state)
    assert state.generator is generator
    assert all(np.any(p.numpy() != old) for p, old in zip(generator.parameters(), before, strict=True))
    assert np.ptp(generator(z).numpy() - 2.5 * z.numpy(), axis=0).min() > 0


@pytest.mark.host
def test_exact_samples_are_judged_good_and_collapsed_ones_are_not() -> None:
    found = judge(RING.sample(Generator(1), 5000).numpy(), RING)
    assert found["modes"] == 8
    assert abs(found["good samples"] - 0.9889) < 0.006  # 4 standard errors
    assert found["KL of the modes"] < 5e-3  # 7/10,000 on average
    assert RING.modes is not None
    collapsed = judge(np.repeat(RING.modes.centres[2:3], 100, axis=0), RING)
    assert collapsed == {"modes": 1, "good samples": 1.0, "KL of the modes": pytest.approx(np.log(8))}
    with pytest.raises(ValueError, match="has no modes to count"):
        judge(np.zeros((3, 2)), tg.data.density("moons"))


@pytest.mark.host
def test_a_resumed_run_keeps_the_frames_of_the_first_part(tmp_path: Path) -> None:
    def run(steps: int, resume: bool) -> PlaneState:
        state = plane_game(RING, 6, rng=Generator(5), discriminator=nn.Sequential(nn.Linear(2, 1, rng=Generator(6))))

        def evaluate(state: PlaneState) -> dict[str, float]:
            state.frames.append(samples(state, Generator(7), 10))
            return {}

        training.run(state, step, steps, every=2, evaluate=evaluate, out=tmp_path, resume=resume, progress=False)
        return state

    run(4, resume=False)
    resumed = run(6, resume=True)
    assert [frame.shape for frame in resumed.frames] == [(10, 2)] * 3
    unbroken = run(6, resume=False)
    for one, other in zip(resumed.frames, unbroken.frames, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_of_data_has_the_stated_size(device: str) -> None:
    (x,) = wasserstein_game().real.next()
    assert x.shape == (BATCH, 2)
