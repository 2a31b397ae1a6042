"""What a codec did not learn, counted over many texts and named: nothing of it is lost in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from .text import TextCodec

__all__ = ["Unknowns"]

_NAMED: Final = 10  # in a line
_MOST: Final = 10_000  # different ones that are told apart; there may be millions


class Unknowns:
    """Shown the texts of one side, says at the end what of them `codec` did not learn.

    `count`: words where units are words, else characters; `words`: all words. `named`: how often each of the first ten
    thousand occurred.
    """

    def __init__(self, codec: TextCodec) -> None:
        self.codec: Final = codec
        self.count = self.words = 0
        self.named: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()  # of unknown words, in no learned one

    def add(self, text: str) -> None:
        """Count what of `text` was not learned; costs about as much as its normalisation where all was."""
        if self.codec.units == "word":
            self.words += sum(map(bool, text.split(" ")))
        spelled = self.codec.units == "word" and not self.codec.vocabulary.closed
        for unknown in self.codec.unknown(text):
            self.count += 1
            if unknown in self.named or len(self.named) < _MOST:
                self.named[unknown] += 1
            if spelled:
                self._characters.update(self.codec.unseen(unknown))

    def watch(self, texts: Iterable[str]) -> Iterator[str]:
        """`texts`, each counted on its way."""
        for text in texts:
            self.add(text)
            yield text

    def lines(self, side: str, *, always: bool = False) -> Iterator[str]:
        """One sentence or two, beginning with `side`; none if all was learned, but with `always` of a closed
        vocabulary, which is to be known.
        """
        closed = self.codec.vocabulary.closed
        if closed and (self.count or always):
            read = f" and are {self.codec.unlearned}: {self._words()}" if self.count else ""
            yield f"{side}: {self.count:,} of {self.words:,} words are not in the closed vocabulary{read}"
        elif self.count and self.codec.units == "word":
            found = f"{self.count:,} of {self.words:,} words were not learned and are spelled in bytes"
            yield f"{side}: {found}: {self._words()}"
        elif self.count:
            found = f"{self.count:,} x character without a symbol of its own, spelled in bytes"
            yield f"{side}: {found}: {_characters(self.named)}"
        if self._characters:
            found = f"{self._characters.total():,} x character that is in no learned word"
            yield f"{side}: {found}: {_characters(self._characters)}"

    def _words(self) -> str:
        return _listed(self.named, lambda word: f'"{word[:40]}"')


def _characters(counts: Counter[str]) -> str:
    return _listed(counts, lambda char: f"{char} U+{ord(char):04X}")


def _listed(counts: Counter[str], shown: Callable[[str], str]) -> str:
    """The most frequent, the earlier first among equals, each with its count if that is more than one."""
    first = [shown(item) + (f" ({count:,})" if count > 1 else "") for item, count in counts.most_common(_NAMED)]
    return ", ".join([*first, *["..."] * (len(counts) > _NAMED)])
