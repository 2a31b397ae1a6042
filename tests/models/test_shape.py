"""Shapes are small, strict and honest about how large a model would be."""

import dataclasses
import json
import math

import pytest
import torch

from seq2x.errors import FolderError, UsageError
from seq2x.models import ModelShape, build, build_labeller, parameters, shape_of
from seq2x.settings import Settings

SMALL = ModelShape(
    kind="transformer", source_size=11, target_size=13, width=8, embedding_width=8, heads=2, feedforward=12,
    encoder_layers=1, decoder_layers=2,
)  # fmt: skip


def tensors(model):
    """The names and shapes of all that is stored."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def without_memory(shape):
    """As a stored model is built, before it is filled."""
    with torch.device("meta"):
        return build(shape)


def test_json_round_trip():
    text = json.dumps(SMALL.to_json())
    assert ModelShape.from_json(json.loads(text), "model.json") == SMALL
    assert dataclasses.is_dataclass(SMALL) and hash(SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown model values colour"),
        ({"width": None}, "width is a NoneType"),
        ({"width": True}, "width is a bool"),
        ({"width": 8.0}, "width is a float"),
        ({"width": "8"}, "width is a str"),
        ({"width": 0}, "width: 0"),
        ({"width": 10**9}, "width: 1000000000"),
        ({"encoder_layers": 10**6}, "encoder_layers: 1000000"),
        ({"encoder_layers": -1}, "encoder_layers: -1"),
        ({"source_size": 2**62}, "source_size"),
        ({"heads": 3}, "3 does not divide width 8"),
        ({"heads": 8, "positions": "rotary"}, "an even number with rotary"),
        ({"kind": "os.system"}, "os.system.*one of transformer, gru, lstm, rnn, conv"),
        ({"kind": 3}, "kind is a int"),
        ({"norm": "__import__('os')"}, "one of layer, rms, batch"),
        ({"dropout": float("nan")}, "dropout: nan"),
        ({"dropout": 1.0}, "dropout: 1.0"),
        ({"dropout": False}, "dropout is a bool"),
        ({"bidirectional": 1}, "bidirectional is a int"),
        ({"context_use": "state+elsewhere"}, "some of state, first, every"),
        ({"context_use": "state+state"}, "some of state, first, every"),
        ({"context_use": ""}, "some of state, first, every"),
        ({"embedding_width": 4}, "this is for other kinds"),
        ({"kind": "gru", "embedding_width": 4, "tied": "target"}, "embedding_width = 8"),
        ({"tied": "all"}, "11 source and 13 target symbols"),
        ({"copy": "all"}, 'copy: "all"; expected one of none, generator, pointer'),
        ({"copy": "generator", "kind": "gru", "context": "mean"}, "which has no attention to copy by"),
        ({"decoder": "nat"}, 'decoder: "nat"; expected one of standard, coupled, mask_predict, ctc'),
        ({"decoder": "mask_predict", "kind": "gru"}, "transformer: others write in order"),
        ({"decoder": "ctc", "tied": "target"}, "there are no target embeddings"),
        ({"decoder": "ctc", "ctc_upsample": 0}, "ctc_upsample: 0; expected 1 to 64"),
        (
            {"decoder": "mask_predict", "max_source_length": 1 << 24, "width": 1 << 10, "embedding_width": 1 << 10},
            "would",
        ),
        ({"width": 1 << 19, "embedding_width": 1 << 19, "feedforward": 1 << 20}, "would have about .* weights"),
        ({"kind": "lstm", "width": 1 << 18}, "would have about .* weights"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_allocated(change, message):
    mapping = SMALL.to_json() | change
    with pytest.raises(FolderError, match=f"^model.json: .*{message}"):
        ModelShape.from_json(mapping, "model.json")


def test_missing_values_and_no_object():
    mapping = SMALL.to_json()
    del mapping["width"], mapping["kind"]
    with pytest.raises(FolderError, match="missing model values kind, width"):
        ModelShape.from_json(mapping, "model.json")
    for wrong in (None, [], "x", 3):
        with pytest.raises(FolderError, match="expected an object"):
            ModelShape.from_json(wrong, "model.json")


def test_what_the_first_runs_do_not_name_is_as_it_was_then():
    mapping = SMALL.to_json()
    later = "history", "temperature", "heads", "path", "window", "noise", "alpha"
    of_others = "context_from", "context_join", "decoder", "ctc_upsample", "kernel_width", "copy"
    for name in (*(f"attention_{one}" for one in later), *of_others):
        del mapping[name]
    assert ModelShape.from_json(mapping, "model.json") == SMALL
    with pytest.raises(FolderError, match=r"attention_temperature: 0\.0; expected above 0"):
        ModelShape.from_json(SMALL.to_json() | {"attention_temperature": 0.0}, "model.json")
    for name, value in (("attention_noise", math.nan), ("attention_alpha", -1.0), ("attention_window", 0)):
        with pytest.raises(FolderError, match=f"{name}: {value}"):
            ModelShape.from_json(SMALL.to_json() | {name: value}, "model.json")
    with pytest.raises(FolderError, match='attention_history: "all"'):
        ModelShape.from_json(SMALL.to_json() | {"attention_history": "all"}, "model.json")


def test_settings_become_a_shape():
    shape = shape_of(Settings(), 100, 100, joint=True)
    assert (shape.kind, shape.width, shape.heads, shape.feedforward, shape.tied) == ("transformer", 256, 4, 1024, "all")
    shape = shape_of(Settings(model="gru", layers=2, decoder_layers=1, embedding_width=24), 100, 90, joint=False)
    assert (shape.kind, shape.encoder_layers, shape.decoder_layers, shape.tied) == ("gru", 2, 1, "none")
    assert shape_of(Settings(width=64, dropout=0.0), 100, 90, joint=False).tied == "target"
    shape = shape_of(Settings(model="lstm", decoder="coupled", layers=2), 100, 90, joint=False)
    assert (shape.encoder_layers, shape.decoder_layers, shape.decoder) == (2, 1, "coupled")
    assert shape_of(Settings(model="conv", kernel_width=5), 100, 90, joint=False).kernel_width == 5
    assert shape_of(Settings(width=64, dropout=0.0), 100, 90, joint=False).dropout == 0.0
    assert shape_of(Settings(decoder="ctc", ctc_upsample=2), 100, 100, joint=True).tied == "none"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(width=30, heads=4), "heads: 4 does not divide width 30"),
        (Settings(width=10**9, heads=1), "width: 1000000000"),
        (Settings(width=10**6, heads=1), "would have about"),
        (Settings(tied="all"), "joint_vocab"),
        (Settings(embedding_width=7), "for other kinds"),
        (Settings(layers=10**6), "encoder_layers"),
        (Settings(model="gru", context_use="nowhere"), "context_use"),
        (Settings(decoder="coupled"), "gru, lstm or rnn"),
        (Settings(model="gru", attention_heads=3), "attention_heads: 3 does not divide width 256"),
        (Settings(model="gru", attention_heads=2, attention_path="forward"), "attention_heads: 2 with attention_path"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        shape_of(settings, 100, 100, joint=False)


@pytest.mark.parametrize("decoder", ["standard", "mask_predict", "ctc"])
@pytest.mark.parametrize("tied", ["all", "target", "none"])
@pytest.mark.parametrize("activation", ["relu", "gated"])
@pytest.mark.parametrize("norm", ["layer", "rms", "batch"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_parameters_are_counted_exactly(tied, activation, norm, positions, norm_position, decoder):
    if decoder != "standard" and (norm, activation) != ("rms", "gated"):
        return  # the layers are the same
    shape = dataclasses.replace(
        SMALL,
        tied="none" if decoder == "ctc" else tied,
        decoder=decoder,
        ctc_upsample=3,
        activation=activation,
        norm=norm,
        positions=positions,
        norm_position=norm_position,
        target_size=11,
    )
    model = build(shape)
    assert parameters(shape) == sum(parameter.numel() for parameter in model.parameters())
    assert tensors(without_memory(shape)) == tensors(model)


@pytest.mark.parametrize("tied", ["all", "target", "none"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize(("kernel", "embedded"), [(2, 8), (3, 8), (3, 5)])
def test_convolutional_parameters_are_counted_exactly(tied, positions, kernel, embedded):
    shape = ModelShape(
        kind="conv", source_size=11, target_size=11, width=8, embedding_width=embedded, encoder_layers=1,
        decoder_layers=2, kernel_width=kernel, positions=positions, tied=tied if embedded == 8 else "none",
    )  # fmt: skip
    model = build(shape)
    assert parameters(shape) == sum(parameter.numel() for parameter in model.parameters())
    assert tensors(without_memory(shape)) == tensors(model)


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("decoder", ["standard", "coupled", "ctc"])
def test_recurrent_parameters_are_about_right(kind, bidirectional, decoder):
    shape = ModelShape(
        kind=kind, source_size=500, target_size=400, width=64, embedding_width=32, bidirectional=bidirectional,
        decoder=decoder, decoder_layers=1 if decoder == "coupled" else 3,
    )  # fmt: skip
    count = sum(parameter.numel() for parameter in build(shape).parameters())
    assert 0.7 < parameters(shape) / count < 1.4


def test_a_shape_is_compared_without_memory():
    large = ModelShape(
        kind="transformer", source_size=32000, target_size=32000, width=4096, embedding_width=4096, heads=16,
        feedforward=16384, encoder_layers=3, decoder_layers=3,
    )  # fmt: skip
    assert tensors(without_memory(large))["output.matrix"] == (32000, 4096)  # 6 GB, were it real


def test_what_stands_on_an_encoder_has_its_own_builder():
    labeller = dataclasses.replace(SMALL, head="crf")
    with pytest.raises(ValueError, match="head = crf: it is build_labeller that builds it"):
        build(labeller)
    with pytest.raises(ValueError, match="head = decoder: it is build that builds it"):
        build_labeller(SMALL)
    assert "output.matrix" in tensors(build_labeller(labeller))
