"""One writer per run folder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from seq2x.errors import BusyError, StorageError

try:
    import fcntl
except (
    ImportError
):  # pragma: no cover  # no such call outside POSIX: there the folder is not guarded, and the manual says so
    fcntl = None  # type: ignore[assignment]  # the module is used only where it exists

__all__ = ["Lock"]

_NAME = ".lock"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """`with Lock(folder):` makes this process the only one that writes there; `BusyError` names the one that does.

    It is the kernel's own lock (flock), so it ends with its holder, however that ends. The record in the file
    (process, host, start) is for people and is never taken as proof. A forked child does not hold it.
    Raises `StorageError` where the folder cannot be locked.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file = -1

    def __enter__(self) -> Lock:
        path = self.folder / _NAME
        try:
            self._file = os.open(path, _FLAGS, 0o666)
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sign()
        except BlockingIOError:
            owner = self._owner()
            self._close()
            raise BusyError(
                str(self.folder), owner, "to be alone here", "wait for it, or choose another --out"
            ) from None
        except OSError as error:
            self._close()
            raise StorageError(str(path), f"cannot lock the folder: {error.strerror}") from error
        _held.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _held.discard(self)
        if self._file >= 0:
            os.ftruncate(self._file, 0)
        self._close()

    def _close(self) -> None:
        """Closing releases. The file stays: removing it would let two processes lock two files of one name."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _sign(self) -> None:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"pid": os.getpid(), "host": platform.node(), "started": started}
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)  # pwrite and pread are of POSIX alone
        os.write(self._file, json.dumps(record).encode())

    def _owner(self) -> str:
        """Who is there, as the holder wrote it. It may not have signed yet, over the record of one that was killed."""
        for _ in range(20):
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, ProcessLookupError):
                os.lseek(self._file, 0, os.SEEK_SET)
                record = json.loads(os.read(self._file, 4096))
                if record["host"] == platform.node():
                    with contextlib.suppress(PermissionError):  # somebody else's process is a process
                        os.kill(record["pid"], 0)
                return f"process {record['pid']} on {record['host']} works here since {record['started']}"
            time.sleep(0.01)
        return "another process works here"


def _forget() -> None:
    """In a forked child: lets go of the parent's locks, which would outlive a killed parent otherwise."""
    for lock in list(_held):
        lock._close()
    _held.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_forget)
