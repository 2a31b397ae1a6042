"""`seq2x check pairs.tsv`: what is wrong with the data, before any training; exit code 3 if something is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.errors import escape

__all__ = ["HELP", "add", "run"]

HELP = "what is wrong with my data, before any training"
_USED = ("format", "columns", "on_bad_utf8", "max_line_bytes", "max_source_length", "max_target_length")


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x check FILE [FILE2] [options]"
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2")
    parser.add_argument("--test", metavar="FILE", action="append", default=[], help="do its sources occur in FILE?")
    parser.add_argument("--fix", metavar="FILE", help="write a clean copy here, and what was done to FILE.log")
    add_settings(parser, "data", shown=("columns", "format", "on_bad_utf8"))


def run(arguments: argparse.Namespace) -> int:
    """Report on standard output; 3 if there is an error, for scripts."""
    from seq2x.data.check import check

    chosen: dict[str, Any] = _settings(given(arguments, "check"))
    report = check(arguments.files, against=arguments.test, **chosen)
    if arguments.json:
        streams.write_json(report.to_json())
    else:
        streams.write("\n".join(map(escape, report.lines())))
    if arguments.fix is not None:
        streams.note(_fix(arguments.files, arguments.fix, chosen))
    return report.exit_code


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    """What `check` takes of the settings, complete and in range."""
    from seq2x.settings import resolve

    settings = resolve(values, "seq2x check")
    return {name: getattr(settings, name) for name in _USED}


def _fix(files: list[str], clean: str, chosen: dict[str, Any]) -> str:
    """Write the clean copy; what was done, in one line."""
    from seq2x.data.fix import fix

    log = Path(f"{clean}.log")
    said = {name: chosen[name] for name in ("format", "columns", "max_line_bytes")}
    fixed = fix(files, Path(clean), log, **said)
    parts = [f"{fixed.kept:,} pairs kept in {fixed.out}"]
    for what, counts in (("repaired", fixed.changed), ("left out", fixed.dropped)):
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
            parts.append(f"{what}: {reasons}")
    return f"{'; '.join(parts)} (see {log})"
