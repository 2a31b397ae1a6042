"""All symbols of an output at once, and the least certain of them again (Ghazvininejad et al. 2019, section 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seq2x.arrays import float64, like, namespace, numbers, order, take_along, to_numpy, top
from seq2x.search.drive import damaged, lengths_of
from seq2x.search.rules import Refinement
from seq2x.search.trace import empty
from seq2x.types import BOS, EOS, MASK, NOTHING, PAD, Array, Hypotheses, Refiner, Want

__all__ = ["refine"]


def refine(refiner: Refiner, memory: Any, max_lengths: Array, rules: Refinement, want: Want = NOTHING) -> Hypotheses:
    """The `rules.n_best` best outputs of each sentence, of one for each of its `rules.lengths` likeliest lengths.

    Of the T - 1 symbols of an output all are masked at first; before iteration i of I (from 0) the

        n_i = floor((T - 1) (I - i) / I)

    whose log p is lowest are masked again, and filled in given the others. A symbol keeps the log p that it was last
    given; that of `</s>` is log p of the length. Ranked by the mean of both over all T (section 3.3; the length counts
    as one symbol, so that an output of none has a score, too). With one iteration log p of all is that of `score`. The
    attention is that of the last iteration in which an output had a symbol to be written.

    `max_lengths` `[B]`: symbols at most, `</s>` counted; where `min_length` does not fit in, it gives way. A sentence's
    outcome does not depend on what else is in the batch, as far as the refiner's does not. Raises `DivergedError` where
    a log p is NaN.
    """
    most, _ = lengths_of(max_lengths, max_lengths)
    if len(most) == 0:
        return empty(rules.n_best)
    canvas, total = _Canvas.blank(refiner.lengths(memory), most, rules), rules.iterations
    forbid = like(np.array(sorted({PAD, BOS, EOS, *rules.forbidden})), canvas.tokens)
    masked, attention = canvas.free, None
    for iteration in range(total):
        if iteration:
            if (canvas.tokens.shape[1] - 1) * (total - iteration) // total == 0:
                break  # not even the longest has a symbol to be written again
            masked = canvas.doubted((canvas.lengths - 1) * (total - iteration) // total)
        xp = namespace(masked)
        filled = refiner.fill(memory, xp.where(masked, MASK, canvas.tokens), want)
        log_p, ids = filled.best(forbid, masked)
        canvas = canvas._replace(
            tokens=xp.where(masked, ids, canvas.tokens), log_p=xp.where(masked, float64(log_p), canvas.log_p)
        )
        if attention is None or filled.attention is None:
            attention = filled.attention
        else:  # an output that is done keeps what it was written by, while longer ones beside it go on
            attention = xp.where(masked.any(-1)[:, None, None], filled.attention, attention)
    return _ranked(canvas, attention, len(most), rules)


class _Canvas(NamedTuple):
    """N = B * K outputs, one for each length of each sentence: `tokens` and their `log_p` `[N,T]`, `</s>` last.

    `free` `[N,T]`: where a symbol is to be written. `there` `[N]`: whether there is such an output.
    """

    tokens: Array
    log_p: Array
    free: Array
    lengths: Array
    there: Array

    @classmethod
    def blank(cls, log_p_BL: Array, most: np.ndarray[Any, Any], rules: Refinement) -> _Canvas:
        """Nothing written, for the likeliest lengths that are allowed."""
        xp = namespace(log_p_BL)
        size_L = numbers(log_p_BL.shape[1], log_p_BL) + 1
        least = np.minimum(np.minimum(rules.min_length + 1, most), len(size_L))
        allowed_BL = (size_L >= like(least, log_p_BL)[:, None]) & (size_L <= like(most, log_p_BL)[:, None])
        log_p_BK, place_BK = top(xp.where(allowed_BL, float64(log_p_BL), -np.inf), rules.lengths)
        log_p_N, there_N = log_p_BK.reshape(-1), log_p_BK.reshape(-1) != -np.inf
        lengths_N = xp.where(there_N, place_BK.reshape(-1) + 1, 1)
        longest = int(lengths_N.max())  # the one number that is read from a device before the end
        place_T, last_N1 = numbers(longest, lengths_N), lengths_N[:, None] - 1
        tokens = xp.where(place_T < last_N1, MASK, xp.where(place_T == last_N1, EOS, PAD))
        log_p = xp.where(place_T == last_N1, log_p_N[:, None], 0.0)
        return cls(tokens, log_p, place_T < last_N1, lengths_N, there_N)

    def doubted(self, count_N: Array) -> Array:
        """`[N,T]`: the `count` symbols of each output whose log p is lowest, of equal ones the first."""
        rank = order(order(namespace(self.log_p).where(self.free, self.log_p, np.inf)))
        return rank < count_N[:, None]


def _ranked(canvas: _Canvas, attention: Array | None, sentences: int, rules: Refinement) -> Hypotheses:
    """Best first; what is no output comes last."""
    tokens, log_p, _, lengths, there = (to_numpy(part) for part in canvas)
    shape = (sentences, -1)
    with np.errstate(invalid="ignore"):
        score = log_p.sum(-1) / lengths
    if np.isnan(score).any():
        raise damaged(int(np.isnan(score).argmax()) // (len(score) // sentences))
    there = there & (score > -np.inf)
    score = np.where(there, score, -np.inf).reshape(shape)
    best = order(-score)[:, : rules.n_best]
    kept_BnT = [
        take_along(np.where(there[:, None], part, 0).reshape(*shape, part.shape[1]), best[:, :, None], 1)
        for part in (tokens, log_p)
    ]
    lengths = np.where(there, lengths, 0).reshape(shape)
    if attention is not None:
        attention = to_numpy(attention).reshape(*shape, *attention.shape[1:])[np.arange(sentences)[:, None], best]
    stopped = take_along(there.reshape(shape) * 2 - 1, best)
    lengths = take_along(lengths, best)
    T = int(lengths.max())
    tokens, log_p = (part[:, :, :T] for part in kept_BnT)
    if attention is not None:
        attention = np.where((np.arange(T) < lengths[..., None])[..., None], attention[:, :, :T], 0.0)
    return Hypotheses(tokens, lengths, take_along(score, best), log_p, stopped, attention)
