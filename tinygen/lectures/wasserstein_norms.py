"""Chapter 5, second part. What bounds a critic's norm: spectral normalisation, power iteration, clipping."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, Check, Claim, at_least, same
from tinygen.lectures.numerics import central_difference
from tinygen.lectures.wasserstein import ACTIVATIONS, Critic, critics, differences, recorded_gradient
from tinygen.testing.strategies import arrays, floats, orthogonal, sizes, vectors

Array = np.ndarray


# --- WGAN-6 ------------------------------------------------------------------------------------------------------

WGAN_6 = Claim(
    "WGAN-6",
    "Spectral normalisation",
    r"\Theta=P\Sigma V^\top,\ \sigma=\max\Sigma=\|\Theta\|_2,\ \|\Theta/\sigma\|_2=1;\qquad"
    r"\tfrac{\partial\sigma}{\partial\Theta}=uv^\top,\quad"
    r"\tfrac1\sigma\big(\bar G-\langle\bar G,\tfrac\Theta\sigma\rangle uv^\top\big)",
    sources="000",
    assumptions="Θ is not 0; the largest singular value is simple where it is differentiated",
)


class Spectrum(NamedTuple):
    """Singular values (3,), and orthogonal matrices of singular vectors: Θ = left diag(values) right."""

    values: Array
    left: Array
    right: Array

    @property
    def matrix(self) -> Array:
        return np.asarray(self.left * self.values @ self.right)


@st.composite
def spectra(draw: st.DrawFn, second: tuple[float, float] = (0.5, 2.4)) -> Spectrum:
    """Matrices (3, 3) with singular values 3 > s₂ ≥ s₃."""
    middle = draw(floats(*second))
    values = np.array([3.0, middle, middle * draw(floats(0.0, 0.6))])
    return Spectrum(values, draw(orthogonal(3)), draw(orthogonal(3)))


def by_largest(theta: tg.Tensor) -> tg.Tensor:
    """Θ / σ."""
    values: tg.Tensor = tg.linalg.svd(theta)[1]
    return theta / values[0]


@WGAN_6.part(
    theta=sizes(1, 3).flatmap(lambda rows: arrays((rows, 4), -3, 3)).filter(lambda a: np.abs(a).max() > 0.1),
    scale=floats(0.1, 10),
)
def unit_norm(theta: Array, scale: float, *, normalised: Any = by_largest) -> Iterator[Check]:
    """The largest eigenvalue of the normalised ΘᵀΘ is 1; a factor before Θ and a second time change nothing.

    Matrices of rank one and with one row are among them.
    """
    result = normalised(tg.tensor(theta)).numpy()
    yield same("‖Θ/σ‖² = 1", np.linalg.eigvalsh(result @ result.T)[-1], 1.0, LIN)
    yield same("scale", normalised(tg.tensor(scale * theta)), result, LIN)
    yield same("twice", normalised(tg.tensor(result)), result, LIN)
    row = normalised(tg.tensor(theta[:1] + 0.5)).numpy()
    yield same("one row", np.linalg.norm(row), 1.0, LIN)


@unit_norm.erratum("E-28", "the scan reads σ as 6", printed=r"\max(\Sigma)=6,\ \theta/6")
def by_six(theta: tg.Tensor) -> tg.Tensor:
    return theta / 6.0


@unit_norm.falsification("Frobenius norm")
def by_frobenius(theta: tg.Tensor) -> tg.Tensor:
    return theta / tg.linalg.norm(theta)


def power_step(theta: tg.Tensor, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    """(u, next v, σ̂): u = Θv/‖Θv‖, v ← Θᵀu/‖Θᵀu‖, σ̂ = uᵀΘv with the v given."""
    image = tg.matmul(theta, v)
    u = image / tg.linalg.norm(image)
    back = tg.matmul(u, theta)
    return u, back / tg.linalg.norm(back), tg.dot(u, image)


GENERIC = np.array([0.62, -0.47, 0.55])  # a start that has a share of every singular vector


def converged(spectrum: Spectrum, theta: tg.Tensor, steps: int = 60) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    """u, v and σ̂ after so many power steps from a generic start; recorded, if theta is."""
    v = tg.tensor(spectrum.right.T @ GENERIC)
    for _ in range(steps):
        u, v, sigma = power_step(theta, v)
    return u, v, sigma


def through_normalisation(cotangent: Array, theta: Array, sigma: float, outer: Array) -> Array:
    """(1/σ)(Ḡ − ⟨Ḡ, Θ/σ⟩ u vᵀ)."""
    return np.asarray((cotangent - (cotangent * theta).sum() / sigma * outer) / sigma)


@WGAN_6.part(spectrum=spectra((0.5, 2.0)), cotangent=arrays((3, 3), -2, 2), most=15)
def derivatives(spectrum: Spectrum, cotangent: Array, *, pulled_back: Any = through_normalisation) -> Iterator[Check]:
    """Autodiff through 60 recorded power steps gives ∂σ = uvᵀ and the formula for Θ/σ, as do differences of SVDs."""
    theta = tg.tensor(spectrum.matrix, requires_grad=True)
    _, _, sigma = converged(spectrum, theta)
    outer = np.outer(spectrum.left[:, 0], spectrum.right[0])
    yield same("∂σ/∂Θ = uvᵀ", tg.grad(sigma, theta)[0], outer, LIN)
    _, _, sigma = converged(spectrum, theta)
    claimed = pulled_back(cotangent, spectrum.matrix, 3.0, outer)
    found = tg.grad(tg.sum(tg.tensor(cotangent) * theta / sigma), theta)[0]
    yield same("through Θ/σ", found, claimed, LIN)

    def probe(matrix: Array) -> Array:
        return np.array((cotangent * matrix).sum() / np.linalg.svd(matrix, compute_uv=False)[0])

    yield same("differences", central_difference(probe, spectrum.matrix), claimed, FD)
    yield same("orthogonal to Θ", (claimed * spectrum.matrix).sum(), 0.0, LIN)


@derivatives.falsification("σ taken as a constant")
def constant_sigma(cotangent: Array, theta: Array, sigma: float, outer: Array) -> Array:
    return cotangent / sigma


def kernel_bound(kernel: Array) -> float:
    """√(k_h k_w) ‖Θ‖₂ of the kernel as a matrix (C_out, C_in k_h k_w)."""
    largest = np.linalg.svd(kernel.reshape(len(kernel), -1), compute_uv=False)[0]
    return float(math.sqrt(kernel.shape[2] * kernel.shape[3]) * largest)


@WGAN_6.part(kernel=arrays((2, 2, 3, 3), -1, 1), most=10)
def of_a_convolution(kernel: Array, *, bound: Any = kernel_bound) -> Iterator[Check]:
    """The norm of a convolution as a map of images, from the engine's Jacobian, stays below √9 times that of Θ."""
    operator = tg.jacobian(lambda x: tg.conv2d(x, tg.tensor(kernel), padding=1), tg.zeros((1, 2, 4, 4)))
    largest = np.linalg.svd(operator.numpy().reshape(32, 32), compute_uv=False)[0]
    yield at_least("‖conv‖", bound(kernel), largest, ALG)


