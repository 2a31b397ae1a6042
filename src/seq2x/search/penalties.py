r"""The final score of a hypothesis: `s(Y,X) = log P(Y|X) / lp(Y) + cp(X,Y) + ep(X,Y)`.

Every function takes numpy or torch arrays, element by element. `|Y|` counts `</s>` where there is one; `|X|` is the
length of the source as the encoder read it, `</s>` counted.
"""

from __future__ import annotations

from seq2x.arrays import float64, namespace, numbers
from seq2x.search.rules import Rules
from seq2x.types import Array

__all__ = ["COVERAGE_FLOOR", "attainable", "coverage_term", "end_term", "final_score", "length_penalty"]

COVERAGE_FLOOR = 1e-4
"""A source symbol with less attention than this costs no more than one with this much: log 0 is not a score."""


def length_penalty(lengths: Array, rules: Rules) -> Array:
    """lp(Y), what log P is divided by; at least 1, grows with the length.

    none: 1. wu: `((5 + |Y|) / 6)^alpha` (Wu et al. 2016, eq. 14). average: `|Y|^alpha`; alpha 1 makes the score
    the mean log p of a symbol. Prefer wu or average for text, where plain log P likes short outputs; none where
    the probability itself is wanted.
    """
    lengths = float64(lengths)
    if rules.length_penalty == "none":
        return lengths * 0.0 + 1.0
    if rules.length_penalty == "wu":
        return ((lengths + 5.0) / 6.0) ** rules.length_alpha
    return lengths**rules.length_alpha


def coverage_term(attended_XS: Array, source_lengths_X1: Array, rules: Rules) -> Array:
    """cp(X,Y) = beta * sum_i log(min(sum_j p_ij, 1)) (Wu et al. 2016, eq. 14), never above 0.

    `attended` `[...,S]` is the attention each source position got over all target symbols, `</s>` included;
    positions at or after the source length do not count. The sum is floored at `COVERAGE_FLOOR`.
    """
    xp = namespace(attended_XS)
    position_S = numbers(attended_XS.shape[-1], attended_XS)
    logs = xp.log(attended_XS.clip(COVERAGE_FLOOR, 1.0))
    return rules.coverage_beta * xp.where(position_S < source_lengths_X1, logs, 0.0).sum(-1)


def end_term(lengths: Array, source_lengths: Array, rules: Rules) -> Array:
    """ep(X,Y) = gamma * |X| / |Y| (documentation of OpenNMT Lua, "End of sentence normalization").

    Added to the score as it stands here: of two outputs alike in all else the shorter gets more. Use it against
    outputs that run on; the length penalty is what works against short ones.
    """
    return rules.eos_gamma * float64(source_lengths) / lengths


def final_score(log_p: Array, lengths: Array, source_lengths: Array, coverage: Array | float, rules: Rules) -> Array:
    """s(Y,X) of hypotheses with total `log_p`; `coverage` is their cp(X,Y)."""
    return log_p / length_penalty(lengths, rules) + coverage + end_term(lengths, source_lengths, rules)


def attainable(log_p: Array, length: int, max_lengths: Array, source_lengths: Array, rules: Rules) -> Array:
    """A score that no continuation of a hypothesis can exceed, for the stop rule "bound".

    log P only falls and lp(Y) only grows, so `log_p / lp(max_length)` bounds the first term; cp(X,Y) is never
    above 0; ep(X,Y) falls with the length, so the next length bounds it. `length` is the hypothesis's own.
    """
    return log_p / length_penalty(max_lengths, rules) + end_term(length + 1, source_lengths, rules)
