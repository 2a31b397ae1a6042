"""A small tagger with random weights: N tokens, N labels, whatever stands between them."""

import torch

from seq2x.codecs.tokens import TokenCodec, learn_labels
from seq2x.models import ModelShape, build_labeller
from seq2x.settings import Settings
from seq2x.tasks import About, Tag

LINES = ["the cat sat", "the dog sat", "a dog ran home"]
LABELS = ["D N V", "D N V A"]


def make_tagger(kind="gru", head="crf", **changes):
    source, labels = TokenCodec.of_lines(LINES), learn_labels(LABELS)
    values = {"encoder_layers": 1, "width": 16, "embedding_width": 16, "heads": 2, "feedforward": 32} | changes
    shape = ModelShape(kind=kind, head=head, source_size=source.size, target_size=labels.size, **values)
    torch.manual_seed(1)
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
