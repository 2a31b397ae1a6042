"""Recipes: settings and the names of data files in one TOML file, flat, each name at most once.

    train = "pairs.tsv"                  # or ["source.txt", "target.txt"]
    test = "${SEQ2X_DATA}/test.tsv"      # evaluated on once, at the end; ${NAME} of the environment, in paths only
    out = "runs/pairs"
    from = "runs/parent"                 # go on from this run
    layers = 4                           # any setting

A path means what it means on the command line: it starts from the current folder, wherever the recipe lies. TOML
rather than YAML: a number is a number, `no` is a word, and nothing in it can be run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seq2x.errors import UsageError, escape
from seq2x.settings.check import canonical, resolve
from seq2x.settings.rules import LONGEST, is_clean
from seq2x.settings.table import Settings

__all__ = ["Recipe", "dump_toml", "read_recipe"]

_LARGEST = 1_000_000  # bytes
_DEEPEST = 50  # brackets: a recipe has one at most
_PATHS = ("train", "test", "out", "from")
_FILES = {"valid", "unlabelled"}  # settings that name files
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe says: `settings` as `resolve` takes them (already found sound), and the files it names."""

    settings: Mapping[str, object] = field(default_factory=dict)
    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    out: str | None = None
    from_run: str | None = None


def read_recipe(path: str | Path) -> Recipe:
    """Reads and checks a recipe; raises `UsageError` with the line, or the name, that is to blame.

    Refused: no TOML, no UTF-8, more than a megabyte, tables, a name twice, anything that `resolve` refuses, and a
    path that is a pipe or a device (it might never end).
    """
    where = str(path)
    table = _parse(_read(Path(path), where), where)
    paths = {name: _paths(name, table.pop(name), where) for name in _PATHS if name in table}
    for name in _FILES & table.keys():
        files = _paths(name, table[name], where)
        table[name] = list(files) if isinstance(table[name], list) else files[0]
    for name, value in table.items():
        if isinstance(value, dict):
            raise UsageError(
                where, f"[{name[:80]}] is a table", "settings without tables", "remove the line in brackets"
            )
    settings = {canonical(name, where, value): value for name, value in table.items()}
    if len(settings) < len(table):
        raise UsageError(where, "a setting is written with - and with _", "each once")
    resolve(settings, where)
    folders: dict[str, str | None] = {}
    for name in ("out", "from"):
        given = paths.get(name, ())
        if len(given) > 1:
            raise UsageError(where, f"{name} = {list(given)}", "one folder")
        folders[name] = given[0] if given else None
    return Recipe(settings, paths.get("train", ()), paths.get("test", ()), folders["out"], folders["from"])


def dump_toml(settings: Settings, reasons: Mapping[str, str], paths: Mapping[str, str | tuple[str, ...]] = {}) -> str:
    """`settings` as a recipe: every value, room by room, above each one its reason (or its sentence of the table).

    A setting that is None has no TOML value and stands there as "auto". `paths` may hold `train`, `test`, `out` and
    `from`. Reading it gives equal settings again.
    """
    lines = ["# Every setting of this run. `seq2x train` takes this file; nothing is loaded from it by itself."]
    for name, given in paths.items():
        shown = given if isinstance(given, str) else list(given)
        lines.append(f"{name} = {_toml(_escaped(shown))}")
    room = ""
    for row in dataclasses.fields(Settings):
        if row.metadata["room"] != room:
            room = row.metadata["room"]
            lines += ["", f"# ---- {room}"]
        why = escape(" ".join(reasons.get(row.name, row.metadata["text"]).split()))
        lines += textwrap.wrap(why, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        value = getattr(settings, row.name)
        value = list(value) if isinstance(value, tuple) else value
        lines.append(f"{row.name} = {_toml(_escaped(value) if row.name in _FILES else value)}")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ reading


def _read(path: Path, where: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UsageError(where, "not a file", "a recipe in TOML")
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(where[:200], f"cannot be read: {reason}", "a recipe in TOML") from None
    if len(data) > _LARGEST:
        raise UsageError(where, "too long", f"a recipe of at most {_LARGEST:,} bytes")
    return data


def _parse(data: bytes, where: str) -> dict[str, object]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}:{line}", "not UTF-8", "a recipe in UTF-8") from None
    if text.count("[") + text.count("{") > _DEEPEST:
        raise UsageError(where, "too many brackets", "settings, one a line")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _syntax_error(str(error), text, where) from None


def _syntax_error(message: str, text: str, where: str) -> UsageError:
    """tomllib's complaint with the line in front; for a repeated name, both of its lines."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", message, re.DOTALL)
    if match is None:  # a number of thousands of digits, brackets without end
        return UsageError(where, f"not TOML ({message[:200]})", "name = value, one a line")
    line = int(match[2]) if match[2] else text.count("\n") + 1
    if match[1] == "Cannot overwrite a value":
        rows = text.split("\n")
        name = rows[line - 1].partition("=")[0].strip()
        same = [number for number, row in enumerate(rows, 1) if row.partition("=")[0].strip() == name]
        if len(same) > 1:
            return UsageError(
                f"{where}:{same[1]}", f"{name[:80]} is given again; line {same[0]} has it too", "each name once"
            )
    hint = "a text needs quotation marks" if match[1] == "Invalid value" else ""
    return UsageError(f"{where}:{line}", f"not TOML ({match[1][:200]})", "name = value, one a line", hint)


# ------------------------------------------------------------------ paths


def _paths(name: str, value: object, where: str, most: int = 1000) -> tuple[str, ...]:
    """One path or a list of them, `${NAME}` filled in."""
    found: list[Any] = value if isinstance(value, list) else [value]
    if not 1 <= len(found) <= most or not all(isinstance(one, str) and one for one in found):
        raise UsageError(
            where, f"{name} = {str(value)[:80]}", "a file name in quotation marks" + (", or a list" * (most > 1))
        )
    filled = tuple(_filled(name, one, where) for one in found)
    for one in filled:
        if not is_clean(one):
            raise UsageError(where, f"{name} holds a control character or is too long", f"at most {LONGEST} characters")
    return filled


def _filled(name: str, path: str, where: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] not in os.environ:
            raise UsageError(where, f"{name} needs the environment's {match[1]}", todo=f"export {match[1]}=...")
        return os.environ[match[1]]

    return re.sub(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, path)


def _escaped(value: object) -> object:
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _toml(value: object) -> str:
    """A value of the table in TOML, whose strings, numbers and lists of strings are those of JSON but for `\\x7f`."""
    return '"auto"' if value is None else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
