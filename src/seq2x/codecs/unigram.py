"""The unigram language model of pieces (Kudo 2018): of all ways to cut a word, the most probable one."""

from __future__ import annotations

from .segment import Drop, Subwords, spell
from .vocabulary import Vocabulary

__all__ = ["Unigram"]

_UNLEARNED = 10.0  # nats by which a character that is spelled in bytes is worse than the worst piece


class Unigram(Subwords):
    """The cut with the highest sum of log p(piece), by dynamic programming (Kudo 2018, section 3.2).

    With `drop`, each piece longer than a character is left out at each place with the coin's probability, and the
    best of the remaining cuts is taken: BPE-dropout's idea carried over to the lattice.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        offset = vocabulary.offset
        self._pieces = {
            piece: (score, offset + i)
            for i, (piece, score) in enumerate(zip(vocabulary.pieces, vocabulary.scores, strict=True))
        }
        self._longest = max(map(len, vocabulary.pieces), default=1)
        self._unlearned = min(vocabulary.scores, default=0.0) - _UNLEARNED

    def cut(self, pretoken: str, drop: Drop | None = None) -> list[int]:
        pieces, longest, size = self._pieces, self._longest, len(pretoken)
        # best[j]: the score of the best cut of the first j characters; back[j]: where its last piece begins, and which
        best = [0.0] + [float("-inf")] * size
        back: list[tuple[int, int | None]] = [(0, None)] * (size + 1)
        for start in range(size):
            so_far = best[start]
            for end in range(start + 1, min(start + longest, size) + 1):
                piece = pieces.get(pretoken[start:end])
                if piece is None:
                    if end > start + 1:
                        continue
                    score, symbol = self._unlearned, None
                else:
                    score, symbol = piece
                if so_far + score > best[end] and not (drop and end > start + 1 and drop()):
                    best[end], back[end] = so_far + score, (start, symbol)
        return self._trace(pretoken, back)

    @staticmethod
    def _trace(pretoken: str, back: list[tuple[int, int | None]]) -> list[int]:
        ids: list[int] = []
        end = len(pretoken)
        while end > 0:
            start, symbol = back[end]
            ids += spell(pretoken[start:end])[::-1] if symbol is None else [symbol]
            end = start
        return ids[::-1]
