"""Floor 5. Data: the small sets that ship with the package, and seeded batches of any arrays."""

from tinygen.data.batches import Batches
from tinygen.data.images import Images
from tinygen.data.loading import load

__all__ = ["Batches", "Images", "load"]
