"""A small task with random weights: what it says is nonsense, how it says it must be right all the same."""

import pytest
import torch

from seq2x.codecs.text import TextCodec
from seq2x.models import ModelShape, build
from seq2x.tasks import About, Generate

LINES = ["the cat sat", "a dog ran home", "你好 世界", "naïve café", "x" * 30]


def make_task(kind="transformer", seed=0, units="char", source_units=None, **changes):
    codec = TextCodec.learn(LINES, units)
    source = codec if source_units is None else TextCodec.learn(LINES, source_units)
    values = {"kind": kind, "encoder_layers": 1, "decoder_layers": 2, "width": 16, "embedding_width": 16, "heads": 2}
    values |= {"feedforward": 32, "max_source_length": 40, "max_target_length": 40, **changes}
    shape = ModelShape(source_size=source.size, target_size=codec.size, **values)
    torch.manual_seed(seed)
    model = build(shape)
    with torch.no_grad():
        for weight in model.parameters():  # sharper than fresh weights, so that outputs differ from each other
            weight.mul_(2.0)
    return Generate(source, codec, model.eval(), About(shape=shape))


@pytest.fixture(scope="session", params=["transformer", "gru"])
def task(request):
    return make_task(request.param)
