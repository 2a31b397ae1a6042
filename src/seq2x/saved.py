"""What a verified folder holds: handed from `seq2x.run` to whoever builds a model of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seq2x.errors import FolderError
from seq2x.strict_json import JSON, parse_json
from seq2x.tensors import Tensors, unpack_tensors

__all__ = ["FileRecord", "Manifest", "Saved"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a generation: its name in the folder, its size and its sha256 in hexadecimal."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one generation consists of. `tag` is the part of its file names that no other generation has."""

    kind: str
    step: int
    tag: str
    writer: str
    files: Mapping[str, FileRecord]
    about: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Saved:
    """A folder whose every byte agreed with its manifest; the bytes checked are the bytes that are used.

    `warning` is not empty if an older generation had to stand in for a damaged one.
    """

    path: Path
    manifest: Manifest
    contents: Mapping[str, bytes]
    warning: str = ""

    @property
    def kind(self) -> str:
        """What the folder is: "model" or "training"."""
        return self.manifest.kind

    @property
    def step(self) -> int:
        """The number of updates behind these files."""
        return self.manifest.step

    @property
    def about(self) -> Mapping[str, JSON]:
        """The JSON that was committed beside the files."""
        return self.manifest.about

    def where(self, name: str) -> str:
        """The path of a logical file, for messages."""
        return str(self.path / self.manifest.files[name].file) if name in self.manifest.files else str(self.path)

    def read(self, name: str) -> bytes:
        """The bytes of the file with this logical name; `FolderError` if the folder has none."""
        if name not in self.contents:
            raise FolderError(str(self.path), f'no "{name}" in it', ", ".join(sorted(self.contents)))
        return self.contents[name]

    def json(self, name: str) -> JSON:
        """A file as strict JSON; `FolderError` if it is none."""
        return parse_json(self.read(name), self.where(name))

    def tensors(self, name: str, allow_nonfinite: bool = False) -> Tensors:
        """A file as named arrays, every value finite; `FolderError` otherwise (see `seq2x.tensors`)."""
        return unpack_tensors(self.read(name), self.where(name), allow_nonfinite)
