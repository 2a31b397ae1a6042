"""Every kind of noise by what it may and may not do, and how much of it there is."""

import random

import pytest

from seq2x.augment import Noise
from seq2x.errors import UsageError

WORDS = [f"w{i}" for i in range(40)]
TEXT = " ".join(WORDS)


def noisy(count=400, text=TEXT, **kinds):
    noise = Noise(**kinds)
    return [noise(text, random.Random(f"{n}")) for n in range(count)]


def test_nothing_asked_is_nothing_done():
    assert noisy(3) == [TEXT] * 3 and Noise().does_nothing and not Noise(swap=1).does_nothing


def test_drop_leaves_out_a_share_and_never_all():
    outputs = [text.split() for text in noisy(drop=0.25)]
    assert all(words == sorted(words, key=WORDS.index) for words in outputs)
    assert sum(map(len, outputs)) / (400 * 40) == pytest.approx(0.75, abs=0.01)
    assert all(len(text.split()) == 1 for text in noisy(50, drop=1.0))
    assert set(noisy(50, "a b", drop=1.0)) == {"a", "b"}


def test_mask_keeps_every_place():
    outputs = [text.split() for text in noisy(mask=0.1)]
    for words in outputs:
        assert len(words) == 40 and all(word in ("<mask>", old) for word, old in zip(words, WORDS, strict=True))
    assert sum(words.count("<mask>") for words in outputs) / (400 * 40) == pytest.approx(0.1, abs=0.01)


def test_infill_replaces_about_a_share_in_spans_of_about_three():
    outputs = [text.split() for text in noisy(1000, infill=0.3)]
    kept = sum(len(words) - words.count("<mask>") for words in outputs)
    assert kept / (1000 * 40) == pytest.approx(0.7, abs=0.02)  # a span may end with the text
    masks = sum(words.count("<mask>") for words in outputs)
    assert 3 * masks == pytest.approx(1000 * 40 * 0.3, rel=0.1)
    for words in outputs:
        rest = [word for word in words if word != "<mask>"]
        assert rest == [word for word in WORDS if word in set(rest)]
    assert all(text for text in noisy(50, "a", infill=1.0))


@pytest.mark.parametrize("far", [1, 3])
def test_swap_moves_nothing_further_than_it_may(far):
    places = [[WORDS.index(word) for word in text.split()] for text in noisy(swap=far)]
    assert all(sorted(order) == list(range(40)) for order in places)
    moved = [abs(new - old) for order in places for new, old in enumerate(order)]
    assert max(moved) == far


def test_switch_draws_how_many_as_the_paper_has_it():
    import math

    outputs = [text.split() for text in noisy(4000, "a b c", switch=0.8, vocabulary=["x"])]
    counts = [words.count("x") for words in outputs]
    weights = [math.exp(-n / 0.8) for n in range(4)]
    for n in range(4):
        assert counts.count(n) / 4000 == pytest.approx(weights[n] / sum(weights), abs=0.02)
    assert {tuple(word == "x" for word in words) for words in outputs if words.count("x") == 1} == {
        (True, False, False),
        (False, True, False),
        (False, False, True),
    }


def test_characters_stay_within_their_words():
    for text in noisy(100, "abcd  ef gh", drop=0.3, swap=2, level="char"):
        words = text.split(" ")
        assert len(words) == 4 and words[1] == ""
        assert set(words[0]) <= set("abcd") and set(words[2]) <= set("ef") and words[0] and words[2]
    assert any("_" in text for text in noisy(20, "abcdef", mask=0.5, level="char"))
    assert set(noisy(20, "ab", mask=1.0, level="char", mask_token="■")) == {"■■"}


def test_the_draw_alone_decides():
    kinds = {"drop": 0.1, "mask": 0.1, "infill": 0.1, "swap": 2, "switch": 1.0, "vocabulary": ["x", "y"]}
    assert noisy(20, **kinds) == noisy(20, **kinds)
    assert len(set(noisy(20, **kinds))) == 20
    assert noisy(1, "", **kinds) == [""]


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"drop": 1.5}, "drop: 1.5; expected a share from 0 to 1"),
        ({"mask": float("nan")}, "mask: nan"),
        ({"infill": -0.1}, "infill: -0.1"),
        ({"swap": -1}, "swap: -1"),
        ({"switch": -1.0}, "switch: -1.0"),
        ({"switch": float("inf"), "vocabulary": ["a"]}, "switch: inf"),
        ({"switch": 1.0}, "switch: no vocabulary"),
        ({"drop": 0.1, "level": "byte"}, 'level: "byte"; expected word or char'),
    ],
)
def test_what_makes_no_sense(kinds, said):
    with pytest.raises(UsageError) as error:
        Noise(**kinds)
    assert said in str(error.value)
