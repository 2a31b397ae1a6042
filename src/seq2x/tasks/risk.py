"""Minimum Bayes risk decoding: of several outputs the one that is nearest to all of them, by a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seq2x.metrics import METRICS
from seq2x.settings import Settings
from seq2x.types import Alternative

__all__ = ["draws", "expected_utilities", "least_risk"]


def draws(settings: Settings) -> bool:
    """Whether outputs are drawn to be compared with each other."""
    return settings.mbr is not None and settings.mbr_from == "samples"


def least_risk(found: Sequence[tuple[Alternative, int]], metric: str, drawn: bool) -> list[tuple[Alternative, int]]:
    """`found`, each with its rank in the search, without those of an equal text, the best by `metric` first; `score` is
    then the expected utility.

        y* = argmax_y sum_r w_r u(y, r)          (Kumar & Byrne 2004, eq. 3; Eikema & Aziz 2020, eq. 7)

    Candidates y and pseudo-references r are the same outputs. With draws (`drawn`) w_r is their share, an unbiased
    estimate of the model's probability; of an n-best list it is that probability, normalised over the list. Prefer it
    where the most probable output is none of the good ones: with text of many right outputs and a metric that gives
    part of a point. Equal texts count as one, with their sum, so that the metric is asked as often as there are pairs
    of different texts: N^2 at most, 1,024 for 32 draws. Measured with lines of 65 characters a pair takes 0.01 ms with
    error rates by edit distance, 0.4 ms with ter, 0.16 ms with BLEU; chrF sees all texts of a line at once.
    """
    first: dict[str, tuple[Alternative, int]] = {}
    weights: dict[str, float] = {}
    most = max(one.log_p for one, _ in found)
    for one, rank in found:
        first.setdefault(one.value, (one, rank))
        weights[one.value] = weights.get(one.value, 0.0) + (1.0 if drawn else float(np.exp(one.log_p - most)))
    utilities = expected_utilities(list(first), list(weights.values()), metric)
    order = np.lexsort((-np.array(list(weights.values())), -utilities))  # the likelier of two equals, then the earlier
    chosen = [list(first.values())[place] for place in order.tolist()]
    return [(replace(one, score=float(utilities[at])), rank) for (one, rank), at in zip(chosen, order, strict=True)]


def expected_utilities(texts: Sequence[str], weights: Sequence[float], metric: str) -> np.ndarray[Any, Any]:
    """`[n]`: what each of `texts` is worth if each of them is right with a probability in proportion to its weight.

    In the metric's unit, for single outputs; negative where it counts errors, so that more is better.
    """
    made = METRICS[metric].suited([[text] for text in texts])
    share = np.array(weights, np.float64)
    share /= share.sum()
    sign = 1.0 if made.better == "higher" else -1.0
    utility = np.array([[made.score(pair) for pair in row] for row in made.count_each(texts)])
    expected: np.ndarray[Any, Any] = sign * utility @ share
    return expected
