"""One symbol after another without a beam: greedy search, and the loop that sampling shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from seq2x.arrays import copy, float64, namespace
from seq2x.search.drive import Drive, lengths_of
from seq2x.search.guide import Guide
from seq2x.search.penalties import coverage_term, final_score
from seq2x.search.rules import Rules
from seq2x.search.trace import Ends, Note, empty, read_off
from seq2x.types import EOS, NOTHING, Array, Decoder, Hypotheses, Want

__all__ = ["greedy", "roll"]

Choose = Callable[[Drive], tuple[Array, Array]]
"""What each row takes: log p `[N]` double, ids `[N]`."""


def greedy(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    rules: Rules,
    prefix: Array | None = None,
    want: Want = NOTHING,
    guide: Guide | None = None,
) -> Hypotheses:
    """The best symbol of every step: `beam_search` with one beam, at a fraction of its bookkeeping."""
    sources, most = lengths_of(source_lengths, max_lengths)
    if len(sources) == 0:
        return empty(1)
    asked = want | {"attention"} if rules.coverage_beta else want
    drive = Drive(decoder, memory, len(sources), 1, 1, asked, rules, prefix, most, guide, alone=True)

    def best(drive: Drive) -> tuple[Array, Array]:
        values_N1, ids_N1 = drive.candidates(1)
        return values_N1[:, 0], ids_N1[:, 0]

    notes, ends, covered_BKS = roll(drive, best, most, "attention" in want, rules.coverage_beta > 0)
    source_B1 = drive.here(sources)[:, None]
    coverage = 0.0 if covered_BKS is None else coverage_term(covered_BKS, source_B1[:, :, None], rules)
    score = final_score(ends.score, ends.length.clip(1), source_B1, coverage, rules)
    return read_off(notes, ends._replace(score=score), 1)


def roll(
    drive: Drive, choose: Choose, most: Array, show: bool = False, cover: bool = False
) -> tuple[list[Note], Ends, Array | None]:
    """Let every row go its own way until it ends, dies or meets its sentence's limit `most` `[B]`.

    A row that dies, as nothing may follow it, is cut as it is; without a symbol it is no hypothesis. The scores of the
    ends are their log P. `show` notes the attention; `cover` returns its sum over each row's symbols, `[B,K,S]` double.
    """
    shape = len(most), drive.beams
    zeros, ints = drive.here(np.zeros(shape)), drive.here(np.zeros(shape, dtype=np.int64))
    whole = _Rows(ints == 0, ints - 1, zeros, ints + 0, ints + 0, zeros + 0.0)
    rows, whole_covered, covered = whole, None, None
    most_B, parent_K = drive.here(most), drive.here(np.arange(drive.beams))
    notes: list[Note] = []
    while True:
        length = drive.length + 1
        drive.step()
        attention_BKS = drive.attention(cover) if show or cover else None
        log_p_BK, symbol_BK = (part.reshape(-1, drive.beams) for part in choose(drive))
        bad_B = (rows.going & ~(log_p_BK < np.inf)).any(-1)
        if cover:
            taken_BK1 = (rows.going & (log_p_BK > -np.inf))[:, :, None]
            covered = float64(attention_BKS) * taken_BK1 + (0.0 if covered is None else covered)
            whole_covered = covered if whole_covered is None else whole_covered
        rows = rows.extend(log_p_BK, symbol_BK, length, (most_B == length)[:, None])
        parent_BK = namespace(parent_K).broadcast_to(parent_K, symbol_BK.shape)
        notes.append(Note(drive.rows_B, symbol_BK, parent_BK, log_p_BK, attention_BKS if show else None))
        going_B = rows.going.any(-1)
        count = drive.watch(going_B, bad_B)
        if count == 0:
            break
        all_B = drive.rows_B
        keep_B = drive.leave(going_B, count)
        if keep_B is not None:
            whole, whole_covered = whole.put(all_B, rows), _put(whole_covered, all_B, covered)
            rows, covered = rows.at(keep_B), None if covered is None else covered[keep_B]
            most_B, symbol_BK, parent_BK = most_B[keep_B], symbol_BK[keep_B], parent_BK[keep_B]
        drive.advance(symbol_BK, parent_BK)
    whole, whole_covered = whole.put(drive.rows_B, rows), _put(whole_covered, drive.rows_B, covered)
    parent = namespace(parent_K).broadcast_to(parent_K, shape)
    score = namespace(whole.total).where(whole.stopped < 0, -np.inf, whole.total)
    return notes, Ends(whole.stopped, score, whole.length, parent, whole.symbol, whole.log_p), whole_covered


class _Rows(NamedTuple):
    """What is known of each row, `[B,K]`; the last three are kept from its last step."""

    going: Array
    stopped: Array
    total: Array
    length: Array
    symbol: Array
    log_p: Array

    def extend(self, log_p_BK: Array, symbol_BK: Array, length: int, limit_B1: Array) -> _Rows:
        """One more symbol for the rows that go on: they end, die (`-inf`) or are cut at the limit, or still go on."""
        where = namespace(log_p_BK).where
        dead, ended = log_p_BK == -np.inf, symbol_BK == EOS
        taken, nothing = self.going & ~dead, -1 if length == 1 else 0
        over = self.going & (dead | ended | limit_B1)
        return _Rows(
            self.going & ~over,
            where(over, where(dead, nothing, ended * 1), self.stopped),
            where(taken, self.total + log_p_BK, self.total),
            where(taken, length, self.length),
            where(taken, symbol_BK, self.symbol),
            where(taken, log_p_BK, self.log_p),
        )

    def at(self, keep_B: Array) -> _Rows:
        """Only these sentences."""
        return _Rows(*(part[keep_B] for part in self))

    def put(self, rows_B: Array, news: _Rows) -> _Rows:
        """Everything known, with `news` of some sentences."""
        return _Rows(*(_put(old, rows_B, new) for old, new in zip(self, news, strict=True)))


def _put(whole: Array, rows_B: Array, part: Array) -> Array:
    """A copy of `whole` with `part` at `rows`; nothing if there is nothing."""
    if part is None:
        return whole
    out = copy(whole)
    out[rows_B] = part
    return out
