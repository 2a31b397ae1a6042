"""A language model beside a run: what it adds to a score, and how far outputs may go."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.tasks.conftest import LINES, make_task

from seq2x.codecs.text import TextCodec
from seq2x.errors import DivergedError
from seq2x.models import ModelShape, build
from seq2x.predict import Predictor
from seq2x.settings import Settings
from seq2x.tasks import About, Generate
from seq2x.types import EOS


def make_lm(units="char", **changes):
    """A small one with random weights; by default of the symbols that `make_task` has."""
    codec = TextCodec.learn(LINES, units)
    values = {"kind": "transformer", "decoder_layers": 1, "width": 16, "embedding_width": 16, "heads": 2, **changes}
    torch.manual_seed(3)
    shape = ModelShape(source_size=codec.size, target_size=codec.size, source=False, feedforward=32, **values)
    return Generate(codec, codec, build(shape).eval(), About(shape=shape))


def ending(task):
    """Made to end soon, so that outputs do."""
    with torch.no_grad():
        task.model.output.bias[EOS] += 8.0
    return task


def damaged(task):
    """As of a file in which a bit has flipped."""
    with torch.no_grad():
        next(task.model.decoder.parameters()).fill_(np.nan)
    return task


@pytest.mark.parametrize(
    ("kind", "divisor"),
    [
        ({}, lambda length: (5 + length) / 6),  # Wu et al. 2016, eq. 14
        ({"decoder": "mask_predict"}, lambda length: length),
        ({"decoder": "ctc", "ctc_upsample": 2}, lambda length: 1),
    ],
    ids=["standard", "mask_predict", "ctc"],
)
def test_what_it_adds_to_a_score_is_of_the_scale_that_the_run_ranks_by(kind, divisor):
    run, lm, settings = make_task(**kind), make_lm(), Settings(lm_use="rerank", lm_weight=0.7, n_best=3)
    for text, prediction in zip(LINES, run.helped(lm).predict(LINES, settings), strict=True):
        assert prediction.alternatives, text
        for one in prediction.alternatives:
            (of_lm,) = lm.score([""], [[*lm.target_codec.encode(one.value), *[EOS] * (one.stopped == "end")]])
            expected = (one.log_p + 0.7 * of_lm.log_p) / divisor(len(one.token_log_p))
            assert one.score == pytest.approx(expected, rel=1e-4)


def test_what_is_fused_ends_where_the_positions_of_the_language_model_end():
    helped = make_task().helped(make_lm(positions="learned", max_target_length=5))
    run = Predictor(helped)
    assert {len(one.token_log_p) for one in run(LINES, details=True)} == {6}
    assert len(run("the cat", details=True, lm_weight=0.0).token_log_p) > 6
    assert len(run("the cat", details=True, lm_use="rerank").token_log_p) > 6
    (said,) = helped.out_of_reach(Settings(max_length=20))
    assert "this model has learned 6 positions" in said
    assert helped.out_of_reach(Settings(max_length=20, lm_use="rerank")) == []


@pytest.mark.parametrize("units", ["char", "byte"])
def test_what_it_has_no_positions_for_stands_behind_what_it_can_read(units):
    run, lm = ending(make_task(seed=3)), make_lm(units, positions="learned", max_target_length=20)
    settings = Settings(n_best=5, lm_use="rerank", lm_weight=0.7)
    alone, helped = (one.predict(["the cat sat"], settings)[0] for one in (run, run.helped(lm)))
    own = {one.value: one.score for one in alone.alternatives}
    read = [len(lm.target_codec.encode(one.value)) < 20 for one in helped.alternatives]
    assert True in read and False in read and read == sorted(read, reverse=True)
    assert {one.value for one in helped.alternatives} == own.keys()
    assert all((one.score == own[one.value]) != able for one, able in zip(helped.alternatives, read, strict=True))
    tiny = make_lm(units, positions="learned", max_target_length=1)
    assert run.helped(tiny).predict(["the cat sat"], settings)[0] == alone  # it can read none


@pytest.mark.parametrize("use", ["fusion", "rerank"])
@pytest.mark.parametrize("whose", ["the run's", "the language model's"])
def test_an_error_names_the_input_and_not_its_place_in_a_batch(use, whose):
    """Batches hold the longest first, and several outputs of each."""
    run, lm = make_task(), make_lm()
    helped = damaged(run).helped(lm) if whose == "the run's" else run.helped(damaged(lm))
    with pytest.raises(DivergedError, match="input 2: the model's log p is not a number") as caught:
        Predictor(helped)(["a", "the cat sat"], lm_use=use)
    assert caught.value.row == 1


def test_an_error_names_the_input_where_the_run_is_asked_again_what_it_says_alone(monkeypatch):
    run = make_task()
    asked = run.model.log_prob

    def log_prob(batch):
        scored = asked(batch)
        return dataclasses.replace(scored, items=scored.items * torch.nan)

    monkeypatch.setattr(run.model, "log_prob", log_prob)
    with pytest.raises(DivergedError, match="input 2: the model's log p is not a number") as caught:
        Predictor(run.helped(make_lm()))(["a", "the cat sat"])
    assert caught.value.row == 1
