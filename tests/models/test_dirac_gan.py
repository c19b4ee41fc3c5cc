"""The Dirac GAN: its field against formulas by hand, its eigenvalues and paths against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

import tinygen as tg
from tinygen.adversarial import R1, GradientPenalty, hinge, least_squares, minimax, non_saturating, wasserstein
from tinygen.models.dirac_gan import DiracGAN, alternating, simultaneous
from tinygen.random import Generator


def with_penalty(weight: float) -> DiracGAN:
    return DiracGAN(wasserstein, GradientPenalty(Generator(0), weight=weight))


# Fields (−∂L_G/∂θ, −∂L_D/∂ψ) written out by hand.
FIELDS = {
    "minimax": (DiracGAN(minimax), lambda t, p: (expit(t * p) * p, -expit(t * p) * t)),
    "non-saturating": (DiracGAN(non_saturating), lambda t, p: (expit(-t * p) * p, -expit(t * p) * t)),
    "Wasserstein": (DiracGAN(wasserstein), lambda t, p: (p, -t)),
    "least squares": (DiracGAN(least_squares), lambda t, p: (-(t * p - 1) * p, -(t * p) * t)),
    "hinge": (DiracGAN(hinge), lambda t, p: (p, -t * (t * p > -1))),
    "R1": (DiracGAN(wasserstein, R1(0.6)), lambda t, p: (p, -t - 0.6 * p)),
    "GP": (with_penalty(3.0), lambda t, p: (p, -t - 6.0 * (np.abs(p) - 1) * np.sign(p))),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_by_hand(name: str, device: str) -> None:
    game, by_hand = FIELDS[name]
    points = np.random.default_rng(0).uniform(0.2, 2.0, (20, 2)) * np.random.default_rng(1).choice([-1, 1], (20, 2))
    found = game.field(tg.tensor(points)).detach().numpy()
    np.testing.assert_allclose(found, np.stack(by_hand(*points.T), axis=1), rtol=0.0, atol=1e-14)


@settings(max_examples=30)
@given(st.floats(0.0, 3.0))
def test_eigenvalues_of_r1(device: str, gamma: float) -> None:
    """−γ/2 ± √(γ²/4 − 1/4) (Mescheder et al. 2018): both parts are right, also near the double root at γ = 1."""
    first, second = DiracGAN(non_saturating, R1(gamma)).eigenvalues()
    np.testing.assert_allclose([(first + second) / 2, first * second], [-gamma / 2, 0.25], atol=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_eigenvalues_of_instance_noise(sigma: float, device: str) -> None:
    """E x² σ'(0) · 2 = σ²/2 damps the critic, as R1 with γ = σ²/2 does."""
    noisy = DiracGAN(non_saturating, noise=sigma).eigenvalues()
    np.testing.assert_allclose(noisy, DiracGAN(non_saturating, R1(sigma**2 / 2)).eigenvalues(), atol=1e-12)


def test_eigenvalues_without_damping_are_imaginary(device: str) -> None:
    for game, size in ((DiracGAN(minimax), 0.5), (DiracGAN(non_saturating), 0.5), (DiracGAN(wasserstein), 1.0)):
        np.testing.assert_allclose(game.eigenvalues(), [size * 1j, -size * 1j], atol=1e-12)


def test_who_circles_and_who_comes_nearer(device: str) -> None:
    """½ d(θ² + ψ²)/dt = (θ, ψ) · v: 0 in the minimax and the Wasserstein game, −θψ tanh(θψ/2) in the non-saturating."""
    points = np.random.default_rng(0).uniform(-3.0, 3.0, (50, 2))
    product = points.prod(axis=1)
    for game, nearer in ((minimax, 0.0), (wasserstein, 0.0), (non_saturating, -product * np.tanh(product / 2.0))):
        field = DiracGAN(game).field(tg.tensor(points)).detach().numpy()
        np.testing.assert_allclose((points * field).sum(axis=1), nearer, rtol=0.0, atol=1e-13)


@pytest.mark.host
@pytest.mark.parametrize("h", [0.01, 0.1, 0.5])
def test_simultaneous_steps_on_the_bilinear_game_grow(h: float) -> None:
    radii = np.linalg.norm(simultaneous(DiracGAN(wasserstein), (1.0, 1.0), h, 100), axis=1)
    np.testing.assert_allclose(radii[1:] / radii[:-1], np.sqrt(1 + h**2), rtol=1e-12)


@pytest.mark.host
def test_alternating_steps_on_the_bilinear_game_stay() -> None:
    """Each step preserves θ² + ψ² − hθψ (up to sign), an ellipse."""
    h = 0.1
    path = alternating(DiracGAN(wasserstein), (1.0, 1.0), h, 500)
    theta, psi = path.T
    kept = theta**2 + psi**2 - h * theta * psi
    np.testing.assert_allclose(kept, kept[0], rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(path[-1]) / np.sqrt(2), 0.997, atol=1e-3)  # MODELS §2.2, A4


@pytest.mark.host
def test_r1_converges_and_the_others_do_not() -> None:
    """The radii of MODELS §1.1 and §2.2: from (1, 1) with h = 0.1."""
    path = simultaneous(DiracGAN(non_saturating, R1(1.0)), (1.0, 1.0), 0.1, 500)
    t, p = 1.0, 1.0
    for found in path[1:]:
        t, p = t + 0.1 * expit(-t * p) * p, p - 0.1 * (expit(t * p) * t + p)
        np.testing.assert_allclose(found, [t, p], rtol=1e-9, atol=1e-15)  # rounding, carried on for 500 steps
    damped = np.linalg.norm(path, axis=1)
    assert (f"{damped[200]:.2e}", f"{damped[500]:.0e}") == ("1.16e-03", "6e-10")
    plain = np.linalg.norm(simultaneous(DiracGAN(non_saturating), (1.0, 1.0), 0.1, 500), axis=1)
    assert 0.4 < plain[-1] < 1.0  # it shrinks, slowly
    penalised = np.linalg.norm(simultaneous(with_penalty(1.0), (1.0, 1.0), 0.1, 500), axis=1)
    assert penalised[-100:].min() > 0.1


def test_single_precision_stays(device: str) -> None:
    point = tg.tensor(np.ones((3, 2), np.float32))
    for game in (DiracGAN(non_saturating, R1(1.0), noise=0.5), with_penalty(1.0)):
        assert game.field(point).dtype == np.float32