@of_a_convolution.falsification("the norm of the matrix itself")
def matrix_norm(kernel: Array) -> float:
    return kernel_bound(kernel) / 3.0


# --- WGAN-7 ------------------------------------------------------------------------------------------------------

WGAN_7 = Claim(
    "WGAN-7",
    "Lipschitz constant of a network",
    r"L\le\prod_l\|\Theta_l\|_2\,\prod_l L_{act},\qquad L_{act}=1\ (\text{ReLU, tanh, ELU}),\ \tfrac14\ (\sigma)",
    sources="000",
)


def product_of_norms(norms: list[float], activations: list[float]) -> float:
    """∏ ‖Θ_l‖ ∏ L_act."""
    return math.prod(norms) * math.prod(activations)


@WGAN_7.part(critic=critics(), step=floats(0.01, 2))
def certified(critic: Critic, step: float, *, bound: Any = product_of_norms) -> Iterator[Check]:
    """Gradients by autodiff and difference quotients of a critic never exceed the product of norms."""
    norms = [np.linalg.svd(matrix, compute_uv=False)[0] for matrix in (critic.weight, critic.head[None])]
    limit = bound(norms, [ACTIVATIONS[critic.activation].lipschitz])
    parameters, x = critic.tensors(), tg.tensor(critic.points, requires_grad=True)
    g = recorded_gradient(critic.scores(parameters, x), x)
    yield at_least("‖∇_x D‖", limit, tg.linalg.norm(g, axis=1), ALG)
    aside = x.detach() + step * tg.cos(1.0 + tg.arange(x.shape[1], dtype=x.dtype))
    change = tg.abs(critic.scores(parameters, aside) - critic.scores(parameters, x))
    yield at_least("difference quotients", limit * tg.linalg.norm(aside - x, axis=1).numpy(), change, ALG)


