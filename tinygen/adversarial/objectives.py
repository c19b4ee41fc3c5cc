"""Floor 6. What discriminator and generator minimise, as functions of logits (GAN-1, 12, 15 … 19; WGAN-2).

An objective is three elementwise losses: of a real example's logit s, of a fake one's, and of the generator for a
fake one's.  D itself, where there is one, is ``output(s)``.  The losses know nothing of networks: a conditional game
(GAN-15) is the same objective on logits D(x, y).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinygen import ops
from tinygen.probability import require
from tinygen.random import Generator
from tinygen.tensor import Tensor


class Objective:
    """Base of all objectives; a subclass defines the three losses.  Logits have any shape with the batch first."""

    def real_loss(self, s: Tensor) -> Tensor:
        """What the discriminator pays for each logit of real data."""
        raise NotImplementedError

    def fake_loss(self, s: Tensor) -> Tensor:
        """What the discriminator pays for each logit of generated data."""
        raise NotImplementedError

    def fooling_loss(self, s: Tensor) -> Tensor:
        """What the generator pays for each logit of its data."""
        raise NotImplementedError

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean loss of the real logits plus mean loss of the fake ones."""
        return ops.mean(self.real_loss(real)) + ops.mean(self.fake_loss(fake))

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Mean loss of the generator at the logits of its data."""
        return ops.mean(self.fooling_loss(fake))

    def output(self, s: Tensor) -> Tensor:
        """D as a function of the logit."""
        return ops.sigmoid(s)

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        """The output D that minimises p · real_loss + q · fake_loss at places with densities p and q (GAN-5)."""
        return optimal_discriminator(p, q)


def optimal_discriminator(p: Any, q: Any) -> Tensor:
    """D*(x) = p(x) / (p(x) + q(x)), of densities or tables that broadcast (GAN-6).

    Where both are 0 no discriminator is better than another; it is ½ there.  Negative densities are refused, where
    looking costs nothing (not on a device).

    >>> optimal_discriminator([0.5, 1.0, 0.0], [0.5, 0.0, 0.0]).numpy().tolist()
    [0.5, 1.0, 0.5]
    """
    p, q = _densities(p, q)
    return _share(p, p + q, 0.5)


def _densities(p: Any, q: Any) -> tuple[Tensor, Tensor]:
    p, q = (x if isinstance(x, Tensor) else ops.tensor(x) for x in (p, q))
    for name, density in (("p", p), ("q", q)):
        require(f"optimal_discriminator: the density {name}", density, lambda a: ~(a < 0), "must not be negative")
    return p, q


def _share(part: Tensor, whole: Tensor, of_nothing: float) -> Tensor:
    """part / whole, or ``of_nothing`` where the whole is 0.  What is not a number stays none."""
    nothing = ops.equal(whole, 0.0)
    return ops.where(nothing, of_nothing, part / ops.where(nothing, 1.0, whole))


# --- the games ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minimax(Objective):
    """L_D = −ln D(x) − ln(1 − D(G(z))) and L_G = ln(1 − D(G(z))), with D = σ(s): Goodfellow et al. 2014 (GAN-1)."""

    def real_loss(self, s: Tensor) -> Tensor:
        return ops.softplus(-s)  # −ln σ(s)

    def fake_loss(self, s: Tensor) -> Tensor:
        return ops.softplus(s)  # −ln(1 − σ(s))

    def fooling_loss(self, s: Tensor) -> Tensor:
        return -ops.softplus(s)


@dataclass(frozen=True)
class NonSaturating(Minimax):
    """The same discriminator, and L_G = −ln D(G(z)): its slope −(1 − D) is large where D ≈ 0 (GAN-12)."""

    def fooling_loss(self, s: Tensor) -> Tensor:
        return ops.softplus(-s)


@dataclass(frozen=True)
class LeastSquares(Objective):
    """L_D = ½(s − 1)² on real, ½s² on fake, and L_G = ½(s − 1)²: Mao et al. 2017.  The score s is D itself."""

    def real_loss(self, s: Tensor) -> Tensor:
        return 0.5 * ops.square(s - 1.0)

    def fake_loss(self, s: Tensor) -> Tensor:
        return 0.5 * ops.square(s)

    def fooling_loss(self, s: Tensor) -> Tensor:
        return 0.5 * ops.square(s - 1.0)

    def output(self, s: Tensor) -> Tensor:
        return s


@dataclass(frozen=True)
class Hinge(Objective):
    """L_D = max(0, 1 − s) on real, max(0, 1 + s) on fake, and L_G = −s: Lim & Ye 2017."""

    def real_loss(self, s: Tensor) -> Tensor:
        return ops.relu(1.0 - s)

    def fake_loss(self, s: Tensor) -> Tensor:
        return ops.relu(1.0 + s)

    def fooling_loss(self, s: Tensor) -> Tensor:
        return -s

    def output(self, s: Tensor) -> Tensor:
        return s

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        """The sign of p − q: 1 where real data are the more likely, −1 where fakes are."""
        return ops.sign(2.0 * optimal_discriminator(p, q) - 1.0)


@dataclass(frozen=True)
class Wasserstein(Objective):
    """L_D = −f(x) + f(G(z)) and L_G = −f(G(z)): Arjovsky et al. 2017 (WGAN-2).

    Without a bound on the slope of f the game has no value (E-26): add a penalty, clip, or normalise.
    """

    def real_loss(self, s: Tensor) -> Tensor:
        return -s

    def fake_loss(self, s: Tensor) -> Tensor:
        return s

    def fooling_loss(self, s: Tensor) -> Tensor:
        return -s

    def output(self, s: Tensor) -> Tensor:
        return s

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        raise ValueError(
            "wasserstein.optimal_discriminator: the best critic is not a function of the densities at a place, but of "
            "the whole laws; the distance that it measures is tg.divergences.wasserstein_1d"
        )


minimax, non_saturating = Minimax(), NonSaturating()
least_squares, hinge, wasserstein = LeastSquares(), Hinge(), Wasserstein()


# --- tricks: objectives made of objectives -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Wrapped(Objective):
    """The game of ``base``; a subclass says what it changes."""

    base: Objective

    def real_loss(self, s: Tensor) -> Tensor:
        return self.base.real_loss(s)

    def fake_loss(self, s: Tensor) -> Tensor:
        return self.base.fake_loss(s)

    def fooling_loss(self, s: Tensor) -> Tensor:
        return self.base.fooling_loss(s)

    def output(self, s: Tensor) -> Tensor:
        return self.base.output(s)


@dataclass(frozen=True)
class Smoothed(_Wrapped):
    """Label smoothing: real examples are "real" with target ``real``, fakes with target ``fake`` (GAN-17).

    L_D = a · real_loss + (1 − a) · fake_loss on real, and the same with b on fake, so that D* = (a p + b q) / (p + q).
    The generator's loss stays: its labels are not smoothed.
    """

    real: float = 0.7
    fake: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.fake < self.real <= 1.0:
            raise ValueError(f"Smoothed: needs 0 ≤ fake < real ≤ 1, got real={self.real}, fake={self.fake}")

    def real_loss(self, s: Tensor) -> Tensor:
        return _mixed(self.base, s, self.real)

    def fake_loss(self, s: Tensor) -> Tensor:
        return _mixed(self.base, s, self.fake)

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        return self.base.optimal_discriminator(*_relabelled(p, q, self.real, self.fake))


@dataclass(frozen=True)
class Swapped(_Wrapped):
    """Label swapping: each example changes sides with probability ``probability``, anew at each loss (GAN-18).

    In expectation it is smoothing with targets 1 − ε and ε.
    """

    probability: float = 0.05
    rng: Generator = field(kw_only=True)

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"Swapped: probability must lie between 0 and 1, got {self.probability}")

    def real_loss(self, s: Tensor) -> Tensor:
        return self._swapped(self.base.real_loss(s), self.base.fake_loss(s))

    def fake_loss(self, s: Tensor) -> Tensor:
        return self._swapped(self.base.fake_loss(s), self.base.real_loss(s))

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        return self.base.optimal_discriminator(*_relabelled(p, q, 1.0 - self.probability, self.probability))

    def _swapped(self, own: Tensor, other: Tensor) -> Tensor:
        examples = own.shape[:1] + (1,) * (own.ndim - 1)  # all places of one example swap together
        swap = self.rng.bernoulli(self.probability, examples, dtype=own.dtype, device=own.device)
        return ops.where(swap > 0, other, own)


def _mixed(base: Objective, s: Tensor, target: float) -> Tensor:
    """The loss of an example that is real with probability ``target``; terms of weight 0 are not computed."""
    if target == 1.0:
        return base.real_loss(s)
    if target == 0.0:
        return base.fake_loss(s)
    return target * base.real_loss(s) + (1.0 - target) * base.fake_loss(s)


def _relabelled(p: Any, q: Any, real: float, fake: float) -> tuple[Tensor, Tensor]:
    """Densities of what is labelled real, and of what is labelled fake."""
    p, q = _densities(p, q)
    return real * p + fake * q, (1.0 - real) * p + (1.0 - fake) * q


@dataclass(frozen=True)
class ManyClasses(_Wrapped):
    """K + 1 classes, K of real data and the fakes, from K logits l; the fakes' logit is fixed at 0 (GAN-19).

    p_real = Z / (Z + 1) with Z = Σ exp l_k, so that ln Z is the logit of the two-sided game, which ``base`` judges.
    To ``discriminator_loss`` add ``labelled_loss`` of the examples that have labels (Salimans et al. 2016).
    Logits are (…, K), outputs probabilities (…, K + 1) with the fakes last.

    >>> import tinygen as tg
    >>> tg.adversarial.ManyClasses(tg.adversarial.minimax).output(tg.zeros((1, 3))).numpy().tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def real_loss(self, s: Tensor) -> Tensor:
        return self.base.real_loss(self.logit(s))

    def fake_loss(self, s: Tensor) -> Tensor:
        return self.base.fake_loss(self.logit(s))

    def fooling_loss(self, s: Tensor) -> Tensor:
        return self.base.fooling_loss(self.logit(s))

    def logit(self, s: Tensor) -> Tensor:
        """ln Z (…,), the logit of "real"."""
        return ops.logsumexp(s, axis=-1)

    def output(self, s: Tensor) -> Tensor:
        return ops.softmax(_with_fake_class(s), axis=-1)

    def labelled_loss(self, s: Tensor, labels: Tensor) -> Tensor:
        """−ln p(y | x) of the K + 1 classes, the mean over a batch: logits (N, K), labels (N,) from 0 to K − 1."""
        log_probabilities = ops.log_softmax(_with_fake_class(s), axis=1)
        return ops.nll_loss(log_probabilities[:, :-1], labels)  # no label says "fake"

    def optimal_discriminator(self, p: Any, q: Any) -> Tensor:
        """p(k | x) = p(x, k) / (p(x) + q(x)) of joint densities p (…, K) and q (…): probabilities (…, K + 1).

        It is the optimum of ``labelled_loss`` on labelled data and ``fake_loss`` on fakes with the minimax base.
        Where all densities are 0, all classes are equally probable.
        """
        p, q = _densities(p, q)
        masses = ops.concatenate([p, ops.expand_dims(q, -1)], axis=-1)
        return _share(masses, ops.sum(masses, axis=-1, keepdims=True), 1.0 / masses.shape[-1])


def _with_fake_class(s: Tensor) -> Tensor:
    return ops.concatenate([s, ops.zeros_like(s[..., :1])], axis=-1)
