"""Chapter 10, first part. Variational autoencoders: the model, the bound, and how it is climbed.

A decoder G turns a code z ~ N(0, I) (k,) into the mean of x (D,); the encoder answers with N(m, diag t²).  The linear
decoder G(z) = Wz + b is the exactly solvable case.  What the codes look like stands in ``latent_space``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen.distributions import MultivariateNormal, Normal
from tinygen.lectures.claim import ALG, FD, LIN, OPT, QUAD, Check, Claim, at_least, host, same, within
from tinygen.lectures.divergences import kl_from_standard
from tinygen.lectures.numerics import central_difference, gauss_hermite, gauss_legendre, golden_section, sign_vectors
from tinygen.random import Generator
from tinygen.testing.strategies import arrays, floats, positive_definite, sizes, vectors

Array = np.ndarray
LN_TAU = math.log(2.0 * math.pi)


class Linear(NamedTuple):
    """A linear decoder W (D, k), b (D,), the noise σ, one x (D,), and a code's law: mean m (k,), deviations t (k,)."""

    W: Array
    b: Array
    sigma: float
    x: Array
    m: Array
    t: Array

    def tensors(self) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor, tg.Tensor]:
        """W, b, x and the precision M = I + WᵀW/σ² of the posterior."""
        W, b, x = (tg.tensor(value) for value in (self.W, self.b, self.x))
        return W, b, x, precision(W, self.sigma)


@st.composite
def linear_models(draw: st.DrawFn, k: int | st.SearchStrategy[int] = sizes(1, 3)) -> Linear:
    """Up to 4 pixels and (if not fixed) 3 latent variables; W = 0 is the simplest."""
    D, n = draw(sizes(1, 4)), k if isinstance(k, int) else draw(k)
    W, b, x = draw(arrays((D, n), -2.0, 2.0)), draw(arrays(D, -2.0, 2.0)), draw(arrays(D, -2.0, 2.0))
    return Linear(W, b, draw(floats(0.3, 2.0)), x, draw(arrays(n, -2.0, 2.0)), draw(arrays(n, 0.2, 2.0)))


def precision(W: tg.Tensor, sigma: float) -> tg.Tensor:
    """M = I + WᵀW/σ²."""
    return tg.eye(W.shape[1]) + W.mT @ W / sigma**2


def evidence(W: tg.Tensor, b: tg.Tensor, sigma: float, x: tg.Tensor) -> tg.Tensor:
    """ln p(x) = ln N(x; b, WWᵀ + σ²I)."""
    return MultivariateNormal(b, W @ W.mT + sigma**2 * tg.eye(W.shape[0])).log_prob(x)


