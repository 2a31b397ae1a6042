"""Exhaustive search: every output there is, scored by whole-sequence decoding and plain formulas."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from seq2x.models import EncoderDecoder
from seq2x.search import Rules
from seq2x.types import BOS, EOS, PAD, Batch, Memory

from .cases import memory_of

__all__ = ["Output", "exhaustive"]

FLOOR = 1e-4


@dataclass(frozen=True)
class Output:
    """One output of the exhaustive search; `ended` with `</s>`, or cut at the limit."""

    tokens: tuple[int, ...]
    score: float
    ended: bool


def exhaustive(
    model: EncoderDecoder, batch: Batch, longest: int, rules: Rules, prefix: tuple[int, ...] = ()
) -> list[Output]:
    """All outputs for the one sentence of `batch` that obey `rules`, best first: those that ended, then those cut at
    `longest`. What can be neither said nor copied is in none of them.

    If there is none, the longest that nothing may follow are cut.
    """
    memory = memory_of(model, batch)
    symbols = _possible(model, memory)
    allowed = [
        tokens
        for length in range(1, longest + 1)
        for body in itertools.product(symbols, repeat=length - 1)
        for tokens in ((*body, last) for last in symbols)
        if EOS not in body and _allowed(tokens, rules, prefix)
    ]
    found = [tokens for tokens in allowed if tokens[-1] == EOS or len(tokens) == longest]
    found = found or [tokens for tokens in allowed if len(tokens) == max(map(len, allowed))]
    if not found:
        return []
    log_p, attention = _decoded(model, memory, found)
    outputs = []
    for row, tokens in enumerate(found):
        size_of = len(tokens)
        total = float(log_p[row, :size_of].sum())
        shown = None if attention is None else attention[row, :size_of]
        score = _score(total, size_of, int(batch.source.lengths[0]), shown, rules)
        outputs.append(Output(tokens, score, tokens[-1] == EOS))
    return sorted(outputs, key=lambda output: (not output.ended, -output.score))


def _possible(model: EncoderDecoder, memory: Memory) -> set[int]:
    """The symbols that may be said of this source at all: the same at every place of an output."""
    log_p = model.decode(memory, torch.tensor([[BOS]])).all()[0, 0]
    return set((log_p > -torch.inf).nonzero()[:, 0].tolist())


def _allowed(tokens: tuple[int, ...], rules: Rules, prefix: tuple[int, ...]) -> bool:
    n = rules.no_repeat_ngram_size
    for place, token in enumerate(tokens):
        if place < len(prefix):
            if token != prefix[place]:
                return False
            continue
        if token in (PAD, BOS, *rules.forbidden) or (token == EOS and place < rules.min_length):
            return False
        if n and place + 1 >= 2 and place + 1 >= n:
            grams = [tokens[i : i + n] for i in range(place + 2 - n)]
            if grams[-1] in grams[:-1]:
                return False
    return True


def _decoded(
    model: EncoderDecoder, memory: Memory, found: list[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray | None]:
    """log p of every token, and the attention it was given: one row of the decoder for each output."""
    rows = torch.zeros(len(found), max(map(len, found)), dtype=torch.int64)
    for row, tokens in enumerate(found):
        rows[row, : len(tokens)] = torch.tensor(tokens)
    inputs = torch.cat([torch.full((len(found), 1), BOS), rows[:, :-1]], 1)
    answer = model.decode(memory, inputs, frozenset({"attention"}))
    log_p = answer.all().gather(-1, rows[..., None]).squeeze(-1)
    return log_p.cpu().numpy(), None if answer.attention is None else answer.attention.cpu().numpy()


def _score(log_p: float, length: int, source: int, attention: np.ndarray | None, rules: Rules) -> float:
    """`log P / lp(Y) + cp(X,Y) + ep(X,Y)` (Wu et al. 2016, eq. 14; documentation of OpenNMT Lua)."""
    alpha = rules.length_alpha
    penalty = {"none": 1.0, "wu": ((5 + length) / 6) ** alpha, "average": length**alpha}[rules.length_penalty]
    coverage = 0.0
    if attention is not None and rules.coverage_beta:
        covered = attention.sum(0)[:source]
        coverage = rules.coverage_beta * sum(math.log(min(max(float(a), FLOOR), 1.0)) for a in covered)
    return log_p / penalty + coverage + rules.eos_gamma * source / length
