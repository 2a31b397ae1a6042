"""The share of labels that are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2x.codecs.unicode import normalise

from .base import Statistics, TextMetric

__all__ = ["Accuracy"]


class Accuracy(TextMetric):
    """Percent of blank-separated labels that are right, place by place; statistics `[right, labels]`.

    For tagging, where outputs are as long as their references; a label too many or too few is a wrong one. Of several
    right outputs the one with the largest share of right labels counts.
    """

    name = "accuracy"
    signature: str = "unicode:nfc|per:label"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        written = self._labels(output)
        found = [self._against(written, self._labels(reference)) for reference in references]
        return np.array(max(found, key=lambda pair: pair[0] / max(pair[1], 1)), dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return 100.0 * float(total[0]) / float(total[1]) if total[1] > 0 else 0.0

    @staticmethod
    def _labels(text: str) -> list[str]:
        return [label for label in normalise(text).split(" ") if label]

    @staticmethod
    def _against(written: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
        """(labels that are right, labels there are, or should be)."""
        return sum(a == b for a, b in zip(written, right, strict=False)), max(len(written), len(right))
