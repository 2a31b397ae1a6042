"""What can go wrong, in the user's words.

Every failure that a user can cause or cure is a `Seq2xError`: it says *where*, *what was found*, *what was
expected* and *what to do*, in two lines at most, and carries the exit code of the command line.
Anything else that escapes is our own bug (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BusyError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "FolderError",
    "OutOfMemory",
    "PeerFailed",
    "Seq2xError",
    "Stopped",
    "StorageError",
    "UsageError",
    "escape",
    "nearest",
    "no_number",
]

_LIMIT = 2000  # bytes of one message: an error must not become a flood


class Seq2xError(Exception):
    """Base of all expected failures.

    `where` is a file with its line, a setting or a folder; `found` what is there; `expected` and `todo` may be
    empty. `str(error)` is the whole message: `where: found; expected ...; todo`, control characters escaped. `row`: of
    a call with many items the number, from 0, of the one to blame; who knows where that came from says so with `at`.
    """

    exit_code = 1

    def __init__(self, where: str, found: str, expected: str = "", todo: str = "", row: int | None = None) -> None:
        self.where, self.found, self.expected, self.todo, self.row = where, found, expected, todo, row
        parts = [found, f"expected {expected}" if expected else "", todo]
        text = f"{where}: " + "; ".join(part for part in parts if part)
        super().__init__(escape(text)[:_LIMIT])

    def at(self, where: str, row: int | None = None) -> Seq2xError:
        """The same error of the same kind in another place."""
        return type(self)(where, self.found, self.expected, self.todo, row)


class UsageError(Seq2xError):
    """A wrong command line or setting."""

    exit_code = 2


class DataError(Seq2xError):
    """Something is wrong in the user's data; `where` is `file:line` wherever a line is to blame."""

    exit_code = 3


class FolderError(Seq2xError):
    """A run folder that cannot be trusted: missing, damaged, hostile or from the future."""

    exit_code = 4


class StorageError(Seq2xError):
    """The disk refused: full, read-only, gone."""

    exit_code = 5


class DivergedError(Seq2xError):
    """Training met values that are not finite too often to go on."""

    exit_code = 6


class OutOfMemory(Seq2xError):
    """Not enough memory, also after splitting the batch."""

    exit_code = 7


class DeviceError(Seq2xError):
    """The device asked for is absent or dead."""

    exit_code = 8


class BusyError(Seq2xError):
    """Another process works in this run folder."""

    exit_code = 9


class PeerFailed(Seq2xError):
    """Another rank of the same training ended it: that one says why, and this one leaves with its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__("ranks", f"another rank ended the training with code {code}", "", "see what it said")
        self.exit_code = code


class Stopped(Seq2xError):
    """A signal ended the work after it was saved; the exit code is 128 + the signal's number."""

    def __init__(self, where: str, found: str, signal: int) -> None:
        super().__init__(where, found)
        self.exit_code = 128 + signal


def escape(text: str) -> str:
    r"""`text` with every control character and bidirectional mark made visible (`\x1b`), line ends kept.

    >>> escape("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: `did you mean "beam_size"?`, or the known names if none is near.

    >>> nearest("learnign_rate", ["learning_rate", "layers"])
    'did you mean "learning_rate"?'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(names)}"


def no_number(where: str, row: int, expected: str = "finite values") -> DivergedError:
    """A model says of item `row` of a call, which is at `where`, what is no log p."""
    found, todo = "the model's log p is not a number", "the weights or the input are damaged"
    return DivergedError(where, found, expected, todo, row)
