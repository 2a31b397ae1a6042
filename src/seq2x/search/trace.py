"""From what each step noted to whole hypotheses.

A search notes per step only what it chose, `[B,K]` numbers; where a hypothesis ended, it notes a pointer. The
sequences are read off backwards at the end, so that no step moves them about.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seq2x.arrays import to_numpy
from seq2x.types import PAD, Array, Hypotheses

__all__ = ["Ends", "Note", "empty", "merged", "read_off"]


class Note(NamedTuple):
    """One step of the sentences `rows` `[B']`: beam k took `symbol` with `log_p` after beam `parent`, all `[B',K]`.

    `attention` `[B',K,S]` belongs to the parents.
    """

    rows: Array
    symbol: Array
    parent: Array
    log_p: Array
    attention: Array | None


class Ends(NamedTuple):
    """How each hypothesis ended, best first: its last symbol, the symbol's log p and the beam before it. All `[B,K]`.

    `stopped` is 1 for an end by `</s>`, 0 for a cut at the limit, -1 for none.
    """

    stopped: Array
    score: Array
    length: Array
    parent: Array
    symbol: Array
    log_p: Array


def empty(n: int) -> Hypotheses:
    """The outcome of a search without sentences."""
    none = np.zeros((0, n))
    whole = none.astype(np.int64)
    return Hypotheses(np.zeros((0, n, 0), dtype=np.int64), whole, none, np.zeros((0, n, 0)), whole)


def read_off(notes: list[Note], ends: Ends, n: int) -> Hypotheses:
    """The first `n` ends of each sentence as `Hypotheses`, with attention if it was noted."""
    ends = Ends(*(to_numpy(part)[:, :n] for part in ends))
    length = np.where(ends.stopped < 0, 0, ends.length)
    B, T = len(length), int(length.max())
    tokens = np.full((B, n, T), PAD, dtype=np.int64)
    log_p = np.zeros((B, n, T))
    attention = None
    if notes[0].attention is not None:
        attention = np.zeros((B, n, T, notes[0].attention.shape[-1]), dtype=np.float32)
    beam = ends.parent.copy()
    for t in range(T - 1, -1, -1):
        note = Note(*(None if part is None else to_numpy(part) for part in notes[t]))
        b, j = np.nonzero(length > t)
        row = _places(note.rows, B)[b]
        last = length[b, j] == t + 1
        tokens[b, j, t] = np.where(last, ends.symbol[b, j], note.symbol[row, beam[b, j]])
        log_p[b, j, t] = np.where(last, ends.log_p[b, j], note.log_p[row, beam[b, j]])
        beam[b, j] = np.where(last, beam[b, j], note.parent[row, beam[b, j]])
        if attention is not None and note.attention is not None:
            weights = note.attention[row, beam[b, j]]
            attention[b, j, t, : weights.shape[-1]] = weights
    return Hypotheses(tokens, length, ends.score, log_p, ends.stopped, attention)


def merged(found: Hypotheses, groups: int, n: int) -> Hypotheses:
    """The `n` best of each sentence, of which `groups` rows stand side by side in `found`: ended ones first."""

    def together(part: Array) -> Array:
        return part.reshape(len(part) // groups, -1, *part.shape[2:])

    rank = np.lexsort((-together(found.scores), -together(found.stopped)), axis=-1)[:, :n]
    rows = np.arange(len(rank))[:, None]
    parts = (found.tokens, found.lengths, found.scores, found.log_p, found.stopped, found.attention)
    return Hypotheses(*(None if part is None else together(part)[rows, rank] for part in parts))


def _places(rows: np.ndarray[Any, Any], sentences: int) -> np.ndarray[Any, Any]:
    """`[B]`: where each sentence stood in a batch of `rows`; 0 for those that had left."""
    place = np.zeros(sentences, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    return place
