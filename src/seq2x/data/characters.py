"""What kinds of characters a line holds, for many lines at once.

Every code point has one class (a table of one byte each); a chunk of lines becomes one array of code points, and the
counts `[lines, classes]` one `bincount`. That is about thirty times as fast as asking `unicodedata` per character.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["SCRIPTS", "Kind", "count_kinds"]

Counts: TypeAlias = npt.NDArray[np.int32]


class Kind(IntEnum):
    """Classes of characters. Letters of the scripts that occur in most files have one each; see `SCRIPTS`."""

    OTHER = 0
    BLANK = 1
    DIGIT = 2
    PUNCTUATION = 3
    CONTROL = 4  # C0 but TAB and those taken for line ends, DEL, C1
    SEPARATOR = 5  # U+2028, U+2029, U+0085, VT, FF, CR
    DAMAGED = 6  # U+FFFD, and noncharacters
    INVISIBLE = 7  # zero width, soft hyphen, byte order mark inside the text
    BIDI = 8  # marks that turn the direction of the text around them
    PRIVATE = 9
    MARK = 10  # combining marks of Latin, Greek and Cyrillic letters
    LATIN = 11
    GREEK = 12
    CYRILLIC = 13
    HEBREW = 14
    ARABIC = 15
    INDIC = 16  # Devanagari to Sinhala: one family, each file holds one
    THAI = 17  # and Lao, Burmese, Khmer: written without blanks
    GEORGIAN = 18
    ARMENIAN = 19
    ETHIOPIC = 20
    HANGUL = 21
    KANA = 22
    HAN = 23


SCRIPTS = tuple(kind for kind in Kind if kind >= Kind.LATIN)

_RANGES: tuple[tuple[Kind, tuple[tuple[int, int], ...]], ...] = (
    (Kind.CONTROL, ((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F))),
    (Kind.SEPARATOR, ((0x0B, 0x0D), (0x85, 0x85), (0x2028, 0x2029))),
    (Kind.BLANK, ((0x09, 0x0A), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x202F, 0x202F))),
    (Kind.BLANK, ((0x205F, 0x205F), (0x3000, 0x3000))),
    (Kind.DIGIT, ((0x30, 0x39), (0x660, 0x669), (0x6F0, 0x6F9), (0xFF10, 0xFF19))),
    (
        Kind.PUNCTUATION,
        ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xA9), (0xAB, 0xAC), (0xAE, 0xB9)),
    ),
    (
        Kind.PUNCTUATION,
        ((0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20CF)),
    ),
    (Kind.PUNCTUATION, ((0x3001, 0x3004), (0x3008, 0x3020), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40))),
    (Kind.PUNCTUATION, ((0xFF5B, 0xFF65),)),
    (Kind.LATIN, ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x2AF))),
    (
        Kind.LATIN,
        ((0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    ),
    (Kind.MARK, ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF))),
    (Kind.GREEK, ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
    (Kind.CYRILLIC, ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F))),
    (Kind.ARMENIAN, ((0x530, 0x58F), (0xFB13, 0xFB17))),
    (Kind.HEBREW, ((0x591, 0x5F4), (0xFB1D, 0xFB4F))),
    (Kind.ARABIC, ((0x610, 0x61A), (0x620, 0x65F), (0x66E, 0x6EF), (0x6FA, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDCF))),
    (Kind.ARABIC, ((0xFDF0, 0xFDFF), (0xFE70, 0xFEFC))),
    (Kind.INDIC, ((0x900, 0xDFF),)),
    (Kind.THAI, ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF))),
    (Kind.GEORGIAN, ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F))),
    (Kind.HANGUL, ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF))),
    (Kind.ETHIOPIC, ((0x1200, 0x139F), (0x2D80, 0x2DDF))),
    (Kind.KANA, ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))),
    (Kind.HAN, ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))),
    (Kind.HAN, ((0x20000, 0x323AF),)),
    (Kind.INVISIBLE, ((0xAD, 0xAD), (0x180E, 0x180E), (0x200B, 0x200B), (0x2060, 0x2064), (0xFEFF, 0xFEFF))),
    (Kind.BIDI, ((0x61C, 0x61C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))),
    (Kind.DAMAGED, ((0xFFFD, 0xFFFD), (0xFFFE, 0xFFFF), (0xFDD0, 0xFDEF))),
    (Kind.PRIVATE, ((0xE000, 0xF8FF), (0xF0000, 0x10FFFF))),
)
# The zero-width joiner and non-joiner (U+200C, U+200D) are spelling in Persian, Indic scripts and emoji: not INVISIBLE.


@cache
def _table() -> npt.NDArray[np.uint8]:
    table = np.zeros(0x110000, np.uint8)
    for kind, ranges in _RANGES:
        for first, last in ranges:
            table[first : last + 1] = kind
    return table


def count_kinds(texts: Sequence[str]) -> Counts:
    """How many characters of each `Kind` each text holds: `[len(texts), len(Kind)]`."""
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    kinds = _table()[np.frombuffer(joined, "<u4")].astype(np.int64)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    counts = np.bincount(rows * len(Kind) + kinds, minlength=len(texts) * len(Kind))
    return counts.reshape(len(texts), len(Kind)).astype(np.int32)
