"""A clean copy of a set of pairs, and a log of everything that was changed. The original is never touched."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
import numpy.typing as npt

from seq2x.data.columns import Columns
from seq2x.data.corpus_rules import text_hash
from seq2x.data.held_out import write_examples
from seq2x.data.lines import MAX_LINE_BYTES, PathLike, display
from seq2x.data.notes import Notes
from seq2x.data.read_error import ReadError
from seq2x.data.readers import groups, read
from seq2x.data.sniff import sniff
from seq2x.errors import DataError, UsageError
from seq2x.storage import DISK, storage_error
from seq2x.types import Example

__all__ = ["Fixed", "fix"]

_REMOVE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u180e\u200b\u2060-\u2064\ufeff]")
_FEW = 0.1  # duplicates beyond this share are how often something occurs, not an accident


@dataclass(slots=True)
class Fixed:
    """`out` is the file written. `changed` counts repaired lines by reason, `dropped` those left out."""

    out: Path
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
    """Writes a clean copy of `paths` to `out` (source TAB target; JSON lines where that cannot hold it) and, line
    for line, what was done to `log` (file:line TAB reason TAB text).

    Repaired: control and zero-width characters and byte order marks go, blanks at the ends go, text becomes NFC.
    Left out: records that cannot be read, pairs with an empty side, text with U+FFFD, exact repetitions of a pair
    (not where they are more than a tenth: then they say how often something occurs). Several different targets of
    one source are several right answers and stay. Further columns are not copied. Raises DataError, StorageError,
    and UsageError for standard input, which cannot be read twice.
    """
    if "-" in map(str, paths):
        raise UsageError("fix", "standard input", "a file: it is read twice", "save it to a file first")
    if any(Path(path).resolve() in (out.resolve(), log.resolve()) for path in paths):
        raise UsageError(str(out), "is one of the inputs", "a new file")
    found = sniff(paths, format, columns, max_line_bytes=max_line_bytes)
    repeats = _repeats(paths, found, max_line_bytes)
    fixed = Fixed(out)
    try:
        with log.open("w", encoding="utf-8", newline="\n") as record:
            cleaned = _clean(paths, found, max_line_bytes, repeats, fixed, record)
            fixed.out = write_examples(out, cleaned, keep_name=True)
    except OSError as error:
        raise storage_error(error, log.parent, 0, DISK) from error
    if not fixed.kept:
        raise DataError(", ".join(map(display, paths)), "nothing is left after cleaning", todo=f"see {log}")
    return fixed


def _pairs(
    paths: Sequence[PathLike], columns: Columns, limit: int, skip: dict[tuple[str, int], str] | None = None
) -> Iterator[tuple[str, Example]]:
    """(file, example) of all that can be read; the others go to `skip` with the reason."""
    skipped = {} if skip is None else skip

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


def _repeats(paths: Sequence[PathLike], columns: Columns, limit: int) -> npt.NDArray[np.bool_]:
    """`[examples]`: true for an example that repeats an earlier one; all false where that is common."""
    hashes = np.fromiter((text_hash(_identity(example)) for _, example in _pairs(paths, columns, limit)), np.uint64)
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
) -> Iterator[Example]:
    skipped: dict[tuple[str, int], str] = {}
    for (file, example), repeated in zip(_pairs(paths, columns, limit, skipped), repeats, strict=True):
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
            yield Example(source, targets, example.line)
        for reason in reasons:
            log.write(f"{file}:{example.line}\t{reason}\t{_quoted(example)}\n")
    for (file, line), reason in skipped.items():
        fixed.dropped["unreadable" if reason != "header" else "header"] += 1
        log.write(f"{file}:{line}\tdropped: {reason}\t\n")


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
