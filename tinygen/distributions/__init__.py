"""Floor 5. Probability distributions with exact log-probabilities, draws, entropies and divergences, in nats."""

from tinygen.distributions.base import Distribution
from tinygen.distributions.continuous import Exponential, Laplace, Normal, Uniform
from tinygen.distributions.discrete import Bernoulli, Binomial, Categorical
from tinygen.distributions.kl import kl_divergence
from tinygen.distributions.mixture import Mixture
from tinygen.distributions.multivariate import Independent, MultivariateNormal

__all__ = [
    "Bernoulli", "Binomial", "Categorical", "Distribution", "Exponential", "Independent", "Laplace", "Mixture",
    "MultivariateNormal", "Normal", "Uniform", "kl_divergence",
]  # fmt: skip
