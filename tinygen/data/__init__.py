"""Floor 5. Data: sets by name, exact densities and series, and seeded batches of any arrays."""

from tinygen.data.batches import Batches, Draws, Source
from tinygen.data.densities import density
from tinygen.data.energies import Energy, energy
from tinygen.data.faces import Faces, draw_face_pairs, draw_faces
from tinygen.data.glyphs import Glyphs
from tinygen.data.grammar import PlantedGrammar
from tinygen.data.images import Images
from tinygen.data.loading import load
from tinygen.data.pushforward import Density
from tinygen.data.series import Autoregression, CausalField, Series, SineProcess, ar1, resonator
from tinygen.data.sounds import Sounds, mu_law_decode, mu_law_encode
from tinygen.data.text import Analogies, Corpus, Vocabulary, WordPairs, Words, tokenize

__all__ = [
    "Analogies", "Autoregression", "Batches", "CausalField", "Corpus", "Density", "Draws", "Energy", "Faces", "Glyphs",
    "Images", "PlantedGrammar", "Series", "SineProcess", "Sounds", "Source", "Vocabulary", "WordPairs", "Words", "ar1",
    "density", "draw_face_pairs", "draw_faces", "energy", "load", "mu_law_decode", "mu_law_encode", "resonator",
    "tokenize",
]  # fmt: skip
