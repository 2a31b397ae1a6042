"""Perplexity: how many symbols a model hesitates between."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seq2x.errors import DataError
from seq2x.types import Result

from .base import Statistics
from .bootstrap import evaluated

__all__ = ["Perplexity", "perplexity"]


class Perplexity:
    """exp(-sum of log p / number of symbols); statistics `[log p, symbols]` of a pair, `</s>` counted; lower.

    Compare only models with the same symbols: fewer, longer pieces have a higher perplexity for the same text.
    """

    name = "perplexity"
    better = "lower"
    signature = "per:symbol"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        """Never called: perplexity is of a model's log p, not of strings."""
        raise NotImplementedError

    def score(self, total: Statistics) -> float:
        log_p, symbols = float(total[0]), float(total[1])
        if symbols <= 0:
            return 1.0
        exponent = -log_p / symbols
        return math.exp(exponent) if exponent < 700.0 else math.inf


def perplexity(log_p: Sequence[float], symbols: Sequence[int], samples: int = 1000, seed: int = 1) -> Result:
    """Perplexity of a test set from log p and the number of symbols of each target, with its interval."""
    if len(log_p) != len(symbols) or not len(log_p):
        raise DataError("perplexity", f"{len(log_p)} log-probabilities of {len(symbols)} targets", "one for each")
    rows = np.stack([np.asarray(log_p, dtype=np.float64), np.asarray(symbols, dtype=np.float64)], axis=1)
    return evaluated(Perplexity(), rows, samples, seed)
