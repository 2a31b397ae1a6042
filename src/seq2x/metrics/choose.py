"""Which metrics fit a task, seen from its pairs: the one rule for training, `evaluate` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .scripts import script_of

__all__ = ["Fit", "are_symbols", "beside", "fit"]

_SAMPLE: Final = 20_000  # pairs looked at, evenly spread
_MOST_SYMBOLS: Final = 300  # different ones: more than phones, tags or actions there are in one task


@dataclass(frozen=True, slots=True)
class Fit:
    """`metrics`: names of those that fit, the one to choose models by first. `reason`: why, in words."""

    metrics: tuple[str, ...]
    reason: str


_OF_TASK: Final[Mapping[str, Fit]] = {"tag": Fit(("accuracy", "exact_match"), "a label for each token")}
"""Of tasks whose outputs are of one kind, whatever the pairs."""


def fit(sources: Sequence[str], references: Sequence[Sequence[str]], task: str = "generate") -> Fit:
    """What fits pairs of a source and its right outputs; the same pairs give the same answer.

    - a label for each token (`task` tag) -> accuracy, exact_match
    - symbols of a small set, for one word: a pronunciation -> word_errors, per
    - symbols of a small set otherwise: a formal language -> exact_match, wer
    - a word or two, or a few characters where words are not written apart: names, dates, spellings -> exact_match, cer
    - anything else is running text -> bleu, chrf, and ter where words are written apart
    """
    if task in _OF_TASK:
        return _OF_TASK[task]
    step = max(1, -(-len(references) // _SAMPLE))
    texts = [text for of_one in references[::step] for text in of_one if text.strip()]
    if not texts:
        return Fit(("exact_match", "cer"), "no outputs to tell more by")
    lengths = [len(text.split()) for text in texts]
    if are_symbols(len({word for text in texts for word in text.split()}), sum(lengths), len(texts)):
        if _mean([len(source.split()) for source in sources[::step]]) <= 1.5:
            return Fit(("word_errors", "per"), "one word in, a short series of symbols out: right or wrong")
        return Fit(("exact_match", "wer"), "symbols of a small set: right or wrong as a whole")
    if script_of(texts) != "spaced":
        if _mean([len(text) for text in texts]) < 6:
            return Fit(("exact_match", "cer"), "very short outputs: right or wrong as a whole")
        return Fit(("bleu", "chrf"), "running text: overlap with the reference")
    if _mean(lengths) <= 2.5:
        return Fit(("exact_match", "cer"), "short outputs: right or wrong as a whole")
    return Fit(("bleu", "chrf", "ter"), "running text: overlap with the reference")


def beside(task: str) -> tuple[str, ...]:
    """The cheap metrics that stand beside those that fit, whatever they are."""
    return () if task in _OF_TASK else ("exact_match", "chrf", "cer")


def are_symbols(distinct: int, words: int, lines: int) -> bool:
    """Phones, tags or actions: few names, each used often, several to a line. Running text has far more words."""
    return distinct <= _MOST_SYMBOLS and words >= 2 * lines and words >= 20 * distinct


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / max(len(numbers), 1)
