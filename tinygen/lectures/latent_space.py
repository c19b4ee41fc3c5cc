"""Chapter 10, second part. The space of codes: what β trades, when a coordinate collapses, and walks between codes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import Normal
from tinygen.latent import lerp, slerp
from tinygen.lectures.autoencoders import Data, data, linear_error, principal_axes
from tinygen.lectures.claim import ALG, EXACT, LIN, QUAD, Check, Claim, at_least, holds, host, same, within
from tinygen.lectures.divergences import kl_from_standard
from tinygen.lectures.numerics import gauss_legendre, sign_vectors
from tinygen.lectures.variational import pca_decoder, posterior, precision
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, laws, positive_definite, sizes, vectors

Array = np.ndarray


# --- VAE-8 -------------------------------------------------------------------------------------------------------

VAE_8 = Claim(
    "VAE-8",
    "β-weighted loss",
    r"\|x-\hat x\|^2+\beta\,\mathrm{KL}=\beta\cdot(-\mathrm{ELBO})\big|_{\sigma^2=\beta/2}-\tfrac{\beta D}2\ln\pi\beta",
    sources="004",
    assumptions="reconstruction is the squared error summed over pixels",
)


def decoder_variance(beta: float) -> float:
    """σ² = β/2."""
    return beta / 2.0


@VAE_8.part(x=vectors(3), decoded=vectors(3), m=vectors(2), t=vectors(2, 0.1, 3.0), beta=floats(0.05, 10.0))
def equivalence(
    x: Array, decoded: Array, m: Array, t: Array, beta: float, *, variance: Any = decoder_variance
) -> Iterator[Check]:
    """The loss is β times the negative bound of a decoder from ``tg.distributions`` with σ² = β/2, and a constant."""
    kl = kl_from_standard(tg.tensor(m), tg.tensor(t))
    error = tg.sum(tg.square(tg.tensor(x) - tg.tensor(decoded)))
    likelihood = tg.sum(Normal(tg.tensor(decoded), math.sqrt(variance(beta))).log_prob(tg.tensor(x)))
    constant = 0.5 * beta * len(x) * math.log(math.pi * beta)
    yield same("loss", error + beta * kl, beta * (kl - likelihood) - constant, ALG)
    mean_error = tg.mse_loss(tg.tensor(decoded), tg.tensor(x))
    yield same(
        "mean over pixels: β D times as large", len(x) * (mean_error + beta * kl), error + len(x) * beta * kl, ALG
    )


@equivalence.falsification("σ² = β")
def full_beta(beta: float) -> float:
    return beta


def weighted(W: tg.Tensor, t: tg.Tensor, off: tg.Tensor, m: tg.Tensor, beta: float) -> tg.Tensor:
    """E‖x − x̂‖² + β KL for a linear decoder, off = x − b − Wm (VAE-6)."""
    error = tg.sum(tg.square(off)) + tg.sum(tg.square(W) @ tg.square(t))
    return error + (beta * kl_from_standard(m, t) if beta else 0.0)


@VAE_8.part(W=arrays((3, 2)), t=vectors(2, 0.1, 3.0), off=vectors(3), m=vectors(2))
def without_kl(W: Array, t: Array, off: Array, m: Array, *, loss: Any = weighted) -> Iterator[Check]:
    """With β = 0 the slope in the deviations is 2 t_i ‖W_i‖² ≥ 0; at t = 0 the loss is an autoencoder's."""
    deviations = tg.tensor(t, requires_grad=True)
    fixed = (tg.tensor(off), tg.tensor(m))
    (slope,) = tg.grad(loss(tg.tensor(W), deviations, *fixed, 0.0), deviations)
    yield same("slope", slope, 2.0 * t * np.sum(W**2, axis=0), ALG)
    yield same("autoencoder's loss", loss(tg.tensor(W), tg.zeros(2), *fixed, 0.0), np.sum(off**2), ALG)


