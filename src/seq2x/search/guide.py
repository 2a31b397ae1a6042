"""What may come next, and how much still has to: constraints that have a state of their own.

A guide says for every row and every symbol how many further symbols an output needs at least after it. That one number
is the mask (what cannot be completed within the length limit is not allowed), the end (`</s>` costs nothing where an
output is complete) and the progress by which a beam is shared out (`seq2x.search.banks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from seq2x.arrays import Table, is_torch, like, namespace, take_along
from seq2x.errors import UsageError
from seq2x.search.automaton import NEVER, Automaton
from seq2x.types import EOS, Answer, Array

__all__ = ["Automata", "Guide", "Guided"]

Place = Callable[[Array], Array]
"""Puts a numpy array where the search works."""


class Guide(Protocol):
    """A constraint on the outputs of a batch of `B` sentences: finite automata (`Automata`), or anything whose state
    is a few whole numbers, such as a counter of open brackets, or a stack of bounded depth.

    Arrays are numpy where the decoder works on a processor, else tensors on its device. `rows` `[N]` says which
    sentence each row belongs to. A search gathers the states of rows that go on from each other, and looks at none.
    A row may be asked about a symbol that it was never allowed (it is dead then): any state will do that exists.
    """

    def start(self, place: Place) -> Array:
        """The states `[B,W]` int64 before the first symbol. Called once, before all else."""
        ...

    def prices(self, state: Array, rows: Array) -> Array:
        """`[N,V]` int: how many more symbols an output needs at least after each symbol, `</s>` not counted; `NEVER`
        or more: none could ever complete it. Of `</s>`: 0 where the output is complete, else `NEVER`.
        """
        ...

    def step(self, state: Array, symbols: Array, rows: Array) -> Array:
        """The states `[N,W]` after `symbols` `[N]`."""
        ...


class Automata:
    """A finite automaton for each sentence, all over one vocabulary; most of them may be the same."""

    def __init__(self, automata: Sequence[Automaton]) -> None:
        different = list({id(one): one for one in automata}.values())
        number = {id(one): n for n, one in enumerate(different)}
        self._which = np.array([number[id(one)] for one in automata])
        # State 0 is the one from which nothing may come. The last class is that of `</s>`.
        first = 1 + np.cumsum([0, *(len(one.table) for one in different)])
        classes = 1 + max(one.table.shape[1] for one in different)
        self._table = np.zeros((first[-1], classes), np.int64)
        self._price = np.full((first[-1], classes), NEVER, np.int64)
        self._kind = np.stack([one.kind for one in different]).astype(np.int64)
        self._kind[:, EOS] = classes - 1
        for begin, one in zip(first, different, strict=False):
            states, C = one.table.shape
            here = slice(begin, begin + states), slice(0, C)
            self._table[here] = np.where(one.table < 0, 0, begin + one.table)
            self._price[here] = np.where(one.table < 0, NEVER, one.distance[one.table])
            self._price[here[0], -1] = np.where(one.accepting, 0, NEVER)
        self._start = np.array([[first[number[id(one)]] + one.start] for one in automata])

    def start(self, place: Place) -> Array:
        """See `Guide`."""
        self._which, self._kind = place(self._which), place(self._kind)
        self._table, self._price = place(self._table), place(self._price)
        return place(self._start)

    def prices(self, state: Array, rows: Array) -> Array:
        """See `Guide`."""
        xp = namespace(state)
        price_NC = self._price[state[:, 0]]
        if len(self._kind) == 1:
            return xp.index_select(price_NC, 1, self._kind[0]) if is_torch(state) else price_NC.take(self._kind[0], 1)
        kind_NV = self._kind[self._which[rows]]
        return xp.take_along_dim(price_NC, kind_NV, 1) if is_torch(state) else np.take_along_axis(price_NC, kind_NV, 1)

    def step(self, state: Array, symbols: Array, rows: Array) -> Array:
        """See `Guide`."""
        return self._table[state[:, 0], self._kind[self._which[rows], symbols]][:, None]


class Guided:
    """The rows of one search under a guide: `most` `[B]` symbols each, `</s>` counted, `beams` rows a sentence.

    Where a single row has to find its way (greedy search, draws) and would end, but may not yet, it goes on only with
    what brings it nearer to an end: no beam is there to keep what does. It would wander on to its limit else.
    """

    def __init__(self, guide: Guide, most: Array, beams: int, alone: bool, place: Place) -> None:
        self._guide, self._beams, self._alone = guide, beams, alone
        start_BW = guide.start(place)
        xp = namespace(start_BW)
        number_B = place(np.arange(len(most)))
        self._state_NW = start_BW[self._spread(number_B)]
        self._most_B = place(np.asarray(most, dtype=np.int64))
        self.far_B = xp.zeros_like(number_B)
        """What each sentence needed at its start."""

    def look(self, length: int, rows_B: Array) -> None:
        """What may come after `length` symbols."""
        xp = namespace(rows_B)
        rows_N = self._spread(rows_B)
        self._prices_NV = self._guide.prices(self._state_NW, rows_N)
        ends_N = self._prices_NV[:, EOS] < NEVER
        self._left_N1 = xp.where(ends_N, 0, xp.amin(self._prices_NV, -1) + 1)[:, None]
        if length == 0:
            self.far_B = self._left_N1[:: self._beams, 0]
        room_N1 = self._spread(self._most_B[rows_B])[:, None] - length - 1
        self._open_NV = self._prices_NV <= room_N1.clip(max=NEVER - 1)

    def answers(self, answer: Answer) -> list[Table]:
        """What the decoder says of the symbols that are open: for rows that stand alone as a whole; else of those that
        bring an output no nearer to an end, and of those that do, so that a beam can have the best of both.
        """
        log_p_NV = answer.all()
        V = log_p_NV.shape[1]
        open_NV = like(_wide(self._open_NV, V), log_p_NV)
        nearer_NV = open_NV & like(_wide(self._prices_NV < self._left_N1, V), log_p_NV)
        if not self._alone:
            return [_masked(log_p_NV, open_NV & ~nearer_NV), _masked(log_p_NV, nearer_NV)]
        most_N = namespace(log_p_NV).amax(log_p_NV, -1)
        would_end_N = (log_p_NV[:, EOS] >= most_N) & ~open_NV[:, EOS]
        return [_masked(log_p_NV, open_NV & (nearer_NV | ~would_end_N[:, None]))]

    def left(self, ids_Nc: Array) -> Array:
        """`[N,c]`: what an output needs after each of these symbols."""
        return take_along(self._prices_NV, ids_Nc.clip(max=self._prices_NV.shape[1] - 1))

    def advance(self, symbol_N: Array, origin_N: Array, rows_B: Array) -> None:
        """Row n continues row `origin` with `symbol`."""
        self._state_NW = self._guide.step(self._state_NW[origin_N], symbol_N, self._spread(rows_B))

    def keep(self, keep_B: Array, rows_N: Array) -> None:
        """Only these sentences, with these rows, go on."""
        self._state_NW, self.far_B = self._state_NW[rows_N], self.far_B[keep_B]

    def _spread(self, each_B: Array) -> Array:
        """`[N]`: what is one for each sentence, for each of its rows."""
        xp = namespace(each_B)
        return xp.broadcast_to(each_B[:, None], (len(each_B), self._beams)).reshape(-1)


def _masked(log_p_NV: Array, open_NV: Array) -> Table:
    return Table(namespace(log_p_NV).where(open_NV, log_p_NV, -np.inf))


def _wide(open_NV: Array, V: int) -> Array:
    """`[N,V]`: what a guide knows nothing of, such as words that only one sentence has, is not open."""
    N, known = open_NV.shape
    if known == V:
        return open_NV
    if known > V:
        raise UsageError("guide", f"{known} symbols", f"{V}: this decoder has no others")
    xp = namespace(open_NV)
    return xp.concatenate([open_NV, xp.broadcast_to(open_NV[:, :1] & False, (N, V - known))], -1)
