"""One line of JSON, read strictly: what another parser might read differently is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["is_jsonl_name", "kind_of", "parse_record", "texts_of"]

_DEPTH = 100  # nesting allowed in one record
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def parse_record(text: str) -> dict[str, Any]:
    """The object in `text`. Raises ValueError with a reason in words: not JSON, not an object, a key twice, NaN or
    infinity, nested too deeply, half of a surrogate pair, a number beyond all bounds."""
    if text.count("[") + text.count("{") > _DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:  # pragma: no cover (the depth is checked before)
        raise ValueError(f"nested deeper than {_DEPTH}") from error
    if not isinstance(value, dict):
        raise ValueError(f'found {kind_of(value)}, expected an object like {{"source": ..., "target": ...}}')
    if "\\u" in text:  # only an escape can bring half a pair into UTF-8 text
        _check_surrogates(value)
    return value


def texts_of(record: Mapping[str, Any], key: object) -> list[str]:
    """The text, or the list of texts, under `key`. Raises ValueError with a reason in words."""
    if key not in record:
        raise ValueError(f'no key "{key}"; keys found: {", ".join(map(str, record)) or "none"}')
    value = record[str(key)]
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f'"{key}" holds {kind_of(text)}; expected text')
    return list(texts)


def is_jsonl_name(name: str) -> bool:
    """Whether a file of this name holds JSON lines."""
    return name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson", ".json"))


def kind_of(value: object) -> str:
    """What a value of JSON is, in words."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            if depth > _DEPTH:
                raise ValueError(f"nested deeper than {_DEPTH}")
        elif match[0] in "]}":
            depth -= 1


def _check_surrogates(value: object) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("half of a surrogate pair (\\ud800 to \\udfff alone) is not text")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_surrogates(key)
            _check_surrogates(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_surrogates(inner)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        raise ValueError(f'key "{twice}" occurs twice')
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {text[:20]} is beyond all bounds")
    return value


def _int(text: str) -> int:
    if len(text) > 400:
        raise ValueError(f"number of {len(text):,} digits")
    return int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
