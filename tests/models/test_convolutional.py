"""The convolutional model against the equations of Gehring et al. 2017, written out position by position."""

import dataclasses
import math

import pytest
import torch

from seq2x.errors import DataError, FolderError
from seq2x.models import EncoderDecoder, ModelShape, build
from seq2x.models.encoder_decoder import shift
from seq2x.objectives import Likelihood
from seq2x.types import Batch, Padded

ATTENTION = frozenset({"attention"})
BASE = ModelShape(
    kind="conv", source_size=11, target_size=13, width=6, embedding_width=4, encoder_layers=2, decoder_layers=3,
    kernel_width=3, positions="learned", dropout=0.0, max_source_length=20, max_target_length=20,
)  # fmt: skip


def _model(**changes: object) -> EncoderDecoder:
    torch.manual_seed(1)
    model = build(dataclasses.replace(BASE, **changes)).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


def _row(map_, x: list[float]) -> list[float]:
    """`W x + b`, W normalised row by row."""
    rows = []
    for direction, gain, bias in zip(map_.direction.tolist(), map_.gain.tolist(), map_.bias.tolist(), strict=True):
        length = math.sqrt(sum(v * v for v in direction))
        rows.append(bias + sum(gain * v / length * x_i for v, x_i in zip(direction, x, strict=True)))
    return rows


def _sum(a: list[float], b: list[float]) -> list[float]:
    return [math.sqrt(0.5) * (p + q) for p, q in zip(a, b, strict=True)]


def _block(filters, window: list[list[float]], x: list[float]) -> list[float]:
    both = _row(filters, [value for vector in window for value in vector])
    half = len(both) // 2
    gated = [a / (1 + math.exp(-c)) for a, c in zip(both[:half], both[half:], strict=True)]
    return _sum(gated, x)


def _embedded(part, symbols: list[int]) -> list[list[float]]:
    table, places = part.embedding.weight, part.positions(torch.zeros(len(symbols), 4, dtype=torch.float64))
    return [(table[symbol] + places[t]).tolist() for t, symbol in enumerate(symbols)]


def _by_hand(model: EncoderDecoder, k: int, source: list[int], inputs: list[int]) -> tuple[list, list]:
    """Hidden states `[T][D]` and the attention of the last layer `[T][S]` of one sentence."""
    encoder, decoder = model.encoder, model.decoder
    e, nothing = _embedded(encoder, source), [0.0] * 6
    h = [_row(encoder.first, vector) for vector in e]
    for filters in encoder.filters:
        near = [[j - (k - 1) // 2 + i for i in range(k)] for j in range(len(h))]
        h = [_block(filters, [h[i] if 0 <= i < len(h) else nothing for i in near[j]], h[j]) for j in range(len(h))]
    z = [_row(encoder.last, vector) for vector in h]
    values = [_sum(z_j, e_j) for z_j, e_j in zip(z, e, strict=True)]
    g, alphas = _embedded(decoder, inputs), []
    h = [_row(decoder.first, vector) for vector in g]
    for layer in decoder.layers:
        past = [[nothing] * (k - 1 - t) + h[max(0, t - k + 1) : t + 1] for t in range(len(h))]
        h, alphas = [_block(layer.filters, past[t], h[t]) for t in range(len(h))], []
        for t, state in enumerate(h):
            d = _sum(_row(layer.query, state), g[t])
            scores = [sum(p * q for p, q in zip(d, z_j, strict=True)) for z_j in z]
            alpha = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
            c = [math.sqrt(len(z)) * sum(a * v[i] for a, v in zip(alpha, values, strict=True)) for i in range(4)]
            h[t] = _sum(_row(layer.context, c), state)
            alphas.append(alpha)
    return [_row(decoder.last, state) for state in h], alphas


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_it_is_the_equations(kernel: int, positions: str) -> None:
    model = _model(kernel_width=kernel, positions=positions)
    sources, inputs = [[5, 6, 7, 8, 2], [9, 4, 2]], [[1, 5, 7, 8], [1, 9, 3, 12]]
    values = torch.tensor([sources[0], [*sources[1], 0, 0]])
    memory = model.encode(Padded(values, torch.tensor([5, 3])))
    hidden, attention = model.decoder(memory, torch.tensor(inputs), ATTENTION)
    for row in range(2):
        expected, alphas = _by_hand(model, kernel, sources[row], inputs[row])
        torch.testing.assert_close(hidden[row], torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)
        shown = attention[row, :, : len(sources[row])]
        torch.testing.assert_close(shown, torch.tensor(alphas, dtype=torch.float64), rtol=1e-10, atol=1e-10)


def test_embeddings_and_positions_start_as_in_section_3_5() -> None:
    torch.manual_seed(1)
    model = build(dataclasses.replace(BASE, width=64, embedding_width=64, source_size=500, max_source_length=400))
    encoder = model.encoder
    for table in (encoder.embedding.weight, encoder.positions.table):
        assert float(table.detach().std()) == pytest.approx(0.1, rel=0.02)
    waves = build(dataclasses.replace(BASE, width=64, embedding_width=64, positions="sinusoidal")).encoder.positions
    assert float(waves(torch.zeros(400, 64)).square().mean().sqrt()) == pytest.approx(0.1, rel=0.02)


def _gradients(model: EncoderDecoder, share: float) -> dict[str, torch.Tensor]:
    model.encoder.gradient_share = share
    batch = Batch(
        Padded(torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]]), torch.tensor([4, 2])),
        Padded(torch.tensor([[4, 9, 2], [7, 12, 2]]), torch.tensor([3, 3])),
        torch.arange(2),
    )
    model.zero_grad()
    Likelihood(0.0)(model, batch).total.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_the_encoder_learns_from_one_part_in_twice_the_layers_of_the_decoder() -> None:
    """Exactly that share of the derivative in its blocks, all of it in the decoder, and between the two in embeddings:
    e is a part of the values too, and that way back is whole.
    """
    model = _model()
    share = model.encoder.gradient_share
    assert share == 1 / 6
    some, whole, none = _gradients(model, share), _gradients(model, 1.0), _gradients(model, 0.0)
    for name, gradient in some.items():
        embedded = name in ("encoder.embedding.table", "encoder.positions.table")
        part = share if name.startswith("encoder.") else 1.0
        torch.testing.assert_close(gradient, none[name] + part * (whole[name] - none[name]), rtol=1e-10, atol=1e-12)
        assert bool(none[name].any()) == (embedded or not name.startswith("encoder.")), name


