"""Chapter 11, third part. Coupling layers (RealNVP), how they stack, and what determinants cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen import flows, nn
from tinygen.lectures.claim import ALG, EXACT, LIN, Check, Claim, holds, same
from tinygen.testing.strategies import arrays, floats, sizes

Array = np.ndarray


class Coupling(NamedTuple):
    """The first d of D coordinates stay; s and t have four common tanh units and a matrix (D − d, 4) each."""

    inner: Array
    bias: Array
    scale: Array
    shift: Array

    @property
    def kept(self) -> int:
        return int(self.inner.shape[1])

    @property
    def dim(self) -> int:
        return self.kept + len(self.scale)

    def networks(self, kept: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """s and t of the kept coordinates (N, d), each (N, D − d)."""
        hidden = tg.tanh(tg.linear(kept, tg.tensor(self.inner), tg.tensor(self.bias)))
        return tg.linear(hidden, tg.tensor(self.scale)), tg.linear(hidden, tg.tensor(self.shift))

    def at_zero(self) -> Coupling:
        """s = t = 0."""
        return self._replace(scale=0.0 * self.scale, shift=0.0 * self.shift)

    def volume_preserving(self) -> Coupling:
        """s = 0."""
        return self._replace(scale=0.0 * self.scale)


@st.composite
def couplings(draw: st.DrawFn, dim: Any = sizes(2, 8), edges: bool = False) -> Coupling:
    """1 ≤ d < D, and with ``edges`` also d = 0 and d = D."""
    size = draw(dim) if isinstance(dim, st.SearchStrategy) else dim
    kept = draw(sizes(0, size) if edges else sizes(1, size - 1))
    changed = size - kept
    return Coupling(
        draw(arrays((4, kept), -1.5, 1.5)), draw(arrays(4, -1.0, 1.0)),
        draw(arrays((changed, 4), -0.5, 0.5)), draw(arrays((changed, 4), -1.5, 1.5)),
    )  # fmt: skip


def forward(layer: Coupling, x: tg.Tensor) -> tg.Tensor:
    """z_{1:d} = x_{1:d},  z_{d+1:D} = x_{d+1:D} ⊙ exp(s) + t."""
    kept, changed = x[:, : layer.kept], x[:, layer.kept :]
    s, t = layer.networks(kept)
    return tg.concatenate([kept, changed * tg.exp(s) + t], axis=1)


def points(dim: int, rows: int = 2) -> Any:
    return arrays((rows, dim), -2.0, 2.0)


# --- FLOW-15 -----------------------------------------------------------------------------------------------------

FLOW_15 = Claim(
    "FLOW-15",
    "RealNVP coupling layer",
    r"z_{1:d}=x_{1:d},\qquad z_{d+1:D}=x_{d+1:D}\odot e^{s(x_{1:d})}+t(x_{1:d})",
    sources="002",
)


@FLOW_15.part(layer=couplings(), rows=points(8))
def half_stays(layer: Coupling, rows: Array, *, f: Any = forward) -> Iterator[Check]:
    """The kept part stays bit for bit, the rest equals a loop in NumPy; s = t = 0 is the identity."""
    x = rows[:, : layer.dim]
    z = f(layer, tg.tensor(x))
    yield same("z_{1:d} = x_{1:d}", z[:, : layer.kept], x[:, : layer.kept], EXACT)
    expected = np.empty((len(x), layer.dim - layer.kept))
    for n, row in enumerate(x):
        hidden = np.tanh(layer.inner @ row[: layer.kept] + layer.bias)
        for j in range(layer.dim - layer.kept):
            expected[n, j] = row[layer.kept + j] * np.exp(layer.scale[j] @ hidden) + layer.shift[j] @ hidden
    yield same("the rest", z[:, layer.kept :], expected, ALG)
    yield same("s = t = 0", f(layer.at_zero(), tg.tensor(x)), x, EXACT)
    volume = tg.log_abs_det_jacobian(lambda v: f(layer.volume_preserving(), v), tg.tensor(x))[2]
    yield same("s = 0 keeps volume", volume, 0.0, ALG)


@half_stays.falsification("scaled by s instead of exp(s)")
def without_exponential(layer: Coupling, x: tg.Tensor) -> tg.Tensor:
    kept, changed = x[:, : layer.kept], x[:, layer.kept :]
    s, t = layer.networks(kept)
    return tg.concatenate([kept, changed * s + t], axis=1)


@half_stays.falsification("shift before scale")
def shift_first(layer: Coupling, x: tg.Tensor) -> tg.Tensor:
    kept, changed = x[:, : layer.kept], x[:, layer.kept :]
    s, t = layer.networks(kept)
    return tg.concatenate([kept, (changed + t) * tg.exp(s)], axis=1)


# --- FLOW-16 -----------------------------------------------------------------------------------------------------

FLOW_16 = Claim(
    "FLOW-16",
    "Coupling Jacobian",
    r"\frac{\partial f}{\partial x}=\begin{pmatrix}I_d&0\\"
    r"\mathrm{diag}(x_{d+1:D}\odot e^s)\frac{\partial s}{\partial x}+\frac{\partial t}{\partial x}&"
    r"\mathrm{diag}(e^{s(x_{1:d})})\end{pmatrix}",
    sources="002",
)


class Blocks(NamedTuple):
    """eˢ, the changed coordinates, and ∂s/∂x_{1:d} and ∂t/∂x_{1:d} (D − d, d) derived by hand, at one point."""

    scale: Array
    changed: Array
    s_slope: Array
    t_slope: Array


def lower_left(blocks: Blocks) -> Array:
    """diag(x ⊙ eˢ) ∂s/∂x + ∂t/∂x."""
    return np.asarray((blocks.changed * blocks.scale)[:, None] * blocks.s_slope + blocks.t_slope)


def blocks_at(layer: Coupling, x: Array) -> Blocks:
    hidden = np.tanh(layer.inner @ x[: layer.kept] + layer.bias)
    slope = (1.0 - hidden**2)[:, None] * layer.inner
    return Blocks(np.exp(layer.scale @ hidden), x[layer.kept :], layer.scale @ slope, layer.shift @ slope)


@FLOW_16.part(layer=couplings(edges=True), rows=points(8, 1))
def every_block(layer: Coupling, rows: Array, *, mixed: Any = lower_left) -> Iterator[Check]:
    """Each block of the Jacobian by autodiff, zeros exactly, equals the formula; also for d = 0 and d = D."""
    x, d = rows[0, : layer.dim], layer.kept
    jacobian = tg.jacobian(lambda v: forward(layer, v[None])[0], tg.tensor(x)).numpy()
    blocks = blocks_at(layer, x)
    yield same("upper left I", jacobian[:d, :d], np.eye(d), EXACT)
    yield same("upper right 0", jacobian[:d, d:], np.zeros((d, layer.dim - d)), EXACT)
    yield same("lower right diag(eˢ)", jacobian[d:, d:], np.diag(blocks.scale), ALG)
    printed = mixed(blocks)
    fits = printed.shape == (layer.dim - d, d)
    yield holds("lower left has D − d rows and d columns", fits, f"shape {printed.shape}")
    yield same("lower left", jacobian[d:, :d], printed, ALG)


@every_block.erratum(
    "E-49", "that block is the identity of the kept part", printed=r"\frac{\partial z_{1:d}}{\partial x_{1:d}}"
)
def kept_by_kept(blocks: Blocks) -> Array:
    return np.eye(blocks.s_slope.shape[1])


@every_block.falsification("without the derivative of s")
def shift_only(blocks: Blocks) -> Array:
    return blocks.t_slope


# --- FLOW-17 -----------------------------------------------------------------------------------------------------

FLOW_17 = Claim(
    "FLOW-17",
    "Coupling log-determinant",
    r"\Big|\det\frac{\partial f}{\partial x}\Big|=\exp\sum_{j=1}^{D-d}s_j(x_{1:d})",
    sources="002",
)


def sum_of_scales(s: tg.Tensor, d: int) -> tg.Tensor:
    """Σ_j s_j, one term for each changed coordinate."""
    return tg.sum(s, axis=1)


@FLOW_17.part(layer=couplings(edges=True), rows=points(8))
def log_determinant(layer: Coupling, rows: Array, *, log_det: Any = sum_of_scales) -> Iterator[Check]:
    """The sum equals slogdet of the Jacobian by autodiff, the sign is +, and layers add."""
    x = tg.tensor(rows[:, : layer.dim])
    z, sign, exact = tg.log_abs_det_jacobian(lambda v: forward(layer, v), x)
    first = log_det(layer.networks(x[:, : layer.kept])[0], layer.kept)
    yield same("Σ s = ln|det|", first, exact, LIN)
    yield same("sign", sign, 1.0, EXACT)
    second = log_det(layer.networks(z[:, : layer.kept])[0], layer.kept)
    twice = tg.log_abs_det_jacobian(lambda v: forward(layer, forward(layer, v)), x)[2]
    yield same("two layers", first + second, twice, LIN)


@log_determinant.erratum(
    "E-50", "s has D − d entries: from d + 1 on some of them are lost", printed=r"\exp\sum_{j=d+1}^{D}s(x_{1:d})_j"
)
def from_d_on(s: tg.Tensor, d: int) -> tg.Tensor:
    return tg.sum(s[:, d:], axis=1)


@log_determinant.falsification("one column of s dropped")
def column_dropped(s: tg.Tensor, d: int) -> tg.Tensor:
    return tg.sum(s[:, 1:], axis=1)


@log_determinant.falsification("sum of the factors instead of their logarithms")
def sum_of_factors(s: tg.Tensor, d: int) -> tg.Tensor:
    return tg.sum(tg.exp(s), axis=1)


# --- FLOW-18 -----------------------------------------------------------------------------------------------------

FLOW_18 = Claim(
    "FLOW-18",
    "Coupling inverse",
    r"x_{1:d}=z_{1:d},\qquad x_{d+1:D}=(z_{d+1:D}-t(x_{1:d}))\odot e^{-s(x_{1:d})}",
    sources="002",
)


def backward(layer: Coupling, z: tg.Tensor) -> tg.Tensor:
    """x_{d+1:D} = (z_{d+1:D} − t) ⊙ exp(−s): s and t are evaluated, never inverted."""
    kept, changed = z[:, : layer.kept], z[:, layer.kept :]
    s, t = layer.networks(kept)
    return tg.concatenate([kept, (changed - t) * tg.exp(-s)], axis=1)


@FLOW_18.part(layer=couplings(edges=True), rows=points(8))
def there_and_back(layer: Coupling, rows: Array, *, inverse: Any = backward) -> Iterator[Check]:
    """f⁻¹f = f f⁻¹ = identity, and ln|det| of the inverse by autodiff is −Σ s."""
    x = tg.tensor(rows[:, : layer.dim])
    yield same("f⁻¹(f(x)) = x", inverse(layer, forward(layer, x)), x, LIN)
    yield same("f(f⁻¹(z)) = z", forward(layer, inverse(layer, x)), x, LIN)
    log_det = tg.log_abs_det_jacobian(lambda v: inverse(layer, v), x)[2]
    yield same("ln|det| = −Σ s", log_det, -tg.sum(layer.networks(x[:, : layer.kept])[0], axis=1), LIN)


@there_and_back.falsification("scaled back before shifted back")
def scaled_first(layer: Coupling, z: tg.Tensor) -> tg.Tensor:
    kept, changed = z[:, : layer.kept], z[:, layer.kept :]
    s, t = layer.networks(kept)
    return tg.concatenate([kept, changed * tg.exp(-s) - t], axis=1)


class Network(nn.Module):
    """s and t as ``flows.AffineCoupling`` takes them: t, then s as 3 tanh(·), for all coordinates (N, 2D)."""

    def __init__(self, layer: Coupling) -> None:
        self.layer = layer

    def forward(self, seen: tg.Tensor) -> tg.Tensor:
        s, t = self.layer.networks(seen[:, : self.layer.kept])
        nothing, third = tg.zeros_like(seen[:, : self.layer.kept]), s / 3.0
        raw = 0.5 * (tg.log1p(third) - tg.log1p(-third))
        return tg.concatenate([nothing, t, nothing, raw], axis=1)


def tinygens_layer(layer: Coupling) -> flows.Layer:
    """The layer of ``tinygen.flows`` with the same networks, in float64."""
    kept = np.arange(layer.dim) < layer.kept
    return flows.AffineCoupling(layer.dim, kept, bound=3.0, network=Network(layer)).astype(np.float64)


@FLOW_18.part(layer=couplings(edges=True), rows=points(8))
def both_maps(layer: Coupling, rows: Array, *, made: Any = tinygens_layer) -> Iterator[Check]:
    """Of ``flows.AffineCoupling``: they are the formulas above, with log-determinants Σ s and −Σ s."""
    x, flow = tg.tensor(rows[:, : layer.dim]), made(layer)
    total = tg.sum(layer.networks(x[:, : layer.kept])[0], axis=1)
    for name, (found, log_det), expected, sign in (
        ("to_data", flow.to_data(x), forward(layer, x), 1.0),
        ("to_latent", flow.to_latent(x), backward(layer, x), -1.0),
    ):
        yield same(name, found, expected, LIN)
        yield same(f"ln|det| of {name}", log_det, sign * total, LIN)


@both_maps.falsification("the other way round")
def turned(layer: Coupling) -> flows.Layer:
    return flows.Inverse(tinygens_layer(layer))


class Extreme(NamedTuple):
    """A factor's logarithm as the network gives it, and the number it multiplies."""

    raw: float
    x: float


