"""What can be wrong with one pair by itself. One rule, one small function, one stable code.

A rule gets many pairs at once and returns how bad each is: 0 for nothing found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.characters import Kind, count_kinds
from seq2x.data.pairing import MISFITS
from seq2x.data.report import Severity

__all__ = ["RULES", "Pairs", "Rule", "Tally", "estimated_symbols", "rules_of"]

_Bad: TypeAlias = npt.NDArray[np.float64]


class Pairs:
    """Some pairs, with the counts of their characters by kind (`[n, len(Kind)]`)."""

    def __init__(self, sources: Sequence[str], targets: Sequence[str], max_source: int, max_target: int) -> None:
        self.sources, self.targets = sources, targets
        self.limits = (max_source, max_target)
        self.source_kinds, self.target_kinds = count_kinds(sources), count_kinds(targets)

    def __len__(self) -> int:
        return len(self.sources)

    def kind(self, *kinds: Kind) -> _Bad:
        """How many characters of these kinds both sides hold."""
        return np.asarray((self.source_kinds + self.target_kinds)[:, kinds].sum(1), np.float64)

    def where(self, test: Callable[[str], float]) -> _Bad:
        """`test` of both sides, summed."""
        return np.fromiter(
            (test(s) + test(t) for s, t in zip(self.sources, self.targets, strict=True)), np.float64, len(self)
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What a rule knows when it words its finding: `count` bad pairs of `pairs`."""

    count: int
    pairs: int

    @property
    def share(self) -> float:
        return self.count / max(1, self.pairs)


@dataclass(frozen=True, slots=True)
class Rule:
    """`find` judges pairs; `grade` says how grave it is in view of how many there are."""

    code: str
    text: str
    todo: str
    find: Callable[[Pairs], _Bad]
    grade: Callable[[Tally], Severity]


def _always(severity: Severity) -> Callable[[Tally], Severity]:
    def grade(_: Tally) -> Severity:
        return severity

    return grade


def _by_share(warning: float, error: float = 2.0) -> Callable[[Tally], Severity]:
    """A note below the share `warning`, an error from the share `error` on (more than 1: never)."""

    def grade(tally: Tally) -> Severity:
        return "error" if tally.share >= error else "warning" if tally.share > warning else "note"

    return grade


# ------------------------------------------------------------------ characters


def _control(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.CONTROL)


def _separator(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.SEPARATOR)


def _damaged(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.DAMAGED)


def _invisible(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.INVISIBLE)


def _bidi(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.BIDI)


def _private(pairs: Pairs) -> _Bad:
    return pairs.kind(Kind.PRIVATE)


_MOJIBAKE = re.compile(
    "[\u00c2\u00c3\u00d0\u00d1][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]|\u00e2\u20ac"
)


def _mojibake(pairs: Pairs) -> _Bad:
    """UTF-8 that was read as cp1252 and saved again: "Ã©" for "é"."""
    return pairs.where(lambda text: 0 if text.isascii() else len(_MOJIBAKE.findall(text)))


_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,6}|#x[0-9a-fA-F]{2,6});")


def _entity(pairs: Pairs) -> _Bad:
    return pairs.where(lambda text: len(_ENTITY.findall(text)) if "&" in text else 0)


def _unicode_form(pairs: Pairs) -> _Bad:
    return pairs.where(lambda text: not text.isascii() and not unicodedata.is_normalized("NFC", text))


def _outer_blank(pairs: Pairs) -> _Bad:
    return pairs.where(lambda text: len(text) - len(text.strip()))


# ------------------------------------------------------------------ content


def _same(pairs: Pairs) -> _Bad:
    return np.fromiter((s == t for s, t in zip(pairs.sources, pairs.targets, strict=True)), np.float64, len(pairs))


_SUBWORD = re.compile(r"\S@@(?: |$)|(?:^| )\u2581\S|\S\uffed")
_SPACED = re.compile(r"\w [.,](?: |$)| (?:n't|'s|'re|'ll|&apos;s)(?: |$)")


def _subwords(pairs: Pairs) -> _Bad:
    return pairs.where(lambda text: len(_SUBWORD.findall(text)) if "@@" in text or not text.isascii() else 0)


