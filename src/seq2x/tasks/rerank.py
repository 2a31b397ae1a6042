"""Two runs that choose together among the best outputs of both: each scores what the other proposes.

    s(Y|X) = log P(Y|X) / lp(Y) + w log P'(Y|X) / lp(Y')

with P and P' the two runs (or an ensemble in place of the first), lp the length penalty of the search and w the setting
`rerank_weight`; Y' is the same text in the other's symbols. The runs share nothing but text: vocabularies, kinds of
models and directions may differ. A run that writes from left to right and one from right to left know different ends of
an output well, and agree best on what is right throughout (Liu et al. 2016, "Agreement on
target-bidirectional neural machine translation").

It costs two searches, and a pass of each run over what only the other proposed (of mask_predict over all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seq2x.search import Rules
from seq2x.search.penalties import length_penalty
from seq2x.settings import Settings
from seq2x.tasks.reading import read
from seq2x.types import EOS, NOTHING, Alternative, Prediction, Want

if TYPE_CHECKING:
    from seq2x.tasks.generate import Generate

__all__ = ["rerank"]


class _Known(NamedTuple):
    """One text as one run writes it: its symbols, without `</s>`, and the log p of each and of `</s>`."""

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    token_log_p: tuple[float, ...]


def rerank(
    first: Generate, other: Generate, texts: Sequence[str], settings: Settings, want: Want = NOTHING
) -> list[Prediction]:
    """One Prediction per text, in order: the best by both of the `beam_size` best outputs of either.

    `score` is the sum above, all else is `first`'s; the attention is kept where its own best output is chosen. Only
    outputs that end count, and of these those that both runs can score (see `Generate.can_score`): where there is none,
    the answer is what `first` alone says.
    """
    many = replace(settings, n_best=settings.beam_size)
    runs = first, other
    own, others = first.predict(texts, many, want), other.predict(texts, many)
    found = [[_ended(one) for one in predictions] for predictions in (own, others)]
    proposed = [list(dict.fromkeys([*mine, *theirs])) for mine, theirs in zip(*found, strict=True)]
    known = [_completed(run, texts, proposed, has, settings) for run, has in zip(runs, found, strict=True)]
    results = []
    for row, text in enumerate(texts):
        ranked = _ranked(proposed[row], known[0][row], known[1][row], settings)
        truncated = read([*first.members, *other.members], text).truncated
        results.append(_prediction(own[row], ranked[: settings.n_best], truncated, settings.n_best))
    return results


def _ended(prediction: Prediction) -> dict[str, _Known]:
    """By their texts, the outputs of a search that ended by themselves, the best first."""
    listed = prediction.alternatives or (prediction,)
    return {one.value: _Known(one.tokens, one.ids, one.token_log_p) for one in listed if one.stopped == "end"}


def _completed(
    run: Generate,
    texts: Sequence[str],
    proposed: Sequence[Sequence[str]],
    found: Sequence[Mapping[str, _Known]],
    settings: Settings,
) -> list[dict[str, _Known]]:
    """What `run` says of all that was `proposed` for each text: what it `found` itself, and the rest, scored.

    Of mask_predict, whose search knows log p of each symbol given the others alone, all is scored: in a single pass.
    """
    refined = run.about.shape.decoder == "mask_predict"
    complete = [{} if refined else dict(of_one) for of_one in found]
    asked = [
        (row, output, [*found[row][output].ids, EOS] if output in found[row] else output)
        for row, outputs in enumerate(proposed)
        for output in outputs
        if output not in complete[row] and (output in found[row] or run.can_score(texts[row], output))
    ]
    size = 1 if settings.invariant else settings.batch_size
    scored = run.score([texts[row] for row, _, _ in asked], [target for *_, target in asked], size)
    for (row, output, _), score in zip(asked, scored, strict=True):
        complete[row][output] = _Known(score.tokens, score.ids, score.token_log_p)
    return complete


def _ranked(
    outputs: Sequence[str], own: Mapping[str, _Known], others: Mapping[str, _Known], settings: Settings
) -> list[Alternative]:
    """The `outputs` that both can score, best first; of equal ones the one that was proposed first."""
    ranked = []
    for output in outputs:
        if output in own and output in others:
            score = _score(own[output], settings) + settings.rerank_weight * _score(others[output], settings)
            log_p = float(sum(own[output].token_log_p))
            ranked.append(
                Alternative(output, own[output].tokens, own[output].ids, score, log_p, own[output].token_log_p, "end")
            )
    return sorted(ranked, key=lambda one: -one.score)


def _score(known: _Known, settings: Settings) -> float:
    """log P / lp, as a search has it without its terms of coverage and of ends."""
    rules = Rules(length_penalty=settings.length_penalty, length_alpha=settings.length_alpha)
    lengths = np.array([max(len(known.token_log_p), 1)])
    return float(sum(known.token_log_p) / length_penalty(lengths, rules)[0])


def _prediction(own: Prediction, ranked: Sequence[Alternative], truncated: bool, n_best: int) -> Prediction:
    """The best of `ranked`; without one, or for a blank input, the first run's `own`."""
    if own.stopped == "empty" or not ranked:
        return replace(own, alternatives=own.alternatives[:n_best] if n_best > 1 else ())
    best = ranked[0]
    chosen = own.stopped == "end" and own.value == best.value
    return Prediction(
        value=best.value,
        tokens=best.tokens,
        ids=best.ids,
        score=best.score,
        log_p=best.log_p,
        token_log_p=best.token_log_p,
        alternatives=tuple(ranked) if n_best > 1 else (),
        truncated=truncated,
        stopped="end",
        attention=own.attention if chosen else None,
    )
