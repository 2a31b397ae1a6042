"""TER through sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .base import Statistics, TextMetric, rate
from .bleu import reference_count
from .scripts import script_of

__all__ = ["Ter"]


class Ter(TextMetric):
    """Translation edit rate (Snover et al. 2006): edits and shifts of phrases per reference word, in percent; lower.

    As sacreBLEU computes it: case ignored, split at blanks; where the references are Chinese or Japanese, also into
    their characters and at punctuation (its `normalized` and `asian_support`). Statistics: `[edits, mean reference
    length]`. Says how much work an output leaves to a corrector; meaningless for other scripts without blanks.
    """

    name = "ter"
    better = "lower"

    def __init__(self, reference_count: str = "1", asian: bool = False) -> None:
        import sacrebleu
        from sacrebleu.metrics.ter import TER

        self._ter: Any = TER(normalized=asian, asian_support=asian)
        how = "norm:yes|punct:yes|asian:yes" if asian else "norm:no|punct:yes|asian:no"
        self.signature = f"nrefs:{reference_count}|case:lc|tok:tercom|{how}|version:{sacrebleu.__version__}"

    @classmethod
    def suited(cls, references: Sequence[Sequence[str]]) -> Self:
        script = script_of(text for of_one in references for text in of_one)
        return cls(reference_count(references), script in ("chinese", "japanese"))

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        found = self._ter.sentence_score(output, list(references))
        return np.array([found.num_edits, found.ref_length], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return rate(float(total[0]), float(total[1]))
