"""JSON that means one thing, or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.errors import DataError, FolderError
from seq2x.strict_json import dump_json, parse_json

texts = st.text(st.characters(blacklist_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(values)
def test_there_and_back(value):
    assert parse_json(dump_json(value), "x") == value
    assert dump_json(parse_json(dump_json(value), "x")) == dump_json(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not strict JSON"),
        (b"{", "not strict JSON"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"1e999", "beyond the largest number"),
        (b'{"a":1,"b":2,"a":3}', "key 'a' stands there twice"),
        (b'"\\ud800"', "not UTF-8"),
        (b'{"\\udfff":1}', "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b"9" * 5000, "an integer of 5000 digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\xef\xbb\xbf{}", "not strict JSON"),
    ],
)
def test_traps(text, reason):
    with pytest.raises(FolderError, match=reason):
        parse_json(text, "x.json")


def test_the_caller_chooses_error_and_limit():
    with pytest.raises(DataError, match="11 bytes of JSON; expected at most 10"):
        parse_json(b'"123456789"', "x.jsonl:3", DataError, limit=10)
    assert parse_json(b'"\\u00e9\\ud83d\\ude00"', "x") == "é😀"


def test_what_is_no_json_is_a_bug_of_the_caller():
    for value in (float("nan"), float("inf"), "\ud800"):
        with pytest.raises(ValueError):
            dump_json(value)
