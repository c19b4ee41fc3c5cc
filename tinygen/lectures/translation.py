"""Chapter 6. Image-to-image translation without pairs: two generators, two critics, two cycles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, Check, Claim, Unchecked, at_least, holds, same, within
from tinygen.lectures.numerics import central_difference
from tinygen.testing.strategies import arrays, floats, orthogonal, sizes, vectors, well_conditioned

Array = np.ndarray


class Pair(NamedTuple):
    """Two linear generators (d, d), two critics tanh(wᵀx) with weights (d,), and a batch (n, d) of each domain."""

    to_second: Array
    to_first: Array
    critic_first: Array
    critic_second: Array
    first: Array
    second: Array


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    n, d = draw(sizes(2, 4)), draw(sizes(1, 3))
    matrices = (draw(arrays((d, d), -1.5, 1.5)) for _ in range(2))
    weights = (draw(vectors(d, -1.5, 1.5)) for _ in range(2))
    batches = (draw(arrays((n, d), -2, 2)) for _ in range(2))
    return Pair(*matrices, *weights, *batches)


def translate(x: tg.Tensor, generator: tg.Tensor) -> tg.Tensor:
    """G(x) of each row: a linear map."""
    return tg.linear(x, generator)


def judge(x: tg.Tensor, critic: tg.Tensor) -> tg.Tensor:
    """D(x) of each row, a real number."""
    return tg.tanh(tg.matmul(x, critic))


def mean_distance(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Mean ‖x − y‖₁ over rows."""
    return tg.mean(tg.sum(tg.abs(x - y), axis=1))


# --- CYC-1 -------------------------------------------------------------------------------------------------------

CYC_1 = Claim(
    "CYC-1",
    "Unpaired translation",
    r"x^{(1)}\in X_1,\ x^{(2)}\in X_2\ \text{without pairs; find }f:\mathcal X\to\mathcal X\text{ from domain 1 to 2}",
    sources="000",
)


def unpaired_losses(first: tg.Tensor, second: tg.Tensor, nets: list[tg.Tensor]) -> tg.Tensor:
    """(4,): the critics' losses of both domains, and both cycle losses."""
    to_second, to_first, critic_first, critic_second = nets
    fake_second, fake_first = translate(first, to_second), translate(second, to_first)
    return tg.stack(
        [
            tg.mean(judge(fake_second, critic_second)) - tg.mean(judge(second, critic_second)),
            tg.mean(judge(fake_first, critic_first)) - tg.mean(judge(first, critic_first)),
            mean_distance(translate(fake_second, to_first), first),
            mean_distance(translate(fake_first, to_second), second),
        ]
    )


@CYC_1.part(pair=pairs(), turn=sizes(1, 3))
def no_pairing(pair: Pair, turn: int, *, losses: Any = unpaired_losses) -> Iterator[Check]:
    """Batches against each other in any order give the same losses."""
    nets = [tg.tensor(net) for net in pair[:4]]
    as_drawn = losses(tg.tensor(pair.first), tg.tensor(pair.second), nets)
    turned = losses(tg.tensor(pair.first), tg.tensor(np.roll(pair.second, turn, axis=0)), nets)
    yield same("order of domain 2", turned, as_drawn, ALG)


@no_pairing.falsification("a distance to the partner in the other batch")
def supervised(first: tg.Tensor, second: tg.Tensor, nets: list[tg.Tensor]) -> tg.Tensor:
    return mean_distance(translate(first, nets[0]), second)


def own_orders(rng: tg.random.Generator, n: int) -> tuple[Array, Array]:
    """The orders in which an epoch visits two domains of n examples."""
    return rng.spawn("domain 1").permutation(n).numpy(), rng.spawn("domain 2").permutation(n).numpy()


