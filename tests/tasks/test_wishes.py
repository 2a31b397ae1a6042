"""How an output begins and what it may not hold, in a user's words."""

import dataclasses
import math

import numpy as np
import pytest

from seq2x.codecs.text import TextCodec
from seq2x.errors import UsageError
from seq2x.settings import Settings
from seq2x.tasks.wishes import forbidden_symbols, prefix_symbols
from seq2x.types import EOS

from .conftest import LINES, make_task

SHORT = Settings(beam_size=3, max_length=12)
WAYS = {
    "greedy": dataclasses.replace(SHORT, beam_size=1),
    "beam": SHORT,
    "n best": dataclasses.replace(SHORT, n_best=3),
    "draws": dataclasses.replace(SHORT, sample=True, n_best=2),
}
TEXTS = ["the cat", "", "a dog ran home", "你好"]


def outputs_of(prediction):
    return prediction.alternatives or (prediction,)


@pytest.mark.parametrize("way", WAYS)
def test_every_output_begins_with_its_prefix_and_its_symbols_cost_what_they_cost(task, way):
    prefixes = ["a d", "x", "", "naïve é"]
    found = task.predict(TEXTS, WAYS[way], prefixes=prefixes)
    assert found[1].value == "" and found[1].stopped == "empty"  # a blank input stays blank
    for text, prefix, prediction in zip(TEXTS, prefixes, found, strict=True):
        for one in outputs_of(prediction) if text else ():
            assert one.value.startswith(prefix)
            assert len(one.token_log_p) == len(one.ids) + (one.stopped == "end")
            ids = [*one.ids, EOS] if one.stopped == "end" else one.ids
            (scored,) = task.score([text], [ids])
            assert np.allclose(scored.token_log_p, one.token_log_p, atol=1e-5)
    free = task.predict(TEXTS[2:3], WAYS[way])[0]
    assert (free.value, free.ids) == (found[2].value, found[2].ids)  # beside others that are forced
    assert math.isclose(free.log_p, found[2].log_p, abs_tol=1e-5)


def test_a_prefix_that_does_not_fit_names_its_input(task):
    short = dataclasses.replace(SHORT, max_length=3)
    (whole,) = task.predict(["the cat"], short, prefixes=["the"])
    assert whole.value == "the" and whole.stopped == "length"  # it fits, and no room is left for an end
    with pytest.raises(UsageError, match="input 3: a prefix of 4 symbols; expected at most the limit of 3") as caught:
        task.predict(["the cat", "", "a"], short, prefixes=["the", "", "the "])
    assert caught.value.row == 2
    learned = make_task(positions="learned", max_target_length=6)
    with pytest.raises(UsageError, match="input 1: a prefix of 8 symbols; expected at most the limit of 7"):
        learned.predict(["a"], Settings(), prefixes=["the cats"])


def test_the_automatic_limit_grows_with_the_prefix(task):
    prefix = "a dog " * 20
    (found,) = task.predict(["a"], Settings(beam_size=1, min_length=1000), prefixes=[prefix])
    assert found.value.startswith(prefix) and len(found.ids) >= 1000
    (found,) = task.predict(["a"], Settings(beam_size=1), prefixes=[prefix])
    assert found.value.startswith(prefix) and len(found.ids) > len(prefix)


@pytest.mark.parametrize("units", ["byte", "char", "bpe", "unigram", "word"])
def test_a_prefix_is_text_whatever_the_units(units):
    task = make_task(units=units)
    for prefix in ("the", "the ca", "a\nb", "</s>", "", "zzz 你"):
        (found,) = task.predict(["the cat"], SHORT, prefixes=[prefix])
        assert found.value.startswith(prefix.replace("\n", " "))


def test_a_closed_vocabulary_has_no_unknown_prefix():
    codec = TextCodec.learn(LINES * 3, "word", unknown="closed")
    assert prefix_symbols(codec, "the cat") == codec.encode("the cat") and prefix_symbols(codec, "") == []
    with pytest.raises(UsageError, match='prefix: "the zebra ran up" has 2 unknown words'):
        prefix_symbols(codec, "the zebra ran up")
    with pytest.raises(UsageError, match='"zebra" is no token'):
        forbidden_symbols(codec, ["zebra"])
    assert forbidden_symbols(codec, ["<unk>", "cat"]) == tuple(sorted([3, *codec.encode("cat")]))
    task = make_task()
    task.target_codec = codec
    with pytest.raises(UsageError, match="input 2: ") as caught:
        task.predict(["a", "b"], SHORT, prefixes=["cat", "zebra"])
    assert caught.value.row == 1


# ------------------------------------------------------------------ forbidden


@pytest.mark.parametrize("way", WAYS)
def test_what_is_forbidden_does_not_occur(task, way):
    free = task.predict(["the cat"], WAYS[way])[0]
    token = free.tokens[0]
    chosen = task.forbid([token])
    assert free.ids[0] in chosen
    for one in outputs_of(task.predict(["the cat"], WAYS[way], forbidden=chosen)[0]):
        assert token not in one.tokens and one.value
    forced = task.predict(["the cat"], WAYS[way], prefixes=[free.value[:1]], forbidden=task.forbid(["a"]))[0]
    assert forced.value.startswith(free.value[:1])


def test_tokens_are_named_as_they_are_shown_or_as_one_symbol():
    codec = TextCodec.learn(["the cat sat", "the cats", "scat", "aaa"] * 20, "bpe", 300)
    shown = {name: symbol for symbol, name in enumerate(codec.tokens(range(codec.size)))}
    assert "▁the" in shown and "a" in shown
    assert forbidden_symbols(codec, ["▁the", "<0x41>"]) == tuple(sorted([shown["▁the"], shown["<0x41>"]]))
    assert forbidden_symbols(codec, ["the"]) == forbidden_symbols(codec, "the") == (shown["▁the"],)  # as a text
    assert forbidden_symbols(codec, []) == ()
    for token, said in (
        ("the cat sat on", "as a text it is"),
        ("</s>", "as a text it is"),
        ("", "predict --json shows the tokens"),
        ("é", "as a text it is 3 tokens: ▁ <0xC3> <0xA9>"),
    ):
        with pytest.raises(UsageError, match=f'forbid: "{token}" is no token of this run') as caught:
            forbidden_symbols(codec, ["the", token])
        assert said in str(caught.value)
    with pytest.raises(UsageError, match="forbid: a int; expected tokens as text"):
        forbidden_symbols(codec, [3])


def test_a_token_that_names_a_piece_and_a_text_names_both():
    codec = TextCodec.learn(["at the cat sat", "scat at bat", "at"] * 20, "bpe", 300)
    shown = {name: symbol for symbol, name in enumerate(codec.tokens(range(codec.size)))}
    assert forbidden_symbols(codec, ["at"]) == tuple(sorted([shown["at"], shown["▁at"]]))


def test_all_forbidden_is_an_empty_output(task):
    everything = tuple(range(2, task.target_codec.size))
    (found,) = task.predict(["the cat"], SHORT, forbidden=everything)
    assert (found.value, found.stopped, found.truncated, found.log_p) == ("", "length", True, 0.0)
    assert task.score(["the cat"], [found.ids])[0].log_p == 0.0
