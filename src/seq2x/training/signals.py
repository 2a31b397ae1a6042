"""SIGTERM and SIGINT: save, then go; a second one goes at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from seq2x.errors import Seq2xError, Stopped

__all__ = ["Signals"]


class _Interrupt(BaseException):
    """What the handler raises, wherever the program is: no `except Exception` of a library may take it for its own
    failure (torch's loading of weights would)."""


class Signals:
    """While entered, the first SIGTERM or SIGINT ends the work with `Stopped` where nothing has to be saved.

    Inside `gently()` it is only noted in `caught`: the loop looks at it after every update, saves and raises
    by itself. A second signal ends the process at once with the same exit code; the last commit is intact
    because a commit is one atomic rename. Does nothing outside the main thread, where Python has no signals.
    """

    def __init__(self, where: str) -> None:
        self.caught = 0
        self._where = where
        self._gentle = self._raised = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._raised and error is not None and not isinstance(error, Seq2xError):
            found = f"stopped by {signal.Signals(self.caught).name}; nothing had to be saved"
            raise self.stopped(found) from (None if isinstance(error, _Interrupt) else error)

    @contextlib.contextmanager
    def gently(self) -> Iterator[None]:
        """Signals are noted, not raised."""
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False

    def stopped(self, found: str) -> Stopped:
        """The exception to raise for the signal that was caught."""
        return Stopped(self._where, found, self.caught)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            sys.stderr.flush()
            os._exit(128 + number)
        self.caught = number
        if not self._gentle:
            self._raised = True
            raise _Interrupt
