"""One batch of texts through a search: symbols in, `Prediction`s out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from seq2x.codecs.text import TextCodec
from seq2x.engine import AnyEngine, Engine
from seq2x.errors import Seq2xError, UsageError
from seq2x.search import (
    Ensemble,
    Guide,
    Refinement,
    Rules,
    Sampling,
    in_a_loop,
    limits,
    refine,
    sample,
    search,
    spell,
)
from seq2x.settings import AT_ONCE, Settings
from seq2x.tasks.constraining import Demand, Demands
from seq2x.tasks.helping import Helper, own_log_p
from seq2x.tasks.reading import Source, copy_ids, one_line, padded
from seq2x.tasks.risk import draws, least_risk
from seq2x.tasks.scoring import most_symbols
from seq2x.types import Alternative, Decoder, Emitter, Hypotheses, Prediction, Refiner, Want

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["Request", "decode"]

_ROOM = 20  # symbols that an automatic limit leaves beyond a prefix, as beyond what the input's length makes likely
_RANKED_BY = {"mask_predict": "average", "ctc": "none"}
"""The length penalty of a search that has its own, whatever the settings say: see `refine` and `spell`."""


class Request(NamedTuple):
    """What is asked: item `row` of a call, the symbols that its output shall begin with, and what it has to be."""

    row: int
    source: Source
    prefix: list[int]
    demand: Demand = Demand()

    @property
    def text(self) -> str:
        """The raw input."""
        return self.source.text


def decode(
    members: Sequence[Generate],
    engines: Sequence[AnyEngine],
    batch: Sequence[Request],
    settings: Settings,
    want: Want,
    demands: Demands,
    helper: Helper | None = None,
) -> list[Prediction]:
    """The outputs of `members`, which decide together, each with its engine, for a batch that is searched at once;
    `helper`: a language model beside them.

    Where no output is as `demands` want it, there is none, and it says why. Raises `UsageError` for a prefix that does
    not fit the limit, or for any where outputs are not written from the left, `DivergedError` for numbers that are
    none; all name the input by its place in the call.
    """
    bound = [*members, helper.lm] if helper is not None and helper.use == "fusion" else members
    most, kind = _limits(bound, batch, settings), members[0].about.shape.decoder
    for request, limit in zip(batch, most.tolist(), strict=True):
        if request.prefix and kind in AT_ONCE:
            asked = f'a prefix for a run with decoder = "{kind}"'
            todo = 'leave it out, or train decoder = "standard", which writes from the left'
            raise UsageError(_place(request), asked, "none: it writes all symbols at once", todo, row=request.row)
        if len(request.prefix) > limit:
            long = f"a prefix of {len(request.prefix):,} symbols"
            raise UsageError(_place(request), long, f"at most the limit of {limit:,}", row=request.row)
    unmet = [one.demand.unmet(one.prefix, limit) for one, limit in zip(batch, most.tolist(), strict=True)]
    able = [number for number, why in enumerate(unmet) if not why]
    results = [_none(why) for why in unmet]
    if able:
        some = [batch[number] for number in able]
        with _placed(some):
            found = _helped(members, engines, some, most[able], settings, want, demands, helper)
        for row, (number, request) in enumerate(zip(able, some, strict=True)):
            results[number] = _prediction(found, row, request, int(most[number]), settings, demands)
    return results


def _helped(
    members: Sequence[Generate],
    engines: Sequence[AnyEngine],
    batch: Sequence[Request],
    most: np.ndarray[Any, Any],
    settings: Settings,
    want: Want,
    demands: Demands,
    helper: Helper | None,
) -> Hypotheses:
    """What `_searched` finds, its log p that of the `members` alone, ranked anew where the language model is to."""
    found = _searched(members, engines, batch, most, settings, want, demands, helper)
    if helper is None:
        return found
    sources = [request.source for request in batch]
    if helper.use == "fusion":
        return own_log_p(members, sources, found)
    if settings.sample:
        return found
    rules = _rules(settings, demands.forbidden)
    if own := _RANKED_BY.get(members[0].about.shape.decoder):
        rules = replace(rules, length_penalty=own, length_alpha=1.0)
    return helper.ranked(found, demands.codec, [source.extra for source in sources], rules)


def _searched(
    members: Sequence[Generate],
    engines: Sequence[AnyEngine],
    batch: Sequence[Request],
    most: np.ndarray[Any, Any],
    settings: Settings,
    want: Want,
    demands: Demands,
    helper: Helper | None,
) -> Hypotheses:
    """What a search finds, or what is drawn, for a batch whose outputs have at most `most` `[B]` symbols."""
    lengths = np.array([request.source.length for request in batch], np.int64)
    prefix = _prefix(batch)
    guide: Guide | None = demands.guide([one.demand for one in batch], [one.text for one in batch])
    decoder, memory = _together(members, engines, [request.source for request in batch])
    if helper is not None and helper.use == "fusion":
        decoder, memory = helper.fused(decoder, memory, len(batch))
    rules = _rules(settings, demands.forbidden, ranked=helper is not None and helper.use == "rerank")
    if isinstance(decoder, Refiner):  # neither takes a guide: see `Generate.constrain`
        return refine(decoder, memory, most, _refinement(settings, rules), want)
    if isinstance(decoder, Emitter):
        return spell(decoder, memory, most, rules)
    if settings.sample or draws(settings):
        keys = np.array([request.source.key for request in batch], np.int64)
        sampling = _sampling(settings, demands.forbidden)
        return sample(decoder, memory, lengths, most, sampling, keys, prefix, want, guide)
    return search(decoder, memory, lengths, most, rules, prefix, want, guide)


@contextmanager
def _placed(batch: Sequence[Request]) -> Iterator[None]:
    """An error that one of `batch` is to blame for names it by its place in the call."""
    try:
        yield
    except Seq2xError as error:
        if error.row is None:
            raise
        raise error.at(_place(batch[error.row]), batch[error.row].row) from error


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
    models: Sequence[Generate], batch: Sequence[Request], settings: Settings
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`[B]`: how many symbols each output that these `models` write together may have, `</s>` counted."""
    room = settings.min_length + 1
    given = [max(len(request.prefix), request.demand.least(request.prefix)) for request in batch]
    return limits(
        np.array([request.source.length for request in batch], np.int64),
        max_length=settings.max_length,
        ratio=models[0].about.length_ratio,
        most=most_symbols(models),
        room=np.array([max(room, symbols + _ROOM if symbols else 0) for symbols in given]),
    )


