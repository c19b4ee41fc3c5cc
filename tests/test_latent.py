"""Interpolation and attribute directions: geometry that is known, and both sides of each special case."""

from __future__ import annotations

import numpy as np
import pytest
from double import no_sync
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen.latent import attribute_directions, lerp, slerp, whitening
from tinygen.testing import gradcheck

lengths, seeds, shares = st.integers(2, 6), st.integers(0, 2**16), st.floats(0.0, 1.0)


def codes(seed: int, d: int, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


def on_device(*arrays: np.ndarray) -> list[tg.Tensor]:
    return [tg.tensor(array) for array in arrays]


@given(seeds, lengths)
def test_both_reach_their_ends(device: str, seed: int, d: int) -> None:
    start, end = codes(seed, d)
    for path in (lerp, slerp):
        np.testing.assert_allclose(path(*on_device(start, end), 0.0).numpy(), start, atol=1e-12)
        np.testing.assert_allclose(path(*on_device(start, end), 1.0).numpy(), end, atol=1e-12)


@given(seeds, lengths, shares)
def test_an_arc_keeps_the_norm_and_its_speed(device: str, seed: int, d: int, share: float) -> None:
    """On the unit sphere slerp stays there, and divides the angle as the share says."""
    start, end = (code / np.linalg.norm(code, axis=1, keepdims=True) for code in codes(seed, d))
    between = slerp(*on_device(start, end), share).numpy()
    np.testing.assert_allclose(np.linalg.norm(between, axis=1), 1.0, rtol=1e-9)
    whole, part = (2 * np.arcsin(np.linalg.norm(start - other, axis=1) / 2) for other in (end, between))
    np.testing.assert_allclose(part, share * whole, atol=1e-6)  # the arcus sine is steep near opposite ends


@given(seeds, lengths, shares, st.sampled_from([np.float32, np.float64]), st.data())
def test_an_arc_is_one_near_equal_and_opposite_ends_too(
    device: str, seed: int, d: int, share: float, dtype: type, data: st.DataObject
) -> None:
    """Ends whose angle is within 10^−1 … √ε of 0 or π: every point is as long as they are, where the share says."""
    rng, epsilon = np.random.default_rng(seed), float(np.finfo(dtype).eps)
    gap = 10.0 ** data.draw(st.floats(np.log10(2.0 * epsilon**0.5), -1.0))
    angle = data.draw(st.sampled_from([gap, np.pi - gap]))
    first, across = np.linalg.qr(rng.normal(size=(d, 2)))[0].T  # of length 1, and perpendicular
    start, end = first, np.cos(angle) * first + np.sin(angle) * across
    exact = np.cos(share * angle) * first + np.sin(share * angle) * across
    between = slerp(*on_device(start.astype(dtype), end.astype(dtype)), share)
    assert between.dtype == dtype
    # Rounding the ends to ε turns what little is left of their sum by ε / gap: a few of these.
    np.testing.assert_allclose(between.numpy(), exact, atol=16 * epsilon / gap)
    np.testing.assert_allclose(np.linalg.norm(between.numpy()), 1.0, atol=16 * epsilon / gap)


def test_a_line_leaves_the_shell_and_an_arc_stays(device: str) -> None:
    """VAE-13: half-way the norm of a line is about √(d/2), that of an arc √d."""
    d = 100
    start, end = codes(1, d, n=2000)
    line, arc = (np.linalg.norm(path(*on_device(start, end), 0.5).numpy(), axis=1) for path in (lerp, slerp))
    # 2,000 norms with a standard deviation below 1: standard error .02.
    assert abs(line.mean() - np.sqrt(d / 2)) < 0.1
    assert abs(arc.mean() - np.sqrt(d)) < 0.15  # the mean norm is √d − 1/(4√d)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-3.0, 0.0], [0.0, 0.0]], ids=["same", "opposite", "zero"])
def test_ends_without_an_arc_are_joined_by_the_line(end: list[float], device: str) -> None:
    start = tg.tensor([1.0, 0.0], requires_grad=True)
    between = slerp(start, tg.tensor(end), 0.25)
    np.testing.assert_allclose(between.numpy(), [0.75 + 0.25 * end[0], 0.0], rtol=1e-6)
    (slope,) = tg.grad(tg.sum(between), start)
    np.testing.assert_allclose(slope.numpy(), [0.75, 0.75], rtol=1e-6)


def test_slerp_is_differentiable(device: str) -> None:
    gradcheck(lambda a, b: slerp(a, b, 0.3), on_device(*codes(4, 3)))


def test_shares_may_be_an_array(device: str) -> None:
    start, end = codes(2, 4)
    many = slerp(*on_device(start[None], end[None]), tg.tensor([0.0, 0.5, 1.0]).reshape(3, 1, 1))
    assert many.shape == (3, 3, 4)
    np.testing.assert_allclose(many.numpy()[1], slerp(*on_device(start, end), 0.5).numpy(), rtol=1e-12)


@settings(max_examples=20)
@given(seeds, lengths)
def test_the_direction_is_the_one_that_codes_were_moved_by(device: str, seed: int, d: int) -> None:
    """Every code in pairs, without and with each of two independent shifts: the means differ by the shifts exactly."""
    rng = np.random.default_rng(seed)
    shifts, base = rng.normal(size=(2, d)), rng.normal(size=(5, d))
    has = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    moved = np.repeat(base, 4, axis=0) + has @ shifts
    found = attribute_directions(tg.tensor(moved), tg.tensor(has)).numpy()
    np.testing.assert_allclose(found, shifts, atol=1e-12)


def test_whitening_and_back(device: str) -> None:
    x = np.random.default_rng(0).normal(3.0, [0.1, 5.0], (500, 2))
    how = whitening(tg.tensor(x), 0.0)
    white = how.apply(tg.tensor(x))
    np.testing.assert_allclose(white.numpy().std(axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(how.undo(white).numpy(), x, rtol=1e-12)


def test_single_precision_stays_and_nothing_waits(device: str) -> None:
    start, end = on_device(*(code.astype(np.float32) for code in codes(0, 3)))
    has = tg.tensor([[0], [1], [1]])
    with no_sync():
        made = [slerp(start, end, 0.3), lerp(start, end, 0.3), attribute_directions(start, has)]
    assert {part.dtype for part in made} == {np.dtype(np.float32)}


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length d"):
        slerp(tg.zeros((2, 3)), tg.zeros((2, 4)), 0.5)
    with pytest.raises(ValueError, match=r"must be \(N, d\), \(N, A\)"):
        attribute_directions(tg.zeros((3, 2)), tg.zeros((2, 1)))


@pytest.mark.host
def test_attributes_that_are_not_0_or_1_are_refused() -> None:
    for wrong in ([[1], [-1], [1]], [[1], [2], [1]], [[0.3], [1.0], [0.0]], [[np.nan], [1.0], [0.0]]):
        with pytest.raises(ValueError, match="attributes must be 0 or 1; its values reach from"):
            attribute_directions(tg.zeros((3, 2)), np.array(wrong))


@pytest.mark.host
def test_an_attribute_that_everybody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="share that has an attribute is 0 or 1"):
        attribute_directions(tg.zeros((3, 2)), tg.ones((3, 1)))
