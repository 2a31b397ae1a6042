"""`seq2x compare RUN_A RUN_B test.tsv`: is the difference more than chance, and which lines changed?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from seq2x.cli import streams
from seq2x.cli.evaluate import FILE, say
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.errors import escape

if TYPE_CHECKING:
    from seq2x.evaluate import Compared

__all__ = ["HELP", "add", "run"]

HELP = "two runs on one test set: significance, and the lines that changed"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x compare RUN_A RUN_B FILE [FILE2] [options]"
    parser.add_argument("run_a", metavar="RUN_A", help="a run folder")
    parser.add_argument("run_b", metavar="RUN_B", help="another")
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2")
    parser.add_argument("--metric", metavar="NAME", default="", help="compare by this metric")
    parser.add_argument("--lines", metavar="N", type=int, default=10, help="how many changed lines to show (10)")
    shown = ("columns", "references", "beam_size", "device")
    add_settings(parser, "search", "machine", shown=shown, also=FILE)


def run(arguments: argparse.Namespace) -> int:
    """Both values, their difference and its p; then the lines that changed."""
    from seq2x.evaluate import compare

    settings = given(arguments, "compare")
    found = compare(arguments.run_a, arguments.run_b, arguments.files, metric=arguments.metric, **settings)
    if arguments.json:
        changes = [_change(found, row) for row in found.changed]
        streams.write_json({**asdict(found.verdict), "changed": changes, "notes": found.notes})
    else:
        streams.write(_words(arguments.run_a, arguments.run_b, found, max(arguments.lines, 0)))
    say(found.notes)
    return 0


def _words(name_a: str, name_b: str, found: Compared, shown: int) -> str:
    verdict, width = found.verdict, max(len(name_a), len(name_b))
    better = {"a": f"{name_a} is better", "b": f"{name_b} is better", "": "no significant difference"}[verdict.winner]
    low, high = verdict.interval
    lines = [
        f"{name_a:<{width}}  {verdict.metric} {verdict.a:.2f}",
        f"{name_b:<{width}}  {verdict.metric} {verdict.b:.2f}",
        f"difference {verdict.difference:+.2f} [{low:+.2f}, {high:+.2f}], p = {verdict.p_value:.4f}: {better}",
        f"{len(found.changed):,} of {len(found.examples):,} outputs differ"
        if found.outputs_a
        else f"{len(found.examples):,} texts, scored by both",
    ]
    for row in found.changed[:shown]:
        example = found.examples[row]
        lines += [
            f"line {example.line}: {example.source}",
            f"  right {' | '.join(example.targets)}",
            f"  a     {found.outputs_a[row]}",
            f"  b     {found.outputs_b[row]}",
        ]
    if len(found.changed) > shown:
        lines.append(f"... {len(found.changed) - shown:,} more (--lines N, or --json for all)")
    return "\n".join(map(escape, lines)) + "\n"


def _change(found: Compared, row: int) -> dict[str, object]:
    example = found.examples[row]
    return {
        "line": example.line,
        "source": example.source,
        "targets": list(example.targets),
        "a": found.outputs_a[row],
        "b": found.outputs_b[row],
    }
