"""From a symbol or nothing at each frame to outputs: the best path, or the best outputs over all their paths.

Frames come all at once, so nothing is asked of the model in between: the search is on the host, in numpy.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from seq2x.arrays import like, order, take_along, to_numpy, top
from seq2x.search.drive import damaged, lengths_of
from seq2x.search.rules import Rules
from seq2x.search.sample import mixed
from seq2x.search.trace import empty
from seq2x.types import BOS, EOS, PAD, Array, Emissions, Emitter, Hypotheses

__all__ = ["spell"]

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def spell(emitter: Emitter, memory: Any, max_lengths: Array, rules: Rules) -> Hypotheses:
    """The `rules.n_best` best outputs of each sentence that the search finds, ranked by log p(Y|X), which is exact.

    `beam_size` 1: the best path (Graves et al. 2006, section 3.2), what is spelled by the best symbol of each frame;
    cut where it is longer than `max_lengths` `[B]` (symbols, `</s>` counted). More: the prefix beam search (Graves
    2012, section 7.5; Hannun et al. 2014, algorithm 1), in which all paths that spell the same count together, and
    nothing grows longer than allowed. Each output found is then scored over all its paths; `log_p` is that of each
    symbol given those before it. `forbidden` symbols are not spelled; what else `rules` say is for other searches.
    Raises `DivergedError` where a log p is NaN.
    """
    most, _ = lengths_of(max_lengths, max_lengths)
    if len(most) == 0:
        return empty(rules.n_best)
    frames = emitter.emit(memory)
    table, counts = _table(frames, rules)
    found = _best_path(table, counts) if rules.beam_size == 1 else _prefixes(table, counts, most, rules.beam_size)
    return _scored(frames, *found, most, rules.n_best)


def _table(frames: Emissions, rules: Rules) -> tuple[_Floats, Array]:
    """(log p `[B,F,V+1]`, -inf where nothing may stand; how many frames count `[B]`)."""
    table, counts = to_numpy(frames.log_p).astype(np.float64), to_numpy(frames.lengths)
    table = table[:, : int(counts.max())]
    table[np.arange(table.shape[1]) >= counts[:, None]] = -np.inf
    bad_B = np.isnan(table).any((1, 2))
    if bad_B.any():
        raise damaged(int(bad_B.argmax()))
    table[:, :, sorted({PAD, BOS, EOS, *rules.forbidden})] = -np.inf
    return table, counts


def _best_path(table: _Floats, counts: Array) -> tuple[Array, Array]:
    """(symbols `[B,1,U]`, how many they are `[B,1]`)."""
    blank = table.shape[2] - 1
    path_BF = table.argmax(-1)
    before_BF = np.concatenate([np.full((len(table), 1), blank), path_BF[:, :-1]], 1)
    written_BF = (path_BF != blank) & (path_BF != before_BF) & (np.arange(table.shape[1]) < counts[:, None])
    lengths_B = written_BF.sum(1)
    symbols_BU = np.zeros((len(table), int(lengths_B.max())), np.int64)
    symbols_BU[np.arange(symbols_BU.shape[1]) < lengths_B[:, None]] = path_BF[written_BF]
    return symbols_BU[:, None], lengths_B[:, None]


# ------------------------------------------------------------------ prefix beam search


class _Prefixes(NamedTuple):
    """K prefixes of each sentence, best first. `blank`, `symbol` `[B,K]`: log p of all paths so far that spell them and
    end in a blank, or in their last symbol (-inf in both: no such prefix). `last` `[B,K]` is that symbol, -1 for none;
    `name` and `parent` `[B,K]` are numbers that stand for the prefix and for it without its last symbol.
    """

    blank: Array
    symbol: Array
    last: Array
    lengths: Array
    name: Array
    parent: Array
    symbols: Array

    @property
    def total(self) -> _Floats:
        """log p of each prefix so far."""
        return np.asarray(np.logaddexp(self.blank, self.symbol))


def _prefixes(table: _Floats, counts: Array, most: Array, K: int) -> tuple[Array, Array]:
    """(symbols `[B,K,U]`, how many they are `[B,K]`, -1 where there is no such output)."""
    B, F, V = table.shape[0], table.shape[1], table.shape[2] - 1
    longest = int(min(F, most.max() - 1))
    none, ints = np.full((B, K), -np.inf), np.zeros((B, K), np.int64)
    names = ints.astype(np.uint64)
    first = np.where(np.arange(K) == 0, 0.0, none)
    beams = _Prefixes(first, none, ints - 1, ints, names, names - np.uint64(1), np.zeros((B, K, longest), np.int64))
    # K prefixes may be there already and one symbol may repeat itself: so many of a frame's best are enough.
    values, ids = top(table[:, :, :V].reshape(B * F, V), min(2 * K + 1, V))
    best_BFc, ids_BFc = values.reshape(B, F, -1), ids.reshape(B, F, -1)
    for f in range(F):
        after = _extended(beams, table[:, f], best_BFc[:, f], ids_BFc[:, f], most)
        going_B1 = (counts > f)[:, None]
        beams = _Prefixes(
            *(
                np.where(going_B1.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                for old, new in zip(beams, after, strict=True)
            )
        )
    return beams.symbols, np.where(beams.total > -np.inf, beams.lengths, -1)


def _extended(beams: _Prefixes, log_p_BV: _Floats, best_Bc: _Floats, ids_Bc: Array, most: Array) -> _Prefixes:
    """The K best after one more frame: prefixes that stay as they are, and prefixes with one more symbol."""
    B, K = beams.last.shape
    total_BK, last_BK = beams.total, beams.last
    # The last symbol again writes nothing, a blank neither.
    at_last_BK = np.where(last_BK < 0, -np.inf, take_along(log_p_BV, last_BK.clip(0)))
    blank_BK, symbol_BK = log_p_BV[:, -1:] + total_BK, at_last_BK + beams.symbol
    # With one more symbol a prefix may be another one that is there: of j the parent is k.
    child_BKK = (beams.parent[:, :, None] == beams.name[:, None, :]) & (last_BK >= 0)[:, :, None]
    child_BKK &= (total_BK > -np.inf)[:, :, None] & (total_BK > -np.inf)[:, None, :]
    from_BKK = np.where(last_BK[:, :, None] == last_BK[:, None, :], beams.blank[:, None, :], total_BK[:, None, :])
    joined_BK = np.where(child_BKK, from_BKK, -np.inf).max(-1) + at_last_BK
    symbol_BK = np.logaddexp(symbol_BK, joined_BK)
    # All others are new.
    same_BKc = last_BK[:, :, None] == ids_Bc[:, None, :]
    new_BKc = np.where(same_BKc, beams.blank[:, :, None], total_BK[:, :, None]) + best_Bc[:, None, :]
    known_BKc = (child_BKK[..., None] & same_BKc[:, :, None, :]).any(1)
    full_BK = beams.lengths + 2 > most[:, None]  # one more, and `</s>`
    new_BKc = np.where(known_BKc | full_BK[..., None], -np.inf, new_BKc)
    ranked = np.concatenate([np.logaddexp(blank_BK, symbol_BK), new_BKc.reshape(B, -1)], 1)
    chosen = order(-ranked)[:, :K]
    stays, place = chosen < K, (chosen - K).clip(0)
    origin = np.where(stays, chosen, place // ids_Bc.shape[1])
    written = take_along(ids_Bc, place % ids_Bc.shape[1])
    kept = (beams.last, beams.lengths, beams.name, beams.parent)
    last, lengths, name, parent = (take_along(part, origin) for part in kept)
    symbols = beams.symbols[np.arange(B)[:, None], origin]
    grows = ~stays & (take_along(ranked, chosen) > -np.inf)
    row, beam = np.nonzero(grows)
    symbols[row, beam, lengths[row, beam]] = written[row, beam]
    return _Prefixes(
        np.where(stays, take_along(blank_BK, origin), -np.inf),
        np.where(stays, take_along(symbol_BK, origin), take_along(ranked, chosen)),
        np.where(grows, written, last),
        lengths + grows,
        np.where(grows, mixed(name ^ written.astype(np.uint64)), name),
        np.where(grows, name, parent),
        symbols,
    )


# ------------------------------------------------------------------ all paths of what was found


def _scored(
    frames: Emissions,
    symbols_BKU: Array,
    counts_BK: Array,
    most: Array,
    n: int,
) -> Hypotheses:
    """The n best of the outputs found, each with log p of all its paths; cut where it is longer than `most`."""
    B, K, U = symbols_BKU.shape
    there_BK, counts_BK = counts_BK >= 0, counts_BK.clip(0)
    cut_BK = counts_BK + 1 > most[:, None]
    lengths_BK = np.where(cut_BK, most[:, None], counts_BK + 1)
    place_T = np.arange(U + 1)
    tokens = np.concatenate([symbols_BKU, np.zeros((B, K, 1), np.int64)], -1)
    tokens = np.where((place_T == counts_BK[..., None]) & ~cut_BK[..., None], EOS, tokens)
    tokens = np.where(place_T < lengths_BK[..., None], tokens, PAD)
    log_p = to_numpy(frames.items(like(tokens, frames.log_p), like(lengths_BK, frames.log_p))).astype(np.float64)
    score = np.where(there_BK, log_p.sum(-1), -np.inf)
    best = order(-score)[:, :n]
    stopped = np.where(there_BK, np.where(cut_BK, 0, 1), -1)
    lengths = take_along(np.where(there_BK, lengths_BK, 0), best)
    T = int(lengths.max())
    tokens, log_p = (
        take_along(np.where(there_BK[..., None], x, 0), best[..., None], 1)[..., :T] for x in (tokens, log_p)
    )
    return Hypotheses(tokens, lengths, take_along(score, best), log_p, take_along(stopped, best))
