"""From what a user wrote to `Settings`, or to one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from seq2x.errors import UsageError, nearest
from seq2x.settings.habits import habit
from seq2x.settings.rules import LONGEST, broken_rule, is_clean
from seq2x.settings.table import Settings

__all__ = ["canonical", "differences", "parse_flag", "resolve"]

_SHOWN = 80  # characters of a wrong value in a message
_UNSET = ("auto", "none")


def resolve(mapping: Mapping[str, object], where: str) -> Settings:
    """`Settings` with the values of `mapping`, every other one its default.

    Types are strict: `true` is no number, `"3"` is no number, NaN and infinity are no settings; a whole number is a
    good float. An optional setting may be None, `"auto"` or `"none"`. `where` names the source: a file, or "command
    line". Raises `UsageError` for the first thing wrong: an unknown name (with the nearest, or what another toolkit's
    habit is called here), a wrong type, a value out of range, or values that contradict each other.
    """
    values: dict[str, Any] = {}
    for name, value in mapping.items():
        plain = canonical(name, where, value)
        if plain in values:
            raise UsageError(where, f"{plain} is written with - and with _", "each setting once")
        values[plain] = _checked(plain, value, where)
    settings = Settings(**values)
    if problem := broken_rule(settings):
        raise UsageError(where, problem)
    return settings


def canonical(name: str, where: str, value: object = None) -> str:
    """The setting that `name` (with - or _) is; raises `UsageError` with the way out if it is none."""
    plain = name.replace("-", "_") if isinstance(name, str) else repr(name)
    if plain in _hints():
        return plain
    shown = plain[:_SHOWN].replace("\n", "\\n")
    near = nearest(shown, _hints())
    if near.startswith("known:"):
        near = '"seq2x train --help-all" lists all'
    raise UsageError(where, f'there is no setting "{shown}"', todo=habit(plain, value) or near)


def parse_flag(name: str, text: str | Sequence[str]) -> object:
    """The value that `text` on a command line means for this setting, or `text` given several times; `resolve` then
    checks it.

    Numbers and truth values are read as such, `none` and `auto` empty an optional setting, all else stays text.
    Raises `UsageError` for an unknown name or a text of the wrong kind.
    """
    if not isinstance(text, str):
        return parse_flag(name, text[0]) if len(text) == 1 else tuple(text)
    name = canonical(name, "command line", text)
    kind, optional = _kind(name)
    if optional and text.lower() in _UNSET:
        return None
    if kind is bool and text.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return text.lower() in ("true", "yes", "on", "1")
    if kind is int and re.fullmatch(r"[+-]?[0-9][0-9_]{0,29}", text):
        return int(text.replace("_", ""))
    if (
        kind is float
        and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
        and len(text) < _SHOWN
    ):
        return float(text)
    if kind is str:
        return text
    raise _wrong(name, text, "command line")


def differences(a: Settings, b: Settings) -> list[tuple[str, object, object, bool]]:
    """What differs, in the order of the table: (name, value in `a`, value in `b`, may a resumed run change it?)."""
    rows = ((field, getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(Settings))
    return [(field.name, old, new, bool(field.metadata["harmless"])) for field, old, new in rows if old != new]


def _checked(name: str, value: object, where: str) -> object:
    """The value as its setting wants it. Raises `UsageError`."""
    name = canonical(name, where, value)
    if _kind(name)[1] and (value is None or (isinstance(value, str) and value in _UNSET)):
        return None
    given = value
    if _several(name):
        value = _one_or_more(value)
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and not is_clean(text):
            raise UsageError(where, f"{name} holds a control character or is too long", f"at most {LONGEST} characters")
        if text == "" and _several(name):  # it is to name something
            raise _wrong(name, given, where)
    from pydantic import ValidationError

    try:
        return _validator(name).validate_python(value)
    except ValidationError:
        raise _wrong(name, given, where) from None


def _one_or_more(value: object) -> object:
    """None for an empty list, its one item, or a tuple; anything else as it is."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) == 1 and value[0] not in _UNSET:  # a file may be called so, which alone would say that there is none
        return value[0]
    return tuple(value) or None


def _wrong(name: str, value: object, where: str) -> UsageError:
    hint = habit(name, value)
    if isinstance(value, str) and _kind(name)[0] in (int, float, bool) and where != "command line":
        hint = hint or "write it without quotation marks"
    return UsageError(where, f"{name} = {_show(value)}", _expected(name), hint)


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 1 << 200:
        return "a number of very many digits"  # Python refuses to spell it out
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


# ------------------------------------------------------------------ the table, read


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Settings, include_extras=True)


@functools.cache
def _several(name: str) -> bool:
    """Whether it may be given several times."""
    return any(field.name == name and field.metadata["several"] for field in dataclasses.fields(Settings))


def _parts(name: str) -> tuple[Any, list[object], bool]:
    """(the type without None and range, the range, whether None is allowed)."""
    hint, limits, optional = _hints()[name], [], False
    while True:
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            hint = next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
            optional = True
        elif typing.get_origin(hint) is typing.Annotated:
            hint, *limits = typing.get_args(hint)
        else:
            return hint, limits, optional


def _kind(name: str) -> tuple[type, bool]:
    """(bool, int, float or str, whether None is allowed)."""
    base, _, optional = _parts(name)
    return (str if typing.get_origin(base) is Literal else base), optional


@functools.cache
def _validator(name: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(_hints()[name], config=ConfigDict(strict=True, allow_inf_nan=False))


def _expected(name: str) -> str:
    """The range of a setting in words."""
    base, limits, optional = _parts(name)
    if typing.get_origin(base) is Literal:
        text = "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(base))
    elif base is bool:
        text = "true or false"
    elif base is str:
        text = "a text"
    else:
        text = _expected_number(base, limits)
    text += ", or a list of them," if _several(name) else ""
    return text + (" or auto" if optional else "")


def _expected_number(base: type, limits: list[object]) -> str:
    """
    >>> _expected_number(int, [Ge(1), Le(1000)])
    'an integer from 1 to 1000'
    """
    words = {Ge: "from", Gt: "above", Le: "to", Lt: "to less than"}
    ends = [f"{words[type(limit)]} {_bound(limit)}" for limit in limits if type(limit) in words]
    return " ".join(["an integer" if base is int else "a number", *ends])


def _bound(limit: Any) -> str:
    number = next(getattr(limit, name) for name in ("ge", "gt", "le", "lt") if hasattr(limit, name))
    return f"{number:.10g}"
