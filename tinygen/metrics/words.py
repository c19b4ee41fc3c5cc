"""Floor 7. Analogies between words: a is to b as c is to which word?"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygen.metrics.arrays import numbers, on_host


def analogies(embeddings: Any, questions: Any) -> np.ndarray:
    """For each question (a, b, c) the word nearest to b − a + c: 3CosAdd of Mikolov et al. 2013.

    ``embeddings`` (V, d) are the words' vectors, ``questions`` (n, 3) whole numbers below V.  Vectors are scaled to
    length 1 first, nearness is the cosine, and the question's own three words are no answers (without that rule
    the answer is mostly b or c).  Answers: (n,) whole numbers.

    >>> analogies([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]], [[0, 1, 2]]).tolist()
    [3]
    """
    vectors, asked = (
        numbers("analogies", "embeddings", embeddings, 2),
        _questions("analogies", questions, 3, embeddings),
    )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"analogies: word {int(np.argmin(lengths))} has the vector 0, which has no direction; drop it")
    if len(vectors) < 4:
        raise ValueError(f"analogies: {len(vectors)} words leave no answer beside the question's own; give 4 or more")
    unit = vectors / lengths
    a, b, c = asked.T
    answers = np.empty(len(asked), np.int64)
    for start in range(0, len(asked), 512):
        rows = slice(start, start + 512)
        # The length of b − a + c is the same for all candidates, so it need not be divided by.
        nearness = (unit[b[rows]] - unit[a[rows]] + unit[c[rows]]) @ unit.T
        np.put_along_axis(nearness, asked[rows], -np.inf, axis=1)
        answers[rows] = nearness.argmax(axis=1)
    return answers


def analogy_accuracy(embeddings: Any, questions: Any) -> float:
    """The share of questions (a, b, c, answer), as rows (n, 4), that :func:`analogies` answers right.

    A question whose answer is one of its own words can never be right, and raises.
    """
    asked = _questions("analogy_accuracy", questions, 4, embeddings)
    circular = (asked[:, :3] == asked[:, 3:]).any(axis=1)
    if circular.any():
        raise ValueError(
            f"analogy_accuracy: {np.count_nonzero(circular)} questions ask for one of their own words, the first in "
            f"row {int(np.argmax(circular))}; drop them"
        )
    if len(asked) == 0:
        raise ValueError("analogy_accuracy: there are no questions")
    return float((analogies(embeddings, asked[:, :3]) == asked[:, 3]).mean())


def _questions(metric: str, questions: Any, columns: int, embeddings: Any) -> np.ndarray:
    asked = on_host(questions)
    if asked.ndim != 2 or asked.shape[1] != columns or asked.dtype.kind not in "iu":
        raise ValueError(f"{metric}: questions must be whole numbers (n, {columns}), got {asked.dtype} {asked.shape}")
    if asked.size and not 0 <= asked.min() <= asked.max() < len(embeddings):
        raise ValueError(
            f"{metric}: questions name words {asked.min()} … {asked.max()}, but there are {len(embeddings)}"
        )
    return asked
