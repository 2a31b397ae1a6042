"""Four small sound sets, made from fixed lists: pronunciation, en-de, en-zh, inflection; and 24 kinds of damage."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from itertools import product

Pairs = list[list[str]]

_SOUNDS = {
    "B": "B", "D": "D", "F": "F", "G": "G", "K": "K", "L": "L", "M": "M", "N": "N", "P": "P", "R": "R", "S": "S",
    "T": "T", "V": "V", "Z": "Z", "SH": "SH", "CH": "CH", "A": "AE", "E": "EH", "I": "IH", "O": "AA", "U": "AH",
}  # fmt: skip


def pronunciation() -> Pairs:
    draw, words = random.Random(1), {}
    consonants = [s for s in _SOUNDS if s not in "AEIOU"]
    while len(words) < 400:
        parts = [p for _ in range(draw.randint(2, 6)) for p in (draw.choice(consonants), draw.choice("AEIOU"))]
        words["".join(parts)] = " ".join(_SOUNDS[p] for p in parts)
    return [list(pair) for pair in sorted(words.items())]


_WHO = [
    ("A man", "Ein Mann", "一个男人"),
    ("A young woman", "Eine junge Frau", "一位年轻女子"),
    ("Two children", "Zwei Kinder", "两个孩子"),
    ("The old dog", "Der alte Hund", "那只老狗"),
    ("Several people in red jackets", "Mehrere Menschen in roten Jacken", "几个穿红夹克的人"),
    ("A group of tired students", "Eine Gruppe müder Studenten", "一群疲惫的学生"),
]
_DO = [
    ("runs", "läuft", "跑步"),
    ("sits and reads", "sitzt und liest", "坐着看书"),
    ("is playing football", "spielt Fußball", "正在踢足球"),
    ("looks at the camera", "schaut in die Kamera", "看着镜头"),
    ("waits for the last train home", "wartet auf den letzten Zug nach Hause", "等最后一班回家的火车"),
]
_WHERE = [
    ("", "", ""),
    (" in the park", " im Park", "在公园里"),
    (" near the river", " in der Nähe des Flusses", "在河边"),
    (" in front of a large brick building", " vor einem großen Backsteingebäude", "在一座大砖楼前面"),
    (" on a warm and sunny day", " an einem warmen und sonnigen Tag", "在一个温暖晴朗的日子里"),
]
_WHEN = [
    ("", "", ""),
    (" while it rains", ", während es regnet", "，外面下着雨"),
    (" for 20 minutes", " 20 Minuten lang", "20分钟"),
]


def _sentences(make: Callable[[tuple, tuple, tuple, tuple], list[str]]) -> Pairs:
    pairs = [make(*parts) for parts in product(_WHO, _DO, _WHERE, _WHEN)]
    random.Random(2).shuffle(pairs)
    return pairs


def english_german() -> Pairs:
    return _sentences(
        lambda who, do, where, when: [f"{who[0]} {do[0]}{where[0]}{when[0]}.", f"{who[1]} {do[1]}{where[1]}{when[1]}."]
    )


def english_chinese() -> Pairs:
    return _sentences(
        lambda who, do, where, when: [f"{who[0]} {do[0]}{where[0]}{when[0]}.", f"{who[2]}{where[2]}{do[2]}{when[2]}。"]
    )


def inflection() -> Pairs:
    draw = random.Random(3)
    stems = [
        "".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(draw.randint(1, 6)))
        + draw.choice("klmnrt")
        for _ in range(90)
    ]
    endings = {"V;PST": "te", "V;PRS;2;SG": "st", "V.PTCP;PRS": "end", "V;SBJV;PST;NOM(1,PL)": "eten", "V;NFIN": "en"}
    return [
        [f"{stem}en {features}", stem + ending] for stem in sorted(set(stems)) for features, ending in endings.items()
    ]


SETS: dict[str, Callable[[], Pairs]] = {
    "pronunciation": pronunciation,
    "english_german": english_german,
    "english_chinese": english_chinese,
    "inflection": inflection,
}


def to_bytes(pairs: Pairs) -> bytes:
    return "".join("\t".join(row) + "\n" for row in pairs).encode()


# ------------------------------------------------------------------ damage


def _at(pairs: Pairs, change: Callable[[str], str], side: int = 1, count: int = 3) -> bytes:
    """`change` applied to one side of a few lines."""
    for i in range(count):
        row = pairs[(len(pairs) // 3 + 17 * i) % len(pairs)]
        row[side] = change(row[side])
    return to_bytes(pairs)


def _insert(extra: str) -> Callable[[Pairs], bytes]:
    return lambda pairs: _at(pairs, lambda text: text[: len(text) // 2] + extra + text[len(text) // 2 :])


def _raw(change: Callable[[bytes], bytes]) -> Callable[[Pairs], bytes]:
    return lambda pairs: change(to_bytes(pairs))


def _splice(data: bytes, extra: bytes) -> bytes:
    middle = data.index(b"\n", len(data) // 2)
    return data[:middle] + extra + data[middle:]


def _shift(pairs: Pairs) -> bytes:
    cut = len(pairs) // 2
    targets = [row[1] for row in pairs]
    return to_bytes(
        [[row[0], target] for row, target in zip(pairs[:-3], targets[:cut] + targets[cut + 3 :], strict=True)]
    )


def _each(change: Callable[[list[str]], list[str]]) -> Callable[[Pairs], bytes]:
    return lambda pairs: to_bytes([change(row) for row in pairs])


def _mojibake(text: str) -> str:
    return text + "é".encode().decode("cp1252")


def _pieces(text: str) -> str:
    return text[:2] + "@@ " + text[2:]


def _untabbed(pairs: Pairs) -> bytes:
    lines = to_bytes(pairs).split(b"\n")
    lines[40] = lines[40].replace(b"\t", b" ")
    return b"\n".join(lines)


def _constant(row: list[str]) -> list[str]:
    return [row[0], "yes"]


DAMAGE: dict[str, tuple[str, Callable[[Pairs], bytes]]] = {
    "not UTF-8": ("bad_utf8", _raw(lambda data: _splice(data, b"\xff"))),
    "cut sequence": ("bad_utf8", _raw(lambda data: _splice(data, b"\xe4\xbd"))),
    "UTF-16": ("utf16", _raw(lambda data: data.decode().encode("utf-16"))),
    "byte order mark": ("bom", _raw(lambda data: b"\xef\xbb\xbf" + data)),
    "mark inside": ("invisible", _insert("\ufeff")),
    "lone CR": ("carriage_return", _insert("\r")),
    "U+2028": ("separator", _insert("\u2028")),
    "empty source": ("empty_source", lambda pairs: _at(pairs, lambda _: "", side=0)),
    "empty target": ("empty_target", lambda pairs: _at(pairs, lambda _: " ")),
    "blank lines": ("blank", _raw(lambda data: data.replace(b"\n", b"\n\n", 3))),
    "copied source": ("identical", lambda pairs: to_bytes([*pairs, *([row[0]] * 2 for row in pairs[::50])])),
    "duplicates": ("duplicate", lambda pairs: to_bytes(pairs + pairs[::4])),
    "conflict": ("several_targets", lambda pairs: to_bytes([*pairs, [pairs[0][0], pairs[9][1]]])),
    "too long a target": ("ratio", lambda pairs: _at(pairs, lambda text: " ".join([text] * 12))),
    "shifted": ("shifted", _shift),
    "control": ("control", _insert("\x07")),
    "NUL": ("control", _insert("\0")),
    "U+FFFD": ("damaged", _insert("\ufffd")),
    "zero width": ("invisible", _insert("\u200b")),
    "bidi": ("bidi", _insert("\u202e")),
    "private use": ("private", _insert("\ue000")),
    "mojibake": ("mojibake", lambda pairs: _at(pairs, _mojibake)),
    "wrong script": ("script", lambda pairs: _at(pairs, lambda _: "Совсем другой язык.")),
    "third column": ("columns", _raw(lambda data: _splice(data, b"\textra "))),
    "no TAB": ("columns", _untabbed),
    "truncated": ("too_long", lambda pairs: _at(pairs, lambda text: text * 900, count=1)),
    "subwords": ("subwords", lambda pairs: _at(pairs, _pieces, count=30)),
    "tokenised": ("tokenised", _each(lambda row: [row[0].rstrip(".") + " ,", row[1]])),
    "NFD": ("unicode_form", lambda pairs: _at(pairs, lambda text: text + unicodedata.normalize("NFD", "é"))),
    "one target": ("one_target", _each(_constant)),
    "all equal": ("identical", _each(lambda row: [row[0], row[0]])),
    "entities": ("entity", _insert("&amp;")),
}
