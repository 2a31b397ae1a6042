"""Regular expressions against Python's own, over characters, bytes and the symbols of every codec."""

from __future__ import annotations

import random
import re

import pytest

from seq2x.codecs.byte_automaton import _utf8, compile_pattern
from seq2x.codecs.lifting import lift
from seq2x.codecs.text import TextCodec
from seq2x.errors import UsageError
from seq2x.search import Automaton

PATTERNS = [
    r"",
    r"a*b|c",
    r"(ab|a)(bc|c)?",
    r"[a-c]{2,3}d?",
    r"\d{4}-\d\d",
    r"[^a-c]+",
    r"(a|b)*a(a|b){3}",
    r"é?[一-龥]+x",
    r".*ab.*",
    r"(a*)*b",
    r"\w+\s\W",
    r"(|a)b",
    r"[]a]+",
    r"[a\-z]+",
    r"[\d_x]*",
    r"a{0}b",
    r"(?:a{2}){2,}",
    r"\.\u00e9\t?",
    r"\D\S",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_accept_what_python_accepts(pattern):
    automaton, draw = compile_pattern(pattern), random.Random(1)
    plain = re.compile(pattern, re.ASCII)
    for _ in range(600):
        text = "".join(draw.choices("abcd-19é一x _].\t", k=draw.randint(0, 6)))
        assert automaton.matches(text) == bool(plain.fullmatch(text)), text
    assert not automaton.matches("\udc80")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a)", 'character 2: ")" without "("'),
        ("(a", 'character 3: "(" without ")"'),
        ("[a", '"[" without "]"'),
        ("a**", "character 3: a quantifier of a quantifier"),
        ("a+{2}", "a quantifier of a quantifier"),
        ("^a", "the whole output is meant"),
        ("a$", r"the sign itself is \$"),
        ("a{3,2}", "the smaller first"),
        ("a{2000}", "numbers up to 1,000"),
        ("a{x}", "expected {m}, {m,} or {m,n}"),
        ("a{2", "expected {m}, {m,} or {m,n}"),
        ("*a", "nothing to repeat"),
        (r"\b", r"no \b here"),
        ("(?=a)", "no look-around"),
        ("a\\", "it ends with a backslash"),
        (r"[\q]", r"no \q here"),
        ("[a-", '"[" without "]"'),
        (r"\u12", "four hexadecimal digits"),
        ("[b-a]", "the lower first"),
        (r"[\d-z]", "a range has one character on either side"),
        ("(" * 60 + ")" * 60, "groups nested deeper than 50"),
        ("(a{1000}){1000}", "is too large"),
        ("(a|b)*a(a|b){14}", "is too large"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(pattern, said):
    with pytest.raises(UsageError) as caught:
        compile_pattern(pattern)
    assert caught.value.where == "pattern" and said in str(caught.value)


def test_ranges_of_utf8_hold_each_code_point_once_and_no_other():
    draw = random.Random(1)
    for _ in range(150):
        low = draw.choice([draw.randrange(0x300), draw.randrange(0x11000), draw.randrange(0x110000)])
        high = min(0x10FFFF, low + draw.choice([0, 1, 5, 70, 5000, 70000]))
        rows = list(_utf8(low, high))
        for code in {
            low,
            high,
            max(low - 1, 0),
            min(high + 1, 0x10FFFF),
            *(draw.randint(low, high) for _ in range(20)),
        }:
            if not 0xD800 <= code < 0xE000:
                spelled = chr(code).encode()
                fitting = [row for row in rows if len(row) == len(spelled)]
                hits = sum(all(a <= byte <= z for byte, (a, z) in zip(spelled, row, strict=True)) for row in fitting)
                assert hits == (low <= code <= high)


LINES = ["the cat sat", "a dog ran home", "你好 世界", "naïve café", "the the cat (cat) cat-cat"] * 5
LIFTED = [r"(the|a|cat| |dog|你|é)*", r"\w+( \w+)*", r".*cat.*", r"[^e]*", r"( ?[a-z]+)*", r"the.*|a b c", r"a{1,3}b?"]


@pytest.mark.parametrize("unknown", ["bytes", "closed"])
@pytest.mark.parametrize("units", ["byte", "char", "word", "bpe", "unigram"])
def test_symbols_are_accepted_where_their_text_is(units, unknown):
    """However symbols came together, what is accepted has a text that matches; and what `encode` makes of a text is
    accepted exactly where the text matches.
    """
    codec, draw = TextCodec.learn(LINES, units, 300, unknown=unknown), random.Random(2)
    for pattern in LIFTED:
        automaton = compile_pattern(pattern)
        lifted = Automaton(*lift(automaton, codec))
        seen = set()
        for _ in range(150):
            if draw.random() < 0.6:
                words = draw.choices(
                    ["the", "cat", "a", "dog", "zzz", "é", "你好", "b", "c", "aab"], k=draw.randint(0, 4)
                )
                ids = codec.encode(" ".join(words))
            else:
                ids = [draw.randrange(3, codec.size) for _ in range(draw.randint(0, 4))]
            text = codec.decode(ids)
            if lifted.accepts(ids):
                assert automaton.matches(text), (ids, text)
            elif codec.encode(text) == ids and "\r" not in text:
                assert not automaton.matches(text), (ids, text)
            seen.add(lifted.accepts(ids))
        assert seen == {True, False} or pattern == "a{1,3}b?"


def test_phrases_are_spelled_as_they_stand_in_a_line():
    bpe = TextCodec.learn(["the cat sat", "(cat)", "scat at bat"] * 20, "bpe", 300)
    line = bpe.encode("the cat (cat)")
    within, behind = bpe.spellings("cat")
    assert bpe.decode(within) == bpe.decode(behind) == "cat" and within != behind
    text = ",".join(map(str, line))
    assert all(",".join(map(str, ids)) in text for ids in (within, behind))
    assert bpe.spellings(" cat") == [within]
    assert bpe.spellings("你")[0] == bpe.encode("你") and len(bpe.spellings("你")) == 1
    for units in ("byte", "char", "word"):
        codec = TextCodec.learn(LINES, units)
        assert codec.spellings("cat\nsat") == [codec.encode("cat sat")]
