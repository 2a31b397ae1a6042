"""q(h_1 .. h_S): each of the four, against a loop over sentences."""

import pytest
import torch

from seq2x.nn.pooling import POOLINGS, valid


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("directions", [1, 2])
def test_each_is_what_it_says_of_valid_positions(name: str, directions: int) -> None:
    torch.manual_seed(2)
    lengths = torch.tensor([5, 1, 3])
    states = torch.where(valid(lengths, 5)[..., None], torch.randn(3, 5, 6), torch.nan)
    pooled = POOLINGS[name](states, lengths, directions)
    for row, length in enumerate(lengths):
        h = states[row, :length]
        last = h[-1] if directions == 1 else torch.cat([h[-1, :3], h[0, 3:]])
        expected = {"last": last, "first_last": torch.cat([h[0], h[-1]]), "mean": h.mean(0), "max": h.amax(0)}
        torch.testing.assert_close(pooled[row], expected[name])


@pytest.mark.parametrize("name", POOLINGS)
def test_nothing_at_all_is_finite(name: str) -> None:
    states = torch.zeros(1, 3, 4, requires_grad=True)
    pooled = POOLINGS[name](states, torch.tensor([0]), 1)
    pooled.sum().backward()
    assert (pooled == 0).all() and torch.isfinite(states.grad).all()


@pytest.mark.parametrize("name", POOLINGS)
def test_gradcheck(name: str) -> None:
    torch.manual_seed(2)
    states = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: POOLINGS[name](s, torch.tensor([4, 2]), 2), (states,))
