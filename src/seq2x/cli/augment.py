"""`seq2x augment noise|back|distill ... -o FILE`: more pairs to train on."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.errors import UsageError

__all__ = ["HELP", "add", "run"]

HELP = "more pairs: noise, back-translation, a teacher's outputs"

_FILE = ("format", "columns")
_NOISE = {
    "drop": (float, "this share of the words is left out"),
    "mask": (float, "this share becomes a mask"),
    "infill": (float, "this share in spans, a mask for each"),
    "swap": (int, "words change places, none moves further"),
    "switch": (float, "about so many words become others"),
    "level": (str, "word, or char: all this within words"),
    "mask_token": (str, "what a mask looks like"),
    "side": (str, "of which side: source, target or both"),
    "copies": (int, "so many noisy pairs of each"),
}
_TAKEN = {**dict.fromkeys(_NOISE, ("noise",)), "keep": ("noise", "distill"), "tag": ("back",)}
"""Which ways take each option."""


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x augment (noise FILE | back RUN FILE | distill RUN FILE) -o OUT"
    parser.add_argument("way", metavar="HOW", help=argparse.SUPPRESS)
    parser.add_argument("paths", metavar="FILE", nargs="*", help="pairs, or texts; back, distill: after the RUN")
    parser.add_argument("-o", "--out", metavar="OUT", help="where the pairs go: TSV, or JSON lines if so called")
    for name, (kind, text) in _NOISE.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="X", type=kind, help=f"noise: {text}")
    parser.add_argument("--keep", action="store_const", const=True, help="noise, distill: the pairs as they are, too")
    parser.add_argument("--tag", metavar="TEXT", help="back: stands before every made source")
    add_settings(parser, "search", "machine", also=("seed", *_FILE))


def run(arguments: argparse.Namespace) -> int:
    """Write the pairs; how many, and what was left out, on standard error."""
    from seq2x import augment
    from seq2x.data import Notes

    settings, way = given(arguments, "augment"), str(arguments.way)
    paths = _paths(way, arguments.paths)
    if arguments.out is None:
        raise UsageError("seq2x augment", "no --out FILE", "where the pairs go")
    options = {name: value for name in _TAKEN if (value := getattr(arguments, name)) is not None}
    idle = {name: f"it is for {' and '.join(_TAKEN[name])}" for name in options if way not in _TAKEN[name]}
    if way == "noise":
        idle |= dict.fromkeys(sorted(settings.keys() - {"seed", *_FILE}), "noise predicts nothing")
    for name, why in idle.items():
        streams.note(f"{name} has no effect: {why}")
        options.pop(name, None)
        settings.pop(name, None)
    notes = Notes()
    make: Callable[..., augment.Made] = getattr(augment, way)
    made = make(*paths, arguments.out, notes=notes, **options, **settings)
    for line in (*notes.lines(), *(f"{count:,} x {reason}" for reason, count in made.lost.items())):
        streams.note(line)
    if arguments.json:
        lost = dict(made.lost)
        streams.write_json({"out": str(made.out), "form": made.form, "pairs": made.pairs, "left_out": lost})
    else:
        streams.note(f"{made.pairs:,} pairs in {made.out}" + " as JSON lines" * (made.form == "jsonl"))
    return 0


def _paths(way: str, paths: list[str]) -> list[str]:
    """The file, and before it the run where there has to be one. Raises `UsageError`."""
    expected = {"noise": "FILE", "back": "RUN FILE", "distill": "RUN FILE"}
    if way not in expected:
        raise UsageError("seq2x augment", f'"{way}"', "noise, back or distill")
    if len(paths) != len(expected[way].split()):
        raise UsageError(f"seq2x augment {way}", f"{len(paths)} places", expected[way])
    return paths
