"""Portions: all examples, in order, none of more than its share of memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.data import portions as room
from seq2x.data.check import check
from seq2x.data.portions import portions
from seq2x.types import Example


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 10), st.integers(1, 50))
def test_all_in_order_and_none_too_large(sizes, most, characters):
    examples = [Example("x" * size, ("y", "z" * (size // 2)), line) for line, size in enumerate(sizes, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST", most)
        patch.setattr(room, "CHARACTERS", characters)
        found = list(portions(iter(examples)))
    assert [example for some in found for example in some] == examples
    for some in found:
        before_the_last = sum(len(e.source) + sum(map(len, e.targets)) for e in some[:-1])
        assert 1 <= len(some) <= most and before_the_last < characters


def test_what_check_finds_does_not_depend_on_them(tmp_path, monkeypatch):
    lines = [f"the source of line {n}\tdas Ziel von Zeile {n}" for n in range(300)]
    lines[40] = lines[41] = "the same\tdasselbe"
    lines[100] = "short\t" + "long " * 60
    lines[200] = "\tno source"
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    whole = check(path)
    assert {"duplicate", "ratio"} <= {finding.code for finding in whole.findings}
    monkeypatch.setattr(room, "MOST", 7)
    monkeypatch.setattr(room, "CHARACTERS", 100)
    assert check(path) == whole
