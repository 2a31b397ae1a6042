"""The Transformer: what it may see, what must not matter, and that it learns."""

import dataclasses
import itertools

import pytest
import torch

from seq2x.errors import DataError
from seq2x.models import ModelShape, build
from seq2x.nn.precision import matrix_precision
from seq2x.types import BOS, EOS, Batch, Padded

V, B, S, T, K = 11, 4, 6, 5, 3
ATTENTION = frozenset({"attention"})
BASE = ModelShape(
    kind="transformer", source_size=V, target_size=V, width=16, embedding_width=16, heads=2, feedforward=24,
    encoder_layers=2, decoder_layers=2,
)  # fmt: skip
STYLES = [
    {"norm_position": place, "norm": norm, "positions": positions, "activation": activation, "tied": tied}
    for (place, norm), (positions, activation, tied) in zip(
        itertools.product(("pre", "post"), ("layer", "rms", "batch")),
        itertools.cycle([("sinusoidal", "relu", "all"), ("rotary", "gelu", "none"), ("learned", "gated", "target")]),
        strict=False,
    )
]


@pytest.fixture(params=STYLES, ids=lambda style: "-".join(style.values()))
def model(request):
    torch.manual_seed(1)
    return build(dataclasses.replace(BASE, **request.param)).double().eval()


def _batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = Padded(torch.randint(3, V, (B, S), generator=generator), torch.tensor([S, 3, 1, 4]))
    target = Padded(torch.randint(3, V, (B, T), generator=generator), torch.tensor([T, 2, 3, 1]))
    return Batch(source, target, torch.arange(B))


def _garbled(padded, fill):
    past = torch.arange(padded.values.shape[1]) >= padded.lengths[:, None]
    return Padded(torch.where(past, fill, padded.values), padded.lengths)


@torch.no_grad()
def test_a_step_is_a_position_also_when_beams_change_places(model):
    memory = model.encode(_batch().source)
    state = model.start(memory, K, 2 * K, ATTENTION)
    ids, origin = torch.full((B * K, 1), BOS), torch.arange(B * K)
    generator = torch.Generator().manual_seed(2)
    for length in range(1, 8):
        assert torch.equal(state.position, torch.full((B * K,), length - 1))
        answer, state = model.step(ids[:, -1], origin, state)
        whole = model.decode(memory, ids, ATTENTION)
        assert (answer.all() - whole.all()[:, -1]).abs().max() < 1e-10
        assert (answer.attention - whole.attention[:, -1]).abs().max() < 1e-10
        origin = (torch.randint(0, K, (B, K), generator=generator) + torch.arange(B)[:, None] * K).view(-1)
        ids = torch.cat([ids[origin], torch.randint(3, V, (B * K, 1), generator=generator)], 1)


@torch.no_grad()
def test_states_keep_sentences_and_clone(model):
    memory = model.encode(_batch().source)
    state, origin = model.start(memory, K, 2 * K), torch.arange(B * K)
    history = torch.full((B * K, 1), BOS)
    for _ in range(40):  # past the room first given
        _, state = model.step(history[:, -1], origin, state)
        history = torch.cat([history, torch.randint(3, V, (B * K, 1))], 1)
    kept = torch.tensor([0, 2])
    rows = (kept[:, None] * K + torch.arange(K)).view(-1)
    before = state.clone()
    expected, _ = model.step(history[:, -1], origin.flip(0).view(B, K).flip(0).reshape(-1), state)
    again, _ = model.step(history[:, -1], origin.flip(0).view(B, K).flip(0).reshape(-1), before.clone())
    assert torch.equal(expected.all(), again.all())
    fewer, _ = model.step(history[rows, -1], torch.tensor([2, 1, 0, 5, 4, 3]), before.keep(kept))
    swapped = torch.arange(B * K).view(B, K).flip(1).reshape(-1)
    whole, _ = model.step(history[:, -1], swapped, before)
    torch.testing.assert_close(fewer.all(), whole.all()[rows], rtol=0, atol=1e-12)


@torch.no_grad()
def test_garbage_in_padding_changes_no_bit(model):
    batch = _batch()
    expected = model.log_prob(batch).items
    memory = model.encode(batch.source)
    assert (memory.states[1, 3:] == 0).all()
    for fill in (0, 7):
        other = batch._replace(source=_garbled(batch.source, fill), target=_garbled(batch.target, fill))
        assert torch.equal(model.log_prob(other).items, expected)


@torch.no_grad()
@pytest.mark.parametrize("value", [1e4, float("nan"), float("inf")])
def test_the_vector_of_padding_may_be_anything(value):
    model, batch = build(BASE).double().eval(), _batch()
    batch = batch._replace(source=_garbled(batch.source, 0), target=_garbled(batch.target, 0))
    expected = model.log_prob(batch).items
    model.encoder.embedding.table[0] = value
    model.decoder.embedding.table[0] = value
    assert torch.equal(model.log_prob(batch).items, expected)


@torch.no_grad()
def test_neighbours_and_padding_change_nothing(model):
    batch = _batch()
    expected = model.log_prob(batch).items
    for row in range(B):
        s, t = int(batch.source.lengths[row]), int(batch.target.lengths[row])
        for extra in (0, 1, 17):
            source = torch.nn.functional.pad(batch.source.values[row : row + 1, :s], (0, extra))
            target = torch.nn.functional.pad(batch.target.values[row : row + 1, :t], (0, extra))
            alone = Batch(Padded(source, torch.tensor([s])), Padded(target, torch.tensor([t])), torch.arange(1))
            assert (model.log_prob(alone).items[0, :t] - expected[row, :t]).abs().max() < 1e-12


