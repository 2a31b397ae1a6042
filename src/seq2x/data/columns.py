"""Which column is what: said by the user or by the file itself, never guessed.

`Columns` is the decision with its reasons; `seq2x.data.readers.sniff` makes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from seq2x.data.languages import language_of
from seq2x.errors import UsageError, nearest

__all__ = ["Asked", "Columns", "Format", "Key", "header_roles", "is_language_pair", "parse_columns", "role_of"]

Format: TypeAlias = Literal["tsv", "lines", "jsonl"]
Key: TypeAlias = int | str
"""A column's number from 1 (TSV, or the number of a file), or a key of a JSON object."""

_SOURCE_NAMES = {"source", "src", "input", "source_text", "input_text", "question", "prompt"}
_TARGET_NAMES = {
    "target",
    "tgt",
    "trg",
    "output",
    "target_text",
    "output_text",
    "reference",
    "ref",
    "answer",
    "translation",
}
_TARGET_NAMES |= {"targets", "references", "refs"}
_OTHER_NAMES = {"id", "line", "score", "split", "type", "label", "comment"}
_ROLES = ("source", "target", "ref", "alignment")


@dataclass(frozen=True, slots=True)
class Columns:
    """How to read a set of files.

    `source`: columns whose texts, joined by one blank, are the input; none where every example is a text alone.
    `targets`: columns that hold right outputs, or the text. TSV: `width` columns in every row, `header` true where the
    first row holds `names` instead of data. `alignment`: the name under which `Example.extras` holds the given
    alignment (see `seq2x.data.links`), empty where there is none.
    """

    format: Format
    source: tuple[Key, ...]
    targets: tuple[Key, ...]
    width: int = 0
    header: bool = False
    names: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    alignment: str = ""

    @property
    def item(self) -> str:
        """What one example is called: a "pair", or a "text" that stands alone."""
        return "pair" if self.source else "text"


class Asked(NamedTuple):
    """What somebody said that the columns are."""

    source: tuple[Key, ...]
    targets: tuple[Key, ...]
    alignment: Key | None = None


def parse_columns(text: str) -> Asked | None:
    """`"source=2,target=1"` as columns; None for "auto".

    `source` may be repeated (texts are joined by a blank), `target` and `ref` too (several right outputs). `alignment`
    is of one source and one target; a file without that column is one without alignments. No source beside one target
    is for a language model. Raises UsageError.
    """
    if text.strip() in ("", "auto"):
        return None
    found: dict[str, list[Key]] = {role: [] for role in _ROLES}
    for part in text.split(","):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UsageError("columns", f'"{part.strip()}"', "role=column, as in source=2,target=1")
        if role not in found:
            raise UsageError("columns", f'unknown role "{role}"', todo=nearest(role, _ROLES))
        if column == "0" or re.fullmatch(r"-\d+", column):
            raise UsageError("columns", f'column "{column}"', "a number from 1")
        key: Key = int(column) if re.fullmatch(r"[0-9]{1,4}", column) else column
        if any(key in keys for keys in found.values()):
            raise UsageError("columns", f'column "{column}" is named twice', "each column once")
        found[role].append(key)
    targets, alignments = tuple(found["target"] + found["ref"]), found["alignment"]
    if not found["source"] and (len(targets) > 1 or alignments):
        todo = "a language model has one text an example: target=... alone"
        raise UsageError("columns", "no source column", "source=... and target=...", todo)
    if alignments and (len(alignments) > 1 or len(targets) > 1):
        found_text = "several alignments" if len(alignments) > 1 else "an alignment and several right outputs"
        raise UsageError("columns", found_text, "one alignment, of one source and one target")
    return Asked(tuple(found["source"]), targets, alignments[0] if alignments else None)


def role_of(name: str) -> str:
    """`"source"`, `"target"` or `""` for the name of a column."""
    plain = name.strip().casefold()
    if plain not in _SOURCE_NAMES:
        plain = re.sub(r"_?\d$", "", plain)  # ref0, ref_1
    return "source" if plain in _SOURCE_NAMES else "target" if plain in _TARGET_NAMES else ""


def header_roles(cells: list[str]) -> list[str] | None:
    """The role of each cell of a header row; None if the row is data.

    A header is told by names alone: one source, at least one target, and nothing that is no name of a column.
    """
    roles = [role_of(cell) for cell in cells]
    if roles.count("source") != 1 or "target" not in roles:
        return None
    known = all(role or _is_name(cell) for role, cell in zip(roles, cells, strict=True))
    return roles if known else None


def _is_name(cell: str) -> bool:
    return cell.strip().casefold() in _OTHER_NAMES or bool(re.fullmatch(r"[a-z][a-z0-9_]{0,30}", cell.strip()))


def is_language_pair(cells: list[str]) -> bool:
    """The names of two different languages: a header, or the first entry of a word list?"""
    languages = [language_of(cell) for cell in cells]
    return len(languages) == 2 and all(languages) and languages[0] != languages[1]
