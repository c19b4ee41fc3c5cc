"""Digits drawn on request: the game's settings, a judge whose verdict is known, what a resumed run keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from double import no_sync

import tinygen as tg
from tinygen import nn, training
from tinygen.data.images import Images
from tinygen.models.dcgan import Discriminator, Generator
from tinygen.models.dcgan_digits import (
    AT_LEAST,
    AT_MOST,
    BATCH,
    CLASSES,
    DigitGame,
    Judge,
    animate,
    digit_game,
    draw,
    drawn,
    trained_judge,
)
from tinygen.models.gan import step
from tinygen.random import Generator as Stream

LATENT, SIZE = 3, 4
LABELS = np.arange(100) % CLASSES
PATTERNS = np.eye(CLASSES, SIZE**2, dtype=np.float32).reshape(CLASSES, 1, SIZE, SIZE)
"""One image a class: pixel k is ink."""


def game(steps: int = 6) -> DigitGame:
    """Networks of one map each, for images of 4 × 4."""
    rng = Stream(0)
    generator = Generator(SIZE, LATENT, (4,), classes=CLASSES, rng=rng.spawn("G"))
    discriminator = Discriminator(SIZE, (4,), classes=CLASSES, rng=rng.spawn("D"))
    return digit_game(generator, discriminator, Images(PATTERNS[LABELS], LABELS), steps, gamma=0.5, rng=rng)


def knowing_judge() -> Judge:
    """P(k | x) = softmax(10 x)_k of the first ten pixels, on patterns of all classes, but twice as many zeros."""
    hidden, last = nn.Linear(SIZE**2, CLASSES, rng=Stream(0)), nn.Linear(CLASSES, CLASSES, rng=Stream(0))
    hidden.load_state_dict({"weight": np.eye(CLASSES, SIZE**2), "bias": np.zeros(CLASSES)})
    last.load_state_dict({"weight": 10.0 * np.eye(CLASSES), "bias": np.zeros(CLASSES)})
    labels = np.concatenate([LABELS, np.zeros(10, dtype=int)])
    return Judge(nn.Sequential(nn.Flatten(), hidden, nn.Dropout(0.5, rng=Stream(1)), last), PATTERNS[labels], labels)


# --- the game ----------------------------------------------------------------------------------------------------


def test_a_step_stays_in_single_precision_and_does_not_synchronise(device: str) -> None:
    state = game()
    x, y = state.real.next()
    assert (x.shape, y.shape) == ((BATCH, 1, SIZE, SIZE), (BATCH,))
    with no_sync():
        step(state)
        step(state)
    for network in (state.generator, state.discriminator):
        assert {parameter.dtype for parameter in network.parameters()} == {np.dtype(np.float32)}


def test_drawn_are_images_of_the_average_of_each_digit_as_often(device: str) -> None:
    state = game()
    step(state)
    images, asked = drawn(Stream(3), state, 20)
    np.testing.assert_array_equal(np.bincount(asked), np.full(CLASSES, 2))
    assert state.average is not None
    with tg.no_grad():
        expected = state.average.module(Stream(3).normal((20, LATENT)), tg.tensor(asked)).numpy()
    np.testing.assert_array_equal(images, expected)


# --- the judge ---------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_real_digits_are_judged_as_real() -> None:
    """All recognised; zeros are drawn half as often as they are real; the classes else 11/10 as often."""
    found = knowing_judge().measure(Stream(0), PATTERNS[LABELS], LABELS)
    assert set(found) == {*AT_LEAST, *AT_MOST, "standard error of KID"}
    assert found.pop("judge: accuracy on test digits") == 1.0
    assert found.pop("samples recognised, for each real digit recognised") == 1.0
    assert found.pop("recognised as the digit asked for") == 1.0
    assert found.pop("smallest share of a class, over its share of real digits") == pytest.approx(0.1 / (20 / 110))
    assert found.pop("largest share of a class, over its share of real digits") == pytest.approx(1.1)
    assert abs(found["KID to test digits"]) < 1.0  # between random parts of the same images; of threes alone it is 6
    assert abs(found["KID to test digits"]) < 4.0 * found["standard error of KID"]


@pytest.mark.host
def test_one_digit_for_all_and_smears_are_found_out() -> None:
    judge = knowing_judge()
    threes = judge.measure(Stream(0), PATTERNS[np.full(100, 3)], LABELS)
    assert threes["samples recognised, for each real digit recognised"] == 1.0
    assert threes["recognised as the digit asked for"] == pytest.approx(0.1)
    assert threes["smallest share of a class, over its share of real digits"] == 0.0
    assert threes["largest share of a class, over its share of real digits"] == pytest.approx(11.0)
    assert threes["KID to test digits"] > 0.1
    smears = np.broadcast_to(PATTERNS.mean(axis=0), (100, 1, SIZE, SIZE))
    assert judge.look(smears)[0] == 0.0


@pytest.mark.host
def test_features_are_those_of_the_last_hidden_layer_without_dropout() -> None:
    judge, images = knowing_judge(), Stream(2).uniform((7, 1, SIZE, SIZE)).numpy()
    assert judge.model.training
    np.testing.assert_allclose(judge.features(images), images.reshape(7, -1)[:, :CLASSES], rtol=1e-6)  # float32
    assert judge.model.training


@pytest.mark.host
def test_a_judge_is_trained_once_and_keeps_test_digits_with_their_labels(tmp_path: Path) -> None:
    judge = trained_judge("mnist16", 2, tmp_path, channels=2)
    assert trained_judge("mnist16", 2, tmp_path, channels=2) is judge
    assert not judge.model.training
    test = tg.data.load("mnist16", split="test")
    assert not np.array_equal(judge.labels, test.labels)
    for mixed, ordered in ((judge.images, test.images), (judge.labels, test.labels)):
        assert mixed.shape == ordered.shape
    for k in range(CLASSES):  # the ink of each class is what it was
        ink = test.images[test.labels == k].sum(dtype=np.float64)
        assert judge.images[judge.labels == k].sum(dtype=np.float64) == pytest.approx(ink, rel=1e-9)


# --- over the steps ----------------------------------------------------------------------------------------------


@pytest.mark.host
def test_a_resumed_run_keeps_the_film_and_pictures_show_it(tmp_path: Path) -> None:
    judge = knowing_judge()

    def run(steps: int, out: Path | None = tmp_path, resume: bool = False) -> tuple[DigitGame, training.History]:
        state, evaluate = game(), judge.watch(Stream(7))
        return state, training.run(
            state, step, steps, every=2, evaluate=evaluate, out=out, resume=resume, progress=False
        )

    run(4)
    resumed, history = run(6, resume=True)
    unbroken, _ = run(6, out=None)
    assert [images.shape for images in resumed.film] == [(100, 1, SIZE, SIZE)] * 3
    np.testing.assert_array_equal(resumed.film, unbroken.film)
    np.testing.assert_array_equal(resumed.film[-1], drawn(Stream(7).spawn("shown"), unbroken, 500)[0][:100])
    assert draw(resumed.film, history, judge, tmp_path / "drawn.png").stat().st_size > 1000
    animate(Stream(8), resumed, tmp_path / "walk.gif", stops=2, frames=2)
    assert (tmp_path / "walk.gif").stat().st_size > 1000
