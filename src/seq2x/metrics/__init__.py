"""Metrics on raw strings, one file each: a metric counts one pair and scores a sum.

A new metric is one file and one row of `METRICS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from seq2x.errors import UsageError, nearest
from seq2x.types import Metric, Result

from .accuracy import Accuracy
from .base import TextMetric
from .bleu import Bleu, TokenBleu
from .bootstrap import Comparison, compared, evaluated, statistics
from .choose import Fit, are_symbols, beside, fit
from .chrf import Chrf
from .error_rates import CharacterErrors, PhonemeErrors, WordErrorRate
from .exact_match import ExactMatch, WordErrors
from .perplexity import PERPLEXITIES, Perplexity, counts, perplexity, rows
from .rouge import Rouge1, Rouge2, RougeL
from .ter import Ter

__all__ = [
    "METRICS",
    "PERPLEXITIES",
    "Comparison",
    "Fit",
    "Metrics",
    "Perplexity",
    "are_symbols",
    "beside",
    "chosen",
    "compared",
    "counts",
    "evaluate_pairs",
    "fit",
    "make",
    "paired",
    "perplexity",
    "rows",
]

METRICS: Final[dict[str, type[TextMetric]]] = {
    "bleu": Bleu,
    "bleu_tokens": TokenBleu,
    "chrf": Chrf,
    "ter": Ter,
    "rouge1": Rouge1,
    "rouge2": Rouge2,
    "rougeL": RougeL,
    "exact_match": ExactMatch,
    "accuracy": Accuracy,
    "cer": CharacterErrors,
    "wer": WordErrorRate,
    "per": PhonemeErrors,
    "word_errors": WordErrors,
}

References = Sequence[Sequence[str]] | Sequence[str]

Metrics: TypeAlias = str | Metric | Sequence[str | Metric]
"""One metric or several; a metric is a row of `METRICS` or an object."""


def chosen(metric: Metrics) -> list[str | Metric]:
    """One metric or several as a list, each looked at: no text is taken for a list of letters, no name twice.

    Raises `UsageError` for an unknown name, for what is no metric, and for two objects of one name.
    """
    given = list(metric) if isinstance(metric, Sequence) and not isinstance(metric, str) else [metric]
    names: dict[str, str | Metric] = {}
    for one in given:
        name = _name(one)
        if names.setdefault(name, one) != one:
            raise UsageError("metric", f'two metrics are called "{name}"', "each name once")
    return list(names.values())


def _name(metric: str | Metric) -> str:
    if not isinstance(metric, str):
        parts = [getattr(metric, part, None) for part in ("name", "count", "score")]
        if isinstance(metric, type) or not isinstance(parts[0], str) or not all(map(callable, parts[1:])):
            raise UsageError("metric", f"{metric!r:.80}", "a name, or an object with name, count and score")
        return parts[0]
    if metric in PERPLEXITIES:
        todo = '"seq2x score" gives it'
        raise UsageError("metric", f'"{metric}" is of log-probabilities, not of outputs', todo=todo)
    if metric not in METRICS:
        raise UsageError("metric", f'no metric "{metric:.80}"', todo=nearest(metric, METRICS))
    return metric


def make(metric: str | Metric, references: Sequence[Sequence[str]]) -> Metric:
    """The metric of that name, set up for these references; an object is taken as it is. Raises `UsageError`."""
    return METRICS[_name(metric)].suited(references) if isinstance(metric, str) else metric


def evaluate_pairs(
    metric: str | Metric, outputs: Sequence[str], references: References, samples: int = 1000, seed: int = 1
) -> Result:
    """`metric` of `outputs` against their right outputs (one string, or several, for each), with its 95 % interval.

    `samples` bootstrap samples, a function of `seed`; 0: no interval. Raises `UsageError`, `DataError`.
    """
    right = _several(references)
    made = make(metric, right)
    return evaluated(made, statistics(made, outputs, right), samples, seed)


def paired(
    metric: str | Metric,
    a: Sequence[str],
    b: Sequence[str],
    references: References,
    samples: int = 1000,
    seed: int = 1,
) -> Comparison:
    """Outputs `b` against outputs `a` of another system for the same inputs: difference, interval, significance."""
    right = _several(references)
    made = make(metric, right)
    return compared(made, statistics(made, a, right), statistics(made, b, right), samples, seed)


def _several(references: References) -> list[Sequence[str]]:
    return [(of_one,) if isinstance(of_one, str) else of_one for of_one in references]
