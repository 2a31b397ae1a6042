"""The coupled decoder against its equations, one step and one sentence at a time."""

import pytest
import torch

from seq2x.errors import FolderError
from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.models.coupled_decoder import CoupledDecoder
from seq2x.nn.pooling import POOLINGS
from seq2x.types import Padded

SIZES = {"source_size": 9, "target_size": 9, "width": 6, "embedding_width": 5, "dropout": 0.0}


def _shape(**choice: object) -> ModelShape:
    return ModelShape(
        **{"kind": "gru", "decoder": "coupled", "decoder_layers": 1, "encoder_layers": 2, **SIZES, **choice}
    )


def _model(shape: ModelShape) -> EncoderDecoder:
    torch.manual_seed(1)
    return build(shape).double().eval()


def _by_hand(model: EncoderDecoder, shape: ModelShape, symbols: list[int], inputs: list[int]) -> torch.Tensor:
    """The hidden states `[T,D]` of one sentence, as the head of `coupled_decoder` says: y_t is read right after t."""
    decoder, D = model.decoder, shape.width
    attends, directions = shape.context == "attention", 2 if shape.bidirectional else 1
    states, length = model.encoder.embedding(torch.tensor([symbols])), torch.tensor([len(symbols)])
    for layer in model.encoder.layers:
        states, _ = layer(states)
    C = None if attends else POOLINGS[shape.context](states, length, directions)[0]
    h1 = torch.zeros(decoder.first.carry_width, dtype=torch.float64)
    h2, trace, outputs = h1, None, []
    if decoder.history is not None:
        trace = decoder.history.begin(1, len(symbols), states)
    for t, symbol in enumerate(inputs):
        e = decoder.embedding(torch.tensor(symbol))
        x = torch.cat([e, h2[:D], *([] if attends else [C])])
        h1 = decoder.first(x[None, None], h1[None])[1][0]
        c_t = C
        if attends:
            keys = decoder.attention.keys(states)
            keys = keys if trace is None else keys + decoder.history(trace)
            scores = decoder.attention.scores(h1[None, None, :D], keys)[0, 0] / shape.attention_temperature
            alpha = scores.softmax(-1)
            trace = None if trace is None else decoder.history.after(trace, alpha[None])
            c_t = alpha @ states[0]
        seen = [h1[:D], *([e] if shape.output_from == "all" else [])]
        seen += [c_t] if attends or shape.output_from == "all" else []
        outputs.append(torch.tanh(decoder.readout(torch.cat(seen))) if len(seen) > 1 else h1[:D])
        if t + 1 < len(inputs):
            said = decoder.embedding(torch.tensor(inputs[t + 1]))
            h2 = decoder.second(torch.cat([said, h1[:D]])[None, None], h2[None])[1][0]
    return torch.stack(outputs)


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("output_from", ["all", "state"])
@pytest.mark.parametrize("context", ["last", "first_last", "mean", "max", "attention"])
@torch.no_grad()
def test_it_is_the_equations(kind: str, output_from: str, context: str) -> None:
    shape = _shape(kind=kind, output_from=output_from, context=context, bidirectional=kind != "rnn")
    model, sentence, inputs = _model(shape), [5, 6, 7, 2], [1, 3, 8, 4, 5]
    memory = model.encode(Padded(torch.tensor([sentence]), torch.tensor([4])))
    hidden, attention = model.decoder(memory, torch.tensor([inputs]), frozenset())
    torch.testing.assert_close(hidden[0], _by_hand(model, shape, sentence, inputs))
    assert attention is None


@pytest.mark.parametrize("history", ["location", "coverage", "location+coverage"])
@torch.no_grad()
def test_its_attention_may_see_its_former_weights(history: str) -> None:
    shape = _shape(attention_history=history, attention_temperature=0.7)
    model, sentence, inputs = _model(shape), [5, 6, 7, 2], [1, 3, 8, 4, 5]
    memory = model.encode(Padded(torch.tensor([sentence]), torch.tensor([4])))
    hidden, attention = model.decoder(memory, torch.tensor([inputs]), frozenset({"attention"}))
    torch.testing.assert_close(hidden[0], _by_hand(model, shape, sentence, inputs))
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, 5, dtype=torch.float64))


@torch.no_grad()
def test_what_was_said_reaches_the_next_step_through_the_second_cell_alone_if_the_first_does_not_read_it() -> None:
    """The weights of cell 1 for the symbol before set to zero: y_{t-1} still changes p(y_t), by h2."""
    shape = _shape(context="last", output_from="state")
    model = _model(shape)
    model.decoder.first.kernel.weight_ih_l0[:, : shape.embedding_width] = 0.0
    memory = model.encode(Padded(torch.tensor([[5, 6, 2]]), torch.tensor([3])))
    a, b = (model.decode(memory, torch.tensor([[1, symbol]])).all()[0] for symbol in (4, 7))
    assert torch.equal(a[0], b[0]) and not torch.equal(a[1], b[1])
    model.decoder.first.kernel.weight_ih_l0[:, shape.embedding_width : shape.embedding_width + shape.width] = 0.0
    a, b = (model.decode(memory, torch.tensor([[1, symbol]])).all()[0] for symbol in (4, 7))
    assert torch.equal(a, b)


def test_it_is_built_where_it_was_asked_for_and_nowhere_else() -> None:
    assert isinstance(_model(_shape()).decoder, CoupledDecoder)
    assert not isinstance(_model(_shape(decoder="standard")).decoder, CoupledDecoder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder_layers": 2}, "decoder_layers: 2; expected 1: a coupled decoder is two cells"),
        ({"kind": "transformer", "embedding_width": 6, "heads": 2}, "decoder: .*gru, lstm or rnn"),
        ({"decoder": "tripled"}, "one of standard, coupled"),
    ],
)
def test_shapes_that_make_no_sense(change: dict, message: str) -> None:
    with pytest.raises(FolderError, match=message):
        ModelShape.from_json(_shape().to_json() | change, "model.json")
