"""A language model beside a run: fused into its search at every step, or asked about its outputs afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from seq2x.engine import AnyEngine
from seq2x.errors import Seq2xError, UsageError
from seq2x.search import Fusion, Rules
from seq2x.search.penalties import length_penalty
from seq2x.settings import AT_ONCE
from seq2x.tasks.reading import one_line, padded
from seq2x.tasks.scoring import Given, most_symbols, score_batch
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
        own symbols; an output that was cut is to it a text that goes on. One that it has no positions for keeps its
        score, and stands behind those that can be compared. What ended stands before what was cut, as a search has it.
        The `row` of an error is that of `found`.
        """
        log_p = self._log_p(found, codec, extras)
        unread = np.isnan(log_p)
        added = self.weight * np.where(unread, 0.0, log_p) / length_penalty(found.lengths.clip(1), rules)
        anew = replace(found, scores=found.scores + added)
        order = np.lexsort((-anew.scores, unread, -anew.stopped))
        rows = np.arange(len(order))[:, None]
        names = ["tokens", "lengths", "scores", "log_p", "stopped"] + ["attention"] * (found.attention is not None)
        return Hypotheses(**{name: getattr(anew, name)[rows, order] for name in names})

    def _log_p(self, found: Hypotheses, codec: TextCodec, extras: Sequence[tuple[bytes, ...]]) -> npt.NDArray[Any]:
        """`[B,n]`: log p_lm of each output, NaN where there is none or no positions are for it."""
        places = np.argwhere(found.stopped >= 0).tolist()
        texts = {(row, rank): _target(self.lm, found, codec, extras[row], row, rank) for row, rank in places}
        most = most_symbols([self.lm])
        read = {place: text for place, text in texts.items() if most is None or len(text) <= most}
        try:
            lines = self.lm.score([""] * len(read), list(read.values()))
        except Seq2xError as error:
            if error.row is None:
                raise
            raise error.at(error.where, list(read)[error.row][0]) from error
        log_p = np.full(found.scores.shape, np.nan)
        for place, line in zip(read, lines, strict=True):
            log_p[place] = line.log_p
        return log_p


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