@CYC_1.part(seed=st.integers(0, 10**6), most=5)
def independent_shuffles(seed: int, *, orders: Any = own_orders) -> Iterator[Check]:
    """Each epoch visits every example once, and independent orders agree in one place on average (variance 1).

    Counted over 100 epochs of 8 examples, within five standard errors.
    """
    rng = tg.random.Generator(seed)
    agreements = []
    for epoch in range(100):
        first, second = orders(rng.spawn(f"epoch {epoch}"), 8)
        yield same("every example once", [np.sort(first), np.sort(second)], [np.arange(8)] * 2, EXACT)
        agreements.append(int((first == second).sum()))
    yield within("places that agree", np.mean(agreements), 1.0, 1.0 / math.sqrt(100))


@independent_shuffles.falsification("one shuffle for both domains")
def one_shuffle(rng: tg.random.Generator, n: int) -> tuple[Array, Array]:
    order = rng.permutation(n).numpy()
    return order, order


# --- CYC-2 -------------------------------------------------------------------------------------------------------

CYC_2 = Claim(
    "CYC-2",
    "Four networks",
    r"G_{1\to2},G_{2\to1}:(\mathcal X,\mathcal Z)\to\mathcal X,\qquad D_1,D_2:\mathcal X\to\mathbb R",
    sources="000",
)


def image_generator(x: tg.Tensor, kernel: tg.Tensor, noise: tg.Tensor | None = None) -> tg.Tensor:
    """An image (N, C, H, W) to one of the same shape; noise (N, 1, H, W) is optional."""
    features = tg.conv2d(x, kernel, padding=1)
    return tg.tanh(features if noise is None else features + noise)