@torch.no_grad()
def test_the_future_changes_nothing(model):
    memory = model.encode(_batch().source)
    inputs = torch.randint(3, V, (B, T))
    expected = model.decode(memory, inputs).all()
    for t in range(1, T):
        other = inputs.clone()
        other[:, t:] = torch.randint(3, V, (B, T - t))
        assert (model.decode(memory, other).all()[:, :t] - expected[:, :t]).abs().max() < 1e-12


@torch.no_grad()
def test_attention_is_a_distribution_over_real_positions(model):
    batch = _batch()
    weights = model.answer(batch, ATTENTION).attention
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T, dtype=torch.float64))
    past = torch.arange(S) >= batch.source.lengths[:, None]
    assert (weights * past[:, None]).abs().max() == 0
    assert model.answer(batch).attention is None
    torch.testing.assert_close(model.answer(batch, ATTENTION).all(), model.answer(batch).all())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_empty_and_single_symbol_sources_are_finite(model, dropout):
    for module in model.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = dropout  # of attention weights: the explicit path
    source = Padded(torch.full((3, 2), 5), torch.tensor([0, 1, 2]))
    target = Padded(torch.tensor([[EOS], [EOS], [EOS]]), torch.ones(3, dtype=torch.int64))
    model.train()
    loss = model.answer(Batch(source, target, torch.arange(3)), ATTENTION).loss(target.values, 0.1)
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert loss.isfinite() and all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_every_weight_has_a_gradient_that_is_right():
    torch.manual_seed(0)
    shape = dataclasses.replace(BASE, encoder_layers=1, decoder_layers=1, dropout=0.0, activation="gated", tied="all")
    model, batch = build(shape).double(), _batch()
    target = torch.where(torch.arange(T) < batch.target.lengths[:, None], batch.target.values, 0)

    def loss():
        return model.answer(batch).loss(target, 0.1)

    gradients = torch.autograd.grad(loss(), list(model.parameters()))
    generator = torch.Generator().manual_seed(3)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter += 1e-6 * direction
            above = loss()
            parameter -= 2e-6 * direction
            below = loss()
            parameter += 1e-6 * direction
        torch.testing.assert_close((above - below) / 2e-6, (gradient * direction).sum(), rtol=1e-5, atol=1e-5)


def test_learned_positions_have_an_end():
    model = build(dataclasses.replace(BASE, positions="learned", max_source_length=4, max_target_length=2)).eval()
    five, six = (Padded(torch.full((1, size), 5), torch.tensor([size])) for size in (5, 6))
    with pytest.raises(DataError, match="source: 6 symbols"):
        model.encode(six)
    memory = model.encode(five)
    state = model.start(memory, 1, 1)
    for _ in range(3):
        _, state = model.step(torch.tensor([5]), torch.tensor([0]), state)
    with pytest.raises(DataError, match="target: 4 symbols"):
        model.step(torch.tensor([5]), torch.tensor([0]), state)


@torch.no_grad()
def test_deep_post_norm_starts_with_a_sound_signal():
    torch.manual_seed(0)
    shape = dataclasses.replace(
        BASE, norm_position="post", encoder_layers=24, decoder_layers=24, width=64, embedding_width=64
    )
    model, batch = build(shape).train(), _batch()
    with torch.enable_grad():
        model.answer(batch).loss(batch.target.values).backward()
    first, last = (model.encoder.layers[at].feedforward.inner.grad.norm() for at in (0, -1))
    assert 0.05 < first / last < 20


def _reversals(generator, size=32, length=6):
    body = torch.randint(3, V, (size, length), generator=generator)
    end = torch.full((size, 1), EOS)
    lengths = torch.full((size,), length + 1)
    return Batch(
        Padded(torch.cat([body, end], 1), lengths), Padded(torch.cat([body.flip(1), end], 1), lengths), lengths
    )


@pytest.mark.parametrize(
    ("precision", "style"),
    [
        pytest.param("fp32", {"norm_position": "pre"}, marks=pytest.mark.slow),
        pytest.param("bf16", {"norm_position": "post", "positions": "learned"}, marks=pytest.mark.slow),
        pytest.param("bf16", {"positions": "rotary", "norm": "rms", "activation": "gated"}, marks=pytest.mark.slow),
        pytest.param("fp32", {"positions": "learned", "activation": "gelu"}, marks=pytest.mark.slow),
        pytest.param("fp32", {"norm": "batch"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_it_learns_to_reverse(precision, style):
    torch.manual_seed(0)
    shape = dataclasses.replace(BASE, tied="all", width=48, embedding_width=48, feedforward=96, dropout=0.02, **style)
    model, generator = build(shape), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / 40, (40 / (step + 1)) ** 0.5))
    for _ in range(350):
        batch = _reversals(generator)
        with matrix_precision(precision):
            loss = model.answer(batch).loss(batch.target.values, 0.0) / batch.target.lengths.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    batch = _reversals(torch.Generator().manual_seed(99), size=200)
    with torch.no_grad():
        right = model.answer(batch).all().argmax(-1)
    assert (right == batch.target.values).double().mean() > 0.95
