"""Floor 5. A planted language: sentences whose word statistics are known exactly, so that every analogy is true.

A noun is a combination of three factors, such as royal, female, plural: *queens*.  A sentence is one noun amid
context words; each of these speaks of one factor of the noun alone.  So for a context word c of factor f,
P(c | noun) depends on the noun's level of f only, log P(c | noun) is a sum over factors, and the rows of the
pointwise mutual information satisfy v(king) − v(man) + v(woman) = v(queen) to the last digit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tinygen import ops
from tinygen.random import Generator
from tinygen.tensor import Tensor

# kind: male and female, first one, then many of them
_NOUNS = {
    "common": ("man", "woman", "men", "women"),
    "royal": ("king", "queen", "kings", "queens"),
    "young": ("boy", "girl", "boys", "girls"),
    "kin": ("father", "mother", "fathers", "mothers"),
}
# words that speak of one level of one factor
_CONTEXTS = (
    {
        "common": ("person", "adult"),
        "royal": ("throne", "crown"),
        "young": ("child", "school"),
        "kin": ("family", "home"),
    },
    {"male": ("he", "his"), "female": ("she", "her")},
    {"one": ("is", "a"), "many": ("are", "some")},
)


@dataclass(frozen=True, kw_only=True)
class PlantedGrammar:
    """``contexts`` words before and after each noun; a share ``noise`` of context words says nothing: any of them.

    >>> import tinygen as tg
    >>> grammar = PlantedGrammar()
    >>> ids = grammar.sample(tg.random.Generator(0), 3)
    >>> ids.shape, len(grammar.vocabulary), ("man", "woman", "king", "queen") in grammar.analogies
    ((3, 9), 32, True)
    """

    contexts: int = 4
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.contexts < 1 or not 0 < self.noise < 1:  # without noise some pairs never meet: log 0
            raise ValueError(f"PlantedGrammar: needs contexts ≥ 1 and 0 < noise < 1, got {self!r}")

    @property
    def nouns(self) -> tuple[str, ...]:
        """The nouns, of which each sentence has one, all equally likely."""
        return tuple(itertools.chain(*_NOUNS.values()))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, by number: nouns first."""
        return self.nouns + tuple(word for factor in _CONTEXTS for words in factor.values() for word in words)

    @property
    def analogies(self) -> list[tuple[str, str, str, str]]:
        """All (a, b, c, d) where b differs from a, and d from c, by the same change of one factor, and a is not c."""
        levels = dict(zip(self.nouns, self._levels(), strict=True))
        noun_of = {level: noun for noun, level in levels.items()}
        found = []
        for a, b in itertools.permutations(self.nouns, 2):
            changed = [factor for factor in range(3) if levels[a][factor] != levels[b][factor]]
            if len(changed) == 1:
                (factor,) = changed
                for c in self.nouns:
                    if c != a and levels[c][factor] == levels[a][factor]:
                        level = (*levels[c][:factor], levels[b][factor], *levels[c][factor + 1 :])
                        found.append((a, b, c, noun_of[level]))
        return found

    def context_probability(self) -> np.ndarray:
        """P(word | noun) of each context word: (nouns, vocabulary), rows sum to 1, exact."""
        words = {word: number for number, word in enumerate(self.vocabulary)}
        first = len(self.nouns)
        table = np.zeros((first, len(words)))
        table[:, first:] = self.noise / (len(words) - first)
        for row, level in zip(table, self._levels(), strict=True):
            for factor, chosen in zip(_CONTEXTS, level, strict=True):
                for word in factor[chosen]:
                    row[words[word]] += (1.0 - self.noise) / (len(_CONTEXTS) * len(factor[chosen]))
        return table

    def pair_probability(self) -> np.ndarray:
        """P(word, other word) of a random pair of different places of a sentence: (vocabulary, vocabulary), exact."""
        given = self.context_probability()
        nouns, size, m = len(given), given.shape[1], 2 * self.contexts
        once = np.zeros((size, size))
        once[:nouns] = given / nouns  # a noun and a context word
        twice = np.asarray(given.T @ given) / nouns  # two context words of one noun
        joint: np.ndarray = (m * (once + once.T) + m * (m - 1) * twice) / (m * (m + 1))
        return joint

    def sample(self, rng: Generator, n: int, *, device: str | None = None) -> Tensor:
        """``n`` sentences as word numbers (n, 2 · contexts + 1), the noun in the middle."""
        noun = rng.integers(0, len(self.nouns), n, device=device)
        given = ops.tensor(self.context_probability(), dtype=np.float64, device=noun.device)
        around = rng.categorical(ops.expand_dims(ops.take(given, noun, 0), 1), (n, 2 * self.contexts), device=device)
        before, after = ops.split(around, 2, axis=1)
        return ops.concatenate([before, ops.expand_dims(noun, 1), after], axis=1)

    def text(self, ids: Tensor) -> list[str]:
        """The sentences in words."""
        words = self.vocabulary
        return [" ".join(words[number] for number in sentence) for sentence in ids.numpy()]

    def _levels(self) -> list[tuple[str, ...]]:
        """The three factors of each noun."""
        return [
            (kind, gender, number) for kind in _NOUNS for number in ("one", "many") for gender in ("male", "female")
        ]
