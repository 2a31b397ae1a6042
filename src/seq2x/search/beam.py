"""Batched beam search (Graves 2012; Sutskever et al. 2014) over anything that can step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seq2x.arrays import float64, namespace, order, take_along, top
from seq2x.search.drive import Drive, lengths_of
from seq2x.search.penalties import attainable, coverage_term, final_score
from seq2x.search.roll import greedy
from seq2x.search.rules import Rules
from seq2x.search.trace import Ends, Note, empty, read_off
from seq2x.types import EOS, NOTHING, Array, Decoder, Hypotheses, Want

__all__ = ["beam_search", "search"]


def search(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    rules: Rules,
    prefix: Array | None = None,
    want: Want = NOTHING,
) -> Hypotheses:
    """The `rules.n_best` best outputs of each sentence that the search finds, best first.

    `source_lengths` `[B]` (|X|, `</s>` counted) and `max_lengths` `[B]` (symbols, `</s>` counted; see `limits`) are
    numbers per sentence of `memory`; `prefix` `[B,P]` forces first symbols, -1 leaves free. `want` {"attention"}
    returns the attention of each token. A sentence's outcome does not depend on what else is in the batch, as
    far as the decoder's does not.

    Greedy (beam size 1, stop "first") takes a shorter way to the same result as `beam_search`. Raises `DivergedError`
    where a log p is NaN or +inf, `UsageError` where coverage is asked of a decoder without attention.
    """
    if rules.beam_size == 1 and rules.stop == "first":
        return greedy(decoder, memory, source_lengths, max_lengths, rules, prefix, want)
    return beam_search(decoder, memory, source_lengths, max_lengths, rules, prefix, want)


def beam_search(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    rules: Rules,
    prefix: Array | None = None,
    want: Want = NOTHING,
) -> Hypotheses:
    """As `search`, whatever the beam size.

    At each step the `2K` best of a sentence's `K * V` continuations are ranked by log P, ties by beam, then id; each
    row's own `2K` best are enough for that. Those among the first `K` that are `</s>` have ended and get their
    final score; the first `K` others live on: at most `K` of `2K` can be `</s>`. At a sentence's limit what lives
    is cut; cut hypotheses come after all that ended. Where nothing may go on and nothing has ended, what lived
    last is cut as it is.
    """
    sources, most = lengths_of(source_lengths, max_lengths)
    if len(sources) == 0:
        return empty(rules.n_best)
    K = rules.beam_size
    asked = want | {"attention"} if rules.coverage_beta else want
    drive = Drive(decoder, memory, len(sources), K, 2 * K, asked, rules, prefix)
    beams = _Beams(drive, sources, most, rules)
    notes: list[Note] = []
    while True:
        length = drive.length + 1
        drive.step()
        attention_BKS = drive.attention(rules.coverage_beta > 0) if "attention" in asked else None
        if rules.coverage_beta:
            beams.cover(attention_BKS)
        best, bad_B = beams.extend(*drive.candidates(2 * K))
        beams.collect(best, drive.rows_B, length, drive.on_host)
        going_B = beams.go_on(drive.rows_B, length)
        notes.append(
            Note(
                drive.rows_B,
                beams.live.symbol,
                beams.live.parent,
                beams.live.log_p,
                attention_BKS if "attention" in want else None,
            )
        )
        count = drive.watch(going_B, bad_B)
        if count == 0:
            return read_off(notes, beams.ends, rules.n_best)
        keep_B = drive.leave(going_B, count)
        if keep_B is not None:
            beams.keep(keep_B)
        drive.advance(beams.live.symbol, beams.live.parent)


class _Choice(NamedTuple):
    """Continuations of beams, `[B,m]`, best first: log P, last symbol, its log p, the beam that it continues."""

    total: Array
    symbol: Array
    log_p: Array
    parent: Array

    def at(self, place: Array) -> _Choice:
        """Those at `place` `[B,m']`."""
        return _Choice(*(take_along(part, place) for part in self))

    def first(self, m: int) -> _Choice:
        """The `m` best."""
        return _Choice(*(part[:, :m] for part in self))


class _Beams:
    """The hypotheses of a batch: `live` `[B',K]` of the sentences at work, `ends` `[B,K]` of all.

    A place without a hypothesis has log P `-inf`, and nothing that continues it is ever more than that.
    """

    def __init__(self, drive: Drive, sources: Array, most: Array, rules: Rules) -> None:
        shape = len(sources), rules.beam_size
        zeros, ints = drive.here(np.zeros(shape)), drive.here(np.zeros(shape, dtype=np.int64))
        self._rules = rules
        self._sources_B, self._most_B = drive.here(sources), drive.here(most)
        only_first_BK = drive.here(np.where(np.arange(shape[1]) == 0, 0.0, np.full(shape, -np.inf)))
        self.live = _Choice(only_first_BK, ints, zeros, ints)
        self.ends = Ends(ints - 1, zeros - np.inf, ints + 0, ints + 0, ints + 0, zeros + 0.0)
        self._covered_BKS: Array | None = None  # the attention that each source position had from each beam
        self._coverage_BK = zeros  # cp(X,Y) of what continues each beam
        self._lived, self._lived_coverage_BK = self.live, zeros  # what lived before this step, and its cp(X,Y)

    def cover(self, attention_BKS: Array) -> None:
        """Add this step's attention of each beam."""
        self._lived_coverage_BK = take_along(self._coverage_BK, self.live.parent)
        covered = float64(attention_BKS)
        if self._covered_BKS is not None:
            covered = take_along(self._covered_BKS, self.live.parent[:, :, None], axis=1) + covered
        self._covered_BKS = covered
        self._coverage_BK = coverage_term(covered, self._sources_B[:, None, None], self._rules)

    def extend(self, values_Nc: Array, ids_Nc: Array) -> tuple[_Choice, Array]:
        """Rank the continuations and let the first K that do not end live on.

        Returns the K best, ended or not, and `[B']`: where a log p was no number.
        """
        xp = namespace(values_Nc)
        B, K = self.live.total.shape
        log_p_BF, symbol_BF = values_Nc.reshape(B, -1), ids_Nc.reshape(B, -1)
        c = values_Nc.shape[1]
        before_BK1 = self.live.total[:, :, None]
        total_BF = xp.where(before_BK1 > -np.inf, before_BK1 + values_Nc.reshape(B, K, c), -np.inf).reshape(B, -1)
        total, place = top(total_BF, min(2 * K, K * c))
        best = _Choice(total, take_along(symbol_BF, place), take_along(log_p_BF, place), place // c)
        on = best.at(order((best.symbol == EOS) * 1)[:, :K])
        self._lived = self.live
        self.live = on._replace(total=xp.where(on.symbol == EOS, -np.inf, on.total))
        return best.first(K), ~(total_BF < np.inf).all(-1)

    def collect(self, best: _Choice, rows_B: Array, length: int, on_host: bool) -> None:
        """Note which of the K best have ended, and cut what lives at its sentence's limit; `length` symbols each.

        Where nothing lives and nothing has ever ended, what lived before is cut.
        """
        xp = namespace(rows_B)
        ended_BK = (best.symbol == EOS) & (best.total > -np.inf)
        cut_BK = (self._most_B == length)[:, None] & (self.live.total > -np.inf)
        lost_BK = self._lost(ended_BK, rows_B, length)
        if on_host and not (ended_BK.any() or cut_BK.any() or lost_BK.any()):
            return
        stopped = xp.concatenate([ended_BK * 2 - 1, cut_BK * 1 - 1, lost_BK * 1 - 1], -1)
        new = _Choice(*(xp.concatenate(parts, -1) for parts in zip(best, self.live, self._lived, strict=True)))
        coverage = [take_along(self._coverage_BK, part.parent) for part in (best, self.live)]
        coverage = xp.concatenate([*coverage, self._lived_coverage_BK], -1)
        lengths = xp.concatenate([ended_BK * 0 + length, cut_BK * 0 + length, lost_BK * 0 + max(length - 1, 1)], -1)
        score = final_score(new.total, lengths, self._sources_B[:, None], coverage, self._rules)
        score = xp.where(stopped < 0, -np.inf, score)
        old = Ends(*(part[rows_B] for part in self.ends))
        fresh = Ends(stopped, score, lengths, new.parent, new.symbol, new.log_p)
        both = Ends(*(xp.concatenate(pair, -1) for pair in zip(old, fresh, strict=True)))
        by_score = order(-both.score)
        ranking = take_along(by_score, order(-take_along(both.stopped, by_score)))[:, : old.score.shape[1]]
        for mine, part in zip(self.ends, both, strict=True):
            mine[rows_B] = take_along(part, ranking)

    def _lost(self, ended_BK: Array, rows_B: Array, length: int) -> Array:
        """`[B',K]`: what lived before this step, where nothing may follow it and the sentence has no other outcome."""
        if length == 1:
            return ended_BK & False  # a hypothesis without a symbol is none
        xp = namespace(rows_B)
        none_B = ~ended_BK.any(-1) & (self.ends.stopped[rows_B][:, 0] < 0) & ~(xp.amax(self.live.total, -1) > -np.inf)
        return none_B[:, None] & (self._lived.total > -np.inf)

    def go_on(self, rows_B: Array, length: int) -> Array:
        """`[B']`: which sentences are not done; the others' hypotheses die."""
        xp = namespace(rows_B)
        rules = self._rules
        score, stopped = self.ends.score[rows_B], self.ends.stopped[rows_B]
        best_B = xp.amax(self.live.total, -1)
        if rules.stop == "first":
            done_B = stopped[:, -1] == 1
        else:
            hope_B = attainable(best_B, length, self._most_B, self._sources_B, rules)
            done_B = (stopped[:, rules.n_best - 1] == 1) & (hope_B < score[:, rules.n_best - 1])
        going_B = ~done_B & (best_B > -np.inf) & (self._most_B > length)
        self.live = self.live._replace(total=xp.where(going_B[:, None], self.live.total, -np.inf))
        return going_B

    def keep(self, keep_B: Array) -> None:
        """Only these sentences are at work from now on."""
        self._sources_B, self._most_B = self._sources_B[keep_B], self._most_B[keep_B]
        self.live = _Choice(*(part[keep_B] for part in self.live))
        self._coverage_BK, self._lived_coverage_BK = self._coverage_BK[keep_B], self._lived_coverage_BK[keep_B]
        if self._covered_BKS is not None:
            self._covered_BKS = self._covered_BKS[keep_B]
