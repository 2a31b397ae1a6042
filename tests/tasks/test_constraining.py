"""What outputs have to be, in a user's words; what they cannot be is said, and the others go on."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from seq2x.codecs.text import TextCodec
from seq2x.errors import UsageError
from seq2x.predict import Predictor
from seq2x.search import Automata, Automaton, in_a_loop
from seq2x.settings import Settings
from seq2x.tasks.constraining import constraint, phrase_symbols
from seq2x.types import EOS

from .conftest import LINES, make_task

SHORT = Settings(beam_size=4, max_length=14)
WAYS = {
    "greedy": dataclasses.replace(SHORT, beam_size=1),
    "beam": SHORT,
    "n best": dataclasses.replace(SHORT, n_best=3),
    "groups": dataclasses.replace(SHORT, n_best=3, diversity_groups=2),
    "draws": dataclasses.replace(SHORT, sample=True, n_best=2),
    "risk": dataclasses.replace(SHORT, mbr="chrf", samples=6),
}
TEXTS = ["the cat", "", "a dog ran home", "你好"]


def outputs_of(prediction):
    return prediction.alternatives or (prediction,)


@pytest.mark.parametrize("way", WAYS)
def test_each_line_holds_its_own_phrases_and_costs_what_it_costs(task, way):
    requires = [("dog", "a"), ("x",), (), ("é", "ï")]
    found = task.predict(TEXTS, WAYS[way], requires=requires)
    assert found[1].value == "" and found[1].stopped == "empty"  # a blank input stays blank
    for text, phrases, prediction in zip(TEXTS, requires, found, strict=True):
        for one in outputs_of(prediction) if text else ():
            assert all(phrase in one.value for phrase in phrases), one.value
            ids = [*one.ids, EOS] if one.stopped == "end" else one.ids
            (scored,) = task.score([text], [ids])
            assert np.allclose(scored.token_log_p, one.token_log_p, atol=1e-5)
    free = task.predict(TEXTS[2:3], WAYS[way])[0]
    assert (free.value, free.ids) == (found[2].value, found[2].ids)  # beside others that hold something


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("units", ["char", "bpe", "word"])
def test_outputs_match_a_pattern_whatever_the_units(units, way):
    task = make_task(units=units)
    pattern = r"(the|a|cat|dog)( (sat|ran|home)){1,2}"
    for prediction in task.predict(TEXTS, WAYS[way], constraint=task.constrain(pattern)):
        for one in outputs_of(prediction) if prediction.stopped != "empty" else ():
            assert re.fullmatch(pattern, one.value), one.value


def test_allowed_tokens_are_all_there_is(task):
    free = task.predict(["the cat"], SHORT)[0]
    token = next(name for name in ("a", "s", "t") if name not in free.tokens)
    (found,) = task.predict(["the cat"], SHORT, constraint=task.constrain(allow=["c", token]))
    assert set(found.tokens) <= {"c", token} and found.stopped in ("end", "length")
    both = task.constrain("[a-c]*", ["c", token, "d"])
    (found,) = task.predict(["the cat"], dataclasses.replace(SHORT, min_length=2), constraint=both)
    assert re.fullmatch(f"[c{token}]+", found.value) and "d" not in found.value and len(found.ids) >= 2


def test_prefixes_phrases_and_patterns_go_together(task):
    (found,) = task.predict(
        ["the cat"],
        SHORT,
        prefixes=["xa"],
        requires=[("ca", "at")],
        forbidden=task.forbid(["o"]),
        constraint=task.constrain("x[a-z ]*"),
    )
    assert re.fullmatch("xa[a-z ]*", found.value) and "ca" in found.value and "at" in found.value
    assert "o" not in found.value


def test_what_no_output_can_be_is_said_and_the_others_go_on(task):
    forbidden = task.forbid(["x", "<0x78>"])
    requires = [("dog",), ("x",), ("",), ("a" * 30,), ("cat", "dog")]
    texts = ["the cat", "a dog", "naïve", "home", "ran"]
    found = task.predict(texts, SHORT, requires=requires, forbidden=forbidden)
    assert "dog" in found[0].value and "cat" in found[4].value and "dog" in found[4].value
    said = [one.unmet for one in found]
    assert said[0] == said[4] == ""
    assert said[1] == 'no output holds "x" and lacks the forbidden tokens'
    assert said[2] == '"" has no symbols; expected some text'
    assert "the shortest output that holds" in said[3] and "has 30 symbols, the limit is 14" in said[3]
    for one in found[1:4]:
        assert (one.value, one.ids, one.stopped, one.truncated) == ("", (), "unmet", False)
    (free,) = task.predict(["home"], Settings(beam_size=2), requires=[("a" * 60,)])  # the automatic limit makes room
    assert "a" * 60 in free.value
    contradicts = task.predict(["a"], SHORT, prefixes=["dd"], constraint=task.constrain("[abc]+"))[0]
    assert contradicts.unmet == "no output that begins with the prefix matches the pattern [abc]+"
    never = task.predict(["a"], SHORT, requires=[("d",)], constraint=task.constrain("[abc]+"))[0]
    assert never.unmet == 'no output holds "d" and matches the pattern [abc]+'
    short = task.predict(["a"], dataclasses.replace(SHORT, min_length=4), constraint=task.constrain("a{2}"))[0]
    assert short.unmet == "no output matches the pattern a{2} and is long enough"


def test_an_output_that_is_not_found_is_none(task):
    """No sequence twice, and the only output there is has one: nothing says so before the search."""
    rules = dataclasses.replace(SHORT, no_repeat_ngram_size=1)
    (found,) = task.predict(["a"], rules, constraint=task.constrain("aa", ["a"]))
    assert found.unmet == "no output was found that is of allowed tokens alone and matches the pattern aa"
    assert found.value == ""


def test_what_the_unicode_form_changes_is_looked_at_again():
    """`e` and an accent are two characters to the automaton, and one in the output."""
    task = make_task(units="byte")
    (found,) = task.predict(["a"], SHORT, constraint=task.constrain("e\\u0301"))
    assert found.value == "" and found.unmet.startswith("no output was found")
    (found,) = task.predict(["a"], SHORT, constraint=task.constrain("\\u00e9"))
    assert found.value == "é"


def test_too_many_phrases_are_said():
    task = make_task()
    phrases = tuple(f"{a}{b}" for a in "abcde" for b in "vwxyz")
    (found,) = task.predict(["a"], SHORT, requires=[phrases])
    assert "25 phrases of 50 symbols are too many" in found.unmet


def test_a_closed_vocabulary_has_no_unknown_phrase():
    codec = TextCodec.learn(LINES * 3, "word", unknown="closed")
    assert phrase_symbols(codec, "the cat") == [codec.encode("the cat")]
    with pytest.raises(UsageError, match='require: "the zebra" has 1 unknown words'):
        phrase_symbols(codec, "the zebra")
    with pytest.raises(UsageError, match="require: a int; expected text"):
        phrase_symbols(codec, 3)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"pattern": "("}, "pattern: "),
        ({"pattern": 3}, "pattern: a int"),
        ({"allow": ["bcd"]}, 'allow: "bcd" is no token'),
        ({"allow": "a", "guide": lambda texts, codec: None}, "guide: it stands beside"),
        ({"pattern": "a", "guide": lambda texts, codec: None}, "guide: it stands beside"),
    ],
)
def test_what_cannot_be_meant(task, wish, said):
    with pytest.raises(UsageError, match=said):
        constraint(task.target_codec, **wish)


# ------------------------------------------------------------------ in Python


def test_wishes_of_a_predictor(task):
    run = Predictor(task)
    assert "dog" in run("the cat", require="dog", max_length=12)
    one, two, three = run(["a", "b", "c"], require=["cat", None, ["dog", "é"]], max_length=12)
    assert "cat" in one and "dog" in three and "é" in three and two == run("b", max_length=12)
    assert re.fullmatch(r"\d\d-\d\d", run("a", pattern=r"\d\d-\d\d"))
    assert set(run("a", allow=["a", "b"], max_length=9)) <= {"a", "b"}
    details = run("a", pattern="b{20}", max_length=9, details=True)
    assert details.stopped == "unmet" and "20 symbols" in details.unmet
    for require, said in (
        ([], "fewer than there are texts"),
        ([None, None], "more than there are texts"),
        ([3], "int"),
        ([[3]], "int"),
    ):
        with pytest.raises((UsageError, TypeError), match=said):
            run(["a"], require=require)


def test_a_guide_of_ones_own_sees_the_inputs(task):
    """Outputs that are their inputs: what a parser over exactly these words needs."""

    def copied(texts, codec):
        chains = [codec.encode(text) for text in texts]
        moves = [[{symbol: at + 1} for at, symbol in enumerate(chain)] + [{}] for chain in chains]
        return Automata([Automaton.of(m, [len(m) - 1], codec.size) for m in moves])

    run = Predictor(task)
    texts = ["the cat", "a dog ran home", "你好"]
    assert run(texts, guide=copied, max_length=20) == texts
    held = run("the cat", guide=copied, require="dog", details=True)
    assert "a phrase beside a guide" in held.unmet


def test_loops_are_named():
    """Recurrent models with random weights hardly ever end, and fall into loops."""
    task, kinds = make_task("gru"), set()
    for settings in (Settings(beam_size=1, max_length=200), Settings(beam_size=4, max_length=200)):
        texts = ["the cat", "a dog"]
        found = task.predict(texts, settings)
        free = task.predict(texts, dataclasses.replace(settings, loops="allow"))
        for now, then in zip(found, free, strict=True):
            assert (now.stopped == "loop") == (now.ids != then.ids) and (now.stopped != "loop" or in_a_loop(now.ids))
            assert now.truncated == (now.stopped in ("loop", "length")) and then.stopped != "loop"
            kinds.add(now.stopped)
    assert "loop" in kinds


@pytest.mark.parametrize("copy", ["generator", "pointer"])
def test_a_run_that_copies_takes_no_constraint(copy):
    task = make_task(copy=copy)
    said = r"this run copies \(copy = \"" + copy
    for ask in (
        lambda: task.require(["dog"]),
        lambda: task.constrain("a*"),
        lambda: task.constrain(allow=["a"]),
        lambda: task.predict(["the cat"], SHORT, requires=[("dog",)]),
    ):
        with pytest.raises(UsageError, match=said):
            ask()
    assert task.constrain() and task.predict(["the cat"], SHORT)[0].value is not None
