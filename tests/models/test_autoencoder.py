"""Autoencoders and principal components: closed forms, gradients by hand, and what AE-2 and AE-6 say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from double import knobs, no_sync

import tinygen as tg
from tinygen import nn, optim
from tinygen.backend import to_host
from tinygen.models import pca
from tinygen.models.autoencoder import (
    Autoencoder,
    CodeDensity,
    State,
    convolutional,
    decoder_projector,
    error,
    linear,
    perceptron,
    recoded,
    squared_error,
    step,
)
from tinygen.random import Generator

Make = Callable[[Generator], Autoencoder]
KINDS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "linear": (lambda rng: linear(6, 2, rng=rng), (6,)),
    "perceptron": (lambda rng: perceptron(6, 2, (8, 4), rng=rng), (6,)),
    "convolutional": (lambda rng: convolutional(3, 4, rng=rng), (1, 16, 16)),
}


def state_of(kind: str, lr: float = 1e-2) -> State:
    make, shape = KINDS[kind]
    rng = Generator(1)
    model = make(rng.spawn("parameters"))
    data = rng.uniform((20, *shape))
    return State(model, optim.Adam(model.parameters(), lr=lr), tg.data.Batches(data, size=10, rng=rng.spawn("b")))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_dtype_and_saved_parameters(kind: str, device: str) -> None:
    make, shape = KINDS[kind]
    model, other = make(Generator(0)), make(Generator(5))
    x = Generator(1).uniform((4, *shape))
    y = model(x)
    assert (y.shape, y.dtype, y.device) == (x.shape, np.float32, device)
    assert model.encoder(x).shape == (4, 3 if kind == "convolutional" else 2)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), y.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_descends_and_does_not_wait_for_the_device(kind: str, device: str) -> None:
    state = state_of(kind)
    first = error(state.model, state.batches.arrays[0])
    with no_sync(), knobs.using(promote="raise"):
        metrics = step(state)
    assert metrics["error"].dtype == np.float32
    for _ in range(20):
        step(state)
    assert error(state.model, state.batches.arrays[0]) < first


def test_the_loss_is_summed_over_pixels() -> None:
    x, y = tg.tensor(np.ones((2, 1, 3, 3))), tg.tensor(np.stack([np.zeros((1, 3, 3)), np.full((1, 3, 3), 0.5)]))
    np.testing.assert_allclose(squared_error(x, y).numpy(), [9.0, 9 * 0.25])


@pytest.mark.parametrize("shape", [(4, 1), (1, 3), (3,), (4, 3, 1)])
def test_a_reconstruction_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """Broadcasting would compare one number with all of an example, and could call it perfect."""
    with pytest.raises(ValueError, match="squared_error: a reconstruction of shape"):
        squared_error(tg.ones((4, 3)), tg.ones(shape))


def test_an_error_is_that_of_evaluation_mode(device: str) -> None:
    """Batch normalisation neither looks at the rest of the batch nor remembers it."""
    inward = nn.Sequential(nn.Linear(6, 2, rng=Generator(0)), nn.BatchNorm1d(2))
    model = Autoencoder(inward, nn.Linear(2, 6, rng=Generator(1)))
    x, before = Generator(2).uniform((10, 6)), model.state_dict()
    halves = [error(model, part) for part in (x[:5], x[5:])]
    assert np.isclose(error(model, x), np.mean(halves), rtol=1e-5)  # float32
    assert all(part.training for part in model.modules())
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(to_host(values), to_host(before[name]))


def test_gradient_of_the_linear_autoencoder_by_hand() -> None:
    """L = 1/n Σ‖GMx − x‖²: ∂L/∂G = 2/n Σ r (Mx)ᵀ and ∂L/∂M = 2/n Gᵀ Σ r xᵀ with r = GMx − x."""
    rng = Generator(3)
    model = linear(5, 2, rng=rng.spawn("p")).astype(np.float64)
    for part in (model.encoder, model.decoder):
        part.load_state_dict({"bias": np.zeros(part.bias.shape)}, strict=False)
    x = rng.normal((7, 5), dtype=np.float64)
    loss = tg.mean(squared_error(x, model(x)))
    slope_m, slope_g = tg.grad(loss, [model.encoder.weight, model.decoder.weight])
    m, g, rows = model.encoder.weight.numpy(), model.decoder.weight.numpy(), x.numpy()
    r = rows @ (g @ m).T - rows
    np.testing.assert_allclose(slope_g.numpy(), 2 / 7 * r.T @ (rows @ m.T), rtol=1e-12)  # rounding of sums of 7
    np.testing.assert_allclose(slope_m.numpy(), 2 / 7 * g.T @ r.T @ rows, rtol=1e-12)


def test_with_the_principal_directions_the_error_is_the_tail_and_no_slope_is_left() -> None:
    """AE-2: the optimum is stationary, its error the sum of the discarded eigenvalues, its map the projector."""
    x = Generator(4).normal((50, 6), dtype=np.float64).numpy() * np.arange(1.0, 7.0)
    exact = pca.fit(x)
    model = linear(6, 2, rng=Generator(0)).astype(np.float64)
    basis = exact.directions[:2]
    model.encoder.load_state_dict({"weight": basis, "bias": -basis @ exact.mean})
    model.decoder.load_state_dict({"weight": basis.T, "bias": exact.mean})
    points = tg.tensor(x)
    loss = tg.mean(squared_error(points, model(points)))
    assert np.isclose(loss.item(), exact.variances[2:].sum(), rtol=1e-12)
    assert np.isclose(loss.item(), exact.error(x, 2).mean(), rtol=1e-12)
    for slope in tg.grad(loss, model.parameters()):
        np.testing.assert_allclose(slope.numpy(), 0.0, atol=1e-12)  # rounding, at values of some tens
    np.testing.assert_allclose(decoder_projector(model), exact.projector(2), atol=1e-12)


@pytest.mark.host
def test_pca_agrees_with_the_eigenvectors_of_the_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5)) * [3.0, 2.0, 1.0, 0.5, 0.1] + 7.0
    exact = pca.fit(x)
    eigenvalues, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    np.testing.assert_allclose(exact.variances, eigenvalues[::-1], rtol=1e-10)
    top = vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(exact.projector(3), top @ top.T, atol=1e-10)
    np.testing.assert_allclose(exact.decode(exact.encode(x, 5)), x, atol=1e-12)
    np.testing.assert_allclose(exact.error(x, 3).mean(), exact.variances[3:].sum(), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_recoding_changes_codes_and_not_reconstructions(kind: str) -> None:
    """AE-6: the loss cannot tell (M, G) from (A·M, G·A⁻¹)."""
    make, shape = KINDS[kind]
    model, x = make(Generator(0)), Generator(1).uniform((5, *shape))
    size = model.encoder(x).shape[1]
    matrix = 3.0 * np.eye(size) + np.tri(size)
    other = recoded(model, matrix)
    np.testing.assert_allclose(other(x).numpy(), model(x).numpy(), atol=1e-5)  # float32
    # float32: some rounding in a code of order 1
    np.testing.assert_allclose(other.encoder(x).numpy(), model.encoder(x).numpy() @ matrix.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (1, 1)])
def test_a_matrix_that_does_not_fit_the_codes_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"recoded: for codes of 2 numbers the matrix must be \(2, 2\), got"):
        recoded(linear(6, 2, rng=Generator(0)), np.ones(shape))


def test_fitted_codes_have_the_mean_and_covariance_of_the_codes() -> None:
    rng = Generator(2)
    codes = rng.normal((500, 3)) @ tg.tensor(np.array([[2, 1, 0], [0, 1, 0.5], [0, 0, 0.3]], np.float32)) + 4.0
    drawn = CodeDensity(codes).sample(rng, 100_000)
    assert (drawn.dtype, drawn.device) == (np.float32, codes.device)
    values, made = codes.numpy(), drawn.numpy()
    np.testing.assert_allclose(made.mean(0), values.mean(0), atol=0.03)  # 5 standard errors, 2 / √100,000 each
    np.testing.assert_allclose(np.cov(made.T), np.cov(values.T, bias=True), atol=0.1)  # 5 of 4·√2 / √100,000


def test_codes_that_do_not_vary_can_be_fitted() -> None:
    codes = Generator(0).normal((50, 2)) * tg.tensor(np.array([1.0, 0.0], np.float32))
    drawn = CodeDensity(codes).sample(Generator(1), 20).numpy()
    assert np.abs(drawn[:, 1]).max() < 1e-3


def test_a_projector_needs_a_linear_decoder() -> None:
    with pytest.raises(TypeError, match=r"one Linear module; make the autoencoder with linear\(\)"):
        decoder_projector(perceptron(6, 2, rng=Generator(0)))


@pytest.mark.host
@pytest.mark.parametrize("k", [-1, 4])
def test_more_directions_than_there_are_cannot_be_had(k: int) -> None:
    exact = pca.fit(np.random.default_rng(0).normal(size=(10, 3)))
    with pytest.raises(ValueError, match=f"3 principal directions, so k = {k} is not possible"):
        exact.encode(np.zeros((1, 3)), k)
    with pytest.raises(ValueError, match="not possible"):
        exact.projector(k)
    with pytest.raises(ValueError, match="at least one point"):
        pca.fit(np.zeros((0, 3)))
