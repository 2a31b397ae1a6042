"""The disk, as a saver sees it: a few calls that can each fail, and what to tell the user when one does.

`commit` (see `seq2x.run`) reaches the disk through a `FileSystem` only, so that a test can stop the world at every
single call and look at what is left.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Protocol

from seq2x.errors import StorageError

__all__ = ["DISK", "Disk", "FileSystem", "replace_file", "require_space", "storage_error", "write_file"]

_FOLDERS_SYNC = os.name == "posix"  # elsewhere a folder has no handle to sync
_SPARE = 1 << 20  # bytes left free beside what a save needs: a full disk troubles everybody else, too


class FileSystem(Protocol):
    """What a save asks of the disk. Every method may raise `OSError`."""

    def mkdir(self, path: Path) -> None:
        """Makes one folder, readable by its owner alone, and makes its name durable."""
        ...

    def create(self, path: Path) -> int:
        """A new file, open for writing; it must not exist yet, not even as a link."""
        ...

    def write(self, file: int, data: memoryview) -> int:
        """Writes some of `data`, says how many bytes."""
        ...

    def fsync(self, file: int) -> None:
        """Returns when the file's bytes would survive a power cut."""
        ...

    def close(self, file: int) -> None: ...

    def sync_folder(self, path: Path) -> None:
        """Returns when the names in the folder would survive a power cut."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Renames in one step: whoever looks sees the old file or the new one."""
        ...

    def unlink(self, path: Path) -> None: ...

    def names(self, folder: Path) -> list[str]:
        """What is in the folder, sorted."""
        ...

    def free(self, folder: Path) -> int:
        """Free bytes."""
        ...


class Disk:
    """The real one.

    A new folder is for its owner alone (0700): run folders quote training data. Files follow the umask, so one
    `chmod 755` of the folders shares a run.
    """

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(path.parent)

    def create(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, file: int, data: memoryview) -> int:
        return os.write(file, data)

    def fsync(self, file: int) -> None:
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def sync_folder(self, path: Path) -> None:
        if not _FOLDERS_SYNC:
            return
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def names(self, folder: Path) -> list[str]:
        return sorted(entry.name for entry in folder.iterdir())

    def free(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free


DISK = Disk()


def write_file(fs: FileSystem, path: Path, data: bytes) -> None:
    """A new file with all of `data`, durable but for its name (`sync_folder` does that).

    A failed fsync is final: the kernel may have dropped the dirty pages, so asking again could answer "fine".
    """
    file = fs.create(path)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[fs.write(file, rest) :]
        fs.fsync(file)
    finally:
        fs.close(file)


def replace_file(fs: FileSystem, path: Path, data: bytes) -> None:
    """`data` as the file `path`, durable, in one rename: a kill leaves the former file or this one, whole."""
    fresh = path.with_name(f".{path.name}.new")
    fs.unlink(fresh)
    write_file(fs, fresh, data)
    fs.replace(fresh, path)
    fs.sync_folder(path.parent)


def require_space(fs: FileSystem, folder: Path, needed: int) -> None:
    """Raises `StorageError` before a save that cannot end well is begun."""
    free = fs.free(folder)
    if free < needed + _SPARE:
        raise StorageError(
            str(folder), f"the disk is full: {needed:,} bytes needed, {free:,} free", todo="free some space"
        )


_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "your quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.EFBIG: "a file may not grow that large (ulimit -f)",
    errno.EIO: "the disk is failing: save your data elsewhere",
    errno.ENOENT: "the folder is gone",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ENAMETOOLONG: "choose a shorter path",
}


def storage_error(error: OSError, folder: Path, needed: int, fs: FileSystem) -> StorageError:
    """What the disk's refusal means for the user: the path, the bytes needed and free, and a way out."""
    try:
        free = f"{fs.free(folder):,} free"
    except OSError:
        free = "free space unknown"
    where = str(error.filename or folder)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(where, f"{reason}: {needed:,} bytes needed, {free}", todo=_ADVICE.get(error.errno or 0, ""))
