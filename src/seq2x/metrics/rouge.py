"""ROUGE: overlap of a summary with the right one, by words and by what they have in common in order."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .base import Statistics, TextMetric
from .scripts import is_unspaced

__all__ = ["Rouge", "Rouge1", "Rouge2", "RougeL"]


class Rouge(TextMetric):
    """The F-measure 2 P R / (P + R) of what output and reference share, 0-100, the mean over all pairs (Lin 2004).

    As `rouge-score` has it without stemming: lower case, words are runs of letters and digits, of several references
    the best counts. That package knows the letters a to z only; here a letter of any script is one, and where words are
    not written apart each letter is a word. Statistics: `[F, 1]`.

    For summaries, where a good output says a part of what the reference says, in other words and another order.
    """

    signature = "words:unicode|case:lower|stem:no|refs:best"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        written = _words(output)
        best = max(_f_measure(*self._shared(written, _words(reference))) for reference in references)
        return np.array([best, 1.0], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return 100.0 * float(total[0]) / float(total[1]) if total[1] > 0 else 0.0

    @staticmethod
    @abstractmethod
    def _shared(written: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
        """How many items are shared, and how many there are in what was written and in what is right."""


class Rouge1(Rouge):
    """ROUGE-1: single words."""

    name = "rouge1"

    @staticmethod
    def _shared(written: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
        return _ngrams_shared(written, right, 1)


class Rouge2(Rouge):
    """ROUGE-2: pairs of neighbours."""

    name = "rouge2"

    @staticmethod
    def _shared(written: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
        return _ngrams_shared(written, right, 2)


class RougeL(Rouge):
    """ROUGE-L: the longest common subsequence of the whole texts, as `rougeL` of `rouge-score` (not `rougeLsum`)."""

    name = "rougeL"

    @staticmethod
    def _shared(written: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
        from rapidfuzz.distance import LCSseq

        return int(LCSseq.similarity(written, right)), len(written), len(right)


def _ngrams_shared(written: Sequence[str], right: Sequence[str], n: int) -> tuple[int, int, int]:
    """Each n-gram counts as often as it occurs in both."""
    a, b = (Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in (written, right))
    return (a & b).total(), a.total(), b.total()


def _f_measure(shared: int, written: int, right: int) -> float:
    return 2.0 * shared / (written + right) if shared else 0.0


def _words(text: str) -> list[str]:
    return "".join(map(_form, text.lower())).split()


@lru_cache(1 << 16)
def _form(character: str) -> str:
    """A letter, its marks, a digit as they are; one of a script without blanks by itself; a blank for all else."""
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    return f" {character} " if is_unspaced(character) else character
