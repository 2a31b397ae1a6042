"""A clean copy of a set of pairs, and a log of everything that was changed. The original is never touched."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import numpy.typing as npt

from seq2x.data.clean_copy import Form, write_copy
from seq2x.data.columns import Columns
from seq2x.data.lines import MAX_LINE_BYTES, PathLike, count_carriage_returns, display, in_one_line, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.overlap import fingerprint
from seq2x.data.read_error import ReadError
from seq2x.data.readers import groups, read
from seq2x.data.records import parse_record
from seq2x.data.sniff import sniff
from seq2x.errors import DataError, UsageError
from seq2x.storage import DISK, storage_error
from seq2x.types import Example

__all__ = ["Fixed", "fix", "targets"]

_REMOVE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u180e\u200b\u2060-\u2064\ufeff]")
_FEW = 0.1  # duplicates beyond this share are how often something occurs, not an accident


@dataclass(slots=True)
class Fixed:
    """`out` is the file written, as `form`. `changed` counts repaired lines by reason, `dropped` those left out, `bare`
    pairs whose other columns or fields a TSV has no place for (`fields`: their names); `replaced`: what stood there
    before.
    """

    out: Path
    form: Form = "tsv"
    replaced: tuple[Path, ...] = ()
    bare: int = 0
    fields: tuple[str, ...] = ()
    kept: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def fix(
    paths: Sequence[PathLike],
    out: Path,
    log: Path,
    *,
    format: Literal["auto", "tsv", "lines", "jsonl"] = "auto",
    columns: str = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Fixed:
    """Writes a clean copy of `paths` to `out` (in the form that its name asks for, see `write_copy`) and, line for
    line, what was done to `log` (file:line TAB reason TAB text).

    Repaired: control and zero-width characters and byte order marks go, blanks at the ends go, text becomes NFC, lines
    end in LF alone, and line ends or carriage returns inside a text become blanks.
    Left out: records that cannot be read, pairs with an empty side, text with U+FFFD, exact repetitions of a pair
    (not where they are more than a tenth: then they say how often something occurs). Several different targets of
    one source are several right answers and stay. JSON lines keep all other fields; a TSV holds the two sides alone.
    What happens to a whole file (its line ends, a column) has one line in the log, of where it is first.
    Raises DataError (what stood at `out` stays), StorageError, and UsageError (see `targets`).
    """
    targets(out, paths, log)
    found = sniff(paths, format, columns, max_line_bytes=max_line_bytes)
    repeats = _repeats(paths, found, max_line_bytes)
    fixed = Fixed(out, replaced=tuple(path for path in (out, log) if path.exists()))
    waiting = log.with_name(f".{log.name}.waiting")
    try:
        try:
            with waiting.open("w", encoding="utf-8", newline="\n") as record:
                _line_ends(paths, max_line_bytes, fixed, record)
                written = write_copy(out, _clean(paths, found, max_line_bytes, repeats, fixed, record))
                for name, place in written.fields.items():
                    record.write(f"{place}\tleft out of this line and others: column or field {name!a}\t\n")
            DISK.replace(waiting, log)
        finally:
            waiting.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, log.parent, 0, DISK) from error
    if not written.pairs:
        raise DataError(", ".join(map(display, paths)), "nothing is left after cleaning", todo=f"see {log}")
    fixed.form, fixed.bare, fixed.fields = written.form, written.bare, tuple(written.fields)
    return fixed


def targets(out: PathLike, read: Sequence[PathLike], log: PathLike | None = None) -> tuple[Path, Path]:
    """(where the clean copy goes, where its log does: `out` with .log behind it if none is given).

    Raises UsageError if that cannot be, before anything is read or written: no name, something there that is no
    regular file (it would be replaced by one), one of the files in `read`, or standard input in `read`.
    """
    name = os.fspath(out)
    if not name.strip() or name == "-":
        raise UsageError("fix", f'"{name}"', "the name of a file for the clean copy")
    if "-" in map(str, read):
        raise UsageError("fix", "standard input", "a file: it is read twice", "save it to a file first")
    paths = Path(name), Path(f"{name}.log" if log is None else log)
    for path in paths:
        kind = _kind(path)
        if kind not in ("", "a file"):
            raise UsageError(str(path), f"is {kind}", "a new file, or a regular one, which is replaced")
        if kind and any(Path(other).exists() and path.samefile(other) for other in read):
            raise UsageError(str(path), "is one of the inputs", "a new file")
    return paths


def _kind(path: Path) -> str:
    """What is at `path`, a link not followed, in words; empty for nothing."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise UsageError("fix", f"{str(path)[:200]!r} cannot be a file: {error}", "a new file") from error
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO"}
    return kinds.get(stat.S_IFMT(mode), "a device")


_READ = {
    "bom": "byte order mark removed",
    "carriage_return": "carriage returns inside made blanks",
    "line_end": "line ends inside made blanks",
}  # what the reader repairs


def _line_ends(paths: Sequence[PathLike], limit: int, fixed: Fixed, log: TextIO) -> None:
    """Count the lines that end in a carriage return: the reader drops it, the clean copy has none."""
    for path in paths:
        count, first = count_carriage_returns(path, max_line_bytes=limit)
        if count:
            fixed.changed["carriage return at the end removed"] += count
            log.write(f"{display(path)}:{first}\tcarriage return at the end removed, from {count:,} lines\t\n")


