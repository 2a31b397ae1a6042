"""What `predict` is asked for beside settings: how outputs begin, what they hold, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seq2x.cli.parser import Parser
from seq2x.errors import DataError

if TYPE_CHECKING:
    from seq2x.data import Input, Notes

__all__ = ["add_wishes", "allowed", "with_phrases"]


def add_wishes(parser: Parser) -> None:
    """The options."""
    parser.add_argument("--prefix", metavar="TEXT", help="every output begins with TEXT")
    parser.add_argument(
        "--forbid", metavar="TOKEN", action="append", default=[], help="never write TOKEN (repeatable); see --json"
    )
    parser.add_argument(
        "--allow-only", metavar="TOKENS", action="append", default=[], help="only these, blanks between; or @FILE"
    )
    parser.add_argument(
        "--require", metavar="PHRASE", action="append", default=[], help="every output holds PHRASE (repeatable)"
    )
    parser.add_argument("--require-file", metavar="FILE", help="a line of phrases for each input, TABs between")
    parser.add_argument("--pattern", metavar="REGEX", help="every output as a whole matches REGEX")
    parser.tucked = ("--allow-only", "--require-file", "--rerank", "--lm", "--alignments")


def allowed(given: Sequence[str]) -> list[str] | None:
    """The tokens of `--allow-only`; None if it is not given. Raises `DataError` for a file that cannot be read."""
    from seq2x.data import iter_lines

    tokens: list[str] = []
    for one in given:
        if one.startswith("@") and len(one) > 1:
            tokens += [line for _, line in iter_lines(one[1:]) if line]
        else:
            tokens += [token for token in one.split(" ") if token]
    return tokens if given else None


def with_phrases(inputs: Iterator[Input], every: Sequence[str], file: str | None, notes: Notes) -> Iterator[Input]:
    """`inputs`, each with the phrases that its output shall hold: its own, those of `every` output, and those of its
    line in `file`. Raises `DataError` if that has more or fewer lines than there are inputs.
    """
    from seq2x.data import iter_lines
    from seq2x.data.lines import display

    lines = None if file is None else iter_lines(file, notes)
    for count, one in enumerate(inputs, 1):
        own: list[str] = []
        if lines is not None and file is not None:
            _, text = next(lines, (0, None))
            if text is None:
                raise DataError(f"{display(file)}:{count}", "it has ended", "a line of phrases for each input")
            own = [phrase for phrase in text.split("\t") if phrase.strip()]
        yield replace(one, require=(*one.require, *every, *own)) if every or own else one
    if lines is not None and file is not None and next(lines, None) is not None:
        raise DataError(display(file), "it has more lines than there are inputs", "a line of phrases for each input")
