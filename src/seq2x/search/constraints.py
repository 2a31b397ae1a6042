"""What a hypothesis may not be: forbidden symbols, too short, repeating itself, off its prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from seq2x.arrays import namespace, to_numpy
from seq2x.errors import UsageError
from seq2x.search.rules import Rules, Sampling
from seq2x.types import BOS, EOS, PAD, Array

__all__ = ["Constraints", "repeats"]


class Constraints:
    """The constraints of one search, asked at every step.

    `prefix` `[B,P]`, -1 where a sentence is free: its symbols are forced whatever else is forbidden, and cost
    their log p. `beams` rows for each of `sentences`; `place` puts a numpy array where the search works. Raises
    `UsageError` for a `prefix` of another shape, or one that holds what is no symbol of an output.
    """

    def __init__(
        self,
        rules: Rules | Sampling,
        prefix: Array | None,
        sentences: int,
        beams: int,
        place: Callable[[Array], Array],
    ) -> None:
        self._rules, self._beams, self._place = rules, beams, place
        self._never = np.array(sorted({PAD, BOS, *rules.forbidden}), dtype=np.int64)
        self._always: tuple[tuple[int, bool], Array] | None = None
        forced = None if prefix is None else _checked(to_numpy(prefix), sentences)
        self._forced_to = 0 if forced is None else forced.shape[1]
        self._prefix_BP = None if forced is None else place(forced)
        self._named = {"prefix": -1 if forced is None else int(forced.max(initial=-1))}
        self._named["forbidden"] = max(rules.forbidden, default=-1)

    @property
    def names_symbols(self) -> bool:
        """Whether the caller named any symbol, which the decoder then has to have: see `check`."""
        return max(self._named.values()) >= 0

    def check(self, size: int) -> None:
        """`UsageError` unless every symbol named is one of `size`."""
        for name, most in self._named.items():
            if most >= size:
                raise UsageError(name, f"symbol {most}", f"symbols below {size}: this decoder has no others")

    def begin(self, sentences: int) -> Array:
        """`[B]`: how many symbols of each sentence are the caller's wish, by its prefix or the minimum length."""
        least_B = np.full(sentences, self._rules.min_length, dtype=np.int64)
        if self._prefix_BP is None:
            return least_B
        ends_BP = np.where(to_numpy(self._prefix_BP) >= 0, np.arange(1, self._forced_to + 1), 0)
        return np.concatenate([least_B[:, None], ends_BP], -1).max(-1)

    @property
    def needs_history(self) -> bool:
        """Whether `forbid` looks at the symbols so far."""
        return self._rules.no_repeat_ngram_size > 0

    def forbid(self, count: int, length: int, history_NT: Array | None) -> Array:
        """`[N,F]` int64: what each of `count` rows may not choose after `length` symbols; -1: nothing."""
        short = length < self._rules.min_length
        if self._always is None or self._always[0] != (count, short):
            ids = np.append(self._never, EOS) if short else self._never
            self._always = (count, short), self._place(np.tile(ids, (count, 1)))
        always_NF = self._always[1]
        if history_NT is None or length < self._rules.no_repeat_ngram_size:
            return always_NF
        again_NF = repeats(history_NT, self._rules.no_repeat_ngram_size)
        return namespace(again_NF).concatenate([always_NF, again_NF], -1)

    def forced(self, length: int, rows_B: Array) -> Array | None:
        """`[N]`: the symbol that each row has to take after `length` symbols, -1: any; None: any everywhere."""
        if self._prefix_BP is None or length >= self._forced_to:
            return None
        symbol_B1 = self._prefix_BP[rows_B, length][:, None]
        return namespace(symbol_B1).broadcast_to(symbol_B1, (len(rows_B), self._beams)).reshape(-1)


def _checked(prefix_BP: np.ndarray[Any, Any], sentences: int) -> np.ndarray[Any, Any]:
    """`prefix` as int64. Raises `UsageError`."""
    if prefix_BP.ndim != 2 or len(prefix_BP) != sentences:
        raise UsageError("prefix", f"shape {list(prefix_BP.shape)}", f"[{sentences}, P]: one row for each sentence")
    wrong_BP = (prefix_BP < -1) | (prefix_BP == PAD) | (prefix_BP == BOS)
    if wrong_BP.any():
        row, place = np.argwhere(wrong_BP)[0].tolist()
        expected = "symbols of an output, -1 where it is free"
        raise UsageError("prefix", f"symbol {prefix_BP[row, place]}", expected, row=row)
    return prefix_BP.astype(np.int64)


def repeats(history_NT: Array, n: int) -> Array:
    """`[N,T-n+1]`: symbols that would make a sequence of `n` symbols occur again in their row; -1: none here.

    A window of n - 1 symbols equal to the last n - 1 forbids the symbol that followed it. T >= n.
    """
    xp = namespace(history_NT)
    T = history_NT.shape[1]
    follower_NW = history_NT[:, n - 1 :]
    same_NW = follower_NW == follower_NW
    for j in range(n - 1):
        same_NW = same_NW & (history_NT[:, j : j + T - n + 1] == history_NT[:, T - n + 1 + j, None])
    return xp.where(same_NW, follower_NW, -1)
