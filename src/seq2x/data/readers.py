"""Examples out of files: TSV, two files side by side ("lines"), JSON lines; each of them gzipped or not.

    columns = sniff(["pairs.tsv"])                 # what each column is taken for, and why
    for example in read(["pairs.tsv"], columns): ...

Every complaint names `file:line`. TSV has no quoting: a quotation mark is content, a TAB always ends a cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, TypeAlias

from seq2x.data.alignment import find_slip
from seq2x.data.columns import Columns
from seq2x.data.lines import MAX_LINE_BYTES, BadUtf8, PathLike, count_lines, display, in_one_line, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.read_error import ReadError
from seq2x.data.records import parse_record, texts_of
from seq2x.types import Example

__all__ = ["Problem", "check_counts", "groups", "merge", "read"]

Problem: TypeAlias = Callable[[ReadError], None]
"""What to do with a record that cannot be read; without one, the error is raised."""

_Line: TypeAlias = tuple[int, str | None]


def read(
    paths: Sequence[PathLike],
    columns: Columns,
    notes: Notes | None = None,
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_bad_utf8: BadUtf8 = "error",
    keep_empty: bool = False,
    keep_lines: bool = False,
    problem: Problem | None = None,
) -> Iterator[Example]:
    """Every example of `paths`, in order, in constant memory.

    A pair with an empty side is left out and counted in `notes` with its first lines; with `keep_empty` it is
    given, so that N records are N examples (an empty target is then `targets == ("",)` or fewer of several). With
    `keep_lines` so is, without targets, a line that is no record (a header row, or skipped): N lines are N examples.
    """
    notes = Notes() if notes is None else notes

    def lines(path: PathLike) -> Iterator[_Line]:
        return iter_lines(path, notes, max_line_bytes=max_line_bytes, on_bad_utf8=on_bad_utf8)

    for group in groups(paths, columns):
        name = display(group[0])
        if columns.format == "lines":
            found = _side_by_side(group, columns, [lines(path) for path in group])
        elif columns.format == "tsv":
            found = _tsv(name, lines(group[0]), columns, notes, problem)
        else:
            found = _jsonl(name, lines(group[0]), columns, notes, problem)
        for example in found:
            if not example.targets:
                if keep_lines:
                    yield example
                continue
            notes.read += 1
            if kept := _whole(example, name, notes, keep_empty or keep_lines, bool(columns.source)):
                yield kept


def groups(paths: Sequence[PathLike], columns: Columns) -> list[tuple[PathLike, ...]]:
    """Files that are read together: all of them side by side, or each by itself."""
    side_by_side = columns.format == "lines" and columns.source
    return [tuple(paths)] if side_by_side else [(path,) for path in paths]


def merge(examples: Iterable[Example]) -> list[Example]:
    """Examples with the same source become one with several right outputs, in order of first appearance."""
    merged: dict[str, Example] = {}
    for example in examples:
        known = merged.get(example.source)
        if known is None:
            merged[example.source] = example
        else:
            targets = tuple(dict.fromkeys(known.targets + example.targets))
            merged[example.source] = replace(known, targets=targets)
    return list(merged.values())


def _no_record(line: int, file: str) -> Example:
    """What stands for a line that is read and holds no record: no targets."""
    return Example("", (), line, file=file)


def _whole(example: Example, name: str, notes: Notes, keep_empty: bool, has_source: bool) -> Example | None:
    """The example without empty targets among several; None, counted, if a side that it should have is empty."""
    targets = (
        tuple(target for target in example.targets if target.strip()) if len(example.targets) > 1 else example.targets
    )
    if (example.source.strip() or not has_source) and targets and targets[0].strip():
        if len(targets) == len(example.targets):
            return example
        return replace(example, targets=targets)
    if keep_empty:
        return replace(example, targets=targets or ("",))
    has_target = bool(targets) and bool(targets[0].strip())
    kind = "empty_target" if example.source.strip() else "empty_source" if has_target else "blank"
    notes.add(kind, name, example.line)
    return None


# ------------------------------------------------------------------ TSV


def _tsv(
    name: str, lines: Iterator[_Line], columns: Columns, notes: Notes, problem: Problem | None
) -> Iterator[Example]:
    source, targets = ([int(key) - 1 for key in keys] for keys in (columns.source, columns.targets))
    used = {*source, *targets}
    others = [i for i in range(columns.width) if i not in used]
    titles = columns.names or [str(i + 1) for i in range(columns.width)]
    simple = len(source) == 1 and len(targets) == 1 and not others
    for number, text in lines:
        if text is None:
            yield _no_record(number, name)
            continue
        cells = text.split("\t")
        if len(cells) != columns.width:
            if not text.strip():
                yield Example("", ("",), number, file=name)
                continue
            _report(_wrong_width(name, number, columns.width, len(cells)), problem)
            yield _no_record(number, name)
            continue
        if number == 1 and columns.header and tuple(cells) == columns.names:
            notes.add("header", name, 1)
            yield _no_record(number, name)
            continue
        if simple:
            yield Example(cells[source[0]], (cells[targets[0]],), number, file=name)
        else:
            extras = {titles[i]: cells[i] for i in others}
            joined = " ".join([cells[i] for i in source])
            source_text = joined if joined.strip() else ""
            yield Example(source_text, tuple([cells[i] for i in targets]), number, extras, name)


def _wrong_width(name: str, line: int, expected: int, found: int) -> ReadError:
    tab = " (no TAB)" if found == 1 else ""
    found_text = f"found {found} column{'s' * (found > 1)}{tab}"
    return ReadError("columns", name, line, found_text, f"{expected}", f'"seq2x check {name}" lists all such lines')


def _report(error: ReadError, problem: Problem | None) -> None:
    if problem is None:
        raise error
    problem(error)


# ------------------------------------------------------------------ JSON lines


def _jsonl(
    name: str, lines: Iterator[_Line], columns: Columns, notes: Notes, problem: Problem | None
) -> Iterator[Example]:
    for number, text in lines:
        if text is None:
            yield _no_record(number, name)
            continue
        if not text.strip():
            yield Example("", ("",), number, file=name)
            continue
        try:
            example = _from_record(parse_record(text), columns, number, name)
        except ValueError as error:
            _report(ReadError("record", name, number, str(error)), problem)
            yield _no_record(number, name)
            continue
        plain = in_one_line(example.source), tuple(map(in_one_line, example.targets))
        if plain != (example.source, example.targets):
            notes.add("line_end", name, number)
            example = replace(example, source=plain[0], targets=plain[1])
        yield example


def _from_record(record: Mapping[str, Any], columns: Columns, line: int, file: str) -> Example:
    """A list of texts is one source, joined by blanks, or several right outputs. ValueError, in words, where a key is
    missing or holds no text."""
    source = " ".join(text for key in columns.source for text in texts_of(record, key))
    targets = [text for key in columns.targets for text in texts_of(record, key)]
    used = {*columns.source, *columns.targets}
    extras = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in record.items() if key not in used
    }
    return Example(source, tuple(targets or [""]), line, extras, file)


# ------------------------------------------------------------------ files side by side


def _side_by_side(paths: Sequence[PathLike], columns: Columns, sides: Sequence[Iterator[_Line]]) -> Iterator[Example]:
    source, targets = ([int(key) - 1 for key in keys] for keys in (columns.source, columns.targets))
    name = display(paths[0])
    for number, row in enumerate(zip_longest(*sides), 1):
        if None in row:
            check_counts(paths)
            raise ReadError("line_count", name, number, "files of different length")  # no second look
        texts = [text for _, text in row]
        if None in texts:  # not UTF-8 on one side, skipped and noted: the pair goes as a whole
            yield _no_record(number, name)
            continue
        plain = [text or "" for text in texts]
        joined = " ".join(plain[i] for i in source)
        source_text = joined if joined.strip() else ""
        extras = {columns.alignment: plain[int(columns.alignment) - 1]} if columns.alignment else {}
        yield Example(source_text, tuple(plain[i] for i in targets), number, extras, name)


def check_counts(paths: Sequence[PathLike]) -> int:
    """How many records all of `paths` have. DataError with every count and the first likely slip if they differ."""
    if "-" in map(str, paths):
        return 0
    counts = [count_lines(path) for path in paths]
    if len(set(counts)) == 1:
        return counts[0]
    listed = ", ".join(f"{display(path)} has {count:,} lines" for path, count in zip(paths, counts, strict=True))
    other = next(i for i, count in enumerate(counts) if count != counts[0])
    slip = find_slip(_lengths(paths[0]), _lengths(paths[other]))
    todo = f"first likely slip near line {slip:,} (length ratio jumps)"
    raise ReadError("line_count", display(paths[0]), slip, listed, "as many lines in each", todo)


def _lengths(path: PathLike) -> list[int]:
    return [len(text or "") for _, text in iter_lines(path, on_bad_utf8="skip")]