@without_kl.falsification("KL weighted 1 + β")
def never_off(W: tg.Tensor, t: tg.Tensor, off: tg.Tensor, m: tg.Tensor, beta: float) -> tg.Tensor:
    return weighted(W, t, off, m, 1.0 + beta)


# --- VAE-9 -------------------------------------------------------------------------------------------------------

VAE_9 = Claim(
    "VAE-9",
    "β trades reconstruction for order; posterior collapse",
    r"x\sim N(0,\lambda):\ w^2=(\lambda-\beta\sigma^2)^+,\ \tau^2=\tfrac{\beta\sigma^2}{\max(\lambda,\beta\sigma^2)},"
    r"\ mw=\tfrac{w^2}{\max(\lambda,\beta\sigma^2)},\ \mathrm{KL}=\tfrac12\ln^+\tfrac\lambda{\beta\sigma^2}",
    sources="004",
    assumptions="x̂ = wz, z = mx + τe; reconstruction is the negative log-likelihood with a fixed σ²",
)


class Optimum(NamedTuple):
    """Decoder w, encoder m and τ."""

    w: tg.Tensor
    m: tg.Tensor
    tau: tg.Tensor


def trade_off(lam: tg.Tensor, sigma: float, beta: tg.Tensor) -> Optimum:
    """The formulas of the claim."""
    kept = tg.maximum(lam, beta * sigma**2)
    w = tg.sqrt(kept - beta * sigma**2)
    return Optimum(w, w / kept, tg.sqrt(beta * sigma**2 / kept))


def scalar_terms(lam: Any, sigma: float, w: Any, m: Any, tau: Any) -> tuple[Any, Any]:
    """E(x − x̂)²/2σ² and E KL of the linear model in one dimension, over signs of x/√λ and of the noise."""
    error = (lam**0.5 * (1.0 - w * m) - w * tau) ** 2 + (lam**0.5 * (1.0 - w * m) + w * tau) ** 2
    log_tau = tg.log(tau) if isinstance(tau, tg.Tensor) else np.log(tau)
    return 0.25 * error / sigma**2, 0.5 * (m**2 * lam + tau**2 - 1.0) - log_tau


@VAE_9.part(lam=floats(0.2, 4.0), sigma=floats(0.3, 1.5), beta=floats(0.1, 6.0))
def optimum(lam: float, sigma: float, beta: float, *, best: Any = trade_off) -> Iterator[Check]:
    """No grid point (w, m, τ) is better than the formulas, autodiff finds no slope there, and KL is ½ ln⁺(λ/βσ²)."""
    claimed = best(tg.tensor(lam), sigma, tg.tensor(beta))
    at = [tg.tensor(host(value), requires_grad=True) for value in claimed]
    error, kl = scalar_terms(tg.tensor(lam), sigma, *at)
    loss = error + beta * kl
    for name, slope in zip(("w", "m", "τ"), tg.grad(loss, at), strict=True):
        yield same(f"∂{name} = 0", slope, 0.0, LIN)
    grid = np.meshgrid(
        np.linspace(0.0, 2.0 * lam**0.5, 30), np.linspace(0.0, 2.0 / lam**0.5, 30), np.geomspace(0.03, 2.0, 30)
    )
    all_errors, all_kl = scalar_terms(lam, sigma, *grid)
    yield at_least("best of the grid", (all_errors + beta * all_kl).min(), loss, ALG)
    yield same("KL", kl, 0.5 * max(math.log(lam / (beta * sigma**2)), 0.0), LIN)


@optimum.falsification("w² = λ − σ²: β forgotten")
def without_beta(lam: tg.Tensor, sigma: float, beta: tg.Tensor) -> Optimum:
    return trade_off(lam, sigma, tg.ones_like(beta))


