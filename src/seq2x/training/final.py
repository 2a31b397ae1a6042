"""The test set of a run: read through before training, evaluated on once at the end, kept as `test.json`.

The figures are those of `seq2x evaluate` of the finished run, by the same code. Nothing of it reaches the training:
another test set does not make another run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2x.data import data_fingerprint, read, sniff
from seq2x.errors import FolderError, Seq2xError, escape
from seq2x.evaluate import from_plain, report, to_plain
from seq2x.run import is_run
from seq2x.settings import READING, Settings
from seq2x.storage import DISK, replace_file
from seq2x.strict_json import parse_json
from seq2x.training.log import Log
from seq2x.types import Result

__all__ = ["TEST_FILE", "final", "require_readable"]

TEST_FILE = "test.json"


def require_readable(paths: Sequence[str], settings: Settings, task: str) -> None:
    """Read a test set through, so that a bad line of it is not found after hours of training; `task`: that of the run.

    Raises `DataError`.
    """
    limit = settings.max_line_bytes
    columns = sniff(paths, settings.format, settings.columns, task=task, max_line_bytes=limit)
    for _ in read(paths, columns, max_line_bytes=limit, on_bad_utf8=settings.on_bad_utf8):
        pass


def final(folder: Path, paths: Sequence[str], settings: Settings, log: Log) -> dict[str, Result]:
    """Evaluate `best/` of `folder` on the test set `paths`, say the result, and keep it beside the run.

    What stands there of the same model and the same data is given again. Raises `DataError`, `FolderError`, `OSError`.
    """
    if not is_run(folder / "best"):
        raise FolderError(
            str(folder / "best"), "no model here", "the best weights of the run", "train --restart makes one"
        )
    model = hashlib.sha256((folder / "best" / "manifest.json").read_bytes()).hexdigest()
    of = {"model": model, "data": data_fingerprint(paths), **_how(settings)}
    if known := _known(folder, of):
        return known
    begun = time.monotonic()
    found = report(folder, list(paths), device=settings.device, threads=settings.threads, **_how(settings))
    kept = {
        "files": list(map(escape, paths)),
        "items": len(found.examples),
        "results": {name: to_plain(result) for name, result in found.results.items()},
        "notes": list(map(escape, found.notes)),
        "of": of,
    }
    text = json.dumps(kept, ensure_ascii=False, indent=1, allow_nan=False)
    replace_file(DISK, folder / TEST_FILE, text.encode() + b"\n")
    log.say(f"test ({', '.join(paths)}): {_words(found.results)}; {len(found.examples):,} items")
    for note in found.notes:
        log.say(f"test: {note}")
    log.say(f"test: took {time.monotonic() - begun:.1f} s; kept in {folder / TEST_FILE}")
    return found.results


def _known(folder: Path, of: dict[str, Any]) -> dict[str, Result]:
    """The results that stand in `folder`, if they are `of` this."""
    try:
        kept = parse_json((folder / TEST_FILE).read_bytes(), TEST_FILE)
        return {n: from_plain(n, values) for n, values in kept["results"].items()} if kept["of"] == of else {}
    except (OSError, Seq2xError, AttributeError, KeyError, TypeError, ValueError):  # absent, or somebody changed it
        return {}


def _how(settings: Settings) -> dict[str, Any]:
    """How the run's own files are read is how its test set is read."""
    return {name: getattr(settings, name) for name in (*READING, "references")}


def _words(results: dict[str, Result]) -> str:
    """`bleu 36.21 [35.02, 37.44], chrf 60.10 [...]`."""
    between = {n: f" [{r.interval.low:.2f}, {r.interval.high:.2f}]" if r.interval else "" for n, r in results.items()}
    return ", ".join(f"{name} {result.value:.2f}{between[name]}" for name, result in results.items())