def _together(members: Sequence[Generate], engines: Sequence[AnyEngine], sources: Sequence[Source]) -> tuple[Any, Any]:
    """What a search drives, and its memory: one model alone, or all as one, each with its own symbols."""
    memories = []
    for number, (member, engine) in enumerate(zip(members, engines, strict=True)):
        symbols = padded([source.ids[number] for source in sources], member.device)
        copies = copy_ids(sources, member.device)
        memories.append(engine.encode(symbols) if copies is None else cast(Engine, engine).encode(symbols, copies))
    if len(members) == 1:
        return engines[0], memories[0]
    return Ensemble(cast(Sequence[Decoder], engines)), memories  # see `Generate.with_team`: all of them step


def _sampling(settings: Settings, forbidden: tuple[int, ...]) -> Sampling:
    return Sampling(
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        seed=settings.seed,
        n=settings.samples if draws(settings) else settings.n_best,
        min_length=settings.min_length,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        forbidden=forbidden,
        loops=settings.loops,
    )


def _refinement(settings: Settings, rules: Rules) -> Refinement:
    """The same for all symbols at once: where the `rules` want more than one output, those of all lengths."""
    return Refinement(
        iterations=settings.refine_iterations,
        lengths=settings.length_beam,
        n_best=settings.length_beam if settings.n_best > 1 or settings.mbr or rules.n_best > 1 else 1,
        min_length=settings.min_length,
        forbidden=rules.forbidden,
    )


