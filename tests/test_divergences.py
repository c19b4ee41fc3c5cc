"""Divergences: definitions, exact zeros, the theorems of LECTURES (DIV, OT), densities on grids, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from arrays import host, on
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import divergences
from tinygen.divergences import chi2, hellinger, js, kl, total_variation, wasserstein_1d, wasserstein_1d_samples

ROUNDING = 1e-12  # sums of some ten terms below 100 in float64
ALL: dict[str, Callable[..., tg.Tensor]] = {
    name: getattr(divergences, name) for name in ("kl", "js", "total_variation", "hellinger", "chi2", "wasserstein_1d")
}
METRICS = {"hellinger", "total_variation", "wasserstein_1d"}


@st.composite
def tables(draw: st.DrawFn, count: int = 2, zeros: bool = True) -> list[np.ndarray]:
    """Tables over one set, flat to peaked; some entries are exact zeros."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    size = draw(st.integers(2, 8))
    found = [rng.dirichlet(np.full(size, 10.0 ** rng.uniform(-1, 1))) + 1e-12 for _ in range(count)]
    if zeros:
        for p in found:
            p[rng.permutation(size)[: rng.integers(0, size)]] = 0.0
    return [p / p.sum() for p in found]


def value(name: str, device: str, *arrays: np.ndarray, **keywords: Any) -> float:
    return float(ALL[name](*[on(device, a) for a in arrays], **keywords))


