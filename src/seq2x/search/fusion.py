"""Shallow fusion: a decoder and a language model, both asked at every step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from seq2x.arrays import Table, is_torch, like
from seq2x.errors import UsageError
from seq2x.types import NOTHING, Answer, Array, Decoder, State, Want

__all__ = ["FusedAnswer", "Fusion", "FusionState"]


class Fusion:
    """A decoder over two: a search of it ranks by log p(y|x) + w log p_lm(y) (Gulcehre et al. 2015, eq. 5).

    w is `weight`, at least 0. Its memory is a pair, one memory of each. The two may be numpy or torch, on any device;
    they have the same symbols. What comes out is no distribution: the `log_p` of `Hypotheses` are such sums, and the
    decoder's own log p have to be asked of it alone. Attention is the decoder's. Raises `UsageError` for an unfit
    weight, or vocabularies of different sizes.
    """

    def __init__(self, decoder: Decoder, lm: Decoder, weight: float) -> None:
        if not 0.0 <= weight < float("inf"):
            raise UsageError("lm_weight", f"{weight}", "a number of at least 0")
        self._decoder, self._lm, self._weight = decoder, lm, weight

    def start(self, memory: Any, beams: int, top: int, want: Want = NOTHING) -> FusionState:
        """`memory`: (the decoder's, the language model's)."""
        mine, of_lm = memory
        return FusionState(self._decoder.start(mine, beams, top, want), self._lm.start(of_lm, beams, top))

    def step(self, previous: Array, origin: Array, state: FusionState) -> tuple[FusedAnswer, FusionState]:
        """Both step."""
        mine, of_lm = state.decoder, state.lm
        answer, mine = self._decoder.step(like(previous, mine.position), like(origin, mine.position), mine)
        said, of_lm = self._lm.step(like(previous, of_lm.position), like(origin, of_lm.position), of_lm)
        after = FusionState(mine, of_lm)
        return FusedAnswer(answer, said, self._weight, after.position), after


@dataclass(slots=True)
class FusionState:
    """The states of both."""

    decoder: State
    lm: State

    @property
    def position(self) -> Array:
        """`[N]` int64, a tensor if either's is."""
        mine, of_lm = self.decoder.position, self.lm.position
        return of_lm if is_torch(of_lm) and not is_torch(mine) else mine

    def keep(self, rows: Array) -> FusionState:
        """Only these sentences go on, in both."""
        return FusionState(*(part.keep(like(rows, part.position)) for part in (self.decoder, self.lm)))

    def clone(self) -> FusionState:
        """A copy that a later step cannot spend."""
        return dataclasses.replace(self, decoder=self.decoder.clone(), lm=self.lm.clone())


class FusedAnswer:
    """An `Answer` of rows `[N]` whose numbers are log p + w log p_lm, in the library and on the device of `where`."""

    def __init__(self, answer: Answer, lm: Answer, weight: float, where: Array) -> None:
        self._answer, self._lm, self._weight, self._where = answer, lm, weight, where

    @property
    def attention(self) -> Array | None:
        """The decoder's."""
        return None if self._answer.attention is None else like(self._answer.attention, self._where)

    def of(self, ids: Array) -> Array:
        """The sum for one symbol of every row."""
        mine = like(self._answer.of(ids), self._where)
        return mine + self._weight * like(self._lm.of(ids), self._where)

    def mean(self) -> Array:
        """The mean of the sums over the vocabulary, per row."""
        return self.all().mean(-1)

    def top(self, c: int, forbid: Array | None = None, bias: Array | None = None) -> tuple[Array, Array]:
        """The `c` best symbols of each row by their sums."""
        return Table(self.all()).top(c, forbid, bias)

    def sample(
        self, uniform: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, forbid: Array | None = None
    ) -> tuple[Array, Array]:
        """One draw per row from p p_lm^w, renormalised; the sums are returned."""
        return Table(self.all()).sample(uniform, temperature, top_k, top_p, forbid)

    def all(self) -> Array:
        """The sum for every symbol, `[N,V]`."""
        mine, of_lm = (like(answer.all(), self._where) for answer in (self._answer, self._lm))
        if mine.shape[-1] != of_lm.shape[-1]:
            sizes = f"vocabularies of {mine.shape[-1]} and {of_lm.shape[-1]} symbols"
            raise UsageError("lm", sizes, "a language model over the same symbols")
        # Padding and <s> are -inf to some language models; 0 times that is no number.
        return mine + self._weight * of_lm if self._weight else mine
