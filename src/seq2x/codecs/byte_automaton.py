"""A regular expression as a deterministic automaton over the bytes of UTF-8.

Over bytes and not characters, because some symbols are parts of a character. The tree becomes an automaton that may be
in several states at once (Thompson 1968), and that one whose states are these sets (Rabin & Scott 1959).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from seq2x.errors import UsageError

from .pattern import Characters, Choice, Node, Repeat, Row, parse

__all__ = ["ByteAutomaton", "compile_pattern"]

_MOST_STATES: Final = 10_000
_MOST_PARTS: Final = 100_000  # states of the automaton that may be in several of its states


class ByteAutomaton(NamedTuple):
    """`table` `[Q,256]`: the next state, -1 none; `accepting` `[Q]`. It begins in state 0."""

    table: np.ndarray[Any, Any]
    accepting: np.ndarray[Any, Any]

    def matches(self, text: str) -> bool:
        """Whether `text` as a whole is accepted."""
        state = 0
        for byte in text.encode("utf-8", "surrogatepass"):
            state = int(self.table[state, byte])
            if state < 0:
                return False
        return bool(self.accepting[state])


def compile_pattern(text: str) -> ByteAutomaton:
    """The automaton of the regular expression `text` (see `seq2x.codecs.pattern`).

    Raises `UsageError` where it cannot be read, or would be too large.
    """
    tree = parse(text)
    if _size(tree) > _MOST_PARTS:
        raise _too_large(text)
    loose = _Loose()
    last = loose.build(tree, loose.state())
    return _determined(loose, last, text)


def _too_large(text: str) -> UsageError:
    return UsageError("pattern", f'"{text[:80]}" is too large', "a few thousand states", "repeat less of it")


def _size(node: Node) -> int:
    """About how many states a tree takes."""
    if isinstance(node, Characters):
        return 1 + len(node.ranges)
    if isinstance(node, Repeat):
        return 2 + _size(node.part) * max(node.low + (node.high is None), node.high or 0)
    return 1 + sum(map(_size, node.parts))


class _Loose:
    """An automaton that may be in several states: moves by a byte, and moves by nothing."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[int, int, int]]] = []  # first and last byte, next state
        self.free: list[list[int]] = []

    def state(self) -> int:
        self.moves.append([])
        self.free.append([])
        return len(self.moves) - 1

    def build(self, node: Node, begin: int) -> int:
        """Append `node` to what ends in `begin`; the state where it ends itself."""
        if isinstance(node, Characters):
            return self._characters(node, begin)
        if isinstance(node, Row):
            for part in node.parts:
                begin = self.build(part, begin)
            return begin
        if isinstance(node, Choice):
            end = self.state()
            for part in node.parts:
                way = self.state()
                self.free[begin].append(way)
                self.free[self.build(part, way)].append(end)
            return end
        return self._repeat(node, begin)

    def _repeat(self, node: Repeat, begin: int) -> int:
        for _ in range(node.low):
            begin = self.build(node.part, begin)
        end = self.state()
        self.free[begin].append(end)
        if node.high is None:
            around = self.state()
            self.free[begin].append(around)
            last = self.build(node.part, around)
            self.free[last] += [around, end]
            return end
        for _ in range(node.high - node.low):
            way = self.state()
            self.free[begin].append(way)
            begin = self.build(node.part, way)
            self.free[begin].append(end)
        return end

    def _characters(self, node: Characters, begin: int) -> int:
        end = self.state()
        known: dict[tuple[tuple[int, int], ...], int] = {(): end}  # the state before the bytes that are still to come

        def before(rest: tuple[tuple[int, int], ...]) -> int:
            if rest not in known:
                known[rest] = self.state()
                self.moves[known[rest]].append((*rest[0], before(rest[1:])))
            return known[rest]

        for low, high in node.ranges:
            self.moves[begin] += [(*bytes_[0], before(bytes_[1:])) for bytes_ in _utf8(low, high)]
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """What is reached from `states` by nothing."""
        seen = set(states)
        waiting = list(seen)
        while waiting:
            for after in self.free[waiting.pop()]:
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return frozenset(seen)


def _determined(loose: _Loose, last: int, text: str) -> ByteAutomaton:
    """The automaton whose states are the sets of states in which `loose` may be."""
    ends = sorted({0, 256, *(end for moves in loose.moves for a, b, _ in moves for end in (a, b + 1))})
    column = {end: number for number, end in enumerate(ends)}
    closed = [loose.closure([state]) for state in range(len(loose.moves))]
    number = {closed[0]: 0}
    waiting = [closed[0]]
    rows: list[list[int]] = []
    for states in waiting:
        reached: list[set[int]] = [set() for _ in ends]
        for state in states:
            for first, final, after in loose.moves[state]:
                for at in range(column[first], column[final + 1]):
                    reached[at] |= closed[after]
        row = []
        for together in reached:
            key = frozenset(together)
            if key and key not in number:
                number[key] = len(waiting)
                waiting.append(key)
                if len(waiting) > _MOST_STATES:
                    raise _too_large(text)
            row.append(number[key] if key else -1)
        rows.append(row)
    column_of_byte = np.searchsorted(np.array(ends), np.arange(256), side="right") - 1
    return ByteAutomaton(np.array(rows, np.int32)[:, column_of_byte], np.array([last in states for states in waiting]))


def _utf8(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """The UTF-8 of the code points from `low` to `high`, surrogates left out: rows of ranges of bytes."""
    for first, last in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)):
        if max(low, first) <= min(high, last):
            yield from _of_one_length(max(low, first), min(high, last))


def _of_one_length(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """As `_utf8`, of code points with as many bytes: cut so that all but the first byte that differs run over all."""
    for bits in (6, 12, 18):
        mask = (1 << bits) - 1
        if low | mask < high and low & mask:
            yield from _of_one_length(low, low | mask)
            yield from _of_one_length((low | mask) + 1, high)
            return
        if low | mask < high and high & mask != mask:
            yield from _of_one_length(low, (high & ~mask) - 1)
            yield from _of_one_length(high & ~mask, high)
            return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))