def by_hand(name: str, p: np.ndarray, q: np.ndarray) -> float:
    """The definitions, term by term."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if name == "kl" and a > 0:
            total += np.inf if b == 0 else a * np.log(a / b)
        if name == "js":
            total += sum(0.5 * x * np.log(2 * x / (a + b)) for x in (a, b) if x > 0)
        if name == "total_variation":
            total += 0.5 * abs(a - b)
        if name == "hellinger":
            total += 0.5 * (np.sqrt(a) - np.sqrt(b)) ** 2
        if name == "chi2" and (a > 0 or b > 0):
            total += np.inf if b == 0 else (a - b) ** 2 / b
    if name == "wasserstein_1d":
        return float(scipy.stats.wasserstein_distance(range(len(p)), range(len(q)), p, q))
    return np.sqrt(total) if name == "hellinger" else total


@pytest.mark.parametrize("name", ALL)
@given(pair=tables())
def test_definitions(name: str, pair: list[np.ndarray], device: str) -> None:
    found, expected = value(name, device, *pair), by_hand(name, *pair)
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=1e-8 if name == "hellinger" else ROUNDING)
    if name == "hellinger":  # the root of a rounding error of 1e-16 is 1e-8
        np.testing.assert_allclose(found**2, expected**2, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", ALL)
@given(triple=tables(count=3))
def test_axioms(name: str, triple: list[np.ndarray], device: str) -> None:
    """DIV-2 non-negative, 0 for equal ones exactly; DIV-10, OT-2: symmetry and triangles where they hold."""
    p, q, r = triple
    assert value(name, device, p, p) == 0.0
    assert value(name, device, p, q) >= -1e-15
    if not np.array_equal(p, q):
        assert value(name, device, p, q) > 0
    if name in METRICS or name == "js":
        root = 0.5 if name == "js" else 1.0
        pq, qr, pr, qp = (max(value(name, device, *z), 0.0) ** root for z in ((p, q), (q, r), (p, r), (q, p)))
        assert abs(pq - qp) <= ROUNDING
        assert pr <= pq + qr + 1e-8  # a root of a rounding error


@given(pair=tables())
def test_inequalities(pair: list[np.ndarray], device: str) -> None:
    """Pinsker (DIV-2), JS ≤ log 2 (DIV-10), H² ≤ TV ≤ √2 H, KL ≤ log(1 + χ²), W₁ ≤ diameter · TV (OT-2)."""
    d = {name: value(name, device, *pair) for name in ALL}
    tv, h = d["total_variation"], d["hellinger"]
    assert d["kl"] >= 2 * tv**2 - ROUNDING
    assert d["js"] <= np.log(2) + ROUNDING
    assert h**2 - ROUNDING <= tv <= min(1.0, np.sqrt(2) * h) + ROUNDING
    assert d["kl"] <= np.log1p(d["chi2"]) + ROUNDING
    assert tv - ROUNDING <= d["wasserstein_1d"] <= (len(pair[0]) - 1) * tv + ROUNDING


@given(seed=st.integers(0, 999), size=st.integers(1, 4))
def test_disjoint_supports(seed: int, size: int, device: str) -> None:
    """DIV-11: JS = log 2 wherever the supports are, KL = ∞, TV = H = 1; the gradient keeps the supports."""
    rng = np.random.default_rng(seed)
    free = on(device, rng.normal(size=(2, size)), requires_grad=True)
    p, q = (tg.softmax(row) for row in free)
    nothing = tg.zeros_like(p)
    p, q = tg.concatenate([p, nothing]), tg.concatenate([nothing, q])
    assert float(kl(p, q)) == float(kl(q, p)) == float(chi2(p, q)) == np.inf
    np.testing.assert_allclose([js(p, q).item(), js(p, q, base=2).item()], [np.log(2), 1.0], rtol=ROUNDING)
    np.testing.assert_allclose([total_variation(p, q).item(), hellinger(p, q).item()], 1.0, rtol=ROUNDING)
    np.testing.assert_allclose(tg.grad(js(p, q), free)[0].numpy(), 0.0, atol=ROUNDING)
    assert np.isfinite(tg.grad(kl(p, q) + hellinger(p, q) + chi2(p, q), free)[0].numpy()).all()


def test_known_values(device: str) -> None:
    """DIV-4: Bernoulli(.9, .5, .1) break the triangle; DIV-1: bits are nats / log 2; lists and whole numbers work."""
    with tg.device(device):
        p, q, r = ([a, 1.0 - a] for a in (0.9, 0.5, 0.1))
        # Python lists are in single precision
        assert abs(float(kl(p, q)) + float(kl(q, r)) - (0.1 * np.log(9) + 0.9 * np.log(9) - np.log(9) / 5 * 3)) < 1e-5
        assert abs(float(kl(p, r)) - 0.8 * np.log(9)) < 1e-6
        assert float(kl([1, 0], [0.5, 0.5], base=2)) == 1.0
        assert float(js([1, 0], [0, 1], base=2)) == 1.0
    tiny = on(device, np.array([1e-300, 1.0])), on(device, np.array([1e-10, 1.0 - 1e-10]))
    assert abs(float(kl(*tiny)) - 1e-10) < 1e-16
    narrow = on(device, np.array([0.5, 0.5], np.float32)), on(device, np.array([1e-42, 1.0], np.float32))
    assert abs(float(kl(*narrow)) - (np.log(0.5) - 0.5 * np.log(np.float64(np.float32(1e-42))))) < 1e-4  # a denormal q


@pytest.mark.parametrize("name", ALL)
@given(pairs=st.lists(tables(), min_size=1, max_size=3), moved=st.booleans())
def test_batches(name: str, pairs: list[list[np.ndarray]], moved: bool, device: str) -> None:
    width = max(len(p) for p, _ in pairs)
    p, q = (np.stack([np.pad(pair[i], (0, width - len(pair[i]))) for pair in pairs]) for i in (0, 1))
    expected = [by_hand(name, a, b) for a, b in zip(p, q, strict=True)]
    arrays, axis = ([p.T, q.T], 0) if moved else ([p, q], -1)
    found = ALL[name](*[on(device, a) for a in arrays], axis=axis)
    assert found.device == device
    np.testing.assert_allclose(found.numpy(), expected, rtol=ROUNDING, atol=1e-8)
    one = ALL[name](on(device, p), on(device, q[:1]))  # q for all
    np.testing.assert_allclose(one.numpy(), [by_hand(name, a, q[0]) for a in p], rtol=ROUNDING, atol=1e-8)


@given(m=st.floats(-2.0, 2.0), s=st.floats(0.5, 2.0))
def test_normal_densities(m: float, s: float, device: str) -> None:
    """Closed forms of two normals (DIV-6, OT-5) from a grid; smooth densities on a grid converge beyond 1e-9."""
    x = np.linspace(-16.0, 16.0, 4001)  # beyond it q is 0 in float64 and KL infinite
    dx = x[1] - x[0]
    p, q = (on(device, scipy.stats.norm(*a).pdf(x)) for a in ((0.0, 1.0), (m, s)))
    weights = on(device, np.full(4001, dx))
    for width in (dx, float(dx), weights):
        assert abs(kl(p, q, dx=width).item() - (np.log(s) + (1 + m * m) / (2 * s * s) - 0.5)) < 1e-9
    affinity = np.sqrt(2 * s / (1 + s * s)) * np.exp(-m * m / (4 * (1 + s * s)))
    assert abs(hellinger(p, q, dx=dx).item() ** 2 - (1 - affinity)) < 1e-9
    shifted = on(device, scipy.stats.norm(m, 1.0).pdf(x))
    assert abs(total_variation(p, shifted, dx=dx).item() - (2 * scipy.stats.norm.cdf(abs(m) / 2) - 1)) < 1e-4  # a kink
    assert abs(chi2(shifted, p, dx=dx).item() - np.expm1(m * m)) < 1e-8 * np.exp(m * m)
    assert abs(wasserstein_1d(p, shifted, on(device, x), dx=dx).item() - abs(m)) < 1e-9
    assert abs(wasserstein_1d(p, shifted, dx=dx).item() - abs(m)) < 1e-9


def test_planes(device: str) -> None:
    """Two axes at once: a product's KL is the sum of KLs."""
    p, q = np.array([0.2, 0.8]), np.array([0.5, 0.3, 0.2])
    a, b = np.outer(p, q), np.outer(p[::-1], q[::-1])
    together = kl(on(device, a), on(device, b), axis=(0, 1)).item()
    assert abs(together - by_hand("kl", p, p[::-1]) - by_hand("kl", q, q[::-1])) < ROUNDING
    assert (
        abs(hellinger(on(device, a), on(device, b), axis=(0, 1)).item() - by_hand("hellinger", a.ravel(), b.ravel()))
        < ROUNDING
    )