def bounded_scale(raw: tg.Tensor) -> tg.Tensor:
    """s = 3 tanh(raw / 3)."""
    return 3.0 * tg.tanh(raw / 3.0)


@FLOW_18.part(extreme=st.builds(Extreme, floats(-2000.0, 2000.0), floats(-5.0, 5.0)))
def bounded(extreme: Extreme, *, scale: Any = bounded_scale) -> Iterator[Check]:
    """With a bounded s the round trip stays exact and ln|det| finite, however large the network's output is."""
    s, x = scale(tg.tensor(extreme.raw)), tg.tensor(extreme.x)
    z = x * tg.exp(s) + 1.0
    yield same("(z − t) e^−s = x", (z - 1.0) * tg.exp(-s), x, LIN)
    yield same("ln of the factor = s", tg.log(tg.exp(s)), s, LIN)


@bounded.falsification("s unbounded: the factor over- or underflows")
def unbounded(raw: tg.Tensor) -> tg.Tensor:
    return raw


# --- FLOW-19 -----------------------------------------------------------------------------------------------------

FLOW_19 = Claim(
    "FLOW-19",
    "Stacking couplings",
    r"D=6,\ d=3:\ 21,\ 6,\ 0\text{ zeros in the Jacobian of }1,\ 2,\ 3\text{ alternating layers}",
    sources="002",
    assumptions=r"networks without zero derivatives; for D = 2 two layers suffice",
)


