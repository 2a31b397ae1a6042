"""Runs that write from the end, and two runs that choose together among the best outputs of both."""

import dataclasses

import pytest
import torch
from tests.tasks.conftest import LINES, make_task

import seq2x
from seq2x.codecs.backwards import Backwards
from seq2x.errors import FolderError, UsageError
from seq2x.predict import Predictor
from seq2x.run import commit, load
from seq2x.settings import resolve
from seq2x.tasks import About, Generate
from seq2x.tasks.rerank import rerank
from seq2x.types import EOS

SETTINGS = {"beam_size": 4, "max_length": 6, "batch_size": 2}
TEXTS = ["the cat", "a dog", "", "你好", "x y z"]


def turned(task):
    """The same weights, read as a run that writes from right to left."""
    about = dataclasses.replace(task.about, direction="right_to_left")
    return Generate(task.source_codec, about.written_by(task.target_codec), task.model, about)


def ending(task):
    """Made to end soon, so that outputs do."""
    with torch.no_grad():
        task.model.output.bias[2] += 12.0
    return task


@pytest.fixture(scope="module")
def one():
    return ending(make_task(seed=1))


@pytest.fixture(scope="module")
def two():
    return turned(ending(make_task("gru", seed=2, units="byte", source_units="char")))


def test_what_is_written_from_the_end_is_read_from_the_beginning(one):
    """Symbols as the model wrote them, text as it is read; scoring the text is scoring those symbols."""
    settings = resolve({"beam_size": 1, "max_length": 5}, "test")
    plain, back = one.predict(LINES, settings), turned(one).predict(LINES, settings)
    codec = one.target_codec
    assert [p.ids for p in plain] == [p.ids for p in back] and any(len(p.ids) > 1 for p in back)
    for prediction in back:
        assert prediction.value == codec.decode(prediction.ids[::-1]).replace("\r", " ")
        assert [*prediction.tokens] == codec.tokens(prediction.ids)
    texts = ["abc", "the cat", "你"]
    scores = turned(one).score(texts, texts)
    for text, score in zip(texts, scores, strict=True):
        expected = one.score([text], [[*codec.encode(text)[::-1], 2]])[0]
        assert score.ids == expected.ids and score.log_p == pytest.approx(expected.log_p, rel=1e-6)


def test_the_direction_is_stored_and_the_first_runs_have_one(two, tmp_path):
    files = two.to_files()
    commit(tmp_path / "run", 1, files, {})
    again = Generate.from_saved(load(tmp_path / "run"))
    assert again.about == two.about and isinstance(again.target_codec, Backwards)
    settings = resolve(SETTINGS, "test")
    assert [p.value for p in again.predict(TEXTS, settings)] == [p.value for p in two.predict(TEXTS, settings)]
    older = files["task.json"].replace(b' "direction": "right_to_left",\n', b"")
    assert older != files["task.json"]
    assert About.from_files(files["model.json"], older, "x").direction == "left_to_right"
    wrong = files["task.json"].replace(b"right_to_left", b"up_and_down")
    with pytest.raises(FolderError, match="left_to_right or right_to_left"):
        About.from_files(files["model.json"], wrong, "x")


def test_a_beginning_cannot_be_given_to_a_run_that_writes_from_the_end(two):
    with pytest.raises(UsageError, match=r"writes from the end.*direction = right_to_left"):
        Predictor(two)("the cat", prefix="x")