@given(
    seed=st.integers(0, 9999), n=st.integers(1, 30), m=st.integers(1, 30), ties=st.booleans(), weighted=st.booleans()
)
def test_wasserstein_of_samples(seed: int, n: int, m: int, ties: bool, weighted: bool, device: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = ((rng.integers(-3, 4, k).astype(float) if ties else rng.normal(size=k)) for k in (n, m))
    weights = [rng.dirichlet(np.ones(k)) for k in (n, m)] if weighted else []
    expected = scipy.stats.wasserstein_distance(x, y, *weights)
    found = wasserstein_1d_samples(*[on(device, a) for a in (x, y, *weights)])
    assert abs(found.item() - expected) < ROUNDING
    if n == m and not weighted:  # OT-5: sorted pairing
        assert abs(found.item() - np.abs(np.sort(x) - np.sort(y)).mean()) < ROUNDING
        assert wasserstein_1d_samples(on(device, x), on(device, rng.permutation(x))).item() == 0.0
    if weighted:
        places, order = np.concatenate([x, y]), rng.permutation(n + m)
        p, q = np.concatenate([weights[0], np.zeros(m)]), np.concatenate([np.zeros(n), weights[1]])
        table = wasserstein_1d(on(device, p[order]), on(device, q[order]), on(device, places[order]))
        assert abs(table.item() - expected) < ROUNDING


def test_wasserstein_of_rows(device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(3, 7))
    found = wasserstein_1d_samples(on(device, x), on(device, y)).numpy()
    np.testing.assert_allclose(
        found, [scipy.stats.wasserstein_distance(a, b) for a, b in zip(x, y, strict=True)], rtol=ROUNDING
    )
    many = rng.normal(size=(2, 100_000)).astype(np.float32)
    exact = np.abs(np.sort(many[0]) - np.sort(many[1])).astype(float).mean()
    assert abs(wasserstein_1d_samples(on(device, many[0]), on(device, many[1])).item() - exact) < 1e-6  # whole counts


def test_parallel_segments(device: str) -> None:
    """DIV-12: between two points θ apart W₁ = |θ| with gradient sign θ, where JS is flat."""
    for theta in (-2.0, 0.5):
        free = on(device, np.array([theta]), requires_grad=True)
        distance = wasserstein_1d_samples(on(device, np.zeros(1)), free)
        assert distance.item() == abs(theta)
        assert tg.grad(distance, free)[0].numpy().tolist() == [np.sign(theta)]


@pytest.mark.parametrize("name", ALL)
def test_gradients(name: str, device: str) -> None:
    """Along changes that keep the sum, to second order, against differences; in the positions too."""
    rng = np.random.default_rng(1)
    p, q, v, w = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5)), rng.normal(size=5), rng.normal(size=5)
    v, w, step = v - v.mean(), w - w.mean(), 1e-5

    def slopes(t: float, create_graph: bool = False) -> tuple[float, float]:
        a, b = (on(device, x, requires_grad=True) for x in (p + t * v, q + t * w))
        ga, gb = tg.grad(ALL[name](a, b), [a, b], create_graph=create_graph)
        along = tg.sum(ga * on(device, v)) + tg.sum(gb * on(device, w))
        if not create_graph or not along.requires_grad:
            return along.item(), 0.0
        second = tg.grad(along, [a, b], allow_unused=True)
        return along.item(), sum(
            float((host(g) * d).sum()) for g, d in zip(second, (v, w), strict=True) if g is not None
        )

    first = (value(name, device, p + step * v, q + step * w) - value(name, device, p - step * v, q - step * w)) / (
        2 * step
    )
    second = (slopes(step)[0] - slopes(-step)[0]) / (2 * step)
    # central differences over 1e-5 leave 1e-10 of third derivatives that reach some 1e3
    np.testing.assert_allclose(slopes(0.0, create_graph=True), [first, second], rtol=1e-6, atol=1e-6)


