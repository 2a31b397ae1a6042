"""Copying output layers against the papers' equations, written as loops over numbers in double precision."""

import math

import pytest
import torch
from tests.contracts.cases import batch_of, model_of
from tests.contracts.shapes import SIZES

from seq2x.nn.copying import Pointer, PointerGenerator
from seq2x.nn.embedding import Embedding
from seq2x.nn.outputs import VocabularyOutput
from seq2x.objectives import Attended, Likelihood
from seq2x.types import Memory

V, D, M, S = 9, 4, 6, 5
COPY_IDS = torch.tensor([[4, 9, 4, 10, 2], [9, 7, 2, 0, 0]])  # 9, 10: what only the source has
LENGTHS = torch.tensor([5, 3])


def memory():
    torch.manual_seed(3)
    states = torch.randn(2, S, M, dtype=torch.float64)
    states[1, 3:] = 0
    return Memory(states, LENGTHS, (), {"copy_ids": COPY_IDS})


def weighted():
    torch.manual_seed(4)
    attention = torch.randn(2, 3, S, dtype=torch.float64)
    attention[1, :, 3:] = -math.inf
    return attention.softmax(-1).requires_grad_()


def generator():
    torch.manual_seed(1)
    embedding = Embedding(V, 3)
    layer = PointerGenerator(VocabularyOutput(D, V), embedding, D, M).double()
    embedding.double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_()
    return layer, embedding


def said(layer, hidden, attention, symbols):
    return layer(hidden, attention, layer.readable(symbols), layer.look(memory()), True)


def expected(layer, embedding, hidden, attention, symbols):
    """p of every symbol and row, `[2, 3, V + S]`: See et al. 2017, eq. 8 and 9."""
    states, out = memory().states, layer.vocabulary
    p = torch.zeros(2, 3, V + S, dtype=torch.float64)
    for b in range(2):
        for t in range(3):
            context = sum(attention[b, t, s] * states[b, s] for s in range(S))
            read = symbols[b, t] if symbols[b, t] < V else torch.tensor(3)
            score = layer.of_context @ context + layer.of_state @ hidden[b, t] + layer.of_input @ embedding(read)
            share = 1 / (1 + torch.exp(-(score + layer.bias)))
            logits = out.weight @ hidden[b, t] + out.bias
            for v in range(V):
                p[b, t, v] = share * torch.exp(logits[v]) / torch.exp(logits).sum()
            for s in range(int(LENGTHS[b])):
                p[b, t, COPY_IDS[b, s]] += (1 - share) * attention[b, t, s]
    return p


SYMBOLS = torch.tensor([[1, 4, 10], [1, 9, 5]])


def test_a_pointer_generator_says_what_the_equations_say():
    layer, embedding = generator()
    hidden, attention = torch.randn(2, 3, D, dtype=torch.float64), weighted()
    answer, p = said(layer, hidden, attention, SYMBOLS), expected(layer, embedding, hidden, attention, SYMBOLS)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(answer.all().exp(), p, rtol=0, atol=1e-12)
    for ids in (torch.tensor([[4, 9, 2], [9, 7, 8]]), torch.tensor([[10, 0, 13], [10, 1, 5]])):
        torch.testing.assert_close(answer.of(ids).exp(), p.gather(-1, ids[..., None])[..., 0], rtol=0, atol=1e-12)
    assert torch.equal(answer.attention, attention)
    logits = hidden @ layer.vocabulary.weight.T + layer.vocabulary.bias
    torch.testing.assert_close(answer.mean(), logits.log_softmax(-1).mean(-1))


def test_a_pointer_says_what_the_equation_says():
    torch.manual_seed(2)
    layer, hidden = Pointer(V, D, M).double(), torch.randn(2, 3, D, dtype=torch.float64)
    answer, states, attention = said(layer, hidden, None, SYMBOLS), memory().states, layer.attention
    p = torch.zeros(2, 3, V + S, dtype=torch.float64)
    for b in range(2):
        places = range(int(LENGTHS[b]))
        for t in range(3):
            query = attention.of_query.weight @ hidden[b, t]
            keys = [attention.of_state.weight @ states[b, s] + attention.of_state.bias for s in places]
            scores = torch.stack([attention.v @ torch.tanh(key + query) for key in keys])
            for s, alpha in zip(places, torch.exp(scores) / torch.exp(scores).sum(), strict=True):
                p[b, t, COPY_IDS[b, s]] += alpha
    torch.testing.assert_close(answer.all().exp(), p, rtol=0, atol=1e-12)
    ids = torch.tensor([[4, 8, 2], [9, 7, 10]])
    torch.testing.assert_close(answer.of(ids).exp(), p.gather(-1, ids[..., None])[..., 0], rtol=0, atol=1e-12)
    assert answer.of(ids).isneginf().tolist() == [[False, True, False], [False, False, True]]
    assert (answer.mean() == 0).all()
    total, plain = answer.losses(torch.tensor([[4, 9, 2], [9, 2, 0]]), 0.3)
    assert total == plain  # there is no vocabulary to spread anything over


