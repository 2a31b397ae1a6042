"""Files as numbered lines of text. The rules, in one place:

- Only `\\n` ends a line, and one `\\r` right before it is dropped. N line ends are N records; text after the last
  line end is one more.
- A byte order mark at the very start is dropped and noted.
- A carriage return elsewhere in a line is read as one blank and noted. U+2028, U+2029, U+0085, VT, FF, NUL and all
  other characters are content; those that other programs take for line ends are noted.
- A text of JSON may hold line ends; each is read as one blank and noted (`in_one_line`).
- Text is UTF-8, strictly. Nothing is replaced silently.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from seq2x.data.notes import Notes
from seq2x.data.read_error import ReadError
from seq2x.data.source import chunks

__all__ = [
    "MAX_LINE_BYTES",
    "BadUtf8",
    "PathLike",
    "count_carriage_returns",
    "count_lines",
    "display",
    "guess_encoding",
    "in_one_line",
    "iter_lines",
]

PathLike: TypeAlias = str | os.PathLike[str]
BadUtf8: TypeAlias = Literal["error", "skip"]

MAX_LINE_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"
_WESTERN = "«»‘’“”„‹›–—…•€£§°©®™·¿¡\xa0"  # beside letters, what cp1252 is used for; "ä½" is a torn Chinese character
_GUESSED_FROM = 1000  # lines
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATORS = re.compile("[\u2028\u2029\x85\x0b\x0c]")


def display(path: PathLike) -> str:
    """How a path is called in messages."""
    return "standard input" if os.fspath(path) == "-" else os.fspath(path)


def in_one_line(text: str) -> str:
    """`text` with each line end (CR LF, LF or CR) made one blank: outputs hold none, so a right one that did could not
    be produced."""
    return _LINE_END.sub(" ", text) if "\n" in text or "\r" in text else text


def iter_lines(
    path: PathLike, notes: Notes | None = None, *, max_line_bytes: int = MAX_LINE_BYTES, on_bad_utf8: BadUtf8 = "error"
) -> Iterator[tuple[int, str | None]]:
    """(line number from 1, text) of every record of `path`; text None is a line that is not UTF-8 and was skipped.

    Memory: one chunk and one line. Raises DataError with `file:line:byte` (see also `seq2x.data.source.chunks`).
    """
    name = display(path)
    notes = Notes() if notes is None else notes
    line = 1
    for block in _blocks(path, name, max_line_bytes, notes):
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError:
            yield from _line_by_line(block, name, line, notes, on_bad_utf8)
            line += block.count(b"\n")
            continue
        pieces = text.split("\n")
        if not pieces[-1]:
            pieces.pop()  # the block ends with a line end
        if "\r" in text or _SEPARATORS.search(text):
            pieces = [_plain(piece, name, line + i, notes) for i, piece in enumerate(pieces)]
        yield from enumerate(pieces, line)
        line += len(pieces)


def count_lines(path: PathLike, *, max_line_bytes: int = MAX_LINE_BYTES) -> int:
    """How many records `iter_lines` would give, at the speed of the disk."""
    total, last = 0, b"\n"
    for block in _blocks(path, display(path), max_line_bytes, Notes()):
        total += block.count(b"\n")
        last = block[-1:]
    return total + (last != b"\n")


def count_carriage_returns(path: PathLike, *, max_line_bytes: int = MAX_LINE_BYTES) -> tuple[int, int]:
    """(how many lines of `path` end in a carriage return, which `iter_lines` drops; the number of the first, or 0)."""
    total, line, first = 0, 1, 0
    for block in _blocks(path, display(path), max_line_bytes, Notes()):
        found = block.count(b"\r\n") + block.endswith(b"\r")
        if found and not first:
            first = line + (block + b"\n").split(b"\r\n", 1)[0].count(b"\n")
        total += found
        line += block.count(b"\n")
    return total, first


def _blocks(path: PathLike, name: str, max_line_bytes: int, notes: Notes) -> Iterator[bytes]:
    """Whole lines, many at a time, none longer than `max_line_bytes`; the last block may lack its line end."""
    waiting: list[bytes] = []  # the parts of a line whose end has not come yet
    held, line, first = 0, 1, True
    for chunk in _with_whole_mark(chunks(path)):
        if first:
            chunk = _start(chunk, name, notes)
            first = False
        cut = chunk.rfind(b"\n") + 1
        if cut:
            block = b"".join((*waiting, chunk[:cut]))
            if len(block) > max_line_bytes:
                _check_lengths(block, name, line, max_line_bytes)
            yield block
            line += block.count(b"\n")
            waiting, held = [], 0
        if cut < len(chunk):
            waiting.append(chunk[cut:])
            held += len(chunk) - cut
        if held > max_line_bytes + 1:  # a carriage return may still be dropped
            raise _too_long(name, line, max_line_bytes)
    if waiting and (rest := b"".join(waiting)):
        if len(rest) > max_line_bytes:
            raise _too_long(name, line, max_line_bytes)
        yield rest


def _with_whole_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`pieces`, the first long enough to show a byte order mark: what a pipe unpacks to may begin with less."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= len(_BOM) or b"\n" in head:
            yield head
            yield from pieces
            return
    if head:
        yield head


def _start(chunk: bytes, name: str, notes: Notes) -> bytes:
    """The first chunk without its byte order mark; DataError for UTF-16."""
    if chunk.startswith((b"\xff\xfe", b"\xfe\xff")) or _zeros_alternate(chunk[:4096]):
        todo = "convert it: iconv -f utf-16 -t utf-8"
        raise ReadError("utf16", name, 1, "looks like UTF-16", "UTF-8", todo, byte=1)
    if chunk.startswith(_BOM):
        notes.add("bom", name, 1)
        return chunk[len(_BOM) :]
    return chunk


def _zeros_alternate(head: bytes) -> bool:
    """UTF-16 without a mark: in Latin text every second byte is zero."""
    even, odd = head[0::2], head[1::2]
    few, many = sorted((even.count(0), odd.count(0)))
    return len(odd) >= 4 and many >= 0.6 * len(odd) and few <= 0.05 * len(odd)


def _check_lengths(block: bytes, name: str, line: int, limit: int) -> None:
    for i, piece in enumerate(block.split(b"\n")):
        if len(piece) > limit and len(piece.removesuffix(b"\r")) > limit:
            raise _too_long(name, line + i, limit)


def _too_long(name: str, line: int, limit: int) -> ReadError:
    found = f"line {line} longer than max_line_bytes ({limit:,})"
    return ReadError("long_line", name, line, found, todo="split it, or set max_line_bytes")


def _line_by_line(
    block: bytes, name: str, line: int, notes: Notes, on_bad: BadUtf8
) -> Iterator[tuple[int, str | None]]:
    """The slow way, for a block that holds a byte sequence that is not UTF-8."""
    pieces = block.split(b"\n")
    if not pieces[-1]:
        pieces.pop()
    for number, piece in enumerate(pieces, line):
        try:
            yield number, _plain(piece.decode("utf-8"), name, number, notes)
        except UnicodeDecodeError as error:
            if on_bad == "error" or "bad_utf8" not in notes.errors:
                problem = _not_utf8(error, name, number, pieces[number - line :])
                if on_bad == "error":
                    raise problem from error
                notes.errors["bad_utf8"] = problem
            notes.add("bad_utf8", name, number)
            yield number, None


def _not_utf8(error: UnicodeDecodeError, name: str, line: int, pieces: list[bytes]) -> ReadError:
    """The error of the first of `pieces`; the others help to guess their encoding."""
    bad = b"\n".join(piece for piece in pieces[:_GUESSED_FROM] if not _is_utf8(piece))
    other = guess_encoding(bad)
    hint = f"it decodes as {other}: convert with iconv -f {other} -t utf-8" if other else "repair the line"
    found, todo = f"byte 0x{pieces[0][error.start]:02X} is not UTF-8", f"{hint}, or set on_bad_utf8=skip"
    return ReadError("bad_utf8", name, line, found, todo=todo, byte=error.start + 1)


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def guess_encoding(piece: bytes) -> str:
    """Which of the usual suspects one line or several that are not UTF-8 are written in; empty if none.

    Chinese in GB18030 is pairs of high bytes (of rare characters the second may be low); in Western text high bytes
    stand alone among letters, or two together.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", piece)]
    chinese = sum(run % 2 for run in runs) <= 0.1 * len(runs) and max(runs, default=0) >= 4
    western = sum(run > 2 for run in runs) <= 0.1 * len(runs)  # else Cyrillic or Greek, whose bytes are Western letters
    for encoding in ["gb18030"] * chinese + ["cp1252"] * western:
        try:
            text = piece.decode(encoding)
        except UnicodeDecodeError:
            continue
        strange = any(0x80 <= ord(c) < 0xA0 or (ord(c) < 0x20 and c not in "\t\r\n") for c in text)
        foreign = encoding == "cp1252" and any(not c.isascii() and not c.isalpha() and c not in _WESTERN for c in text)
        if not strange and not foreign:
            return encoding
    return ""


def _plain(piece: str, name: str, line: int, notes: Notes) -> str:
    """A line without its carriage return, others made blanks; characters that look like line ends are noted."""
    piece = piece.removesuffix("\r")
    if "\r" in piece:
        notes.add("carriage_return", name, line)
        piece = piece.replace("\r", " ")
    if _SEPARATORS.search(piece):
        notes.add("line_separator", name, line)
    return piece
