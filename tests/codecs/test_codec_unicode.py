from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.codecs.unicode import normalise, well_formed

MARKS = [chr(c) for c in range(0x300, 0x20000) if unicodedata.combining(chr(c))] + ["\u0f73", "\u0f75", "\u0f81"]
marked = st.lists(
    st.one_of(st.sampled_from(MARKS), st.sampled_from(list("aeoK가ſﷺ\u1100\u1161\u0958"))), min_size=20, max_size=120
).map("".join)


@given(marked, st.sampled_from(["nfc", "nfkc"]))
def test_long_runs_of_marks_normalise_as_the_library_does(text, form):
    assert normalise(text, form) == unicodedata.normalize(form.upper(), text)


def test_runs_of_nothing_but_marks_normalise_as_the_library_does():
    text = "a" + "".join(MARKS) + "\u0f40" + "".join(reversed(MARKS))
    assert normalise(text, "nfc") == unicodedata.normalize("NFC", text)
    assert normalise(text, "nfkc") == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("form", ["nfc", "nfkc", "none"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_normalising_twice_changes_nothing(form, lower, stride):
    for code in range(0, 0x30000, stride):
        if 0xD800 <= code < 0xE000:
            continue
        once = normalise("A" + chr(code) + "\u0345\u0323", form, lower)
        assert normalise(once, form, lower) == once, hex(code)


def test_what_utf8_cannot_hold_is_replaced():
    assert well_formed("a\ud800b") == "a\ufffdb"
    assert well_formed("\ud83d\ude00") == "😀"
    assert normalise("\udfff", "none") == "\ufffd"


def test_a_megabyte_of_alternating_marks_takes_no_minutes():
    # Quadratic code needs minutes here; the pytest timeout of a hanging run is the only clock.
    text = "a" + "\u0301\u0327" * 250_000
    assert len(normalise(text)) == 500_000
