"""Error rates by edit distance, of characters, words and phonemes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence

import numpy as np

from seq2x.codecs.unicode import normalise

from .base import Statistics, TextMetric, rate

__all__ = ["CharacterErrors", "ErrorRate", "PhonemeErrors", "WordErrorRate"]


class ErrorRate(TextMetric):
    """100 * (substitutions + deletions + insertions) / length of the reference, by Levenshtein distance; lower.

    Of several right outputs the nearest counts, and its length (of equally near ones the longest). Statistics:
    `[edits, length]`. Above 100 where outputs are much too long.
    """

    better = "lower"
    signature: str = "unicode:nfc|refs:nearest"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        from rapidfuzz.distance import Levenshtein

        written = self._items(output)
        wanted = [self._items(reference) for reference in references]
        edits, negative = min((Levenshtein.distance(written, right), -len(right)) for right in wanted)
        return np.array([edits, -negative], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return rate(float(total[0]), float(total[1]))

    @staticmethod
    @abstractmethod
    def _items(text: str) -> Sequence[Hashable]:
        """What is counted."""


class CharacterErrors(ErrorRate):
    """CER, over code points, blanks included: for short strings, scripts without blanks, speech and handwriting."""

    name = "cer"

    @staticmethod
    def _items(text: str) -> Sequence[Hashable]:
        return normalise(text)


class WordErrorRate(ErrorRate):
    """WER, over words between blanks, as in speech recognition."""

    name = "wer"

    @staticmethod
    def _items(text: str) -> Sequence[Hashable]:
        return normalise(text).split()


class PhonemeErrors(WordErrorRate):
    """PER: the word error rate of phonemes between blanks (`K AE1 T`), under the name that pronunciation work uses."""

    name = "per"