def test_gradient_of_positions(device: str) -> None:
    rng = np.random.default_rng(2)
    p, q, places, v = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)), rng.normal(size=6), rng.normal(size=6)
    free = on(device, places, requires_grad=True)
    (slope,) = tg.grad(wasserstein_1d(on(device, p), on(device, q), free), free)
    ends = [wasserstein_1d(on(device, p), on(device, q), on(device, places + s * 1e-6 * v)).item() for s in (1, -1)]
    assert abs(slope.numpy() @ v - (ends[0] - ends[1]) / 2e-6) < 1e-8  # piecewise linear


WRONG: dict[str, Callable[[], Any]] = {
    "kl: p must not be negative": lambda: kl([1.5, -0.5], [0.5, 0.5]),
    "js: q must sum to 1": lambda: js([0.5, 0.5], [0.5, 0.6]),
    "its values reach from nan to nan": lambda: kl(np.array([0.5, 0.5]) * np.nan, [0.5, 0.5]),
    "must have the same sizes": lambda: kl([1.0], [0.5, 0.5]),
    "base must be above 1": lambda: kl([1.0], [1.0], base=1),
    "give positions=": lambda: wasserstein_1d([1.0, 1.0], [1.0, 1.0], dx=np.float32([0.25, 0.75])),
    r"positions \(3,\) must be \(2,\)": lambda: wasserstein_1d([0.5, 0.5], [0.5, 0.5], [0.0, 1.0, 2.0]),
    "must be .* not empty": lambda: wasserstein_1d_samples(np.zeros(0), np.zeros(3)),
    r"x_weights \(1,\) must have the shape \(2,\)": lambda: wasserstein_1d_samples([0.0, 1.0], [0.0], [1.0]),
    "mix floating dtypes": lambda: kl(np.array([1.0]), np.array([1.0], np.float32)),
}


@pytest.mark.host
@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_raises(message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        WRONG[message]()
