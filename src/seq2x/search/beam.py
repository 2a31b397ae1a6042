"""Batched beam search (Graves 2012; Sutskever et al. 2014) over anything that can step."""

from __future__ import annotations

from typing import Any

import numpy as np

from seq2x.arrays import numbers
from seq2x.search.beams import Beams
from seq2x.search.drive import Drive, lengths_of
from seq2x.search.guide import Guide
from seq2x.search.roll import greedy
from seq2x.search.rules import Rules
from seq2x.search.trace import Note, empty, merged, read_off
from seq2x.types import NOTHING, Array, Decoder, Hypotheses, Want

__all__ = ["beam_search", "search"]


def search(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    rules: Rules,
    prefix: Array | None = None,
    want: Want = NOTHING,
    guide: Guide | None = None,
) -> Hypotheses:
    """The `rules.n_best` best outputs of each sentence that the search finds, best first.

    `source_lengths` `[B]` (|X|, `</s>` counted) and `max_lengths` `[B]` (symbols, `</s>` counted; see `limits`) are
    numbers per sentence of `memory`; `prefix` `[B,P]` forces first symbols, -1 leaves free. `want` {"attention"}
    returns the attention of each token. A `guide` for these sentences says which outputs there may be at all, and
    whatever it allows fits the limit; where nothing that it and all else allow is left, what there was is cut as it is,
    and the caller asks whether that will do. A sentence's outcome does not depend on what else is in the batch, as
    far as the decoder's does not.

    Greedy (beam size 1, stop "first") takes a shorter way to the same result as `beam_search`. Raises `DivergedError`
    where a log p is NaN or +inf, `UsageError` where coverage is asked of a decoder without attention.
    """
    if rules.beam_size == 1 and rules.stop == "first":
        return greedy(decoder, memory, source_lengths, max_lengths, rules, prefix, want, guide)
    return beam_search(decoder, memory, source_lengths, max_lengths, rules, prefix, want, guide)


def beam_search(
    decoder: Decoder,
    memory: Any,
    source_lengths: Array,
    max_lengths: Array,
    rules: Rules,
    prefix: Array | None = None,
    want: Want = NOTHING,
    guide: Guide | None = None,
) -> Hypotheses:
    """As `search`, whatever the beam size.

    At each step the `2K` best of a sentence's `K * V` continuations are ranked by log P, ties by beam, then id; each
    row's own `2K` best are enough for that. Those among the first `K` that are `</s>` have ended and get their
    final score; the first `K` others live on: at most `K` of `2K` can be `</s>`. At a sentence's limit what lives
    is cut; cut hypotheses come after all that ended. Where nothing may go on and nothing has ended, what lived
    last is cut as it is.

    Under a guide the ranking is that of `seq2x.search.banks`. With `rules.diversity_groups` the beam is `G` beams of
    `K / G`, each of which is searched like a sentence of its own, but for what it sees of those before it.
    """
    sources, most = lengths_of(source_lengths, max_lengths)
    if len(sources) == 0:
        return empty(rules.n_best)
    K, G = rules.beam_size, rules.diversity_groups
    asked = want | {"attention"} if rules.coverage_beta else want
    drive = Drive(decoder, memory, len(sources), K, 2 * K, asked, rules, prefix, most, guide, alone=K == 1)
    beams = Beams(drive, sources.repeat(G), most.repeat(G), rules)
    first_K = drive.here(np.arange(K) // (K // G) * (K // G))
    notes: list[Note] = []
    while True:
        length = drive.length + 1
        drive.step()
        attention_RkS = drive.attention(rules.coverage_beta > 0) if "attention" in asked else None
        if attention_RkS is not None:
            attention_RkS = attention_RkS.reshape(-1, K // G, attention_RkS.shape[-1])
        if rules.coverage_beta:
            beams.cover(attention_RkS)
        values_Nc, ids_Nc = drive.candidates(2 * K)
        best, bad_R = beams.extend(values_Nc, ids_Nc, drive.needs(ids_Nc), drive.stuck(beams.live.total))
        rows_R = drive.rows_B if G == 1 else (drive.rows_B[:, None] * G + numbers(G, drive.rows_B)).reshape(-1)
        beams.collect(best, rows_R, length, drive.on_host)
        going_B = beams.go_on(rows_R, length).reshape(-1, G).any(-1)
        shown = attention_RkS if "attention" in want else None
        notes.append(Note(rows_R, beams.live.symbol, beams.live.parent, beams.live.log_p, shown))
        count = drive.watch(going_B, bad_R.reshape(-1, G).any(-1))
        if count == 0:
            found = read_off(notes, beams.ends, rules.n_best if G == 1 else K // G)
            return found if G == 1 else merged(found, G, rules.n_best)
        keep_B = drive.leave(going_B, count)
        if keep_B is not None:
            beams.keep(keep_B)
        parent_BK = beams.live.parent.reshape(-1, K)
        drive.advance(beams.live.symbol.reshape(-1, K), parent_BK if G == 1 else parent_BK + first_K)
