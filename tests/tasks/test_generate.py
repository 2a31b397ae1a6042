"""Texts in, texts out: order, blanks, limits, scores, storage."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x.errors import FolderError, OutOfMemory
from seq2x.run import commit, load
from seq2x.settings import Settings
from seq2x.tasks import Generate, objective
from seq2x.tasks.about import MODEL_FILE, TASK_FILE, About
from seq2x.types import EOS

from .conftest import LINES, make_task

GREEDY = Settings(beam_size=1, max_length=12)
BEAM = Settings(beam_size=4, max_length=12)
TEXTS = [*LINES, "", "   ", "\u2028", "a", "\u200b", "</s> <pad>", "tab\there", "two\nlines", "\x00", "é" * 100]


def given_ids(prediction):
    return [*prediction.ids, EOS] if prediction.stopped == "end" else list(prediction.ids)


def test_one_prediction_per_text_in_order(task):
    together = task.predict(TEXTS, BEAM)
    assert len(together) == len(TEXTS)
    for text, prediction in zip(TEXTS, together, strict=True):
        assert ("\n" in prediction.value or "\r" in prediction.value) is False
        assert (prediction.stopped == "empty") == (not text.strip())
        if not text.strip():
            assert (prediction.value, prediction.ids, prediction.log_p) == ("", (), 0.0)


def test_company_changes_nothing(task):
    together = task.predict(TEXTS, BEAM)
    for size in (1, 2, 7):
        apart = task.predict(TEXTS, dataclasses.replace(BEAM, batch_size=size))
        for one, other in zip(together, apart, strict=True):
            assert one.value == other.value
            assert math.isclose(one.score, other.score, abs_tol=1e-5)
            assert np.allclose(one.token_log_p, other.token_log_p, atol=1e-5)


def test_invariant_means_the_same_bits(task):
    exact = dataclasses.replace(BEAM, invariant=True)
    assert task.predict(TEXTS, exact) == [task.predict([text], exact)[0] for text in TEXTS]


def test_numbers_of_a_prediction_agree_with_each_other(task):
    for prediction in task.predict(LINES, dataclasses.replace(BEAM, n_best=4)):
        assert math.isclose(sum(prediction.token_log_p), prediction.log_p, abs_tol=1e-9)
        assert len(prediction.token_log_p) == len(prediction.ids) + (prediction.stopped == "end")
        assert len(prediction.tokens) == len(prediction.ids)
        assert prediction.value == task.target_codec.decode(prediction.ids).replace("\r", " ").replace("\n", " ")
        first = prediction.alternatives[0]
        assert (first.value, first.ids, first.score) == (prediction.value, prediction.ids, prediction.score)
        ended = [a.score for a in prediction.alternatives if a.stopped == "end"]
        assert ended == sorted(ended, reverse=True)
        assert len({(*a.ids, a.stopped) for a in prediction.alternatives}) == len(prediction.alternatives)


def test_score_of_what_was_predicted_is_what_predict_said(task):
    found = task.predict(LINES, dataclasses.replace(BEAM, n_best=3))
    for scored, prediction in zip(task.score(LINES, [given_ids(p) for p in found]), found, strict=True):
        assert math.isclose(scored.log_p, prediction.log_p, abs_tol=1e-5)
        assert np.allclose(scored.token_log_p, prediction.token_log_p, atol=1e-5)
        assert scored.ids == prediction.ids


def test_score_takes_texts_and_blank_lines(task):
    scored = task.score(["the cat", "", "", " "], ["a dog", "", "x", [EOS]])
    ids = tuple(task.target_codec.encode("a dog"))
    assert scored[0].ids == ids and len(scored[0].token_log_p) == len(ids) + 1 and scored[0].log_p < 0
    assert scored[1].log_p == 0.0 and scored[1].token_log_p == () and scored[3].log_p == 0.0
    assert scored[2].log_p < 0  # text out of nothing is possible, and unlikely
    alone = task.score(["the cat"], ["a dog"])[0]
    assert math.isclose(alone.log_p, scored[0].log_p, abs_tol=1e-5)


def test_inputs_longer_than_the_model_reads_are_cut_and_flagged():
    task = make_task(max_source_length=8)
    short, long = task.predict(["12345678", "123456789"], GREEDY)
    assert long.truncated and (short.truncated == (short.stopped == "length"))
    assert [s.truncated for s in task.score(["12345678", "123456789", ""], ["a", "a", ""])] == [False, True, False]
    padded, cut = task.prepare(["12345678", "123456789"])
    assert cut.tolist() == [False, True] and padded.lengths.tolist() == [9, 9]
    assert bool((padded.values[:, -1] == EOS).all())


def test_outputs_cut_by_their_limit_say_so():
    task = make_task()
    bias = Settings(beam_size=2, max_length=4, min_length=3)
    for prediction in task.predict(LINES, bias):
        # Four symbols at most: what ended has </s> as its fourth.
        assert len(prediction.ids) == 3 + (prediction.stopped == "length")
        assert prediction.truncated == (prediction.stopped == "length")


def test_the_limit_grows_with_the_input_by_the_ratio_of_the_training_pairs():
    task = make_task()
    never_ends = Settings(beam_size=1, min_length=1000)
    lengths = {}
    for ratio in (2.0, 7.5):
        task.about = dataclasses.replace(task.about, length_ratio=ratio)
        (prediction,) = task.predict(["abc"], never_ends)
        lengths[ratio] = len(prediction.ids)
    assert lengths == {2.0: 4 * 2 + 20, 7.5: 4 * 7.5 + 20}  # three letters and </s>


@pytest.mark.parametrize("ratio", [0, 0.0, -1.0, 1e9, "2", None, True])
def test_a_hostile_length_ratio_is_refused(ratio):
    files = make_task().about.to_files()
    task = json.loads(files[TASK_FILE]) | {"length_ratio": ratio}
    with pytest.raises(FolderError, match="length_ratio"):
        About.from_files(files[MODEL_FILE], json.dumps(task).encode(), "run")


def test_learned_positions_bound_the_output():
    task = make_task(positions="learned", max_target_length=6)
    for prediction in task.predict(LINES, Settings(beam_size=2, min_length=50)):
        assert len(prediction.ids) <= 7


def test_draws_depend_on_seed_and_text_only(task):
    draw = Settings(sample=True, n_best=3, beam_size=3, max_length=10, seed=3)
    together = task.predict(LINES, draw)
    assert [p.value for p in together] == [task.predict([text], draw)[0].value for text in LINES]
    other = task.predict(LINES, dataclasses.replace(draw, seed=4))
    assert [p.value for p in together] != [p.value for p in other]
    assert all(len(p.alternatives) == 3 for p in together)


def test_a_team_of_twins_is_the_one(task):
    alone = task.predict(LINES, BEAM)
    twins = task.with_team([task]).predict(LINES, BEAM)
    assert [p.value for p in alone] == [p.value for p in twins]
    assert all(math.isclose(a.log_p, b.log_p, abs_tol=1e-4) for a, b in zip(alone, twins, strict=True))


def test_a_team_averages_probabilities():
    one, other = make_task(seed=1), make_task(seed=2)
    (best,) = one.with_team([other]).predict(["the cat"], GREEDY)
    logs = [t.score(["the cat"], [given_ids(best)])[0].token_log_p for t in (one, other)]
    assert np.allclose(np.log(np.mean(np.exp(logs), axis=0)), best.token_log_p, atol=1e-4)


def test_attention_comes_only_when_wanted(task):
    (plain,) = task.predict(["the cat"], BEAM)
    (shown,) = task.predict(["the cat"], BEAM, frozenset({"attention"}))
    assert plain.attention is None and shown.value == plain.value
    assert shown.attention.shape == (len(shown.token_log_p), len("the cat") + 1)
    assert np.allclose(shown.attention.sum(-1), 1.0, atol=1e-5)


def test_the_model_goes_back_to_what_it_was_doing(task):
    model = task.model
    model.train()
    first = task.predict(LINES, GREEDY)
    assert model.training
    model.eval()
    assert task.predict(LINES, GREEDY) == first and not model.training


def test_a_batch_that_is_too_much_is_halved(task, monkeypatch):
    expected = task.predict(LINES, GREEDY)
    whole = Generate._decode_batch

    def tight(self, texts, *rest):
        if len(texts) > 2:
            raise torch.OutOfMemoryError("no")
        return whole(self, texts, *rest)

    monkeypatch.setattr(Generate, "_decode_batch", tight)
    assert [p.value for p in task.predict(LINES, GREEDY)] == [p.value for p in expected]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no"), MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: no")]
)
def test_one_input_that_is_too_much_is_said(task, monkeypatch, error):
    def never(*_):
        raise error

    monkeypatch.setattr(Generate, "_decode_batch", never)
    with pytest.raises(OutOfMemory, match="one input of 3 characters"):
        task.predict(["abc"], GREEDY)


def test_other_errors_are_not_taken_for_memory(task, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Generate, "_decode_batch", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        task.predict(["abc"], GREEDY)


def test_stored_and_loaded_it_says_the_same(task, tmp_path):
    commit(tmp_path / "best", 7, task.to_files(), {})
    again = Generate.from_saved(load(tmp_path / "best"))
    assert again.about == task.about
    assert again.predict(TEXTS, BEAM) == task.predict(TEXTS, BEAM)
    assert again.to_files() == task.to_files()


def test_given_weights_are_stored_instead(task, tmp_path):
    zero = {name: torch.zeros_like(tensor) for name, tensor in task.model.state_dict().items()}
    commit(tmp_path, 1, task.to_files(zero), {})
    again = Generate.from_saved(load(tmp_path))
    assert all(not weight.any() for weight in again.model.parameters())


DAMAGE = {
    "missing tensor": ("weights.safetensors", lambda a: a.pop(next(iter(a)))),
    "extra tensor": ("weights.safetensors", lambda a: a.update(more=np.zeros(3, np.float32))),
    "wrong shape": ("weights.safetensors", lambda a: a.update({next(iter(a)): np.zeros((3, 5), np.float32)})),
    "wrong type": ("weights.safetensors", lambda a: a.update({n: v.astype(np.float64) for n, v in a.items()})),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_weights_that_do_not_fit_are_refused_whole(tmp_path, kind):
    from seq2x.run import pack_tensors

    task = make_task()
    files = task.to_files()
    commit(tmp_path / "good", 1, files, {})
    arrays = dict(load(tmp_path / "good").tensors("weights.safetensors"))
    DAMAGE[kind][1](arrays)
    commit(tmp_path / "bad", 1, files | {"weights.safetensors": pack_tensors(arrays)}, {})
    with pytest.raises(FolderError):
        Generate.from_saved(load(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("model.json", b'"width": 16', b'"width": 18'),
        ("model.json", b'"decoder_layers": 2', b'"decoder_layers": 1000000'),
        ("model.json", b'"decoder_layers": 2', b'"decoder_layers": 900'),
        ("model.json", b'"width": 16', b'"width": 1048576'),
        ("model.json", b'"target_size": ', b'"target_size": 9'),
        ("model.json", b"{", b"["),
        ("task.json", b'"generate"', b'"os.system"'),
        ("task.json", b'"search": {}', b'"search": {"beam_size": 0}'),
        ("task.json", b'"search": {}', b'"search": {"layers": 3}'),
        ("task.json", b'"search": {}', b'"search": {"nonsense": 3}'),
        ("task.json", b'"search": {}', b'"search": []'),
        ("task.json", b'"each"', b'"some"'),
        ("task.json", b'"metric"', b'"mertic"'),
        ("source.json", b'"char"', b'"byte"'),
    ],
)
def test_a_hostile_folder_is_refused(tmp_path, name, old, new):
    files = make_task().to_files()
    assert old in files[name]
    commit(tmp_path, 1, files | {name: files[name].replace(old, new, 1)}, {})
    with pytest.raises(FolderError):
        Generate.from_saved(load(tmp_path))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_text_is_a_fine_input(texts):
    found = _SMALL.predict(texts, Settings(beam_size=2, max_length=5))
    assert len(found) == len(texts)
    for text, prediction in zip(texts, found, strict=True):
        assert "\n" not in prediction.value and prediction.value.encode() is not None
        assert text.strip() or not prediction.value
        assert math.isfinite(prediction.log_p) and prediction.log_p <= 0


_SMALL = make_task("gru")


def test_the_objective_is_the_settings_one():
    assert objective(Settings(label_smoothing=0.2, loss_per="sequence")).smoothing == 0.2
