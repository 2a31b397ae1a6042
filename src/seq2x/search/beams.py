"""The hypotheses of a beam search: what lives, what has ended, and what is kept of each step's continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seq2x.arrays import float64, namespace, numbers, order, take_along, top
from seq2x.search.banks import by_banks
from seq2x.search.drive import Drive
from seq2x.search.penalties import attainable, coverage_term, final_score
from seq2x.search.rules import Rules
from seq2x.search.trace import Ends
from seq2x.types import EOS, Array

__all__ = ["Beams", "Choice"]


class Choice(NamedTuple):
    """Continuations of beams, `[B,m]`, best first: log P, last symbol, its log p, the beam that it continues."""

    total: Array
    symbol: Array
    log_p: Array
    parent: Array

    def at(self, place: Array) -> Choice:
        """Those at `place` `[B,m']`."""
        return Choice(*(take_along(part, place) for part in self))

    def first(self, m: int) -> Choice:
        """The `m` best."""
        return Choice(*(part[:, :m] for part in self))


class Beams:
    """The hypotheses of a batch: `live` `[B',K]` of the sentences at work, `ends` `[B,K]` of all.

    A place without a hypothesis has log P `-inf`, and nothing that continues it is ever more than that.

    In a diverse beam search (Vijayakumar et al. 2018) each of the `G` groups of a sentence is a row here, the groups of
    one sentence side by side: `B` is that many times the sentences, and `K` the beams of a group. At each step the
    groups choose one after the other, the g-th the continuations with the largest

        log P(y_1..t) - lambda * #{beams of groups 1..g-1 that go on with y_t}           (eq. 8, Hamming diversity)

    so that what is ranked in the end is still log P. Prefer it where several outputs are to differ in more than a word.
    """

    def __init__(self, drive: Drive, sources: Array, most: Array, rules: Rules) -> None:
        shape = len(sources), rules.beam_size // rules.diversity_groups
        zeros, ints = drive.here(np.zeros(shape)), drive.here(np.zeros(shape, dtype=np.int64))
        self._rules = rules
        self._sources_B, self._most_B = drive.here(sources), drive.here(most)
        only_first_BK = drive.here(np.where(np.arange(shape[1]) == 0, 0.0, np.full(shape, -np.inf)))
        self.live = Choice(only_first_BK, ints, zeros, ints)
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

    def extend(
        self, values_Nc: Array, ids_Nc: Array, needs: tuple[Array, Array] | None, stuck_B: Array | None
    ) -> tuple[Choice, Array]:
        """Rank the continuations and let the first K that do not end live on; `needs`, `stuck`: see `Drive`.

        Returns the K best, ended or not, and `[B']`: where a log p was no number.
        """
        xp = namespace(values_Nc)
        B, K = self.live.total.shape
        c = values_Nc.shape[1]
        before_BK1 = self.live.total[:, :, None]
        total_BF = xp.where(before_BK1 > -np.inf, before_BK1 + values_Nc.reshape(B, K, c), -np.inf).reshape(B, -1)
        if stuck_B is not None:
            total_BF = xp.where(stuck_B[:, None], -np.inf, total_BF)
        log_p_BF, symbol_BF = values_Nc.reshape(B, -1), ids_Nc.reshape(B, -1)
        left_BF = far_B = None
        if needs is not None:
            left_BF, far_B = needs[0].reshape(B, -1), needs[1]
        self._lived = self.live
        picked: list[tuple[Choice, Choice]] = []
        for group in range(self._rules.diversity_groups):
            mine = slice(group, None, self._rules.diversity_groups)
            every = total_BF[mine], symbol_BF[mine], log_p_BF[mine]
            key_BF = every[0]
            if group:
                key_BF = key_BF - self._rules.diversity_strength * _seen(every[1], [live for _, live in picked])
            picked.append(_pick(every, key_BF, K, None if left_BF is None else left_BF[mine], far_B))
        best, self.live = (_interleaved(group) for group in zip(*picked, strict=True))
        return best, ~(total_BF < np.inf).all(-1)

    def collect(self, best: Choice, rows_B: Array, length: int, on_host: bool) -> None:
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
        new = Choice(*(xp.concatenate(parts, -1) for parts in zip(best, self.live, self._lived, strict=True)))
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
            last = min(rules.n_best, score.shape[1]) - 1
            done_B = (stopped[:, last] == 1) & (hope_B < score[:, last])
        going_B = ~done_B & (best_B > -np.inf) & (self._most_B > length)
        self.live = self.live._replace(total=xp.where(going_B[:, None], self.live.total, -np.inf))
        return going_B

    def keep(self, keep_B: Array) -> None:
        """Only these sentences are at work from now on."""
        if (groups := self._rules.diversity_groups) > 1:
            keep_B = (keep_B[:, None] * groups + numbers(groups, keep_B)).reshape(-1)
        self._sources_B, self._most_B = self._sources_B[keep_B], self._most_B[keep_B]
        self.live = Choice(*(part[keep_B] for part in self.live))
        self._coverage_BK, self._lived_coverage_BK = self._coverage_BK[keep_B], self._lived_coverage_BK[keep_B]
        if self._covered_BKS is not None:
            self._covered_BKS = self._covered_BKS[keep_B]


def _pick(
    every: tuple[Array, Array, Array], key_BF: Array, K: int, left_BF: Array | None, far_B: Array | None
) -> tuple[Choice, Choice]:
    """(the K best of all continuations by their keys, ended or not; the first K that do not end).

    `every`: log P, last symbol and its log p of all, `[B,F]`, as many for each of K beams.
    """
    total_BF, symbol_BF, log_p_BF = every
    F = key_BF.shape[1]
    if left_BF is None or far_B is None:
        total, place = top(key_BF, min(2 * K, F))
        total = total if key_BF is total_BF else take_along(total_BF, place)
    else:
        place = by_banks(key_BF, left_BF, far_B, K, min(2 * K, F))
        total = take_along(total_BF, place)
    best = Choice(total, take_along(symbol_BF, place), take_along(log_p_BF, place), place // (F // K))
    on = best.at(order((best.symbol == EOS) * 1)[:, :K])
    live = on._replace(total=namespace(total).where(on.symbol == EOS, -np.inf, on.total))
    return best.first(K), live


def _seen(symbol_BF: Array, groups: Sequence[Choice]) -> Array:
    """`[B,F]`: how many beams of `groups` go on with each symbol: the Hamming distance to them, less a constant
    (Vijayakumar et al. 2018, section 4.1). Of `</s>` none do.
    """
    xp = namespace(symbol_BF)
    taken_BJ = xp.concatenate([xp.where(live.total > -np.inf, live.symbol, -1) for live in groups], -1)
    return (symbol_BF[:, :, None] == taken_BJ[:, None, :]).sum(-1)


def _interleaved(groups: Sequence[Choice]) -> Choice:
    """The rows of all groups, those of one sentence side by side."""
    if len(groups) == 1:
        return groups[0]
    xp = namespace(groups[0].total)
    return Choice(*(xp.stack(parts, 1).reshape(-1, parts[0].shape[-1]) for parts in zip(*groups, strict=True)))
