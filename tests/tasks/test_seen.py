"""Fingerprints of training lines."""

import pytest

from seq2x.codecs.text import TextCodec
from seq2x.data.overlap import fingerprint
from seq2x.errors import FolderError
from seq2x.tasks.seen import Seen
from seq2x.types import Example

TRAINED = [Example("a", ("x", "y"), 1), Example("b", ("z",), 2), Example("b", ("w",), 3)]


def codecs(units="char", **how):
    codec = TextCodec.learn(["abc xyz"], units, **how)
    return codec, codec


def stored(examples, own):
    return Seen.from_bytes(Seen.of(examples, own).to_bytes(), "seen.bin", own)


def first_version(*numbers):
    """A record as it was before it had a version."""
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def test_sources_and_pairs_are_counted_apart():
    seen = stored(TRAINED, codecs())
    test = [Example("a", ("y",), 1), Example("b", ("new",), 2), Example("c", ("x",), 3), Example("b", ("n", "w"), 4)]
    assert seen.count(test) == (3, 2)
    assert seen.count([]) == (0, 0)


LIKE = {
    # what the codec does: (its settings, a line of training, the same line to the model, another line)
    "NFC": ({}, "caf\u00e9", "cafe\u0301", "CAF\u00c9"),
    "NFKC": ({"normalise": "nfkc"}, "\u2460 fi", "1 \ufb01", "2 fi"),
    "no form": ({"normalise": "none"}, "caf\u00e9", "caf\u00e9 ", "cafe\u0301"),
    "lower case": ({"lower": True}, "The Cat", "THE CAT", "the  cat"),
    "blanks at the ends": ({}, "the cat", " the cat\u3000", "the  cat"),
    "words": ({"units": "word"}, "the cat", "  the   cat ", "thecat"),
}


@pytest.mark.parametrize("what", LIKE)
def test_what_is_the_same_to_the_model_is_the_same_line(what):
    how, line, like, other = LIKE[what]
    own = codecs(**how)
    for trained, tested in ((line, like), (like, line)):
        seen = stored([Example(trained, (trained,), 1)], own)
        assert seen.count([Example(tested, (tested,), 1)]) == (1, 1)
        assert seen.count([Example(other, (tested,), 1)]) == (0, 0)
        assert seen.count([Example(tested, (other,), 1)]) == (1, 0)


def test_each_side_is_read_as_its_own_codec_does():
    own = codecs(lower=True)[0], codecs()[0]
    seen = stored([Example("The Cat", ("Die Katze",), 1)], own)
    assert seen.count([Example("the cat", ("Die Katze",), 1)]) == (1, 1)
    assert seen.count([Example("the cat", ("die katze",), 1)]) == (1, 0)


def test_a_record_of_the_first_version_holds_texts_as_they_stood():
    data = first_version(1, fingerprint("The Cat"), fingerprint("The Cat\0x"))
    seen = Seen.from_bytes(data, "seen.bin", codecs(lower=True))
    assert seen.count([Example("The Cat", ("x",), 1)]) == (1, 1)
    assert seen.count([Example("the cat", ("x",), 1)]) == (0, 0)


def test_order_and_repetition_change_nothing():
    assert stored(TRAINED, codecs()).to_bytes() == stored([*reversed(TRAINED), TRAINED[0]], codecs()).to_bytes()


@pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 8, b"seen", b"seen\2\0\0\0", b"seen\2\0\0\0" + b"\1" * 8])
def test_damage_is_refused(data):
    with pytest.raises(FolderError):
        Seen.from_bytes(data, "seen.bin", codecs())


def test_a_later_version_is_said():
    with pytest.raises(FolderError, match="version 3; expected at most 2; a later seq2x"):
        Seen.from_bytes(b"seen\3\0\0\0" + first_version(0), "seen.bin", codecs())


def test_an_empty_set_has_seen_nothing():
    assert stored([], codecs()).count(TRAINED) == (0, 0)
    assert Seen.from_bytes(first_version(0), "seen.bin", codecs()).count(TRAINED) == (0, 0)
