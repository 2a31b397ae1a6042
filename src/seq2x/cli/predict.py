"""`seq2x predict RUN < in > out`: one output per input, in order, whatever the inputs are."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.errors import DataError, Seq2xError, StorageError, UsageError
from seq2x.types import Alternative, Prediction

if TYPE_CHECKING:
    from seq2x.codecs import TextCodec
    from seq2x.data import Input, Notes

__all__ = ["HELP", "add", "record", "run"]

_FILE = ("format", "columns", "on_bad_utf8", "max_line_bytes")  # settings of how the inputs are read

HELP = "raw inputs in, raw outputs out: N records in, N records out"


def add(parser: Parser) -> None:
    """The grammar of this command."""
    parser.usage = "seq2x predict RUN [FILE] [options]        (or: predict RUN < in > out)"
    parser.add_argument("run", metavar="RUN", help="a run folder, or its best/")
    parser.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="one input a line, or JSON lines; -: stdin"
    )
    parser.add_argument("--text", metavar="TEXT", help="one input, given here")
    parser.add_argument("-o", "--out", metavar="FILE", help="write here instead of standard output")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted --out FILE ends")
    parser.add_argument("--ensemble", metavar="RUN", action="append", default=[], help="decide together with this run")
    parser.add_argument("--lm", metavar="RUN", help="a language model that has a say; see lm_weight, lm_use")
    parser.add_argument("--prefix", metavar="TEXT", help="every output begins with TEXT")
    parser.add_argument(
        "--forbid", metavar="TOKEN", action="append", default=[], help="never write TOKEN (repeatable); see --json"
    )
    shown = ("beam_size", "n_best", "sample", "device")
    add_settings(parser, "search", "machine", shown=shown, also=("seed", *_FILE))


def run(arguments: argparse.Namespace) -> int:
    """Read, decode, write; what was cut or skipped is counted on standard error."""
    from seq2x.data import Notes
    from seq2x.predict import load
    from seq2x.settings import without_effect

    settings = given(arguments, "predict")
    file = {name: settings.pop(name) for name in _FILE if name in settings}
    _require_sense(arguments, file)
    if arguments.file == "-" and arguments.text is None:
        streams.standard_input()  # closed? say so before a model is loaded
        if streams.is_terminal():
            settings.setdefault("window", 1)
    predictor = load(
        arguments.run,
        settings.get("device", "auto"),
        threads=settings.get("threads", 0),
        ensemble=arguments.ensemble,
        lm=arguments.lm,
    )
    resolved = predictor.settings(**settings)
    predictor.task.forbid(arguments.forbid)  # a token that is none is said before --out is touched
    notes = Notes()
    inputs, idle = _inputs(arguments, file, str(predictor.task.about.search.get("columns", "auto")), notes)
    idle += predictor.task.out_of_reach(resolved) + predictor.task.unused(settings)
    for line in [*without_effect(resolved, settings), *idle]:
        streams.note(line)
    if "seed" in settings and not resolved.sample:
        streams.note("seed has no effect with sample = false")
    done = _cut_back(Path(arguments.out), resolved.window) if arguments.resume else 0
    inputs = islice(inputs, done, None)
    tally = _Tally(arguments.file, predictor.task.source_codec, predictor.task.target_codec)
    with streams.Lines(arguments.out, append=arguments.resume) as out:
        waiting: list[Input] = []
        texts, prefixes = tee(_remembering(inputs, waiting, tally))
        found = predictor.stream(
            (one.text for one in texts),
            prefix=(arguments.prefix if one.prefix is None else one.prefix for one in prefixes),
            forbid=arguments.forbid,
            **settings,
        )
        written = 0
        while block := _placed(found, resolved.window, waiting, written, arguments):
            out.block([_line(i, p, arguments.json) for i, p in zip(waiting, map(tally.count, block), strict=True)])
            written += len(block)
            waiting.clear()
    for line in (*notes.lines(), *tally.lines()):
        streams.note(line)
    return 0


def _require_sense(arguments: argparse.Namespace, file: Mapping[str, Any]) -> None:
    """`UsageError` for a command line that contradicts itself, before any work."""
    from seq2x.settings import resolve

    if arguments.resume and arguments.out is None:
        raise UsageError("seq2x predict --resume", "no --out FILE", "the file to go on with")
    if arguments.text is not None and arguments.file != "-":
        raise UsageError("seq2x predict", f'--text and "{arguments.file}"', "one of them")
    if arguments.out is not None and arguments.text is None:
        _require_another(arguments.file, arguments.out)
    if resolve(file, "seq2x predict").format == "tsv":
        todo = "cut -f1 FILE | seq2x predict RUN predicts from the first column of a TSV file"
        raise UsageError("seq2x predict", 'format = "tsv"', '"lines" or "jsonl"', todo)


def _inputs(
    arguments: argparse.Namespace, file: Mapping[str, Any], own: str, notes: Notes
) -> tuple[Iterator[Input], list[str]]:
    """(the inputs; one sentence for each setting of `file` that changes nothing). `own`: the run's columns."""
    from seq2x.data import Input, in_one_line, input_format, read_inputs, source_keys

    if arguments.text is not None:
        return iter([Input(in_one_line(arguments.text), 1)]), [f"{name} has no effect with --text" for name in file]
    how = input_format(arguments.file, file.get("format", "auto"))
    keys = source_keys(file.get("columns", "auto"), own) if how == "jsonl" else ()
    idle = ["columns has no effect: every line is one input (--format jsonl reads JSON lines)"]
    more = {name: file[name] for name in ("on_bad_utf8", "max_line_bytes") if name in file}
    found = read_inputs(arguments.file, notes, format=how, source=keys, **more)
    return found, idle if how == "lines" and "columns" in file else []


