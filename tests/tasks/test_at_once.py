"""Tasks whose outputs are not written symbol by symbol: what is promised of all outputs, and what cannot be."""

import dataclasses

import pytest

from seq2x.errors import DataError, UsageError
from seq2x.predict import Predictor
from seq2x.settings import Settings
from seq2x.types import EOS

from .conftest import LINES, make_task

KINDS = {
    "mask_predict": {"decoder": "mask_predict"},
    "ctc": {"decoder": "ctc", "ctc_upsample": 2},
    "ctc, recurrent": {"decoder": "ctc", "ctc_upsample": 2, "kind": "gru"},
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def task(request):
    return make_task(**request.param)


def test_what_predict_says_score_says(task):
    """With one iteration, in which mask_predict's log p is that of a distribution."""
    settings = Settings(n_best=3, refine_iterations=1)
    for prediction, line in zip(task.predict(LINES, settings), LINES, strict=True):
        assert prediction.stopped == "end" and len(prediction.token_log_p) == len(prediction.ids) + 1
        assert len({one.value for one in prediction.alternatives}) == len(prediction.alternatives) > 1
        for one in prediction.alternatives:
            (scored,) = task.score([line], [[*one.ids, EOS]])
            assert scored.log_p == pytest.approx(one.log_p, abs=1e-4)
            assert scored.token_log_p == pytest.approx(one.token_log_p, abs=1e-4)


def test_batches_and_blank_lines_change_nothing(task):
    texts = [LINES[0], "", *LINES[1:], "  "]
    alone = task.predict(texts, Settings(invariant=True))
    assert [p.value for p in task.predict(texts, Settings(batch_size=2))] == [p.value for p in alone]
    again = task.predict(texts[:1], Settings(invariant=True))
    assert again[0].token_log_p == alone[0].token_log_p  # to the bit
    assert alone[1].stopped == alone[-1].stopped == "empty"


def test_what_cannot_be_is_refused_with_its_reason(task):
    run = Predictor(task)
    kind = task.about.shape.decoder
    with pytest.raises(UsageError, match=f'a prefix for a run with decoder = "{kind}"') as caught:
        run(LINES, prefix=["", "th", "", "", ""])
    assert caught.value.row == 1
    with pytest.raises(UsageError, match=rf'decoder = "{kind}" and sample = true'):
        run("the cat", sample=True)
    with pytest.raises(UsageError, match=f'ensemble: a run with decoder = "{kind}"'):
        task.with_team([make_task()])
    with pytest.raises(UsageError, match=f'ensemble: a run with decoder = "{kind}"'):
        make_task().with_team([task])
    with pytest.raises(UsageError, match="it has decoders that write symbol by symbol only"):
        run("the cat", backend="native")
    assert run("the cat", backend="auto") == run("the cat", backend="torch")


def test_forbidden_symbols_and_limits_hold(task):
    run = Predictor(task)
    before = run("the cat sat", details=True, n_best=3)
    token = before.tokens[0]
    assert all(
        token not in one.tokens for one in run("the cat sat", details=True, n_best=3, forbid=[token]).alternatives
    )
    short = run("the cat sat", details=True, max_length=3)
    assert len(short.ids) + (short.stopped == "end") <= 3


def test_more_outputs_than_the_default_are_searched_for(task):
    wide = "length_beam" if task.about.shape.decoder == "mask_predict" else "beam_size"
    settings = Predictor(task).settings(n_best=9)
    assert getattr(settings, wide) == 9
    assert (settings.decoder, settings.model) == (task.about.shape.decoder, task.about.shape.kind)


def test_a_stored_task_is_the_same(task):
    from seq2x.tasks import About
    from seq2x.tasks.about import MODEL_FILE, TASK_FILE

    wide = "length_beam" if task.about.shape.decoder == "mask_predict" else "beam_size"
    about = dataclasses.replace(task.about, search={"n_best": 8, wide: 8})
    files = about.to_files()
    assert About.from_files(files[MODEL_FILE], files[TASK_FILE], "best") == about


def test_masked_models_show_attention_and_know_no_longer_outputs():
    task = make_task(decoder="mask_predict", max_target_length=6)
    run = Predictor(task)
    (shown,) = run.stream(["the cat sat"], want=frozenset({"attention"}))
    assert shown.attention.shape == (len(shown.ids) + 1, len("the cat sat") + 1)
    assert shown.attention.sum(-1) == pytest.approx(1.0)
    assert len(run("x" * 40, details=True).ids) <= 6
    assert "this model has learned 7 lengths" in task.out_of_reach(Settings(min_length=9))[0]
    with pytest.raises(DataError, match="at most 7: this model has learned no further lengths"):
        task.score(["a"], ["abcdefgh"])
    with pytest.raises(DataError, match="an output that was cut: it has no end"):
        task.score(["a"], [[5, 6]])


def test_what_ctc_cannot_write_is_not_scored():
    task = make_task(decoder="ctc", ctc_upsample=2)
    assert task.score(["ab"], ["aaab"])[0].log_p > float("-inf")  # 4 and 2 between equals, of 6
    with pytest.raises(DataError, match="a target that needs 7 places, for a source that gives 6") as caught:
        task.score(["ab", "ab"], ["ab", "aaaa"])
    assert caught.value.row == 1
    assert make_task(decoder="ctc", positions="learned").out_of_reach(Settings(max_length=99)) == []


def test_as_many_decoder_layers_as_anybody_likes_do_no_harm_where_there_is_no_decoder():
    from seq2x.models import ModelShape

    shape = ModelShape(kind="gru", source_size=9, target_size=9, decoder="ctc", encoder_layers=2, decoder_layers=900)
    assert shape.layers == 2 and dataclasses.replace(shape, decoder="standard").layers == 902
