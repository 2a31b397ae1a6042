from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seq2x.codecs.pretokens import LONGEST, lead, pretokens, unlead


@given(st.text(max_size=300))
def test_pretokens_are_the_text_and_never_long(text):
    cut = pretokens(text)
    assert "".join(cut) == text
    assert all(0 < len(pretoken) <= LONGEST for pretoken in cut)


@given(st.text(alphabet=st.sampled_from(list(" a.的ไ")), max_size=8))
def test_the_leading_blank_comes_and_goes(text):
    assert unlead(lead(text)) == text


def test_where_texts_are_cut():
    assert pretokens(" A dog, 我们用Python写。") == [" A", " dog", ",", " ", "我们用", "Python", "写", "。"]
    assert pretokens("a   b  ") == ["a", "  ", " b", " ", " "]
    assert pretokens(" नमस्ते สวัสดี") == [" नमस्ते", " ", "สวัสดี"]  # marks stay with their letters
    assert pretokens(" don't") == [" don", "'", "t"]
    assert pretokens("a" * 200) == ["a" * 63, "a" * 63, "a" * 63, "a" * 11]
