"""`seq2x score RUN pairs.tsv`: the log-probability of given outputs.

With `--json` a line is an output, as `docs/json.md` has it, and the last line holds the totals under "summary".
"""

from __future__ import annotations

import argparse
from itertools import chain
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.evaluate import FILE, say
from seq2x.cli.parser import Parser, add_settings, given

if TYPE_CHECKING:
    from seq2x.evaluate import Scores
    from seq2x.tasks.generate import TargetScore
    from seq2x.types import Example

__all__ = ["HELP", "add", "run"]

HELP = "log-probability of given outputs, and perplexity"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x score RUN FILE [FILE2] [options]"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs, or what predict --json wrote; -: stdin")
    parser.add_argument("--ensemble", metavar="RUN", action="append", default=[], help="score together with this run")
    add_settings(parser, "machine", shown=("columns", "device", "batch_size"), also=FILE)


def run(arguments: argparse.Namespace) -> int:
    """One log-probability a line on standard output; the sum and the perplexity on standard error."""
    from seq2x.evaluate import score

    found = score(arguments.run, arguments.files, ensemble=arguments.ensemble, **given(arguments, "score"))
    with streams.Lines(None) as out:
        if arguments.json:
            records = map(_record, found.examples, found.lines)
            out.block(map(streams.to_json, chain(records, [{"summary": _summary(found)}])))
        else:
            out.block(f"{line.log_p:.6f}" for line in found.lines)
    total = f"log p {found.log_p:.4f} over {found.symbols:,} symbols of {len(found.lines):,} outputs"
    interval = found.perplexity.interval
    between = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
    others = (f"per {result.signature[4:]} {result.value:.4f}" for result in list(found.perplexities.values())[1:])
    say([f"{total}, perplexity {found.perplexity.value:.4f}{between}", ", ".join(others), *found.notes])
    return 0


def _record(example: Example, line: TargetScore) -> dict[str, Any]:
    return {
        "line": example.line,
        "source": example.source,
        "target": example.targets[0],
        "log_p": line.log_p,
        "tokens": list(line.tokens),
        "ids": list(line.ids),
        "token_log_p": list(line.token_log_p),
        "truncated": line.truncated,
    }


def _summary(found: Scores) -> dict[str, Any]:
    """The totals, in the words of `evaluate --json`."""
    from seq2x.evaluate import to_plain

    return {
        "items": len(found.lines),
        "symbols": found.symbols,
        "log_p": found.log_p,
        "results": {name: to_plain(result) for name, result in found.perplexities.items()},
        "notes": found.notes,
    }