@optimum.falsification("collapsed throughout: a saddle where λ > βσ²")
def saddle(lam: tg.Tensor, sigma: float, beta: tg.Tensor) -> Optimum:
    return Optimum(tg.zeros_like(lam), tg.zeros_like(lam), tg.ones_like(lam))


@VAE_9.part(lam=floats(0.2, 4.0), sigma=floats(0.3, 1.5), betas=vectors(6, 0.05, 8.0))
def monotone(lam: float, sigma: float, betas: Array, *, best: Any = trade_off) -> Iterator[Check]:
    """As β rises the KL of the optimum falls and its error rises; past λ/σ² the code is noise and the error is λ."""
    threshold = lam / sigma**2
    rising = np.sort(np.append(betas, [threshold, 2.0 * threshold]))
    errors, kl = scalar_terms(lam, sigma, *best(tg.tensor(np.full(len(rising), lam)), sigma, tg.tensor(rising)))
    yield at_least("KL falls", 0.0, np.diff(host(kl)), ALG)
    yield at_least("error rises", np.diff(host(errors)), 0.0, ALG)
    off = rising >= threshold
    yield same("no KL past the threshold", host(kl)[off], 0.0, LIN)
    yield same("no reconstruction past it", host(errors)[off] * 2.0 * sigma**2, lam, LIN)


@monotone.falsification("threshold λ/σ")
def wrong_threshold(lam: tg.Tensor, sigma: float, beta: tg.Tensor) -> Optimum:
    return trade_off(lam, math.sqrt(sigma), beta)


# --- VAE-10 ------------------------------------------------------------------------------------------------------

VAE_10 = Claim(
    "VAE-10",
    "Aggregated posterior",
    r"\tfrac1n\sum_i\mathrm{KL}(q(z\mid x_i)\,\|\,p)=I_q(i;z)+\mathrm{KL}(\bar q\,\|\,p),\qquad 0\le I_q\le\ln n",
    sources="003",
)


def aggregated(rows: Array) -> Array:
    """q̄ = (1/n) Σ q(z|x_i)."""
    return np.asarray(rows.mean(axis=0))


@VAE_10.part(m=vectors(4, -3, 3), t=vectors(4, 0.3, 1.5))
def decomposition(m: Array, t: Array, *, mixture: Any = aggregated) -> Iterator[Check]:
    """Mean KL by the closed form of DIV-5 is information plus KL of the mixture, both by quadrature."""
    z, w = gauss_legendre(-18.0, 18.0, 16, 72)
    q = np.exp(-0.5 * ((z - m[:, None]) / t[:, None]) ** 2) / (t[:, None] * math.sqrt(2.0 * math.pi))
    log_prior = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)
    q_bar = np.maximum(mixture(q), 1e-300)
    information = np.mean((q * (np.log(np.maximum(q, 1e-300)) - np.log(q_bar))) @ w)
    from_prior = (q_bar * (np.log(q_bar) - log_prior)) @ w
    yield same("mean KL", kl_from_standard(tg.tensor(m), tg.tensor(t)) / len(m), information + from_prior, QUAD)
    yield at_least("I ≥ 0", information, 0.0, QUAD)
    yield at_least("ln n ≥ I", math.log(len(m)), information, QUAD)


@decomposition.falsification("the first posterior in place of the mixture")
def first_posterior(rows: Array) -> Array:
    return np.asarray(rows[0])


@decomposition.falsification("geometric mean of the posteriors")
def geometric(rows: Array) -> Array:
    return np.asarray(np.exp(np.log(np.maximum(rows, 1e-300)).mean(axis=0)))


def information_of(rows: tg.Tensor, prior: tg.Tensor) -> tg.Tensor:
    """I = H(q̄) − mean H(q(·|x_i)), on tables."""
    mixed = tg.mean(rows, axis=0)
    return tg.sum(tg.xlogy(rows, rows)) / rows.shape[0] - tg.sum(tg.xlogy(mixed, mixed))


