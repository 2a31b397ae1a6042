"""Unicode forms: one spelling for strings that look and mean the same, in linear time.

CPython sorts combining marks by insertion, which is quadratic: one megabyte of alternating marks takes minutes. Long
runs of marks are therefore sorted here first (a stable sort by combining class, which is what the canonical ordering
algorithm of Unicode, section 3.11 D109, asks for), so that the library finds them in order.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Final, Literal

__all__ = ["FORMS", "Form", "normalise", "well_formed"]

Form = Literal["nfc", "nfkc", "none"]
FORMS: Final[tuple[Form, ...]] = ("nfc", "nfkc", "none")

_LONG_RUN = 32  # marks; a shorter run costs the library nothing worth saving


def normalise(text: str, form: Form = "nfc", lower: bool = False) -> str:
    """`text` in Unicode form `form`, lower-cased if asked. Idempotent; what UTF-8 cannot hold becomes U+FFFD."""
    if text.isascii():
        return text.lower() if lower else text
    text = well_formed(text)
    if form != "none":
        text = _in_form(text, form)
    if lower:
        text = text.lower()
        if form != "none":  # lower-casing may leave a letter and a mark that have one code point together
            text = _in_form(text, form)
    return text


def well_formed(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD; surrogate pairs become the character they mean."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _in_form(text: str, form: Form) -> str:
    name: Literal["NFC", "NFKC"] = "NFC" if form == "nfc" else "NFKC"
    if unicodedata.is_normalized(name, text):
        return text
    decomposed: Literal["NFD", "NFKD"] = "NFD" if form == "nfc" else "NFKD"

    def in_order(run: re.Match[str]) -> str:
        marks = "".join(unicodedata.normalize(decomposed, mark) for mark in run.group())
        return "".join(sorted(marks, key=unicodedata.combining))

    return unicodedata.normalize(name, _long_runs().sub(in_order, text))


@functools.cache
def _long_runs() -> re.Pattern[str]:
    """Long runs of characters that are combining marks, or decompose into nothing but such."""
    # All assigned marks lie in planes 0, 1 and 14; those of plane 14 have class 0 and never move.
    marks = [chr(code) for code in range(0x300, 0x20000) if _all_marks(chr(code))]
    return re.compile(f"[{re.escape(''.join(marks))}]{{{_LONG_RUN},}}")


def _all_marks(char: str) -> bool:
    if unicodedata.combining(char):
        return True
    decomposed = unicodedata.normalize("NFD", char) if unicodedata.decomposition(char) else ""
    return bool(decomposed) and all(map(unicodedata.combining, decomposed))