def record(asked: Input, prediction: Prediction) -> dict[str, Any]:
    """One line of `predict --json`; what `score` reads. `extras`: the other fields of the input's JSON record."""
    numbers = _numbers(prediction)
    if prediction.alternatives:
        numbers["alternatives"] = [_numbers(alternative) for alternative in prediction.alternatives]
    extras = {} if asked.extras is None else {"extras": dict(asked.extras)}
    return {"source": asked.text, **numbers, "truncated": prediction.truncated, **extras}


def _placed(
    found: Iterator[Prediction], window: int, waiting: Sequence[Input], written: int, arguments: argparse.Namespace
) -> list[Prediction]:
    """The next outputs, `window` at most. An error of one of the inputs, of which `waiting` are those after the first
    `written`, names it by file and line; where its own record is to blame, it is one of data.
    """
    from seq2x.data.lines import display

    try:
        return list(islice(found, window))
    except Seq2xError as error:
        if error.row is None:
            raise
        asked = waiting[error.row - written]
        where = "--text" if arguments.text is not None else f"{display(arguments.file)}:{asked.line}"
        if isinstance(error, UsageError) and asked.prefix is not None:
            raise DataError(where, error.found, error.expected, error.todo) from error
        raise error.at(where) from error


class _Tally:
    """What the reader of the outputs should know about them as a whole."""

    def __init__(self, file: str, source: TextCodec, target: TextCodec) -> None:
        from seq2x.codecs import Unknowns

        self.tsv = file if file.removesuffix(".gz").endswith(".tsv") else ""
        self.read = self.cut = self.blank = self.tabs = self.unknown = 0
        self.unlearned, self._target = Unknowns(source), target

    def count(self, prediction: Prediction) -> Prediction:
        self.cut += prediction.stopped == "length"
        self.blank += prediction.stopped == "empty"
        self.read += prediction.truncated and prediction.stopped != "length"
        self.unknown += self._target.unknown_symbols(prediction.ids)
        return prediction

    def lines(self) -> Iterator[str]:
        if self.read:
            yield f"{self.read:,} x input longer than the model reads; its end was not seen"
        if self.cut:
            yield f"{self.cut:,} x output cut by its length limit (max_length is larger if you set it)"
        if self.tabs and self.tsv:
            way = f"cut -f1 {self.tsv} | seq2x predict RUN gives it the first column alone"
            yield f"{self.tabs:,} x input with a TAB: the whole line is the input ({way})"
        if self.blank:
            yield f"{self.blank:,} x blank input, output blank"
        yield from self.unlearned.lines("input")
        if self.unknown:
            yield f"{self.unknown:,} x <unk> in the outputs: the vocabulary is closed"


def _numbers(one: Prediction | Alternative) -> dict[str, Any]:
    return {
        "text": one.value,
        "tokens": list(one.tokens),
        "ids": list(one.ids),
        "log_p": one.log_p,
        "token_log_p": list(one.token_log_p),
        "score": one.score,
        "stopped": one.stopped,
    }


def _line(asked: Input, prediction: Prediction, as_json: bool) -> str:
    """Plain: the output; with n-best all of them on one line between TABs, so that N records stay N lines."""
    if as_json:
        return streams.to_json(record(asked, prediction))
    if not prediction.alternatives:
        return prediction.value
    return "\t".join(alternative.value.replace("\t", " ") for alternative in prediction.alternatives)


def _remembering(inputs: Iterable[Input], waiting: list[Input], tally: _Tally) -> Iterator[Input]:
    """`inputs`, each of which is put into `waiting`."""
    for one in inputs:
        waiting.append(one)
        tally.tabs += "\t" in one.text
        tally.unlearned.add(one.text)
        yield one


def _require_another(file: str, out: str) -> None:
    """`UsageError` if outputs would be written over the inputs that are still to be read."""
    with suppress(OSError, ValueError):  # what is not there, or cannot be, is said by who opens it
        same = os.fstat(0) if file == "-" else Path(file).stat()
        if os.path.samestat(same, Path(out).stat()) and stat.S_ISREG(same.st_mode):
            raise UsageError("seq2x predict --out", f"{out} is the file that is read", "another file")


def _cut_back(path: Path, window: int) -> int:
    """Cut `path` back to whole windows, and return how many lines that leaves: what follows is then decoded in the
    same company as without the interruption, and comes out the same.
    """
    if not path.exists():
        return 0
    try:
        with path.open("r+b") as file:
            ends = [0]
            for line in file:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
            lines = (len(ends) - 1) // window * window
            file.truncate(ends[lines])
    except OSError as error:
        raise StorageError(str(path), f"cannot be continued ({(error.strerror or str(error)).lower()})") from error
    return lines
