"""Tokenised once: examples as memory-mapped arrays, with the raw text beside them.

    store.json             the commit: written last, by one atomic rename; names, sizes and sha256 of the files
    T.source.ids           int32 symbols of all sources, each closed by `</s>`; T is a tag of this version
    T.source.ends          int64: row r is ids[ends[r-1]:ends[r]]
    T.target.ids/.ends     the same of the targets
    T.text, T.text.ends    UTF-8: source and target of each row, one behind the other; two ends a row
    T.lines                int64: the line of each row in its file
    T.set_aside            line, source symbols, target symbols of each example that is not used (TAB between)

Numbers are little-endian. Memory stays flat while writing and reading: a corpus may be larger than memory. An example
with several right outputs is one row for each of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from seq2x.data.frames import Frames
from seq2x.data.notes import Notes
from seq2x.data.portions import portions
from seq2x.data.source import chunks
from seq2x.errors import DataError, FolderError
from seq2x.storage import DISK, storage_error, write_file
from seq2x.strict_json import dump_json, parse_json
from seq2x.types import EOS, Codec, Example

__all__ = ["Store", "data_fingerprint", "open_store", "store_key", "write_store"]

_VERSION = 1
_AGAIN = "train with --restart prepares it anew"
_MANIFEST = "store.json"
_PARTS = ("source.ids", "source.ends", "target.ids", "target.ends", "text", "text.ends", "lines", "set_aside")
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

    def texts(self, row: int) -> tuple[str, str]:
        """The raw source and target of `row`."""
        start = int(self.text_ends[2 * row - 1]) if row else 0
        middle, end = (int(self.text_ends[2 * row + i]) for i in (0, 1))
        return bytes(self.text[start:middle]).decode(), bytes(self.text[middle:end]).decode()

    def example(self, row: int) -> Example:
        """The raw example of `row`; further columns are not kept."""
        source, target = self.texts(row)
        return Example(source, (target,), int(self.lines[row]))

    def note_set_aside(self, notes: Notes, name: str, max_source_length: int, max_target_length: int) -> None:
        """Adds to `notes` what was set aside when this was written, under `name`: no file is kept."""
        for row in bytes(self.aside).splitlines():
            line, source, target = map(int, row.split(b"\t"))
            notes.add(_reason(source, target, (max_source_length, max_target_length)), name, line)


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
    total.update(json.dumps([_VERSION, *map(str, settings)]).encode())
    return total.hexdigest()


# ------------------------------------------------------------------ writing


def write_store(
    folder: Path,
    examples: Iterable[Example],
    source_codec: Codec,
    target_codec: Codec,
    max_source_length: int,
    max_target_length: int,
    *,
    key: str = "",
    notes: Notes | None = None,
    name: str = "data",
    frames: int = 0,
) -> Store:
    """Tokenises `examples` into `folder` and opens the result.

    An example with more symbols than a limit, `</s>` not counted, or one whose target does not fit into so many
    `frames` for each source symbol (0: any does) is set aside: counted, listed, noted by its file and line (under
    `name`, where it is from no file). Whoever looks during the writing, or after a crash, finds the former store or
    none. Raises DataError if no row is left, or if most targets do not fit, StorageError if the disk refuses.
    """
    notes = Notes() if notes is None else notes
    writer = _Writer(folder, notes, name, max_source_length, max_target_length, Frames(frames))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writer.open(stack)
            for some in portions(examples):
                writer.add(some, _encode(source_codec, [e.source for e in some]), _encode_targets(target_codec, some))
            writer.frames.require_most()
            if not writer.rows:
                places = [place for kind in notes.places.values() for place in kind]
                raise DataError(places[0][0] if places else name, "no examples left", todo=notes.summary())
            writer.close()
        writer.commit(key, source_codec.size, target_codec.size)
    except OSError as error:
        writer.discard()
        raise storage_error(error, folder, writer.bytes_written, DISK) from error
    except BaseException:
        writer.discard()
        raise
    return open_store(folder, key)


def _encode(codec: Codec, texts: list[str]) -> list[list[int]]:
    many: Callable[[list[str]], list[list[int]]] | None = getattr(codec, "encode_batch", None)
    return many(texts) if many else [codec.encode(text) for text in texts]


def _encode_targets(codec: Codec, examples: Sequence[Example]) -> list[list[list[int]]]:
    """Symbols of every right output of every example."""
    flat = iter(_encode(codec, [target for example in examples for target in example.targets]))
    return [list(islice(flat, len(example.targets))) for example in examples]


class _Writer:
    """The files of a store while they grow; each chunk of examples is appended and forgotten."""

    def __init__(self, folder: Path, notes: Notes, name: str, max_source: int, max_target: int, frames: Frames) -> None:
        self.folder, self.notes, self.name, self.frames = folder, notes, name, frames
        self.limits = (max_source, max_target)
        self.tag = os.urandom(8).hex()
        self.rows = self.set_aside = self.bytes_written = 0
        self.ends = {"source.ids": 0, "target.ids": 0, "text": 0}
        self.sums = {part: hashlib.sha256() for part in _PARTS}
        self.sizes = dict.fromkeys(_PARTS, 0)
        self.files: dict[str, BinaryIO] = {}

    def path(self, part: str) -> Path:
        return self.folder / f"{self.tag}.{part}"

    def open(self, stack: ExitStack) -> None:
        for part in _PARTS:
            self.files[part] = stack.enter_context(self.path(part).open("xb"))

    def add(self, examples: Sequence[Example], sources: list[list[int]], targets: list[list[list[int]]]) -> None:
        """Appends the rows of some examples."""
        kept_sources: list[list[int]] = []
        kept_targets: list[list[int]] = []
        texts: list[bytes] = []
        lines: list[int] = []
        for example, source, several in zip(examples, sources, targets, strict=True):
            for text, target in zip(example.targets, several, strict=True):
                long = len(source) > self.limits[0] or len(target) > self.limits[1]
                if long or self.frames.lack(source, target, example.file or self.name, example.line):
                    self._set_aside(example, len(source), len(target))
                    continue
                kept_sources.append(source)
                kept_targets.append(target)
                texts += (example.source.encode(), text.encode())
                lines.append(example.line)
        self._append_ids("source", kept_sources)
        self._append_ids("target", kept_targets)
        self._append("text", b"".join(texts))
        self._append_ends("text", [len(text) for text in texts])
        self._append("lines", np.asarray(lines, "<i8").tobytes())
        self.rows += len(lines)

    def _set_aside(self, example: Example, source: int, target: int) -> None:
        self.set_aside += 1
        self._append("set_aside", f"{example.line}\t{source}\t{target}\n".encode())
        self.notes.add(_reason(source, target, self.limits), example.file or self.name, example.line)

    def _append_ids(self, side: str, rows: list[list[int]]) -> None:
        flat = np.fromiter((symbol for row in rows for symbol in (*row, EOS)), "<i4")
        self._append(f"{side}.ids", flat.tobytes())
        self._append_ends(f"{side}.ids", [len(row) + 1 for row in rows])

    def _append_ends(self, part: str, lengths: list[int]) -> None:
        ends = np.cumsum(np.asarray(lengths, "<i8")) + self.ends[part]
        if len(ends):
            self.ends[part] = int(ends[-1])
        self._append(f"{part.removesuffix('.ids')}.ends", ends.astype("<i8").tobytes())

    def _append(self, part: str, data: bytes) -> None:
        self.files[part].write(data)
        self.sums[part].update(data)
        self.sizes[part] += len(data)
        self.bytes_written += len(data)

    def close(self) -> None:
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())

    def commit(self, key: str, source_size: int, target_size: int) -> None:
        """Makes this version the store, then removes what belongs to none."""
        files = {part: {"size": self.sizes[part], "sha256": self.sums[part].hexdigest()} for part in _PARTS}
        about = {"format": _VERSION, "key": key, "tag": self.tag, "rows": self.rows, "files": files}
        about |= {"set_aside": self.set_aside, "source_size": source_size, "target_size": target_size}
        waiting = self.path("json")
        write_file(DISK, waiting, dump_json(about))
        DISK.sync_folder(self.folder)
        waiting.replace(self.folder / _MANIFEST)
        DISK.sync_folder(self.folder)
        for path in self.folder.iterdir():
            if _is_part(path.name) and not path.name.startswith(self.tag):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        for part in (*_PARTS, "json"):
            with suppress(OSError):  # the reason to give up is the one to tell
                self.path(part).unlink(missing_ok=True)


def _reason(source: int, target: int, limits: tuple[int, int]) -> str:
    """Why a pair of so many symbols is set aside."""
    if source > limits[0]:
        return "source_too_long"
    return "target_too_long" if target > limits[1] else "target_without_room"


def _is_part(name: str) -> bool:
    tag, _, part = name.partition(".")
    return len(tag) == 16 and part in (*_PARTS, "json")


# ------------------------------------------------------------------ reading


def open_store(folder: Path, key: str | None = None) -> Store:
    """The store in `folder`, as memory maps.

    Raises FolderError if there is none, if it is damaged, or if it was made for another `key` (other data, codecs or
    settings): write it again then.
    """
    path = folder / _MANIFEST
    try:
        about = parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise FolderError(str(folder), "no prepared data here", _MANIFEST, _AGAIN) from error
    try:
        tag, rows, files = str(about["tag"]), int(about["rows"]), dict(about["files"])
        sizes = {part: int(files[part]["size"]) for part in _PARTS}
        numbers = [int(about[name]) for name in ("set_aside", "source_size", "target_size")]
        version, found = about["format"], str(about["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(str(path), "not the description of prepared data", todo=_AGAIN) from error
    if version != _VERSION:
        raise FolderError(str(path), f"format {version}", f"format {_VERSION}", _AGAIN)
    if key is not None and found != key:
        raise FolderError(str(folder), "prepared from other data or settings", todo=_AGAIN)
    if not _is_part(f"{tag}.text"):
        raise FolderError(str(path), "not the description of prepared data", todo=_AGAIN)
    maps = {part: _map(folder / f"{tag}.{part}", sizes[part], part) for part in _PARTS}
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
    return Store(
        folder, key,
        maps["source.ids"], maps["source.ends"], lengths["source"],
        maps["target.ids"], maps["target.ends"], lengths["target"],
        maps["text"], maps["text.ends"], maps["lines"], maps["set_aside"], *numbers,
    )  # fmt: skip