@certified.falsification("the head forgotten")
def without_the_head(norms: list[float], activations: list[float]) -> float:
    return norms[0] * math.prod(activations)


@certified.falsification("1/8 for every activation")
def too_flat(norms: list[float], activations: list[float]) -> float:
    return math.prod(norms) / 8.0


def both_layers(weight: Array, head: Array) -> tuple[Array, Array]:
    """Each layer divided by its spectral norm."""
    return weight / np.linalg.norm(weight, 2), head / np.linalg.norm(head)


@WGAN_7.part(critic=critics().filter(lambda c: np.abs(c.weight).max() > 0.1 and np.abs(c.head).max() > 0.1))
def normalised_network(critic: Critic, *, layers: Any = both_layers) -> Iterator[Check]:
    """A critic whose dense layers all have spectral norm 1 is 1-Lipschitz: its gradients by autodiff."""
    weight, head = layers(critic.weight, critic.head)
    unit = critic._replace(weight=weight, head=head)
    x = tg.tensor(critic.points, requires_grad=True)
    g = recorded_gradient(unit.scores(unit.tensors(), x), x)
    yield at_least("‖∇_x D‖ ≤ 1", 1.0, tg.linalg.norm(g, axis=1), ALG)


@normalised_network.falsification("the last layer left as it is")
def all_but_the_last(weight: Array, head: Array) -> tuple[Array, Array]:
    return weight / np.linalg.norm(weight, 2), head


def slope_bounds() -> dict[str, float]:
    """L of each activation and of 2 × 2 average pooling."""
    return {"relu": 1.0, "leaky_relu": 1.0, "tanh": 1.0, "elu": 1.0, "sigmoid": 0.25, "avg_pool": 0.5}


@WGAN_7.part(x=vectors(6, -4, 4), most=10)
def constants(x: Array, *, bounds: Any = slope_bounds) -> Iterator[Check]:
    """The slopes of activations (autodiff) stay below their constant, and come near it; pooling by its Jacobian."""
    table = bounds()
    ends = np.concatenate([x, [1e-9, 20.0]])  # tanh and sigmoid are steepest at 0, the others far to the right
    for name in ("relu", "leaky_relu", "tanh", "elu", "sigmoid"):
        s = tg.tensor(ends, requires_grad=True)
        slope = tg.grad(tg.sum(getattr(tg, name)(s)), s)[0].numpy()
        yield same(f"{name}: largest slope", np.abs(slope).max(), table[name], LIN)
    operator = tg.jacobian(lambda image: tg.avg_pool2d(image, 2), tg.zeros((1, 1, 4, 4))).numpy().reshape(4, 16)
    yield same("average pooling", np.linalg.svd(operator, compute_uv=False)[0], table["avg_pool"], ALG)


@constants.falsification("½ for the sigmoid")
def half_for_sigmoid() -> dict[str, float]:
    return {**slope_bounds(), "sigmoid": 0.5}


def first_right_vector(spectrum: Spectrum) -> Array:
    """The direction that a linear map stretches most."""
    return np.asarray(spectrum.right[0])


@WGAN_7.part(spectrum=spectra())
def attained(spectrum: Spectrum, *, direction: Any = first_right_vector) -> Iterator[Check]:
    """A linear map reaches its bound ‖Θ‖₂ along the first right singular vector."""
    image = tg.matmul(tg.tensor(spectrum.matrix), tg.tensor(direction(spectrum)))
    yield same("‖Θv‖ = σ", tg.linalg.norm(image), 3.0, LIN)


@attained.falsification("the left vector")
def left_vector(spectrum: Spectrum) -> Array:
    return np.asarray(spectrum.left[:, 0])


# --- WGAN-8 ------------------------------------------------------------------------------------------------------

