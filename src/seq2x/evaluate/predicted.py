"""What `predict --json` wrote, read again to be scored: the symbols themselves, not the text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2x.errors import DataError
from seq2x.settings import Settings
from seq2x.types import EOS, SPECIALS, Example

if TYPE_CHECKING:
    from seq2x.tasks import Task

__all__ = ["Given", "predicted"]

_KEYS = frozenset({"source", "text", "ids", "stopped"})  # of every record


class Given(NamedTuple):
    """An output to score: the one target of `example`; `ids` is what is scored, with `</s>` where it ended."""

    example: Example
    ids: list[int]


def predicted(path: str | os.PathLike[str], task: Task, how: Settings) -> tuple[list[Given], list[str]] | None:
    """(the outputs, what was noticed) of a file that `predict --json` wrote; None if its first record is another's.

    A text that `task` would cut into other symbols is counted. Raises `DataError` with `file:line`.
    """
    from seq2x.data import Notes, iter_lines
    from seq2x.data.lines import display

    name, notes, otherwise = display(path), Notes(), 0
    found: list[Given] = []
    for line, text in iter_lines(path, notes, max_line_bytes=how.max_line_bytes, on_bad_utf8=how.on_bad_utf8):
        if text is None or not text.strip():
            continue
        record = _record(text, f"{name}:{line}", first=not found)
        if record is None:
            return None
        cut, size = task.symbols(record["source"], record["text"])
        ids = _ids(record, size, f"{name}:{line}")
        otherwise += ids != cut
        ended = [EOS] * (record["stopped"] == "end")
        found.append(Given(Example(record["source"], (record["text"],), line, file=name), [*ids, *ended]))
    if not found:
        raise DataError(name, "no examples", "what predict --json wrote, or pairs")
    lines = list(notes.lines())
    if otherwise:
        lines.append(
            f"{otherwise:,} x text that is cut into other symbols than were predicted; the predicted ones count"
        )
    return found, lines


def _record(text: str, where: str, first: bool) -> Mapping[str, Any] | None:
    """The record in a line. Of the first line None where it is none of ours; further ones then raise `DataError`."""
    from seq2x.data.records import parse_record

    try:
        record = parse_record(text)
        problem = "" if record.keys() >= _KEYS else f"keys found: {', '.join(record) or 'none'}"
    except ValueError as error:
        record, problem = {}, str(error)
    if not problem and not all(isinstance(record[key], str) for key in ("source", "text", "stopped")):
        problem = "source, text or stopped is no text"
    if not problem:
        return record
    if first:
        return None
    raise DataError(where, problem, "a record of predict --json, as the lines before")


def _ids(record: Mapping[str, Any], size: int, where: str) -> list[int]:
    """The symbols of a record. `DataError` if they cannot be the model's."""
    ids = record["ids"]
    if isinstance(ids, list) and all(type(i) is int and len(SPECIALS) <= i < size for i in ids):
        return ids
    expected = f"symbols from {len(SPECIALS)} to {size - 1}"
    raise DataError(where, "ids that this model does not have", expected, "score it by its own run")
