"""Writing a store: examples become symbols, chunk by chunk, and what cannot be learned from is set aside.

The files stand in `seq2x.data.store`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seq2x.codecs.copying import Copied, Copies
from seq2x.data.frames import Frames
from seq2x.data.links import parse_links, symbol_links
from seq2x.data.notes import Notes
from seq2x.data.portions import portions
from seq2x.data.store import COPIES, LINKS, MANIFEST, PARTS, VERSION, Store, is_part, open_store, too_long
from seq2x.errors import DataError
from seq2x.storage import DISK, storage_error, write_file
from seq2x.strict_json import dump_json
from seq2x.types import EOS, Codec, Example

__all__ = ["write_store"]

_OF_LENGTH = ("source_too_long", "target_too_long")


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
    alignment: str = "",
    copies: Copies | None = None,
    only_copies: bool = False,
    frames: int = 0,
) -> Store:
    """Tokenises `examples` into `folder` and opens the result.

    An example with more symbols than a limit, `</s>` not counted, is set aside: counted, listed, noted by its file and
    line (under `name`, where it is from no file). `alignment`: the name of the extra in which every example has the
    links of its words (see `seq2x.data.links`), which are kept as links of symbols. With `copies`, for a model that
    copies, targets are written with what only their source has; with `only_copies` what its source does not hold at all
    is set aside, too, and so is, with `frames`, a target that does not fit into so many for each source symbol. Whoever
    looks during the writing, or after a crash, finds the former store or none. Raises DataError if no row is left, if
    most targets do not fit, or links are none, StorageError if the disk refuses.
    """
    notes = Notes() if notes is None else notes
    linked = _Linked(source_codec, target_codec, alignment, name) if alignment else None
    sieve = _Sieve((max_source_length, max_target_length), only_copies, Frames(frames), name)
    writer = _Writer(folder, notes, name, sieve, linked, copies is not None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writer.open(stack)
            for some in portions(examples):
                sources = _encode(source_codec, [e.source for e in some])
                if copies is None:
                    writer.add(some, sources, _encode_targets(target_codec, some))
                else:
                    copied = [copies(e.source, symbols) for e, symbols in zip(some, sources, strict=True)]
                    writer.add(some, sources, _written(copies, some, copied), [one.ids for one in copied])
            sieve.frames.require_most()
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


def _written(copies: Copies, examples: Sequence[Example], copied: Sequence[Copied]) -> list[list[list[int]]]:
    """As `_encode_targets`, with the numbers of what only the source has."""
    numbers = [copies.more(one) for one in copied]
    return [[copies.target.encode(text, more) for text in e.targets] for e, more in zip(examples, numbers, strict=True)]


class _Writer:
    """The files of a store while they grow; each chunk of examples is appended and forgotten."""

    def __init__(
        self,
        folder: Path,
        notes: Notes,
        name: str,
        sieve: _Sieve,
        linked: _Linked | None,
        copies: bool,
    ) -> None:
        self.folder, self.notes, self.name, self.sieve = folder, notes, name, sieve
        self.parts: tuple[str, ...] = (*PARTS, COPIES) if copies else PARTS
        self.tag = os.urandom(8).hex()
        self.rows = self.set_aside = self.bytes_written = 0
        self.linked = linked
        self.parts += () if linked is None else LINKS
        self.ends = {"source.ids": 0, "target.ids": 0, "text": 0, "links.ids": 0}
        self.sums = {part: hashlib.sha256() for part in self.parts}
        self.sizes = dict.fromkeys(self.parts, 0)
        self.files: dict[str, BinaryIO] = {}

    def path(self, part: str) -> Path:
        return self.folder / f"{self.tag}.{part}"

    def open(self, stack: ExitStack) -> None:
        for part in self.parts:
            self.files[part] = stack.enter_context(self.path(part).open("xb"))

    def add(
        self,
        examples: Sequence[Example],
        sources: list[list[int]],
        targets: list[list[list[int]]],
        copied: list[list[int]] | None = None,
    ) -> None:
        """Appends the rows of some examples; `copied`: what copying each source symbol means."""
        kept_sources: list[list[int]] = []
        kept_copies: list[list[int]] = []
        kept_targets: list[list[int]] = []
        texts: list[bytes] = []
        lines: list[int] = []
        links: list[list[int]] = []
        for number, (example, source, several) in enumerate(zip(examples, sources, targets, strict=True)):
            ids = None if copied is None else copied[number]
            for text, target in zip(example.targets, several, strict=True):
                if reason := self.sieve.reason(example, source, target, ids):
                    self._set_aside(example, len(source), len(target), reason)
                    continue
                kept_sources.append(source)
                kept_copies += [] if ids is None else [ids]
                kept_targets.append(target)
                texts += (example.source.encode(), text.encode())
                lines.append(example.line)
                if self.linked is not None:
                    links.append(self.linked.flat(example, source, target))
        self._append_ids("source", kept_sources)
        if copied is not None:
            self._append(COPIES, _closed(kept_copies).tobytes())
        self._append_ids("target", kept_targets)
        self._append("text", b"".join(texts))
        self._append_ends("text", [len(text) for text in texts])
        self._append("lines", np.asarray(lines, "<i8").tobytes())
        if self.linked is not None:
            self._append("links.ids", np.asarray([number for row in links for number in row], "<i4").tobytes())
            self._append_ends("links.ids", [len(row) for row in links])
        self.rows += len(lines)

    def _set_aside(self, example: Example, source: int, target: int, reason: str) -> None:
        self.set_aside += 1
        why = "" if reason in _OF_LENGTH else f"\t{reason}"
        self._append("set_aside", f"{example.line}\t{source}\t{target}{why}\n".encode())
        self.notes.add(reason, example.file or self.name, example.line)

    def _append_ids(self, side: str, rows: list[list[int]]) -> None:
        self._append(f"{side}.ids", _closed(rows).tobytes())
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
        files = {part: {"size": self.sizes[part], "sha256": self.sums[part].hexdigest()} for part in self.parts}
        about = {"format": VERSION, "key": key, "tag": self.tag, "rows": self.rows, "files": files}
        about |= {"set_aside": self.set_aside, "source_size": source_size, "target_size": target_size}
        waiting = self.path("json")
        write_file(DISK, waiting, dump_json(about))
        DISK.sync_folder(self.folder)
        waiting.replace(self.folder / MANIFEST)
        DISK.sync_folder(self.folder)
        for path in self.folder.iterdir():
            if is_part(path.name) and not path.name.startswith(self.tag):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        for part in (*self.parts, "json"):
            with suppress(OSError):  # the reason to give up is the one to tell
                self.path(part).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Sieve:
    """Which pairs are learned from. `limits`: how many symbols a source and a target may have; `only_copies`: a target
    has to be made of what its source holds; `frames`: the places that it has to fit into. `name`: see `write_store`.
    """

    limits: tuple[int, int]
    only_copies: bool
    frames: Frames
    name: str

    def reason(self, example: Example, source: list[int], target: list[int], copied: list[int] | None) -> str:
        """Why a pair is set aside (a kind of note); empty if it is not. `copied`: what copying each symbol means."""
        if len(source) > self.limits[0] or len(target) > self.limits[1]:
            return too_long(len(source), self.limits[0])
        if copied is not None and self.only_copies and not set(target).issubset(copied):
            return "cannot_copy"
        if self.frames.lack(source, target, example.file or self.name, example.line):
            return "target_without_room"
        return ""


@dataclass(frozen=True, slots=True)
class _Linked:
    """How the words of an example become symbols, for its links."""

    source_codec: Codec
    target_codec: Codec
    alignment: str
    name: str

    def flat(self, example: Example, source: list[int], target: list[int]) -> list[int]:
        """Target and source symbol of each link, one behind the other. Raises DataError naming file and line."""
        where = f"{example.file or self.name}:{example.line}"
        given = example.extras.get(self.alignment)
        if given is None:
            raise DataError(where, f'no alignment "{self.alignment}"', "links i-j of words, or an empty text for none")
        words = self.source_codec.word_of(source), self.target_codec.word_of(target)
        try:
            pairs = symbol_links(parse_links(given), *words)
        except ValueError as error:
            raise DataError(where, str(error)) from error
        return [number for pair in pairs for number in pair]


def _closed(rows: list[list[int]]) -> npt.NDArray[Any]:
    """Rows of symbols, one behind the other, each closed by `</s>`."""
    return np.fromiter((symbol for row in rows for symbol in (*row, EOS)), "<i4")
