r"""Where a text may be cut before any piece is learned: words with the blank before them, punctuation, scripts.

A subword codec reads ` A dog, ...` as `" A" " dog" "," ...`: a blank belongs to the word that follows it, so nothing
has to be escaped and joining the pieces gives the text back. Scripts that write no blanks (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) are cut from their neighbours and never carry a blank. The rules are spelled out as code points
and do not follow the Unicode tables of one Python version: a stored codec cuts the same everywhere.

`lead` puts a blank before a text that begins with a word, so that the first word has the same pieces as any other;
`unlead` takes it away. `unlead(lead(x)) == x` for every `x`: a text that begins with a blank gets a second one, and a
text that gets none does not begin with one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["LONGEST", "lead", "pretokens", "unlead"]

LONGEST: Final = 64
"""Characters of a pretoken at most: longer ones are cut, so that the cost of a text grows linearly."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_PUNCTUATION = (
    "!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u2027\u2030-\u205e"
    "\u3001-\u3004\u3008-\u3020\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_SOME = f"{{1,{LONGEST - 1}}}"  # and the blank before it

pretokens: Final[Callable[[str], list[str]]] = re.compile(
    f"[{_UNSPACED}]{_SOME}"
    f"| ?[{_PUNCTUATION}]{_SOME}"
    f"| ?[^\\s{_UNSPACED}{_PUNCTUATION}]{_SOME}"
    f"| {_SOME}(?= )"  # blanks but the last of a run, which belongs to the word
    f"| |[^\\S ]{_SOME}"
).findall
"""The pretokens of a text, in order; joined they are the text."""

_begins_unspaced = re.compile(f"[{_UNSPACED}]").match


def lead(text: str) -> str:
    """`text` with the blank that its first word needs to look like any other word."""
    return text if not text or _begins_unspaced(text) else " " + text


def unlead(text: str) -> str:
    """`text` without the blank that `lead` put there."""
    return text[1:] if text.startswith(" ") else text
