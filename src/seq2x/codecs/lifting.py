"""From an automaton over bytes to one over the symbols of a codec: each symbol's text is run through it, from every
state at once.

What the text of an output is, is `TextCodec.decode`'s to say: subwords lose a blank at the very beginning, words have a
blank between them. Left out are the last step of `decode`, the Unicode form (a letter and its accent as two symbols are
one character afterwards), and symbols with a line end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .byte_automaton import ByteAutomaton
from .text import TextCodec
from .vocabulary import FIRST

__all__ = ["Lifted", "lift"]

_CELLS: Final = 1 << 22  # of the work that is done at once
_BLANK: Final = ord(" ")

Numbers = np.ndarray[Any, Any]


class Lifted(NamedTuple):
    """`kind` `[V]`, the class of each symbol; `table` `[Q,C]`, the next state, -1 none; `accepting` `[Q]`. It begins in
    state 0; class 0 leads nowhere.
    """

    kind: Numbers
    table: Numbers
    accepting: Numbers


def lift(automaton: ByteAutomaton, codec: TextCodec) -> Lifted:
    """The outputs of `codec`'s symbols whose text `automaton` accepts."""
    Q = len(automaton.table)
    states = {"word": 1 + 3 * Q, "bpe": 1 + Q, "unigram": 1 + Q}.get(codec.units, Q)
    classes: dict[bytes, int] = {np.full(states, -1, np.int64).tobytes(): 0}
    kind = np.zeros(codec.size, np.int64)
    several = max(1, _CELLS // states)
    for begin in range(FIRST, codec.size, several):
        symbols = np.arange(begin, min(begin + several, codec.size))
        for symbol, column in zip(symbols.tolist(), _columns(automaton, codec, symbols), strict=True):
            kind[symbol] = classes.setdefault(column.tobytes(), len(classes))
    table = np.stack([np.frombuffer(column, np.int64) for column in classes], 1)
    return Lifted(kind, table, _accepting(automaton, codec))


def _columns(automaton: ByteAutomaton, codec: TextCodec, symbols: Numbers) -> Numbers:
    """`[v,Q']`: where each of `symbols` leads from each state."""
    texts = [codec.written[symbol] for symbol in symbols.tolist()]
    if codec.units == "word":
        spells = (symbols < codec.vocabulary.offset) & (not codec.vocabulary.closed)
        columns = _words(automaton, texts, spells)
    else:
        columns = _run(automaton, texts)
    if codec.units in ("bpe", "unigram"):  # state 0 is the very beginning
        first = _run(automaton, [text.removeprefix(b" ") for text in texts])[:, :1]
        columns = np.concatenate([first, columns], 1)
        columns = np.where(columns < 0, -1, columns + 1)
    ends_line = np.array([b"\n" in text or b"\r" in text for text in texts])
    return np.where(ends_line[:, None], -1, columns)


def _words(automaton: ByteAutomaton, texts: Sequence[bytes], spells: Numbers) -> Numbers:
    """State 0 is the beginning; then the automaton's states three times: behind a word, within one that is spelled in
    bytes, and behind a blank that such a one ended with, which another spelled one, or a word, is to follow.
    """
    Q = len(automaton.table)
    within = _run(automaton, texts)
    blank_Q = automaton.table[:, _BLANK]
    behind = np.where(blank_Q < 0, -1, within[:, blank_Q])
    dead = np.full_like(within, -1)

    def to(place: int, states: Numbers) -> Numbers:
        return np.where(states < 0, -1, 1 + place * Q + states)

    parts_of_word = [to(0, part) for part in (within[:, :1], behind, behind, within)]
    parts_of_byte = [to(1, part) for part in (within[:, :1], behind, within, within)]
    parts_of_blank = [dead[:, :1], dead, to(2, within), dead]
    word, byte, blank = (np.concatenate(parts, 1) for parts in (parts_of_word, parts_of_byte, parts_of_blank))
    is_blank = spells & np.array([text == b" " for text in texts])
    return np.where(is_blank[:, None], blank, np.where(spells[:, None], byte, word))


def _run(automaton: ByteAutomaton, texts: Sequence[bytes]) -> Numbers:
    """`[v,Q]`: the state after each of `texts` from each state, -1 none. A text of nothing leads nowhere."""
    Q = len(automaton.table)
    table = np.full((Q + 1, 256), Q, np.int64)  # the last state is none
    table[:Q] = np.where(automaton.table < 0, Q, automaton.table)
    after = np.tile(np.arange(Q), (len(texts), 1))
    sizes = np.array([len(text) for text in texts])
    for place in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        byte = np.array([texts[row][place] for row in longer.tolist()])
        after[longer] = table[after[longer], byte[:, None]]
    return np.where(after == Q, -1, after)


def _accepting(automaton: ByteAutomaton, codec: TextCodec) -> Numbers:
    accepts = automaton.accepting
    if codec.units == "word":
        return np.concatenate([accepts[:1], accepts, accepts, accepts & False])
    return np.append(accepts[:1], accepts) if codec.units in ("bpe", "unigram") else accepts
