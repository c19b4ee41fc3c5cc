"""Floor 5. A small English corpus that ships with the package, two tests of word vectors, and text as numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tinygen.data.bundled import read


def tokenize(text: str) -> list[str]:
    """The words of a text: runs of the letters a … z, after lower-casing.

    >>> tokenize("spinach : dark green leaves; eaten cooked or raw")
    ['spinach', 'dark', 'green', 'leaves', 'eaten', 'cooked', 'or', 'raw']
    """
    return re.findall("[a-z]+", text.lower())


class Vocabulary:
    """The different tokens (words, or characters) of a text, numbered from 0 by falling count.

    ``tokens`` lists them, ``counts`` (V,) tells how often each occurs.  Tokens that occur fewer than ``min_count``
    times are left out; of equally frequent ones the earlier in the text comes first.

    >>> letters = Vocabulary("banana")
    >>> letters.tokens, letters.encode("nab").tolist()
    (('a', 'n', 'b'), [1, 0, 2])
    """

    def __init__(self, tokens: Iterable[str], *, min_count: int = 1) -> None:
        frequent = [(token, count) for token, count in Counter(tokens).most_common() if count >= min_count]
        if not frequent:
            raise ValueError(f"Vocabulary: no token occurs {min_count} times or more")
        self.tokens = tuple(token for token, _ in frequent)
        self.counts = np.array([count for _, count in frequent], np.int64)
        self._ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: Hashable) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} tokens, most often {', '.join(map(repr, self.tokens[:3]))})"

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """The numbers (T,) of tokens; one that is not in the vocabulary raises KeyError."""
        try:
            return np.array([self._ids[token] for token in tokens], np.int64)
        except KeyError as error:
            hint = "it is not in the vocabulary; leave such tokens out, or lower min_count"
            raise KeyError(f"Vocabulary.encode: {error.args[0]!r}: {hint}") from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens with these numbers, 0 ≤ number < V; others raise IndexError."""
        numbers = [int(number) for number in ids]
        if any(not 0 <= number < len(self) for number in numbers):
            raise IndexError(f"Vocabulary.decode: numbers must be 0 … {len(self) - 1}")
        return [self.tokens[number] for number in numbers]


class Words(NamedTuple):
    """A corpus as numbers: word t has number ``ids[t]`` (T,) in the ``vocabulary`` and is in line ``lines[t]`` (T,)."""

    vocabulary: Vocabulary
    ids: np.ndarray
    lines: np.ndarray


class WordPairs(NamedTuple):
    """Pairs of words, and how similar people found them, 0 … 10: ``scores`` (P,)."""

    pairs: tuple[tuple[str, str], ...]
    scores: np.ndarray

    def within(self, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (Q, 2) and scores (Q,) of the pairs of which both words are in a vocabulary."""
        known = [number for number, pair in enumerate(self.pairs) if all(word in vocabulary for word in pair)]
        return _encoded([self.pairs[number] for number in known], vocabulary, 2), self.scores[known]


class Analogies(NamedTuple):
    """Questions (a, b, c, d): a is to b as c is to d; question q is of the kind ``categories[q]``."""

    questions: tuple[tuple[str, str, str, str], ...]
    categories: tuple[str, ...]

    def within(self, vocabulary: Vocabulary) -> np.ndarray:
        """Numbers (Q, 4) of the questions of which all words are in a vocabulary."""
        known = [question for question in self.questions if all(word in vocabulary for word in question)]
        return _encoded(known, vocabulary, 4)


class Corpus(NamedTuple):
    """Lines of text, and what vectors of its words are tested by."""

    lines: tuple[str, ...]
    similarity: WordPairs
    analogies: Analogies

    def words(self, *, min_count: int = 1) -> Words:
        """All words in order, as numbers; those that occur fewer than ``min_count`` times are left out."""
        tokens = [tokenize(line) for line in self.lines]
        vocabulary = Vocabulary((word for line in tokens for word in line), min_count=min_count)
        kept = [[word for word in line if word in vocabulary] for line in tokens]
        ids = vocabulary.encode(word for line in kept for word in line)
        return Words(vocabulary, ids, np.repeat(np.arange(len(kept)), [len(line) for line in kept]))


def wordnet() -> Corpus:
    """13,606 entries of WordNet 3.0 whose words are all common: ``"words : meaning"``, 178,000 words in lower case.

    ``similarity``: WordSim-353.  ``analogies``: the 1,667 questions of the Google set whose words all occur at least
    5 times in the text.  Also a corpus for models of characters: 49 different ones, line breaks included.

    >>> words = wordnet().words(min_count=5)
    >>> words.ids.shape, words.vocabulary
    ((172016,), Vocabulary(5,232 tokens, most often 'a', 'the', 'of'))
    """
    arrays = read("wordnet")
    texts = {name: arrays[name].tobytes().decode("ascii").split("\n") for name in arrays}
    return Corpus(tuple(texts["glosses"]), _word_pairs(texts["similarity"]), _analogies(texts["analogies"]))


def _word_pairs(lines: list[str]) -> WordPairs:
    """From lines "word<tab>word<tab>score"."""
    rows = [line.split("\t") for line in lines]
    return WordPairs(tuple((first, second) for first, second, _ in rows), np.array([float(row[2]) for row in rows]))


def _analogies(lines: list[str]) -> Analogies:
    """From lines "a b c d" below lines ": category"."""
    questions, categories, category = [], [], ""
    for line in lines:
        if line.startswith(": "):
            category = line[2:]
        else:
            a, b, c, d = line.split(" ")
            questions.append((a, b, c, d))
            categories.append(category)
    return Analogies(tuple(questions), tuple(categories))


def _encoded(rows: Sequence[Sequence[str]], vocabulary: Vocabulary, width: int) -> np.ndarray:
    return vocabulary.encode(word for row in rows for word in row).reshape(-1, width)