def _rules(settings: Settings, forbidden: tuple[int, ...], ranked: bool = False) -> Rules:
    """With more than one output wanted, all that the beam holds: some may turn out to be the same text; and all where
    they are to be `ranked` anew.
    """
    return Rules(
        beam_size=settings.beam_size,
        n_best=settings.beam_size if settings.n_best > 1 or settings.mbr or ranked else 1,
        length_penalty=settings.length_penalty,
        length_alpha=settings.length_alpha,
        coverage_beta=settings.coverage_beta,
        eos_gamma=settings.eos_gamma,
        min_length=settings.min_length,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        forbidden=forbidden,
        loops=settings.loops,
        diversity_groups=settings.diversity_groups,
        diversity_strength=settings.diversity_strength,
    )


# ------------------------------------------------------------------ symbols -> text


def _prediction(
    found: Hypotheses, row: int, request: Request, limit: int, settings: Settings, demands: Demands
) -> Prediction:
    """Row `row` of `found`, without hypotheses that do not exist or are not as they have to be."""
    ranks = [rank for rank in range(found.tokens.shape[1]) if found.stopped[row, rank] >= 0]
    if not ranks and request.demand.automaton is None:  # nothing was allowed even at the start
        return Prediction("", stopped="length", truncated=True)
    every = [_alternative(found, row, rank, request.source.extra, demands.codec, limit) for rank in ranks]
    met = [
        (one, rank) for one, rank in zip(every, ranks, strict=True) if demands.met(request.demand, one.ids, one.value)
    ]
    if not met:
        return _none(f"no output was found that {' and '.join(request.demand.says)}")
    if settings.mbr:
        met = least_risk(met, settings.mbr, drawn=draws(settings))
    best = _distinct(met, settings)
    (first, rank), attention = best[0], None
    if found.attention is not None:
        attention = found.attention[row, rank, : found.lengths[row, rank]]
    return Prediction(
        value=first.value,
        tokens=first.tokens,
        ids=first.ids,
        score=first.score,
        log_p=first.log_p,
        token_log_p=first.token_log_p,
        alternatives=tuple(one for one, _ in best) if settings.n_best > 1 else (),
        truncated=request.source.truncated or first.stopped in ("length", "loop"),
        stopped=first.stopped,
        attention=attention,
    )


def _none(why: str) -> Prediction:
    """No output, and why."""
    return Prediction("", stopped="unmet", unmet=why)


def _distinct(ranked: Sequence[tuple[Alternative, int]], settings: Settings) -> list[tuple[Alternative, int]]:
    """The first `n_best`; where they are not mere draws no two with the same text, which may be cut in several ways."""
    best: list[tuple[Alternative, int]] = []
    texts: set[str] = set()
    for alternative, rank in ranked:
        if settings.sample or alternative.value not in texts:
            best.append((alternative, rank))
            texts.add(alternative.value)
        if len(best) == settings.n_best:
            break
    return best


def _alternative(
    found: Hypotheses, row: int, rank: int, extra: tuple[bytes, ...], codec: TextCodec, limit: int
) -> Alternative:
    ended = found.stopped[row, rank] == 1
    length = int(found.lengths[row, rank])
    token_log_p = tuple(found.log_p[row, rank, :length].tolist())
    ids = tuple(found.tokens[row, rank, : length - 1 if ended else length].tolist())
    return Alternative(
        value=one_line(codec.decode(ids, extra)),
        tokens=tuple(codec.tokens(ids, extra)),
        ids=ids,
        score=float(found.scores[row, rank]),
        log_p=float(sum(token_log_p)),
        token_log_p=token_log_p,
        stopped="end" if ended else "loop" if length < limit and in_a_loop(ids) else "length",
    )