def linear_elbo(model: Linear, m: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
    """E_q ln p(x|z) − KL for q = N(m, diag t²), by the trace form (VAE-6) and DIV-5."""
    W, b, x, _ = model.tensors()
    error = tg.sum(tg.square(x - b - W @ m)) + tg.sum(tg.square(W) @ tg.square(t))
    likelihood = -0.5 * error / model.sigma**2 - 0.5 * len(model.x) * (LN_TAU + 2.0 * math.log(model.sigma))
    return likelihood - kl_from_standard(m, t)


# --- VAE-1 -------------------------------------------------------------------------------------------------------

VAE_1 = Claim(
    "VAE-1",
    "Probabilistic decoder",
    r"z\sim N(0,I),\ x=G(z)+\varepsilon\ \Rightarrow\ p(x\mid z)=N(x;G(z),\sigma^2I),"
    r"\qquad G(z)=Wz+b:\ p(x)=N(b,WW^\top+\sigma^2I)",
    sources="003 002",
)


def marginal_covariance(W: tg.Tensor, sigma: float) -> tg.Tensor:
    """WWᵀ + σ²I."""
    return W @ W.mT + sigma**2 * tg.eye(W.shape[0])


@VAE_1.part(model=linear_models(1))
def marginal(model: Linear, *, covariance: Any = marginal_covariance) -> Iterator[Check]:
    """∫ p(x|z) p(z) dz over one latent variable by quadrature is the density of N(b, WWᵀ + σ²I)."""
    z, w = gauss_legendre(-15.0, 15.0, 16, 60)
    error = np.sum((model.x[:, None] - model.b[:, None] - model.W * z) ** 2, axis=0)
    terms = -0.5 * error / model.sigma**2 - 0.5 * z**2 + np.log(w)
    constant = 0.5 * (len(model.x) + 1) * LN_TAU + len(model.x) * math.log(model.sigma)
    exact = MultivariateNormal(tg.tensor(model.b), covariance(tg.tensor(model.W), model.sigma))
    yield same("ln p(x)", exact.log_prob(tg.tensor(model.x)), np.logaddexp.reduce(terms) - constant, QUAD)


@marginal.falsification("σ in place of σ²")
def deviation_as_variance(W: tg.Tensor, sigma: float) -> tg.Tensor:
    return W @ W.mT + sigma * tg.eye(W.shape[0])


@marginal.falsification("decoder's spread forgotten")
def noise_only(W: tg.Tensor, sigma: float) -> tg.Tensor:
    return sigma**2 * tg.eye(W.shape[0])


def gaussian_conditional(x: tg.Tensor, decoded: float, sigma: float, noise: float) -> tg.Tensor:
    """p(x | z) = N(x; G(z), σ²): the noise is integrated out."""
    return tg.exp(Normal(decoded, sigma).log_prob(x))


@VAE_1.part(decoded=floats(-3, 3), sigma=floats(0.3, 2.0), noise=floats(-2, 2))
def conditional(decoded: float, sigma: float, noise: float, *, density: Any = gaussian_conditional) -> Iterator[Check]:
    """p(x | z) is a density of x: it integrates to 1, with mean G(z) and variance σ²."""
    x, w = gauss_legendre(decoded - 12 * sigma, decoded + 12 * sigma, 16, 24)
    p = host(density(tg.tensor(x), decoded, sigma, noise)) * np.ones_like(x)
    yield same("∫ p(x|z) dx", w @ p, 1.0, QUAD)
    yield same("mean", w @ (p * x), decoded, QUAD)
    yield same("variance", w @ (p * (x - decoded) ** 2), sigma**2, QUAD)


@conditional.erratum(
    "E-40",
    "the right side is the random variable x, not its density",
    printed=r"p(x\mid z)=\mathrm{decoder}(z)+\varepsilon",
)
def random_variable(x: tg.Tensor, decoded: float, sigma: float, noise: float) -> tg.Tensor:
    return tg.full_like(x, decoded + noise)


# --- VAE-2 -------------------------------------------------------------------------------------------------------

VAE_2 = Claim(
    "VAE-2",
    "Encoder",
    r"z=M_\phi(x)+\sigma_\phi(x)\odot e,\ e\sim N(0,I)\ \Rightarrow\ "
    r"q_\phi(z\mid x)=N(M_\phi(x),\operatorname{diag}\sigma_\phi^2)",
    sources="003 002",
)


def isotropic(tau: float, k: int) -> tg.Tensor:
    """τ²I."""
    return tg.eye(k) * tau**2


@VAE_2.part(mean=vectors(sizes(2, 4)), tau=floats(0.1, 3.0))
def moments(mean: Array, tau: float, *, covariance: Any = isotropic) -> Iterator[Check]:
    """Samples m + τe have mean m and covariance τ²I: exactly over signs e, within 5 standard errors over normal e."""
    k = len(mean)
    z = tg.tensor(mean) + tau * tg.tensor(sign_vectors(k))
    centred = z - tg.mean(z, axis=0)
    claimed = covariance(tau, k)
    yield same("mean", tg.mean(z, axis=0), mean, ALG)
    yield same("covariance", centred.mT @ centred / len(z), claimed, ALG)
    count = 4000
    drawn = host(tg.tensor(mean) + tau * Generator(2).spawn("VAE-2").normal((count, k), dtype=np.float64))
    deviations = (drawn - mean) / tau
    pairs = deviations[:, :, None] * deviations[:, None, :]
    exact = host(claimed) / tau**2
    yield within("drawn covariance / τ²", pairs.mean(axis=0), exact, np.sqrt((1.0 + np.eye(k)) / count))


@moments.erratum(
    "E-41", "a number is no covariance: all coordinates would share one noise", printed=r"N(M_\phi(x),\tau^2)"
)
def one_number(tau: float, k: int) -> tg.Tensor:
    return tg.full((k, k), tau**2, dtype=np.float64)


@moments.falsification("τ in place of τ²")
def unsquared(tau: float, k: int) -> tg.Tensor:
    return tg.eye(k) * tau


def reparametrised(mean: tg.Tensor, log_deviation: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    """z = m + e^ℓ e: a path from the noise on which gradients reach both parameters."""
    return mean + tg.exp(log_deviation) * noise


@VAE_2.part(mean=vectors(3, -2, 2), log_deviation=vectors(3, -1.5, 1), A=arrays((3, 3), -2, 2), b=vectors(3, -2, 2))
def gradient_paths(
    mean: Array, log_deviation: Array, A: Array, b: Array, *, draw: Any = reparametrised
) -> Iterator[Check]:
    """Autodiff through samples of z gives the slopes of E[zᵀAz + bᵀz]: (A + Aᵀ)m + b, and 2 A_ii σ_i² in ln σ_i."""
    m, ell = tg.tensor(mean, requires_grad=True), tg.tensor(log_deviation, requires_grad=True)
    z = draw(m, ell, tg.tensor(sign_vectors(3)))
    average = tg.mean(tg.sum((z @ tg.tensor(A)) * z, axis=1) + z @ tg.tensor(b))
    for_mean, for_ell = (
        tg.zeros_like(at) if slope is None else slope
        for at, slope in zip((m, ell), tg.grad(average, (m, ell), allow_unused=True), strict=True)
    )
    yield same("∂m", for_mean, (A + A.T) @ mean + b, ALG)
    yield same("∂ ln σ", for_ell, 2.0 * np.diag(A) * np.exp(2.0 * log_deviation), ALG)


@gradient_paths.falsification("samples cut off from ln σ")
def detached(mean: tg.Tensor, log_deviation: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    return mean + tg.exp(log_deviation).detach() * noise


# --- VAE-3 -------------------------------------------------------------------------------------------------------

VAE_3 = Claim(
    "VAE-3",
    "Objective of a variational autoencoder",
    r"\sum_{i=1}^{\ell}\Big(\mathbb E_{q(z\mid x_i)}\ln p(x_i\mid z)-\mathrm{KL}(q(z\mid x_i)\,\|\,N(0,I))\Big)\to\max",
    sources="002",
)


def objective(elbo: Callable[[int, int], tuple[tg.Tensor, tg.Tensor]], count: int) -> tg.Tensor:
    """Σ_i (reconstruction − KL), where ``elbo(i, j)`` gives both terms for the object x_i and the code q(z | x_j)."""
    terms = [elbo(i, i) for i in range(count)]
    return tg.sum(tg.stack([reconstruction - kl for reconstruction, kl in terms]))


@VAE_3.part(model=linear_models(1), others=arrays((2, 4), -2.0, 2.0))
def total(model: Linear, others: Array, *, summed: Any = objective) -> Iterator[Check]:
    """For a linear decoder with exact posteriors, the objective is Σ ln p(x_i), without slope in the codes."""
    W, b, _, M = model.tensors()
    data = [tg.tensor(row) for row in (model.x, *others[:, : len(model.x)])]
    means = tg.stack([posterior(W, b, model.sigma, x)[0] for x in data])
    m, t = tg.tensor(means, requires_grad=True), 1.0 / tg.sqrt(M[0])

    def terms(i: int, j: int) -> tuple[tg.Tensor, tg.Tensor]:
        kl = kl_from_standard(m[j], t)
        return linear_elbo(model._replace(x=host(data[i])), m[j], t) + kl, kl

    value = summed(terms, len(data))
    yield same("Σ ln p(x_i)", value, sum(float(evidence(W, b, model.sigma, x)) for x in data), LIN)
    yield same("slope in the means", tg.grad(value, m)[0], 0.0, LIN)


@total.erratum(
    "E-42",
    "one code q(z|x) for all objects",
    printed=r"\sum_{i=1}^{\ell}\Big(\mathbb E_{q(z|x)}\ln p(x_i\mid z)-\mathrm{KL}(q(z|x)\|N(0,1))\Big)",
)
def without_index(elbo: Callable[[int, int], tuple[tg.Tensor, tg.Tensor]], count: int) -> tg.Tensor:
    terms = [elbo(i, 0) for i in range(count)]
    return tg.sum(tg.stack([reconstruction - kl for reconstruction, kl in terms]))


@total.falsification("KL added, not subtracted")
def rewarded(elbo: Callable[[int, int], tuple[tg.Tensor, tg.Tensor]], count: int) -> tg.Tensor:
    terms = [elbo(i, i) for i in range(count)]
    return tg.sum(tg.stack([reconstruction + kl for reconstruction, kl in terms]))


# --- VAE-4 -------------------------------------------------------------------------------------------------------

VAE_4 = Claim(
    "VAE-4",
    "Evidence lower bound",
    r"\ln p(x)-\mathrm{KL}(q(z\mid x)\,\|\,p(z\mid x))"
    r"=\mathbb E_q\ln p(x\mid z)-\mathrm{KL}(q(z\mid x)\,\|\,p(z))\le\ln p(x)",
    sources="003 002",
    assumptions="q ≪ p(z|x)",
)


def wavy_reconstruction(x: float, m: tg.Tensor, tau: tg.Tensor) -> tg.Tensor:
    """E (x − z − sin 2z)² for z ~ N(m, τ²), from the moments of a Gaussian times a sine."""
    damp = tg.exp(-2.0 * tau**2)
    sine, z_sine = damp * tg.sin(2.0 * m), damp * (m * tg.sin(2.0 * m) + 2.0 * tau**2 * tg.cos(2.0 * m))
    squared_sine = 0.5 * (1.0 - tg.exp(-8.0 * tau**2) * tg.cos(4.0 * m))
    return (x - m) ** 2 + tau**2 - 2.0 * x * sine + 2.0 * z_sine + squared_sine


def wavy_elbo(x: float, sigma: float, m: tg.Tensor, tau: tg.Tensor) -> tg.Tensor:
    """E_q ln p(x|z) − KL(q ‖ N(0, 1)) in closed form, for G(z) = z + sin 2z and q = N(m, τ²)."""
    likelihood = -0.5 * wavy_reconstruction(x, m, tau) / sigma**2 - 0.5 * LN_TAU - math.log(sigma)
    return likelihood - kl_from_standard(m, tau)


@VAE_4.part(x=floats(-3, 3), sigma=floats(0.4, 2.0), m=floats(-3, 3), tau=floats(0.2, 2.0))
def identity(x: float, sigma: float, m: float, tau: float, *, elbo: Any = wavy_elbo) -> Iterator[Check]:
    """With G(z) = z + sin 2z, ln p(x) − KL(q ‖ posterior) by quadrature is the bound in closed form, below ln p(x)."""
    z, w = gauss_legendre(-24.0, 24.0, 16, 96)
    log_joint = -0.5 * ((x - z - np.sin(2.0 * z)) / sigma) ** 2 - 0.5 * z**2 - LN_TAU - math.log(sigma)
    log_p = np.logaddexp.reduce(log_joint + np.log(w))
    log_q = -0.5 * ((z - m) / tau) ** 2 - 0.5 * LN_TAU - math.log(tau)
    gap = w @ (np.exp(log_q) * (log_q - (log_joint - log_p)))
    bound = elbo(x, sigma, tg.tensor(m), tg.tensor(tau))
    yield same("both forms", bound, log_p - gap, QUAD)
    yield at_least("ln p(x) ≥ bound", log_p, bound, QUAD)


@identity.falsification("KL dropped")
def likelihood_alone(x: float, sigma: float, m: tg.Tensor, tau: tg.Tensor) -> tg.Tensor:
    return wavy_elbo(x, sigma, m, tau) + kl_from_standard(m, tau)


@identity.falsification("decoder at the mean of the code")
def at_the_mean(x: float, sigma: float, m: tg.Tensor, tau: tg.Tensor) -> tg.Tensor:
    likelihood = -0.5 * ((x - m - tg.sin(2.0 * m)) / sigma) ** 2 - 0.5 * LN_TAU - math.log(sigma)
    return likelihood - kl_from_standard(m, tau)


# --- VAE-5 -------------------------------------------------------------------------------------------------------

VAE_5 = Claim(
    "VAE-5",
    "Exact linear-Gaussian case",
    r"p(z\mid x)=N\big(M^{-1}W^\top(x-b)/\sigma^2,M^{-1}\big),\ M=I+W^\top W/\sigma^2;\quad"
    r"\text{gap}=\tfrac12\big[\mathrm{tr}(M\,\mathrm{diag}\,t^2)+(m-m_p)^\top M(m-m_p)-k"
    r"-\ln\det M-\textstyle\sum\ln t_i^2\big]",
    sources="003",
)


def posterior(W: tg.Tensor, b: tg.Tensor, sigma: float, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """Mean M⁻¹Wᵀ(x − b)/σ² and covariance M⁻¹."""
    M = precision(W, sigma)
    return tg.linalg.solve(M, W.mT @ (x - b)) / sigma**2, tg.linalg.inv(M)


@VAE_5.part(model=linear_models())
def bayes(model: Linear, *, law: Any = posterior) -> Iterator[Check]:
    """The posterior is the conditional of the joint Gaussian of (z, x), by the formula with the covariance of x."""
    W, b, x, _ = model.tensors()
    mean, covariance = law(W, b, model.sigma, x)
    gain = np.linalg.solve(model.W @ model.W.T + model.sigma**2 * np.eye(len(model.x)), model.W).T
    yield same("mean", mean, gain @ (model.x - model.b), LIN)
    yield same("covariance", covariance, np.eye(model.W.shape[1]) - gain @ model.W, LIN)


@bayes.falsification("prior forgotten: M = WᵀW/σ²")
def least_squares(W: tg.Tensor, b: tg.Tensor, sigma: float, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    M = W.mT @ W / sigma**2 + 1e-6 * tg.eye(W.shape[1])  # a regular matrix also where W is not
    return tg.linalg.solve(M, W.mT @ (x - b)) / sigma**2, tg.linalg.inv(M)


def gap_formula(M: tg.Tensor, t: tg.Tensor, off: tg.Tensor) -> tg.Tensor:
    """KL(N(m, diag t²) ‖ N(m_p, M⁻¹)), with off = m − m_p."""
    squares = tg.sum(tg.diagonal(M) * tg.square(t)) + tg.sum(off * (M @ off))
    return 0.5 * (squares - M.shape[0] - tg.linalg.slogdet(M)[1] - 2.0 * tg.sum(tg.log(t)))


@VAE_5.part(model=linear_models())
def gap(model: Linear, *, formula: Any = gap_formula) -> Iterator[Check]:
    """ln p(x) minus the bound by the trace form is the formula of the gap, never negative."""
    W, b, x, M = model.tensors()
    m, t = tg.tensor(model.m), tg.tensor(model.t)
    claimed = formula(M, t, m - posterior(W, b, model.sigma, x)[0])
    yield same("gap", claimed, evidence(W, b, model.sigma, x) - linear_elbo(model, m, t), LIN)
    yield at_least("never negative", claimed, 0.0, LIN)


@gap.falsification("without ln det M")
def without_determinant(M: tg.Tensor, t: tg.Tensor, off: tg.Tensor) -> tg.Tensor:
    return gap_formula(M, t, off) + 0.5 * tg.linalg.slogdet(M)[1]


def best_deviations(M: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """t_i² = 1/M_ii (the best diagonal) and τ² = k / tr M (the best isotropic)."""
    return 1.0 / tg.diagonal(M), M.shape[0] / tg.trace(M)


@VAE_5.part(model=linear_models())
def best_codes(model: Linear, *, best: Any = best_deviations) -> Iterator[Check]:
    """A search finds t_i² = 1/M_ii and τ² = k/tr M; the gap left is ½(Σ ln M_ii − ln det M)."""
    W, b, x, M = model.tensors()
    mean = posterior(W, b, model.sigma, x)[0]
    diagonal, common = best(M)
    columns, k = np.sum(model.W**2, axis=0) / model.sigma**2, model.W.shape[1]

    def each(s: Array) -> Array:  # the terms of the bound that depend on ln t_i²
        return np.asarray(-0.5 * (columns * np.exp(s) + np.exp(s) - s))

    def shared(s: Array) -> Array:
        return np.asarray(-0.5 * ((columns.sum() + k) * np.exp(s) - k * s))

    low, high = np.full(k, -12.0), np.full(k, 4.0)
    yield same("diagonal", diagonal, np.exp(golden_section(each, low, high)), OPT)
    yield same("isotropic", common, np.exp(golden_section(shared, low[:1], high[:1]))[0], OPT)
    left = 0.5 * (tg.sum(tg.log(tg.diagonal(M))) - tg.linalg.slogdet(M)[1])
    bound = linear_elbo(model, mean, tg.sqrt(diagonal))
    yield same("gap left", evidence(W, b, model.sigma, x) - bound, left, LIN)


@best_codes.falsification("diagonal of the posterior's covariance")
def marginal_variances(M: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    covariance = tg.linalg.inv(M)
    return tg.diagonal(covariance), tg.trace(covariance) / M.shape[0]


# --- VAE-6 -------------------------------------------------------------------------------------------------------

VAE_6 = Claim(
    "VAE-6",
    "Reconstruction term and squared error",
    r"\mathbb E_q\ln p(x\mid z)=-\tfrac1{2\sigma^2}\mathbb E_q\|x-G(z)\|^2-\tfrac D2\ln2\pi\sigma^2,\qquad"
    r"\mathbb E_q\|x-Wz-b\|^2=\|x-b-Wm\|^2+\mathrm{tr}(W\,\mathrm{diag}(t^2)W^\top)",
    sources="002 003",
)


def scaled_error(x: tg.Tensor, decoded: tg.Tensor, sigma: float) -> tg.Tensor:
    """−‖x − G(z)‖²/2σ² − (D/2) ln 2πσ², for each row of decoded (n, D)."""
    squared = tg.sum(tg.square(x - decoded), axis=1)
    return -0.5 * squared / sigma**2 - 0.5 * x.shape[0] * (LN_TAU + 2.0 * math.log(sigma))


@VAE_6.part(x=vectors(3), decoded=arrays((4, 3)), sigma=floats(0.1, 3.0))
def likelihood(x: Array, decoded: Array, sigma: float, *, formula: Any = scaled_error) -> Iterator[Check]:
    """The log-likelihood summed over pixels, from ``tg.distributions``, is the scaled squared error."""
    pixels = Normal(tg.tensor(decoded), sigma).log_prob(tg.tensor(x))
    yield same("per sample", formula(tg.tensor(x), tg.tensor(decoded), sigma), tg.sum(pixels, axis=1), ALG)


@likelihood.falsification("1/σ² without the ½")
def without_half(x: tg.Tensor, decoded: tg.Tensor, sigma: float) -> tg.Tensor:
    return scaled_error(x, decoded, sigma) - 0.5 * tg.sum(tg.square(x - decoded), axis=1) / sigma**2


@likelihood.falsification("constant of one pixel")
def one_pixel(x: tg.Tensor, decoded: tg.Tensor, sigma: float) -> tg.Tensor:
    return scaled_error(x, decoded, sigma) + 0.5 * (x.shape[0] - 1) * (LN_TAU + 2.0 * math.log(sigma))


def trace_form(W: tg.Tensor, off: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
    """‖off‖² + tr(W diag(t²) Wᵀ)."""
    return tg.sum(tg.square(off)) + tg.trace((W * tg.square(t)) @ W.mT)


@VAE_6.part(model=linear_models())
def trace(model: Linear, *, formula: Any = trace_form) -> Iterator[Check]:
    """E_q‖x − Wz − b‖² over sign vectors, exact for second moments, is the trace form."""
    z = model.m + model.t * sign_vectors(len(model.t))
    expected = np.mean(np.sum((model.x - model.b - z @ model.W.T) ** 2, axis=1))
    W, b, x, _ = model.tensors()
    yield same("expected error", formula(W, x - b - W @ tg.tensor(model.m), tg.tensor(model.t)), expected, ALG)


@trace.falsification("error of the mean code only")
def mean_code(W: tg.Tensor, off: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.square(off))


@trace.falsification("t in place of t²")
def unsquared_deviation(W: tg.Tensor, off: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
    return tg.sum(tg.square(off)) + tg.trace((W * t) @ W.mT)


def average(values: tg.Tensor) -> tg.Tensor:
    """The mean of K samples (…, K)."""
    return tg.mean(values, axis=-1)


@VAE_6.part(values=vectors(3), K=sizes(1, 4))
def sampling(values: Array, K: int, *, estimate: Any = average) -> Iterator[Check]:
    """Over all K-tuples of three equally likely values, the mean of K is unbiased with variance ∝ 1/K."""
    tuples = tg.tensor(np.array(list(itertools.product(values, repeat=K))))
    estimates = estimate(tuples)
    yield same("unbiased", tg.mean(estimates), values.mean(), ALG)
    yield same("variance / K", tg.mean(tg.square(estimates - values.mean())), values.var() / K, ALG)


@sampling.falsification("sum of the samples")
def sample_sum(values: tg.Tensor) -> tg.Tensor:
    return tg.sum(values, axis=-1)


@sampling.falsification("best of K samples")
def best_sample(values: tg.Tensor) -> tg.Tensor:
    return tg.max(values, axis=-1)


def binary_entropy(target: tg.Tensor) -> tg.Tensor:
    """−x ln x − (1 − x) ln(1 − x)."""
    return -tg.xlogy(target, target) - tg.xlogy(1.0 - target, 1.0 - target)


@VAE_6.part(target=vectors(4, 0.001, 0.999))
def bernoulli(target: Array, *, least: Any = binary_entropy) -> Iterator[Check]:
    """For pixels in [0, 1] a search over logits finds the cross-entropy least at the target: its binary entropy."""

    def negative_bce(s: Array) -> Array:
        return np.asarray(target * s - np.logaddexp(0.0, s))

    logit = golden_section(negative_bce, np.full(4, -20.0), np.full(4, 20.0))
    yield same("minimiser", tg.sigmoid(tg.tensor(logit)), target, OPT)
    bce = tg.binary_cross_entropy_with_logits(tg.tensor(logit), tg.tensor(target), reduction="none")
    yield same("minimum", bce, least(tg.tensor(target)), LIN)


@bernoulli.falsification("least cross-entropy is 0")
def zero_loss(target: tg.Tensor) -> tg.Tensor:
    return tg.zeros_like(target)


# --- VAE-7 -------------------------------------------------------------------------------------------------------

VAE_7 = Claim(
    "VAE-7",
    "Training by sampled gradients",
    r"\nabla_{\theta,\phi}\,\mathbb E_e\big[\ln p_\theta(x\mid\mu+\sigma e)\big]-\nabla_\phi\mathrm{KL}"
    r"=\mathbb E_e\,\nabla\big[\dots\big],\qquad\text{linear: converges to probabilistic PCA}",
    sources="002 003",
)


def estimator(draw: Callable[..., tg.Tensor], x: float, at: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    """The bound for each noise (n,), with G(z) = a sin z and parameters (μ, ln τ, a): encode, draw, decode."""
    z = draw(at[0], at[1], noise)
    kl = 0.5 * (tg.exp(2.0 * at[1]) - 2.0 * at[1] - 1.0 + tg.square(at[0]))
    return -0.5 * tg.square(x - at[2] * tg.sin(z)) - 0.5 * LN_TAU - kl


@VAE_7.part(x=floats(-3, 3), mu=floats(-2, 2), log_tau=floats(-1, 0.5), a=floats(-2, 2))
def unbiased(x: float, mu: float, log_tau: float, a: float, *, draw: Any = reparametrised) -> Iterator[Check]:
    """Gradients through samples average to central differences of the bound by quadrature over z, encoder included."""
    z, w = gauss_legendre(-16.0, 16.0, 16, 64)

    def exact(at: Array) -> Array:
        tau = np.exp(at[1])
        q = np.exp(-0.5 * ((z - at[0]) / tau) ** 2) / (tau * math.sqrt(2.0 * math.pi))
        terms = -0.5 * (x - at[2] * np.sin(z)) ** 2 - 0.5 * LN_TAU
        return np.asarray(w @ (q * terms) - 0.5 * (tau**2 - 2.0 * at[1] - 1.0 + at[0] ** 2))

    point = np.array([mu, log_tau, a])
    slope = central_difference(exact, point)
    nodes, weights = gauss_hermite(40)
    at = tg.tensor(point, requires_grad=True)
    mean = tg.sum(tg.tensor(weights) * estimator(draw, x, at, tg.tensor(nodes)))
    yield same("mean gradient", tg.grad(mean, at)[0], slope, FD)
    noise = Generator(7).spawn("VAE-7").normal(2000, dtype=np.float64)
    rows = tg.jacobian(lambda p: estimator(draw, x, p.mT, noise), tg.tensor(np.tile(point, (2000, 1))), batch=True)
    drawn = host(rows)
    error = drawn.std(axis=0) / math.sqrt(len(drawn))
    yield within("mean of 2000 sampled gradients", drawn.mean(axis=0), slope, error + 1e-6)  # 1e-6: the differences


@unbiased.falsification("variance in place of the deviation")
def by_variance(mean: tg.Tensor, log_deviation: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    return mean + tg.exp(2.0 * log_deviation) * noise


@unbiased.falsification("no gradient through the sample")
def sample_detached(mean: tg.Tensor, log_deviation: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    return (mean + tg.exp(log_deviation) * noise).detach()


def pca_decoder(C: Array, k: int) -> tuple[Array, float]:
    """W = U (Λ − σ²)^½ of the k leading eigenvectors, σ² the mean of the other eigenvalues (Tipping & Bishop 1999)."""
    values, axes = np.linalg.eigh(C)
    lost = float(values[: len(C) - k].mean())
    return axes[:, len(C) - k :] * np.sqrt(values[len(C) - k :] - lost), math.sqrt(lost)


@VAE_7.part(C=positive_definite(3), k=sizes(1, 2))
def linear_optimum(C: Array, k: int, *, solution: Any = pca_decoder) -> Iterator[Check]:
    """At probabilistic PCA with exact posteriors the bound is the likelihood, and autodiff finds no slope in θ or φ."""
    weights, sigma = solution(C, k)
    W, log_sigma = tg.tensor(weights, requires_grad=True), tg.tensor(math.log(sigma), requires_grad=True)
    M = precision(W, sigma).detach()
    encoder = tg.tensor(host(tg.linalg.solve(M, W.detach().mT)) / sigma**2, requires_grad=True)
    deviations = tg.tensor(np.linalg.cholesky(np.linalg.inv(host(M))), requires_grad=True)
    x = tg.tensor(sign_vectors(3) @ np.linalg.cholesky(C).T)  # data with covariance C
    z = tg.expand_dims(x @ encoder.mT, 1) + tg.tensor(sign_vectors(k)) @ deviations.mT
    error = tg.mean(tg.sum(tg.square(tg.expand_dims(x, 1) - z @ W.mT), axis=2))
    likelihood = -0.5 * error * tg.exp(-2.0 * log_sigma) - 1.5 * LN_TAU - 3.0 * log_sigma
    spread = tg.sum(tg.square(deviations)) - 2.0 * tg.sum(tg.log(tg.abs(tg.diagonal(deviations)))) - k
    kl = 0.5 * (tg.mean(tg.sum(tg.square(x @ encoder.mT), axis=1)) + spread)
    bound = likelihood - kl
    exact = tg.mean(MultivariateNormal(tg.zeros(3), marginal_covariance(W.detach(), sigma)).log_prob(x))
    yield same("bound = likelihood", bound, exact, LIN)
    parameters = (W, log_sigma, encoder, deviations)
    slopes = tg.grad(bound, parameters)
    for name, slope in zip(("W", "ln σ", "encoder", "deviations"), slopes, strict=True):
        yield same(f"∂{name} = 0", tg.tril(slope) if name == "deviations" else slope, 0.0, LIN)


@linear_optimum.falsification("PCA without taking σ² off")
def plain_pca(C: Array, k: int) -> tuple[Array, float]:
    values, axes = np.linalg.eigh(C)
    return axes[:, len(C) - k :] * np.sqrt(values[len(C) - k :]), math.sqrt(values[: len(C) - k].mean())
