"""The masked model as a model: its memory is used again, and what attention learns is learned by it, too."""

import dataclasses

import torch
from tests.contracts.cases import batch_of, model_of

from seq2x.models import MaskPredict, ModelShape
from seq2x.objectives import Attended, Likelihood
from seq2x.types import MASK

SHAPE = ModelShape(
    kind="transformer", source_size=11, target_size=11, decoder="mask_predict", width=8, embedding_width=8, heads=2,
    feedforward=12, encoder_layers=1, decoder_layers=2, dropout=0.0,
)  # fmt: skip


def test_what_the_decoder_remembers_is_what_it_would_compute():
    model, batch = model_of(SHAPE), batch_of(SHAPE)
    assert isinstance(model, MaskPredict)
    memory = model.encode(batch.source)
    inputs = torch.where(batch.target.values > 2, MASK, batch.target.values)
    plain = dataclasses.replace(memory, parts={})
    assert "remembered" in memory.parts
    assert torch.equal(model.fill(memory, inputs).all(), model.fill(plain, inputs).all())


def test_candidates_of_a_sentence_share_its_memory():
    """N = B * K rows against B memories."""
    model, batch = model_of(SHAPE), batch_of(SHAPE)
    memory = model.encode(batch.source)
    inputs = torch.where(batch.target.values > 2, MASK, batch.target.values)
    once, thrice = model.fill(memory, inputs).all(), model.fill(memory, inputs.repeat_interleave(3, 0)).all()
    torch.testing.assert_close(thrice, once.repeat_interleave(3, 0), rtol=0, atol=1e-12)


def test_a_target_longer_than_any_that_was_learned_has_no_probability():
    shape = dataclasses.replace(SHAPE, max_target_length=4)
    model, batch = model_of(shape), batch_of(shape)  # lengths 4, 6, 1, 3; five at most
    total = model.log_prob(batch).total
    assert total[1] == -torch.inf and torch.isfinite(total[[0, 2, 3]]).all()


def test_attention_can_be_guided():
    model, batch = model_of(SHAPE).train(), batch_of(SHAPE)
    torch.manual_seed(1)
    plain = Likelihood(0.1)(model, batch)
    torch.manual_seed(1)
    guided = Attended(Likelihood(0.1), coverage=0.5, guided=0.5)(model, batch)
    expected = plain.total + 0.5 * guided.parts["coverage"] + 0.5 * guided.parts["guided"]
    torch.testing.assert_close(guided.total, expected)
    assert guided.parts["guided"] > 0 and int(guided.count) == 14
