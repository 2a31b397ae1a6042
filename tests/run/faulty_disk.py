"""Disks that fail, stop the world, or forget: what `commit` is tried on."""

from __future__ import annotations

import os
from pathlib import Path

from seq2x.storage import Disk


class Crash(BaseException):
    """The process is gone: no handler of an error may run, so this is no `Exception`."""


class WatchedDisk(Disk):
    """Records every call; at call `at` (from 1) raises `failure`, a write after half of its bytes."""

    def __init__(self, at: int = 0, failure: BaseException | None = None) -> None:
        self.at, self.failure = at, failure
        self.calls: list[str] = []
        self._paths: dict[int, str] = {}

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if len(self.calls) == self.at and self.failure is not None:
            raise self.failure

    def mkdir(self, path: Path) -> None:
        self._called(f"mkdir {path.name}")
        super().mkdir(path)

    def create(self, path: Path) -> int:
        self._called(f"create {path.name}")
        file = super().create(path)
        self._paths[file] = path.name
        return file

    def write(self, file: int, data: memoryview) -> int:
        if len(self.calls) + 1 == self.at:
            os.write(file, data[: len(data) // 2])
        self._called(f"write {self._paths[file]}")
        return super().write(file, data)

    def fsync(self, file: int) -> None:
        self._called(f"fsync {self._paths[file]}")

    def sync_folder(self, path: Path) -> None:
        self._called("sync folder")

    def replace(self, source: Path, target: Path) -> None:
        self._called(f"replace {source.name} {target.name}")
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._called(f"unlink {path.name}")
        super().unlink(path)

    def names(self, folder: Path) -> list[str]:
        self._called("names")
        return super().names(folder)

    def free(self, folder: Path) -> int:
        self._called("free")
        return super().free(folder)


class ForgetfulDisk(WatchedDisk):
    """A crash here is a power cut: `lose` undoes what was not made durable, in one of two ways.

    `names_survive`: the folder's changes reached the disk, contents not fsynced did not. Otherwise: whatever was
    done to the folder since it was last synced never happened.
    """

    def __init__(self, at: int) -> None:
        super().__init__(at, Crash())
        self._dirty: set[Path] = set()
        self._undo: list[tuple[Path, bytes | None]] = []  # (path, what it held before)

    def create(self, path: Path) -> int:
        file = super().create(path)
        self._dirty.add(path)
        self._undo.append((path, None))
        return file

    def fsync(self, file: int) -> None:
        super().fsync(file)
        self._dirty = {path for path in self._dirty if path.name != self._paths[file]}

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self._undo.clear()

    def replace(self, source: Path, target: Path) -> None:
        before = [(path, path.read_bytes() if path.exists() else None) for path in (source, target)]
        super().replace(source, target)
        if source in self._dirty:
            self._dirty.add(target)
        self._undo += before

    def unlink(self, path: Path) -> None:
        before = path.read_bytes() if path.exists() else None
        super().unlink(path)
        self._undo.append((path, before))

    def lose(self, names_survive: bool) -> None:
        for path in self._dirty:
            if path.exists():
                path.write_bytes(b"")
        if not names_survive:
            for path, before in reversed(self._undo):
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(before)
