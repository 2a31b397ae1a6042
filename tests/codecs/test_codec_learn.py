from __future__ import annotations

import random
from collections import Counter

import pytest

from seq2x.codecs import TextCodec
from seq2x.codecs import learn as learning


def test_rare_characters_are_left_to_bytes():
    lines = ["abcdefghij" * 10] * 500 + ["xx"]  # x: 2 of 50,002 characters
    assert TextCodec.learn(lines, "char").vocabulary.pieces == tuple("abcdefghij")
    assert TextCodec.learn(["ab", "ba", "c"], "char").vocabulary.pieces == ("a", "b")


def test_too_many_characters_leave_room_for_pieces():
    lines = ["".join(chr(0x4E00 + i) for i in range(200))] * 2 + ["我们我们"] * 50
    vocabulary = TextCodec.learn(lines, "bpe", 259 + 100).vocabulary
    assert sum(len(piece) == 1 for piece in vocabulary.pieces) == 75
    assert "我们" in vocabulary.pieces


def test_words_seen_once_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(learning, "_MANY", 100)
    lines = [f"often word{i}" for i in range(1000)]
    words = TextCodec.learn(lines, "word").vocabulary.pieces
    assert words[0] == "often"
    assert len(words) <= 101


def test_no_more_words_are_counted_than_there_is_room_for(monkeypatch):
    """Words seen twice would stay for ever: memory would grow, and every further line would count them all anew."""
    monkeypatch.setattr(learning, "_MANY", 100)
    made = []
    monkeypatch.setattr(learning, "Counter", lambda *items: made.append(1) or Counter(*items))
    lines = [f"often word{i} word{i} word{i}" for i in range(1000)]
    words = TextCodec.learn(lines, "word").vocabulary.pieces
    assert words[0] == "often" and len(words) <= 101
    assert len(made) < 100


def test_thinning_keeps_what_matters(monkeypatch):
    lines = ["the newest and the widest"] * 200 + ["lowest"] * 20
    monkeypatch.setattr(learning, "_ENOUGH", 300)
    thin = TextCodec.learn(lines, "bpe", 300)
    assert thin.decode(thin.encode(lines[0])) == lines[0]
    assert len(thin.encode(lines[0])) < len(lines[0])


@pytest.mark.parametrize("units", ["bpe", "unigram"])
def test_a_frequent_word_that_is_part_of_no_other_is_one_piece(units):
    """Unigram pieces had to go on in two ways: words of a small closed world fell to characters."""
    draw = random.Random(1)
    words, weights = ["xylophone", "to", "a", "up", "it", "jump", "walk", "I"], [1, 9, 9, 5, 5, 1, 1, 9]
    lines = [" ".join(draw.choices(words, weights, k=6)) for _ in range(3000)]
    codec = TextCodec.learn(lines, units, 500)
    assert all(len(codec.encode(word)) == 1 for word in words)
    assert sum(map(len, codec.encode_batch(lines))) == 6 * len(lines)


def test_unigram_finds_endings_and_keeps_to_its_size():
    draw = random.Random(2)
    stems = ["".join(draw.choices("abcdfghklmnoprtuw", k=5)) for _ in range(80)]
    lines = [" ".join(draw.choice(stems) + draw.choice(["ing", "ed", "s", ""]) for _ in range(6)) for _ in range(400)]
    codec = TextCodec.learn(lines, "unigram", 259 + 120)
    assert codec.size <= 259 + 120
    assert codec.tokens(codec.encode("hurwing"))[-1] == "ing"


def test_no_piece_holds_the_mark_even_where_a_text_does():
    lines = ["\x01go \x01\x02 go\x03", "to go"] * 50
    codec = TextCodec.learn(lines, "unigram", 400)
    assert not any("\x04" in piece for piece in codec.vocabulary.pieces)
    assert any("\x01" in piece for piece in codec.vocabulary.pieces)
    assert all(codec.decode(codec.encode(line)) == line for line in lines)
