"""What copying a symbol of a source means on the target side.

A model that copies (`seq2x.nn.copying`) says how much of its probability goes to each place of the source. For each of
these places there is a target symbol: the one that stands for the same text. What the target vocabulary does not have
gets a number beyond it, V + k for the k-th different piece of this source, so that a name never seen in training can be
an output all the same (See et al. 2017, section 2.2, the "extended vocabulary"). Two sentences use the same numbers for
different pieces.

    source, a closed vocabulary     Kwame    meets    Ada      Kwame    </s>
    target symbol, V = 120          120      57       121      120      2

With one vocabulary that can spell, a source's symbols are the target's; a closed one has the words behind its `<unk>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from .text import TextCodec
from .vocabulary import FIRST

__all__ = ["Copied", "Copies"]

_SUBWORDS: Final = ("bpe", "unigram")
_NONE: Final = -1  # in the table: no target symbol, or one that depends on the text


class Copied(NamedTuple):
    """The target symbol of each symbol of one source, and the pieces of those from V on."""

    ids: list[int]
    extra: tuple[bytes, ...] = ()


class Copies:
    """For every text that `source` reads, which symbol of `target` each of its symbols means.

    Pieces are matched by their text, once for the two codecs: a word by the word, a character by the character, a byte
    by the character if it is one, else by the byte. The blank before a subword does not count against a word.
    """

    def __init__(self, source: TextCodec, target: TextCodec) -> None:
        self.source, self.target = source, target
        self._table = np.fromiter(self._symbols(), np.int64, source.size)

    def __call__(self, text: str, symbols: Sequence[int]) -> Copied:
        """Of `symbols`, into which the source codec cut `text` (or the first of them), what copying each means."""
        ids = self._table[np.asarray(symbols, np.int64)].tolist()
        if _NONE not in ids:
            return Copied(ids)
        closed = self.source.vocabulary.closed
        unknown = iter(self.source.unknown(text) if closed else ())
        numbers: dict[bytes, int] = {}
        for place, symbol in enumerate(symbols):
            if ids[place] != _NONE:
                continue
            word = next(unknown).encode() if closed and symbol == FIRST else None
            piece = self._plain(self.source.piece(symbol) if word is None else word)
            known = None if word is None else self._known(word)
            ids[place] = self.target.size + numbers.setdefault(piece, len(numbers)) if known is None else known
        return Copied(ids, tuple(numbers))

    def more(self, copied: Copied) -> dict[str, int]:
        """What `TextCodec.encode` takes, so that a target is written with the numbers of what only its source has."""
        return {piece.decode("utf-8", "replace"): self.target.size + k for k, piece in enumerate(copied.extra)}

    def _symbols(self) -> Iterator[int]:
        """For every symbol of the source the target's, or `_NONE`."""
        same = self.source is self.target or self.source.to_bytes() == self.target.to_bytes()
        for symbol in range(self.source.size):
            known: int | None = symbol
            if symbol == FIRST and self.source.vocabulary.closed:
                known = None
            elif symbol >= FIRST and not same:
                known = self._known(self.source.piece(symbol))
            yield _NONE if known is None else known

    def _known(self, piece: bytes) -> int | None:
        """The target symbol of the same text."""
        if self.source.units == "word" and self.target.units in _SUBWORDS:
            led = self.target.symbol(b" " + piece)
            return self.target.symbol(piece) if led is None else led
        return self.target.symbol(self._plain(piece))

    def _plain(self, piece: bytes) -> bytes:
        """`piece` as the target would write it: a word has no blank before it."""
        led = self.target.units == "word" and self.source.units in _SUBWORDS
        return piece.removeprefix(b" ") if led else piece
