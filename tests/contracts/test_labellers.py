"""What must hold for every model that gives each token a label: kinds of encoder x heads x the options of each."""

import itertools
from dataclasses import replace

import pytest
import torch

from seq2x.codecs.tokens import SYMBOLS
from seq2x.models import ENCODERS, ModelShape, build_labeller, parameters
from seq2x.nn.precision import matrix_precision
from seq2x.objectives import Likelihood, SequenceLikelihood
from seq2x.search.viterbi import viterbi
from seq2x.types import PAD, Batch, Padded

pytestmark = pytest.mark.no_cover

HEADS = ("softmax", "crf")
LENGTHS = (5, 1, 3)
_BASE = ModelShape(
    kind="gru", head="softmax", source_size=13, target_size=7, encoder_layers=1, width=8, embedding_width=8, heads=2,
    feedforward=12, dropout=0.0, max_source_length=512, max_target_length=512,
)  # fmt: skip
_RECURRENT = [{"bidirectional": both, "encoder_layers": layers} for both in (True, False) for layers in (1, 2)]
_TRANSFORMER = [
    {"norm": "layer", "positions": "sinusoidal", "norm_position": "pre"},
    {"norm": "rms", "positions": "learned", "norm_position": "post"},
    {"norm": "layer", "positions": "rotary", "norm_position": "post"},
]
SHAPES = [
    replace(_BASE, kind=kind, head=head, **options)
    for kind in ENCODERS
    for head in HEADS
    for options in (_TRANSFORMER if kind == "transformer" else _RECURRENT)
]
every_shape = pytest.mark.parametrize("shape", SHAPES[::3], ids=lambda s: f"{s.kind}-{s.head}-{s.encoder_layers}")
every_head = pytest.mark.parametrize(
    "shape", [replace(_BASE, kind=k, head=h) for k, h in itertools.product(("lstm", "transformer"), HEADS)],
    ids=lambda s: f"{s.kind}-{s.head}",
)  # fmt: skip


def model_of(shape, dtype=torch.float64):
    torch.manual_seed(1)
    model = build_labeller(shape).to(dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.eval()


def batch_of(lengths=LENGTHS, seed=1):
    draw = torch.Generator().manual_seed(seed)
    size, lengths_B = (len(lengths), max(lengths)), torch.tensor(lengths)
    tokens = torch.randint(3, 13, (*size, SYMBOLS), generator=draw)
    tokens[..., 5:] *= torch.randint(2, tokens[..., 5:].shape, generator=draw)  # parts that are not there
    inside = torch.arange(size[1]) < lengths_B[:, None]
    tokens, labels = tokens * inside[..., None], torch.randint(3, 7, size, generator=draw) * inside
    return Batch(Padded(tokens, lengths_B), Padded(labels, lengths_B), torch.arange(size[0]))


def rows_of(batch, rows):
    parts = []
    for values, lengths in batch[:2]:
        kept = lengths[rows]
        parts.append(Padded(values[rows, : int(kept.max())], kept))
    return Batch(*parts, batch.rows[rows])


def objective_of(shape, smoothing=0.1):
    return SequenceLikelihood() if shape.head == "crf" else Likelihood(smoothing)


def gradients(model, shape, *batches):
    model.zero_grad()
    for batch in batches:
        objective_of(shape)(model, batch).total.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@every_shape
def test_neighbours_and_padding_change_nothing(shape):
    model, batch = model_of(shape), batch_of()
    with torch.no_grad():
        together = model.log_prob(batch)
        for row, length in enumerate(LENGTHS):
            alone = model.log_prob(rows_of(batch, [row]))
            torch.testing.assert_close(together.items[row, :length], alone.items[0], rtol=0, atol=1e-12)
            assert (together.items[row, length:] == 0).all()
        order = [2, 0, 1]
        torch.testing.assert_close(model.log_prob(rows_of(batch, order)).total, together.total[order])


@every_shape
def test_garbage_in_padding_changes_no_bit(shape):
    model, batch = model_of(shape), batch_of()
    total, before = model.log_prob(batch).total.detach(), gradients(model, shape, batch)
    inside = torch.arange(max(LENGTHS)) < batch.source.lengths[:, None]
    tokens = torch.where(inside[..., None], batch.source.values, 9)
    labels = torch.where(inside, batch.target.values, 5)
    noisy = Batch(Padded(tokens, batch.source.lengths), Padded(labels, batch.source.lengths), batch.rows)
    assert torch.equal(model.log_prob(noisy).total.detach(), total)
    with torch.no_grad():
        model.encoder.embedding.weight[PAD] = torch.nan
    assert torch.equal(model.log_prob(noisy).total.detach(), total)
    for name, gradient in gradients(model, shape, noisy).items():
        assert torch.equal(gradient, before[name]), name


@every_shape
def test_every_weight_is_used_and_gradients_are_right(shape):
    model, batch = model_of(shape), batch_of()
    found = gradients(model, shape, batch)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            assert found[name].abs().max() > 0, name
            direction, before, losses = torch.randn_like(weight), weight.clone(), []
            for move in (1e-7, -1e-7):
                weight.copy_(before + move * direction)
                losses.append(objective_of(shape)(model, batch).total)
            weight.copy_(before)
            expected = (losses[0] - losses[1]) / 2e-7
            torch.testing.assert_close((found[name] * direction).sum(), expected, rtol=1e-5, atol=1e-6)


@every_head
def test_probabilities_of_all_labellings_sum_to_one(shape):
    model, one = model_of(shape), rows_of(batch_of(), [2])
    every = torch.tensor(list(itertools.product(range(shape.target_size), repeat=3)))
    lengths = torch.full((len(every),), 3)
    batch = Batch(Padded(one.source.values.expand(len(every), -1, -1), lengths), Padded(every, lengths), lengths)
    with torch.no_grad():
        found = model.log_prob(batch).total
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-10)
        chain = model.chain(one.source)
        transitions = None if chain.transitions is None else chain.transitions.numpy()
        best = viterbi(chain.unary.numpy(), chain.lengths.numpy(), transitions).labels
        assert best[0, 0].tolist() == every[found.argmax()].tolist()


@every_head
def test_the_loss_is_the_likelihood_and_two_halves_are_one_whole(shape):
    model, batch = model_of(shape), batch_of()
    loss = objective_of(shape, 0.0)(model, batch)
    torch.testing.assert_close(loss.total, -model.log_prob(batch).total.sum(), rtol=0, atol=1e-10)
    assert int(loss.count) == sum(LENGTHS)
    if shape.head == "crf":
        assert int(SequenceLikelihood("sequence")(model, batch).count) == len(LENGTHS)
    whole, halves = gradients(model, shape, batch), gradients(model, shape, rows_of(batch, [0]), rows_of(batch, [1, 2]))
    for name, gradient in whole.items():
        torch.testing.assert_close(halves[name], gradient, rtol=0, atol=1e-10)


@every_head
def test_rounded_matrices_train_and_sizes_are_as_said(shape):
    model, batch = model_of(shape, torch.float32).train(), batch_of()
    exact = objective_of(shape)(model, batch).total
    with matrix_precision("bf16"):
        rounded = objective_of(shape)(model, batch).total
    rounded.backward()
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.0)
    assert parameters(shape) == sum(weight.numel() for weight in model.parameters())
    again = model_of(ModelShape.from_json(shape.to_json(), "x"), torch.float32)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.log_prob(batch).total, model.eval().log_prob(batch).total)
