"""Raw inputs for prediction: one a line, or the source of each record of a file of JSON lines.

N records are N inputs: a blank line is a blank input, a line that is skipped becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seq2x.data.columns import parse_columns, role_of
from seq2x.data.lines import MAX_LINE_BYTES, BadUtf8, PathLike, display, in_one_line, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.read_error import ReadError
from seq2x.data.records import is_jsonl_name, kind_of, parse_record, texts_of
from seq2x.errors import UsageError

__all__ = ["Input", "input_format", "read_inputs", "source_keys"]

_PREFIX = "prefix"  # the field of a record that says how its output begins
_REQUIRE = "require"  # and the one that says what it holds


@dataclass(frozen=True, slots=True)
class Input:
    """`text` to predict from. `line`: its line in the file, from 1. `extras`: the other fields of its JSON record, as
    they stand there; None where inputs are lines of text. `prefix`: what its output shall begin with, if its record has
    such a field; `require`: phrases that it shall hold, likewise.
    """

    text: str
    line: int
    extras: Mapping[str, Any] | None = None
    prefix: str | None = None
    require: tuple[str, ...] = ()


def input_format(path: PathLike, asked: str = "auto") -> Literal["lines", "jsonl"]:
    """How the inputs of `path` are read: as asked (`"jsonl"`, anything else is lines), else by the file's name."""
    return "jsonl" if asked == "jsonl" or (asked == "auto" and is_jsonl_name(display(path))) else "lines"


def source_keys(asked: str, own: str = "auto") -> tuple[str, ...]:
    """The keys of a JSON record that `asked` names as its source (`"source=question"`, a target may stand beside), else
    those of `own`, the columns that the run was trained on, else none: then the first record decides.

    Numbers in `own` are columns of a TSV file, no keys. Raises UsageError.
    """
    if (said := parse_columns(asked)) is not None:
        if not said.source:
            raise UsageError("columns", "no source column", "source=...")
        return tuple(map(str, said.source))
    trained = parse_columns(own)
    return tuple(map(str, trained.source)) if trained and any(isinstance(key, str) for key in trained.source) else ()


def read_inputs(
    path: PathLike = "-",
    notes: Notes | None = None,
    *,
    format: Literal["lines", "jsonl"] = "lines",
    source: Sequence[str] = (),
    max_line_bytes: int = MAX_LINE_BYTES,
    on_bad_utf8: BadUtf8 = "error",
) -> Iterator[Input]:
    """Every input of `path`, in order; from a pipe or a terminal each is given as soon as it is there.

    `source`: keys of a JSON record whose texts, joined by a blank, are the input; none: the one key of the first record
    that is called like a source. A field "prefix" beside them is what the output begins with, a field "require" a
    phrase that it holds, or a list of them; null is none. Raises DataError with `file:line`.
    """
    keys = tuple(source)
    notes = Notes() if notes is None else notes
    for number, text in iter_lines(path, notes, max_line_bytes=max_line_bytes, on_bad_utf8=on_bad_utf8):
        if format == "lines":
            yield Input(text or "", number)
        elif text is None or not text.strip():
            yield Input("", number, {})
        else:
            try:
                record = parse_record(text)
                keys = keys or _named_source(record, path, number)
                joined = " ".join(part for key in keys for part in texts_of(record, key))
                extras = {key: value for key, value in record.items() if key not in keys}
                prefix = extras.get(_PREFIX)
                if not isinstance(prefix, str | None):
                    raise ValueError(f'"{_PREFIX}" holds {kind_of(prefix)}; expected text')
                require = () if extras.get(_REQUIRE) is None else tuple(texts_of(extras, _REQUIRE))
            except ValueError as error:
                raise ReadError("record", display(path), number, str(error)) from error
            if (plain := in_one_line(joined)) != joined:
                notes.add("line_end", display(path), number)
            yield Input(plain, number, extras, prefix, require)


def _named_source(record: Mapping[str, Any], path: PathLike, line: int) -> tuple[str]:
    """The one key that is called like a source; ReadError with the readings if there is none, or several."""
    named = [key for key in record if role_of(key) == "source"]
    if len(named) == 1:
        return (named[0],)
    texts = [key for key, value in record.items() if isinstance(value, str | list)]
    found = f"keys found: {', '.join(record) or 'none'}"
    readings = " or ".join(f"--columns source={key}" for key in (named or texts)[:3]) or "--columns source=KEY"
    raise ReadError("columns", display(path), line, found, "source", f"say {readings}")
