"""Floor 6. Adversarial training: what the two players want (objectives), and what keeps the critic tame (penalties).

Objectives and penalties know nothing of each other and combine freely::

    objective = Smoothed(non_saturating, real=0.9)
    loss = objective.discriminator_loss(D(real), D(fake)) + r1(D, real, gamma=0.1)

The training scheme (GAN-14) is ``tinygen.models.gan``; spectral normalisation (WGAN-6) is ``tinygen.nn.spectral_norm``.
"""

from tinygen.adversarial.objectives import (
    Hinge,
    LeastSquares,
    ManyClasses,
    Minimax,
    NonSaturating,
    Objective,
    Smoothed,
    Swapped,
    Wasserstein,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    optimal_discriminator,
    wasserstein,
)
from tinygen.adversarial.penalties import (
    R1,
    GradientPenalty,
    InstanceNoise,
    PathLength,
    Penalty,
    clip,
    gradient_penalty,
    path_length,
    path_lengths,
    r1,
    squared_slopes,
)

__all__ = [
    "R1", "GradientPenalty", "Hinge", "InstanceNoise", "LeastSquares", "ManyClasses", "Minimax", "NonSaturating",
    "Objective", "PathLength", "Penalty", "Smoothed", "Swapped", "Wasserstein", "clip", "gradient_penalty", "hinge",
    "least_squares", "minimax", "non_saturating", "optimal_discriminator", "path_length", "path_lengths", "r1",
    "squared_slopes", "wasserstein",
]  # fmt: skip
