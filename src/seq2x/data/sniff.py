"""What a set of files holds, decided from what they say of themselves. An ambiguous file is an error with both
readings, never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

from seq2x.data.columns import Asked, Columns, Format, Key, header_roles, is_language_pair, parse_columns, role_of
from seq2x.data.lines import MAX_LINE_BYTES, PathLike, display, iter_lines
from seq2x.data.read_error import ReadError
from seq2x.data.readers import check_counts
from seq2x.data.records import is_jsonl_name, parse_record
from seq2x.errors import UsageError

__all__ = ["sniff"]

_HEAD = 1000  # lines looked at
_ALONE = "--task lm takes each line as one text, for a language model"
_COLUMNED = (".tsv", ".csv", ".tab")  # a name that promises columns
_SEPARATORS = ((",", "commas"), (";", "semicolons"), ("|||", "|||"))


def sniff(
    paths: Sequence[PathLike],
    format: Literal["auto", "tsv", "lines", "jsonl"] = "auto",
    columns: str = "auto",
    *,
    task: str = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Columns:
    """What each column of `paths` is taken for, with the reasons in words. `task`: the setting of that name, "lm" for
    texts that stand alone.

    Raises DataError (exit 3) for an empty or ambiguous file, UsageError for `columns` that cannot be.
    """
    if not paths:
        raise UsageError("files", "none given", "a TSV file, a JSONL file, or a source file and a target file")
    task = "generate" if task == "tag" else task  # what labels tokens reads pairs, too
    asked = parse_columns(columns)
    if asked is not None:
        _require_sense(asked, task)
    if "-" in map(str, paths):
        return _unseen(format, asked, task)
    heads = [_head(path, max_line_bytes) for path in paths]
    if asked in (None, Asked((), (1,))) and task != "generate":
        found = _texts(paths, heads, format, told=task == "lm" or asked is not None)
        if found is not None:
            return found
    kind, reason = _format(paths, heads, format)
    if kind == "lines":
        if len(paths) < 2 or (asked is not None and not asked.source):
            found_text = "lines with one file" if len(paths) < 2 else "files side by side, and no source among them"
            raise UsageError("format", found_text, "a source file and a target file", _ALONE)
        count = check_counts(paths)
        return _side_by_side(paths, asked, (reason, f"{count:,} lines in each file"))
    if kind == "jsonl":
        return _jsonl(paths[0], heads[0], asked, (reason,), task)
    return _tsv(paths, heads, asked, (reason,), task)


def _require_sense(asked: Asked, task: str) -> None:
    """`UsageError` for columns that do not go with the task."""
    source, targets, _ = asked
    if not targets:
        raise UsageError("columns", "no target column", "source=... and target=...")
    if not source and task == "generate":
        raise UsageError("columns", "no source column", "source=... and target=...", "task = lm is without one")
    if source and task == "lm":
        raise UsageError("columns", "a source column with task = lm", "target=... alone", "leave the source out")


def _head(path: PathLike, max_line_bytes: int) -> list[tuple[int, str]]:
    """The first lines that are not blank, with their numbers. DataError if there is none, of which kind the file's
    lines say: not UTF-8, or blank."""
    found = iter_lines(path, max_line_bytes=max_line_bytes, on_bad_utf8="skip")
    head = [(number, text) for number, text in islice(found, _HEAD) if text is not None and text.strip()]
    if not head:
        head = [(number, text) for number, text in found if text is not None and text.strip()][:1]
    if not head:
        for _ in iter_lines(path, max_line_bytes=max_line_bytes):  # raises, if any line was skipped
            pass
        found_text = f"no examples in {display(path)} (nothing but blank lines, or nothing at all)"
        raise ReadError("no_examples", display(path), 0, found_text)
    return head


def _unseen(format: str, asked: Asked | None, task: str) -> Columns:
    """Standard input is read once, so it cannot be looked at first: all has to be said."""
    if task == "lm" and asked is None and format in ("auto", "lines"):
        return Columns("lines", (), (1,), width=1, reasons=("each line is one text, as told",))
    if format == "auto" or (asked is None and format == "jsonl"):
        todo = "say --format tsv (or jsonl with --columns), or save it to a file"
        raise UsageError("standard input", "its format is not known", todo=todo)
    source, targets, alignment = asked or Asked((1,), (2,))
    title = "" if alignment is None else str(alignment)
    if format == "jsonl":
        return Columns("jsonl", source, targets, reasons=("as told",), alignment=title)
    keys = (*source, *targets, *(() if alignment is None else (alignment,)))
    for key in keys:
        if isinstance(key, str):
            raise UsageError(
                "columns", f'column "{key}" of standard input', "its number: no header row can be looked up"
            )
    kind: Format = "tsv" if format == "tsv" else "lines"
    return Columns(kind, source, targets, width=max(map(int, keys)), reasons=("as told",), alignment=title)


def _format(paths: Sequence[PathLike], heads: Sequence[list[tuple[int, str]]], format: str) -> tuple[Format, str]:
    names = " and ".join(display(path) for path in paths)
    if format == "tsv":
        return "tsv", "format: TSV, as told"
    if format == "lines":
        return "lines", "format: one record a line in each file, as told"
    if format == "jsonl":
        return "jsonl", "format: JSON lines, as told"
    if all(_is_jsonl(path, head) for path, head in zip(paths, heads, strict=True)):
        if len(paths) > 1:
            raise _several(paths, "jsonl")
        return "jsonl", f"{names}: JSON lines (every line begins like an object)"
    with_tab = [_mostly_tabs(head) for head in heads]
    if all(with_tab) and len(paths) > 1:
        raise _several(paths, "tsv")
    if all(with_tab):
        return "tsv", f"{names}: TSV (TABs between columns)"
    if any(with_tab) and len(paths) > 1:
        raise _mixed(paths, with_tab)
    if len(paths) == 2:
        return "lines", f"{display(paths[0])} is the source and {display(paths[1])} the target, line by line"
    if len(paths) > 2:
        todo = "say --format lines if the first is the source and the others are right outputs"
        raise ReadError("columns", names, 0, f"{len(paths)} files, not all with TABs", todo=todo)
    raise _one_column(names, heads[0])


def _several(paths: Sequence[PathLike], kind: Format) -> ReadError:
    """Files of pairs each: joined, side by side, or for different uses?"""
    names = " and ".join(map(display, paths))
    holds = "TABs in its lines" if kind == "tsv" else "JSON lines"
    readings = "one set of pairs, sources and targets, or one file to train on and another to validate on"
    todo = f"this may be {readings}: say --format {kind} or --format lines, or --valid {display(paths[1])}"
    return ReadError("columns", names, 0, f"each holds pairs ({holds})", todo=todo)


def _mixed(paths: Sequence[PathLike], with_tab: Sequence[bool]) -> ReadError:
    """TABs in the lines of some files only: pairs beside one side of them, or texts that hold TABs?"""
    pairs, plain = (display(paths[list(with_tab).index(kind)]) for kind in (True, False))
    readings = f"give {pairs} alone if it holds pairs, or say --format lines if its whole lines are one side"
    names = " and ".join(map(display, paths))
    return ReadError("columns", names, 0, f"{pairs} has TABs in its lines, {plain} has none", todo=readings)


def _one_column(name: str, head: list[tuple[int, str]]) -> ReadError:
    line, text = next((row for row in head if "\t" not in row[1]), head[0])
    separator = next((name for mark, name in _SEPARATORS if mark in text), "")
    hint = f"; are the columns separated by {separator}?" if separator else ""
    todo = f"or give a source and a target file; {_ALONE}"
    return ReadError("columns", name, line, f"found 1 column (no TAB){hint}", "source TAB target", todo)


def _mostly_tabs(head: list[tuple[int, str]]) -> bool:
    return 2 * sum("\t" in text for _, text in head) > len(head)


def _is_jsonl(path: PathLike, head: list[tuple[int, str]]) -> bool:
    if is_jsonl_name(display(path)):
        return True
    return all(text.lstrip().startswith("{") and text.rstrip().endswith("}") for _, text in head) and not _mostly_tabs(
        head
    )


# ------------------------------------------------------------------ texts that stand alone


def _texts(
    paths: Sequence[PathLike], heads: Sequence[list[tuple[int, str]]], format: str, told: bool
) -> Columns | None:
    """Every line one text, where the user was `told` of it or the one file leaves no other reading; None if it is to be
    looked at further: what may be columns is not taken for text.
    """
    names = " and ".join(display(path) for path in paths)
    if told and format == "lines":
        return Columns("lines", (), (1,), width=1, reasons=(f"{names}: each line is one text, as told",))
    if format != "auto" or all(_is_jsonl(path, head) for path, head in zip(paths, heads, strict=True)):
        return None
    lines = [text for head in heads for _, text in head]
    if told and not any(map(_mostly_tabs, heads)):
        return Columns("lines", (), (1,), width=1, reasons=(f"{names}: each line is one text, as told",))
    if told or len(paths) > 1 or display(paths[0]).removesuffix(".gz").endswith(_COLUMNED):
        return None
    counts = [{text.count(mark) for text in lines} for mark, _ in _SEPARATORS]
    as_columns = any(len(some) == 1 and some != {0} for some in counts)  # as many in every line
    if as_columns or any("\t" in text for text in lines):
        return None
    why = "one text a line (no TAB, no second file): for a language model"
    return Columns("lines", (), (1,), width=1, reasons=(f"{names}: {why}",))


# ------------------------------------------------------------------ TSV


def _tsv(
    paths: Sequence[PathLike],
    heads: Sequence[list[tuple[int, str]]],
    asked: Asked | None,
    reasons: tuple[str, ...],
    task: str,
) -> Columns:
    name = display(paths[0])
    widths = Counter(text.count("\t") + 1 for head in heads for _, text in head)
    width = max(widths, key=lambda w: (widths[w], w))
    line, first = heads[0][0]
    cells = first.split("\t") if line == 1 else []
    roles = header_roles(cells) if len(cells) == width else None
    named = asked is not None and (
        any(isinstance(key, str) for key in (*asked.source, *asked.targets)) or asked.alignment in cells
    )
    header = named or roles is not None
    names = tuple(cells) if header else ()
    if header:
        reasons += (f"{name}:1 is a header row: {', '.join(names)}",)
    if asked is not None:
        source, targets = (tuple(_number(key, names, width, name) for key in keys) for keys in asked[:2])
        title = _title(asked.alignment, names, width)
        reasons += (_said(source, targets, "as told", title),)
        return Columns("tsv", source, targets, width, header, names, reasons, title)
    if roles is not None:
        source = tuple(i for i, role in enumerate(roles, 1) if role == "source")
        targets = tuple(i for i, role in enumerate(roles, 1) if role == "target")
        return Columns("tsv", source, targets, width, True, names, (*reasons, _said(source, targets, "by the header")))
    if is_language_pair(cells):
        both = f"source={cells[0]},target={cells[1]} if it is a header, source=1,target=2 if it is data"
        raise ReadError(
            "columns", name, 1, f'"{cells[0]} TAB {cells[1]}" may be a header row or data', todo=f"say --columns {both}"
        )
    if task == "lm":
        columns = " or ".join(f"--columns target={number}" for number in range(1, min(width, 4) + 1))
        raise ReadError("columns", name, line, f"found {width} columns", "one text a line", f"say {columns}")
    if width != 2:
        odd = next((number for head in heads for number, text in head if text.count("\t") + 1 == width), line)
        raise _which(name, odd, width)
    return Columns("tsv", (1,), (2,), 2, reasons=(*reasons, _said((1,), (2,), "two columns, no header")))


def _which(name: str, line: int, width: int) -> ReadError:
    if width == 1:
        return ReadError("columns", name, line, "found 1 column (no TAB)", "2: source TAB target")
    refs = ",".join(["source=1", *(f"ref={i}" for i in range(2, width + 1))])
    if width > 4:
        refs = f"source=1,ref=2,...,ref={width}"
    joined = ",".join(f"source={i}" for i in range(1, width)) if width <= 4 else f"source=1,...,source={width - 1}"
    readings = (
        f"--columns source=1,target=2 (others ignored), {refs} (several right outputs) or {joined},target={width}"
    )
    return ReadError("columns", name, line, f"found {width} columns", "2, or to be told which is which", readings)


def _number(key: Key, names: Sequence[str], width: int, name: str) -> Key:
    """The number of a column given by number or by its name in the header row."""
    if isinstance(key, str):
        if key not in names:
            found = ", ".join(names) if names else "no header row in line 1"
            raise ReadError("columns", name, 1, f'no column "{key}"; found {found}', todo="check --columns")
        key = names.index(key) + 1
    if key > width:
        raise ReadError(
            "columns", name, 1, f"found {width} column{'s' * (width > 1)}", f"at least {key}, as --columns says"
        )
    return key


def _title(key: Key | None, names: Sequence[str], width: int) -> str:
    """The name of a further column, as `read` gives it; empty where there is none."""
    if isinstance(key, int):
        return "" if key > width else names[key - 1] if names else str(key)
    return key if key is not None and key in names else ""


def _said(source: tuple[Key, ...], targets: tuple[Key, ...], why: str, alignment: str = "") -> str:
    def listed(keys: tuple[Key, ...]) -> str:
        return ("columns " if len(keys) > 1 else "column ") + ", ".join(map(str, keys))

    if not source:
        return f"text: {listed(targets)}; no source: for a language model ({why})"
    several = " (several right outputs)" if len(targets) > 1 else ""
    aligned = f"; alignment: column {alignment}" if alignment else ""
    return f"source: {listed(source)}; target: {listed(targets)}{several}{aligned} ({why})"


# ------------------------------------------------------------------ JSON lines, files side by side


def _jsonl(
    path: PathLike,
    head: list[tuple[int, str]],
    asked: Asked | None,
    reasons: tuple[str, ...],
    task: str,
) -> Columns:
    if asked is not None:
        source, targets = (tuple(map(str, keys)) for keys in asked[:2])
        title = "" if asked.alignment is None else str(asked.alignment)
        reasons += (_said(source, targets, "as told", title),)
        return Columns("jsonl", source, targets, reasons=reasons, alignment=title)
    record, line = _first_record(path, head)
    sources = [key for key in record if role_of(key) == "source"]
    targets_found = [key for key in record if role_of(key) == "target"]
    texts = [key for key, value in record.items() if isinstance(value, str | list)]
    if task == "lm" or (len(texts) == 1 and len(record) == 1 and task != "generate"):
        return _jsonl_texts(path, line, texts, reasons)
    if len(sources) != 1 or not targets_found:
        pair = texts if len(texts) == 2 else ["A", "B"]
        readings = f"say --columns source={pair[0]},target={pair[1]} or source={pair[1]},target={pair[0]}"
        found = f"keys found: {', '.join(record) or 'none'}"
        raise ReadError("columns", display(path), line, found, "source and target", readings)
    source, targets = (sources[0],), tuple(targets_found)
    return Columns("jsonl", source, targets, reasons=(*reasons, _said(source, targets, "by their names")))


def _jsonl_texts(path: PathLike, line: int, texts: list[str], reasons: tuple[str, ...]) -> Columns:
    """The one key that holds text."""
    if len(texts) != 1:
        todo = "say --columns target=KEY"
        raise ReadError("columns", display(path), line, f"keys found: {', '.join(texts) or 'none'}", "one text", todo)
    said = _said((), tuple(texts), "the only key with text")
    return Columns("jsonl", (), tuple(texts), reasons=(*reasons, said))


def _first_record(path: PathLike, head: list[tuple[int, str]]) -> tuple[dict[str, Any], int]:
    """The first line that is a record, and its number; where none is, the error of the first line."""
    failure: ReadError | None = None
    for line, text in head:
        try:
            return parse_record(text), line
        except ValueError as error:
            failure = failure or ReadError("record", display(path), line, str(error))
    assert failure is not None  # a head has a line at least
    raise failure


def _side_by_side(paths: Sequence[PathLike], asked: Asked | None, reasons: tuple[str, ...]) -> Columns:
    if asked is None:
        asked = Asked((1,), tuple(range(2, len(paths) + 1)))
    for key in (*asked.source, *asked.targets):
        if not isinstance(key, int) or key > len(paths):
            raise UsageError("columns", f'column "{key}"', f"the number of a file, 1 to {len(paths)}")
    title = _title(asked.alignment, (), len(paths))
    return Columns("lines", asked.source, asked.targets, width=len(paths), reasons=reasons, alignment=title)
