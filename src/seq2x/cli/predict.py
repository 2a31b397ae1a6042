"""`seq2x predict RUN < in > out`: one output per input, in order, whatever the inputs are."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from seq2x.cli import streams
from seq2x.cli.parser import Parser, add_settings, given
from seq2x.cli.wishes import add_wishes, allowed, with_phrases
from seq2x.errors import DataError, Seq2xError, StorageError, UsageError
from seq2x.settings import READING
from seq2x.types import NOTHING, Alternative, Prediction, Want

if TYPE_CHECKING:
    from seq2x.data import Input, Notes
    from seq2x.predict import Predictor
    from seq2x.tasks import Task

__all__ = ["HELP", "add", "record", "run"]

_SHOWN = 10  # outputs that cannot be, each with its reason

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
    parser.add_argument("--rerank", metavar="RUN", help="choose among the best outputs of both with this run")
    parser.add_argument("--lm", metavar="RUN", help="a language model that has a say; see lm_weight, lm_use")
    parser.add_argument("--alignments", metavar="FILE", help="write here which word came from which, as i-j")
    add_wishes(parser)
    shown = ("beam_size", "n_best", "device")
    add_settings(parser, "search", "machine", shown=shown, also=("seed", *READING))


def run(arguments: argparse.Namespace) -> int:
    """Read, decode, write; what was cut or skipped is counted on standard error."""
    from seq2x.data import Notes
    from seq2x.predict import load
    from seq2x.tasks.alignments import require_attention

    settings = given(arguments, "predict")
    file = {name: settings.pop(name) for name in READING if name in settings}
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
        rerank=arguments.rerank,
        lm=arguments.lm,
    )
    resolved = predictor.settings(**settings)
    allow = allowed(arguments.allow_only)
    predictor.task.forbid(arguments.forbid)  # a token that is none is said before --out is touched
    want: Want = NOTHING if arguments.alignments is None else frozenset({"attention"})
    if want:
        require_attention(predictor.task.members)
    predictor.task.constrain(arguments.pattern, allow)
    predictor.task.require(arguments.require)
    notes = Notes()
    inputs, idle = _inputs(arguments, file, str(predictor.task.about.search.get("columns", "auto")), notes)
    for line in [*predictor.without_effect(**settings), *idle]:
        streams.note(line)
    done = _cut_back(_files(arguments), resolved.window) if arguments.resume else 0
    inputs = islice(with_phrases(inputs, arguments.require, arguments.require_file, notes), done, None)
    tally = _Tally(arguments, predictor.task)
    with streams.Lines(arguments.out, append=arguments.resume) as out, _beside(arguments) as beside:
        waiting: list[Input] = []
        texts, prefixes, phrases = tee(_remembering(inputs, waiting, tally), 3)
        found = predictor.stream(
            (one.text for one in texts),
            prefix=(arguments.prefix if one.prefix is None else one.prefix for one in prefixes),
            require=(one.require for one in phrases),
            forbid=arguments.forbid,
            want=want,
            allow=allow,
            pattern=arguments.pattern,
            **settings,
        )
        written = 0
        while block := _placed(found, resolved.window, waiting, written, arguments):
            tally.count(waiting, block)
            aligned = _aligned(predictor, waiting, block) if beside else [None] * len(block)
            out.block([_line(*one, as_json=arguments.json) for one in zip(waiting, block, aligned, strict=True)])
            if beside:
                beside.block(map(str, aligned))
            written += len(block)
            waiting.clear()
    for line in (*notes.lines(), *tally.lines()):
        streams.note(line)
    return 0


def _require_sense(arguments: argparse.Namespace, file: Mapping[str, Any]) -> None:
    """`UsageError` for a command line that contradicts itself, before any work."""
    from seq2x.settings import resolve

    if arguments.require_file == "-" and arguments.file == "-" and arguments.text is None:
        raise UsageError("seq2x predict --require-file", "inputs and phrases both on standard input", "two files")
    if arguments.resume and arguments.out is None:
        raise UsageError("seq2x predict --resume", "no --out FILE", "the file to go on with")
    if arguments.text is not None and arguments.file != "-":
        raise UsageError("seq2x predict", f'--text and "{arguments.file}"', "one of them")
    if arguments.out is not None and arguments.out == arguments.alignments:
        raise UsageError("seq2x predict --alignments", f"{arguments.out} is also --out", "another file")
    for path in _files(arguments) if arguments.text is None else ():
        _require_another(arguments.file, path)
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


def record(asked: Input, prediction: Prediction, aligned: str | None = None) -> dict[str, Any]:
    """One line of `predict --json`; what `score` reads. `extras`: the other fields of the input's JSON record;
    `alignment`: what was asked for with `--alignments`.
    """
    numbers = _numbers(prediction)
    if prediction.alternatives:
        numbers["alternatives"] = [_numbers(alternative) for alternative in prediction.alternatives]
    extras = {} if asked.extras is None else {"extras": dict(asked.extras)}
    more = {} if aligned is None else {"alignment": aligned}
    more |= {"unmet": prediction.unmet} if prediction.unmet else {}
    return {"source": asked.text, **numbers, "truncated": prediction.truncated, **more, **extras}


def _placed(
    found: Iterator[Prediction], window: int, waiting: Sequence[Input], written: int, arguments: argparse.Namespace
) -> list[Prediction]:
    """The next outputs, `window` at most. An error of one of the inputs, of which `waiting` are those after the first
    `written`, names it by file and line; where its own record is to blame, it is one of data.
    """
    try:
        return list(islice(found, window))
    except Seq2xError as error:
        if error.row is None:
            raise
        asked = waiting[error.row - written]
        where = _place(asked, arguments)
        if isinstance(error, UsageError) and asked.prefix is not None:
            raise DataError(where, error.found, error.expected, error.todo) from error
        raise error.at(where) from error


def _place(asked: Input, arguments: argparse.Namespace) -> str:
    """Where an input stands."""
    from seq2x.data.lines import display

    return "--text" if arguments.text is not None else f"{display(arguments.file)}:{asked.line}"


class _Tally:
    """What the reader of the outputs should know about them as a whole, and at once where there is none."""

    def __init__(self, arguments: argparse.Namespace, task: Task) -> None:
        from seq2x.codecs import Unknowns

        self._arguments, self._task, file = arguments, task, arguments.file
        self.tsv = file if file.removesuffix(".gz").endswith(".tsv") else ""
        self.read = self.cut = self.blank = self.tabs = self.unknown = self.loops = self.unmet = 0
        self.unlearned = Unknowns(task.source_codec)

    def count(self, asked: Sequence[Input], predictions: Sequence[Prediction]) -> None:
        for one, prediction in zip(asked, predictions, strict=True):
            self.cut += prediction.stopped == "length"
            self.loops += prediction.stopped == "loop"
            self.blank += prediction.stopped == "empty"
            self.read += prediction.truncated and prediction.stopped not in ("length", "loop")
            self.unknown += self._task.target_codec.unknown_symbols(prediction.ids)
            self.unmet += prediction.stopped == "unmet"
            if prediction.unmet and self.unmet <= _SHOWN:
                streams.warn(f"{_place(one, self._arguments)}: {prediction.unmet}; its output is empty")

    def lines(self) -> Iterator[str]:
        if self.unmet > _SHOWN:
            yield f"{self.unmet:,} x output empty, as none can be as it has to be (--json says why for each)"
        if self.read:
            yield f"{self.read:,} x {self._task.TRUNCATED}"
        if self.cut:
            yield f"{self.cut:,} x output cut by its length limit (max_length is larger if you set it)"
        if self.loops:
            yield f"{self.loops:,} x output cut where it said the same again and again (loops = allow lets it)"
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


def _line(asked: Input, prediction: Prediction, aligned: str | None, *, as_json: bool) -> str:
    """Plain: the output; with n-best all of them on one line between TABs, so that N records stay N lines."""
    if as_json:
        return streams.to_json(record(asked, prediction, aligned))
    if not prediction.alternatives:
        return prediction.value
    return "\t".join(alternative.value.replace("\t", " ") for alternative in prediction.alternatives)


def _aligned(predictor: Predictor, asked: Sequence[Input], found: Sequence[Prediction]) -> list[str]:
    """The links of each output, as a Pharaoh file has them."""
    from seq2x.tasks.alignments import pharaoh

    return [pharaoh(predictor.align(one.text, its)) for one, its in zip(asked, found, strict=True)]


def _files(arguments: argparse.Namespace) -> list[str]:
    """The files that are written."""
    return [path for path in (arguments.out, arguments.alignments) if path is not None]


def _beside(arguments: argparse.Namespace) -> AbstractContextManager[streams.Lines | None]:
    """Where alignments go."""
    if arguments.alignments is None:
        return nullcontext()
    return streams.Lines(arguments.alignments, append=arguments.resume)


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
            raise UsageError("seq2x predict", f"{out} is the file that is read", "another file to write")


def _cut_back(paths: Sequence[str], window: int) -> int:
    """Cut the files back to whole windows that all of them hold, and return how many lines that leaves: what follows is
    then decoded in the same company as without the interruption, and comes out the same.
    """
    ends = [_line_ends(path) for path in paths]
    lines = min(len(found) - 1 for found in ends) // window * window
    for path, found in zip(paths, ends, strict=True):
        if Path(path).exists():
            with _continued(path) as file:
                file.truncate(found[lines])
    return lines


def _line_ends(path: str) -> list[int]:
    """Where the lines of a file begin and end; of one that is not there, the beginning."""
    ends = [0]
    if Path(path).exists():
        with _continued(path) as file:
            for line in file:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
    return ends


@contextmanager
def _continued(path: str) -> Iterator[BinaryIO]:
    """A file that shall go on, to read and to cut."""
    try:
        with Path(path).open("r+b") as file:
            yield file
    except OSError as error:
        raise StorageError(path, f"cannot be continued ({(error.strerror or str(error)).lower()})") from error
