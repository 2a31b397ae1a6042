"""A language model beside a run: fused into its search at every step, or asked about its outputs afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seq2x.engine import Engine
from seq2x.search import Fusion, Rules
from seq2x.search.penalties import length_penalty
from seq2x.tasks.reading import one_line, padded
from seq2x.tasks.scoring import Given, score_batch
from seq2x.types import EOS, Decoder, Hypotheses

if TYPE_CHECKING:
    from seq2x.codecs.text import TextCodec
    from seq2x.tasks.generate import Generate
    from seq2x.tasks.reading import Source

__all__ = ["Helper", "own_log_p"]


@dataclass(frozen=True, slots=True)
class Helper:
    """`lm` counts with `weight`, in the search, where `engine` is what steps, or after it."""

    lm: Generate
    engine: Engine
    weight: float
    use: Literal["fusion", "rerank"]

    def fused(self, decoder: Decoder, memory: Any, rows: int) -> tuple[Decoder, Any]:
        """`decoder` with the language model beside it, and their memory for so many sentences."""
        nothing = self.engine.encode(padded([[EOS]] * rows, self.lm.device))
        return Fusion(decoder, self.engine, self.weight), (memory, nothing)

    def ranked(self, found: Hypotheses, codec: TextCodec, rules: Rules) -> Hypotheses:
        """The outputs that a search with `rules` gave, by score + w log p_lm / lp(Y), best first.

        The language model reads their text, which `codec` gives, by its own symbols; an output that was cut is to it a
        text that goes on. What ended stands before what was cut, as a search has it.
        """
        there = found.stopped >= 0
        texts = [_target(self.lm, found, codec, row, rank) for row, rank in np.argwhere(there).tolist()]
        log_p = np.zeros_like(found.scores)
        log_p[there] = [line.log_p for line in self.lm.score([""] * len(texts), texts)]
        scores = found.scores + self.weight * log_p / length_penalty(found.lengths.clip(1), rules)
        by_score = np.argsort(-scores, axis=1, kind="stable")
        order = np.take_along_axis(
            by_score, np.argsort(-np.take_along_axis(found.stopped, by_score, 1), 1, "stable"), 1
        )
        rows = np.arange(len(order))[:, None]
        parts = {name: getattr(found, name)[rows, order] for name in ("tokens", "lengths", "log_p", "stopped")}
        attention = None if found.attention is None else found.attention[rows, order]
        return Hypotheses(scores=scores[rows, order], attention=attention, **parts)


def _target(lm: Generate, found: Hypotheses, codec: TextCodec, row: int, rank: int) -> list[int]:
    """An output as symbols of the language model."""
    text = one_line(codec.decode(found.tokens[row, rank, : found.lengths[row, rank]].tolist()))
    return [*lm.target_codec.encode(text), *[EOS] * int(found.stopped[row, rank] == 1)]


def own_log_p(members: Sequence[Generate], sources: Sequence[Source], found: Hypotheses) -> Hypotheses:
    """`found` by a fused search, with log p of the `members` alone."""
    log_p = np.zeros_like(found.log_p)
    for rank in range(found.tokens.shape[1]):
        lengths = found.lengths[:, rank]
        rows = np.flatnonzero(lengths)
        given = [Given(row, sources[row], found.tokens[row, rank, : lengths[row]].tolist()) for row in rows.tolist()]
        for row, line in zip(rows.tolist(), score_batch(members, given) if given else (), strict=True):
            log_p[row, rank, : lengths[row]] = line.token_log_p
    return replace(found, log_p=log_p)
