from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu

from seq2x.errors import UsageError
from seq2x.metrics import METRICS, chosen, evaluate_pairs, fit, make
from seq2x.metrics.scripts import script_of


def test_several_right_outputs():
    right = [["K AE1 T", "K AH0 T"], ["D AO1 G"]]
    result = evaluate_pairs("word_errors", ["K AH0  T", "D AO1 K"], right)
    assert (result.value, result.better, result.count) == (50.0, "lower", 2)
    assert evaluate_pairs("exact_match", ["K AH0 T", "D AO1 K"], right).value == 50.0
    assert evaluate_pairs("per", ["K AH0 T", "D AO1 K"], right).value == pytest.approx(100 / 6)


def test_the_nearest_right_output_gives_the_length():
    assert evaluate_pairs("wer", ["a b c d"], [["a b c d e", "x y"]]).value == 20.0
    assert evaluate_pairs("cer", ["abc"], [["abcd", "ab"]]).value == 25.0  # equally near: the longer one


def test_composed_and_decomposed_letters_are_the_same():
    for name in ("exact_match", "cer", "wer"):
        result = evaluate_pairs(name, ["caf\u00e9"], ["cafe\u0301"])
        assert result.value == (100.0 if name == "exact_match" else 0.0)


def test_the_tokenizer_follows_the_script():
    assert "tok:13a" in evaluate_pairs("bleu", ["the cat"], ["the cat"]).signature
    assert "tok:zh" in evaluate_pairs("bleu", ["我喜欢猫。"], ["我喜欢猫。"]).signature
    assert "tok:char" in evaluate_pairs("bleu", ["ผมชอบแมว"], ["ผมชอบแมว"]).signature
    assert evaluate_pairs("bleu", ["我非常喜欢小猫。"], ["我非常喜欢小狗。"]).value > 50.0


MECAB = all(importlib.util.find_spec(name) for name in ("MeCab", "ipadic"))
JAPANESE = [["私は猫が好きです。"], ["東京は大きい。"]]


@pytest.mark.skipif(not MECAB, reason="MeCab is not installed (pip install 'seq2x[ja]')")
def test_japanese_is_cut_into_words_where_mecab_is_installed():
    assert "tok:ja-mecab" in evaluate_pairs("bleu", ["私は猫が好きです。", "大きい。"], JAPANESE).signature
    assert make("bleu", JAPANESE).note == ""


def test_japanese_without_mecab_is_cut_into_characters_and_says_so(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: (name != "MeCab" and found(name, *more)) or None
    )
    assert "tok:char" in evaluate_pairs("bleu", ["私は猫が好きです。", "大きい。"], JAPANESE).signature
    assert "characters" in make("bleu", JAPANESE).note and "pip install 'seq2x[ja]'" in make("bleu", JAPANESE).note
    others = [make(name, JAPANESE) for name in METRICS if name != "bleu"]
    assert not any(metric.note for metric in (*others, make("bleu", [["the cat"]]), make("bleu", [["我喜欢猫。"]])))


def test_ter_cuts_chinese_and_japanese():
    for right, wrong, script in (
        (["我非常喜欢小猫。", "他昨天去了北京。"], ["我非常喜欢小狗。", "他昨天去了北京。"], "chinese"),
        (["私は猫が好きです。", "東京は大きい。"], ["私は犬が好きです。", "東京は大きい。"], "japanese"),
    ):
        assert script_of(right) == script
        found = evaluate_pairs("ter", wrong, right, samples=0)
        theirs = sacrebleu.TER(normalized=True, asian_support=True)
        assert found.value == pytest.approx(theirs.corpus_score(wrong, [right]).score, abs=1e-9)
        assert found.signature == str(theirs.get_signature()) and "norm:yes|punct:yes|asian:yes" in found.signature
        assert 0 < found.value < 20  # not one word a line
    assert "norm:no|punct:yes|asian:no" in evaluate_pairs("ter", ["ผมชอบแมว"], ["ผมชอบแมว"]).signature


def test_scripts():
    assert script_of(["the cat", "naïve"]) == "spaced"
    assert script_of(["我用 Python 写程序"]) == "chinese"
    assert script_of(["東京都は日本の首都です"]) == "japanese"
    assert script_of(["ภาษาไทย"]) == "unspaced"
    assert script_of(["Он сказал 我"]) == "spaced"
    assert script_of(["한국어 문장입니다"]) == "spaced"
    assert script_of([]) == script_of([""]) == "spaced"


