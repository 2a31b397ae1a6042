"""Standard input, output and error: UTF-8 whatever the locale, whole lines only, nothing raw from a user's data.

Standard output carries results and nothing else; notes, warnings and errors go to standard error, escaped, so
that no byte of a file can drive a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from seq2x.errors import StorageError, UsageError, escape

__all__ = [
    "Lines",
    "abandon",
    "fail",
    "is_terminal",
    "note",
    "standard_input",
    "to_json",
    "warn",
    "write",
    "write_json",
]


def write(text: str) -> None:
    """`text` on standard output."""
    with Lines(None) as out:
        out.block([text.removesuffix("\n")])


def write_json(value: Any) -> None:
    """One JSON document on one line."""
    write(to_json(value))


def to_json(value: Any) -> str:
    """`value` on one line, UTF-8, keys in the order given; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Lines:
    """Where result lines go: a file, or standard output for None. Blocks of whole lines are written at once.

    A closed pipe raises `BrokenPipeError`, which `main` ends quietly; any other refusal is a `StorageError`.
    """

    def __init__(self, path: str | None, append: bool = False) -> None:
        self._name = path or "standard output"
        if path is None:
            if sys.stdout is None:
                raise StorageError(self._name, "it is closed", todo="open it, or give --out FILE")
            self._file: BinaryIO = sys.stdout.buffer
        else:
            try:
                self._file = Path(path).open("ab" if append else "wb")  # noqa: SIM115 (closed by __exit__)
            except (OSError, ValueError) as error:
                raise StorageError(self._name, f"cannot be written ({_reason(error)})") from error
        self._own = path is not None

    def block(self, lines: Iterable[str]) -> None:
        """Write `lines`, each with its line end, and flush."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        try:
            if not self._own:
                sys.stdout.flush()  # what another writer printed comes first
            self._file.write(data)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            if not self._own:
                abandon()
            raise self._refused(error) from error

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._own:
            return
        try:
            self._file.close()  # tries once more to write what could not be written
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(self._name, f"cannot be written ({_reason(error)})")


def standard_input() -> BinaryIO:
    """Standard input as bytes."""
    if sys.stdin is None:
        raise UsageError("standard input", "it is closed", todo="give a file, or --text")
    return sys.stdin.buffer


def is_terminal() -> bool:
    """Whether a person types the input."""
    return sys.stdin is not None and sys.stdin.isatty()


def note(text: str) -> None:
    """One line on standard error."""
    _complain(f"note: {text}")


def warn(text: str) -> None:
    """One warning on standard error."""
    _complain(f"warning: {text}")


def fail(code: int, text: str, hint: str = "") -> None:
    """The one message of a command that failed: at most two lines, `error[CODE] where: ...`."""
    first, *more = escape(text).split("\n")
    rest = " ".join(part for part in (*more, hint) if part)
    _complain(f"error[{code}] {first}" + (f"\n  {rest}" if rest else ""))


def abandon() -> None:
    """After a closed pipe or a full disk: let the interpreter's own last flush go nowhere."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # no real file behind it: an embedding program, a test
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, number)
    os.close(sink)


def _complain(text: str) -> None:
    """Standard error may be closed or full; a message that cannot be shown must not hide its cause."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write("\n".join(escape(line) for line in text.split("\n")) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
