"""Exhaustive search over any decoder, by stepping it: what a beam without bounds has to find.

Nothing of `seq2x.search` is used but the fields of `Rules`; the formulae are written out again in plain Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seq2x.arrays import like, to_numpy
from seq2x.types import BOS, EOS, PAD

__all__ = ["Output", "exhaustive", "final", "forced_log_p", "may_follow"]


@dataclass(frozen=True)
class Output:
    """One output; `ended` with `</s>` or cut at the limit. `log_p` per token, `</s>` included."""

    tokens: tuple[int, ...]
    log_p: tuple[float, ...]
    score: float
    ended: bool


def exhaustive(decoder, memory, source_length, max_length, rules, prefix=()):
    """All outputs of a memory of one sentence that obey `rules`, best first: the ended ones, then the cut ones.

    `prefix` symbols are forced, -1 is free. Any `Decoder` does: branches clone its state. Where there is no such
    output, the longest that nothing may follow are cut.
    """
    want = frozenset({"attention"}) if rules.coverage_beta else frozenset()
    found, dead = [], []

    def grow(tokens, log_p, before, state):
        previous = like(np.array([tokens[-1] if tokens else BOS]), state.position)
        answer, after = decoder.step(previous, like(np.array([0]), state.position), state)
        row = to_numpy(answer.all())[0].astype(np.float64)
        attended = before
        if answer.attention is not None:
            attended = before + to_numpy(answer.attention)[0].astype(np.float64)
        if tokens and not may_follow(tokens, len(row), rules, prefix):
            score = final(sum(log_p), len(tokens), source_length, before, rules)
            dead.append(Output(tokens, log_p, score, False))
        for symbol in range(len(row)):
            if not _allowed(tokens, symbol, rules, prefix) or row[symbol] == -math.inf:
                continue
            mine, values = (*tokens, symbol), (*log_p, float(row[symbol]))
            if symbol == EOS or len(mine) == max_length:
                score = final(sum(values), len(mine), source_length, attended, rules)
                found.append(Output(mine, values, score, symbol == EOS))
            else:
                grow(mine, values, attended, after.clone())

    grow((), (), 0.0, decoder.start(memory, 1, 1, want))
    longest = max((len(output.tokens) for output in dead), default=0)
    found = found or [output for output in dead if len(output.tokens) == longest]
    return sorted(found, key=lambda output: (not output.ended, -output.score))


def may_follow(tokens, V, rules, prefix=()):
    """The symbols that `rules` let follow `tokens`."""
    return [symbol for symbol in range(V) if _allowed(tokens, symbol, rules, prefix)]


def final(log_p, length, source_length, attended, rules):
    """log P / lp(Y) + cp(X,Y) + ep(X,Y)."""
    divisor = {
        "none": 1.0,
        "wu": (5 + length) ** rules.length_alpha / (5 + 1) ** rules.length_alpha,
        "average": length**rules.length_alpha,
    }[rules.length_penalty]
    coverage = 0.0
    if rules.coverage_beta:
        coverage = sum(math.log(max(min(float(attended[i]), 1.0), 1e-4)) for i in range(source_length))
    return log_p / divisor + rules.coverage_beta * coverage + rules.eos_gamma * source_length / length


def forced_log_p(decoder, memory, tokens):
    """log p of each of `tokens` for a memory of one sentence, by teacher forcing."""
    state, values = decoder.start(memory, 1, 1), []
    for before, symbol in zip((BOS, *tokens), tokens, strict=False):
        answer, state = decoder.step(
            like(np.array([before]), state.position), like(np.array([0]), state.position), state
        )
        values.append(float(answer.of(like(np.array([symbol]), state.position))[0]))
    return values


def _allowed(tokens, symbol, rules, prefix):
    place = len(tokens)
    if place < len(prefix) and prefix[place] >= 0:
        return symbol == prefix[place]
    if symbol in (PAD, BOS, *rules.forbidden):
        return False
    if symbol == EOS:
        return place >= rules.min_length
    n = rules.no_repeat_ngram_size
    if n:
        grams = [(*tokens, symbol)[i : i + n] for i in range(place + 2 - n)]
        return len(grams) < 2 or grams[-1] not in grams[:-1]
    return True
