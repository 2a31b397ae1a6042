"""JSON without its traps: what is written can be read anywhere, what is read has one meaning.

`json` of the standard library takes NaN, `1e999`, repeated keys, lone surrogates and numbers of any length, and
answers deep nesting with a RecursionError. None of that gets past `parse_json`.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

from seq2x.errors import FolderError, Seq2xError

__all__ = ["JSON", "dump_json", "parse_json"]

JSON: TypeAlias = Any
"""None, bool, int, float, str, list of JSON, dict from str to JSON."""

_DIGITS = 25  # of an integer: more than 2**64 needs, far less than would take time to convert


def dump_json(value: JSON) -> bytes:
    """`value` in the one form it has: sorted keys, one item per line, UTF-8, a line end at the end.

    Raises `ValueError` (NaN, infinity, lone surrogates) or `TypeError` (no JSON): bugs of the caller.
    """
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n").encode()


def parse_json(data: bytes, where: str, error: type[Seq2xError] = FolderError, limit: int = 1 << 26) -> JSON:
    """The value of `data`.

    Raises `error(where, ...)` for anything that is not strict JSON or longer than `limit` bytes.
    """
    if len(data) > limit:
        raise error(where, f"{len(data):,} bytes of JSON", f"at most {limit:,}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # an escaped lone surrogate has no UTF-8
    except UnicodeError as problem:
        raise error(where, f"not UTF-8 ({problem})") from None
    except RecursionError:
        raise error(where, "JSON nested too deeply") from None
    except ValueError as problem:
        raise error(where, f"not strict JSON ({problem})") from None
    return value


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)[:100]!r} stands there twice")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond the largest number")
    return value


def _short(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)