@VAE_10.part(tables=laws(3, sizes(2, 6), zeros=True))
def matched(tables: tuple[Array, ...], *, information: Any = information_of) -> Iterator[Check]:
    """Posteriors need not equal the prior, only their mixture: with p = q̄ the mean KL is all information."""
    rows = np.stack(tables)
    prior = rows.mean(axis=0)
    ratio = np.divide(rows, prior, out=np.ones_like(rows), where=rows > 0.0)
    mean_kl = np.mean(np.sum(rows * np.log(ratio), axis=1))
    yield same("mean KL = I", information(tg.tensor(rows), tg.tensor(prior)), mean_kl, ALG)


@matched.falsification("entropy of the mixture dropped")
def mean_entropy(rows: tg.Tensor, prior: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.xlogy(rows, rows)) / rows.shape[0]


# --- VAE-11 ------------------------------------------------------------------------------------------------------

VAE_11 = Claim(
    "VAE-11",
    "Latent space: autoencoder against variational autoencoder",
    r"\text{linear VAE at its optimum: }\operatorname{cov}(z)=M^{-1}W^\top CWM^{-1}/\sigma^4+M^{-1}=I;"
    r"\qquad\text{autoencoder: any covariance of the codes at the same loss}",
    sources="004",
    assumptions="linear networks at their optimum; how trained networks compare is a gate of the models",
)


def code_covariance(means: tg.Tensor, within_code: tg.Tensor) -> tg.Tensor:
    """Covariance of z = mean(x) + noise: that of the means, plus the noise's."""
    return means.mT @ means / means.shape[0] + within_code


@VAE_11.part(C=positive_definite(4), k=sizes(1, 3))
def filled(C: Array, k: int, *, covariance: Any = code_covariance) -> Iterator[Check]:
    """At probabilistic PCA, encoding data of covariance C with exact posteriors gives codes of covariance I."""
    weights, sigma = pca_decoder(C, k)
    W, b = tg.tensor(weights), tg.zeros(4)
    x = tg.tensor(sign_vectors(4) @ np.linalg.cholesky(C).T)
    means = tg.stack([posterior(W, b, sigma, row)[0] for row in x])
    noise = tg.linalg.inv(precision(W, sigma))
    yield same("covariance of codes", covariance(means, noise), np.eye(k), LIN)


@filled.falsification("noise of the codes forgotten")
def means_only(means: tg.Tensor, within_code: tg.Tensor) -> tg.Tensor:
    return means.mT @ means / means.shape[0]


def mixing(codes: Array, S: Array) -> Array:
    """A with A cov(codes) Aᵀ = S, from the Cholesky factors of both."""
    factor = np.linalg.cholesky(codes.T @ codes / len(codes))
    return np.asarray(np.linalg.solve(factor.T, np.linalg.cholesky(S).T).T)


@VAE_11.part(points=data(), S=positive_definite(3))
def arbitrary(points: Data, S: Array, *, change: Any = mixing) -> Iterator[Check]:
    """An optimal linear autoencoder can have any covariance S of its codes: the loss does not see it."""
    x, d = tg.tensor(points.x), points.d
    V = principal_axes(x, d)
    A = tg.tensor(change(host(x @ V.mT), S[:d, :d]))
    codes = x @ (A @ V).mT
    yield same("covariance of codes", codes.mT @ codes / len(points.x), S[:d, :d], LIN)
    yield same("least loss", linear_error(x, A @ V, tg.linalg.solve(A.mT, V).mT), points.spectrum[d:].sum(), LIN)


@arbitrary.falsification("codes not whitened first")
def unwhitened(codes: Array, S: Array) -> Array:
    return np.linalg.cholesky(S)


# --- VAE-12 ------------------------------------------------------------------------------------------------------

