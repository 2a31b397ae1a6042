r"""A small language of regular expressions, read into a tree: what an output is to look like as a whole.

Here is     any text but what follows; `.` any character; `[a-z一-龥_]` one of these, `[^...]` none of them
            `ab` one after the other, `a|b` one of them, `( )` and `(?: )` a group
            `*` any number, `+` one or more, `?` one or none, `{3}` `{2,}` `{2,5}` so many
            `\d` 0-9, `\w` a-z A-Z 0-9 _, `\s` blank and TAB, `\D` `\W` `\S` the others, `\t` a TAB, `\uXXXX` a code
            point, and a backslash before any sign: the sign itself
There is no `^` and no `$`, as the whole output is meant; no back-reference and no look-around, which no finite
automaton can follow; no lazy or possessive quantifier, which would not change what is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from seq2x.errors import UsageError

__all__ = ["Characters", "Choice", "Node", "Repeat", "Row", "parse"]

LAST: Final = 0x10FFFF
_MOST: Final = 1000  # times in braces
_DEPTH: Final = 50  # groups in groups

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points, first and last, ascending and apart."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character of these."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Row:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part at least `low` times, at most `high` times (None: any number)."""

    part: Node
    low: int
    high: int | None


Node: TypeAlias = Characters | Row | Choice | Repeat

_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_BLANK: Final[Ranges] = ((9, 9), (32, 32))


def parse(text: str) -> Node:
    """The tree of `text`. Raises `UsageError` that says where it cannot be read, and why."""
    reader = _Reader(text)
    tree = reader.choice(0)
    if reader.at < len(text):
        reader.refuse('")" without "("')
    return tree


class _Reader:
    """Reads from left to right, one method for each level: choice, row, item with its quantifiers, atom."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def refuse(self, why: str) -> NoReturn:
        """Raises `UsageError` at the present place."""
        raise UsageError("pattern", f'"{self.text[:80]}", character {self.at + 1}: {why}')

    def peek(self) -> str:
        """The next sign, nothing at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, why: str) -> str:
        """The next sign; there has to be one."""
        if not (sign := self.peek()):
            self.refuse(why)
        self.at += 1
        return sign

    def choice(self, depth: int) -> Node:
        """`row|row|...`"""
        if depth > _DEPTH:
            self.refuse(f"groups nested deeper than {_DEPTH}")
        rows = [self.row(depth)]
        while self.peek() == "|":
            self.at += 1
            rows.append(self.row(depth))
        return rows[0] if len(rows) == 1 else Choice(tuple(rows))

    def row(self, depth: int) -> Node:
        """Items up to a `|`, a `)` or the end."""
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.quantified(self.atom(depth)))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def quantified(self, part: Node) -> Node:
        """`part` with the quantifier that follows it."""
        sign = self.peek()
        if sign in ("*", "+", "?") and sign:
            self.at += 1
            part = Repeat(part, int(sign == "+"), 1 if sign == "?" else None)
        elif sign == "{":
            part = self.braces(part)
        else:
            return part
        if self.peek() in ("*", "+", "?", "{") and self.peek():
            self.refuse("a quantifier of a quantifier; put what it is for into ( )")
        return part

    def braces(self, part: Node) -> Node:
        """`{m}`, `{m,}`, `{m,n}`"""
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : max(end, 0)].partition(",")
        numbers = [low, *([high] if high else [])]
        if end < 0 or not all(number.isascii() and number.isdigit() and len(number) < 9 for number in numbers):
            self.refuse("expected {m}, {m,} or {m,n}; a brace itself is \\{")
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(map(int, numbers)) > _MOST or (most is not None and most < least):
            self.refuse(f"expected numbers up to {_MOST:,}, the smaller first")
        self.at = end + 1
        return Repeat(part, least, most)

    def atom(self, depth: int) -> Node:
        """One character, a class or a group."""
        sign = self.take("it ends")
        if sign == "(":
            if self.peek() == "?":
                if self.text[self.at : self.at + 2] != "?:":
                    self.refuse("no look-around, names or flags here; ( ) and (?: ) are groups")
                self.at += 2
            inside = self.choice(depth + 1)
            self.take('"(" without ")"')  # what a choice leaves is a ")", or nothing
            return inside
        if sign == "[":
            return Characters(self.members())
        if sign == ".":
            return Characters(((0, LAST),))
        if sign == "\\":
            return Characters(self.escape())
        if sign in "^$":
            self.refuse(f"{sign} is not needed, the whole output is meant; the sign itself is \\{sign}")
        if sign in "*+?{":
            self.at -= 1
            self.refuse(f"nothing to repeat; the sign itself is \\{sign}")
        return Characters(((ord(sign), ord(sign)),))

    def escape(self) -> Ranges:
        """What a backslash makes of the next sign."""
        sign = self.take("it ends with a backslash")
        if sign in "dD":
            return _DIGIT if sign == "d" else _others(_DIGIT)
        if sign in "wW":
            return _WORD if sign == "w" else _others(_WORD)
        if sign in "sS":
            return _BLANK if sign == "s" else _others(_BLANK)
        if sign == "t":
            return ((9, 9),)
        if sign == "u":
            digits = self.text[self.at : self.at + 4]
            if len(digits) < 4 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                self.refuse("expected four hexadecimal digits after \\u")
            self.at += 4
            return ((int(digits, 16), int(digits, 16)),)
        if sign.isascii() and sign.isalnum():
            self.refuse(f"no \\{sign} here; there are \\d \\w \\s \\D \\W \\S \\t \\uXXXX")
        return ((ord(sign), ord(sign)),)

    def members(self) -> Ranges:
        """`[...]`, after its bracket."""
        unless = self.peek() == "^"
        self.at += unless
        found: list[tuple[int, int]] = []
        first = True
        while (sign := self.take('"[" without "]"')) != "]" or first:
            first = False
            one = self.escape() if sign == "\\" else ((ord(sign), ord(sign)),)
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                sign = self.take("it ends")
                other = self.escape() if sign == "\\" else ((ord(sign), ord(sign)),)
                if len(one) > 1 or len(other) > 1 or one[0][0] > other[0][1] or one[0][0] != one[0][1]:
                    self.refuse("a range has one character on either side, the lower first")
                one = ((one[0][0], other[0][1]),)
            found += one
        ranges = _joined(found)
        return _others(ranges) if unless else ranges


def _joined(found: list[tuple[int, int]]) -> Ranges:
    """Sorted, neighbours and overlaps made one."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(found):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return tuple(out)


def _others(ranges: Ranges) -> Ranges:
    """All other code points."""
    out, begin = [], 0
    for low, high in ranges:
        if low > begin:
            out.append((begin, low - 1))
        begin = high + 1
    return (*out, (begin, LAST)) if begin <= LAST else tuple(out)
