"""Chapter 9. Autoencoders: what a code of few numbers keeps, what it forgets, and why it does not yet generate.

Data are rows x (n, D), centred; linear encoders M (d, D) and decoders G (D, d) act on each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.lectures.claim import ALG, EXACT, FD, LIN, QUAD, Check, Claim, at_least, holds, host, same
from tinygen.lectures.numerics import central_difference, gauss_legendre, sign_vectors
from tinygen.metrics import auroc
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, laws, orthogonal, positive_definite, sizes, vectors

Array = np.ndarray
Pair = tuple[tg.Tensor, tg.Tensor]


def reconstruction_error(
    x: tg.Tensor, encode: Callable[[tg.Tensor], tg.Tensor], decode: Callable[[tg.Tensor], tg.Tensor]
) -> tg.Tensor:
    """(1/n) Σ ‖x_i − G(M(x_i))‖² (AE-1)."""
    return tg.mean(tg.sum(tg.square(x - decode(encode(x))), axis=1))


def linear_error(x: tg.Tensor, encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
    """The reconstruction error of x ↦ GMx."""
    return reconstruction_error(x, lambda rows: rows @ encoder.mT, lambda codes: codes @ decoder.mT)


def principal_axes(x: tg.Tensor, d: int) -> tg.Tensor:
    """The d leading eigenvectors of the covariance, as rows (d, D)."""
    _, vectors = tg.linalg.eigh(x.mT @ x / x.shape[0])
    return tg.flip(vectors.mT, 0)[:d]


class Data(NamedTuple):
    """Centred points x (2D, D), whose covariance has the eigenvalues ``spectrum`` (falling), and a code size d < D."""

    x: Array
    spectrum: Array
    d: int


@st.composite
def data(draw: st.DrawFn) -> Data:
    """Every eigenvalue at least 1.5 times the next, so that principal subspaces are unique."""
    D = draw(sizes(2, 4))
    spectrum = np.cumprod(np.append(draw(floats(0.25, 2.0)), draw(arrays(D - 1, 1.5, 3.0))))[::-1]
    half = np.sqrt(D) * draw(orthogonal(D)) * np.sqrt(spectrum) @ draw(orthogonal(D))
    return Data(np.concatenate([half, -half]), spectrum, draw(sizes(1, D - 1)))


# --- AE-1 --------------------------------------------------------------------------------------------------------

AE_1 = Claim(
    "AE-1",
    "Objective of an autoencoder",
    r"\min_{\theta,\phi}\tfrac1n\sum_i\|x_i-G_\theta(M_\phi(x_i))\|^2",
    sources="003 004",
)


class Network(NamedTuple):
    """Points x (n, D), weights of the encoder tanh(Ax) (d, D) and of the decoder (D, d)."""

    x: Array
    encoder: Array
    decoder: Array


@st.composite
def networks(draw: st.DrawFn) -> Network:
    n, D, d = draw(sizes(1, 4)), draw(sizes(1, 4)), draw(sizes(1, 3))
    return Network(*(draw(arrays(shape, -2.0, 2.0)) for shape in ((n, D), (d, D), (D, d))))


def slopes_by_hand(x: Array, A: Array, G: Array) -> tuple[Array, Array]:
    """With h = tanh(Ax) and r = Gh − x: ∂A = (2/n) ((rG) ∘ (1 − h²))ᵀ x and ∂G = (2/n) rᵀ h."""
    h = np.tanh(x @ A.T)
    r = h @ G.T - x
    return 2.0 / len(x) * ((r @ G) * (1.0 - h**2)).T @ x, 2.0 / len(x) * r.T @ h


@AE_1.part(network=networks())
def gradient(network: Network, *, slopes: Any = slopes_by_hand) -> Iterator[Check]:
    """Autodiff of the loss with a tanh encoder gives the slopes derived by hand, and central differences do too."""
    x, A, G = network
    weights = tuple(tg.tensor(value, requires_grad=True) for value in (A, G))

    def error(encoder: tg.Tensor, decoder: tg.Tensor) -> tg.Tensor:
        return reconstruction_error(tg.tensor(x), lambda r: tg.tanh(r @ encoder.mT), lambda z: z @ decoder.mT)

    expected = slopes(x, A, G)
    for name, found, slope in zip("AG", tg.grad(error(*weights), weights), expected, strict=True):
        yield same(f"∂{name}", found, slope, ALG)
    measured = central_difference(lambda a: np.mean(np.sum((x - np.tanh(x @ a.T) @ G.T) ** 2, axis=1)), A)
    yield same("∂A by differences", measured, expected[0], FD)


@gradient.falsification("encoder taken for linear")
def without_tanh(x: Array, A: Array, G: Array) -> tuple[Array, Array]:
    h = np.tanh(x @ A.T)
    r = h @ G.T - x
    return 2.0 / len(x) * (r @ G).T @ x, 2.0 / len(x) * r.T @ h


@gradient.falsification("sum over examples, not mean")
def summed(x: Array, A: Array, G: Array) -> tuple[Array, Array]:
    for_encoder, for_decoder = slopes_by_hand(x, A, G)
    return len(x) * for_encoder, len(x) * for_decoder


def left_inverse(M: tg.Tensor) -> tg.Tensor:
    """(MᵀM)⁻¹ Mᵀ: decodes Mx to x if the code has as many numbers as x or more."""
    return tg.linalg.solve(M.mT @ M, M.mT)


@AE_1.part(points=data(), extra=arrays((2, 4), -1.0, 1.0), rotation=orthogonal(4))
def bottleneck(points: Data, extra: Array, rotation: Array, *, decoder: Any = left_inverse) -> Iterator[Check]:
    """A linear code of D or more numbers copies its input; one of D − 1 loses the smallest eigenvalue or more."""
    x, D = points.x, points.x.shape[1]
    wide = np.concatenate([np.eye(D) + 0.2 * rotation[:D, :D], extra[:, :D]])
    M = tg.tensor(wide)
    yield same("wide code: error", linear_error(tg.tensor(x), M, decoder(M)), 0.0, LIN)
    codes = x @ wide[: D - 1].T
    best = np.linalg.lstsq(codes, x, rcond=None)[0]
    narrow = linear_error(tg.tensor(x), tg.tensor(wide[: D - 1]), tg.tensor(best.T))
    yield at_least("narrow code: error", narrow, points.spectrum[-1], LIN)


@bottleneck.falsification("decoder is the transposed encoder")
def tied(M: tg.Tensor) -> tg.Tensor:
    return M.mT


def curvature(codes: Array) -> float:
    """L = (2/n) ‖HᵀH‖₂, with H the codes as rows: the largest second derivative of the error in the decoder."""
    return float(2.0 / len(codes) * np.linalg.norm(codes.T @ codes, 2))


@AE_1.part(network=networks())
def descent(network: Network, *, smoothness: Any = curvature) -> Iterator[Check]:
    """A step of 1/L on the decoder lowers the error by ‖∂G‖² / 2L or more."""
    x, A, G = network
    codes = np.tanh(x @ A.T)
    L = smoothness(codes)
    decoder = tg.tensor(G, requires_grad=True)
    before = tg.mean(tg.sum(tg.square(tg.tensor(x) - tg.tensor(codes) @ decoder.mT), axis=1))
    (slope,) = tg.grad(before, decoder)
    step = host(slope) / L if L else 0.0 * G
    after = np.mean(np.sum((x - codes @ (G - step).T) ** 2, axis=1))
    promised = host(before) - (0.5 * np.sum(host(slope) ** 2) / L if L else 0.0)
    yield at_least("promised decrease is kept", promised, after, ALG)


@descent.falsification("curvature taken ten times too small")
def too_flat(codes: Array) -> float:
    return 0.1 * curvature(codes)


# --- AE-2 --------------------------------------------------------------------------------------------------------

AE_2 = Claim(
    "AE-2",
    "A linear autoencoder is principal component analysis",
    r"\min_{M,G}\tfrac1n\sum_i\|x_i-GMx_i\|^2=\sum_{i>d}\lambda_i,"
    r"\qquad GM=\text{projector on the top-}d\text{ eigenspace}",
    sources="003",
    assumptions="centred data; λ_d > λ_{d+1} for a unique projector",
)


def alternating_least_squares(x: Array, d: int, rounds: int = 120) -> tuple[Array, Array]:
    """Encoder and decoder trained by turns, each to its optimum given the other; no eigenvectors involved."""
    D = x.shape[1]
    with tg.device("cpu"):
        G = Generator(0).normal((D, d)).numpy()
    for _ in range(rounds):
        M = np.linalg.lstsq(G, np.eye(D), rcond=None)[0]  # the codes that G decodes best
        G = np.linalg.lstsq(x @ M.T, x, rcond=None)[0].T
        G = np.linalg.qr(G)[0]  # another basis of the same subspace, for good condition
    return np.linalg.lstsq(G, np.eye(D), rcond=None)[0], G


def tail(x: tg.Tensor, d: int) -> tg.Tensor:
    """Σ_{i>d} λ_i of the eigenvalues in falling order."""
    values, _ = tg.linalg.eigh(x.mT @ x / x.shape[0])
    return tg.sum(values[: x.shape[1] - d])


@AE_2.part(points=data(), other=arrays((2, 4, 4), -1.0, 1.0), most=25)
def optimal_loss(points: Data, other: Array, *, optimum: Any = tail) -> Iterator[Check]:
    """The eigenvalue tail is the error that alternating least squares reaches, and no other encoder does better."""
    x, d, D = tg.tensor(points.x), points.d, points.x.shape[1]
    M, G = alternating_least_squares(points.x, d)
    yield same("trained error", linear_error(x, tg.tensor(M), tg.tensor(G)), optimum(x, d), LIN)
    yield same("drawn eigenvalues", points.spectrum[d:].sum(), optimum(x, d), LIN)
    guess = linear_error(x, tg.tensor(other[0][:d, :D]), tg.tensor(other[1][:D, :d]))
    yield at_least("error of any (M, G)", guess, optimum(x, d), ALG)


@optimal_loss.falsification("eigenvalues that are kept, not those that are lost")
def head(x: tg.Tensor, d: int) -> tg.Tensor:
    values, _ = tg.linalg.eigh(x.mT @ x / x.shape[0])
    return tg.sum(values[x.shape[1] - d :])


@optimal_loss.falsification("singular values in place of eigenvalues")
def roots(x: tg.Tensor, d: int) -> tg.Tensor:
    values, _ = tg.linalg.eigh(x.mT @ x / x.shape[0])
    return tg.sum(tg.sqrt(values[: x.shape[1] - d]))


def projector(x: tg.Tensor, d: int) -> tg.Tensor:
    """Orthogonal projector on the leading d eigenvectors."""
    V = principal_axes(x, d)
    return V.mT @ V


@AE_2.part(points=data(), most=25)
def learned_map(points: Data, *, project: Any = projector) -> Iterator[Check]:
    """GM from alternating least squares is the principal projector, where autodiff finds no slope left."""
    x, V = tg.tensor(points.x), principal_axes(tg.tensor(points.x), points.d)
    M, G = alternating_least_squares(points.x, points.d)
    yield same("GM = projector", G @ M, project(x, points.d), LIN)
    encoder, decoder = tg.tensor(V, requires_grad=True), tg.tensor(V.mT, requires_grad=True)
    for name, slope in zip("MG", tg.grad(linear_error(x, encoder, decoder), (encoder, decoder)), strict=True):
        yield same(f"∂{name} = 0", slope, 0.0, LIN)


@learned_map.falsification("the last eigenvectors")
def last_axes(x: tg.Tensor, d: int) -> tg.Tensor:
    V = principal_axes(x, x.shape[1])[x.shape[1] - d :]
    return V.mT @ V


# --- AE-3 --------------------------------------------------------------------------------------------------------

AE_3 = Claim(
    "AE-3",
    "Dimensionality reduction",
    r"E_d=\min_{M,G}\tfrac1n\sum_i\|x_i-GMx_i\|^2\ \text{falls in }d,\qquad E_d=0\iff\operatorname{rank}\le d",
    sources="003 004",
)


def error_of_principal_codes(x: tg.Tensor, d: int) -> tg.Tensor:
    """The error with the d leading principal components as code."""
    V = principal_axes(x, d)
    return linear_error(x, V, V.mT)


@AE_3.part(points=data())
def more_is_better(points: Data, *, error: Any = error_of_principal_codes) -> Iterator[Check]:
    """The error falls with the code size by the eigenvalue of each new axis, down to 0; rank-d data need only d."""
    x, D = tg.tensor(points.x), points.x.shape[1]
    errors = np.array([float(error(x, d)) for d in range(1, D + 1)])
    yield same("decreases = eigenvalues", -np.diff(errors), points.spectrum[1:], LIN)
    yield same("nothing lost with D numbers", errors[-1], 0.0, LIN)
    V = principal_axes(x, points.d)
    flat = x @ V.mT @ V
    yield same("rank-d data, code of d", error(flat, points.d), 0.0, LIN)


@more_is_better.falsification("axes of least variance")
def error_of_last_codes(x: tg.Tensor, d: int) -> tg.Tensor:
    V = principal_axes(x, x.shape[1])[x.shape[1] - d :]
    return linear_error(x, V, V.mT)


def unrolled(codes: tg.Tensor) -> tg.Tensor:
    """The point of the spiral at each angle t > 0: t (cos t, sin t)."""
    return tg.stack([codes * tg.cos(codes), codes * tg.sin(codes)], axis=1)


@AE_3.part(turns=floats(1.0, 3.0), count=sizes(10, 40))
def spiral(turns: float, count: int, *, decode: Any = unrolled) -> Iterator[Check]:
    """One nonlinear number, the radius, decodes a spiral exactly; one principal component cannot."""
    t = np.linspace(1.0, 2.0 * np.pi * turns, count)
    x = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    yield same(
        "nonlinear code: error", reconstruction_error(tg.tensor(x), lambda r: tg.linalg.norm(r, axis=1), decode), 0.0
    )
    centred = tg.tensor(x - x.mean(axis=0))
    least = np.linalg.eigvalsh(np.cov(x.T, bias=True))[0]
    yield same("one component: error", error_of_principal_codes(centred, 1), least, LIN)
    yield at_least("which is far from 0", least, 0.1, EXACT)


@spiral.falsification("decoder that forgets the radius")
def circle(codes: tg.Tensor) -> tg.Tensor:
    return tg.stack([tg.cos(codes), tg.sin(codes)], axis=1)


# --- AE-4 --------------------------------------------------------------------------------------------------------

AE_4 = Claim(
    "AE-4",
    "Denoising autoencoder",
    r"\arg\min_f\mathbb E\|x-f(\tilde x)\|^2=\mathbb E[x\mid\tilde x]=\tilde x+s^2\nabla\ln p_{\tilde x}(\tilde x),"
    r"\qquad\text{linear: }C(C+s^2I)^{-1}",
    sources="004",
    assumptions="unrestricted f; Gaussian noise N(0, s²I) for the score form; centred data for the linear form",
)


class Channel(NamedTuple):
    """A law of clean values (n,), what each becomes under noise (n, m), the values (n,), and another denoiser (m,)."""

    prior: Array
    noise: Array
    values: Array
    other: Array


@st.composite
def channels(draw: st.DrawFn) -> Channel:
    n, m = draw(sizes(2, 5)), draw(sizes(2, 5))
    noise = np.stack(draw(laws(n, m)))
    return Channel(draw(laws(1, n, zeros=True))[0], noise, draw(arrays(n)), draw(arrays(m)))


def posterior_mean(prior: tg.Tensor, noise: tg.Tensor, values: tg.Tensor) -> tg.Tensor:
    """f*(x̃) = Σ x p(x) p(x̃|x) / Σ p(x) p(x̃|x)."""
    joint = tg.expand_dims(prior, 1) * noise
    return values @ joint / tg.sum(joint, 0)


@AE_4.part(channel=channels())
def excess_risk(channel: Channel, *, best: Any = posterior_mean) -> Iterator[Check]:
    """On tables, the risk of any f exceeds that of the posterior mean by E‖f − f*‖²; no f does better."""
    joint = tg.expand_dims(tg.tensor(channel.prior), 1) * tg.tensor(channel.noise)
    f, clean = tg.tensor(channel.other), tg.expand_dims(tg.tensor(channel.values), 1)
    optimum = best(*(tg.tensor(table) for table in channel[:3]))

    def risk(denoiser: tg.Tensor) -> tg.Tensor:
        return tg.sum(joint * tg.square(clean - denoiser))

    yield same("excess", risk(f) - risk(optimum), tg.sum(joint * tg.square(f - optimum)), ALG)


@excess_risk.falsification("prior forgotten")
def likelihood_mean(prior: tg.Tensor, noise: tg.Tensor, values: tg.Tensor) -> tg.Tensor:
    return values @ noise / tg.sum(noise, 0)


@excess_risk.falsification("most probable value in place of the mean")
def most_probable(prior: tg.Tensor, noise: tg.Tensor, values: tg.Tensor) -> tg.Tensor:
    return tg.take(values, tg.argmax(tg.expand_dims(prior, 1) * noise, axis=0))


class Mixture(NamedTuple):
    """Weights, means and deviations (n,) of a mixture of Gaussians on the line."""

    weights: Array
    means: Array
    deviations: Array


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    n = draw(sizes(1, 3))
    return Mixture(draw(laws(1, n))[0], draw(arrays(n, -3.0, 3.0)), draw(arrays(n, 0.4, 1.5)))


def log_density(x: tg.Tensor, mixture: Mixture, s: float) -> tg.Tensor:
    """ln p of the mixture after noise of deviation s, at x (n,), but for a constant."""
    weights, means, deviations = (tg.expand_dims(tg.tensor(values), 1) for values in mixture)
    variance = tg.square(deviations) + s**2
    exponent = tg.log(weights) - 0.5 * tg.square(x - means) / variance - 0.5 * tg.log(variance)
    return tg.logsumexp(exponent, axis=0)


def from_score(noisy: tg.Tensor, score: tg.Tensor, s: float) -> tg.Tensor:
    """x̃ + s² ∇ ln p(x̃)."""
    return noisy + s**2 * score


@AE_4.part(mixture=mixtures(), s=floats(0.3, 1.5), noisy=vectors(4, -4.0, 4.0))
def score_form(mixture: Mixture, s: float, noisy: Array, *, denoise: Any = from_score) -> Iterator[Check]:
    """E[x | x̃] of a mixture by quadrature equals x̃ + s² times the autodiff slope of ln p(x̃)."""
    x, w = gauss_legendre(-14.0, 14.0, 16, 56)
    density = np.exp(host(log_density(tg.tensor(x), mixture, 0.0)))
    weight = w * density * np.exp(-0.5 * ((noisy[:, None] - x) / s) ** 2)
    at = tg.tensor(noisy, requires_grad=True)
    (score,) = tg.grad(tg.sum(log_density(at, mixture, s)), at)
    yield same("score form", denoise(at, score, s), weight @ x / weight.sum(axis=1), QUAD)


@score_form.falsification("down the density")
def against_score(noisy: tg.Tensor, score: tg.Tensor, s: float) -> tg.Tensor:
    return noisy - s**2 * score


@score_form.falsification("deviation in place of variance")
def by_deviation(noisy: tg.Tensor, score: tg.Tensor, s: float) -> tg.Tensor:
    return noisy + s * score


def wiener(C: tg.Tensor, s: float) -> tg.Tensor:
    """C (C + s²I)⁻¹, by solving with its transpose: both factors are symmetric."""
    return tg.linalg.solve(C + s**2 * tg.eye(C.shape[0]), C).mT


def clean(x: tg.Tensor, noisy: tg.Tensor) -> tg.Tensor:
    """The target of the reconstruction."""
    return x


@AE_4.part(C=positive_definite(sizes(1, 3)), s=st.just(0.0) | floats(0.1, 2.0), most=15)
def best_linear(C: Array, s: float, *, filtered: Any = wiener, target: Any = clean) -> Iterator[Check]:
    """A Newton step by autodiff on the risk of x̃ ↦ Fx̃ lands on C(C + s²I)⁻¹; without noise that is the identity."""
    n = len(C)
    signs = sign_vectors(2 * n)  # moments up to the second of (x, noise) are exact
    x = tg.tensor(signs[:, :n] @ np.linalg.cholesky(C).T)
    noisy = x + s * tg.tensor(signs[:, n:])

    def risk(F: tg.Tensor) -> tg.Tensor:
        return tg.mean(tg.sum(tg.square(target(x, noisy) - noisy @ tg.reshape(F, (n, n)).mT), axis=1))

    zero = tg.zeros(n * n, dtype=np.float64)
    step = tg.linalg.solve(tg.hessian(risk, zero), tg.jacobian(risk, zero))
    yield same("minimiser", tg.reshape(-step, (n, n)), filtered(tg.tensor(C), s), LIN)
    if s == 0.0:
        yield same("no noise: identity", filtered(tg.tensor(C), s), np.eye(n), LIN)


@best_linear.falsification("without the noise", replaces="filtered")
def unregularised(C: tg.Tensor, s: float) -> tg.Tensor:
    return wiener(C, 0.0)


@best_linear.falsification("target is the noisy input", replaces="target")
def noisy_target(x: tg.Tensor, noisy: tg.Tensor) -> tg.Tensor:
    return noisy


# --- AE-5 --------------------------------------------------------------------------------------------------------

AE_5 = Claim(
    "AE-5",
    "Anomaly detection",
    r"\text{score}(x)=\|x-GMx\|^2=\operatorname{dist}(x,\text{principal subspace})^2,"
    r"\qquad\text{flag if above a quantile}",
    sources="004",
)


def residual(x: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    """‖x − VᵀVx‖² for each row: the reconstruction error of a linear autoencoder with orthonormal rows V (d, D)."""
    return tg.sum(tg.square(x - x @ V.mT @ V), axis=1)


@AE_5.part(points=data(), strangers=arrays((5, 4)), codes=arrays((3, 4), -1e3, 1e3))
def distance(points: Data, strangers: Array, codes: Array, *, score: Any = residual) -> Iterator[Check]:
    """The score is the squared distance to the subspace, by least squares; in-subspace outliers score 0."""
    D, d = points.x.shape[1], points.d
    V = principal_axes(tg.tensor(points.x), d)
    axes, rows = host(V), strangers[:, :D]
    nearest = np.linalg.lstsq(axes.T, rows.T, rcond=None)[0]
    yield same("score = distance²", score(tg.tensor(rows), V), np.sum((rows.T - axes.T @ nearest) ** 2, axis=0), ALG)
    inside = codes[:, :d] @ axes
    yield same("outliers in the subspace are not seen", score(tg.tensor(inside), V), 0.0, LIN)
    normal, odd = points.x @ axes.T @ axes, points.x @ axes.T @ axes + 0.5 * host(left_out(points))
    scores = np.concatenate([host(score(tg.tensor(part), V)) for part in (normal, odd)])
    yield same("off the subspace: AUROC", auroc(scores, np.repeat([0, 1], len(normal))), 1.0, EXACT)


def left_out(points: Data) -> tg.Tensor:
    """The direction of least variance (D,)."""
    return principal_axes(tg.tensor(points.x), points.x.shape[1])[-1]


@distance.falsification("distance, not its square")
def not_squared(x: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return tg.linalg.norm(x - x @ V.mT @ V, axis=1)


@distance.falsification("distance from the origin within the subspace")
def code_norm(x: tg.Tensor, V: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.square(x @ V.mT), axis=1)


def upper_quantile(scores: Array, alarms: float) -> float:
    """The threshold that a share ``alarms`` of the normal scores exceeds: their (1 − alarms)-quantile."""
    return float(np.quantile(scores, 1.0 - alarms))


@AE_5.part(count=sizes(20, 200), alarms=floats(0.01, 0.3), key=st.integers(0, 10**6))
def false_alarms(count: int, alarms: float, key: int, *, threshold: Any = upper_quantile) -> Iterator[Check]:
    """Of the normal scores themselves, a quantile threshold flags its share, up to one point."""
    with tg.device("cpu"):
        scores = host(tg.square(Generator(key).normal(count, dtype=np.float64)))
    flagged = np.count_nonzero(scores > threshold(scores, alarms))
    yield holds("alarms", abs(flagged - alarms * (count - 1)) < 1.0, f"{flagged} of {count}, asked for {alarms:.3f}")


@false_alarms.falsification("the other tail")
def lower_quantile(scores: Array, alarms: float) -> float:
    return float(np.quantile(scores, alarms))


# --- AE-6 --------------------------------------------------------------------------------------------------------

AE_6 = Claim(
    "AE-6",
    "Why a plain autoencoder does not generate",
    r"(M,G)\to(AM,GA^{-1})\text{ leaves the loss unchanged, but }z\sim N(0,I)\Rightarrow"
    r"\operatorname{cov}Gz=GG^\top,\quad z\sim N(0,\operatorname{cov}\text{codes})\Rightarrow\operatorname{cov}Gz=PCP",
    sources="004",
)


def recoded(M: tg.Tensor, G: tg.Tensor, A: tg.Tensor) -> Pair:
    """(AM, GA⁻¹)."""
    return A @ M, tg.linalg.solve(A.mT, G.mT).mT


@AE_6.part(points=data(), mixing=arrays((3, 3), -1.0, 1.0))
def codes_are_arbitrary(points: Data, mixing: Array, *, change: Any = recoded) -> Iterator[Check]:
    """Another basis of the codes leaves the loss as it is, and changes the covariance of the codes."""
    x, V, d = tg.tensor(points.x), principal_axes(tg.tensor(points.x), points.d), points.d
    A = 2.0 * np.eye(d) + 0.5 * mixing[:d, :d]
    M, G = change(V, V.mT, tg.tensor(A))
    yield same("same loss", linear_error(x, M, G), linear_error(x, V, V.mT), LIN)
    yield holds("other codes", np.abs(host(x @ M.mT) - host(x @ V.mT)).max() > 0.1)


@codes_are_arbitrary.falsification("A in place of its inverse in the decoder")
def not_inverted(M: tg.Tensor, G: tg.Tensor, A: tg.Tensor) -> Pair:
    return A @ M, G @ A


def fitted(codes: tg.Tensor) -> tg.Tensor:
    """Covariance of a Gaussian fitted to the codes (n, d)."""
    return codes.mT @ codes / codes.shape[0]


@AE_6.part(points=data(), mixing=arrays((3, 3), -1.0, 1.0))
def generation(points: Data, mixing: Array, *, law: Any = fitted) -> Iterator[Check]:
    """Decoding a Gaussian with the covariance of the codes gives the covariance of the reconstructed data."""
    x, d = tg.tensor(points.x), points.d
    V = principal_axes(x, d)
    M, G = recoded(V, V.mT, tg.tensor(2.0 * np.eye(d) + 0.5 * mixing[:d, :d]))
    root = np.linalg.cholesky(host(law(x @ M.mT)))
    z = tg.tensor(sign_vectors(d) @ root.T)  # moments up to the second are exact
    images = host(z @ G.mT)
    reconstructed = host(x @ M.mT @ G.mT)
    yield same(
        "covariance of images", images.T @ images / len(images), reconstructed.T @ reconstructed / len(points.x), LIN
    )


@generation.falsification("codes drawn from N(0, I)")
def standard(codes: tg.Tensor) -> tg.Tensor:
    return tg.eye(codes.shape[1], dtype=codes.dtype)