def _spaced(pairs: Pairs) -> _Bad:
    return pairs.where(lambda text: len(_SPACED.findall(text)) if " ." in text or " ," in text or " '" in text else 0)


def estimated_symbols(kinds: npt.NDArray[np.int32]) -> _Bad:
    """`[n]`: about how many symbols a subword vocabulary makes of texts with these counts of characters.

    Letters of alphabets come about three to a symbol, characters of Chinese, Japanese, Korean and Thai two to three.
    """
    dense = kinds[:, (Kind.HAN, Kind.KANA, Kind.HANGUL, Kind.THAI)].sum(1)
    blank = kinds[:, Kind.BLANK]
    return np.asarray((kinds.sum(1) - dense - blank) / 3 + dense / 1.5, np.float64)


def _too_long(pairs: Pairs) -> _Bad:
    source = estimated_symbols(pairs.source_kinds) / pairs.limits[0]
    target = estimated_symbols(pairs.target_kinds) / pairs.limits[1]
    worst = np.maximum(source, target)
    return np.where(worst > 1, worst, 0.0)


RULES: tuple[Rule, ...] = (
    Rule("control", "with control characters", "remove them (--fix does)", _control, _always("warning")),
    Rule(
        "separator",
        "with U+2028, U+2029, U+0085, VT or FF: content here, line ends elsewhere",
        "",
        _separator,
        _always("note"),
    ),
    Rule(
        "damaged",
        "with U+FFFD: the text was already damaged before it got here",
        "take it anew from where it came",
        _damaged,
        _always("warning"),
    ),
    Rule(
        "invisible",
        "with zero-width characters, soft hyphens or byte order marks",
        "remove them (--fix does)",
        _invisible,
        _always("warning"),
    ),
    Rule("bidi", "with marks that turn the direction of text", "", _bidi, _always("note")),
    Rule(
        "private",
        "with private-use characters, which mean something in one font only",
        "",
        _private,
        _always("warning"),
    ),
    Rule(
        "mojibake",
        "that look like UTF-8 read in another encoding",
        "convert the file anew from its original",
        _mojibake,
        _always("warning"),
    ),
    Rule(
        "entity",
        "with HTML entities such as &amp;",
        "replace them by the characters they mean",
        _entity,
        _by_share(0.01),
    ),
    Rule(
        "unicode_form",
        "not in Unicode form NFC (the same letters spelled in two ways)",
        'normalise = "nfc" (the default) heals this',
        _unicode_form,
        _always("note"),
    ),
    Rule("outer_blank", "with blanks at the beginning or end", "", _outer_blank, _always("note")),
    Rule("identical", "whose target is the source", "are they not translated?", _same, _by_share(0.2, 1.0)),
    Rule(
        "subwords",
        "with @@ or \u2581 between pieces of words: looks already cut into subwords",
        "give raw text",
        _subwords,
        _by_share(0.01),
    ),
    Rule(
        "tokenised",
        "with a blank before punctuation: looks already tokenised",
        "raw text gives scores others can compare",
        _spaced,
        _by_share(0.2),
    ),
    Rule(
        "too_long",
        "above max_source_length or max_target_length (estimated): set aside in training",
        "split them, or raise the limit",
        _too_long,
        _by_share(0.01, 1.0),
    ),
)

_LABELLED = frozenset(
    {"tokenised", "identical", "ratio", "shifted", "unrelated", "chain", "script", "one_target", "several_targets"}
)
"""What would be odd of two texts, and is usual of tokens and their labels."""


def rules_of(task: str) -> tuple[tuple[Rule, ...], frozenset[str]]:
    """(the rules for pairs of `task`; codes of findings that mean nothing there)."""
    if task != "tag":
        return RULES, frozenset()
    misfit = MISFITS[task]

    def find(pairs: Pairs) -> _Bad:
        found = (bool(misfit(s, t)) for s, t in zip(pairs.sources, pairs.targets, strict=True))
        return np.fromiter(found, np.float64, len(pairs))

    labels = Rule(
        "labels", "with more or fewer labels than tokens", "a label for each, blanks between", find, _always("error")
    )
    return (labels, *(rule for rule in RULES if rule.code not in _LABELLED)), _LABELLED