VAE_12 = Claim(
    "VAE-12",
    "Attribute arithmetic",
    r"v=\tfrac1{|A|}\sum_Az-\tfrac1{|\bar A|}\sum_{\bar A}z,"
    r"\qquad G(z+\alpha v)=G(z)+\alpha Gv\ \text{for a linear decoder}",
    sources="004",
)


def attribute_vector(codes: tg.Tensor, has: tg.Tensor) -> tg.Tensor:
    """Mean code with the attribute minus mean code without, for codes (n, k) and has (n,) of zeros and ones."""
    return has @ codes / tg.sum(has) - (1.0 - has) @ codes / tg.sum(1.0 - has)


@VAE_12.part(direction=vectors(3, -3, 3))
def recovered(direction: Array, *, vector: Any = attribute_vector) -> Iterator[Check]:
    """Codes e + y v* with e ~ N(0, I) give back v* within 5 standard errors √(1/|A| + 1/|Ā|) a coordinate."""
    count = 400
    has = tg.tensor(np.arange(count) % 4 == 0).astype(np.float64)
    noise = Generator(12).spawn("VAE-12").normal((count, 3), dtype=np.float64)
    found = vector(noise + tg.expand_dims(has, 1) * tg.tensor(direction), has)
    yield within("v", found, direction, math.sqrt(1.0 / 100 + 1.0 / 300))


@recovered.falsification("without minus with")
def reversed_vector(codes: tg.Tensor, has: tg.Tensor) -> tg.Tensor:
    return attribute_vector(codes, 1.0 - has)


@recovered.falsification("against the mean of all codes")
def against_all(codes: tg.Tensor, has: tg.Tensor) -> tg.Tensor:
    return has @ codes / tg.sum(has) - tg.mean(codes, axis=0)


class Labelled(NamedTuple):
    """Codes (6, 3), of which the first two have the attribute, and a linear decoder (4, 3)."""

    codes: Array
    decoder: Array


def decode_edited(decoder: tg.Tensor, z: tg.Tensor, v: tg.Tensor, alpha: float) -> tg.Tensor:
    """G(z + αv)."""
    return (z + alpha * v) @ decoder.mT


@VAE_12.part(
    labelled=st.builds(Labelled, arrays((6, 3)), arrays((4, 3))),
    alpha=st.just(0.0) | floats(-3, 3),
    C=positive_definite(3),
)
def edited(labelled: Labelled, alpha: float, C: Array, *, edit: Any = decode_edited) -> Iterator[Check]:
    """A linear decoder moves by exactly αGv, 0 at α = 0; the logit of a discriminant classifier rises along v."""
    codes, has = labelled.codes, np.repeat([1.0, 0.0], [2, 4])
    v = host(attribute_vector(tg.tensor(codes), tg.tensor(has)))
    by_hand = codes[:2].mean(axis=0) - codes[2:].mean(axis=0)
    moved = edit(tg.tensor(labelled.decoder), tg.tensor(codes), tg.tensor(v), alpha)
    plain = codes @ labelled.decoder.T
    yield same("moved by αGv", moved, plain + alpha * labelled.decoder @ by_hand, ALG)
    z = tg.tensor(codes, requires_grad=True)
    centres = [tg.tensor(codes[part].mean(axis=0)) for part in (slice(2, 6), slice(0, 2))]
    precise = tg.tensor(np.linalg.inv(C))
    far, near = (tg.sum((z - centre) @ precise * (z - centre), axis=1) for centre in centres)
    (slope,) = tg.grad(tg.sum(0.5 * (far - near)), z)
    yield at_least("slope of the logit along v", slope @ tg.tensor(v), by_hand @ by_hand / 4.0, LIN)


@edited.falsification("α² in place of α")
def squared_alpha(decoder: tg.Tensor, z: tg.Tensor, v: tg.Tensor, alpha: float) -> tg.Tensor:
    return decode_edited(decoder, z, v, alpha**2)


# --- VAE-13 ------------------------------------------------------------------------------------------------------