WGAN_8 = Claim(
    "WGAN-8",
    "Power iteration",
    r"u\leftarrow\tfrac{\Theta v}{\|\Theta v\|},\ v\leftarrow\tfrac{\Theta^\top u}{\|\Theta^\top u\|},\ "
    r"\hat\sigma=u^\top\Theta v\le\sigma;\qquad\text{error}\times(\sigma_2/\sigma_1)^4\text{ a double step}",
    sources="000",
    assumptions="σ₁ > σ₂, and a start that is not orthogonal to v₁; with ties σ̂ converges all the same",
)


@WGAN_8.part(spectrum=spectra(), most=15)
def converges(spectrum: Spectrum, *, step: Any = power_step) -> Iterator[Check]:
    """σ̂ rises to the largest singular value of an SVD and never passes it; with a tie at the top too.

    Stopped by the residual ‖Θᵀu − σ̂v‖, not by a count.
    """
    theta = tg.tensor(spectrum.matrix)
    tied = tg.tensor(np.asarray(spectrum.left * [3.0, 3.0, spectrum.values[2]] @ spectrum.right))
    for name, matrix in (("simple", theta), ("tied", tied)):
        v, before, residual = tg.tensor(spectrum.right.T @ GENERIC), 0.0, 1.0
        largest = np.linalg.svd(matrix.numpy(), compute_uv=False)[0]
        for _ in range(200):
            u, following, sigma = step(matrix, v)
            yield at_least(f"{name}: σ̂ rises", sigma, before, ALG)
            yield at_least(f"{name}: σ̂ ≤ σ", largest, sigma, ALG)
            residual = float(tg.linalg.norm(tg.matmul(u, matrix) - sigma * v))
            v, before = following, sigma.item()
            if residual < 1e-9:
                break
        yield same(f"{name}: σ̂ = σ", before, largest, LIN)


