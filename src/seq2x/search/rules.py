"""What one search obeys: plain numbers, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2x.errors import UsageError, nearest
from seq2x.types import Array

__all__ = ["Refinement", "Rules", "Sampling", "limits"]

_LENGTH_PENALTIES = ("none", "wu", "average")
_STOPS = ("first", "bound")
_LOOPS = ("stop", "allow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One beam search. Lengths are in symbols.

    `beam_size` hypotheses are kept per sentence (1: greedy) and the `n_best` of them returned. The final score is
    `log P / lp(Y) + cp(X,Y) + ep(X,Y)` with the length penalty `length_penalty` and its exponent `length_alpha`, the
    coverage weight `coverage_beta` and the end-of-sentence weight `eos_gamma` (see `seq2x.search.penalties`).
    `min_length` does not count `</s>`. No sequence of `no_repeat_ngram_size` symbols occurs twice (0: allowed).
    `forbidden` symbols are never chosen; padding and `<s>` never are anyway. `stop`: "first" ends a sentence when
    `beam_size` of its hypotheses have ended; "bound" when nothing alive can enter the n best any more, which
    takes longer and loses nothing. `loops`: "stop" ends what says the same again and again (see
    `seq2x.search.loops`); "allow" lets it go on to its limit. `diversity_groups` share the beam among them, each kept
    from the symbols of those before it with `diversity_strength` (see `seq2x.search.beams`); 1: one beam.

    Raises `UsageError` for values outside their range.
    """

    beam_size: int = 5
    n_best: int = 1
    length_penalty: str = "wu"
    length_alpha: float = 1.0
    coverage_beta: float = 0.0
    eos_gamma: float = 0.0
    min_length: int = 0
    no_repeat_ngram_size: int = 0
    forbidden: tuple[int, ...] = ()
    stop: str = "first"
    loops: str = "stop"
    diversity_groups: int = 1
    diversity_strength: float = 0.5

    def __post_init__(self) -> None:
        _at_least("beam_size", self.beam_size, 1)
        _at_least("n_best", self.n_best, 1)
        if self.n_best > self.beam_size:
            raise UsageError("n_best", f"{self.n_best}", f"at most beam_size ({self.beam_size})", "raise beam_size")
        _one_of("length_penalty", self.length_penalty, _LENGTH_PENALTIES)
        for name in ("length_alpha", "coverage_beta", "eos_gamma", "diversity_strength"):
            _at_least(name, getattr(self, name), 0.0)
        _at_least("min_length", self.min_length, 0)
        _at_least("no_repeat_ngram_size", self.no_repeat_ngram_size, 0)
        _at_least("forbidden", min(self.forbidden, default=0), 0)
        _one_of("stop", self.stop, _STOPS)
        _one_of("loops", self.loops, _LOOPS)
        _at_least("diversity_groups", self.diversity_groups, 1)
        if self.beam_size % self.diversity_groups:
            raise UsageError(
                "diversity_groups", f"{self.diversity_groups}", f"a divisor of beam_size ({self.beam_size})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to draw `n` outputs per sentence: see `Answer.sample`. Every draw is a function of `seed`, the
    sentence's key, the draw's number and the step.

    `top_k` 0 and `top_p` 1 leave the distribution whole. Constraints as in `Rules`. Raises `UsageError` for
    values outside their range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1
    n: int = 1
    min_length: int = 0
    no_repeat_ngram_size: int = 0
    forbidden: tuple[int, ...] = ()
    loops: str = "stop"

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise UsageError("temperature", f"{self.temperature}", "a number above 0")
        if not 0.0 < self.top_p <= 1.0:
            raise UsageError("top_p", f"{self.top_p}", "a number above 0, at most 1")
        _at_least("n", self.n, 1)
        for name in ("top_k", "seed", "min_length", "no_repeat_ngram_size"):
            _at_least(name, getattr(self, name), 0)
        _at_least("forbidden", min(self.forbidden, default=0), 0)
        _one_of("loops", self.loops, _LOOPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """How outputs are written all at once and then refined: see `seq2x.search.refine`.

    `iterations`: how often symbols are filled in. `lengths`: for how many lengths of a sentence; the `n_best` of the
    outputs are returned. `min_length` does not count `</s>`; `forbidden` symbols are never chosen. Raises `UsageError`
    for values outside their range.
    """

    iterations: int = 10
    lengths: int = 5
    n_best: int = 1
    min_length: int = 0
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _at_least("refine_iterations", self.iterations, 1)
        _at_least("length_beam", self.lengths, 1)
        _at_least("n_best", self.n_best, 1)
        if self.n_best > self.lengths:
            raise UsageError("n_best", f"{self.n_best}", f"at most length_beam ({self.lengths})", "raise length_beam")
        _at_least("min_length", self.min_length, 0)
        _at_least("forbidden", min(self.forbidden, default=0), 0)


def limits(
    source_lengths: Array,
    *,
    max_length: int | None = None,
    ratio: float = 2.0,
    extra: int = 20,
    most: int | None = None,
    room: Array | int = 1,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many symbols, `</s>` counted, each sentence may have: `[B]` int64, at least 1.

    `max_length` if it is given; else `ratio * |X| + extra`, so that the limit grows with
    the input, but never so low that `room` symbols (of all sentences, or `[B]`) do not fit. At most `most` where a
    model cannot go further.
    """
    lengths = np.asarray(source_lengths, dtype=np.int64)
    if max_length is not None:
        limit = np.full(lengths.shape, max_length, dtype=np.int64)
    else:
        limit = np.maximum(np.ceil(lengths * ratio).astype(np.int64) + extra, np.asarray(room, dtype=np.int64))
    return np.clip(limit, 1, most)


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise UsageError(name, f"{value}", f"a number of at least {least}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(name, f'"{value}"', "", nearest(value, known))
