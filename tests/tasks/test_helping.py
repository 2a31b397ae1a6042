"""A language model beside a run: what it adds to a score, and how far outputs may go."""

import pytest
import torch
from tests.tasks.conftest import LINES, make_task

from seq2x.codecs.text import TextCodec
from seq2x.models import ModelShape, build
from seq2x.settings import Settings
from seq2x.tasks import About, Generate
from seq2x.types import EOS


def make_lm(**changes):
    """A small one with random weights, of the symbols that `make_task` has."""
    codec = TextCodec.learn(LINES, "char")
    values = {"kind": "transformer", "decoder_layers": 1, "width": 16, "embedding_width": 16, "heads": 2, **changes}
    torch.manual_seed(3)
    shape = ModelShape(source_size=codec.size, target_size=codec.size, source=False, feedforward=32, **values)
    return Generate(codec, codec, build(shape).eval(), About(shape=shape))


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
