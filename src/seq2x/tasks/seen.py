"""Which lines a run was trained on, as 8-byte fingerprints (`seq2x.data.overlap`): enough to warn when a test line is
among them.

They are of the texts as the model reads them, so that a line in another Unicode form, or in capitals where the run
lower-cases, is found.

A record begins with `seen` and its version, 2. Runs of before have version 1, which begins with the first number at
once and holds fingerprints of the texts as they stood in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from seq2x.codecs.text import TextCodec
from seq2x.data.overlap import Fingerprints, Reader, as_read
from seq2x.errors import FolderError
from seq2x.types import Example

__all__ = ["SEEN_FILE", "Seen"]

SEEN_FILE = "seen.bin"
_MARK, _VERSION = b"seen", 2
_HEAD = _MARK + _VERSION.to_bytes(4, "little")


_Codecs: TypeAlias = tuple[TextCodec, TextCodec]


class Seen:
    """The fingerprints of the sources and of the pairs of a training set. In a run's own record, its codecs say what
    of a text counts; in one of version 1 all of it does.
    """

    def __init__(self, prints: Fingerprints) -> None:
        self._prints = prints

    @classmethod
    def of(cls, examples: Iterable[Example], codecs: _Codecs) -> Seen:
        """The fingerprints of `examples`; one pair per target."""
        prints = Fingerprints(_readers(codecs))
        prints.add(examples)
        return cls(prints)

    def to_bytes(self) -> bytes:
        """The version, then little-endian uint64: the number of sources, the sources, the pairs."""
        sources, pairs = self._prints.arrays()
        count = np.array([len(sources)], np.uint64)
        return _HEAD + np.concatenate([count, sources, pairs]).astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, where: str, codecs: _Codecs) -> Seen:
        """A record of any version. Raises `FolderError` if `data` is none."""
        version = 1  # without a mark; read as a number, the mark would be more lines than any file holds
        if data[: len(_MARK)] == _MARK:
            version = int.from_bytes(data[len(_MARK) : len(_HEAD)], "little")
            if version != _VERSION:
                raise FolderError(where, f"version {version}", f"at most {_VERSION}", "a later seq2x wrote it")
            data = data[len(_HEAD) :]
        if len(data) < 8 or len(data) % 8:
            raise FolderError(where, f"{len(data)} bytes", "8-byte fingerprints", "copy the run folder anew")
        numbers = np.frombuffer(data, "<u8")
        count = int(numbers[0])
        if count > len(numbers) - 1:
            raise FolderError(
                where, f"{count} sources announced, {len(numbers) - 1} there", "", "copy the run folder anew"
            )
        readers = _readers(codecs) if version == _VERSION else (_all, _all)
        return cls(Fingerprints.stored(numbers[1 : count + 1], numbers[count + 1 :], readers))

    def count(self, examples: Iterable[Example]) -> tuple[int, int]:
        """How many of `examples` have a source that was trained on, and how many a whole pair."""
        found = [self._prints.holds(example) for example in examples]
        return sum(source for source, _ in found), sum(pair for _, pair in found)


def _readers(codecs: _Codecs) -> tuple[Reader, Reader]:
    source, target = map(_reader, codecs)
    return source, target


def _reader(codec: TextCodec) -> Reader:
    rules = codec.vocabulary
    return lambda text: as_read(text, rules.normalise, rules.lower, words=codec.units == "word")


def _all(text: str) -> str:
    return text
