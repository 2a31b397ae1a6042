"""Byte-pair encoding (Sennrich et al. 2016) and BPE-dropout (Provilkov et al. 2020)."""

from __future__ import annotations

from itertools import pairwise

from .segment import Drop, Subwords, spell
from .vocabulary import Vocabulary

__all__ = ["Bpe"]

_NEVER = 1 << 62  # later than any merge


class Bpe(Subwords):
    """Characters, joined pair by pair: of all pairs that were learned, the one learned first, leftmost first.

    With `drop`, each candidate merge of each step is left out with the coin's probability, and a pretoken is done
    when none is left (Provilkov et al. 2020, algorithm 1). A character that was not learned is spelled in bytes,
    which never join.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        pieces, offset = vocabulary.pieces, vocabulary.offset
        self._ids = {piece: offset + i for i, piece in enumerate(pieces)}
        self._merges = {
            (offset + left, offset + right): (rank, self._ids[pieces[left] + pieces[right]])
            for rank, (left, right) in reversed(list(enumerate(vocabulary.merges)))
        }

    def cut(self, pretoken: str, drop: Drop | None = None) -> list[int]:
        ids: list[int] = []
        for char in pretoken:
            known = self._ids.get(char)
            ids.extend(spell(char)) if known is None else ids.append(known)
        # The merge of each pair of neighbours; a step changes the two around the place it joined.
        merges = [self._merges.get(pair) for pair in pairwise(ids)]
        while True:
            first, at = _NEVER, -1
            for i, merge in enumerate(merges):
                if merge is not None and merge[0] < first and not (drop and drop()):
                    first, at = merge[0], i
            if at < 0:
                return ids
            merge = merges[at]
            assert merge is not None
            ids[at : at + 2] = [merge[1]]
            del merges[at]
            if at > 0:
                merges[at - 1] = self._merges.get((ids[at - 1], ids[at]))
            if at < len(merges):
                merges[at] = self._merges.get((ids[at], ids[at + 1]))
