"""What is read to be augmented, and how what comes of it is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from seq2x.data import Notes, in_one_line, input_format, read, read_inputs, sniff
from seq2x.data.clean_copy import write_copy
from seq2x.data.lines import display, iter_lines
from seq2x.errors import DataError, UsageError
from seq2x.storage import DISK, storage_error
from seq2x.types import Example

__all__ = ["Format", "Made", "PathLike", "examples", "require_new", "texts_alone", "write"]

Format: TypeAlias = Literal["auto", "tsv", "lines", "jsonl"]
PathLike: TypeAlias = str | os.PathLike[str]

_HEAD = 1000  # lines looked at


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it: `pairs` were written to `out` as `form`; `lost` outputs were not, by reason."""

    out: Path
    form: Literal["tsv", "jsonl"]
    pairs: int
    lost: Mapping[str, int]


def texts_alone(path: PathLike, format: Format = "auto") -> bool:
    """Whether `path` holds texts, one a line, and no pairs: no line of the first ones has a TAB, and it is no JSON."""
    if format != "auto":
        return format == "lines"
    if input_format(path) == "jsonl":
        return False
    return not any("\t" in (text or "") for _, text in islice(iter_lines(path, on_bad_utf8="skip"), _HEAD))


def examples(path: PathLike, format: Format, columns: str, notes: Notes) -> Iterator[Example]:
    """The pairs of `path`; of a file of texts alone each is a source and its own target. Blank ones are left out."""
    if texts_alone(path, format):
        name = display(path)
        for one in read_inputs(path, notes):
            if one.text.strip():
                yield Example(one.text, (one.text,), one.line, file=name)
            else:
                notes.add("blank", name, one.line)
    else:
        yield from read([path], sniff([path], format, columns, task="generate"), notes)


def require_new(out: PathLike, read: Iterable[PathLike]) -> Path:
    """`out`, where something can be written. Raises `UsageError` if it is one of those `read`, or no regular file."""
    path = Path(out)
    if not str(out).strip() or str(out) == "-":
        raise UsageError("augment", f'--out "{out}"', "the name of a file")
    try:
        if path.exists() and not path.is_file():
            raise UsageError(str(path), "is no regular file", "a new file, or one to replace")
        if any(path.exists() and Path(other).exists() and path.samefile(other) for other in read):
            raise UsageError(str(path), "is one of the inputs", "a new file")
    except (OSError, ValueError) as error:
        raise UsageError(str(out)[:200], f"it cannot be a path ({error})", "the name of a file") from error
    return path


def write(
    out: Path, pairs: Iterable[tuple[str, str]], read: PathLike, lost: Mapping[str, int] = MappingProxyType({})
) -> Made:
    """Writes `pairs` to `out`, atomically: as JSON lines if it is called so or a text has a TAB, else as TSV.

    `lost` is filled while they are made. Raises `DataError` where there is nothing to write, `StorageError`.
    """
    plain = ((in_one_line(source), in_one_line(target)) for source, target in pairs)
    rows = ((Example(s, (t,), n), {"source": s, "target": t}) for n, (s, t) in enumerate(plain, 1))
    try:
        written = write_copy(out, rows)
    except OSError as error:
        raise storage_error(error, out.parent, 0, DISK) from error
    if not written.pairs:
        raise DataError(display(read), "nothing comes of it", "texts that are not blank")
    return Made(out, written.form, written.pairs, lost)