def _pairs(
    paths: Sequence[PathLike],
    columns: Columns,
    limit: int,
    skip: dict[tuple[str, int], str] | None = None,
    repaired: dict[str, list[tuple[str, int]]] | None = None,
) -> Iterator[tuple[str, Example]]:
    """(file, example) of all that can be read; the others go to `skip` with the reason, and to `repaired` by kind where
    the reader repaired something."""
    skipped = {} if skip is None else skip
    mended = {} if repaired is None else repaired

    def problem(error: ReadError) -> None:
        skipped[error.file, error.line] = error.found

    for group in groups(paths, columns):
        notes = Notes(first=1 << 62)  # the log leaves none out
        examples = read(
            group, columns, notes, max_line_bytes=limit, on_bad_utf8="skip", keep_empty=True, problem=problem
        )
        for example in examples:
            yield display(group[0]), example
        for kind in ("bad_utf8", "header"):
            for file, line in notes.places.get(kind, ()):
                skipped[file, line] = kind
        for kind in _READ.keys() & notes.places.keys():
            mended.setdefault(kind, []).extend(notes.places[kind])


def _repeats(paths: Sequence[PathLike], columns: Columns, limit: int) -> npt.NDArray[np.bool_]:
    """`[examples]`: true for an example that repeats an earlier one; all false where that is common."""
    hashes = np.fromiter((fingerprint(_identity(example)) for _, example in _pairs(paths, columns, limit)), np.uint64)
    _, first = np.unique(hashes, return_index=True)
    repeats = np.ones(len(hashes), np.bool_)
    repeats[first] = False
    return repeats & (repeats.mean() <= _FEW if len(repeats) else False)


def _identity(example: Example) -> str:
    return "\0".join(_tidy(text)[0] for text in (example.source, *example.targets))


def _clean(
    paths: Sequence[PathLike],
    columns: Columns,
    limit: int,
    repeats: npt.NDArray[np.bool_],
    fixed: Fixed,
    log: TextIO,
) -> Iterator[tuple[Example, Mapping[str, Any]]]:
    """What is to be kept, and its record for JSON lines."""
    skipped: dict[tuple[str, int], str] = {}
    repaired: dict[str, list[tuple[str, int]]] = {}
    records = _Records(columns, limit)
    for (file, example), repeated in zip(_pairs(paths, columns, limit, skipped, repaired), repeats, strict=True):
        source, reasons = _tidy(example.source)
        tidied = [_tidy(target) for target in example.targets]
        targets = tuple(dict.fromkeys(text for text, _ in tidied if text))
        reasons = sorted({*reasons, *(reason for _, several in tidied for reason in several)})
        dropped = _unfit(source, targets) or ("duplicate" if repeated else "")
        if dropped:
            fixed.dropped[dropped] += 1
            reasons = [f"dropped: {dropped}"]
        else:
            fixed.kept += 1
            fixed.changed.update(reasons)
            kept = replace(example, source=source, targets=targets)
            yield kept, records.of(kept)
        for reason in reasons:
            log.write(f"{file}:{example.line}\t{reason}\t{_quoted(example)}\n")
    for kind, places in sorted(repaired.items()):
        fixed.changed[_READ[kind]] += len(places)
        log.writelines(f"{file}:{line}\t{_READ[kind]}\t\n" for file, line in places)
    for (file, line), reason in skipped.items():
        fixed.dropped["unreadable" if reason != "header" else "header"] += 1
        log.write(f"{file}:{line}\tdropped: {reason}\t\n")


class _Records:
    """The whole record of each example: of JSON lines as it stands in its file, but for the texts that are cleaned."""

    def __init__(self, columns: Columns, limit: int) -> None:
        self._columns, self._limit = columns, limit
        self._file, self._line = "", 0
        self._lines: Iterator[tuple[int, str | None]] = iter(())

    def of(self, example: Example) -> Mapping[str, Any]:
        """Examples are asked for in the order in which they are read, so that each file is gone through once."""
        if self._columns.format != "jsonl":
            target = example.targets[0] if len(example.targets) == 1 else list(example.targets)
            others = {key: text for key, text in example.extras.items() if key not in ("source", "target")}
            return {"source": example.source, "target": target, **others}
        if example.file != self._file or example.line <= self._line:
            self._lines = iter_lines(example.file, max_line_bytes=self._limit, on_bad_utf8="skip")
        self._file, self._line = example.file, example.line
        text = next(text for number, text in self._lines if number == example.line)
        record = parse_record(text or "")
        for key in map(str, self._columns.source):
            record[key] = _tidied(record[key])
        for key in map(str, self._columns.targets):
            value = _tidied(record[key])
            record[key] = value if isinstance(value, str) else list(dict.fromkeys(filter(None, value)))
        return record


def _tidied(value: str | list[str]) -> str | list[str]:
    return _tidy(in_one_line(value))[0] if isinstance(value, str) else [_tidy(in_one_line(text))[0] for text in value]


def _tidy(text: str) -> tuple[str, list[str]]:
    """The text as it should be, and the reasons for each change."""
    reasons = []
    if _REMOVE.search(text):
        text = _REMOVE.sub("", text)
        reasons.append("invisible or control characters removed")
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        reasons.append("made NFC")
    if text != (stripped := text.strip()):
        text = stripped
        reasons.append("blanks at the ends removed")
    return text, reasons


def _unfit(source: str, targets: Sequence[str]) -> str:
    if not source:
        return "empty_source"
    if not targets:
        return "empty_target"
    return "damaged" if "\ufffd" in source or any("\ufffd" in target for target in targets) else ""


def _quoted(example: Example) -> str:
    """One line of the log, control characters escaped."""
    return ascii("\t".join((example.source, *example.targets)))[1:-1][:500]
