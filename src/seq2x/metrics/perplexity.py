"""Perplexity: how many symbols, words or characters a model hesitates between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from seq2x.errors import DataError
from seq2x.types import Result

from .base import Statistics
from .bootstrap import evaluated

__all__ = ["PERPLEXITIES", "Perplexity", "counts", "perplexity"]

PERPLEXITIES: Final[Mapping[str, str]] = {
    "perplexity": "symbol",
    "perplexity_word": "word",
    "perplexity_char": "character",
}
"""Name of each, and what it is per."""


class Perplexity:
    """exp(-sum of log p / number of units); statistics `[log p, units]` of a text, the end of which is a unit; lower.

    `name` is one of `PERPLEXITIES`. Per symbol, compare only models with the same symbols: fewer, longer pieces have a
    higher perplexity for the same text. Per word and per character the units are those of the text itself, and all
    models can be compared, whatever their symbols are (Cotterell et al. 2018, eq. 1).
    """

    better = "lower"

    def __init__(self, name: str = "perplexity") -> None:
        self.name, self.signature = name, f"per:{PERPLEXITIES[name]}"

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        """Never called: perplexity is of a model's log p, not of strings."""
        raise NotImplementedError

    def score(self, total: Statistics) -> float:
        log_p, units = float(total[0]), float(total[1])
        if units <= 0:
            return 1.0
        exponent = -log_p / units
        return math.exp(exponent) if exponent < 700.0 else math.inf


def counts(text: str, symbols: int, ended: bool = True) -> dict[str, int]:
    """How many units of each kind a text has, by the name of its perplexity; its end is one more, where it has `ended`.

    Words are what stands between blanks: on the Penn Treebank, with one `</s>` a line, this is how the literature
    counts (Mikolov et al. 2010). Characters are code points. `symbols` count `</s>` already.
    """
    end = int(ended)
    return {"perplexity": symbols, "perplexity_word": len(text.split()) + end, "perplexity_char": len(text) + end}


def perplexity(
    log_p: Sequence[float], units: Sequence[int], samples: int = 1000, seed: int = 1, name: str = "perplexity"
) -> Result:
    """Perplexity of a test set from log p and the number of units of each text, with its interval."""
    return evaluated(Perplexity(name), rows(log_p, units), samples, seed)


def rows(log_p: Sequence[float], units: Sequence[int]) -> Statistics:
    """`[n,2]`: the statistics of n texts. Raises `DataError` where there is none, or not one for each."""
    if len(log_p) != len(units) or not len(log_p):
        raise DataError("perplexity", f"{len(log_p)} log-probabilities of {len(units)} targets", "one for each")
    return np.stack([np.asarray(log_p, dtype=np.float64), np.asarray(units, dtype=np.float64)], axis=1)