def _by_hand(one, two, text, settings):
    """Every proposal of either, and `log P / lp + w log P' / lp'` of each, by the plain formula: of the symbols that a
    run wrote itself, else of the text.
    """
    own = []
    for task in (one, two):
        prediction = task.predict([text], dataclasses.replace(settings, n_best=settings.beam_size))[0]
        own.append({o.value: [*o.ids, 2] for o in prediction.alternatives if o.stopped == "end"})
    found = []
    for output in dict.fromkeys([*own[0], *own[1]]):
        score = 0.0
        for task, wrote, weight in ((one, own[0], 1.0), (two, own[1], settings.rerank_weight)):
            scored = task.score([text], [wrote.get(output, output)])[0]
            alpha, length = settings.length_alpha, len(scored.token_log_p)
            lp = {"none": 1.0, "wu": ((5 + length) / 6) ** alpha, "average": length**alpha}[settings.length_penalty]
            score += weight * scored.log_p / lp
        found.append((score, output))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", ["none", "wu", "average"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_the_sum_of_both_decides_about_the_best_of_either(one, two, penalty, weight):
    settings = resolve({**SETTINGS, "length_penalty": penalty, "rerank_weight": weight, "n_best": 3}, "test")
    found = rerank(one, two, TEXTS, settings)
    several = 0
    for text, prediction in zip(TEXTS, found, strict=True):
        if not text:
            assert prediction.value == "" and prediction.stopped == "empty"
            continue
        expected = _by_hand(one, two, text, settings)
        several += len(expected) > 1
        assert [a.value for a in prediction.alternatives] == [output for _, output in expected[:3]]
        assert [a.score for a in prediction.alternatives] == pytest.approx([s for s, _ in expected[:3]], rel=1e-4)
        assert (prediction.value, prediction.stopped) == (expected[0][1], "end")
        assert len(prediction.token_log_p) == len(prediction.ids) + 1
        assert prediction.log_p == pytest.approx(sum(prediction.token_log_p))
    assert several >= 3


@pytest.mark.parametrize("first", [True, False])
def test_all_that_a_masked_model_is_asked_for_is_scored_in_a_single_pass(one, first):
    """Its search knows log p of each symbol given the others, which is higher: its own proposals would always win."""
    masked = make_task(seed=4, decoder="mask_predict")
    settings = resolve({**SETTINGS, "n_best": 4}, "test")
    pair = (masked, one) if first else (one, masked)
    for text, prediction in zip(["the cat", "x y z"], rerank(*pair, ["the cat", "x y z"], settings), strict=True):
        expected = _by_hand(*pair, text, settings)[:4]
        assert [a.value for a in prediction.alternatives] == [output for _, output in expected]
        assert [a.score for a in prediction.alternatives] == pytest.approx([s for s, _ in expected], rel=1e-4)
        scored = pair[0].score([text] * len(expected), [[*a.ids, EOS] for a in prediction.alternatives])
        assert [a.log_p for a in prediction.alternatives] == pytest.approx([line.log_p for line in scored], rel=1e-4)


def test_without_an_output_that_ended_the_first_run_is_heard(one):
    endless = make_task(seed=5)
    with torch.no_grad():
        endless.model.output.bias[2] -= 60.0
    settings = resolve({**SETTINGS, "n_best": 2}, "test")
    found = rerank(endless, endless, ["the cat"], settings)[0]
    assert found == endless.predict(["the cat"], settings)[0] and found.stopped == "length" and found.truncated
    chosen = rerank(endless, one, ["the cat"], settings)[0]
    assert chosen.stopped == "end" and not chosen.truncated


def test_what_a_run_has_no_positions_for_is_left_to_others(one):
    short = ending(make_task(seed=3, positions="learned", max_target_length=1))
    settings = resolve({**SETTINGS, "n_best": 4}, "test")
    found = rerank(short, one, ["the cat"], settings)[0]
    assert found.alternatives and all(len(short.target_codec.encode(a.value)) <= 1 for a in found.alternatives)


def test_it_is_asked_for_where_a_run_is_loaded(one, two, tmp_path):
    for name, task in (("one", one), ("two", two)):
        commit(tmp_path / name, 1, task.to_files(), {})
    run = seq2x.load(tmp_path / "one", "cpu", rerank=tmp_path / "two")
    settings = run.settings(**SETTINGS)
    assert run(TEXTS, **SETTINGS) == [p.value for p in rerank(one, two, TEXTS, settings)]
    refused = [
        ({"sample": True}, "draws have no best"),
        ({"forbid": ["x"]}, "tokens of one run"),
        ({"prefix": "x"}, "given to two runs"),
    ]
    for wish, message in refused:
        with pytest.raises(UsageError, match=message):
            run(TEXTS, **SETTINGS, **wish)
    commit(tmp_path / "back", 1, turned(one).to_files(), {})
    with pytest.raises(FolderError, match=r"writes right_to_left.*one direction.*--rerank"):
        seq2x.load(tmp_path / "one", "cpu", ensemble=tmp_path / "back")
