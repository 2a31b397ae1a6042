"""What copying a source symbol means: by text, across codecs, and for what the target codec did not learn."""

import pytest

from seq2x.codecs.copying import Copied, Copies
from seq2x.codecs.text import TextCodec

LINES = ["ada meets bob", "bob meets ada at noon", "ada likes tea"]


def words(lines, unknown="bytes", size=None):
    return TextCodec.learn(lines, "word", size, unknown=unknown)


def shown(copies, text):
    """(the tokens of what copying each symbol of `text` means, how often a number is beyond the vocabulary)."""
    copied = copies(text, copies.source.encode(text))
    tokens = copies.target.tokens(copied.ids, copied.extra)
    return tokens, sum(symbol >= copies.target.size for symbol in copied.ids)


def test_one_vocabulary_that_can_spell_means_itself():
    codec = TextCodec.learn(LINES, "bpe", 300)
    copies = Copies(codec, codec)
    ids = codec.encode("ada meets zoë")
    assert copies("ada meets zoë", ids) == Copied(ids, ())


@pytest.mark.parametrize("joint", [True, False])
def test_a_closed_vocabulary_copies_the_word_behind_unk(joint):
    source = words(LINES, "closed")
    target = source if joint else words(LINES[:1], "closed")
    copies = Copies(source, target)
    text = "kwame meets yaa kwame at noon"
    copied = copies(text, source.encode(text))
    beyond = ("kwame", "yaa") if joint else ("kwame", "yaa", "at", "noon")
    assert copied.extra == tuple(word.encode() for word in beyond)
    assert target.tokens(copied.ids, copied.extra) == text.split(" ")
    more = copies.more(copied)
    assert more == {word: target.size + k for k, word in enumerate(beyond)}
    written = target.encode("yaa meets nobody kwame", more)
    assert written == [more["yaa"], target.encode("meets")[0], 3, more["kwame"]]
    assert target.decode(written, copied.extra) == "yaa meets <unk> kwame"


def test_only_what_was_read_is_numbered():
    codec = words(LINES, "closed")
    text = "ada x1 x2 x1 bob"
    assert Copies(codec, codec)(text, codec.encode(text)[:2]).extra == (b"x1",)


def test_an_open_vocabulary_copies_bytes_and_what_the_other_side_knows():
    """A word that only the source learned is one piece; one that neither did is copied byte by byte."""
    copies = Copies(words(LINES), words(["bob sees x"]))
    assert shown(copies, "ada bob zë") == (["ada", "bob", "<0x7A>", "<0xC3>", "<0xAB>"], 1)
    copied = copies("ada x", copies.source.encode("ada x"))
    target = copies.target.encode("ada sees ada bob", copies.more(copied))
    assert copies.target.decode(target, copied.extra) == "ada sees ada bob" and len(target) == 4
    assert target[0] == target[2] == copies.target.size


def test_characters_and_bytes_meet_by_their_text():
    chars, other = TextCodec.learn(["abcabc", "éé"], "char"), TextCodec.learn(["bdbd"], "char")
    copies = Copies(chars, other)
    assert shown(copies, "abé") == (["<0x61>", "b", "é"], 1)
    copied = copies("éb", chars.encode("éb"))
    assert other.encode("bé", copies.more(copied)) == [*other.encode("b"), other.size]
    assert shown(Copies(TextCodec.learn([""], "byte"), chars), "aé") == (["a", "<0xC3>", "<0xA9>"], 0)


def test_words_and_subwords_meet_without_the_blank():
    subwords = TextCodec.learn(LINES * 5, "bpe", 320)
    tokens, beyond = shown(Copies(subwords, words(LINES)), "ada meets")
    assert tokens == ["ada", "meets"] and not beyond
    tokens, beyond = shown(Copies(words(LINES), subwords), "ada meets")
    assert tokens == ["▁ada", "▁meets"] and not beyond
    only = Copies(subwords, words(["tea"]))
    copied = only("ada", subwords.encode("ada"))
    assert only.target.encode("ada", only.more(copied)) == [only.target.size]
