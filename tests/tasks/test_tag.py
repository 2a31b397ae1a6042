"""A small tagger with random weights: N tokens, N labels, whatever stands between them."""

import pytest
import torch

from seq2x.codecs.tokens import TokenCodec, learn_labels
from seq2x.errors import DataError, OutOfMemory
from seq2x.models import ModelShape, build_labeller
from seq2x.predict import Predictor
from seq2x.settings import Settings, without_effect
from seq2x.tasks import About, Tag
from seq2x.types import EOS

LINES = ["the cat sat", "the dog sat", "a dog ran home"]
LABELS = ["D N V", "D N V A"]


LONG = "the cat sat home " * 5


def make_tagger(kind="gru", head="crf", **changes):
    source, labels = TokenCodec.of_lines(LINES), learn_labels(LABELS)
    values = {"encoder_layers": 1, "width": 16, "embedding_width": 16, "heads": 2, "feedforward": 32} | changes
    shape = ModelShape(kind=kind, head=head, source_size=source.size, target_size=labels.size, **values)
    torch.manual_seed(1)  # the weights are the same whatever max_source_length is, unless positions are learned
    model = build_labeller(shape)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return Tag(source, labels, model.eval(), About(shape=shape, task="tag"))


def test_a_blank_text_has_blank_labels():
    task = make_tagger()
    blank = ["", "  ", "\t", "\u00a0", " \t\u2003 "]
    *found, last = task.predict([*blank, "the \u00a0"], Settings())
    assert [(one.value, one.stopped) for one in found] == [("", "empty")] * len(blank)
    assert len(last.ids) == 2 and last.stopped == "end"
    assert [one.log_p for one in task.score(blank, [""] * len(blank))] == [0.0] * len(blank)


@pytest.mark.parametrize(
    ("kind", "positions"), [("gru", "learned"), ("transformer", "sinusoidal"), ("transformer", "rotary")]
)
def test_a_text_of_any_length_is_tagged_as_a_whole(kind, positions):
    short, long = (make_tagger(kind, positions=positions, max_source_length=most) for most in (3, 40))
    texts = ["the cat", LONG, "a"]
    for found, expected in zip(short.predict(texts, Settings()), long.predict(texts, Settings()), strict=True):
        assert found.ids == expected.ids and not found.truncated
        assert found.log_p == pytest.approx(expected.log_p, abs=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "conv"])
def test_where_positions_end_a_text_is_tagged_in_parts_and_flagged(kind):
    task = make_tagger(kind, positions="learned", max_source_length=8)
    whole, parts = task.predict(["the cat sat", LONG], Settings())
    assert (whole.truncated, parts.truncated) == (False, True) and len(parts.ids) == 20
    words = LONG.split()
    alone = [task.predict([" ".join(words[begin : begin + 8])], Settings())[0] for begin in (0, 8, 16)]
    assert parts.ids == sum((one.ids for one in alone), ())
    scores = task.score(["the cat sat", LONG], [whole.ids, parts.ids])
    assert [one.truncated for one in scores] == [False, True]
    assert scores[1].log_p == pytest.approx(parts.log_p, abs=1e-5)


def test_one_long_text_makes_no_large_rectangle(monkeypatch):
    task, sizes = make_tagger(max_source_length=10), []
    chain = task.model.chain

    def watched(source):
        sizes.append(tuple(source.values.shape[:2]))
        return chain(source)

    monkeypatch.setattr(task.model, "chain", watched)
    task.predict(["a"] * 6 + [LONG], Settings(batch_size=4))
    assert sizes == [(2, 20), (4, 1), (1, 1)]


def test_what_does_not_fit_into_memory_is_told_by_its_characters(monkeypatch):
    def full(source):
        raise MemoryError

    task = make_tagger()
    monkeypatch.setattr(task.model, "chain", full)
    with pytest.raises(OutOfMemory, match="one input of 11 characters"):
        task.predict(["the cat sat"], Settings())


def test_labels_to_score_are_as_many_as_tokens_and_a_source_is_read_once(monkeypatch):
    task, read = make_tagger(), []
    encode = task.source_codec.encode
    monkeypatch.setattr(task.source_codec, "encode", lambda text: read.append(text) or encode(text))
    with pytest.raises(DataError, match="pair 2: 3 tokens and 2 labels") as caught:
        task.score(["a", "the cat sat"], ["D", [4, 5, EOS]])
    assert caught.value.row == 1 and read == ["a", "the cat sat"]


def test_what_a_tagger_has_no_use_for_is_told_once():
    run = Predictor(make_tagger())
    asked = {"backend": "native", "lm_weight": 0.5, "lm_use": "rerank", "n_best": 4, "beam_size": 2}
    told = [*without_effect(run.settings(**asked), asked), *run.task.unused(asked)]
    assert [line.split()[0] for line in told] == ["backend", "beam_size", "lm_use", "lm_weight"]
    assert len(run("the cat", details=True, **asked).alternatives) == 4
