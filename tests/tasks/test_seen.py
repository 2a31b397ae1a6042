"""Fingerprints of training lines."""

import pytest

from seq2x.errors import FolderError
from seq2x.tasks.seen import Seen
from seq2x.types import Example

TRAINED = [Example("a", ("x", "y"), 1), Example("b", ("z",), 2), Example("b", ("w",), 3)]


def test_sources_and_pairs_are_counted_apart():
    seen = Seen.from_bytes(Seen.of(TRAINED).to_bytes(), "seen.bin")
    test = [Example("a", ("y",), 1), Example("b", ("new",), 2), Example("c", ("x",), 3), Example("b", ("n", "w"), 4)]
    assert seen.count(test) == (3, 2)
    assert seen.count([]) == (0, 0)


def test_order_and_repetition_change_nothing():
    assert Seen.of(TRAINED).to_bytes() == Seen.of([*reversed(TRAINED), TRAINED[0]]).to_bytes()


@pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 8])
def test_damage_is_refused(data):
    with pytest.raises(FolderError):
        Seen.from_bytes(data, "seen.bin")


def test_an_empty_set_has_seen_nothing():
    assert Seen.from_bytes(Seen.of([]).to_bytes(), "").count(TRAINED) == (0, 0)