def test_the_smoothed_loss_and_its_gradients():
    layer, _ = generator()
    hidden, attention = torch.randn(2, 3, D, dtype=torch.float64, requires_grad=True), weighted()
    ids, weights = torch.tensor([[4, 10, 2], [9, 5, 0]]), torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 9.0]]).double()
    answer = said(layer, hidden, attention, SYMBOLS)
    total, plain = answer.losses(ids, 0.1, weights)
    kept = torch.where(ids != 0, weights, 0.0)
    torch.testing.assert_close(plain, -(answer.of(ids) * kept).sum())
    torch.testing.assert_close(total, -((0.9 * answer.of(ids) + 0.1 * answer.mean()) * kept).sum())
    assert total.requires_grad and not plain.requires_grad

    def loss(h, a, *parameters):
        return said(layer, h, a, SYMBOLS).losses(ids, 0.1)[0]

    assert torch.autograd.gradcheck(loss, (hidden, attention, *layer.parameters()))


def test_nothing_to_copy_and_attention_that_vanishes_leave_gradients_finite():
    layer, _ = generator()
    attention = torch.zeros(2, 3, S, dtype=torch.float64)
    attention[:, :, 0] = 1.0  # in double or single precision: all the rest is lost
    attention.requires_grad_()
    hidden = torch.randn(2, 3, D, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[8, 10, 2], [6, 9, 13]])  # 10 stands where there is no attention, 13 nowhere
    answer = said(layer, hidden, attention, SYMBOLS)
    log_p = answer.of(ids)
    assert log_p[1, 2] == -math.inf and torch.isfinite(log_p[log_p > -math.inf]).all() and log_p[0, 1] > -math.inf
    torch.testing.assert_close(answer.all().gather(-1, ids[..., None])[..., 0], log_p)
    log_p[log_p > -math.inf].sum().backward()
    assert torch.isfinite(attention.grad).all() and torch.isfinite(hidden.grad).all()


def test_top_takes_the_lower_id_forbids_and_biases():
    torch.manual_seed(2)
    layer = Pointer(V, D, M).double()
    with torch.no_grad():
        layer.attention.v.zero_()  # every place alike: 4 stands twice, 2, 9 and 10 once
    layer.requires_grad_(False)
    source = layer.look(memory())
    answer = layer(torch.zeros(2, D, dtype=torch.float64), None, torch.tensor([1, 1]), source, False)
    values, ids = answer.top(4)
    assert ids.tolist() == [[4, 2, 9, 10], [2, 7, 9, 0]] and answer.attention is None
    torch.testing.assert_close(values.exp()[0], torch.tensor([0.4, 0.2, 0.2, 0.2]).double())
    assert values[1, 3] == -math.inf
    assert answer.top(2, torch.tensor([[4, 2], [9, -1]]))[1].tolist() == [[9, 10], [2, 7]]
    bias = torch.zeros(V + S, dtype=torch.float64)
    bias[9] = 5
    values, ids = answer.top(1, bias=bias)
    assert ids[:, 0].tolist() == [9, 9] and float(values[0, 0]) == pytest.approx(math.log(0.2) + 5)
    log_p, ids = answer.sample(torch.tensor([0.5, 0.99]))
    assert ids.tolist() == [4, 9] and log_p.exp().tolist() == pytest.approx([0.4, 1 / 3])


def test_a_model_that_copies_has_to_be_told_what():
    from seq2x.models import ModelShape

    shape = ModelShape(kind="gru", copy="generator", encoder_layers=1, decoder_layers=1, **SIZES)
    model, batch = model_of(shape), batch_of(shape)
    with pytest.raises(ValueError, match="this model copies: copy_ids are None"):
        model.encode(batch.source)
    with pytest.raises(ValueError, match=r"copy_ids are \[4, 6\], not \[4, 7\]"):
        model.encode(batch.source, batch.copy_ids[:, 1:])
    layer, _ = generator()
    with pytest.raises(ValueError, match="this decoder shows none"):
        layer(torch.zeros(2, D), None, torch.tensor([1, 1]), layer.look(memory()), False)


@pytest.mark.parametrize("kind", ["gru", "transformer"])
@pytest.mark.parametrize("copy", ["generator", "pointer"])
def test_coverage_loss_is_that_of_what_is_copied(kind, copy):
    """See et al. 2017, eq. 13: the likelihood of the mixture and the coverage of the very weights that it copies by."""
    from seq2x.models import ModelShape

    history = "coverage" if kind == "gru" else "none"
    shape = ModelShape(
        kind=kind, copy=copy, encoder_layers=1, decoder_layers=1, attention_history=history, **{**SIZES, "heads": 2}
    )
    model, batch = model_of(shape), batch_of(shape)
    plain, loss = Likelihood(0.1)(model, batch), Attended(Likelihood(0.1), coverage=0.5)(model, batch)
    alpha = model.answer(batch, frozenset({"attention"})).attention
    covered = 0.0
    for b, length in enumerate(batch.target.lengths.tolist()):
        before = torch.zeros(alpha.shape[-1], dtype=torch.float64)
        for t in range(length):
            covered = covered + torch.minimum(alpha[b, t], before).sum()
            before = before + alpha[b, t]
    torch.testing.assert_close(loss.total, plain.total + 0.5 * covered)
    first = model.decode(model.encode(batch.source, batch.copy_ids), torch.tensor([[1]] * 4)).all()[:, 0].exp()
    for b in range(4 if copy == "pointer" else 0):  # where a pointer copies from is what it shows
        for symbol in set(batch.copy_ids[b, : int(batch.source.lengths[b])].tolist()):
            torch.testing.assert_close(first[b, symbol], alpha[b, 0][batch.copy_ids[b] == symbol].sum())
