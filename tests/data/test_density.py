"""The exact densities: they integrate to 1, their entropies are right, samplers and log-probabilities agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arrays import close, host
from double import no_sync
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data.densities import DENSITIES

# name, parameters, half-width of a box that holds all but 1e-7 of the mass, entropy as stated, to three digits
CASES: list[tuple[str, dict[str, Any], float, float | None]] = [
    ("ring", {}, 4.0, 1.698),
    ("ring", {"components": 5, "radius": 1.0, "sd": 0.1}, 2.0, math.log(5 * 2 * math.pi * math.e * 0.01)),
    ("grid", {}, 3.5, 1.451),
    ("grid", {"side": 2, "spacing": 0.5, "sd": 0.4}, 4.0, None),
    ("banana", {}, 17.0, 1.922),
    ("banana", {"bend": -1.0, "sd": 0.7}, 30.0, 2.481),
    ("rings", {}, 3.2, 2.202),
    ("checkerboard", {}, 2.5, 2.079),
    ("pinwheel", {}, 7.5, 2.321),
    ("pinwheel", {"arms": 3, "twist": -1.0, "scale": 1.0, "tangential_sd": 0.2}, 4.0, None),
    ("moons", {}, 3.0, 1.008),
    ("moons", {"sd": 0.05}, 2.6, 0.289),  # research/MODELS.md §2.1, computed independently
    ("spirals", {}, 4.3, 2.534),
]
IDS = [name + ("*" if parameters else "") for name, parameters, _, _ in CASES]
NAMES = sorted(DENSITIES)


def on_grid(d: tg.data.Density, half: float, points: int = 400) -> tuple[np.ndarray, float]:
    """log p at the midpoints of a square grid, in float64, and the area of a cell."""
    edges = np.linspace(-half, half, points + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    x = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
    with tg.no_grad(), tg.device("cpu"):
        return d.log_prob(x).numpy(), (2 * half / points) ** 2


@pytest.mark.host
@pytest.mark.parametrize(("name", "parameters", "half", "entropy"), CASES, ids=IDS)
def test_integrates_to_one_with_the_stated_entropy(
    name: str, parameters: dict[str, Any], half: float, entropy: float | None
) -> None:
    d = tg.data.density(name, **parameters)
    if entropy is not None:
        assert d.entropy == pytest.approx(entropy, abs=6e-4)  # stated to three digits
    log_p, area = on_grid(d, half)
    p = np.exp(log_p)
    # midpoints are exact to rounding for the smooth ones: cells are below a quarter of an sd
    assert p.sum() * area == pytest.approx(1.0, abs=2e-6)
    surprise = np.where(p > 0, -p * np.where(p > 0, log_p, 0.0), 0.0).sum() * area
    assert surprise == pytest.approx(d.entropy, abs=5e-4)  # independent of the Gauss formula behind .entropy


@pytest.mark.host
def test_funnel_integrates_to_one() -> None:
    """Its neck is too thin for a square grid: x₂ = y exp(x₁ / 2) on a grid of (x₁, y), with dx₂ = exp(x₁ / 2) dy."""
    d = tg.data.density("funnel", sd=1.5)
    line = np.linspace(-12, 12, 601)
    v, y = np.meshgrid(line, line, indexing="ij")
    x = np.stack([v, y * np.exp(v / 2)], axis=-1).reshape(-1, 2)
    log_p = d.log_prob(x).numpy()
    p = np.exp(log_p) * np.exp(v / 2).ravel() * (line[1] - line[0]) ** 2
    assert p.sum() == pytest.approx(1.0, abs=1e-10)
    assert -(p * log_p).sum() == pytest.approx(d.entropy, abs=1e-9)
    assert tg.data.density("funnel").entropy == pytest.approx(2.838, abs=6e-4)


@pytest.mark.parametrize("name", NAMES)
def test_sampler_agrees_with_log_prob(name: str, device: str) -> None:
    """Mean of −log p within 3 standard errors of the entropy, and so are moments under both."""
    d = tg.data.density(name)
    n = 4000
    x = d.sample(tg.random.Generator(3), n)
    log_p = d.log_prob(x)
    assert (x.shape, log_p.shape, x.dtype, log_p.dtype) == ((n, 2), (n,), np.float32, np.float32)
    assert x.device == log_p.device == device
    surprise = -host(log_p).astype(np.float64)
    error = surprise.std() / math.sqrt(n)
    assert abs(surprise.mean() - d.entropy) < 3 * error + 1e-6  # 1e-6: the checkerboard's is constant, in float32


@pytest.mark.host
@pytest.mark.parametrize("name", [name for name in NAMES if name != "funnel"])
def test_marginals_of_samples(name: str) -> None:
    """Kolmogorov–Smirnov: the samples' distribution of each coordinate against that of log_prob summed on a grid."""
    d = tg.data.density(name)
    half = next(case[2] for case in CASES if case[0] == name)
    log_p, area = on_grid(d, half)
    table = (np.exp(log_p) * area).reshape(400, 400)
    n = 20_000
    x = d.sample(tg.random.Generator(11), n, dtype=np.float64).numpy()
    edges = np.linspace(-half, half, 401)[1:]
    for axis in (0, 1):
        exact = np.cumsum(table.sum(axis=1 - axis))
        found = np.searchsorted(np.sort(x[:, axis]), edges) / n
        assert np.abs(found - exact).max() < 1.95 / math.sqrt(n)  # exceeded once in 1,000 draws; the seed is fixed


