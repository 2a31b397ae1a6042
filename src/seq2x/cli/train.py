"""`seq2x train pairs.tsv`: from a file of examples to a run folder; run again to go on where it stopped."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.cli.ranks import one_voice

if TYPE_CHECKING:
    from seq2x.training import RunInfo

__all__ = ["HELP", "add", "run"]

HELP = "from pairs, or from texts, to a run folder; run again to go on"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x train FILE [FILE2] [options]     (or: seq2x train RECIPE.toml)"
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="pairs, or texts; or sources, and targets in FILE2; or a recipe"
    )
    parser.add_argument("-o", "--out", metavar="RUN", help="the run folder (runs/NAME of the file)")
    parser.add_argument("--test", metavar="FILE", action="append", default=[], help="evaluate on this file at the end")
    parser.add_argument("--restart", action="store_true", help="begin anew in a folder that holds a run")
    parser.add_argument("--from", dest="parent", metavar="RUN", help="start from the weights and codecs of this run")
    parser.add_argument(
        "--allow-change", metavar="NAME", action="append", default=[], help="resume although this setting changed"
    )
    parser.add_argument(
        "--strict-repro", action="store_true", help="resume only where it can be exact to the bit; else exit 2"
    )
    shown = ("preset", "units", "layers", "max_steps", "valid", "columns")
    add_settings(parser, "data", "text", "model", "training", "search", "machine", shown=shown)


def run(arguments: argparse.Namespace) -> int:
    """Train; the folder's name is the result."""
    from seq2x.training import train
    from seq2x.training.distributed import place

    with one_voice():
        settings = given(arguments, "train")
    info = train(
        arguments.files,
        out=arguments.out,
        test=arguments.test,
        settings=settings,
        restart=arguments.restart,
        allow_change=arguments.allow_change,
        from_run=arguments.parent,
        strict_repro=arguments.strict_repro,
        quiet=arguments.json,
    )
    if not place().leader:  # torchrun: one of several processes speaks
        return 0
    if arguments.json:
        streams.write_json(_record(info))
    else:
        streams.write("".join(f"{one.folder}\n" for one in info.runs or (info,)))
    return 0


def _record(info: RunInfo) -> dict[str, Any]:
    from seq2x.evaluate import to_plain

    return {
        "run": str(info.folder),
        "metric": info.metric,
        "value": info.value,
        "step": info.step,
        "steps": info.steps,
        "reason": info.reason,
        "seconds": round(info.seconds, 3),
        "warnings": list(info.warnings),
        "test": {name: to_plain(result) for name, result in info.test.items()},
        "runs": [_record(one) for one in info.runs],
    }