@converges.falsification("Θ instead of its transpose")
def not_transposed(theta: tg.Tensor, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    return power_step(theta, power_step(theta, v)[0])


def fourth_power(second: float) -> float:
    """(σ₂/σ₁)⁴ with σ₁ = 3."""
    return (second / 3.0) ** 4


@WGAN_8.part(spectrum=spectra((1.6, 2.4)))
def rate(spectrum: Spectrum, *, factor: Any = fourth_power) -> Iterator[Check]:
    """The error of σ̂, measured where it has fallen below 1e-5, falls by (σ₂/σ₁)⁴ in a step of both vectors."""
    theta, v = tg.tensor(spectrum.matrix), tg.tensor(spectrum.right.T @ GENERIC)
    error, fallen = 1.0, 1.0
    while error > 1e-5:
        _, v, sigma = power_step(theta, v)
        error, fallen = 3.0 - sigma.item(), (3.0 - sigma.item()) / error
    # Shares of the third vector and of the next order are left: (0.6)^4k and 1e-5; rounding is 1e-15 / 1e-7.
    yield same("ratio of errors", fallen, factor(spectrum.values[1]), 2e-3)


@rate.falsification("the square")
def square_of_ratio(second: float) -> float:
    return (second / 3.0) ** 2


def warm_start(v: tg.Tensor, following: tg.Tensor) -> tg.Tensor:
    """The vector that the next training step starts from."""
    return following


@WGAN_8.part(spectrum=spectra((0.5, 1.8)), turn=floats(0.5, 1.5), most=10)
def tracks(spectrum: Spectrum, turn: float, *, start: Any = warm_start) -> Iterator[Check]:
    """One step for each small move of Θ keeps σ̂ within 1e-3 of σ while the singular vectors turn a long way.

    Θ turns by τ/100 a step, so the vector lags by about (τ/100) r/(1 − r), r = (σ₂/σ₁)² < 0.4, and σ̂ by the square.
    """
    v = tg.tensor(spectrum.right[0])
    for number in range(1, 101):
        angle = turn * number / 100.0
        turned = np.eye(3)
        turned[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        theta = tg.tensor(np.asarray(spectrum.left * spectrum.values @ turned @ spectrum.right))
        _, following, sigma = power_step(theta, v)
        v = start(v, following)
    yield same("σ̂ = σ", sigma, 3.0, 1e-3)  # the lag explained above


@tracks.falsification("vectors of the first step for ever")
def cold(v: tg.Tensor, following: tg.Tensor) -> tg.Tensor:
    return v


def constant_vectors(u: tg.Tensor, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """u and v as the backward pass sees them."""
    return u.detach(), v.detach()


@WGAN_8.part(spectrum=spectra((0.5, 2.0)), most=15)
def constants_in_backward(spectrum: Spectrum, *, vectors_used: Any = constant_vectors) -> Iterator[Check]:
    """Autodiff of uᵀΘv with constant, converged u and v equals autodiff through the whole iteration."""
    theta = tg.tensor(spectrum.matrix, requires_grad=True)
    u, v, sigma = converged(spectrum, theta)
    (through,) = tg.grad(sigma, theta)
    u, v = vectors_used(u, v)
    (direct,) = tg.grad(tg.dot(u, tg.matmul(theta, v)), theta)
    yield same("∂σ̂/∂Θ", direct, through, LIN)


@constants_in_backward.falsification("vectors after a single step")
def unconverged(u: tg.Tensor, v: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    return u.detach(), tg.tensor(GENERIC)


# --- WGAN-9 ------------------------------------------------------------------------------------------------------

WGAN_9 = Claim(
    "WGAN-9",
    "Weight clipping",
    r"\arg\max_{\|w\|_\infty\le c}w^\top\Delta=c\,\mathrm{sign}\,\Delta\ \text{ with value }c\|\Delta\|_1,"
    r"\ \text{ no fixed multiple of }\|\Delta\|_2",
    sources="003",
    assumptions="linear critic",
)


def corner(difference: Array, limit: float) -> Array:
    """c sign Δ."""
    return np.asarray(limit * np.sign(difference))


@WGAN_9.part(difference=vectors(sizes(1, 5), -2, 2), limit=floats(0.01, 1))
def best_clipped(difference: Array, limit: float, *, weights: Any = corner) -> Iterator[Check]:
    """The claimed weights reach the best of all 2ᵈ corners of the box; so does clipped ascent by autodiff."""
    delta = tg.tensor(difference)
    reached = tg.dot(tg.tensor(weights(difference, limit)), delta)
    corners = (np.array(signs) for signs in itertools.product([-limit, limit], repeat=len(difference)))
    yield same("best corner", reached, max(w @ difference for w in corners), ALG)
    yield same("c ‖Δ‖₁", reached, limit * np.abs(difference).sum(), ALG)
    w = tg.zeros(len(difference), requires_grad=True)
    ascent = tg.optim.SGD([w], lr=1.0)
    for _ in range(30):
        ascent.minimize(-tg.dot(w, delta))
        w.assign(tg.clip(w.detach(), -limit, limit))
        yield at_least("in range", limit, tg.abs(w), EXACT)
    moved = np.abs(30.0 * difference) >= limit  # a Δ near 0 takes longer
    yield same("clipped ascent", w.numpy()[moved], weights(difference, limit)[moved], ALG)


@best_clipped.falsification("along Δ, as for W₁")
def along_difference(difference: Array, limit: float) -> Array:
    return np.asarray(limit * difference / max(float(np.linalg.norm(difference)), 1e-300))


def value_range(size: int) -> tuple[float, float]:
    """Least and largest value of the clipped game over ‖Δ‖₂, for c = 1 and d dimensions: 1 and √d."""
    return 1.0, math.sqrt(size)


@WGAN_9.part(difference=differences())
def no_fixed_multiple(difference: Array, *, limits: Any = value_range) -> Iterator[Check]:
    """‖Δ‖₁/‖Δ‖₂ runs from 1 (along an axis) to √d (along a diagonal): W₁ of a shift is not what clipping measures."""
    low, high = limits(len(difference))
    ratio = tg.linalg.norm(tg.tensor(difference), 1) / tg.linalg.norm(tg.tensor(difference))
    yield at_least("at least 1", ratio, low, ALG)
    yield at_least("at most √d", high, ratio, ALG)
    diagonal = tg.ones(len(difference))
    yield same("diagonal", tg.linalg.norm(diagonal, 1) / tg.linalg.norm(diagonal), high, ALG)


@no_fixed_multiple.falsification("a multiple that does not depend on the direction")
def fixed_multiple(size: int) -> tuple[float, float]:
    return 1.0, 1.0
