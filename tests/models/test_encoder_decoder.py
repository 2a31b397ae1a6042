import numpy as np
import pytest
import torch

from seq2x.models import DECODERS, ENCODERS, ModelShape, build, shift
from seq2x.models.encoder_decoder import DecoderModule, EncoderModule
from seq2x.types import BOS, PAD, Batch, Model, Padded


def _shape(kind="transformer", **changes):
    return ModelShape(
        kind=kind, source_size=9, target_size=9, width=8, embedding_width=8, heads=2, feedforward=8, **changes
    )


def test_inputs_are_targets_moved_by_one():
    target = Padded(torch.tensor([[5, 6, 2], [7, 2, 8]]), torch.tensor([3, 2]))
    assert shift(target).tolist() == [[BOS, 5, 6], [BOS, 7, PAD]]


def test_the_tables_and_the_settings_name_the_same_kinds():
    from typing import get_args, get_type_hints

    from seq2x.settings import COUNTED, Settings

    kinds = set(get_args(get_type_hints(Settings)["model"])) - {"auto", *COUNTED}
    assert kinds == set(ENCODERS) == set(DECODERS)


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_every_kind_is_a_model(kind):
    torch.manual_seed(0)
    model = build(_shape(kind)).double().eval()
    decoder: Model = model
    assert isinstance(model.encoder, EncoderModule) and isinstance(model.decoder, DecoderModule)
    batch = Batch(
        Padded(torch.tensor([[5, 6, 2], [7, 2, 0]]), torch.tensor([3, 2])),
        Padded(torch.tensor([[4, 2, 0], [7, 3, 2]]), torch.tensor([2, 3])),
        np.arange(2),
    )
    scored = decoder.log_prob(batch)
    assert scored.items.shape == (2, 3) and scored.items[0, 2] == 0 and (scored.items[:, :2] < 0).all()
    torch.testing.assert_close(scored.total, scored.items.sum(1))
    table = model.answer(batch).all()
    torch.testing.assert_close(scored.items[1], table[1].gather(-1, batch.target.values[1][:, None]).squeeze(-1))
    assert "attention" in decoder.log_prob(batch, frozenset({"attention"})).parts or kind not in ("transformer", "conv")


def test_a_source_and_a_target_are_needed():
    model = build(_shape())
    some = Padded(torch.tensor([[5, 2]]), torch.tensor([2]))
    for batch in (Batch(None, some, None), Batch(some, None, None)):
        with pytest.raises(ValueError, match=r"source|target"):
            model.log_prob(batch)


def test_the_same_seed_builds_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build(_shape(tied="all")).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
