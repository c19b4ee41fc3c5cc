"""Denoising: the optimum in closed form, its score, gradients by hand, and fresh noise at each step."""

from __future__ import annotations

import numpy as np
import pytest
from double import knobs, no_sync

import tinygen as tg
from tinygen import nn, optim
from tinygen.models.denoising_autoencoder import (
    Denoiser,
    LinearDenoiser,
    PlaneDenoiser,
    State,
    denoising_loss,
    exact_score,
    score,
    score_error,
    step,
)
from tinygen.random import Generator


def state_of(noise: float = 0.5) -> State:
    rng = Generator(1)
    model = PlaneDenoiser(noise, 16, rng=rng.spawn("p"))
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    return State(model, optimizer, tg.data.density("ring").sample, rng.spawn("n"), 64)


def test_shapes_dtype_and_saved_parameters(device: str) -> None:
    model, other = PlaneDenoiser(0.5, 8, rng=Generator(0)), PlaneDenoiser(0.5, 8, rng=Generator(1))
    y = Generator(2).normal((5, 2))
    restored = model(y)
    assert (restored.shape, restored.dtype, restored.device) == ((5, 2), np.float32, device)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(y).numpy(), restored.numpy())
    # float32; by definition r(y) = y + σ² score(y)
    np.testing.assert_allclose(score(model, y).numpy() * 0.25 + y.numpy(), restored.numpy(), rtol=1e-5, atol=1e-6)


def test_a_step_descends_and_does_not_wait_for_the_device(device: str) -> None:
    state = state_of()
    losses = []
    for _ in range(60):
        with no_sync(), knobs.using(promote="raise"):
            losses.append(step(state)["error / noise²"])
    values = [loss.item() for loss in losses]
    assert losses[0].dtype == np.float32
    assert len(set(values)) == len(values)  # fresh points and fresh noise at each step
    assert np.mean(values[-10:]) < np.mean(values[:10])


def test_batches_or_samples(device: str) -> None:
    state = state_of()
    rng = Generator(3)
    batches = tg.data.Batches(rng.normal((8, 2)), size=8, rng=rng.spawn("b"))
    same = State(state.model, state.optimizer, batches, Generator(0))
    first, second = (step(same)["error / noise²"].item() for _ in range(2))
    assert first != second  # the same eight points, in another order, with other noise


def test_restoring_nothing_costs_one_for_each_dimension() -> None:
    x = Generator(0).normal((20_000, 6))
    loss = denoising_loss(Generator(1), Denoiser(nn.Identity(), 0.3), x)
    assert np.isclose(loss.item(), 6.0, atol=5 * np.sqrt(12.0 / 20_000))  # 5 standard errors of a mean of χ²₆


def test_gradient_by_hand() -> None:
    """For r(y) = W y: ∂L/∂W = 2/(2nσ²) Σ (Wy − x) yᵀ over both noisy copies of each x."""
    model = nn.Linear(3, 3, bias=False, rng=Generator(0)).astype(np.float64)
    x, sigma = Generator(1).normal((6, 3), dtype=np.float64), 0.7
    (slope,) = tg.grad(denoising_loss(Generator(2), Denoiser(model, sigma), x), [model.weight])
    noise, clean, w = sigma * Generator(2).normal((6, 3), dtype=np.float64).numpy(), x.numpy(), model.weight.numpy()
    y, both = np.concatenate([clean + noise, clean - noise]), np.concatenate([clean, clean])
    np.testing.assert_allclose(slope.numpy(), 2 / (12 * sigma**2) * (y @ w.T - both).T @ y, rtol=1e-12)


def test_the_posterior_mean_has_the_exact_score_and_the_smallest_loss() -> None:
    """For x ~ N(0, τ²I) it is r(y) = τ²/(τ² + σ²) y, and ∇ log p(y) = −y/(τ² + σ²) (AE-4)."""
    tau, sigma = 1.5, 0.8

    def scaled(factor: float) -> Denoiser:
        made = nn.Linear(2, 2, bias=False, rng=Generator(0)).astype(np.float64)
        made.load_state_dict({"weight": factor * np.eye(2)})
        return Denoiser(made, sigma)

    best = tau**2 / (tau**2 + sigma**2)
    gaussian = tg.data.density("ring", components=1, radius=1e-9, sd=float(np.hypot(tau, sigma)))
    y = gaussian.sample(Generator(1), 500, dtype=np.float64)
    assert score_error(scaled(best), gaussian, y) < 1e-6  # the centre is 1e-9 from the origin
    np.testing.assert_allclose(exact_score(gaussian, y).numpy(), -y.numpy() / (tau**2 + sigma**2), rtol=1e-6, atol=1e-8)
    x = tau * Generator(2).normal((5000, 2), dtype=np.float64)
    losses = [denoising_loss(Generator(3), scaled(factor), x).item() for factor in (best - 0.1, best, best + 0.1)]
    assert losses[1] == min(losses)
    # E‖x − r(y)‖² = 2 τ²σ²/(τ² + σ²); 5 standard errors of 5,000 draws
    assert np.isclose(losses[1] * sigma**2, 2 * best * sigma**2, rtol=5 * np.sqrt(1 / 5000))


@pytest.mark.host
def test_the_best_linear_map() -> None:
    """No linear map leaves less error; with independent coordinates each is shrunk by C/(C + σ²)."""
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4000, 2)) * [2.0, 0.5] + [1.0, -1.0]
    best = LinearDenoiser(clean, 0.5)
    np.testing.assert_allclose(np.diag(best.matrix), [4 / 4.25, 0.5], atol=0.02)  # 5 standard errors of a variance
    noisy = clean + 0.5 * rng.normal(size=clean.shape)
    centred, target = noisy - noisy.mean(0), clean - clean.mean(0)
    least_squares = np.linalg.lstsq(centred, target, rcond=None)[0].T
    np.testing.assert_allclose(best.matrix, least_squares, atol=0.03)  # the sampled noise in place of its law
    assert ((best(noisy) - clean) ** 2).sum() < ((noisy - clean) ** 2).sum()


def test_noise_must_be_a_standard_deviation() -> None:
    with pytest.raises(ValueError, match="noise is a standard deviation and must be positive and finite, got 0"):
        PlaneDenoiser(0.0, rng=Generator(0))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Denoiser: noise is a standard deviation"):
            Denoiser(nn.Identity(), wrong)


def test_what_does_not_give_back_the_shape_is_refused() -> None:
    """Broadcasting would compare one number with all of an example."""
    narrow = Denoiser(nn.Linear(3, 1, rng=Generator(0)), 0.5)
    with pytest.raises(ValueError, match=r"squared_error: a reconstruction of shape \(8, 1\) cannot be compared"):
        denoising_loss(Generator(0), narrow, tg.ones((4, 3)))
    with pytest.raises(ValueError, match=r"score: the denoiser made \(4, 1\) of y \(4, 3\)"):
        score(narrow, tg.ones((4, 3)))


def test_a_score_is_that_of_evaluation_mode(device: str) -> None:
    model = Denoiser(nn.Sequential(nn.Linear(3, 3, rng=Generator(0)), nn.Dropout(0.5, rng=Generator(1))), 0.5)
    y = Generator(2).normal((4, 3))
    found = score(model, y).numpy()
    assert all(part.training for part in model.modules())
    model.eval()
    np.testing.assert_array_equal(found, score(model, y).numpy())
