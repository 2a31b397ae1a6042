"""`seq2x COMMAND ...`: which commands there are, and what becomes of an error.

0 ok · 2 usage, settings · 3 data · 4 model folder · 5 storage · 6 diverged · 7 out of memory · 8 device ·
9 run folder busy · 128+N signal · 1 only for our own bug
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType

from seq2x.allocator import keep_memory
from seq2x.cli import align, augment, check, compare, demo, doctor, evaluate, info, predict, score, streams, train
from seq2x.cli.parser import Parser, add_common, reject_unknown
from seq2x.cli.ranks import one_voice
from seq2x.errors import DeviceError, OutOfMemory, PeerFailed, Seq2xError, StorageError, UsageError, nearest

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "check": check,
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "score": score,
    "compare": compare,
    "augment": augment,
    "align": align,
    "info": info,
    "doctor": doctor,
}
"""Every command: a module with `HELP`, `add(parser)` and `run(arguments) -> exit code`."""

_COMPUTING = frozenset({"augment", "predict", "evaluate", "score", "compare"})
"""Commands that allocate large tensors again and again (`train`, which `demo` calls too, sees to its memory itself)."""

_INTRODUCTION = """\
usage: seq2x COMMAND ...

Turns examples into a model: a sequence in; labels, or a new sequence, out.

{commands}

seq2x COMMAND --help says more, seq2x COMMAND --help-all lists every setting.
Each command takes --json (for machines) and --debug (tracebacks).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but `SystemExit` of an embedding program escapes."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    with warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")  # other libraries' hints to programmers are not for users
        try:
            return _dispatch(arguments)
        except SystemExit as end:  # argparse ends --help like this
            return int(end.code or 0)
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except BrokenPipeError:
            streams.abandon()
            return 128 + getattr(signal, "SIGPIPE", 13)  # a signal of POSIX alone
        except Exception as error:
            return _explain(error, debug)


def build_parser() -> Parser:
    """The whole grammar; also what the test that guards it reads."""
    parser = Parser(prog="seq2x", add_help=False, allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", parser_class=Parser, metavar="COMMAND")
    for name, module in COMMANDS.items():
        sub = subparsers.add_parser(name, add_help=False, allow_abbrev=False, description=module.HELP)
        module.add(sub)
        add_common(sub)
    return parser


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "--help-all", "help"):
        streams.write(_INTRODUCTION.format(commands=_command_list()))
        return 0
    if arguments[0] == "--version":
        from seq2x import __version__

        streams.write(f"seq2x {__version__}\n")
        return 0
    with one_voice():
        name, known = _parsed(arguments)
    if name in _COMPUTING:
        keep_memory()
    code: int = COMMANDS[name].run(known)
    return code


def _parsed(arguments: list[str]) -> tuple[str, argparse.Namespace]:
    """(the command, what the words after it say). Raises `UsageError`."""
    name = arguments[0]
    if name not in COMMANDS:
        raise UsageError("seq2x", f'no command "{name}"', todo=nearest(name, COMMANDS))
    grammar = build_parser()
    parser = grammar.command(name)
    reject_unknown(parser, arguments[1:], _takers(grammar))
    known, rest = parser.parse_anywhere(arguments[1:])
    if rest:
        raise UsageError(f"seq2x {name}", f'unexpected "{rest[0]}"', todo=f'"seq2x {name} --help" shows what there is')
    return name, known


def _takers(grammar: Parser) -> dict[str, list[str]]:
    """The commands that take each option which is no setting."""
    found: dict[str, list[str]] = {}
    for name in COMMANDS:
        for option in grammar.command(name).own_options():
            found.setdefault(option, []).append(name)
    return found


def _command_list() -> str:
    return "\n".join(f"  {name:<10}{module.HELP}" for name, module in COMMANDS.items())


def _explain(error: Exception, debug: bool) -> int:
    """One message of at most two lines on standard error; the exit code."""
    if debug:
        traceback.print_exception(error)
    known = _as_ours(error)
    if known is None:
        found = f"{type(error).__name__}: {error}"
        streams.fail(
            1, f"internal error, please report: {found}", "" if debug else "run again with --debug for details"
        )
        return 1
    if not isinstance(known, PeerFailed):  # another process speaks
        streams.fail(known.exit_code, str(known))
    return known.exit_code


def _as_ours(error: Exception) -> Seq2xError | None:
    """`error` as one of ours, where the machine and not a bug of ours is to blame."""
    if isinstance(error, Seq2xError):
        return error
    text = str(error)
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in text)
    ):
        return OutOfMemory("memory", "the machine has no more", todo="try a smaller batch_size or batch_tokens")
    if type(error).__name__ == "AcceleratorError" or (isinstance(error, RuntimeError) and text.startswith("CUDA ")):
        return DeviceError("device", text.partition("\n")[0], todo="try again, or --device cpu")
    if isinstance(error, OSError) and error.errno is not None:
        where = str(error.filename) if error.filename is not None else "input or output"
        todo = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return StorageError(where, (error.strerror or text).lower(), todo=todo)
    return None