def fitting(references, source="walk"):
    return fit([source] * len(references), references).metrics


def test_metrics_that_fit():
    phones = [["K AE1 T"], ["D AO1 G Z"], ["AE1 D"]] * 30
    assert fitting(phones) == ("word_errors", "per")
    assert fitting(phones, "my cat and dog") == ("exact_match", "wer")
    assert fitting([["I_JUMP I_TURN_RIGHT I_WALK"], ["I_WALK I_WALK"]] * 40, "jump right") == ("exact_match", "wer")
    assert fitting([[f"2024-03-{day:02}"] for day in range(1, 31)]) == ("exact_match", "cer")
    assert fitting([["New York"], ["Rio de Janeiro"], ["Paris"]]) == ("exact_match", "cer")
    assert fitting([["A man is riding a horse."], ["Two dogs play."]]) == ("bleu", "chrf", "ter")
    assert fitting([["我非常喜欢小猫，你呢？"], ["他昨天去了北京。"]]) == ("bleu", "chrf")
    assert fitting([["北京"], ["上海"]]) == ("exact_match", "cer")
    assert fitting([]) == fitting([[""]]) == ("exact_match", "cer")


def test_every_right_output_and_the_whole_of_a_large_set_count():
    assert fitting([["yes", "a whole sentence about it"], ["no", "another long answer to it"]])[0] == "bleu"
    half = [[f"word{n}"] for n in range(30_000)] + [[f"a sentence of many words like {n}"] for n in range(30_000)]
    assert fitting(half)[0] == "bleu"


def test_training_may_choose_by_any_metric():
    import typing

    from seq2x import Settings

    assert set(typing.get_args(typing.get_type_hints(Settings)["valid_metric"])) == {"auto", "loss", *METRICS}


class Length:
    """A metric of somebody else's: characters of output per character of the right one."""

    name, better, signature = "length", "lower", ""

    def count(self, output, references):
        return np.array([len(output), len(references[0])], dtype=np.float64)

    def score(self, total):
        return float(total[0] / total[1])


def test_an_unknown_metric_is_named():
    for asked in ("bluw", ["chrf", "bluw"]):
        with pytest.raises(UsageError, match='no metric "bluw"; did you mean "bleu"'):
            chosen(asked)
    with pytest.raises(UsageError, match="bleu"):
        make("bluw", [["a"]])
    with pytest.raises(UsageError, match=r'"perplexity" is of log-probabilities.*; "seq2x score" gives it'):
        chosen("perplexity")


def test_one_name_is_not_a_list_of_letters():
    assert chosen("ter") == chosen(["ter"]) == ["ter"]
    assert chosen(("ter", "bleu", "ter")) == ["ter", "bleu"] and chosen(()) == []


def test_an_object_may_stand_where_a_name_may():
    metric = make("bleu", [["a"]])
    assert make(metric, [["我"]]) is metric
    assert evaluate_pairs(metric, ["a b c d"], ["a b c d"]).value == pytest.approx(100.0)
    mine = Length()
    assert chosen(mine) == [mine] and chosen(["bleu", mine]) == ["bleu", mine]
    assert evaluate_pairs(mine, ["ab", "c"], ["abcd", "ef"]).value == 0.5


def test_what_is_no_metric_is_said():
    for wrong in (Length, 3, None, ["bleu", 3]):
        with pytest.raises(UsageError, match="expected a name, or an object with name, count and score"):
            chosen(wrong)
    with pytest.raises(UsageError, match='two metrics are called "length"'):
        chosen([Length(), Length()])


def test_metrics_need_no_torch():
    code = (
        "import sys; from seq2x.metrics import evaluate_pairs, METRICS; "
        "[evaluate_pairs(m, ['a b'], ['a b']) for m in METRICS]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bleu_of_tokens_counts_tokens_as_they_stand():
    references = [["a man 's hat , red"], ["x y z w"]]
    outputs = ["a man 's hat , blue", "x y z w"]
    result = evaluate_pairs("bleu_tokens", outputs, references, samples=0)
    expected = sacrebleu.corpus_bleu(outputs, [[of_one[0] for of_one in references]], tokenize="none", force=True)
    assert result.value == pytest.approx(expected.score, abs=1e-9)
    assert "tok:none" in result.signature
