"""What a run says while it runs: a progress bar or plain lines, `log.txt`, and `metrics.jsonl` for machines.

A line of `metrics.jsonl` is one JSON object. All that depends on the clock stands under its key `time`; the rest
is the same in every run with the same seed and data, interrupted or not.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2x.errors import escape
from seq2x.storage import DISK, replace_file

__all__ = ["Log", "cut_back", "duration", "read_metrics", "warnings_in"]

_WARNING = re.compile(r"(\w+: )?warning\b")
_PLAIN_SECONDS = 10.0  # without a terminal: a line of progress at most this often


class Log:
    """Writes into run folder `folder` (nowhere if None) and to standard error: all of it, warnings alone if `quiet`,
    nothing if `silent`. `warnings` are those that were said, each once, in order.
    """

    def __init__(self, folder: Path | None = None, *, quiet: bool = False, silent: bool = False) -> None:
        self._folder, self._silent = folder, silent or sys.stderr is None
        self._quiet = quiet or self._silent
        self._warnings: dict[str, None] = {}
        self._bar: Any = None
        self._task: Any = None
        self._shown = -math.inf
        self._named = False  # whether the names in the folder have been made durable
        self.lines = len(read_metrics(folder)) if folder else 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning so far: `warning: ...`, or `data: warning ...` of that part of the work."""
        return tuple(self._warnings)

    def say(self, text: str = "") -> None:
        """One line (or several) for people."""
        text = escape(text)
        warns = _WARNING.match(text) is not None
        if warns:
            self._warnings[text] = None
        with self._shown_or_not():
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
            elif not self._quiet or (warns and not self._silent):
                print(text, file=sys.stderr, flush=True)
        if self._folder is not None:
            with (self._folder / "log.txt").open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    def record(self, kind: str, step: int, values: Mapping[str, Any], clock: Mapping[str, Any]) -> None:
        """One line for machines. Values that are not finite become null: JSON has no word for them."""
        line = {"kind": kind, "step": step, **values, "time": dict(clock)}
        self.lines += 1
        if self._folder is not None:
            with (self._folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n")

    def sync(self) -> None:
        """Bring `metrics.jsonl` to the disk, its name too: a commit counts its lines."""
        if self._folder is None or not (self._folder / "metrics.jsonl").is_file():
            return
        with (self._folder / "metrics.jsonl").open("rb") as file:
            DISK.fsync(file.fileno())
        if not self._named:
            DISK.sync_folder(self._folder)
            self._named = True

    def progress(self, step: int, last: int, text: str) -> None:
        """Move the bar; without a terminal, a plain line now and then."""
        if self._quiet:
            return
        with self._shown_or_not():
            if sys.stderr.isatty():
                self._show_bar(step, last, text)
            elif time.monotonic() - self._shown >= _PLAIN_SECONDS:
                self._shown = time.monotonic()
                print(f"step {step:,}/{last:,}  {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        with self._shown_or_not():
            if self._bar is not None:
                self._bar.stop()
        self._bar = None

    @contextlib.contextmanager
    def _shown_or_not(self) -> Iterator[None]:
        """Nobody may listen any more (a closed pipe, a terminal that is gone): no reason to stop a training."""
        try:
            yield
        except (OSError, ValueError):
            self._quiet, self._silent, self._bar = True, True, None

    def _show_bar(self, step: int, last: int, text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(text, total=last)
            self._bar.start()
        self._bar.update(self._task, completed=step, total=last, description=text)


def warnings_in(text: str) -> tuple[str, ...]:
    """The lines of a `log.txt` that are warnings, each once, in order."""
    return tuple(dict.fromkeys(filter(_WARNING.match, text.splitlines())))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's `metrics.jsonl`, in order; a line torn by a crash ends the list."""
    path = folder / "metrics.jsonl"
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def cut_back(folder: Path, lines: int) -> int:
    """Keep the first `lines` lines of `metrics.jsonl`: what came after the restored step will come again.

    How many there are then: fewer than `lines` where the file was lost or cut.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return 0
    kept = path.read_bytes().split(b"\n")[:-1][:lines]
    replace_file(DISK, path, b"".join(line + b"\n" for line in kept))
    return len(kept)


def duration(seconds: float) -> str:
    """Time for people.

    >>> duration(42), duration(600), duration(7260)
    ('42 s', '10 min', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
