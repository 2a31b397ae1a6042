"""A language model beside a run: fused into its search at every step, or asked about its outputs afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from seq2x.engine import AnyEngine
from seq2x.errors import UsageError
from seq2x.search import Fusion, Rules
from seq2x.search.penalties import length_penalty
from seq2x.settings import AT_ONCE
from seq2x.tasks.reading import one_line, padded
from seq2x.tasks.scoring import Given, score_batch
from seq2x.types import EOS, Decoder, Hypotheses

if TYPE_CHECKING:
    from seq2x.codecs.text import TextCodec
    from seq2x.tasks.generate import Generate
    from seq2x.tasks.reading import Source

__all__ = ["Helper", "own_log_p", "require_fusible"]


@dataclass(frozen=True, slots=True)
class Helper:
    """`lm` counts with `weight`, in the search, where `engine` is what steps, or after it."""

    lm: Generate
    engine: AnyEngine
    weight: float
    use: Literal["fusion", "rerank"]

    def fused(self, decoder: Decoder, memory: Any, rows: int) -> tuple[Decoder, Any]:
        """`decoder` with the language model beside it, and their memory for so many sentences."""
        nothing = self.engine.encode(padded([[EOS]] * rows, self.lm.device))
        return Fusion(decoder, cast(Decoder, self.engine), self.weight), (memory, nothing)

    def ranked(
        self, found: Hypotheses, codec: TextCodec, extras: Sequence[tuple[bytes, ...]], rules: Rules
    ) -> Hypotheses:
        """The outputs that a search with `rules` gave, by score + w log p_lm / lp(Y), best first.

        The language model reads their text, which `codec` gives with the `extras` that each source alone has, by its
        own symbols; an output that was cut is to it a text that goes on. What ended stands before what was cut, as a
        search has it.
        """
        there = found.stopped >= 0
        places = np.argwhere(there).tolist()
        texts = [_target(self.lm, found, codec, extras[row], row, rank) for row, rank in places]
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


def require_fusible(run: Generate, lm: Generate) -> None:
    """`UsageError` where the two cannot decide together on each symbol."""
    todo = "train one with --vocab-from RUN, or let it rank the outputs: --lm-use rerank"
    if (kind := run.about.shape.decoder) in AT_ONCE:
        found = f'a run with decoder = "{kind}", which writes all symbols at once'
        raise UsageError(
            "lm", found, "one that writes symbol by symbol for fusion", "--lm-use rerank ranks its outputs"
        )
    if run.about.shape.copy != "none":
        found = f'a run that copies (copy = "{run.about.shape.copy}"), of which no language model knows all symbols'
        raise UsageError("lm", found, "one that does not for fusion", "--lm-use rerank ranks its outputs")
    if lm.target_codec.to_bytes() != run.target_codec.to_bytes():
        raise UsageError("lm", "a language model of other symbols than this run writes", "the same for fusion", todo)
    if lm.about.direction != run.about.direction:
        found = f"a language model that writes {lm.about.direction}, beside a run that does not"
        raise UsageError("lm", found, "the same direction for fusion", todo)


def _target(
    lm: Generate, found: Hypotheses, codec: TextCodec, extra: tuple[bytes, ...], row: int, rank: int
) -> list[int]:
    """An output as symbols of the language model."""
    text = one_line(codec.decode(found.tokens[row, rank, : found.lengths[row, rank]].tolist(), extra))
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
