"""Tokenised once: examples as memory-mapped arrays, with the raw text beside them.

    store.json             the commit: written last, by one atomic rename; names, sizes and sha256 of the files
    T.source.ids           int32 symbols of all sources, each closed by `</s>`; T is a tag of this version
    T.source.ends          int64: row r is ids[ends[r-1]:ends[r]]
    T.target.ids/.ends     the same of the targets
    T.copies.ids           for models that copy, beside source.ids: the target symbol of each (`seq2x.codecs.copying`)
    T.text, T.text.ends    UTF-8: source and target of each row, one behind the other; two ends a row
    T.lines                int64: the line of each row in its file
    T.set_aside            line, source symbols, target symbols of each example that is not used (TAB between), and why
                           where it is not for its length
    T.links.ids/.ends      only where alignments are given: int32 target symbol, source symbol of each link of a row

Numbers are little-endian. Memory stays flat while writing and reading: a corpus may be larger than memory. An example
with several right outputs is one row for each of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.notes import Notes
from seq2x.data.source import chunks
from seq2x.errors import FolderError
from seq2x.strict_json import parse_json
from seq2x.types import Codec, Example

__all__ = [
    "COPIES",
    "LINKS",
    "MANIFEST",
    "PARTS",
    "VERSION",
    "Store",
    "data_fingerprint",
    "is_part",
    "open_store",
    "store_key",
    "too_long",
]

VERSION = 1
_AGAIN = "train with --restart prepares it anew"
MANIFEST = "store.json"
PARTS = ("source.ids", "source.ends", "target.ids", "target.ends", "text", "text.ends", "lines", "set_aside")
LINKS = ("links.ids", "links.ends")
COPIES = "copies.ids"  # a part of what models that copy learn from
_VERIFY = 512 << 20  # bytes up to which sums are checked on opening (half a second); above, only sizes are
_Ints: TypeAlias = npt.NDArray[np.integer[Any]]
_Int32: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Store:
    """Rows of symbols. `source_ids`, `target_ids` and `text` are memory maps; lengths (int32 `[rows]`) count `</s>`."""

    folder: Path
    key: str
    source_ids: _Ints
    source_ends: _Ints
    source_lengths: _Int32
    target_ids: _Ints
    target_ends: _Ints
    target_lengths: _Int32
    text: npt.NDArray[np.uint8]
    text_ends: _Ints
    lines: _Ints
    aside: npt.NDArray[np.uint8]
    set_aside: int
    source_size: int
    target_size: int
    link_ids: _Ints | None = None
    link_ends: _Ints | None = None
    copy_ids: _Ints | None = None

    def __len__(self) -> int:
        return len(self.source_lengths)

    def source(self, row: int) -> _Ints:
        """Symbols of the source of `row`, `</s>` last."""
        end = int(self.source_ends[row])
        return self.source_ids[end - int(self.source_lengths[row]) : end]

    def target(self, row: int) -> _Ints:
        """Symbols of the target of `row`, `</s>` last."""
        end = int(self.target_ends[row])
        return self.target_ids[end - int(self.target_lengths[row]) : end]

    def links(self, row: int) -> _Ints:
        """`[L,2]`: (target symbol, source symbol) of each given link of `row`; none where no alignments are given."""
        if self.link_ids is None or self.link_ends is None:
            return np.zeros((0, 2), np.int32)
        start = int(self.link_ends[row - 1]) if row else 0
        return self.link_ids[start : int(self.link_ends[row])].reshape(-1, 2)

    def texts(self, row: int) -> tuple[str, str]:
        """The raw source and target of `row`."""
        start = int(self.text_ends[2 * row - 1]) if row else 0
        middle, end = (int(self.text_ends[2 * row + i]) for i in (0, 1))
        return bytes(self.text[start:middle]).decode(), bytes(self.text[middle:end]).decode()

    def example(self, row: int) -> Example:
        """The raw example of `row`; further columns are not kept."""
        source, target = self.texts(row)
        return Example(source, (target,), int(self.lines[row]))

    def note_set_aside(self, notes: Notes, name: str, max_source_length: int) -> None:
        """Adds to `notes` what was set aside when this was written, under `name`: no file is kept."""
        for row in bytes(self.aside).splitlines():
            line, source, _, *why = row.split(b"\t")
            notes.add(why[0].decode() if why else too_long(int(source), max_source_length), name, int(line))


# ------------------------------------------------------------------ fingerprints


def data_fingerprint(paths: Iterable[str | os.PathLike[str]]) -> str:
    """sha256 over the (unpacked) bytes and sizes of the files, in their order: what a store was made of."""
    total = hashlib.sha256()
    for path in paths:
        size = 0
        for chunk in chunks(path):
            total.update(chunk)
            size += len(chunk)
        total.update(f"\0{size}\0".encode())
    return total.hexdigest()


def store_key(fingerprint: str, source_codec: Codec, target_codec: Codec, *settings: object) -> str:
    """What a store depends on, as one string: the data, both codecs and every setting that shapes its rows."""
    total = hashlib.sha256(fingerprint.encode())
    for codec in (source_codec, target_codec):
        to_bytes: Callable[[], bytes] | None = getattr(codec, "to_bytes", None)
        total.update(b"\0" + (to_bytes() if to_bytes else repr(codec).encode()))
    total.update(json.dumps([VERSION, *map(str, settings)]).encode())
    return total.hexdigest()


# ------------------------------------------------------------------ reading


def open_store(folder: Path, key: str | None = None) -> Store:
    """The store in `folder`, as memory maps.

    Raises FolderError if there is none, if it is damaged, or if it was made for another `key` (other data, codecs or
    settings): write it again then.
    """
    path = folder / MANIFEST
    try:
        about = parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise FolderError(str(folder), "no prepared data here", MANIFEST, _AGAIN) from error
    try:
        tag, rows, files = str(about["tag"]), int(about["rows"]), dict(about["files"])
        parts = (*PARTS, *(part for part in (*LINKS, COPIES) if part in files))
        sizes = {part: int(files[part]["size"]) for part in parts}
        numbers = [int(about[name]) for name in ("set_aside", "source_size", "target_size")]
        version, found = about["format"], str(about["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(str(path), "not the description of prepared data", todo=_AGAIN) from error
    if version != VERSION:
        raise FolderError(str(path), f"format {version}", f"format {VERSION}", _AGAIN)
    if key is not None and found != key:
        raise FolderError(str(folder), "prepared from other data or settings", todo=_AGAIN)
    if not is_part(f"{tag}.text"):
        raise FolderError(str(path), "not the description of prepared data", todo=_AGAIN)
    maps = {part: _map(folder / f"{tag}.{part}", size, part) for part, size in sizes.items()}
    if sum(sizes.values()) <= _VERIFY:
        for part, data in maps.items():
            if hashlib.sha256(data.data).hexdigest() != files[part].get("sha256"):
                raise FolderError(str(folder / f"{tag}.{part}"), "damaged (its sha256 differs)", todo=_AGAIN)
    return _assemble(folder, found, rows, maps, numbers)


def _map(path: Path, size: int, part: str) -> npt.NDArray[Any]:
    """A file as an array; numpy cannot map an empty one."""
    kind = "<i4" if part.endswith(".ids") else "<i8" if part.endswith(".ends") or part == "lines" else "u1"
    try:
        found = path.stat().st_size if path.is_file() and not path.is_symlink() else -1
        if found != size or size % np.dtype(kind).itemsize:
            raise FolderError(str(path), f"{found} bytes" if found >= 0 else "missing", f"{size} bytes", _AGAIN)
        return np.memmap(path, kind, "r") if size else np.zeros(0, kind)
    except OSError as error:
        raise FolderError(str(path), f"cannot be read ({error.strerror})") from error


def _assemble(folder: Path, key: str, rows: int, maps: dict[str, npt.NDArray[Any]], numbers: list[int]) -> Store:
    lengths: dict[str, npt.NDArray[np.int32]] = {}
    for side in ("source", "target"):
        ends = maps[f"{side}.ends"]
        found = np.diff(ends, prepend=0)
        if len(ends) != rows or (rows and (int(ends[-1]) != len(maps[f"{side}.ids"]) or found.min() < 1)):
            raise FolderError(str(folder), f"the {side}s do not fit together", todo=_AGAIN)
        lengths[side] = found.astype(np.int32)
    if len(maps["text.ends"]) != 2 * rows or len(maps["lines"]) != rows:
        raise FolderError(str(folder), "texts and rows do not fit together", todo=_AGAIN)
    link_ids, link_ends = (maps.get(part) for part in LINKS)
    if link_ids is not None and link_ends is not None:
        ascending = len(link_ends) == rows and (np.diff(link_ends, prepend=0) >= 0).all()
        if not ascending or int(link_ends[-1]) != len(link_ids) or (np.asarray(link_ends) % 2).any():
            raise FolderError(str(folder), "links and rows do not fit together", todo=_AGAIN)
    (set_aside, source_size, target_size), copy_ids = numbers, maps.get(COPIES)
    if copy_ids is not None and len(copy_ids) != len(maps["source.ids"]):
        raise FolderError(str(folder), "sources and what is copied of them do not fit together", todo=_AGAIN)
    return Store(
        folder, key,
        maps["source.ids"], maps["source.ends"], lengths["source"],
        maps["target.ids"], maps["target.ends"], lengths["target"],
        maps["text"], maps["text.ends"], maps["lines"], maps["set_aside"],
        set_aside, source_size, target_size, link_ids, link_ends, copy_ids,
    )  # fmt: skip


# ------------------------------------------------------------------ what both sides know


def is_part(name: str) -> bool:
    """Whether `name` is that of a file of a version of a store."""
    tag, _, part = name.partition(".")
    return len(tag) == 16 and part in (*PARTS, *LINKS, COPIES, "json")


def too_long(source: int, limit: int) -> str:
    """Why a too long pair with `source` symbols is set aside."""
    return "source_too_long" if source > limit else "target_too_long"
