"""Floor 8. Property tests of one's own derivations: Hypothesis strategies and checkers that show what is wrong."""

from tinygen.testing import strategies
from tinygen.testing.flows import check_flow
from tinygen.testing.gradients import gradcheck

__all__ = ["check_flow", "gradcheck", "strategies"]
