"""Hypotheses that say the same again and again are found, and end.

Trained models fall into loops ("the cat and the cat and the cat ..."), the worse trained the oftener, and would write
on to their length limit. A row in a loop ends; of a beam whose best row is in one all end, as the others leave it for a
symbol now and then and are back in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seq2x.arrays import namespace, numbers, on_host
from seq2x.types import Array

__all__ = ["EVERY", "LENGTH", "TIMES", "Loops", "in_a_loop", "looping"]

TIMES = 8
"""So many times in a row a phrase is written before it is a loop, however long it is,"""

LENGTH = 80
"""and only where all that it makes is longer than this many symbols: laughter, zeros, dots and lines of dashes are not
cut. Hence a single symbol may stand there 80 times, four of them 20 times, ten or more 8 times.
"""

EVERY = 16
"""Steps between two looks, so that looking costs next to nothing: a loop may be so many symbols longer, and no phrase
is written a hundred times.
"""


class Loops:
    """What the rows of one search have written, as far as it takes to see a loop.

    Nothing is looked at before there are more than `LENGTH` symbols that count, and then only at every `EVERY`th; in
    between what each row wrote is kept as it came. `begin` `[B]`: symbols that do not count at the start of each
    sentence, as they were asked for: its prefix, and those of the minimum length.
    """

    def __init__(self, begin: np.ndarray[Any, Any], beams: int, place: Callable[[Array], Array]) -> None:
        self._begin_N = place(np.repeat(np.asarray(begin, dtype=np.int64), beams))
        self._free = int(np.min(begin)) + LENGTH  # symbols before there can be a loop in any row
        self._history_NT = place(np.zeros((len(begin) * beams, 0), dtype=np.int64))
        self._since: list[tuple[Array | None, Array]] = []

    def advance(self, symbol_N: Array, origin_N: Array) -> None:
        """Row n continues row `origin` with `symbol`."""
        self._since.append((symbol_N, origin_N))

    def keep(self, rows_N: Array) -> None:
        """Only these rows go on."""
        self._since.append((None, rows_N))
        self._begin_N = self._begin_N[rows_N]

    def found(self, length: int) -> Array | None:
        """`[N]`: which rows are in a loop after `length` symbols; None: not looked at now."""
        if length <= self._free or length % EVERY:
            return None
        xp = namespace(self._begin_N)
        row_N = numbers(len(self._begin_N), self._begin_N)
        columns = []
        for symbol_N, origin_N in reversed(self._since):
            if symbol_N is not None:
                columns.append(symbol_N[row_N])
            row_N = origin_N[row_N]
        self._since.clear()
        self._history_NT = xp.concatenate([self._history_NT[row_N], xp.stack(columns[::-1], -1)], -1)
        return looping(self._history_NT, length - self._begin_N, EVERY)


def looping(history_NT: Array, own_N: Array, ends: int) -> Array:
    """`[N]`: whether some symbols of each row are one phrase at least `TIMES` times in a row, more than `LENGTH`
    symbols in all: those that end with one of the row's last `ends`, and are among its last `own`.

    They are, for a phrase of p symbols, where each of them but the first p equals the one that is p before it. That the
    loop is over does not count: else a beam would leave one for a symbol and be back in it.
    """
    T = history_NT.shape[1]
    found_N = own_N != own_N  # none yet
    for p in _periods(history_NT, T // TIMES, ends):
        size = max(TIMES * p, LENGTH + 1)
        last = min(ends, T - size + 1)
        if last < 1:
            continue
        begin = T - size - last + 1  # of the first stretch; the others begin one later each
        alike_NT = history_NT[:, begin + p :] == history_NT[:, begin : T - p]
        count_NT = namespace(alike_NT).cumsum(alike_NT * 1, -1)
        whole_NT = count_NT[:, size - p - 1 :] - count_NT[:, :last] + alike_NT[:, :last] == size - p
        found_N = found_N | (whole_NT & (own_N[:, None] >= T - begin - numbers(last, own_N))).any(-1)
    return found_N


def in_a_loop(symbols: Sequence[int]) -> bool:
    """Whether there is a loop in an output of `symbols`."""
    return bool(looping(np.array([symbols], np.int64), np.array([len(symbols)]), max(len(symbols), 1))[0])


def _periods(history_NT: Array, most: int, ends: int) -> list[int]:
    """Lengths of phrases that may be repeated, up to `most`. On the host those for which a few symbols of any row, that
    belong to every stretch with one of the last `ends`, are those before them; on a device, where to ask is to wait,
    all.
    """
    few = TIMES
    if not on_host(history_NT) or ends > EVERY or history_NT.shape[1] < ends + few + most:
        return list(range(1, most + 1))
    there_NP = np.asarray(history_NT)[:, : history_NT.shape[1] - ends][:, -few - most :]
    windows_NPf = np.lib.stride_tricks.sliding_window_view(there_NP, few, axis=1)
    alike_P = (windows_NPf[:, :-1] == windows_NPf[:, -1:]).all(-1).any(0)
    return (most - np.flatnonzero(alike_P)).tolist()
