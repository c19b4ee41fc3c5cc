"""Floor 8. Property tests of one's own derivations: Hypothesis strategies and checkers that show what is wrong."""

from tinygen.testing import strategies
from tinygen.testing.discriminators import check_discriminator
from tinygen.testing.distributions import check_distribution
from tinygen.testing.divergences import DivergenceFacts, check_divergence
from tinygen.testing.flows import check_flow
from tinygen.testing.gradients import gradcheck
from tinygen.testing.modules import check_module

__all__ = [
    "DivergenceFacts", "check_discriminator", "check_distribution", "check_divergence", "check_flow", "check_module",
    "gradcheck", "strategies",
]  # fmt: skip
