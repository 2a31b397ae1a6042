"""How each kind of unit cuts a text into symbols.

A segmenter maps a normalised text to symbol numbers. Its cost grows linearly with the text for every text: whatever
is worse than linear works on pretokens of bounded length. Pretokens recur, so each is cut once and remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

from .pretokens import lead, pretokens
from .vocabulary import FIRST, Vocabulary

__all__ = ["NO_MORE", "Bytes", "Chars", "Segmenter", "Subwords", "Words", "spell"]

NO_MORE: Final[Mapping[str, int]] = {}
"""No numbers beside the vocabulary's: nothing is copied."""

_REMEMBERED: Final = 1 << 18  # pretokens; about 60 MB of common words
_BLANK_BYTE: Final = FIRST + ord(" ")

Drop = Callable[[], bool]
"""A coin: whether to leave out the merge (or piece) at hand."""


def spell(text: str) -> list[int]:
    """The byte symbols of `text`."""
    return [FIRST + byte for byte in text.encode("utf-8")]


class Segmenter(ABC):
    """Cuts a normalised text into symbols."""

    @abstractmethod
    def segment(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        """The symbols of `text`. Words or characters that were not learned but have a number in `more` are that one
        symbol; other units take no notice of it.
        """

    def resegment(self, text: str, drop: Drop, more: Mapping[str, int] = NO_MORE) -> list[int]:
        """The symbols of one random segmentation; units with only one way to cut a text give that one."""
        return self.segment(text, more)


class Bytes(Segmenter):
    """One symbol per byte of UTF-8."""

    def segment(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        return spell(text)


class Chars(Segmenter):
    """One symbol per code point; one that was not learned is spelled in bytes."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids = {piece: vocabulary.offset + i for i, piece in enumerate(vocabulary.pieces)}

    def segment(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        try:
            return list(map(self._ids.__getitem__, text))
        except KeyError:
            ids: list[int] = []
            for char in text:
                known = self._ids.get(char, more.get(char))
                ids.extend(spell(char)) if known is None else ids.append(known)
            return ids


class Words(Segmenter):
    """One symbol per word, words being what stands between blanks (U+0020), however many.

    A word that was not learned is spelled in bytes, with a blank byte between two such neighbours, or is `<unk>`
    where the vocabulary is closed.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids = {piece: vocabulary.offset + i for i, piece in enumerate(vocabulary.pieces)}
        self._closed = vocabulary.closed

    def segment(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        words = [word for word in text.split(" ") if word]
        try:
            return list(map(self._ids.__getitem__, words))
        except KeyError:
            return self._with_unknown(words, more)

    def _with_unknown(self, words: list[str], more: Mapping[str, int]) -> list[int]:
        ids: list[int] = []
        spelled = False  # whether the word before was
        otherwise = FIRST if self._closed else None
        for word in words:
            known = self._ids.get(word, more.get(word, otherwise))
            if known is None:
                ids += [_BLANK_BYTE] if spelled else []
                ids += spell(word)
            else:
                ids.append(known)
            spelled = known is None
        return ids

    def unknown(self, text: str) -> list[str]:
        """The words of `text` that were not learned, in order."""
        return [word for word in text.split(" ") if word and word not in self._ids]


class Subwords(Segmenter):
    """Learned pieces inside pretokens: what BPE and unigram have in common."""

    def __init__(self) -> None:
        self._known: dict[str, list[int]] = {}

    @abstractmethod
    def cut(self, pretoken: str, drop: Drop | None = None) -> list[int]:
        """The symbols of one pretoken."""

    def segment(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        return self.within(lead(text))

    def within(self, text: str) -> list[int]:
        """The symbols of `text` that stands behind another one."""
        ids: list[int] = []
        known = self._known
        for pretoken in pretokens(text):
            found = known.get(pretoken)
            if found is None:
                found = self.cut(pretoken)
                if len(known) < _REMEMBERED:
                    known[pretoken] = found
            ids += found
        return ids

    def resegment(self, text: str, drop: Drop, more: Mapping[str, int] = NO_MORE) -> list[int]:
        return [symbol for pretoken in pretokens(lead(text)) for symbol in self.cut(pretoken, drop)]
