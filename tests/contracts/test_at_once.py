"""Outputs that are not written symbol by symbol: what a search says of them is what scoring says, in any company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seq2x.models import AnyModel, ModelShape
from seq2x.search import Refinement, Rules, refine, spell
from seq2x.settings import AT_ONCE
from seq2x.types import EOS, PAD, Batch, Emitter, Hypotheses, Padded, Refiner

from .cases import batch_of, model_of, rows_of, widened
from .shapes import name_of, sample

pytestmark = pytest.mark.no_cover  # as in test_contracts.py

SAMPLE = [shape for shape in sample() if shape.decoder in AT_ONCE]
SHAPES = pytest.mark.parametrize(
    "shape",
    [pytest.param(s, marks=[pytest.mark.slow] * bool(n % 4), id=name_of(s)) for n, s in enumerate(SAMPLE)],
)


def found(
    model: AnyModel, source: Padded, iterations: int = 1, n: int = 4, longest: int = 9, **rules: Any
) -> Hypotheses:
    """The n best outputs of each source, by the search that is the model's own."""
    most = np.full(len(source.lengths), longest)
    if isinstance(model, Refiner):
        asked = Refinement(iterations=iterations, lengths=max(n, 3), n_best=n, **rules)
        return refine(model, model.encode(source), most, asked, frozenset({"attention"}))
    assert isinstance(model, Emitter)
    return spell(model, model.encode(source), most, Rules(beam_size=n, n_best=n, **rules))


@SHAPES
@torch.no_grad()
def test_what_is_found_is_scored_alike(shape: ModelShape) -> None:
    """In one pass; what is written again has the log p that it had among the symbols it was then beside."""
    model, batch = model_of(shape), batch_of(shape)
    best = found(model, batch.source)
    for rank in range(4):
        there = best.stopped[:, rank] >= 0
        assert there[[0, 2, 3]].all()
        target = Padded(torch.as_tensor(best.tokens[:, rank]), torch.as_tensor(best.lengths[:, rank]).clamp(min=1))
        scored = model.log_prob(Batch(batch.source, target, batch.rows))
        items = scored.items.cpu().numpy()
        np.testing.assert_allclose(best.log_p[there, rank], items[there], rtol=0, atol=1e-10)
        total = best.log_p[there, rank].sum(-1)
        mean = total / best.lengths[there, rank] if shape.decoder == "mask_predict" else total
        np.testing.assert_allclose(best.scores[there, rank], mean, rtol=0, atol=1e-10)
    assert (np.diff(best.scores, axis=1) <= 0).all()
    tokens = best.tokens[best.stopped == 1]
    assert (tokens == EOS).sum() == len(tokens) and not np.isin(tokens, [1]).any()


@SHAPES
@torch.no_grad()
def test_neighbours_and_padding_change_no_output(shape: ModelShape) -> None:
    """N1 for outputs: alone, beside longer ones, beside more padding."""
    model, batch = model_of(shape), batch_of(shape)
    together = found(model, batch.source, iterations=3)
    padded = found(model, widened(batch, 17).source, iterations=3)
    for row in range(4):
        alone = found(model, rows_of(batch, [row]).source, iterations=3)
        width = alone.tokens.shape[2]
        for other, at in ((together, row), (padded, row)):
            assert np.array_equal(other.tokens[at, :, :width], alone.tokens[0])
            assert not other.tokens[at, :, width:].any()
            np.testing.assert_array_equal(other.stopped[at], alone.stopped[0])
            there = alone.stopped[0] >= 0
            np.testing.assert_allclose(other.scores[at, there], alone.scores[0, there], rtol=0, atol=1e-10)


@SHAPES
@torch.no_grad()
def test_rules_are_kept(shape: ModelShape) -> None:
    """Forbidden symbols and lengths; attention is of the symbols that are there."""
    model, batch = model_of(shape), batch_of(shape)
    least = {"min_length": 3} if shape.decoder == "mask_predict" else {}
    for iterations in (1, 4):
        best = found(model, batch.source, iterations, longest=5, forbidden=(4, 7), **least)
        assert not np.isin(best.tokens, [4, 7]).any() and best.lengths.max() <= 5
        assert (best.lengths[best.stopped >= 0] > least.get("min_length", 0)).all()
        assert ((best.tokens == PAD) == (np.arange(best.tokens.shape[2]) >= best.lengths[..., None])).all()
        if best.attention is not None:
            sums = best.attention.sum(-1)
            np.testing.assert_allclose(sums, best.tokens != PAD, rtol=0, atol=1e-6)
    assert (best.attention is None) == (shape.decoder == "ctc")
