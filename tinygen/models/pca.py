"""Principal component analysis, exact: what a linear autoencoder can reach at best (AE-2).

Source: Pearson 1901.  Points are rows (N, D); all is computed on the host in float64, from the singular values of the
centred points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygen.metrics.arrays import numbers


class PCA(NamedTuple):
    """Mean and principal directions of a set of points; k of the directions make a code of k numbers."""

    mean: np.ndarray
    """(D,)"""
    directions: np.ndarray
    """(min(N, D), D): orthonormal rows, that of the most variance first."""
    variances: np.ndarray
    """(min(N, D),): the eigenvalues of the covariance (divided by N), falling."""

    def encode(self, x: Any, k: int) -> np.ndarray:
        """Coordinates (N, k) along the first k directions, relative to the mean."""
        centred = numbers("PCA.encode", "x", x, 2) - self.mean
        return centred @ self._first(k).T  # type: ignore[no-any-return]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The points (N, D) of the principal subspace that have these coordinates."""
        return codes @ self.directions[: codes.shape[1]] + self.mean  # type: ignore[no-any-return]

    def error(self, x: Any, k: int) -> np.ndarray:
        """Squared distance (N,) of each point to the subspace of the first k directions."""
        lost = numbers("PCA.error", "x", x, 2) - self.decode(self.encode(x, k))
        return (lost**2).sum(axis=1)  # type: ignore[no-any-return]

    def projector(self, k: int) -> np.ndarray:
        """The matrix (D, D) that takes a centred point to the nearest one of the principal subspace."""
        return self._first(k).T @ self._first(k)  # type: ignore[no-any-return]

    def _first(self, k: int) -> np.ndarray:
        if not 0 <= k <= len(self.directions):
            raise ValueError(f"PCA: there are {len(self.directions)} principal directions, so k = {k} is not possible")
        return self.directions[:k]


def fit(x: Any) -> PCA:
    """The PCA of points (N, D).

    >>> found = fit([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> found.variances.round(9).tolist(), found.error([[3.0, 0.5]], 1).round(9).tolist()
    ([2.0, 0.5], [0.25])
    """
    points = numbers("pca.fit", "x", x, 2)
    if not len(points):
        raise ValueError("pca.fit: needs at least one point")
    mean = points.mean(axis=0)
    _, singular, directions = np.linalg.svd(points - mean, full_matrices=False)
    return PCA(mean, directions, singular**2 / len(points))
