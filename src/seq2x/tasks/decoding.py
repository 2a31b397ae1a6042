"""One batch of texts through a search: symbols in, `Prediction`s out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seq2x.codecs.text import TextCodec
from seq2x.engine import Engine
from seq2x.errors import Seq2xError, UsageError
from seq2x.search import Ensemble, Rules, Sampling, limits, sample, search
from seq2x.settings import Settings
from seq2x.tasks.reading import Source, padded
from seq2x.types import Alternative, Decoder, Hypotheses, Prediction, Want

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Request", "decode", "most_symbols"]

_ROOM = 20  # symbols that an automatic limit leaves beyond a prefix, as beyond what the input's length makes likely


class Request(NamedTuple):
    """What is asked: item `row` of a call, and the symbols that its output shall begin with."""

    row: int
    source: Source
    prefix: list[int]

    @property
    def text(self) -> str:
        """The raw input."""
        return self.source.text


def decode(
    members: Sequence[Generate],
    engines: Sequence[Engine],
    batch: Sequence[Request],
    settings: Settings,
    want: Want,
    forbidden: tuple[int, ...],
) -> list[Prediction]:
    """The outputs of `members`, which decide together, each with its engine, for a batch that is searched at once.

    Raises `UsageError` for a prefix that does not fit the limit, `DivergedError` for numbers that are none; both name
    the input by its place in the call.
    """
    lengths = np.array([request.source.length for request in batch], np.int64)
    prefix = _prefix(batch)
    most = _limits(members, lengths, prefix, settings)
    for request, limit in zip(batch, most.tolist(), strict=True):
        if len(request.prefix) > limit:
            long = f"a prefix of {len(request.prefix):,} symbols"
            raise UsageError(_place(request), long, f"at most the limit of {limit:,}", row=request.row)
    decoder, memory = _together(members, engines, [request.source for request in batch])
    try:
        if settings.sample:
            keys = np.array([request.source.key for request in batch], np.int64)
            found = sample(decoder, memory, lengths, most, _sampling(settings, forbidden), keys, prefix, want)
        else:
            found = search(decoder, memory, lengths, most, _rules(settings, forbidden), prefix, want)
    except Seq2xError as error:
        if error.row is None:
            raise
        raise error.at(_place(batch[error.row]), batch[error.row].row) from error
    codec = members[0].target_codec
    return [_prediction(found, row, one.source.truncated, settings, codec) for row, one in enumerate(batch)]


def most_symbols(members: Iterable[Generate]) -> int | None:
    """How many symbols, `</s>` counted, an output of `members` together may have: learned positions end somewhere."""
    shapes = [member.size for member in members]
    return min((shape.max_target_length + 1 for shape in shapes if shape.positions == "learned"), default=None)


def _place(request: Request) -> str:
    return f"input {request.row + 1:,}"


def _prefix(batch: Sequence[Request]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """`[B,P]`, -1 past the end of each; None if there are none."""
    longest = max(len(request.prefix) for request in batch)
    if longest == 0:
        return None
    prefix = np.full((len(batch), longest), -1, np.int64)
    for row, request in enumerate(batch):
        prefix[row, : len(request.prefix)] = request.prefix
    return prefix


def _limits(
    members: Sequence[Generate],
    lengths: np.ndarray[Any, Any],
    prefix: np.ndarray[Any, Any] | None,
    settings: Settings,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`[B]`: how many symbols each output may have, `</s>` counted."""
    room = settings.min_length + 1
    return limits(
        lengths,
        max_length=settings.max_length,
        ratio=members[0].about.length_ratio,
        most=most_symbols(members),
        room=room if prefix is None else np.maximum((prefix >= 0).sum(-1) + _ROOM, room),
    )


def _together(members: Sequence[Generate], engines: Sequence[Engine], sources: Sequence[Source]) -> tuple[Decoder, Any]:
    """The decoder that search drives, and its memory: one model alone, or all as one, each with its own symbols."""
    memories = [
        engine.encode(padded([source.ids[number] for source in sources], member.device))
        for number, (member, engine) in enumerate(zip(members, engines, strict=True))
    ]
    return (engines[0], memories[0]) if len(members) == 1 else (Ensemble(engines), memories)


def _sampling(settings: Settings, forbidden: tuple[int, ...]) -> Sampling:
    return Sampling(
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        seed=settings.seed,
        n=settings.n_best,
        min_length=settings.min_length,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        forbidden=forbidden,
    )


def _rules(settings: Settings, forbidden: tuple[int, ...]) -> Rules:
    """With more than one output wanted, all that the beam holds: some may turn out to be the same text."""
    return Rules(
        beam_size=settings.beam_size,
        n_best=settings.beam_size if settings.n_best > 1 else 1,
        length_penalty=settings.length_penalty,
        length_alpha=settings.length_alpha,
        coverage_beta=settings.coverage_beta,
        eos_gamma=settings.eos_gamma,
        min_length=settings.min_length,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        forbidden=forbidden,
    )


# ------------------------------------------------------------------ symbols -> text


def _prediction(found: Hypotheses, row: int, truncated: bool, settings: Settings, codec: TextCodec) -> Prediction:
    """Row `row` of `found`, without hypotheses that do not exist."""
    ranks = [rank for rank in range(found.tokens.shape[1]) if found.stopped[row, rank] >= 0]
    if not ranks:  # nothing was allowed even at the start
        return Prediction("", stopped="length", truncated=True)
    best = _distinct(found, row, ranks, settings, codec)
    first = best[0]
    attention = None if found.attention is None else found.attention[row, ranks[0], : found.lengths[row, ranks[0]]]
    return Prediction(
        value=first.value,
        tokens=first.tokens,
        ids=first.ids,
        score=first.score,
        log_p=first.log_p,
        token_log_p=first.token_log_p,
        alternatives=tuple(best) if settings.n_best > 1 else (),
        truncated=truncated or first.stopped == "length",
        stopped=first.stopped,
        attention=attention,
    )


def _distinct(
    found: Hypotheses, row: int, ranks: Sequence[int], settings: Settings, codec: TextCodec
) -> list[Alternative]:
    """The first `n_best` of `ranks`; in a search no two with the same text, which may be cut in several ways."""
    best: list[Alternative] = []
    texts: set[str] = set()
    for alternative in (_alternative(found, row, rank, codec) for rank in ranks):
        if settings.sample or alternative.value not in texts:
            best.append(alternative)
            texts.add(alternative.value)
        if len(best) == settings.n_best:
            break
    return best


def _alternative(found: Hypotheses, row: int, rank: int, codec: TextCodec) -> Alternative:
    ended = found.stopped[row, rank] == 1
    length = int(found.lengths[row, rank])
    token_log_p = tuple(found.log_p[row, rank, :length].tolist())
    ids = tuple(found.tokens[row, rank, : length - 1 if ended else length].tolist())
    return Alternative(
        value=_one_line(codec.decode(ids)),
        tokens=tuple(codec.tokens(ids)),
        ids=ids,
        score=float(found.scores[row, rank]),
        log_p=float(sum(token_log_p)),
        token_log_p=token_log_p,
        stopped="end" if ended else "length",
    )


def _one_line(text: str) -> str:
    """`text` without line ends: what a model says must not become two records. A final CR would be lost, too."""
    return text.replace("\r", " ").replace("\n", " ")
