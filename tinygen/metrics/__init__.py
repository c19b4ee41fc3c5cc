"""Floor 7. Measures of samples, scores and embeddings.  All take tensors or arrays, and compute on the host in float64.

>>> import numpy as np
>>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
0.75
"""

from tinygen.metrics.likelihood import bits_per_dimension
from tinygen.metrics.modes import (
    high_quality_ceiling,
    high_quality_share,
    mode_histogram,
    mode_kl,
    modes_covered,
)
from tinygen.metrics.ranking import auroc, spearman
from tinygen.metrics.samples import (
    DensityCoverage,
    Estimate,
    density_coverage,
    energy_distance,
    gaussian_kernel,
    kid,
    median_distance,
    polynomial_kernel,
    squared_mmd,
    wasserstein_1d,
)
from tinygen.metrics.series import autocorrelation
from tinygen.metrics.words import analogies, analogy_accuracy

__all__ = [
    "DensityCoverage", "Estimate", "analogies", "analogy_accuracy", "auroc", "autocorrelation", "bits_per_dimension",
    "density_coverage", "energy_distance", "gaussian_kernel", "high_quality_ceiling", "high_quality_share", "kid",
    "median_distance", "mode_histogram", "mode_kl", "modes_covered", "polynomial_kernel", "spearman", "squared_mmd",
    "wasserstein_1d",
]  # fmt: skip
