"""The vocabulary of a text codec: plain data, in one canonical order, and where each number begins.

0 1 2            <pad> <s> </s>, outside the text space: no text encodes to them
3 .. 258         one symbol per byte, so that every text can be spelled (closed vocabularies have <unk> at 3 instead)
from then on     the learned pieces
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from seq2x.types import SPECIALS

from .unicode import Form

__all__ = ["FIRST", "MOST", "UNITS", "Units", "Unknown", "Vocabulary"]

Units = Literal["byte", "char", "word", "bpe", "unigram"]
Unknown = Literal["bytes", "closed"]
UNITS: Final[tuple[Units, ...]] = ("byte", "char", "word", "bpe", "unigram")
FIRST: Final = len(SPECIALS)
"""The first symbol that stands for text."""
MOST: Final = 1_000_000
"""Pieces of a vocabulary at most."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a text codec learned and how it was asked to.

    `pieces`: characters (sorted by code point), words (most frequent first), or subwords. `merges` (BPE): pairs of
    positions in `pieces`, the first to be learned first; what a pair makes is the piece that joins their texts.
    `scores` (unigram): the log-probability of each piece. `asked`: the number of symbols asked for, 0 if none was.
    """

    units: Units
    pieces: tuple[str, ...] = ()
    merges: tuple[tuple[int, int], ...] = ()
    scores: tuple[float, ...] = ()
    normalise: Form = "nfc"
    lower: bool = False
    unknown: Unknown = "bytes"
    asked: int = 0

    @property
    def closed(self) -> bool:
        """Whether what is not in `pieces` becomes `<unk>` instead of bytes."""
        return self.unknown == "closed"

    @property
    def offset(self) -> int:
        """The number of the first piece."""
        return FIRST + (1 if self.closed else 256)

    @property
    def size(self) -> int:
        """V: all symbols."""
        return self.offset + len(self.pieces)
