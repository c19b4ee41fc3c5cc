"""The corpus, its vocabulary and its tests of word vectors; and that vectors can in fact be learnt from it."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import svds
from scipy.stats import spearmanr

from tinygen.data.text import Vocabulary, Words, tokenize, wordnet

pytestmark = pytest.mark.host
tokens = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "eel"]), min_size=1, max_size=40)


def test_the_corpus() -> None:
    corpus = wordnet()
    text = "\n".join(corpus.lines)
    assert (len(corpus.lines), len(set(corpus.lines))) == (13_606, 13_606)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "8b9df6d62a1b62d8"
    assert "spinach : dark green leaves; eaten cooked or raw in salads" in corpus.lines
    assert all(" : " in line for line in corpus.lines)
    assert len(set(text)) == 49
    words = corpus.words()
    assert (len(words.ids), len(words.vocabulary)) == (177_988, 7_579)


def test_words_are_the_tokens_of_the_lines() -> None:
    corpus = wordnet()
    words = corpus.words(min_count=5)
    assert words.vocabulary.counts.min() == 5
    assert (np.bincount(words.ids) == words.vocabulary.counts).all()
    for line in (0, 77, 13_605):
        kept = [word for word in tokenize(corpus.lines[line]) if word in words.vocabulary]
        assert words.vocabulary.decode(words.ids[words.lines == line]) == kept
    assert (np.diff(words.lines) >= 0).all()


def test_similarity() -> None:
    pairs, scores = wordnet().similarity
    assert (len(pairs), scores.shape, scores.min(), scores.max()) == (353, (353,), 0.23, 10.0)
    by_pair = dict(zip(pairs, scores, strict=True))
    assert by_pair["tiger", "cat"] == 7.35
    vocabulary = wordnet().words(min_count=5).vocabulary
    ids, known = wordnet().similarity.within(vocabulary)
    assert (ids.shape, known.shape) == ((204, 2), (204,))
    for row, score in zip(ids, known, strict=True):
        first, second = vocabulary.decode(row)
        assert abs(by_pair[first, second] - score) < 0.1  # money and cash are here twice, with 9.15 and 9.08


def test_analogies() -> None:
    questions, categories = wordnet().analogies
    assert len(questions) == len(categories) == 1_667
    assert Counter(categories).most_common(2) == [("gram7-past-tense", 380), ("gram5-present-participle", 342)]
    assert ("boy", "girl", "brother", "sister") in questions
    vocabulary = wordnet().words(min_count=5).vocabulary
    ids = wordnet().analogies.within(vocabulary)
    assert ids.shape == (1_667, 4)
    assert tuple(vocabulary.decode(ids[5])) == questions[5]


def test_nothing_is_within_a_foreign_vocabulary() -> None:
    foreign = Vocabulary(["xyzzy"])
    assert wordnet().similarity.within(foreign)[0].shape == (0, 2)
    assert wordnet().analogies.within(foreign).shape == (0, 4)


def test_word_vectors_learn_from_it() -> None:
    """Positive pointwise mutual information within 5 words, 100 singular vectors: what counting alone reaches."""
    corpus = wordnet()
    words = corpus.words(min_count=5)
    vectors = counted_vectors(words)
    pairs, scores = corpus.similarity.within(words.vocabulary)
    assert spearmanr((vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1), scores)[0] > 0.45  # measured .53
    a, b, c, d = corpus.analogies.within(words.vocabulary).T
    closeness = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
    for given_word in (a, b, c):
        closeness[np.arange(len(d)), given_word] = -np.inf
    assert (closeness.argmax(1) == d).mean() > 0.08  # measured .12; by chance .0002


def counted_vectors(words: Words) -> np.ndarray:
    size, near = len(words.vocabulary), []
    for distance in range(1, 6):
        same_line = words.lines[distance:] == words.lines[:-distance]
        near.append((words.ids[distance:][same_line], words.ids[:-distance][same_line]))
    first, second = np.concatenate(near, axis=1)
    counts = coo_matrix((np.ones(len(first)), (first, second)), (size, size)).tocsr()
    counts = (counts + counts.T).tocoo()
    total = np.asarray(counts.sum(0)).ravel()
    share = total**0.75 / (total**0.75).sum()
    information = np.log(np.maximum(counts.data / (total[counts.row] * share[counts.col]), 1))
    left, strength, _ = svds(coo_matrix((information, (counts.row, counts.col))).tocsr(), 100, v0=np.ones(size))
    vectors = left * np.sqrt(strength)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@given(tokens=tokens, min_count=st.integers(1, 3))
def test_a_vocabulary_counts_and_numbers(tokens: list[str], min_count: int) -> None:
    counts = {token: tokens.count(token) for token in tokens if tokens.count(token) >= min_count}
    if not counts:
        with pytest.raises(ValueError, match=f"no token occurs {min_count} times"):
            Vocabulary(tokens, min_count=min_count)
        return
    vocabulary = Vocabulary(tokens, min_count=min_count)
    assert dict(zip(vocabulary.tokens, vocabulary.counts.tolist(), strict=True)) == counts
    assert (np.diff(vocabulary.counts) <= 0).all()
    kept = [token for token in tokens if token in vocabulary]
    ids = vocabulary.encode(kept)
    assert ids.dtype == np.int64
    assert vocabulary.decode(ids) == kept


def test_what_a_vocabulary_does_not_know_is_refused() -> None:
    vocabulary = Vocabulary("banana")
    with pytest.raises(KeyError, match="'z': it is not in the vocabulary; leave such tokens out, or lower min_count"):
        vocabulary.encode("az")
    for number in (-1, 3):
        with pytest.raises(IndexError, match="numbers must be 0 … 2"):
            vocabulary.decode([number])


@given(text=st.text())
def test_tokens_are_lower_case_letters(text: str) -> None:
    assert all(token.isascii() and token.isalpha() and token.islower() for token in tokenize(text))
    assert tokenize(" ".join(tokenize(text))) == tokenize(text)
