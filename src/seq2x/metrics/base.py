"""What every metric here has: statistics of one pair that can be summed, and a score of the sum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Statistics", "TextMetric", "rate"]

Statistics = NDArray[np.float64]
"""`[k]` of one pair or of a sum, `[n,k]` of n pairs."""


class TextMetric(ABC):
    """A metric of output strings against right strings: it counts one pair and scores a sum.

    `references` of a pair are all its right outputs, at least one. Values are in the metric's usual unit, 0-100 where
    the field writes percent.
    """

    name: str
    better: str = "higher"
    signature: str = ""
    note: str = ""
    """What to know beside the value, where something is: not how it was computed, which `signature` says."""

    @classmethod
    def suited(cls, references: Sequence[Sequence[str]]) -> Self:
        """The metric set up for these references (their script, how many there are)."""
        return cls()

    @abstractmethod
    def count(self, output: str, references: Sequence[str]) -> Statistics:
        """Sufficient statistics of one pair: `[k]`, always of the same length."""

    def count_each(self, texts: Sequence[str]) -> Statistics:
        """`[n,n,k]`: the statistics of each of `texts` (first) with each of them as the one right output (second)."""
        return np.array([[self.count(text, [right]) for right in texts] for text in texts])

    @abstractmethod
    def score(self, total: Statistics) -> float:
        """The metric of summed statistics."""

    def score_one(self, statistics: Statistics) -> float:
        """The metric of one pair, as a reward wants it: where `score` says little of a single pair, more than that."""
        return self.score(statistics)


def rate(errors: float, size: float) -> float:
    """`errors` per `size` in percent; where nothing was to be written, 100 if anything was, else 0."""
    if size > 0:
        return 100.0 * errors / size
    return 100.0 if errors > 0 else 0.0
