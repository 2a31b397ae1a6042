import math

import pytest
import torch

from seq2x.errors import DataError
from seq2x.nn.positions import LearnedPositions, Rotary, SinusoidalPositions


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoids_are_the_formula_at_any_length(width):
    module = SinusoidalPositions(width, length=4)
    table = module(torch.zeros(1, 50, width))[0]
    for position in (0, 1, 3, 4, 49):
        for i in range(width):
            angle = position / 10000 ** (2 * (i // 2) / width)
            assert table[position, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-5)
    torch.testing.assert_close(
        module(torch.zeros(1, 1, width), start=60)[0, 0], SinusoidalPositions(width)(torch.zeros(61, width))[60]
    )


def test_smaller_embeddings_get_smaller_positions():
    small, plain = SinusoidalPositions(6, length=4, scale=0.25), SinusoidalPositions(6)
    for length in (3, 50):  # as made, and grown
        torch.testing.assert_close(small(torch.zeros(length, 6)), 0.25 * plain(torch.zeros(length, 6)))
    torch.manual_seed(0)
    table = LearnedPositions(64, 200, "source", 0.1).table.detach()
    assert float(table.std()) == pytest.approx(0.1, rel=0.03)


def test_learned_positions_end_with_a_clear_error():
    module = LearnedPositions(4, 6, "source")
    assert module(torch.zeros(2, 6, 4)).shape == (2, 6, 4)
    with pytest.raises(DataError, match=r"source: 7 symbols.*at most 6.*max_source_length"):
        module(torch.zeros(1, 7, 4))
    with pytest.raises(DataError):
        module(torch.zeros(1, 1, 4), start=6)


@pytest.mark.parametrize("make", [SinusoidalPositions, Rotary])
def test_tables_that_grew_while_predicting_can_be_trained_with(make):
    module = make(4, length=2)
    with torch.inference_mode():
        module(torch.zeros(1, 1, 9, 4))
    x = torch.ones(1, 1, 9, 4, requires_grad=True)
    (module(x) ** 2).sum().backward()
    assert x.grad.isfinite().all() and not list(module.state_dict())
