"""Text <-> symbols: bytes, characters, words, BPE or unigram pieces, learned on the user's own lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from seq2x.errors import UsageError, nearest
from seq2x.types import BOS, EOS, PAD, SPECIALS

from .bpe import Bpe
from .files import from_bytes, to_bytes
from .learn import learn
from .pretokens import unlead
from .segment import NO_MORE, Bytes, Chars, Segmenter, Subwords, Words
from .unicode import FORMS, Form, normalise
from .unigram import Unigram
from .vocabulary import FIRST, UNITS, Units, Unknown, Vocabulary

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BOS", "EOS", "PAD", "TextCodec"]

_UNKNOWN: Final = "<unk>"
_BLANKS: Final = b" \n\r"  # no output holds a line end: each becomes a blank


class TextCodec:
    """Raw text <-> symbol numbers, both directions in one object, stored with the run.

    `decode(encode(x)) == normalise(x)` for every `x` that UTF-8 can hold, but that a line end (`\\n`) becomes a blank,
    and with word units also a run of blanks one blank (a closed vocabulary gives `<unk>` for what it does not know).
    Special symbols are outside the text space: `</s>` in the data is four characters. The symbols 3..258 are the 256
    bytes, so that nothing is ever lost; pieces follow.

    Units: `byte` needs nothing and makes long sequences; `char` for short strings (names, dates, spellings); `word`
    for items between blanks (phones, formal languages); `bpe` or `unigram` for running text of any script.
    """

    unlearned: ClassVar[str] = f"read as {_UNKNOWN}"
    """What becomes of a word that a closed vocabulary does not hold, in words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary: Final = vocabulary
        self._segmenter = _segmenter(vocabulary)
        learned = [piece.encode("utf-8") for piece in vocabulary.pieces]
        text = [_UNKNOWN.encode()] if vocabulary.closed else [bytes([byte]) for byte in range(256)]
        self._bytes: list[bytes] = [b""] * FIRST + text + learned

    @classmethod
    def learn(
        cls,
        lines: Iterable[str],
        units: Units,
        size: int | None = None,
        normalise: Form = "nfc",
        lower: bool = False,
        unknown: Unknown = "bytes",
    ) -> TextCodec:
        """A codec for text like `lines`, with at most `size` symbols, fewer if the data does not support so many.

        `size` counts all symbols, special and byte ones included. `unknown="closed"` (word units only, else it has
        no effect) maps words beyond the vocabulary to one symbol. For one vocabulary on both sides of a task, learn
        on the lines of both. The same lines give the same bytes in every process. Raises `UsageError`.
        """
        _choice("units", units, UNITS)
        _choice("normalise", normalise, FORMS)
        _choice("unknown", unknown, ("bytes", "closed"))
        return cls(learn(lines, units, size, normalise, lower, unknown))

    # -------------------------------------------------------------- text -> symbols

    @property
    def size(self) -> int:
        """V: how many symbols there are, special ones included."""
        return self.vocabulary.size

    @property
    def units(self) -> Units:
        """What a symbol is."""
        return self.vocabulary.units

    def describe(self) -> str:
        """One line for people: what was learned, and whether the data supported what was asked for."""
        learned = f"{self.units}, {self.size:,} symbols"
        if self.vocabulary.asked > self.size:
            return f"{learned} ({self.vocabulary.asked:,} asked, the data supports no more)"
        if 0 < self.vocabulary.asked < self.size:
            return f"{learned} ({self.vocabulary.asked:,} asked, special and byte symbols alone are more)"
        return learned

    def normalise(self, text: str) -> str:
        """`text` as the codec sees it: in its Unicode form, lower-cased if it was learned so."""
        return normalise(text, self.vocabulary.normalise, self.vocabulary.lower)

    def encode(self, text: str, more: Mapping[str, int] = NO_MORE) -> list[int]:
        """Symbols of `text`, without `</s>`. Never a special symbol.

        `more`: words (with char units characters) that were not learned and have a number all the same, as what can
        be copied from a source has (see `seq2x.codecs.copying`).
        """
        return self._segmenter.segment(self.normalise(text), more)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def resample(
        self, text: str, dropout: float, rng: np.random.Generator, more: Mapping[str, int] = NO_MORE
    ) -> list[int]:
        """Symbols of a random segmentation of `text`: each merge is left out with probability `dropout`.

        BPE-dropout (Provilkov et al. 2020), which makes a model robust to how words are cut; 0.1 is usual, on small
        data more. The draws come from `rng` alone. `dropout` 0 is `encode`; byte, char and word units have one
        segmentation only. `more` as there.
        """
        if dropout <= 0.0:
            return self.encode(text, more)
        return self._segmenter.resegment(self.normalise(text), _coin(dropout, rng), more)

    def unknown(self, text: str) -> list[str]:
        """What of `text` was not learned, in order: words with word units, else characters without a symbol.

        A closed vocabulary makes them `<unk>`, others spell them in bytes; to byte units nothing is unknown.
        """
        text = self.normalise(text)
        if isinstance(self._segmenter, Words):
            return self._segmenter.unknown(text)
        return [] if self.units == "byte" else self.unseen(text)

    def unseen(self, text: str) -> list[str]:
        """The characters of a normalised `text` that have no symbol; with word units, that are in no learned word."""
        known = self._characters
        return [] if known.issuperset(text) else [char for char in text if char not in known]

    def unknown_count(self, text: str) -> int:
        """How much of `text` was not learned (see `unknown`)."""
        return len(self.unknown(text))

    def unknown_symbols(self, ids: Sequence[int]) -> int:
        """How many of `ids` are `<unk>`: none, but of a closed vocabulary."""
        return sum(symbol == FIRST for symbol in ids) if self.vocabulary.closed else 0

    @cached_property
    def _characters(self) -> frozenset[str]:
        pieces = self.vocabulary.pieces
        return frozenset("".join(pieces)) if self.units == "word" else frozenset(p for p in pieces if len(p) == 1)

    def spellings(self, phrase: str) -> list[list[int]]:
        """The symbols that `phrase` may be written with in the middle of a line, each as `encode` would cut it.

        Subwords begin with a blank or, behind a bracket, say, without one; to look only for what stands at the
        beginning of a word, let `phrase` begin with a blank. All other units have one spelling.
        """
        text = self.normalise(phrase).replace("\n", " ")
        if not isinstance(self._segmenter, Subwords):
            return [self._segmenter.segment(text)]
        begins = text.startswith(" ")
        plain = text[1:] if begins else text
        found = [self._segmenter.segment(plain), *([] if begins else [self._segmenter.within(plain)])]
        return [ids for number, ids in enumerate(found) if ids not in found[:number]]

    # -------------------------------------------------------------- symbols -> text

    @property
    def written(self) -> Sequence[bytes]:
        """What each symbol writes, in UTF-8 or a part of it; nothing for special ones."""
        return self._bytes

    def decode(self, ids: Sequence[int], extra: Sequence[bytes] = ()) -> str:
        """The text of `ids`: one line of valid UTF-8, whatever the ids.

        Special symbols are skipped, a broken byte sequence becomes U+FFFD, a line end a blank. `extra`: the pieces of
        the symbols from V on, which were copied.
        """
        table = [*self._bytes, *extra] if extra else self._bytes
        text = self._words(ids, table) if self.units == "word" else self._joined(ids, table)
        text = text.replace("\n", " ")
        form = self.vocabulary.normalise
        if text.isascii() or form == "none":
            return text
        return normalise(text, form)

    def word_of(self, ids: Sequence[int]) -> list[int]:
        """For each symbol the number, from 0, of the word of `decode(ids)` that it belongs to, words being what stands
        between blanks; -1 for a symbol that belongs to none (blanks, `</s>`).
        """
        found: list[int] = []
        word, inside = -1, False
        for symbol in ids:
            if symbol >= self.size:  # a word of the source that only its copy has
                word, inside = word + 1, False
                found.append(word)
                continue
            whole = self.units == "word" and (symbol >= self.vocabulary.offset or self.vocabulary.closed)
            inside = inside and not whole
            own = -1
            for byte in self._bytes[symbol]:
                if byte in _BLANKS:
                    inside = False
                    continue
                word, inside = word + (not inside), True
                own = word if own < 0 else own
            inside = inside and not whole
            found.append(own)
        return found

    def tokens(self, ids: Sequence[int], extra: Sequence[bytes] = ()) -> list[str]:
        """A readable piece for each symbol: `▁` for the blank of a subword, `<0x41>` for a byte. For eyes only."""
        return [self._readable(int(symbol), extra) for symbol in ids]

    def piece(self, symbol: int, extra: Sequence[bytes] = ()) -> bytes:
        """What `symbol` stands for: a piece of UTF-8, one byte, nothing if it is special."""
        return self._bytes[symbol] if symbol < len(self._bytes) else extra[symbol - len(self._bytes)]

    def symbol(self, piece: bytes) -> int | None:
        """The one symbol that text which is just `piece` is written with, if there is one: what was learned comes
        before bytes. (Subwords are looked up as they are, without the blank that `encode` puts before a text.)
        """
        found = self._symbols.get(piece)
        byte = FIRST + piece[0] if len(piece) == 1 and not self.vocabulary.closed else None
        return byte if found is None else found

    @cached_property
    def _symbols(self) -> dict[bytes, int]:
        offset = self.vocabulary.offset
        return {piece: symbol for symbol, piece in enumerate(self._bytes[offset:], offset)}

    def _joined(self, ids: Sequence[int], table: Sequence[bytes]) -> str:
        text = b"".join([table[symbol] for symbol in ids]).decode("utf-8", "replace")
        return unlead(text) if self.units in ("bpe", "unigram") else text

    def _words(self, ids: Sequence[int], table: Sequence[bytes]) -> str:
        """Words and spelled words with one blank between them."""
        parts: list[bytes] = []
        spelled = False  # whether a word is being spelled
        for symbol in ids:
            if symbol < FIRST:
                continue
            byte = symbol < self.vocabulary.offset and not self.vocabulary.closed
            if parts and not (byte and spelled):
                parts.append(b" ")
            parts.append(table[symbol])
            spelled = byte
        text = b"".join(parts).decode("utf-8", "replace").replace("\n", " ")
        return " ".join(filter(None, text.split(" ")))

    def _readable(self, symbol: int, extra: Sequence[bytes]) -> str:
        if symbol < FIRST:
            return SPECIALS[symbol]
        if symbol < self.vocabulary.offset:
            return _UNKNOWN if self.vocabulary.closed else f"<0x{symbol - FIRST:02X}>"
        piece = self.piece(symbol, extra).decode("utf-8", "replace")
        return piece.replace(" ", "▁") if self.units in ("bpe", "unigram", "char") else piece

    # -------------------------------------------------------------- storage

    def to_bytes(self) -> bytes:
        """The codec as strict JSON, byte-equal for equal codecs."""
        return to_bytes(self.vocabulary)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> TextCodec:
        """The codec that `to_bytes` wrote; `where` names the file. Raises `FolderError` if anything is off."""
        return cls(from_bytes(data, where))


def _segmenter(vocabulary: Vocabulary) -> Segmenter:
    made: dict[Units, Callable[[Vocabulary], Segmenter]] = {
        "byte": lambda _: Bytes(),
        "char": Chars,
        "word": Words,
        "bpe": Bpe,
        "unigram": Unigram,
    }
    return made[vocabulary.units](vocabulary)


def _coin(probability: float, rng: np.random.Generator) -> Callable[[], bool]:
    """True with `probability`; draws are taken in blocks, one at a time would cost more than the segmentation."""
    block: list[float] = []

    def toss() -> bool:
        if not block:
            block.extend(rng.random(64))
        return block.pop() < probability

    return toss


def _choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(name, f'"{value}"', f"one of {', '.join(known)}", nearest(value, known))
