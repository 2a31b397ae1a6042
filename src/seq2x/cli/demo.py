"""`seq2x demo`: trains on built-in real data, offline, and shows what comes of it."""

from __future__ import annotations

import argparse

from seq2x.cli import streams
from seq2x.cli.parser import Parser

__all__ = ["HELP", "add", "run"]

HELP = "trains on built-in real data, offline, in three to five minutes"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x demo [--out RUN] [options]"
    parser.add_argument("-o", "--out", metavar="RUN", default="runs/demo", help="where the run goes (runs/demo)")


def run(arguments: argparse.Namespace) -> int:
    """See `seq2x.demo`."""
    from seq2x import demo

    code: int = demo.run(out=arguments.out, as_json=arguments.json, tell=lambda text: streams.write(f"{text}\n"))
    return code
