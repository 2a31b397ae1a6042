"""`seq2x align pairs.tsv > links.txt`: which words of each pair belong together, as Pharaoh's `i-j`, source first."""

from __future__ import annotations

import argparse

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.settings import READING

__all__ = ["HELP", "add", "run"]

HELP = "which words of each pair belong together (a hidden Markov model)"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x align FILE [FILE2] [options] > links.txt"
    parser.add_argument("files", metavar="FILE", nargs="+", help="pairs; or sources, and targets in FILE2")
    parser.add_argument(
        "--symmetry",
        metavar="NAME",
        default="grow-diag-final",
        help="grow-diag-final, intersection, union, forward ...",
    )
    parser.add_argument("--iterations", metavar="N", type=int, default=5, help="steps of each model (5)")
    parser.add_argument("--keep-case", action="store_true", help="The and the are two words")
    parser.add_argument("-o", "--out", metavar="FILE", help="write here instead of standard output")
    add_settings(parser, shown=("columns", "format"), also=READING)


def run(arguments: argparse.Namespace) -> int:
    """A line of links for each line of the file, in order; an empty line where there are none."""
    from seq2x.aligning import align

    settings = given(arguments, "align")
    found = align(
        arguments.files,
        symmetry=arguments.symmetry,
        iterations=arguments.iterations,
        keep_case=arguments.keep_case,
        say=streams.note,
        **settings,
    )
    with streams.Lines(arguments.out) as out:
        if arguments.json:
            out.block(map(streams.to_json, found))
        else:
            out.block(" ".join(f"{i}-{j}" for i, j in links) for links in found)
    return 0
