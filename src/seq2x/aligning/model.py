"""Word alignment by a hidden Markov model (Vogel et al. 1996), begun by IBM model 1 (Brown et al. 1993).

    p(f, a | e) = prod_j p(a_j | a_{j-1}, I) t(f_j | e_{a_j})

The words f of a target are emitted by words e of the source; a_j, the place of the one that emits f_j, is the state. A
jump from i' to i has a probability by its width alone,

    p(i | i', I) = (1 - P0) s(i - i') / sum_{k=1..I} s(k - i')                    (Vogel et al. 1996, eq. 7)

and with P0 f_j comes of the empty word, which keeps the place (Och & Ney 2003, section 3.1). Before the first word the
place is 0. The sentences of a block are computed together, scaled, not in the logarithm (Rabiner 1989, section V).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.aligning.corpus import Block, Corpus, Ints

__all__ = ["Tables", "best", "em_step", "model_one", "start"]

Floats: TypeAlias = npt.NDArray[np.float64]

P0 = 0.2
"""Of the empty word."""
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Tables:
    """`translation` `[P]`: t(f|e) of each pair of words of a `Corpus`; `jumps` `[2 W + 1]`: s of the widths -W .. W, W
    being the longest source; only their ratios matter.
    """

    translation: Floats
    jumps: Floats


def start(corpus: Corpus) -> Tables:
    """Every word that occurs beside another as likely as each other one; every jump too."""
    widest = max((block.pairs.shape[2] - 1 for block in corpus.blocks), default=1)
    return Tables(_normalised(np.ones(len(corpus.sources)), corpus), np.ones(2 * widest + 1))


def model_one(corpus: Corpus, tables: Tables) -> tuple[Tables, float]:
    """One step of EM of IBM model 1, in which every place is as likely: (the new tables, log p before)."""
    counts, log_p = np.zeros(len(corpus.sources)), 0.0
    for block in corpus.blocks:
        t_BJI = _emitted(block, tables)
        total_BJ = t_BJI.sum(2)
        inside_BJ = np.arange(t_BJI.shape[1]) < block.lengths[:, None]
        log_p += float(np.log(total_BJ[inside_BJ] / t_BJI.shape[2]).sum())
        shares = np.where(inside_BJ[..., None], t_BJI / total_BJ[..., None], 0.0)
        counts += np.bincount(block.pairs.ravel(), shares.ravel(), len(counts))
    return Tables(_normalised(counts, corpus), tables.jumps), log_p


def em_step(corpus: Corpus, tables: Tables) -> tuple[Tables, float]:
    """One step of EM of the hidden Markov model: (the new tables, log p before), which no step makes lower."""
    counts, log_p = np.zeros(len(corpus.sources)), 0.0
    steps: dict[int, Floats] = {}  # by I: how often each jump was made
    for block in corpus.blocks:
        shares, jumps, of_block = _expected(block, tables)
        counts += np.bincount(block.pairs.ravel(), shares.ravel(), len(counts))
        size = jumps.shape[1]
        steps[size] = steps.get(size, 0.0) + jumps
        log_p += of_block
    return Tables(_normalised(counts, corpus), _jumped(steps, tables.jumps)), log_p


def best(block: Block, tables: Tables) -> Ints:
    """`[B,J]`: the places of the most probable alignment of each sentence (Viterbi), 0 for the empty word."""
    t_BJI, (B, J, _) = np.log(_emitted(block, tables) + _TINY), block.pairs.shape
    moves = np.log(_moves(tables.jumps, block.pairs.shape[2] - 1) + _TINY)
    place_BI = np.full((B, moves.shape[0]), -np.inf)  # the best that ends at each place, real or empty
    place_BI[:, 0] = 0.0
    came = np.zeros((J, B, moves.shape[1]), np.int64)
    empty = np.zeros((J, B, moves.shape[0]), bool)
    inside_BJ = np.arange(J) < block.lengths[:, None]
    for j in range(J):
        ways_BFI = place_BI[:, :, None] + moves
        came[j] = ways_BFI.argmax(1)
        real_BI = ways_BFI.max(1) + t_BJI[:, j, 1:]
        kept_BI = place_BI + np.log(P0) + t_BJI[:, j, :1]
        empty[j, :, 0], empty[j, :, 1:] = True, kept_BI[:, 1:] > real_BI
        after_BI = np.concatenate([kept_BI[:, :1], np.maximum(real_BI, kept_BI[:, 1:])], 1)
        place_BI = np.where(inside_BJ[:, j, None], after_BI, place_BI)
    found_BJ, here_B, rows = np.zeros((B, J), np.int64), place_BI.argmax(1), np.arange(B)
    for j in range(J - 1, -1, -1):
        stays = empty[j, rows, here_B]
        before_B = np.where(stays, here_B, came[j, rows, np.maximum(here_B - 1, 0)])
        found_BJ[:, j] = np.where(inside_BJ[:, j] & ~stays, here_B, 0)
        here_B = np.where(inside_BJ[:, j], before_B, here_B)
    return found_BJ


# ------------------------------------------------------------------ within


def _emitted(block: Block, tables: Tables) -> Floats:
    """t of every word beside every word, `[B,J,I+1]`."""
    return tables.translation[block.pairs]


def _moves(jumps: Floats, size: int) -> Floats:
    """`[I+1,I]`: the probability of each place 1 .. I after each place 0 .. I, the empty word aside."""
    moves = jumps[_widths(size) + len(jumps) // 2]
    return np.asarray((1.0 - P0) * moves / moves.sum(1, keepdims=True))


def _widths(size: int) -> Ints:
    """`[I+1,I]`: how far it is from each place 0 .. I to each place 1 .. I."""
    return np.arange(1, size + 1) - np.arange(size + 1)[:, None]


def _expected(block: Block, tables: Tables) -> tuple[Floats, Floats, float]:
    """Forward and backward: (the share of each word in each, `[B,J,I+1]`; how often each jump, `[I+1,I]`; log p).

    A state is a place, 0 .. I, and whether its own word or the empty one emits; to what follows only the place matters,
    so `ahead` and `behind` `[B,I+1]` are of places.
    """
    t_BJI, (B, J, size) = _emitted(block, tables), block.pairs.shape
    moves = _moves(tables.jumps, size - 1)
    inside_BJ = np.arange(J) < block.lengths[:, None]
    behind, scales = np.zeros((J + 1, B, size)), np.ones((J, B))
    behind[0, :, 0] = 1.0
    for j in range(J):
        after_BI = behind[j] * (P0 * t_BJI[:, j, :1])
        after_BI[:, 1:] += (behind[j] @ moves) * t_BJI[:, j, 1:]
        scales[j] = np.where(inside_BJ[:, j], after_BI.sum(1), 1.0)
        behind[j + 1] = np.where(inside_BJ[:, j, None], after_BI / scales[j][:, None], behind[j])
    shares, jumps, ahead_BI = np.zeros_like(t_BJI), np.zeros_like(moves), np.ones((B, size))
    for j in range(J - 1, -1, -1):
        there_B1 = inside_BJ[:, j, None] / scales[j][:, None]  # 0 where the target has ended
        emptied_BI = ahead_BI * (P0 * t_BJI[:, j, :1]) * there_B1
        emitting_BI = ahead_BI[:, 1:] * t_BJI[:, j, 1:] * there_B1
        shares[:, j, 0] = (behind[j] * emptied_BI).sum(1)
        shares[:, j, 1:] = (behind[j] @ moves) * emitting_BI
        jumps += behind[j].T @ emitting_BI
        before_BI = emptied_BI + emitting_BI @ moves.T
        ahead_BI = np.where(inside_BJ[:, j, None], before_BI, ahead_BI)
    return shares, jumps * moves, float(np.log(scales).sum())


def _normalised(counts: Floats, corpus: Corpus) -> Floats:
    """Counts of pairs of words as t(f|e)."""
    totals = np.bincount(corpus.sources, counts, corpus.words)
    return counts / np.maximum(totals[corpus.sources], _TINY)


def _jumped(steps: Mapping[int, Floats], jumps: Floats) -> Floats:
    """New s from how often each jump was made in sources of each length I.

    The share of a width among those that a place has has no maximum in closed form; this is the step of Hunter (2004),
    section 2, that never makes it less likely: how often a width was, over how often it could have been.
    """
    made, could = np.zeros_like(jumps), np.zeros_like(jumps)
    for size, counts in steps.items():
        widths = _widths(size) + len(jumps) // 2
        chances = counts.sum(1, keepdims=True) / jumps[widths].sum(1, keepdims=True)
        made += np.bincount(widths.ravel(), counts.ravel(), len(jumps))
        could += np.bincount(widths.ravel(), np.broadcast_to(chances, widths.shape).ravel(), len(jumps))
    fresh = np.where(could > 0, made / np.maximum(could, _TINY), jumps)
    return np.maximum(fresh, _TINY)
