"""From pairs to a value with its interval, and from two systems to a difference with its significance.

All of it works on the matrix of statistics `[n,k]`: a resampled test set is a sum of its rows, so a thousand of them
cost one matrix product and no string is looked at twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2x.errors import DataError
from seq2x.types import Interval, Metric, Result

from .base import Statistics

__all__ = ["Comparison", "compared", "evaluated", "statistics"]

Score = Callable[[Statistics], float]

_BLOCK = 1 << 22  # numbers drawn at a time: 32 MB
_LEAST = 1e-9  # a difference below this is rounding


@dataclass(frozen=True, slots=True)
class Comparison:
    """System b against system a on the same test set, in the metric's unit.

    `difference` is b - a; `interval` its 95 % paired bootstrap interval; `p_value` two-sided: how often two systems
    that do not differ would show such a difference. `winner` is "a", "b" or "" (not significant at 5 %).
    """

    metric: str
    a: float
    b: float
    difference: float
    interval: Interval
    p_value: float
    winner: str
    count: int
    samples: int
    signature: str = ""


def statistics(metric: Metric, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Statistics:
    """`[n,k]`, a row for each pair. Raises `DataError` if the two differ in number, or there is none."""
    if len(outputs) != len(references):
        raise DataError(metric.name, f"{len(outputs)} outputs for {len(references)} references", "as many of each")
    if not outputs:
        raise DataError(metric.name, "no pairs to evaluate", "at least one")
    rows = []
    for number, (output, right) in enumerate(zip(outputs, references, strict=True), 1):
        if not right:
            raise DataError(f"{metric.name}: pair {number}", "no reference", "at least one")
        rows.append(metric.count(output, right))
    return np.stack(rows)


def evaluated(metric: Metric, rows: Statistics, samples: int = 1000, seed: int = 1) -> Result:
    """The metric of the pairs whose statistics are `rows`, with a percentile bootstrap interval (Efron 1979; 95 %).

    Below two pairs, or with `samples` 0, there is no interval.
    """
    value = metric.score(rows.sum(axis=0))
    interval = None
    if samples > 0 and len(rows) > 1:
        scores = [metric.score(total) for total in _resampled(rows, samples, seed)]
        interval = _interval(np.array(scores))
    return Result(metric.name, value, metric.better, len(rows), interval, metric.signature)


def compared(metric: Metric, rows_a: Statistics, rows_b: Statistics, samples: int = 1000, seed: int = 1) -> Comparison:
    """Two systems on the same pairs, given their statistics.

    The interval is the paired bootstrap's (Koehn 2004): both systems on the same resampled pairs. The p-value is from
    approximate randomisation (Riezler and Maxwell 2005, fig. 1), which tests the hypothesis that matters: exchange
    the two outputs of each pair or not, by a coin, and see how often the difference is as large;
    (times + 1) / (samples + 1). A different number of pairs raises `DataError`.
    """
    if len(rows_a) != len(rows_b):
        raise DataError(metric.name, f"{len(rows_a)} and {len(rows_b)} outputs", "the same test set")
    both = np.concatenate([rows_a, rows_b], axis=1)
    width = rows_a.shape[1]

    def difference(total: Statistics) -> float:
        return metric.score(total[width:]) - metric.score(total[:width])

    a, b = metric.score(rows_a.sum(axis=0)), metric.score(rows_b.sum(axis=0))
    interval = _interval(np.array([difference(total) for total in _resampled(both, samples, seed)]))
    extreme = sum(abs(difference(total)) >= abs(b - a) - _LEAST for total in _exchanged(rows_a, rows_b, samples, seed))
    p_value = (extreme + 1) / (samples + 1)
    winner = ""
    if p_value < 0.05:
        winner = "b" if (b > a) == (metric.better == "higher") else "a"
    return Comparison(metric.name, a, b, b - a, interval, p_value, winner, len(rows_a), samples, metric.signature)


def _interval(scores: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(low), float(high))


def _blocks(n: int, samples: int) -> Iterator[int]:
    """Numbers of samples to draw at a time."""
    size = max(1, _BLOCK // n)
    for start in range(0, samples, size):
        yield min(size, samples - start)


def _resampled(rows: Statistics, samples: int, seed: int) -> Iterator[Statistics]:
    """Sums `[k]` of n rows drawn with replacement, `samples` times."""
    n = len(rows)
    rng = np.random.default_rng([seed, 0])
    for size in _blocks(n, samples):
        draws = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        times = np.bincount(draws.ravel(), minlength=size * n).reshape(size, n)
        yield from times.astype(np.float64) @ rows


def _exchanged(rows_a: Statistics, rows_b: Statistics, samples: int, seed: int) -> Iterator[Statistics]:
    """Sums `[2k]` of both systems after a coin for each pair has exchanged its outputs or not."""
    n = len(rows_a)
    rng = np.random.default_rng([seed, 1])
    total = rows_a.sum(axis=0) + rows_b.sum(axis=0)
    for size in _blocks(n, samples):
        stays = rng.integers(0, 2, size=(size, n)).astype(np.float64)
        first = stays @ rows_a + (1.0 - stays) @ rows_b
        yield from np.concatenate([first, total - first], axis=1)
