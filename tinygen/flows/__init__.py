"""Floor 6. Normalising flows: bijections with exact log-determinants, and the densities they make."""

from tinygen.flows.autoregressive import InverseAutoregressive, MaskedAutoregressive, iaf, maf
from tinygen.flows.base import Flow, Inverse, Layer
from tinygen.flows.coupling import AffineCoupling, real_nvp
from tinygen.flows.elementary import Affine, BatchNorm, Permutation, TriangularAffine
from tinygen.flows.networks import CausalNetwork, MaskedPerceptron, perceptron
from tinygen.flows.planar import Planar

__all__ = [
    "Affine",
    "AffineCoupling",
    "BatchNorm",
    "CausalNetwork",
    "Flow",
    "Inverse",
    "InverseAutoregressive",
    "Layer",
    "MaskedAutoregressive",
    "MaskedPerceptron",
    "Permutation",
    "Planar",
    "TriangularAffine",
    "iaf",
    "maf",
    "perceptron",
    "real_nvp",
]  # fmt: skip
