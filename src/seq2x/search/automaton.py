"""Deterministic finite automata over output symbols: which outputs may be, and how far each beginning is from one.

A vocabulary is large and an automaton tells few of its symbols apart, so symbols stand in classes: `kind` `[V]` says
which, and the table of transitions is `[states, classes]`. Symbols of class 0 are never allowed; special symbols are
of it, as `</s>` moves no automaton: it may follow where a state accepts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from seq2x.errors import UsageError
from seq2x.types import SPECIALS

__all__ = ["MOST_CELLS", "MOST_STATES", "NEVER", "Automaton"]

NEVER = 1 << 30
"""The price of what cannot be completed, in symbols."""

MOST_CELLS = 1 << 22
"""States times classes of an automaton at most: 32 MB."""

MOST_STATES = 1 << 16

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Automaton:
    """`kind` `[V]`: the class of each symbol; `table` `[Q,C]`: the next state, -1 none; `accepting` `[Q]`: whether an
    output may end (or be cut) there; `start`: the first state. Raises `UsageError` for parts that do not fit together.
    """

    kind: Numbers
    table: Numbers
    accepting: Numbers
    start: int = 0

    def __post_init__(self) -> None:
        Q, C = self.table.shape
        inside = C > 0 and 0 <= self.start < Q and self.accepting.shape == (Q,) and self.kind.ndim == 1
        inside = inside and self.kind.min(initial=0) >= 0 and self.kind.max(initial=0) < C
        if not inside or self.table.min() < -1 or self.table.max() >= Q or (self.table[:, 0] != -1).any():
            found = f"{Q} states, {C} classes, {len(self.accepting)} marked, {len(self.kind)} symbols"
            raise UsageError("automaton", found, "states and classes that exist, class 0 without transitions")
        if self.kind[: len(SPECIALS)].any():
            raise UsageError("automaton", "a class for special symbols", f"0 for the first {len(SPECIALS)}")

    # -------------------------------------------------------------- made from

    @classmethod
    def of(cls, moves: Sequence[dict[int, int]], accepting: Iterable[int], size: int, start: int = 0) -> Automaton:
        """From one dictionary for each state, symbol to next state; what is not named is not allowed."""
        symbols = sorted({symbol for of_one in moves for symbol in of_one})
        wrong = [symbol for symbol in symbols if not len(SPECIALS) <= symbol < size]
        if wrong:
            raise UsageError("automaton", f"symbol {wrong[0]}", f"symbols of text, {len(SPECIALS)} to {size - 1}")
        kind = np.zeros(size, np.int64)
        kind[symbols] = np.arange(1, len(symbols) + 1)
        table = np.full((len(moves), len(symbols) + 1), -1, np.int64)
        for state, of_one in enumerate(moves):
            for symbol, after in of_one.items():
                table[state, kind[symbol]] = after
        marked = np.zeros(len(moves), bool)
        marked[list(accepting)] = True
        return cls(kind, table, marked, start)

    @classmethod
    def anything(cls, size: int) -> Automaton:
        """Every output."""
        return cls.only(range(len(SPECIALS), size), size)

    @classmethod
    def only(cls, symbols: Iterable[int], size: int) -> Automaton:
        """Outputs of these symbols alone."""
        kind = np.zeros(size, np.int64)
        kind[np.array(list(symbols), np.int64)] = 1
        kind[: len(SPECIALS)] = 0
        return cls(kind, np.array([[-1, 0]]), np.array([True]))

    @classmethod
    def containing(cls, phrases: Sequence[Sequence[Sequence[int]]], size: int) -> Automaton:
        """Outputs in which each of `phrases` occurs, a phrase being a set of spellings any of which will do.

        One automaton sees all spellings at once (Aho & Corasick 1975; with one spelling that of Knuth, Morris & Pratt
        1977), so that occurrences may overlap; a bit for each phrase says whether it has occurred. Raises `UsageError`
        for a phrase without a spelling, or more of them than can be told apart.
        """
        spellings = [(tuple(one), 1 << number) for number, phrase in enumerate(phrases) for one in phrase]
        if any(not phrase or not all(phrase) for phrase in phrases):
            raise UsageError("require", "a phrase without symbols", "some text")
        table_NC, bits_N, kind_V = _spotter(spellings, size)
        flags = 1 << len(phrases)
        if len(phrases) > 20 or table_NC.size * flags > MOST_CELLS >> 2:
            total = sum(len(one) for one, _ in spellings)
            raise UsageError("require", f"{len(phrases)} phrases of {total} symbols are too many", "fewer or shorter")
        met_F = np.arange(flags)
        after_NFC = table_NC[:, None, :] * flags + (met_F[None, :, None] | bits_N[table_NC][:, None, :])
        after_NFC[:, :, 0] = -1
        accepting = np.tile(met_F == flags - 1, len(table_NC))
        return cls(kind_V, after_NFC.reshape(-1, table_NC.shape[1]), accepting)._reachable()

    # -------------------------------------------------------------- changed

    def without(self, symbols: Iterable[int]) -> Automaton:
        """Never any of `symbols`."""
        kind = self.kind.copy()
        kind[[symbol for symbol in symbols if symbol < len(kind)]] = 0
        return Automaton(kind, self.table, self.accepting, self.start)

    def at_least(self, length: int) -> Automaton:
        """Only outputs of at least `length` symbols: the product with a counter. Raises `UsageError` if it is large."""
        if length == 0:
            return self
        Q, C = self.table.shape
        _require_small(Q * (length + 1), C, "min_length")
        moved = np.where(
            self.table < 0, -1, self.table + Q * np.minimum(np.arange(1, length + 2), length)[:, None, None]
        )
        accepting = np.concatenate([np.zeros(Q * length, bool), self.accepting])
        return Automaton(self.kind, moved.reshape(-1, C), accepting, self.start)._reachable()

    def both(self, other: Automaton) -> Automaton:
        """Outputs that this one and `other` accept: the product, as far as it is reached. Raises `UsageError`."""
        if len(self.kind) != len(other.kind):
            raise UsageError("automaton", f"{len(self.kind)} and {len(other.kind)} symbols", "one vocabulary")
        allowed_V = (self.kind > 0) & (other.kind > 0)
        pair_V = np.where(allowed_V, self.kind * other.table.shape[1] + other.kind, 0)
        pairs, kind = np.unique(np.append(0, pair_V), return_inverse=True)
        mine_C, theirs_C = pairs // other.table.shape[1], pairs % other.table.shape[1]
        Q = len(other.table)
        number = {self.start * Q + other.start: 0}
        rows: list[Numbers] = []
        front = np.array(list(number))
        while len(front):
            mine, theirs = self.table[front // Q][:, mine_C], other.table[front % Q][:, theirs_C]
            rows.append(np.where((mine < 0) | (theirs < 0), -1, mine * Q + theirs))
            new = [code for code in np.unique(rows[-1]).tolist() if code >= 0 and code not in number]
            number |= {code: len(number) + place for place, code in enumerate(new)}
            front = np.array(new, np.int64)
            _require_small(len(number), len(pairs), "constraints")
        each = np.array(list(number))
        by_code = np.argsort(each)
        table = np.concatenate(rows)
        place = np.searchsorted(each, table, sorter=by_code).clip(max=len(each) - 1)
        table = np.where(table < 0, -1, by_code[place])
        return Automaton(kind[1:], table, self.accepting[each // Q] & other.accepting[each % Q])

    def _reachable(self) -> Automaton:
        """The same without states that no output leads to."""
        seen = np.zeros(len(self.table), bool)
        front = np.array([self.start])
        while len(front):
            seen[front] = True
            after = np.unique(self.table[front])
            front = after[(after >= 0) & ~seen[after]]
        place = np.append(np.cumsum(seen) - 1, -1)
        return Automaton(self.kind, place[self.table[seen]], self.accepting[seen], int(place[self.start]))

    # -------------------------------------------------------------- asked

    @cached_property
    def distance(self) -> Numbers:
        """`[Q]`: how many symbols at least lead from a state to one that accepts; `NEVER` if none do."""
        used_C = np.isin(np.arange(self.table.shape[1]), self.kind)
        source, column = np.nonzero((self.table >= 0) & used_C)
        target = self.table[source, column]
        by_target = np.argsort(target, kind="stable")
        source, ends = source[by_target], np.searchsorted(target[by_target], np.arange(len(self.table) + 1))
        distance = np.where(self.accepting, 0, NEVER)
        front, steps = np.flatnonzero(self.accepting), 0
        while len(front):
            steps += 1
            counts = ends[front + 1] - ends[front]
            first = np.repeat(ends[front] - np.cumsum(counts) + counts, counts)
            before = np.unique(source[first + np.arange(counts.sum())])
            front = before[distance[before] == NEVER]
            distance[front] = steps
        return distance

    def after(self, symbols: Iterable[int], state: int | None = None) -> int:
        """The state that `symbols` lead to, -1 if they may not occur."""
        state = self.start if state is None else state
        for symbol in symbols:
            if state < 0:
                break
            state = int(self.table[state, self.kind[symbol]])
        return state

    def accepts(self, symbols: Iterable[int]) -> bool:
        """Whether an output of `symbols` (without `</s>`) may end."""
        state = self.after(symbols)
        return state >= 0 and bool(self.accepting[state])


def _spotter(spellings: Sequence[tuple[tuple[int, ...], int]], size: int) -> tuple[Numbers, Numbers, Numbers]:
    """(next node `[N,C]`, bits of the spellings that end at a node `[N]`, class of each symbol `[V]`).

    A node is a beginning of a spelling, the longest that ends where the text does; class 1 are all other symbols.
    """
    symbols = sorted({symbol for one, _ in spellings for symbol in one})
    kind = np.ones(size, np.int64)
    kind[: len(SPECIALS)] = 0
    kind[symbols] = np.arange(2, len(symbols) + 2)
    children: list[dict[int, int]] = [{}]
    bits = [0]
    for one, bit in spellings:
        node = 0
        for symbol in kind[list(one)].tolist():
            if symbol not in children[node]:
                children[node][symbol] = len(children)
                children.append({})
                bits.append(0)
            node = children[node][symbol]
        bits[node] |= bit
    table = np.zeros((len(children), len(symbols) + 2), np.int64)
    fall = [0] * len(children)  # the longest other beginning that ends there too
    for node in _by_depth(children):
        table[node] = table[fall[node]]
        for symbol, child in children[node].items():
            fall[child] = int(table[fall[node], symbol]) if node else 0
            table[node, symbol] = child
        bits[node] |= bits[fall[node]]
    return table, np.array(bits), kind


def _by_depth(children: Sequence[dict[int, int]]) -> list[int]:
    nodes = [0]
    for node in nodes:
        nodes.extend(children[node].values())
    return nodes


def _require_small(states: int, classes: int, where: str) -> None:
    if states > MOST_STATES or states * classes > MOST_CELLS:
        found = f"an automaton of {states:,} states and {classes:,} classes of symbols"
        raise UsageError(where, found, "a smaller one", "ask for less at once")
