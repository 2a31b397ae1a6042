"""`seq2x score RUN pairs.tsv`: the log-probability of given outputs."""

from __future__ import annotations

import argparse
from typing import Any

from seq2x.cli import streams
from seq2x.cli.evaluate import say
from seq2x.cli.parser import Parser, add_settings, given

__all__ = ["HELP", "add", "run"]

HELP = "log-probability of given outputs, and perplexity"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x score RUN FILE [FILE2] [options]"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs, or what predict --json wrote")
    add_settings(parser, "data", "machine", shown=("columns", "device", "batch_size"))


def run(arguments: argparse.Namespace) -> int:
    """One log-probability a line on standard output; the sum and the perplexity on standard error."""
    from seq2x.evaluate import score

    path = arguments.files[0] if len(arguments.files) == 1 else arguments.files
    found = score(arguments.run, path, **given(arguments, "score"))
    with streams.Lines(None) as out:
        if arguments.json:
            out.block(streams.to_json(_record(line)) for line in found.lines)
        else:
            out.block(f"{line.log_p:.6f}" for line in found.lines)
    total = f"log p {found.log_p:.4f} over {found.symbols:,} symbols of {len(found.lines):,} outputs"
    interval = found.perplexity.interval
    between = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
    say([f"{total}, perplexity {found.perplexity.value:.4f}{between}", *found.notes])
    return 0


def _record(line: Any) -> dict[str, Any]:
    return {
        "log_p": line.log_p,
        "tokens": list(line.tokens),
        "ids": list(line.ids),
        "token_log_p": list(line.token_log_p),
    }
