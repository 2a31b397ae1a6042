"""`seq2x evaluate RUN test.tsv`: the metric that fits the task, with its interval, and the cheap ones beside it."""

from __future__ import annotations

import argparse

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.settings import READING

__all__ = ["FILE", "HELP", "add", "run", "say"]

FILE = (*READING, "references")
"""Settings of how a test set is read; the other ones of data are for training."""

HELP = "how good a run is on a test set, with confidence intervals"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x evaluate RUN FILE [FILE2] [options]"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2; or texts")
    parser.add_argument("--metric", metavar="NAME", action="append", default=[], help="this metric instead; repeatable")
    parser.add_argument("--ensemble", metavar="RUN", action="append", default=[], help="decide together with this run")
    parser.add_argument("--rerank", metavar="RUN", help="choose among the best outputs of both with this run")
    parser.add_argument("--lm", metavar="RUN", help="a language model that has a say; see lm_weight, lm_use")
    shown = ("columns", "references", "beam_size", "device", "batch_size")
    add_settings(parser, "search", "machine", shown=shown, also=FILE)


def run(arguments: argparse.Namespace) -> int:
    """Predict, compare with the references, report."""
    from seq2x.evaluate import report, table, to_plain

    settings = given(arguments, "evaluate")
    runs = {"ensemble": arguments.ensemble, "rerank": arguments.rerank, "lm": arguments.lm}
    found = report(arguments.run, arguments.files, metric=arguments.metric, **runs, **settings)
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
