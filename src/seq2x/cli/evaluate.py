"""`seq2x evaluate RUN test.tsv`: the metric that fits the task, with its interval, and the cheap ones beside it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given

if TYPE_CHECKING:
    from seq2x.types import Result

__all__ = ["HELP", "add", "run", "say", "table", "to_plain"]

HELP = "how good a run is on a test set, with confidence intervals"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x evaluate RUN FILE [FILE2] [options]"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2")
    parser.add_argument("--metric", metavar="NAME", action="append", default=[], help="this metric instead; repeatable")
    shown = ("columns", "references", "beam_size", "device", "batch_size")
    add_settings(parser, "data", "search", "machine", shown=shown)


def run(arguments: argparse.Namespace) -> int:
    """Predict, compare with the references, report."""
    from seq2x.evaluate import report

    found = report(arguments.run, arguments.files, metrics=arguments.metric, **given(arguments, "evaluate"))
    if arguments.json:
        results = {name: to_plain(result) for name, result in found.results.items()}
        streams.write_json({"items": len(found.examples), "results": results, "notes": found.notes})
    else:
        streams.write(table(found.results))
    say(found.notes)
    return 0


def say(notes: list[str]) -> None:
    """Notes on standard error; those that warn as warnings."""
    for line in notes:
        if line.startswith("warning: "):
            streams.warn(line.removeprefix("warning: "))
        else:
            streams.note(line)


def table(results: dict[str, Result]) -> str:
    """One line per metric: name, value, 95 % interval, which way is better, how it was computed."""
    lines = []
    for name, one in results.items():
        interval = f"[{one.interval.low:.2f}, {one.interval.high:.2f}]" if one.interval else ""
        lines.append(f"{name:<12} {one.value:>7.2f}  {interval:<18} {one.better} is better  {one.signature}".rstrip())
    count = max((one.count for one in results.values()), default=0)
    return "\n".join([*lines, f"{count:,} items; intervals: 95 %, bootstrap"]) + "\n"


def to_plain(result: Result) -> dict[str, Any]:
    """A Result as JSON."""
    return {
        "value": result.value,
        "better": result.better,
        "count": result.count,
        "interval": list(result.interval) if result.interval else None,
        "signature": result.signature,
        "parts": dict(result.parts),
    }
