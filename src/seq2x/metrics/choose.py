"""Which metrics fit a task, seen from its right outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from .scripts import script_of

__all__ = ["pick"]

_FEW_WORDS: Final = 200  # different words: a phone set or a formal language, no natural one
_ENOUGH: Final = 20  # items below which a small vocabulary says nothing
_SAMPLE: Final = 5000  # items looked at, evenly spread


def pick(references: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Names of the metrics that fit, the one to choose models by first.

    - few different words, short ones, several to an item: phonemes -> word_errors, per
    - few different words otherwise: a formal language -> exact_match, wer
    - one word an item: names, dates, spellings -> exact_match, cer
    - anything else is running text -> bleu, chrf, and ter where words are written apart
    """
    step = max(1, len(references) // _SAMPLE)
    texts = [text for of_one in references[::step] for text in of_one]
    items = [text.split() for text in texts if text.strip()]
    if not items:
        return ("exact_match", "cer")
    if script_of(texts) != "spaced":
        mean = sum(len(text) for text in texts) / len(texts)
        return ("exact_match", "cer") if mean < 6 else ("bleu", "chrf")
    words = Counter(word for item in items for word in item)
    per_item = words.total() / len(items)
    if per_item < 1.5:
        return ("exact_match", "cer")
    if len(words) <= _FEW_WORDS and len(items) >= _ENOUGH and words.total() > 10 * len(words):
        length = sum(len(word) * n for word, n in words.items()) / words.total()
        return ("word_errors", "per") if length <= 3.0 else ("exact_match", "wer")
    return ("bleu", "chrf", "ter")
