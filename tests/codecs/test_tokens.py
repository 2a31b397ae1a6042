"""Tokens as rectangles of symbols, and labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.codecs.tokens import ENDINGS, SHAPE, SYMBOLS, TokenCodec, learn_labels, split_tokens
from seq2x.codecs.vocabulary import FIRST
from seq2x.types import PAD

LINES = ["the cat sat", "the dog sat down", "Walking and talking", "a 3.14 b 2.71", "北京 上海 北京"]
CODEC = TokenCodec.of_lines(LINES)


def rows(text, codec=CODEC):
    ids = codec.encode(text)
    return [ids[begin : begin + SYMBOLS] for begin in range(0, len(ids), SYMBOLS)]


@given(st.text())
@pytest.mark.parametrize("form", ["nfc", "nfkc", "none"])
def test_n_tokens_are_n_rows_whatever_they_are(form, text):
    codec = TokenCodec.of_lines(LINES, form=form)
    assert len(codec.encode(text)) == SYMBOLS * len(split_tokens(text))
    assert all(symbol == PAD or symbol >= FIRST for symbol in codec.encode(text))


def test_only_blanks_part_tokens_and_what_is_blank_has_none():
    assert split_tokens(" a\u00a0b \t  c\n") == ["a\u00a0b", "\t", "c"]
    assert [split_tokens(text) for text in ("", "  ", "\t", "\u00a0 \u2003")] == [[]] * 4


def test_a_word_seen_twice_is_itself_and_others_are_told_by_their_letters():
    the, cat, stalking = rows("the cat stalking")
    walking = rows("Walking")[0]
    assert the[0] > FIRST and cat[0] == stalking[0] == FIRST
    assert walking[ENDINGS[2]] == stalking[ENDINGS[2]] > FIRST  # ...ing
    assert walking[SHAPE] != stalking[SHAPE]
    assert rows("3.14")[0][SHAPE] == rows("9.99")[0][SHAPE] > FIRST
    assert rows("a")[0][ENDINGS[1]] == PAD  # too short for two characters


def test_no_token_is_taken_for_a_part_of_one():
    parts = {piece for piece in CODEC.vocabulary.pieces if "\n" in piece}
    assert parts and all(len(rows(piece.replace("\n", " "))) <= 1 for piece in parts)
    assert "…ing" in CODEC.tokens(range(CODEC.size))


def test_it_is_stored_as_any_codec_and_limited_by_size():
    again = TokenCodec.from_bytes(CODEC.to_bytes(), "x")
    assert again.encode("the cat 北京") == CODEC.encode("the cat 北京") and again.to_bytes() == CODEC.to_bytes()
    small = TokenCodec.of_lines(LINES, 10)
    assert small.size == 10 and len(rows("the cat", small)) == 2
    assert TokenCodec.of_lines(reversed(LINES)).to_bytes() == CODEC.to_bytes()


def test_it_reads_for_eyes():
    assert CODEC.decode(CODEC.encode("the cat sat")) == "the <unk> sat"
    assert CODEC.unknown("the cat sat") == ["cat"]


def test_case_is_in_the_shape_where_words_are_lower_cased():
    codec = TokenCodec.of_lines(["The the THE"], lower=True)
    upper, lower = rows("The the", codec)
    assert (upper[0] == lower[0] > FIRST and upper[SHAPE] != lower[SHAPE]) or upper[SHAPE] == PAD


def test_labels_are_a_closed_world():
    labels = learn_labels(["B-LOC O O", "O"], "nfkc")
    assert labels.encode("O  B-LOC") == [4, 5] and labels.encode("I-LOC") == [FIRST]
    assert labels.decode([5, 4]) == "B-LOC O" and labels.vocabulary.normalise == "nfc"
