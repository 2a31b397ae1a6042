"""The errors of this room: what is wrong, by a stable code, and in which line of which file."""

from __future__ import annotations

from seq2x.errors import DataError

__all__ = ["ReadError"]


class ReadError(DataError):
    """A file or record that cannot be read. `code` is that of the check's finding; `line` is 0 where none is to
    blame. The message begins `file`, `file:line` or `file:line:byte`."""

    def __init__(
        self, code: str, file: str, line: int, found: str, expected: str = "", todo: str = "", *, byte: int = 0
    ) -> None:
        self.code, self.file, self.line = code, file, line
        where = file + (f":{line}" if line else "") + (f":{byte}" if byte else "")
        super().__init__(where, found, expected, todo)