def alternate(count: int) -> list[bool]:
    """Which layers act on exchanged halves: every second one."""
    return [k % 2 == 1 for k in range(count)]


def stacked(layers: list[Coupling], exchanges: list[bool], x: tg.Tensor) -> tg.Tensor:
    for layer, exchange in zip(layers, exchanges, strict=True):
        half = layer.kept
        turned = tg.concatenate([x[:, half:], x[:, :half]], axis=1) if exchange else x
        z = forward(layer, turned)
        x = tg.concatenate([z[:, half:], z[:, :half]], axis=1) if exchange else z
    return x


def dense_couplings(dim: int) -> st.SearchStrategy[list[Coupling]]:
    """Three layers without vanishing derivatives: weights between 0.3 and 1."""
    half = dim // 2
    layer = st.builds(
        Coupling, arrays((4, half), 0.3, 1.0), arrays(4, -0.5, 0.5),
        arrays((half, 4), 0.05, 0.2), arrays((half, 4), 0.3, 1.0),
    )  # fmt: skip
    return st.lists(layer, min_size=3, max_size=3)


def exact_zeros(layers: list[Coupling], exchanges: list[bool], row: Array) -> int:
    """How many elements of the Jacobian by autodiff are exactly 0."""
    jacobian = tg.jacobian(lambda v: stacked(layers, exchanges, v[None])[0], tg.tensor(row))
    return int(np.count_nonzero(jacobian.numpy() == 0.0))