VAE_13 = Claim(
    "VAE-13",
    "Interpolation of codes",
    r"\operatorname{slerp}(a,b;t)=\frac{\sin((1-t)\theta)\,a+\sin(t\theta)\,b}{\sin\theta},\qquad"
    r"\mathbb E\big\|\tfrac12(z_1+z_2)\big\|^2=\tfrac d2",
    sources="004",
    assumptions="slerp: unit vectors at an angle θ < π; opposite ones have no shortest way, and none is chosen",
)


@VAE_13.part(a=vectors(4, -1, 1), b=vectors(4, -1, 1), t=floats(0, 1), angle=st.sampled_from([None, 0.0, 1e-10, 3.1]))
def great_circle(a: Array, b: Array, t: float, angle: float | None, *, path: Any = slerp) -> Iterator[Check]:
    """slerp meets the ends, stays on the sphere, and has gone the angle tθ, from θ = 0 to near π.

    The other side is the great circle, from the start and a unit vector across it.
    """
    first = a / np.linalg.norm(a) if np.linalg.norm(a) > 0.1 else np.eye(4)[0]
    across = b - (b @ first) * first
    across = across / np.linalg.norm(across) if np.linalg.norm(across) > 0.1 else across_of(first)
    theta = 1.0 + 0.5 * float(np.clip(b[0], -1, 1)) if angle is None else angle
    second = math.cos(theta) * first + math.sin(theta) * across
    ends = tg.tensor(first), tg.tensor(second)
    yield same("start", path(*ends, 0.0), first, LIN)
    yield same("end", path(*ends, 1.0), second, LIN)
    point = path(*ends, t)
    yield same("norm", tg.linalg.norm(point), 1.0, LIN)
    yield same("constant speed", point, math.cos(t * theta) * first + math.sin(t * theta) * across, LIN)


def across_of(first: Array) -> Array:
    """A unit vector orthogonal to a unit vector (4,)."""
    return np.array([-first[1], first[0], -first[3], first[2]])


@great_circle.falsification("straight line")
def straight(a: tg.Tensor, b: tg.Tensor, t: float) -> tg.Tensor:
    return lerp(a, b, t)


@great_circle.falsification("weights exchanged")
def backwards(a: tg.Tensor, b: tg.Tensor, t: float) -> tg.Tensor:
    return slerp(a, b, 1.0 - t)


def midpoint_norm(d: int) -> tuple[float, float]:
    """E‖½(z₁ + z₂)‖² = d/2, and E‖½(z₁ + z₂)‖ = Γ((d+1)/2) / Γ(d/2)."""
    return d / 2.0, math.exp(math.lgamma((d + 1) / 2.0) - math.lgamma(d / 2.0))


@VAE_13.part(d=sizes(1, 100))
def shrinks(d: int, *, norms: Any = midpoint_norm) -> Iterator[Check]:
    """Midpoints of 500 independent pairs have the claimed norms within 5 standard errors: near √(d/2)."""
    ends = Generator(13).spawn(f"VAE-13 {d}").normal((2, 500, d), dtype=np.float64)
    lengths = host(tg.linalg.norm(0.5 * (ends[0] + ends[1]), axis=1))
    squared, norm = norms(d)
    yield within("E‖·‖²", np.mean(lengths**2), squared, math.sqrt(d / 2.0 / 500))  # variance of ‖·‖²: d/2
    yield within("E‖·‖", np.mean(lengths), norm, np.std(lengths) / math.sqrt(500))
    yield at_least("below √(d/2)", math.sqrt(d / 2.0), norm, EXACT)
    yield holds("near √(d/2)", norm > math.sqrt(d / 2.0) * (1.0 - 0.5 / d))


@shrinks.falsification("midpoints as long as the ends")
def unshrunk(d: int) -> tuple[float, float]:
    return float(d), math.sqrt(2.0) * midpoint_norm(d)[1]
