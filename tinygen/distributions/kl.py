"""Floor 5. Kullback–Leibler divergences in closed form, in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygen.ops as ops
from tinygen.distributions.base import Distribution
from tinygen.distributions.continuous import Exponential, Laplace, Normal, Uniform
from tinygen.distributions.discrete import Bernoulli, Binomial, Categorical
from tinygen.distributions.multivariate import Independent, MultivariateNormal, log_diagonal
from tinygen.probability import INFINITY, relative_entropy
from tinygen.tensor import Tensor

ClosedForm = Callable[[Any, Any, Tensor | None], Tensor]
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
    return closed_form(p, q, next(iter([*p._tensors(), *q._tensors()]), None))


def _between(*families: type) -> Callable[[ClosedForm], ClosedForm]:
    """Enter a closed form for two distributions of one family; ``like`` tells weak parameters their dtype."""

    def enter(closed_form: ClosedForm) -> ClosedForm:
        for family in families:
            _closed_forms[family, family] = closed_form
        return closed_form

    return enter


@_between(Normal)
def _normal(p: Normal, q: Normal, like: Tensor | None) -> Tensor:
    (m1, s1), (m2, s2) = p._at(like), q._at(like)
    shift = ops.square((m1 - m2) / s2)
    return ops.log(s2) - ops.log(s1) + 0.5 * (ops.square(s1 / s2) + shift - 1.0)  # DIV-6


@_between(MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal, like: Tensor | None) -> Tensor:
    (m1, l1), (m2, l2) = p._at(like), q._at(like)
    trace = ops.sum(ops.square(ops.linalg.solve_triangular(l2, l1)), (-2, -1))  # tr(C₂⁻¹ C₁) = ‖L₂⁻¹ L₁‖²
    shift = ops.sum(ops.square(ops.linalg.solve_triangular(l2, ops.expand_dims(m1 - m2, -1))), (-2, -1))
    return 0.5 * (trace + shift - m1.shape[-1]) + log_diagonal(l2) - log_diagonal(l1)  # DIV-6


@_between(Laplace)
def _laplace(p: Laplace, q: Laplace, like: Tensor | None) -> Tensor:
    (m1, s1), (m2, s2) = p._at(like), q._at(like)
    distance = ops.abs(m1 - m2)
    return ops.log(s2) - ops.log(s1) + (distance + s1 * ops.exp(-distance / s1)) / s2 - 1.0


@_between(Exponential)
def _exponential(p: Exponential, q: Exponential, like: Tensor | None) -> Tensor:
    (r1,), (r2,) = p._at(like), q._at(like)
    return ops.log(r1) - ops.log(r2) + r2 / r1 - 1.0


@_between(Uniform)
def _uniform(p: Uniform, q: Uniform, like: Tensor | None) -> Tensor:
    (low1, high1), (low2, high2) = p._at(like), q._at(like)
    inside = ops.less_equal(low2, low1) * ops.greater_equal(high2, high1)
    return ops.where(inside, ops.log(high2 - low2) - ops.log(high1 - low1), INFINITY)


@_between(Binomial, Bernoulli)
def _binomial(p: Binomial, q: Binomial, like: Tensor | None) -> Tensor:
    if p.n != q.n:
        raise NotImplementedError(f"kl_divergence: binomials of n={p.n} and n={q.n} have no closed form; use one n")
    (a,), (b,) = p._at(like), q._at(like)
    terms = zip(p.both(a), p.log_both(a), q.log_both(b), strict=True)
    success, failure = (relative_entropy(*term) for term in terms)
    return p.n * (success + failure)


@_between(Categorical)
def _categorical(p: Categorical, q: Categorical, like: Tensor | None) -> Tensor:
    if p.classes != q.classes:
        raise ValueError(f"kl_divergence: p has {p.classes} classes, q {q.classes}; pad one with probability 0")
    (a,), (b,) = p._at(like), q._at(like)
    log_p, log_q = p.log_all(a), q.log_all(b)
    probs = ops.softmax(a) if p._from_logits else a
    return ops.sum(relative_entropy(probs, log_p, log_q), -1)


@_between(Independent)
def _independent(p: Independent, q: Independent, like: Tensor | None) -> Tensor:
    if p.axes != q.axes:
        raise ValueError(f"kl_divergence: p has axes={p.axes}, q axes={q.axes}")
    return ops.sum(kl_divergence(p.base, q.base), tuple(range(-p.axes, 0)))
