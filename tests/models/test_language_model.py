"""A decoder without a source: equations spelled out once more, and what a language model does not have."""

import dataclasses
import math

import pytest
import torch
from tests.contracts.cases import batch_of, model_of

from seq2x.errors import FolderError
from seq2x.models import ModelShape, NoEncoder, build, parameters
from seq2x.types import BOS, Batch

SHAPE = ModelShape(kind="gru", source_size=9, target_size=9, source=False, width=6, embedding_width=4, decoder_layers=2)


def scored(model, symbols):
    """log p of each symbol."""
    target = batch_of(SHAPE, (1,), (len(symbols),)).target
    target.values[0] = torch.tensor(symbols)
    return model.log_prob(Batch(None, target, torch.arange(1))).items[0]


@pytest.mark.parametrize("output_from", ["all", "state"])
@torch.no_grad()
def test_a_recurrent_one_in_plain_loops(output_from):
    """o_t = tanh(W [h_t; e_t]) or h_t; every state begins with zeros."""
    model = model_of(dataclasses.replace(SHAPE, output_from=output_from))
    decoder, symbols = model.decoder, [5, 3, 8, 2]
    states = [torch.zeros(6, dtype=torch.float64) for _ in range(2)]
    for before, symbol, found in zip([BOS, *symbols], symbols, scored(model, symbols), strict=False):
        e = x = decoder.embedding.weight[before] * decoder.embedding.scale
        for depth, layer in enumerate(decoder.layers):
            w, u, b, c = (
                getattr(layer.kernel, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            (r1, z1, n1), (r2, z2, n2) = (w @ x + b).chunk(3), (u @ states[depth] + c).chunk(3)
            z, n = torch.sigmoid(z1 + z2), torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2)
            x = states[depth] = (1 - z) * n + z * states[depth]
        if output_from == "all":
            x = torch.tanh(decoder.readout.weight @ torch.cat([x, e]) + decoder.readout.bias)
        logits = model.output.weight @ x + model.output.bias
        assert float(found) == pytest.approx(float(torch.log_softmax(logits, -1)[symbol]), abs=1e-12)
    assert (decoder.readout is None) == (output_from == "state")


@torch.no_grad()
def test_a_transformer_in_plain_loops():
    """Pre-norm, one layer, one head: each position over those before it, then feed-forward; no other sub-layer."""
    shape = dataclasses.replace(
        SHAPE, kind="transformer", width=6, embedding_width=6, heads=1, feedforward=8, decoder_layers=1
    )
    model, symbols = model_of(shape), [5, 3, 8, 2]
    decoder, layer = model.decoder, model.decoder.layers[0]

    def norm(module, x):
        mean = x.mean()
        return (x - mean) / torch.sqrt(((x - mean) ** 2).mean() + module.eps) * module.gain + module.bias

    kept = []
    for place, (before, symbol) in enumerate(zip([BOS, *symbols], symbols, strict=False)):
        angle = [place / 10000 ** (2 * i / 6) for i in range(3)]
        wave = torch.tensor([math.sin(a) for a in angle] + [math.cos(a) for a in angle], dtype=torch.float64)
        x = decoder.embedding.weight[before] * decoder.embedding.scale
        x = x + decoder.positions(torch.zeros(1, 1, 6, dtype=torch.float64), place)[0, 0]
        assert sorted(decoder.positions(torch.zeros(1, 1, 6, dtype=torch.float64), place)[0, 0].tolist()) == (
            pytest.approx(sorted(wave.tolist()), abs=1e-6)
        )
        q, k, v = (layer.attention.qkv @ norm(layer.attention_norm, x) + layer.attention.qkv_bias).chunk(3)
        kept.append((k, v))
        weights = torch.softmax(torch.stack([q @ other for other, _ in kept]) / math.sqrt(6), 0)
        looked = sum(weight * value for weight, (_, value) in zip(weights, kept, strict=True))
        x = x + layer.attention.out @ looked + layer.attention.out_bias
        think = layer.feedforward
        inner = torch.relu(think.inner @ norm(layer.feedforward_norm, x) + think.inner_bias)
        x = norm(decoder.norm, x + think.out @ inner + think.out_bias)
        expected = torch.log_softmax(model.output.weight @ x + model.output.bias, -1)[symbol]
        assert float(scored(model, symbols)[place]) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm", "rnn"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_there_is_nothing_of_an_encoder_in_it(kind, positions):
    shape = dataclasses.replace(
        SHAPE, kind=kind, width=8, embedding_width=8, heads=2, feedforward=8, positions=positions
    )
    model = build(shape)
    assert isinstance(model.encoder, NoEncoder) and not list(model.encoder.parameters())
    assert not any("cross" in name or "encoder" in name for name in model.state_dict())
    assert sum(weight.numel() for weight in model.parameters()) == parameters(shape)


def test_what_stands_for_a_source_does_not_matter():
    model, batch = model_of(SHAPE), batch_of(SHAPE)
    reading = batch_of(dataclasses.replace(SHAPE, source=True))
    for source in (None, reading.source, batch.target):
        assert torch.equal(model.log_prob(batch._replace(source=source)).total, model.log_prob(batch).total)


@pytest.mark.parametrize("change", [{"tied": "all", "embedding_width": 6}, {"source_size": 8}, {"source": 0}])
def test_shapes_that_cannot_be(change):
    with pytest.raises(FolderError, match="source"):
        ModelShape.from_json({**SHAPE.to_json(), **change}, "x")
