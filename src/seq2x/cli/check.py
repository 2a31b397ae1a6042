"""`seq2x check pairs.tsv`: what is wrong with the data, before any training; exit code 3 if something is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.errors import escape
from seq2x.settings import READING

if TYPE_CHECKING:
    from seq2x.data.fix import Fixed

__all__ = ["HELP", "add", "run"]

HELP = "what is wrong with my data, before any training"
_USED = ("task", *READING, "max_source_length", "max_target_length", "allow")


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x check FILE [FILE2] [options]"
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2")
    parser.add_argument("--test", metavar="FILE", action="append", default=[], help="do its sources occur in FILE?")
    parser.add_argument("--fix", metavar="FILE", help="write a clean copy here, and what was done to FILE.log")
    add_settings(parser, "data", shown=("task", "columns", "format", "on_bad_utf8"))


def run(arguments: argparse.Namespace) -> int:
    """Report on standard output; 3 if there is an error, for scripts."""
    from seq2x.data.check import check

    settings = given(arguments, "check")
    report = check(arguments.files, test=arguments.test, fix=arguments.fix, **_settings(settings))
    if arguments.json:
        streams.write_json(report.to_json())
    else:
        streams.write("\n".join(map(escape, report.lines())))
    for name in sorted(settings.keys() - set(_USED)):
        streams.note(f"{name} has no effect: check looks at the files as they are")
    if report.fixed is not None:
        streams.note(_done(report.fixed))
    elif arguments.fix is not None:
        streams.note(f"{arguments.fix} is not written: the data cannot be read")
    return report.exit_code


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    """What `check` takes of the settings, complete and in range."""
    from seq2x.settings import resolve

    settings = resolve(values, "seq2x check")
    return {name: getattr(settings, name) for name in _USED}


def _done(fixed: Fixed) -> str:
    """What became of the data, in one line."""
    from seq2x.data.records import is_jsonl_name

    parts = [f"{fixed.kept:,} pairs kept in {fixed.out}"]
    if fixed.form == "jsonl" and not is_jsonl_name(fixed.out.name):
        parts[0] += " as JSON lines, for a TSV cannot hold them"
    if fixed.replaced:
        parts.append(f"replaced: {' and '.join(map(str, fixed.replaced))}")
    if fixed.bare:
        names = ", ".join(map(ascii, fixed.fields[:5])) + ", ..." * (len(fixed.fields) > 5)
        parts.append(
            f"{fixed.bare:,} with further columns or fields ({names}), which a TSV does not keep (a .jsonl does)"
        )
    for what, counts in (("repaired", fixed.changed), ("left out", fixed.dropped)):
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
            parts.append(f"{what}: {reasons}")
    return f"{'; '.join(parts)} (see {fixed.out}.log)"
