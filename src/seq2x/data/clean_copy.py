"""A file of pairs in the form that its name asks for: TSV or JSON lines, gzip or not."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from seq2x.data.held_out import fits_tsv
from seq2x.data.records import is_jsonl_name
from seq2x.storage import DISK
from seq2x.types import Example

__all__ = ["Form", "Written", "write_copy"]

_NAMES = 100
Form: TypeAlias = Literal["tsv", "jsonl"]


@dataclass(slots=True)
class Written:
    """`pairs` were written as `form`; `bare` of them had other columns or fields that it has no place for: `fields`,
    each with the place of the first (the first hundred names; records may have any).
    """

    form: Form
    pairs: int = 0
    bare: int = 0
    fields: dict[str, str] = field(default_factory=dict)


def write_copy(path: Path, rows: Iterable[tuple[Example, Mapping[str, Any]]]) -> Written:
    """Writes examples, each with its whole record: as JSON lines where `path` is called so, else as TSV, or as JSON
    lines nevertheless if a text cannot stand in a TSV; packed where the name ends in .gz.

    Atomic and durable; where there are no rows, what stands at `path` stays. Memory is flat. Raises OSError.
    """
    forms: list[Form] = ["jsonl"] if is_jsonl_name(path.name) else ["tsv", "jsonl"]
    waiting = {form: path.with_name(f".{path.name}.waiting.{form}") for form in forms}
    packed, written = path.name.lower().endswith(".gz"), Written(forms[0])
    try:
        with ExitStack() as stack:
            files = {form: stack.enter_context(_writing(waiting[form], packed)) for form in forms}
            for example, record in rows:
                if written.form == "tsv" and not fits_tsv(example, first=not written.pairs):
                    written.form = "jsonl"
                if written.form == "tsv":
                    files["tsv"].write(f"{example.source}\t{example.targets[0]}\n")
                files["jsonl"].write(json.dumps(record, ensure_ascii=False) + "\n")
                written.pairs += 1
                written.bare += bool(example.extras)
                for name in example.extras:
                    if len(written.fields) < _NAMES:
                        written.fields.setdefault(name, f"{example.file}:{example.line}")
        if written.pairs:
            DISK.replace(waiting[written.form], path)
            DISK.sync_folder(path.parent)
    finally:
        for file in waiting.values():
            file.unlink(missing_ok=True)
    if written.form == "jsonl":
        written.bare, written.fields = 0, {}
    return written


@contextmanager
def _writing(path: Path, packed: bool) -> Iterator[io.TextIOWrapper]:
    """A new text file; its bytes are on the disk when it is closed. Packed, it holds neither name nor time."""
    with path.open("wb") as raw:
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else nullcontext(raw) as file:
            text = io.TextIOWrapper(cast(io.BytesIO, file), "utf-8", newline="\n")
            yield text
            text.flush()
            text.detach()
        raw.flush()
        DISK.fsync(raw.fileno())