def image_critic(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    """A score (N,) of each image."""
    return tg.sum(tg.conv2d(x, kernel, padding=1), axis=(1, 2, 3))


@CYC_2.part(size=sizes(3, 6), channels=sizes(1, 3), seed=st.integers(0, 10**6), most=20)
def signatures(
    size: int, channels: int, seed: int, *, generator: Any = image_generator, critic: Any = image_critic
) -> Iterator[Check]:
    """Generators keep the shape, so they can be chained; critics give an unbounded number; noise can be left out."""
    rng = tg.random.Generator(seed)
    x, noise = rng.normal((2, channels, size, size)), rng.normal((2, 1, size, size))
    noise.requires_grad = True
    forth, back = (rng.normal((channels, channels, 3, 3)) for _ in range(2))
    y = generator(x, forth, noise)
    yield same("shape of G(x, z)", y.shape, x.shape, EXACT)
    yield same("shape of the cycle", generator(y, back).shape, x.shape, EXACT)
    yield same("no noise is noise 0", generator(x, forth), generator(x, forth, tg.zeros_like(noise)), EXACT)
    yield holds("noise is used", np.any(tg.grad(tg.sum(y), noise)[0].numpy() != 0.0))
    score = critic(x, back)
    yield same("a score for each image", score.shape, (2,), EXACT)
    yield holds("scores are not bounded", np.all(np.abs(critic(1e9 * x, back).numpy()) > 1.0))


@signatures.falsification("a convolution that shrinks the image", replaces="generator")
def shrinking(x: tg.Tensor, kernel: tg.Tensor, noise: tg.Tensor | None = None) -> tg.Tensor:
    features = tg.tanh(tg.conv2d(x, kernel))
    return features if noise is None else features + 0.0 * tg.sum(noise)


@signatures.falsification("a probability instead of a score", replaces="critic")
def probability(x: tg.Tensor, kernel: tg.Tensor) -> tg.Tensor:
    return tg.sigmoid(image_critic(x, kernel))


# --- CYC-3 -------------------------------------------------------------------------------------------------------

CYC_3 = Claim(
    "CYC-3",
    "Adversarial part",
    r"\hat x^{(2)}=G_{1\to2}(x^{(1)}):\quad G_{1\to2}\text{ raises }D_2(\hat x^{(2)}),\ D_2\text{ lowers it}"
    r"\text{ and raises }D_2(x^{(2)});\quad\text{likewise for }D_1",
    sources="000",
)


def score_to_raise(scores: tg.Tensor) -> tg.Tensor:
    """A generator's loss from the critic's scores: minus their mean."""
    return -tg.mean(scores)


STEP = 1e-3  # the losses have curvatures far below 2/STEP


@CYC_3.part(pair=pairs())
def opposite_aims(pair: Pair, *, generator_loss: Any = score_to_raise) -> Iterator[Check]:
    """In both directions one small generator step raises the score of its fakes, a critic step the difference."""
    directions = (
        (pair.first, pair.second, pair.to_second, pair.critic_second),
        (pair.second, pair.first, pair.to_first, pair.critic_first),
    )
    for name, (source, target, matrix, weights) in zip(("1 → 2", "2 → 1"), directions, strict=True):
        x, real = tg.tensor(source), tg.tensor(target)
        net, critic = tg.tensor(matrix, requires_grad=True), tg.tensor(weights, requires_grad=True)
        before = judge(translate(x, net), critic)
        (step,) = tg.grad(generator_loss(before), net)
        after = judge(translate(x, net - STEP * step), critic)
        yield at_least(f"{name}: G raises D(fake)", tg.mean(after), tg.mean(before), ALG)
        ahead = tg.mean(judge(real, critic)) - tg.mean(before)
        (ascent,) = tg.grad(ahead, critic)
        critic = critic + STEP * ascent
        later = tg.mean(judge(real, critic)) - tg.mean(judge(translate(x, net), critic))
        yield at_least(f"{name}: D raises real − fake", later, ahead, ALG)


@opposite_aims.falsification("the generator lowers the score")
def score_to_lower(scores: tg.Tensor) -> tg.Tensor:
    return tg.mean(scores)


def critic_of_target(first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    """The critic that judges what G₁→₂ makes."""
    return second


@CYC_3.part(pair=pairs(), weight=floats(0, 10))
def sources_of_gradient(pair: Pair, weight: float, *, judged_by: Any = critic_of_target) -> Iterator[Check]:
    """Autodiff of the whole loss in G₁→₂ = −mean D₂′ w₂ xᵀ (by hand) + the two cycle terms; D₁ plays no part."""
    net = tg.tensor(pair.to_second, requires_grad=True)
    back, d_first, d_second, first, second = map(tg.tensor, pair[1:])
    fake_second, fake_first = translate(first, net), translate(second, back)
    cycles = mean_distance(translate(fake_second, back), first) + mean_distance(translate(fake_first, net), second)
    fooled_first = judge(fake_first, d_first)
    fooled_second = judge(fake_second, judged_by(d_first, d_second))
    (whole,) = tg.grad(score_to_raise(fooled_second) + score_to_raise(fooled_first) + weight * cycles, net)
    (of_cycles,) = tg.grad(cycles, net)
    scores = np.tanh(pair.first @ pair.to_second.T @ pair.critic_second)
    by_hand = -np.outer(pair.critic_second, (1.0 - scores**2) @ pair.first / len(scores))
    yield same("∂L/∂G₁→₂", whole, by_hand + weight * of_cycles.numpy(), ALG)


@sources_of_gradient.falsification("judged by the critic of the wrong domain")
def critic_of_source(first: tg.Tensor, second: tg.Tensor) -> tg.Tensor:
    return first


E_29 = Unchecked(
    "E-29",
    "“map” for max; one symbol for domain 2 and its critic",
    "a slip of the scan and a clash of symbols: read either way, no formula is left that could be computed",
)


# --- CYC-4 -------------------------------------------------------------------------------------------------------

CYC_4 = Claim(
    "CYC-4",
    "Cycle consistency",
    r"\|G_{2\to1}(G_{1\to2}(x^{(1)}))-x^{(1)}\|\to\min,\qquad\text{and the mirror image from domain 2}",
    sources="000",
)


def there_and_back(x: tg.Tensor, forth: tg.Tensor, back: tg.Tensor) -> tg.Tensor:
    """G₂→₁(G₁→₂(x))."""
    return translate(translate(x, forth), back)


@CYC_4.part(matrix=well_conditioned(sizes(1, 4)), seed=st.integers(0, 10**6))
def inverse_pairs(matrix: Array, seed: int, *, cycle: Any = there_and_back) -> Iterator[Check]:
    """For a regular matrix and its inverse (from a linear solver) both cycle losses are 0."""
    x = tg.random.Generator(seed).normal((3, len(matrix)))
    forth, back = tg.tensor(matrix), tg.linalg.solve(tg.tensor(matrix), tg.eye(len(matrix)))
    yield same("cycle from domain 1", mean_distance(cycle(x, forth, back), x), 0.0, LIN)
    yield same("cycle from domain 2", mean_distance(cycle(x, back, forth), x), 0.0, LIN)


@inverse_pairs.erratum(
    "E-30",
    "the outer map goes from domain 2 to 1; from 1 there is only G₁→₂ again",
    printed=r"x=G_{1\to1}(G_{1\to2}(x))",
)
def forth_twice(x: tg.Tensor, forth: tg.Tensor, back: tg.Tensor) -> tg.Tensor:
    return translate(translate(x, forth), forth)


def slopes_of_norms(residual: Array) -> tuple[Array, Array]:
    """The derivatives of ‖r‖₁ and ‖r‖₂: sign r and r/‖r‖."""
    return np.sign(residual), residual / np.linalg.norm(residual)


@CYC_4.part(residual=vectors(sizes(1, 4), 0.1, 3), signs=st.integers(0, 15))
def norms(residual: Array, signs: int, *, slopes: Any = slopes_of_norms) -> Iterator[Check]:
    """Both norms of the cycle residual: autodiff, differences and the formula agree, away from 0."""
    r = residual * np.where((signs >> np.arange(len(residual))) & 1, -1.0, 1.0)
    for order, claimed in zip((1, 2), slopes(r), strict=True):
        x = tg.tensor(r, requires_grad=True)
        yield same(f"L{order}: autodiff", tg.grad(tg.linalg.norm(x, order), x)[0], claimed, ALG)
        yield same(f"L{order}: differences", _difference(r, order), claimed, FD)


def _difference(r: Array, order: int) -> Array:
    return central_difference(lambda x: np.array(np.linalg.norm(x, order)), r)


@norms.falsification("the square of the L2 norm")
def slopes_of_square(residual: Array) -> tuple[Array, Array]:
    return np.sign(residual), 2.0 * residual


def tables_of_maps(points: int, noises: int, images: int) -> Array:
    """Every map (x, z) → y of finite sets, as (maps, points, noises)."""
    every = np.array(list(itertools.product(range(images), repeat=points * noises)))
    return every.reshape(-1, points, noises)


def both_cycles(first: bool, second: bool) -> bool:
    """Whether a pair of maps counts as consistent."""
    return first and second


def returns(forth: Array, back: Array) -> Array:
    """For every pair of maps: whether back(forth(x, z), z′) = x for all x, z, z′."""
    x = np.arange(forth.shape[1])[:, None, None]
    return np.array([(back[:, g] == x).all(axis=(1, 2, 3)) for g in forth])


@CYC_4.part(sets=st.sampled_from([(2, 2), (3, 3), (2, 3), (3, 2)]), most=6)
def noise_is_ignored(sets: tuple[int, int], *, consistent: Any = both_cycles) -> Iterator[Check]:
    """Of all pairs of maps between small sets with two noise values, the consistent ones are bijections without noise.

    There are n! of them between sets of n points, and none between sets of different sizes.
    """
    n, m = sets
    forth, back = tables_of_maps(n, 2, m), tables_of_maps(m, 2, n)
    first, second = returns(forth, back), returns(back, forth).T
    found = [pair for pair in zip(*np.nonzero(first | second), strict=True) if consistent(first[pair], second[pair])]
    yield same("how many", len(found), math.factorial(n) if n == m else 0, EXACT)
    yield holds("none looks at the noise", all((forth[f, :, 0] == forth[f, :, 1]).all() for f, _ in found))


@noise_is_ignored.falsification("one cycle is enough")
def first_cycle_only(first: bool, second: bool) -> bool:
    return first


# --- CYC-5 -------------------------------------------------------------------------------------------------------

CYC_5 = Claim(
    "CYC-5",
    "Total loss and non-identifiability",
    r"L=L_{adv}^{1\to2}+L_{adv}^{2\to1}+\lambda(L_{cyc}^1+L_{cyc}^2);\quad"
    r"L=0\text{ for all }n!\text{ bijections of }n\text{ points, and for every rotation of }N(0,I)",
    sources="000",
)


def weighted_sum(adversarial: Array, cycles: Array, weight: float) -> Array:
    """Both adversarial parts + λ (both cycle losses)."""
    return np.asarray(adversarial.sum(axis=0) + weight * cycles.sum(axis=0))


def left_of_uniform(maps: Array) -> Array:
    """Total variation between the image of the uniform law under each map (maps, n) and the uniform law."""
    n = maps.shape[1]
    law = (maps[:, :, None] == np.arange(n)).mean(axis=1)
    return np.asarray(0.5 * np.abs(law - 1.0 / n).sum(axis=1))


@CYC_5.part(points=sizes(1, 4), weight=floats(0.1, 10), most=12)
def bijections(
    points: int, weight: float, *, total: Any = weighted_sum, solutions: Callable[[int], int] = math.factorial
) -> Iterator[Check]:
    """Of all pairs of maps of n points, exactly n! have loss 0: each a bijection with its inverse."""
    maps = tables_of_maps(points, 1, points)[:, :, 0]
    pairs_of = np.stack(np.meshgrid(np.arange(len(maps)), np.arange(len(maps)), indexing="ij"), axis=-1).reshape(-1, 2)
    forth, back = maps[pairs_of[:, 0]], maps[pairs_of[:, 1]]
    adversarial = np.stack([left_of_uniform(forth), left_of_uniform(back)])
    x = np.arange(points)
    cycles = [np.abs(np.take_along_axis(b, a, axis=1) - x).mean(axis=1) for a, b in ((forth, back), (back, forth))]
    loss = total(adversarial, np.stack(cycles), weight)
    yield at_least("L ≥ 0", loss, 0.0, EXACT)
    yield same("pairs with L = 0", (loss == 0.0).sum(), solutions(points), EXACT)
    best = loss == 0.0
    yield same(
        "they are inverse", np.take_along_axis(back[best], forth[best], axis=1), np.tile(x, (best.sum(), 1)), EXACT
    )


@bijections.falsification("without the cycle terms", replaces="total")
def adversarial_only(adversarial: Array, cycles: Array, weight: float) -> Array:
    return np.asarray(adversarial.sum(axis=0))


@bijections.falsification("one right map", replaces="solutions")
def unique(points: int) -> int:
    return 1


def transposed(rotation: tg.Tensor) -> tg.Tensor:
    """The way back from a rotation."""
    return rotation.T


@CYC_5.part(rotation=orthogonal(sizes(2, 4)), seed=st.integers(0, 10**6))
def rotations(rotation: Array, seed: int, *, back: Any = transposed) -> Iterator[Check]:
    """Every orthogonal map keeps the density of N(0, I) and, with its transpose, has both cycle losses 0.

    The density is carried along by the engine's Jacobian (change of variables).
    """
    forth = tg.tensor(rotation)
    x = tg.random.Generator(seed).normal((4, len(rotation)))
    y, _, log_det = tg.log_abs_det_jacobian(lambda rows: translate(rows, forth), x)
    carried = -0.5 * tg.sum(x * x, axis=1) - log_det
    yield same("ln p(y) as before", carried, -0.5 * tg.sum(y * y, axis=1), LIN)
    yield same("cycle from domain 1", mean_distance(translate(y, back(forth)), x), 0.0, LIN)
    yield same("cycle from domain 2", mean_distance(translate(translate(x, back(forth)), forth), x), 0.0, LIN)


@rotations.falsification("the rotation itself as its way back")
def not_transposed(rotation: tg.Tensor) -> tg.Tensor:
    return rotation
