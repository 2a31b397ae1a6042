"""Which rows make each update: a function of (seed, epoch) and the lengths alone.

Neither the number of processes nor of micro-batches enters, so two ranks see what one would have seen.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Batches", "padding", "split"]

_Rows: TypeAlias = npt.NDArray[np.int64]
_POOL = 128  # updates whose rows are sorted together: large enough for exact buckets, small enough to stay mixed
_PURPOSE = 0x6261746368  # "batch": keeps these draws apart from all others of the same seed


class Batches:
    """Token-budget batches from exact length buckets.

    In every epoch the rows are shuffled, cut into pools, and each pool is sorted by (target length, source length),
    so that the rows of an update are as long as each other and little is padding (at most about 5 %). An update holds
    as many rows as `batch_tokens` target tokens (`</s>` counted) allow; a row longer than that is an update by itself.
    """

    def __init__(
        self, source_lengths: npt.ArrayLike, target_lengths: npt.ArrayLike, batch_tokens: int, seed: int
    ) -> None:
        self._source = np.asarray(source_lengths, np.int64)
        self._target = np.asarray(target_lengths, np.int64)
        self._budget, self._seed = batch_tokens, seed

    def epoch(self, number: int) -> list[_Rows]:
        """The rows of each update of epoch `number`, in order; every row exactly once."""
        draw = np.random.default_rng([_PURPOSE, self._seed, number])
        order = draw.permutation(len(self._target))
        tokens = np.cumsum(self._target[order])
        total = int(tokens[-1]) if len(tokens) else 0
        pools = max(1, round(total / (_POOL * self._budget)))
        cuts = np.searchsorted(tokens, np.arange(1, pools) * (total / pools))
        updates = [rows for pool in np.split(order, cuts) for rows in self._cut(self._sorted(pool))]
        return [updates[i] for i in draw.permutation(len(updates))]

    def _sorted(self, rows: _Rows) -> _Rows:
        """By target length, then source length: up in one bucket, down in the next, so that neighbours stay alike."""
        target, source = self._target[rows], self._source[rows]
        return rows[np.lexsort((np.where(target % 2, source, -source), target))]

    def _cut(self, rows: _Rows) -> list[_Rows]:
        ends = np.cumsum(self._target[rows])
        updates, start, spent = [], 0, 0
        while start < len(rows):
            end = max(int(np.searchsorted(ends, spent + self._budget, side="right")), start + 1)
            updates.append(rows[start:end])
            start, spent = end, int(ends[end - 1])
        return updates


def split(rows: _Rows, parts: int) -> list[_Rows]:
    """`rows` dealt out to `parts` (micro-batches x ranks): each gets every length, all together get each row once.

    A part is empty where there are fewer rows than parts.
    """
    return [rows[part::parts] for part in range(parts)]


def padding(lengths: npt.ArrayLike, updates: list[_Rows]) -> float:
    """The share of padding among all positions of the updates' rectangles."""
    known = np.asarray(lengths, np.int64)
    cells = sum(len(rows) * int(known[rows].max()) for rows in updates)
    return 1.0 - sum(int(known[rows].sum()) for rows in updates) / cells if cells else 0.0
