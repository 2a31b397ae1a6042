"""BLEU through sacreBLEU."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .base import Statistics, TextMetric
from .scripts import Script, script_of

__all__ = ["Bleu", "TokenBleu", "reference_count"]

_ORDERS = 4
_NO_MECAB = (
    "bleu of Japanese is of characters here, not of words as published figures are: "
    "pip install 'seq2x[ja]' brings the tokenizer"
)


class Bleu(TextMetric):
    """BLEU (Papineni et al. 2002, eq. 1-3) of raw strings, 0-100, exactly as sacreBLEU (Post 2018) computes it.

    For translation, above all to compare with published figures; chrF agrees better with people. Statistics:
    `[output length, reference length, 4 x matching n-grams, 4 x n-grams of the output]`. The tokenizer is sacreBLEU's
    `13a`; `zh` for Chinese; `ja-mecab` for Japanese where installed (`pip install 'seq2x[ja]'`), else characters, which
    a `note` says; and characters for other scripts without blanks. The signature says which.
    """

    name = "bleu"

    def __init__(self, tokenize: str = "13a", reference_count: str = "1") -> None:
        import sacrebleu
        from sacrebleu.metrics.bleu import BLEU

        # `effective_order` concerns scores of single sentences, of which only the counts are used.
        self._bleu: Any = BLEU(tokenize=tokenize, effective_order=True, force=True)
        self.signature = (
            f"nrefs:{reference_count}|case:mixed|eff:no|tok:{self._bleu.tokenizer_signature}|smooth:exp"
            f"|version:{sacrebleu.__version__}"
        )

    @classmethod
    def suited(cls, references: Sequence[Sequence[str]]) -> Self:
        script = script_of(text for of_one in references for text in of_one)
        made = cls(_tokenizer(script), reference_count(references))
        if script == "japanese" and "ja-mecab" not in made.signature:
            made.note = _NO_MECAB
        return made

    def count(self, output: str, references: Sequence[str]) -> Statistics:
        found = self._bleu.sentence_score(output, list(references))
        return np.array([found.sys_len, found.ref_len, *found.counts, *found.totals], dtype=np.float64)

    def score(self, total: Statistics) -> float:
        return _bleu(total, effective_order=False)

    def score_one(self, statistics: Statistics) -> float:
        """Sentence BLEU: of the n-grams that the output is long enough for, else one of three words would have 0."""
        return _bleu(statistics, effective_order=True)


def _bleu(total: Statistics, effective_order: bool) -> float:
    from sacrebleu.metrics.bleu import BLEU

    numbers = [round(float(number)) for number in total]
    system, reference, counts = numbers[0], numbers[1], numbers[2:]
    found = BLEU.compute_bleu(
        counts[:_ORDERS], counts[_ORDERS:], system, reference, smooth_method="exp", effective_order=effective_order
    )
    return float(found.score)


class TokenBleu(Bleu):
    """BLEU over the tokens as they stand, separated by blanks: for text that was tokenised beforehand.

    What papers report on prepared files ("tokenised BLEU"). Never comparable with `bleu` of raw text: other tokens
    give another score (Post 2018, section 2.2).
    """

    name = "bleu_tokens"

    @classmethod
    def suited(cls, references: Sequence[Sequence[str]]) -> Self:
        return cls("none", reference_count(references))


def reference_count(references: Sequence[Sequence[str]]) -> str:
    """How many references a line has, as sacreBLEU's signatures write it."""
    counts = {len(of_one) for of_one in references}
    return str(counts.pop()) if len(counts) == 1 else "var"


def _tokenizer(script: Script) -> str:
    if script == "japanese":
        mecab = importlib.util.find_spec("MeCab") is not None and importlib.util.find_spec("ipadic") is not None
        return "ja-mecab" if mecab else "char"
    return {"spaced": "13a", "chinese": "zh", "unspaced": "char"}[script]
