"""Texts in, texts out: order, blanks, limits, scores, storage."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2x.errors import DataError, DivergedError, FolderError, OutOfMemory
from seq2x.run import commit, load
from seq2x.settings import Settings
from seq2x.tasks import Generate, generate
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
        assert math.isclose(scored.log_p, prediction.log_p, abs_tol=1e-5 * len(scored.token_log_p))
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
    with torch.no_grad():
        task.model.output.bias[EOS] = -1e4  # never ends
    never_ends = Settings(beam_size=1)
    lengths = {}
    for ratio in (2.0, 7.5):
        task.about = dataclasses.replace(task.about, length_ratio=ratio)
        (prediction,) = task.predict(["abc"], never_ends)
        lengths[ratio] = len(prediction.ids)
    assert lengths == {2.0: 4 * 2 + 20, 7.5: 4 * 7.5 + 20}  # three letters and </s>


def test_the_automatic_limit_leaves_room_for_the_least_length(task):
    for prediction in task.predict(["a", "the cat"], Settings(beam_size=2, min_length=60)):
        assert len(prediction.ids) >= 60
    (cut,) = task.predict(["a"], Settings(beam_size=2, min_length=60, max_length=60))  # the user's own limit
    assert cut.stopped == "length" and len(cut.ids) == 60


@pytest.mark.parametrize("ratio", [0, 0.0, -1.0, 1e9, "2", None, True])
def test_a_hostile_length_ratio_is_refused(ratio):
    files = make_task().about.to_files()
    task = json.loads(files[TASK_FILE]) | {"length_ratio": ratio}
    with pytest.raises(FolderError, match="length_ratio"):
        About.from_files(files[MODEL_FILE], json.dumps(task).encode(), "run")


def test_learned_positions_bound_the_output():
    task = make_task(positions="learned", max_target_length=6)
    for prediction in task.predict(LINES, Settings(beam_size=2, min_length=50)):
        assert len(prediction.ids) == 7 and prediction.stopped == "length" and prediction.truncated


def test_a_length_out_of_reach_is_said():
    task = make_task(positions="learned", max_target_length=6)
    assert task.out_of_reach(Settings()) == task.out_of_reach(Settings(min_length=6, max_length=7)) == []
    (said,) = task.out_of_reach(Settings(min_length=7))
    assert said.startswith("min_length = 7: this model has learned 7 positions")
    assert len(task.out_of_reach(Settings(min_length=7, max_length=8))) == 2
    assert make_task().with_team([task]).out_of_reach(Settings(max_length=8))
    assert make_task().out_of_reach(Settings(min_length=1000)) == []


def test_what_may_not_go_on_is_cut_as_it_is(task):
    """Every symbol once at most, and no end before there could be one."""
    for beam_size in (1, 3):
        dead = Settings(beam_size=beam_size, no_repeat_ngram_size=1, min_length=600)
        (found,) = task.predict(["the cat"], dead)
        assert len(found.ids) == task.target_codec.size - 3  # all but the special ones
        assert found.value and found.stopped == "length" and found.truncated and found.log_p < 0
        (scored,) = task.score(["the cat"], [found.ids])
        assert math.isclose(scored.log_p, found.log_p, abs_tol=1e-3)


def test_draws_depend_on_seed_and_text_only(task):
    draw = Settings(sample=True, n_best=3, beam_size=3, max_length=10, seed=3)
    together = task.predict(LINES, draw)
    assert [p.value for p in together] == [task.predict([text], draw)[0].value for text in LINES]
    other = task.predict(LINES, dataclasses.replace(draw, seed=4))
    assert [p.value for p in together] != [p.value for p in other]
    assert all(len(p.alternatives) == 3 for p in together)
    draws = task.predict(["a"], dataclasses.replace(draw, temperature=0.01, n_best=9, beam_size=1))[0].alternatives
    assert len(draws) == 9 and len({a.value for a in draws}) < 9  # a draw that comes twice was drawn twice


def test_of_equal_texts_in_the_n_best_the_best_alone_counts():
    task = make_task(units="bpe")
    codec = task.target_codec
    with torch.no_grad():
        task.model.output.bias[:] = -1e4
        for token in ("▁", "t", "e", "<0x74>"):  # the two t are spelled alike
            task.model.output.bias[codec.tokens(range(codec.size)).index(token)] = 0.0
        task.model.output.bias[EOS] = 1.0
    wide = Settings(beam_size=12, max_length=3)
    every = task.predict(["the cat"], dataclasses.replace(wide, n_best=12))[0].alternatives
    values = [a.value for a in every]
    assert len(set(values)) == len(values) < 12
    few = task.predict(["the cat"], dataclasses.replace(wide, n_best=4))[0].alternatives
    assert [a.value for a in few] == values[:4]  # what was dropped is replaced by what the beam also held
    assert [a.ids for a in few] == [a.ids for a in every[:4]]


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


def test_a_team_scores_as_it_predicts():
    """Members that read other symbols too; the one that reads less says that it did."""
    one, other = make_task(seed=1), make_task("gru", seed=2, max_source_length=8)
    words = make_task(seed=3, source_units="word")
    team = one.with_team([other, words])
    found = team.predict([*LINES, ""], BEAM)
    scored = team.score([*LINES, ""], [given_ids(p) for p in found])
    for a, b in zip(scored, found, strict=True):
        assert math.isclose(a.log_p, b.log_p, abs_tol=1e-5 * len(a.token_log_p))
        assert np.allclose(a.token_log_p, b.token_log_p, atol=1e-5)
    assert abs(scored[0].log_p - one.score(LINES, [given_ids(p) for p in found[:-1]])[0].log_p) > 1e-3
    cut = [len(other.source_codec.encode(line)) > 8 for line in [*LINES, ""]]
    assert [s.truncated for s in scored] == cut and len(set(cut)) == 2
    assert [p.truncated for p in found] == [c or p.stopped == "length" for c, p in zip(cut, found, strict=True)]


@pytest.mark.parametrize("targets", [[[], []], [[], "a dog"], [[EOS], []]])
def test_a_target_without_symbols_costs_nothing(task, targets):
    scored = task.score(["the cat", "a dog"], targets)
    for target, found in zip(targets, scored, strict=True):
        if target == []:
            assert (found.log_p, found.ids, found.token_log_p) == (0.0, (), ())
        else:
            assert found.log_p < 0 and len(found.token_log_p) == len(found.ids) + 1


def test_a_target_longer_than_the_model_scores_is_named():
    task = make_task(positions="learned", max_target_length=6)
    assert task.score(["a"], ["x" * 6])[0].log_p < 0
    with pytest.raises(DataError, match="pair 3: a target of 8 symbols, </s> included; expected at most 7") as caught:
        task.score(["a", "b", "c", "d"], ["a dog", "", "x" * 7, "x" * 30])
    assert caught.value.row == 2
    with pytest.raises(DataError, match="pair 1"):
        make_task().with_team([task]).score(["a"], ["x" * 7])


def test_damage_names_the_input_and_not_its_place_in_the_batch():
    task = make_task("gru")
    texts = ["", "the cat sat on the mat", "é", "a dog"]
    with torch.no_grad():
        task.model.encoder.embedding.weight[task.source_codec.encode("é")] = math.nan
    for chosen in (BEAM, GREEDY, dataclasses.replace(BEAM, sample=True), dataclasses.replace(BEAM, batch_size=2)):
        with pytest.raises(DivergedError, match="input 3: the model's log p is not a number") as caught:
            task.predict(texts, chosen)
        assert caught.value.row == 2
    with pytest.raises(DivergedError, match="pair 3: the model's log p is not a number") as caught:
        task.score(texts, ["", "x", "x", "x"])
    assert caught.value.row == 2


def test_attention_comes_only_when_wanted(task):
    (plain,) = task.predict(["the cat"], BEAM)
    (shown,) = task.predict(["the cat"], BEAM, frozenset({"attention"}))
    assert plain.attention is None and shown.value == plain.value
    assert shown.attention.shape == (len(shown.token_log_p), len("the cat") + 1)
    assert np.allclose(shown.attention.sum(-1), 1.0, atol=1e-5)
    draw = dataclasses.replace(BEAM, sample=True, n_best=2)
    (drawn,) = task.predict(["the cat"], draw, frozenset({"attention"}))
    assert drawn.attention.shape == (len(drawn.token_log_p), len("the cat") + 1)
    assert task.predict(["the cat"], draw)[0].attention is None


def test_the_model_goes_back_to_what_it_was_doing(task):
    model = task.model
    model.train()
    first = task.predict(LINES, GREEDY)
    assert model.training
    model.eval()
    assert task.predict(LINES, GREEDY) == first and not model.training


def test_a_batch_that_is_too_much_is_halved(task, monkeypatch):
    expected = task.predict(LINES, GREEDY)
    whole = generate.decode

    def tight(members, engines, texts, *rest):
        if len(texts) > 2:
            raise torch.OutOfMemoryError("no")
        return whole(members, engines, texts, *rest)

    monkeypatch.setattr(generate, "decode", tight)
    assert [p.value for p in task.predict(LINES, GREEDY)] == [p.value for p in expected]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no"), MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: no")]
)
def test_one_input_that_is_too_much_is_said(task, monkeypatch, error):
    def never(*_):
        raise error

    monkeypatch.setattr(generate, "decode", never)
    with pytest.raises(OutOfMemory, match="one input of 3 characters"):
        task.predict(["abc"], GREEDY)


def test_other_errors_are_not_taken_for_memory(task, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(generate, "decode", broken)
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
