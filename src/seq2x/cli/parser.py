"""Settings as options: `--beam-size 5`, `--set beam_size=5`, `--lower` and `--no-lower`; all generated from `Settings`.

The short help of a command fits one screen; `--help-all` lists every setting it takes, grouped by room.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

from seq2x.cli import streams
from seq2x.errors import UsageError, nearest
from seq2x.settings import Settings

__all__ = ["Parser", "add_common", "add_settings", "flag", "given", "reject_unknown"]

_WIDTH = 79
_LEFT = 24  # columns of names
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")
_MARK = "setting:"  # prefix of a setting's place in the namespace: an option may not shadow it


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are ours, and whose help fits a terminal of 24 x 80."""

    rooms: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    tucked: tuple[str, ...] = ()  # options that are no settings and stand in --help-all alone

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError`: exit code 2 in our own format."""
        raise UsageError(self.prog, message, todo=f'"{self.prog} --help" shows what there is')

    def command(self, name: str) -> Parser:
        """The parser of one command."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found = action.choices[name]
                assert isinstance(found, Parser)  # by construction: told to mypy
                return found
        raise KeyError(name)

    def options(self) -> list[str]:
        """Every option string that this command takes."""
        return sorted(self._option_string_actions)

    def own_options(self) -> list[str]:
        """Those that are no settings."""
        return [name for name, action in self._option_string_actions.items() if not action.dest.startswith(_MARK)]

    def parse_anywhere(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """(what `words` say, the words that have no place here); options may stand before, between and behind the
        others, and all words after `--` are no options.

        argparse fills an optional place (`FILE` of `predict RUN [FILE]`) as soon as the one before it is filled, so it
        finds none for a word behind an option; hence options are put first. Raises `UsageError`.
        """
        options, others = self._parted(words)
        dashes = ["--"] if any(word.startswith("-") and word != "-" for word in others) else []
        known, rest = self.parse_known_args([*options, *dashes, *others])
        return known, [word for word in rest if word != "--"]

    def _parted(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """(options with their values, all other words), each in order."""
        options: list[str] = []
        others: list[str] = []
        waiting = iter(words)
        for word in waiting:
            if word == "--":
                others.extend(waiting)
            elif not self._is_option(word):
                others.append(word)
            else:
                options.append(word)
                action = self._option_string_actions.get(word)
                if action is not None and action.nargs is None:  # its value is the next word
                    value = next(waiting, "--")
                    if self._is_option(value):
                        self.error(f"argument {word}: expected one argument")
                    options.append(value)
        return options, others

    def _is_option(self, word: str) -> bool:
        """As argparse has it: `-` is standard input, a number may be below zero, and a text may begin with a dash."""
        known = self._option_string_actions
        if word in known or word.partition("=")[0] in known or (word[:2] in known and word[1:2] != "-"):
            return True
        return word.startswith("-") and word != "-" and " " not in word and not _NEGATIVE.fullmatch(word)


def flag(name: str) -> str:
    """`beam_size` -> `--beam-size`."""
    return "--" + name.replace("_", "-")


def add_settings(parser: Parser, *rooms: str, shown: Iterable[str] = (), also: Iterable[str] = ()) -> None:
    """One option for every setting of `rooms` and those named in `also`, and `--set`; those `shown` stand in the
    short help.
    """
    parser.rooms, parser.also = rooms, tuple(also)
    visible = frozenset(shown)
    for field in _fields(rooms, parser.also):
        text = str(field.metadata["text"]) if field.name in visible else argparse.SUPPRESS
        names = list(dict.fromkeys([flag(field.name), f"--{field.name}"]))
        if isinstance(field.default, bool):
            parser.add_argument(
                *names,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                dest=_MARK + field.name,
                help=text,
            )
        else:
            action = "append" if field.metadata["several"] else "store"
            parser.add_argument(
                *names, action=action, default=argparse.SUPPRESS, dest=_MARK + field.name, metavar="X", help=text
            )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=X", help="any other setting (see --help-all)"
    )


def add_common(parser: Parser) -> None:
    """What every command takes."""
    parser.add_argument("--json", action="store_true", help="results for machines")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="this page")
    if parser.rooms or parser.also:
        parser.add_argument("--help-all", action=_HelpAll, nargs=0, help="every setting")


def given(arguments: argparse.Namespace, command: str) -> dict[str, Any]:
    """The settings that stand on this command line, as plain values by name, not yet checked for range.

    Raises `UsageError` for a name that does not exist, a value of the wrong type, or a setting given twice, once of
    it with `--set`. Of one option given twice the last counts, as everywhere, but where several may be given.
    """
    from seq2x.settings import canonical, parse_flag

    where = f"seq2x {command}"
    values: dict[str, Any] = {}
    for key, value in vars(arguments).items():
        if key.startswith(_MARK):
            name = key.removeprefix(_MARK)
            values[name] = value if isinstance(value, bool) else parse_flag(name, value)
    for text in arguments.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(where, f'--set "{text}"', "NAME=VALUE")
        name = canonical(name.strip(), where, value)
        if name in values:
            raise UsageError(where, f"{name} is given twice", todo="give it once")
        values[name] = parse_flag(name, value.strip())
    return values


def reject_unknown(parser: Parser, arguments: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> None:
    """`UsageError` for the first option that `parser` does not take: with the commands that do (`elsewhere` lists those
    of each option), or else the nearest name.

    Asked before argparse is, which would blame whatever stands next to the misspelt option.
    """
    known = parser.options()
    for word in arguments:
        if word == "--":
            return
        name, _, value = word.partition("=")
        if word.startswith("--") and name not in known and " " not in name:  # with a blank it is a text
            if name in elsewhere:
                todo = f"it is for {', '.join(elsewhere[name])}"
                raise UsageError(parser.prog, f"{name} is not for this command", todo=todo)
            _reject(name, value, parser.prog, [option for option in known if "_" not in option and option[:2] == "--"])


def _reject(name: str, value: str, where: str, known: Sequence[str]) -> NoReturn:
    """What another toolkit calls it, else the nearest option, else where to look."""
    from seq2x.settings.habits import habit

    plain = name.removeprefix("--").replace("-", "_")
    if plain.removeprefix("no_") in {field.name for field in dataclasses.fields(Settings)}:
        raise UsageError(where, f"{name} is not for this command", todo=f'"{where} --help" shows what is')
    hint = habit(plain, value or None) or nearest(name, known)
    if hint.startswith("known:"):
        hint = f'"{where} --help" shows what there is'
    raise UsageError(where, f'unknown option "{name[:80]}"', todo=hint)


def _fields(rooms: Iterable[str], also: Iterable[str] = ()) -> list[dataclasses.Field[Any]]:
    wanted, named = frozenset(rooms), frozenset(also)
    return [f for f in dataclasses.fields(Settings) if f.metadata["room"] in wanted or f.name in named]


def _choices(name: str) -> tuple[str, ...]:
    """The names that may stand for a setting, if it is a matter of names."""
    hint = typing.get_type_hints(Settings)[name]
    arms = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    return typing.get_args(arms[0]) if typing.get_origin(arms[0]) is Literal else ()


def _default(value: Any) -> str:
    return "auto" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        streams.write(_short_help(parser))
        parser.exit()


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        assert isinstance(parser, Parser)  # by construction: told to mypy
        more = [
            action for action in parser._actions if action.option_strings and action.option_strings[0] in parser.tucked
        ]
        rest = "".join(_row(_spelling(action), action.help) + "\n" for action in more)
        streams.write(_short_help(parser) + rest + "\n" + _all_settings(parser.rooms, parser.also))
        parser.exit()


def _short_help(parser: argparse.ArgumentParser) -> str:
    """One screen: usage, purpose, one line for each thing that is not tucked away."""
    tucked = parser.tucked if isinstance(parser, Parser) else ()
    shown = [
        action
        for action in parser._actions
        if action.help is not argparse.SUPPRESS and not set(tucked) & set(action.option_strings)
    ]
    positional = [_row(str(action.metavar), action.help) for action in shown if not action.option_strings]
    options = [_row(_spelling(action), action.help) for action in shown if action.option_strings]
    blocks = [f"usage: {parser.usage}", f"{parser.description}.", "\n".join(positional), "\n".join(options)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _spelling(action: argparse.Action) -> str:
    """`-o, --out FILE`, `--sample`: every name but those that only differ by an underscore or a `no`."""
    names = [name for name in action.option_strings if "_" not in name and not name.startswith("--no-")]
    return " ".join([", ".join(names), *([str(action.metavar)] if action.metavar else [])])


def _row(left: str, right: str | None) -> str:
    """One line; what does not fit is left to --help-all."""
    return f"  {left:<{_LEFT}}{_fitting(right or '')}"


def _fitting(text: str) -> str:
    room = _WIDTH - _LEFT - 2
    return text if len(text) <= room else text.partition(";")[0].partition(" (")[0][:room]


def _all_settings(rooms: Sequence[str], also: Sequence[str]) -> str:
    """Every setting of `rooms` and those of `also`: name, sentence, default."""
    lines: list[str] = []
    parts = [(room, _fields([room])) for room in rooms] + ([("also", _fields([], also))] if also else [])
    for title, fields in parts:
        lines.append(f"{title}:")
        for field in fields:
            choices = ", ".join(_choices(field.name))
            text = f"{field.metadata['text']} ({choices}{'; ' * bool(choices)}default {_default(field.default)})"
            first = f"  {flag(field.name):<{_LEFT}}"
            lines += textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * (_LEFT + 2))
    return "\n".join(lines) + "\n"
