"""What a codec did not learn is found at little cost, counted and named."""

import pytest

from seq2x.codecs import TextCodec, Unknowns

LINES = ["the cat sat on the mat", "naïve café", "我们喜欢学习中文"] * 3


def lines(codec, *texts, **options):
    unknowns = Unknowns(codec)
    assert list(unknowns.watch(texts)) == list(texts)
    return list(unknowns.lines("source", **options))


def test_words_outside_a_closed_vocabulary():
    codec = TextCodec.learn(["a b c"], "word", unknown="closed")
    assert codec.unknown("x a  y x") == ["x", "y", "x"]
    (line,) = lines(codec, "x a y", "x b", "c")
    assert line == 'source: 3 of 6 words are not in the closed vocabulary and are read as <unk>: "x" (2), "y"'
    assert lines(codec, "a b") == []
    assert lines(codec, "a b", always=True) == ["source: 0 of 2 words are not in the closed vocabulary"]
    assert lines(codec, always=True) == ["source: 0 of 0 words are not in the closed vocabulary"]
    assert codec.unknown_symbols(codec.encode("x a y")) == 2


def test_words_that_are_spelled():
    codec = TextCodec.learn(["ab ba"], "word")
    assert codec.unknown("ab aba é") == ["aba", "é"] and codec.unknown_symbols(codec.encode("é")) == 0
    first, second = lines(codec, "ab aba é", "é")
    assert first == 'source: 3 of 4 words were not learned and are spelled in bytes: "é" (2), "aba"'
    assert second == "source: 2 x character that is in no learned word: é U+00E9 (2)"
    assert len(lines(codec, "aba")) == 1 and lines(codec, "ab ba", always=True) == []


@pytest.mark.parametrize("units", ["char", "bpe", "unigram"])
def test_characters_without_a_symbol(units):
    codec = TextCodec.learn(LINES, units, 600)
    assert codec.unknown("the ю cat 😀 ю 文") == ["ю", "😀", "ю"] and codec.unknown_count("the ю") == 1
    assert codec.unknown("cafe\u0301") == []  # one character in the form that the codec reads
    (line,) = lines(codec, "the ю 😀", "ю\u0302")
    assert line.startswith("source: 4 x character without a symbol of its own, spelled in bytes: ю U+044E (2), ")
    assert "U+0302" in line and "😀 U+1F600" in line
    assert lines(codec, *LINES, always=True) == []


def test_bytes_are_never_unknown():
    codec = TextCodec.learn(LINES, "byte")
    assert codec.unknown("ю") == [] and lines(codec, "ю") == []


def test_many_are_named_in_part():
    codec = TextCodec.learn(["a"], "word", unknown="closed")
    (line,) = lines(codec, *(f"w{n}" for n in range(30)))
    assert line.count('"') == 20 and line.endswith(", ...")


def test_what_is_named_takes_little_memory():
    """A file of nothing but unknown words: they are all counted, and the first thousands named by how often."""
    unknowns = Unknowns(TextCodec.learn(["a"], "word", unknown="closed"))
    for n in range(20_000):
        unknowns.add(f"w{n}")
    assert unknowns.count == 20_000 and len(unknowns.named) <= 10_000