@FLOW_19.part(most=10, layers=dense_couplings(6), row=arrays(6, 0.1, 1.0))
def zeros_of_the_jacobian(layers: list[Coupling], row: Array, *, order: Any = alternate) -> Iterator[Check]:
    """Exact zeros of the Jacobian by autodiff, counted: 21, 6 and 0 for D = 6."""
    for count, zeros in ((1, 21), (2, 6), (3, 0)):
        yield same(f"zeros after {count}", exact_zeros(layers[:count], order(count), row), zeros, EXACT)


@zeros_of_the_jacobian.falsification("the same half in every layer")
def never(count: int) -> list[bool]:
    return [False] * count


@FLOW_19.part(layers=dense_couplings(2), row=arrays(2, 0.1, 1.0))
def two_suffice_in_the_plane(layers: list[Coupling], row: Array, *, order: Any = alternate) -> Iterator[Check]:
    """For D = 2 the Jacobian has 1 exact zero after one layer and none after two."""
    for count, zeros in ((1, 1), (2, 0)):
        yield same(f"zeros after {count}", exact_zeros(layers[:count], order(count), row), zeros, EXACT)


@two_suffice_in_the_plane.falsification("the same half in every layer")
def never_in_the_plane(count: int) -> list[bool]:
    return [False] * count


def nothing(x: tg.Tensor) -> tg.Tensor:
    """ln|det| of a permutation."""
    return tg.zeros(len(x))


