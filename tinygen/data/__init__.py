"""Floor 5. Data: sets by name, exact densities and series, and seeded batches of any arrays."""

from tinygen.data.batches import Batches
from tinygen.data.densities import density
from tinygen.data.energies import Energy, energy
from tinygen.data.images import Images
from tinygen.data.loading import load
from tinygen.data.pushforward import Density
from tinygen.data.series import Autoregression, CausalField, Series, SineProcess, ar1, resonator

__all__ = [
    "Autoregression", "Batches", "CausalField", "Density", "Energy", "Images", "Series", "SineProcess", "ar1",
    "density", "energy", "load", "resonator",
]  # fmt: skip
