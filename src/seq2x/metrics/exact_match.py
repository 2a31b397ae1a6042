"""The share of outputs that are right as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2x.codecs.unicode import normalise

from .base import Statistics, TextMetric, rate

__all__ = ["ExactMatch", "WordErrors"]


class ExactMatch(TextMetric):
    """Percent of outputs equal to any of their right outputs (in Unicode form NFC). Statistics: `[right, 1]`.

    For tasks with one right answer: dates, logical forms, spellings.
    """

    name = "exact_match"
    signature: str = "unicode:nfc"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        right = self._form(output) in map(self._form, references)
        return np.array([right, 1.0], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return 100.0 * float(total[0]) / float(total[1]) if total[1] > 0 else 0.0

    @staticmethod
    def _form(text: str) -> str:
        return normalise(text)


class WordErrors(ExactMatch):
    """Percent of items with no right output, blanks compared by their places alone; lower.

    What pronunciation work calls word error rate (Yao and Zweig 2015), with several pronunciations of a word all
    right. Statistics: `[wrong, 1]`.
    """

    name = "word_errors"
    better = "lower"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        right, one = super().count(output, references)
        return np.array([one - right, one], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return rate(float(total[0]), float(total[1]))

    @staticmethod
    def _form(text: str) -> str:
        return " ".join(normalise(text).split())
