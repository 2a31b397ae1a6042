"""Which script the references are written in, as far as a metric has to know: does it put blanks between words?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

__all__ = ["Script", "is_unspaced", "script_of"]

Script = Literal["spaced", "chinese", "japanese", "unspaced"]

_KANA: Final = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_HAN: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_SOUTH_EAST: Final = re.compile("[\u0e01-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17dd]")  # Thai, Lao, Burmese, Khmer
_LETTERS: Final = re.compile(r"[^\W\d_]")
_SHARE: Final = 0.2  # of the letters; names and terms of other scripts stand in any text


def is_unspaced(character: str) -> bool:
    """Whether it is of a script that writes no blanks between words."""
    return any(letters.match(character) for letters in (_HAN, _KANA, _SOUTH_EAST))


def script_of(texts: Iterable[str]) -> Script:
    """`japanese` if kana occur to a fair share, else `chinese` (Han), `unspaced` (Thai and kin) or `spaced`."""
    kana = han = south_east = letters = 0
    for text in texts:
        if text.isascii():
            letters += len(text)  # near enough
            continue
        kana += len(_KANA.findall(text))
        han += len(_HAN.findall(text))
        south_east += len(_SOUTH_EAST.findall(text))
        letters += len(_LETTERS.findall(text))
    if kana + han > _SHARE * letters and kana > 0.1 * (kana + han):
        return "japanese"
    if han > _SHARE * letters:
        return "chinese"
    return "unspaced" if south_east > _SHARE * letters else "spaced"
