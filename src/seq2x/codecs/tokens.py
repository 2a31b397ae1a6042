"""Both sides of tagging: tokens as symbols that tell an unknown one by its letters, and the labels.

A token is what stands between blanks (U+0020). It becomes `SYMBOLS` symbols, always as many: the word itself, or
`<unk>` where it was not learned; its shape; what it ends with (1 to 4 characters) and begins with (1 to 3). A part that
was not learned, or that the token is too short for, is `<pad>`: nothing. So N tokens are a rectangle `[N, SYMBOLS]`,
and a token that was never seen is still told by its ending, its capitals and its digits (Brants 2000, section 2.3, for
counted models; Collobert et al. 2011, for neural ones).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from seq2x.types import PAD

from .segment import NO_MORE
from .text import TextCodec
from .unicode import Form, normalise
from .vocabulary import FIRST, MOST, Vocabulary

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ENDINGS", "SHAPE", "SYMBOLS", "TokenCodec", "learn_labels", "split_tokens"]

_LAST, _START = 4, 3  # characters of the longest ending and beginning
SHAPE: Final = 1
"""Which symbol of a token is its shape; the first is the word."""
ENDINGS: Final = (2, 3, 4, 5)
"""Which are its endings, the shortest first; its beginnings follow."""
SYMBOLS: Final = 2 + _LAST + _START
"""How many symbols a token has."""

_LEAST = 2  # times that a word, or different words that a part, must occur: what is rarer teaches `<unk>`
_SHAPED = 100  # characters of a token that its shape is made of
_REMEMBERED = 1 << 18  # tokens; about as much memory as pretokens take
_MARK = "\n"  # no token holds one: it tells a part from a word


def split_tokens(text: str) -> list[str]:
    """The tokens of `text`: what stands between blanks, however many; a line end is one. A text that is blank, of
    whatever white space, has none.
    """
    return [] if text.isspace() else [token for token in text.replace("\n", " ").split(" ") if token]


class TokenCodec(TextCodec):
    """The source of a tagger: a closed vocabulary of words and of their parts, stored like any other.

    Its symbols number `SYMBOLS` for each token. `decode` gives the words, `<unk>` for what is none: it is for eyes.
    """

    unlearned: ClassVar[str] = "told by their letters alone"

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._ids = {piece: vocabulary.offset + i for i, piece in enumerate(vocabulary.pieces)}
        self._known: dict[str, list[int]] = {}

    @classmethod
    def of_lines(
        cls, lines: Iterable[str], size: int | None = None, form: Form = "nfc", lower: bool = False
    ) -> TokenCodec:
        """A codec for lines like these: every word that occurs twice and every part of two different words, with a
        `size` the most frequent of them. Few words are unknown in training too, so that `<unk>` is learned.
        """
        words = Counter(token for line in lines for token in split_tokens(line))
        counts: Counter[str] = Counter()
        for token, count in words.items():
            word, *parts = _parts(token, form, lower)
            counts[word] += count
            counts.update(part for part in parts if part)
        del counts[""]
        ranked = sorted(
            (piece for piece, n in counts.items() if n >= _LEAST), key=lambda piece: (-counts[piece], piece)
        )
        empty = Vocabulary("word", (), (), (), form, lower, "closed", size or 0)
        room = max(min(MOST, size or MOST) - empty.offset, 0)
        return cls(Vocabulary("word", tuple(ranked[:room]), (), (), form, lower, "closed", size or 0))

    def encode(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        """`SYMBOLS` symbols for each token of `text`; there are no `more` than those learned."""
        return [symbol for token in split_tokens(text) for symbol in self._token(token)]

    def resample(
        self, text: str, dropout: float, rng: np.random.Generator, more: Mapping[str, int] = NO_MORE
    ) -> list[int]:
        """A token has one reading only."""
        return self.encode(text)

    def unknown(self, text: str) -> list[str]:
        """The tokens of `text` that are no learned word, in order."""
        return [token for token in split_tokens(text) if self._token(token)[0] == FIRST]

    def decode(self, ids: Sequence[int], extra: Sequence[bytes] = ()) -> str:
        """The words that `ids` begin tokens with."""
        return super().decode(ids[::SYMBOLS], extra)

    def _token(self, token: str) -> list[int]:
        found = self._known.get(token)
        if found is None:
            word, *parts = _parts(token, self.vocabulary.normalise, self.vocabulary.lower)
            found = [self._ids.get(word, FIRST), *(self._ids.get(part, PAD) for part in parts)]
            if len(self._known) < _REMEMBERED:
                self._known[token] = found
        return found

    def _readable(self, symbol: int, extra: Sequence[bytes]) -> str:
        return super()._readable(symbol, extra).replace(_MARK, "…")


def _parts(token: str, form: Form, lower: bool) -> Iterator[str]:
    """The word, the shape, the endings and the beginnings; "" for one that the token is too short for."""
    word = normalise(token, form, lower).replace(" ", "")  # NFKC makes blanks of others
    yield word
    yield f"{_MARK}{_shape(normalise(token, form))}{_MARK}"
    for size in range(1, _LAST + 1):
        yield f"{_MARK}{word[-size:]}" if len(word) >= size else ""
    for size in range(1, _START + 1):
        yield f"{word[:size]}{_MARK}" if len(word) >= size else ""


def _shape(token: str) -> str:
    """`Xx` for Berlin, `d.d` for 3.14, `c` for 北京: kinds of characters, repetitions left out, six at most."""
    kinds = "".join(map(_kind, token[:_SHAPED]))
    return re.sub(r"(.)\1+", r"\1", kinds)[:6]


def _kind(char: str) -> str:
    if char.isalpha():
        return "X" if char.isupper() else "x" if char.islower() else "c"
    return "d" if char.isdigit() else char if char.isascii() and char > " " else "."


def learn_labels(lines: Iterable[str], form: Form = "nfc") -> TextCodec:
    """The target of a tagger: a label is a symbol, and the labels of `lines` are all there are; another one is `<unk>`.

    Their case is kept, and NFKC, which could make two of one, is not applied.
    """
    return TextCodec.learn(lines, "word", None, "none" if form == "none" else "nfc", False, "closed")
