"""Bytes of a file, chunk by chunk: plain or gzip, from disk or standard input, never from what could hang.

Whether a file is compressed is decided by its first bytes, not by its name. A compressed file that grows by more
than 200 times is refused (text compresses about 3 to 20 times), so a hostile file cannot fill the memory.
"""

from __future__ import annotations

import difflib
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seq2x.data.read_error import ReadError
from seq2x.errors import UsageError

__all__ = ["CHUNK", "chunks"]

CHUNK = 1 << 18  # bytes read at a time
_RATIO, _RATIO_FROM = 200, 16 << 20  # a bomb is told from repetitive text only beyond this many bytes
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}
_FOREIGN_AT = 6  # bytes needed to tell them


def chunks(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The content of `path` in pieces of at most about `CHUNK` bytes; `-` is standard input.

    Raises DataError: no such file, not a regular file (a FIFO or device could hang or never end), changed while it
    was read, damaged or hostile gzip, another kind of archive; UsageError for standard input that is closed.
    """
    name = os.fspath(path)
    if name == "-":
        yield from _standard_input()
        return
    before = _regular(name)
    try:
        with Path(name).open("rb", buffering=0) as file:
            yield from _unpacked(_raw(file), name, Path(name).suffix)
        after = Path(name).stat()
    except OSError as error:
        raise ReadError("unreadable", name, 0, f"cannot be read ({error.strerror or error})") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ReadError(
            "unreadable",
            name,
            0,
            "changed while it was read",
            "a file that nobody writes to",
            "wait for its writer and run again",
        )


def _standard_input() -> Iterator[bytes]:
    name = "standard input"
    if sys.stdin is None:
        raise UsageError(name, "it is closed", "records, one a line", "give a file")
    try:
        yield from _unpacked(_raw(sys.stdin.buffer), name, "")
    except OSError as error:
        raise ReadError("unreadable", name, 0, f"cannot be read ({error.strerror or error})") from error


def _regular(name: str) -> os.stat_result:
    """`os.stat` of a regular file that may be read; DataError for all else."""
    try:
        about = Path(name).stat()
    except FileNotFoundError as error:
        raise ReadError("unreadable", name, 0, "no such file", todo=_near(name)) from error
    except (OSError, ValueError) as error:
        raise ReadError("unreadable", name, 0, f"cannot be read ({error})") from error
    kinds = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISCHR, "a device"))
    for test, kind in (*kinds, (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket")):
        if test(about.st_mode):
            todo = (
                "give the files inside it"
                if kind == "a directory"
                else "save it to a file, or pipe it to standard input (-)"
            )
            raise ReadError("unreadable", name, 0, f"is {kind}", "a file", todo)
    return about


def _near(name: str) -> str:
    """A hint for a file name that does not exist."""
    wanted = Path(name)
    try:
        close = difflib.get_close_matches(wanted.name, [path.name for path in wanted.parent.iterdir()], n=1, cutoff=0.6)
    except OSError:
        return ""
    return f"did you mean {wanted.with_name(close[0])}?" if close else ""


def _raw(file: BinaryIO) -> Iterator[bytes]:
    """What `file` holds, as it comes: on a terminal or a pipe a line is handed on at once."""
    read = getattr(file, "read1", file.read)
    while chunk := read(CHUNK):
        yield chunk


def _unpacked(raw: Iterator[bytes], name: str, suffix: str) -> Iterator[bytes]:
    """`raw` itself, or what it unpacks to where it is gzip."""
    head = b""
    while len(head) < _FOREIGN_AT and b"\n" not in head:
        piece = next(raw, b"")
        if not piece:
            break
        head += piece
    if head.startswith(_GZIP):
        yield from _gunzip(head, raw, name)
        return
    if suffix == ".gz":
        found = "is empty" if not head else "is called .gz but does not begin like gzip"
        raise ReadError("gzip", name, 0, found, "a gzip file", "download or compress it again, or rename it")
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            raise ReadError("unreadable", name, 0, f"looks like {kind}", "text or gzip", "unpack it first")
    if head:
        yield head
    yield from raw


def _gunzip(head: bytes, raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Every member of a gzip stream, in bounded pieces."""
    packed_total, total, data = len(head), 0, head
    unpacker = zlib.decompressobj(wbits=31)
    while True:
        try:
            piece = unpacker.decompress(data, CHUNK)
        except zlib.error as error:
            raise ReadError("gzip", name, 0, f"damaged gzip ({error})", todo="download or compress it again") from error
        total += len(piece)
        if total > max(_RATIO_FROM, _RATIO * packed_total):
            raise ReadError(
                "gzip", name, 0, f"gzip grows more than {_RATIO} times", "text", "unpack it yourself if you trust it"
            )
        if piece:
            yield piece
        data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        if unpacker.eof:
            data, more = _next_member(data, raw)
            packed_total += more
            if not data:
                return
            if not data.startswith(_GZIP):
                raise ReadError(
                    "gzip", name, 0, "bytes after the end of the gzip data", todo="download or compress it again"
                )
            unpacker = zlib.decompressobj(wbits=31)
        elif not data and len(piece) != CHUNK:
            data = next(raw, b"")
            packed_total += len(data)
            if not data:
                raise ReadError(
                    "gzip", name, 0, "gzip ends before its end mark (truncated)", todo="download or compress it again"
                )


def _next_member(data: bytes, raw: Iterator[bytes]) -> tuple[bytes, int]:
    """What follows a finished member, without zero padding (tapes add it): (bytes, how many were newly read)."""
    data, read = data.lstrip(b"\0"), 0
    while len(data) < len(_GZIP):
        piece = next(raw, b"")
        if not piece:
            break
        read += len(piece)
        data = (data + piece).lstrip(b"\0")
    return data, read
