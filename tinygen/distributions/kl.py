"""Floor 5. Kullback–Leibler divergences in closed form, in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygen.ops as ops
from tinygen.distributions.base import Distribution
from tinygen.distributions.continuous import Exponential, Laplace, Normal, Uniform
from tinygen.distributions.discrete import Bernoulli, Binomial, Categorical
from tinygen.distributions.multivariate import Independent, MultivariateNormal, log_diagonal, whiten
from tinygen.probability import INFINITY, relative_entropy
from tinygen.tensor import Tensor

ClosedForm = Callable[[Any, Any], Tensor]
_closed_forms: dict[tuple[type, type], ClosedForm] = {}


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = E_p log p/q in nats (DIV-1), of the two batch shapes broadcast; ∞ where q is 0 < p.

    Raises NotImplementedError for a pair without a closed form.

    >>> from tinygen.distributions import Normal
    >>> kl_divergence(Normal(0.0, 1.0), Normal(2.0, 1.0)).item()
    2.0
    """
    closed_form = _closed_forms.get((type(p), type(q)))
    if closed_form is None:
        raise NotImplementedError(
            f"kl_divergence: no closed form for {type(p).__name__} and {type(q).__name__}; estimate it with x drawn "
            "from p: tg.mean(p.log_prob(x) - q.log_prob(x), axis=0)"
        )
    if p.event_shape != q.event_shape:
        raise ValueError(f"kl_divergence: draws of p have shape {p.event_shape}, those of q {q.event_shape}")
    like = next(iter([*p._tensors(), *q._tensors()]), None)
    return closed_form(p._anchored(like), q._anchored(like))


def _between(*families: type) -> Callable[[ClosedForm], ClosedForm]:
    """Enter a closed form for two distributions of one family."""

    def enter(closed_form: ClosedForm) -> ClosedForm:
        for family in families:
            _closed_forms[family, family] = closed_form
        return closed_form

    return enter


@_between(Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    shift = ops.square((p.loc - q.loc) / q.scale)
    return ops.log(q.scale) - ops.log(p.scale) + 0.5 * (ops.square(p.scale / q.scale) + shift - 1.0)  # DIV-6


@_between(MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    d = p.event_shape[0]
    whitened = ops.linalg.solve_triangular(q.scale_tril, p.scale_tril)
    trace = ops.sum(ops.square(whitened), (-2, -1))  # tr(C₂⁻¹ C₁) = ‖L₂⁻¹ L₁‖²
    shift = ops.sum(ops.square(whiten(q.scale_tril, p.loc - q.loc)), -1)
    return 0.5 * (trace + shift - d) + log_diagonal(q.scale_tril) - log_diagonal(p.scale_tril)  # DIV-6


@_between(Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    distance = ops.abs(p.loc - q.loc)
    spread = p.scale * ops.exp(-distance / p.scale)
    return ops.log(q.scale) - ops.log(p.scale) + (distance + spread) / q.scale - 1.0


@_between(Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    return ops.log(p.rate) - ops.log(q.rate) + q.rate / p.rate - 1.0


@_between(Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = ops.less_equal(q.low, p.low) * ops.greater_equal(q.high, p.high)
    return ops.where(inside, ops.log(q.high - q.low) - ops.log(p.high - p.low), INFINITY)


@_between(Binomial, Bernoulli)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if p.n != q.n:
        raise NotImplementedError(f"kl_divergence: binomials of n={p.n} and n={q.n} have no closed form; use one n")
    terms = zip(p.both(*p._at()), p.log_both(*p._at()), q.log_both(*q._at()), strict=True)
    success, failure = (relative_entropy(*term) for term in terms)
    return p.n * (success + failure)


@_between(Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    if p.classes != q.classes:
        raise ValueError(f"kl_divergence: p has {p.classes} classes, q {q.classes}; pad one with probability 0")
    return ops.sum(relative_entropy(p.probs, p.logits, q.logits), -1)


@_between(Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.axes != q.axes:
        raise ValueError(f"kl_divergence: p has axes={p.axes}, q axes={q.axes}")
    return ops.sum(kl_divergence(p.base, q.base), tuple(range(-p.axes, 0)))
