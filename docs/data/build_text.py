"""wordnet.npz: lines "words : gloss" of the common words of WordNet, and tests of word vectors.

``python build_text.py FOLDER`` with, in FOLDER: ``data.noun``, ``data.verb``, ``data.adj``, ``data.adv`` (WordNet 3.0,
Debian package ``wordnet-base`` 1:3.0-37) and ``wordsim353.tsv``, ``questions-words.txt`` (from the wheel of gensim
4.4.0, folder ``gensim/test/test_data``).
"""

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
from archive import source, write

COMMON, SEEN = 8_000, 5  # words common enough to be kept; occurrences of a word below which no question asks for it


def glosses() -> Iterator[str]:
    """One line for each set of synonyms, in lower case."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (source() / f"data.{part}").read_text("ascii").splitlines():
            if line.startswith("  "):  # the licence, on top of each file
                continue
            record, gloss = line.split(" | ", 1)
            fields = record.split()
            count = int(fields[3], 16)
            synonyms = [re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
            yield f"{', '.join(synonyms)} : {' '.join(gloss.split())}".lower().replace("`", "'")


def words(line: str) -> list[str]:
    return re.findall("[a-z]+", line)


def questions(known: set[str]) -> Iterator[str]:
    """Categories, each with its questions all of whose words are known."""
    category = ""
    for line in (source() / "questions-words.txt").read_text("ascii").lower().splitlines():
        if line.startswith(":"):
            category = line
        elif set(line.split()) <= known:
            if category:
                yield category
                category = ""
            yield line


def as_bytes(lines: list[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode("ascii"), np.uint8)


lines = list(glosses())
common = {word for word, _ in Counter(word for line in lines for word in words(line)).most_common(COMMON)}
plain = re.compile(r"[a-z0-9 :;,.()'\"?!-]+")
kept = list(dict.fromkeys(line for line in lines if common.issuperset(words(line)) and plain.fullmatch(line)))
counts = Counter(word for line in kept for word in words(line))
pairs = [line for line in (source() / "wordsim353.tsv").read_text("ascii").lower().splitlines() if line[0] != "#"]
asked = list(questions({word for word, count in counts.items() if count >= SEEN}))
print(f"{len(lines):,} lines, {len(kept):,} kept; {counts.total():,} words, {len(counts):,} different")
print(f"{len(pairs)} pairs, {sum(line[0] != ':' for line in asked):,} questions")
write("wordnet", glosses=as_bytes(kept), similarity=as_bytes(pairs), analogies=as_bytes(asked))
