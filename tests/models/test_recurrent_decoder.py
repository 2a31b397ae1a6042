"""The recurrent decoder against its equations, written out one step and one sentence at a time."""

import copy
import itertools

import pytest
import torch

from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.nn.attention_history import HISTORIES
from seq2x.nn.attention_path import PATHS, Monotonic
from seq2x.nn.attention_scores import ATTENTIONS
from seq2x.nn.joining import JOINS
from seq2x.nn.pooling import POOLINGS
from seq2x.types import Padded

USES = ("state", "first", "every", "state+first", "first+every", "state+first+every")


def _model(**choice: object) -> EncoderDecoder:
    torch.manual_seed(1)
    sizes = {"source_size": 9, "target_size": 9, "width": 6, "embedding_width": 5, "dropout": 0.0}
    layers = {"encoder_layers": 2, "decoder_layers": 2}
    return build(ModelShape(**{"kind": "gru", **sizes, **layers, **choice})).double().eval()


def _by_hand(model: EncoderDecoder, shape: ModelShape, symbols: list[int], inputs: list[int]) -> torch.Tensor:
    """The hidden states `[T,D]` of one sentence, as the head of `recurrent_decoder` says."""
    decoder, uses = model.decoder, shape.context_use.split("+")
    attends, directions = shape.context == "attention", 2 if shape.bidirectional else 1
    q = POOLINGS["last" if attends else shape.context]
    states, length = model.encoder.embedding(torch.tensor([symbols])), torch.tensor([len(symbols)])
    contexts, cells = [], []
    for layer in model.encoder.layers:
        states, carry = layer(states)
        contexts.append(q(states, length, directions)[0])
        cells.append(carry[0, layer.state_width :])
    carries = []
    for depth in range(shape.decoder_layers):
        below = min(depth + max(0, shape.encoder_layers - shape.decoder_layers), shape.encoder_layers - 1)
        parts = [torch.zeros(shape.width, dtype=torch.float64)] * (2 if shape.kind == "lstm" else 1)
        if "state" in uses:
            bridges = decoder.bridges
            h = torch.tanh(bridges.states[depth](contexts[below])) if len(bridges.states) else contexts[below]
            cell = cells[below] if shape.context in ("last", "attention") else contexts[below]
            parts = [h, bridges.cells[depth](cell) if len(bridges.cells) else cell][: len(parts)]
        carries.append(torch.cat(parts))
    fed, outputs, C = torch.zeros(shape.width, dtype=torch.float64), [], contexts[-1]
    trace = None if not attends or decoder.history is None else decoder.history.begin(1, len(symbols), states)
    path = None
    if attends and decoder.path is not None:
        path = decoder.path.begin(1, len(symbols), states)
    for t, symbol in enumerate(inputs):
        e = decoder.embedding(torch.tensor(symbol))
        if t == 0 and "first" in uses:
            e = e + decoder.first(C)
        x = torch.cat([e, *([C] if "every" in uses and not attends else []), *([fed] if shape.input_feeding else [])])
        asks, c_t = 0 if "every" in uses else shape.decoder_layers - 1, C
        for depth, layer in enumerate(decoder.layers):
            if depth and attends and "every" in uses:
                x = torch.cat([x, c_t])
            x, carry = layer(x[None, None], carries[depth][None])
            x, carries[depth] = x[0, 0], carry[0]
            if attends and depth == asks:
                keys = decoder.attention.keys(states)
                if decoder.history is not None:
                    keys = keys + decoder.attention.spread(decoder.history(trace))
                scores = decoder.attention.scores(x[None, None], keys)[0]
                if decoder.place is not None:
                    scores = scores + shape.attention_alpha * (decoder.place.of_query.weight @ x)[: len(symbols)]
                scores = scores / shape.attention_temperature
                alpha = scores.softmax(-1)
                if decoder.path is not None:
                    alpha, path = decoder.path(scores[None], x[None, None], torch.ones(1, len(symbols)) > 0, path)
                    alpha = alpha[0]
                trace = None if decoder.history is None else decoder.history.after(trace, alpha.mean(0)[None])
                c_t = decoder.attention.read(alpha[None], decoder.attention.values(states))[0][0, 0]
                c_t = c_t / (len(symbols) if shape.context_from == "mean" else 1)
        h, sees = x, attends or shape.output_from == "all"
        if sees and shape.context_join != "concat":
            h, sees = decoder.join(x, c_t), False
        seen = [h, *([e] if shape.output_from == "all" else [])]
        seen += [c_t] if sees else []
        fed = torch.tanh(decoder.readout(torch.cat(seen))) if len(seen) > 1 else h
        outputs.append(fed)
    return torch.stack(outputs)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("context", ["last", "first_last", "mean", "max", "attention"])
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@torch.no_grad()
def test_hidden_states_are_the_equations(kind: str, context: str, every: bool) -> None:
    """Of every choice with one number of layers, in turn; or with all of them."""
    both = (False, True)
    feedings = both if context == "attention" else (False,)
    depths = ((2, 2), (1, 2), (2, 1))
    choices = itertools.product(USES, ("state", "all"), feedings, both)
    for number, (use, output_from, feeding, bidirectional) in enumerate(choices):
        for layers in depths if every else (depths[number % 3],):
            choice = {"kind": kind, "context": context, "context_use": use, "output_from": output_from}
            choice |= {"input_feeding": feeding, "bidirectional": bidirectional}
            choice |= {"encoder_layers": layers[0], "decoder_layers": layers[1]}
            model = _model(**choice)
            shape = ModelShape(source_size=9, target_size=9, width=6, embedding_width=5, **choice)
            source, inputs = [[4, 5, 6, 2], [7, 2, 0, 0]], [[1, 3, 4], [1, 8, 8]]
            memory = model.encode(Padded(torch.tensor(source), torch.tensor([4, 2])))
            hidden, _ = model.decoder(memory, torch.tensor(inputs), frozenset())
            for row, length in enumerate((4, 2)):
                expected = _by_hand(model, shape, source[row][:length], inputs[row])
                torch.testing.assert_close(hidden[row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("history", HISTORIES)
@torch.no_grad()
def test_former_weights_are_seen_as_the_equations_say(attention: str, history: str) -> None:
    """Beside padding, with the other settings in turn."""
    for number, (use, feeding) in enumerate(itertools.product(("state", "every"), (False, True))):
        choice = {"kind": ("rnn", "gru", "lstm")[number % 3], "context_use": use, "input_feeding": feeding}
        choice |= {"attention": attention, "attention_history": history, "attention_temperature": 0.6}
        choice |= {"encoder_layers": 1, "decoder_layers": 2}
        model = _model(**choice)
        shape = ModelShape(source_size=9, target_size=9, width=6, embedding_width=5, **choice)
        source, inputs = [[4, 5, 6, 2], [7, 2, 0, 0]], [[1, 3, 4, 5], [1, 8, 8, 3]]
        memory = model.encode(Padded(torch.tensor(source), torch.tensor([4, 2])))
        hidden, _ = model.decoder(memory, torch.tensor(inputs), frozenset())
        for row, length in enumerate((4, 2)):
            expected = _by_hand(model, shape, source[row][:length], inputs[row])
            torch.testing.assert_close(hidden[row], expected, rtol=0, atol=1e-12)


PARTS = [
    {"attention_path": path, "attention_history": history, "attention_alpha": alpha, **more}
    for path in PATHS
    for history, alpha, more in (
        ("none", 0.0, {"context_join": "gate"}),
        ("location", 0.6, {"context_from": "mean", "input_feeding": True}),
        ("none", 0.6, {"context_join": "sum", "context_use": "state+every", "output_from": "state"}),
    )
]
PARTS += [{"attention_heads": 3, "attention": attention, "attention_path": "local_m"} for attention in ATTENTIONS]
PARTS += [{"attention_heads": 2, "attention_history": "coverage", "attention_alpha": 0.5, "input_feeding": True}]
PARTS += [{"attention_heads": 2, "attention_path": "local_p", "attention_history": "location", "context_join": "sum"}]
PARTS += [{"context": "mean", "context_join": join, "context_use": "every"} for join in JOINS]


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: "-".join(map(str, parts.values())))
@torch.no_grad()
def test_the_parts_of_attention_work_together(parts: dict[str, object]) -> None:
    """Beside padding; hard attention where there is such a thing. The parts themselves: tests/nn."""
    choice = {"kind": "gru", "attention_window": 1, "attention_temperature": 0.7, "encoder_layers": 1, **parts}
    model = _model(**choice)
    shape = ModelShape(source_size=9, target_size=9, width=6, embedding_width=5, decoder_layers=2, **choice)
    if isinstance(model.decoder.path if shape.attends else None, Monotonic):
        model.decoder.path.offset.fill_(0.5)  # some scores are above it, and some below
    source, inputs = [[4, 5, 6, 3, 2], [7, 2, 0, 0, 0]], [[1, 3, 4, 5], [1, 8, 8, 3]]
    memory = model.encode(Padded(torch.tensor(source), torch.tensor([5, 2])))
    hidden, shown = model.decoder(memory, torch.tensor(inputs), frozenset({"attention"}))
    assert not shape.attends or shown.any()
    for row, length in enumerate((5, 2)):
        expected = _by_hand(model, shape, source[row][:length], inputs[row])
        torch.testing.assert_close(hidden[row], expected, rtol=0, atol=1e-12)


def test_a_copy_of_a_decoder_has_weights_of_its_own() -> None:
    """Its parts of attention are its own too, not those of the original."""
    model = _model(attention_path="local_p", attention_history="coverage")
    source, inputs = Padded(torch.tensor([[4, 5, 2]]), torch.tensor([3])), torch.tensor([[1, 4, 5]])
    copied = copy.deepcopy(model)
    before = model.decoder(model.encode(source), inputs, frozenset())[0]
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    assert torch.equal(model.decoder(model.encode(source), inputs, frozenset())[0], before)
    assert not copied.decoder(copied.encode(source), inputs, frozenset())[0].any()


def test_the_encoder_leaves_what_it_says() -> None:
    model = _model(kind="lstm", context="first_last")
    memory = model.encode(Padded(torch.tensor([[4, 5, 2], [6, 2, 0]]), torch.tensor([3, 2])))
    assert memory.states.shape == (2, 3, 12) and (memory.states[1, 2] == 0).all()
    assert [tuple(final.shape) for final in memory.finals] == [(2, 12)] * 4
    assert memory.parts["contexts"].shape == (2, 2, 24)
    torch.testing.assert_close(memory.finals[1][1], torch.cat([memory.states[1, 1, :6], memory.states[1, 0, 6:]]))


def test_input_feeding_is_of_attention() -> None:
    """Without attention there is no attention vector: the setting has no effect, as the settings' report says."""
    plain, fed = (_model(context="mean", input_feeding=feeding) for feeding in (False, True))
    assert [w.shape for w in plain.parameters()] == [w.shape for w in fed.parameters()]


def test_no_bridge_where_sizes_agree() -> None:
    assert not list(_model(kind="lstm", context="last", bidirectional=False).decoder.bridges.parameters())
    shapes = {tuple(w.shape) for w in _model(kind="lstm", context="last").decoder.bridges.parameters()}
    assert shapes == {(6, 12), (6,)}


def test_dropout_acts_in_training_only_and_never_on_the_carry() -> None:
    torch.manual_seed(1)
    model = build(ModelShape(kind="gru", source_size=9, target_size=9, width=64, embedding_width=64, dropout=0.5))
    source, inputs = Padded(torch.tensor([[4, 5, 2]]), torch.tensor([3])), torch.tensor([[1, 4, 5]])

    def hidden() -> torch.Tensor:
        return model.decoder(model.encode(source), inputs, frozenset())[0].detach()

    torch.manual_seed(2)
    first = hidden()
    torch.manual_seed(2)
    assert torch.equal(hidden(), first)
    assert not torch.equal(hidden(), first)
    assert 0.3 < (first == 0).double().mean() < 0.7
    model.eval()
    assert torch.equal(hidden(), hidden()) and (hidden() != 0).all()


def test_keys_are_projected_once_per_sentence_and_never_per_beam() -> None:
    model = _model()
    memory = model.encode(Padded(torch.tensor([[4, 5, 2], [6, 2, 0]]), torch.tensor([3, 2])))
    state = model.start(memory, 5, 10)
    keys = state.source.attended.keys
    assert keys.shape == (2, 3, 6)
    for symbol in (1, 4):
        _, state = model.step(torch.full((10,), symbol), torch.arange(10), state)
        assert state.source.attended.keys is keys