@FLOW_19.part(order=st.permutations(range(5)), rows=points(5))
def permutation(order: list[int], rows: Array, *, log_det: Any = nothing) -> Iterator[Check]:
    """A permutation of coordinates has ln|det| = 0 by autodiff, whatever its sign, and is undone by its inverse."""
    x, indices = tg.tensor(rows), tg.tensor(np.array(order))
    z, sign, exact = tg.log_abs_det_jacobian(lambda v: tg.take(v, indices, axis=1), x)
    inversions = sum(order[i] > order[j] for i in range(5) for j in range(i + 1, 5))
    yield same("ln|det| = 0", log_det(x), exact, EXACT)
    yield same("sign = parity", sign, (-1.0) ** inversions, EXACT)
    yield same("undone", tg.take(z, tg.argsort(indices), axis=1), x, EXACT)


@permutation.falsification("counted like a scaling by D")
def like_a_scaling(x: tg.Tensor) -> tg.Tensor:
    return tg.log(tg.full(len(x), float(x.shape[1])))


# --- FLOW-20 -----------------------------------------------------------------------------------------------------

FLOW_20 = Claim(
    "FLOW-20",
    "Cost comparison",
    r"\ln|\det|:\ O(d^3)\ \text{in general},\quad O(d)\ \text{for planar, coupling and autoregressive layers}",
    sources="001 002",
)


def largest_recorded(value: tg.Tensor) -> int:
    """The size of the largest array that was computed on the way to a value, from its record."""
    seen, open_nodes, largest = set(), [value.node], 0
    while open_nodes:
        node = open_nodes.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        largest = max(largest, int(np.prod(node.output.shape)))
        open_nodes += [arg.node for arg in node.args or () if isinstance(arg, tg.Tensor)]
    return largest


Map = Callable[[tg.Tensor], tg.Tensor]


def planar_by_lemma(f: Map, z: tg.Tensor, w: tg.Tensor, u: tg.Tensor) -> tg.Tensor:
    """ln|1 + h′ w·u|."""
    slope = 1.0 - tg.tanh(tg.matmul(z, w)) ** 2
    return tg.log(tg.abs(1.0 + slope * tg.matmul(w, u)))


@FLOW_20.part(d=sizes(4, 40), direction=arrays((2, 40), 0.05, 0.3))
def planar_is_linear(d: int, direction: Array, *, log_det: Any = planar_by_lemma) -> Iterator[Check]:
    """The planar formula equals slogdet of the Jacobian, and records no array of more than d numbers."""
    w, u = tg.tensor(direction[0, :d]), tg.tensor(direction[1, :d])
    z = tg.tensor(np.linspace(-1.0, 1.0, d)[None], requires_grad=True)

    def f(v: tg.Tensor) -> tg.Tensor:
        return v + tg.tanh(tg.matmul(v, w))[:, None] * u

    found = log_det(f, z, w, u)
    yield same("same value", found, tg.log_abs_det_jacobian(f, z)[2], LIN)
    yield same("nothing larger than d", max(largest_recorded(found), d), d, EXACT)


@planar_is_linear.falsification("by the determinant of a d × d matrix: the same value at a higher cost")
def by_the_matrix(f: Map, z: tg.Tensor, w: tg.Tensor, u: tg.Tensor) -> tg.Tensor:
    return tg.log_abs_det_jacobian(f, z)[2]


def triangular_by_diagonal(jacobian_diagonal: tg.Tensor, f: Map, x: tg.Tensor) -> tg.Tensor:
    """Σ ln of the diagonal."""
    return tg.sum(tg.log(jacobian_diagonal), axis=1)


@FLOW_20.part(d=sizes(4, 20), weights=arrays(20, -0.3, 0.3))
def triangular_is_linear(d: int, weights: Array, *, log_det: Any = triangular_by_diagonal) -> Iterator[Check]:
    """For x_t exp(s_t) with s_t of the sums before t: the diagonal's logarithms equal slogdet, in arrays of d."""
    factor = tg.tensor(weights[:d])
    x = tg.tensor(np.linspace(-1.0, 1.0, d)[None], requires_grad=True)

    def scales(v: tg.Tensor) -> tg.Tensor:
        return tg.exp(factor * (tg.cumsum(v, axis=1) - v))

    found = log_det(scales(x), lambda v: v * scales(v), x)
    yield same("same value", found, tg.log_abs_det_jacobian(lambda v: v * scales(v), x)[2], LIN)
    yield same("nothing larger than d", max(largest_recorded(found), d), d, EXACT)


@triangular_is_linear.falsification("by the determinant of a d × d matrix: the same value at a higher cost")
def triangular_by_matrix(jacobian_diagonal: tg.Tensor, f: Map, x: tg.Tensor) -> tg.Tensor:
    return tg.log_abs_det_jacobian(f, x)[2]