def test_a_position_sees_so_many_symbols_and_no_more() -> None:
    """Three layers of kernels of three: seven symbols. The attention of lower layers brings no target symbol nearer."""
    model = _model()
    memory = model.encode(Padded(torch.tensor([[5, 6, 2]]), torch.tensor([3])))
    inputs = torch.tensor([[1, *range(3, 12)]])
    before = model.decode(memory, inputs).all()[0, -1]
    for back in range(10):
        changed = inputs.clone()
        changed[0, 9 - back] = 12
        assert torch.equal(model.decode(memory, changed).all()[0, -1], before) == (back >= 7), back


@torch.no_grad()
def test_the_state_of_a_search_never_grows() -> None:
    model = _model()
    memory = model.encode(Padded(torch.tensor([[5, 6, 2], [7, 2, 0]]), torch.tensor([3, 2])))
    state = model.start(memory, 2, 4)
    shapes = set()
    for position in range(12):
        _, state = model.step(torch.full((4,), 3 if position else 1), torch.tensor([1, 0, 2, 2]), state)
        shapes.add(state.past.shape)
    assert shapes == {(3, 4, 2, 6)} and state.position.tolist() == [12] * 4
    model.start(memory, 2, 4)
    assert not any(isinstance(part, torch.Tensor) and part.requires_grad for part in (state.past, *state.source))


def test_learned_positions_end_with_a_clear_error() -> None:
    model = _model(max_target_length=4)
    memory = model.encode(Padded(torch.tensor([[5, 6, 2]]), torch.tensor([3])))
    with pytest.raises(DataError, match="target: 6 symbols"):
        model.decode(memory, torch.tensor([[1, 3, 4, 5, 6, 7]]))
    with pytest.raises(DataError, match="source: 22 symbols"):
        model.encode(Padded(torch.full((1, 22), 3), torch.tensor([22])))


def test_batches_without_padding_are_read_as_those_with() -> None:
    model = _model()
    values, lengths = torch.tensor([[5, 6, 2], [7, 8, 2]]), torch.tensor([3, 3])
    target = Padded(torch.tensor([[4, 2], [5, 2]]), torch.tensor([2, 2]))
    tight = model.encode(Padded(values, lengths))
    wide = model.encode(Padded(torch.nn.functional.pad(values, (0, 3), value=9), lengths))
    torch.testing.assert_close(tight.states, wide.states[:, :3])
    assert not wide.states[:, 3:].any() and not wide.parts["values"][:, 3:].any()
    answers = [model.decode(memory, shift(target)).all() for memory in (tight, wide)]
    torch.testing.assert_close(*answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": "rotary"}, "convolutions have no self-attention to rotate"),
        ({"kernel_width": 1}, "kernel_width: 1; expected 2 to"),
        ({"decoder": "coupled"}, "gru, lstm or rnn"),
        ({"tied": "target"}, "embedding_width = 6"),
    ],
)
def test_shapes_that_make_no_sense(change: dict, message: str) -> None:
    with pytest.raises(FolderError, match=message):
        ModelShape.from_json(BASE.to_json() | change, "model.json")