@pytest.mark.host
def test_marginal_of_the_funnel() -> None:
    x = tg.data.density("funnel").sample(tg.random.Generator(2), 20_000, dtype=np.float64).numpy()
    standard = np.stack([x[:, 0], x[:, 1] * np.exp(-x[:, 0] / 2)])
    exact = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in np.linspace(-4, 4, 200)])
    for values in standard:
        found = np.searchsorted(np.sort(values), np.linspace(-4, 4, 200)) / len(values)
        assert np.abs(found - exact).max() < 1.95 / math.sqrt(len(values))


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, device: str) -> None:
    """∂ log p / ∂x against central differences in float64, to first and second order."""
    d = tg.data.density(name)
    x = d.sample(tg.random.Generator(5), 20, dtype=np.float64)
    leaf = tg.tensor(x, requires_grad=True)
    (g,) = tg.grad(d.log_prob(leaf).sum(), [leaf], create_graph=True)
    direction = np.array([0.6, -0.8])

    def along(f: Callable[[tg.Tensor], tg.Tensor], h: float = 1e-5) -> np.ndarray:
        step = tg.tensor(h * direction, dtype=np.float64)
        return (host(f(x + step)) - host(f(x - step))) / (2 * h)

    def gradient(points: tg.Tensor) -> tg.Tensor:
        points = tg.tensor(points, requires_grad=True)
        return tg.grad(d.log_prob(points).sum(), [points])[0]

    close(host(g) @ direction, along(d.log_prob), rtol=1e-6)  # differences of second order with h = 1e-5
    if name == "checkerboard":
        assert not host(g).any()
        return
    slope = tg.sum(g * tg.tensor(direction, dtype=np.float64))
    (second,) = tg.grad(slope, [leaf])
    close(host(second), along(gradient), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_no_synchronisation_and_no_float64(name: str, device: str) -> None:
    d = tg.data.density(name)
    rng = tg.random.Generator(0)
    d.log_prob(d.sample(rng, 2))  # constants go to the device once
    with no_sync():
        x = d.sample(rng, 5)
        leaf = x.detach()
        leaf.requires_grad = True
        (g,) = tg.grad(d.log_prob(leaf).mean(), [leaf])
    assert x.dtype == g.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_same_points_on_every_device_and_no_points(name: str, device: str) -> None:
    d = tg.data.density(name)
    there = d.sample(tg.random.Generator(9), 7)
    here = d.sample(tg.random.Generator(9), 7, device="cpu")
    np.testing.assert_allclose(host(there), host(here), rtol=1e-5, atol=1e-6)  # normals may differ in their last bits
    assert d.log_prob(d.sample(tg.random.Generator(9), 0)).shape == (0,)


@pytest.mark.host
@given(st.integers(1, 40), st.floats(0.01, 1.0))
def test_modes(components: int, sd: float) -> None:
    """log p at the centres is that of the mixture written out."""
    d = tg.data.density("ring", components=components, sd=sd)
    assert d.modes is not None
    assert d.modes.sd == sd
    centres = d.modes.centres
    squares = ((centres[:, None] - centres) ** 2).sum(-1)
    expected = np.log(np.exp(-squares / (2 * sd**2)).mean(1) / (2 * math.pi * sd**2))
    np.testing.assert_allclose(d.log_prob(centres).numpy(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.hypot(*centres.T), 2.0)


@pytest.mark.host
def test_many_points_are_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    d = tg.data.density("moons")
    x = tg.tensor(d.sample(tg.random.Generator(0), 11), requires_grad=True)
    whole = d.log_prob(x)
    monkeypatch.setattr("tinygen.data.pushforward._PAIRS", 1000)
    pieces = d.log_prob(x)
    np.testing.assert_array_equal(whole.numpy(), pieces.numpy())
    np.testing.assert_array_equal(tg.grad(whole.sum(), [x])[0].numpy(), tg.grad(pieces.sum(), [x])[0].numpy())


@pytest.mark.host
def test_far_points_and_the_origin() -> None:
    """No NaN and no overflow to +∞ in float32, also where p underflows."""
    for name in NAMES:
        d = tg.data.density(name)
        x = tg.tensor(np.array([[30.0, -40.0], [0.0, 0.0]], np.float32), requires_grad=True)
        log_p = d.log_prob(x)
        (g,) = tg.grad(log_p.sum(), [x])
        assert not np.isnan(log_p.numpy()).any(), name
        assert (log_p.numpy() < 50).all(), name
        assert np.isfinite(g.numpy()).all(), name


@pytest.mark.host
def test_checkerboard_support() -> None:
    d = tg.data.density("checkerboard")
    x = np.array([[-1.9, -1.9], [-1.9, -0.9], [0.5, 0.5], [0.5, -0.5], [2.1, 0.0], [np.inf, 0.0], [np.nan, 0.0]])
    inside = -math.log(8)
    expected = [inside, -np.inf, inside, -np.inf, -np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(d.log_prob(x).numpy(), expected)


@pytest.mark.host
def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no density 'moon'.*moons"):
        tg.data.density("moon")
    with pytest.raises(TypeError, match=r"'moons' has no parameter noise; it has sd"):
        tg.data.density("moons", noise=0.1)
    for name in ("ring", "grid", "moons", "spirals", "banana", "funnel", "rings"):
        with pytest.raises(ValueError, match="sd must be positive"):
            tg.data.density(name, sd=0.0)
    with pytest.raises(ValueError, match="cells must be even"):
        tg.data.density("checkerboard", cells=3)
    ring = tg.data.density("ring")
    with pytest.raises(ValueError, match=r"Ring.log_prob.*\(N, 2\).*\(3,\)"):
        ring.log_prob(tg.zeros(3))
    with pytest.raises(TypeError, match=r"Ring.log_prob.*int64"):
        ring.log_prob(tg.zeros((3, 2), dtype=np.int64))


# --- energies ----------------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("name", ["U1", "U2", "U3", "U4"])
@pytest.mark.parametrize(("bound", "wall"), [(4.0, 0.2), (2.5, 0.5)])
def test_energies_are_normalised(name: str, bound: float, wall: float) -> None:
    target = tg.data.energy(name, bound=bound, wall=wall)
    edges = np.linspace(-8, 8, 1201)
    middle = (edges[1:] + edges[:-1]) / 2
    z = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 2)
    # the wall's second derivative jumps, which the midpoint rule feels
    assert np.exp(target.log_prob(z).numpy()).sum() * (16 / 1200) ** 2 == pytest.approx(1.0, abs=1e-5)


@pytest.mark.host
def test_known_normalisers() -> None:
    """U1 as computed independently in research/MODELS.md; a hard wall leaves 8 · .4 · √(2π) of U2."""
    assert tg.data.energy("U1").log_normaliser == pytest.approx(1.8775, abs=5e-5)
    assert tg.data.energy("U2", wall=1e-9).log_normaliser == pytest.approx(math.log(3.2 * math.sqrt(2 * math.pi)))


@pytest.mark.parametrize("name", ["U1", "U2", "U3", "U4"])
def test_energy_gradients(name: str, device: str) -> None:
    target = tg.data.energy(name)
    z = np.array([[1.3, 0.4], [-2.1, -1.0], [0.1, 2.0], [4.7, 0.2], [-4.4, 0.3]])
    leaf = tg.tensor(z, requires_grad=True)
    with no_sync():
        (g,) = tg.grad(target(leaf).sum(), [leaf])
    for axis in (0, 1):
        step = 1e-5 * np.eye(2)[axis]
        differences = (host(target(z + step)) - host(target(z - step))) / 2e-5
        close(host(g)[:, axis], differences, rtol=1e-7)  # second-order differences of smooth functions
    assert target(tg.tensor(z.astype(np.float32))).dtype == np.float32
    origin = tg.zeros((1, 2), requires_grad=True)
    assert np.isfinite(host(tg.grad(target(origin).sum(), [origin])[0])).all()


@pytest.mark.host
def test_energies_refuse_wrong_use() -> None:
    with pytest.raises(ValueError, match=r"no energy 'U5'.*U4"):
        tg.data.energy("U5")
    with pytest.raises(ValueError, match="positive"):
        tg.data.energy("U2", wall=0.0)
    with pytest.raises(ValueError, match=r"energy.*\(N, 2\)"):
        tg.data.energy("U2")(tg.zeros((2, 3)))
